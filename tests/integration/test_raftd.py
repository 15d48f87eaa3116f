# SPDX-License-Identifier: Apache-2.0
"""raftd with a whole node around it: killed under load, stopped, on a full disk, with a damaged log, without bootstrap."""
import signal
import subprocess
import threading
import time

import pytest

from node import wait_until


class Writer(threading.Thread):
    """Puts numbered keys one after the other and remembers which were acknowledged; errors are tried again."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.name = node, name
        self.acknowledged = []
        self.errors = []
        self.ending = False

    def run(self):
        number = 0
        while not self.ending:
            key = "%s/%05d" % (self.name, number)
            try:
                answer = self.node.put("/v1/kv/" + key, body=key, timeout=60)
                if answer.status == 200 and answer.body == b"true":
                    self.acknowledged.append(key)
                    number += 1
                else:
                    self.errors.append((answer.status, answer.text))
                    time.sleep(0.02)
            except OSError as error:
                self.errors.append(repr(error))
                time.sleep(0.02)


def check_all_there(node, keys):
    stored = {entry["Key"] for entry in node.json("/v1/kv/w?recurse")}
    assert not set(keys) - stored


def test_killed_under_load(node):
    writers = [Writer(node, "w%d" % i) for i in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(5):
        time.sleep(0.3)
        node.wait_restarted("raftd", node.kill("raftd"))
    seen = [len(writer.acknowledged) for writer in writers]
    wait_until(lambda: all(len(w.acknowledged) > n for w, n in zip(writers, seen)), what="writes go on")
    for writer in writers:
        writer.ending = True
    for writer in writers:
        writer.join(90)
        assert not writer.errors
        assert writer.acknowledged
    check_all_there(node, [key for writer in writers for key in writer.acknowledged])


def test_reads_go_on_while_it_is_away(node):
    assert node.put("/v1/kv/w/one", body="1").body == b"true"
    pid = node.kill("raftd", signal.SIGSTOP)
    try:
        assert node.get("/v1/kv/w/one?raw").body == b"1"
        assert node.get("/v1/kv/w/one?raw&consistent").body == b"1"
        assert node.get("/v1/status/leader", timeout=60).status in (200, 500)
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
    assert node.put("/v1/kv/w/two", body="2").body == b"true"


def test_whole_node_killed(node):
    writer = Writer(node, "w")
    writer.start()
    wait_until(lambda: len(writer.acknowledged) > 50)
    node.process.kill()
    node.process.wait()
    writer.ending = True
    writer.join(90)
    node.start()
    check_all_there(node, writer.acknowledged)


def test_damaged_log_is_refused(node):
    for number in range(20):
        assert node.put("/v1/kv/w/%d" % number, body="x" * 100).body == b"true"
    node.stop()
    segment = node.data_dir / "raft" / "segment.0"
    data = bytearray(segment.read_bytes())
    at = data.find(b"x" * 100)
    data[at + 50] ^= 1
    segment.write_bytes(data)
    node.start(wait=False)
    wait_until(lambda: "log-refused" in node.log(), what="refusal")
    line = [line for line in node.log().split("\n") if "log-refused" in line][0]
    assert "segment.0, offset " in line and "damaged" in line
    assert node.get("/v1/kv/w/1").status == 500 or node.get("/v1/kv/w/1").body


@pytest.fixture
def small_disk(make_node):
    """A node whose log has 24 MiB of disk."""
    node = make_node()
    where = node.data_dir / "raft"
    where.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(where)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("cannot mount: " + made.stderr.decode())
    yield node
    node.stop()
    subprocess.run(["umount", str(where)], check=True)


def test_full_disk(small_disk):
    node = small_disk.start()
    for number in range(100):
        answer = node.put("/v1/kv/w/%d" % number, body="x" * 500000)
        if answer.status != 200:
            break
    assert answer.status == 500 and answer.text == "The log cannot be written: the disk is full or fails"
    assert node.get("/v1/status/leader").json()
    assert len(node.get("/v1/kv/w/0?raw").body) == 500000
    assert node.control("raftd", "status")["detail"]["disk_failure"]
    subprocess.run(["mount", "-o", "remount,size=200m", str(node.data_dir / "raft")], check=True)
    assert wait_until(lambda: node.put("/v1/kv/w/again", body="x").body == b"true", what="writes again")


def test_without_bootstrap_it_waits(make_node):
    node = make_node(args=["-bootstrap=false"])
    node.start(wait=False)
    wait_until(lambda: node.control("raftd", "status")["waits_for"] == "bootstrap")
    assert node.get("/v1/status/leader").body == b'""'
    answer = node.put("/v1/kv/a", body="1")
    assert answer.status == 500 and answer.text == "No cluster leader"
    node.stop()
