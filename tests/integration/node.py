# SPDX-License-Identifier: Apache-2.0
"""A node of muster for integration tests: real processes on a loopback address of their own, seen through HTTP, DNS, the
command line and control sockets only."""
import ctypes
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MUSTER_BUILD", TOP / "build"))
MUSTER = BUILD / "ctl" / "muster"
DAEMONS = ("gossipd", "raftd", "catalogd", "checkd", "dnsd", "httpd")
PORTS = {"http": 8500, "dns": 8600, "server": 8300, "peer_http": 8310, "peer_dns": 8311, "serf_lan": 8301, "serf_wan": 8302}
START_LIMIT_S = 60
LIMIT_S = 40     # for what takes a moment: a limit costs nothing, and a busy machine needs it


def wait_until(condition, limit_s=LIMIT_S, what=None, pause_s=0.02):
    """Calls condition until it returns something true (which is returned). Errors of connections, and parts that are
    not there, count as "not yet"."""
    deadline = time.monotonic() + limit_s
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError("not within %s s: %s (%r)" % (limit_s, what or condition, last))
        time.sleep(pause_s)


def free_address():
    """A loopback address on which nobody listens on our ports."""
    while True:
        address = "127.%d.%d.%d" % (random.randint(64, 200), random.randint(0, 255), random.randint(2, 250))
        try:
            for port in (8500, 8600):
                with socket.socket() as probe:
                    probe.bind((address, port))
            return address
        except OSError:
            continue


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()

    @property
    def index(self):
        return int(self.headers.get("X-Consul-Index", "0"))


