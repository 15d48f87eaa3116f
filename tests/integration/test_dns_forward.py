# SPDX-License-Identifier: Apache-2.0
"""DNS on client nodes and across data centres: what a node cannot answer itself it asks the dnsd of a server (port 8311). SD09, DC03,
F08, U01."""
import os
import pathlib
import signal
import socket
import sys
import time

import pytest

from cluster import ClientNode, Cluster
from dns_client import Flood, ask, tcp_answer, tcp_connect, tcp_query
from node import PORTS, free_address, wait_until
from peers import Gossipd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from harness import upstream, wire_dns  # noqa: E402

def dns_status(node):
    return node.control("dnsd", "status")["detail"]


def client_of(cluster, name="c1", **options):
    """A client node whose dnsd has found all servers."""
    client = cluster.add_client(name, **options)
    client.start(wait=False)
    wait_until(lambda: dns_status(client)["servers"] == len(cluster.nodes), what="dnsd of a client knows the servers")
    return client


def catalog_register(node, **fields):
    answer = node.put("/v1/catalog/register", fields)
    assert answer.status == 200, answer.text


def fill(node):
    """One of each kind of thing that has a name."""
    catalog_register(node, Node="ext-1", Address="10.8.0.1", NodeMeta={"rack": "r1", "rfc1035-x": "plain"},
                     Service={"Service": "web", "ID": "w1", "Port": 80, "Tags": ["v1", "a.b"]})
    catalog_register(node, Node="ext-2", Address="10.8.0.2", Service={"Service": "web", "Port": 81, "Address": "10.8.1.2"})
    catalog_register(node, Node="ext.6", Address="2001:db8::6", Service={"Service": "six", "Port": 82})
    catalog_register(node, Node="named", Address="www.example.com", Service={"Service": "out", "Port": 443})
    catalog_register(node, Node="ext-1", Address="10.8.0.1", Service={"Service": "alias", "Port": 1, "Address": "web.service.consul"})
    catalog_register(node, Node="ill", Address="10.8.0.9", Service={"Service": "ill", "Port": 1},
                     Check={"CheckID": "c", "ServiceID": "ill", "Status": "critical"})
    for i in range(60):
        catalog_register(node, Node="many-%02d" % i, Address="10.8.2.%d" % i, Service={"Service": "many", "Port": 1000 + i})


def names(dc=""):
    at = dc + ".consul" if dc else "consul"
    return [("web.service." + at, "A"), ("WeB.Service." + at, "A"), ("web.service." + at, "SRV"), ("v1.web.service." + at, "A"),
            ("a.b.web.service." + at, "SRV"), ("_web._v1.service." + at, "SRV"), ("_web._tcp." + at, "SRV"),
            ("web.service." + at, "AAAA"), ("web.service." + at, "ANY"), ("web.service." + at, "MX"), ("six.service." + at, "AAAA"),
            ("six.service." + at, "SRV"), ("ill.service." + at, "A"), ("nope.service." + at, "SRV"), ("out.service." + at, "A"),
            ("out.service." + at, "SRV"), ("alias.service." + at, "A"), ("ext-1.node." + at, "A"), ("ext-1.node." + at, "TXT"),
            ("ext-1.node." + at, "ANY"), ("ext-1.node." + at, "MX"), ("ext.6.node." + at, "AAAA"), ("ext.6.node." + at, "A"),
            ("nope.node." + at, "A"), ("0a080001.addr." + at, "A"), ("zz.addr." + at, "A"), ("x." + at, "A"), ("node." + at, "A"),
            ("web.service.a.b." + at, "A"), ("web.connect." + at, "A")]


ZONE = [("consul", "SOA"), ("consul", "NS"), ("x.consul", "SOA"), ("consul", "A"), ("consul", "AXFR"), ("www.example.com", "A"),
        ("1.0.8.10.in-addr.arpa", "PTR"), ("2.1.8.10.in-addr.arpa", "PTR"), ("9.9.9.9.in-addr.arpa", "PTR"),
        ("1.0.8.10.in-addr.arpa", "SOA")]
