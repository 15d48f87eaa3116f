# SPDX-License-Identifier: Apache-2.0
"""Asking a node in DNS, packet by packet, once or again and again."""
import pathlib
import socket
import struct
import sys
import threading

from node import PORTS, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from harness import wire_dns  # noqa: E402


def ask(node, name, kind="A", timeout=15, **options):
    """A decoded answer to one datagram, None without any."""
    reply = wire_dns.ask_udp(node.address, PORTS["dns"], wire_dns.encode_query(name, wire_dns.TYPES[kind], **options), timeout)
    return wire_dns.Message(reply) if reply else None


def tcp_connect(node):
    return socket.create_connection((node.address, PORTS["dns"]), timeout=20)


def tcp_query(name, kind="A", qid=1):
    query = wire_dns.encode_query(name, wire_dns.TYPES[kind], qid=qid)
    return struct.pack("!H", len(query)) + query


def tcp_answer(sock):
    head = wire_dns.read_exactly(sock, 2)
    return wire_dns.Message(wire_dns.read_exactly(sock, struct.unpack("!H", head)[0])) if head else None


class Flood:
    """Asks the same question again and again, one answer at a time; counts what stays without answer."""

    def __init__(self, node, tcp=False, name="n1.node.consul"):
        self.node, self.tcp, self.name = node, tcp, name
        self.asked = self.lost = 0
        self.stopped = False
        node.wait_dns()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def one(self):
        if self.tcp:
            with tcp_connect(self.node) as sock:
                sock.sendall(tcp_query(self.name))
                return tcp_answer(sock)
        return ask(self.node, self.name)

    def run(self):
        while not self.stopped:
            self.asked += 1
            try:
                answer = self.one()
                self.lost += answer is None or answer.rcode != "NOERROR"
            except OSError:
                self.lost += 1

    def stop(self):
        wait_until(lambda: self.asked > 50)  # a loaded machine may need longer than the restarts
        self.stopped = True
        self.thread.join()
        assert self.asked > 50 and self.lost == 0, "%d of %d lost" % (self.lost, self.asked)
