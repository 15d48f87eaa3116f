# SPDX-License-Identifier: Apache-2.0
"""Turns an answer into lines of text in which everything that may rightly differ has been given a stable name.

Indexes become their rank within the case (so equality and order are still compared), UUIDs the name under which
they were saved or a number in order of appearance, the server's own address `<addr>`. This happens in two steps:
while a case runs, such values are wrapped in marks; when it has ended, finish() names them all at once.
"""
import json
import re

from . import wire_dns

UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
MARK = re.compile("\x01([IULH])([^\x02]*)\x02")
INDEX_IN_TEXT = re.compile(r"(current modify index )(\d+)")
HIDDEN_HEADERS = {"date", "content-length", "transfer-encoding"}
HASH_MIN = 1 << 40      # an index from here on is a hash (of the last event): only its equality means something
INDEX_MEMBERS = {"CreateIndex", "ModifyIndex"}
VERSION_MEMBERS = {"version", "Version", "build"}


def mark(kind, value):
    return "\x01%s%s\x02" % (kind, value)


class Members(list):
    """A JSON object as its list of (name, value), so that the order of members and doubles are kept."""


def find(value, path):
    """All values under a dotted path; `*` or nothing special goes through lists, a number picks an element."""
    if not path:
        return [value]
    head, rest = path[0], path[1:]
    if isinstance(value, Members):
        return [hit for name, item in value if head in ("*", name) for hit in find(item, rest)]
    if isinstance(value, list):
        if head.isdigit():
            return find(value[int(head)], rest) if int(head) < len(value) else []
        deeper = rest if head == "*" else path
        return [hit for item in value for hit in find(item, deeper)]
    return []


def change(value, path, function):
    """A copy of value with function applied to what lies under path; function returns a list (empty = removed)."""
    if not path:
        return function(value)
    head, rest = path[0], path[1:]
    if head == "**":
        return change_deep(change(value, rest, function)[0], path, function)
    if isinstance(value, Members):
        out = Members()
        for name, item in value:
            results = change(item, rest, function) if head in ("*", name) else [item]
            out += [(name, result) for result in results]
        return [out]
    if isinstance(value, list):
        out = []
        for number, item in enumerate(value):
            if head.isdigit() and int(head) != number:
                out.append(item)
            else:
                out += change(item, rest if head == "*" or head.isdigit() else path, function)
        return [out]
    return [value]


def change_deep(value, path, function):
    """change() for a path beginning with `**`, below value."""
    if isinstance(value, Members):
        return [Members((name, change(item, path, function)[0]) for name, item in value)]
    if isinstance(value, list):
        return [[change(item, path, function)[0] for item in value]]
    return [value]


def split_path(text):
    return [] if text.strip() in (".", "") else text.strip().split(".")


def mask(value):
    kinds = {str: "string", bool: "bool", int: "number", float: "number", type(None): "null",
             Members: "object", list: "list"}
    return ["<%s>" % kinds[type(value)]]


