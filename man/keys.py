# SPDX-License-Identifier: Apache-2.0
"""Makes muster.json.5 of docs/OPERATIONS.md: its section "Configuration", so that there is one table of keys."""
import re
import sys


def text(line):
    line = line.replace("\\", "\\e").replace("-", "\\-")
    line = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", line)
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line)


def body(section):
    for line in section.split("\n"):
        if line.startswith("|---") or line.startswith("| key |"):
            continue
        if line.startswith("| "):
            key, kind, default, reload = [cell.strip() for cell in line.strip("|").split("|")]
            yield ".TP\n.B %s" % text(key.replace("`", ""))
            yield text(kind) + (", default " + text(default) if default else "") + ("; applied by a reload" if reload else "")
        elif line.strip():
            yield re.sub(r"^([.'])", r"\\&\1", text(line.strip()))
        else:
            yield ".PP"


def main(source, version):
    whole = open(source, encoding="utf-8").read()
    section = whole.split("\n## Configuration\n", 1)[1].split("\n## ", 1)[0]
    print('.TH MUSTER.JSON 5 "" "muster %s" "File formats"' % version)
    print(".SH NAME\nmuster.json \\- configuration of muster\n.SH SYNOPSIS\n.I /etc/muster.d/*.json")
    print(".br\n.I /etc/muster.d/DAEMON/*.json\n.SH DESCRIPTION")
    print("Every daemon reads the files of the first folder, in alphabetical order, and then those of its own: what is a secret of one "
          "daemon (keys, tokens) stands there, where no other daemon can read it.\n.PP")
    print("\n".join(body(section)))
    print(".SH SEE ALSO\n.BR muster (1)")


main(sys.argv[1], sys.argv[2])
