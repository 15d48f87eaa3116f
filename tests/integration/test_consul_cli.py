# SPDX-License-Identifier: Apache-2.0
"""The unmodified consul command-line tool against muster, and muster's own commands beside it."""
import base64
import http.server
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import tarfile
import threading
import time

import pytest

from node import MUSTER, TOP, wait_until
from peers import Gossipd


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
    for entry, text in (("1", "number into Go value of type impexp.Entry"),
                        ('{"key": "cli/c", "value": 1}', "number into Go struct field Entry.value of type string"),
                        ('{"key": "cli/c", "flags": -1}', "number -1 into Go struct field Entry.flags of type uint64")):
        assert cli("kv", "import", '[{"key": "cli/c", "value": "YQ=="}, %s]' % entry, status=1) == (
            "Cannot unmarshal data: json: cannot unmarshal %s\n" % text)
        assert cli("kv", "get", "cli/c", status=1) == "Error! No key exists at: cli/c\n"
    assert cli("kv", "import", '[{"Key": "cli/c", "VALUE": "YQ==", "x": 1}]') == "Imported: cli/c\n"
    assert cli("kv", "import", "", status=1) == "Error! Empty DATA argument\n"
    assert cli("kv", "import", "[]", "[]", status=1) == "Error! Too many arguments (expected 1, got 2)\n"
    assert cli("kv", "get", "-base64", "cli/a") == "aGVsbG8=\n"
    for words in (["-acquire"], ["-acquire", "-session="], ["-release", "-session="]):
        assert cli("kv", "put", *words, "cli/a", "x", status=1) == (
            "Error! Missing -session (required with -acquire and -release)\n")
    encoded = base64.encodebytes(b"of many lines " * 20).decode()
    assert cli("kv", "put", "-base64", "cli/a", "-", data=encoded) == "Success! Data written to: cli/a\n"
    assert cli("kv", "get", "cli/a") == "of many lines " * 20 + "\n"
    assert cli("kv", "delete", "cli/a") == "Success! Deleted key: cli/a\n"
    cli("kv", "delete", "-recurse", "cli/")


def test_dots_in_a_key_lead_nowhere(shared_node, link):
    """A path that is to be cleaned is not the one that was meant: refused, and nothing done."""
    shared_node.put("/v1/kv/dots/kept", b"value")
    for key in ("dots/..", ".", "dots/x/../kept", "dots/./kept"):
        for words in (["delete", "-recurse", key], ["delete", key], ["put", key, "other"], ["get", key]):
            out = shared_node.muster("kv", *words, binary=link)
            assert out.returncode == 1 and "Unexpected response code: 301" in out.stderr, (words, out.stdout, out.stderr)
    assert shared_node.get("/v1/kv/dots/kept?raw").text == "value"
    shared_node.delete("/v1/kv/dots/kept")


def test_an_empty_flag_is_none(cli):
    """As a script passes it whose variable is not set."""
    assert re.search(r"^n1 ", cli("catalog", "nodes", "-service="), re.M)
    assert cli("catalog", "services", "-node=") == "consul\n"
    assert cli("event", "-name=e", "-node=", "-service=", "-tag=").startswith("Event ID: ")
    assert cli("services", "register", "-name=", status=1) == (
        "Service registration requires at least one argument or flags.\n")
    assert cli("services", "deregister", "-id=", status=1) == (
        "Service deregistration requires at least one argument or -id.\n")


def test_help_is_output_when_it_was_asked_for(consul, link):
    for binary in (consul, link):
        for words, status in ((["--help"], 0), (["-h"], 0), (["kv", "-h"], 0), (["kv", "get", "-h"], 0), ([], 127),
                              (["bogus"], 127), (["kv"], 1)):
            out = subprocess.run([binary, *words], capture_output=True, text=True, check=False)
            told = (out.stdout, out.stderr) if status == 0 else (out.stderr, out.stdout)
            assert out.returncode == status and told[0].startswith("Usage: consul ") and told[1] == "", (words, out)