class Node:
    """start() and stop() as often as one likes; the data directory stays the same."""

    def __init__(self, directory, name="n1", config=None, args=(), address=None, form=("-bootstrap",)):
        self.directory = pathlib.Path(directory)
        self.name = name
        self.address = address or free_address()
        self.config = dict(config or {})
        self.args = list(args)
        self.form = list(form)  # how it becomes part of a quorum
        self.role = ["-server"]
        self.data_dir = self.directory / "data"
        self.run_dir = self.data_dir / "run"
        self.config_dir = self.directory / "config"
        self.log_path = self.directory / "log"
        self.process = None
        self.enter = None  # called in the child, before the program: moves it to a host of its own
        self.config_dir.mkdir(parents=True, exist_ok=True)

    # ---- life ----

    def write_config(self, name="main.json", value=None):
        """A configuration file (read at start and on reload)."""
        path = self.config_dir / name
        path.write_text(json.dumps(self.config if value is None else value, indent=1), encoding="utf-8")
        return path

    def command(self):
        return [str(MUSTER), "agent"] + self.role + ["-node=" + self.name, "-bind=" + self.address,
                "-client=" + self.address, "-data-dir=" + str(self.data_dir), "-config-dir=" + str(self.config_dir)
                ] + self.form + self.args

    def start(self, wait=True):
        base = {"session_ttl_min": "1s", "log_level": "DEBUG", "performance": {"raft_multiplier": 1}}
        self.write_config("00-base.json", base)
        self.write_config()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=clean_environment(), start_new_session=True,
                                            preexec_fn=self.before_program)
        if wait:
            self.wait_ready()
        return self

    def before_program(self):
        die_with_parent()
        if self.enter:
            self.enter()

    def wait_ready(self, limit_s=START_LIMIT_S):
        """The node leads and is in its own catalogue."""
        def ready():
            assert self.process.poll() is None, "the agent ended: %s\n%s" % (self.process.returncode, self.log_tail())
            if len(self.get("/v1/status/leader").body) < 5:
                return False
            found = self.get("/v1/catalog/node/" + self.name).json()
            return found and "consul" in found["Services"]
        try:
            wait_until(ready, limit_s, "node ready")
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.log_tail())) from None

    def wait_member(self, size, limit_s=START_LIMIT_S):
        """It answers default reads and sees a quorum of this size."""
        def ready():
            assert self.process.poll() is None, "the agent ended: %s\n%s" % (self.process.returncode, self.log_tail())
            return len(self.json("/v1/status/peers")) == size and self.get("/v1/kv/?keys").status in (200, 404)
        try:
            wait_until(ready, limit_s, "member of a quorum of %d" % size)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.log_tail())) from None

    def stop(self, sig=signal.SIGTERM, limit_s=LIMIT_S):
        """Exit status of the agent."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the agent did not end within %s s\n%s" % (limit_s, self.log_tail())) from None
        return self.process.returncode

    def cleanup(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=30):
        return "\n".join(self.log().split("\n")[-lines:])

    # ---- processes ----

    def pid_of(self, daemon):
        """Process number of a daemon (a child of the agent), None while there is none."""
        try:
            children = pathlib.Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read_text()
        except OSError:
            return None
        for pid in children.split():
            try:
                if os.path.basename(os.readlink("/proc/%s/exe" % pid)) == "muster-" + daemon:
                    return int(pid)
            except OSError:
                continue
        return None

    def pids(self):
        return {d: p for d in DAEMONS if (p := self.pid_of(d))}

    def kill(self, daemon, sig=signal.SIGKILL):
        """Sends a signal to a daemon; returns the process number it had."""
        pid = wait_until(lambda: self.pid_of(daemon), what="pid of " + daemon)
        os.kill(pid, sig)
        return pid

    def wait_restarted(self, daemon, old_pid, limit_s=LIMIT_S):
        def back():
            pid = self.pid_of(daemon)
            return pid and pid != old_pid and self.control(daemon, "ping")["ok"] and pid
        return wait_until(back, limit_s, daemon + " restarted")

    # ---- HTTP ----

    def request(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection(self.address, PORTS["http"], timeout=timeout)
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def put(self, path, body=None, **options):
        return self.request("PUT", path, body=body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def json(self, path):
        answer = self.get(path)
        assert answer.status == 200, "%s: %d %s" % (path, answer.status, answer.text)
        return answer.json()

    # ---- DNS ----

    def dig(self, name, kind="A", *options):
        """The lines of dig +short."""
        out = subprocess.run(["dig", "@" + self.address, "-p", str(PORTS["dns"]), "+short", "+tries=1", "+time=15",
                              *options, name, kind], capture_output=True, text=True, check=False, timeout=40)
        return [line for line in out.stdout.split("\n") if line and not line.startswith(";")]

    def wait_dns(self):
        """DNS follows the catalogue a moment later: the node's own name is there."""
        wait_until(lambda: self.dig(self.name + ".node.consul") == [self.address], what="the node in DNS")

    def dig_full(self, name, kind="A", *options):
        """(rcode, whole text)."""
        out = subprocess.run(["dig", "@" + self.address, "-p", str(PORTS["dns"]), "+tries=1", "+time=15", *options, name,
                              kind], capture_output=True, text=True, check=False, timeout=40).stdout
        found = re.search(r"status: (\w+)", out)
        return (found.group(1) if found else None), out

    # ---- command line and control sockets ----

    def environment(self):
        return dict(clean_environment(), CONSUL_HTTP_ADDR="http://%s:%d" % (self.address, PORTS["http"]))

    def muster(self, *args, data=None, binary=None, timeout=60):
        return subprocess.run([str(binary or MUSTER), *args], capture_output=True, text=True, check=False, input=data,
                              timeout=timeout, env=self.environment(), cwd=self.directory)

    def control(self, daemon, cmd, **fields):
        """Asks a control socket with nanocat, as an operator could."""
        question = json.dumps(dict(fields, cmd=cmd))
        out = subprocess.run(["nanocat", "--req", "-x", daemon + "/control", "--recv-timeout", "15", "-D", question,
                              "--raw"], capture_output=True, check=False, cwd=self.run_dir, timeout=40)
        return json.loads(out.stdout)


def die_with_parent():
    """Whatever ends the tests ends the nodes too (in the child, before the program)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def clean_environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("CONSUL_", "MUSTER_", "LISTEN_", "NOTIFY_"))}
