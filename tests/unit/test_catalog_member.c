/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/member: what the leader proposes about members of the pool, and that it does so again
 * where nothing came of it. Timers, the page of raftd and the quorum are ours.
 */
#include "catalogd/catalogd.h"
#include "tests/unit/catalog.h"

static struct {
	struct world catalog;
	unsigned proposed;
	uint16_t type;
	propose_fn on_done;
	void *arg;
} ours;

/* -------- what member.c calls -------- */

void loop_timer_init(struct loop_timer *w, struct loop *l, void (*on_timer)(void *arg), void *arg)
{
	*w = (struct loop_timer) { .loop = l, .on_timer = on_timer, .arg = arg };
}

void loop_timer_at(struct loop_timer *w, struct mono when UNUSED)
{
	w->ev[0] = w;
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

struct kv_txn *db_read(struct db *d UNUSED)
{
	return world_begin(&ours.catalog);
}

struct kv_txn *db_begin(struct db *d UNUSED)
{
	ck_abort();
}

bool leader_here(struct catalogd *c UNUSED)
{
	return true;
}

struct ipc_pending *ipc_call(struct ipc_client *client UNUSED, uint16_t message UNUSED,
	struct str encoded UNUSED, int64_t timeout_ms UNUSED, ipc_reply_fn on_reply UNUSED,
	void *arg UNUSED)
{
	ck_abort();
}

void ipc_cancel(struct ipc_pending *p UNUSED)
{
}

void metrics_add(struct metrics *m UNUSED, size_t row UNUSED, double value UNUSED)
{
}

void propose_as_leader(struct catalogd *c UNUSED, uint16_t type, struct str payload UNUSED,
	propose_fn on_done, void *arg)
{
	ours.proposed++;
	ours.type = type;
	ours.on_done = on_done;
	ours.arg = arg;
}

/* -------- a leader -------- */

static struct conf conf = { .datacenter = { "dc1", 3 } };
static struct daemon a_daemon = { .conf = &conf };

/* "Gone" has left, and its node is there. */
static void leader_init_with_one_gone(struct catalogd *c)
{
	struct cmd_register node = { .node = { .node = STR("Gone"), .address = STR("10.0.0.1") } };
	struct pair tags[] = { { STR("dc"), STR("dc1") }, { STR("role"), STR("node") } };
	struct member member = {
		.name = STR("Gone"), .status = ROSTER_LEFT, .tags = { tags, ARRAY_SIZE(tags), true }
	};
	struct members_reply reply = { .version = 1, .self = STR("s1"), .members = { &member, 1 } };
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	static const struct roster none;

	memset(&ours, 0, sizeof(ours));
	world_init(&ours.catalog, NULL);
	APPLY(&ours.catalog, cmd_register, &node);
	*c = (struct catalogd) { .daemon = &a_daemon, .shown = { .ready = 1 } };
	membership_init(c);
	members_reply_encode(&bytes, &reply);
	ck_assert_int_eq(
		roster_make(&c->membership.roster, buf_str(&bytes), conf.datacenter, &none), 0);
	membership_now(c);
}

static void leader_end(struct catalogd *c)
{
	membership_fini(c);
	world_fini(&ours.catalog);
}

static void look(struct catalogd *c)
{
	struct loop_timer *w = &c->membership.reconcile;

	ck_assert(loop_timer_active(w));
	loop_timer_stop(w);
	w->on_timer(w->arg);
}

static void is_done(int status)
{
	const struct result result = { .kind = RESULT_OK };

	ours.on_done(ours.arg, status, status ? NULL : &result);
}

/* -------- tests -------- */

TEST(who_has_left_is_deregistered)
{
	struct cmd_deregister gone = { .node = STR("Gone") };
	struct catalogd c;

	leader_init_with_one_gone(&c);
	look(&c);
	ck_assert_uint_eq(ours.proposed, 1);
	ck_assert_uint_eq(ours.type, COMMAND_cmd_deregister);
	APPLY(&ours.catalog, cmd_deregister, &gone);
	is_done(0);
	membership_changed(&c, STR("gone"));
	look(&c);
	ck_assert_uint_eq(ours.proposed, 1);
	leader_end(&c);
}
END_TEST

/* Not only with the look at everybody, a minute later. */
TEST(what_came_to_nothing_is_proposed_again)
{
	struct catalogd c;

	leader_init_with_one_gone(&c);
	look(&c);
	ck_assert_uint_eq(ours.proposed, 1);
	look(&c);
	ck_assert_uint_eq(ours.proposed, 1); /* it is under way */
	is_done(ST_TIMEOUT);
	ck_assert_int_le(mono_diff_ms(c.membership.next, clock_mono()), 1000);
	look(&c);
	ck_assert_uint_eq(ours.proposed, 2);
	is_done(ST_FULL);
	look(&c);
	ck_assert_uint_eq(ours.proposed, 3);
	leader_end(&c);
}
END_TEST

UNIT_MAIN("catalog_member", who_has_left_is_deregistered, what_came_to_nothing_is_proposed_again)
