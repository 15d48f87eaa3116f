# SPDX-License-Identifier: Apache-2.0
"""Where nodes are in the network: every node says it, servers gather it, lists are sorted by it, rtt shows it."""
import re
import threading
import time

import pytest

from cluster import Cluster
from node import wait_until
from test_consul_cli import consul, link  # noqa: F401

OFTEN = {"sync_coordinate_interval_min": "1s"}


def place(node, name, at, **fields):
    coord = {"Vec": [at] + [0] * 7, "Error": 1, "Adjustment": 0, "Height": 0}
    return node.put("/v1/coordinate/update", dict({"Node": name, "Coord": dict(coord, **fields)}))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A server and a client node."""
    cluster = Cluster(tmp_path_factory.mktemp("coordinates"), 1, config=OFTEN).start()
    client = cluster.add_client("c1", config=OFTEN)
    client.start()
    yield cluster.nodes[0], client
    cluster.cleanup()


def test_every_node_says_where_it_is(two):
    server, client = two
    known = wait_until(lambda: (c := {c["Node"]: c["Coord"] for c in client.json("/v1/coordinate/nodes")}).keys() >= {"s1", "c1"} and c)
    for node in (server, client):
        own = node.json("/v1/agent/self")["Coord"]
        for coord in (own, known[node.name]):
            assert set(coord) == {"Vec", "Error", "Adjustment", "Height"} and len(coord["Vec"]) == 8
            assert coord["Error"] <= 1.5 and coord["Height"] >= 0.00001
    areas = client.json("/v1/coordinate/datacenters")
    assert [(a["Datacenter"], a["AreaID"], [c["Node"] for c in a["Coordinates"]]) for a in areas] == [("dc1", "wan", ["s1"])]
    # what is measured moves, and the catalogue follows
    before = client.json("/v1/coordinate/node/c1")
    wait_until(lambda: client.json("/v1/coordinate/node/c1") != before)
    # a node is nearest to itself
    for node in (server, client):
        wait_until(lambda n=node: n.json("/v1/catalog/nodes?near=_agent")[0]["Node"] == n.name)


def test_updates_are_gathered(two):
    server, client = two
    assert server.put("/v1/catalog/register", {"Node": "out", "Address": "10.9.0.1"}).status == 200
    before = server.raft()["commit_index"]
    for i in range(200):
        assert place((server, client)[i % 2], "out", i).status == 200
        assert place(server, "nobody", i).status == 200
    wait_until(lambda: server.get("/v1/coordinate/node/out").json()[0]["Coord"]["Vec"][0] == 199)
    assert server.raft()["commit_index"] - before < 100
    assert server.get("/v1/coordinate/node/nobody").status == 404
    assert place(server, "n" * 100000, 1).status == 200  # as of any node that there is not
    answer = place(server, "out", 1, Error="x")
    assert answer.status in (400, 500)


def test_a_place_that_nobody_knows_is_waited_for(two):
    server, client = two
    assert server.put("/v1/catalog/register", {"Node": "late", "Address": "10.9.0.2"}).status == 200
    for node in (server, client):
        begin = time.monotonic()
        assert node.get("/v1/coordinate/node/late?wait=1s&index=99999999").status == 404
        assert time.monotonic() - begin > 0.9
    index = server.get("/v1/coordinate/nodes").index
    threading.Timer(1, lambda: place(server, "late", 1)).start()
    answer = server.get("/v1/coordinate/node/late?wait=60s&index=%d" % index)
    assert answer.json()[0]["Coord"]["Vec"][0] == 1 and answer.index > index


@pytest.mark.parametrize("args, said", [
    (("near", "far"), r"Estimated near <-> far rtt: 3000\.000 ms \(using LAN coordinates\)"),
    (("s1", "c1"), r"Estimated s1 <-> c1 rtt: \d+\.\d{3} ms \(using LAN coordinates\)"),
    (("c1",), r"Estimated c1 <-> s1 rtt: \d+\.\d{3} ms \(using LAN coordinates\)"),
    (("-wan", "s1.dc1"), r"Estimated s1\.dc1 <-> s1\.dc1 rtt: \d+\.\d{3} ms \(using WAN coordinates\)"),
    (("-wan", "s1.dc1", "s1.dc1"), r"Estimated s1\.dc1 <-> s1\.dc1 rtt: \d+\.\d{3} ms \(using WAN coordinates\)"),
    (("s1", "nowhere"), 'Could not find a coordinate for node "nowhere"'),
    (("-wan", "x.dc1", "s1.dc1"), 'Could not find a coordinate for node "x.dc1"'),
    (("-wan", "s1.dc1", "s1.dc9"), 'Could not find a coordinate for node "s1.dc1"'),  # so says Consul
    (("-wan", "s1"), "Node names must be specified as <node name>.<datacenter> with -wan"),
    (("-wan", "s1.a.b", "s1.dc1"), "Node names must be specified as <node name>.<datacenter> with -wan"),
    ((), "One or two node names must be specified"),
    (("a", "b", "c"), "One or two node names must be specified"),
])
def test_rtt(two, consul, link, args, said):  # noqa: F811
    server, _ = two
    for name, at in (("near", 1), ("far", 4)):
        assert server.put("/v1/catalog/register", {"Node": name, "Address": "10.9.0.2"}).status == 200
        if server.get("/v1/coordinate/node/" + name).status == 404:
            place(server, name, at)
    wait_until(lambda: {c["Node"] for c in server.json("/v1/coordinate/nodes")} >= {"near", "far", "s1", "c1"})
    for binary in (consul, link):
        out = server.muster("rtt", *args, binary=binary)
        text = (out.stdout or out.stderr).strip().split("\n")[0]  # help may follow
        assert re.fullmatch(said, text) if said.startswith("Estimated") else text == said, (binary, text)
        assert (out.returncode == 0) == said.startswith("Estimated")
