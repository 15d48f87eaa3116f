#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same loads on muster and its peers, side by side, against the budget of each figure.

    bench/bench.py --muster build/ctl/muster --consul PATH [--only WORD] [--reps 3] [--seconds 3]

One table comes out: the median of each figure for each server, the ratio muster / peer, the budget, and `ok` or `MISSED`.
Writes are durable on both sides; CPU is summed over all daemons of a server (and the supervisor). Adding a figure is adding a row
to FIGURES and, where its load is new, a function to SUITES. Needs wrk, dnsperf, nginx and knotd beside the two."""
import argparse
import os
import resource
import signal
import statistics
import sys
import tempfile
import time

import client
import loads
import nodes
import quorum
from servers import Consul, Knot, Muster, Nginx, cpu_seconds, memory_kib

# name, unit, budget: (peer, factor) means muster <= factor * peer (or >= for ">"); a number is an upper bound for muster itself.
FIGURES = [
    ("KV GET CPU, c64", "us", [("nginx", 1.4), ("consul", 1 / 3.5)]),
    ("health 3 instances CPU, c64", "us", [("consul", 1 / 6)]),
    ("health 100 instances CPU, c64", "us", [("consul", 1 / 25)]),
    ("health 1000 instances CPU, c64", "us", [("consul", 1 / 30)]),
    ("catalog/services 1000 names CPU, c64", "us", [("consul", 1 / 20)]),
    ("KV PUT rate, c64", "req/s", [(">consul", 2)]),
    ("KV PUT CPU, c64", "us", [("consul", 1 / 3)]),
    ("KV PUT median, c1", "ms", [("consul", 1)]),
    ("catalog/register CPU, c64", "us", [("consul", 1 / 5)]),
    ("agent/service/register CPU, c64", "us", [("consul", 1 / 5)]),
    ("DNS A 3 instances CPU", "us", [("consul", 1 / 8), ("knotd", 1.3)]),
    ("DNS SRV 3 instances CPU", "us", [("consul", 1 / 8), ("knotd", 1.3)]),
    ("DNS A 100 instances CPU", "us", [("consul", 1 / 40)]),
    ("DNS SRV 100 instances CPU", "us", [("consul", 1 / 40)]),
    ("held query", "KiB", [8]),
    ("held queries left after their clients", "fds", [20]),
    ("1000 held, PUT to last answer", "ms", [("consul", 1 / 1.8)]),
    ("start to first durable write", "ms", [300]),
    ("idle PSS", "MiB", [20]),
    ("idle anonymous", "MiB", [8]),
    ("idle CPU", "% of a core", []),
    ("100,000 keys: load", "keys/s", []),
    ("100,000 keys: anonymous", "MiB", [20]),
    ("100,000 keys: kill -9 to first read", "ms", [500]),
] + quorum.FIGURES + client.FIGURES + nodes.FIGURES
UNITS = {name: unit for name, unit, _ in FIGURES}


class Results:
    def __init__(self):
        self.values = {}

    def add(self, figure, server, value):
        assert figure in UNITS, figure
        self.values.setdefault(figure, {}).setdefault(server, []).append(value)
        print("  %-42s %-8s %10.3f %s" % (figure, server, value, UNITS[figure]), flush=True)

    def median(self, figure, server):
        values = self.values.get(figure, {}).get(server)
        return statistics.median(values) if values else None

    def judge(self, figure, budget):
        """(text of the budget, held?) or None where it was not measured."""
        ours = self.median(figure, "muster")
        if ours is None:
            return None
        if not isinstance(budget, tuple):
            return "<= %g" % budget, ours <= budget
        peer, factor = budget
        theirs = self.median(figure, peer.lstrip(">"))
        if theirs is None:
            return None
        if peer.startswith(">"):
            return ">= %.2f x %s" % (factor, peer[1:]), ours >= factor * theirs
        return "<= %.3f x %s" % (factor, peer), ours <= factor * theirs

    def table(self):
        servers = ["muster", "consul", "etcd", "nginx", "knotd"]
        rows = ["| figure | unit | " + " | ".join(servers) + " | muster / consul | budget | |",
                "|---|---|" + "---:|" * (len(servers) + 1) + "---|---|"]
        missed = 0
        for figure, unit, budgets in FIGURES:
            if figure not in self.values:
                continue
            medians = [self.median(figure, s) for s in servers]
            ratio = "%.3f" % (medians[0] / medians[1]) if medians[0] and medians[1] else "-"
            judged = [j for j in (self.judge(figure, b) for b in budgets) if j]
            missed += sum(not held for _, held in judged)
            verdict = "" if not judged else "ok" if all(held for _, held in judged) else "**MISSED**"
            rows.append("| %s | %s | %s | %s | %s | %s |" % (
                figure, unit, " | ".join("-" if m is None else "%.4g" % m for m in medians), ratio,
                ", ".join(text for text, _ in judged), verdict))
        return "\n".join(rows), missed


def suite_kv(b):
    for server in b.catalogues:
        loads.load_keys(server, 10000)
    _, body, _ = b.catalogues[0].ask("GET", "/v1/kv/bench/000001")
    b.extra(Nginx, 43, body.decode())
    for _ in range(b.reps):
        for server in b.catalogues + b.started(Nginx):
            b.results.add("KV GET CPU, c64", server.name, loads.wrk(server, "get", 64, b.seconds)["cpu"])
        for server in b.catalogues:
            many = loads.wrk(server, "put", 64, b.seconds)
            b.results.add("KV PUT rate, c64", server.name, many["rate"])
            b.results.add("KV PUT CPU, c64", server.name, many["cpu"])
        for server in b.catalogues:
            b.results.add("KV PUT median, c1", server.name, loads.wrk(server, "put", 1, b.seconds)["p50"])


def suite_catalog(b):
    for server in b.catalogues:
        loads.load_services(server)
    for _ in range(b.reps):
        for size in (3, 100, 1000):
            for server in b.catalogues:
                b.results.add("health %d instances CPU, c64" % size, server.name,
                              loads.wrk(server, "health", 64, b.seconds, keys=size)["cpu"])
        for server in b.catalogues:
            b.results.add("catalog/services 1000 names CPU, c64", server.name,
                          loads.wrk(server, "services", 64, b.seconds)["cpu"])
        for operation, figure in (("catalog-register", "catalog/register CPU, c64"),
                                  ("agent-register", "agent/service/register CPU, c64")):
            for server in b.catalogues:
                b.results.add(figure, server.name, loads.wrk(server, operation, 64, b.seconds)["cpu"])
    for server in b.catalogues:
        for i in range(1000):
            server.ask("PUT", "/v1/agent/service/deregister/areg-%d" % i)


def suite_dns(b):
    for server in b.catalogues:
        if len(server.ask("GET", "/v1/catalog/service/bench100")[1]) < 1000:
            loads.load_services(server)
    b.extra(Knot, 44)
    for _ in range(b.reps):
        for size in (3, 100):
            for kind in ("A", "SRV"):
                for server in b.catalogues + (b.started(Knot) if size == 3 else []):
                    b.results.add("DNS %s %d instances CPU" % (kind, size), server.name,
                                  loads.dnsperf(server, "bench%d.service.consul" % size, kind, b.seconds)["cpu"])


def suite_held(b):
    for server in b.catalogues:
        b.fresh(server)
        before = loads.descriptors(server)
        result = loads.held_queries(server)
        b.results.add("held query", server.name, result["kib"])
        b.results.add("1000 held, PUT to last answer", server.name, result["last_ms"])
        time.sleep(1)
        b.results.add("held queries left after their clients", server.name, loads.descriptors(server) - before)


def first_success(limit, attempt):
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if attempt():
            return (time.monotonic() - began) * 1e3
        time.sleep(0.002)
    raise SystemExit("no answer within %d s" % limit)


def key_readable(server):
    try:
        return server.ask("GET", "/v1/kv/bench/099999", timeout=2)[0] == 200
    except OSError:
        return False


def suite_life(b):
    for _ in range(b.reps):
        for server in b.catalogues:
            server.clean()
            loads.wait_quiet()
            server.start()
            b.results.add("start to first durable write", server.name, first_success(60, lambda: server.write_works(1)))
            time.sleep(5)
            memory = memory_kib(server.pids())
            b.results.add("idle PSS", server.name, memory["Pss"] / 1024)
            b.results.add("idle anonymous", server.name, memory["Anonymous"] / 1024)
            before = cpu_seconds(server.pids())
            time.sleep(10)
            b.results.add("idle CPU", server.name, (cpu_seconds(server.pids()) - before) * 10)
            b.results.add("100,000 keys: load", server.name, 100000 / loads.load_keys(server, 100000))
            time.sleep(5)
            b.results.add("100,000 keys: anonymous", server.name, memory_kib(server.pids())["Anonymous"] / 1024)
            server.stop(signal.SIGKILL)
            loads.wait_quiet()
            server.start()
            b.results.add("100,000 keys: kill -9 to first read", server.name, first_success(60, lambda: key_readable(server)))


SUITES = {"kv": suite_kv, "catalog": suite_catalog, "dns": suite_dns, "held": suite_held, "life": suite_life, "quorum": quorum.suite, "client": client.suite,
          "nodes": nodes.suite}


class Bench:
    def __init__(self, options, work):
        self.reps, self.seconds, self.trials = options.reps, options.seconds, options.trials
        self.work = work
        self.binaries = {"muster": options.muster, "consul": options.consul, "etcd": options.etcd}
        self.results = Results()
        self.catalogues = [Muster(41, work, os.path.abspath(options.muster))]
        if options.consul:
            self.catalogues.append(Consul(42, work, os.path.abspath(options.consul)))
        self.extras = []

    def fresh(self, server):
        server.clean()
        server.start()
        server.wait_ready()

    def extra(self, kind, slot, *args):
        if not self.started(kind):
            server = kind(slot, self.work, *args)
            server.start()
            time.sleep(1)
            self.extras.append(server)

    def started(self, kind):
        return [e for e in self.extras if isinstance(e, kind)]

    def stop(self):
        for server in self.catalogues + self.extras:
            server.clean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--muster", default="build/ctl/muster")
    parser.add_argument("--consul", default="", help="the real one (tests/conformance/get-consul); without it no ratios")
    parser.add_argument("--etcd", default="", help="the real one, for the suite `quorum`")
    parser.add_argument("--trials", type=int, default=20, help="leaders killed in the suite `quorum`")
    parser.add_argument("--only", default=",".join(SUITES), help="suites: " + ",".join(SUITES))
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--out", default="", help="also write the table to this file")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as work:
        bench = Bench(options, work)
        ended = False
        try:
            for name in options.only.split(","):
                print("== " + name, flush=True)
                if name in ("kv", "catalog", "dns"):
                    for server in bench.catalogues:
                        if not server.process:
                            server.start()
                            server.wait_ready()
                SUITES[name](bench)
        except SystemExit as error:  # what was measured before it is shown all the same
            print("ENDED EARLY: %s" % error)
            ended = True
        finally:
            bench.stop()
    table, missed = bench.results.table()
    print("\n" + table + "\n\n%d budgets missed" % missed)
    if options.out:
        with open(options.out, "w") as f:
            f.write(table + "\n")
    return 1 if missed or ended else 0


sys.exit(main())
