/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One raftd, the real core and the real log, on a disk that fails, fills up, tears and loses what
 * was not synced; killed and restarted at any moment. Virtual time, one seed per run. Several
 * servers: quorum/.
 *
 *     sim_raftd FILE...            the seeds in the files, one per line
 *     sim_raftd --seeds FROM COUNT
 *     sim_raftd --trace SEED       with every action
 *
 * Checked after every step (check_*): no acknowledged or delivered entry is lost or changed,
 * indexes
 * have no gaps, terms never go down, the commit index never goes back, a read index covers what was
 * acknowledged before it was asked for; and once the faults stop, it leads and commits again.
 */
#include <stdio.h>

#include "common/base/hash.h"
#include "common/base/list.h"
#include "raftd/node.h"
#include "tests/fake/fake_disk.h"

enum { STEPS = 600, ENTRIES_MAX = 20000, SEGMENT_BYTES = 48 << 10, FIRST_SEGMENT_BYTES = 12 << 10 };

struct known {
	uint64_t term, hash;
	bool delivered; /* committed once, seen by the state machine */
};

struct sim {
	uint64_t seed;
	struct rng rng;
	struct fake_disk disk;
	struct node node;
	bool live;
	struct mono now;
	struct known entries[ENTRIES_MAX + 1]; /* by index, as delivered */
	uint64_t delivered;		       /* everything up to it is in entries */
	uint64_t commit_seen;
	uint64_t snapshot;
	uint64_t tag, tag_answered, read_floor;
	uint64_t commands, restarts, power_cuts;
	bool trace;
};

static _Noreturn void failed(struct sim *s, const char *what, uint64_t index)
{
	fprintf(stderr, "sim_raftd: seed %llu: %s (entry %llu); repeat with --trace %llu\n",
		(unsigned long long)s->seed, what, (unsigned long long)index,
		(unsigned long long)s->seed);
	exit(1);
}

static void note(struct sim *s, const char *action, uint64_t number)
{
	if (s->trace) {
		printf("%lldms %s %llu", (long long)(s->now.ns / NS_PER_MS), action,
			(unsigned long long)number);
		if (s->live) {
			printf("  %s term=%llu last=%llu commit=%llu",
				raft_role_name(s->node.raft.role),
				(unsigned long long)s->node.raft.persistent.term,
				(unsigned long long)s->node.raft.trail.last,
				(unsigned long long)s->node.raft.commit_index);
		}
		printf("\n");
	}
}

/* -------- checkers -------- */

static void check_record(struct sim *s, const struct record *r)
{
	struct known *k = &s->entries[r->index];
	uint64_t hash = hash64_mix(hash64(r->body, 1), r->type);

	if (k->delivered && (k->term != r->term || k->hash != hash)) {
		failed(s, "a delivered entry changed", r->index);
	}
	*k = (struct known) { r->term, hash, true };
	if (r->index > 1 && s->entries[r->index - 1].delivered &&
		s->entries[r->index - 1].term > r->term) {
		failed(s, "terms go down", r->index);
	}
}

/* Reads from..through as the feed does and compares. A disk that refuses is no failure of ours. */
static bool check_read(struct sim *s, uint64_t from, uint64_t through)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	while (from <= through) {
		struct record *records;
		size_t count;
		int r = log_read(s->node.log, from, through, 1 + rng_below(&s->rng, 20000), &arena,
			&records, &count);

		if (r < 0) {
			return false;
		}
		if (r || count == 0) {
			failed(s, "an entry cannot be read", from);
		}
		for (size_t i = 0; i < count; i++) {
			if (records[i].index != from) {
				failed(s, "the log has a gap", from);
			}
			check_record(s, &records[i]);
			from++;
		}
		arena_reset(&arena);
	}
	return true;
}

