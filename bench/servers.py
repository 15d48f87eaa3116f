# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured side by side, each on loopback addresses of its own, and what /proc says of them."""
import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    total = 0.0
    for pid in pids:
        try:
            fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def memory_kib(pids):
    """Resident, proportional and anonymous memory, summed."""
    sums = {"Rss": 0, "Pss": 0, "Anonymous": 0}
    for pid in pids:
        try:
            lines = open("/proc/%d/smaps_rollup" % pid).readlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(":")
            if key in sums:
                sums[key] += int(value.split()[0])
    return sums


def descendants(pid):
    children = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = open(path).read()
        except OSError:
            continue
        children.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(text.split()[0]))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


class Server:
    """A process tree with an address. name, slot and number give it a folder and a loopback address."""

    name = ""

    def __init__(self, slot, work, number=1):
        self.ip = "127.0.%d.%d" % (slot, number)
        self.dir = os.path.join(work, "%s-%d-%d" % (self.name, slot, number))
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        os.makedirs(self.dir, exist_ok=True)
        log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)

    def pids(self):
        return descendants(self.process.pid)

    def stop(self, how=signal.SIGTERM):
        if not self.process:
            return
        tree = self.pids()
        for pid in tree if how == signal.SIGKILL else [self.process.pid]:
            try:
                os.kill(pid, how)
            except OSError:
                pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in tree:  # nobody of the tree may still hold a port
            while os.path.exists("/proc/%d" % pid) and " Z " not in open("/proc/%d/stat" % pid).read():
                time.sleep(0.005)
        self.process = None

    def clean(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Catalogue(Server):
    """What speaks Consul's API: the real one and ours, started with the same configuration."""

    timing = {"raft_multiplier": 1}
    server_ip = None  # of a client node: the server that it joins

    def __init__(self, slot, work, binary, number=1, peers=()):
        super().__init__(slot, work, number)
        self.binary, self.number, self.peers = binary, number, peers
        self.http = self.ip + ":8500"
        self.dns = (self.ip, 8600)

    def command(self):
        data = os.path.join(self.dir, "data")
        os.makedirs(data, exist_ok=True)
        conf = {"server": True, "node_name": "n%d" % self.number, "data_dir": data, "bind_addr": self.ip,
                "client_addr": self.ip, "log_level": "warn", "performance": self.timing,
                "disable_update_check": True, "limits": {"http_max_conns_per_client": 10000}, "ports": {"grpc": -1}}
        if self.server_ip:
            conf.update({"server": False, "retry_join": [self.server_ip], "retry_interval": "1s"})
        elif self.peers:
            conf.update({"bootstrap_expect": len(self.peers), "retry_join": [p for p in self.peers if p != self.ip],
                         "retry_interval": "1s"})
        else:
            conf["bootstrap"] = True
        path = os.path.join(self.dir, "config.json")
        with open(path, "w") as f:
            json.dump(conf, f)
        return [self.binary, "agent", "-config-file", path]

    def ask(self, method, path, body=None, timeout=30, conn=None):
        c = conn or http.client.HTTPConnection(self.http, timeout=timeout)
        try:
            c.request(method, path, body)
            r = c.getresponse()
            return r.status, r.read(), r
        finally:
            if conn is None:
                c.close()

    def write_works(self, timeout=2):
        try:
            status, body, _ = self.ask("PUT", "/v1/kv/ready", "x", timeout)
            return status == 200 and body.strip() == b"true"
        except OSError:
            return False

    def wait_ready(self, limit=60):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit("%s ended; see %s/log" % (self.name, self.dir))
            if self.write_works():
                return
            time.sleep(0.02)
        raise SystemExit("%s is not ready after %d s; see %s/log" % (self.name, limit, self.dir))


    def leader(self):
        """The address of the leader as this server knows it, "" for none."""
        try:
            return json.loads(self.ask("GET", "/v1/status/leader", timeout=2)[1]).split(":")[0]
        except (OSError, ValueError):
            return ""


class Consul(Catalogue):
    name = "consul"


class Muster(Catalogue):
    """All six daemons and their supervisor, which is part of the price."""

    name = "muster"


class Nginx(Server):
    """Answers with the bytes of one KV answer: what HTTP alone costs."""

    name = "nginx"

    def __init__(self, slot, work, body):
        super().__init__(slot, work)
        self.http = self.ip + ":8500"
        self.body = body

    def command(self):
        headers = "".join("add_header %s %s;" % pair for pair in (
            ("X-Consul-Index", "14"), ("X-Consul-Knownleader", "true"), ("X-Consul-Lastcontact", "0"),
            ("Vary", "Accept-Encoding")))
        with open(os.path.join(self.dir, "nginx.conf"), "w") as f:
            f.write("worker_processes 1; daemon off; pid %s/pid; error_log %s/error.log;\n"
                    "events { worker_connections 4096; }\n"
                    "http { access_log off; server { listen %s; keepalive_requests 100000000; location / {\n"
                    "default_type application/json; %s return 200 '%s'; } } }\n"
                    % (self.dir, self.dir, self.http, headers, self.body))
        return ["nginx", "-p", self.dir, "-c", os.path.join(self.dir, "nginx.conf")]


class Knot(Server):
    """An authoritative name server with the same three instances: what DNS alone costs."""

    name = "knotd"

    def __init__(self, slot, work):
        super().__init__(slot, work)
        self.dns = (self.ip, 8600)

    def command(self):
        records = ["$ORIGIN service.consul.", "@ 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0", "@ 0 NS ns.consul."]
        for i in range(3):
            records.append("bench3 0 A 10.1.0.%d" % i)
            records.append("bench3 0 SRV 1 1 %d n%d" % (8000 + i, i))
            records.append("n%d 0 A 10.1.0.%d" % (i, i))
        with open(os.path.join(self.dir, "zone"), "w") as f:
            f.write("\n".join(records) + "\n")
        with open(os.path.join(self.dir, "knot.conf"), "w") as f:
            f.write("server:\n    rundir: %s\n    listen: %s@8600\n    udp-workers: 1\n    tcp-workers: 1\n"
                    "database:\n    storage: %s\nzone:\n  - domain: service.consul\n    file: %s/zone\n"
                    % (self.dir, self.ip, self.dir, self.dir))
        return ["knotd", "-c", os.path.join(self.dir, "knot.conf")]


class Etcd(Server):
    """One member of a cluster, spoken to in JSON (its gRPC gateway)."""

    name = "etcd"

    def __init__(self, slot, work, binary, number, peers):
        super().__init__(slot, work, number)
        self.binary, self.number, self.peers = binary, number, peers
        self.http = self.ip + ":2379"

    def command(self):
        cluster = ",".join("n%d=http://%s:2380" % (i + 1, ip) for i, ip in enumerate(self.peers))
        return [self.binary, "--name", "n%d" % self.number, "--data-dir", os.path.join(self.dir, "data"),
                "--log-level", "error", "--logger", "zap", "--log-outputs", "stderr",
                "--listen-client-urls", "http://%s:2379" % self.ip, "--advertise-client-urls", "http://%s:2379" % self.ip,
                "--listen-peer-urls", "http://%s:2380" % self.ip,
                "--initial-advertise-peer-urls", "http://%s:2380" % self.ip,
                "--initial-cluster", cluster, "--initial-cluster-state", "new"]

    def post(self, path, body, timeout=2):
        c = http.client.HTTPConnection(self.http, timeout=timeout)
        try:
            c.request("POST", path, json.dumps(body))
            r = c.getresponse()
            return r.status, json.loads(r.read() or b"{}")
        finally:
            c.close()

    def write_works(self, timeout=2):
        try:
            return self.post("/v3/kv/put", {"key": "cmVhZHk=", "value": "eA=="}, timeout)[0] == 200
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def leader(self):
        """This member's address when it leads, else ""."""
        try:
            status, answer = self.post("/v3/maintenance/status", {})
            return self.ip if status == 200 and answer["leader"] == answer["header"]["member_id"] else ""
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return ""


class Cluster:
    """Three servers of one kind. CPU and memory are those of all three."""

    def __init__(self, kind, slot, work, binary, timing=None):
        peers = ["127.0.%d.%d" % (slot, i) for i in (1, 2, 3)]
        self.name = kind.name
        self.nodes = [kind(slot, work, binary, number=i + 1, peers=peers) for i in range(3)]
        for node in self.nodes:
            node.timing = timing if timing is not None else {}

    def start(self):
        for node in self.nodes:
            node.start()

    def pids(self):
        return [pid for node in self.nodes if node.process for pid in node.pids()]

    def leader(self):
        """The node that leads; waits for one."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for node in self.nodes:
                ip = node.leader() if node.process else ""
                found = [n for n in self.nodes if n.ip == ip and n.process]
                if found:
                    return found[0]
            time.sleep(0.05)
        raise SystemExit("%s: no leader" % self.name)

    def follower(self):
        leader = self.leader()
        return next(n for n in self.nodes if n is not leader and n.process)

    def wait_ready(self, limit=120):
        """Everyone takes writes, several times in a row: it has settled."""
        end, row = time.monotonic() + limit, 0
        while time.monotonic() < end and row < 10:
            row = row + 1 if all(node.write_works() for node in self.nodes) else 0
            time.sleep(0.1)
        if row < 10:
            raise SystemExit("%s is not ready after %d s" % (self.name, limit))

    def clean(self):
        for node in self.nodes:
            node.clean()
