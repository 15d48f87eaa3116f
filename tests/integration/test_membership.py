# SPDX-License-Identifier: Apache-2.0
"""Membership: gossip founds the cluster, one address is enough to find it, and the catalogue follows the pool."""
import importlib.util
import json
import random
import re
import resource
import shutil
import signal
import threading
import time
import uuid

import pytest

from cluster import Cluster
from node import LIMIT_S, TOP, Node, wait_until
from peers import SERF, Gossipd, Serf

SOON = {"reconnect_timeout": "3s"}


@pytest.fixture
def make_cluster(tmp_path):
    made = []

    def make(size, config=None, name=None):
        made.append(Cluster(tmp_path / (name or "c%d" % len(made)), size, config))
        return made[-1]
    yield make
    for cluster in made:
        cluster.cleanup()


def node_of(server, name):
    return server.json("/v1/catalog/node/" + name)


def health_of(server, name):
    return {c["CheckID"]: c["Status"] for c in server.json("/v1/health/node/" + name)}.get("serfHealth")


def lines(server, event, **fields):
    """What a node has logged under this name."""
    wanted = [" %s=%s" % f for f in fields.items()]
    return [line for line in server.log().split("\n") if " %s " % event in line and all(w in line for w in wanted)]


def knows_of_one(cluster):
    """Every server is told of the first one's gossip address only, which is told of nobody."""
    for node in cluster.nodes:
        node.join = [] if node is cluster.nodes[0] else [cluster.nodes[0].address]
    return cluster


# ---- founding and joining ----

def test_one_gossip_address_is_enough(make_cluster):
    cluster = knows_of_one(make_cluster(3)).start()
    assert len(cluster.nodes[2].json("/v1/status/peers")) == 3
    late = cluster.add(join=[cluster.nodes[1].address + ":8301"]).start(wait=False)
    late.wait_member(4)
    wait_until(lambda: all(s["Voter"] for s in late.json("/v1/operator/raft/configuration")["Servers"]), 60,
               "the fourth votes")
    assert set(node_of(cluster.nodes[0], "s4")["Services"]) == {"consul"}


def test_a_server_joins_by_the_command_alone(make_cluster):
    cluster = knows_of_one(make_cluster(3))
    for node in cluster.nodes:
        node.join = []
        node.start(wait=False)
    wait_until(lambda: all("bootstrap" in n.muster("status").stdout for n in cluster.nodes), what="all wait")
    assert cluster.nodes[0].muster("join", cluster.nodes[1].address).returncode == 0
    joined = cluster.nodes[0].muster("join", "localhost:1", cluster.nodes[2].address)
    assert joined.stdout == "Successfully joined cluster by contacting 1 nodes.\n"
    assert "Error joining address 'localhost:1'" in joined.stderr
    for node in cluster.nodes:
        node.wait_member(3)


def test_servers_go_on_while_gossip_is_away(make_cluster):
    """What raftd knows of the others stays, and a server that comes back finds them."""
    cluster = knows_of_one(make_cluster(3)).start()
    for node in cluster.nodes:
        node.kill("gossipd", signal.SIGSTOP)
    victim = cluster.followers()[0]
    old = victim.kill("raftd")
    victim.wait_restarted("raftd", old)
    assert victim.put("/v1/kv/a", "1").text == "true"
    for node in cluster.nodes:
        node.kill("gossipd", signal.SIGCONT)


def test_names_are_looked_up(make_cluster, tmp_path):
    node = Node(tmp_path / "n", config={"retry_join": ["localhost:1", "no.such.name.invalid"], "retry_max": 2,
                                        "retry_interval": "300ms"})
    node.start(wait=False)
    try:
        # Nobody listens there, and the other name is none: as with Consul, the agent ends.
        assert node.process.wait(60) == 1
    finally:
        node.cleanup()
    assert lines(node, "join-given-up")
    refused = "\n".join(lines(node, "not-joined"))
    assert "Failed to join 127.0.0.1: " in refused
    assert re.search(r"Failed to resolve no.such.name.invalid: lookup no.such.name.invalid: ", refused)


@pytest.mark.parametrize("address, words", [
    ("provider=aws tag_key=x", "joining by cloud provider is not supported"),
    ("{{ GetPrivateIP }}", "templates are not supported here")])
