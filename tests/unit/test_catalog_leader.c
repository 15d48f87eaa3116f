/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/leader and catalogd/autopilot: when the leader's duties begin, that they begin once, and
 * that they go on. Time, the page of raftd, the calls and the duties themselves are ours.
 */
#include "catalogd/catalogd.h"
#include "tests/unit/unit.h"

static struct {
	struct raft_page page;
	unsigned begun; /* duties that began */
	unsigned asked; /* questions about the servers */
} world;

/* -------- what the two call -------- */

bool page_read(struct page_reader *r UNUSED, void *out)
{
	memcpy(out, &world.page, sizeof(world.page));
	return true;
}

void loop_timer_init(struct loop_timer *w, struct loop *l, void (*on_timer)(void *arg), void *arg)
{
	*w = (struct loop_timer) { .loop = l, .on_timer = on_timer, .arg = arg };
}

void loop_timer_in(struct loop_timer *w, int64_t ms UNUSED)
{
	w->ev[0] = w;
}

void loop_timer_stop(struct loop_timer *w)
{
	w->ev[0] = NULL;
}

bool loop_timer_active(const struct loop_timer *w)
{
	return w->ev[0] != NULL;
}

static void fire(struct loop_timer *w)
{
	ck_assert(loop_timer_active(w));
	loop_timer_stop(w);
	w->on_timer(w->arg);
}

struct kv_txn *db_read(struct db *d UNUSED)
{
	return NULL;
}

struct ipc_pending *ipc_call(struct ipc_client *client UNUSED, uint16_t message,
	struct str encoded UNUSED, int64_t timeout_ms UNUSED, ipc_reply_fn on_reply, void *arg)
{
	ck_assert_int_eq(message, MSG_raft_health);
	world.asked++;
	on_reply(arg, ST_CLOSED, STR_NONE);
	return NULL;
}

void ipc_cancel(struct ipc_pending *p UNUSED)
{
}

void ipc_reply(struct ipc_call *call UNUSED, struct str payload UNUSED)
{
	ck_abort();
}

void ipc_refuse(struct ipc_call *call UNUSED, int status UNUSED)
{
	ck_abort();
}

void propose_as_leader(struct catalogd *c UNUSED, uint16_t type UNUSED, struct str payload UNUSED,
	propose_fn on_done UNUSED, void *arg UNUSED)
{
}

void ttl_init(struct catalogd *c UNUSED)
{
}

void ttl_fini(struct catalogd *c UNUSED)
{
}

void ttl_load(struct catalogd *c UNUSED)
{
}

void delays_init(struct catalogd *c UNUSED)
{
}

void delays_fini(struct catalogd *c UNUSED)
{
}

void delays_load(struct catalogd *c UNUSED)
{
}

void membership_now(struct catalogd *c UNUSED)
{
	world.begun++;
}

/* -------- a server -------- */

static struct conf conf;
static struct daemon a_daemon = { .conf = &conf };

static void server_init(struct catalogd *c)
{
	*c = (struct catalogd) {
		.daemon = &a_daemon, .shown = { .ready = 1 }, .feed = { .applied = 100 }
	};
	memset(&world, 0, sizeof(world));
	leader_init(c);
	autopilot_init(c);
	leader_start(c);
}

static void leads(uint64_t term, uint64_t commit_index)
{
	world.page = (struct raft_page) { .term = term,
		.commit_index = commit_index,
		.is_leader = 1,
		.lease_until_ns = INT64_MAX };
}

/* -------- tests -------- */

TEST(a_leadership_begins_behind_what_was_before)
{
	struct catalogd c;

	server_init(&c);
	world.page = (struct raft_page) { .term = 3, .commit_index = 100 };
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(world.begun, 0); /* another one leads */
	leads(4, 101);
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(world.begun, 0); /* something of an earlier one may be missing */
	ck_assert(!leader_here(&c));
	c.feed.applied = 101;
	fire(&c.leader.look_timer);
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(world.begun, 1);
	ck_assert(leader_here(&c));
	world.page.term = 5;
	world.page.is_leader = 0;
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(c.leader.term, 0);
	leads(6, 110);
	c.feed.applied = 110;
	c.shown.ready = 0;
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(world.begun, 1);
	c.shown.ready = 1;
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(world.begun, 2);
}
END_TEST

/* Whenever this is looked at, more is committed than applied. */
TEST(under_load_a_leadership_begins)
{
	struct catalogd c;

	server_init(&c);
	for (unsigned i = 1; i <= 3; i++) {
		leads(4, 100 + 10 * i);
		fire(&c.leader.look_timer);
		c.feed.applied = world.page.commit_index;
	}
	ck_assert_uint_eq(world.begun, 1);
	ck_assert(leader_here(&c));
}
END_TEST

/* Neither server nor clock had time for a moment, and nobody else was elected. */
TEST(the_autopilot_outlives_a_moment_without_a_lease)
{
	struct catalogd c;

	server_init(&c);
	leads(4, 100);
	fire(&c.leader.look_timer);
	fire(&c.autopilot.timer);
	ck_assert_uint_eq(world.asked, 1);
	world.page.lease_until_ns = 1;
	fire(&c.autopilot.timer);
	ck_assert_uint_eq(world.asked, 1);
	leads(4, 100);
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(world.begun, 1);
	fire(&c.autopilot.timer);
	ck_assert_uint_eq(world.asked, 2);
	/* Where the end was seen, it begins anew. */
	world.page.lease_until_ns = 1;
	fire(&c.leader.look_timer);
	fire(&c.autopilot.timer);
	ck_assert(!loop_timer_active(&c.autopilot.timer));
	leads(4, 100);
	fire(&c.leader.look_timer);
	ck_assert_uint_eq(world.begun, 2);
	fire(&c.autopilot.timer);
	ck_assert_uint_eq(world.asked, 3);
}
END_TEST

UNIT_MAIN("catalog_leader", a_leadership_begins_behind_what_was_before,
	under_load_a_leadership_begins, the_autopilot_outlives_a_moment_without_a_lease)