static void check_delivery(struct sim *s)
{
	uint64_t commit = s->node.raft.commit_index;

	if (s->node.raft.role == RAFT_LEADER && commit >= s->node.raft.term_start_index) {
		if (commit < s->commit_seen) {
			failed(s, "the commit index went back", commit);
		}
		s->commit_seen = commit;
	}
	if (commit > s->delivered) {
		uint64_t from = max_of(s->delivered + 1, s->node.log->first_index);

		if (from > s->delivered + 1 && s->delivered < s->snapshot) {
			from = s->snapshot + 1; /* the state machine starts from its snapshot */
		}
		if (from <= commit && check_read(s, from, commit)) {
			s->delivered = commit;
		}
	}
	raft_check(&s->node.raft);
}

static void on_update(void *arg, const struct raft_update *u)
{
	struct sim *s = arg;

	const struct raft_reads_end *end = &u->reads[RAFT_READ_ROUND];

	if (end->through) {
		if (end->through <= s->tag_answered) {
			failed(s, "a read was answered twice", end->through);
		}
		s->tag_answered = end->through;
		if (end->status == 0 && end->index < s->read_floor) {
			failed(s, "a read index is too low", end->index);
		}
	}
}

/* -------- actions -------- */

static void stop(struct sim *s)
{
	if (s->live) {
		node_fini(&s->node);
		s->live = false;
	}
}

static bool start(struct sim *s)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct node_options options = {
		.disk = &s->disk.disk,
		.raft = { .id = { "self" },
			.address = "127.0.0.1:8300",
			.trailing_logs = 40,
			.heartbeat_ms = 100,
			.election_ms = 500,
			.drift_percent = 5,
			.seed = rng_u64(&s->rng) },
		.segment_bytes = SEGMENT_BYTES,
		.first_segment_bytes = FIRST_SEGMENT_BYTES,
		.tail_bytes = 16 << 10,
		.bootstrap = true,
		.on_update = on_update,
		.arg = s,
	};
	int r = node_init(&s->node, &options, &why);

	if (r > 0) {
		fprintf(stderr, "%s\n", buf_cstr(&why));
		failed(s, "recovery refuses the log", s->delivered);
	}
	if (r == 0) {
		s->live = true;
		s->tag_answered = s->tag;
		node_start(&s->node, s->now);
		check_delivery(s);
	}
	note(s, r ? "start failed" : "start", s->restarts);
	return r == 0;
}

static void propose(struct sim *s)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	uint64_t count = 1 + rng_below(&s->rng, 12), index;

	for (uint64_t i = 0; i < count && s->node.raft.trail.last < ENTRIES_MAX - 10; i++) {
		size_t n = (size_t)rng_below(&s->rng, rng_below(&s->rng, 20) ? 900 : 12000);
		int r;

		buf_clear(&body);
		rng_bytes(&s->rng, buf_reserve(&body, n + 1), n);
		body.n = n;
		r = node_propose(&s->node, s->now, buf_str(&body), &index);
		if (r && r != ST_NOT_LEADER && r != ST_STORAGE) {
			failed(s, "a proposal was refused for no reason", index);
		}
		s->commands += r == 0;
	}
	note(s, "propose", count);
}

static void read_index(struct sim *s)
{
	s->read_floor = s->commit_seen;
	node_read_index(&s->node, s->now, RAFT_READ_ROUND, ++s->tag);
	note(s, "read", s->tag);
}

static void snapshot(struct sim *s)
{
	uint64_t index = s->delivered, back = rng_below(&s->rng, 50);

	index = index > back ? index - back : index;
	if (index && s->entries[index].delivered && index <= s->node.raft.commit_index &&
		node_snapshot_taken(&s->node, s->now, index, s->entries[index].term) == 0) {
		s->snapshot = max_of(s->snapshot, index);
	}
	note(s, "snapshot", index);
}

static void crash(struct sim *s, bool power)
{
	note(s, power ? "power cut" : "kill", s->delivered);
	stop(s);
	s->restarts++;
	if (power) {
		s->power_cuts++;
		fake_disk_power_cut(&s->disk);
	}
}

