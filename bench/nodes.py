# SPDX-License-Identifier: Apache-2.0
"""Three servers and four client nodes of each kind: how soon a service is found on another node, and how soon one is gone whose
node died. Asked over DNS, every 20 ms, at a client node."""
import os
import signal
import socket
import statistics
import struct
import time

from servers import Cluster, Consul, Muster

FIGURES = [
    ("7 nodes: registration to being found on another, median", "ms", [1000]),
    ("7 nodes: kill -9 of a node to its absence in DNS, median", "ms", [("consul", 1)]),
    ("7 nodes: kill -9 of a node to its absence in DNS, maximum", "ms", []),
]
CLIENTS, LIMIT_S = 4, 120


def addresses(node, name):
    """The A records that this node gives for a name."""
    question = b"".join(struct.pack("B", len(part)) + part.encode() for part in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.sendto(struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + question + b"\0\0\x01\0\x01", node.dns)
        answer = s.recv(4096)
    count, at, found = struct.unpack(">H", answer[6:8])[0], 12 + len(question) + 5, []
    for _ in range(count):
        while answer[at] not in (0,) and answer[at] < 0xc0:
            at += answer[at] + 1
        at += 1 if answer[at] == 0 else 2
        kind, size = struct.unpack(">H6xH", answer[at:at + 10])
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at + 10:at + 14]))
        at += 10 + size
    return found


def until(condition):
    """Milliseconds until it holds."""
    began = time.monotonic()
    while time.monotonic() - began < LIMIT_S:
        try:
            if condition():
                return (time.monotonic() - began) * 1e3
        except OSError:
            pass
        time.sleep(0.02)
    raise SystemExit("not within %d s" % LIMIT_S)


def trial(observer, victim, number):
    name = "dying%d" % number
    asked = name + ".service.consul"
    victim.ask("PUT", "/v1/agent/service/register", '{"Name": "%s", "Port": 80}' % name)
    found = until(lambda: victim.ip in addresses(observer, asked))
    time.sleep(2)
    victim.stop(signal.SIGKILL)
    gone = until(lambda: victim.ip not in addresses(observer, asked))
    victim.start()
    until(lambda: victim.ip in addresses(observer, asked))
    time.sleep(2)
    return found, gone


def suite(b):
    for kind, slot in ((Muster, 49), (Consul, 50)):
        binary = b.binaries[kind.name]
        if not binary:
            continue
        cluster = Cluster(kind, slot, b.work, os.path.abspath(binary), {"raft_multiplier": 1})
        clients = [kind(slot, b.work, os.path.abspath(binary), number=4 + i) for i in range(CLIENTS)]
        try:
            cluster.start()
            cluster.wait_ready()
            for client in clients:
                client.server_ip = cluster.nodes[0].ip
                client.start()
                client.wait_ready()
            got = [trial(clients[0], clients[1 + i % (CLIENTS - 1)], i) for i in range(max(3, b.trials // 4))]
        finally:
            for client in clients:
                client.clean()
            cluster.clean()
        for figure, value in zip(FIGURES, (statistics.median(f for f, _ in got), statistics.median(g for _, g in got),
                                           max(g for _, g in got))):
            b.results.add(figure[0], cluster.name, value)
