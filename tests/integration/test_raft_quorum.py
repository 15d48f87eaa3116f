# SPDX-License-Identifier: Apache-2.0
"""Several servers as one quorum, seen through raftd's status and the HTTP API: elections, replication, forwarded writes,
losses and returns of servers, restarts, recovery."""
import json
import random
import shutil
import signal
import socket
import struct
import threading
import time

import pytest

from cluster import Cluster
from node import free_address, wait_until


@pytest.fixture
def make_cluster(tmp_path):
    made = []

    def make(count=3, **options):
        made.append(Cluster(tmp_path / ("c%d" % len(made)), count, **options))
        return made[-1]
    yield make
    for cluster in made:
        cluster.cleanup()


@pytest.fixture
def three(make_cluster):
    return make_cluster(3).start()


def put(server, key, value="x", limit_s=20):
    """A write that is tried until it is acknowledged."""
    return wait_until(lambda: server.put("/v1/kv/" + key, body=value).body == b"true", limit_s, "put of " + key)


def has(server, key, value="x"):
    return server.get("/v1/kv/%s?raw&stale" % key).body == value.encode()


class Load(threading.Thread):
    """Writes numbered keys through any of the servers and remembers which were acknowledged."""

    def __init__(self, cluster, name):
        super().__init__(daemon=True)
        self.cluster, self.name_of_keys = cluster, name
        self.acknowledged = []
        self.longest_s = 0
        self.ending = False

    def run(self):
        number, since = 0, time.monotonic()
        while not self.ending:
            key = "load/%s-%05d" % (self.name_of_keys, number)
            try:
                if random.choice(self.cluster.alive()).put("/v1/kv/" + key, body="x", timeout=10).body == b"true":
                    self.acknowledged.append(key)
                    self.longest_s = max(self.longest_s, time.monotonic() - since)
                    number, since = number + 1, time.monotonic()
            except (OSError, IndexError, ValueError):
                time.sleep(0.02)

    def end(self):
        self.ending = True
        self.join(30)
        assert self.acknowledged
        return self.acknowledged


def check_all_there(cluster, keys):
    cluster.wait_settled()
    for server in cluster.alive():
        def complete(asked=server):
            answer = asked.get("/v1/kv/load/?keys&stale")
            return answer.status == 200 and not set(keys) - set(answer.json())
        wait_until(complete, what="every acknowledged key at " + server.name)


def test_elects_and_replicates(three):
    leader = three.wait_agreed()
    raft = leader.raft()
    assert raft["servers"] == raft["voters"] == 3
    for server in three.nodes:
        put(server, "from-" + server.name)
    three.wait_settled()
    for server in three.nodes:
        for other in three.nodes:
            wait_until(lambda s=server, o=other: has(s, "from-" + o.name), what="replication")
    for other in three.followers():
        peer = leader.peer_of(other)
        assert peer["connected"] and peer["state"] == "pipeline"
        wait_until(lambda o=other: leader.peer_of(o)["match"] == leader.raft()["last_index"], what="match")
    assert all(s.control("raftd", "status")["waits_for"] == "" for s in three.nodes)


def test_five_servers_lose_two(make_cluster):
    cluster = make_cluster(5).start()
    assert cluster.wait_agreed().raft()["voters"] == 5
    cluster.wait_agreed().crash()
    cluster.wait_agreed().crash()
    put(cluster.wait_agreed(), "with-three")
    put(cluster.followers()[0], "through-a-follower")
    cluster.wait_settled()


def test_leader_killed(three):
    load = Load(three, "a")
    load.start()
    wait_until(lambda: len(load.acknowledged) > 20)
    old = three.wait_agreed()
    term = old.raft()["term"]
    old.crash()
    killed = time.monotonic()
    new = three.wait_agreed()
    assert time.monotonic() - killed < 5  # most of it is asking; about an election timeout on an idle machine
    assert new.raft()["term"] > term
    seen = len(load.acknowledged)
    wait_until(lambda: len(load.acknowledged) > seen + 20, what="writes go on")
    old.start(wait=False)
    three.wait_caught_up(old)
    check_all_there(three, load.end())


def test_without_majority(three):
    leader = three.wait_agreed()
    for server in three.followers():
        server.crash()
    wait_until(lambda: leader.raft().get("state") != "Leader", what="the leader gives up")
    wait_until(lambda: leader.control("raftd", "status")["waits_for"] == "quorum")
    assert leader.raft()["leader_address"] == ""
    for server in three.nodes:
        if server is not leader:
            server.start(wait=False)
    three.wait_settled()
    put(leader, "again")


def test_all_restarted_at_once(three):
    put(three.wait_agreed(), "before")
    three.wait_settled()
    terms = [s.raft()["term"] for s in three.nodes]
    for server in three.nodes:
        server.crash()
    for server in three.nodes:
        server.start(wait=False)
    leader = three.wait_settled()
    assert leader.raft()["term"] > max(terms)
    assert leader.raft()["voters"] == 3
    for server in three.nodes:
        wait_until(lambda s=server: has(s, "before"), what="what was written")


