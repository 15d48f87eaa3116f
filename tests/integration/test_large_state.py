# SPDX-License-Identifier: Apache-2.0
"""A state that is large for the number of its commands: the log stays short all the same, and a killed node is back at once."""
import http.client
import os
import threading
import time

import pytest

from node import PORTS, Node, wait_until

pytestmark = pytest.mark.heavy

VALUE = 500 << 10
COUNT = 800  # 390 MiB: more than the log may grow without a snapshot
LOG_MAX = (256 + 64 + 64) << 20


def fill(node):
    value, failures = os.urandom(VALUE), []

    def work(first):
        connection = http.client.HTTPConnection(node.address, PORTS["http"], timeout=120)
        for i in range(first, COUNT, 4):
            connection.request("PUT", "/v1/kv/large/%04d" % i, value)
            answer = connection.getresponse()
            if (answer.status, answer.read()) != (200, b"true"):
                failures.append(i)
        connection.close()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    return value


def seconds_until(condition):
    began = time.monotonic()
    wait_until(condition, 60, pause_s=0.005)
    return time.monotonic() - began


def test_restart(tmp_path, capsys):
    node = Node(tmp_path).start()
    try:
        value = fill(node)
        wait_until(lambda: "snapshot-taken" in node.log(), what="a snapshot for the sake of the log's length")
        wait_until(lambda: node.control("raftd", "status")["detail"]["log_disk_bytes"] < LOG_MAX, what="the log is cut")
        node.process.kill()
        node.process.wait()
        node.start(wait=False)
        to_read = seconds_until(lambda: node.get("/v1/kv/large/%04d?raw" % (COUNT - 1), timeout=2).body == value)
        to_write = to_read + seconds_until(lambda: node.put("/v1/kv/small", "x").body == b"true")
        with capsys.disabled():
            print("\n390 MiB of state: %.2f s to the first read, %.2f s to the first write" % (to_read, to_write))
        assert to_read < 1 and to_write < 1
    finally:
        node.cleanup()
