# SPDX-License-Identifier: Apache-2.0
"""Two data centres, joined by their servers' WAN pool: either answers for the other, and lives without it."""
import http.client
import struct
import threading
import time

import pytest

from cluster import CALM, ClientNode, DataCentres, Server
from load import Load
from network import Network
from node import PORTS, free_address, wait_until
from test_clients import READS, SEED, held_by, meaning
from test_gossip_packets import Crowd


KEY, NEW_KEY = "cg8StVXbQJ0gPvMd9o7yrg==", "1M+uHvSyaY1sPrDhkQDCvw=="


class World(DataCentres):
    """dc1: server s1, client c1; dc2: server t1, which joins s1's WAN pool. network: each is on a host of its own."""

    def __init__(self, directory, network=None):
        addresses = [network.address(h) if network else free_address() for h in (1, 2, 3)]
        self.s1 = Server(directory / "s1", "s1", 1, [], config=dict(CALM, encrypt=KEY), address=addresses[0])
        self.c1 = ClientNode(directory / "c1", "c1", [self.s1.address], config={"encrypt": KEY}, address=addresses[1])
        self.t1 = Server(directory / "t1", "t1", 1, [], config=dict(CALM, encrypt=KEY, datacenter="dc2",
                         retry_join_wan=[self.s1.address], retry_interval_wan="1s"), address=addresses[2])
        super().__init__([self.s1, self.c1, self.t1])
        for host, node in enumerate(self.nodes, 1):
            node.enter = (lambda h=host: network.enter_host(h)) if network else None


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("datacenters")).start()
    made.t1.put("/v1/catalog/register", SEED)
    for key in ("a", "b/c", "odd%20%3Fkey"):
        made.t1.put("/v1/kv/seed/" + key, "value in dc2 of " + key)
    yield made
    made.cleanup()


def elsewhere(path):
    return path + ("&" if "?" in path else "?") + "dc=dc2"


def test_data_centres_are_known(world):
    for node, wanted in ((world.s1, ["dc1", "dc2"]), (world.c1, ["dc1", "dc2"]), (world.t1, ["dc2", "dc1"])):
        assert node.json("/v1/catalog/datacenters") == wanted, "its own comes first"
    assert world.c1.muster("catalog", "datacenters").stdout.split() == ["dc1", "dc2"]
    assert world.s1.json("/v1/agent/self")["Stats"]["consul"]["known_datacenters"] == "2"
    members = {m["Name"]: m for m in world.s1.json("/v1/agent/members?wan=1")}
    assert sorted(members) == ["s1.dc1", "t1.dc2"]
    assert "http_port" not in members["t1.dc2"]["Tags"], "told only where it is not the usual one"
    wait_until(lambda: {d["Datacenter"] for d in world.c1.json("/v1/coordinate/datacenters")} == {"dc1", "dc2"})


def place(height):
    """A coordinate, as acknowledgements of probes have it: from everywhere as far as it is high."""
    def doubles(*values):
        return b"".join(b"\xcb" + struct.pack(">d", value) for value in values)
    return (b"\x01\x84\xaaAdjustment" + doubles(0) + b"\xa5Error" + doubles(1) + b"\xa6Height" + doubles(height) +
            b"\xa3Vec\x98" + doubles(*[0] * 8))


def test_the_nearest_come_first(make_node):
    """By the coordinates of their servers, whatever they are called; so they are sorted anew when these change."""
    node = make_node(config={"gossip_wan": {"probe_interval": "200ms", "probe_timeout": "100ms"}}).start()
    crowd = Crowd(node, port=PORTS["serf_wan"])
    try:
        for order in (("dc3", "dc2", "dc4"), ("dc4", "dc3", "dc2"), ("dc2", "dc3", "dc4")):
            for name, height in zip(order, (0.05, 0.2, 0.4)):
                server = "s1." + name
                crowd.places[server] = place(height)
                crowd.tags[server] = {"role": "consul", "dc": name, "id": "00000000-0000-0000-0000-000000000" + name,
                                      "port": "8300", "build": "1.8.7:", "vsn": "2", "raft_vsn": "3", "segment": ""}
                if server not in crowd.incarnations:
                    crowd.enter(server)
            wait_until(lambda o=order: node.json("/v1/catalog/datacenters") == ["dc1", *o], what="the order %s" % (order,))
            assert node.muster("catalog", "datacenters").stdout.split() == ["dc1", *order]
    finally:
        crowd.end()