def dump(value, indent):
    """JSON text, one member or element per line."""
    pad = " " * (indent + 1)
    if isinstance(value, Members):
        if not value:
            return "{}"
        lines = [pad + json.dumps(name, ensure_ascii=False) + ": " + dump(item, indent + 1) for name, item in value]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if isinstance(value, list):
        if not value:
            return "[]"
        return "[\n" + ",\n".join(pad + dump(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False)


def sort_key(value):
    """Orders the elements of an unordered list by what is not generated in them."""
    return MARK.sub("?", dump(value, 0).replace("\\u0001", "\x01").replace("\\u0002", "\x02"))


def json_style(text, value):
    """How the text was written: compact or pretty, and whether <, > and & are escaped."""
    strings = re.findall(r'"(?:[^"\\]|\\.)*"', text)
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    style = "compact" if not re.search(r"\s", rest) else "pretty" if rest.endswith("\n") else "spaced"
    if any(re.search("[<>&\u2028\u2029]", string) for string in strings):
        style += " unescaped"
    return style


class Normaliser:
    """Works for one side within one group; saved names live as long as it does."""

    def __init__(self, places):
        self.places = places            # (text, replacement) of this side's own addresses
        self.names = {}                 # uuid -> saved name

    def text(self, value):
        for own, name in self.places:
            value = value.replace(own, name)
        value = UUID.sub(lambda found: mark("U", found.group(0)), value)
        return INDEX_IN_TEXT.sub(lambda found: found.group(1) + mark("I", found.group(2)), value)

    def value(self, value, name=""):
        if isinstance(value, Members):
            return Members((self.text(key), self.value(item, key)) for key, item in value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            if name in VERSION_MEMBERS:
                return re.sub(r"\d+\.\d+\.\d+\S*?(?=:|$)", "<version>", value)
            return mark("H", value) if name == "ContentHash" else self.text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if name in INDEX_MEMBERS and value > 1:
                return mark("I", value)
            if name == "LTime" and value > 0:
                return mark("L", value)
        return value

    def header(self, name, value):
        if name.lower() == "x-consul-index" and value.isdigit() and int(value) > 1:
            return mark("I" if int(value) < HASH_MIN else "H", value)
        if name.lower() == "x-consul-contenthash":
            return mark("H", value)
        if name.lower() == "age":
            return "<seconds>"
        return self.text(value)

    def json_lines(self, step, text):
        value = json.loads(text, object_pairs_hook=Members)
        lines = ["json " + json_style(text, value)]
        value = self.value(value)
        for path in step.drops:
            value = (change(value, split_path(path), lambda _: []) or [None])[0]
        for path in step.masks:
            value = change(value, split_path(path), mask)[0]
        for path in step.unordered:
            value = change(value, split_path(path), lambda item: [
                (Members if isinstance(item, Members) else list)(sorted(item, key=sort_key))
                if isinstance(item, list) else item])[0]
        if step.picks:
            for path in step.picks:
                lines += ["%s = %s" % (path, dump(hit, 0)) for hit in find(value, split_path(path))] or \
                    ["%s is missing" % path]
        else:
            lines.append(dump(value, 0))
        return "\n".join(lines).split("\n")

    def body_lines(self, step, response):
        body = response.body
        if not body:
            return ["empty"]
        kind = response.header("Content-Type") or ""
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return ["binary, %d bytes" % len(body)]
        if len(text) > 200000:
            return ["long text, %d bytes" % len(body)]
        if kind.startswith("application/json"):
            try:
                return self.json_lines(step, text)
            except json.JSONDecodeError as error:
                return ["broken json: %s" % error] + self.text(text).split("\n")
        return ["text"] + self.text(text).split("\n")

    def http(self, step, response):
        only = set(" ".join(step.only).split())
        lines = ["status %d" % response.status]
        if not only or "headers" in only:
            shown = sorted("%s: %s" % (name, self.header(name, value)) for name, value in response.headers
                           if name.lower() not in HIDDEN_HEADERS)
            lines += shown
        if not only or "body" in only:
            lines += self.body_lines(step, response)
        return lines

    def dns_section(self, title, records, options):
        if "count" in options:
            counts = {}
            for record in records:
                counts[record[3]] = counts.get(record[3], 0) + 1
            return ["%s: %d %s" % (title, counts[kind], kind) for kind in sorted(counts)]
        lines = ["%s: %s %d %s %s %s" % (title, self.text(name), ttl, rclass, rtype, self.text(data))
                 for name, ttl, rclass, rtype, data in records]
        return lines if "ordered" in options else sorted(lines)

    def dns(self, step, raw, options):
        if raw is None:
            return ["no answer"]
        try:
            message = wire_dns.Message(raw)
        except wire_dns.DnsError as error:
            return ["an answer which does not decode: %s" % error]
        lines = ["%s flags %s%s" % (message.rcode, " ".join(message.flags),
                                    " opcode %d" % message.opcode if message.opcode else "")]
        lines += ["question: %s %s %s" % (self.text(name), *rest) for name, *rest in message.questions]
        if "compressed" in options:
            lines.append("compressed" if message.pointers else "not compressed")
        if "size" in options:
            lines.append("size: %d" % message.size)
        for title, records in zip(("answer", "authority", "additional"), message.sections):
            lines += self.dns_section(title, records, options)
        if message.edns:
            size, ttl, extra = message.edns
            lines.append("edns: size %d ttl %08x %s" % (size, ttl, " ".join(extra)))
        return lines

    def finish(self, answers):
        """Names every marked value of a case: answers is a list of lists of lines."""
        text = "\x03".join("\x04".join(lines) for lines in answers)
        text = text.replace("\\u0001", "\x01").replace("\\u0002", "\x02")
        found = MARK.findall(text)
        ranks = {}
        for kind in "IL":
            values = sorted({int(value) for letter, value in found if letter == kind})
            ranks.update({(kind, str(value)): "#%d" % (n + 1) for n, value in enumerate(values)})
        for letter, value in found:
            if letter == "U" and value in self.names:
                ranks[letter, value] = "<%s>" % self.names[value]
            elif letter in "UH" and (letter, value) not in ranks:
                number = sum(1 for key in ranks if key[0] == letter and key[1] not in self.names) + 1
                ranks[letter, value] = "<%s %d>" % ("uuid" if letter == "U" else "hash", number)
        text = MARK.sub(lambda hit: ranks[hit.group(1), hit.group(2)], text)
        return [lines.split("\x04") for lines in text.split("\x03")]
