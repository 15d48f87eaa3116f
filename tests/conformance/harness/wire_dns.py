# SPDX-License-Identifier: Apache-2.0
"""A small DNS codec and client with raw control over every bit of a query.

It decodes strictly (a message with trailing or missing bytes is an error, which is itself an answer worth
comparing) and never compresses what it encodes. It is a test tool, not a resolver.
"""
import ipaddress
import socket
import struct

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28,
         "SRV": 33, "NAPTR": 35, "OPT": 41, "DS": 43, "CAA": 257, "TYPE65": 65, "TYPE65280": 65280,
         "IXFR": 251, "AXFR": 252, "ANY": 255}
TYPE_NAMES = {v: k for k, v in TYPES.items()}
CLASSES = {"IN": 1, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}
CLASS_NAMES = {v: k for k, v in CLASSES.items()}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
FLAGS = (("qr", 0x8000), ("aa", 0x0400), ("tc", 0x0200), ("rd", 0x0100), ("ra", 0x0080), ("z", 0x0040),
         ("ad", 0x0020), ("cd", 0x0010))


class DnsError(Exception):
    """A message that does not decode."""


def encode_name(name):
    out = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else []:
        raw = label.encode("latin-1").decode("unicode_escape").encode("latin-1")
        out += bytes([len(raw)]) + raw
    return out + b"\0"


def encode_ecs(prefix):
    net = ipaddress.ip_network(prefix, strict=False)
    octets = (net.prefixlen + 7) // 8
    data = struct.pack("!HBB", 1 if net.version == 4 else 2, net.prefixlen, 0) + net.network_address.packed[:octets]
    return struct.pack("!HH", 8, len(data)) + data


def encode_query(name, qtype, qid=0x1234, flags=0x0100, qclass=1, edns=None, edns_flags=0, options=b""):
    message = struct.pack("!HHHHHH", qid, flags, 1, 0, 0, 0 if edns is None else 1)
    message += encode_name(name) + struct.pack("!HH", qtype, qclass)
    if edns is not None:
        message += b"\0" + struct.pack("!HHIH", 41, edns, edns_flags, len(options)) + options
    return message


def encode_rr(name, rtype, ttl, rdata, rclass=1):
    return encode_name(name) + struct.pack("!HHIH", rtype, rclass, ttl, len(rdata)) + rdata


class Reader:
    """A cursor over one message."""

    def __init__(self, message):
        self.message = message
        self.at = 0
        self.pointers = 0

    def take(self, count):
        if self.at + count > len(self.message):
            raise DnsError("message ends too early")
        self.at += count
        return self.message[self.at - count:self.at]

    def unpack(self, form):
        return struct.unpack("!" + form, self.take(struct.calcsize("!" + form)))

    def name(self):
        labels, back, hops = [], None, 0
        while True:
            length = self.take(1)[0]
            if length >= 0xC0:
                offset = ((length & 0x3F) << 8) | self.take(1)[0]
                back = self.at if back is None else back
                self.pointers += 1
                hops += 1
                if hops > 64 or offset >= len(self.message):
                    raise DnsError("bad compression pointer")
                self.at = offset
            elif length == 0:
                break
            else:
                labels.append("".join(chr(c) if 33 <= c < 127 and c != 46 else "\\%03d" % c
                                      for c in self.take(length)))
        if back is not None:
            self.at = back
        return ".".join(labels) + "."


def read_options(data):
    out, at = [], 0
    while at + 4 <= len(data):
        code, length = struct.unpack("!HH", data[at:at + 4])
        body = data[at + 4:at + 4 + length]
        if code == 8 and len(body) >= 4:
            family, source, scope = struct.unpack("!HBB", body[:4])
            out.append("ecs family=%d source=%d scope=%d %s" % (family, source, scope, body[4:].hex()))
        else:
            out.append("option %d %s" % (code, body.hex()))
        at += 4 + length
    return out


