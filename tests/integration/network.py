# SPDX-License-Identifier: Apache-2.0
"""Hosts on a network that fails on purpose: network namespaces around a bridge, whose ports can be cut from each other.

The test itself stands at the bridge (10.77.0.254) and always reaches every host. Host i has the address 10.77.0.i. Needs root, ip
and nft; whoever has a Network is inside of it (this thread, and threads and processes made from now on) until it is closed."""
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
RULES = """
table bridge faults {
    set cut { typeof meta iifname . meta oifname; }
    set cut_udp { typeof meta iifname . meta oifname; }
    set lossy { typeof meta iifname . meta oifname; }
    chain forward {
        type filter hook forward priority 0; policy accept;
        meta iifname . meta oifname @cut drop
        ip protocol udp meta iifname . meta oifname @cut_udp drop
        meta iifname . meta oifname @lossy numgen random mod 100 < %d drop
    }
}
"""
libc = ctypes.CDLL(None, use_errno=True)


def run(*args, stdin=None):
    subprocess.run(args, check=True, input=stdin, text=True, capture_output=True)


def enter(path):
    """Moves this thread into a network namespace."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns " + path)
    finally:
        os.close(fd)


class Network:
    def __init__(self, hosts, loss_percent=20):
        self.prefix = "mu%d" % os.getpid()
        self.hosts = list(range(1, hosts + 1))
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.made = []
        try:
            self.build(loss_percent)
        except BaseException:
            self.close()
            raise

    def namespace(self, what):
        return self.prefix + str(what)

    def address(self, host):
        return "10.77.0.%d" % host

    def build(self, loss_percent):
        bridge = self.namespace("b")
        self.add(bridge)
        run("ip", "-n", bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", bridge, "addr", "add", "10.77.0.254/24", "dev", "br0")
        run("ip", "-n", bridge, "link", "set", "br0", "up")
        for host in self.hosts:
            name, port = self.namespace(host), "p%d" % host
            self.add(name)
            run("ip", "-n", bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "-n", bridge, "link", "set", port, "master", "br0", "up")
            run("ip", "-n", name, "addr", "add", self.address(host) + "/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        enter("/run/netns/" + bridge)
        run("nft", "-f", "-", stdin=RULES % loss_percent)

    def add(self, name):
        run("ip", "netns", "add", name)
        self.made.append(name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def close(self):
        if libc.setns(self.home, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns home")
        os.close(self.home)
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        self.made = []

    def enter_host(self, host):
        """For the child process that is to live on that host."""
        enter("/run/netns/" + self.namespace(host))

    # ---- faults: from the next packet on, for connections that are there too; nobody gets a reset ----

    def change(self, verb, name, pairs):
        elements = ", ".join('"p%d" . "p%d"' % pair for pair in pairs)
        run("nft", verb, "element", "bridge", "faults", name, "{ %s }" % elements)

    def cut_one_way(self, sender, receiver):
        self.change("add", "cut", [(sender, receiver)])

    def cut_datagrams_one_way(self, sender, receiver):
        self.change("add", "cut_udp", [(sender, receiver)])

    def cut(self, a, b):
        self.change("add", "cut", [(a, b), (b, a)])

    def isolate(self, host):
        for other in self.hosts:
            if other != host:
                self.cut(host, other)

    def split(self, some, others):
        self.change("add", "cut", [pair for a in some for b in others for pair in ((a, b), (b, a))])

    def deafen(self, hosts):
        """They are heard, but hear nobody."""
        self.change("add", "cut", [(other, host) for host in hosts for other in self.hosts if other != host])

    def lose(self, a, b):
        self.change("add", "lossy", [(a, b), (b, a)])

    def lose_everywhere(self):
        self.change("add", "lossy", [(a, b) for a in self.hosts for b in self.hosts if a != b])

    def heal(self):
        for name in ("cut", "cut_udp", "lossy"):
            run("nft", "flush", "set", "bridge", "faults", name)
