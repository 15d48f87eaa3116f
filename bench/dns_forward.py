#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a DNS query costs that a client node cannot answer itself: processor time at the client node and at the server that it asks, beside
Consul's agents in the same run. Needs dnsperf; Consul as tests/integration/peers.py finds it.

    bench/dns_forward.py [--build build] [--qps 5000] [--seconds 8]"""
import argparse
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[1]
KINDS = ("A", "SRV")


def cpu_s(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(address, kind, a):
    """Queries answered, of as many as asked."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as questions:
        questions.write("web.service.consul %s\n" % kind)
        questions.flush()
        out = subprocess.run(["dnsperf", "-s", address, "-p", "8600", "-d", questions.name, "-l", str(a.seconds), "-Q", str(a.qps),
                              "-c", "4", "-q", "200"], capture_output=True, text=True, check=True).stdout
    answered = int(re.search(r"NOERROR (\d+)", out).group(1))
    return answered, int(re.search(r"Queries sent: +(\d+)", out).group(1))


def register(address):
    """False: nobody leads yet."""
    for i in range(3):
        connection = http.client.HTTPConnection(address, 8500, timeout=10)
        connection.request("PUT", "/v1/catalog/register", json.dumps(
            {"Node": "w%d" % i, "Address": "10.8.0.%d" % i, "Service": {"Service": "web", "Port": 80}}))
        if connection.getresponse().status != 200:
            return False
    return True


def resolves(address):
    out = subprocess.run(["dig", "@" + address, "-p", "8600", "+short", "+tries=1", "+time=2", "web.service.consul"],
                         capture_output=True, text=True, check=False).stdout
    return len(out.split()) == 3


def measure(name, address, pids, a):
    for kind in KINDS:
        before = [cpu_s(pid) for pid in pids]
        answered, sent = ask(address, kind, a)
        spent = [(cpu_s(pid) - b) * 1e6 / answered for pid, b in zip(pids, before)]
        print("%-8s %-4s client node %6.1f us, server %6.1f us a query; %d of %d answered" % (name, kind, *spent, answered, sent),
              flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=str(TOP / "build"))
    p.add_argument("--qps", type=int, default=5000)
    p.add_argument("--seconds", type=int, default=8)
    a = p.parse_args()
    os.environ["MUSTER_BUILD"] = a.build
    sys.path.insert(0, str(TOP / "tests" / "integration"))
    from cluster import Cluster  # pylint: disable=import-outside-toplevel
    from node import wait_until  # pylint: disable=import-outside-toplevel
    from peers import CONSUL, Consul  # pylint: disable=import-outside-toplevel
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        cluster = Cluster(directory, 1).start()
        try:
            server, client = cluster.nodes[0], cluster.add_client("c1")
            client.start(wait=False)
            assert register(server.address)
            wait_until(lambda: resolves(client.address))
            measure("muster", client.address, [client.pid_of("dnsd"), server.pid_of("dnsd")], a)
        finally:
            cluster.cleanup()
        if not CONSUL:
            return
        server = Consul(directory / "cs", "s1", ["-server", "-bootstrap"])
        client = Consul(directory / "cc", "c1", ["-retry-join=" + server.address])
        try:
            for agent in (server, client):
                agent.start()
            wait_until(lambda: register(server.address))
            wait_until(lambda: resolves(client.address))
            measure("consul", client.address, [client.process.pid, server.process.pid], a)
        finally:
            for agent in (server, client):
                agent.kill()


if __name__ == "__main__":
    main()