def test_catalog_and_services(cli, shared_node):
    file = shared_node.directory / "services.json"
    file.write_text(json.dumps({"services": [{"name": "one", "port": 1, "tags": ["b", "a"]}, {"name": "two"}]}))
    assert cli("services", "register", str(file)) == "Registered service: one\nRegistered service: two\n"
    assert cli("services", "register", "-name=three", "-port=3", "-tag=x", "-meta=k=v") == "Registered service: three\n"
    wait_until(lambda: cli("catalog", "services") == "consul\none\nthree\ntwo\n", what="services in the catalogue")
    assert re.search(r"^one +a,b$", cli("catalog", "services", "-tags"), re.M)
    assert cli("services", "register", "-name=three", "-id=another", "-tag=w") == "Registered service: three\n"
    wait_until(lambda: re.search(r"^three +w,x$", cli("catalog", "services", "-tags"), re.M), what="both instances")
    assert cli("catalog", "services", "-node=n1") == "consul\none\nthree\ntwo\n"
    assert re.search(r"^three +w,x$", cli("catalog", "services", "-node=n1", "-tags"), re.M)
    assert cli("services", "deregister", "-id=another") == "Deregistered service: another\n"
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


def test_remove_peer_takes_a_datacenter(cli):
    assert cli("operator", "raft", "remove-peer", "-datacenter=dc1", "-stale", status=1) == (
        "Error removing peer: an address or id is required for the peer to remove\n")


def test_keyring_is_refused(cli):
    assert cli("keyring", "-list", "-relay-factor=6", status=1) == (
        "Error parsing relay factor: Relay factor must be in range: [0, 5]\n")
    assert cli("keyring", "-list", "-use=x", status=1) == "Only a single action is allowed\n"
    assert cli("keyring", "-remove=", status=1).startswith("Usage: consul keyring [options]\n")


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


