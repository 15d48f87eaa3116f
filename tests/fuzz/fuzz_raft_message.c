/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other servers send, to a core in any role: bytes that should be a message, and well-formed
 * messages that no sound server would send. The core may ignore, answer or follow, but every
 * invariant holds after each of them, and it asks for nothing impossible.
 *
 *     input: role byte, then steps: an operation byte and what it needs. Numbers are one byte each,
 *     small ones relative to what the core has, so that mutations meet the interesting values.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/cursor.h"
#include "raftd/core/raft.h"

enum { PEERS = 4, STEPS_MAX = 200, ENTRIES_MAX = 8 };

struct fixture {
	struct raft raft;
	struct cursor in;
	struct mono now;
	uint64_t tag;
};

static struct uuid server_id(unsigned number)
{
	struct uuid id = { .b = { 0x40, (uint8_t)number } };

	return id;
}

static struct configuration members(unsigned voters, unsigned count)
{
	struct configuration c = { .count = count };

	for (unsigned i = 0; i < count; i++) {
		c.servers[i] = (struct configuration_server) {
			.id = server_id(i), .address = "10.0.0.1:8300", .voter = i < voters
		};
	}
	return c;
}

/* What raftd would do with the update, on a disk that never fails. */
static void step(struct fixture *f, struct raft_event *e)
{
	struct raft_update u;

	e->now = f->now;
	raft_step(&f->raft, e, &u);
	raft_check(&f->raft);
	must(!u.cut || u.cut_after >= f->raft.persistent.snapshot_index || u.reset);
	must(!u.accept || e->type == RAFT_EVENT_MESSAGE);
	must(!u.accept || u.accept_from < e->message->entries.count);
	for (size_t i = 0; i < u.sends_count; i++) {
		const struct raft_send *s = &u.sends[i];

		must(s->message.type != RAFT_APPEND || s->through == 0 ||
			(s->through >= s->message.index && s->through <= f->raft.trail.last));
	}
	if (u.persist) {
		struct raft_event persisted = { .type = RAFT_EVENT_PERSISTED };

		step(f, &persisted);
	}
}

static void simple(struct fixture *f, enum raft_event_type type)
{
	struct raft_event e = { .type = type, .index = f->raft.trail.last };

	step(f, &e);
}

/* 0..199: near to `base`; the rest: far away. */
static uint64_t number(struct fixture *f, uint64_t base)
{
	static const uint64_t far[] = { 0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2,
		1ULL << 32 };
	uint8_t b = cursor_u8(&f->in);

	if (b >= 200) {
		return far[b % ARRAY_SIZE(far)];
	}
	return base + b < 100 ? b : base + b - 100;
}

static void entries(
	struct fixture *f, struct raft_message *m, struct raft_log_entry *items, struct buf *body)
{
	struct configuration c = members(1 + cursor_u8(&f->in) % 5, 5);

	configuration_encode(body, &c);
	m->entries.items = items;
	m->entries.count = cursor_u8(&f->in) % (ENTRIES_MAX + 1);
	for (uint32_t i = 0; i < m->entries.count; i++) {
		uint8_t type = cursor_u8(&f->in) % 5;

		items[i] = (struct raft_log_entry) { .term = number(f, m->term),
			.type = type,
			.body = type == RAFT_CONFIGURATION ? buf_str(body) : STR("x") };
	}
}

static void message(struct fixture *f)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct raft_log_entry items[ENTRIES_MAX];
	struct raft *r = &f->raft;
	struct raft_message m = { .type = cursor_u8(&f->in) % (RAFT_MESSAGE_TYPES + 1),
		.from = server_id(cursor_u8(&f->in) % 7),
		.to = server_id(0) };
	struct raft_event e = { .type = RAFT_EVENT_MESSAGE, .message = &m };
	uint8_t flags = cursor_u8(&f->in);

	m.term = number(f, r->persistent.term);
	m.index = number(f, r->trail.last);
	m.log_term = number(f, raft_last_term(r));
	m.commit = number(f, r->commit_index);
	m.stamp = number(f, r->stamp);
	m.tag = number(f, f->tag);
	m.kind = flags >> 4;
	m.status = flags >> 2 & 3;
	m.granted = flags & 1;
	m.force = flags & 2;
	entries(f, &m, items, &body);
	step(f, &e);
}

