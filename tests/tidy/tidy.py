#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house as a test: layers, sizes, wrappers, forms. Each check is one function that yields
(path, line, message); adding a rule is adding a function to CHECKS. Exit status 1 where a rule is broken."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAEMONS = ["gossipd", "raftd", "catalogd", "checkd", "dnsd", "httpd"]
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

# Who may include whom: a folder and the folders (besides itself) whose headers it may name.
LAYERS = {
    "common/base": [],
    "common/msg": ["common/base"],
    "common/sys": ["common/base", "common/msg"],
    "common/client": ["common/base", "common/msg", "common/sys"],
    "ctl": ["common/base", "common/msg", "common/sys", "common/client"],
}
for daemon in DAEMONS:
    LAYERS[daemon] = ["common/base", "common/msg", "common/sys", "common/client", daemon + "/core"]
    LAYERS[daemon + "/core"] = ["common/base", "common/msg"]

# Third-party headers appear only inside their one wrapper.
WRAPPERS = {
    r"ev\.h": ["common/sys/loop.c"],
    r"nanomsg/.*": ["common/sys/ipc_socket.c"],
    r"lmdb\.h": ["common/sys/db.c"],
    r"yajl/.*": ["common/base/json.c"],
    r"systemd/.*": ["common/sys/daemon.c", "common/sys/daemon_socket.c", "common/sys/net.c", "common/sys/log_journal.c"],
    r"seccomp\.h": ["common/sys/sandbox.c"],
    r"linux/landlock\.h": ["common/sys/sandbox.c"],
    r"http_parser\.h": ["httpd/core/parser.c", "httpd/parser.c"],
    r"gnutls/.*": None,  # checked by WRAPPED_BY below
}
GNUTLS_FILES = re.compile(r"^(common/sys/tls\w*|common/sys/digest)\.c$")

FORBIDDEN_CALLS = ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "sleep", "usleep", "getaddrinfo",
                   "gethostbyname", "system", "popen", "atoi", "alloca"]
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def files():
    out = subprocess.run(["git", "-C", TOP, "ls-files", "-co", "--exclude-standard"], check=True,
                         capture_output=True, text=True).stdout.split("\n")
    return [f for f in out if f and os.path.exists(os.path.join(TOP, f))]


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read().split("\n")


def is_c(path):
    return path.endswith((".c", ".h"))


def folder_of(path):
    """The layer that a file belongs to: the longest folder of LAYERS above it."""
    folder = os.path.dirname(path)
    while folder and folder not in LAYERS:
        folder = os.path.dirname(folder)
    return folder or None


