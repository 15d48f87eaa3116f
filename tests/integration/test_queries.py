# SPDX-License-Identifier: Apache-2.0
"""Prepared queries on real nodes: through clients, in other data centres, over DNS, across restarts and snapshots."""
import os
import signal
import socket
import struct
import time

import pytest

from cluster import CALM, ClientNode, DataCentres, Server
from node import PORTS, wait_until


class World(DataCentres):
    """dc1: server s1, client c1; dc2: server t1; dc3: server u1; all of one WAN pool."""

    def __init__(self, directory):
        self.s1 = Server(directory / "s1", "s1", 1, [], config=CALM)
        self.c1 = ClientNode(directory / "c1", "c1", [self.s1.address])
        wan = dict(CALM, retry_join_wan=[self.s1.address], retry_interval_wan="1s")
        self.t1 = Server(directory / "t1", "t1", 1, [], config=dict(wan, datacenter="dc2"))
        self.u1 = Server(directory / "u1", "u1", 1, [], config=dict(wan, datacenter="dc3"))
        super().__init__([self.s1, self.c1, self.t1, self.u1])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("queries")).start()
    for node, service in ((made.t1, "two"), (made.u1, "three"), (made.t1, "both"), (made.u1, "both")):
        register(node, service)
    yield made
    made.cleanup()


@pytest.fixture(autouse=True)
def no_queries(world):
    yield
    for query in world.s1.json("/v1/query"):
        world.s1.delete("/v1/query/" + query["ID"])


def register(node, service, status="passing", name=None, **more):
    body = {"Node": name or "ext-" + node.name, "Address": "192.0.2.1", "Service": dict({"Service": service, "Port": 80}, **more),
            "Check": {"CheckID": "of-" + service, "ServiceID": service, "Status": status}}
    assert node.put("/v1/catalog/register", body).text == "true"


def create(node, name, service, path="/v1/query", **more):
    answer = node.request("POST", path, {"Name": name, "Service": dict({"Service": service}, **more)})
    assert answer.status == 200, answer.text
    return answer.json()["ID"]


def execute(node, name, parameters=""):
    answer = node.get("/v1/query/%s/execute%s" % (name, parameters))
    assert answer.status == 200, answer.text
    found = answer.json()
    return [n["Node"]["Node"] for n in found["Nodes"]], found["Datacenter"], found["Failovers"]


def ask_dns(node, name, kind=1, limit_s=10):
    """(rcode, seconds) of one question over UDP."""
    question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(limit_s)
        began = time.monotonic()
        s.sendto(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question, (node.address, PORTS["dns"]))
        return s.recv(4096)[3] & 15, time.monotonic() - began


# ---- one data centre ----

def test_through_a_client_node(world):
    register(world.s1, "here")
    query = create(world.c1, "q", "here")
    assert world.s1.json("/v1/query/" + query) == world.c1.json("/v1/query/" + query)
    assert [q["Name"] for q in world.c1.json("/v1/query")] == ["q"]
    assert execute(world.c1, "q") == execute(world.s1, query) == (["ext-s1"], "dc1", 0)
    assert world.c1.put("/v1/query/" + query, {"Name": "r", "Service": {"Service": "here"}}).status == 200
    assert world.c1.get("/v1/query/q/execute").text == "Query not found"
    assert world.c1.json("/v1/query/r/explain")["Query"]["ID"] == query
    assert world.c1.delete("/v1/query/" + query).status == 200
    assert world.c1.get("/v1/query/" + query).status == 404


def test_this_agent_is_the_one_that_was_asked(world):
    """near=_agent, also within the query: the client node itself comes first."""
    for node in (world.s1, world.c1):
        assert node.put("/v1/agent/service/register", {"Name": "local"}).status == 200
    create(world.s1, "near", "local", Near="_agent")
    create(world.s1, "far", "local")
    wait_until(lambda: len(execute(world.s1, "near")[0]) == 2)
    for _ in range(10):
        for node in (world.s1, world.c1):
            assert execute(node, "near")[0][0] == node.name
            assert execute(node, "far", "?near=_agent")[0][0] == node.name
            targets = node.dig("near.query.consul", "SRV")
            assert targets[0].endswith("%s.node.dc1.consul." % node.name), "the order is kept over DNS"


