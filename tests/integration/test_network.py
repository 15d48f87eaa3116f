# SPDX-License-Identifier: Apache-2.0
"""The network that the tests of faults use does what it says."""
import socket
import subprocess
import sys

import pytest

from network import Network

ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7777))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(data, peer)
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.settimeout(0.1)
got = 0
for i in range(int(sys.argv[3])):
    s.sendto(b"x", (sys.argv[2], 7777))
    try:
        s.recv(100)
        got += 1
    except OSError:
        pass
print(got)
"""


@pytest.fixture
def network():
    made = Network(2, loss_percent=50)
    yield made
    made.close()


def on_host(network, host, code, *args):
    return subprocess.Popen([sys.executable, "-c", code, network.address(host), *args], stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: network.enter_host(host))


def asked(network, count=1):
    """How many of `count` questions of host 1 host 2 answers."""
    process = on_host(network, 1, ASK, network.address(2), str(count))
    return int(process.communicate(timeout=60)[0])


def test_cuts_losses_and_healing(network):
    echo = on_host(network, 2, ECHO)
    try:
        assert echo.stdout.readline() == "ready\n"
        assert asked(network) == 1
        network.cut_one_way(2, 1)
        assert asked(network) == 0
        network.heal()
        assert asked(network) == 1
        network.isolate(2)
        assert asked(network) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:  # the test is never cut off
            mine.settimeout(5)
            mine.sendto(b"x", (network.address(2), 7777))
            assert mine.recv(100) == b"x"
        network.heal()
        network.lose_everywhere()
        assert 1 <= asked(network, 30) <= 27
    finally:
        echo.kill()
        echo.wait()