def test_what_cannot_be_looked_up(tmp_path, address, words):
    node = Node(tmp_path / "n", config={"retry_join": [address], "data_dir": "/nowhere"})
    node.write_config()
    out = node.muster("validate", str(node.config_dir))
    assert out.returncode == 1 and words in out.stdout + out.stderr


def test_start_join_that_fails_is_the_end(tmp_path):
    node = Node(tmp_path / "n", config={"start_join": ["127.0.0.1:1"]})
    node.start(wait=False)
    try:
        assert node.process.wait(60) == 1
    finally:
        node.cleanup()
    assert lines(node, "join-given-up")


# ---- identity ----

def test_two_clusters_do_not_mix(make_cluster):
    """The same data centre by name, joined by mistake: the quorums stay what they are, and both say what is wrong."""
    one, two = make_cluster(3, name="one"), make_cluster(3, name="two")
    for number, node in enumerate(two.nodes):
        node.name = "t%d" % (number + 1)
    one.start()
    two.start()
    one.nodes[0].put("/v1/kv/whose", "one")
    two.nodes[0].put("/v1/kv/whose", "two")
    assert one.nodes[0].muster("join", two.nodes[0].address).returncode == 0
    wait_until(lambda: all(len(n.json("/v1/agent/members")) == 6 for n in one.nodes + two.nodes), what="one pool")
    for node in one.nodes + two.nodes:
        wait_until(lambda n=node: len(lines(n, "peer-refused")) >= 3, what="%s says so" % node.name)
    time.sleep(2)  # several looks of both autopilots
    for cluster, word in ((one, "one"), (two, "two")):
        for node in cluster.nodes:
            assert sorted(node.json("/v1/status/peers")) == sorted(n.address + ":8300" for n in cluster.nodes)
            assert node.get("/v1/kv/whose?raw").text == word
            said = lines(node, "peer-refused")
            assert len(said) == 3 and all("it belongs to another cluster" in line for line in said), said


def test_a_server_of_another_cluster_is_not_taken_in(make_cluster):
    """One that was a cluster of its own before: its log is another's."""
    cluster = make_cluster(3).start()
    stranger = cluster.add(join=[])
    stranger.expect = 1
    stranger.start()
    stranger.put("/v1/kv/mine", "1")
    assert stranger.stop() == 1
    stranger.expect = 0
    stranger.join = [cluster.nodes[0].address]
    stranger.start(wait=False)
    wait_until(lambda: lines(stranger, "peer-refused") and lines(cluster.leader(cluster.nodes[:3]), "peer-refused"),
               what="both say so")
    time.sleep(2)
    assert len(cluster.nodes[0].json("/v1/status/peers")) == 3


def test_a_server_that_lost_its_disk(make_cluster):
    """It comes back under its old id with nothing: it is given no vote before it has caught up."""
    cluster = make_cluster(3).start()
    victim = cluster.followers()[0]
    others = [n for n in cluster.nodes if n is not victim]
    victim.crash()
    others[0].put("/v1/kv/kept", "1")
    shutil.rmtree(victim.data_dir / "raft")
    shutil.rmtree(victim.data_dir / "catalogd")
    victim.start(wait=False)
    wait_until(lambda: any(lines(n, "disk-lost") for n in others), what="the leader has noticed")
    victim.wait_member(3)
    wait_until(lambda: victim.get("/v1/kv/kept?raw&stale").text == "1", what="it has caught up")
    wait_until(lambda: all(s["Voter"] for s in others[0].json("/v1/operator/raft/configuration")["Servers"]), 60,
               "it votes again")
    assert sum(len(lines(n, "disk-lost")) for n in others) == 1


def test_recovered_servers_are_another_cluster(make_cluster):
    """Who was thought lost must not bring in what it had."""
    cluster = make_cluster(3).start()
    left, lost = cluster.nodes[0], cluster.nodes[1:]
    for node in cluster.nodes:
        node.crash()
    ident = (left.data_dir / "node-id").read_text().strip()
    (left.data_dir / "raft" / "peers.json").write_text(
        json.dumps([{"id": ident, "address": left.address + ":8300", "non_voter": False}]))
    left.start(wait=False)
    left.wait_member(1)
    left.put("/v1/kv/after", "1")
    for node in lost:
        node.start(wait=False)
    wait_until(lambda: lines(left, "peer-refused"), what="they are refused")
    time.sleep(2)
    assert left.json("/v1/status/peers") == [left.address + ":8300"]
    assert left.get("/v1/kv/after?raw").text == "1"


