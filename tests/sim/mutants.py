#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the simulator of the cluster (quorum/) find faults? Each row breaks one rule of the core on purpose, in a copy of one file;
the simulator, linked against that copy, has to fail within so many runs, or a scenario has to (tests/scenario). A row whose text is not in
the file (any more) fails too.

    mutants.py --root SOURCE --build BUILD [--only NAME]     BUILD: where meson has built the simulator
"""
import argparse
import concurrent.futures
import os
import subprocess
import sys

CORE = "raftd/core/"
RUNS = 1500
CORES = 2

# name, file, text, what stands there instead, profiles or scenarios in which it shows
MUTANTS = [
    ("followers store no votes and terms", "raftd/node.c", "u->persist ? meta_write", "u->persist && n->raft.role != RAFT_FOLLOWER ? meta_write",
     ["crash"]),
    ("a newer term is not stored", CORE + "raft.c", "\t\tr->persistent.vote = no_one;\n\t\traft_persist(r, u);",
     "\t\tr->persistent.vote = no_one;", ["crash", "all"]),
    ("who has a worse log is elected", CORE + "election.c", "m->log_term > term || (m->log_term == term && m->index >= r->trail.last)",
     "true", ["orderly", "crash"]),
    ("entries of an old term are committed by counting", CORE + "leader.c", "match < r->term_start_index || match <= r->commit_index",
     "match <= r->commit_index", ["orderly", "crash", "all"]),
    ("non-voters count for the majority", CORE + "leader.c", "\t\tif (raft_is_voter(r, &r->peers[i].id)) {\n\t\t\tvalues[count++]",
     "\t\tif (true) {\n\t\t\tvalues[count++]", ["members", "orderly"]),
    ("a lease is not shortened by the drift", CORE + "leader.c", "(100 - r->options.drift_percent) / 100", "100 / 100", ["lease"]),
    ("a lease is kept while the leadership is handed over", CORE + "leader.c", "!raft_leads(r) || r->transfer_sent", "!raft_leads(r)",
     ["transfer"]),
    ("a second transfer brings the lease back", CORE + "leader.c", "\t\tr->transfer_told = false;", "\t\tr->transfer_told = r->transfer_sent = false;",
     ["quorum/transfer.txt"]),
    ("leaders are forgotten over a restart", CORE + "raft.c", "if (r->persistent.term > 0) {\n\t\tr->faithful_until",
     "if (false) {\n\t\tr->faithful_until", ["lease", "crash"]),
    ("votes are given although a leader is there", CORE + "raft.c", "\treturn (m->type == RAFT_VOTE || m->type == RAFT_PRE_VOTE) && !m->force",
     "\treturn false && !m->force", ["lease", "orderly"]),
    ("a read does not wait for the first entry of the term", CORE + "leader.c", "return raft_leads(r) && (leased ||", "return (leased ||",
     ["orderly", "pause", "crash"]),
    ("a read is confirmed by what was asked before it", CORE + "leader.c", "stamp > read->stamp", "stamp > 0", ["pause", "lease"]),
    ("a follower acknowledges before it is durable", CORE + "follower.c", ("m->index = min_of(r->match, r->durable_index);",
     "if (r->match <= r->durable_index) {"), ("m->index = r->match;", "if (true) {"), ["crash", "disk"]),
    ("a conflicting entry is taken for the same", CORE + "follower.c",
     "trail_term(&r->trail, index) != m->entries.items[i].term)", "false)", ["orderly", "crash"]),
    ("a follower commits what it has not compared", CORE + "follower.c", "min_of(r->leader_commit, min_of(r->match, r->durable_index))",
     "min_of(r->leader_commit, r->durable_index)", ["orderly", "crash", "all"]),
    ("an entry before the new ones is not compared", CORE + "follower.c",
     "trail_term(&r->trail, m->index) == m->log_term)", "true)", ["orderly", "crash"]),
    ("a configuration survives its entry", CORE + "change.c", "if (r->configuration_index <= after) {", "if (true) {", ["disk", "members"]),
    ("two changes of the members at once", CORE + "change.c", "raft_leads(r) && r->configuration_index <= r->commit_index &&",
     "raft_leads(r) &&", ["members"]),
    ("the members change before the term has committed", CORE + "change.c", "return raft_leads(r) && r->configuration_index",
     "return r->configuration_index", ["members", "transfer"]),
    ("who left does not help to commit that it left", CORE + "election.c", "votes = self && self->voter && life_eq(&self->life, &r->persistent.life);",
     "(void)self;", ["members"]),
    ("a snapshot is put under a log that differs", CORE + "follower.c", "\tif (!equal) {\n\t\treset(r, s, u);\n\t}",
     "\tif (!trail_knows(&r->trail, s->index)) {\n\t\treset(r, s, u);\n\t}", ["snapshot", "all"]),
    ("a second snapshot at once is forgotten", CORE + "leader.c", "\tif (uuid_is_zero(&u->snapshot_to)) {", "\tif (true) {",
     ["members", "snapshot"]),
    ("a new cluster begins with a majority", CORE + "election.c", "raft_is_new(r) ? voters : voters / 2 + 1", "voters / 2 + 1", ["torn"]),
    ("a new cluster begins with servers of another", CORE + "election.c", "m->tag && (!raft_is_new(r) || m->tag != first_digest(r))",
     "false", ["torn"]),
    ("a failed write of the term goes unnoticed", "raftd/node.c", "int r = u->persist ? meta_write(n->meta, &n->raft.persistent) : 0;",
     "int r = 0;\n\n\tif (u->persist) {\n\t\t(void)meta_write(n->meta, &n->raft.persistent);\n\t}", ["disk"]),
    ("a term goes up without a pre-vote", CORE + "election.c", "raft_become(r, u, RAFT_PRE_CANDIDATE, \"no leader heard\");",
     "raft_campaign(r, u, false);\n\treturn;", ["quorum/pre_vote.txt"]),
    ("a leader without followers goes on", CORE + "leader.c", "return r->now.ns - (int64_t)heard >= ", "return false && (int64_t)heard >= ",
     ["quorum/check_quorum.txt"]),
    ("who slept asks for votes at once", CORE + "raft.c", "late && !r->spared && !raft_is_alone(r)", "false", ["quorum/late.txt"]),
    ("who slept is forgiven for ever", CORE + "raft.c", "late && !r->spared && !raft_is_alone(r)", "late && !raft_is_alone(r)", ["quorum/late.txt"]),
    ("a leader that slept gives up at once", CORE + "leader.c", "mono_before(r->now, r->patient_until) ? 2 : 1", "1", ["quorum/late.txt"]),
    ("what broke off is not asked again", CORE + "leader.c", "\t\tp->state = RAFT_PROBE;\n\t\tp->next = p->match + 1;", "\t\tp->asked = true;",
     ["quorum/pipeline.txt"]),
    ("who has lost its disk votes on", CORE + "election.c", ("return !counts || !s || life_eq(&s->life, life);",
     "raft_is_new(r) && r->configuration.count == 0;"), ("return true;", "false;"), ["wiped"]),
    ("who has lost its disk leads", CORE + "change.c", "return s && s->voter && life_eq(&s->life, &r->persistent.life);",
     "return s && s->voter;", ["quorum/lost_disk.txt"]),
    ("who has nothing votes", CORE + "election.c", "\tif (is_blank(r)) {\n\t\treturn false;\n\t}", "\t(void)is_blank(r);",
     ["quorum/lost_disk.txt"]),
    ("who has lost its disk stays a voter", CORE + "change.c", "\t\ts->voter = false;\n\t}\n\tif (!uuid_is_zero(&c->life)) {",
     "\t}\n\tif (!uuid_is_zero(&c->life)) {", ["wiped"]),
    ("a command is applied twice", "tests/sim/quorum/machine.c", "fresh = c->id > m->done[c->client];", "fresh = true;", ["orderly", "crash"]),
]


class Trouble(Exception):
    pass


def run(command, timeout):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)


def sources(args, scenario):
    names = ["tests/scenario/" + n for n in ("quorum.c", "quorum_shell.c", "scenario.c")] if scenario else ["tests/sim/quorum/main.c"]
    return [os.path.join(args.root, name) for name in names]


def make(args, number, path, old, new, scenario):
    """The simulator with one changed file; a changed object stands before the libraries, so it is taken instead of theirs."""
    with open(os.path.join(args.root, path), encoding="utf-8") as f:
        text = f.read()
    pairs = [(old, new)] if isinstance(old, str) else list(zip(old, new))
    for before, after in pairs:
        if text.count(before) != 1:
            raise Trouble("its text is %d times in %s" % (text.count(before), path))
        text = text.replace(before, after)
    source = os.path.join(args.folder, "%d.c" % number)
    program = os.path.join(args.folder, "%d" % number)
    with open(source, "w", encoding="utf-8") as f:
        f.write(text)
    libraries = [os.path.join(args.build, name) for name in (
        "tests/sim/libsim_quorum.a", "raftd/libraftd_node.a", "raftd/libraftd_core.a", "tests/fake/libfake_disk.a",
        "common/msg/libmsg.a", "common/base/libbase.a")]
    result = run([args.cc, "-std=gnu17", "-O1", "-g", "-w", "-D_GNU_SOURCE", "-fno-strict-aliasing", "-I", args.root, "-I", args.build,
                  source, *sources(args, scenario), "-Wl,--start-group", *libraries, "-Wl,--end-group",
                  "-lyajl", "-lpcre2-8", "-lz", "-lm", "-o", program], 120)
    if result.returncode:
        raise Trouble("does not compile: " + result.stdout.decode(errors="replace"))
    return program


def verdict(args, number, mutant):
    name, path, old, new, where_it_shows = mutant
    scenario = where_it_shows[0].endswith(".txt")
    try:
        program = make(args, number, path, old, new, scenario)
    except Trouble as trouble:
        return False, "%s: %s" % (name, trouble)
    if scenario:
        result = run([program, os.path.join(args.root, "tests/scenario", where_it_shows[0])], 60)
        return result.returncode != 0, "%s: %s" % (name, where_it_shows[0])
    for profile in where_it_shows:
        try:
            result = run([program, "--seeds", "1", str(RUNS), profile], 60)
        except subprocess.TimeoutExpired:
            return False, "%s: no end with profile %s" % (name, profile)
        if result.returncode:
            lines = result.stdout.decode(errors="replace").split("\n")
            why = [line for line in lines if "sim_quorum:" in line or "invariant" in line or "ERROR" in line]
            where = [line.split("--trace ")[1] for line in lines if "--trace " in line]
            return bool(where), "%s: %s [%s]" % (name, (why or lines)[0], (where or ["no run is named"])[0])
    return False, "%s: not found in %d runs of each of %s" % (name, RUNS, ", ".join(where_it_shows))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    args.folder = os.path.join(args.build, "tests/sim/mutants")
    os.makedirs(args.folder, exist_ok=True)
    rows = [(i, m) for i, m in enumerate(MUTANTS) if args.only in m[0]]
    missed = 0
    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        for found, text in pool.map(lambda row: verdict(args, *row), rows):
            print("found " if found else "MISSED", text, flush=True)
            missed += not found
    print("%d mutants, %d missed" % (len(rows), missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
