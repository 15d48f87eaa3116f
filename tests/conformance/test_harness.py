# SPDX-License-Identifier: Apache-2.0
"""Tests of the harness itself: above all, that a difference between two answers is found."""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import cases, compare, normal, upstream, wire_dns, wire_http  # noqa: E402

ANSWER = ["status 200", "X-Consul-Index: #1", "json compact", "true"]


def step_of(text):
    words, *modifiers = text.split("\n")
    step = cases.parse_step(words.split(), "test")
    for line in modifiers:
        word, _, rest = line.partition(" ")
        getattr(step, cases.MODIFIERS[word]).append(rest)
    return step


def respond(body, headers=(("Content-Type", "application/json"),), status=200):
    return wire_http.Response(status, list(headers), body.encode())


def lines_of(body, step="GET /", places=(), **more):
    normaliser = normal.Normaliser(places)
    return normaliser.finish([normaliser.http(step_of(step), respond(body, **more))])[0]


@pytest.mark.parametrize("changed", [
    ["status 201"] + ANSWER[1:], ANSWER[:1] + ANSWER[2:], ANSWER[:3] + ["false"], ANSWER + ["more"], []])
def test_every_kind_of_difference_fails(changed):
    verdict = compare.judge({"f:c": ["GET /"]}, {"f:c": [ANSWER]}, {"f:c": [changed]}, {}, ("a", "b"))
    assert [case for case, _ in verdict.failed] == ["f:c"] and not verdict.passed
    assert verdict.summary() == "0 passed, 1 failed, 0 listed differences"


def test_equal_answers_pass_and_missing_ones_fail():
    titles = {"f:c": ["GET /"], "f:d": ["GET /"]}
    verdict = compare.judge(titles, {"f:c": [ANSWER], "f:d": [ANSWER]}, {"f:c": [ANSWER]}, {}, ("a", "b"))
    assert verdict.summary() == "1 passed, 1 failed, 0 listed differences"
    verdict = compare.judge(titles, {"f:c": [ANSWER]}, {"f:c": [ANSWER], "f:d": [ANSWER]}, {}, ("a", "b"))
    assert [case for case, _ in verdict.failed] == ["f:d"]


def test_a_listed_difference_must_differ():
    listed = {"f:c": ("1", "because")}
    verdict = compare.judge({"f:c": ["GET /"]}, {"f:c": [ANSWER]}, {"f:c": [ANSWER]}, listed, ("a", "b"))
    assert len(verdict.failed) == 1
    verdict = compare.judge({"f:c": ["GET /"]}, {"f:c": [ANSWER]}, {"f:c": [[]]}, listed, ("a", "b"))
    assert len(verdict.listed) == 1 and not verdict.failed


def test_a_difference_of_header_indexes_only():
    def answer(header, body):
        return [["status 200", "X-Consul-Index: %s" % header, ' "ModifyIndex": "%s"' % body]]
    listed = {"f:c/index": ("1", "because")}

    def counts(one, two):
        verdict = compare.judge({"f:c": ["GET /"]}, {"f:c": one}, {"f:c": two}, listed, ("a", "b"))
        return len(verdict.passed), len(verdict.failed), len(verdict.listed)
    assert counts(answer("#1", "#2"), answer("1", "#1")) == (0, 0, 1)
    assert counts(answer("#1", "#2"), answer("#1", "#2")) == (0, 1, 0)
    assert counts(answer("#1", "#2"), answer("#1", "2")) == (0, 1, 0)


def test_recorded_answers_survive_a_round_trip(tmp_path):
    titles, answers = {"f:c": ["GET /", "dns x A"]}, {"f:c": [ANSWER, ["", "  two", "=== three"]]}
    compare.write_golden(tmp_path, titles, answers)
    assert compare.read_golden(tmp_path) == (titles, answers)


