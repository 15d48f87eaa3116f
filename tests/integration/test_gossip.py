# SPDX-License-Identifier: Apache-2.0
"""Interoperation with stock Serf and Consul agents in one pool: joining both ways, members, tags, events, queries, failures,
leaving, keys; and what only concerns ourselves (restart of gossipd, a port in use). Numbers in brackets: the checklist of the notes
on Serf's protocol; test_gossip_network.py and test_gossip_packets.py have more of them."""
import base64
import json
import os
import re
import signal
import socket
import stat
import time

import pytest

from network import Network
from node import wait_until
from peers import CONSUL, SERF, Consul, Gossipd, Serf

KEYS = [base64.b64encode(bytes([i]) * 32).decode() for i in range(1, 4)]
needs_serf = pytest.mark.skipif(not SERF, reason="serf is not installed")
needs_consul = pytest.mark.skipif(not CONSUL, reason="consul is not there")
ALIVE, LEFT, FAILED = 1, 3, 4


def member(node, name):
    return {m["Name"]: m for m in node.json("/v1/agent/members")}.get(name)


def status_is(node, name, status, limit_s=40):
    wait_until(lambda: member(node, name)["Status"] == status, limit_s, "%s has status %d" % (name, status))


def serf_sees(serf, name, status, limit_s=40):
    wait_until(lambda: serf.status(name) == status, limit_s, "serf sees %s %s" % (name, status))


# ---- one pool of one of ours and one of theirs, in three forms ----

class Pair:
    def __init__(self, mode, directory):
        from node import Node
        config = {"advertise_reconnect_timeout": "10m", **({"encrypt": KEYS[0]} if mode == "encrypted" else {})}
        args = ["-encrypt=" + KEYS[0]] if mode == "encrypted" else []
        args += ["-disable-compression"] if mode == "plain" else []
        self.mode = mode
        self.node = Node(directory / "n1", name="n1", config=config).start()
        self.serf = Serf(directory, "s1", args=args, tags=["colour=blue"], handled=["member-update"]).start()
        if mode == "compressed":
            answer = self.node.put("/v1/agent/join/%s:%d" % (self.serf.address, 8301))
            assert answer.status == 200, answer.text
        else:
            out = self.serf.run("join", "%s:8301" % self.node.address)
            assert out.returncode == 0, out
        status_is(self.node, "s1", ALIVE)
        serf_sees(self.serf, "n1", "alive")


@pytest.fixture(scope="module", params=["plain", "compressed", "encrypted"])
def pair(request, tmp_path_factory):
    if not SERF:
        pytest.skip("serf is not installed")
    p = Pair(request.param, tmp_path_factory.mktemp(request.param))
    yield p
    p.serf.kill()
    p.node.cleanup()


def test_we_see_their_member(pair):
    """[1 2 6]"""
    m = member(pair.node, "s1")
    assert (m["Addr"], m["Port"], m["Status"], m["Tags"]) == (pair.serf.address, 8301, ALIVE, {"colour": "blue"})
    assert (m["ProtocolCur"], m["DelegateMin"], m["DelegateCur"]) == (2, 2, 5)


def test_they_see_our_member_with_tags(pair):
    """[1 2 5]"""
    m = pair.serf.members()["n1"]
    assert m["addr"] == pair.node.address + ":8301"
    assert (m["tags"]["role"], m["tags"]["dc"], m["tags"]["port"], m["tags"]["wan_join_port"]) == (
        "consul", "dc1", "8300", "8302")
    assert m["tags"]["id"] == pair.node.json("/v1/agent/self")["Config"]["NodeID"]


def test_their_event_reaches_us_once(pair):
    """[27]"""
    payload = b"\x84\xa2ID\xd9\x2411ba9aba-3cd9-4b1c-a87e-48fbfe5b2a1d\xa1n\xa4ping\xa1p\xc4\x05hello\xa1v\x01"
    out = pair.serf.run("event", "-coalesce=false", b"consul:event:ping", payload)
    assert out.returncode == 0, out

    def arrived():
        return [e for e in pair.node.json("/v1/event/list?name=ping")]
    found = wait_until(arrived, 10, "event arrived")
    assert [base64.b64decode(e["Payload"]) for e in found] == [b"hello"]
    assert found[0]["LTime"] > 0