def test_rolling_restart_under_load(three):
    loads = [Load(three, name) for name in "ab"]
    for load in loads:
        load.start()
    for server in list(three.nodes):
        seen = [len(load.acknowledged) for load in loads]
        assert server.stop() in (0, 1)
        wait_until(lambda: all(len(l.acknowledged) > n + 5 for l, n in zip(loads, seen)), what="writes with two")
        server.start(wait=False)
        three.wait_caught_up(server)
    check_all_there(three, [key for load in loads for key in load.end()])


def test_stopped_leader_hands_over(three):
    leader = three.wait_agreed()
    others = three.followers()
    term = leader.raft()["term"]
    old = leader.kill("raftd", signal.SIGTERM)
    wait_until(lambda: any(s.raft().get("state") == "Leader" for s in others), 5, "a new leader")
    assert "handed over" in leader.log()
    leader.wait_restarted("raftd", old)
    three.wait_settled()
    # who was given the word asked for one election, which it won
    assert three.wait_agreed().raft()["term"] == term + 1


def test_server_with_another_address(three):
    put(three.wait_agreed(), "before")
    moved = three.followers()[0]
    identity = moved.raft()["id"]
    moved.stop()
    moved.address = free_address()
    moved.start(wait=False)
    leader = three.wait_agreed()
    put(leader, "after")
    wait_until(lambda: moved.raft().get("commit_index") == leader.raft()["commit_index"] and has(moved, "after"), 20,
               "the server at its new address follows")
    assert moved.raft()["id"] == identity
    assert leader.peer_of(moved)["address"] == moved.address + ":8300"


def test_all_with_other_addresses(three):
    """They find each other by the addresses they are told to join, and by their ids."""
    put(three.wait_agreed(), "before")
    three.wait_settled()
    for server in three.nodes:
        server.stop()
    addresses = [free_address() for _ in three.nodes]
    for server, address in zip(three.nodes, addresses):
        server.address = address
        server.join = addresses
    for server in three.nodes:
        server.start(wait=False)
    leader = three.wait_settled()
    put(leader, "after")
    assert leader.raft()["servers"] == 3


def test_fourth_server_waits_to_be_added(three):
    """A server that no configuration names says hello to the leader and changes nothing by itself."""
    leader = three.wait_agreed()
    fourth = three.add(expect=3)
    fourth.start(wait=False)
    wait_until(lambda: leader.peer_of(fourth).get("connected"), 20, "the leader hears of it")
    wait_until(lambda: "there is a cluster" in fourth.log() or fourth.raft()["servers"] > 0, what="it knows its place")
    assert leader.raft()["voters"] >= 3 and leader.raft()["state"] == "Leader"


def test_expectations_that_differ(make_cluster):
    cluster = make_cluster(3)
    cluster.nodes[2].expect = 5
    for server in cluster.nodes:
        server.start(wait=False)
    wait_until(lambda: all("another bootstrap_expect" in s.log() for s in cluster.nodes), 20, "all say so")
    assert all(s.raft()["servers"] == 0 for s in cluster.nodes)
    cluster.nodes[2].stop()
    cluster.nodes[2].expect = 3
    cluster.nodes[2].start(wait=False)
    cluster.wait_settled()


def test_waits_for_the_last_one(make_cluster):
    cluster = make_cluster(3)
    for server in cluster.nodes[:2]:
        server.start(wait=False)
    wait_until(lambda: all('servers=2 bootstrap_expect=3 state="too few' in s.log() for s in cluster.nodes[:2]), 20)
    assert all(s.control("raftd", "status")["waits_for"] == "bootstrap" for s in cluster.nodes[:2])
    cluster.nodes[2].start(wait=False)
    cluster.wait_settled()


def test_recovery_from_lost_majority(three):
    """raft/peers.json makes a quorum of what is left."""
    put(three.wait_agreed(), "kept")
    three.wait_settled()
    left, *lost = three.nodes
    identity = left.raft()["id"]
    for server in three.nodes:
        server.stop()
    for server in lost:
        shutil.rmtree(server.data_dir)
    peers = left.data_dir / "raft" / "peers.json"
    peers.write_text(json.dumps([{"id": identity, "address": left.address + ":8300", "non_voter": False}]))
    left.start(wait=False)
    wait_until(lambda: left.raft().get("state") == "Leader", 20, "it leads alone")
    assert left.raft()["servers"] == 1
    assert not peers.exists() and peers.with_suffix(".json.applied").exists()
    put(left, "new")
    assert has(left, "kept")
    left.stop()
    left.start(wait=False)
    wait_until(lambda: left.raft().get("state") == "Leader", 20, "and again, by its log")


