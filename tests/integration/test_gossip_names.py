# SPDX-License-Identifier: Apache-2.0
"""Two members of one name, on two addresses: stock Serf lets the others vote, and the one without a majority ends. Numbers in
brackets: the checklist of the notes on Serf's protocol."""
import re

import pytest

from node import wait_until
from peers import SERF, Gossipd, Serf

pytestmark = pytest.mark.skipif(not SERF, reason="serf is not installed")


def join(members, to):
    for one in members:
        assert one.run("join", to.address + ":8301").returncode == 0
    names = sorted([to.name] + [m.name for m in members])
    for one in [to] + members:
        wait_until(lambda one=one: one.alive() == names)


def wait_ended(serf):
    wait_until(lambda: serf.process.poll() is not None, what=serf.name + " ends")
    return re.search(r"minority in name conflict resolution, quitting \[(\d+) / (\d+)\]", serf.log()).groups()


def taken_lines(ours):
    return re.findall(r'\[ERROR\] gossipd: name-taken pool=lan name="(\S+)" text="(\S+)"', ours.log())


def test_who_takes_our_name_loses_it(make):
    """The others vote for us, we do not vote, and stay; the log says once who it was. [45]"""
    ours, others = make(Gossipd, "g1").start(), [make(Serf, "s1").start(), make(Serf, "s2").start()]
    join(others, ours)
    intruder = make(Serf, "elsewhere", args=["-node=g1"]).start()
    out = intruder.run("join", *[one.address + ":8301" for one in [ours] + others])
    assert out.returncode == 0, out
    assert wait_ended(intruder) == ("0", "2")
    assert ours.process.poll() is None and ours.alive() == ["g1", "s1", "s2"]
    for serf in others:
        assert serf.members()["g1"]["addr"] == ours.address + ":8301" and serf.status("g1") == "alive"
        assert "EventMemberFailed" not in serf.log() and "EventMemberLeave" not in serf.log()
    assert taken_lines(ours) == [("g1", intruder.address)]


def test_we_vote_for_whom_we_know(make):
    """Ours is the only vote; it makes the holder stay and the other one end. [45]"""
    ours, holder = make(Gossipd, "g1").start(), make(Serf, "x").start()
    join([holder], ours)
    intruder = make(Serf, "elsewhere", args=["-node=x"]).start()
    assert intruder.run("join", ours.address + ":8301", holder.address + ":8301").returncode == 0
    assert wait_ended(intruder) == ("0", "1")
    wait_until(lambda: "majority in name conflict resolution [1 / 1]" in holder.log())
    assert ours.members()["x"]["addr"] == holder.address and ours.status("x") == "alive"
    assert taken_lines(ours) == []


def test_a_name_that_is_taken(make):
    """As the second one we go on, as Consul's servers do, and say once who has our name; the others keep to the first. [45]"""
    holder, others = make(Serf, "g1").start(), [make(Serf, "s1").start(), make(Serf, "s2").start()]
    join(others, holder)
    ours = make(Gossipd, "elsewhere", config={"node_name": "g1", "start_join": [s.address for s in others]}).start()
    wait_until(lambda: ours.log().count("joined pool=lan") == 2 and ours.alive() == ["g1", "s1", "s2"])
    for serf in others:
        wait_until(lambda s=serf: "Name conflict for 'g1'" in s.log())
        assert serf.members()["g1"]["addr"] == holder.address + ":8301"
    assert taken_lines(ours) == [("g1", holder.address)]
    assert ours.process.poll() is None and holder.process.poll() is None and ours.members()["g1"]["addr"] == ours.address
