# SPDX-License-Identifier: Apache-2.0
"""A fake DNS server which stands behind the servers under test as their recursor.

What it answers follows from the first label of the question, so that cases can ask for behaviour by name:
`a-*` an A record, `aaaa-*` an AAAA, `cname-*` a chain of two, `many-*` twelve A records, `nx-*` NXDOMAIN, `fail-*` SERVFAIL,
`refuse-*` REFUSED, `silent-*` nothing, `tc-*` a truncated answer over UDP and the full one over TCP, `big-*` 3 KB of TXT,
`empty-*` NODATA. With `broken=True` every question gets SERVFAIL.
"""
import socket
import socketserver
import struct
import threading

from . import wire_dns

PORT = 5300


def records_for(label, name):
    def a_record(owner, number):
        return wire_dns.encode_rr(owner, 1, 77, bytes([192, 0, 2, number]))
    kind = label.split("-")[0]
    if kind in ("a", "tc", "www"):
        return [a_record(name, 1)]
    if kind == "aaaa":
        return [wire_dns.encode_rr(name, 28, 77, bytes.fromhex("20010db8000000000000000000000001"))]
    if kind == "cname":
        middle = "middle." + name.split(".", 1)[1]
        return [wire_dns.encode_rr(name, 5, 88, wire_dns.encode_name(middle)), a_record(middle, 2)]
    if kind == "many":
        return [a_record(name, number) for number in range(1, 13)]
    if kind == "big":
        return [wire_dns.encode_rr(name, 16, 77, b"\xf0" + bytes([65 + n]) * 240) for n in range(12)]
    return []


def answer(query, tcp, broken):
    """The answer to one query as bytes, or None."""
    message = wire_dns.Message(query)
    name, _, _ = message.questions[0]
    label = name.split(".")[0].lower()
    kind = label.split("-")[0]
    if kind == "silent":
        return None
    records = records_for(label, name)
    rcode = {"nx": 3, "fail": 2, "refuse": 5}.get(kind, 2 if broken else 0)
    flags = 0x8400 | (message.bits & 0x0100) | rcode
    if kind == "tc" and not tcp:
        flags, records = flags | 0x0200, []
    if rcode:
        records = []
    question_end = 12 + len(wire_dns.encode_name(name)) + 4
    authority = [wire_dns.encode_rr("test.", 6, 66, wire_dns.encode_name("ns.test.") * 2 + struct.pack("!5I", 1, 2, 3, 4, 5))] \
        if not records and rcode in (0, 3) and kind != "tc" else []
    header = struct.pack("!HHHHHH", message.qid, flags, 1, len(records), len(authority), 0)
    return header + query[12:question_end] + b"".join(records + authority)


class UdpHandler(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        reply = answer(data, False, self.server.broken)
        if reply:
            sock.sendto(reply, self.client_address)


class TcpHandler(socketserver.BaseRequestHandler):
    def handle(self):
        while True:
            head = wire_dns.read_exactly(self.request, 2)
            if not head:
                return
            data = wire_dns.read_exactly(self.request, struct.unpack("!H", head)[0])
            reply = answer(data, True, self.server.broken) if data else None
            if not reply:
                return
            self.request.sendall(struct.pack("!H", len(reply)) + reply)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Upstream:
    """Serves on address:PORT over UDP and TCP until stop()."""

    def __init__(self, address, broken=False):
        self.servers = [socketserver.UDPServer((address, PORT), UdpHandler), TcpServer((address, PORT), TcpHandler)]
        for server in self.servers:
            server.broken = broken
            server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
