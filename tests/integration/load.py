# SPDX-License-Identifier: Apache-2.0
"""Clients that write and read while something is done to a cluster, and what they saw: registers (checked for
linearizability), keys written once each (none that was acknowledged may be missing), stale reads (never go back on one
server)."""
import base64
import http.client
import itertools
import json
import random
import threading
import time

import linear
from node import PORTS, wait_until

REGISTERS = 4


class Load:
    def __init__(self, nodes, per_node=2, pause_s=0.004):
        self.nodes, self.pause_s = list(nodes), pause_s
        self.history = {n: [] for n in range(REGISTERS)}
        self.acked, self.errors, self.backward = [], [], []
        self.numbers = itertools.count(1)
        self.prefix = "load%d" % random.randrange(1 << 30)
        self.lock, self.stop_now, self.operations = threading.Lock(), threading.Event(), 0
        self.done = {node.name: 0 for node in self.nodes}
        self.threads = [threading.Thread(target=self.run, args=(node, seed), daemon=True)
                        for node in self.nodes for seed in range(per_node)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure):
        self.stop_now.set()
        for thread in self.threads:
            thread.join(30)

    def progress(self, count=40, nodes=None, limit_s=20):
        """Every one of these servers has served so many more operations: the cluster is at work."""
        wanted = {n.name: self.done[n.name] + count for n in (nodes or self.nodes)}
        wait_until(lambda: all(self.done[name] >= n for name, n in wanted.items()), limit_s,
                   "progress of the load (errors: %r)" % self.errors[-3:])

    # ---- clients ----

    def run(self, node, seed):
        rng = random.Random("%s %d" % (node.name, seed))
        client = Client(node)
        last_stale = {}
        while not self.stop_now.is_set():
            try:
                self.one(client, rng, last_stale)
                self.done[node.name] += 1
            except (OSError, http.client.HTTPException) as error:
                client.reset()
                self.errors.append("%s %r" % (node.name, error))
                time.sleep(0.02)
            time.sleep(self.pause_s)
        client.reset()

    def one(self, client, rng, last_stale):
        register, kind = rng.randrange(REGISTERS), rng.random()
        path = "/v1/kv/%s/r%d" % (self.prefix, register)
        if kind < 0.3:
            self.write(client, register, path)
        elif kind < 0.45:
            number = next(self.numbers)
            status, _, body = client.ask("PUT", "/v1/kv/%s/once/%d" % (self.prefix, number), str(number))
            if status == 200 and body == b"true":
                self.acked.append(number)
        elif kind < 0.6:
            status, index, _ = client.ask("GET", path + "?stale")
            if status == 200:
                if index < last_stale.get(register, 0):
                    self.backward.append((client.node.name, register, last_stale[register], index))
                last_stale[register] = index
        else:
            self.read(client, register, path + ("?consistent" if kind < 0.8 else ""))

    def note(self, register, op):
        with self.lock:
            self.history[register].append(op)

    def write(self, client, register, path):
        value, start = str(next(self.numbers)), time.monotonic()
        op = linear.Op(True, value, start)
        self.note(register, op)  # it counts, whatever becomes of it
        status, _, body = client.ask("PUT", path, value)
        if status == 200:
            assert body == b"true"
            op.end = time.monotonic()
        else:
            self.errors.append("%s %d %r" % (client.node.name, status, body))

    def read(self, client, register, path):
        start = time.monotonic()
        status, _, body = client.ask("GET", path)
        if status in (200, 404):
            value = base64.b64decode(json.loads(body)[0]["Value"]).decode() if status == 200 else None
            self.note(register, linear.Op(False, value, start, time.monotonic()))
        else:
            self.errors.append("%s %d %r" % (client.node.name, status, body))

    # ---- verdict ----

    def check(self, node):
        """After the end: node answers as one that all have told."""
        assert not self.backward, self.backward[:3]
        for register, history in self.history.items():
            wrong = linear.check(history)
            assert wrong is None, "register %d: %s" % (register, wrong)
        there = {int(key.rsplit("/", 1)[1]) for key in node.json("/v1/kv/%s/once/?keys&consistent" % self.prefix)}
        missing = sorted(set(self.acked) - there)
        assert not missing, "acknowledged and missing: %r" % missing[:5]
        assert len(self.acked) > 10


class Client:
    """One connection at a time, kept as long as it lasts."""

    def __init__(self, node):
        self.node, self.connection = node, None

    def reset(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def ask(self, method, path, body=None):
        """(status, X-Consul-Index, body)"""
        if not self.connection:
            self.connection = http.client.HTTPConnection(self.node.address, PORTS["http"], timeout=15)
        self.connection.request(method, path, body=body)
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.will_close:
            self.reset()
        return answer.status, int(answer.headers.get("X-Consul-Index", 0)), data
