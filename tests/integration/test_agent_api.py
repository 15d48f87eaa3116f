# SPDX-License-Identifier: Apache-2.0
"""The endpoints that speak for the whole agent: monitor, metrics, reload, leave; and lists that must stay right while things change."""
import http.client
import json
import threading
import time

from node import DAEMONS, PORTS, wait_until


def register(node, name, service, **more):
    body = {"Node": name, "Address": "10.0.0.1", "Service": dict({"Service": service}, **more)}
    assert node.put("/v1/catalog/register", body).body == b"true"


def test_self_and_members(shared_node):
    own = shared_node.json("/v1/agent/self")
    assert own["Config"]["NodeName"] == shared_node.name
    assert own["Member"]["Name"] == shared_node.name
    assert own["Stats"]["raft"]["state"] == "Leader"
    assert own["Stats"]["serf_lan"]["members"] == "1"
    assert [m["Name"] for m in shared_node.json("/v1/agent/members")] == [shared_node.name]
    assert shared_node.json("/v1/agent/members?wan=1")[0]["Name"] == shared_node.name + ".dc1"
    assert shared_node.json("/v1/agent/host")["Memory"]["total"] > 0


def test_self_answers_while_others_are_away(node):
    pids = [node.kill(daemon) for daemon in ("raftd", "gossipd", "checkd")]
    answer = node.get("/v1/agent/self", timeout=60)
    assert answer.status == 200 and answer.json()["Config"]["NodeName"] == node.name
    assert len(pids) == 3


def test_metrics_are_merged(shared_node):
    def counted():
        metrics = shared_node.json("/v1/agent/metrics")
        names = [m["Name"] for group in ("Gauges", "Counters", "Samples") for m in metrics[group]]
        return names and metrics
    metrics = wait_until(counted, 60)
    for group in ("Gauges", "Counters", "Samples"):
        names = [m["Name"] for m in metrics[group]]
        assert names == sorted(names)
        assert all(name.startswith("consul.") for name in names)
    assert shared_node.get("/v1/agent/metrics?format=prometheus").status == 415


def test_prometheus(make_node):
    node = make_node(config={"telemetry": {"prometheus_retention_time": "60s"}}).start()
    answer = wait_until(lambda: (a := node.get("/v1/agent/metrics?format=prometheus")).body and a, 60)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in answer.text.splitlines():
        assert line.startswith("# ") or line.startswith("consul_"), line


class Monitor:
    """The stream of agent/monitor, while the agent reloads again and again: each daemon says so."""

    def __init__(self, node, query):
        self.node, self.lines, self.ended = node, [], threading.Event()
        self.connection = http.client.HTTPConnection(node.address, PORTS["http"], timeout=60)
        self.connection.request("GET", "/v1/agent/monitor?" + query)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        self.reloads = threading.Thread(target=self.reload, daemon=True)
        self.reloads.start()

    def reload(self):
        while not self.ended.wait(0.3):
            self.node.put("/v1/agent/reload")

    def quiet(self):
        self.ended.set()
        self.reloads.join()

    def until(self, *words):
        """Reads lines until each of these was in one."""
        missing = set(words)
        while missing:
            self.lines.append(self.answer.readline().decode())
            assert self.lines[-1], "the stream ended"
            missing -= {word for word in missing if word in self.lines[-1]}

    def close(self):
        self.quiet()
        self.connection.close()


def monitor(node, query):
    """Lines of the log until one says `reload`."""
    stream = Monitor(node, query)
    stream.until("reload")
    stream.close()
    return stream.lines


def test_monitor(shared_node):
    lines = monitor(shared_node, "loglevel=info")
    assert any(daemon + ": reload" in lines[-1] for daemon in DAEMONS)
    assert all("[DEBUG]" not in line for line in lines)


def test_monitor_json(shared_node):
    entry = json.loads(monitor(shared_node, "loglevel=debug&logjson")[-1])
    assert set(entry) == {"@level", "@message", "@module", "@timestamp"}
    assert entry["@module"] in DAEMONS


def test_monitor_follows_daemons_that_start_again(node):
    stream = Monitor(node, "")
    daemons = ("dnsd", "checkd", "gossipd")
    stream.until(*(daemon + ": reload" for daemon in daemons))  # it follows them
    stream.quiet()
    for daemon in daemons:
        node.kill(daemon)
    stream.until(*(daemon + ": started" for daemon in daemons))
    stream.close()