def test_snapshot_has_each_file_once(link, tmp_path):
    path = tmp_path / "twice.snap"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("meta.json", "state.bin", "SHA256SUMS", "state.bin"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
    out = subprocess.run([link, "snapshot", "inspect", str(path)], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stderr) == (1, "Error verifying snapshot: failed to read snapshot file: "
                                            'unexpected file "state.bin" in snapshot\n')


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


# ---- locks: the real tool and ours exclude each other ----

UNTIL = "while ! test -e %s; do sleep 0.1; done"     # the shell of a lock holds it until the file is there


def test_lock(cli, shared_node):
    out = cli("lock", "-verbose", "lk/deep/", "env | grep CONSUL_LOCK; exit 0").split("\n")
    assert out == ["Setting up lock at path: lk/deep/.lock", "Attempting lock acquisition", "Starting handler",
                   "CONSUL_LOCK_HELD=true", "Child terminated, releasing lock", "Cleanup succeeded", ""]
    assert cli("lock", "-child-exit-code", "lk", "exit 7", status=2) == "Error running handler: exit status 7\n"
    assert cli("lock", "lk", "exit 7") == ""
    assert cli("lock", "-shell=false", "-pass-stdin", "lk", "cat", data="through") == "through"
    assert shared_node.get("/v1/kv/lk?recurse").status == 404
    for words, complaint in ((["-n=0", "a", "b"], "Lock holder limit must be positive\n"),
                             (["a"], "Key prefix and child command must be specified\n"),
                             (["-timeout=-1s", "a", "b"], "Timeout must be positive\n"),
                             (["-monitor-retry=-1", "a", "b"], "Number for 'monitor-retry' must be >= 0\n")):
        assert cli("lock", *words, status=1) == complaint


def both_ways(consul, link):
    return ((consul, link), (link, consul), (link, link))


def test_lock_excludes(consul, link, shared_node):
    for number, (holder, contender) in enumerate(both_ways(consul, link)):
        key = "excl-%d" % number
        release = shared_node.directory / ("release-" + key)
        first = spawn(shared_node, holder, "lock", key, "echo first; " + UNTIL % release)
        assert first.stdout.readline() == b"first\n"
        held = shared_node.json("/v1/kv/%s/.lock" % key)
        assert held[0]["Session"] and held[0]["Flags"] == 3304740253564472344
        refused = shared_node.muster("lock", "-timeout=300ms", key, "echo second", binary=contender)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == "Shutdown triggered or timeout during lock acquisition\n"
        waiting = spawn(shared_node, contender, "lock", key, "echo second")
        wait_until(lambda: len(shared_node.json("/v1/session/list")) == 2, what="the second session")
        release.touch()
        assert waiting.stdout.readline() == b"second\n"
        assert [first.wait(60), waiting.wait(60)] == [0, 0]
        wait_until(lambda: shared_node.json("/v1/session/list") == [], what="no sessions")
        assert shared_node.get("/v1/kv/%s?recurse" % key).status == 404


def test_semaphore(consul, link, shared_node):
    for number, (one, other) in enumerate(both_ways(consul, link)):
        key = "sem-%d" % number
        release = shared_node.directory / ("release-" + key)
        holders = [spawn(shared_node, binary, "lock", "-n=2", key, "echo held; " + UNTIL % release)
                   for binary in (one, other)]
        for holder in holders:
            assert holder.stdout.readline() == b"held\n"
        pair = shared_node.json("/v1/kv/%s/.lock" % key)[0]
        assert pair["Flags"] == 16210313421097356768 and "Session" not in pair
        value = json.loads(base64.b64decode(pair["Value"]))
        assert value["Limit"] == 2 and len(value["Holders"]) == 2
        for binary in (one, other):
            third = shared_node.muster("lock", "-n=2", "-timeout=300ms", key, "echo third", binary=binary)
            assert (third.returncode, third.stdout) == (1, "")
            wrong = shared_node.muster("lock", "-n=3", key, "echo third", binary=binary)
            assert wrong.stderr == "Lock acquisition failed: semaphore limit conflict (lock: 2, local: 3)\n"
            wrong = shared_node.muster("lock", key, "echo third", binary=binary)
            assert wrong.stderr == "Lock acquisition failed: Existing key does not match lock use\n"
        release.touch()
        assert [holder.wait(60) for holder in holders] == [0, 0]
        wait_until(lambda: shared_node.get("/v1/kv/%s?recurse" % key).status == 404, what="cleaned up")


def test_lost_lock_kills_the_child(cli, shared_node):
    """SIGTERM first, which this child ignores, SIGKILL five seconds later."""
    process = spawn(shared_node, cli.binary, "lock", "-verbose", "lost", "trap '' TERM; echo in; while :; do sleep 1; done")
    while process.stdout.readline() != b"in\n":
        pass
    session = shared_node.json("/v1/kv/lost/.lock")[0]["Session"]
    begin = time.monotonic()
    shared_node.put("/v1/session/destroy/" + session)
    out = process.communicate(timeout=60)[0].decode()
    assert re.search(r"Lock lost, killing child\nTerminating child pid \d+\nChild did not exit after grace period of "
                     r"5s\nKilling child pid \d+", out), out
    assert time.monotonic() - begin >= 5 and process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_releases_the_lock(cli, shared_node, number):
    process = spawn(shared_node, cli.binary, "lock", "-verbose", "-shell=false", "sig", "sh", "-c",
                    "echo in; exec sleep 1000")
    while process.stdout.readline() != b"in\n":
        pass
    process.send_signal(number)
    out = process.communicate(timeout=60)[0].decode()
    assert "Shutdown triggered, killing child" in out and process.returncode == 0, out
    assert shared_node.get("/v1/kv/sig?recurse").status == 404 and shared_node.json("/v1/session/list") == []


def test_lock_survives_a_restart_of_httpd(shared_node, link):
    """Longer than a session's TTL: it is renewed, and errors while nobody answers are borne."""
    release = shared_node.directory / "release-long"
    process = spawn(shared_node, link, "lock", "long", "echo in; " + UNTIL % release)
    assert process.stdout.readline() == b"in\n"
    session = shared_node.json("/v1/kv/long/.lock")[0]["Session"]
    shared_node.wait_restarted("httpd", shared_node.kill("httpd"))
    time.sleep(18)
    assert shared_node.json("/v1/kv/long/.lock")[0]["Session"] == session and process.poll() is None
    release.touch()
    assert process.wait(60) == 0


# ---- watches ----

def test_watch_shows(cli, shared_node):
    shared_node.put("/v1/kv/watched", b"1")
    first = json.loads(cli("watch", "-type=key", "-key=watched"))
    assert first["Key"] == "watched" and first["Value"] == "MQ==" and first["Session"] == ""
    assert cli("watch", "-type=key", "-key=nothing") == "null\n"
    assert cli("watch", "-type=keyprefix", "-prefix=watched").startswith('[\n    {\n        "Key": "watched",\n')
    assert "n1" in cli("watch", "-type=nodes") and "consul" in json.loads(cli("watch", "-type=services"))
    assert json.loads(cli("watch", "-type=service", "-service=consul"))[0]["Service"]["Service"] == "consul"
    assert json.loads(cli("watch", "-type=service", "-service=consul", "-tag=none")) == []
    assert "serfHealth" in cli("watch", "-type=checks")
    cli("event", "-name=watched", "x")
    wait_until(lambda: "watched" in cli("watch", "-type=event", "-name=watched"))
    for words, complaint in ((["-type=bogus"], "Unsupported watch type: bogus\n"),
                             (["-type=key"], "Must specify a single key to watch\n"),
                             (["-type=connect_roots"], "Type connect_roots is not supported in the CLI tool\n"),
                             (["-type=agent_service"], "Type agent_service is not supported in the CLI tool\n"),
                             (["-type=key", "-key=watched", "exit 3"], "Error executing handler: exit status 3\n")):
        assert cli("watch", *words, status=1) == complaint
    assert cli("watch", status=1).startswith("Watch type must be specified\n\nUsage: ")


def test_watch_runs_its_program(cli, shared_node):
    shared_node.put("/v1/kv/watched", b"1")
    watching = spawn(shared_node, cli.binary, "watch", "-type=key", "-key=watched", "cat; echo $CONSUL_INDEX")
    try:
        for value in (b"MQ==", b"Mg==", b"Mw=="):
            pair = json.loads(watching.stdout.readline())
            assert pair["Value"] == value.decode()
            assert int(watching.stdout.readline()) == pair["ModifyIndex"]
            shared_node.put("/v1/kv/watched", b"2" if value == b"MQ==" else b"3")
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0


# ---- certificates: what the one tool makes the other goes on with ----

def words_of(certificate, cwd):
    return subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-text"], capture_output=True, text=True,
                          check=True, cwd=cwd).stdout