# ---- leaving ----

def test_a_server_leaves_and_comes_back(make_cluster):
    cluster = make_cluster(3).start()
    leaver = cluster.followers()[0]
    rest = [n for n in cluster.nodes if n is not leaver]
    began = time.monotonic()
    assert leaver.muster("leave").stdout == "Graceful leave complete\n"
    assert leaver.process.wait(LIMIT_S) == 0
    assert time.monotonic() - began < 15
    assert sorted(rest[0].json("/v1/status/peers")) == sorted(n.address + ":8300" for n in rest)
    wait_until(lambda: node_of(rest[0], leaver.name) is None, what="it is out of the catalogue")
    assert not lines(leaver, "leave", reason='"the leader has not removed this server in time"')
    leaver.start(wait=False)
    leaver.wait_member(3)
    wait_until(lambda: set(node_of(rest[0], leaver.name)["Services"]) == {"consul"}, what="it is back")


def test_the_leader_leaves(make_cluster):
    """It takes itself out first, so the others are a quorum of two at once and lose nothing."""
    cluster = make_cluster(3, config={"leave_on_terminate": True}).start()
    leader = cluster.leader()
    rest = [n for n in cluster.nodes if n is not leader]
    rest[0].put("/v1/kv/before", "1")
    assert leader.stop(signal.SIGTERM) == 0
    assert rest[0].put("/v1/kv/after", "1").text == "true"
    assert sorted(rest[0].json("/v1/status/peers")) == sorted(n.address + ":8300" for n in rest)
    assert len(lines(leader, "change", reason='"this server leaves"')) == 1
    second = cluster.leader(rest)
    assert second.muster("leave").returncode == 0
    last = [n for n in rest if n is not second][0]
    last.wait_member(1)
    assert last.get("/v1/kv/before?raw").text == "1" and last.put("/v1/kv/alone", "1").text == "true"
    assert last.muster("leave").returncode == 0


# ---- the catalogue follows the pool ----

CONSUL_TAGS = {"role": "node", "dc": "dc1", "vsn": "2", "vsn_min": "2", "vsn_max": "3", "build": "1.8.7:", "segment": ""}


def serf_client(make, name, ident=None, **options):
    tags = dict(CONSUL_TAGS, id=ident or str(uuid.uuid4()))
    return make(Serf, name, tags=["%s=%s" % t for t in tags.items()], args=["-profile=lan"], **options)


def join(client, node):
    assert client.run("join", node.address + ":8301").returncode == 0


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two servers that forget failed members soon."""
    cluster = Cluster(tmp_path_factory.mktemp("pair"), 2, config=SOON).start()
    yield cluster
    cluster.cleanup()


@pytest.mark.skipif(not SERF, reason="there is no serf")
def test_clients_come_fail_and_are_reaped(pair, make):
    server = pair.nodes[0]
    client = serf_client(make, "client1").start()
    join(client, server)
    wait_until(lambda: health_of(server, "client1") == "passing", what="it is registered")
    assert node_of(server, "client1")["Node"]["Address"] == client.address
    assert node_of(server, "client1")["Services"] == {}
    client.kill()
    wait_until(lambda: health_of(server, "client1") == "critical", what="it has failed")
    wait_until(lambda: node_of(server, "client1") is None, 60, "it is reaped")
    for node in pair.nodes:
        assert [s["Node"]["Node"] for s in node.json("/v1/health/service/consul")] == ["s1", "s2"]


@pytest.mark.skipif(not SERF, reason="there is no serf")
def test_clients_leave(pair, make):
    server = pair.nodes[0]
    leaver, forced = serf_client(make, "leaver").start(), serf_client(make, "forced").start()
    for client in (leaver, forced):
        join(client, server)
        wait_until(lambda c=client: health_of(server, c.name) == "passing", what="it is registered")
    assert leaver.run("leave").returncode == 0
    wait_until(lambda: node_of(server, "leaver") is None, 5, "it has left: nobody waits for the next look at all members")
    forced.kill()
    wait_until(lambda: health_of(server, "forced") == "critical", what="it has failed")
    assert pair.nodes[1].muster("force-leave", "forced").returncode == 0
    wait_until(lambda: node_of(server, "forced") is None, what="it was forced out")
    assert pair.nodes[1].muster("force-leave", "-prune", "forced").returncode == 0
    wait_until(lambda: "forced" not in server.muster("members").stdout, what="it is forgotten")


@pytest.mark.skipif(not SERF, reason="there is no serf")
def test_a_client_waits_as_long_as_it_asks_for(pair, make):
    """The tag rc_tm of later versions: longer than the servers' own time."""
    server = pair.nodes[0]
    tags = dict(CONSUL_TAGS, id=str(uuid.uuid4()), rc_tm="1h0m0s")
    client = make(Serf, "patient", tags=["%s=%s" % t for t in tags.items()]).start()
    other = serf_client(make, "impatient").start()
    for c in (client, other):
        join(c, server)
        wait_until(lambda n=c.name: health_of(server, n) == "passing", what="it is registered")
        c.kill()
    wait_until(lambda: node_of(server, "impatient") is None, 90, "the other one is reaped")
    assert health_of(server, "patient") == "critical"
    server.muster("force-leave", "-prune", "patient")


