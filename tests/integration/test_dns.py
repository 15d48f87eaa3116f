# SPDX-License-Identifier: Apache-2.0
"""DNS as clients see it: dig, getent, raw packets; services that come, fail and go; recursors; dnsd alone, stopped, reloaded."""
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

from dns_client import Flood, ask, tcp_answer, tcp_connect, tcp_query
from node import PORTS, free_address, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from harness import upstream, wire_dns  # noqa: E402


def register(node, name, **fields):
    answer = node.put("/v1/agent/service/register", dict({"Name": name}, **fields))
    assert answer.status == 200, answer.text


def catalog_register(node, **fields):
    answer = node.put("/v1/catalog/register", fields)
    assert answer.status == 200, answer.text


def test_dig_finds_what_is_registered(shared_node):
    node = shared_node
    register(node, "web", ID="web-1", Port=8080, Tags=["blue"], Address="10.1.1.1")
    register(node, "web", ID="web-2", Port=8081, Tags=["green"])
    wait_until(lambda: len(node.dig("web.service.consul")) == 2)
    assert set(node.dig("web.service.consul")) == {"10.1.1.1", node.address}
    assert node.dig("blue.web.service.consul") == ["10.1.1.1"]
    assert node.dig("_web._green.service.consul", "SRV") == ["1 1 8081 n1.node.dc1.consul."]
    assert node.dig("0a010101.addr.dc1.consul") == ["10.1.1.1"]
    assert node.dig("web.service.consul", "A", "+tcp")
    assert node.dig("n1.node.consul") == [node.address]
    assert node.dig(".".join(reversed(node.address.split("."))) + ".in-addr.arpa", "PTR") == ["n1.node.dc1.consul."]
    rcode, text = node.dig_full("nope.service.consul")
    assert rcode == "NXDOMAIN" and "SOA\tns.consul. hostmaster.consul." in text
    rcode, text = node.dig_full("web.service.consul", "AAAA")
    assert rcode == "NOERROR" and "ANSWER: 0" in text and "AUTHORITY: 1" in text
    assert node.dig_full("www.example.com")[0] == "REFUSED"
    assert node.dig("consul", "NS") == ["n1.node.dc1.consul."]


def test_case_of_the_question_is_kept(shared_node):
    shared_node.wait_dns()
    answer = ask(shared_node, "N1.nODe.CoNsul")
    assert answer.questions[0][0] == "N1.nODe.CoNsul." and answer.sections[0][0][0] == "N1.nODe.CoNsul."


def test_an_instance_that_fails_disappears(shared_node):
    node = shared_node
    register(node, "sick", ID="sick-1", Port=1, Address="10.2.2.1", Check={"TTL": "60s", "CheckID": "s1", "Status": "passing"})
    register(node, "sick", ID="sick-2", Port=2, Address="10.2.2.2", Check={"TTL": "60s", "CheckID": "s2", "Status": "passing"})
    wait_until(lambda: len(node.dig("sick.service.consul")) == 2)
    assert node.put("/v1/agent/check/fail/s1").status == 200
    wait_until(lambda: node.dig("sick.service.consul") == ["10.2.2.2"])
    assert node.put("/v1/agent/check/fail/s2").status == 200
    wait_until(lambda: node.dig_full("sick.service.consul")[0] == "NXDOMAIN")
    assert node.put("/v1/agent/check/pass/s1").status == 200
    wait_until(lambda: node.dig("sick.service.consul") == ["10.2.2.1"])


def test_large_service_in_a_storm_of_changes(shared_node):
    """Changes of a large service are derived a little later while they come without a pause; none may be left out, also
    not when catalogd dies with some of them put off."""
    node = shared_node

    def ports(base):
        for i in range(400):
            catalog_register(node, Node="large-%d" % i, Address="10.4.%d.%d" % (i >> 8, i & 255),
                             Service={"Service": "large", "Port": base + i})

    def seen():
        return sorted(int(line.split()[2]) for line in node.dig("large.service.consul", "SRV", "+tcp"))

    ports(1000)
    ports(2000)
    wait_until(lambda: seen() == list(range(2000, 2400)))
    ports(3000)
    pid = node.pid_of("catalogd")
    node.kill("catalogd")
    node.wait_restarted("catalogd", pid)
    wait_until(lambda: seen() == list(range(3000, 3400)))


