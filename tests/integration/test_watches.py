# SPDX-License-Identifier: Apache-2.0
"""Watches of the configuration: every type, programs and HTTP handlers; WE02, WE03, F32 (handlers are not run again by a reload)."""
import http.server
import json
import os
import pathlib
import random
import signal
import threading
import time

from node import wait_until

HANDLER = """#!/bin/sh
# {"index":..,"data":..} as one line of the log, begin and end apart from it
echo b >> %(log)s.runs
data=$(cat)
printf '{"index":%%s,"data":%%s}\\n' "$CONSUL_INDEX" "$data" >> %(log)s
%(body)s
echo e >> %(log)s.runs
"""


class Log:
    """A handler's program, and what it was given."""

    def __init__(self, node, name, body=""):
        self.path = node.directory / ("watch-" + name)
        self.program = node.directory / (name + ".sh")
        self.program.write_text(HANDLER % {"log": self.path, "body": body})
        self.program.chmod(0o755)
        self.args = [str(self.program)]

    def lines(self):
        return [json.loads(line) for line in self.path.read_text().split("\n") if line] if self.path.exists() else []

    def data(self):
        return [line["data"] for line in self.lines()]

    def last(self):
        data = self.data()
        return data[-1] if data else "nothing"

    def overlaps(self):
        """Whether it ever ran twice at once."""
        text = (self.path.parent / (self.path.name + ".runs")).read_text().replace("\n", "")
        return "bb" in text


def value(data):
    import base64
    return base64.b64decode(data["Value"]).decode() if data else None


def start(node, watches, **config):
    node.config = dict(config, watches=watches)
    return node.start()


def runs(node):
    return node.control("checkd", "status")["detail"]


def reload(node):
    """Until checkd has read it."""
    before = node.log().count("checkd: reload")
    assert node.put("/v1/agent/reload").status == 200
    wait_until(lambda: node.log().count("checkd: reload") > before, what="the reload of checkd")


def test_every_type(make_node):
    """WE02"""
    node = make_node()
    kinds = {
        "key": {"key": "w/a"}, "keyprefix": {"prefix": "w/"}, "services": {}, "nodes": {},
        "service": {"service": "web", "tag": ["a"], "passingonly": True}, "checks": {"service": "web"},
        "event": {"name": "deploy"}, "agent_service": {"service_id": "web"},
    }
    logs = {kind: Log(node, kind) for kind in kinds}
    start(node, [dict(more, type=kind, args=logs[kind].args) for kind, more in kinds.items()])
    first = {"key": None, "keyprefix": None, "service": [], "checks": [], "event": []}
    for kind, expected in first.items():
        wait_until(lambda k=kind: logs[k].lines(), what="the first run of " + kind)
        assert logs[kind].data()[0] == expected
    node.put("/v1/kv/w/a", b"one")
    wait_until(lambda: value(logs["key"].last()) == "one")
    pair = logs["key"].lines()[-1]
    assert list(pair["data"]) == ["Key", "CreateIndex", "ModifyIndex", "LockIndex", "Flags", "Value", "Session"]
    assert pair["index"] == pair["data"]["ModifyIndex"]
    wait_until(lambda: [p["Key"] for p in logs["keyprefix"].last()] == ["w/a"])
    node.put("/v1/agent/service/register", {"Name": "web", "Tags": ["a"], "Check": {"TTL": "60s"}})
    wait_until(lambda: "web" in logs["services"].last())
    wait_until(lambda: [c["Status"] for c in logs["checks"].last()] == ["critical"])
    node.put("/v1/agent/check/pass/service:web")
    wait_until(lambda: [c["Status"] for c in logs["checks"].last()] == ["passing"])
    wait_until(lambda: [e["Service"]["ID"] for e in logs["service"].last()] == ["web"])
    wait_until(lambda: logs["agent_service"].last() != "nothing" and logs["agent_service"].last()["ID"] == "web")
    assert logs["agent_service"].lines()[-1]["index"] == 0
    node.put("/v1/catalog/register", {"Node": "other", "Address": "10.0.0.9"})
    wait_until(lambda: "other" in [n["Node"] for n in logs["nodes"].last()])
    for payload in ("1", "2"):
        node.put("/v1/event/fire/deploy", payload)
        wait_until(lambda p=payload: value({"Value": logs["event"].last()[-1]["Payload"]}) == p)
    assert [len(events) for events in logs["event"].data()] == [0, 1, 1]
    node.put("/v1/event/fire/other", "x")
    node.delete("/v1/kv/w/a")
    wait_until(lambda: logs["key"].last() is None and logs["keyprefix"].last() is None)
    assert len(logs["event"].data()) == 3
    assert not any(log.overlaps() for log in logs.values())