def read_rdata(reader, rtype, length):
    end = reader.at + length
    if rtype == 1 and length == 4:
        text = str(ipaddress.ip_address(reader.take(4)))
    elif rtype == 28 and length == 16:
        text = str(ipaddress.ip_address(reader.take(16)))
    elif rtype in (2, 5, 12):
        text = reader.name()
    elif rtype == 15:
        text = "%d " % reader.unpack("H") + reader.name()
    elif rtype == 33:
        text = "%d %d %d " % reader.unpack("HHH") + reader.name()
    elif rtype == 6:
        text = "%s %s <serial> " % (reader.name(), reader.name())
        reader.take(4)
        text += "%d %d %d %d" % reader.unpack("IIII")
    elif rtype == 16:
        parts = []
        while reader.at < end:
            raw = reader.take(reader.take(1)[0])
            parts.append('"' + raw.decode("utf-8", "backslashreplace") + '"')
        text = " ".join(parts)
    else:
        text = "\\# %d %s" % (length, reader.take(length).hex())
    if reader.at != end:
        raise DnsError("record data of the wrong length")
    return text


class Message:
    """A decoded message: header fields, and the sections as lists of (name, ttl, class, type, data)."""

    def __init__(self, raw):
        reader = Reader(raw)
        self.size = len(raw)
        self.qid, self.bits, *counts = reader.unpack("HHHHHH")
        self.rcode = RCODES.get(self.bits & 15, str(self.bits & 15))
        self.opcode = (self.bits >> 11) & 15
        self.flags = [name for name, bit in FLAGS if self.bits & bit]
        self.questions = []
        for _ in range(counts[0]):
            name = reader.name()
            qtype, qclass = reader.unpack("HH")
            self.questions.append((name, CLASS_NAMES.get(qclass, str(qclass)), TYPE_NAMES.get(qtype, str(qtype))))
        self.edns = None
        self.sections = []
        for count in counts[1:]:
            self.sections.append(self.read_section(reader, count))
        self.pointers = reader.pointers
        if reader.at != len(raw):
            raise DnsError("trailing bytes")

    def read_section(self, reader, count):
        records = []
        for _ in range(count):
            name = reader.name()
            rtype, rclass, ttl, length = reader.unpack("HHIH")
            if rtype == 41:
                self.edns = (rclass, ttl, read_options(reader.take(length)))
                continue
            data = read_rdata(reader, rtype, length)
            records.append((name, ttl, CLASS_NAMES.get(rclass, str(rclass)),
                            TYPE_NAMES.get(rtype, str(rtype)), data))
        return records


def ask_udp(address, port, query, timeout):
    """Sends one datagram; returns the answer, or None when there is none in time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((address, port))
        sock.send(query)
        try:
            return sock.recv(65535)
        except (socket.timeout, ConnectionRefusedError):
            return None


def ask_udp_or_silence(address, port, query, marker, limits):
    """
    As ask_udp, for a query that may deserve no answer. Silence is believed after limits[0] seconds and when another query sent
    later, the marker, has been answered (within limits[1]).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        for data, limit in ((query, limits[0]), (marker, limits[1])):
            sock.settimeout(limit)
            sock.send(data)
            try:
                answer = sock.recv(65535)
                return None if answer[:2] == marker[:2] else answer
            except (socket.timeout, ConnectionRefusedError):
                continue
    return None


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def ask_tcp(address, port, query, times, timeout):
    """Sends the query so many times at once over one connection; returns the answers, None for each missing one."""
    answers = []
    with socket.create_connection((address, port), timeout=timeout) as sock:
        sock.sendall((struct.pack("!H", len(query)) + query) * times)
        try:
            for _ in range(times):
                head = read_exactly(sock, 2)
                answers.append(read_exactly(sock, struct.unpack("!H", head)[0]) if head else None)
        except (socket.timeout, ConnectionResetError):
            answers.append(None)
    return answers
