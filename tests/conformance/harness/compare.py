# SPDX-License-Identifier: Apache-2.0
"""Compares two sets of answers, keeps recorded ones in files, and knows the list of deliberate differences."""
import difflib
import pathlib
import re

from .cases import CLIENT

RANK = re.compile(r'(?:Index": "|modify index )#(\d+)')
HEAD = """# What Consul 1.8.7 answered to the cases of %s.case, normalised. Written by `run --record`; not edited by hand.
"""


def write_golden(directory, titles, answers):
    """titles: {case: [step titles]}, answers: {case: [[line]]}; one file for each case file, in the order of titles."""
    files = {}
    for case in titles:
        if case in answers:
            stem = case.split(":")[0]
            text = files.setdefault(stem, [HEAD % stem])
            text.append("=== %s\n" % case)
            for title, lines in zip(titles[case], answers[case]):
                text.append("--- %s\n" % title)
                text += ["  %s\n" % line for line in lines]
    for stem, text in files.items():
        (pathlib.Path(directory) / (stem + ".txt")).write_text("".join(text), encoding="utf-8")


def read_golden(directory):
    """(titles, answers) of all recorded files."""
    titles, answers = {}, {}
    for path in sorted(pathlib.Path(directory).glob("*.txt")):
        case = None
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.startswith("=== "):
                case = line[4:]
                titles[case], answers[case] = [], []
            elif line.startswith("--- "):
                titles[case].append(line[4:])
                answers[case].append([])
            elif line.startswith("  ") and case:
                answers[case][-1].append(line[2:])
    return titles, answers


def read_differences(path):
    """
    {case: (entry, reason)}: lines of `case entry reason`, where entry is the number of an entry of COMPATIBILITY.md.
    A case with `/index` behind its name may differ in its X-Consul-Index headers and in nothing else.
    """
    listed = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").split("\n"):
        if line.strip() and not line.startswith("#"):
            case, entry, reason = line.split(None, 2)
            listed[case] = (entry, reason)
    return listed


def without_header_indexes(answers):
    """The answers of a case without X-Consul-Index headers, the other indexes ranked anew."""
    kept = [[line for line in lines if not line.startswith("X-Consul-Index:")] for lines in answers]
    ranks = sorted({int(rank) for lines in kept for line in lines for rank in RANK.findall(line)})
    names = {str(rank): "#%d" % (number + 1) for number, rank in enumerate(ranks)}
    return [[RANK.sub(lambda found: found.group(0).replace("#" + found.group(1), names[found.group(1)]), line)
             for line in lines] for lines in kept]


def differing_steps(expected, got):
    """The numbers of the steps whose answers differ; a missing answer differs."""
    count = max(len(expected), len(got))
    return [n for n in range(count)
            if n >= len(expected) or n >= len(got) or expected[n] != got[n]]


def explain(titles, expected, got, names):
    """A diff for each step that differs, as text."""
    out = []
    for number in differing_steps(expected, got):
        title = titles[number] if number < len(titles) else "?"
        one = expected[number] if number < len(expected) else ["(no answer recorded)"]
        two = got[number] if number < len(got) else ["(not reached)"]
        out.append("    step %d: %s" % (number + 1, title))
        diff = list(difflib.unified_diff(one, two, names[0], names[1], lineterm="", n=2))
        out += ["      " + line for line in diff[:60]]
        if len(diff) > 60:
            out.append("      ... and %d lines more" % (len(diff) - 60))
    return "\n".join(out)


class Verdict:
    """The outcome of a run: lists of (case, text)."""

    def __init__(self):
        self.passed = []
        self.failed = []
        self.listed = []

    def summary(self):
        return "%d passed, %d failed, %d listed differences" % (
            len(self.passed), len(self.failed), len(self.listed))


def listed_name(case):
    """What holds for a case holds for it through a client node."""
    return case[len(CLIENT) + 1:] if case.startswith(CLIENT + "-") else case


def judge(titles, expected, got, differences, names):
    """Compares case by case. A listed difference which does not differ is a failure of its own."""
    verdict = Verdict()
    for case in titles:
        if case not in expected:
            verdict.failed.append((case, "    no answer of %s to compare with" % names[0]))
            continue
        text = explain(titles[case], expected[case], got.get(case, []), names)
        listed = listed_name(case)
        if text and listed + "/index" in differences:
            text = explain(titles[case], without_header_indexes(expected[case]),
                           without_header_indexes(got.get(case, [])), names)
            if not text:
                verdict.listed.append((case, "    %s %s" % differences[listed + "/index"]))
                continue
        if listed in differences or listed + "/index" in differences:
            if text and listed in differences:
                verdict.listed.append((case, "    %s %s\n%s" % (*differences[listed], text)))
            else:
                verdict.failed.append((case, text or "    is listed as a difference, but does not differ any more"))
        elif text:
            verdict.failed.append((case, text))
        else:
            verdict.passed.append((case, ""))
    return verdict
