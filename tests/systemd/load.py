# SPDX-License-Identifier: Apache-2.0
"""Clients of a node, for as long as there is no line on stdin: load.py SHARE. They ask at SHARE of the rate that they reach in
their first two seconds. At the end one line of JSON: what each kind asked, what failed, what was answered wrongly, and in ms
the usual wait (half were shorter) and the longest. The last line of stdin names a file for the keys that were acknowledged."""
import http.client
import json
import random
import socket
import struct
import sys
import threading
import time

HTTP, DNS = ("127.0.0.1", 8500), ("127.0.0.1", 8600)
SERVERS = (8300, 8310, 8301, 8302)  # where other servers and members connect
MEMBERS = (8301, 8302)              # where members send datagrams
MEASURE_S = 2.0
ended = threading.Event()
share = float(sys.argv[1])


class Client(threading.Thread):
    """One kind of question, one at a time. ask() raises OSError when it failed, returns False when the answer is wrong."""
    paced = True

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.count, self.failed, self.wrong, self.waits, self.reused_closed = number, 0, [], [], [], 0
        self.connection = None

    def run(self):
        begin, pause = time.monotonic(), 0.0
        while not ended.is_set():
            start = time.monotonic()
            if self.paced and not pause and start - begin > MEASURE_S:
                pause = (start - begin) / max(self.count, 1) * (1 / share - 1)
            try:
                problem = self.ask()
                if problem:
                    self.wrong.append(problem)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append("%s after %.3f s: %r" % (type(self).__name__, time.monotonic() - start, error))
                self.connection = None
            self.waits.append(time.monotonic() - start)
            self.count += 1
            if pause:
                time.sleep(pause * random.uniform(0.5, 1.5))

    def fetch(self, method, path, body=None, keep=False):
        """keep: over one connection, as clients with a pool do. That it was closed between two requests is no failure: the
        request has not been heard, and goes over a new one."""
        reused = self.connection is not None
        connection = self.connection or http.client.HTTPConnection(*HTTP, timeout=20)
        self.connection = None
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()
            if not reused:
                raise
            self.reused_closed += 1
            return self.fetch(method, path, body, keep)
        content = answer.read()
        if answer.status != 200:
            raise OSError("%d %s" % (answer.status, content[:200]))
        if keep and not answer.will_close:
            self.connection = connection
        else:
            connection.close()
        return content, answer


class Read(Client):
    def ask(self):
        content, _ = self.fetch("GET", "/v1/kv/load/fixed?raw", keep=self.number % 2)
        return None if content == b"fixed" else "read: %r" % content[:100]


class Service(Client):
    def ask(self):
        content, _ = self.fetch("GET", "/v1/health/service/load", keep=self.number % 2)
        found = json.loads(content)
        return None if len(found) == 1 and found[0]["Service"]["Port"] == 7 else "service: %r" % content[:100]


class Write(Client):
    """Writes its own keys, and reads what it wrote."""

    def __init__(self, number):
        super().__init__(number)
        self.acknowledged = []

    def ask(self):
        key = "load/%d/%d" % (self.number, self.count)
        content, _ = self.fetch("PUT", "/v1/kv/" + key, key.encode(), keep=self.number % 2)
        if content.strip() != b"true":
            return "write: %r" % content[:100]
        self.acknowledged.append(key)
        content, _ = self.fetch("GET", "/v1/kv/%s?raw" % key, keep=self.number % 2)
        return None if content == key.encode() else "read of what was written: %r" % content[:100]


class Held(Client):
    """A blocking query on a key that changes now and then."""
    paced = False
    index = 1

    def ask(self):
        content, answer = self.fetch("GET", "/v1/kv/load/held?index=%d&wait=3s" % self.index)
        index = int(answer.headers["X-Consul-Index"])
        problem = None if index >= self.index and json.loads(content)[0]["Key"] == "load/held" else "held: index %d" % index
        self.index = index
        return problem


class Wake(Client):
    paced = False

    def ask(self):
        time.sleep(0.2)
        content, _ = self.fetch("PUT", "/v1/kv/load/held", b"%d" % self.count)
        return None if content.strip() == b"true" else "wake: %r" % content[:100]


def question(ident):
    name = b"".join(bytes([len(part)]) + part for part in (b"load", b"service", b"consul")) + b"\0"
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", 33, 1)


def answer_problem(ident, message):
    got, flags, _, answers = struct.unpack(">HHHH", message[:8])
    good = got == ident and flags & 0x800f == 0x8000 and answers == 1
    return None if good else "dns: flags %04x, %d answers" % (flags, answers)


class Udp(Client):
    def ask(self):
        ident = random.randrange(65536)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect(DNS)
            s.send(question(ident))
            return answer_problem(ident, s.recv(4096))


class Tcp(Client):
    def ask(self):
        ident, message = random.randrange(65536), b""
        with socket.create_connection(DNS, timeout=5) as s:
            asked = question(ident)
            s.sendall(struct.pack(">H", len(asked)) + asked)
            while len(message) < 2 or len(message) < 2 + struct.unpack(">H", message[:2])[0]:
                part = s.recv(4096)
                if not part:
                    raise OSError("closed after %d bytes" % len(message))
                message += part
            return answer_problem(ident, message[2:])


class Door(Client):
    """Nobody is turned away where the other nodes come in. They say nothing; who they are is another test."""
    paced = False

    def ask(self):
        time.sleep(0.02)
        for port in SERVERS:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        for port in MEMBERS:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.connect(("127.0.0.1", port))
                s.send(b"?")
                s.send(b"?")  # hears of it when nobody was there


def main():
    clients = [kind(number) for kind, count in ((Read, 2), (Service, 2), (Write, 2), (Held, 2), (Wake, 1), (Udp, 2), (Tcp, 1), (Door, 1))
               for number in range(count)]
    for client in clients:
        client.start()
    print("started", flush=True)
    path = sys.stdin.readline().strip()
    ended.set()
    for client in clients:
        client.join(30)
    report = {}
    for client in clients:
        row = report.setdefault(type(client).__name__, {"count": 0, "failed": [], "wrong": [], "waits": [], "reopened": 0})
        row["count"] += client.count
        row["failed"] += client.failed
        row["wrong"] += client.wrong
        row["reopened"] += client.reused_closed
        row["waits"] += client.waits
    for row in report.values():
        waits = sorted(row.pop("waits"))
        row["usual_ms"], row["longest_ms"] = round(waits[len(waits) // 2] * 1000), round(waits[-1] * 1000)
    if path:
        with open(path, "w", encoding="utf-8") as f:
            json.dump([key for client in clients if isinstance(client, Write) for key in client.acknowledged], f)
    print(json.dumps(report), flush=True)


main()
