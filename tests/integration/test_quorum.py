# SPDX-License-Identifier: Apache-2.0
"""Several servers as one: every server answers alike, and goes on doing so whatever happens to some of them."""
import os
import signal
import threading
import time

import pytest

from cluster import Cluster
from load import Load
from node import DAEMONS, wait_until

LOCK = {"Node": "outside", "TTL": "", "LockDelay": "0s", "Checks": []}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three servers; each test leaves all of them running."""
    cluster = Cluster(tmp_path_factory.mktemp("three"), 3).start()
    cluster.nodes[0].put("/v1/catalog/register", {"Node": "outside", "Address": "192.0.2.1"})
    yield cluster
    cluster.cleanup()


@pytest.fixture
def make_cluster(tmp_path):
    made = []

    def make(size, config=None):
        made.append(Cluster(tmp_path / ("c%d" % len(made)), size, config))
        return made[-1]
    yield make
    for cluster in made:
        cluster.cleanup()


def kv(node, key, query=""):
    answer = node.get("/v1/kv/%s?raw%s" % (key, query))
    return answer.text if answer.status == 200 else answer.status


def settle(cluster):
    """Everybody is there and up to date."""
    cluster.leader()
    for node in cluster.alive():
        node.wait_member(len(cluster.nodes))


def test_every_server_answers_alike(three):
    for number, writer in enumerate(three.nodes):
        assert writer.put("/v1/kv/alike", str(number)).text == "true"
        for reader in three.nodes:
            assert kv(reader, "alike") == str(number)
            assert kv(reader, "alike", "&consistent") == str(number)
            wait_until(lambda r=reader, n=number: kv(r, "alike", "&stale") == str(n))
    leader = three.leader()
    address = leader.address + ":8300"
    for node in three.nodes:
        assert node.json("/v1/status/leader") == address
        assert sorted(node.json("/v1/status/peers")) == sorted(n.address + ":8300" for n in three.nodes)
        servers = node.json("/v1/operator/raft/configuration")["Servers"]
        assert {s["Address"]: s["Leader"] for s in servers} == {
            n.address + ":8300": n is leader for n in three.nodes}
        headers = node.get("/v1/catalog/nodes").headers
        assert (headers["X-Consul-KnownLeader"], headers["X-Consul-LastContact"],
                headers["X-Consul-Effective-Consistency"]) == ("true", "0", "leader")
        headers = node.get("/v1/catalog/nodes?stale").headers
        assert headers["X-Consul-KnownLeader"] == "true" and int(headers["X-Consul-LastContact"]) < 5000
        assert headers["X-Consul-Effective-Consistency"] == "stale"
        stats = node.json("/v1/agent/self")["Stats"]
        assert stats["raft"]["state"] == ("Leader" if node is leader else "Follower")
        assert stats["consul"]["leader_addr"] == address
        assert stats["raft"]["num_peers"] == "2"
    reading = three.nodes[0].put("/v1/txn", [{"KV": {"Verb": "get", "Key": "alike"}}]).json()
    assert reading["Results"][0]["KV"]["Value"] == "Mg=="


def test_what_only_the_leader_does(three):
    follower = three.followers()[0]
    session = follower.put("/v1/session/create", dict(LOCK, TTL="10s")).json()["ID"]
    for node in three.nodes:
        renewed = node.put("/v1/session/renew/" + session)
        assert renewed.status == 200 and renewed.json()[0]["ID"] == session
    assert follower.put("/v1/session/renew/" + session.replace(session[:8], "00000000")).status == 404
    health = [n.get("/v1/operator/autopilot/health") for n in three.nodes]
    assert all(len(h.json()["Servers"]) == 3 for h in health)
    wait_until(lambda: follower.get("/v1/operator/autopilot/health").json()["FailureTolerance"] == 1)
    unknown = follower.delete("/v1/operator/raft/peer?id=00000000-0000-0000-0000-000000000000")
    assert unknown.status == 500
    assert unknown.text == 'id "00000000-0000-0000-0000-000000000000" was not found in the Raft configuration'
    # The port for other nodes serves nothing of an agent's own, and what nobody has counted goes no further.
    for path, status, text in (("/v1/agent/self", 403, "This port is for other nodes"),
                               ("/v1/operator/autopilot/health", 500, "No cluster leader")):
        raw = http_on(follower, 8310, path)
        assert (raw[0], raw[1]) == (status, text)


def http_on(node, port, path):
    import http.client
    connection = http.client.HTTPConnection(node.address, port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_autopilot_configuration(three):
    first, second = three.nodes[:2]
    before = first.json("/v1/operator/autopilot/configuration")
    assert (before["MaxTrailingLogs"], before["LastContactThreshold"]) == (250, "200ms")
    assert second.put("/v1/operator/autopilot/configuration?cas=%d" % (before["ModifyIndex"] + 1), before).text == "false"
    wrong = second.put("/v1/operator/autopilot/configuration", {"MaxTrailingLogs": -1})
    assert wrong.status == 400 and wrong.text.startswith("Bad request: Error parsing autopilot config: json: cannot")
    done = second.muster("operator", "autopilot", "set-config", "-max-trailing-logs=300", "-last-contact-threshold=2s")
    assert (done.returncode, done.stdout) == (0, "Configuration updated!\n")
    out = first.muster("operator", "autopilot", "get-config").stdout
    assert "CleanupDeadServers = true\nLastContactThreshold = 2s\nMaxTrailingLogs = 300\n" in out
    after = first.json("/v1/operator/autopilot/configuration")
    assert after["CreateIndex"] == before["CreateIndex"] and after["ModifyIndex"] > before["ModifyIndex"]


def test_commands(three):
    out = three.nodes[0].muster("operator", "raft", "list-peers").stdout.split("\n")
    assert out[0].split() == ["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]
    assert sorted(line.split()[3] for line in out[1:4]) == ["follower", "follower", "leader"]
    assert three.nodes[0].muster("operator", "raft", "remove-peer").stderr == (
        "Error removing peer: an address or id is required for the peer to remove\n")
    state = three.nodes[1].muster("operator", "autopilot", "state").stdout
    assert "Failure Tolerance: 1\n" in state and state.count("Status:          voter") == 2
    leader, wanted = three.leader(), three.followers()[0]
    ident = wanted.json("/v1/agent/self")["Config"]["NodeID"]
    done = three.followers()[1].muster("operator", "raft", "transfer-leader", "-id=" + ident)
    assert (done.returncode, done.stdout) == (0, "Success\n"), done.stderr
    wait_until(lambda: three.leader() is wanted)
    assert leader.json("/v1/status/leader") == wanted.address + ":8300"


def test_blocking_queries_on_followers(three):
    follower, writer = three.followers()
    follower.put("/v1/kv/watched", "0")
    index = follower.get("/v1/kv/watched").index
    answers = []

    def wait():
        answers.append(follower.get("/v1/kv/watched?wait=20s&index=%d" % index))
    thread = threading.Thread(target=wait)
    thread.start()
    held = wait_until(lambda: follower.control("httpd", "status")["detail"]["waiting"] == 1)
    wakes = follower.control("httpd", "status")["detail"]["wakes"]
    for n in range(20):
        writer.put("/v1/kv/other%d" % n, "x")
    wait_until(lambda: kv(follower, "other19", "&stale") == "x")
    assert held and not answers and follower.control("httpd", "status")["detail"]["wakes"] == wakes
    writer.put("/v1/kv/watched", "1")
    thread.join(10)
    assert answers and answers[0].index > index and answers[0].json()[0]["Value"] == "MQ=="


def stop_leader_raftd(cluster):
    leader = cluster.leader()
    old = leader.kill("raftd")
    leader.wait_restarted("raftd", old)


def kill_leader(cluster):
    leader = cluster.leader()
    leader.stop(signal.SIGKILL)
    wait_until(lambda: cluster.leader() is not leader)
    leader.start(wait=False)


def freeze_leader(cluster):
    leader = cluster.leader()
    pids = list(leader.pids().values())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    others = [n for n in cluster.nodes if n is not leader]
    try:
        cluster.leader(others)
        for node in others:
            assert node.put("/v1/kv/thawed", "1").text == "true"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert kv(leader, "thawed") == "1"  # not what it knew before


@pytest.mark.parametrize("harm", [stop_leader_raftd, kill_leader, freeze_leader])
def test_load_while(three, harm):
    with Load(three.nodes) as load:
        load.progress()
        harm(three)
        settle(three)
        load.progress()
    load.check(three.nodes[0])


def test_load_through_a_rolling_restart(three):
    """Every daemon of every server, one after the other: nothing is refused."""
    with Load(three.nodes) as load:
        load.progress(20)
        for node in three.nodes:
            for daemon in DAEMONS:
                old = node.kill(daemon, signal.SIGTERM)
                node.wait_restarted(daemon, old)
        load.progress(20)
    load.check(three.nodes[1])
    refused = [e for e in load.errors if "No cluster leader" in e or " 500 " in e]
    assert not refused, refused[:3]


def test_whole_cluster_stops_and_starts(three):
    three.nodes[0].put("/v1/kv/kept", "through the night")
    for node in three.nodes:
        node.process.send_signal(signal.SIGTERM)
    for node in three.nodes:
        node.stop()
    # One alone is no quorum: no answer rather than an old one, in every mode. (The page in the run directory is gone as
    # after a restart of the machine; what is a few seconds old may be shown as stale.)
    (three.nodes[0].run_dir / "catalogd" / "page").unlink()
    alone = three.nodes[0]
    alone.config = {"performance": {"rpc_hold_timeout": "1s"}}
    alone.start(wait=False)
    wait_until(lambda: alone.get("/v1/status/leader", timeout=5).status == 200, 20)
    for query in ("&stale", ""):
        assert kv(alone, "kept", query) == 500
    for node in three.nodes[1:]:
        node.start(wait=False)
    settle(three)
    for node in three.nodes:
        assert kv(node, "kept") == "through the night"


def test_sessions_across_an_election(three):
    leader, follower = three.leader(), three.followers()[0]
    ttl_s = 4
    renewed = follower.put("/v1/session/create", dict(LOCK, TTL="%ds" % ttl_s)).json()["ID"]
    left = follower.put("/v1/session/create", dict(LOCK, TTL="%ds" % ttl_s, LockDelay="1s")).json()["ID"]
    other = follower.put("/v1/session/create", LOCK).json()["ID"]
    assert follower.put("/v1/kv/held?acquire=" + left, "a").text == "true"
    time.sleep(1)
    before = time.monotonic()
    leader.kill("raftd")
    wait_until(lambda: three.leader() is not leader, 10)

    def is_there(session):
        return bool(follower.json("/v1/session/info/" + session))

    def gone():
        assert follower.put("/v1/session/renew/" + renewed).status == 200
        return not is_there(left)
    wait_until(gone, 4 * ttl_s, pause_s=0.1)
    lasted = time.monotonic() - before
    assert ttl_s <= lasted < 1.6 * ttl_s + 2, lasted  # all of it again, from the election on
    assert is_there(renewed)
    assert follower.put("/v1/kv/held?acquire=" + other, "b").text == "false"  # lock-delay
    wait_until(lambda: follower.put("/v1/kv/held?acquire=" + other, "b").text == "true", 10)
    for session in (renewed, other):
        follower.put("/v1/session/destroy/" + session)
    settle(three)


def test_a_follower_is_brought_back_by_a_snapshot(make_cluster):
    cluster = make_cluster(3, {"raft_snapshot_threshold": 50, "raft_snapshot_interval": "1s",
                               "raft_trailing_logs": 10}).start()
    away = cluster.followers()[0]
    others = [n for n in cluster.nodes if n is not away]
    others[0].put("/v1/kv/seen", "0")
    index = away.get("/v1/kv/seen").index
    away.stop()
    for n in range(150):
        others[n % 2].put("/v1/kv/many/%d" % n, "x" * 30000)
    others[0].put("/v1/kv/seen", "1")

    def compacted():
        return all(n.control("raftd", "status")["detail"]["first_index"] > index + 20 for n in others)
    wait_until(compacted, 20, "compaction")
    away.start(wait=False)
    away.wait_member(3)
    assert kv(away, "seen", "&stale") == "1"
    assert "snapshot-arrived" in away.log() and "snapshot-loaded" in away.log()

    def same():
        others[0].get("/v1/kv/seen?consistent")
        statuses = [n.control("catalogd", "dump") for n in cluster.nodes]
        return len({s["dump"]["digest"] for s in statuses}) == 1
    wait_until(same, 10, "equal states")
    assert away.put("/v1/kv/seen", "2").text == "true"


def test_servers_come_go_and_move(make_cluster):
    cluster = make_cluster(3, {"autopilot": {"server_stabilization_time": "1s"}}).start()
    cluster.nodes[0].put("/v1/kv/k", "v")
    fourth = cluster.add("s4").start(wait=False)
    fourth.wait_member(4)
    assert kv(fourth, "k") == "v"

    def voters():
        return {s["Node"]: s["Voter"] for s in cluster.nodes[0].json("/v1/operator/raft/configuration")["Servers"]}
    wait_until(lambda: voters() == {"s1": True, "s2": True, "s3": True, "s4": True}, 20, "a fourth voter")
    # One of the first dies for good and is replaced: the dead one is cleaned up.
    dead = cluster.followers()[0]
    dead.stop(signal.SIGKILL)
    cluster.nodes.remove(dead)
    cluster.add("s5").start(wait=False)
    names = {n.name for n in cluster.nodes}
    watcher = cluster.nodes[-1]

    def replaced():
        servers = watcher.json("/v1/operator/raft/configuration")["Servers"]
        return {s["Node"] for s in servers} == names and all(s["Voter"] for s in servers)
    wait_until(replaced, 30, "the replacement")
    # Removed by hand.
    gone = [n for n in cluster.followers() if n is not watcher][0]
    ident = gone.json("/v1/agent/self")["Config"]["NodeID"]
    assert watcher.muster("operator", "raft", "remove-peer", "-id=" + ident).stdout == (
        'Removed peer with id "%s"\n' % ident)
    gone.stop()
    cluster.nodes.remove(gone)
    assert len(watcher.json("/v1/status/peers")) == 3
    # A server comes back with another address.
    moved = [n for n in cluster.followers() if n is not watcher][0]
    moved.stop()
    old, moved.address = moved.address, cluster.add("unused").address
    cluster.nodes.pop()
    watcher.put("/v1/kv/k", "w")
    moved.start(wait=False)
    wait_until(lambda: kv(moved, "k") == "w", 20, "the moved server")
    wait_until(lambda: old + ":8300" not in watcher.json("/v1/status/peers"), 20)


def test_recovery_from_a_lost_quorum(make_cluster):
    cluster = make_cluster(3, {"performance": {"rpc_hold_timeout": "2s"}}).start()
    cluster.nodes[0].put("/v1/kv/k", "v")
    last = cluster.nodes[2]
    assert kv(last, "k") == "v"
    ident = last.json("/v1/agent/self")["Config"]["NodeID"]
    for node in cluster.nodes[:2]:
        node.stop(signal.SIGKILL)
    # Another key: who led when the others died may have it in its log, and a recovery keeps the whole log.
    wait_until(lambda: last.put("/v1/kv/other", "w", timeout=20).text == "No cluster leader", 20)
    server = "-server=%s@%s:8300" % (ident, last.address)
    shown = last.muster("operator", "raft", "recover", "-data-dir=%s" % last.data_dir, server)
    assert shown.returncode == 0 and ident in shown.stdout and "Nothing was written" in shown.stdout
    assert not (last.data_dir / "raft" / "peers.json").exists()
    done = last.muster("operator", "raft", "recover", "-data-dir=%s" % last.data_dir, server, "-confirm")
    assert done.returncode == 0, done.stderr
    last.wait_restarted("raftd", last.kill("raftd", signal.SIGTERM))
    wait_until(lambda: kv(last, "k") == "v", 20)
    assert last.put("/v1/kv/k", "w").text == "true"
    assert len(last.json("/v1/status/peers")) == 1


def test_five_servers_lose_two(make_cluster):
    cluster = make_cluster(5).start()
    with Load(cluster.nodes, per_node=1) as load:
        load.progress(10)
        leader = cluster.leader()
        victims = [leader, cluster.followers()[0]]
        for node in victims:
            node.stop(signal.SIGKILL)
        left = cluster.alive()
        cluster.leader(left)
        load.progress(20, left)
        for node in victims:
            node.start(wait=False)
        settle(cluster)
        load.progress(10)
    load.check(cluster.nodes[4])