def test_tls_create(consul, link, tmp_path):
    for number, (first, second) in enumerate(both_ways(consul, link)):
        place = tmp_path / str(number)
        place.mkdir()

        def run(binary, *words, status=0, cwd=place):
            out = subprocess.run([binary, "tls", *words], capture_output=True, text=True, check=False, cwd=cwd)
            assert out.returncode == status, out.stdout + out.stderr
            return out.stdout if status == 0 else out.stderr

        assert run(first, "ca", "create", "-domain=x") == "==> Saved x-agent-ca.pem\n==> Saved x-agent-ca-key.pem\n"
        assert run(second, "ca", "create", "-domain=x", status=1) == "x-agent-ca.pem already exists.\n"
        out = run(second, "cert", "create", "-server", "-domain=x", "-dc=dc2", "-node=n1", "-additional-dnsname=a.b",
                  "-additional-ipaddress=10.1.2.3")
        assert out.startswith("==> WARNING: Server Certificates grants authority") and out.endswith(
            "==> Using x-agent-ca.pem and x-agent-ca-key.pem\n==> Saved dc2-server-x-0.pem\n==> Saved dc2-server-x-0-key.pem\n")
        run(second, "cert", "create", "-client", "-domain=x")
        assert "==> Saved dc1-client-x-1.pem\n" in run(second, "cert", "create", "-client", "-domain=x")
        run(second, "cert", "create", "-cli", "-domain=x")
        for name in ("dc2-server-x-0", "dc1-client-x-0", "dc1-client-x-1", "dc1-cli-x-0"):
            verified = subprocess.run(["openssl", "verify", "-CAfile", "x-agent-ca.pem", name + ".pem"],
                                      capture_output=True, text=True, check=False, cwd=place)
            assert verified.returncode == 0, verified.stderr
            assert (place / (name + "-key.pem")).read_text().startswith("-----BEGIN EC PRIVATE KEY-----\n")
        server = words_of("dc2-server-x-0.pem", place)
        assert ("DNS:a.b, DNS:n1.server.dc2.x, DNS:server.dc2.x, DNS:localhost, IP Address:10.1.2.3, IP "
                "Address:127.0.0.1") in server
        assert "Subject: CN = server.dc2.x\n" in server and "ASN1 OID: prime256v1" in server
        assert "TLS Web Client Authentication" in server and "CA:FALSE" in server
        cli = words_of("dc1-cli-x-0.pem", place)
        assert "DNS:cli.dc1.x, DNS:localhost\n" in cli and "TLS Web" not in cli
        authority = words_of("x-agent-ca.pem", place)
        assert re.search(r"Subject: .*CN = Consul Agent CA \d{30,}\n", authority) and "CA:TRUE" in authority
        run(first, "ca", "create", "-domain=y", "-name-constraint", "-additional-name-constraint=z")
        assert re.search(r"Name Constraints: critical\s+Permitted:\s+DNS:z\s+DNS:y\s+DNS:localhost",
                         words_of("y-agent-ca.pem", place))
        for words, complaint in ((["cert", "create"], "Please provide either -server, -client, or -cli\n"),
                                 (["cert", "create", "-cli", "-server"], "Please provide either -server, -client, or -cli\n"),
                                 (["cert", "create", "-cli", "-node=a"], "-node requires -server\n"),
                                 (["cert", "create", "-cli", "-ca=no"],
                                  "Error reading CA: open no: no such file or directory\n")):
            assert run(second, *words, status=1) == complaint
    assert {oct(p.stat().st_mode & 0o777) for p in (tmp_path / "2").glob("*-key.pem")} == {"0o600"}