static void weather(struct sim *s)
{
	switch (rng_below(&s->rng, 5)) {
	case 0:
		s->disk.fail_percent = (uint32_t)rng_below(&s->rng, 40);
		break;
	case 1:
		s->disk.fail_at = s->disk.calls + 1 + rng_below(&s->rng, 20);
		break;
	case 2:
		s->disk.capacity =
			fake_disk_bytes(&s->disk) + rng_below(&s->rng, 3 * SEGMENT_BYTES);
		break;
	default:
		s->disk.fail_percent = 0;
		s->disk.capacity = 0;
	}
	note(s, "weather", s->disk.fail_percent);
}

static void live_action(struct sim *s)
{
	uint64_t what = rng_below(&s->rng, 100);

	if (what < 40) {
		propose(s);
	} else if (what < 70) {
		node_advance(&s->node, s->now);
	} else if (what < 78) {
		read_index(s);
	} else if (what < 82) {
		snapshot(s);
	} else if (what < 88) {
		log_prepare(s->node.log);
	} else if (what < 92) {
		weather(s);
	} else if (what < 94) {
		crash(s, rng_below(&s->rng, 2));
	}
	s->now = mono_add_ms(s->now, (int64_t)rng_below(&s->rng, 30));
	if (s->live) {
		node_tick(&s->node, s->now);
		check_delivery(s);
	}
}

static void dead_action(struct sim *s)
{
	s->now = mono_add_ms(s->now, (int64_t)rng_below(&s->rng, 200));
	if (rng_below(&s->rng, 3) == 0) {
		weather(s);
	}
	if (!start(s) && rng_below(&s->rng, 2)) {
		crash(s, true); /* once more, in the middle of a recovery */
	}
}

/* The faults are over: it must lead and commit within seconds, with everything there. */
static void check_progress(struct sim *s)
{
	uint64_t index = 0;

	s->disk.fail_percent = 0;
	s->disk.fail_at = 0;
	s->disk.capacity = 0;
	crash(s, rng_below(&s->rng, 2));
	if (!start(s)) {
		failed(s, "it does not start on a good disk", 0);
	}
	for (int i = 0; i < 100 && s->node.raft.role != RAFT_LEADER; i++) {
		s->now = mono_add_ms(s->now, 100);
		node_tick(&s->node, s->now);
	}
	if (node_propose(&s->node, s->now, STR("last"), &index)) {
		failed(s, "no leader on a good disk", 0);
	}
	node_advance(&s->node, s->now);
	check_delivery(s);
	if (s->delivered < index || s->node.raft.commit_index < s->commit_seen) {
		failed(s, "no commit on a good disk", index);
	}
	if (!check_read(s, max_of(s->node.log->first_index, 1), s->delivered)) {
		failed(s, "a good disk cannot be read", 0);
	}
}

static void run(struct sim *s, uint64_t seed, bool trace)
{
	*s = (struct sim) { .seed = seed, .trace = trace, .now = { NS_PER_S } };
	rng_init(&s->rng, seed);
	fake_disk_init(&s->disk, rng_u64(&s->rng));
	for (int i = 0; i < STEPS; i++) {
		if (s->live) {
			live_action(s);
		} else {
			dead_action(s);
		}
	}
	check_progress(s);
	stop(s);
	fake_disk_fini(&s->disk);
}

static uint64_t number(const char *text)
{
	uint64_t v = 0;

	must(str_to_u64(str_of(text), &v) == 0);
	return v;
}

static void run_file(struct sim *s, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[64];

	must(f);
	while (fgets(line, sizeof(line), f)) {
		run(s, strtoull(line, NULL, 10), false);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	OWN(free) struct sim *s = xcalloc(1, sizeof(*s));
	uint64_t commands = 0, restarts = 0;

	if (argc == 3 && strcmp(argv[1], "--trace") == 0) {
		run(s, number(argv[2]), true);
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
		for (uint64_t i = 0; i < number(argv[3]); i++) {
			run(s, number(argv[2]) + i, false);
			commands += s->commands;
			restarts += s->restarts;
		}
		printf("%s runs, %llu commands, %llu restarts\n", argv[3],
			(unsigned long long)commands, (unsigned long long)restarts);
		return 0;
	}
	for (int i = 1; i < argc; i++) {
		run_file(s, argv[i]);
	}
	return 0;
}