def test_our_event_reaches_them_once(pair):
    """[28]"""
    assert pair.node.put("/v1/event/fire/deploy", "of-ours").status == 200
    wait_until(lambda: "consul:event:deploy" in pair.serf.seen(), 15, "their handler ran")
    assert pair.serf.seen().count("user consul:event:deploy") == 1


def test_events_that_are_too_large_are_refused(pair):
    """With Consul's texts, by the size before and after packing; the largest one that fits arrives, and nothing else was fired. [30]"""
    def fired():
        return pair.node.control("gossipd", "status")["detail"]["event_time"]
    before = fired()
    for size, text in ((600, "user event exceeds configured limit of 512 bytes before encoding"),
                       (441, "user event exceeds configured limit of 512 bytes before encoding"),
                       (440, "encoded user event exceeds configured limit of 512 bytes after encoding"),
                       (411, "encoded user event exceeds configured limit of 512 bytes after encoding")):
        answer = pair.node.put("/v1/event/fire/big", "x" * size)
        assert (answer.status, answer.text) == (
            500, '1 error occurred:\n\t* error broadcasting event to segment "": %s\n\n' % text), size
    assert fired() == before
    assert pair.node.put("/v1/event/fire/big", "x" * 410).status == 200
    wait_until(lambda: "user consul:event:big" in pair.serf.seen(), 15, "the largest one arrived")
    assert [len(base64.b64decode(e["Payload"])) for e in pair.node.json("/v1/event/list?name=big")] == [410]
    assert fired() == before + 1 < 128      # a later time takes one byte more of the 512


def test_their_query_is_acknowledged(pair):
    """[32]"""
    out = pair.serf.run("query", "-format=json", "-timeout=5s", "-no-ack=false", "uptime")
    answer = json.loads(out.stdout)
    assert sorted(answer["Acks"]) == ["n1", "s1"]
    assert answer["Responses"]["s1"].strip() == "answer-of-s1"


def test_their_query_with_filters(pair):
    """[33]"""
    def acks(*options):
        out = pair.serf.run("query", "-format=json", "-timeout=2s", *options, "uptime")
        return sorted(json.loads(out.stdout)["Acks"] or [])
    assert acks("-tag", "role=cons.l") == ["n1"]
    assert acks("-tag", "colour=bl") == ["s1"]
    assert acks("-node", "n1") == ["n1"]
    assert acks("-tag", "role=xyz") == []


def test_reachability(pair):
    """[37]"""
    out = pair.serf.run("reachability").stdout.decode()
    assert "Successfully contacted all live nodes" in out, out


def test_rtt(pair):
    """[11]"""
    wait_until(lambda: b"Estimated" in pair.serf.run("rtt", "n1").stdout, 30, "serf rtt")


def test_their_tags_change(pair):
    """[8]"""
    assert pair.serf.run("tags", "-set", "size=xl", "-delete", "colour").returncode == 0
    wait_until(lambda: member(pair.node, "s1")["Tags"] == {"size": "xl"}, 10, "new tags")
    assert pair.serf.run("tags", "-set", "colour=blue", "-delete", "size").returncode == 0
    wait_until(lambda: member(pair.node, "s1")["Tags"] == {"colour": "blue"}, 10, "old tags")


def test_our_tags_change(pair):
    """A reload that changes a tag raises our incarnation; they show the new tag, and their handler runs once. One that changes none
    is no news. [7]"""
    def announced():
        """Our incarnation, but for what was raised to contradict a suspicion."""
        return pair.node.control("gossipd", "status")["detail"]["incarnation"] - pair.node.log().count("refuted pool=lan")

    def reload(timeout):
        pair.node.config["advertise_reconnect_timeout"] = timeout
        pair.node.write_config()
        assert pair.node.control("gossipd", "reload")["ok"]

    def handled():
        return re.findall(r"^(?:member-update +)?n1\t.*\brc_tm=(\w+)", pair.serf.seen(), re.M)
    before = announced()
    for timeout, shown in (("20m", ["20m0s"]), ("20m", ["20m0s"]), ("30m", ["20m0s", "30m0s"])):
        reload(timeout)
        assert announced() == before + len(shown)
        wait_until(lambda s=shown: pair.serf.members()["n1"]["tags"]["rc_tm"] == s[-1], 10, "the new tag")
        wait_until(lambda s=shown: handled() == s, 20, "the handler has run")
    assert len(re.findall("EventMemberUpdate: n1", pair.serf.log())) == 2


