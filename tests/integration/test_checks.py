# SPDX-License-Identifier: Apache-2.0
"""Services and checks of the agent, as its users see them: through the agent's endpoints and in the catalogue."""
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import ssl
import subprocess
import threading
import time

import pytest

from node import BUILD, clean_environment, wait_until

SCRIPTS = {"enable_script_checks": True, "check_update_interval": "1s"}


def register(node, body, expect=200):
    answer = node.put("/v1/agent/service/register", body)
    assert answer.status == expect, answer.text
    return answer


def health(node, service="web"):
    """{check id: status} of a service's instances in the catalogue."""
    return {check["CheckID"]: check["Status"] for entry in node.json("/v1/health/service/" + service)
            for check in entry["Checks"] if check["CheckID"] != "serfHealth"}


def agent_check(node, check_id):
    return node.json("/v1/agent/checks")[check_id]


def wait_status(node, check_id, status):
    """The status at the agent and in the catalogue."""
    def reached():
        check = agent_check(node, check_id)
        known = {c["CheckID"]: c["Status"] for c in node.json("/v1/health/node/" + node.name)}
        return check["Status"] == status and known.get(check_id) == status and check
    return wait_until(reached, what="%s %s" % (check_id, status))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"well " * 2000)

    def log_message(self, *_):
        pass


def serve(address):
    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    server.status = 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_kinds_of_checks(make_node):
    node = make_node(config=SCRIPTS).start()
    server = serve(node.address)
    url = "http://%s:%d/" % (node.address, server.server_port)
    register(node, {"Name": "web", "Port": 80, "Checks": [
        {"CheckID": "script", "Args": ["sh", "-c", "echo out; exit 1"], "Interval": "1s"},
        {"CheckID": "http", "HTTP": url, "Interval": "1s"},
        {"CheckID": "tcp", "TCP": "%s:%d" % (node.address, server.server_port), "Interval": "1s"},
        {"CheckID": "ttl", "TTL": "2s"},
        {"CheckID": "slow", "Args": ["sh", "-c", "sleep 1000 & sleep 1000"], "Interval": "1s", "Timeout": "1s"},
        {"CheckID": "silent", "Args": ["true"], "Interval": "1s", "Status": "passing"}]})
    register(node, {"Name": "other", "Check": {"CheckID": "alias", "AliasService": "web"}})
    wait_status(node, "script", "warning")
    wait_status(node, "http", "passing")
    wait_status(node, "tcp", "passing")
    assert agent_check(node, "script")["Output"] == "out\n"
    output = agent_check(node, "http")["Output"]
    assert output.startswith("HTTP GET %s: 200 OK Output: " % url) and len(output) < 4300

    def refreshed():
        assert node.put("/v1/agent/check/pass/ttl?note=fine").status == 200
        return agent_check(node, "ttl")["Output"] == "fine" and health(node)["ttl"] == "passing"
    wait_until(refreshed)
    assert wait_status(node, "ttl", "critical")["Output"] == "TTL expired (last output before timeout follows): fine"
    wait_until(lambda: agent_check(node, "slow")["Output"] == "Timed out (1s) running check")
    assert wait_status(node, "alias", "critical")["Output"].startswith('Aliased check "Service \'web\' check" failing:')
    server.status = 429
    wait_status(node, "http", "warning")
    server.shutdown()
    server.server_close()
    wait_status(node, "http", "critical")
    wait_status(node, "tcp", "critical")
    wait_until(lambda: agent_check(node, "tcp")["Output"].endswith("connect: connection refused"))


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_https(make_node, tmp_path):
    node = make_node().start()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days", "2", "-subj", "/CN=nobody"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = serve(node.address)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = "https://%s:%d/" % (node.address, server.server_port)
    register(node, {"Name": "web", "Checks": [
        {"CheckID": "trusting", "HTTP": url, "Interval": "1s", "TLSSkipVerify": True},
        {"CheckID": "careful", "HTTP": url, "Interval": "1s", "Status": "passing"}]})
    assert wait_status(node, "trusting", "passing")["Output"].startswith("HTTP GET %s: 200 OK Output: " % url)
    assert "certificate" in wait_status(node, "careful", "critical")["Output"]
    server.shutdown()
    server.server_close()