LARGE = [("many.service.consul", "A"), ("many.service.consul", "SRV")]
WAYS = [{}, {"edns": 512}, {"edns": 1232}, {"edns": 65000}, {"edns": 1400, "options": wire_dns.encode_ecs("198.18.0.0/24")},
        {"flags": 0}, {"tcp": True}]


def asked(node, name, kind, tcp=False, **options):
    if not tcp:
        return ask(node, name, kind, **options)
    with tcp_connect(node) as sock:
        sock.sendall(tcp_query(name, kind, qid=0x1234))
        return tcp_answer(sock)


def comparable(message):
    """Without what differs from one answer to the next: order, and the serial of the zone."""
    def record(rr):
        return tuple("serial" if rr[3] == "SOA" and i > 3 else str(part) for i, part in enumerate(rr))
    return (message.qid, message.flags, message.rcode, message.questions, message.edns,
            [sorted(map(record, s)) for s in message.sections])


def counts(message):
    return (message.qid, message.flags, message.rcode, message.edns, [len(s) for s in message.sections])


def assert_same(one, other, questions, compare=comparable):
    for name, kind in questions:
        for way in WAYS:
            a, b = asked(one, name, kind, **way), asked(other, name, kind, **way)
            assert (a is None) == (b is None), (name, kind, way)
            assert a is None or compare(a) == compare(b), (name, kind, way)