def test_shell_and_its_failures(make_node):
    node = make_node()
    out = node.directory / "out"
    start(node, [{"type": "key", "key": "a", "handler": "cat >> %s | cat; echo told; exit 7" % out},
                 {"type": "key", "key": "a", "args": ["/nowhere/at/all"]}])
    wait_until(lambda: 'error="exit status 7" output="told ' in node.log(), what="the failure in the log")
    wait_until(lambda: "fork/exec /nowhere/at/all: no such file or directory" in node.log())
    node.put("/v1/kv/a", b"1")
    wait_until(lambda: out.read_text().count("\n") == 2, what="it is run again")


def test_timeout_kills_it_all(make_node):
    node = make_node()
    pids = node.directory / "pids"
    start(node, [{"type": "key", "key": "a", "timeout": "1s",
                  "args": ["sh", "-c", "sleep 1000 & echo $! >> %s; sleep 1000" % pids]}])
    wait_until(lambda: "killed: not done after 1s" in node.log(), what="the time-out")
    gone = [int(pid) for pid in pids.read_text().split()]
    wait_until(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in gone), what="what it started is gone")
    node.put("/v1/kv/a", b"1")
    wait_until(lambda: len(pids.read_text().split()) == 2, what="it is run again")


def test_what_runs_programs_is_killed(make_node):
    """checkd is started anew with another one, soon, although a handler runs; and no check has failed meanwhile."""
    node = make_node()
    long = Log(node, "long", "sleep 1000")
    start(node, [{"type": "key", "key": "a", "args": long.args}], enable_script_checks=True)
    node.put("/v1/agent/service/register", {"Name": "web", "Check": {"Args": ["true"], "Interval": "1s"}})
    wait_until(lambda: node.json("/v1/agent/checks")["service:web"]["Status"] == "passing")
    wait_until(lambda: long.lines(), what="the handler runs")
    index = node.get("/v1/health/service/web").index
    checkd = node.pid_of("checkd")
    children = pathlib.Path("/proc/%d/task/%d/children" % (checkd, checkd)).read_text().split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    node.wait_restarted("checkd", checkd, 20)
    assert node.json("/v1/agent/checks")["service:web"]["Status"] == "passing"
    assert node.get("/v1/health/service/web?index=%d&wait=3s" % index).index == index, "nobody saw it fail"


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, *_):
        pass


def test_http_handler(make_node):
    node = make_node()
    server = http.server.ThreadingHTTPServer((node.address, 0), Receiver)
    server.got, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    start(node, [{"type": "key", "key": "a", "handler_type": "http", "http_handler_config": {
        "path": "http://%s:%d/x" % (node.address, server.server_port), "method": "PUT", "timeout": "5s",
        "header": {"X-Of": ["ours", "too"]}}}])
    wait_until(lambda: server.got, what="the first run")
    assert server.got[0][1] is None
    server.status = 503
    node.put("/v1/kv/a", b"1")
    wait_until(lambda: len(server.got) == 2)
    headers, body = server.got[1]
    assert headers["Content-Type"] == "application/json" and headers["X-Of"] in ("ours", "too")
    assert int(headers["X-Consul-Index"]) == body["ModifyIndex"] and value(body) == "1"
    wait_until(lambda: 'error="answered 503 Service Unavailable" output="thanks"' in node.log())
    server.server_close()
    server.shutdown()
    node.put("/v1/kv/a", b"2")
    wait_until(lambda: "connection refused" in node.log(), what="the failure in the log")


