# SPDX-License-Identifier: Apache-2.0
"""muster agent: the six processes, what happens when one of them or the agent itself dies, and how a node ends."""
import fcntl
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from node import DAEMONS, MUSTER, PORTS, Node, clean_environment, wait_until


class Load(threading.Thread):
    """Writes keys one after the other; remembers which were acknowledged and which requests failed."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.done, self.failed, self.ended = node, [], [], threading.Event()

    def run(self):
        number = 0
        while not self.ended.is_set():
            key = "load/%d" % number
            number += 1
            try:
                answer = self.node.put("/v1/kv/" + key, b"value of " + key.encode(), timeout=60)
                (self.done if answer.text.strip() == "true" else self.failed).append(key)
            except OSError as error:
                self.failed.append("%s %r" % (key, error))

    def stop(self):
        self.ended.set()
        self.join(90)
        assert self.done, "nothing was written"
        return self.done


class Reads(threading.Thread):
    """Reads one key again and again, in stale mode; remembers what went wrong."""

    def __init__(self, node, path):
        super().__init__(daemon=True)
        self.node, self.path, self.wrong, self.count, self.ended = node, path, [], 0, threading.Event()

    def run(self):
        while not self.ended.is_set():
            try:
                answer = self.node.get(self.path, timeout=60)
                if answer.status != 200:
                    self.wrong.append("%d %s" % (answer.status, answer.text))
            except OSError as error:
                self.wrong.append(repr(error))
            self.count += 1

    def stop(self):
        self.ended.set()
        self.join(90)
        assert self.count > 10
        return self.wrong


def processes_of(node):
    return [node.process.pid] + list(node.pids().values())


def gone(pids):
    return not [pid for pid in pids if os.path.exists("/proc/%d" % pid) and not zombie(pid)]


def zombie(pid):
    try:
        return pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def listening(pids):
    """(protocol, address, port) of everything these processes have bound in the network."""
    inodes = set()
    for pid in pids:
        for fd in pathlib.Path("/proc/%d/fd" % pid).iterdir():
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for name in ("tcp", "udp", "tcp6", "udp6"):
        for line in pathlib.Path("/proc/net/" + name).read_text().split("\n")[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[9] in inodes and fields[3] in ("0A", "07"):
                host, port = fields[1].split(":")
                address = socket.inet_ntoa(bytes.fromhex(host)[::-1]) if len(host) == 8 else host
                found.add((name, address, int(port, 16)))
    return found


def test_six_processes_answer_on_control_sockets(node):
    assert set(node.pids()) == set(DAEMONS)
    for daemon in DAEMONS:
        assert node.control(daemon, "ping")["ok"] is True
        status = node.control(daemon, "status")
        assert status["daemon"] == daemon and status["pid"] == node.pid_of(daemon) and status["state"] == "running"
        assert node.control(daemon, "version")["version"]
        assert "metrics" in node.control(daemon, "metrics")
        assert node.control(daemon, "log-level", level="trace")["level"] == "trace"
        assert "dump" in node.control(daemon, "dump")
        assert node.control(daemon, "log", after=0, level="info")["lines"]
        wrong = node.control(daemon, "bogus")
        assert wrong["ok"] is False and wrong["error"]
    agent = node.control("agent", "status")
    assert {d["name"] for d in agent["daemons"]} == set(DAEMONS) and all(d["ready"] for d in agent["daemons"])


def test_daemons_that_come_first_have_a_session_of_their_own(node):
    """Linux shares the processor out among sessions: what is busy in one takes nothing from another. Where that is ours to give
    (root), the daemons that others wait for also come first."""
    first = {"raftd": -10, "gossipd": -10, "catalogd": -5}
    for daemon, pid in node.pids().items():
        assert (os.getsid(pid) == pid) == (daemon in first), daemon
        if os.geteuid() == 0:
            assert os.getpriority(os.PRIO_PROCESS, pid) == first.get(daemon, 0), daemon


def test_daemons_get_what_is_theirs_and_no_more(node):
    for daemon, pid in node.pids().items():
        opened = {fd.name: os.readlink(fd) for fd in pathlib.Path("/proc/%d/fd" % pid).iterdir()}
        assert [fd for fd, target in opened.items() if target == "/dev/null"] == ["0"], (daemon, opened)


def test_status_command(node):
    out = node.muster("status")
    assert out.returncode == 0, out.stderr
    rows = {line.split()[0]: line.split() for line in out.stdout.strip().split("\n")}
    assert list(rows)[0] == "Daemon" and set(rows) - {"Daemon"} == set(DAEMONS)
    assert rows["httpd"][1] == "running" and rows["httpd"][2] == str(node.pid_of("httpd"))
    old = node.kill("dnsd")
    node.wait_restarted("dnsd", old)
    rows = {line.split()[0]: line.split() for line in node.muster("status").stdout.strip().split("\n")}
    assert rows["dnsd"][5] == "1"


def test_only_configured_ports_are_open(node):
    bound = listening(processes_of(node))
    assert {(p, port) for p, _, port in bound} <= {
        ("tcp", PORTS["http"]), ("tcp", PORTS["dns"]), ("udp", PORTS["dns"]), ("tcp", PORTS["server"]),
        ("tcp", PORTS["peer_http"]), ("tcp", PORTS["peer_dns"]), ("udp", PORTS["peer_dns"]),
        ("tcp", PORTS["serf_lan"]), ("udp", PORTS["serf_lan"]), ("tcp", PORTS["serf_wan"]), ("udp", PORTS["serf_wan"])}
    assert {address for _, address, _ in bound} == {node.address}
    assert ("tcp", node.address, PORTS["http"]) in bound and ("udp", node.address, PORTS["dns"]) in bound


def crowd():
    """How many processes share a processor: by the time that 50 ms of work take."""
    wall, work = time.monotonic(), time.process_time()
    while time.process_time() - work < 0.05:
        pass
    return max(1.0, (time.monotonic() - wall) / 0.05)


def test_http_answers_within_a_second(make_node):
    def first_answer():
        """(seconds, how many times longer than alone a process takes for its work just now)"""
        node = make_node()
        before = time.monotonic()
        node.start(wait=False)
        wait_until(lambda: node.get("/v1/status/leader").status == 200, what="an answer")
        seconds, busy = time.monotonic() - before, crowd()
        node.wait_ready()
        node.stop()
        return seconds, busy
    tries = []
    while not tries or (tries[-1][0] >= 1.0 and len(tries) < 5):
        tries.append(first_answer())
    assert min(seconds / busy for seconds, busy in tries) < 1.0, tries


@pytest.mark.parametrize("daemon", DAEMONS)
def test_kill_9_under_load_loses_nothing(node, daemon):
    load = Load(node)
    load.start()
    wait_until(lambda: len(load.done) > 20)
    for _ in range(3):
        old = node.kill(daemon)
        node.wait_restarted(daemon, old)
        count = len(load.done)
        wait_until(lambda: len(load.done) > count + 10, what="writes go on after " + daemon)
    written = load.stop()
    if daemon != "httpd":       # its clients see a closed connection, as they must
        assert not load.failed
    kept = {entry["Key"] for entry in node.json("/v1/kv/load?recurse")}
    assert set(written) <= kept
    others = {d: p for d, p in node.pids().items() if d != daemon}
    agent = {d["name"]: d["restarts"] for d in node.control("agent", "status")["daemons"]}
    assert agent[daemon] == 3 and all(agent[d] == 0 for d in others)


@pytest.mark.parametrize("daemon", ["catalogd", "raftd"])
def test_reads_go_on_while_it_is_away(node, daemon):
    node.put("/v1/kv/here", b"x")
    reads = Reads(node, "/v1/kv/here")
    reads.start()
    for _ in range(3):
        old = node.kill(daemon)
        node.wait_restarted(daemon, old)
    assert reads.stop() == []


def test_dns_answers_with_all_others_dead(node):
    node.put("/v1/agent/service/register", {"Name": "web", "Port": 80})
    wait_until(lambda: node.dig("web.service.consul") == [node.address], what="web in DNS")
    for daemon in DAEMONS:
        if daemon != "dnsd":
            node.kill(daemon, signal.SIGSTOP)
    try:
        assert node.dig("web.service.consul") == [node.address]
    finally:
        for daemon in DAEMONS:
            if daemon != "dnsd":
                node.kill(daemon, signal.SIGCONT)


@pytest.mark.parametrize("daemon", ["httpd", "dnsd"])
def test_graceful_restart_drops_no_request(node, daemon):
    """SIGTERM to a daemon: it finishes what it holds; the listening socket stays with the agent."""
    node.put("/v1/kv/here", b"x")
    node.wait_dns()
    wrong, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            try:
                good = (node.get("/v1/kv/here").status == 200 if daemon == "httpd"
                        else node.dig("n1.node.consul") == [node.address])
                if not good:
                    wrong.append("no answer")
            except OSError as error:
                wrong.append(repr(error))
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        old = node.kill(daemon, signal.SIGTERM)
        node.wait_restarted(daemon, old)
    ended.set()
    for thread in threads:
        thread.join(90)
    assert wrong == []


BETWEEN_NODES = {"raftd": ["server"], "httpd": ["peer_http"], "gossipd": ["serf_lan", "serf_wan"]}


@pytest.mark.parametrize("daemon", sorted(BETWEEN_NODES))
def test_ports_between_nodes_refuse_nobody_while_their_daemon_is_away(node, daemon):
    refused = []

    def knock(port):
        try:
            socket.create_connection((node.address, port), timeout=20).close()
            if daemon == "gossipd":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                    datagrams.connect((node.address, port))
                    for _ in range(2):  # the second one hears of it when there was nobody
                        datagrams.send(b"?")
        except ConnectionRefusedError as error:
            refused.append("%d %r" % (port, error))

    def back(old):
        for name in BETWEEN_NODES[daemon]:
            knock(PORTS[name])
        pid = node.pid_of(daemon)
        return pid and pid != old and node.control("agent", "status")
    for _ in range(3):
        old = node.kill(daemon)
        wait_until(lambda: back(old), what=daemon + " restarted")
    assert refused == []


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_all_daemons_first(node, sig):
    pids = processes_of(node)
    assert node.stop(sig) == 1          # a server does not leave on a signal; Consul's status for that
    assert gone(pids)
    log = node.log()
    assert "agent: exit code=1" in log
    order = [log.index(" %s: stopped" % d) for d in ("httpd", "dnsd", "checkd", "gossipd", "catalogd", "raftd")]
    assert order == sorted(order)


def test_leave_on_terminate_gives_status_0(make_node):
    node = make_node(config={"leave_on_terminate": True}).start()
    assert node.stop(signal.SIGTERM) == 0
    assert "agent: left" in node.log()


def test_a_leave_that_is_cut_short_gives_status_1(make_node):
    node = make_node(config={"leave_on_terminate": True}).start()
    os.kill(node.pid_of("gossipd"), signal.SIGSTOP)
    node.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "agent: leaving" in node.log(), what="the agent asks gossipd")
    assert node.stop(signal.SIGTERM) == 1


def test_sigkill_takes_the_daemons_along(node):
    pids = processes_of(node)
    node.process.kill()
    node.process.wait()
    wait_until(lambda: gone(pids), what="all daemons gone")


def test_output_ends_with_the_agent(tmp_path, make_node):
    """Nobody holds the agent's stdout after it has ended: a reader of the pipe sees its end."""
    node = make_node()
    node.write_config()
    process = subprocess.Popen(node.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=clean_environment(), start_new_session=True)
    node.process = process
    node.wait_ready()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert b"==> Starting" in out and b"==> Log data will now stream in as it occurs:" in out