def test_restart_of_gossipd_alone_is_not_noticed(pair):
    """[23]"""
    before = pair.node.control("gossipd", "status")["detail"]
    pid = pair.node.kill("gossipd")
    pair.node.wait_restarted("gossipd", pid)
    wait_until(lambda: member(pair.node, "s1")["Status"] == ALIVE, 10, "it has rejoined")
    after = pair.node.control("gossipd", "status")["detail"]
    assert after["incarnation"] > before["incarnation"] and after["event_time"] >= before["event_time"]
    assert pair.serf.status("n1") == "alive"
    assert "EventMemberFailed: n1" not in pair.serf.log() and "EventMemberLeave: n1" not in pair.serf.log()


@needs_serf
@needs_consul
def test_nobody_hears_of_a_restart(make, make_node):
    """Neither Serf nor Consul sees a member join, leave, fail or change, while an event that was fired meanwhile arrives."""
    node = make_node().start()
    serf, consul = make(Serf, "s1").start(), make(Consul, "c1", args=["-retry-join=" + node.address]).start()
    assert serf.run("join", node.address + ":8301").returncode == 0
    for watcher in (serf, consul):
        wait_until(lambda w=watcher: "EventMemberJoin: n1" in w.log())
    wait_until(lambda: len(serf.members()) == 3)
    before = {w: len(w.log()) for w in (serf, consul)}
    for i in range(2):
        payload = b"\x82\xa2ID\xd9\x24%08d-3cd9-4b1c-a87e-48fbfe5b2a1d\xa1n\xa9meanwhile" % i
        pid = node.kill("gossipd")
        assert serf.run("event", "-coalesce=false", b"consul:event:meanwhile", payload).returncode == 0
        node.wait_restarted("gossipd", pid)
        status_is(node, "c1", ALIVE)
    wait_until(lambda: len(node.json("/v1/event/list?name=meanwhile")) >= 1)    # the ones before were in the memory that was killed
    time.sleep(6)       # longer than a suspicion lasts among three
    for watcher, at in before.items():
        lines = [line for line in watcher.log()[at:].split("\n") if "EventMember" in line and "n1" in line]
        assert lines == []
    assert member(node, "s1")["Status"] == member(node, "c1")["Status"] == ALIVE


@needs_serf
def test_killed_again_and_again_it_knows_its_pool(make):
    """Also when a life ends before anybody was met, or at once after the first one was."""
    ours, serf = make(Gossipd, "g1").start(), make(Serf, "s1").start()
    assert serf.run("join", ours.address + ":8301").returncode == 0
    wait_until(lambda: ours.alive() == ["g1", "s1"])
    ours.kill()
    serf.signal(signal.SIGSTOP)     # nobody answers
    for _ in range(3):
        ours.start()
        ours.kill()
    serf.signal(signal.SIGCONT)
    ours.start()
    wait_until(lambda: ours.alive() == ["g1", "s1"])


def test_the_snapshot_does_not_grow(shared_node):
    path = shared_node.data_dir / "gossipd/local.snapshot"
    for _ in range(2200):
        assert shared_node.put("/v1/event/fire/again").status == 200
    assert path.stat().st_size < 160 * 1024
    before = shared_node.control("gossipd", "status")["detail"]["event_time"]
    assert before > 2200
    shared_node.wait_restarted("gossipd", shared_node.kill("gossipd"))
    assert shared_node.control("gossipd", "status")["detail"]["event_time"] >= before


def test_a_pause_is_no_failure(pair):
    """[16]"""
    pair.serf.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: "member-suspect" in pair.node.log() and "s1" in pair.node.log(), 15, "suspected")
    finally:
        pair.serf.signal(signal.SIGCONT)
    wait_until(lambda: not member(pair.node, "s1") or member(pair.node, "s1")["Status"] == ALIVE)
    assert not re.search(r'member-failed.*"s1"', pair.node.log())


