# SPDX-License-Identifier: Apache-2.0
"""Loads: wrk and dnsperf for throughput and CPU, plain sockets for held queries."""
import base64
import http.client
import json
import os
import random
import re
import select
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from servers import cpu_seconds, memory_kib

HERE = os.path.dirname(os.path.abspath(__file__))


def busy_cores(seconds=0.3):
    def read():
        fields = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
        return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")

    before = read()
    time.sleep(seconds)
    return (read() - before) / seconds


def wait_quiet(limit=20):
    """Other work on the machine is the largest error; wait for a calm moment."""
    end = time.monotonic() + limit
    while time.monotonic() < end and busy_cores() > 0.25:
        pass


def wrk(server, operation, connections, seconds, keys=10000):
    """Requests per second, median and 99th percentile in ms, server CPU per request in us."""
    wait_quiet()
    before = cpu_seconds(server.pids())
    out = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--timeout", "8s", "-s",
                          os.path.join(HERE, "requests.lua"), "http://" + server.http, "--", operation, str(keys)],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    used = cpu_seconds(server.pids()) - before
    result = json.loads(out.split("JSON ", 1)[1])
    if result["failed"]:
        print("  %s %s: %d requests failed" % (server.name, operation, result["failed"]))
    return {"rate": result["requests"] / (result["us"] / 1e6), "p50": result["p50"] / 1e3, "p99": result["p99"] / 1e3,
            "cpu": used * 1e6 / max(1, result["requests"]), "failed": result["failed"]}


def dnsperf(server, name, kind, seconds, outstanding=64):
    wait_quiet()
    with tempfile.NamedTemporaryFile("w", suffix=".queries") as f:
        f.write("%s %s\n" % (name, kind) * 100)
        f.flush()
        before = cpu_seconds(server.pids())
        out = subprocess.run(["dnsperf", "-s", server.dns[0], "-p", str(server.dns[1]), "-d", f.name, "-l", str(seconds),
                              "-c", "8", "-T1", "-q", str(outstanding), "-t", "2"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=True).stdout
        used = cpu_seconds(server.pids()) - before
    completed = int(re.search(r"Queries completed:\s+(\d+)", out).group(1))
    if "NOERROR %d" % completed not in re.sub(r"\s+", " ", out) and "NOERROR" not in out:
        print("  %s %s %s: not all answers were NOERROR" % (server.name, name, kind))
    return {"rate": float(re.search(r"Queries per second:\s+([\d.]+)", out).group(1)),
            "cpu": used * 1e6 / max(1, completed)}


def in_threads(count, jobs, one):
    """Runs one(connection, job) for all jobs on `count` connections; raises where any failed."""
    failures = []

    def work(k):
        for job in jobs[k::count]:
            if not one(k, job):
                failures.append(job)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise SystemExit("%d of %d writes failed" % (len(failures), len(jobs)))


def load_keys(server, count, size=256):
    """Keys bench/000000 ... through transactions of 64 on four connections. Returns seconds."""
    rnd = random.Random(7)
    values = [base64.b64encode(base64.b64encode(rnd.randbytes(size))[:size]).decode() for _ in range(512)]
    conns = [http.client.HTTPConnection(server.http, timeout=60) for _ in range(4)]

    def one(k, start):
        ops = [{"KV": {"Verb": "set", "Key": "bench/%06d" % i, "Value": values[i % 512]}}
               for i in range(start, min(count, start + 64))]
        return server.ask("PUT", "/v1/txn", json.dumps(ops), conn=conns[k])[0] == 200

    began = time.monotonic()
    in_threads(4, list(range(0, count, 64)), one)
    return time.monotonic() - began


def load_services(server):
    """bench3, bench100, bench1000: one instance per node with a passing check; and 1,000 names svc-0000 ..."""
    jobs = []
    for size in (3, 100, 1000):
        for i in range(size):
            service = "bench%d-%d" % (size, i)
            jobs.append({"Node": "node-%04d" % i, "Address": "10.1.%d.%d" % (i >> 8, i & 255),
                         "Service": {"ID": service, "Service": "bench%d" % size, "Port": 8000 + i,
                                     "Tags": ["v1", "primary"], "Meta": {"version": "1.2.3"}},
                         "Check": {"Node": "node-%04d" % i, "CheckID": "service:" + service, "Name": "Service check",
                                   "Status": "passing", "ServiceID": service, "Output": "HTTP GET: 200 OK"}})
    for i in range(1000):
        jobs.append({"Node": "node-%04d" % i, "Address": "10.1.%d.%d" % (i >> 8, i & 255),
                     "Service": {"ID": "svc-%04d" % i, "Service": "svc-%04d" % i, "Port": 9000, "Tags": ["a"]}})
    conns = [http.client.HTTPConnection(server.http, timeout=60) for _ in range(8)]
    in_threads(8, jobs, lambda k, job: server.ask("PUT", "/v1/catalog/register", json.dumps(job), conn=conns[k])[0] == 200)


def held_queries(server, held=1000, trials=5):
    """KiB per held query, ms from the PUT to the last answer, and whether memory comes back when the clients leave."""
    host, port = server.http.split(":")
    server.ask("PUT", "/v1/kv/bench/fan", "x")
    time.sleep(0.5)
    before = memory_kib(server.pids())
    poll, sockets = select.epoll(), {}
    for _ in range(held):
        s = socket.create_connection((host, int(port)))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(s.fileno(), select.EPOLLIN)
        sockets[s.fileno()] = s
    last, during = [], None
    for trial in range(trials):
        index = server.ask("GET", "/v1/kv/bench/fan")[2].getheader("X-Consul-Index")
        ask = ("GET /v1/kv/bench/fan?index=%s&wait=120s HTTP/1.1\r\nHost: x\r\n\r\n" % index).encode()
        for s in sockets.values():
            s.sendall(ask)
        time.sleep(1)
        during = during or memory_kib(server.pids())
        wait_quiet()
        writer = socket.create_connection((host, int(port)))
        value = "trial%d" % trial
        began = time.monotonic()
        writer.sendall(("PUT /v1/kv/bench/fan HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(value), value)).encode())
        left = set(sockets)
        while left and time.monotonic() - began < 20:
            for fd, _ in poll.poll(1, 1000):
                sockets[fd].recv(65536)
                left.discard(fd)
        last.append((time.monotonic() - began) * 1e3)
        writer.close()
        if left:
            raise SystemExit("%s: %d of %d held queries got no answer" % (server.name, len(left), held))
    for s in sockets.values():
        s.close()
    return {"kib": (during["Anonymous"] - before["Anonymous"]) / held, "last_ms": statistics.median(last)}


def descriptors(server):
    return sum(len(os.listdir("/proc/%d/fd" % pid)) for pid in server.pids())