def test_scripts_must_be_allowed(shared_node):
    answer = register(shared_node, {"Name": "s", "Check": {"Args": ["true"], "Interval": "1s"}}, expect=500)
    assert answer.text.startswith("Scripts are disabled on this agent from remote calls")
    assert "s" not in shared_node.json("/v1/agent/services")


def test_scripts_that_are_allowed_no_more(make_node):
    """What was registered over HTTP is forgotten at the next start; what stands in the configuration may go on."""
    node = make_node(config={"enable_script_checks": True})
    ran = node.directory / "ran"
    node.write_config("check.json", {"check": {"id": "local", "name": "local", "args": ["true"], "interval": "1s"}})
    node.start()
    register(node, {"Name": "web", "Checks": [{"CheckID": "remote", "Args": ["touch", str(ran)], "Interval": "1s"},
                                              {"CheckID": "t", "TTL": "1h", "Status": "passing"}]})
    wait_status(node, "remote", "passing")
    node.stop()
    node.config = {"enable_local_script_checks": True}
    ran.unlink()
    node.start()
    wait_status(node, "local", "passing")
    wait_until(lambda: health(node) == {"local": "passing", "t": "passing"}, what="its service stays, without it")
    assert sorted(node.json("/v1/agent/checks")) == ["local", "t"] and not ran.exists()
    node.config = {"enable_script_checks": True}
    node.stop()
    node.start()
    assert "remote" not in node.json("/v1/agent/checks")


def test_deregister(shared_node):
    node = shared_node
    register(node, {"Name": "gone", "Check": {"TTL": "60s", "Status": "passing"}})
    wait_until(lambda: health(node, "gone"))
    assert node.put("/v1/agent/service/deregister/gone").status == 200
    assert node.put("/v1/agent/service/deregister/gone").status == 200
    wait_until(lambda: not node.json("/v1/health/service/gone"))
    assert "service:gone" not in node.json("/v1/agent/checks")
    wait_until(lambda: "service:gone" not in [c["CheckID"] for c in node.json("/v1/health/node/" + node.name)])


def test_registering_again_keeps_what_is_known(shared_node):
    node = shared_node
    body = {"Name": "again", "Port": 1, "Check": {"TTL": "60s"}}
    register(node, body)
    node.put("/v1/agent/check/pass/service:again?note=n")
    wait_status(node, "service:again", "passing")
    register(node, dict(body, Port=2))
    wait_until(lambda: node.json("/v1/catalog/service/again")[0]["ServicePort"] == 2)
    assert agent_check(node, "service:again")["Status"] == "passing"
    assert agent_check(node, "service:again")["Output"] == "n"


def test_many_aliases_of_other_nodes(make_node):
    """Each holds a question; what this node registers does not wait behind them, nor do they behind those that have gone."""
    node = make_node().start()
    assert node.put("/v1/catalog/register", {"Node": "far", "Address": "10.0.0.9", "Check": {
        "CheckID": "disk", "Name": "disk", "Status": "passing"}}).status == 200
    count = 280
    register(node, {"Name": "mirrors", "Checks": [{"CheckID": "a%03d" % i, "AliasNode": "far"} for i in range(count)]})
    held = 256
    wait_until(lambda: [c["Status"] for c in node.json("/v1/agent/checks").values()].count("passing") == count)
    wait_until(lambda: [c["state"] for c in node.control("httpd", "dump")["dump"]["connections"]].count("held") == held,
               what="as many as may hold their questions")
    register(node, {"Name": "quick"})
    wait_until(lambda: node.json("/v1/catalog/service/quick"), 20, "registered while they wait")
    for check_id in ["a%03d" % i for i in range(count)]:
        if check_id < "a270":
            assert node.put("/v1/agent/check/deregister/" + check_id).status == 200
    node.put("/v1/catalog/register", {"Node": "far", "Address": "10.0.0.9", "Check": {
        "CheckID": "disk", "Name": "disk", "Status": "critical"}})
    wait_until(lambda: {c["Status"] for c in node.json("/v1/agent/checks").values()} == {"critical"}, what="those that are left have heard")


