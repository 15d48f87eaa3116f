# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 client which sends exactly the bytes it is told to and keeps the spelling of what comes back."""
import socket
import zlib


class HttpError(Exception):
    """The other side broke the protocol, or did not answer in time."""


class Response:
    """status, headers as a list of (name, value) in wire order, body (decompressed), closed (by the server)."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body
        self.closed = False

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None


class Connection:
    """One connection; request() connects (again) when needed."""

    def __init__(self, target, timeout=60.0):
        self.target = target
        self.timeout = timeout
        self.sock = None
        self.buffer = b""

    def connect(self):
        if isinstance(self.target, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.target)
        else:
            self.sock = socket.create_connection(self.target, timeout=self.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def fill(self):
        """Reads more bytes; False at the end of the stream."""
        try:
            data = self.sock.recv(65536)
        except socket.timeout as error:
            raise HttpError("no answer in time") from error
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def line(self):
        while b"\n" not in self.buffer:
            if not self.fill():
                raise HttpError("connection closed without an answer")
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise HttpError("connection closed within a body")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def chunked(self):
        body = b""
        while True:
            size = int(self.line().split(";")[0], 16)
            if size == 0:
                break
            body += self.exactly(size)
            self.line()
        while self.line():
            pass
        return body

    def read_response(self, method):
        status_line = self.line().split(" ", 2)
        if len(status_line) < 2 or not status_line[0].startswith("HTTP/1."):
            raise HttpError("not an HTTP status line: %r" % status_line)
        status = int(status_line[1])
        headers = []
        while True:
            line = self.line()
            if not line:
                break
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        response = Response(status, headers, b"")
        if status == 100:
            return self.read_response(method)
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif (response.header("Transfer-Encoding") or "").lower() == "chunked":
            body = self.chunked()
        elif response.header("Content-Length") is not None:
            body = self.exactly(int(response.header("Content-Length")))
        else:
            while self.fill():
                pass
            body, self.buffer = self.buffer, b""
        if response.header("Content-Encoding") == "gzip" and body:
            body = zlib.decompress(body, 31)
        response.body = body
        response.closed = (response.header("Connection") or "").lower() == "close"
        return response

    def send_raw(self, data):
        if self.sock is None:
            self.connect()
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass    # the answer, if there is one, was sent before the server closed

    def request(self, method, path, headers=(), body=b"", chunked=False):
        """Sends one request and reads its answer; a kept connection which turns out closed is opened once more."""
        lines = ["%s %s HTTP/1.1" % (method, path)]
        names = {name.lower() for name, _ in headers}
        if "host" not in names:
            lines.append("Host: conformance")
        lines += ["%s: %s" % item for item in headers]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif (body or method in ("PUT", "POST")) and "content-length" not in names:
            lines.append("Content-Length: %d" % len(body))
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
        for attempt in (1, 2):
            fresh = self.sock is None
            self.send_raw(data)
            try:
                response = self.read_response(method)
                break
            except HttpError as error:
                self.close()
                if fresh or attempt == 2 or "without an answer" not in str(error):
                    raise
        if response.closed:
            self.close()
        return response