def test_restart_keeps_data(node):
    node.put("/v1/kv/kept", b"value")
    node.put("/v1/agent/service/register", {"Name": "web", "Port": 80})
    node_id = node.json("/v1/agent/self")["Config"]["NodeID"]
    for sig in (signal.SIGTERM, signal.SIGKILL):
        pids = processes_of(node)
        node.stop(sig)
        wait_until(lambda: gone(pids))
        node.start()
        assert node.get("/v1/kv/kept?raw").text == "value"
        assert "web" in node.json("/v1/agent/services")
        assert node.json("/v1/agent/self")["Config"]["NodeID"] == node_id


def test_second_agent_on_the_same_data_is_refused(node):
    second = Node(node.directory / "second")
    second.data_dir = node.data_dir
    out = subprocess.run(second.command(), capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
    assert out.returncode == 1
    assert "is in use by another agent (process %d)" % node.process.pid in out.stderr
    assert node.get("/v1/status/leader").status == 200


def test_port_conflict_is_told_as_consul_does(node, make_node):
    second = make_node(name="n2", address=node.address)
    second.start(wait=False)
    assert second.process.wait(60) == 1
    assert 'error="listen tcp %s:8600: bind: address already in use"' % node.address in second.log()


def test_dev_mode_leaves_nothing(tmp_path, make_node):
    node = make_node()
    environment = dict(clean_environment(), TMPDIR=str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with open(node.log_path, "wb") as log:
        node.process = subprocess.Popen([str(MUSTER), "agent", "-dev", "-node=n1", "-bind=" + node.address,
                                         "-client=" + node.address], stdout=log, stderr=log, env=environment,
                                        start_new_session=True)
    node.wait_ready()
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    node.stop()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_sighup_reloads_and_refuses(node):
    node.write_config("10-service.json", {"service": {"name": "from-file", "port": 1}})
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "from-file" in node.json("/v1/agent/services"), what="the service of the file")
    node.write_config("10-service.json", {"bogus": 1})
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "invalid config key bogus" in node.log(), what="the refusal")
    assert "from-file" in node.json("/v1/agent/services")
    node.write_config("10-service.json", {"log_level": "loud"})
    answer = node.put("/v1/agent/reload")
    assert answer.status == 500 and answer.text.startswith("Invalid log level: loud. Valid log levels are:")
    assert node.control("httpd", "log-level")["level"] == "debug"
    (node.config_dir / "10-service.json").unlink()
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "from-file" not in node.json("/v1/agent/services"), what="the service has gone")


