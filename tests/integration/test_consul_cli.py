# SPDX-License-Identifier: Apache-2.0
"""The unmodified consul command-line tool against muster, and muster's own commands beside it."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from node import MUSTER, TOP, wait_until


@pytest.fixture(scope="session")
def consul():
    """The program, unpacked once into the build directory; tests are skipped loudly where it cannot be had."""
    program = os.environ.get("CONSUL")
    if program:
        return program
    directory = pathlib.Path(os.environ.get("MUSTER_CONSUL_DIR", TOP / "build" / "consul"))
    program = directory / "bin" / "consul"
    if not program.exists():
        out = subprocess.run([str(TOP / "tests" / "conformance" / "get-consul"), str(directory)], capture_output=True,
                             text=True, check=False, timeout=300)
        if out.returncode:
            pytest.skip("CONSUL NOT AVAILABLE: " + out.stderr.strip())
    return str(program)


@pytest.fixture(scope="session")
def link(tmp_path_factory):
    """muster through a link named consul."""
    path = tmp_path_factory.mktemp("bin") / "consul"
    path.symlink_to(MUSTER)
    return str(path)


@pytest.fixture(params=["consul", "muster"])
def cli(request, shared_node, consul, link):
    """Runs a command with the real tool, then with ours; all tests here hold for both."""
    binary = consul if request.param == "consul" else link

    def run(*args, data=None, status=0, timeout=60):
        out = shared_node.muster(*args, binary=binary, data=data, timeout=timeout)
        assert out.returncode == status, "%s: %d\n%s%s" % (args, out.returncode, out.stdout, out.stderr)
        return out.stdout if status == 0 else out.stderr
    run.binary = binary
    return run


def spawn(node, binary, *args):
    return subprocess.Popen([binary, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env=node.environment(), cwd=node.directory)


def test_kv(cli):
    assert cli("kv", "put", "cli/a", "hello") == "Success! Data written to: cli/a\n"
    assert cli("kv", "get", "cli/a") == "hello\n"
    assert cli("kv", "put", "-flags=42", "cli/b", "-", data="from stdin") == "Success! Data written to: cli/b\n"
    detailed = dict(re.findall(r"^(\w+) +(.*)$", cli("kv", "get", "-detailed", "cli/b"), re.M))
    assert detailed["Flags"] == "42" and detailed["Value"] == "from stdin" and detailed["Session"] == "-"
    assert cli("kv", "get", "-recurse", "cli/") == "cli/a:hello\ncli/b:from stdin\n"
    assert cli("kv", "get", "-keys", "cli/") == "cli/a\ncli/b\n"
    index = detailed["ModifyIndex"]
    assert "CAS failed" in cli("kv", "put", "-cas", "-modify-index=1", "cli/b", "x", status=1)
    assert cli("kv", "put", "-cas", "-modify-index=" + index, "cli/b", "x") == "Success! Data written to: cli/b\n"
    exported = json.loads(cli("kv", "export", "cli/"))
    assert [e["key"] for e in exported] == ["cli/a", "cli/b"] and exported[1]["flags"] == 0
    assert cli("kv", "delete", "-recurse", "cli/") == "Success! Deleted keys with prefix: cli/\n"
    assert cli("kv", "get", "cli/a", status=1) == "Error! No key exists at: cli/a\n"
    assert cli("kv", "import", json.dumps(exported)) == "Imported: cli/a\nImported: cli/b\n"
    assert cli("kv", "get", "-base64", "cli/a") == "aGVsbG8=\n"
    assert cli("kv", "delete", "cli/a") == "Success! Deleted key: cli/a\n"
    cli("kv", "delete", "-recurse", "cli/")


def test_catalog_and_services(cli, shared_node):
    file = shared_node.directory / "services.json"
    file.write_text(json.dumps({"services": [{"name": "one", "port": 1, "tags": ["b", "a"]}, {"name": "two"}]}))
    assert cli("services", "register", str(file)) == "Registered service: one\nRegistered service: two\n"
    assert cli("services", "register", "-name=three", "-port=3", "-tag=x", "-meta=k=v") == "Registered service: three\n"
    wait_until(lambda: cli("catalog", "services") == "consul\none\nthree\ntwo\n", what="services in the catalogue")
    assert re.search(r"^one +a,b$", cli("catalog", "services", "-tags"), re.M)
    assert cli("catalog", "datacenters") == "dc1\n"
    nodes = cli("catalog", "nodes").split("\n")
    assert re.fullmatch(r"Node  ID        Address +DC", nodes[0])
    assert re.match(r"n1    [0-9a-f]{8}  " + re.escape(shared_node.address) + " +dc1", nodes[1])
    assert "n1" in cli("catalog", "nodes", "-service=three", "-detailed")
    assert cli("services", "deregister", str(file)) == "Deregistered service: one\nDeregistered service: two\n"
    assert cli("services", "deregister", "-id=three") == "Deregistered service: three\n"
    wait_until(lambda: cli("catalog", "services") == "consul\n", what="services gone")


def test_members_info_peers(cli, shared_node):
    lines = cli("members").split("\n")
    assert lines[0].split() == ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"]
    assert lines[1].split() == ["n1", shared_node.address + ":8301", "alive", "server", "1.8.7", "2", "dc1", "<all>"]
    assert "role=consul" in cli("members", "-detailed")
    cli("members", "-status=failed", status=2)
    info = cli("info")
    assert "consul:\n" in info and "\tleader = true\n" in info and "\tstate = Leader\n" in info
    peers = cli("operator", "raft", "list-peers").split("\n")
    assert peers[0].split() == ["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]
    assert peers[1].split()[0] == "n1" and peers[1].split()[3:] == ["leader", "true", "3"]


def test_event(cli, shared_node):
    out = cli("event", "-name=deploy", "payload of it")
    identity = re.fullmatch(r"Event ID: ([0-9a-f-]{36})\n", out).group(1)
    wait_until(lambda: identity in [e["ID"] for e in shared_node.json("/v1/event/list?name=deploy")])


def test_maint(cli, shared_node):
    shared_node.put("/v1/agent/service/register", {"Name": "m"})
    assert cli("maint") == ""
    assert cli("maint", "-enable", "-reason=because") == "Node maintenance is now enabled\n"
    assert cli("maint", "-enable", "-service=m") == 'Service maintenance is now enabled for "m"\n'
    out = cli("maint")
    assert "Node:\n  Name:   n1\n  Reason: because\n\n" in out and "Service:\n  ID:     m\n" in out
    assert cli("maint", "-disable", "-service=m") == 'Service maintenance is now disabled for "m"\n'
    assert cli("maint", "-disable") == "Node maintenance is now disabled\n"
    assert "404" in cli("maint", "-enable", "-service=nope", status=1)
    shared_node.put("/v1/agent/service/deregister/m")


def test_reload(cli, shared_node):
    shared_node.write_config("20-r.json", {"service": {"name": "reloaded"}})
    assert cli("reload") == "Configuration reload triggered\n"
    wait_until(lambda: "reloaded" in shared_node.json("/v1/agent/services"))
    (shared_node.config_dir / "20-r.json").unlink()
    cli("reload")
    wait_until(lambda: "reloaded" not in shared_node.json("/v1/agent/services"))


def test_snapshot(cli, shared_node):
    shared_node.put("/v1/kv/before", b"1")
    out = cli("snapshot", "save", "state.snap")
    assert re.fullmatch(r"Saved and verified snapshot to index \d+\n", out)
    inspected = dict(re.findall(r"^(\w+) +(.*)$", cli("snapshot", "inspect", "state.snap"), re.M))
    assert inspected["Version"] == "1" and int(inspected["Index"]) > 0
    shared_node.delete("/v1/kv/before")
    assert cli("snapshot", "restore", "state.snap") == "Restored snapshot\n"
    wait_until(lambda: shared_node.get("/v1/kv/before?raw").text == "1", what="the restored key")


def test_monitor(cli, shared_node):
    path = shared_node.directory / "monitored"
    with open(path, "wb") as out:
        process = subprocess.Popen([cli.binary, "monitor", "-log-level=debug"], stdin=subprocess.DEVNULL, stdout=out,
                                   env=shared_node.environment())
    try:
        def line_came():
            shared_node.put("/v1/agent/reload")      # each daemon says that it has reloaded
            return path.read_text()
        line = wait_until(line_came, pause_s=0.2)
        assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[", line), line
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert "400" in cli("monitor", "-log-level=foo", status=1)


# ---- what only the real tool has: plain HTTP clients that must work against us ----

@pytest.fixture
def real(shared_node, consul):
    def run(*args, status=0, **options):
        out = shared_node.muster(*args, binary=consul, **options)
        assert out.returncode == status, "%s: %d\n%s%s" % (args, out.returncode, out.stdout, out.stderr)
        return out.stdout + out.stderr
    return run


UNTIL = "while ! test -e %s; do sleep 0.1; done"     # the shell of a lock holds it until the file is there


def test_lock(real, shared_node):
    out = real("lock", "-verbose", "lk", "echo inside; exit 0")
    assert "Lock acquired" in out or "inside" in out
    assert "Cleanup succeeded" in out
    real("lock", "-child-exit-code", "lk", "exit 7", status=2)
    assert shared_node.get("/v1/kv/lk/.lock").status == 404


def test_lock_excludes(consul, shared_node):
    release = shared_node.directory / "release-lock"
    first = spawn(shared_node, consul, "lock", "excl", "echo first; " + UNTIL % release)
    assert first.stdout.readline() == b"first\n"
    held = shared_node.json("/v1/kv/excl/.lock")
    assert held[0]["Session"] and held[0]["Flags"] == 3304740253564472344
    second = shared_node.muster("lock", "-try=300ms", "-timeout=300ms", "excl", "echo second", binary=consul)
    assert second.returncode == 1 and "second" not in second.stdout
    release.touch()
    assert first.wait(60) == 0


def test_semaphore(consul, shared_node):
    release = shared_node.directory / "release-semaphore"
    holders = [spawn(shared_node, consul, "lock", "-n=2", "sem", "echo held; " + UNTIL % release) for _ in range(2)]
    for holder in holders:
        assert holder.stdout.readline() == b"held\n"
    third = shared_node.muster("lock", "-n=2", "-timeout=300ms", "sem", "echo third", binary=consul)
    assert third.returncode == 1 and "third" not in third.stdout
    release.touch()
    assert [holder.wait(60) for holder in holders] == [0, 0]


def test_watch(consul, real, shared_node):
    shared_node.put("/v1/kv/watched", b"1")
    first = json.loads(real("watch", "-type=key", "-key=watched"))
    assert first["Key"] == "watched" and first["Value"] == "MQ=="
    assert "n1" in real("watch", "-type=nodes") and "consul" in json.loads(real("watch", "-type=services"))
    assert json.loads(real("watch", "-type=service", "-service=consul"))[0]["Service"]["Service"] == "consul"
    assert "serfHealth" in real("watch", "-type=checks")
    watching = spawn(shared_node, consul, "watch", "-type=key", "-key=watched", "cat")
    try:
        assert b'"Value":"MQ=="' in watching.stdout.readline()
        shared_node.put("/v1/kv/watched", b"2")
        assert b'"Value":"Mg=="' in watching.stdout.readline()
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(60)


def test_unreachable_agent(shared_node, link):
    out = subprocess.run([link, "kv", "get", "x"], capture_output=True, text=True, check=False,
                         env=dict(shared_node.environment(), CONSUL_HTTP_ADDR="127.0.0.1:1"))
    assert out.returncode == 1
    assert out.stderr == ('Error querying Consul agent: Get "http://127.0.0.1:1/v1/kv/x": dial tcp 127.0.0.1:1: '
                          "connect: connection refused\n")


def test_unix_socket(make_node, link):
    node = make_node()
    path = node.directory / "api.sock"
    node.config = {"addresses": {"http": "%s unix://%s" % (node.address, path)}, "unix_sockets": {"mode": "0700"}}
    node.start()
    assert oct(path.stat().st_mode & 0o777) == "0o700"
    out = subprocess.run([link, "kv", "put", "a", "b"], capture_output=True, text=True, check=False,
                         env=dict(node.environment(), CONSUL_HTTP_ADDR="unix://%s" % path))
    assert out.stdout == "Success! Data written to: a\n"
    node.stop()
    assert not path.exists()


def test_leave(make_node, link):
    node = make_node().start()
    out = node.muster("leave", binary=link)
    assert (out.returncode, out.stdout) == (0, "Graceful leave complete\n")
    assert node.process.wait(60) == 0
