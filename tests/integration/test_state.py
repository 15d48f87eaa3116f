# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged stays: killed daemons, a machine that lost its power, snapshots, sessions that run out, archives."""
import hashlib
import io
import pathlib
import re
import socket
import struct
import tarfile
import threading
import time

from node import wait_until

SNAPSHOTS_OFTEN = {"raft_snapshot_threshold": 50, "raft_snapshot_interval": "1s", "raft_trailing_logs": 20}


class Writer(threading.Thread):
    """Writes keys one after the other and remembers which were acknowledged."""

    def __init__(self, node, prefix):
        super().__init__()
        self.node, self.prefix = node, prefix
        self.done = threading.Event()
        self.acknowledged = []

    def run(self):
        number = 0
        while not self.done.is_set():
            key = "%s/%05d" % (self.prefix, number)
            number += 1
            try:
                answer = self.node.put("/v1/kv/" + key, key, timeout=60)
            except OSError:
                continue
            if answer.status == 200 and answer.text == "true":
                self.acknowledged.append(key)

    def stop(self):
        self.done.set()
        self.join()
        return self.acknowledged


def keys(node, prefix):
    return {pair["Key"] for pair in node.json("/v1/kv/%s?recurse" % prefix)}


def applied(node):
    return node.control("catalogd", "status")["detail"]["applied_index"]


def test_catalogd_killed_under_load(node):
    writer = Writer(node, "load")
    writer.start()
    for _ in range(5):
        time.sleep(0.3)
        pid = node.kill("catalogd")
        node.get("/v1/kv/load?keys")
        node.wait_restarted("catalogd", pid)
    wait_until(lambda: len(writer.acknowledged) > 50)
    acknowledged = writer.stop()
    assert set(acknowledged) <= keys(node, "load")


def test_reads_go_on_without_catalogd_and_raftd(node):
    node.put("/v1/kv/there", "x")
    pids = {d: node.kill(d) for d in ("catalogd", "raftd")}
    for _ in range(20):
        assert node.get("/v1/kv/there?raw").text == "x"
        assert node.get("/v1/catalog/service/consul").status == 200
    for daemon, pid in pids.items():
        node.wait_restarted(daemon, pid)
    assert node.put("/v1/kv/there", "y").text == "true"


