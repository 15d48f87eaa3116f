# SPDX-License-Identifier: Apache-2.0
"""Three servers of each kind: what a write and a read cost at the leader and at a follower, and how long nobody can write after
the leader's death. muster runs with its default timing, Consul with its fastest, etcd with its default."""
import base64
import os
import statistics
import threading
import time

import loads
from servers import Cluster, Consul, Etcd, Muster

FIGURES = [
    ("3 servers: PUT rate at the leader, c64", "req/s", [(">consul", 2), (">etcd", 2)]),
    ("3 servers: PUT CPU at the leader, c64", "us", [("consul", 1 / 2.5), ("etcd", 1 / 2.5)]),
    ("3 servers: PUT rate at a follower, c64", "req/s", []),
    ("3 servers: PUT CPU at a follower, c64", "us", []),
    ("3 servers: GET consistent CPU at a follower, c64", "us", [("consul", 1 / 8), ("etcd", 1 / 8)]),
    ("3 servers: GET default CPU at a follower, c64", "us", []),
    ("3 servers: GET stale CPU at a follower, c64", "us", [("consul", 1 / 4), ("etcd", 1 / 4)]),
    ("3 servers: GET consistent rate at a follower, c64", "req/s", []),
    ("3 servers: GET consistent at a follower, the leader's CPU", "us", []),
    ("3 servers: kill -9 of the leader to the next write, median", "ms", [("etcd", 1)]),
    ("3 servers: kill -9 of the leader to the next write, maximum", "ms", [3000]),
]
KINDS = [(Muster, 44, None), (Consul, 45, {"raft_multiplier": 1}), (Etcd, 46, None)]
KEYS = 1000
OPERATIONS = {"put": "etcd-put", "get": "etcd-get", "get-consistent": "etcd-get", "get-stale": "etcd-get-stale"}


class Loaded:
    """One node under load, while the CPU of others counts: the whole cluster's, or the leader's alone."""

    def __init__(self, cluster, node, counted):
        self.name, self.http, self.pids = cluster.name, node.http, counted.pids


def measure(b, cluster, node, operation, counted=None):
    mine = OPERATIONS[operation] if cluster.name == "etcd" else operation
    return loads.wrk(Loaded(cluster, node, counted or cluster), mine, 64, b.seconds, keys=KEYS)


def load_keys(cluster):
    leader = cluster.leader()
    if cluster.name != "etcd":
        loads.load_keys(leader, KEYS)
        return
    for i in range(KEYS):
        key = base64.b64encode(b"%06d" % i).decode()
        if leader.post("/v3/kv/put", {"key": key, "value": "dmFsdWU="})[0] != 200:
            raise SystemExit("etcd: a key could not be written")


def throughput(b, cluster):
    leader, follower = cluster.leader(), cluster.follower()
    many = measure(b, cluster, leader, "put")
    b.results.add("3 servers: PUT rate at the leader, c64", cluster.name, many["rate"])
    b.results.add("3 servers: PUT CPU at the leader, c64", cluster.name, many["cpu"])
    many = measure(b, cluster, follower, "put")
    b.results.add("3 servers: PUT rate at a follower, c64", cluster.name, many["rate"])
    b.results.add("3 servers: PUT CPU at a follower, c64", cluster.name, many["cpu"])
    many = measure(b, cluster, follower, "get-consistent")
    b.results.add("3 servers: GET consistent CPU at a follower, c64", cluster.name, many["cpu"])
    b.results.add("3 servers: GET consistent rate at a follower, c64", cluster.name, many["rate"])
    b.results.add("3 servers: GET consistent at a follower, the leader's CPU", cluster.name,
                  measure(b, cluster, follower, "get-consistent", counted=leader)["cpu"])
    for operation, word in (("get", "default"), ("get-stale", "stale")):
        b.results.add("3 servers: GET %s CPU at a follower, c64" % word, cluster.name,
                      measure(b, cluster, follower, operation)["cpu"])


def failover(cluster):
    """Milliseconds from the leader's kill -9 to the first write that a survivor acknowledges; one is tried every 25 ms."""
    cluster.wait_ready()
    leader = cluster.leader()
    survivors = [n for n in cluster.nodes if n is not leader]
    done, threads = threading.Event(), []
    found = []

    def attempt(node):
        if node.write_works(10) and not done.is_set():
            found.append(time.monotonic())
            done.set()

    loads.wait_quiet()
    began = time.monotonic()
    leader.stop(9)
    while not done.is_set():
        for node in survivors:
            threads.append(threading.Thread(target=attempt, args=(node,)))
            threads[-1].start()
        done.wait(0.025)
        if time.monotonic() - began > 60:
            raise SystemExit("%s: no write for 60 s after the leader's death" % cluster.name)
    for thread in threads:
        thread.join()
    leader.start()
    return (found[0] - began) * 1e3


def suite(b):
    for kind, slot, timing in KINDS:
        binary = b.binaries[kind.name]
        if not binary:
            continue
        cluster = Cluster(kind, slot, b.work, os.path.abspath(binary), timing)
        try:
            cluster.start()
            cluster.wait_ready()
            load_keys(cluster)
            for _ in range(b.reps):
                throughput(b, cluster)
            times = [failover(cluster) for _ in range(b.trials)]
        finally:
            cluster.clean()
        b.results.add("3 servers: kill -9 of the leader to the next write, median", cluster.name, statistics.median(times))
        b.results.add("3 servers: kill -9 of the leader to the next write, maximum", cluster.name, max(times))
