#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What membership of a large pool costs: memory and CPU of one muster-gossipd, and then of one stock serf agent, among simulated
peers, which live on loopback addresses of their own in this process, answer pings, and probe and gossip as often as so many
members would: each second one of them probes the member, and one intent goes round.

    bench/gossip_pool.py [--build build] [--serf serf] [--peers 999] [--seconds 30]

Exit status 1 where gossipd takes more than 1 % of a core or 8 MiB, counting the libraries that it shares with other daemons."""
import argparse
import json
import os
import pathlib
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

PORT = 8301
TARGET = "127.202.0.1"
BUDGET_MS, BUDGET_KIB = 10, 8 * 1024


def pack(v):
    """MessagePack of what the protocol needs: maps with sorted keys, byte strings, small numbers."""
    if v is None:
        return b"\xc0"
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        return (bytes([v]) if v < 128 else b"\xcd" + struct.pack(">H", v) if v < 65536 else b"\xce" + struct.pack(">I", v))
    if isinstance(v, str):
        v = v.encode()
    if isinstance(v, bytes):
        return (bytes([0xa0 + len(v)]) if len(v) < 32 else b"\xda" + struct.pack(">H", len(v))) + v
    return bytes([0x80 + len(v)]) + b"".join(pack(k) + pack(v[k]) for k in sorted(v))


def meta(i):
    tags = {"role": "node", "dc": "dc1", "id": "%08d-0000-0000-0000-000000000000" % i, "vsn": "2", "vsn_min": "2",
            "vsn_max": "3", "build": "1.8.7:", "acls": "0", "segment": ""}
    return b"\xff" + pack(tags)


def inflate(data):
    """The LZW of the protocol (least significant bit first)."""
    out, table, bits, count, width, last = bytearray(), {}, 0, 0, 9, None
    for byte in data:
        bits |= byte << count
        count += 8
        if count < width:
            continue
        code, bits, count = bits & ((1 << width) - 1), bits >> width, count - width
        if code == 257:
            break
        if code == 256:
            table, width, last = {}, 9, None
            continue
        entry = bytes([code]) if code < 256 else table.get(code) or last + last[:1]
        out += entry
        if last is not None:
            table[258 + len(table)] = last + entry[:1]
        last = entry
        if 258 + len(table) + (last is not None) > 1 << width and width < 12:
            width += 1
    return bytes(out)


def plain_of(data):
    if data[:1] == b"\x0c":
        data = data[5:]
    if data[:1] == b"\x09":
        at = data.find(b"\xa3Buf") + 4
        skip = {0xda: 3, 0xd9: 2, 0xc4: 2, 0xc5: 3}.get(data[at], 1)
        data = inflate(data[at + skip:])
    return data


class Peers:
    def __init__(self, count, network="127.201"):
        self.poll = select.epoll()
        self.sockets = {}
        self.addresses = []
        for i in range(count):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            address = "%s.%d.%d" % (network, i // 250, i % 250 + 1)
            s.bind((address, PORT))
            s.setblocking(False)
            self.poll.register(s, select.EPOLLIN)
            self.sockets[s.fileno()] = s
            self.addresses.append(address)
        self.all = list(self.sockets.values())
        self.seq = self.answered = 0

    def close(self):
        for s in self.all:
            s.close()

    def states(self):
        return b"".join(pack({"Addr": socket.inet_aton(a), "Incarnation": 1, "Meta": meta(i), "Name": "p%d" % i,
                              "Port": PORT, "State": 0, "Vsn": bytes([1, 5, 2, 2, 5, 4])})
                        for i, a in enumerate(self.addresses))

    def join(self, target):
        header = pack({"Join": True, "Nodes": len(self.addresses), "UserStateLen": 0})
        with socket.create_connection((target, PORT)) as s:
            s.sendall(b"\x06" + header + self.states())
            s.settimeout(10)
            assert s.recv(65536), "no answer to the join"

    def answer(self, limit_s):
        """Acknowledges the pings that have come."""
        for fd, _ in self.poll.poll(limit_s):
            data, source = self.sockets[fd].recvfrom(65536)
            data = plain_of(data)
            at = data.find(b"\x00\x85\xa4Node")
            at = data.find(b"\xa5SeqNo", at) if at >= 0 else -1
            if at >= 0:
                at += 6
                width = {0xcc: 1, 0xcd: 2, 0xce: 4}.get(data[at], 0)
                self.sockets[fd].sendto(b"\x02\x82\xa7Payload\xc0\xa5SeqNo" + data[at:at + 1 + width], source)
                self.answered += 1

    def probe(self, target, name):
        """What one member hears of so many: about one probe a second, and gossip of a pool where something changes."""
        self.seq += 1
        i = random.randrange(len(self.all))
        self.all[i].sendto(b"\x00" + pack({"Node": name, "SeqNo": self.seq, "SourceAddr": socket.inet_aton(self.addresses[i]),
                                           "SourceNode": "p%d" % i, "SourcePort": PORT}), (target, PORT))

    def gossip(self, target, i):
        intent = b"\x08\x01" + pack({"LTime": 1 + self.seq, "Node": "p%d" % i})
        random.choice(self.all).sendto(intent, (target, PORT))


def usage(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/%d/status" % pid).read_text().strip().split("\n"))
    return ((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0]),
            int(status["RssAnon"].split()[0]))


def gossipd(directory, a):
    (directory / "data").mkdir()
    (directory / "run").mkdir()
    (directory / "c.json").write_text(json.dumps({"node_name": "m1", "bind_addr": TARGET, "data_dir": str(directory / "data")}))
    return [a.build + "/gossipd/muster-gossipd", "-config-file", str(directory / "c.json"), "-run-dir", str(directory / "run")]


def serf(directory, a):
    return [a.serf, "agent", "-node=m1", "-bind=%s:%d" % (TARGET, PORT), "-rpc-addr=%s:7373" % TARGET, "-tag", "role=node",
            "-snapshot=%s" % (directory / "snapshot")]


def measure(name, command, a):
    """(milliseconds of CPU a second, KiB) and prints them."""
    with tempfile.TemporaryDirectory() as directory:
        d = pathlib.Path(directory)
        with open(d / "log", "wb") as log:
            daemon = subprocess.Popen(command(d, a), stdout=log, stderr=log)
        peers = Peers(a.peers)
        try:
            time.sleep(1)
            alone = usage(daemon.pid)[1]
            peers.join(TARGET)
            end = time.monotonic() + 200
            while time.monotonic() < end:       # what the join set off is gossiped away
                peers.answer(0.05)
            before, asked, began = usage(daemon.pid)[0], peers.answered, time.monotonic()
            i = 0
            while time.monotonic() < began + a.seconds:
                peers.answer(0.05)
                if time.monotonic() > began + i:
                    peers.probe(TARGET, "m1")
                    peers.gossip(TARGET, i % a.peers)
                    i += 1
            cpu, rss, private = usage(daemon.pid)
            took = time.monotonic() - began
            failed = (d / "log").read_text().lower().replace("eventmemberfailed", "member-failed").count("member-failed")
        finally:
            daemon.kill()
            daemon.wait()
            peers.close()
    cpu_ms = (cpu - before) * 1000 / took
    print("%s: members %d: RSS %d KiB (private %d, alone %d, %.0f bytes a member), CPU %.2f ms per second, %.1f probes a second, "
          "members failed %d" % (name, a.peers + 1, rss, private, alone, (rss - alone) * 1024 / a.peers, cpu_ms,
                                 (peers.answered - asked) / took, failed), flush=True)
    return cpu_ms, rss


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default="build")
    p.add_argument("--serf", default=shutil.which("serf") or "")
    p.add_argument("--peers", type=int, default=999)
    p.add_argument("--seconds", type=int, default=30)
    a = p.parse_args()
    cpu_ms, rss = measure("gossipd", gossipd, a)
    if a.serf:
        measure("serf", serf, a)
    return int(cpu_ms > BUDGET_MS or rss > BUDGET_KIB)


if __name__ == "__main__":
    sys.exit(main())
