# SPDX-License-Identifier: Apache-2.0
"""HAProxy follows a service through SRV records (server-template) while instances come, fail and go."""
import http.client
import http.server
import shutil
import subprocess
import threading

import pytest

from node import PORTS, free_address, wait_until

CONFIG = """
global
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
resolvers muster
    nameserver muster {address}:{dns}
    accepted_payload_size 8192
    resolve_retries 3
    timeout resolve 100ms
    timeout retry 100ms
    hold valid 100ms
    hold obsolete 200ms
    hold nx 200ms
frontend in
    bind {listen}:8080
    default_backend web
backend web
    balance roundrobin
    option redispatch
    server-template web 6 _web._tcp.service.consul resolvers muster resolve-prefer ipv4 init-addr none
"""


class Instance(http.server.ThreadingHTTPServer):
    """Answers each request with its own name."""
    daemon_threads = True

    def __init__(self, name, address, port):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *args):
                pass
        super().__init__((address, port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy")
def test_server_template(node, tmp_path):
    listen = free_address()
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(address=node.address, dns=PORTS["dns"], listen=listen))
    # An address each: HAProxy 2.6 takes up a second instance on the same address only sometimes, behind Consul too.
    places = [listen.rsplit(".", 1)[0] + ".%d" % (251 + i) for i in range(4)]
    instances = [Instance("i%d" % i, places[i], 9000 + i) for i in range(4)]
    proxy = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def register(i):
        answer = node.put("/v1/agent/service/register", {
            "Name": "web", "ID": "web-%d" % i, "Address": places[i], "Port": 9000 + i,
            "Check": {"CheckID": "c%d" % i, "TTL": "60s", "Status": "passing"}})
        assert answer.status == 200, answer.text

    def reached():
        """The names that twelve requests reach; None in it for a request that failed."""
        names = set()
        for _ in range(12):
            connection = http.client.HTTPConnection(listen, 8080, timeout=20)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                names.add(answer.read().decode() if answer.status == 200 else None)
            except OSError:
                names.add(None)
            finally:
                connection.close()
        return names
    def follows(*expected):
        last = None

        def reached_now():
            nonlocal last
            last = reached()
            return last == set(expected)
        try:
            wait_until(reached_now, 60, pause_s=0.1)
        except AssertionError:
            raise AssertionError("expected %s, got %s" % (expected, last)) from None
    try:
        register(0)
        register(1)
        follows("i0", "i1")
        register(2)
        register(3)
        follows("i0", "i1", "i2", "i3")
        node.put("/v1/agent/check/fail/c1")
        follows("i0", "i2", "i3")
        node.put("/v1/agent/service/deregister/web-0")
        follows("i2", "i3")
        node.put("/v1/agent/check/pass/c1")
        follows("i1", "i2", "i3")
        pid = node.kill("dnsd")
        node.wait_restarted("dnsd", pid)
        follows("i1", "i2", "i3")
    finally:
        proxy.terminate()
        proxy.wait()
        for instance in instances:
            instance.shutdown()
            instance.server_close()