def test_reloads_run_nothing(make_node):
    """F32; also while a handler runs, and while the values change: each value once, the last one always."""
    node = make_node()
    logs = [Log(node, "k%d" % i, body="sleep 0.2") for i in range(10)]
    watches = [{"type": "key", "key": "k%d" % i, "args": log.args} for i, log in enumerate(logs)]
    start(node, watches)
    wait_until(lambda: all(log.lines() for log in logs), what="the first runs")
    for _ in range(10):
        random.shuffle(watches)
        node.config["watches"] = watches
        node.write_config()
        reload(node)
    assert [len(log.lines()) for log in logs] == [1] * 10
    stop = threading.Event()

    def storm():
        while not stop.is_set():
            node.put("/v1/agent/reload")
    storming = threading.Thread(target=storm)
    storming.start()
    try:
        for number in range(5):
            for i in range(10):
                node.put("/v1/kv/k%d" % i, b"%d" % number)
            wait_until(lambda n=number: all(value(log.last()) == str(n) for log in logs), what="value %d" % number)
    finally:
        stop.set()
        storming.join()
    for log in logs:
        assert [value(d) for d in log.data()] == [None, "0", "1", "2", "3", "4"] and not log.overlaps()


def test_reload_changes_them(make_node):
    node = make_node()
    slow = Log(node, "slow", body="while test -e %s/hold; do sleep 0.05; done; echo done >> %s/done" %
               (node.directory, node.directory))
    more = Log(node, "more")
    (node.directory / "hold").touch()
    start(node, [{"type": "key", "key": "a", "args": slow.args}])
    wait_until(lambda: slow.lines(), what="the first run")
    node.config["watches"] = [{"type": "key", "key": "b", "args": more.args}]
    node.write_config()
    reload(node)
    wait_until(lambda: more.lines() and runs(node)["watches"] == 1 and runs(node)["watches_handling"] == 1)
    (node.directory / "hold").unlink()     # what ran when its watch was removed runs to its end
    wait_until(lambda: (node.directory / "done").exists() and runs(node)["watches_handling"] == 0)
    node.put("/v1/kv/a", b"1")
    node.put("/v1/kv/b", b"1")
    wait_until(lambda: value(more.last()) == "1")
    assert len(slow.lines()) == 1
    node.config["watches"] = []
    node.write_config()
    reload(node)
    assert runs(node)["watches"] == 0


def test_programs_that_a_reload_brings(make_node):
    """checkd in its jail cannot start what starts programs: a new checkd does."""
    node = make_node().start()
    log = Log(node, "late")
    old = node.pid_of("checkd")
    node.config["watches"] = [{"type": "nodes", "args": log.args}]
    node.write_config()
    node.put("/v1/agent/reload")
    node.wait_restarted("checkd", old)
    wait_until(lambda: log.lines(), what="the first run")


def test_newest_result_wins(make_node):
    """A handler is slower than the changes: it sees some of them, in order, and the last."""
    node = make_node()
    log = Log(node, "slow", body="sleep 0.5")
    start(node, [{"type": "key", "key": "a", "args": log.args}])
    wait_until(lambda: log.lines(), what="the first run")
    for number in range(40):
        node.put("/v1/kv/a", b"%d" % number)
    wait_until(lambda: value(log.last()) == "39")
    seen = [int(value(d)) for d in log.data()[1:]]
    assert seen == sorted(set(seen)) and len(seen) < 40 and not log.overlaps()


