# SPDX-License-Identifier: Apache-2.0
"""muster exec and consul exec against nodes of muster, also of another data centre, and muster exec against stock Consul agents."""
import json
import re
import signal
import subprocess
import time

import pytest

from cluster import CALM, ClientNode, Cluster, DataCentres, Server
from node import MUSTER, wait_until
from peers import CONSUL, Consul

ALLOWED = {"disable_remote_exec": False}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The third server is left as it is by default: it takes no orders."""
    cluster = Cluster(tmp_path_factory.mktemp("exec"), 3)
    for node in cluster.nodes[:2]:
        node.config.update(ALLOWED)
    cluster.start()
    for node in cluster.nodes:
        wait_until(lambda n=node: len(n.json("/v1/health/state/passing")) >= 3, what="three healthy servers")
    cluster.nodes[0].put("/v1/agent/service/register", {"Name": "web", "Tags": ["blue"]})
    yield cluster
    cluster.cleanup()


@pytest.fixture(params=["consul", "muster"])
def binary(request):
    """Both tools."""
    if request.param == "consul" and not CONSUL:
        pytest.skip("CONSUL NOT AVAILABLE")
    return CONSUL if request.param == "consul" else str(MUSTER)


@pytest.fixture
def run(binary, cluster):
    """Asks the second server."""
    def ask(*words, status=0, data=None):
        out = cluster.nodes[1].muster("exec", *words, binary=binary, data=data, timeout=120)
        assert out.returncode == status, "%s: %d\n%s%s" % (words, out.returncode, out.stdout, out.stderr)
        return out.stdout if not out.stderr else out.stderr
    return ask


def test_runs_where_it_is_allowed(run, cluster):
    out = run("-verbose", "echo out of $$; echo err >&2; exit 3", status=2)
    for name in ("s1", "s2"):
        assert "==> %s: acknowledged\n" % name in out and "    %s: err\n" % name in out
        assert "==> %s: finished with exit code 3\n" % name in out
    assert "s3" not in out and "2 / 2 node(s) completed / acknowledged\n" in out
    assert re.match(r"Created remote execution session: [0-9a-f-]{36}\nUploaded remote execution spec\n"
                    r"Fired remote execution event: [0-9a-f-]{36}\n", out)
    wait_until(lambda: cluster.nodes[0].get("/v1/kv/_rexec?recurse").status == 404, what="nothing left")
    assert cluster.nodes[0].json("/v1/session/list") == []
    assert cluster.nodes[0].json("/v1/event/list?name=_rexec") == cluster.nodes[0].json("/v1/event/list") == []


def test_filters(run):
    assert "1 / 1 node" in run("-node=s1", "true")
    assert "0 / 0 node" in run("-node=s3", "true")
    assert "==> s1: finished with exit code 0\n1 / 1 node" in run("-service=web", "-tag=bl.e", "true")
    assert "0 / 0 node" in run("-service=web", "-tag=green", "true")
    assert run("-tag=x", "true", status=1) == "Cannot provide tag filter without service filter.\n"
    assert run("-node=(", "true", status=1).startswith("Failed to compile node filter regexp: error parsing regexp: ")


def test_kinds_of_commands(run):
    assert "    s1: a b|c\n" in run("-node=s1", "-shell=false", "printf", "%s|%s", "a b", "c")
    out = run("-node=s1", "-", data="#!/bin/sh\necho script $0\nls -l $0\nexit 0\n")
    assert re.search(r"    s1: script \S+/rexec", out) and "-rwxr-x---" in out
    assert run("-shell=false", "-", status=1) == "Cannot configure -shell=false when reading from stdin\n"
    assert run(status=1).startswith("Must specify a command to execute\n\nUsage: ")
    assert "finished with exit code 255" in run("-node=s1", "-shell=false", "/nowhere/at/all", status=2)
    assert "finished with exit code -1" in run("-node=s1", "kill -9 $$", status=2)
    assert "1 / 1" in run("-node=s1", "-prefix=other/place/", "true")


def test_large_output_is_whole(run):
    lines = re.findall(r"^    s1: ?(\d*)$", run("-node=s1", "seq 1 20000"), re.M)
    assert "".join(lines) == "".join(str(n) for n in range(1, 20001))


def test_long_silence(run):
    begin = time.monotonic()
    out = run("-verbose", "-node=s1", "-wait=1s", "sleep 6; echo late")
    assert out.count("heartbeat received") >= 3 and "    s1: late\n" in out and time.monotonic() - begin > 6


def test_end_of_the_session_kills(cluster):
    """Whoever asked has gone: what runs for him ends too."""
    node = cluster.nodes[1]
    process = subprocess.Popen([str(MUSTER), "exec", "-node=s1", "-wait=1s", "echo $$ > %s; exec sleep 1000" %
                                (node.directory / "pid")], stdout=subprocess.DEVNULL, env=node.environment())
    pid = wait_until(lambda: (node.directory / "pid").read_text().strip(), what="it runs")
    process.terminate()
    assert process.wait(60) == 1
    wait_until(lambda: subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode, what="its end")
    wait_until(lambda: node.json("/v1/session/list") == [])


def test_order_is_not_run_twice(cluster):
    """checkd is killed while an order runs; the new one finds its event again, and leaves it alone."""
    node = cluster.nodes[0]
    count = node.directory / "count"
    process = subprocess.Popen([str(MUSTER), "exec", "-node=s1", "-wait=10s", "echo x >> %s; sleep 1000" % count],
                               stdout=subprocess.DEVNULL, env=node.environment())
    wait_until(lambda: count.read_text() == "x\n", what="it runs")
    node.wait_restarted("checkd", node.kill("checkd"))
    wait_until(lambda: "an earlier life has begun it" in node.log(), what="the new checkd has seen it")
    assert count.read_text() == "x\n"
    process.terminate()
    process.wait(60)


def test_order_that_comes_while_checkd_ends(make_node):
    """It is left to the next checkd, which has the time for it."""
    node = make_node(config=dict(ALLOWED, watches=[{"type": "key", "key": "a", "args": ["sleep", "1000"]}])).start()
    wait_until(lambda: node.control("checkd", "status")["detail"]["watches_handling"] == 1, what="a handler that keeps it from ending")
    before = node.log().count("checkd: stopping")
    old = node.kill("checkd", signal.SIGTERM)
    wait_until(lambda: node.log().count("checkd: stopping") > before)
    out = node.muster("exec", "-wait=20s", "sleep 6; echo done", timeout=120)
    assert "    n1: done\n" in out.stdout and "1 / 1 node" in out.stdout, out.stdout + out.stderr
    node.wait_restarted("checkd", old)


# ---- another data centre ----

class World(DataCentres):
    """dc1: server s1, client c1; dc2: server t1, client u1; all take orders."""

    def __init__(self, directory):
        self.s1 = Server(directory / "s1", "s1", 1, [], config=dict(CALM, **ALLOWED))
        self.c1 = ClientNode(directory / "c1", "c1", [self.s1.address], config=ALLOWED)
        there = dict(ALLOWED, datacenter="dc2")
        self.t1 = Server(directory / "t1", "t1", 1, [], config=dict(CALM, retry_join_wan=[self.s1.address],
                                                                    retry_interval_wan="1s", **there))
        self.u1 = ClientNode(directory / "u1", "u1", [self.t1.address], config=there)
        super().__init__([self.s1, self.c1, self.t1, self.u1])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("far")).start()
    yield made
    made.cleanup()


@pytest.mark.parametrize("through", ["s1", "c1"])
def test_in_another_data_centre(binary, world, through):
    """Its nodes run the order, and no others; the session is of a server there, and what was written is there alone."""
    node = getattr(world, through)

    def ran(*words):
        return node.muster("exec", *words, binary=binary, timeout=120)
    out = ran("-datacenter=dc2", "-verbose", "echo far; exit 3")
    assert out.returncode == 2, out
    assert re.match(r"Remote exec in foreign datacenter, using Session TTL\nBinding session to remote node t1@dc2\n"
                    r"Created remote execution session: [0-9a-f-]{36}\nUploaded remote execution spec\n"
                    r"Fired remote execution event: [0-9a-f-]{36}\n", out.stdout), out.stdout
    for name in ("t1", "u1"):
        assert "==> %s: acknowledged\n" % name in out.stdout and "    %s: far\n" % name in out.stdout
        assert "==> %s: finished with exit code 3\n" % name in out.stdout
    assert "2 / 2 node(s) completed / acknowledged\n" in out.stdout and " s1:" not in out.stdout and " c1:" not in out.stdout
    assert "1 / 1 node" in ran("-datacenter=dc2", "-node=u1", "true").stdout
    assert "0 / 0 node" in ran("-datacenter=dc2", "-node=s1", "true").stdout
    for one in (world.s1, world.t1):
        wait_until(lambda one=one: one.get("/v1/kv/_rexec?recurse").status == 404, what="nothing left")
        assert one.json("/v1/session/list") == []
    out = ran("-datacenter=dc1", "-verbose", "true")
    assert "foreign" not in out.stdout and "2 / 2 node" in out.stdout and " u1:" not in out.stdout
    out = ran("-datacenter=dc9", "true")
    assert out.returncode == 1
    assert out.stderr.strip() == ("Failed to create session: Failed to find Consul server in remote datacenter: "
                                  "Unexpected response code: 500 (No path to datacenter)")


def test_long_in_another_data_centre(binary, world):
    """The session is renewed over there for longer than its TTL."""
    begin = time.monotonic()
    out = world.c1.muster("exec", "-datacenter=dc2", "-node=u1", "-wait=3s", "sleep 20; echo late", binary=binary, timeout=120)
    assert out.returncode == 0 and "    u1: late\n" in out.stdout and time.monotonic() - begin > 20, out


# ---- Consul's agents ----

def normal(text):
    """Without what differs from one run to the next, and the order of what nodes say."""
    return sorted(re.sub(r"[0-9a-f-]{36}|[0-9.]+ seconds", "*", text).split("\n"))


@pytest.mark.skipif(not CONSUL, reason="CONSUL NOT AVAILABLE")
def test_consul_in_another_data_centre(make):
    """What the two tools say to stock agents is the same."""
    near = make(Consul, "c1", args=["-server", "-bootstrap", "-hcl=" + json.dumps(ALLOWED)]).start()
    make(Consul, "d1", args=["-server", "-bootstrap", "-datacenter=dc2", "-retry-join-wan=" + near.address,
                             "-hcl=" + json.dumps(ALLOWED)]).start()

    def ran(binary, *words):
        return subprocess.run([binary, "exec", "-http-addr=%s:8500" % near.address, *words], capture_output=True, text=True,
                              check=False, timeout=60)
    wait_until(lambda: "1 / 1" in ran(CONSUL, "-datacenter=dc2", "true").stdout, what="the other data centre")
    for words in (["-datacenter=dc2", "-verbose", "echo far; exit 4"], ["-datacenter=dc2", "-node=c1", "true"],
                  ["-datacenter=dc1", "-verbose", "true"], ["-datacenter=dc9", "true"]):
        theirs, ours = ran(CONSUL, *words), ran(str(MUSTER), *words)
        assert (ours.returncode, normal(ours.stdout), ours.stderr.strip()) == (
            theirs.returncode, normal(theirs.stdout), theirs.stderr.strip()), words


@pytest.mark.skipif(not CONSUL, reason="CONSUL NOT AVAILABLE")
def test_against_consul(tmp_path):
    consul = Consul(tmp_path, "c1", ["-dev", "-hcl=" + json.dumps(ALLOWED)])
    consul.start()
    try:
        wait_until(lambda: "c1" in consul.run("members").stdout, what="the stock agent")

        def ran():
            return subprocess.run([str(MUSTER), "exec", "-http-addr=%s:8500" % consul.address, "echo hello; exit 4"],
                                  capture_output=True, text=True, check=False, timeout=60)
        out = wait_until(lambda: (out := ran()).returncode == 2 and out, what="its answer")
        assert out.stdout.endswith("    c1: hello\n    c1:\n==> c1: finished with exit code 4\n"
                                   "1 / 1 node(s) completed / acknowledged\n")
    finally:
        consul.process.kill()
        consul.process.wait()
