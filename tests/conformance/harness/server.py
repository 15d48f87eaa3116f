# SPDX-License-Identifier: Apache-2.0
"""Starts one server (Consul or muster, with the same command line), waits for it, empties it, stops it."""
import json
import os
import pathlib
import signal
import string
import subprocess
import time

from . import wire_http

PORTS = {"http": 8500, "dns": 8600, "server": 8300, "serf_lan": 8301, "serf_wan": 8302}
NODE_ID = "5a7c1a4e-93f3-4d0e-8fd5-2d1a7f3c9b10"
SERVER_ID = "9c3b7e21-0f5d-4c1b-9a66-7f0e2b8d4a55"
START_LIMIT_S = 90
STOP_LIMIT_S = 10


class ServerError(Exception):
    """The server did not start, or could not be emptied."""


def places(address):
    """(text, name) for each way in which a server's own address shows in its answers."""
    octets = address.split(".")
    return ((".".join(reversed(octets)) + ".in-addr", "<reversed addr>.in-addr"), (address, "<addr>"),
            ("%02x%02x%02x%02x" % tuple(map(int, octets)), "<hex addr>"))


class Server:
    def __init__(self, binary, address, config, directory, variables):
        self.binary = binary
        self.address = address
        self.config = config
        self.directory = pathlib.Path(directory)
        self.variables = dict(variables, addr=address, dir=str(self.directory),
                              revaddr=".".join(reversed(address.split("."))),
                              hexaddr="%02x%02x%02x%02x" % tuple(map(int, address.split("."))))
        self.name, self.node_id = "n1", NODE_ID
        self.role = ["-server", "-bootstrap"]
        self.own_nodes = {"n1"}
        self.places = places(address)
        self.path = None
        self.process = None
        self.seconds = {}               # how long each case took, for --times
        self.http = wire_http.Connection((address, PORTS["http"]))

    def write_config(self, source):
        base = {"datacenter": "dc1", "node_id": self.node_id, "ports": PORTS, "bind_addr": self.address,
                "client_addr": self.address, "performance": {"raft_multiplier": 1},
                "session_ttl_min": "1s", "disable_update_check": True, "log_level": "DEBUG"}
        text = string.Template(pathlib.Path(source).read_text(encoding="utf-8")).safe_substitute(self.variables)
        own = json.loads(text)
        for key, value in base.items():
            own.setdefault(key, value)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.path = self.directory / "config.json"
        self.path.write_text(json.dumps(own, indent=1), encoding="utf-8")

    def rewrite(self, members):
        """Sets members of the configuration file; null removes one."""
        own = json.loads(self.path.read_text(encoding="utf-8"))
        own.update(members)
        own = {key: value for key, value in own.items() if value is not None}
        self.path.write_text(json.dumps(own, indent=1), encoding="utf-8")

    def start(self, source=None):
        if source:
            self.write_config(source)
        command = [self.binary, "agent"] + self.role + ["-node=" + self.name, "-bind=" + self.address, "-client=" + self.address, "-data-dir=" + str(self.directory / "data"),
                   "-config-file=" + str(self.path)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CONSUL_", "MUSTER_"))}
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env=environment)

    def get(self, path):
        return self.http.request("GET", path)

    def json(self, path):
        return json.loads(self.get(path).body or b"null")

    def ready(self):
        """The node leads, is in the catalog with its check, and its anti-entropy has run once."""
        try:
            if len(self.get("/v1/status/leader").body) < 5:
                return False
            node = self.json("/v1/catalog/node/" + self.name)
            checks = self.json("/v1/health/node/" + self.name)
            local = self.json("/v1/agent/checks")
        except (OSError, wire_http.HttpError, ValueError):
            self.http.close()
            return False
        return bool(node and node["Node"]["Meta"] and ("consul" in node["Services"] or not self.role) and checks
                    and len(checks) == len(local) + 1)

    def restart(self):
        self.stop()
        self.start()
        self.wait_leader()

    def wait_leader(self):
        deadline = time.monotonic() + START_LIMIT_S
        while not self.ready():
            if self.process.poll() is not None:
                raise ServerError("%s ended with status %d:\n%s" % (self.binary, self.process.returncode, self.log()))
            if time.monotonic() > deadline:
                raise ServerError("%s was not ready after %d s:\n%s" % (self.binary, START_LIMIT_S, self.log()))
            time.sleep(0.03)

    def wait_ready(self):
        self.wait_leader()
        self.own_services = set(self.json("/v1/agent/services"))
        self.own_checks = set(self.json("/v1/agent/checks"))
        if not self.config.startswith("fresh"):
            self.warm_up()

    def warm_up(self):
        """Writes to and deletes from every table once, so that indexes do not tell which cases ran before."""
        self.put("/v1/kv/warm-up")
        self.put("/v1/session/create")
        self.put("/v1/catalog/register", {"Node": "warm-up", "Address": "192.0.2.9", "Service": {"Service": "warm-up"},
                                          "Check": {"Name": "warm-up", "ServiceID": "warm-up", "Status": "passing"}})
        self.empty()

    def log(self, lines=15):
        return "\n".join((self.directory / "log").read_text(errors="replace").split("\n")[-lines:])

    def put(self, path, value=None):
        body = b"" if value is None else json.dumps(value).encode()
        return self.http.request("PUT", path, body=body)

    def empty(self):
        """Removes whatever a group left behind, and waits until the agent and the catalog agree about it."""
        for service in set(self.json("/v1/agent/services")) - self.own_services:
            self.put("/v1/agent/service/deregister/" + service.replace(" ", "%20"))
        for check in set(self.json("/v1/agent/checks")) - self.own_checks:
            self.put("/v1/agent/check/deregister/" + check.replace(" ", "%20"))
        for session in self.json("/v1/session/list"):
            self.put("/v1/session/destroy/" + session["ID"])
        self.http.request("DELETE", "/v1/kv/?recurse")
        for node in self.json("/v1/catalog/nodes"):
            if node["Node"] not in self.own_nodes:
                self.put("/v1/catalog/deregister", {"Node": node["Node"]})
        deadline = time.monotonic() + 60
        while True:
            services = set(self.json("/v1/catalog/node/n1")["Services"]) - self.own_services - {"consul"}
            checks = {c["CheckID"] for c in self.json("/v1/health/node/n1")} - self.own_checks - {"serfHealth"}
            if not services and not checks:
                return
            for service in services - set(self.json("/v1/agent/services")):
                self.put("/v1/catalog/deregister", {"Node": "n1", "ServiceID": service})
            for check in checks - set(self.json("/v1/agent/checks")):
                self.put("/v1/catalog/deregister", {"Node": "n1", "CheckID": check})
            if time.monotonic() > deadline:
                raise ServerError("cannot be emptied: %s %s" % (services, checks))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        self.http.close()
        if self.process is None:
            return
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Client(Server):
    """A client node, and the server of the same program that stands behind it."""

    def __init__(self, binary, addresses, config, directory, variables):
        super().__init__(binary, addresses[0], config, directory, variables)
        self.role = []
        self.own_nodes = {"n1", "s1"}
        # For each step between nodes Consul puts words before an error: docs/COMPATIBILITY.md 48.
        self.places += tuple((text, name.replace("addr", "server")) for text, name in places(addresses[1])) + (
            ("rpc error making call: ", ""),)
        self.behind = Server(binary, addresses[1], "base", self.directory / "behind", variables)
        self.behind.name, self.behind.node_id = "s1", SERVER_ID
        self.variables["server"] = addresses[1]

    def start(self, source=None):
        if source:
            self.behind.start(source.parent / "base.json")
            self.behind.wait_leader()
            # Whether its own agent or the leader is first to register it is chance; now both find it.
            self.behind.put("/v1/catalog/register", {"Node": self.name, "ID": self.node_id, "Address": self.address})
        super().start(source)

    def alive(self):
        return super().alive() and self.behind.alive()

    def stop(self):
        super().stop()
        self.behind.stop()