def test_no_change_is_lost(make_node):
    """WE03: checkd, httpd and gossipd are killed at any time; every final value is seen, and each event, none of them twice whose handler
    had ended."""
    node = make_node()
    key, events = Log(node, "key"), Log(node, "events")
    start(node, [{"type": "key", "key": "a", "args": key.args}, {"type": "event", "name": "e", "args": events.args}])
    wait_until(lambda: key.lines() and events.lines(), what="the first runs")
    fired = []
    for number, victim in enumerate(("checkd", "httpd", "checkd", "checkd")):
        node.put("/v1/kv/a", b"before %d" % number)
        pid = node.kill(victim)
        wait_until(lambda n=number: node.put("/v1/kv/a", b"after %d" % n).status == 200)
        fired.append("%d" % number)
        assert node.put("/v1/event/fire/e", fired[-1]).status == 200
        node.wait_restarted(victim, pid)
        wait_until(lambda n=number: value(key.last()) == "after %d" % n)
        wait_until(lambda: [value({"Value": e["Payload"]}) for data in events.data() for e in data] == fired,
                   what="the event %d, once" % number)
        wait_until(lambda: runs(node)["watches_handling"] == 0)
    node.wait_restarted("gossipd", node.kill("gossipd"))     # its list of events is gone with it: no news
    wait_until(lambda: node.put("/v1/event/fire/e", "last").status == 200)
    fired.append("last")
    wait_until(lambda: [value({"Value": e["Payload"]}) for data in events.data() for e in data] == fired)


def test_one_of_two_that_are_the_same_goes(make_node):
    """What the other one has handled is remembered all the same."""
    node = make_node()
    log = Log(node, "twice")
    watch = {"type": "event", "name": "deploy", "args": log.args}
    start(node, [watch, watch])
    wait_until(lambda: len(log.lines()) == 2, what="both have run")
    node.put("/v1/event/fire/deploy", "1")
    wait_until(lambda: len(log.lines()) == 4 and runs(node)["watches_handling"] == 0)
    node.config["watches"] = [watch]
    node.write_config()
    reload(node)
    assert runs(node)["watches"] == 1
    node.wait_restarted("checkd", node.kill("checkd"))
    node.put("/v1/event/fire/deploy", "2")
    wait_until(lambda: [value({"Value": e["Payload"]}) for e in log.last()] == ["2"])
    assert len(log.lines()) == 5


def test_graceful_restart_lets_a_handler_end(make_node):
    node = make_node()
    done = node.directory / "done"
    log = Log(node, "slow", body="sleep 2; touch %s" % done)
    start(node, [{"type": "nodes", "args": log.args}])
    wait_until(lambda: log.lines(), what="it runs")
    old = node.kill("checkd", signal.SIGTERM)
    node.wait_restarted("checkd", old)
    assert done.exists()


def test_errors_pause(make_node):
    node = make_node()
    log = Log(node, "far")
    start(node, [{"type": "key", "key": "a", "datacenter": "nowhere", "args": log.args}])
    wait_until(lambda: "No path to datacenter" in node.log() and "retry=4s" in node.log(), what="the second failure")
    assert not log.lines() and runs(node)["watches_failing"] == 1


def test_refused(make_node, tmp_path):
    """Consul's words, at validation, start and reload."""
    node = make_node()
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"data_dir": "/tmp", "watches": [{"type": "nodes", "args": ["a"]}, {"type": "key", "args": ["a"]}]}))
    out = node.muster("validate", str(bad))
    assert out.returncode == 1
    assert out.stderr == ("Config validation failed: Failed to parse watch (watches[1]): Must specify a single key to "
                          "watch\n")
    node.start()
    node.config["watches"] = [{"type": "nodes"}]
    node.write_config()
    answer = node.put("/v1/agent/reload")
    assert answer.status == 500 and "Must define a watch handler" in answer.text
    time.sleep(0.1)
    assert runs(node)["watches"] == 0
