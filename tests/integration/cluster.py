# SPDX-License-Identifier: Apache-2.0
"""Servers of one cluster: real nodes on loopback addresses of their own that find each other by retry_join."""
from node import MUSTER, Node, free_address, wait_until


class Server(Node):
    """One of several servers. join: addresses of others; expect: bootstrap_expect, 0 for one that only joins."""

    def __init__(self, directory, name, expect, join, **options):
        super().__init__(directory, name=name, **options)
        self.expect = expect
        self.join = list(join)

    def command(self):
        return [str(MUSTER), "agent", "-server", "-node=" + self.name, "-bind=" + self.address,
                "-client=" + self.address, "-data-dir=" + str(self.data_dir), "-config-dir=" + str(self.config_dir)
                ] + ["-bootstrap-expect=%d" % self.expect] * (self.expect > 0) + [
                    "-retry-join=" + address for address in self.join] + self.args

    def raft(self):
        """raftd's status, {} while it does not answer."""
        try:
            return self.control("raftd", "status")["detail"]
        except (OSError, ValueError, KeyError):
            return {}

    def peer_of(self, other):
        """What raftd says of another server."""
        return next((p for p in self.raft().get("peers", []) if p["node"] == other.name), {})


CALM = {"performance": {"raft_multiplier": 3}}  # elections in 0.3 to 0.6 s: machines that run tests are busy


class Cluster:
    """count servers that expect each other. all: every one that was made; up: those that should be running."""

    def __init__(self, directory, count, config=None):
        self.directory = directory
        self.config = dict(CALM, **(config or {}))
        self.count = count
        self.all = []
        addresses = [free_address() for _ in range(count)]
        for number, address in enumerate(addresses):
            self.add(expect=count, join=addresses[:2], address=address)

    def add(self, expect=0, join=None, address=None, name=None):
        """One more server, not yet started."""
        name = name or "s%d" % len(self.all)
        join = [s.address for s in self.all] if join is None else join
        server = Server(self.directory / ("%d-%s" % (len(self.all), name)), name, expect, join, address=address,
                        config=self.config)
        self.all.append(server)
        return server

    @property
    def up(self):
        return [s for s in self.all if s.process is not None and s.process.poll() is None]

    def start(self):
        for server in self.all:
            server.start(wait=False)
        self.wait_settled()
        return self

    def leader(self):
        """The one leader that all running members of the quorum name, None while there is none such."""
        states = [(s, s.raft()) for s in self.up]
        leaders = [s for s, r in states if r.get("state") == "Leader" and r["leader_address"]]
        if len(leaders) != 1:
            return None
        address = "%s:8300" % leaders[0].address
        return leaders[0] if all(r.get("leader_address") == address for _, r in states) else None

    def wait_leader(self, limit_s=20):
        return wait_until(self.leader, limit_s, "a leader\n" + self.log_tail())

    def wait_settled(self, limit_s=30):
        """A leader, and every running server has and has committed what it has."""
        def settled():
            if self.leader() is None:
                return False
            states = [s.raft() for s in self.up]
            return all(r["last_index"] == r["commit_index"] == states[0]["last_index"] for r in states)
        wait_until(settled, limit_s, "all servers equal")
        return self.leader()

    def wait_caught_up(self, server, limit_s=30):
        """server has committed what the leader has now, whatever else is being written."""
        index = self.wait_leader().raft()["commit_index"]
        wait_until(lambda: server.raft().get("commit_index", 0) >= index, limit_s, server.name + " catches up")

    def followers(self):
        leader = self.wait_leader()
        return [s for s in self.up if s is not leader]

    def log_tail(self):
        return "\n".join("%s: %s" % (s.name, s.log_tail(10)) for s in self.all)

    def kill(self, server):
        """As a power cut would, but for the disk."""
        server.process.kill()
        server.process.wait()

    def cleanup(self):
        for server in self.all:
            server.cleanup()