def test_garbage_changes_nothing(pair):
    """[46]"""
    wait_until(lambda: pair.node.control("gossipd", "ping")["ok"])
    pid = pair.node.pid_of("gossipd")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for data in (b"", b"\x00", b"\x07\xff\x00", os.urandom(1400), b"\x09" * 60000, b"\xf4\x04prod\x00"):
        udp.sendto(data, (pair.node.address, 8301))
        with socket.create_connection((pair.node.address, 8301)) as tcp:
            tcp.sendall(data)
    assert member(pair.node, "s1")["Status"] == ALIVE
    assert pair.node.pid_of("gossipd") == pid


# ---- failing, leaving ----

@needs_serf
def test_their_failure_and_return(make, make_node):
    """[15]"""
    node, serf = make_node().start(), make(Serf, "s1").start()
    assert node.put("/v1/agent/join/" + serf.address).status == 200
    status_is(node, "s1", ALIVE)
    serf.kill()
    status_is(node, "s1", FAILED)
    serf.start()
    assert serf.run("join", node.address + ":8301").returncode == 0
    status_is(node, "s1", ALIVE)


@needs_serf
def test_our_failure_and_return(make):
    """[14 23]"""
    ours, serf = make(Gossipd, "g1").start(), make(Serf, "s1").start()
    assert serf.run("join", ours.address + ":8301").returncode == 0
    wait_until(lambda: ours.alive() == ["g1", "s1"])
    ours.kill()
    serf_sees(serf, "g1", "failed")
    ours.start()                        # it finds its pool by what it remembers
    serf_sees(serf, "g1", "alive")
    wait_until(lambda: ours.alive() == ["g1", "s1"])


@needs_serf
def test_they_leave_and_come_back(make, make_node):
    """[21 24]"""
    node, serf = make_node().start(), make(Serf, "s1").start()
    assert serf.run("join", node.address + ":8301").returncode == 0
    status_is(node, "s1", ALIVE)
    assert serf.run("leave").returncode == 0
    status_is(node, "s1", LEFT)
    serf.kill()
    serf.start()
    assert serf.run("join", node.address + ":8301").returncode == 0
    status_is(node, "s1", ALIVE)


@needs_serf
def test_we_leave(make, make_node):
    """[22]"""
    node, serf = make_node().start(), make(Serf, "s1").start()
    assert serf.run("join", node.address + ":8301").returncode == 0
    serf_sees(serf, "n1", "alive")
    assert node.muster("leave").returncode == 0
    serf_sees(serf, "n1", "left")
    assert "EventMemberFailed: n1" not in serf.log()


@needs_serf
@pytest.mark.parametrize("prune", [False, True])
def test_we_force_their_dead_out(make, make_node, prune):
    """[25]"""
    node, serf, other = make_node().start(), make(Serf, "s1").start(), make(Serf, "s2").start()
    for s in (serf, other):
        assert s.run("join", node.address + ":8301").returncode == 0
        status_is(node, s.name, ALIVE)
    serf.kill()
    status_is(node, "s1", FAILED)
    serf_sees(other, "s1", "failed")
    assert node.muster("force-leave", *(["-prune"] if prune else []), "s1").returncode == 0
    if prune:
        wait_until(lambda: member(node, "s1") is None, 10, "forgotten")
        wait_until(lambda: "s1" not in other.members(), 10, "forgotten there")
    else:
        status_is(node, "s1", LEFT)
        serf_sees(other, "s1", "left")


@needs_serf
def test_they_force_our_dead_out(make):
    """[25]"""
    a, b, serf = make(Gossipd, "g1").start(), make(Gossipd, "g2").start(), make(Serf, "s1").start()
    for g in (a, b):
        assert serf.run("join", g.address + ":8301").returncode == 0
    wait_until(lambda: a.alive() == b.alive() == ["g1", "g2", "s1"])
    a.kill()
    serf_sees(serf, "g1", "failed")
    wait_until(lambda: b.members()["g1"]["status"] == FAILED)
    assert serf.run("force-leave", "g1").returncode == 0
    serf_sees(serf, "g1", "left")
    wait_until(lambda: b.members()["g1"]["status"] == LEFT)