def test_damaged_peers_json_is_refused(three):
    server = three.followers()[0]
    server.stop()
    (server.data_dir / "raft" / "peers.json").write_text('[{"id": "nonsense", "address": "1.2.3.4:8300"}]')
    server.start(wait=False)
    wait_until(lambda: "log-refused" in server.log() and "nonsense" in server.log(), 20, "the refusal")


def test_port_in_use(make_cluster):
    cluster = make_cluster(1)
    server = cluster.nodes[0]
    with socket.create_server((server.address, 8300)):
        server.start(wait=False)
        server.process.wait(20)
    assert server.process.returncode != 0
    assert "%s:8300: bind: address already in use" % server.address in server.log()


def frame(number, payload, checksum=0):
    body = struct.pack("<H", number) + payload
    return struct.pack("<II", len(body), checksum) + body


def test_strangers_are_dropped(three):
    """Whatever comes in on the port ends its own connection and nothing else."""
    server = three.followers()[0]
    garbage = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 64, b"\xff" * 64, frame(3, b"no hello"), frame(1, b"x", 1),
               struct.pack("<II", 1 << 31, 0) + b"x" * 1000, struct.pack("<II", 8000, 0)]
    before = server.raft()
    for data in garbage:
        with socket.create_connection((server.address, 8300), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            try:
                assert connection.recv(100) == b""
            except ConnectionResetError:
                pass
    held = []
    for _ in range(200):  # more than it accepts
        try:
            held.append(socket.create_connection((server.address, 8300), timeout=10))
        except OSError:
            break
    wait_until(lambda: server.raft()["connections"]["refused"] > 0, what="refused connections")
    put(server, "goes-on")
    for connection in held:
        connection.close()
    after = server.raft()
    assert after["term"] == before["term"]
    assert after["connections"]["broken"] >= before["connections"]["broken"] + len(garbage)


def test_follower_that_hangs(three):
    """Who does not read holds nobody up, and catches up later."""
    slow = three.followers()[0]
    pid = slow.kill("raftd", signal.SIGSTOP)
    leader = three.nodes[0] if three.nodes[0] is not slow else three.nodes[1]
    for number in range(40):
        put(leader, "big-%d" % number, "x" * 400000)
    slow.kill("raftd", signal.SIGCONT)
    assert slow.pid_of("raftd") == pid
    three.wait_settled()
    wait_until(lambda: has(slow, "big-39", "x" * 400000), what="the last one at the slow one")


SNAPSHOT_SOON = {"raft_snapshot_threshold": 20, "raft_snapshot_interval": "1s", "raft_trailing_logs": 5}
BIG = "b" * 400000


def outrun(cluster, server):
    """Writes until the leader's log begins behind what this server, which is away, has."""
    leader = cluster.wait_agreed()
    last = leader.peer_of(server).get("match") or leader.raft()["last_index"]
    for number in range(200):
        put(leader, "outrun/%03d" % number, BIG if number < 12 else "x")
        if number > 20 and leader.raft()["first_index"] > last + 1:
            return number
    raise AssertionError("the log was not cut: %r" % leader.raft())


def test_snapshot_for_who_is_too_far_behind(make_cluster):
    cluster = make_cluster(3, config=SNAPSHOT_SOON).start()
    away = cluster.followers()[0]
    put(cluster.wait_agreed(), "early")
    cluster.wait_settled()
    away.crash()
    last = outrun(cluster, away)
    away.start(wait=False)
    cluster.wait_caught_up(away, 60)
    assert "snapshot-installed" in away.log()
    assert "snapshot-sent" in cluster.wait_agreed().log()
    for key, value in (("early", "x"), ("outrun/000", BIG), ("outrun/%03d" % last, "x")):
        wait_until(lambda k=key, v=value: has(away, k, v), what=key + " at the one that was away")
    put(cluster.wait_agreed(), "later")
    wait_until(lambda: has(away, "later"), what="entries behind the snapshot")
    away.stop()
    away.start(wait=False)
    cluster.wait_settled()
    wait_until(lambda: has(away, "early") and has(away, "later"), what="the same after a restart")


def test_snapshot_goes_on_after_deaths(make_cluster):
    """Sender and receiver are killed while one is on its way."""
    cluster = make_cluster(3, config=SNAPSHOT_SOON).start()
    away = cluster.followers()[0]
    away.crash()
    last = outrun(cluster, away)
    away.start(wait=False)
    for daemon in ("raftd", "catalogd", "raftd"):
        away.wait_restarted(daemon, away.kill(daemon))
    leader = cluster.wait_agreed()
    leader.wait_restarted("raftd", leader.kill("raftd"))
    cluster.wait_caught_up(away, 60)
    wait_until(lambda: has(away, "outrun/%03d" % last) and has(away, "outrun/000", BIG), 20, "all keys")
    cluster.wait_settled()