def test_a_relative_path_is_read_again(make_node):
    """The agent has another working directory by then."""
    node = make_node()
    node.write_config("00-log.json", {"log_level": "DEBUG"})
    command = [word.replace(str(node.config_dir), node.config_dir.name) for word in node.command()]
    with open(node.log_path, "wb") as log:
        node.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=node.directory,
                                        env=clean_environment(), start_new_session=True, preexec_fn=node.before_program)
    node.wait_ready()
    node.write_config("10-service.json", {"service": {"name": "from-file", "port": 1}})
    assert node.control("agent", "reload")["ok"] is True
    wait_until(lambda: "from-file" in node.json("/v1/agent/services"), what="the service of the file")


def test_who_does_not_read_the_log_does_not_stop_the_node(make_node):
    """stdout is a pipe that nobody empties; what did not fit is counted."""
    node = make_node()
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    node.write_config()
    node.process = subprocess.Popen(node.command(), stdin=subprocess.DEVNULL, stdout=writing, stderr=writing,
                                    env=clean_environment(), start_new_session=True, preexec_fn=node.before_program)
    os.close(writing)
    node.wait_ready()
    for _ in range(1000):  # a line of 52 bytes each, at least: more than the pipe and the agent hold
        assert node.control("agent", "reload")["ok"]
        assert node.get("/v1/status/leader", timeout=20).text == '"%s:8300"' % node.address
    shown = []

    def read():
        while part := os.read(reading, 65536):
            shown.append(part)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    wait_until(lambda: node.control("agent", "reload") and b" lines are missing" in b"".join(shown), what="the gap is told")
    assert node.stop() == 1
    reader.join(60)
    os.close(reading)
    assert b"==> Caught signal: terminated" in b"".join(shown)