@needs_serf
def test_force_leave_of_the_living_is_refuted(make, make_node):
    """[26]"""
    # Serf sends the intent only when it sees somebody else alive: hence the third.
    node, serf, other = make_node().start(), make(Serf, "s1").start(), make(Serf, "s2").start()
    for s in (serf, other):
        assert s.run("join", node.address + ":8301").returncode == 0
    serf_sees(serf, "n1", "alive")
    serf_sees(serf, "s2", "alive")
    assert node.put("/v1/agent/force-leave/nobody").status == 500
    assert serf.run("force-leave", "n1").returncode == 0
    serf_sees(serf, "n1", "alive")
    status_is(node, "n1", ALIVE)
    assert node.put("/v1/agent/force-leave/s1").status == 200
    status_is(node, "s1", ALIVE)


@needs_serf
def test_a_third_is_known_by_gossip(make):
    """[3]"""
    ours, a, b = make(Gossipd, "g1").start(), make(Serf, "s1").start(), make(Serf, "s2").start()
    assert a.run("join", ours.address + ":8301").returncode == 0
    assert b.run("join", a.address + ":8301").returncode == 0
    wait_until(lambda: ours.alive() == ["g1", "s1", "s2"])
    serf_sees(b, "g1", "alive")


@needs_serf
def test_apart_and_together_again(make):
    """A member that is cut off for long is failed on both sides, and back when it can be reached."""
    ours, serf, other = make(Gossipd, "g1").start(), make(Serf, "s1").start(), make(Serf, "s2").start()
    for s in (serf, other):
        assert s.run("join", ours.address + ":8301").returncode == 0
    wait_until(lambda: ours.alive() == ["g1", "s1", "s2"])
    ours.signal(signal.SIGSTOP)
    serf_sees(serf, "g1", "failed")
    serf_sees(other, "g1", "failed")
    ours.signal(signal.SIGCONT)
    serf_sees(serf, "g1", "alive")
    serf_sees(other, "g1", "alive")
    wait_until(lambda: ours.alive() == ["g1", "s1", "s2"], 60)


@needs_serf
def test_datagrams_that_get_through_one_way_only(make):
    """Whoever can be reached by stream is well, in the eyes of both. [18]"""
    network = Network(2)
    try:
        options = [{"address": network.address(h), "enter": lambda h=h: network.enter_host(h)} for h in (1, 2)]
        ours, serf = make(Gossipd, "g1", **options[0]).start(), make(Serf, "s1", **options[1]).start()
        assert serf.run("join", ours.address + ":8301").returncode == 0
        for one in (ours, serf):
            wait_until(lambda one=one: one.alive() == ["g1", "s1"])
        for sender, receiver in ((1, 2), (2, 1)):
            before = serf.log().count("Was able to connect to g1")
            network.cut_datagrams_one_way(sender, receiver)
            wait_until(lambda: serf.log().count("Was able to connect to g1") > before + 5, what="only streams reach us")
            network.heal()
        assert "member-suspect" not in ours.log() and "Suspect g1" not in serf.log()
        assert ours.alive() == serf.alive() == ["g1", "s1"]
    finally:
        network.close()


# ---- joining ----

@needs_serf
def test_retry_join_waits_for_them(make):
    """[2]"""
    serf = make(Serf, "s1")
    ours = make(Gossipd, "g1", config={"retry_join": [serf.address], "retry_interval": "1s"}).start()
    wait_until(lambda: "join-failed" in ours.log())
    serf.start()
    wait_until(lambda: ours.alive() == ["g1", "s1"])


@needs_serf
def test_start_join(make):
    serf = make(Serf, "s1").start()
    ours = make(Gossipd, "g1", config={"start_join": [serf.address + ":8301"]}).start()
    wait_until(lambda: ours.alive() == ["g1", "s1"])
    serf_sees(serf, "g1", "alive")


def test_a_join_that_fails_says_why(shared_node):
    answer = shared_node.put("/v1/agent/join/127.0.0.1:1")
    assert (answer.status, answer.text) == (500, "1 error occurred:\n\t* Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: "
                                                 "connect: connection refused\n\n")
    # no route: connecting fails at once
    answer = shared_node.put("/v1/agent/join/255.255.255.255")
    assert (answer.status, answer.text) == (500, "1 error occurred:\n\t* Failed to join 255.255.255.255: "
                                                 "dial tcp 255.255.255.255:8301: connect: network is unreachable\n\n")


