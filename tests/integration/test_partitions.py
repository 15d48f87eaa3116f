# SPDX-License-Identifier: Apache-2.0
"""Servers on hosts of their own, on a network and on disks that fail, under a load of real clients. What the clients saw is
linearizable, nothing acknowledged is missing, and whoever is with a majority goes on."""
import os
import subprocess
import time

import pytest

from cluster import Cluster
from load import Load
from network import Network
from node import wait_until


@pytest.fixture
def network():
    made = []

    def make(hosts, **options):
        made.append(Network(hosts, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def hosted(network, tmp_path):
    """hosted(n): a network and a cluster with one server on each of its hosts, settled."""
    made = []

    def make(size, **options):
        net = network(size, **options)
        cluster = Cluster(tmp_path, size, addresses=[net.address(h) for h in net.hosts])
        for host, node in zip(net.hosts, cluster.nodes):
            node.host = host
            node.enter = lambda host=host: net.enter_host(host)
        made.append(cluster)
        cluster.start()
        return net, cluster
    yield make
    for cluster in made:
        cluster.cleanup()


def others(cluster, node):
    return [n for n in cluster.nodes if n is not node]


def finish(load, cluster):
    """The load has ended and the network is whole: what did the clients see?"""
    leader = cluster.leader()
    for node in cluster.nodes:
        node.wait_member(len(cluster.nodes))
    load.check(leader)


def test_leader_cut_off(hosted):
    net, cluster = hosted(3)
    with Load(cluster.nodes) as load:
        load.progress()
        old = cluster.leader()
        net.isolate(old.host)
        new = cluster.leader(among=others(cluster, old))
        load.progress(nodes=others(cluster, old))
        answer = old.put("/v1/kv/alone", "x", timeout=30)
        assert (answer.status, answer.text) == (500, "No cluster leader")
        assert old.get("/v1/kv/alone?consistent", timeout=30).status == 500
        assert old.get("/v1/kv/alone", timeout=30).status == 500, "its lease is over"
        assert old.get("/v1/kv/alone?stale").status == 404
        net.heal()
        load.progress()
        assert cluster.leader() is new, "who comes back disturbs nobody"
    finish(load, cluster)


@pytest.mark.parametrize("deaf", [True, False], ids=["hears-nothing", "is-not-heard"])
def test_leader_cut_off_one_way(hosted, deaf):
    net, cluster = hosted(3)
    with Load(cluster.nodes) as load:
        load.progress()
        old = cluster.leader()
        for other in others(cluster, old):
            net.cut_one_way(*((other.host, old.host) if deaf else (old.host, other.host)))
        cluster.leader(among=others(cluster, old), limit_s=20)
        load.progress(nodes=others(cluster, old))
        net.heal()
        load.progress()
    finish(load, cluster)


def test_follower_cut_off_from_the_leader_only(hosted):
    """It sees the other follower, who hears the leader: no election comes of it."""
    net, cluster = hosted(3)
    with Load(cluster.nodes) as load:
        load.progress()
        leader = cluster.leader()
        lonely = others(cluster, leader)[0]
        term = leader.raft()["term"]
        net.cut(lonely.host, leader.host)
        rest = [n for n in cluster.nodes if n is not lonely]
        for _ in range(4):
            load.progress(nodes=rest)
        assert cluster.leader(among=rest) is leader and leader.raft()["term"] == term
        net.heal()
        load.progress()
        assert leader.raft()["term"] == term
    finish(load, cluster)


def test_flapping(hosted):
    net, cluster = hosted(3)
    with Load(cluster.nodes) as load:
        load.progress()
        for turn in range(8):
            victim = cluster.nodes[turn % 3]
            net.isolate(victim.host)
            time.sleep(0.45)  # about an election timeout: in every phase of one
            net.heal()
            time.sleep(0.15)
        load.progress(limit_s=40)
    finish(load, cluster)


def test_packets_get_lost(hosted):
    net, cluster = hosted(3, loss_percent=10)
    with Load(cluster.nodes) as load:
        load.progress()
        net.lose_everywhere()
        load.progress(limit_s=60)
        net.heal()
        load.progress()
    finish(load, cluster)


def test_minority_of_five(hosted):
    net, cluster = hosted(5)
    with Load(cluster.nodes, per_node=1) as load:
        load.progress()
        old = cluster.leader()
        minority = [old, others(cluster, old)[0]]
        majority = [n for n in cluster.nodes if n not in minority]
        for a in minority:
            for b in majority:
                net.cut(a.host, b.host)
        cluster.leader(among=majority)
        load.progress(nodes=majority)
        net.heal()
        load.progress()
    finish(load, cluster)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 MiB; fill() leaves nothing of it, free() gives all back."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path):
    with open(path / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 65536)
        except OSError:
            pass


def test_disk_of_the_leader_is_full(network, tmp_path, small_disk):
    """It loses its leadership, the cluster goes on; with room again it comes back."""
    net = network(3)
    cluster = Cluster(tmp_path, 3, addresses=[net.address(h) for h in net.hosts])
    full = cluster.nodes[0]
    full.data_dir, full.run_dir = small_disk / "data", small_disk / "data" / "run"
    for host, node in zip(net.hosts, cluster.nodes):
        node.enter = lambda host=host: net.enter_host(host)
    try:
        cluster.start()
        if cluster.leader() is not full:
            server = [s for s in full.json("/v1/operator/raft/configuration")["Servers"] if s["Node"] == full.name][0]
            assert full.put("/v1/operator/raft/transfer-leader?id=" + server["ID"]).status == 200
            wait_until(lambda: cluster.leader() is full, what="the one with the small disk leads")
        rest = others(cluster, full)
        with Load(cluster.nodes) as load:
            load.progress()
            fill(small_disk)
            value = os.urandom(200000).hex()
            wait_until(lambda: rest[0].put("/v1/kv/large", value).status == 200 and cluster.leader() is not full, 60,
                       "somebody with room leads", pause_s=0.1)
            load.progress(nodes=rest)
            (small_disk / "filler").unlink()
            load.progress(limit_s=60)
        finish(load, cluster)
    finally:
        cluster.cleanup()
