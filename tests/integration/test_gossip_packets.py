# SPDX-License-Identifier: Apache-2.0
"""gossipd and a scripted peer, packet by packet: what a member of a pool must answer, and what it must not. Numbers in brackets:
the checklist of the notes on Serf's protocol."""
import concurrent.futures
import socket
import struct
import sys
import threading
import time
import zlib

import pytest

from node import TOP, wait_until
from peers import SERF, Gossipd, Serf

sys.path.append(str(TOP / "bench"))
from gossip_pool import pack, plain_of  # noqa: E402

PING, INDIRECT_PING, ACK, SUSPECT_MESSAGE, ALIVE_MESSAGE, DEAD_MESSAGE, PUSH_PULL, COMPOUND = (bytes([i]) for i in range(8))
NACK, UNKNOWN = b"\x0b", 2 ** 32
QUERY, RESPONSE = b"\x08\x04", b"\x08\x05"
VERSIONS = bytes([1, 5, 2, 2, 5, 5])
ALIVE, DEAD = 0, 2
WANTS_ACK, IS_ACK, NO_BROADCAST = 1, 1, 2       # flags of queries and responses
needs_serf = pytest.mark.skipif(not SERF, reason="serf is not installed")


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """Of short-lived peers: nobody is probed away while a test runs."""
    one = Gossipd(tmp_path_factory.mktemp("g"), "g1").start()
    yield one
    one.kill()


class Peer:
    def __init__(self, to, port=8301):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.to = (to.address, port)

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
                 "State": number, "Vsn": VERSIONS})


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


# ---- queries ----

def unpack(data, at=0):
    """(value, where it ends) of what queries and responses are made of."""
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind & 0xf0 == 0x80:
        value = {}
        for _ in range(kind & 15):
            key, at = unpack(data, at)
            value[key.decode()], at = unpack(data, at)
        return value, at
    if kind & 0xe0 == 0xa0 or kind == 0xda:
        size, at = (kind & 31, at) if kind != 0xda else (struct.unpack_from(">H", data, at)[0], at + 2)
        return data[at:at + size], at + size
    if kind in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[kind], at
    size = {0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8}[kind]
    return int.from_bytes(data[at:at + size], "big"), at + size


def messages_of(packet):
    """The messages of a datagram without its wrapping."""
    if packet[:1] != COMPOUND:
        return [packet]
    sizes = struct.unpack_from(">%dH" % packet[1], packet, 2)
    found, at = [], 2 + 2 * packet[1]
    for size in sizes:
        found.append(packet[at:at + size])
        at += size
    return found


class Crowd(threading.Thread):
    """Members at one address. They acknowledge pings, contradict suspicions, and keep the queries and responses that they hear.
    What becomes of them they tell gossipd and the others: they do not gossip. Some have tags, and say where
    they are (places)."""

    def __init__(self, to, *others, port=8301):
        super().__init__(daemon=True)
        self.peer = Peer(to, port)
        self.all = [self.peer.to] + [(other.address, port) for other in others]
        self.tags, self.places = {}, {}
        self.port = self.peer.socket.getsockname()[1]
        self.peer.socket.settimeout(0.2)
        self.incarnations = {}
        self.heard = []
        self.going = True
        self.start()

    def run(self):
        while self.going:
            try:
                data, source = self.peer.socket.recvfrom(65536)
            except OSError:
                continue
            for message in messages_of(plain_of(data)):
                self.take(message, source)

    def take(self, message, source):
        if message[:1] == PING:
            ping = unpack(message, 1)[0]
            place = self.places.get(ping["Node"].decode())
            self.peer.socket.sendto(ACK + pack({"Payload": place, "SeqNo": ping["SeqNo"]}), source)
        elif message[:1] in (SUSPECT_MESSAGE, DEAD_MESSAGE):
            accusation = unpack(message, 1)[0]
            name = accusation["Node"].decode()
            if accusation["Incarnation"] >= self.incarnations.get(name, UNKNOWN):
                self.enter(name, accusation["Incarnation"] + 1)
        elif message[:2] in (QUERY, RESPONSE):
            self.heard.append((message[:2], unpack(message, 2)[0]))

    def end(self):
        self.going = False
        self.join()
        self.peer.socket.close()

    def enter(self, name, incarnation=1):
        self.incarnations[name] = incarnation
        self.tell(ALIVE_MESSAGE + pack({"Addr": socket.inet_aton("127.0.0.1"), "Incarnation": incarnation,
                                        "Meta": b"\xff" + pack(self.tags.get(name, {})), "Node": name, "Port": self.port,
                                        "Vsn": VERSIONS}))

    def leave(self, name):
        self.tell(DEAD_MESSAGE + pack({"From": name, "Incarnation": self.incarnations.pop(name), "Node": name}))

    def tell(self, message):
        for one in self.all:
            self.peer.socket.sendto(message, one)

    def ask(self, name, ltime, flags):
        self.peer.send(QUERY + pack({"Addr": socket.inet_aton("127.0.0.1"), "Filters": None, "Flags": flags, "ID": 7000 + ltime,
                                     "LTime": ltime, "Name": name, "Payload": None, "Port": self.port, "RelayFactor": 0,
                                     "SourceNode": "crowd", "Timeout": 4 * 10 ** 9}))

    def respond(self, query, name, flags=0, payload=None, **other):
        self.peer.send(RESPONSE + pack(dict({"Flags": flags, "From": name, "ID": query["ID"], "LTime": query["LTime"],
                                             "Payload": payload}, **other)))

    def hears_query(self, name):
        return wait_until(lambda: [m for kind, m in self.heard if kind == QUERY and m["Name"] == name.encode()],
                          what="the query " + name)[0]

    def hears_ack(self, ltime, name):
        wait_until(lambda: [m for kind, m in self.heard if kind == RESPONSE and m["Flags"] == IS_ACK and m["ID"] == 7000 + ltime and
                            m["LTime"] == ltime and m["From"] == name.encode()], what="%s acknowledges %d" % (name, ltime))