def test_a_port_in_use_is_waited_for(make):
    ours = make(Gossipd, "g1")
    with socket.socket() as taken:
        taken.bind((ours.address, 8301))
        taken.listen()
        ours.start()
        wait_until(lambda: "Address already in use" in ours.log())
        assert ours.control("status")["waits_for"] == "its LAN port"
    wait_until(lambda: "listening" in ours.log())


# ---- keys ----

@needs_serf
def test_a_wrong_key_or_none_does_not_get_in(make):
    """[39]"""
    ours = make(Gossipd, "g1", config={"encrypt": KEYS[0]}).start()
    plain, wrong = make(Serf, "s1").start(), make(Serf, "s2", args=["-encrypt=" + KEYS[1]]).start()
    assert plain.run("join", ours.address + ":8301").returncode != 0
    assert wrong.run("join", ours.address + ":8301").returncode != 0
    assert "Encryption is configured but remote state is not encrypted" in ours.log()
    assert "No installed keys could decrypt the message" in ours.log()
    assert ours.alive() == ["g1"] and list(plain.members()) == ["s1"] and list(wrong.members()) == ["s2"]


@needs_serf
def test_a_wrong_key_given_once_is_not_kept(make):
    """F49: the key of the configuration is stored when somebody was met who has it; a wrong one is put right where it is."""
    serf = make(Serf, "s1", args=["-encrypt=" + KEYS[0]]).start()
    ours = make(Gossipd, "g1", config={"encrypt": KEYS[1], "retry_join": [serf.address], "retry_interval": "1s"}).start()
    path = ours.directory / "data/gossipd/local.keyring"
    wait_until(lambda: "join-failed" in ours.log())
    ours.kill()
    assert not path.exists()
    ours.config["encrypt"] = KEYS[0]
    ours.start()
    wait_until(lambda: ours.alive() == ["g1", "s1"])
    wait_until(path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == [KEYS[0]]
    ours.kill()
    ours.config["encrypt"] = KEYS[2]        # now the file is right, and the configuration is told so
    ours.start()
    wait_until(lambda: ours.alive() == ["g1", "s1"])
    assert "key-unused" in ours.log()


def test_a_key_that_is_none_is_not_stored(make):
    ours = make(Gossipd, "g1", config={"encrypt": base64.b64encode(b"short").decode()})
    with pytest.raises(AssertionError):
        ours.start()
    assert not (ours.directory / "data/gossipd/local.keyring").exists()


@needs_serf
def test_keys_are_changed_by_us_and_by_them(make, make_node, tmp_path):
    """[38]"""
    keyring = tmp_path / "serf.keyring"
    keyring.write_text(json.dumps([KEYS[0]]))
    node = make_node(config={"encrypt": KEYS[0]}).start()
    serf = make(Serf, "s1", args=["-keyring-file=" + str(keyring)]).start()
    assert serf.run("join", node.address + ":8301").returncode == 0
    status_is(node, "s1", ALIVE)
    out = node.muster("keyring", "-list")
    assert out.returncode == 0 and "  %s [2/2]" % KEYS[0] in out.stdout and "[1/1]" in out.stdout, out
    for action in ("-install", "-use"):
        assert node.muster("keyring", action, KEYS[1]).returncode == 0
    assert json.loads(keyring.read_text())[0] == KEYS[1]
    assert json.loads((node.data_dir / "gossipd/local.keyring").read_text())[0] == KEYS[1]
    out = node.muster("keyring", "-remove", KEYS[1])
    assert out.returncode == 1 and "s1: Removing the primary key is not allowed" in out.stderr, out
    assert node.muster("keyring", "-remove", KEYS[0]).returncode == 0
    assert json.loads(keyring.read_text()) == [KEYS[1]]
    for action in ("-install", "-use"):
        assert serf.run("keys", action, KEYS[2]).returncode == 0
    assert serf.run("keys", "-remove", KEYS[1]).returncode == 0
    assert b"2/2" in serf.run("keys", "-list").stdout
    assert json.loads((node.data_dir / "gossipd/local.keyring").read_text()) == [KEYS[2]]
    assert node.put("/v1/event/fire/after", "x").status == 200
    wait_until(lambda: "consul:event:after" in serf.seen())
    assert node.muster("keyring", "-list-primary").stdout.count(KEYS[2]) == 1


def test_keyring_without_encryption(shared_node):
    out = shared_node.muster("keyring", "-list")
    assert out.returncode == 1 and "keyring is empty" in out.stderr.lower(), out


# ---- Consul's own agents ----

@needs_consul
def test_consul_client_in_our_pool(make, make_node):
    """[50]"""
    node = make_node().start()
    consul = make(Consul, "c1", args=["-retry-join=" + node.address]).start()
    status_is(node, "c1", ALIVE)
    assert member(node, "c1")["Tags"]["role"] == "node"
    row = wait_until(lambda: consul.members().get("n1"))
    assert row[1:7] == [node.address + ":8301", "alive", "server", "1.8.7", "2", "dc1"]
    assert node.put("/v1/event/fire/deploy", "payload").status == 200
    events = wait_until(lambda: json.loads(get(consul.address, "/v1/event/list")))
    assert [(e["Name"], base64.b64decode(e["Payload"])) for e in events] == [("deploy", b"payload")]
    assert consul.run("leave").returncode == 0
    status_is(node, "c1", LEFT)


@needs_consul
def test_we_in_the_pool_of_a_consul_server(make):
    """[50]"""
    server = make(Consul, "c1", args=["-server", "-bootstrap"]).start()
    ours = make(Gossipd, "g1", config={"start_join": [server.address]}).start()
    wait_until(lambda: ours.alive() == ["c1", "g1"])
    row = wait_until(lambda: server.members().get("g1"))
    assert row[2:4] == ["alive", "client"]

    def fired():
        return server.run("event", "-name=hey", "there").returncode == 0
    wait_until(fired)
    wait_until(lambda: [e["name"] for e in ours.dump()["events"]])
    assert ours.members()["c1"]["tags"]["role"] == "consul"


@needs_consul
def test_another_data_centre_is_refused(make, make_node):
    """[50]"""
    node = make_node().start()
    consul = make(Consul, "c1", args=["-datacenter=dc2"]).start()
    answer = node.put("/v1/agent/join/" + consul.address)
    assert answer.status == 500 and "part of wrong datacenter 'dc2'" in answer.text
    assert member(node, "c1") is None


@needs_consul
def test_wan_pool_of_two_servers(make, make_node):
    node = make_node().start()
    consul = make(Consul, "c1", args=["-server", "-bootstrap", "-datacenter=dc2"]).start()
    answer = node.put("/v1/agent/join/%s?wan=1" % consul.address)
    assert answer.status == 200, answer.text

    def wan():
        return sorted(m["Name"] for m in node.json("/v1/agent/members?wan=1") if m["Status"] == ALIVE)
    wait_until(lambda: wan() == ["c1.dc2", "n1.dc1"])
    wait_until(lambda: "n1.dc1" in consul.run("members", "-wan").stdout)


# ---- many ----

@needs_serf
def test_ten_of_ours_and_ten_of_theirs_are_stable(make):
    ours = [make(Gossipd, "g%d" % i).start() for i in range(10)]
    theirs = [make(Serf, "s%d" % i).start() for i in range(10)]
    for s in theirs:
        assert s.run("join", ours[0].address + ":8301").returncode == 0
    for g in ours[1:]:
        assert theirs[0].run("join", g.address + ":8301").returncode == 0
    names = sorted(["g%d" % i for i in range(10)] + ["s%d" % i for i in range(10)])
    for g in ours:
        wait_until(lambda g=g: g.alive() == names, 60, g.name + " sees all")
    for s in theirs:
        wait_until(lambda s=s: sorted(n for n, m in s.members().items() if m["status"] == "alive") == names, 60)
    assert theirs[3].run("event", "all", "x").returncode == 0
    for s in theirs:
        wait_until(lambda s=s: "user all x" in s.seen(), 30, s.name + " has the event")
    for g in ours:
        wait_until(lambda g=g: g.control("status")["detail"]["event_time"] >= 2, 30, g.name + " has the event")
        assert "member-failed" not in g.log()
    for s in theirs:
        assert "EventMemberFailed" not in s.log()


def get(address, path):
    import http.client
    connection = http.client.HTTPConnection(address, 8500, timeout=10)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body
