/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending snapshots: with a catalogd and servers of a few lines each, to the end, again after
 * losses, and never more at once than is allowed.
 */
#include "raftd/transfer.h"

#include "common/base/rng.h"
#include "tests/unit/unit.h"

enum { SIZE = 3 * TRANSFER_CHUNK_MAX + 100, INDEX = 40, TERM = 3 };

/* What a server has of the snapshot. */
struct receiver {
	struct uuid id;
	uint64_t has;
	bool installed;
};

struct world {
	struct transfers ts;
	struct mono now;
	struct receiver receivers[4];
	char *snapshot;
	uint64_t finished_index;
	size_t finished, bytes_sent, chunks;
};

static void world_init(struct world *w)
{
	*w = (struct world) { .now = { NS_PER_S } };
	w->snapshot = xcalloc(1, SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(w->receivers); i++) {
		w->receivers[i].id.b[0] = (uint8_t)(i + 1);
	}
}

static void world_fini(struct world *w)
{
	transfers_fini(&w->ts);
	free(w->snapshot);
}

static void begin(struct world *w, size_t receiver)
{
	transfer_begin(&w->ts, w->now, &w->receivers[receiver].id, INDEX, TERM, 7, STR("conf"));
}

static struct receiver *receiver_find(struct world *w, const struct uuid *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->receivers); i++) {
		if (uuid_eq(&w->receivers[i].id, id)) {
			return &w->receivers[i];
		}
	}
	ck_abort_msg("nobody has this id");
	return NULL;
}

static void receive(struct world *w, struct receiver *v, uint64_t offset, struct str bytes)
{
	if (offset == v->has) {
		v->has += bytes.n;
	}
	v->installed = v->has == SIZE;
	transfer_reply(&w->ts, w->now, &v->id, INDEX, 0, v->has, v->installed);
}

/* One step. false: nothing to do. */
static bool step(struct world *w)
{
	struct transfer_action a = transfers_next(&w->ts, w->now);
	const struct transfer *t;
	struct str bytes;

	if (a.type == TRANSFER_NONE) {
		return false;
	}
	if (a.type == TRANSFER_FINISH) {
		w->finished++;
		w->finished_index = a.index;
		return true;
	}
	ck_assert_uint_eq(a.index, INDEX);
	bytes = str_n(w->snapshot + a.offset, min_of((uint64_t)a.bytes_max, SIZE - a.offset));
	t = transfer_bytes(&w->ts, w->now, a.number, 0, SIZE, bytes);
	if (t) {
		ck_str_is(buf_str(&t->configuration), "conf");
		w->bytes_sent += bytes.n;
		w->chunks++;
		receive(w, receiver_find(w, &a.to), t->offset, bytes);
	}
	return true;
}

TEST(to_the_end)
{
	struct world w;

	world_init(&w);
	begin(&w, 0);
	begin(&w, 0); /* asked twice, sent once */
	while (step(&w)) {
	}
	ck_assert(w.receivers[0].installed);
	ck_assert_uint_eq(w.finished, 1);
	ck_assert_uint_eq(w.finished_index, INDEX);
	ck_assert_uint_eq(w.bytes_sent, SIZE);
	ck_assert_uint_eq(w.chunks, 5); /* the question where to go on, and four with bytes */
	ck_assert_int_eq(transfers_deadline(&w.ts).ns, INT64_MAX);
	world_fini(&w);
}
END_TEST

TEST(goes_on_where_it_broke)
{
	struct world w;

	world_init(&w);
	begin(&w, 0);
	for (int i = 0; i < 3; i++) {
		ck_assert(step(&w));
	}
	ck_assert_uint_eq(w.receivers[0].has, 2 * TRANSFER_CHUNK_MAX);
	transfer_lost(&w.ts, w.now, &w.receivers[0].id);
	ck_assert(!step(&w)); /* pauses */
	w.now = transfers_deadline(&w.ts);
	ck_assert(step(&w));
	ck_assert_uint_eq(w.finished, 1);
	ck_assert_uint_eq(w.finished_index, 0);
	begin(&w, 0);
	while (step(&w)) {
	}
	ck_assert(w.receivers[0].installed);
	ck_assert_uint_eq(w.bytes_sent, SIZE);
	world_fini(&w);
}
END_TEST