def test_every_kind_of_read(world):
    """?dc= through a server and through a client: as the server there answers itself."""
    paths = [p for p in READS if "dc=" not in p and not p.startswith("/v1/acl") and p != "/v1/catalog/datacenters"]
    for node in (world.s1, world.c1):
        for path in paths:
            wait_until(lambda n=node, p=path: meaning(world.t1.get(p)) == meaning(n.get(elsewhere(p))), 5,
                       "%s through %s: %r, there: %r" % (path, node.name, meaning(node.get(elsewhere(path))),
                                                         meaning(world.t1.get(path))))
    assert world.c1.get("/v1/kv/seed/a?dc=dc1").status == 404


def test_every_kind_of_write(world):
    for node in (world.s1, world.c1):
        assert node.put("/v1/kv/w?dc=dc2", node.name).text == "true"
        assert world.t1.get("/v1/kv/w?raw").text == node.name
        assert node.get("/v1/kv/w").status == 404
        assert node.put("/v1/txn?dc=dc2", [{"KV": {"Verb": "set", "Key": "w2", "Value": "Yg=="}}]).status == 200
        body = {"Node": "far-" + node.name, "Address": "192.0.2.7", "Datacenter": "dc2"}
        assert node.put("/v1/catalog/register", body).text == "true"
        assert world.t1.json("/v1/catalog/node/far-" + node.name)["Node"]["Datacenter"] == "dc2"
        assert node.json("/v1/catalog/node/far-" + node.name) is None
        session = node.put("/v1/session/create?dc=dc2", {"Node": "far-" + node.name, "Checks": [], "TTL": "20s"})
        assert session.status == 200, session.text
        assert node.put("/v1/session/renew/%s?dc=dc2" % session.json()["ID"]).status == 200
        assert node.put("/v1/session/destroy/%s?dc=dc2" % session.json()["ID"]).text == "true"
        # A session of this agent's own node is not known over there.
        assert node.put("/v1/session/create?dc=dc2", {"Checks": []}).text == "Missing node registration"
        assert node.put("/v1/catalog/deregister", {"Node": "far-" + node.name, "Datacenter": "dc2"}).text == "true"
        wait_until(lambda n=node: world.t1.json("/v1/catalog/node/far-" + n.name) is None)
        assert node.delete("/v1/kv/w?dc=dc2").text == "true"
        event = node.put("/v1/event/fire/across?dc=dc2", "x").json()
        wait_until(lambda e=event: [x for x in world.t1.json("/v1/event/list?name=across") if x["ID"] == e["ID"]])
        assert node.json("/v1/event/list?name=across") == []
        assert node.get("/v1/operator/autopilot/health?dc=dc2").json()["Servers"][0]["Name"] == "t1"
        assert node.get("/v1/snapshot?dc=dc2").headers["Content-Type"] == "application/x-gzip"
    assert world.c1.muster("kv", "get", "-datacenter=dc2", "seed/a").stdout == "value in dc2 of a\n"


def test_keys_of_all_pools(world):
    """A key is installed, used and removed in both LAN pools and the WAN pool, through any server."""
    def pools():
        return [(p["WAN"], p["Datacenter"], sorted(p["Keys"]), p["NumNodes"]) for p in world.s1.json("/v1/operator/keyring")]
    assert pools() == [(True, "dc1", [KEY], 2), (False, "dc1", [KEY], 2), (False, "dc2", [KEY], 1)]
    assert world.t1.request("POST", "/v1/operator/keyring", {"Key": NEW_KEY}).status == 200
    assert [p[2] for p in pools()] == [sorted([KEY, NEW_KEY])] * 3
    assert world.s1.put("/v1/operator/keyring", {"Key": NEW_KEY}).status == 200
    refused = world.s1.delete("/v1/operator/keyring", body={"Key": NEW_KEY})
    assert refused.status == 500 and "WAN error" in refused.text, refused.text
    assert "\t* dc1 (LAN) error" in refused.text and "\t* dc2 (LAN) error" in refused.text
    assert refused.text.startswith("%d errors occurred:" % refused.text.count("\t* "))
    assert world.s1.put("/v1/operator/keyring", {"Key": KEY}).status == 200
    assert world.s1.delete("/v1/operator/keyring", body={"Key": NEW_KEY}).status == 200
    assert [p[2] for p in pools()] == [[KEY]] * 3
    assert len(world.s1.json("/v1/operator/keyring?local-only=true")) == 2
    assert world.c1.get("/v1/operator/keyring").text == "keyring operations must run against a server node"