def test_tls_certificates_are_used(make_node, link, tmp_path):
    """A node with the certificates that muster has made, and a client that trusts the authority alone."""
    node = make_node()
    for words in (["ca", "create"], ["cert", "create", "-server"]):
        subprocess.run([link, "tls", *words], capture_output=True, check=True, cwd=tmp_path)
    node.config = {"ports": {"https": 8501}, "cert_file": str(tmp_path / "dc1-server-consul-0.pem"),
                   "key_file": str(tmp_path / "dc1-server-consul-0-key.pem"), "ca_file": str(tmp_path / "consul-agent-ca.pem")}
    node.start()
    environment = dict(node.environment(), CONSUL_HTTP_ADDR="https://%s:8501" % node.address,
                       CONSUL_CACERT=str(tmp_path / "consul-agent-ca.pem"))

    def ask(*words, **more):
        return subprocess.run([link, "catalog", "datacenters", *words], capture_output=True, text=True, check=False,
                              env=dict(environment, **more))
    assert ask().returncode == 1    # the address is not in the certificate
    for out in (ask("-tls-server-name=server.dc1.consul"), ask(CONSUL_TLS_SERVER_NAME="localhost"),
                ask("-tls-server-name=localhost", CONSUL_TLS_SERVER_NAME="other")):
        assert (out.returncode, out.stdout) == (0, "dc1\n"), out.stderr
    out = ask("-tls-server-name=other.dc1.consul")
    assert out.returncode == 1 and "Error listing datacenters: Get \"https://%s:8501/" % node.address in out.stderr


def test_validate_looks_at_every_file(consul, link, tmp_path):
    files = [tmp_path / ("%03d.json" % number) for number in range(200)]
    for path in files:
        path.write_text("{}")
    files[0].write_text(json.dumps({"data_dir": str(tmp_path), "bind_addr": "127.0.0.1"}))
    for binary, last, status in ((link, "{}", 0), (link, '{"bogus": 1}', 1), (consul, '{"bogus": 1}', 1)):
        files[-1].write_text(last)
        out = subprocess.run([binary, "validate", *map(str, files)], capture_output=True, text=True, check=False)
        assert out.returncode == status, out.stdout + out.stderr
        assert status == 0 or "Config validation failed: failed to parse %s: 1 error occurred" % files[-1] in out.stderr


def test_validate_reads_a_pipe(link):
    for text, status in (('{"data_dir": "/nonexistent", "bind_addr": "127.0.0.1"}', 0), ('{"bogus": 1}', 1)):
        out = subprocess.run([link, "validate", "/dev/stdin"], input=text, capture_output=True, text=True, check=False)
        assert out.returncode == status, out.stdout + out.stderr
        assert status == 0 or "invalid config key bogus (line 1)" in out.stderr


def test_answers_may_lack_what_older_agents_do_not_know(link):
    answers = {"/v1/operator/keyring": b'[{"Datacenter": "dc1", "Keys": {"a": 1}, "NumNodes": 1}]',
               "/v1/coordinate/datacenters": b'[{"Datacenter": "dc1", "AreaID": "wan"}]'}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[self.path])

        def log_message(self, *words):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def run(*words):
            out = subprocess.run([link, words[0], "-http-addr=127.0.0.1:%d" % server.server_port, *words[1:]],
                                 capture_output=True, text=True, check=False)
            return out.returncode, out.stdout + out.stderr
        assert run("keyring", "-list-primary") == (0, "==> Gathering installed primary encryption keys...\n\ndc1 (LAN):\n")
        assert run("rtt", "-wan", "a.dc1", "b.dc1") == (1, 'Could not find a coordinate for node "a.dc1"\n')
        server.shutdown()