TEST(two_at_once)
{
	struct world w;
	struct transfer_action a;

	world_init(&w);
	for (size_t i = 0; i < 4; i++) {
		begin(&w, i);
	}
	for (size_t i = 0; i < TRANSFERS_AT_ONCE; i++) {
		a = transfers_next(&w.ts, w.now);
		ck_assert_int_eq(a.type, TRANSFER_READ);
		ck_assert(uuid_eq(&a.to, &w.receivers[i].id));
	}
	a = transfers_next(&w.ts, w.now);
	ck_assert_int_eq(a.type, TRANSFER_NONE);
	/* catalogd does not answer: they fail, the others get on */
	while (w.finished < 4) {
		if (!step(&w)) {
			w.now = transfers_deadline(&w.ts);
		}
	}
	ck_assert(!w.receivers[0].installed && !w.receivers[1].installed);
	ck_assert(w.receivers[2].installed && w.receivers[3].installed);
	world_fini(&w);
}
END_TEST

/* The state of the only transfer after one answer. */
static enum transfer_state state_after(
	int read_status, uint64_t size, size_t bytes, int reply_status, uint64_t wanted)
{
	struct world w;
	struct transfer_action a;
	enum transfer_state state;

	world_init(&w);
	begin(&w, 0);
	a = transfers_next(&w.ts, w.now);
	transfer_bytes(&w.ts, w.now, a.number, read_status, size, str_n(w.snapshot, bytes));
	transfer_reply(&w.ts, w.now, &w.receivers[0].id, INDEX, reply_status, wanted, false);
	state = transfer_find(&w.ts, &w.receivers[0].id)->state;
	world_fini(&w);
	return state;
}

TEST(what_ends_it)
{
	ck_assert_int_eq(state_after(0, SIZE, 0, 0, 0), TRANSFER_READS);
	ck_assert_int_eq(state_after(ST_NOT_FOUND, 0, 0, 0, 0), TRANSFER_FAILED);
	ck_assert_int_eq(state_after(ST_TIMEOUT, 0, 0, 0, 0), TRANSFER_FAILED);
	ck_assert_int_eq(state_after(0, 0, 0, 0, 0), TRANSFER_FAILED);
	ck_assert_int_eq(state_after(0, 10, 11, 0, 0), TRANSFER_FAILED);
	ck_assert_int_eq(state_after(0, SIZE, 0, ST_CORRUPT, 0), TRANSFER_FAILED);
	ck_assert_int_eq(state_after(0, SIZE, 0, 0, SIZE + 1), TRANSFER_FAILED);
}
END_TEST

TEST(a_server_that_takes_nothing)
{
	struct world w;
	size_t steps = 0;

	world_init(&w);
	begin(&w, 0);
	while (transfer_find(&w.ts, &w.receivers[0].id)->state != TRANSFER_FAILED) {
		struct transfer_action a = transfers_next(&w.ts, w.now);

		ck_assert(++steps < 20);
		transfer_bytes(&w.ts, w.now, a.number, 0, SIZE, str_n(w.snapshot, a.bytes_max));
		transfer_reply(&w.ts, w.now, &w.receivers[0].id, INDEX, 0, 0, false);
	}
	world_fini(&w);
}
END_TEST

TEST(answers_nobody_waits_for)
{
	struct world w;
	struct transfer_action a;

	world_init(&w);
	begin(&w, 0);
	a = transfers_next(&w.ts, w.now);
	ck_assert(!transfer_bytes(&w.ts, w.now, a.number + 1, 0, SIZE, STR("")));
	transfer_reply(&w.ts, w.now, &w.receivers[0].id, INDEX, 0, 5, false); /* was not asked */
	ck_assert(transfer_bytes(&w.ts, w.now, a.number, 0, SIZE, STR("")));
	ck_assert(!transfer_bytes(&w.ts, w.now, a.number, 0, SIZE, STR("")));
	transfer_reply(&w.ts, w.now, &w.receivers[1].id, INDEX, 0, 5, true); /* another server */
	transfer_reply(&w.ts, w.now, &w.receivers[0].id, INDEX + 1, 0, 5, true); /* another one */
	ck_assert_int_eq(transfer_find(&w.ts, &w.receivers[0].id)->state, TRANSFER_SENDS);
	transfers_end(&w.ts);
	ck_assert(!transfer_find(&w.ts, &w.receivers[0].id));
	ck_assert(!step(&w));
	world_fini(&w);
}
END_TEST

UNIT_MAIN("transfer", to_the_end, goes_on_where_it_broke, two_at_once, what_ends_it,
	a_server_that_takes_nothing, answers_nobody_waits_for)