def power_cut(node):
    """Everything dies at once, and what was not synced is lost: the boot is another one, the pages on disk are a mixture."""
    node.stop(sig=9)
    wait_until(lambda: not node.pids(), what="the end of all daemons")
    catalogd = node.data_dir / "catalogd"
    mark = catalogd / "mark"
    mark.write_text(re.sub(r"boot [0-9a-f-]{36}", "boot 00000000-0000-0000-0000-000000000000", mark.read_text()))
    for path in catalogd.glob("*.*/data.mdb"):
        content = bytearray(path.read_bytes())
        for at in range(4096, len(content), 3 * 4096):
            content[at:at + 4096] = b"\xa5" * len(content[at:at + 4096])
        path.write_bytes(bytes(content[:len(content) * 2 // 3]))
    for path in (node.run_dir / "catalogd" / "page", node.run_dir / "raftd" / "page"):
        path.unlink(missing_ok=True)


def test_power_cut(make_node):
    node = make_node().start()
    for i in range(120):
        node.put("/v1/kv/p/%d" % i, "v%d" % i)
    node.put("/v1/catalog/register", {"Node": "ext", "Address": "10.0.0.1", "Service": {"Service": "web", "Port": 80}})
    before = keys(node, "p")
    power_cut(node)
    node.start()
    assert keys(node, "p") == before
    assert node.json("/v1/catalog/service/web")[0]["Node"] == "ext"
    wait_until(lambda: node.dig("web.service.consul", "A") == ["10.0.0.1"])
    assert "state-untrusted" in node.log()


def test_power_cut_with_snapshots(make_node):
    """The log no longer reaches back to the beginning: the state comes from the newest snapshot and the rest of the log."""
    node = make_node(config=SNAPSHOTS_OFTEN).start()
    for round_ in range(3):
        for i in range(100):
            node.put("/v1/kv/s/%d" % i, str(round_) * 20000)
        wait_until(lambda: node.control("catalogd", "status")["detail"]["snapshot_index"] > applied(node) - 100,
                   what="a snapshot")
    wait_until(lambda: applied(node) == node.control("catalogd", "status")["detail"]["commit_index"])
    kept = sorted((node.data_dir / "catalogd" / "snapshots").iterdir())
    assert 1 <= len(kept) <= 2
    assert node.control("raftd", "status")["detail"]["first_index"] > 1
    for _ in range(2):
        power_cut(node)
        node.start()
        assert all(node.get("/v1/kv/s/%d?raw" % i).text == "2" * 20000 for i in range(100))
    assert "snapshot-loaded" in node.log()


def test_clean_stop_survives_another_boot(make_node):
    node = make_node().start()
    node.put("/v1/kv/clean", "1")
    node.stop()
    mark = node.data_dir / "catalogd" / "mark"
    assert "clean 1" in mark.read_text()
    mark.write_text(re.sub(r"boot [0-9a-f-]{36}", "boot 00000000-0000-0000-0000-000000000000", mark.read_text()))
    node.start()
    assert node.get("/v1/kv/clean?raw").text == "1"
    assert "state-untrusted" not in node.log()


def test_session_runs_out(node):
    node.put("/v1/kv/held", "x")
    session = node.put("/v1/session/create", {"TTL": "4s", "LockDelay": 0}).json()["ID"]
    assert node.put("/v1/kv/held?acquire=" + session, "mine").text == "true"
    began = renewed = time.monotonic()
    while renewed < began + 5:          # longer than it would live without
        time.sleep(0.5)
        renewed = time.monotonic()
        assert node.put("/v1/session/renew/" + session).json()[0]["ID"] == session
    wait_until(lambda: node.json("/v1/session/info/" + session) == [], what="the end of the session")
    lasted = time.monotonic() - renewed
    assert 3.9 <= lasted <= 7.5, "%s after %s; Consul's would be 8" % (lasted, renewed - began)
    assert "Session" not in node.json("/v1/kv/held")[0]


def test_own_node_is_registered_again(node):
    assert node.put("/v1/catalog/deregister", {"Node": node.name}).text == "true"
    wait_until(lambda: node.json("/v1/health/service/consul")[0]["Checks"][0]["CheckID"] == "serfHealth",
               what="the node is back")


def test_archive_brings_everything_back(node):
    for i in range(2000):
        node.put("/v1/kv/a/%d" % i, "x" * 100)
    node.put("/v1/catalog/register", {"Node": "ext", "Address": "10.0.0.1", "Service": {"Service": "web", "Port": 80},
                                      "Check": {"CheckID": "c", "Status": "passing", "ServiceID": "web"}})
    archive = node.get("/v1/snapshot").body
    health = node.get("/v1/health/service/web").text
    node.delete("/v1/kv/a?recurse")
    node.put("/v1/catalog/deregister", {"Node": "ext"})
    node.put("/v1/kv/later", "x")
    assert node.put("/v1/snapshot", archive).status == 200
    assert len(keys(node, "a")) == 2000
    assert node.get("/v1/kv/later").status == 404
    assert node.get("/v1/health/service/web").text == health
    wait_until(lambda: node.dig("web.service.consul", "A") == ["10.0.0.1"])
    before = node.json("/v1/kv/a/0")[0]["ModifyIndex"]
    node.put("/v1/kv/a/0", "new")
    assert node.json("/v1/kv/a/0")[0]["ModifyIndex"] > before


def leftovers(node, daemon, prefix):
    return [path.name for path in (node.run_dir / daemon).iterdir() if path.name.startswith(prefix)]


def test_archives_without_a_taker_go_away(node):
    """A client that leaves while its archive is made leaves nothing behind. It resets its connection: one that only ends it may
    still want the answer."""
    for i in range(2000):
        node.put("/v1/kv/a/%d" % i, "x" * 100)
    deadline = time.monotonic() + 40
    while not leftovers(node, "catalogd/saved", "archive-"):
        with socket.create_connection((node.address, 8500)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.003)
        time.sleep(0.1)
        assert time.monotonic() < deadline, "no client was quick enough"
    wait_until(lambda: not leftovers(node, "catalogd/saved", "archive-"))


def test_uploads_of_a_killed_httpd_go_away(node):
    with socket.create_connection((node.address, 8500)) as sock:
        sock.sendall(b"PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        wait_until(lambda: leftovers(node, "httpd", "upload-"))
        node.wait_restarted("httpd", node.kill("httpd"))
    assert not leftovers(node, "httpd", "upload-")


def test_damaged_archive_changes_nothing(node):
    node.put("/v1/kv/k", "v")
    archive = bytearray(node.get("/v1/snapshot").body)
    archive[len(archive) // 2] ^= 0xff
    before = node.json("/v1/kv/?recurse")
    assert node.put("/v1/snapshot", bytes(archive)).status == 500
    assert node.put("/v1/snapshot", bytes(archive[:100])).status == 500
    assert node.json("/v1/kv/?recurse") == before


def with_state(archive, change):
    """The archive with another state.bin, and the sums of that."""
    files, out = {}, io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            files[member.name] = tar.extractfile(member).read()
    files["state.bin"] = change(files["state.bin"])
    files["SHA256SUMS"] = "".join("%s  %s\n" % (hashlib.sha256(files[name]).hexdigest(), name)
                                  for name in ("meta.json", "state.bin")).encode()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_archive_that_lies_about_a_record(node):
    """A length that nothing of the state has costs no memory."""
    node.put("/v1/kv/k", "v")
    archive = node.get("/v1/snapshot").body
    assert node.put("/v1/snapshot", with_state(archive, lambda state: state)).status == 200
    pid = node.pid_of("catalogd")

    def peak_kib():
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/%d/status" % pid).read_text())[1])
    before = peak_kib()
    lie = with_state(archive, lambda state: state[:state.index(b"\n") + 1] + b"\xf0\xff\xff\xff" + bytes(100 << 20))
    answer = node.put("/v1/snapshot", lie)
    assert (answer.status, answer.text) == (500, "failed to restore snapshot: malformed records")
    assert peak_kib() - before < 60 << 10
    assert node.get("/v1/kv/k?raw").text == "v"


def test_writes_wait_while_catalogd_and_raftd_are_replaced(node):
    """Stopped gracefully and started again: every write is answered, and none is done twice."""
    answers = []
    done = threading.Event()

    def write():
        while not done.is_set():
            answers.append(node.put("/v1/kv/counted?cas=%d" % (node.json("/v1/kv/counted")[0]["ModifyIndex"]),
                                    str(len(answers)), timeout=60))
    node.put("/v1/kv/counted", "")
    writer = threading.Thread(target=write)
    writer.start()
    for daemon in ("catalogd", "raftd", "catalogd"):
        time.sleep(0.3)
        node.wait_restarted(daemon, node.kill(daemon, sig=15))
    wait_until(lambda: len(answers) > 50)
    done.set()
    writer.join()
    assert [a.text for a in answers if a.status != 200 or a.text != "true"] == []
