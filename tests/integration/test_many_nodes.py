# SPDX-License-Identifier: Apache-2.0
"""A cluster as people have them: three servers and twenty client nodes, each on a host of its own, and a second data centre; nodes
die, sleep, are cut off and lose packets. What a node offers is found everywhere at once, and gone everywhere soon."""
import http.client
import os
import signal
import statistics
import threading
import time

import pytest

from cluster import ClientNode, Cluster, Server
from network import Network
from node import PORTS, wait_until

pytestmark = pytest.mark.heavy

SERVERS, CLIENTS = 3, int(os.environ.get("MUSTER_MANY_CLIENTS", "20"))
FOUND_S = 1.0   # a service, on every node
GONE_S = 12.0   # a dead node, from every node: some seconds until a probe meets it, 4 log10(23) = 5.4 s of suspicion, the word of it
REFUSED_S = 1.0  # a call to a data centre that is away: 0.9 s of trying; and half a second more where the machine is busy
LIMIT_S = 120


class Many:
    def __init__(self, directory):
        self.network = Network(SERVERS + CLIENTS + 2, loss_percent=5)
        hosts = iter(self.network.hosts)
        self.cluster = Cluster(directory, SERVERS, addresses=[self.network.address(next(hosts)) for _ in range(SERVERS)])
        for i in range(CLIENTS):
            self.cluster.add_client("c%d" % (i + 1), address=self.network.address(next(hosts)))
        self.servers, self.clients = self.cluster.nodes, self.cluster.clients
        first = self.servers[0].address
        self.far = Server(directory / "t1", "t1", 1, [], address=self.network.address(next(hosts)),
                          config={"datacenter": "dc2", "retry_join_wan": [first], "retry_interval_wan": "1s"})
        self.far_client = ClientNode(directory / "u1", "u1", [self.far.address], address=self.network.address(next(hosts)),
                                     config={"datacenter": "dc2"})
        self.here = self.servers + self.clients
        self.all = self.here + [self.far, self.far_client]
        for host, node in enumerate(self.all, 1):
            node.host = host
            node.enter = lambda h=host: self.network.enter_host(h)

    def start(self):
        for node in self.all:
            node.start(wait=False)
        for node in self.all:
            size = 2 if node in (self.far, self.far_client) else len(self.here)
            wait_until(lambda n=node, s=size: len(alive(n)) == s, LIMIT_S, node.name + " sees all")
            wait_until(lambda n=node, s=size: len(n.json("/v1/catalog/nodes")) == s, LIMIT_S, "all are in the catalogue")
            wait_until(lambda n=node: n.dig("%s.node.consul" % n.name) == [n.address], LIMIT_S, "and in DNS")
        return self

    def wait_whole(self):
        for node in self.here:
            wait_until(lambda n=node: len(alive(n)) == len(self.here), LIMIT_S, node.name + " sees all again")
        wait_until(lambda: not self.servers[0].json("/v1/health/state/critical"), LIMIT_S, "nobody is critical")

    def failures(self):
        """Of members, as all nodes have noted them."""
        return sum(node.log().count("member-failed") for node in self.here)

    def cleanup(self):
        for node in self.all:
            node.cleanup()
        self.network.close()


def alive(node):
    return [m["Name"] for m in node.json("/v1/agent/members") if m["Status"] == 1]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    made = Many(tmp_path_factory.mktemp("many"))
    try:
        yield made.start()
    finally:
        made.cleanup()


def in_threads(nodes, work):
    threads = [threading.Thread(target=work, args=(n,)) for n in nodes]
    for thread in threads:
        thread.start()
    return threads


def everywhere(nodes, condition):
    """Seconds until condition(node) holds on every node."""
    began, ends, errors = time.monotonic(), [], []

    def work(node):
        try:
            wait_until(lambda: condition(node), LIMIT_S, node.name, pause_s=0.05)
            ends.append(time.monotonic())
        except AssertionError as error:
            errors.append(error)

    for thread in in_threads(nodes, work):
        thread.join()
    assert not errors, errors[:3]
    return max(ends) - began


def report(capsys, text):
    with capsys.disabled():
        print("\n  " + text)


def instances(name):
    return lambda node: sorted(node.dig(name + ".service.consul"))


def test_a_service_is_found_on_every_node(many, capsys):
    where, find = many.clients[-1], instances("web")
    assert where.put("/v1/agent/service/register", {"Name": "web", "Port": 80}).status == 200
    seconds = everywhere(many.here, lambda n: find(n) == [where.address])
    report(capsys, "a service of one node is found on all %d nodes after %.2f s" % (len(many.here), seconds))
    assert seconds < FOUND_S
    where.put("/v1/agent/service/deregister/web")
    everywhere(many.here, lambda n: not find(n))