def test_unknown_data_centres(world):
    for node in (world.s1, world.c1):
        for path in ("/v1/kv/a?dc=dc3", "/v1/catalog/nodes?dc=dc3", "/v1/status/leader?dc=dc3", "/v1/kv/a?dc=DC2"):
            answer = node.get(path)
            assert (answer.status, answer.text) == (500, "No path to datacenter")
        assert node.get("/v1/catalog/nodes?dc=dc3").headers["X-Consul-KnownLeader"] == "false"
        assert node.put("/v1/kv/a?dc=dc3", "1").text == "No path to datacenter"
        assert node.put("/v1/catalog/register", {"Node": "x", "Address": "1.2.3.4", "Datacenter": "dc3"}
                        ).text == "No path to datacenter"


def test_blocking(world):
    for node in (world.s1, world.c1):
        world.t1.put("/v1/kv/block", "1")
        index = node.get("/v1/kv/block?dc=dc2").index
        before = held_by(world.t1)
        answers = []
        waiter = threading.Thread(
            target=lambda n=node, i=index: answers.append(n.get("/v1/kv/block?dc=dc2&wait=60s&index=%d" % i)))
        waiter.start()
        wait_until(lambda b=before: held_by(world.t1) == b + 1)
        world.t1.put("/v1/kv/block", "2")
        waiter.join(20)
        assert answers[0].json()[0]["Value"] == "Mg==" and answers[0].index > index
        connection = http.client.HTTPConnection(node.address, PORTS["http"], timeout=30)
        connection.request("GET", "/v1/kv/block?dc=dc2&wait=300s&index=%d" % answers[0].index)
        wait_until(lambda b=before: held_by(world.t1) == b + 1)
        connection.close()
        wait_until(lambda b=before: held_by(world.t1) == b, 5, "a query whose client has gone")


def test_held_queries_are_answered_at_the_end(world):
    """The httpd of a client is replaced while a query of it is held in the other data centre, behind its own server."""
    world.t1.put("/v1/kv/end", "1")
    index = world.c1.get("/v1/kv/end?dc=dc2").index
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(world.c1.get("/v1/kv/end?dc=dc2&wait=60s&index=%d" % index)))
    before = held_by(world.t1)
    waiter.start()
    wait_until(lambda: held_by(world.t1) == before + 1)
    world.c1.wait_restarted("httpd", world.c1.kill("httpd", 15))
    waiter.join(20)
    assert [(a.status, a.index) for a in answers] == [(200, index)]


