# SPDX-License-Identifier: Apache-2.0
"""Reads case files. The format is described in README.md; this is its only parser.

A file is a list of groups, a group is a setup and a list of cases sharing one clean state, a case is a list of
steps, a step is one request with its modifiers. A case outside a group is a group of its own.
"""
import pathlib

METHODS = {"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"}
MODIFIERS = {">": "headers", "?": "query", "|": "body", "save": "saves", "pick": "picks", "mask": "masks",
             "drop": "drops", "unordered": "unordered", "until": "until", "until-not": "until_not",
             "body": "body_rules", "only": "only", "via": "via"}


class CaseError(Exception):
    """A mistake in a case file."""


class Step:
    """kind: http, or the word of the step (dns, raw, join ...); words: the rest of its line."""

    def __init__(self, kind, words, where):
        self.kind = kind
        self.words = words
        self.where = where
        self.poll = False
        self.background = None
        for field in MODIFIERS.values():
            setattr(self, field, [])

    def title(self):
        prefix = "wait " if self.poll else "start %s " % self.background if self.background else ""
        kind = "" if self.kind == "http" else self.kind + " "
        query = "".join(" ? " + q for q in self.query)
        return prefix + kind + " ".join(self.words) + query


class Case:
    def __init__(self, name):
        self.name = name
        self.steps = []


CLIENT = "client"   # the configuration of a client node, and what its copies of groups begin with


class Group:
    def __init__(self, name, config):
        self.name = name
        self.config = config
        self.setup = []
        self.cases = []

    def through_client(self):
        """The same group once more, asked of a client node."""
        copy = Group(CLIENT + "-" + self.name, CLIENT)
        copy.setup = self.setup
        for case in self.cases:
            copy.cases.append(Case(CLIENT + "-" + case.name))
            copy.cases[-1].steps = case.steps
        return copy


def parse_step(words, where):
    poll = background = None
    if words[0] == "wait":
        poll, words = True, words[1:]
    elif words[0] == "start":
        if len(words) < 3:
            raise CaseError("%s: start needs a name and a request" % where)
        background, words = words[1], words[2:]
    if words and words[0] in METHODS:
        step = Step("http", words, where)
    elif words and words[0] in ("dns", "dnsraw", "raw", "join", "still", "sleep", "restart", "rewrite"):
        step = Step(words[0], words[1:], where)
    else:
        raise CaseError("%s: not a step: %s" % (where, " ".join(words)))
    step.poll = bool(poll)
    step.background = background
    return step


class FileParser:
    """The state while one file is read."""

    def __init__(self, path):
        self.stem = path.stem
        self.config = "base"
        self.also_client = False
        self.groups = []
        self.group = None
        self.inside = False
        self.steps = None
        self.names = set()

    def open_group(self, name, inside):
        self.group = Group("%s:%s" % (self.stem, name), self.config)
        self.groups.append(self.group)
        self.inside = inside
        self.steps = self.group.setup

    def open_case(self, name, where):
        if not self.inside:
            self.open_group(name, False)
        if name in self.names:
            raise CaseError("%s: second case of the name %s" % (where, name))
        self.names.add(name)
        case = Case("%s:%s" % (self.stem, name))
        self.group.cases.append(case)
        self.steps = case.steps

    def line(self, text, where):
        word, _, rest = text.partition(" ")
        if text[0] == "|":
            word, rest = "|", text[2:] if text[1:2] == " " else text[1:]
        if text == "also client":
            self.also_client = True
        elif word == "config":
            self.config = rest.strip()
            self.inside, self.steps = False, None
        elif word == "group":
            self.open_group(rest.strip(), True)
        elif word == "end":
            self.inside, self.steps = False, None
        elif word == "case":
            self.open_case(rest.strip(), where)
        elif self.steps is None:
            raise CaseError("%s: a step outside of a case" % where)
        elif word in MODIFIERS:
            if not self.steps:
                raise CaseError("%s: a modifier before any step" % where)
            getattr(self.steps[-1], MODIFIERS[word]).append(rest)
        else:
            self.steps.append(parse_step(text.split(), where))


def read_file(path):
    parser = FileParser(path)
    for number, raw in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        text = raw.lstrip(" \t")
        if text.startswith("#") or not text.strip():
            continue
        if text[0] not in "|?" and not text.startswith("body "):
            text = text.rstrip()
        parser.line(text, "%s:%d" % (path.name, number))
    if parser.also_client:
        parser.groups += [group.through_client() for group in parser.groups if group.config == "base"]
    return parser.groups


def read_all(directory, only=None):
    """All groups of all files, without the cases which do not match; groups left empty disappear."""
    groups = []
    for path in sorted(pathlib.Path(directory).glob("*.case")):
        groups += read_file(path)
    if only:
        for group in groups:
            group.cases = [case for case in group.cases if only(case.name)]
    return [group for group in groups if group.cases]
