# SPDX-License-Identifier: Apache-2.0
"""Client nodes: they hold nothing, and answer as servers do, whichever of these are there."""
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import socket
import threading
import time

import pytest

from cluster import Cluster
from load import Load
from node import PORTS, wait_until

MANY = 600
NEVER_SAME = {"Date", "X-Consul-Lastcontact", "X-Consul-LastContact"}
SEED = {"Node": "outside", "Address": "192.0.2.1", "TaggedAddresses": {"wan": "192.0.2.9"}, "NodeMeta": {"rack": "7"},
        "Service": {"Service": "web", "ID": "web1", "Port": 80, "Tags": ["a", "b"]},
        "Check": {"Node": "outside", "CheckID": "c1", "Name": "c1", "Status": "passing", "ServiceID": "web1"}}

READS = [
    "/v1/status/leader", "/v1/status/peers",
    "/v1/kv/seed/a", "/v1/kv/seed/a?raw", "/v1/kv/seed/?recurse", "/v1/kv/seed/?keys&separator=/", "/v1/kv/none",
    "/v1/kv/seed/a?consistent", "/v1/kv/seed/odd%20%3Fkey?raw", "/v1/kv/",
    "/v1/catalog/datacenters", "/v1/catalog/nodes", "/v1/catalog/nodes?filter=Node==outside", "/v1/catalog/nodes?filter=bad",
    "/v1/catalog/services", "/v1/catalog/service/web", "/v1/catalog/service/web?tag=a&tag=b", "/v1/catalog/node/outside",
    "/v1/catalog/node-services/outside", "/v1/catalog/service/none", "/v1/catalog/service/web?cached",
    "/v1/health/node/outside", "/v1/health/checks/web", "/v1/health/state/any", "/v1/health/service/web?passing&pretty",
    "/v1/health/service/web?near=outside", "/v1/health/state/bogus",
    "/v1/session/list", "/v1/session/info/00000000-0000-0000-0000-000000000000", "/v1/session/info/x",
    "/v1/session/node/outside", "/v1/coordinate/nodes", "/v1/coordinate/node/outside",
    "/v1/internal/ui/nodes", "/v1/internal/ui/services", "/v1/internal/ui/node/outside",
    "/v1/operator/raft/configuration", "/v1/operator/autopilot/configuration", "/v1/connect/ca/roots", "/v1/acl/tokens",
    "/v1/discovery-chain/web", "/v1/catalog/connect/web", "/v1/nothing", "/v1/kv/seed/a?index=x", "/v1/kv/seed/a?wait=x",
    "/v1/catalog/nodes?stale&consistent", "/v1/kv/seed/a?dc=nowhere", "/v1/catalog/services?dc=nowhere", "/v1/kv/seed/a?dc=dc1",
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three servers s1 s2 s3 and two clients; each test leaves all of them running."""
    made = Cluster(tmp_path_factory.mktemp("clients"), 3)
    for name in ("c1", "c2"):
        made.add_client(name, config={"sync_coordinate_interval_min": "1h"})  # tests say where they are
    made.start()
    for client in made.clients:
        client.start()
    server = made.nodes[0]
    server.put("/v1/catalog/register", SEED)
    for key in ("a", "b/c", "odd%20%3Fkey"):
        server.put("/v1/kv/seed/" + key, "value of " + key)
    yield made
    made.cleanup()


@pytest.fixture
def small(tmp_path):
    """One server and one client, for tests that end them."""
    made = Cluster(tmp_path, 1)
    made.add_client("c1")
    made.start()
    made.clients[0].start()
    yield made
    made.cleanup()


def meaning(answer):
    """What a client program can see of an answer, but for what differs from instant to instant."""
    headers = sorted((k.title(), v) for k, v in answer.headers.items() if k not in NEVER_SAME)
    return answer.status, headers, answer.body


def held_by(server):
    return server.control("httpd", "status")["detail"]["held"]


# ---- answers ----

def test_four_daemons(cluster):
    client = cluster.clients[0]
    assert sorted(client.pids()) == ["checkd", "dnsd", "gossipd", "httpd"]
    status = client.muster("status", "-data-dir", str(client.data_dir))
    assert status.returncode == 0, status.stdout
    assert [line.split()[0] for line in status.stdout.split("\n")[1:] if line] == ["gossipd", "checkd", "dnsd", "httpd"]
    told = client.json("/v1/agent/self")
    assert told["Config"]["Server"] is False and told["Member"]["Tags"]["role"] == "node"
    assert told["Stats"]["consul"] == {"acl": "disabled", "known_servers": "3", "server": "false"}
    assert "raft" not in told["Stats"] and "serf_wan" not in told["Stats"]
    assert cluster.nodes[0].json("/v1/agent/self")["Stats"]["consul"]["known_datacenters"] == "1"
    assert client.json("/v1/agent/members?wan=1") is None
    assert len(client.json("/v1/agent/members")) == 5
    began = time.monotonic()
    assert client.put("/v1/agent/reload").status == 200
    assert client.get("/v1/agent/metrics").status == 200
    assert time.monotonic() - began < 1.5, "daemons are waited for that a client does not have"
    wait_until(lambda: client.get("/v1/kv/none").status == 404 and "consul.client.rpc" in {
        c["Name"] for c in client.json("/v1/agent/metrics")["Counters"]}, what="the metric of requests handed on", pause_s=0.5)
    assert client.put("/v1/agent/join/127.0.0.1?wan=1").text == "Must be a server to join WAN cluster"
    for port in ("serf_wan", "server", "peer_http"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((client.address, PORTS[port]))


def test_every_kind_of_read(cluster):
    """The same question to the leader and through a client: the same answer, headers included."""
    cluster.wait_settled()
    leader, client = cluster.leader(), cluster.clients[0]
    for path in READS:
        wanted, got = meaning(leader.get(path)), meaning(client.get(path))
        if wanted != got:  # the catalogue may have moved in between
            wait_until(lambda p=path: meaning(leader.get(p)) == meaning(client.get(p)), 5,
                       "%s: %r is not %r" % (path, got, wanted))


def test_every_kind_of_write(cluster):
    server = cluster.nodes[1]
    client = cluster.clients[0]
    assert client.put("/v1/kv/w/a?flags=7", b"\x00\xff" * 1000).text == "true"
    assert server.get("/v1/kv/w/a?raw").body == b"\x00\xff" * 1000
    index = client.json("/v1/kv/w/a")[0]["ModifyIndex"]
    assert client.put("/v1/kv/w/a?cas=%d" % (index + 1), "x").text == "false"
    assert client.put("/v1/kv/w/a?cas=%d" % index, "x").text == "true"
    answer = client.put("/v1/txn", [{"KV": {"Verb": "set", "Key": "w/b", "Value": "Yg=="}},
                                    {"KV": {"Verb": "get", "Key": "w/a"}}])
    assert answer.status == 200 and len(answer.json()["Results"]) == 2
    assert client.put("/v1/txn", [{"KV": {"Verb": "check-index", "Key": "w/b", "Index": 1}}]).status == 409
    session = client.put("/v1/session/create", {"TTL": "20s"}).json()["ID"]
    made = server.json("/v1/session/info/" + session)[0]
    assert made["Node"] == client.name, "the session is of the node that was asked"
    assert client.put("/v1/session/renew/" + session).json()[0]["ID"] == session
    assert client.put("/v1/kv/w/lock?acquire=" + session, "1").text == "true"
    assert client.put("/v1/session/destroy/" + session).text == "true"
    assert client.delete("/v1/kv/w/?recurse").text == "true"
    assert server.get("/v1/kv/w/?keys").status == 404
    node = {"Node": "by-client", "Address": "192.0.2.2", "Datacenter": "dc1"}
    assert client.put("/v1/catalog/register?dc=nowhere", node).text == "true"
    assert client.json("/v1/catalog/node/by-client")["Node"]["Address"] == "192.0.2.2"
    wrong = client.put("/v1/catalog/register", dict(node, Datacenter="nowhere"))
    assert (wrong.status, wrong.text) == (500, "No path to datacenter")
    place = {"Node": "by-client", "Coord": {"Vec": [0.5] * 8, "Error": 1, "Adjustment": 0, "Height": 0.01}}
    assert client.put("/v1/coordinate/update", place).status == 200
    wait_until(lambda: client.get("/v1/coordinate/node/by-client").json()[0]["Coord"]["Vec"][0] == 0.5)
    assert client.put("/v1/catalog/deregister", {"Node": "by-client"}).text == "true"
    config = client.json("/v1/operator/autopilot/configuration")
    assert client.put("/v1/operator/autopilot/configuration", config).status == 200
    assert client.get("/v1/operator/autopilot/health").json()["FailureTolerance"] == 1
    unknown = client.delete("/v1/operator/raft/peer?id=00000000-0000-0000-0000-000000000000")
    assert unknown.text == 'id "00000000-0000-0000-0000-000000000000" was not found in the Raft configuration'
    assert client.get("/v1/operator/keyring").text == "keyring operations must run against a server node"
    for body, status in (("x" * (512 * 1024), 200), ("x" * (512 * 1024 + 1), 413)):
        answer = client.put("/v1/kv/large", body)
        assert answer.status == status
        if status == 413:
            assert answer.text == server.put("/v1/kv/large", body).text
    client.delete("/v1/kv/large")


def test_events_stay_on_the_node(cluster):
    client = cluster.clients[0]
    fired = client.put("/v1/event/fire/hello?node=.*", "there").json()
    for node in cluster.nodes + cluster.clients:
        wait_until(lambda n=node: [e for e in n.json("/v1/event/list?name=hello") if e["ID"] == fired["ID"]])
    assert client.put("/v1/event/fire/hello?dc=nowhere").text == "No path to datacenter"


def test_this_agent_is_the_client(cluster):
    """near=_agent is the node that was asked, not the server that answers."""
    client = cluster.clients[0]
    for name, at in ((client.name, 0.9), ("near1", 0.9), ("near2", 0.1)):
        client.put("/v1/catalog/register", {"Node": name, "Address": "192.0.2.3", "SkipNodeUpdate": name == client.name})
        client.put("/v1/coordinate/update", {"Node": name, "Coord": {"Vec": [at] + [0] * 7, "Error": 1, "Adjustment": 0,
                                                                     "Height": 0.0001}})
    wait_until(lambda: {(c["Node"], c["Coord"]["Vec"][0]) for c in client.json("/v1/coordinate/nodes")} >= {
        (client.name, 0.9), ("near1", 0.9), ("near2", 0.1)})
    order = [n["Node"] for n in client.json("/v1/catalog/nodes?near=_agent")]
    assert order.index("near1") < order.index("near2")
    assert order == [n["Node"] for n in cluster.nodes[0].json("/v1/catalog/nodes?near=" + client.name)]
    for name in ("near1", "near2"):
        client.put("/v1/catalog/deregister", {"Node": name})


def test_compressed_answers_pass(cluster):
    client = cluster.clients[0]
    plain = client.get("/v1/kv/seed/?recurse")
    packed = client.get("/v1/kv/seed/?recurse", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert packed.headers.get_all("Vary") == ["Accept-Encoding"]
    assert packed.headers["X-Consul-Index"] == plain.headers["X-Consul-Index"]


def test_settings_of_the_node_that_is_asked(tmp_path, cluster):
    """discovery_max_stale and headers of the configuration are the client's; the server's are not seen."""
    client = cluster.add_client("own", config={
        "discovery_max_stale": "10s", "http_config": {"response_headers": {"X-Own": "client"},
                                                      "block_endpoints": ["/v1/status"]}})
    try:
        client.start()
        answer = client.get("/v1/catalog/nodes")
        assert answer.headers["X-Consul-Effective-Consistency"] == "stale" and answer.headers["X-Own"] == "client"
        assert client.get("/v1/catalog/nodes?leader").headers["X-Consul-Effective-Consistency"] == "leader"
        assert client.get("/v1/status/leader").status == 403
        left = client.muster("leave")
        assert left.returncode == 0, left.stderr
    finally:
        client.cleanup()
        cluster.clients.remove(client)
    # A name that is no beginning of an id: such a one finds a node too.
    wait_until(lambda: not cluster.nodes[0].json("/v1/catalog/node/own"))


# ---- queries that wait ----

def test_blocking(cluster):
    """A held query wakes by what it asks for, keeps its index, and waits as long as it says."""
    client = cluster.clients[1]
    client.put("/v1/kv/block", "1")
    index = client.get("/v1/kv/block").index
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(client.get("/v1/kv/block?wait=60s&index=%d" % index)))
    waiter.start()
    wait_until(lambda: sum(held_by(s) for s in cluster.nodes) >= 1)
    cluster.clients[0].put("/v1/kv/other", "x")
    cluster.clients[0].put("/v1/kv/block", "2")
    waiter.join(10)
    assert answers and answers[0].index > index and answers[0].json()[0]["Value"] == "Mg=="
    began = time.monotonic()
    again = client.get("/v1/kv/block?wait=1s&index=%d" % answers[0].index)
    assert again.index == answers[0].index and 0.9 < time.monotonic() - began < 5


def test_a_client_that_goes_takes_its_query_along(cluster):
    client = cluster.clients[0]
    index = client.get("/v1/kv/seed/a").index
    before = sum(held_by(s) for s in cluster.nodes)
    sockets = []
    for _ in range(20):
        connection = socket.create_connection((client.address, PORTS["http"]))
        connection.sendall(b"GET /v1/kv/seed/a?wait=300s&index=%d HTTP/1.1\r\nHost: x\r\n\r\n" % index)
        sockets.append(connection)
    wait_until(lambda: sum(held_by(s) for s in cluster.nodes) >= before + 20)
    for connection in sockets:
        connection.close()
    wait_until(lambda: sum(held_by(s) for s in cluster.nodes) <= before, 5, "queries that nobody waits for any more")
    assert client.control("httpd", "status")["detail"]["forwards"] <= 4


def test_held_queries_outlive_a_server_and_an_httpd(cluster):
    """One that waits at a server that dies is asked again elsewhere; when the client's httpd is restarted it is answered."""
    client = cluster.clients[0]
    client.put("/v1/kv/hold", "1")
    index = client.get("/v1/kv/hold").index
    answers = []
    waiters = [threading.Thread(target=lambda: answers.append(client.get("/v1/kv/hold?wait=120s&index=%d" % index)))
               for _ in range(9)]
    for waiter in waiters:
        waiter.start()
    wait_until(lambda: sum(held_by(s) for s in cluster.nodes) >= 9)
    victim = max(cluster.nodes, key=held_by)
    victim.crash()
    wait_until(lambda: sum(held_by(s) for s in cluster.alive()) >= 9, what="held again elsewhere")
    assert not answers
    wait_until(lambda: client.put("/v1/kv/hold", "2").text == "true")
    for waiter in waiters:
        waiter.join(20)
    assert [a.json()[0]["Value"] for a in answers] == ["Mg=="] * 9
    victim.start(wait=False)
    victim.wait_member(3)
    index = client.get("/v1/kv/hold").index
    answers.clear()
    waiters = [threading.Thread(target=lambda: answers.append(client.get("/v1/kv/hold?wait=120s&index=%d" % index)))
               for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    wait_until(lambda: client.control("httpd", "status")["detail"]["forwards"] >= 3)
    pid = client.pid_of("httpd")
    client.kill("httpd", 15)
    for waiter in waiters:
        waiter.join(20)
    client.wait_restarted("httpd", pid)
    assert [(a.status, a.index) for a in answers] == [(200, index)] * 3


@contextlib.contextmanager
def held_for_long(cluster, client, key):
    """Nine queries of a client that have waited for longer than performance.rpc_hold_timeout, over connections between nodes
    that served others before. Gives the index that all have, and the answers that come; all come in the end."""
    client.put("/v1/kv/" + key, "1")
    index, answers = client.get("/v1/kv/" + key).index, []

    def start(wait):
        path = "/v1/kv/%s?wait=%s&index=%d" % (key, wait, index)
        threads = [threading.Thread(target=lambda: answers.append(client.get(path))) for _ in range(9)]
        for thread in threads:
            thread.start()
        wait_until(lambda: sum(held_by(s) for s in cluster.nodes) >= 9)
        return threads
    for thread in start("1s"):  # leaves connections behind
        thread.join(20)
    assert [a.status for a in answers] == [200] * 9
    answers.clear()
    waiters = start("120s")
    time.sleep(8)
    try:
        yield index, answers
    finally:
        client.put("/v1/kv/" + key, "2")
        for waiter in waiters:
            waiter.join(20)
    assert [a.status for a in answers] == [200] * 9, answers[0].text


def test_queries_held_for_long_outlive_a_servers_httpd(cluster):
    """It is killed: they are asked again elsewhere, however long they had waited."""
    with held_for_long(cluster, cluster.clients[1], "long") as (_, answers):
        victim = max(cluster.nodes, key=held_by)
        victim.wait_restarted("httpd", victim.kill("httpd"))
        wait_until(lambda: sum(held_by(s) for s in cluster.nodes) >= 9 or answers, what="held again")
        assert not answers, answers[0].text


def test_queries_held_for_long_are_answered_at_the_end(cluster):
    """Their node's httpd is replaced: they are told what there is, not that nobody can tell."""
    client = cluster.clients[1]
    with held_for_long(cluster, client, "end") as (index, answers):
        client.wait_restarted("httpd", client.kill("httpd", 15))
        wait_until(lambda: len(answers) == 9)
        assert [(a.status, a.index) for a in answers] == [(200, index)] * 9, answers[0].text


def test_many_held_queries(tmp_path):
    """Far more queries than a server takes clients from one address wait through one client node, and all of them wake."""
    made = Cluster(tmp_path, 1)
    client = made.add_client("c1", config={"limits": {"http_max_conns_per_client": 5000}})
    sockets = []
    try:
        made.start()
        client.start()
        client.put("/v1/kv/many", "1")
        ask = b"GET /v1/kv/many?wait=300s&index=%d HTTP/1.1\r\nHost: x\r\n\r\n" % client.get("/v1/kv/many").index
        for _ in range(MANY):
            sockets.append(socket.create_connection((client.address, PORTS["http"])))
            sockets[-1].sendall(ask)
        wait_until(lambda: held_by(made.nodes[0]) == MANY)
        client.put("/v1/kv/many", "2")
        for one in sockets:
            one.settimeout(40)
            assert b'"Value":"Mg=="' in read_answer(one)
        assert client.control("httpd", "status")["detail"]["forwards"] == 0
        for one in sockets[:MANY // 2]:
            one.close()
        assert client.get("/v1/kv/many?raw").text == "2"
    finally:
        for one in sockets:
            one.close()
        made.cleanup()


def read_answer(connection):
    got = b""
    while b"]" not in got:
        more = connection.recv(65536)
        assert more, got
        got += more
    return got


# ---- large things ----

def test_long_answers(cluster):
    """50 MB through a client, at the reader's pace and without being kept in memory."""
    client, server = cluster.clients[0], cluster.nodes[2]
    for n in range(100):
        assert client.put("/v1/kv/big/%03d" % n, bytes([n]) * 500_000).text == "true"
    try:
        wanted = server.get("/v1/kv/big/?recurse").body
        assert client.get("/v1/kv/big/?recurse").body == wanted
        connection = http.client.HTTPConnection(client.address, PORTS["http"], timeout=30)
        connection.request("GET", "/v1/kv/big/?recurse")
        slow = connection.getresponse()
        read = slow.read(1000)
        time.sleep(0.5)
        held = client.control("httpd", "status")["detail"]["forwards_held_bytes"]
        waiting = sum(c["out"] for c in client.control("httpd", "dump")["dump"]["connections"])
        assert 0 < held + waiting < 2_000_000, "%d and %d bytes are held" % (held, waiting)
        assert read + slow.read() == wanted
        connection.close()
        cut = socket.create_connection((client.address, PORTS["http"]))
        cut.sendall(b"GET /v1/kv/big/?recurse HTTP/1.1\r\nHost: x\r\n\r\n")
        cut.recv(100_000)
        cut.close()
        wait_until(lambda: client.control("httpd", "status")["detail"]["forwards"] == 0)
        assert client.get("/v1/kv/seed/a?raw").text == "value of a"
    finally:
        client.delete("/v1/kv/big/?recurse")


def test_snapshots(small, tmp_path):
    client, server = small.clients[0], small.nodes[0]
    server.put("/v1/kv/kept", "1")
    for n in range(20):
        server.put("/v1/kv/bulk/%d" % n, bytes((n * i) & 0xff for i in range(500_000)))
    archive = tmp_path / "backup"
    assert client.muster("snapshot", "save", str(archive)).returncode == 0
    answer = client.get("/v1/snapshot")
    assert answer.headers["Content-Type"] == "application/x-gzip" and answer.index > 0
    server.delete("/v1/kv/kept")
    assert client.muster("snapshot", "restore", str(archive)).returncode == 0
    assert client.get("/v1/kv/kept?raw").text == "1"
    wait_until(lambda: client.put("/v1/snapshot", b"no archive").status == 500)  # 429 while the last one is at work


def test_pipelined_requests(cluster):
    client = cluster.clients[0]
    with socket.create_connection((client.address, PORTS["http"])) as connection:
        connection.sendall(b"".join(b"GET /v1/kv/seed/a?raw HTTP/1.1\r\nHost: x\r\n\r\n" for _ in range(50)))
        connection.settimeout(20)
        got = b""
        while got.count(b"value of a") < 50:
            got += connection.recv(65536)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 50


def test_a_client_that_has_ended_its_side_gets_its_answers(cluster):
    client = cluster.clients[0]
    for count in (1, 3):
        with socket.create_connection((client.address, PORTS["http"])) as connection:
            connection.sendall(b"GET /v1/kv/seed/a?raw HTTP/1.1\r\nHost: x\r\n\r\n" * count)
            connection.shutdown(socket.SHUT_WR)
            got = b""
            while piece := connection.recv(65536):
                got += piece
        assert got.count(b"HTTP/1.1 200 OK\r\n") == got.count(b"value of a") == count


# ---- servers that go ----

@pytest.mark.parametrize("whom", ["leader", "follower"])
def test_no_request_fails_when_a_server_dies(cluster, whom):
    """Reads of every strength and writes through clients while a server is killed and comes back: none fails, none is
    lost, none is done twice, all is linearizable."""
    cluster.wait_settled()
    victim = cluster.leader() if whom == "leader" else cluster.followers()[0]
    with Load(cluster.clients) as load:
        load.progress(100)
        victim.crash()
        load.progress(300)
        victim.start(wait=False)
        victim.wait_member(3)
        load.progress(300)
    cluster.wait_settled()
    assert not load.errors, load.errors[:5]
    load.backward.clear()  # each of its stale reads may come from another server
    load.check(cluster.clients[0])


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_server_that_knows_no_leader_is_left(tmp_path, coding):
    """It says so at last, in whatever form its client takes answers, and another one is asked."""
    cluster = Cluster(tmp_path, 3, config={"performance": {"raft_multiplier": 3, "rpc_hold_timeout": "500ms"}})
    client = cluster.add_client("c1", config={"performance": {"rpc_hold_timeout": "30s"}})
    try:
        cluster.start()
        client.start()
        follower = cluster.followers()[0]
        pid = follower.kill("catalogd", 19)
        before = client.control("httpd", "status")["detail"]["forward_retries"]
        for _ in range(100):
            answer = client.get("/v1/kv/none", headers={"Accept-Encoding": coding})
            assert answer.status == 404, gzip.decompress(answer.body) if coding == "gzip" else answer.text
            if client.control("httpd", "status")["detail"]["forward_retries"] > before:
                break
        else:
            raise AssertionError("the server that knows no leader was never asked")
        os.kill(pid, 18)
    finally:
        cluster.cleanup()


def test_what_is_cut_off_is_done_once(cluster):
    """The httpds of servers are killed again and again under a writer that checks and sets: a write that was cut off and
    done twice would find its own first one in the way."""
    cluster.wait_settled()
    client, stop, kills = cluster.clients[0], threading.Event(), []

    def killer():
        while not stop.is_set():
            for server in cluster.nodes:
                pid = server.pid_of("httpd")
                if pid:
                    os.kill(pid, 9)
                    kills.append(server.name)
                stop.wait(0.15)
    client.put("/v1/kv/once", "0")
    thread = threading.Thread(target=killer)
    thread.start()
    try:
        number, began = 0, time.monotonic()
        while time.monotonic() - began < 6 or len(kills) <= 10 or number <= 5:
            assert time.monotonic() - began < 120, "only %d writes and %d kills" % (number, len(kills))
            index = client.json("/v1/kv/once")[0]["ModifyIndex"]
            number += 1
            answer = client.put("/v1/kv/once?cas=%d" % index, str(number))
            assert (answer.status, answer.text) == (200, "true"), "write %d after %d kills" % (number, len(kills))
    finally:
        stop.set()
        thread.join()
    cluster.wait_settled()
    assert client.get("/v1/kv/once?raw").text == str(number)


def peer_connections(servers):
    """How many there are, or were within the last minute, with port 8310 of these servers."""
    doors = {"%s:%04X" % (socket.inet_aton(s.address)[::-1].hex().upper(), PORTS["peer_http"]) for s in servers}
    lines = pathlib.Path("/proc/net/tcp").read_text().split("\n")[1:-1]
    ends = [line.split()[1:3] for line in lines]
    return len({frozenset(pair) for pair in ends if doors & set(pair) and "00000000:0000" not in pair})


def test_connections_to_servers_are_used_again(cluster):
    before = peer_connections(cluster.nodes)
    for n in range(100):
        assert cluster.clients[0].get("/v1/kv/seed/a").status == 200
        assert cluster.clients[0].put("/v1/kv/again", str(n)).text == "true"
    assert 0 < peer_connections(cluster.nodes) < before + 20


def test_all_servers_spread_the_work(cluster):
    """After a server came back, it gets its part again."""
    before = [s.control("httpd", "status")["detail"]["requests"] for s in cluster.nodes]
    for _ in range(300):
        cluster.clients[0].get("/v1/kv/seed/a")
    after = [s.control("httpd", "status")["detail"]["requests"] for s in cluster.nodes]
    shares = [b - a for a, b in zip(before, after)]
    assert min(shares) > 40, shares


def test_without_servers(small):
    """Clear errors soon, all that is the agent's own goes on, and all is well when a server is back."""
    client, server = small.clients[0], small.nodes[0]
    assert client.put("/v1/agent/service/register", {"Name": "before", "Port": 1}).status == 200
    wait_until(lambda: server.json("/v1/catalog/service/before")[0]["Node"] == "c1")
    server.crash()
    for path, body in (("/v1/kv/a", None), ("/v1/catalog/nodes", None), ("/v1/kv/a", "1"), ("/v1/health/state/any", None)):
        began = time.monotonic()
        answer = client.put(path, body) if body else client.get(path)
        assert answer.status == 500 and time.monotonic() - began < 1.5, answer.text
        assert answer.text == "No known Consul servers" or answer.text.startswith("rpc error "), answer.text
    assert client.get("/v1/catalog/nodes").headers["X-Consul-KnownLeader"] == "false"
    wait_until(lambda: client.get("/v1/kv/a").text == "No known Consul servers", 60)
    assert client.get("/v1/kv/a").headers.get("X-Consul-Index") is None
    assert client.get("/v1/catalog/nodes").headers["X-Consul-Index"] == "1"
    assert client.put("/v1/agent/service/register", {"Name": "meanwhile", "Port": 2}).status == 200
    assert set(client.json("/v1/agent/services")) == {"before", "meanwhile"}
    assert client.put("/v1/agent/service/deregister/before").status == 200
    assert json.loads(client.get("/v1/event/list").text) is not None
    server.start()
    wait_until(lambda: client.put("/v1/kv/a", "1").text == "true")
    wait_until(lambda: [s["ServiceID"] for s in client.json("/v1/catalog/service/meanwhile")] == ["meanwhile"], 60)
    wait_until(lambda: client.json("/v1/catalog/service/before") == [], 60)


def test_a_hung_server_is_left(small):
    """One that is stopped in the middle takes its connections, but answers nothing: gossip knows, and nobody waits for it."""
    second = small.add("s2")
    second.start(wait=False)
    second.wait_member(2)
    client = small.clients[0]
    wait_until(lambda: client.json("/v1/agent/self")["Stats"]["consul"]["known_servers"] == "2")
    small.wait_settled()
    follower = small.followers()[0]
    pids = [follower.kill(daemon, 19) for daemon in ("httpd", "gossipd")]
    try:
        for _ in range(12):
            began = time.monotonic()
            assert client.get("/v1/kv/seed?stale").status == 404
            assert time.monotonic() - began < 20
        wait_until(lambda: client.json("/v1/agent/self")["Stats"]["consul"]["known_servers"] == "1")
        began = time.monotonic()
        for _ in range(20):
            assert client.get("/v1/kv/seed?stale").status == 404
        assert time.monotonic() - began < 5
    finally:
        for pid in pids:
            os.kill(pid, 18)