@pytest.mark.skipif(not SERF, reason="there is no serf")
def test_a_client_is_renamed_and_moves(pair, make):
    """Each time one line says so."""
    server = pair.nodes[0]
    ident = str(uuid.uuid4())
    first = serf_client(make, "before", ident).start()
    join(first, server)
    wait_until(lambda: health_of(server, "before") == "passing", what="it is registered")
    first.run("leave")
    first.kill()
    second = serf_client(make, "behind", ident).start()
    join(second, server)
    wait_until(lambda: node_of(server, "behind")["Node"]["ID"] == ident and node_of(server, "before") is None,
               what="it has another name")
    second.run("leave")
    second.kill()
    third = serf_client(make, "behind", ident).start()  # on another address
    join(third, server)
    wait_until(lambda: node_of(server, "behind")["Node"]["Address"] == third.address
               and health_of(server, "behind") == "passing", what="it has another address")
    third.kill()                                                  # without a word
    wait_until(lambda: health_of(server, "behind") == "critical", what="it has failed")
    fourth = serf_client(make, "beyond", ident).start()
    join(fourth, server)
    wait_until(lambda: node_of(server, "beyond")["Node"]["ID"] == ident and node_of(server, "behind") is None,
               what="it has another name again")
    for name, address in (("behind", second.address), ("behind", third.address), ("beyond", fourth.address)):
        said = [line for n in pair.nodes for line in lines(n, "member-registered", node=name, address=address)]
        assert len(said) == 1, said
        assert not any(lines(n, "member-refused", node=name) for n in pair.nodes)


@pytest.mark.skipif(not SERF, reason="there is no serf")
def test_a_name_gets_another_id(pair, make):
    """A machine that was set up anew, and is back before anybody missed it: one line says so."""
    server = pair.nodes[0]
    fresh = str(uuid.uuid4())
    client = serf_client(make, "again").start()
    join(client, server)
    wait_until(lambda: health_of(server, "again") == "passing", what="it is registered")
    assert client.run("tags", "-set", "id=" + fresh).returncode == 0
    wait_until(lambda: node_of(server, "again")["Node"]["ID"] == fresh and health_of(server, "again") == "passing",
               what="it has the new id")
    said = [line for n in pair.nodes for line in lines(n, "node-id-changed", node="again")]
    assert len(said) == 1, said


@pytest.mark.skipif(not SERF, reason="there is no serf")
def test_clones(pair, make):
    """Two agents with one id: who has the node keeps it, the other one is named in the log, once."""
    server = pair.nodes[0]
    ident = str(uuid.uuid4())
    original, clone = serf_client(make, "original", ident).start(), serf_client(make, "clone").start()
    for client in (original, clone):
        join(client, server)
        wait_until(lambda n=client.name: health_of(server, n) == "passing", what="it is registered")
    assert clone.run("tags", "-set", "id=" + ident).returncode == 0
    wait_until(lambda: any(lines(n, "member-refused", node="clone") for n in pair.nodes), what="a line about it")
    time.sleep(3)
    assert node_of(server, "original")["Node"]["ID"] == ident and health_of(server, "original") == "passing"
    said = [line for n in pair.nodes for line in lines(n, "member-refused", node="clone")]
    assert len(said) == 1 and "another member has its node id " + ident in said[0], said