def test_reload_takes_definitions_and_refuses_nonsense(node):
    node.write_config("web.json", {"service": {"name": "web", "port": 80}})
    assert node.put("/v1/agent/reload").status == 200
    wait_until(lambda: "web" in node.json("/v1/agent/services"))
    path = node.write_config("bad.json", {"bogus": 1})
    answer = node.put("/v1/agent/reload")
    assert answer.status == 500 and "bogus" in answer.text
    assert "web" in node.json("/v1/agent/services")
    path.unlink()
    assert node.put("/v1/agent/reload").status == 200


def test_reload_leaves_what_needs_a_restart(make_node):
    node = make_node(config={"node_meta": {"a": "1"}}).start()

    def reload(**changes):
        node.config = dict({"node_meta": {"a": "1"}}, **changes)
        node.write_config()
        return node.put("/v1/agent/reload").status
    assert reload(domain="other.", ports={"http": 8599}, node_meta={"a": "2"}) == 200
    wait_until(lambda: (node.json("/v1/catalog/nodes")[0]["Meta"] or {}).get("a") == "2", what="what a reload may change")
    assert node.log().count('httpd: reload-needs-restart keys="ports.http, domain"') == 1
    assert node.log().count("reload-needs-restart") == 1
    node.wait_dns()
    assert node.dig_full("n1.node.other")[0] == "REFUSED"
    assert node.json("/v1/agent/self")["DebugConfig"]["DNSDomain"] == "consul."
    assert reload() == 200
    assert node.log().count("reload-needs-restart") == 1
    assert reload(datacenter="x!") == 500       # what is wrong is refused, whether or not it would have been taken
    assert reload(domain="other.") == 200
    node.stop()
    node.start()
    wait_until(lambda: node.dig("n1.node.other") == [node.address])


def test_leave_ends_the_node(node):
    pids = node.pids()
    assert len(pids) == len(DAEMONS)
    assert node.put("/v1/agent/leave").status == 200
    assert node.process.wait(60) == 0
    assert node.pids() == {}


def test_filtered_query_wakes_only_for_what_it_shows(node):
    register(node, "a", "web", Port=1)
    path = "/v1/health/service/web?filter=Service.Port==2&wait=20s&index=%d"
    index = node.get("/v1/health/service/web").index
    found = []
    thread = threading.Thread(target=lambda: found.append(node.get(path % index)))
    thread.start()
    wait_until(lambda: node.control("httpd", "status")["detail"]["waiting"] > 0)
    register(node, "a", "web", Port=3)
    time.sleep(0.3)
    assert not found
    register(node, "a", "web", Port=2)
    thread.join(18)
    assert [entry["Service"]["Port"] for entry in found[0].json()] == [2]


def held(node, path):
    """A thread that waits for a change of this answer, begun when nothing else changes any more."""
    def start():
        found = []
        index = node.get(path).index
        thread = threading.Thread(target=lambda: found.append(node.get("%s?index=%d&wait=60s" % (path, index))))
        thread.found = found
        thread.start()
        thread.join(0.3)
        return thread.is_alive() and thread
    return wait_until(start)


def test_summaries_wake_for_every_instance(node):
    register(node, "a", "web", ID="w1", Port=1)
    for path in ("nodes", "services", "node/a"):
        thread = held(node, "/v1/internal/ui/" + path)
        register(node, "a", "web", ID="w-" + path.replace("/", ""), Port=1)
        thread.join(50)
        assert thread.found, path


def test_near_sorts_by_distance(node):
    for number, name in enumerate(("far", "near", "mid")):
        register(node, name, "web")
        place = {"far": 9.0, "near": 0.1, "mid": 2.0}[name]
        body = {"Node": name, "Coord": {"Vec": [place, 0, 0, 0, 0, 0, 0, 0], "Error": 1, "Adjustment": 0, "Height": 0}}
        assert node.put("/v1/coordinate/update", body).status == 200, number
    register(node, "origin", "other")
    origin = {"Node": "origin", "Coord": {"Vec": [0] * 8, "Error": 1, "Adjustment": 0, "Height": 0}}
    assert node.put("/v1/coordinate/update", origin).status == 200
    wait_until(lambda: {c["Node"] for c in node.json("/v1/coordinate/nodes")} >= {"far", "near", "mid", "origin"})
    for path, key in (("/v1/catalog/service/web", "Node"), ("/v1/health/service/web", None)):
        rows = node.json(path + "?near=origin")
        assert [row["Node"] if key else row["Node"]["Node"] for row in rows] == ["near", "mid", "far"]
    rows = node.json("/v1/catalog/service/web?near=nobody")
    assert [row["Node"] for row in rows] == ["far", "mid", "near"]