def test_hops_are_counted(world):
    """What has been handed on often enough goes no further; nobody but other nodes is believed."""
    def ask(node, port, path, hops):
        connection = http.client.HTTPConnection(node.address, port, timeout=10)
        connection.request("GET", path, headers={"X-Muster-Hops": hops, "X-Muster-Node": "liar"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    assert ask(world.s1, PORTS["peer_http"], "/v1/kv/seed/a?raw&dc=dc2", "2") == (200, "value in dc2 of a")
    for hops in ("3", "4", "x", "-1", ""):
        assert ask(world.s1, PORTS["peer_http"], "/v1/kv/seed/a?raw&dc=dc2", hops) == (500, "No path to datacenter")
    assert ask(world.s1, PORTS["http"], "/v1/kv/seed/a?raw&dc=dc2", "9") == (200, "value in dc2 of a")
    assert ask(world.s1, PORTS["peer_http"], "/v1/agent/members", "1") == (403, "This port is for other nodes")


def test_a_dead_data_centre_hurts_nobody(tmp_path):
    """dc2 is killed under load: dc1 serves on without one error, calls to dc2 fail within a second, and work again when
    it is back."""
    made = World(tmp_path)
    try:
        made.start()
        made.t1.put("/v1/kv/there", "1")
        with Load([made.s1, made.c1]) as load:
            load.progress(50)
            made.t1.crash()
            texts = set()
            for _ in range(6):
                for node in (made.s1, made.c1):
                    began = time.monotonic()
                    answer = node.get("/v1/kv/there?dc=dc2")
                    took = time.monotonic() - began
                    assert answer.status == 500 and took < 1.5, (took, answer.text)
                    texts.add(answer.text.split(":")[0])
                    began = time.monotonic()
                    assert node.json("/v1/catalog/datacenters") == ["dc1", "dc2"]
                    assert time.monotonic() - began < 1
            assert texts <= {"rpc error getting client", "rpc error making call", "Remote DC has no server currently reachable"}
            load.progress(100)
            wait_until(lambda: made.c1.get("/v1/kv/there?dc=dc2").text == "Remote DC has no server currently reachable", 90)
            load.progress(50)
        assert not load.errors, load.errors[:3]
        load.backward.clear()
        load.check(made.s1)
        made.t1.start()
        for node in (made.s1, made.c1):
            wait_until(lambda n=node: n.get("/v1/kv/there?dc=dc2&raw").text == "1", 60)
    finally:
        made.cleanup()


def test_a_data_centre_that_is_cut_off(tmp_path):
    """No packet comes from there any more, and nothing says so: not even calls over connections that were idle take longer
    than a second, and all is as before when the way is whole again."""
    network = Network(3)
    made = World(tmp_path, network)
    try:
        made.start()
        made.t1.put("/v1/kv/there", "1")
        for node in (made.s1, made.c1):
            assert node.get("/v1/kv/there?dc=dc2&raw").text == "1"
        network.isolate(3)
        for _ in range(4):
            for node, method in ((made.s1, "GET"), (made.c1, "GET"), (made.s1, "PUT"), (made.c1, "PUT")):
                began = time.monotonic()
                answer = node.request(method, "/v1/kv/there?dc=dc2", body="1" if method == "PUT" else None)
                took = time.monotonic() - began
                assert answer.status == 500 and took < 1.7, (method, took, answer.text)
                assert "i/o timeout" in answer.text or answer.text == "Remote DC has no server currently reachable"
        began = time.monotonic()
        assert made.c1.put("/v1/kv/here", "1").text == "true" and time.monotonic() - began < 1
        network.heal()
        for node in (made.s1, made.c1):
            wait_until(lambda n=node: n.get("/v1/kv/there?dc=dc2&raw").text == "1", 90)
    finally:
        made.cleanup()
        network.close()


# name, plain address, tagged; service: address, tagged; as seen at home and from dc1 (Consul 1.8.7 says the same)
MANY_ADDRESSES = [
    {"Node": "n1", "Address": "10.0.0.1",
     "TaggedAddresses": {"lan_ipv4": "10.0.1.1", "lan_ipv6": "fd00::1", "wan": "10.0.2.1", "wan_ipv4": "10.0.3.1"},
     "Service": {"ID": "a", "Service": "a", "Port": 80, "Address": "10.1.0.1", "TaggedAddresses": {
         "lan_ipv4": {"Address": "10.1.2.1", "Port": 82}, "lan_ipv6": {"Address": "fd01::1", "Port": 83},
         "wan": {"Address": "10.1.3.1", "Port": 84}, "wan_ipv4": {"Address": "10.1.4.1", "Port": 85}}}},
    {"Node": "n2", "Address": "10.0.0.2", "TaggedAddresses": {"wan": "10.0.2.2"},
     "Service": {"ID": "b", "Service": "b", "Port": 80, "Address": "10.1.0.2",
                 "TaggedAddresses": {"wan": {"Address": "10.1.3.2", "Port": 84}}}},
    {"Node": "n3", "Address": "10.0.0.3", "TaggedAddresses": {"wan": "10.0.2.3", "wan_ipv6": "fd00::3"},
     "Service": {"ID": "c", "Service": "c", "Port": 80}},
]
ADDR_C = "fd000000000000000000000000000003.addr.dc2.consul."
AT_HOME = {
    "n1.node A": ["10.0.1.1"], "n1.node AAAA": ["fd00::1"], "n1.node ANY": ["fd00::1"],
    "n2.node A": ["10.0.0.2"], "n2.node AAAA": [], "n3.node A": ["10.0.0.3"], "n3.node AAAA": [],
    "a.service A": ["10.1.2.1"], "a.service AAAA": ["fd01::1"], "b.service A": ["10.1.0.2"],
    "b.service SRV": ["1 1 80 0a010002.addr.dc2.consul."], "c.service A": ["10.0.0.3"],
    "c.service SRV": ["1 1 80 n3.node.dc2.consul."],
}
ELSEWHERE = {
    "n1.node A": ["10.0.3.1"], "n1.node AAAA": ["fd00::1"], "n1.node ANY": ["fd00::1"],
    "n2.node A": ["10.0.2.2"], "n2.node AAAA": [], "n3.node A": ["10.0.2.3"], "n3.node AAAA": ["fd00::3"],
    "a.service A": ["10.1.4.1"], "a.service AAAA": ["fd01::1"], "b.service A": ["10.1.3.2"],
    "b.service SRV": ["1 1 84 0a010302.addr.dc2.consul."], "c.service A": ["10.0.2.3"],
    "c.service SRV": ["1 1 80 " + ADDR_C],
}


def shown(node, where):
    """(node's address, service's address, port) by every endpoint that shows them."""
    nodes = {n["Node"]: n["Address"] for n in node.json("/v1/catalog/nodes" + where)}
    found = {}
    for name, service in (("n1", "a"), ("n2", "b"), ("n3", "c")):
        health = node.json("/v1/health/service/" + service + where)[0]
        catalog = node.json("/v1/catalog/service/" + service + where)[0]
        whole = node.json("/v1/catalog/node/" + name + where)
        listed = node.json("/v1/catalog/node-services/" + name + where)
        ways = [(nodes[name], catalog["ServiceAddress"], catalog["ServicePort"]),
                (catalog["Address"], catalog["ServiceAddress"], catalog["ServicePort"]),
                (health["Node"]["Address"], health["Service"]["Address"], health["Service"]["Port"])]
        ways += [(w["Node"]["Address"], s["Address"], s["Port"])
                 for w, s in ((whole, whole["Services"][service]), (listed, listed["Services"][0]))]
        assert len(set(ways)) == 1, (name, ways)
        found[name] = ways[0]
    return found


def dug(node):
    asked = [question.split() for question in ELSEWHERE]
    return {"%s %s" % (name, kind): node.dig(name + ".dc2.consul", kind) for name, kind in asked}


def test_wan_addresses(tmp_path):
    """translate_wan_addrs: who is asked in another data centre shows the addresses that lead there."""
    plain = {"n1": ("10.0.0.1", "10.1.0.1", 80), "n2": ("10.0.0.2", "10.1.0.2", 80), "n3": ("10.0.0.3", "", 80)}
    translated = {"n1": ("fd00::1", "fd01::1", 84), "n2": ("10.0.2.2", "10.1.3.2", 84), "n3": ("fd00::3", "", 80)}
    world = World(tmp_path)
    for node in (world.c1, world.t1):
        node.config["translate_wan_addrs"] = True
    try:
        world.start()
        for node in MANY_ADDRESSES:
            assert world.t1.put("/v1/catalog/register", node).status == 200
        assert shown(world.t1, "?dc=dc2") == plain, "its own are not translated"
        assert shown(world.s1, "?dc=dc2") == plain, "who is asked has not set it, and the other side's setting is not meant"
        assert shown(world.c1, "?dc=dc2") == translated
        assert dug(world.t1) == AT_HOME and dug(world.s1) == AT_HOME
        assert dug(world.c1) == ELSEWHERE
        # A filter sees what is registered, as in Consul.
        assert world.c1.json('/v1/catalog/nodes?dc=dc2&filter=Address==%2210.0.0.2%22')[0]["Address"] == "10.0.2.2"
        query = {"Name": "q", "Service": {"Service": "b", "Failover": {"Datacenters": ["dc2"]}}}
        assert world.c1.request("POST", "/v1/query", query).status == 200
        found = world.c1.json("/v1/query/q/execute")
        assert found["Datacenter"] == "dc2" and found["Nodes"][0]["Service"]["Address"] == "10.1.3.2"
        assert world.s1.json("/v1/query/q/execute")["Nodes"][0]["Service"]["Address"] == "10.1.0.2"
        assert world.c1.get("/v1/catalog/nodes").headers["X-Consul-Translate-Addresses"] == "true"
    finally:
        world.cleanup()


def test_dns_of_queries_with_wan_addresses(tmp_path):
    """The instances that a prepared query finds elsewhere, over DNS: the server that executes it has the setting."""
    world = World(tmp_path)
    world.s1.config["translate_wan_addrs"] = True
    try:
        world.start()
        for node in MANY_ADDRESSES:
            assert world.t1.put("/v1/catalog/register", node).status == 200
        for service in "abc":
            query = {"Name": "q" + service, "Service": {"Service": service, "Failover": {"Datacenters": ["dc2"]}}}
            assert world.s1.request("POST", "/v1/query", query).status == 200
        for question, answers in ELSEWHERE.items():
            name, kind = question.replace(".service", ".query").split()
            if name.endswith(".query"):
                assert world.s1.dig("q%s.consul" % name, kind) == answers, question
    finally:
        world.cleanup()