def test_what_is_not_of_the_pool_stays(pair, make):
    """Nodes from outside, and members that are no agents of this data centre."""
    server = pair.nodes[0]
    server.put("/v1/catalog/register", {"Node": "outside", "Address": "192.0.2.1"})
    if SERF:
        stranger = make(Serf, "stranger").start()
        join(stranger, server)
        wait_until(lambda: "stranger" in server.muster("members").stdout, what="it is a member")
    for node in pair.nodes:
        old = node.kill("gossipd")
        node.wait_restarted("gossipd", old)
    time.sleep(3)
    names = [n["Node"] for n in server.json("/v1/catalog/nodes")]
    assert "outside" in names and "stranger" not in names and {"s1", "s2"} <= set(names)


def test_gossipd_restarts_and_nobody_is_reaped(pair, make):
    server = pair.leader()
    client = make(Gossipd, "steady", config={"retry_join": [server.address]}).start()
    wait_until(lambda: health_of(server, "steady") == "passing", what="it is registered")
    created = node_of(server, "steady")["Node"]["CreateIndex"]
    old = server.kill("gossipd")
    server.wait_restarted("gossipd", old)
    wait_until(lambda: "steady" in server.muster("members").stdout, what="it is known again")
    time.sleep(1)
    assert node_of(server, "steady")["Node"]["CreateIndex"] == created
    assert not lines(server, "member-deregistered", node="steady")
    client.kill()


# ---- a large pool ----

def peers_module():
    spec = importlib.util.spec_from_file_location("gossip_pool", TOP / "bench" / "gossip_pool.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slices(node):
    """The leader's slices of work in the last ten seconds that are over, None while there are none."""
    return next((s for s in node.json("/v1/agent/metrics")["Samples"]
                 if s["Name"] == "consul.leader.reconcileMember" and s["Count"] > 5), None)


def test_a_thousand_members(tmp_path):
    """They come at once, and all others are served meanwhile: no slice of the leader's work is long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    peers = peers_module().Peers(999, "127.%d" % random.randint(203, 254))
    stop = threading.Event()
    answering = threading.Thread(target=lambda: [peers.answer(0.05) for _ in iter(stop.is_set, True)])
    node = Node(tmp_path / "n")
    waits = []
    answering.start()
    try:
        node.start()
        peers.join(node.address)

        def all_there():
            began = time.monotonic()
            node.put("/v1/kv/meanwhile", "x")
            waits.append(time.monotonic() - began)
            return len(node.json("/v1/catalog/nodes")) == 1000
        wait_until(all_there, 120, "all are registered")
        seen = wait_until(lambda: slices(node), 40, "figures about it")
        print("%d slices, %.1f ms on average, %.1f at most; longest write %.0f ms" % (
            seen["Count"], seen["Mean"], seen["Max"], max(waits) * 1000))
        # The longest one also has what else a busy machine did in it.
        assert seen["Mean"] < 5 and seen["Max"] < 100
    finally:
        stop.set()
        answering.join()
        node.cleanup()


def test_members_come_from_allowed_networks(make):
    """serf_lan_allowed_cidrs: who is elsewhere is no member, whoever tells of it, and the log says so."""
    near, far = make(Gossipd, "near"), make(Gossipd, "far")
    ours = make(Gossipd, "ours", config={"serf_lan_allowed_cidrs": ["192.0.2.0/24", near.address + "/32"]}).start()
    for other in (near, far):
        other.config["retry_join"] = [ours.address]
        other.start()
    wait_until(lambda: near.alive() == ["far", "near", "ours"], what="near knows all of them")
    wait_until(lambda: ours.alive() == ["near", "ours"], what="ours knows near")
    wait_until(lambda: 'member-refused pool=lan name="far"' in ours.log(), what="the line in the log")
    assert "far" not in ours.members()