def test_indexes_keep_equality_and_order_only():
    one = '[{"CreateIndex":%d,"ModifyIndex":%d},{"ModifyIndex":%d}]'
    assert lines_of(one % (7, 9, 9)) == lines_of(one % (120, 333, 333))
    assert lines_of(one % (7, 9, 9)) != lines_of(one % (7, 9, 8))
    assert lines_of(one % (7, 9, 9)) != lines_of(one % (9, 7, 9))
    assert lines_of(one % (1, 9, 9)) != lines_of(one % (2, 9, 9))


def test_uuids_are_told_apart_but_not_compared():
    one, two = "01234567-89ab-cdef-0123-456789abcdef", "11234567-89ab-cdef-0123-456789abcdef"
    assert lines_of(json.dumps([one, two])) == lines_of(json.dumps([two, one]))
    assert lines_of(json.dumps([one, two])) != lines_of(json.dumps([one, one]))


def test_member_order_style_and_escapes_are_compared():
    assert lines_of('{"a":1,"b":2}') != lines_of('{"b":2,"a":1}')
    assert lines_of('{"a":1}') != lines_of('{\n    "a": 1\n}\n')
    assert lines_of('{"a":"<"}') != lines_of('{"a":"\\u003c"}')
    assert lines_of('{"a":1}') != lines_of('{"a":1', )
    assert lines_of('{"a":1}') != lines_of('{"a":1,"a":1}')


def test_unordered_masked_dropped_and_picked():
    assert lines_of('{"a":[2,1]}', "GET /\nunordered a") == lines_of('{"a":[1,2]}', "GET /\nunordered a")
    assert lines_of('{"a":[2,1]}') != lines_of('{"a":[1,2]}')
    assert lines_of('[{"a":2,"b":1}]', "GET /\nmask a") == lines_of('[{"a":3,"b":1}]', "GET /\nmask a")
    assert lines_of('[{"a":2,"b":1}]', "GET /\nmask a") != lines_of('[{"a":"3","b":1}]', "GET /\nmask a")
    assert lines_of('[{"a":2,"b":1}]', "GET /\ndrop *.a") == lines_of('[{"b":1}]')
    assert lines_of('{"a":1,"c":[{"a":2,"b":1}]}', "GET /\ndrop **.a") == lines_of('{"c":[{"b":1}]}')
    assert lines_of('{"a":{"b":5}}', "GET /\npick a.b")[-1] == "a.b = 5"
    assert lines_of('{"a":{}}', "GET /\npick a.b")[-1] == "a.b is missing"


def test_own_addresses_are_named():
    assert "<addr>" in lines_of('"127.0.1.2:8300"', places=(("127.0.1.2", "<addr>"),))[-1]


def test_headers_are_compared_with_their_spelling():
    assert lines_of("", headers=[("X-Foo", "1")]) != lines_of("", headers=[("x-foo", "1")])
    assert lines_of("", headers=[("Date", "1")]) == lines_of("", headers=[])


def test_dns_messages_round_trip():
    query = wire_dns.encode_query("Web.service.consul", 33, edns=1232, options=wire_dns.encode_ecs("198.18.0.0/24"))
    message = wire_dns.Message(query)
    assert message.questions == [("Web.service.consul.", "IN", "SRV")]
    assert message.edns == (1232, 0, ["ecs family=1 source=24 scope=0 c61200"])
    for cut in range(len(query)):
        with pytest.raises(wire_dns.DnsError):
            wire_dns.Message(query[:cut])


def test_dns_compression_and_loops():
    head = struct.pack("!HHHHHH", 1, 0x8400, 1, 1, 0, 0) + wire_dns.encode_name("a.b") + struct.pack("!HH", 1, 1)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + b"\x01\x02\x03\x04"
    assert wire_dns.Message(head + record).sections[0] == [("a.b.", 5, "IN", "A", "1.2.3.4")]
    with pytest.raises(wire_dns.DnsError):
        wire_dns.Message(head + struct.pack("!H", 0xC000 | len(head)) + record[2:])