def test_many_instances(shared_node):
    node = shared_node
    for i in range(1, 101):
        catalog_register(node, Node="many-%d" % i, Address="10.3.0.%d" % i, Service={"Service": "many", "Port": 1000 + i})
    wait_until(lambda: len(node.dig("many.service.consul", "A", "+tcp")) == 100)
    assert len(ask(node, "many.service.consul").sections[0]) == 3
    seen = {record[4] for _ in range(60) for record in ask(node, "many.service.consul").sections[0]}
    assert len(seen) > 60, "answers are shuffled"
    answer = ask(node, "many.service.consul", "SRV", edns=1232)
    targets = {record[4].split()[3] for record in answer.sections[0]}
    assert answer.size <= 1232 and 15 < len(targets) < 40
    assert {record[0] for record in answer.sections[2]} == targets


def test_garbage_is_dropped(shared_node):
    """Whatever arrives, the next question is answered and memory does not grow."""
    node = shared_node
    chance = random.Random(7)
    good = wire_dns.encode_query("n1.node.consul", 1, edns=1232)

    def memory():
        text = pathlib.Path("/proc/%d/status" % node.pid_of("dnsd")).read_text()
        return int(text.split("RssAnon:")[1].split()[0])
    pid = node.pid_of("dnsd")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        before = None
        for turn in range(3000):
            packet = bytearray(good if turn % 2 else chance.randbytes(chance.randrange(0, 3000)))
            for _ in range(chance.randrange(1, 6)):
                if packet:
                    packet[chance.randrange(len(packet))] = chance.randrange(256)
            sock.sendto(packet, (node.address, PORTS["dns"]))
            if turn % 100 == 0:
                assert ask(node, "n1.node.consul").rcode == "NOERROR"
            if turn == 1000:
                before = memory()
    assert node.pid_of("dnsd") == pid
    assert memory() <= before + 256


def test_tcp_pipelining_and_limits(shared_node):
    node = shared_node
    with tcp_connect(node) as sock:
        sock.sendall(b"".join(tcp_query("n1.node.consul", qid=i) for i in range(200)))
        assert [tcp_answer(sock).qid for _ in range(200)] == list(range(200))
        for byte in tcp_query("n1.node.consul", qid=999):  # a slow client is still a client
            sock.sendall(bytes([byte]))
        assert tcp_answer(sock).qid == 999
        sock.sendall(tcp_query("n1.node.consul", qid=5) + b"\0\0" + tcp_query("n1.node.consul", qid=6))
        sock.shutdown(socket.SHUT_WR)
        assert [tcp_answer(sock).qid, tcp_answer(sock).qid] == [5, 6]
        assert sock.recv(1) == b""


def test_tcp_many_long_answers_in_a_row(shared_node):
    """More than a connection may have waiting at once, to a client that takes them as fast as they come: none is left out."""
    node = shared_node
    catalog_register(node, Node="long", Address="10.5.0.1", NodeMeta={"k%02d" % i: "x" * 500 for i in range(60)})
    wait_until(lambda: len(node.dig("long.node.consul", "TXT", "+tcp")) == 60)
    count = 150
    with tcp_connect(node) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.sendall(b"".join(tcp_query("long.node.consul", "TXT", qid=i) for i in range(count)))
        sock.shutdown(socket.SHUT_WR)
        answers = [tcp_answer(sock) for _ in range(count)]
    assert [a and a.qid for a in answers] == list(range(count))
    assert {len(a.sections[0]) for a in answers} == {60}


def test_tcp_half_a_query_is_not_waited_for(shared_node):
    with tcp_connect(shared_node) as sock:
        sock.settimeout(40)
        sock.sendall(tcp_query("n1.node.consul")[:9])
        began = time.monotonic()
        assert sock.recv(1) == b"" and 3 < time.monotonic() - began < 35


