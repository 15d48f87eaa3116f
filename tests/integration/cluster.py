# SPDX-License-Identifier: Apache-2.0
"""Several servers that form one quorum: real nodes, each on an address of its own, that find each other by retry_join, that is, by
gossip."""
import pathlib
import subprocess

from node import Node, free_address, wait_until

CALM = {"performance": {"raft_multiplier": 3}}  # elections in 0.3 to 0.6 s: machines that run tests are busy


class Server(Node):
    """One of several servers. join: addresses of others; expect: bootstrap_expect, 0 for one that only joins."""

    def __init__(self, directory, name, expect, join, **options):
        super().__init__(directory, name=name, **options)
        self.expect = expect
        self.join = list(join)

    def command(self):
        self.form = ["-bootstrap-expect=%d" % self.expect] * (self.expect > 0) + ["-retry-join=" + a for a in self.join]
        return super().command()

    def raft(self):
        """raftd's status, {} while it does not answer."""
        try:
            return self.control("raftd", "status")["detail"]
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
            return {}

    def peer_of(self, other):
        """What raftd says of another server."""
        return next((p for p in self.raft().get("peers", []) if p["node"] == other.name), {})

    def does_duties(self):
        """Its catalogd knows that it leads."""
        try:
            return self.control("catalogd", "status")["detail"]["leader"]
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
            return False

    def crash(self):
        """As a power cut would, but for the disk."""
        self.process.kill()
        self.process.wait()


class ClientNode(Node):
    """A node that is no server: it joins at addresses of others, and asks servers for what it does not know."""

    def __init__(self, directory, name, join, **options):
        super().__init__(directory, name=name, form=["-retry-join=" + a for a in join], **options)
        self.role = []
        self.config = dict({"retry_interval": "1s"}, **self.config)

    def wait_ready(self, limit_s=60):
        """It is in the catalogue, as it sees it itself, and alive."""
        def ready():
            assert self.process.poll() is None, "the agent ended: %s\n%s" % (self.process.returncode, self.log_tail())
            answer = self.get("/v1/health/node/" + self.name)
            checks = answer.json() if answer.status == 200 else []
            return [c["Status"] for c in checks if c["CheckID"] == "serfHealth"] == ["passing"]
        try:
            wait_until(ready, limit_s, "client ready")
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.log_tail())) from None


class Cluster:
    """size servers that expect each other. nodes: every one that was made."""

    def __init__(self, directory, size, config=None, addresses=None):
        self.directory = pathlib.Path(directory)
        self.config = dict(CALM, **(config or {}))
        self.nodes, self.clients = [], []
        addresses = addresses or [free_address() for _ in range(size)]
        for address in addresses:
            self.add(address=address, expect=size, join=[a for a in addresses if a != address])

    def add(self, name=None, address=None, expect=0, join=None):
        """One more server, not yet started; it joins those that are there."""
        name = name or "s%d" % (len(self.nodes) + 1)
        join = [n.address for n in self.nodes] if join is None else join
        node = Server(self.directory / name, name, expect, join, address=address, config=self.config)
        self.nodes.append(node)
        return node

    def add_client(self, name, **options):
        """A client node, not yet started; not among nodes."""
        client = ClientNode(self.directory / name, name, [n.address for n in self.nodes], **options)
        self.clients.append(client)
        return client

    def start(self, wait=True):
        for node in self.nodes:
            node.start(wait=False)
        if wait:
            for node in self.nodes:
                node.wait_member(len(self.nodes))
            self.wait_settled()
        return self

    def alive(self):
        return [n for n in self.nodes if n.process is not None and n.process.poll() is None]

    def leader(self, among=None, limit_s=20):
        """The node that leads and does the leader's duties, as it says itself."""
        return wait_until(lambda: next((n for n in among or self.alive() if n.does_duties()), None), limit_s,
                          "a leader\n" + self.logs())

    def agreed_leader(self):
        """The one leader that all running members of the quorum name, None while there is none such."""
        states = [(n, n.raft()) for n in self.alive()]
        leaders = [n for n, r in states if r.get("state") == "Leader" and r["leader_address"]]
        if len(leaders) != 1:
            return None
        address = "%s:8300" % leaders[0].address
        return leaders[0] if all(r.get("leader_address") == address for _, r in states) else None

    def wait_agreed(self, limit_s=40):
        return wait_until(self.agreed_leader, limit_s, "one leader for all\n" + self.logs())

    def wait_settled(self, limit_s=60):
        """One leader, and every running server has and has committed what it has. Returns the leader."""
        def settled():
            if self.agreed_leader() is None:
                return False
            states = [n.raft() for n in self.alive()]
            return all(r["last_index"] == r["commit_index"] == states[0]["last_index"] for r in states)
        wait_until(settled, limit_s, "all servers equal")
        return self.wait_agreed()

    def wait_caught_up(self, node, limit_s=60):
        """node has committed what the leader has now, whatever else is being written."""
        index = self.wait_agreed().raft()["commit_index"]
        wait_until(lambda: node.raft().get("commit_index", 0) >= index, limit_s, node.name + " catches up")

    def followers(self):
        leader = self.wait_agreed()
        return [n for n in self.alive() if n is not leader]

    def logs(self):
        return "\n".join("==== %s %s\n%s" % (n.name, n.address, n.log_tail(20))
                         for n in self.nodes + self.clients)

    def cleanup(self):
        for node in self.nodes + self.clients:
            node.cleanup()


class DataCentres:
    """Nodes of several data centres that are to know each other."""

    def __init__(self, nodes):
        self.nodes = nodes

    def start(self):
        for node in self.nodes:
            node.start()
        names = sorted({n.config.get("datacenter", "dc1") for n in self.nodes})
        for node in self.nodes:
            wait_until(lambda n=node: sorted(n.json("/v1/catalog/datacenters")) == names)
        return self

    def cleanup(self):
        for node in self.nodes:
            node.cleanup()