def test_maintenance(make_node):
    node = make_node().start()
    register(node, {"Name": "web"})
    assert node.put("/v1/agent/service/maintenance/web?enable=true&reason=why").status == 200
    wait_until(lambda: health(node) == {"_service_maintenance:web": "critical"})
    answer = node.get("/v1/agent/health/service/id/web?format=text")
    assert (answer.status, answer.text) == (503, "maintenance")
    assert node.put("/v1/agent/maintenance?enable=true").status == 200
    wait_until(lambda: health(node).get("_node_maintenance") == "critical")
    node.wait_restarted("checkd", node.kill("checkd"))
    assert agent_check(node, "_service_maintenance:web")["Notes"] == "why"
    node.put("/v1/agent/service/maintenance/web?enable=false")
    node.put("/v1/agent/maintenance?enable=false")
    wait_until(lambda: not health(node))
    assert node.put("/v1/agent/service/maintenance/nope?enable=true").status == 404


def test_checkd_killed(make_node):
    """Registrations, states and deadlines survive, and nobody sees a flap."""
    node = make_node(config=SCRIPTS).start()
    register(node, {"Name": "web", "Checks": [{"CheckID": "t", "TTL": "8s"},
                                              {"CheckID": "s", "Args": ["true"], "Interval": "1h", "Status": "critical"},
                                              {"CheckID": "fast", "Args": ["echo", "x"], "Interval": "1s"}]})
    begin = time.monotonic()
    node.put("/v1/agent/check/pass/t?note=alive")
    wait_status(node, "t", "passing")
    wait_status(node, "fast", "passing")
    index = node.get("/v1/health/service/web").index
    held = node.get("/v1/health/service/web?index=%d&wait=3s" % index)
    index = held.index
    killed = time.monotonic()
    node.wait_restarted("checkd", node.kill("checkd"))
    check, fast = agent_check(node, "t"), agent_check(node, "fast")
    if time.monotonic() - begin < 8:  # else the machine is so slow that the deadline has come
        assert (check["Status"], check["Output"]) == ("passing", "alive")
    assert fast["Status"] == "passing"
    answer = node.get("/v1/health/service/web?index=%d&wait=30s" % index)
    assert answer.index > index and health(node)["t"] == "critical"
    assert begin + 7.9 < time.monotonic() < killed + 8, "the deadline is that of the last update, not of the restart"
    wait_status(node, "t", "critical")


def test_node_restarted(make_node):
    node = make_node().start()
    register(node, {"Name": "web", "Port": 80, "Check": {"TTL": "1h"}})
    node.put("/v1/agent/check/warn/service:web?note=hm")
    wait_status(node, "service:web", "warning")
    node.stop()
    node.start()
    assert node.json("/v1/agent/services")["web"]["Port"] == 80
    assert wait_status(node, "service:web", "warning")["Output"] == "hm"
    node.stop(signal.SIGKILL)
    node.start()
    wait_status(node, "service:web", "warning")


def test_output_alone_wakes_nobody(make_node):
    node = make_node(config={"enable_script_checks": True, "check_update_interval": "5m"}).start()
    counter = node.directory / "runs"
    register(node, {"Name": "web", "Check": {
        "Args": ["sh", "-c", "echo x >> %s; wc -l < %s" % (counter, counter)], "Interval": "1s"}})
    wait_status(node, "service:web", "passing")
    index = node.get("/v1/health/service/web").index
    first = agent_check(node, "service:web")["Output"]
    begin = time.monotonic()
    answer = node.get("/v1/health/service/web?index=%d&wait=3s" % index)
    assert answer.index == index and time.monotonic() - begin >= 3
    wait_until(lambda: agent_check(node, "service:web")["Output"] != first)


