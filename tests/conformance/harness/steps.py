# SPDX-License-Identifier: Apache-2.0
"""Executes the steps of one group against one server and returns the normalised answer of each.

Nothing here knows which server it speaks to: whatever differs between the two sides comes in as variables.
"""
import json
import re
import struct
import threading
import time
import urllib.parse

from . import normal, server, wire_dns, wire_http

POLL_LIMIT_S = 40
JOIN_LIMIT_S = 60
ANSWER_LIMIT_S = 30.0   # for an answer that must come
SILENCE_S = 0.7         # how long "no answer" is waited for where it may be the expected answer


class StepError(Exception):
    """The step could not be carried out; its text becomes the answer."""


class Background(threading.Thread):
    """A request on a connection of its own."""

    def __init__(self, address, arguments):
        super().__init__(daemon=True)
        self.connection = wire_http.Connection((address, server.PORTS["http"]), timeout=JOIN_LIMIT_S)
        self.arguments = arguments
        self.response = None
        self.error = None
        self.seconds = None

    def run(self):
        started = time.monotonic()
        try:
            self.response = self.connection.request(*self.arguments)
        except (OSError, wire_http.HttpError) as error:
            self.error = error
        self.seconds = time.monotonic() - started
        self.connection.close()


def unescape(text):
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def duration(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s)", text).groups()
    return int(number) / (1000 if unit == "ms" else 1)