def test_tcp_connections_have_a_ceiling(shared_node):
    """More clients than there is room for: the oldest idle ones make place."""
    socks = [tcp_connect(shared_node) for _ in range(530)]
    try:
        socks[-1].sendall(tcp_query("n1.node.consul"))
        assert tcp_answer(socks[-1]).rcode == "NOERROR"
        assert shared_node.control("dnsd", "status")["detail"]["connections"] <= 512
    finally:
        for sock in socks:
            sock.close()


def may_unshare():
    """Root, and mounts can be private (not so in a plain chroot)."""
    return os.geteuid() == 0 and shutil.which("unshare") and \
        subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="needs root for port 53 and a mount namespace")
def test_getent_through_a_resolver(make_node, tmp_path):
    node = make_node()
    node.config["ports"] = {"dns": 53}
    node.start()
    register(node, "web", Port=80, Address="10.9.8.7")
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver %s\nsearch service.consul\noptions timeout:10 attempts:1\n" % node.address)

    def hosts(name):
        return subprocess.run(["unshare", "-m", "sh", "-c", "mount --bind %s /etc/resolv.conf && exec getent ahostsv4 %s" %
                               (resolv, name)], capture_output=True, text=True, check=False, timeout=60).stdout
    wait_until(lambda: "10.9.8.7" in hosts("web.service.consul"))
    assert "10.9.8.7" in hosts("web")  # by the search list
    assert node.address in hosts("n1.node.consul")


def test_no_query_fails_while_dnsd_is_replaced(node):
    floods = [Flood(node), Flood(node, tcp=True)]
    for _ in range(3):
        pid = node.kill("dnsd", signal.SIGTERM)
        node.wait_restarted("dnsd", pid)
    for flood in floods:
        flood.stop()


def test_dnsd_answers_with_every_other_daemon_dead(node):
    register(node, "web", Port=80, Address="10.9.8.7")
    wait_until(lambda: node.dig("web.service.consul") == ["10.9.8.7"])
    dnsd = node.pid_of("dnsd")
    others = [pid for name, pid in node.pids().items() if name != "dnsd"]
    os.kill(node.process.pid, signal.SIGSTOP)  # so that nothing is started again
    try:
        for pid in others:
            os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            assert [r[4] for r in ask(node, "web.service.consul").sections[0]] == ["10.9.8.7"]
        assert os.path.exists("/proc/%d" % dnsd)
    finally:
        os.kill(node.process.pid, signal.SIGCONT)
    wait_until(lambda: node.get("/v1/health/service/web").status == 200)
    register(node, "web2", Port=81, Address="10.9.8.8")
    wait_until(lambda: node.dig("web2.service.consul") == ["10.9.8.8"])


def test_killed_dnsd_comes_back(node):
    pid = node.kill("dnsd")
    node.wait_restarted("dnsd", pid)
    wait_until(lambda: node.dig("n1.node.consul") == [node.address])


def test_recursors(make_node):
    silent, answering = free_address(), free_address()
    up = upstream.Upstream(answering)
    node = make_node(config={"recursors": [silent + ":5300", answering + ":5300"], "dns_config": {"recursor_timeout": "2s"}})
    try:
        node.start()
        catalog_register(node, Node="out", Address="cname-x.test", Service={"Service": "out", "Port": 443})
        assert node.dig("a-one.test") == ["192.0.2.1"]
        assert node.dig("a-one.test", "A", "+tcp") == ["192.0.2.1"]
        assert ask(node, "a-one.test").sections[0][0][1] == 77  # the recursor's TTL
        assert node.dig_full("nx-one.test")[0] == "NXDOMAIN"
        assert node.dig_full("fail-one.test")[0] == "SERVFAIL"
        assert node.dig_full("silent-one.test")[0] == "SERVFAIL"
        wait_until(lambda: node.dig("out.service.consul") == ["cname-x.test.", "middle.test.", "192.0.2.2"])
        # Hundreds at once, most of which nobody answers: bounded, and the others do not wait for them.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for i in range(3000):
                sock.sendto(wire_dns.encode_query("silent-%d.test" % i, 1, qid=i), (node.address, PORTS["dns"]))
            wait_until(lambda: node.dig("n1.node.consul") == [node.address])
            status = node.control("dnsd", "status")["detail"]
            assert status["forwards"] <= status["forwards_max"]
        wait_until(lambda: node.control("dnsd", "status")["detail"]["forwards"] == 0)
        assert node.dig("a-two.test") == ["192.0.2.1"]
    finally:
        up.stop()


