# SPDX-License-Identifier: Apache-2.0
"""gossipd and a scripted peer, packet by packet: what a member of a pool must answer, and what it must not. Numbers in brackets:
the checklist of the notes on Serf's protocol."""
import socket
import struct
import sys
import time
import zlib

import pytest

from node import TOP, wait_until
from peers import Gossipd

sys.path.append(str(TOP / "bench"))
from gossip_pool import pack, plain_of  # noqa: E402

PING, INDIRECT_PING, ACK, PUSH_PULL, NACK = b"\x00", b"\x01", b"\x02", b"\x06", b"\x0b"
ALIVE, DEAD = 0, 2


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """Of short-lived peers: nobody is probed away while a test runs."""
    one = Gossipd(tmp_path_factory.mktemp("g"), "g1").start()
    yield one
    one.kill()


class Peer:
    def __init__(self, to):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.to = (to.address, 8301)

    def source(self):
        return {"SourceAddr": socket.inet_aton("127.0.0.1"), "SourceNode": "peer", "SourcePort": self.socket.getsockname()[1]}

    def send(self, data):
        self.socket.sendto(data, self.to)

    def take(self, limit_s=0.4):
        """The next packet without its wrapping; None: there is none."""
        self.socket.settimeout(limit_s)
        try:
            return plain_of(self.socket.recv(65536))
        except OSError:
            return None


@pytest.fixture
def peer(member):
    made = Peer(member)
    yield made
    made.socket.close()


def ping(name, seq, **more):
    return PING + pack(dict(more, Node=name, SeqNo=seq))


def seq_of(ack):
    at = ack.index(b"\xa5SeqNo") + 6
    return ack[at] if ack[at] < 128 else struct.unpack(">H", ack[at + 1:at + 3])[0]


def state(name, address, number):
    return pack({"Addr": socket.inet_aton(address), "Incarnation": 1, "Meta": b"\xff\x80", "Name": name, "Port": 8301,
                 "State": number, "Vsn": bytes([1, 5, 2, 2, 5, 5])})


def asked(member, data, half_closed=False, pieces=1):
    """What comes back on a stream until it ends."""
    with socket.create_connection((member.address, 8301), timeout=15) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(pieces):
            tcp.sendall(data[len(data) * i // pieces:len(data) * (i + 1) // pieces])
            time.sleep(0.01 if pieces > 1 else 0)
        if half_closed:
            tcp.shutdown(socket.SHUT_WR)
        out = b""
        while more := tcp.recv(65536):
            out += more
    return plain_of(out)


def test_a_ping_is_answered_where_it_says(member, peer):
    """To the source of the packet, or to the one that is named in it; never under another name. [9 10 11]"""
    peer.send(ping("g1", 300))
    answer = peer.take(10)
    assert answer[:1] == ACK and seq_of(answer) == 300
    assert b"\xa7Payload" in answer and b"\xaaAdjustment" in answer
    other = Peer(member)
    peer.send(ping("g1", 5, **other.source()))
    assert seq_of(other.take(10)) == 5
    assert peer.take() is None
    peer.send(ping("somebody", 6))
    assert peer.take() is None
    peer.send(ping("", 7))
    assert seq_of(peer.take(10)) == 7
    other.socket.close()


def test_checksums(member, peer):
    """Right ones are taken, wrong ones are not. [41]"""
    inner = ping("g1", 8)
    peer.send(b"\x0c" + struct.pack(">I", zlib.crc32(inner)) + inner)
    assert seq_of(peer.take(10)) == 8
    peer.send(b"\x0c" + struct.pack(">I", zlib.crc32(inner) ^ 1) + inner)
    assert peer.take() is None


def test_indirect_pings(member, peer):
    """A living target is vouched for; of a silent one it is said so, where that was asked for. [13]"""
    target = Peer(member)

    def question(seq, nack):
        return INDIRECT_PING + pack(dict(peer.source(), Nack=nack, Node="target", Port=target.socket.getsockname()[1], SeqNo=seq,
                                         Target=socket.inet_aton("127.0.0.1")))
    peer.send(question(21, False))
    asked_of_target = target.take(10)
    assert asked_of_target[:1] == PING and b"\xa6target" in asked_of_target
    target.send(ACK + pack({"Payload": None, "SeqNo": seq_of(asked_of_target)}))
    answer = peer.take(10)
    assert answer[:1] == ACK and seq_of(answer) == 21
    peer.send(question(22, True))
    answer = peer.take(10)
    assert answer[:1] == NACK and seq_of(answer) == 22
    peer.send(question(23, False))
    assert peer.take(1.5) is None
    target.socket.close()


def test_streams(member):
    """Pings by stream, in pieces, half closed, two at once (one answer); a wrong name is closed without a word. [12 48]"""
    for options in ({}, {"pieces": 12}, {"half_closed": True}):
        answer = asked(member, ping("g1", 9), **options)
        assert answer[:1] == ACK and seq_of(answer) == 9, options
    assert asked(member, ping("g1", 9) + ping("g1", 10)).count(b"\xa5SeqNo") == 1
    assert asked(member, ping("somebody", 9)) == b""
    assert asked(member, b"\x08" + pack({"UserMsgLen": 3}) + b"\x63ab") == b""


def test_states(member):
    """The answer is made before the merge and repeats Join; a dead one that nobody knew stays unknown, and one that is alive here
    is suspected, not dead. [47]"""
    header = pack({"Join": True, "Nodes": 2, "UserStateLen": 0})
    answer = asked(member, PUSH_PULL + header + state("newcomer", "127.0.0.2", ALIVE) + state("gone", "127.0.0.3", DEAD))
    assert answer[:1] == PUSH_PULL and b"\xa4Join\xc3" in answer
    assert b"g1" in answer and b"newcomer" not in answer
    wait_until(lambda: member.status("newcomer") == "alive")
    assert member.status("gone") is None
    header = pack({"Join": False, "Nodes": 1, "UserStateLen": 0})
    answer = asked(member, PUSH_PULL + header + state("newcomer", "127.0.0.2", DEAD))
    assert b"\xa4Join\xc2" in answer and b"newcomer" in answer
    wait_until(lambda: 'member-suspect pool=lan name="newcomer"' in member.log())
    assert member.status("newcomer") == "alive"


def test_a_crowd_of_clients_dials_no_servers(tmp_path):
    """A server of the LAN that the WAN pool does not have is joined there when it comes, and then once a minute."""
    one = Gossipd(tmp_path, "g1", config={"server": True}).start()
    wan = socket.create_server(("127.0.0.1", 0))  # takes connections, and says nothing
    wan.settimeout(1)
    tags = {"role": "consul", "dc": "dc1", "segment": "", "wan_join_port": str(wan.getsockname()[1])}

    def alive(name, meta):
        return b"\x04" + pack({"Addr": socket.inet_aton("127.0.0.1"), "Incarnation": 1, "Meta": b"\xff" + pack(meta),
                               "Node": name, "Port": 9, "Vsn": bytes([1, 5, 2, 2, 5, 4])})
    peer = Peer(one)
    peer.send(alive("s1", tags))
    dialled = [wan.accept()[0]]
    for i in range(10):
        peer.send(alive("c%d" % i, {"role": "node", "dc": "dc1", "segment": ""}))
        wait_until(lambda: "c%d" % i in one.members())
    try:
        while True:
            dialled.append(wan.accept()[0])
    except TimeoutError:
        pass
    assert len(dialled) == 1
    for each in dialled + [wan, peer.socket]:
        each.close()
    one.kill()