def test_sessions_end_their_queries(world):
    session = world.s1.put("/v1/session/create", {"TTL": "10s", "NodeChecks": []}).json()["ID"]
    query = world.s1.request("POST", "/v1/query", {"Session": session, "Service": {"Service": "x"}}).json()["ID"]
    assert world.c1.get("/v1/query/" + query).status == 200
    assert world.s1.put("/v1/session/destroy/" + session).text == "true"
    assert world.c1.get("/v1/query/" + query).status == 404


def test_restart_and_snapshot_keep_them(world):
    query = create(world.s1, "kept-", "${name.suffix}")
    world.s1.put("/v1/query/" + query, {"Name": "kept-", "Template": {"Type": "name_prefix_match"},
                                        "Service": {"Service": "${name.suffix}"}})
    before = world.s1.json("/v1/query")
    archive = world.s1.get("/v1/snapshot").body
    world.s1.wait_restarted("catalogd", world.s1.kill("catalogd"))
    assert world.s1.json("/v1/query") == before
    assert world.s1.delete("/v1/query/" + query).status == 200
    assert world.s1.get("/v1/query/kept-x/explain").status == 404
    assert world.s1.put("/v1/snapshot", archive).status == 200
    assert world.s1.json("/v1/query/kept-x/explain")["Query"]["Service"]["Service"] == "x"
    assert world.s1.json("/v1/query") == before


# ---- other data centres ----

def test_in_another_data_centre(world):
    query = create(world.c1, "there", "two", path="/v1/query?dc=dc2")
    try:
        assert [q["ID"] for q in world.t1.json("/v1/query")] == [query]
        for node in (world.s1, world.c1):
            assert execute(node, "there", "?dc=dc2") == (["ext-t1"], "dc2", 0)
            assert node.dig("there.query.dc2.consul", "A") == ["192.0.2.1"]
            assert node.dig_full("there.query.consul")[0] == "NXDOMAIN"
            assert node.dig_full("there.query.dc9.consul")[0] == "NXDOMAIN"
            assert node.get("/v1/query/there/execute?dc=dc9").text == "No path to datacenter"
    finally:
        assert world.c1.delete("/v1/query/%s?dc=dc2" % query).status == 200


def test_failover(world):
    create(world.s1, "listed", "two", Failover={"Datacenters": ["dc9", "dc1", "dc3", "dc2", "dc2"]})
    create(world.s1, "nearest", "two", Failover={"NearestN": 2})
    create(world.s1, "nowhere", "nothing", Failover={"NearestN": 9, "Datacenters": ["dc2", "dc3"]})
    create(world.s1, "alone", "two")
    create(world.s1, "first", "both", Failover={"Datacenters": ["dc3", "dc2"]})
    for node in (world.s1, world.c1):
        assert execute(node, "listed") == (["ext-t1"], "dc2", 2), "dc3 has none; dc9 and the own one do not count"
        assert execute(node, "nearest")[:2] == (["ext-t1"], "dc2")
        names, _, tried = execute(node, "nowhere")
        assert (names, tried) == ([], 2)
        assert execute(node, "alone") == ([], "dc1", 0)
        assert execute(node, "first") == (["ext-u1"], "dc3", 1)
        assert node.dig("listed.query.consul", "SRV") == ["1 1 80 ext-t1.node.dc2.consul."]
        assert node.dig_full("nowhere.query.consul")[0] == "NXDOMAIN"
    register(world.s1, "two")
    assert execute(world.s1, "listed") == (["ext-s1"], "dc1", 0), "who is here comes first"
    register(world.s1, "two", status="critical")
    assert execute(world.s1, "listed") == (["ext-t1"], "dc2", 2)
    world.s1.put("/v1/catalog/deregister", {"Node": "ext-s1"})