def test_catalogue_is_healed(make_node):
    """Somebody writes under our node's name; the next full sync (here: after a reload) puts it right."""
    node = make_node().start()
    register(node, {"Name": "web", "Port": 80, "Check": {"TTL": "1h", "Status": "passing"}})
    register(node, {"Name": "tagged", "EnableTagOverride": True, "Tags": ["old"]})
    wait_until(lambda: health(node) and node.json("/v1/catalog/service/tagged"))
    wait_until(lambda: node.control("checkd", "status")["detail"]["in_sync"], what="the first full sync is over")
    before = node.json("/v1/catalog/service/web")[0]["CreateIndex"]
    node.put("/v1/catalog/deregister", {"Node": node.name, "ServiceID": "web"})
    node.put("/v1/catalog/register", {"Node": node.name, "SkipNodeUpdate": True, "Service": {"Service": "alien"},
                                      "Check": {"CheckID": "alien-check", "Name": "x", "Status": "critical"}})
    node.put("/v1/catalog/register", {"Node": node.name, "SkipNodeUpdate": True,
                                      "Service": {"Service": "tagged", "Tags": ["new"], "EnableTagOverride": True}})
    assert node.control("checkd", "reload")["ok"]
    wait_until(lambda: health(node) == {"service:web": "passing"}, what="web is back")
    assert node.json("/v1/catalog/service/web")[0]["CreateIndex"] > before, "it was gone, and registered anew"
    wait_until(lambda: not node.json("/v1/catalog/service/alien"), what="alien is gone")
    wait_until(lambda: "alien-check" not in [c["CheckID"] for c in node.json("/v1/health/node/" + node.name)])
    wait_until(lambda: node.json("/v1/agent/services")["tagged"]["Tags"] == ["new"])
    assert node.json("/v1/catalog/service/tagged")[0]["ServiceTags"] == ["new"]
    assert node.json("/v1/catalog/service/consul")
    assert "serfHealth" in [c["CheckID"] for c in node.json("/v1/health/node/" + node.name)]


def test_definitions_in_configuration(make_node):
    node = make_node(config={"enable_local_script_checks": True})
    node.write_config("services.json", {"services": [
        {"name": "one", "port": 1, "check": {"args": ["true"], "interval": "1s"}},
        {"name": "two", "port": 2, "checks": [{"ttl": "1h"}, {"ttl": "1h", "status": "passing"}]}]})
    node.start()
    wait_status(node, "service:one", "passing")
    node.put("/v1/agent/check/warn/service:two:1")
    wait_status(node, "service:two:1", "warning")
    wait_status(node, "service:two:2", "passing")
    register(node, {"Name": "three"})
    node.write_config("services.json", {"service": {"name": "two", "port": 22, "checks": [{"ttl": "1h"}, {"ttl": "1h"}]}})
    assert node.control("checkd", "reload")["ok"]
    wait_until(lambda: sorted(node.json("/v1/agent/services")) == ["three", "two"])
    wait_until(lambda: sorted(set(node.json("/v1/catalog/services")) - {"consul"}) == ["three", "two"])
    wait_until(lambda: node.json("/v1/catalog/service/two")[0]["ServicePort"] == 22)
    assert agent_check(node, "service:two:1")["Status"] == "warning"
    register(node, {"Name": "two", "Port": 5})  # configuration wins over what was stored
    node.stop()
    node.start()
    assert node.json("/v1/agent/services")["two"]["Port"] == 22


def test_waiting_for_a_service_to_change(shared_node):
    node = shared_node
    register(node, {"Name": "hashed", "Port": 1})
    answer = node.get("/v1/agent/service/hashed")
    content_hash = answer.headers["X-Consul-ContentHash"]
    assert answer.json()["ContentHash"] == content_hash
    threading.Timer(0.5, lambda: register(node, {"Name": "hashed", "Port": 2})).start()
    begin = time.monotonic()
    answer = node.get("/v1/agent/service/hashed?wait=20s&hash=" + content_hash)
    assert answer.json()["Port"] == 2 and 0.4 < time.monotonic() - begin < 18
    assert node.get("/v1/agent/service/nope").status == 404


