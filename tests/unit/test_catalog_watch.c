/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/watch: who asks behind an index hears of all that changed behind it, or that he has lost
 * track. Calls and timers are ours.
 */
#include "catalogd/catalogd.h"
#include "tests/unit/unit.h"

enum { NAME_SIZE = 400, GENERATION = 3 };

/* -------- what watch.c calls -------- */

struct ipc_call {
	bool answered;
	struct buf payload;
};

void ipc_reply(struct ipc_call *call, struct str payload)
{
	ck_assert(!call->answered);
	ck_assert_uint_lt(payload.n, IPC_FRAME_MAX / 2); /* a frame takes it */
	call->answered = true;
	buf_put_str(&call->payload, payload);
}

void ipc_refuse(struct ipc_call *call UNUSED, int status UNUSED)
{
	ck_abort();
}

void loop_timer_init(struct loop_timer *w, struct loop *l, void (*on_timer)(void *arg), void *arg)
{
	*w = (struct loop_timer) { .loop = l, .on_timer = on_timer, .arg = arg };
}

void loop_timer_in(struct loop_timer *w UNUSED, int64_t ms UNUSED)
{
}

void loop_timer_stop(struct loop_timer *w UNUSED)
{
}

/* -------- a server -------- */

static struct daemon a_daemon;

static void server_init(struct catalogd *c)
{
	*c = (struct catalogd) { .daemon = &a_daemon,
		.stores = { .generation = GENERATION },
		.feed = { .applied = 10 } };
	watches_init(c);
	watches_reset(c);
}

static void ask(struct catalogd *c, struct ipc_call *call, uint64_t after)
{
	struct catalog_watch m = { .generation = GENERATION, .after = after, .wait_ms = 1000 };

	*call = (struct ipc_call) { .answered = false };
	handle_watch(c, call, &m);
}

/* A batch that changes count keys, whose names begin with its index. */
static void batch(struct catalogd *c, size_t count)
{
	OWN(free) struct catalog_change *changes = xcalloc(count, sizeof(*changes));
	static char name[NAME_SIZE];

	c->feed.applied++;
	snprintf(name, sizeof(name), "%llu-", (unsigned long long)c->feed.applied);
	for (size_t i = 0; i < count; i++) {
		changes[i] = (struct catalog_change) { THING_KV, str_n(name, sizeof(name)),
			c->feed.applied };
	}
	watches_add(c, c->feed.applied, changes, count);
}

/* How many changes the answer tells; -1: track is lost. */
static int64_t told(struct catalogd *c, struct ipc_call *call)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct catalog_watch_reply reply;

	ck_assert(call->answered);
	buf_put_str(&payload, buf_str(&call->payload));
	buf_fini(&call->payload);
	ck_assert_int_eq(catalog_watch_reply_decode(buf_str(&payload), &arena, &reply), 0);
	ck_assert_uint_eq(reply.generation, GENERATION);
	ck_assert_uint_eq(reply.index, c->feed.applied);
	return reply.lost ? -1 : (int64_t)reply.changes.count;
}

/* -------- tests -------- */

TEST(all_behind_an_index)
{
	struct catalogd c;
	struct ipc_call early, late;

	server_init(&c);
	ask(&c, &early, 10);
	ck_assert(!early.answered);
	batch(&c, 2);
	ck_assert_int_eq(told(&c, &early), 2);
	batch(&c, 3);
	ask(&c, &early, 10);
	ask(&c, &late, 11);
	ck_assert_int_eq(told(&c, &early), 5);
	ck_assert_int_eq(told(&c, &late), 3);
	ask(&c, &early, 9); /* from before what is known */
	ck_assert_int_eq(told(&c, &early), -1);
	ask(&c, &late, 13); /* of a state that is not this one */
	ck_assert_int_eq(told(&c, &late), -1);
	watches_fini(&c);
}
END_TEST

TEST(what_is_forgotten_is_lost)
{
	struct catalogd c;
	struct ipc_call call;

	server_init(&c);
	while (c.watches.floor == 10) {
		batch(&c, 100);
	}
	ask(&c, &call, 10);
	ck_assert_int_eq(told(&c, &call), -1);
	ask(&c, &call, c.watches.floor);
	ck_assert_int_eq(told(&c, &call), 100 * (int64_t)(c.feed.applied - c.watches.floor));
	watches_fini(&c);
}
END_TEST

/* 300,000 keys deleted at once: 120 MB of names. */
TEST(more_than_a_frame_takes)
{
	struct catalogd c;
	struct ipc_call held, call;

	server_init(&c);
	batch(&c, 1);
	ask(&c, &held, 11);
	batch(&c, 300000);
	ck_assert_int_eq(told(&c, &held), -1);
	ask(&c, &call, 11);
	ck_assert_int_eq(told(&c, &call), -1);
	ask(&c, &held, 12);
	ck_assert(!held.answered);
	batch(&c, 1);
	ck_assert_int_eq(told(&c, &held), 1);
	watches_fini(&c);
}
END_TEST

UNIT_MAIN("catalog_watch", all_behind_an_index, what_is_forgotten_is_lost, more_than_a_frame_takes)
