# SPDX-License-Identifier: Apache-2.0
"""A server and a client node of each kind: what a request costs that is asked of the client. CPU is that of both nodes."""
import os
import time

import loads
from servers import Consul, Muster

FIGURES = [
    ("client node: KV GET CPU of both nodes, c64", "us", [("consul", 1 / 3)]),
    ("client node: KV GET rate, c64", "req/s", [(">consul", 1)]),
    ("client node: KV PUT CPU of both nodes, c64", "us", [("consul", 1 / 2.5)]),
    ("client node: health 100 instances CPU of both nodes, c64", "us", [("consul", 1 / 8)]),
]
KEYS = 1000


class Pair:
    def __init__(self, kind, slot, work, binary):
        self.name = kind.name
        self.server = kind(slot, work, binary)
        self.client = kind(slot, work, binary, number=2)
        self.client.server_ip = self.server.ip
        self.http = self.client.http

    def pids(self):
        return self.server.pids() + self.client.pids()

    def start(self):
        self.server.start()
        self.server.wait_ready()
        self.client.start()
        self.client.wait_ready()

    def clean(self):
        self.client.clean()
        self.server.clean()


def suite(b):
    pairs = [Pair(kind, slot, b.work, os.path.abspath(b.binaries[kind.name]))
             for kind, slot in ((Muster, 47), (Consul, 48)) if b.binaries[kind.name]]
    try:
        for pair in pairs:
            pair.start()
            loads.load_keys(pair.server, KEYS)
            loads.load_services(pair.server)
        time.sleep(2)
        for _ in range(b.reps):
            for pair in pairs:
                got = loads.wrk(pair, "get", 64, b.seconds, keys=KEYS)
                b.results.add("client node: KV GET CPU of both nodes, c64", pair.name, got["cpu"])
                b.results.add("client node: KV GET rate, c64", pair.name, got["rate"])
                b.results.add("client node: KV PUT CPU of both nodes, c64", pair.name,
                              loads.wrk(pair, "put", 64, b.seconds, keys=KEYS)["cpu"])
                b.results.add("client node: health 100 instances CPU of both nodes, c64", pair.name,
                              loads.wrk(pair, "health", 64, b.seconds, keys=100)["cpu"])
    finally:
        for pair in pairs:
            pair.clean()