def test_tcp_more_questions_than_are_held_for_slow_recursors(make_node):
    """The client has sent all that it has to say; that it takes long is not its fault."""
    mute = [socket.create_server((free_address(), 5300)) for _ in range(3)]  # takes connections, and says nothing
    node = make_node(config={"recursors": ["%s:5300" % m.getsockname()[0] for m in mute],
                             "dns_config": {"recursor_timeout": "2s"}}).start()
    count = 80
    with tcp_connect(node) as sock:
        sock.settimeout(40)
        sock.sendall(b"".join(tcp_query("a-%d.test" % i, qid=i) for i in range(count)))
        answers = [tcp_answer(sock) for _ in range(count)]
    assert sorted(a.qid if a else -1 for a in answers) == list(range(count))
    assert {a.rcode for a in answers} == {"SERVFAIL"}


def test_prepared_queries_while_httpd_is_stuck(node):
    """More than it can be asked at once: none of their clients waits longer than one of them."""
    assert node.request("POST", "/v1/query", {"Name": "stuck", "Service": {"Service": "consul"}}).status == 200
    wait_until(lambda: node.dig("stuck.query.consul") == [node.address])
    node.kill("httpd", signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(30)
            began, count = time.monotonic(), 200
            for i in range(count):
                sock.sendto(wire_dns.encode_query("stuck.query.consul", 1, qid=i), (node.address, PORTS["dns"]))
            answers = [wire_dns.Message(sock.recv(4096)) for _ in range(count)]
            seconds = time.monotonic() - began
    finally:
        node.kill("httpd", signal.SIGCONT)
    assert sorted(a.qid for a in answers) == list(range(count)) and {a.rcode for a in answers} == {"SERVFAIL"}
    assert seconds < 8
    wait_until(lambda: node.dig("stuck.query.consul") == [node.address])


def test_reload_of_dns_config(make_node):
    node = make_node(config={"dns_config": {"node_ttl": "5s"}}).start()
    node.wait_dns()
    assert ask(node, "n1.node.consul").sections[0][0][1] == 5
    node.config["dns_config"] = {"node_ttl": "9s", "service_ttl": {"*": "3s"}, "enable_truncate": True}
    node.write_config()
    assert node.put("/v1/agent/reload").status == 200
    wait_until(lambda: ask(node, "n1.node.consul").sections[0][0][1] == 9)
    for i in range(1, 6):
        catalog_register(node, Node="many-%d" % i, Address="10.3.0.%d" % i, Service={"Service": "many", "Port": 1})
    wait_until(lambda: len(ask(node, "many.service.consul").sections[0]) == 3)
    answer = ask(node, "many.service.consul")
    assert "tc" in answer.flags and answer.sections[0][0][1] == 3


def test_no_query_fails_while_the_writers_are_killed(node):
    floods = [Flood(node), Flood(node, tcp=True)]
    for daemon in ("catalogd", "raftd", "catalogd", "gossipd", "raftd"):
        pid = node.kill(daemon)
        node.wait_restarted(daemon, pid)
        register(node, "after-" + daemon, Port=1)
    for flood in floods:
        flood.stop()


@pytest.mark.parametrize("address, asked", [("0.0.0.0", "127.99.1.7"), ("::", "::1"), ("127.99.2.1 127.99.2.2", "127.99.2.2")])
def test_answers_leave_from_where_the_question_came(make_node, address, asked):
    port = 20000 + random.randrange(10000)
    node = make_node(config={"addresses": {"dns": address}, "ports": {"dns": port}}).start()
    family = socket.AF_INET6 if ":" in asked else socket.AF_INET
    query = wire_dns.encode_query("n1.node.consul", 1)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect((asked, port))  # takes answers from this address only

        def answered():
            sock.send(query)
            return wire_dns.Message(sock.recv(4096)).rcode == "NOERROR"
        wait_until(answered)
    with socket.create_connection((asked, port), timeout=20) as sock:
        sock.sendall(struct.pack("!H", len(query)) + query)
        assert tcp_answer(sock).rcode == "NOERROR"