static void raw_message(struct fixture *f)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf again = { 0 };
	struct str bytes = cursor_take(&f->in, cursor_u8(&f->in));
	struct raft_message m;
	struct raft_event e = { .type = RAFT_EVENT_MESSAGE, .message = &m };

	if (f->in.bad || raft_message_decode(bytes, &arena, &m)) {
		return;
	}
	raft_message_encode(&again, &m);
	must(str_eq(buf_str(&again), bytes));
	step(f, &e);
}

static void snapshot(struct fixture *f)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct configuration c = members(3, 3 + cursor_u8(&f->in) % 3);
	struct raft_event e = { .type = RAFT_EVENT_SNAPSHOT_INSTALLED };

	configuration_encode(&body, &c);
	e.snapshot.index = number(f, f->raft.trail.last);
	e.snapshot.term = number(f, raft_last_term(&f->raft));
	e.snapshot.configuration_index = number(f, f->raft.configuration_index);
	e.snapshot.configuration = cursor_u8(&f->in) % 8 ? buf_str(&body) : STR("nonsense");
	step(f, &e);
}

static void read_index(struct fixture *f)
{
	struct raft_event e = { .type = RAFT_EVENT_READ_INDEX,
		.read = cursor_u8(&f->in) % RAFT_READ_KINDS,
		.tag = ++f->tag };

	step(f, &e);
}

static void wait(struct fixture *f)
{
	f->now = mono_add_ms(f->now, cursor_u8(&f->in));
	simple(f, RAFT_EVENT_TICK);
}

/* Its own disk and clock go on meanwhile. */
static void local(struct fixture *f)
{
	static const enum raft_event_type types[] = { RAFT_EVENT_DURABLE, RAFT_EVENT_FLUSH,
		RAFT_EVENT_PROPOSE, RAFT_EVENT_DISK_FAILED, RAFT_EVENT_DURABLE };

	simple(f, types[cursor_u8(&f->in) % ARRAY_SIZE(types)]);
}

static void vote_for_it(struct fixture *f, enum raft_message_type type, uint64_t term)
{
	struct raft_message m = { .type = type,
		.from = server_id(1),
		.to = server_id(0),
		.term = term,
		.granted = true };
	struct raft_event e = { .type = RAFT_EVENT_MESSAGE, .message = &m };

	step(f, &e);
	m.from = server_id(2);
	step(f, &e);
}

/* role: 0, 1 follower, 2 pre-candidate, 3 candidate, 4.. leader */
static void begin(struct fixture *f, uint8_t role)
{
	struct raft_options options = { .id = server_id(0),
		.address = "10.0.0.1:8300",
		.trailing_logs = 3,
		.seed = 1,
		.heartbeat_ms = 40,
		.election_ms = 200,
		.drift_percent = 5 };
	struct raft_persistent p = {
		.term = 3, .configuration_index = 1, .configuration = members(3, PEERS)
	};
	struct trail trail;
	struct raft_event start = { .type = RAFT_EVENT_START };

	trail_init(&trail);
	for (uint64_t i = 0; i < 6; i++) {
		trail_append(&trail, 1 + i / 2);
	}
	start.start.persistent = &p;
	start.start.trail = &trail;
	raft_init(&f->raft, &options);
	step(f, &start);
	trail_fini(&trail);
	for (int i = 0; i < 40 && role >= 2 && f->raft.role == RAFT_FOLLOWER; i++) {
		f->now = mono_add_ms(f->now, 20);
		simple(f, RAFT_EVENT_TICK);
	}
	if (role >= 3) {
		vote_for_it(f, RAFT_PRE_VOTE_REPLY, p.term + 1);
	}
	if (role >= 4) {
		vote_for_it(f, RAFT_VOTE_REPLY, p.term + 1);
		must(f->raft.role == RAFT_LEADER);
		simple(f, RAFT_EVENT_FLUSH);
		simple(f, RAFT_EVENT_DURABLE);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const operations[])(struct fixture *) = { message, message, message,
		raw_message, snapshot, read_index, wait, local };
	struct fixture f = { .in = cursor_of(str_n(data, size)), .now = { NS_PER_S } };

	begin(&f, cursor_u8(&f.in) % 6);
	for (int i = 0; i < STEPS_MAX && !f.in.bad && cursor_left(&f.in); i++) {
		operations[cursor_u8(&f.in) % ARRAY_SIZE(operations)](&f);
	}
	raft_fini(&f.raft);
	return 0;
}
