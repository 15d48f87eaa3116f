# SPDX-License-Identifier: Apache-2.0
"""The power goes, at one server or at all of them at once, while clients write and read: what was not synced is lost, the state
in LMDB's files is not to be trusted, and nothing that was acknowledged is missing."""
import os

import pytest

from cluster import Cluster
from disk import Disk, loop_devices_work, no_writeback
from load import Load
from node import wait_until

DISK_MB = 400


@pytest.fixture
def cluster(tmp_path):
    """Three servers, each on a disk of its own, settled."""
    why = loop_devices_work(tmp_path)
    if why:
        pytest.skip("no loop devices here: " + why)
    cluster = Cluster(tmp_path, 3)
    try:
        with no_writeback():
            for node in cluster.nodes:
                node.disk = Disk(tmp_path / ("d" + node.name), DISK_MB)
                node.data_dir = node.disk.path / "data"
                node.run_dir = node.data_dir / "run"
                node.enter = node.disk.enter
            yield cluster.start()
    finally:
        cluster.cleanup()
        for node in cluster.nodes:
            if hasattr(node, "disk"):
                node.disk.close()


def power_cut(nodes):
    pids = [pid for node in nodes for pid in node.pids().values()]
    for node in nodes:
        node.crash()
    wait_until(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids), what="their daemons are gone")
    for node in nodes:
        node.disk.cut()


def finish(load, cluster):
    leader = cluster.leader()
    for node in cluster.nodes:
        node.wait_member(3)
    load.check(leader)


def test_everywhere_at_once(cluster):
    with Load(cluster.nodes) as load:
        for _ in range(4):
            load.progress(limit_s=60)
            power_cut(cluster.nodes)
            cluster.start(wait=False)
        load.progress(limit_s=60)
    finish(load, cluster)
    for node in cluster.nodes:
        assert node.log().count("state-untrusted") == 4, "the cut was none: LMDB's files were taken as they were"


def test_one_after_another(cluster):
    with Load(cluster.nodes) as load:
        for turn in range(4):
            load.progress(limit_s=60)
            leader = cluster.leader()
            victim = leader if turn % 2 else cluster.followers()[0]
            power_cut([victim])
            load.progress(nodes=[n for n in cluster.nodes if n is not victim], limit_s=60)
            victim.start(wait=False)
            load.progress(nodes=[victim], limit_s=60)
    finish(load, cluster)