@pytest.fixture
def pool(make):
    """(gossipd, stock Serf, a crowd): each knows the two others."""
    ours, serf = make(Gossipd, "g1").start(), make(Serf, "s1").start()
    assert serf.run("join", ours.address + ":8301").returncode == 0
    crowd = Crowd(ours, serf)
    crowd.enter("c1")
    for one in (ours, serf):
        wait_until(lambda one=one: one.alive() == ["c1", "g1", "s1"])
    yield ours, serf, crowd
    crowd.end()


@needs_serf
def test_answers_to_our_query(pool):
    """They count where time and ID are those of the query, once for each member and kind, and while it runs. [34]"""
    ours, _, crowd = pool
    with concurrent.futures.ThreadPoolExecutor() as others:
        first = others.submit(ours.query, "first", 8000)
        query = crowd.hears_query("first")
        for wrong in ({"ID": query["ID"] ^ 1}, {"LTime": query["LTime"] + 1}, {"LTime": query["LTime"] - 1}):
            crowd.respond(query, "forged", IS_ACK, **wrong)
            crowd.respond(query, "forged", payload=b"forged", **wrong)
        for payload in (b"one", b"two"):
            crowd.respond(query, "c1", IS_ACK)
            crowd.respond(query, "c1", payload=payload)
        acks, responses = first.result()
        assert acks == [("c1", ""), ("g1", ""), ("s1", "")]
        assert responses == [("c1", "one"), ("s1", "answer-of-s1\n")]
        second = others.submit(ours.query, "second", 3000)
        assert crowd.hears_query("second")["LTime"] > query["LTime"]
        crowd.respond(query, "late", IS_ACK)
        crowd.respond(query, "late", payload=b"late")
        acks, responses = second.result()
        assert ("g1", "") in acks and {name for name, _ in acks + responses} <= {"c1", "g1", "s1"}


@needs_serf
def test_how_long_our_query_runs(pool):
    """By the number of members that have not failed or left: 16 gossip intervals for each digit of it, as with Serf. [34]"""
    ours, serf, crowd = pool

    def check(number, names, limit_ms):
        """Both ask; number: of the question."""
        for one in (ours, serf):
            wait_until(lambda one=one: one.alive() == sorted(names))
        with concurrent.futures.ThreadPoolExecutor() as others:
            began = time.monotonic()
            answer = others.submit(ours.query, "ours-%d" % number)
            others.submit(serf.run, "query", "theirs-%d" % number)
            for name in ("ours-%d", "theirs-%d"):
                assert crowd.hears_query(name % number)["Timeout"] == limit_ms * 10 ** 6, name
            answer.result()
            assert time.monotonic() - began >= limit_ms / 1000
    nine = ["g1", "s1"] + ["c%d" % i for i in range(1, 8)]
    for name in nine[3:]:
        crowd.enter(name)
    check(1, nine, 3200)
    crowd.enter("c8")
    check(2, nine + ["c8"], 6400)
    crowd.leave("c8")
    check(3, nine, 3200)


@needs_serf
def test_a_query_that_is_not_passed_on(pool):
    """With NoBroadcast it is answered, and no other member hears of it; those after it are spread. [36]"""
    ours, serf, crowd = pool
    crowd.ask("silent", 10, WANTS_ACK | NO_BROADCAST)
    crowd.hears_ack(10, "g1")
    for ltime, name in ((11, "spread"), (12, "spread-too")):
        crowd.ask(name, ltime, WANTS_ACK)
        crowd.hears_ack(ltime, "g1")
        crowd.hears_ack(ltime, "s1")
        wait_until(lambda name=name: "query %s " % name in serf.seen(), what="the stock member hears of " + name)
    assert "silent" not in serf.seen() and [] == [m for kind, m in crowd.heard if kind == QUERY and m["Name"] == b"silent"]


# ---- the WAN pool ----

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