class Runner:
    """One group on one server."""

    def __init__(self, target):
        self.target = target
        self.variables = dict(target.variables)
        self.normal = normal.Normaliser(target.places)
        self.connection = wire_http.Connection((target.address, server.PORTS["http"]))
        self.background = {}
        self.blobs = {}

    # -- variables

    def expand(self, text):
        def value(found):
            name, step = found.group(1) or found.group(2), found.group(3)
            if name not in self.variables:
                raise StepError("no variable " + name)
            return str(int(self.variables[name]) + int(step)) if step else str(self.variables[name])
        return re.sub(r"\$(?:([a-z]\w*)|\{([a-z]\w*)([+-]\d+)?\})", value, text)

    def save(self, rule, response):
        name, kind, *rest = rule.split()
        if kind == "body":
            self.blobs[name] = response.body
            return
        if kind == "header":
            values = [response.header(rest[0])] if response.header(rest[0]) else []
        else:
            try:
                body = json.loads(response.body or b"null", object_pairs_hook=normal.Members)
            except ValueError:
                body = None
            values = normal.find(body, normal.split_path(kind))
        if not values or values[0] is None:
            raise StepError("nothing to save as %s in: %d %r" % (name, response.status, response.body[:300]))
        self.variables[name] = values[0]
        if isinstance(values[0], str) and normal.UUID.fullmatch(values[0]):
            self.normal.names[values[0]] = name

    # -- HTTP

    def request_body(self, step):
        return "\n".join(self.expand(line) for line in step.body).encode("utf-8") + self.made_body(step)

    def made_body(self, step):
        """What the `body` rules of a step add to its body lines."""
        body = b""
        for rule in step.body_rules:
            kind, *rest = rule.split(" ")
            if kind == "saved":
                body += self.blobs[rest[0]]
                continue
            if kind == "repeat":
                body += rest[0].encode() * int(rest[1])
            elif kind == "escaped":
                body += unescape(" ".join(rest))
            elif kind == "txn":
                operation = {"KV": {"Verb": "get", "Key": "none"}}
                body += json.dumps([operation] * int(rest[0])).encode()
            elif kind != "chunked":
                raise StepError("unknown body rule " + kind)
        return body

    def arguments(self, step):
        method, path = step.words[0], self.expand(" ".join(step.words[1:]))
        for query in step.query:
            name, _, value = self.expand(query).partition("=")
            path += ("&" if "?" in path else "?") + name + "=" + urllib.parse.quote(value)
        headers = []
        for line in step.headers:
            name, _, value = self.expand(line).partition(":")
            headers.append((name, value.strip()))
        return method, path, headers, self.request_body(step), "chunked" in step.body_rules

    def do_http(self, step):
        connection = wire_http.Connection(self.expand(step.via[0])) if step.via else self.connection
        response = connection.request(*self.arguments(step))
        if step.via:
            connection.close()
        return response, self.normal.http(step, response)

    def do_restart(self, step):
        self.connection.close()
        self.target.restart()
        return None, ["restarted"]

    def do_rewrite(self, step):
        """Replaces members of the server's configuration file; they take effect with a reload or restart."""
        self.target.rewrite(json.loads(self.expand(" ".join(step.words))))
        return None, ["rewritten"]

    def do_raw(self, step):
        """Bytes as they are: each body line is sent with CRLF, unless it begins with `=`."""
        data = b""
        for line in step.body:
            line = self.expand(line)
            data += unescape(line[2:]) if line.startswith("= ") else unescape(line) + b"\r\n"
        data += self.made_body(step)
        connection = wire_http.Connection((self.target.address, server.PORTS["http"]), timeout=ANSWER_LIMIT_S)
        lines = []
        try:
            connection.send_raw(data)
            for _ in range(int(step.words[0]) if step.words else 1):
                lines += self.normal.http(step, connection.read_response("GET"))
            connection.sock.settimeout(SILENCE_S)
            lines.append("then closed" if not connection.fill() else "then more")
        except wire_http.HttpError as error:
            lines.append("stays open" if lines and "in time" in str(error) else str(error))
        except OSError as error:
            lines.append(type(error).__name__)
        finally:
            connection.close()
        return None, lines

    def do_join(self, step):
        thread = self.background.pop(step.words[0], None)
        if thread is None:
            raise StepError("nothing was started as " + step.words[0])
        thread.join(JOIN_LIMIT_S)
        if thread.error or thread.response is None:
            return None, ["background request failed: %s" % thread.error]
        wait = re.search(r"[?&]wait=(\d+m?s)", thread.arguments[1])
        early = thread.seconds < duration(wait.group(1)) if wait else True
        return thread.response, ["returned %s" % ("early" if early else "at its time")] + \
            self.normal.http(step, thread.response)

    def do_still(self, step):
        thread = self.background.get(step.words[0])
        if thread is None:
            raise StepError("nothing was started as " + step.words[0])
        thread.join(duration(step.words[1]))
        return None, ["still waiting" if thread.is_alive() else "not waiting any more"]

    # -- DNS

    def query(self, options, name, qtype):
        """The query of one dns step, and the options which remain for its normalisation."""
        arguments = {"qtype": wire_dns.TYPES.get(qtype) or int(qtype), "flags": 0x0100, "options": b""}
        left = []
        for option in options:
            key, _, value = option.partition("=")
            if key == "edns":
                arguments["edns"] = int(value)
            elif key == "ecs":
                arguments["options"] += wire_dns.encode_ecs(value)
                arguments.setdefault("edns", 1232)
            elif key == "cookie":
                arguments["options"] += struct.pack("!HH", 10, 8) + b"muster!!"
                arguments.setdefault("edns", 1232)
            elif key == "do":
                arguments["edns_flags"] = 0x8000
            elif key == "ednsversion":
                arguments["edns_flags"] = int(value) << 16
            elif key == "class":
                arguments["qclass"] = wire_dns.CLASSES[value]
            elif key == "nord":
                arguments["flags"] &= ~0x0100
            elif key == "opcode":
                arguments["flags"] |= int(value) << 11
            elif key in ("ad", "cd", "aa", "tc", "z", "qr"):
                arguments["flags"] |= dict(wire_dns.FLAGS)[key]
            elif key in ("tcp", "count", "size", "ordered", "compressed"):
                left.append(option)
            elif key == "times":
                left.append(option)
            else:
                raise StepError("unknown dns option " + option)
        return wire_dns.encode_query(name, **arguments), left

    def ask(self, data, tcp, timeout):
        address, port = self.target.address, server.PORTS["dns"]
        if tcp:
            return wire_dns.ask_tcp(address, port, data, 1, timeout)[0]
        return wire_dns.ask_udp(address, port, data, timeout)

    def do_dns(self, step):
        name, qtype, *options = [self.expand(word) for word in step.words]
        data, options = self.query(options, name, qtype)
        times = [int(option[6:]) for option in options if option.startswith("times=")]
        if times:
            answers = wire_dns.ask_tcp(self.target.address, server.PORTS["dns"], data, times[0], ANSWER_LIMIT_S)
            return None, [line for answer in answers for line in self.normal.dns(step, answer, options)]
        return None, self.normal.dns(step, self.ask(data, "tcp" in options, ANSWER_LIMIT_S), options)

    def do_dnsraw(self, step):
        """A message given in hexadecimal; `0x…` words are the bytes, `name:x.y` an encoded name."""
        data, options = b"", []
        for word in step.words:
            word = self.expand(word)
            if word.startswith("name:"):
                data += wire_dns.encode_name(word[5:])
            elif re.fullmatch(r"(?:[0-9a-f]{2})+", word):
                data += bytes.fromhex(word)
            else:
                options.append(word)
        if "tcp" in options:
            answer = self.ask(data, True, ANSWER_LIMIT_S)
        else:
            marker = wire_dns.encode_query("n1.node.consul", 1, qid=0xfffe)
            answer = wire_dns.ask_udp_or_silence(self.target.address, server.PORTS["dns"], data, marker,
                                                 (SILENCE_S, ANSWER_LIMIT_S))
        return None, self.normal.dns(step, answer, options)

    # -- steps

    def once(self, step):
        if step.background:
            thread = Background(self.target.address, self.arguments(step))
            self.background[step.background] = thread
            thread.start()
            return None, ["started"]
        if step.kind == "sleep":
            time.sleep(duration(step.words[0]))
            return None, ["slept"]
        return getattr(self, "do_" + step.kind)(step)

    def satisfied(self, step, response, lines):
        text = "\n".join(lines)
        if response is not None:
            text = "%d\n%s" % (response.status, response.body.decode("utf-8", "replace"))
        return all(re.search(self.expand(pattern), text) for pattern in step.until) and \
            not any(re.search(self.expand(pattern), text) for pattern in step.until_not)

    def poll(self, step):
        deadline = time.monotonic() + POLL_LIMIT_S
        while True:
            response, lines = self.once(step)
            if self.satisfied(step, response, lines):
                return response, lines
            if time.monotonic() > deadline:
                return response, ["never came true"] + lines
            time.sleep(0.02)

    def run(self, step):
        try:
            response, lines = self.poll(step) if step.poll else self.once(step)
            for rule in step.saves:
                self.save(rule, response)
        except StepError as error:
            return ["cannot be done: %s" % error]
        except (OSError, wire_http.HttpError) as error:
            self.connection.close()
            return ["failed: %s" % error]
        return lines

    def close(self):
        self.connection.close()
        for thread in self.background.values():
            thread.connection.close()


def run_group(group, target):
    """Returns {case name: [lines of each step]}; setup answers which look wrong are reported with each case."""
    target.empty()
    runner = Runner(target)
    answers = {}
    try:
        broken = []
        for step in group.setup:
            lines = runner.run(step)
            if not lines or not re.match(r"status 200|started|slept|NOERROR", lines[0]):
                broken.append("setup failed: %s: %s" % (step.title(), " / ".join(lines[:6])))
        for case in group.cases:
            started = time.monotonic()
            results = [runner.run(step) for step in case.steps]
            target.seconds[case.name] = time.monotonic() - started
            answers[case.name] = runner.normal.finish([broken + results[0]] + results[1:] if broken else results)
    finally:
        runner.close()
    return answers
