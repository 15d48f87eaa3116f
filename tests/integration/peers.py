# SPDX-License-Identifier: Apache-2.0
"""The others: stock Serf and Consul agents on loopback addresses of their own, and gossipd by itself (a member of a pool
without the rest of a node)."""
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess

from node import BUILD, TOP, clean_environment, die_with_parent, free_address, wait_until

SERF = os.environ.get("MUSTER_SERF") or shutil.which("serf")
CONSUL = os.environ.get("MUSTER_CONSUL") or shutil.which("consul") or (
    str(TOP / "build/consul/bin/consul") if (TOP / "build/consul/bin/consul").exists() else None)
SERF_NEW = os.environ.get("MUSTER_SERF_NEW") or (
    str(TOP / "build/serf/bin/serf") if (TOP / "build/serf/bin/serf").exists() else None)  # tests/integration/get-serf


class Process:
    """One agent: subclasses say command(). enter: moves the process to a host of its own (in the child)."""

    def __init__(self, directory, name, address=None, enter=None):
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.address = address or free_address()
        self.enter = enter
        self.process = None

    def start(self, wait=True):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=clean_environment(), start_new_session=True,
                                            preexec_fn=self.before_program, cwd=self.directory)
        if wait:
            self.wait_ready()
        return self

    def before_program(self):
        die_with_parent()
        if self.enter:
            self.enter()

    def wait_ready(self):
        wait_until(self.is_ready, 60, self.name + " started\n" + self.log())

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)


class Serf(Process):
    """seen(): what its handler was told; of members only where handled says so ("member-update" ...)."""

    def __init__(self, directory, name, port=8301, args=(), tags=(), program=None, handled=(), **options):
        super().__init__(directory, name, **options)
        self.program = program or SERF
        self.handled = ["user", "query", *handled]
        self.port = port
        self.rpc = "%s:%d" % (self.address, port - 8301 + 7373)
        self.args = list(args)
        self.tags = list(tags)
        self.events = self.directory / "events"

    def command(self):
        handler = self.directory / "handler"
        handler.write_text('#!/bin/sh\nprintf "%%s %%s %%s\\n" "$SERF_EVENT" "$SERF_USER_EVENT$SERF_QUERY_NAME" '
                           '"$(cat)" >>%s\n[ "$SERF_EVENT" != query ] || echo answer-of-%s\n' % (self.events, self.name))
        handler.chmod(0o755)
        tags = [a for t in self.tags for a in ("-tag", t)]
        return [self.program, "agent", "-node=" + self.name, "-bind=%s:%d" % (self.address, self.port),
                "-rpc-addr=" + self.rpc, "-log-level=debug"] + [
                    "-event-handler=%s=%s" % (kind, handler) for kind in self.handled] + tags + self.args

    def is_ready(self):
        return self.run("members").returncode == 0

    def run(self, *words, timeout=30):
        return subprocess.run([self.program, words[0], "-rpc-addr=" + self.rpc, *words[1:]], capture_output=True,
                              timeout=timeout, check=False)

    def members(self):
        out = json.loads(self.run("members", "-format=json").stdout)
        return {m["name"]: m for m in out["members"]}

    def alive(self):
        return sorted(n for n, m in self.members().items() if m["status"] == "alive")

    def status(self, name):
        return self.members().get(name, {}).get("status")

    def seen(self):
        return self.events.read_text(errors="replace") if self.events.exists() else ""


def texts(*values):
    return b"".join(struct.pack("<I", len(v)) + v for v in values)


def pairs_at(data, at):
    """(A field of kind PAIRS, where it ends); see common/msg/wire.h."""
    count, found = struct.unpack_from("<xI", data, at)[0], []
    at += 5
    for _ in range(2 * count):
        size = struct.unpack_from("<I", data, at)[0]
        found.append(data[at + 4:at + 4 + size].decode())
        at += 4 + size
    return list(zip(found[::2], found[1::2])), at


class Gossipd(Process):
    """muster-gossipd alone, seen through its control socket."""

    def __init__(self, directory, name, config=None, **options):
        super().__init__(directory, name, **options)
        self.config = dict(config or {})

    def command(self):
        base = {"node_name": self.name, "bind_addr": self.address, "data_dir": str(self.directory / "data"),
                "log_level": "DEBUG"}
        path = self.directory / "config.json"
        path.write_text(json.dumps(dict(base, **self.config)))
        (self.directory / "data").mkdir(exist_ok=True)
        (self.directory / "run").mkdir(exist_ok=True)
        return [str(BUILD / "gossipd" / "muster-gossipd"), "-config-file", str(path), "-run-dir",
                str(self.directory / "run")]

    def control(self, cmd):
        out = subprocess.run(["nanocat", "--req", "-x", "gossipd/control", "--recv-timeout", "5", "-D",
                              json.dumps({"cmd": cmd}), "--raw"], capture_output=True, check=False,
                             cwd=self.directory / "run", timeout=20)
        return json.loads(out.stdout)

    def is_ready(self):
        return self.control("ping")["ok"]

    def query(self, name, timeout_ms=0):
        """Asks all members, as other daemons of its node can (gossip_query): acknowledgements and responses by node."""
        question = b"".join([texts(b""), b"\0", texts(name.encode(), b""), struct.pack("<IB", timeout_ms, 0)])
        path = self.directory / ("query-" + name)
        path.write_bytes(b"msr1" + struct.pack("<QHHI", 1, 0x409, 0, len(question)) + question)
        out = subprocess.run(["nanocat", "--req", "-x", "gossipd/write", "--recv-timeout", "60", "-F", str(path), "--raw"],
                             capture_output=True, check=False, cwd=self.directory / "run", timeout=90).stdout
        _, message, status, _ = struct.unpack_from("<QHHI", out, 4)
        kind, _, *sizes = struct.unpack_from("<BQII", out, 20)
        assert (message, status, kind, *sizes) == (0x409, 0, 0, 0, 0), out
        acks, at = pairs_at(out, 37)
        return acks, pairs_at(out, at)[0]

    def dump(self):
        return self.control("dump")["dump"]

    def members(self):
        return {m["name"]: m for m in self.dump()["lan"] if m["status"]}

    def alive(self):
        return sorted(n for n, m in self.members().items() if m["status"] == 1)

    def status(self, name):
        statuses = {1: "alive", 2: "leaving", 3: "left", 4: "failed"}
        return statuses.get(self.members().get(name, {}).get("status"))


class Consul(Process):
    """A stock agent of the first data centre, a client unless told otherwise."""

    def __init__(self, directory, name, args=(), **options):
        super().__init__(directory, name, **options)
        self.args = list(args)

    def command(self):
        return [CONSUL, "agent", "-node=" + self.name, "-bind=" + self.address, "-client=" + self.address,
                "-data-dir=" + str(self.directory / "data")] + self.args

    def is_ready(self):
        with socket.create_connection((self.address, 8500), timeout=1):
            return True

    def run(self, *words):
        return subprocess.run([CONSUL, words[0], "-http-addr=%s:8500" % self.address, *words[1:]], capture_output=True,
                              timeout=30, check=False, text=True)

    def members(self):
        lines = self.run("members").stdout.split("\n")[1:]
        return {w[0]: w for w in (line.split() for line in lines) if w}