def test_the_query_travels_as_it_is_by_now(world):
    """The template is filled in here; filters and the limit hold there."""
    for number, status in ((1, "passing"), (2, "passing"), (3, "warning")):
        register(world.t1, "shop", status, name="shop%d" % number, Tags=["v%d" % number, "é&"], Meta={"k": "1"})
    body = {"Name": "far-", "Template": {"Type": "name_prefix_match", "Regexp": "^far-(.*)$"},
            "Service": {"Service": "${match(1)}", "OnlyPassing": True, "Tags": ["é&", "!v2"], "ServiceMeta": {"k": "1"},
                        "Failover": {"Datacenters": ["dc2"]}}, "DNS": {"TTL": "7s"}}
    world.s1.request("POST", "/v1/query", body)
    assert execute(world.c1, "far-shop") == (["shop1"], "dc2", 1)
    found = world.s1.get("/v1/query/far-shop/execute?pretty").json()
    assert found["Service"] == "shop" and found["DNS"] == {"TTL": "7s"} and found["ConsistencyLevel"] == "leader"
    assert world.s1.get("/v1/query/far-shop/execute?stale").json()["ConsistencyLevel"] == "stale"
    create(world.s1, "all", "shop", Failover={"Datacenters": ["dc2"]})
    assert len(execute(world.c1, "all")[0]) == 3
    assert len(execute(world.c1, "all", "?limit=2")[0]) == 2


def test_the_internal_door_is_closed_to_clients(world):
    assert world.s1.get("/v1/internal/query?query={}").status == 404


def test_a_data_centre_that_hangs_or_is_gone_is_passed_over(world):
    create(world.s1, "q", "both", Failover={"Datacenters": ["dc2", "dc3"]})
    pid = world.t1.pids()["httpd"]
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert execute(world.s1, "q") == (["ext-u1"], "dc3", 2)
        assert 1.5 < time.monotonic() - began < 3.5
        assert world.c1.dig("q.query.consul") == ["192.0.2.1"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert execute(world.s1, "q") == (["ext-t1"], "dc2", 1)
    world.t1.stop(signal.SIGKILL)
    try:
        began = time.monotonic()
        assert execute(world.s1, "q") == (["ext-u1"], "dc3", 2)
        assert time.monotonic() - began < 2.5
    finally:
        world.t1.start()
        wait_until(lambda: execute(world.s1, "q")[1] == "dc2")


def test_instances_with_host_names(world):
    """A client node finds the name at a server, which executes the query once more."""
    register(world.s1, "named", Address="s1.node.consul")
    create(world.s1, "q", "named")
    for node in (world.s1, world.c1):
        for options in ((), ("+tcp",)):
            assert node.dig("q.query.consul", "A", *options) == ["s1.node.consul.", world.s1.address], node.name
            assert node.dig("q.query.consul", "SRV", *options) == ["1 1 80 s1.node.consul."]


# ---- dnsd without httpd ----

def test_dns_goes_on_while_httpd_hangs(world):
    create(world.s1, "q", "two", Failover={"Datacenters": ["dc2"]})
    pid = world.s1.pids()["httpd"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((world.s1.address, 0))
            s.settimeout(20)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            question = b"\1q\5query\6consul\0\0\1\0\1"
            for number in range(600):
                s.sendto(struct.pack(">H", number) + b"\1\0\0\1\0\0\0\0\0\0" + question, (world.s1.address, PORTS["dns"]))
                time.sleep(0.0005)
            assert ask_dns(world.s1, "s1.node.consul")[0] == 0, "other names are answered"
            refused = [s.recv(512)[3] & 15 for _ in range(88)]
            assert refused == [2] * 88, "what is too much is refused at once"
            status = world.s1.control("dnsd", "status")["detail"]
            assert status["executions"] == status["executions_max"] == 512
        rcode, seconds = ask_dns(world.s1, "other.query.consul")
        assert (rcode, seconds < 6) == (2, True)
        wait_until(lambda: world.s1.control("dnsd", "status")["detail"]["executions"] == 0)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert wait_until(lambda: world.s1.dig("q.query.consul")) == ["192.0.2.1"]
    world.s1.kill("httpd")
    assert wait_until(lambda: world.s1.dig("q.query.consul")) == ["192.0.2.1"]