def test_pid_file_and_log_file(tmp_path, make_node):
    node = make_node(args=["-pid-file=%s" % (tmp_path / "pid"), "-log-file=%s" % (tmp_path / "m.log")]).start()
    assert (tmp_path / "pid").read_text() == str(node.process.pid)
    second = make_node(name="n2", address=node.address, args=["-pid-file=%s" % (tmp_path / "pid")])
    second.start(wait=False)
    assert second.process.wait(60) == 1 and "address already in use" in second.log()
    assert (tmp_path / "pid").read_text() == str(node.process.pid)
    node.stop()
    assert not (tmp_path / "pid").exists()
    logs = list(tmp_path.glob("m-*.log"))
    assert len(logs) == 1 and "httpd: started" in logs[0].read_text()


def test_older_log_files_go_whoever_wrote_them(tmp_path, make_node):
    """log_rotate_max_files counts those of earlier runs; -1 keeps none."""
    others, folder = {"m-x.log", "m-2.txt", "other-1.log"}, tmp_path / "logs"
    earlier = {"m-100000000000000000%d.log" % number for number in range(3)}
    folder.mkdir()
    for name in others | earlier:
        (folder / name).touch()
    node = make_node(args=["-log-file=%s" % (folder / "m.log"), "-log-rotate-bytes=1000"])
    for keep, kept in ((2, 2), (-1, 0)):
        node.args = node.args[:2] + ["-log-rotate-max-files=%d" % keep]
        node.start()
        node.stop()
        names = {path.name for path in folder.iterdir()}
        assert others <= names and len(names - others) == kept + 1, names
        assert not names & earlier
        assert "agent: exit code=" in (folder / max(names - others)).read_text()