def test_who_waits_for_a_service_is_answered_when_httpd_ends(node):
    register(node, {"Name": "hashed", "Port": 1})
    content_hash = node.get("/v1/agent/service/hashed").headers["X-Consul-ContentHash"]
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(
        node.get("/v1/agent/service/hashed?wait=60s&hash=" + content_hash)))
    waiter.start()
    wait_until(lambda: "/v1/agent/service/hashed" in {
        c.get("path") for c in node.control("httpd", "dump")["dump"]["connections"] if c["state"] == "busy"})
    node.wait_restarted("httpd", node.kill("httpd", signal.SIGTERM))
    waiter.join(20)
    assert [(a.status, a.json()["Port"]) for a in answers] == [(200, 1)]


def test_a_database_that_cannot_be_read_is_an_error(tmp_path):
    """checkd says so and ends; it does not crash."""
    folder = tmp_path / "data" / "checkd"
    folder.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (folder / "data.mdb").write_bytes(b"no database " * 1000)
    (tmp_path / "main.json").write_text(json.dumps({"node_name": "n1", "bind_addr": "127.0.0.1", "data_dir": str(tmp_path / "data")}))
    out = subprocess.run([BUILD / "checkd" / "muster-checkd", "-config-file", tmp_path / "main.json", "-run-dir", tmp_path / "run"],
                         capture_output=True, text=True, check=False, timeout=30, env=clean_environment())
    assert out.returncode == 1 and "failed" in out.stderr, (out.returncode, out.stderr)


def processes_with(word):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_bytes().decode(errors="replace") and int(path.parts[2]) != os.getpid():
                found.append(int(path.parts[2]))
        except OSError:
            continue
    return found


def test_nothing_runs_on_after_the_end(make_node):
    node = make_node(config=SCRIPTS).start()
    word = "1234.%d" % os.getpid()
    register(node, {"Name": "web", "Check": {"Args": ["sh", "-c", "sleep %s & sleep %s" % (word, word)],
                                             "Interval": "1s", "Timeout": "1h"}})
    wait_until(lambda: len(processes_with(word)) >= 3)
    node.put("/v1/agent/service/deregister/web")
    wait_until(lambda: not processes_with(word), what="killed with its check")
    register(node, {"Name": "web", "Check": {"Args": ["sleep", word], "Interval": "1s", "Timeout": "1h"}})
    wait_until(lambda: processes_with(word))
    node.stop()
    assert not processes_with(word)


def update_while(node, services, deadline, known):
    """Random TTL updates; known: what the agent has acknowledged."""
    words = {"pass": "passing", "warn": "warning", "fail": "critical"}
    while time.monotonic() < deadline:
        number, word = random.randrange(services), random.choice(sorted(words))
        try:
            answer = node.put("/v1/agent/check/%s/service:s%d:2" % (word, number), timeout=20)
        except (OSError, http.client.HTTPException):
            known.pop(number, None)
            continue
        if answer.status == 200:
            known[number] = words[word]
        else:
            known.pop(number, None)


def test_daemons_killed_under_load(make_node):
    """Nothing acknowledged is lost, and the catalogue ends up as the agent has it."""
    node = make_node(config=SCRIPTS).start()
    services, known = 50, {}
    for number in range(services):
        register(node, {"ID": "s%d" % number, "Name": "web", "Checks": [
            {"HTTP": "http://%s:8500/v1/status/leader" % node.address, "Interval": "1s"}, {"TTL": "1h"}]})
    for daemon in ("checkd", "httpd", "raftd", "checkd", "catalogd", "checkd"):
        node.kill(daemon)
        update_while(node, services, time.monotonic() + 0.7, known)

    def settled():
        checks = node.json("/v1/agent/checks")
        catalogue = {c["CheckID"]: c["Status"] for c in node.json("/v1/health/node/" + node.name)}
        assert len(checks) == 2 * services
        assert all(checks["service:s%d:2" % number]["Status"] == status for number, status in known.items())
        return all(catalogue.get(name) == check["Status"] for name, check in checks.items()) and \
            all(check["Status"] == "passing" for name, check in checks.items() if name.endswith(":1"))
    wait_until(settled, 90)
    assert known