@pytest.fixture
def make_cluster(tmp_path):
    made = []

    def make(size, **options):
        made.append(Cluster(tmp_path, size, **options))
        return made[-1].start()
    yield make
    for cluster in made:
        cluster.cleanup()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A server and a client node."""
    directory = tmp_path_factory.mktemp("pair")
    cluster = Cluster(directory, 1).start()
    fill(cluster.nodes[0])
    client = client_of(cluster)
    wait_until(lambda: len(ask(client, "many.service.consul", "A", edns=4096).sections[0]) == 60)
    yield cluster.nodes[0], client
    cluster.cleanup()


def test_a_client_node_answers_as_a_server(pair):
    server, client = pair
    assert_same(server, client, names() + names("dc1") + names("dc9") + ZONE)
    assert_same(server, client, LARGE, counts)
    assert dns_status(client)["questions"] == 0


def test_the_peer_port_answers_for_its_data_centre_only(pair):
    """By hand, without what nodes tell each other: answered, but never handed on, nor relayed."""
    server, _ = pair

    def by_hand(name, kind="A", **options):
        reply = wire_dns.ask_udp(server.address, PORTS["peer_dns"], wire_dns.encode_query(name, wire_dns.TYPES[kind], **options), 15)
        return wire_dns.Message(reply)
    assert by_hand("web.service.consul").rcode == "NOERROR"
    assert by_hand("web.service.dc9.consul").rcode == "SERVFAIL"
    assert by_hand("www.example.com").rcode == "REFUSED"
    assert by_hand("9.9.9.9.in-addr.arpa", "PTR").rcode == "NXDOMAIN"
    long = by_hand("many.service.consul", "SRV", edns=8192, options=b"\xfd\xe9\x00\x02\x01\x02")
    assert long.flags.count("tc") == 1 and long.sections[0] == []
    for junk in (b"", b"x", b"\0" * 12, b"\xff" * 300, b"\x12\x34\x80\0\0\1\0\0\0\0\0\0\0\0\1\0\1"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(junk, (server.address, PORTS["peer_dns"]))
    assert by_hand("web.service.consul").rcode == "NOERROR"


def test_a_prepared_query_that_leads_to_a_name_nobody_can_look_up(pair):
    """The client learns so, and does not wait in vain."""
    server, client = pair
    assert server.request("POST", "/v1/query", {"Name": "leads", "Service": {"Service": "alias"}}).status == 200
    wait_until(lambda: ask(client, "leads.query.consul").rcode == "NOERROR")
    server.kill("dnsd", signal.SIGSTOP)
    try:
        answer = ask(client, "leads.query.consul", edns=1111)  # not as it was asked before
        assert answer and answer.rcode == "SERVFAIL"
    finally:
        server.kill("dnsd", signal.SIGCONT)


@pytest.mark.parametrize("who, ways", [("server", (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)), ("client", (signal.SIGTERM,) * 3)])
def test_dnsd_is_replaced_without_a_lost_question(pair, who, ways):
    server, client = pair
    node = server if who == "server" else client
    floods = [Flood(client, name="ext-1.node.consul"), Flood(client, tcp=True, name="ext-1.node.consul")]
    for sig in ways:
        node.wait_restarted("dnsd", node.kill("dnsd", sig))
    for flood in floods:
        flood.stop()


def test_a_server_killed_under_load(make_cluster):
    """Clients of a client node notice nothing: another server is asked."""
    cluster = make_cluster(3)
    catalog_register(cluster.leader(), Node="ext-1", Address="10.8.0.1")
    client = client_of(cluster)
    for node in cluster.nodes:
        wait_until(lambda n=node: n.dig("ext-1.node.consul") == ["10.8.0.1"])
    floods = [Flood(client, tcp=tcp, name="ext-1.node.consul") for tcp in (False, False, False, True)]
    for victim in (cluster.leader(), cluster.followers()[0]):
        victim.crash()
        before = floods[0].asked
        wait_until(lambda b=before: floods[0].asked > b + 100)
        victim.start(wait=False)
        victim.wait_member(3)
        cluster.wait_settled()
    # one that says nothing any more, and refuses nothing either
    mute = cluster.followers()[0]
    mute.kill("dnsd", signal.SIGSTOP)
    before = floods[0].asked
    wait_until(lambda: floods[0].asked > before + 100)
    mute.kill("dnsd", signal.SIGCONT)
    # and without gossipd what was known of the servers stays
    client.wait_restarted("gossipd", client.kill("gossipd"))
    for flood in floods:
        flood.stop()


def took(question):
    began = time.monotonic()
    answer = question()
    return answer, time.monotonic() - began


def test_without_servers_the_last_answers_then_none(make_cluster):
    cluster = make_cluster(1)
    server = cluster.nodes[0]
    catalog_register(server, Node="ext-1", Address="10.8.0.1", Service={"Service": "web", "Port": 80})
    client = client_of(cluster, config={"dns_config": {"cache_max_age": "15s"}})
    for name, kind in (("web.service.consul", "SRV"), ("nope.service.consul", "A")):
        wait_until(lambda n=name, k=kind: ask(client, n, k).rcode != "SERVFAIL")
    known = comparable(ask(client, "web.service.consul", "SRV"))
    killed = time.monotonic()
    server.crash()
    answer, seconds = took(lambda: ask(client, "WEB.service.consul", "SRV"))
    assert answer.rcode == "NOERROR" and seconds < 3, (answer.rcode, seconds)
    assert comparable(ask(client, "web.service.consul", "SRV")) == known
    assert ask(client, "nope.service.consul").rcode == "NXDOMAIN"
    # what nobody asked before, or asked differently
    answer, seconds = took(lambda: ask(client, "ext-1.node.consul"))
    assert answer.rcode == "SERVFAIL" and "aa" in answer.flags and seconds < 3
    assert ask(client, "1.0.8.10.in-addr.arpa", "PTR").rcode == "SERVFAIL"
    assert ask(client, "0a080001.addr.consul").rcode == "NOERROR"  # no server is needed for that
    wait_until(lambda: ask(client, "web.service.consul", "SRV").rcode == "SERVFAIL")
    assert time.monotonic() - killed > 12
    server.start(wait=False)
    wait_until(lambda: ask(client, "web.service.consul", "SRV").rcode == "NOERROR")
    wait_until(lambda: ask(client, "ext-1.node.consul").rcode == "NOERROR")


def processor_s(pid):
    """What a process has used."""
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_many_servers_of_which_none_answers(make, tmp_path):
    """They are alive in gossip, but nobody listens on their port for DNS: a question asks a few of them, and waits in between."""
    first = make(Gossipd, "s1", config={"server": True}).start()
    servers = [first] + [make(Gossipd, "s%d" % i, config={"server": True, "retry_join": [first.address]}).start() for i in range(2, 8)]
    client = ClientNode(tmp_path / "c1", "c1", [first.address])
    try:
        client.start(wait=False)
        wait_until(lambda: dns_status(client)["servers"] == len(servers), what="dnsd of a client knows the servers")
        before, began = processor_s(client.pid_of("dnsd")), time.monotonic()
        for i in range(4):
            assert ask(client, "web-%d.service.consul" % i).rcode == "SERVFAIL"
        seconds = time.monotonic() - began
        assert 3 < seconds and processor_s(client.pid_of("dnsd")) - before < seconds / 5
    finally:
        client.cleanup()


def test_use_cache_and_its_age(make_cluster):
    cluster = make_cluster(1)
    server = cluster.nodes[0]
    client = client_of(cluster, config={"dns_config": {"use_cache": True, "cache_max_age": "4s"}})
    assert wait_until(lambda: ask(client, "web.service.consul")).rcode == "NXDOMAIN"
    noted = time.monotonic()
    catalog_register(server, Node="ext-1", Address="10.8.0.1", Service={"Service": "web", "Port": 80})
    wait_until(lambda: server.dig("web.service.consul") == ["10.8.0.1"])
    old = ask(client, "web.service.consul")
    assert old.rcode == "NXDOMAIN" or time.monotonic() - noted > 4
    assert dns_status(client)["cached"] >= 1
    wait_until(lambda: ask(client, "web.service.consul").rcode == "NOERROR", 20)
    assert time.monotonic() - noted > 3


def test_a_reverse_name_that_is_gone(make_cluster):
    """The servers say so, and the last answer is no better than that, now and when nobody can be asked."""
    cluster = make_cluster(1)
    server = cluster.nodes[0]
    client = client_of(cluster)
    catalog_register(server, Node="ext-1", Address="10.8.0.1")
    wait_until(lambda: client.dig("1.0.8.10.in-addr.arpa", "PTR") == ["ext-1.node.dc1.consul."])
    assert ask(client, "1.0.8.10.in-addr.arpa", "PTR").rcode == "NOERROR"
    assert server.put("/v1/catalog/deregister", {"Node": "ext-1"}).status == 200
    wait_until(lambda: ask(server, "1.0.8.10.in-addr.arpa", "PTR").rcode == "SERVFAIL")
    assert ask(client, "1.0.8.10.in-addr.arpa", "PTR").rcode == "SERVFAIL"
    server.crash()
    assert ask(client, "1.0.8.10.in-addr.arpa", "PTR").rcode == "SERVFAIL"


def test_recursors_of_a_client_node(make_cluster):
    """Its own, for what is not of the cluster; a reverse name is asked in the cluster first."""
    place = free_address()
    up = upstream.Upstream(place)
    cluster = make_cluster(1)
    client = client_of(cluster, config={"recursors": [place + ":5300"]})
    try:
        catalog_register(cluster.nodes[0], Node="ext-1", Address="10.8.0.1")
        wait_until(lambda: client.dig("1.0.8.10.in-addr.arpa", "PTR") == ["ext-1.node.dc1.consul."])
        assert client.dig("a-one.test") == ["192.0.2.1"]
        assert client.dig("a-one.test", "A", "+tcp") == ["192.0.2.1"]
        assert "ra" in ask(client, "ext-1.node.consul").flags
        answer = ask(client, "9.9.9.9.in-addr.arpa", "PTR")
        assert answer.rcode == "NOERROR" and answer.sections[1][0][0] == "test."
        cluster.nodes[0].crash()
        last = ask(client, "ext-1.node.consul")  # as it was kept
        assert last.rcode == "NOERROR" and "ra" in last.flags
    finally:
        up.stop()


def test_only_what_the_leader_knows(make_cluster):
    """dns_config.allow_stale off: a follower and a client node answer with what was written a moment ago; without a leader nobody."""
    strict = {"dns_config": {"allow_stale": False}}
    cluster = make_cluster(3, config=strict)
    leader = cluster.leader()
    follower = cluster.followers()[0]
    client = client_of(cluster, config=strict)
    wait_until(lambda: client.dig("consul.service.consul"))
    wait_until(lambda: follower.dig("consul.service.consul"))
    for i in range(30):
        catalog_register(leader, Node="new-%d" % i, Address="10.8.3.%d" % i)
        for node in (follower, client, leader):
            assert node.dig("new-%d.node.consul" % i) == ["10.8.3.%d" % i], node.name
    for node in (follower, client):
        assert ask(node, "new-1.node.consul").rcode == "NOERROR"  # which is no answer for later
    for node in cluster.nodes:
        if node is not follower:
            node.crash()
    wait_until(lambda: ask(follower, "new-1.node.consul").rcode == "SERVFAIL")
    assert ask(client, "new-1.node.consul").rcode == "SERVFAIL"
    assert ask(client, "new-2.node.consul", edns=700).rcode == "SERVFAIL"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two data centres of one server each, and a client node in the first."""
    directory = tmp_path_factory.mktemp("two")
    one = Cluster(directory / "one", 1, config={"datacenter": "dc1"}).start()
    other = Cluster(directory / "other", 1, config={"datacenter": "dc2", "retry_join_wan": [one.nodes[0].address]}).start()
    fill(other.nodes[0])
    client = client_of(one, config={"datacenter": "dc1"})
    try:
        for node in (one.nodes[0], client):
            wait_until(lambda n=node: n.dig("ext-1.node.dc2.consul") == ["10.8.0.1"], what="dc2 through " + node.name)
        yield one.nodes[0], other.nodes[0], client
    finally:
        one.cleanup()
        other.cleanup()


