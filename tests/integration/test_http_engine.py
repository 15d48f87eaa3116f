# SPDX-License-Identifier: Apache-2.0
"""httpd as clients of all manners see it: pipelining, bodies in pieces, limits, TLS, Unix sockets, compression, clients that go
away, and a daemon that is replaced under load."""
import contextlib
import gzip
import http.client
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from node import Node, wait_until

HOST = b"Host: x\r\n"


def connect(node, timeout=60):
    return socket.create_connection((node.address, 8500), timeout)


def read_until(sock, condition):
    got = b""
    while not condition(got):
        piece = sock.recv(65536)
        if not piece:
            break
        got += piece
    return got


def detail(node):
    return node.control("httpd", "status")["detail"]


def exchange(node, data):
    """Everything that comes back until the server closes."""
    with connect(node) as sock:
        sock.sendall(data)
        return read_until(sock, lambda got: False)


def test_pipelined_requests_are_answered_in_order(shared_node):
    node = shared_node
    node.put("/v1/kv/pipe", "x")
    index = node.get("/v1/kv/pipe").index
    with connect(node) as sock:
        started = time.monotonic()
        sock.sendall(b"GET /v1/kv/pipe?index=%d&wait=500ms HTTP/1.1\r\n" % index + HOST + b"\r\n"
                     + b"GET /v1/status/leader HTTP/1.1\r\n" + HOST + b"\r\n"
                     + b"PUT /v1/kv/pipe2 HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\ny"
                     + b"GET /v1/kv/pipe2?raw HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        got = read_until(sock, lambda got: False)
    assert time.monotonic() - started >= 0.5
    assert got.count(b"HTTP/1.1 200 OK") == 4
    assert got.index(b'"Key":"pipe"') < got.index(b":8300") < got.index(b"\r\n\r\ntrue") and got.endswith(b"\r\n\r\ny")


def test_a_client_that_has_ended_its_side_gets_all_answers(shared_node):
    node = shared_node
    with connect(node) as sock:
        sock.sendall((b"PUT /v1/kv/half HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nz") * 5
                     + b"GET /v1/kv/half?raw HTTP/1.1\r\n" + HOST + b"\r\nGET /v1/incomplete")
        sock.shutdown(socket.SHUT_WR)
        got = read_until(sock, lambda got: False)
    assert got.count(b"HTTP/1.1 200 OK") == got.count(b"HTTP/1.1") == 6 and got.endswith(b"\r\n\r\nz")
    index = node.get("/v1/kv/half").index
    with connect(node) as sock:  # nothing tells whether it is still there, so it counts as gone
        sock.sendall(b"PUT /v1/kv/half HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\ny"
                     + b"GET /v1/kv/half?index=%d&wait=60s HTTP/1.1\r\n" % (index + 1000) + HOST + b"\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_until(sock, lambda got: False).count(b"HTTP/1.1 200 OK") == 1
    assert detail(node)["held"] == 0


def test_requests_byte_by_byte(shared_node):
    request = (b"PUT /v1/kv/slow HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
               + b"GET /v1/kv/slow?raw HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    with connect(shared_node) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(request)):
            sock.sendall(request[i:i + 1])
        got = read_until(sock, lambda got: False)
    assert got.count(b"HTTP/1.1 200 OK") == 2 and got.endswith(b"abcde")


def test_expect_continue(shared_node):
    with connect(shared_node) as sock:
        sock.sendall(b"PUT /v1/kv/e HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert read_until(sock, lambda got: got.endswith(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert b"true" in read_until(sock, lambda got: b"true" in got)


def test_heads_and_bodies_over_the_limits(shared_node):
    node = shared_node
    big = b"X-Big: " + b"a" * (1 << 20) + b"\r\n"
    assert exchange(node, b"GET / HTTP/1.1\r\n" + HOST + big + big).startswith(b"HTTP/1.1 431 ")
    assert exchange(node, b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 600 + b"\r\n").startswith(b"HTTP/1.1 431 ")
    got = exchange(node, b"PUT /v1/kv/x HTTP/1.1\r\n" + HOST + b"Content-Length: 524289\r\n\r\n" + b"x" * 524289)
    assert got.startswith(b"HTTP/1.1 413 ") and b"Connection: close" in got
    got = exchange(node, b"PUT /v1/catalog/register HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 413 ")
    assert node.get("/v1/status/leader").status == 200
    assert detail(node)["buffered_bytes"] == 0


def test_a_client_that_goes_away_is_noticed_at_once(shared_node):
    node = shared_node
    node.put("/v1/kv/gone", "x")
    index = node.get("/v1/kv/gone").index
    socks = [connect(node) for _ in range(50)]
    for sock in socks:
        sock.sendall(b"GET /v1/kv/gone?index=%d&wait=60s HTTP/1.1\r\n" % index + HOST + b"\r\n")
    wait_until(lambda: detail(node)["waiting"] >= 50)
    for sock in socks:
        sock.close()
    wait_until(lambda: detail(node)["waiting"] == 0 and detail(node)["held"] == 0, limit_s=30)  # they would wait for 60 s


def test_held_queries_are_small_and_all_woken(make_node):
    node = make_node(config={"limits": {"http_max_conns_per_client": 2000}}).start()
    count = 500

    def anonymous_kib():
        with open("/proc/%d/smaps_rollup" % node.pid_of("httpd"), encoding="ascii") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous"))
    node.put("/v1/kv/held", "x")
    index = node.get("/v1/kv/held").index
    before = anonymous_kib()
    socks = [connect(node) for _ in range(count)]
    for sock in socks:
        sock.sendall(b"GET /v1/kv/held?index=%d&wait=60s HTTP/1.1\r\n" % index + HOST + b"Accept-Encoding: gzip\r\n\r\n")
    wait_until(lambda: detail(node)["waiting"] == count)
    assert (anonymous_kib() - before) * 1024 / count < 8192
    node.put("/v1/kv/other", "x")
    assert detail(node)["waiting"] == count
    node.put("/v1/kv/held", "y")
    for sock in socks:
        assert read_until(sock, lambda got: b"\r\n\r\n" in got).startswith(b"HTTP/1.1 200 OK")
        sock.close()


@pytest.mark.parametrize("how", ["", "recurse&", "keys&"])
def test_a_key_too_long_to_be_is_waited_for(shared_node, how):
    node = shared_node
    node.put("/v1/kv/long", "x")
    key = "/v1/kv/" + "k" * 600
    index = node.get(key + "?" + how).index
    assert index > 1
    begin = time.monotonic()
    answer = node.get("%s?%swait=1s&index=%d" % (key, how, index))
    assert time.monotonic() - begin > 0.9
    assert (answer.status, answer.index) == (404, index)


def test_heads_of_held_queries_are_limited(make_node):
    """All request bytes that are kept count, not only those that are incomplete: 256 MiB, and then one is refused."""
    node = make_node(config={"limits": {"http_max_conns_per_client": 2000}}).start()
    node.put("/v1/kv/held", "x")
    head = (b"GET /v1/kv/held?index=%d&wait=300s HTTP/1.1\r\n" % node.get("/v1/kv/held").index + HOST
            + b"X-Large: " + b"a" * 1000000 + b"\r\n\r\n")
    with contextlib.ExitStack() as stack:
        for count in range(1, 300):
            sock = stack.enter_context(connect(node))
            sock.sendall(head)
            if count < 255:
                continue
            wait_until(lambda n=count: detail(node)["held"] == n or select.select([sock], [], [], 0)[0])
            if detail(node)["held"] < count:
                break
        assert 240 < count < 280
        assert sock.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable: too many request bytes are held\r\n")
        assert 240 << 20 < detail(node)["buffered_bytes"] <= 256 << 20
        assert node.get("/v1/status/leader").status == 200
    wait_until(lambda: detail(node)["buffered_bytes"] == detail(node)["held"] == 0)


def test_gzip_only_where_it_is_wanted(shared_node):
    node = shared_node
    plain = node.get("/v1/catalog/nodes")
    assert "Content-Encoding" not in plain.headers and plain.headers["Vary"] == "Accept-Encoding"
    packed = node.get("/v1/catalog/nodes", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.body)) == plain.json()


def test_large_answers_to_slow_readers(shared_node):
    node = shared_node
    for i in range(12):
        node.put("/v1/kv/large/%d" % i, os.urandom(256 << 10))
    with connect(node) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(b"GET /v1/kv/large/?recurse HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        time.sleep(0.2)
        assert node.get("/v1/status/leader").status == 200  # nobody waits for the slow one
        got = read_until(sock, lambda got: False)
    head, body = got.split(b"\r\n\r\n", 1)
    assert b"Content-Length: %d" % len(body) in head and len(json.loads(body)) == 12


def test_connections_per_client_are_limited(make_node):
    node = make_node(config={"limits": {"http_max_conns_per_client": 5}}).start()
    time.sleep(0.1)
    socks = [connect(node) for _ in range(5)]
    wait_until(lambda: detail(node)["connections"] >= 5)
    with connect(node) as sock:
        assert sock.recv(10) == b""
    assert detail(node)["refused_by_client_limit"] >= 1
    for sock in socks:
        sock.close()
    wait_until(lambda: node.get("/v1/status/leader").status == 200)


def test_configured_headers_blocks_and_write_access(make_node):
    node = make_node(config={"http_config": {
        "response_headers": {"access-control-allow-origin": "*"}, "block_endpoints": ["/v1/agent/host"],
        "allow_write_http_from": ["10.0.0.0/8"]}}).start()
    answer = node.get("/v1/status/leader")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    answer = node.get("/v1/agent/host")
    assert (answer.status, answer.text) == (403, "Endpoint is blocked by agent configuration")
    answer = node.put("/v1/kv/a", "x")
    assert (answer.status, answer.text) == (403, "Access is restricted")


def test_unix_sockets(make_node, tmp_path):
    path = tmp_path / "http.sock"
    node = make_node()
    node.config = {"addresses": {"http": node.address + " unix://" + str(path)}, "unix_sockets": {"mode": "0600"}}
    node.start()
    assert os.stat(path).st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET /v1/status/leader HTTP/1.0\r\n\r\n")
        assert b":8300" in read_until(sock, lambda got: False)


def make_certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days", "2", "-subj", "/CN=localhost"], cwd=directory, check=True, capture_output=True)
    return directory / "cert.pem", directory / "key.pem"


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_tls(make_node, tmp_path):
    cert, key = make_certificate(tmp_path)
    node = make_node(config={"ports": {"https": 8501}, "cert_file": str(cert), "key_file": str(key)}).start()
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    connection = http.client.HTTPSConnection(node.address, 8501, context=context, timeout=60)
    for size in (10, 100000):
        value = os.urandom(size)
        connection.request("PUT", "/v1/kv/tls", value)
        assert connection.getresponse().read() == b"true"
        connection.request("GET", "/v1/kv/tls?raw")
        assert connection.getresponse().read() == value
    connection.close()
    with socket.create_connection((node.address, 8501), 60) as sock:  # no TLS at all
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            read_until(sock, lambda got: False)
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(socket.create_connection((node.address, 8501), 60))


@pytest.mark.skipif(not shutil.which("openssl") or not os.path.exists("/proc/net/if_inet6"), reason="needs openssl and IPv6")
def test_ipv4_clients_of_an_ipv6_socket(make_node, tmp_path):
    """One socket for both: they have their own addresses, and are in networks of IPv4."""
    cert, key = make_certificate(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = make_node(config={"ports": {"https": port}, "addresses": {"https": "::"}, "cert_file": str(cert), "key_file": str(key),
                             "http_config": {"allow_write_http_from": ["127.0.0.0/8"]}}).start()
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    for address, status in (("127.0.0.1", 200), ("::1", 403)):
        connection = http.client.HTTPSConnection(address, port, context=context, timeout=60)
        connection.request("PUT", "/v1/kv/mapped", "x")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"true" if status == 200 else b"Access is restricted"), address
        connection.close()


def test_nothing_fails_while_httpd_is_replaced(node: Node):
    node.put("/v1/kv/busy", "x")
    failures, counts, stop = [], [0], threading.Event()

    def client(method, path, pause):
        connection = None
        while not stop.is_set():
            try:
                connection = connection or http.client.HTTPConnection(node.address, 8500, timeout=60)
                connection.request(method, path, b"y" if method == "PUT" else None)
                answer = connection.getresponse()
                answer.read()
                counts[0] += 1
                if answer.status != 200:
                    failures.append(answer.status)
                if answer.headers.get("Connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection = None
            time.sleep(pause)
    threads = [threading.Thread(target=client, args=arguments) for arguments in (
        ("GET", "/v1/kv/busy", 0.001), ("GET", "/v1/catalog/nodes", 0.001), ("PUT", "/v1/kv/busy2", 0.001),
        ("GET", "/v1/kv/busy?index=99999999&wait=2s", 0))]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        node.wait_restarted("httpd", node.kill("httpd", signal.SIGTERM))
    wait_until(lambda: counts[0] > 100)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_reads_go_on_without_the_writers(node: Node):
    node.put("/v1/kv/stays", "x")
    for daemon in ("catalogd", "raftd"):
        pid = node.kill(daemon)
        for _ in range(20):
            assert node.get("/v1/kv/stays?raw").text == "x"
        node.wait_restarted(daemon, pid)
    assert node.put("/v1/kv/stays", "y").text == "true"
