# SPDX-License-Identifier: Apache-2.0
"""Three servers with their default timing on one machine that has no time left: writes on 64 connections, a storm of DNS
queries and hundreds of checks a second. Nobody asks for an election. MUSTER_STEADY_SECONDS=3600 makes it an hour."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from cluster import Cluster
from node import PORTS, TOP, clean_environment, wait_until

pytestmark = pytest.mark.heavy

SECONDS = int(os.environ.get("MUSTER_STEADY_SECONDS", "120"))
CHECKS = 150  # on each server, once a second: a third of each kind
DEFAULT = {"performance": {"raft_multiplier": 5}, "log_level": "INFO", "enable_script_checks": True}


AUTOGROUP = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")


@pytest.fixture
def shared_out_by_process():
    """The processor, not by session: docs/OPERATIONS.md, "A machine without time to spare", says why."""
    before = AUTOGROUP.read_text(encoding="ascii") if AUTOGROUP.exists() and os.access(AUTOGROUP, os.W_OK) else None
    if before:
        AUTOGROUP.write_text("0", encoding="ascii")
    yield
    if before:
        AUTOGROUP.write_text(before, encoding="ascii")


def checks_of(node):
    kinds = [{"TCP": "%s:%d" % (node.address, PORTS["http"])},
             {"HTTP": "http://%s:%d/v1/status/leader" % (node.address, PORTS["http"])},
             {"Args": ["/bin/true"]}]
    return [dict(kinds[i % 3], Name="c%d" % i, Interval="1s", Timeout="10s") for i in range(CHECKS)]


def register_storm(node):
    for check in checks_of(node):
        assert node.put("/v1/agent/check/register", check).status == 200


def dns_storm(node, path):
    path.write_text("web.service.consul A\nweb.service.consul SRV\n%s.node.consul A\n" % node.name, encoding="utf-8")
    return subprocess.Popen(["dnsperf", "-s", node.address, "-p", str(PORTS["dns"]), "-d", str(path), "-l", str(SECONDS),
                             "-T1", "-c8", "-q32", "-t5"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def write_storm(node):
    return subprocess.Popen(["wrk", "-t1", "-c64", "-d%ds" % SECONDS, "--timeout", "10s", "-s", str(TOP / "bench/requests.lua"),
                             "http://%s:%d" % (node.address, PORTS["http"]), "--", "put", "1000"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_environment())


def test_no_election_while_the_machine_is_full(tmp_path, shared_out_by_process):
    cluster = Cluster(tmp_path, 3, config=DEFAULT)
    try:
        cluster.start()
        leader = cluster.wait_settled()
        assert leader.put("/v1/agent/service/register", {"Name": "web", "Port": 80}).status == 200
        for node in cluster.nodes:
            register_storm(node)
        wait_until(lambda: len(leader.json("/v1/health/state/passing")) >= 3 * CHECKS, 60, "the checks run")
        terms = [n.raft()["term"] for n in cluster.nodes]
        storms = [dns_storm(n, tmp_path / ("names-" + n.name)) for n in cluster.nodes]
        writes = write_storm(leader)
        out = writes.communicate(timeout=SECONDS + 60)[0]
        asked = [s.communicate(timeout=60)[0] for s in storms]
        done = json.loads(out.split("JSON ", 1)[1])
        assert done["failed"] == 0 and done["requests"] > 100 * SECONDS, out
        for text in asked:
            lost = float(re.search(r"Queries lost:\s+\d+ \(([\d.]+)%\)", text).group(1))
            assert lost < 1, text
        assert [n.raft()["term"] for n in cluster.nodes] == terms, "an election\n" + cluster.logs()
        assert cluster.wait_agreed() is leader
        critical = leader.json("/v1/health/state/critical")
        assert not critical, critical[:3]
    finally:
        cluster.cleanup()