def test_a_dead_node_is_gone_everywhere(many, capsys):
    victim, other, find = many.clients[0], many.clients[1], instances("pair")
    for node in (victim, other):
        node.put("/v1/agent/service/register", {"Name": "pair", "Port": 80})
    everywhere(many.here, lambda n: len(find(n)) == 2)
    victim.process.kill()
    victim.process.wait()
    seconds = everywhere([n for n in many.here if n is not victim], lambda n: find(n) == [other.address])
    report(capsys, "a node is gone from DNS on all others %.2f s after its kill -9" % seconds)
    assert seconds < GONE_S
    victim.start(wait=False)
    seconds = everywhere(many.here, lambda n: len(find(n)) == 2)
    report(capsys, "and back %.2f s after its start" % seconds)
    many.wait_whole()


def test_a_short_sleep_is_forgiven(many):
    """SIGSTOP of all daemons of some nodes, for less than suspicion lasts: nobody is declared dead."""
    sleepers, before = many.clients[2:5], many.failures()
    pids = [pid for n in sleepers for pid in n.pids().values()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    time.sleep(3)
    many.wait_whole()
    assert many.failures() == before


def test_cut_off_and_back(many):
    victim = many.clients[6]
    many.network.isolate(victim.host)
    wait_until(lambda: victim.name not in alive(many.servers[0]), LIMIT_S, "it is missed")
    wait_until(lambda: any(c["Node"] == victim.name for c in many.servers[0].json("/v1/health/state/critical")), LIMIT_S)
    answer = victim.get("/v1/catalog/nodes", timeout=30)
    assert answer.status == 500, "it reaches nobody, and says so: %d %s" % (answer.status, answer.text)
    many.network.heal()
    many.wait_whole()
    wait_until(lambda: victim.get("/v1/catalog/nodes").status == 200, LIMIT_S)


def test_lost_packets_cost_nobody_anything(many):
    """One packet in twenty: no node is declared dead (or one by a few, who take it back at once), and every question is answered."""
    before, failures, end = many.failures(), [], time.monotonic() + 20
    many.network.lose_everywhere()

    def work(node):
        while time.monotonic() < end:
            if not node.dig(many.servers[0].name + ".node.consul"):
                failures.append(node.name)
            if node.get("/v1/catalog/nodes", timeout=30).status != 200:
                failures.append(node.name + " http")

    for thread in in_threads(many.clients[:8], work):
        thread.join()
    many.network.heal()
    assert not failures, failures
    many.wait_whole()
    assert many.failures() - before < len(many.here) / 2


def test_a_data_centre_that_is_gone_hurts_nobody(many, capsys):
    asker = many.clients[3]
    wait_until(lambda: asker.get("/v1/catalog/nodes?dc=dc2").json(), LIMIT_S, "dc2 answers")
    wait_until(lambda: asker.dig("u1.node.dc2.consul") == [many.far_client.address], LIMIT_S, "over DNS as well")
    errors, stop, slowest, times = [], threading.Event(), [0.0], []

    def local(node):
        connection = http.client.HTTPConnection(node.address, PORTS["http"], timeout=20)
        while not stop.is_set():
            began = time.monotonic()
            connection.request("GET", "/v1/health/service/consul")
            answer = connection.getresponse()
            answer.read()
            slowest[0] = max(slowest[0], time.monotonic() - began)
            if answer.status != 200:
                errors.append((node.name, answer.status))
            time.sleep(0.01)

    threads = in_threads(many.clients[4:8] + many.servers[:1], local)
    many.far.process.kill()
    many.far.process.wait()
    many.network.isolate(many.far.host)
    end = time.monotonic() + 12
    while time.monotonic() < end:
        began = time.monotonic()
        answer = asker.get("/v1/catalog/nodes?dc=dc2", timeout=30)
        times.append(time.monotonic() - began)
        assert answer.status == 500, answer.text
        began = time.monotonic()
        rcode, _ = asker.dig_full("never-asked-before.node.dc2.consul")
        times.append(time.monotonic() - began)
        assert rcode == "SERVFAIL", rcode
        time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    report(capsys, "dc2 is off: calls to it fail after %.2f s, at most %.2f; slowest local call %.3f s" %
           (statistics.median(times), max(times), slowest[0]))
    assert not errors, errors[:3]
    assert statistics.median(times) < REFUSED_S and max(times) < REFUSED_S + 0.5
    many.network.heal()
