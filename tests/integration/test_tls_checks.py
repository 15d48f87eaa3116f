# SPDX-License-Identifier: Apache-2.0
"""Checks over TLS and gRPC against servers that really answer: names in certificates, SNI, serving and not serving."""
import http.server
import shutil
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from node import wait_until

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
NAME = "inside.example.com"
AGENT_TLS = {"enable_agent_tls_for_checks": True}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) for NAME and the node's name, signed by itself."""
    directory = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days", "2", "-subj", "/CN=nobody", "-addext", "subjectAltName=DNS:%s,DNS:n1" % NAME], cwd=directory,
                   check=True, capture_output=True)
    return directory / "cert.pem", directory / "key.pem"


def server_context(certificate, names):
    """names: where the names that clients ask for are put down."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda sock, name, own: names.append(name)
    return context


class WebServer(http.server.ThreadingHTTPServer):
    """HTTPS; remembers the names asked for in TLS and in Host headers. /move leads to /."""
    daemon_threads = True

    def __init__(self, address, certificate):
        self.names, self.hosts = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                self.server.hosts.append(self.headers["Host"])
                self.send_response(302 if self.path == "/move" else 200)
                if self.path == "/move":
                    self.send_header("Location", "/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        super().__init__((address, 0), Handler)
        self.context = server_context(certificate, self.names)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self):
        sock, peer = super().get_request()
        return self.context.wrap_socket(sock, server_side=True), peer


class GrpcServer:
    """grpc.health.v1.Health in as many frames as it takes: every request gets the same answer."""
    HEADERS, DATA, SETTINGS, END_STREAM, END_HEADERS, ACK = 1, 0, 4, 1, 4, 1

    def __init__(self, address, context=None):
        self.status, self.error, self.context, self.requests = 1, None, context, []
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.client, args=(sock,), daemon=True).start()

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload

    @staticmethod
    def headers(*pairs):
        """HPACK: literals without indexing and without Huffman codes."""
        return b"".join(b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in pair) for pair in pairs)

    def answer(self, stream):
        head = self.frame(self.HEADERS, self.END_HEADERS, stream,
                          self.headers((":status", "200"), ("content-type", "application/grpc")))
        if self.error:
            return head + self.frame(self.HEADERS, self.END_HEADERS | self.END_STREAM, stream,
                                     self.headers(("grpc-status", self.error[0]), ("grpc-message", self.error[1])))
        message = b"\x08" + bytes([self.status])
        return head + self.frame(self.DATA, 0, stream, b"\0" + struct.pack("!I", len(message)) + message) + \
            self.frame(self.HEADERS, self.END_HEADERS | self.END_STREAM, stream, self.headers(("grpc-status", "0")))

    def client(self, sock):
        try:
            with self.context.wrap_socket(sock, server_side=True) if self.context else sock as sock:
                stream = sock.makefile("rb")
                if stream.read(24) != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
                    return
                sock.sendall(self.frame(self.SETTINGS, 0, 0, b""))
                while head := stream.read(9):
                    size, kind, flags, number = struct.unpack("!IBBI", b"\0" + head)
                    payload = stream.read(size)
                    if kind == self.SETTINGS and not flags & self.ACK:
                        sock.sendall(self.frame(self.SETTINGS, self.ACK, 0, b""))
                    if kind == self.DATA and flags & self.END_STREAM:
                        self.requests.append(payload)
                        sock.sendall(self.answer(number))
        except (OSError, ValueError):
            pass

    def stop(self):
        self.listener.close()


def watch(node, **check):
    """Registers a check; returns a function that waits for its state and gives its output."""
    check = dict({"ID": "c", "Name": "c", "Interval": "1s"}, **check)
    answer = node.put("/v1/agent/check/register", check)
    assert answer.status == 200, answer.text

    def becomes(status, text=""):
        def there():
            nonlocal found
            found = node.json("/v1/agent/checks")["c"]
            return found["Status"] == status and text in found["Output"] and found["Output"]
        found = None
        try:
            return wait_until(there, what="%s %s" % (status, text))
        except AssertionError:
            raise AssertionError("not %s %s: %s" % (status, text, found)) from None
    return becomes


def test_name_of_the_certificate(make_node, certificate):
    node = make_node(config=dict(AGENT_TLS, ca_file=str(certificate[0]), server_name="wrong.example.com")).start()
    server = WebServer(node.address, certificate)
    url = "https://%s:%d" % (node.address, server.server_port)
    becomes = watch(node, HTTP=url + "/move", TLSServerName=NAME)
    assert becomes("passing").startswith("HTTP GET %s/move: 200 OK" % url)
    assert set(server.names) == {NAME}
    assert set(server.hosts) == {"%s:%d" % (node.address, server.server_port)}
    becomes = watch(node, HTTP=url, TLSServerName=NAME, Header={"Host": ["elsewhere"]})
    wait_until(lambda: server.hosts[-1] == "elsewhere")
    becomes = watch(node, HTTP=url, TLSServerName="other.example.com")
    becomes("critical")
    assert server.names[-1] == "other.example.com"
    becomes = watch(node, HTTP=url)     # the agent's server_name
    becomes("critical")
    wait_until(lambda: server.names[-1] == "wrong.example.com")
    becomes = watch(node, HTTP=url, TLSServerName="other.example.com", TLSSkipVerify=True)
    becomes("passing")
    becomes = watch(node, HTTP=url, TLSServerName="no name/")
    becomes("critical", "the TLS server name cannot be one")
    server.shutdown()
    server.server_close()


def test_own_name_is_expected_with_the_agents_tls(make_node, certificate):
    node = make_node(config=dict(AGENT_TLS, ca_file=str(certificate[0]))).start()
    server = WebServer(node.address, certificate)
    watch(node, HTTP="https://%s:%d" % (node.address, server.server_port))("passing")
    assert set(server.names) == {"n1"}
    server.shutdown()
    server.server_close()


def test_grpc(shared_node):
    node = shared_node
    server = GrpcServer(node.address)
    target = "%s:%d" % (node.address, server.port)
    becomes = watch(node, GRPC=target)
    assert becomes("passing") == "gRPC check %s: success" % target
    assert server.requests[-1] == bytes(5)
    server.status = 2
    assert becomes("critical") == "gRPC application didn't report service healthy"
    server.error = ("5", "unknown service")
    becomes("critical", "rpc error: code = NotFound desc = unknown service")
    server.error = None
    server.status = 1
    becomes = watch(node, GRPC=target + "/some.service")
    becomes("passing")
    wait_until(lambda: server.requests[-1] == b"\0\0\0\0\x0e\x0a\x0csome.service")
    server.stop()


def test_grpc_over_tls(make_node, certificate):
    node = make_node(config=dict(AGENT_TLS, ca_file=str(certificate[0]))).start()
    names = []
    server = GrpcServer(node.address, server_context(certificate, names))
    target = "%s:%d" % (node.address, server.port)
    watch(node, GRPC=target, GRPCUseTLS=True, TLSServerName=NAME)("passing")
    assert set(names) == {NAME} and server.requests
    watch(node, GRPC=target, GRPCUseTLS=True, TLSServerName="other.example.com")("critical")
    watch(node, GRPC=target, GRPCUseTLS=True, TLSServerName="other.example.com", TLSSkipVerify=True)("passing")
    server.stop()