@pytest.mark.parametrize("config, text", [
    ({"bogus": 1}, "invalid config key bogus (line 2)"),
    ({"ports": {"http": "x"}}, "'ports.http' expected type 'int', got unconvertible type 'string'"),
    ({"datacenter": "x!"}, 'datacenter cannot be "x!". Please use only [a-z0-9-_]'),
])
def test_wrong_configuration_is_refused(make_node, config, text):
    node = make_node(config=config)
    node.start(wait=False)
    assert node.process.wait(60) == 1
    assert text in node.log()


def test_as_many_configuration_files_as_may_be(make_node, tmp_path):
    files = []
    for number in range(62):
        files.append(tmp_path / str(number) / "one.json")
        files[-1].parent.mkdir()
        files[-1].write_text(json.dumps({"service": {"name": "s%d" % number}}))
    node = make_node(args=["-config-file=%s" % path for path in files[1:]])  # and the folder of each node
    node.start()
    wait_until(lambda: len(node.json("/v1/agent/services")) == 61, what="the service of each file")
    one_more = make_node(name="n2", args=["-config-file=%s" % path for path in files])
    one_more.start(wait=False)
    assert one_more.process.wait(60) == 1
    assert "==> more than 62 of -config-file, -config-dir and -hcl together\n" in one_more.log()


def running_for(node):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(node.run_dir).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_daemon_that_is_just_being_started_dies_with_the_agent(node):
    """A child that is forked when its parent is killed must not take the next one for its parent."""
    for attempt in range(6):
        if attempt:
            node.start()
        for daemon in ("gossipd", "checkd", "dnsd"):
            node.kill(daemon)
        time.sleep(attempt * 0.0005)
        node.process.kill()
        node.process.wait()
        wait_until(lambda: not running_for(node), what="all daemons dead")