def test_output_that_is_lost_is_told(shared_node, link):
    shared_node.put("/v1/kv/exported/a", b"x" * 100000)
    for words in (["kv", "export", "exported/"], ["kv", "get", "exported/a"], ["members"], ["version"]):
        with open("/dev/full", "wb") as full:
            out = subprocess.run([link, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                                 env=shared_node.environment())
        assert (out.returncode, out.stderr) == (1, "Error writing the output\n"), words
    shared_node.delete("/v1/kv/exported/a")


def test_unreachable_agent(shared_node, link):
    out = subprocess.run([link, "kv", "get", "x"], capture_output=True, text=True, check=False,
                         env=dict(shared_node.environment(), CONSUL_HTTP_ADDR="127.0.0.1:1"))
    assert out.returncode == 1
    assert out.stderr == ('Error querying Consul agent: Get "http://127.0.0.1:1/v1/kv/x": dial tcp 127.0.0.1:1: '
                          "connect: connection refused\n")


def test_delete_words_its_failures(consul, link):
    for words, text in ((["x"], "Error deleting key x: Delete"), (["-recurse", "x"], "Error! Did not delete prefix x: Delete"),
                        (["-cas", "-modify-index=1", "x"], "Error! Did not delete key x: Delete")):
        for binary in (consul, link):
            out = subprocess.run([binary, "kv", "delete", "-http-addr=127.0.0.1:1", *words], capture_output=True, text=True,
                                 check=False)
            assert out.returncode == 1 and out.stderr.startswith(text), out.stderr


def test_a_token_file_that_is_not_there(consul, link):
    for binary in (consul, link):
        out = subprocess.run([binary, "kv", "get", "-token-file=/nonexistent", "x"], capture_output=True, text=True, check=False)
        assert (out.returncode, out.stderr) == (1, "Error connecting to Consul agent: Error loading token file: "
                                                   "open /nonexistent: no such file or directory\n")


def test_unreachable_unix_socket(consul, link, tmp_path):
    """What is wrong with the socket is told."""
    (tmp_path / "file").touch()
    for name, reason in (("nothing", "no such file or directory"), ("file", "connection refused")):
        for binary in (consul, link):
            out = subprocess.run([binary, "kv", "get", "-http-addr=unix://%s/%s" % (tmp_path, name), "x"],
                                 capture_output=True, text=True, check=False)
            assert out.returncode == 1 and out.stderr.endswith(
                ": dial unix %s/%s: connect: %s\n" % (tmp_path, name, reason)), out.stderr


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


# ---- the pool ----

KEYS = [base64.b64encode(bytes([i]) * 32).decode() for i in (1, 2)]


@pytest.fixture(params=["consul", "muster"])
def tool(request, consul, link):
    return consul if request.param == "consul" else link


@pytest.fixture
def pool(tool, make, make_node):
    """(what asks node n1 with one of the tools, n1, a member that it has not joined yet)."""
    node = make_node(config={"encrypt": KEYS[0]}).start()
    other = make(Gossipd, "g1", config={"encrypt": KEYS[0]}).start()

    def run(*args, status=0):
        out = node.muster(*args, binary=tool)
        assert out.returncode == status, "%s: %d\n%s%s" % (args, out.returncode, out.stdout, out.stderr)
        return out.stdout if status == 0 else out.stderr
    return run, node, other


def rows(text):
    return [line.split() for line in text.split("\n")[1:] if line]


def wait_members(run, **statuses):
    wait_until(lambda: {row[0]: row[2] for row in rows(run("members"))} == statuses, what="members are %s" % statuses)


def joined(run, other):
    assert run("join", other.address) == "Successfully joined cluster by contacting 1 nodes.\n"
    wait_members(run, n1="alive", g1="alive")


def test_join_and_members(pool):
    run, node, other = pool
    refused = run("join", "127.0.0.1:1", status=1).split("\n")
    assert refused[0] == "Error joining address '127.0.0.1:1': Unexpected response code: 500 (1 error occurred:"
    assert refused[-2:] == ["Failed to join any nodes.", ""]
    assert run("join", status=1).startswith("At least one address to join must be specified.\n\nUsage: ")
    joined(run, other)
    ours = ["n1", node.address + ":8301", "alive", "server", "1.8.7", "2", "dc1", "<all>"]
    theirs = ["g1", other.address + ":8301", "alive", "client", "1.8.7", "2", "dc1", "<default>"]
    assert rows(run("members")) == [ours, theirs]
    assert rows(run("members", "-status=al.ve")) == rows(run("members"))
    assert run("members", "-status=left", status=2) == ""
    detailed = {row[0]: row for row in rows(run("members", "-detailed"))}
    assert len(detailed["g1"]) == 4 and ",role=node," in detailed["g1"][3] and ",role=consul," in detailed["n1"][3]
    assert [row[:4] for row in rows(run("members", "-wan"))] == [["n1.dc1", node.address + ":8302", "alive", "server"]]


def test_join_wan(pool, make_node):
    run, node, _ = pool
    far = make_node(name="t1", config={"encrypt": KEYS[0], "datacenter": "dc2"}).start()
    assert "part of wrong datacenter 'dc2'" in run("join", far.address, status=1)
    assert run("join", "-wan", far.address) == "Successfully joined cluster by contacting 1 nodes.\n"
    wait_until(lambda: sorted(row[0] for row in rows(run("members", "-wan"))) == ["n1.dc1", "t1.dc2"], what="both are members")
    assert [row[0] for row in rows(run("members"))] == ["n1"]


def test_force_leave(pool):
    run, _, other = pool
    joined(run, other)
    assert run("force-leave", "nobody", status=1) == (
        "Error force leaving: Unexpected response code: 500 (agent: No node found with name 'nobody')\n")
    assert run("force-leave", status=1).startswith("A single node name must be specified to force leave.")
    other.kill()
    wait_members(run, n1="alive", g1="failed")
    assert run("force-leave", "g1") == ""
    wait_members(run, n1="alive", g1="left")
    assert run("force-leave", "-prune", "g1") == ""
    wait_members(run, n1="alive")


def test_keyring(pool):
    run, node, other = pool
    joined(run, other)

    def listed(*flags):
        """Pool by pool: its keys, and how many of its members have them."""
        first, *pools = run("keyring", *flags).split("\n\n")
        return first, [part.rstrip("\n").split("\n") for part in pools]
    assert listed("-list") == ("==> Gathering installed encryption keys...",
                               [["WAN:", "  %s [1/1]" % KEYS[0]], ["dc1 (LAN):", "  %s [2/2]" % KEYS[0]]])
    assert run("keyring", "-install", KEYS[1]) == "==> Installing new gossip encryption key...\n"
    assert [sorted(part[1:]) for part in listed("-list", "-relay-factor=3")[1]] == [
        sorted("  %s [%d/%d]" % (key, n, n) for key in KEYS) for n in (1, 2)]
    assert run("keyring", "-use", KEYS[1]) == "==> Changing primary gossip encryption key...\n"
    assert listed("-list-primary") == ("==> Gathering installed primary encryption keys...",
                                       [["WAN:", "  %s [1/1]" % KEYS[1]], ["dc1 (LAN):", "  %s [2/2]" % KEYS[1]]])
    assert len(listed("-list", "-local-only")[1]) == 2
    assert run("keyring", "-remove", KEYS[1], status=1).startswith("error: Unexpected response code: 500 (")
    assert run("keyring", "-remove", KEYS[0]) == "==> Removing gossip encryption key...\n"
    for path in (node.data_dir / "gossipd/local.keyring", other.directory / "data/gossipd/local.keyring"):
        assert json.loads(path.read_text()) == [KEYS[1]]
    for words, complaint in (
            (["-list", "-install", KEYS[0]], "Only a single action is allowed"),
            (["-list", "-relay-factor=6"], "Error parsing relay factor: Relay factor must be in range: [0, 5]"),
            (["-list", "-relay-factor=-1"], "Error parsing relay factor: Relay factor must be in range: [0, 5]"),
            (["-use", KEYS[1], "-local-only"],
             "Error validating local-only: local-only can only be set for list requests"),
            (["-use", KEYS[1], "-local-only", "-relay-factor=6"],
             "Error parsing relay factor: Relay factor must be in range: [0, 5]")):
        assert run("keyring", *words, status=1) == complaint + "\n"
    assert "-relay-factor" in run("keyring", "-list", "-relay-factor=x", status=1)


def test_leave(pool):
    run, node, other = pool
    joined(run, other)
    assert "Error found unexpected args: [now]" in run("leave", "now", status=1)
    assert run("leave") == "Graceful leave complete\n"
    assert node.process.wait(60) == 0
    wait_until(lambda: other.status("n1") == "left", what="it has left")