def test_the_fake_upstream_answers():
    reply = wire_dns.Message(upstream.answer(wire_dns.encode_query("a-x.test", 1), False, False))
    assert reply.rcode == "NOERROR" and reply.sections[0][0][1] == 77
    reply = wire_dns.Message(upstream.answer(wire_dns.encode_query("tc-x.test", 1), False, False))
    assert "tc" in reply.flags and not reply.sections[0]
    assert upstream.answer(wire_dns.encode_query("silent-x.test", 1), False, False) is None


def test_case_files_parse_and_are_many():
    groups = cases.read_all(HERE / "cases")
    every = [case for group in groups for case in group.cases]
    names = [case.name for case in every]
    assert len(names) == len(set(names))
    assert all(case.steps for case in every)
    for group in groups:
        assert (HERE / "configs" / (group.config + ".json")).exists(), group.config
    dns = [case for case in every if any(step.kind.startswith("dns") for step in case.steps)]
    assert len(dns) >= 80 and len(every) - len(dns) >= 200


def test_every_case_has_a_recorded_answer():
    titles, _ = compare.read_golden(HERE / "golden")
    now = {case.name: [step.title() for step in case.steps]
           for group in cases.read_all(HERE / "cases") for case in group.cases if group.config != cases.CLIENT}
    assert titles == now


def test_listed_differences_are_explained():
    listed = compare.read_differences(HERE / "differences.txt")
    names = {case.name for group in cases.read_all(HERE / "cases") for case in group.cases}
    document = HERE.parent.parent / "docs" / "COMPATIBILITY.md"
    entries = set(re.findall(r"^(\d+)\. ", document.read_text(encoding="utf-8"), re.M))
    for case, (entry, _) in listed.items():
        assert case.split("/")[0] in names, case
        assert entry in entries, "%s: no entry %s in docs/COMPATIBILITY.md" % (case, entry)


@pytest.mark.parametrize("text", ["GET /x", "case a\n> Host: x", "case a\nnonsense", "case a\nGET /\ncase a\nGET /",
                                  "case a\nstart x"])
def test_mistakes_in_case_files_are_reported(tmp_path, text):
    (tmp_path / "x.case").write_text(text)
    with pytest.raises(cases.CaseError):
        cases.read_file(tmp_path / "x.case")


def consul_path():
    build = os.environ.get("MUSTER_BUILD", str(HERE.parent.parent / "build"))
    for path in (os.environ.get("CONSUL"), build + "/consul/bin/consul"):
        if path and os.access(path, os.X_OK):
            return path
    return None


@pytest.mark.skipif(consul_path() is None, reason="needs an unpacked Consul")
@pytest.mark.parametrize("lie, failed", [("", "2 passed, 0 failed"), ("-domain=liar.", "0 passed, 2 failed")])
def test_a_server_with_other_answers_fails(tmp_path, lie, failed):
    """The case is asked of a server and of a client node."""
    liar = tmp_path / "liar"
    liar.write_text('#!/bin/sh\nexec %s "$@" %s\n' % (consul_path(), lie))
    liar.chmod(0o755)
    result = subprocess.run([str(HERE / "run"), "--target", "consul", "--consul", consul_path(), "--bin", str(liar),
                             "--only", "dns_node:own-node"], stdout=subprocess.PIPE, text=True, check=False)
    assert failed in result.stdout and result.returncode == (1 if lie else 0), result.stdout


@pytest.mark.skipif(consul_path() is None, reason="needs an unpacked Consul")
def test_recorded_answers_stand_in_for_consul():
    result = subprocess.run([str(HERE / "run"), "--golden", "--target", "consul", "--bin", consul_path(),
                             "--only", "dns_node:own-node"], stdout=subprocess.PIPE, text=True, check=False)
    assert "CONSUL NOT AVAILABLE" in result.stdout and "1 passed, 0 failed" in result.stdout, result.stdout