def test_names_of_another_data_centre(two):
    here, there, client = two
    for node in (here, client):
        assert_same(there, node, names("dc2"))
        assert_same(there, node, [("many.service.dc2.consul", "A"), ("many.service.dc2.consul", "SRV")], counts)
    assert here.dig("web.service.dc2.consul", "SRV")[0].endswith(".dc2.consul.")
    for node in (here, client):
        answer, seconds = took(lambda n=node: ask(n, "web.service.dc3.consul"))
        assert answer.rcode == "NXDOMAIN" and answer.sections[1] and seconds < 2
    assert there.dig("%s.node.dc1.consul" % here.name) == [here.address]
    assert ask(here, "web.service.consul").rcode == "NXDOMAIN"


def test_another_data_centre_that_is_gone(two):
    """Quick errors for who asks for it, nothing for anybody else. DC03"""
    here, there, client = two
    floods = [Flood(here, name=here.name + ".node.consul"), Flood(client, name=here.name + ".node.consul")]
    there.crash()
    for node in (here, client):
        answer, seconds = took(lambda n=node: ask(n, "ext-2.node.dc2.consul", edns=901))
        assert answer.rcode == "SERVFAIL" and seconds < 2, (node.name, answer.rcode, seconds)
    for flood in floods:
        flood.stop()
    there.start()
    for node in (here, client):
        wait_until(lambda n=node: n.dig("ext-1.node.dc2.consul") == ["10.8.0.1"])