def check_head(path, lines):
    if lines[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
        yield 1, "the first line is the SPDX line"
    if path.endswith(".h") or len(lines) > 40:
        if len(lines) < 2 or not lines[1].startswith("/*"):
            yield 2, "a comment at the head says what this file is"


def check_sizes(path, lines):
    if len(lines) - 1 > FILE_LINES_MAX:
        yield FILE_LINES_MAX, "%d lines; the limit is %d" % (len(lines) - 1, FILE_LINES_MAX)
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield start, "function of %d lines; the limit is %d" % (number - start - 1, FUNCTION_LINES_MAX)
            start = None


def check_layers(path, lines):
    folder = folder_of(path)
    for number, line in enumerate(lines, 1):
        m = re.match(r'#include "([^"]+)"', line)
        if not m or m.group(1) == "version.h":
            continue
        target = m.group(1)
        if not os.path.exists(os.path.join(TOP, target)):
            yield number, 'include "%s" is not qualified from the root' % target
            continue
        if not folder:
            continue  # tests, bench: may look at everything
        other = folder_of(target)
        if other != folder and other not in LAYERS[folder]:
            yield number, "%s may not include %s" % (folder, target)


def check_wrappers(path, lines):
    for number, line in enumerate(lines, 1):
        m = re.match(r"#include <([^>]+)>", line)
        if not m or path.startswith(("tests/", "bench/")):
            continue
        for pattern, owners in WRAPPERS.items():
            if not re.fullmatch(pattern, m.group(1)):
                continue
            allowed = GNUTLS_FILES.match(path) if owners is None else path in owners
            if not allowed:
                yield number, "<%s> belongs inside its one wrapper" % m.group(1)


def check_core_purity(path, lines):
    if "/core/" not in path or path.startswith("tests/"):
        return
    impure = re.compile(r"\b(time|clock_gettime|getrandom|rand|random|open|read|write|socket|printf|fopen)\(")
    for number, line in enumerate(lines, 1):
        code = strip_literals(line)
        m = impure.search(code)
        if m and not re.search(r"[\w>.]%s\(" % m.group(1), code.replace(m.group(0), "", 1)):
            yield number, "a core has no I/O, clock or chance of its own: %s" % m.group(1)


def strip_literals(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"/\*.*?\*/|//.*", "", line)


def check_form(path, lines):
    in_comment = False
    for number, line in enumerate(lines, 1):
        width = len(line.expandtabs(8))
        if width > COLUMNS_MAX:
            yield number, "%d columns; the limit is %d" % (width, COLUMNS_MAX)
        if line != line.rstrip():
            yield number, "white space at the end of the line"
        if re.match(r" {8}", line) and not in_comment and not line.endswith("\\"):
            yield number, "indentation is by tabs"
        if "/*" in line and "*/" not in line:
            in_comment = True
        elif "*/" in line:
            in_comment = False
        if MARKS.search(line):
            yield number, "finish it or write an issue"


def check_braces(path, lines):
    for number, line in enumerate(lines, 1):
        code = strip_literals(line).rstrip()
        if re.match(r"^\t+(if|for|while|else)\b.*[;]$", code) and not re.match(r"^\t+(} )?while \(.*\);$", code):
            if re.match(r"^\t+(if|while) \(.*\) [^{]*;$|^\t+else [^{]*;$", code) and code.count("(") == code.count(")"):
                yield number, "braces on every block"


def check_calls(path, lines):
    if path.startswith("tests/"):
        return
    pattern = re.compile(r"(?<![\w.>])(%s)\(" % "|".join(FORBIDDEN_CALLS))
    for number, line in enumerate(lines, 1):
        m = pattern.search(strip_literals(line))
        if m and not re.match(r"^(static |int |void )", line):
            yield number, "%s() is not used here" % m.group(1)


def check_main_size(path, lines):
    if os.path.basename(path) == "main.c" and os.path.dirname(path) in DAEMONS and len(lines) - 1 > 60:
        yield 60, "main.c of a daemon has at most 60 lines"


CHECKS = [check_head, check_sizes, check_layers, check_wrappers, check_core_purity, check_form, check_braces, check_calls,
          check_main_size]


def message_numbers():
    """Numbers in logs and between versions are unique and never reused in one table."""
    for path, word in (("common/msg/message.def", "MESSAGE"), ("common/msg/command.def", "COMMAND")):
        seen = {}
        for number, line in enumerate(read(path), 1):
            m = re.match(r"%s\((\w+)," % word, line)
            if m:
                if m.group(1) in seen:
                    yield path, number, "number %s stands in line %d already" % (m.group(1), seen[m.group(1)])
                seen[m.group(1)] = number


def main():
    only = sys.argv[1:]
    found = list(message_numbers())
    count = 0
    for path in files():
        if not is_c(path) or (only and path not in only):
            continue
        lines = read(path)
        count += 1
        for check in CHECKS:
            found += [(path, number, message) for number, message in check(path, lines)]
    for path, number, message in sorted(found):
        print("%s:%d: %s" % (path, number, message))
    print("tidy: %d files, %d findings" % (count, len(found)))
    return 1 if found else 0


sys.exit(main())
