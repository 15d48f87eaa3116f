/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader makes the catalogue follow the pool (Consul's membership rules): an alive member is a
 * node with a passing serfHealth, a server also has the service "consul"; a failed one's serfHealth
 * is critical; one that left or was reaped is deregistered. A member is looked at when the pool
 * says something new of it, soon after somebody changed its node, and every minute. What the node's
 * own agent registers stays untouched.
 *
 * A pool may be large: a slice of the work takes SLICE_MAX_MS, and at most MEMBERS_PROPOSING_MAX
 * changes wait for their commit.
 */
#include "catalogd/catalogd.h"

enum {
	MEMBERS_WAIT_MS = 60000,
	RECONCILE_EVERY_MS = 60000,
	RECONCILE_SOON_MS = 1000,
	RECONCILE_RETRY_MS = 250,
	SLICE_MAX_MS = 2,
	/* A gossipd that was just started does not know everybody yet. */
	ABSENT_MS = 120000,
};

/* -------- one member -------- */

/* Two agents with one id would take the node from each other for ever: the one that has it keeps it
 * while it lives; of two new ones the first in the order of names gets it. */
static bool is_clone(struct catalogd *c, struct kv_txn *t, const struct roster_row *row)
{
	struct roster_row *holder = NULL;
	struct uuid uuid;
	struct str key;

	if (!row->twin || uuid_parse(row->id, &uuid)) {
		return false;
	}
	if (kv_get(t, STATE_NODE_IDS, str_n(uuid.b, sizeof(uuid.b)), &key)) {
		holder = roster_find(&c->membership.roster, key);
	}
	if (holder && holder->twin && str_eq(holder->id, row->id)) {
		return holder != row;
	}
	return !row->first;
}

/* The pool knows who has a name now: whoever has lost it does not live under it any more, and
 * gives it up. */
static void name_free(struct catalogd *c, struct member_view *v, const struct node_def *known)
{
	struct member_view before = *v;

	log_notice("node-id-changed", "node=" STR_FMT " id=" STR_FMT " before=" STR_FMT,
		STR_ARG(v->m->name), STR_ARG(v->id), STR_ARG(known->id));
	before.id = known->id;
	member_register(c, &before, known, false);
}

static void member_alive(
	struct catalogd *c, struct kv_txn *t, const struct roster_row *row, struct arena *arena)
{
	struct member_view v = member_view_of(row, arena);
	struct node_def node = { .node = v.m->name };
	bool known = member_node(t, v.m->name, arena, &node);
	bool other = known && node.id.n && v.id.n && !str_ieq(node.id, v.id);
	bool passing = member_health_is(t, v.m->name, arena, STR("passing"));

	if (is_clone(c, t, row)) {
		member_trouble(c, v.m->name,
			arena_printf(
				arena, "another member has its node id " STR_FMT, STR_ARG(v.id)));
		return;
	}
	if (known && !other && str_eq(node.address, v.m->addr) &&
		member_service_same(t, &v, arena) && passing) {
		return;
	}
	if (other && passing) {
		name_free(c, &v, &node);
	}
	log_info("member-registered", "node=" STR_FMT " address=" STR_FMT, STR_ARG(v.m->name),
		STR_ARG(v.m->addr));
	member_register(c, &v, &node, true);
}

static void member_failed(
	struct catalogd *c, struct kv_txn *t, const struct roster_row *row, struct arena *arena)
{
	struct member_view v = member_view_of(row, arena);
	struct node_def node;

	if (member_node(t, v.m->name, arena, &node) &&
		!member_health_is(t, v.m->name, arena, STR("critical"))) {
		member_register(c, &v, &node, false);
	}
}

static bool is_self(const struct catalogd *c, struct str name)
{
	return str_ieq(name, c->membership.roster.members.self);
}

static void member_left(
	struct catalogd *c, struct kv_txn *t, const struct roster_row *row, struct arena *arena)
{
	struct node_def node;

	if (!is_self(c, row->m->name) && member_node(t, row->m->name, arena, &node)) {
		member_deregister(c, row->m->name, "left");
	}
}

static void look_at_row(struct catalogd *c, struct kv_txn *t, struct roster_row *row)
{
	static void (*const looks[])(
		struct catalogd *, struct kv_txn *, const struct roster_row *, struct arena *) = {
		[ROSTER_ALIVE] = member_alive,
		[ROSTER_LEFT] = member_left,
		[ROSTER_FAILED] = member_failed,
	};
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	row->due = false;
	/* else: about to leave */
	if (row->handled && row->m->status < ARRAY_SIZE(looks) && looks[row->m->status]) {
		looks[row->m->status](c, t, row, &arena);
	}
}

/* -------- those that are not there any more -------- */

struct absentee {
	struct map_node node; /* by key */
	struct mono since;
	char *key;
};

static void absentee_free(struct membership *ms, struct absentee *a)
{
	map_del(&ms->absent, &a->node);
	free(a->key);
	free(a);
}

static void absent_forget(struct membership *ms)
{
	struct absentee *a, *following;

	map_for_each(a, following, &ms->absent, node)
	{
		absentee_free(ms, a);
	}
}

static bool is_absent_for_long(struct membership *ms, struct str key)
{
	struct absentee *a = map_find(&ms->absent, key, struct absentee, node);

	if (!a) {
		a = xcalloc(1, sizeof(*a));
		a->since = clock_mono();
		a->key = str_dup(key);
		map_add(&ms->absent, &a->node, str_of(a->key));
	}
	return mono_diff_ms(clock_mono(), a->since) >= ABSENT_MS;
}

/* "reconcileReaped": a node that the pool once had (it has a serfHealth), and has not any more. */
static void look_at_node(struct catalogd *c, struct kv_txn *t, struct str key)
{
	struct membership *ms = &c->membership;
	struct absentee *a = map_find(&ms->absent, key, struct absentee, node);

	if (roster_find(&ms->roster, key) || is_self(c, key) || !member_has_health(t, key)) {
		if (a) {
			absentee_free(ms, a);
		}
	} else if (is_absent_for_long(ms, key)) {
		member_deregister(c, key, "reaped");
	}
}

/* Reaped before our eyes. */
static void look_at_gone(struct catalogd *c, struct kv_txn *t)
{
	struct strs *gone = &c->membership.roster.gone;
	struct str key;

	while (gone->count && c->membership.proposing < MEMBERS_PROPOSING_MAX) {
		key = gone->items[--gone->count];
		if (!is_self(c, key) && member_has_health(t, key)) {
			member_deregister(c, key, "reaped");
		}
	}
}

/* -------- slices -------- */

void membership_look_in(struct catalogd *c, int64_t ms)
{
	struct membership *m = &c->membership;
	struct mono when = mono_add_ms(clock_mono(), ms);

	if (!loop_timer_active(&m->reconcile) || mono_before(when, m->next)) {
		m->next = when;
		loop_timer_at(&m->reconcile, when);
	}
}

static bool may_go_on(const struct membership *ms, struct mono began)
{
	return ms->proposing < MEMBERS_PROPOSING_MAX &&
	       mono_diff_ms(clock_mono(), began) < SLICE_MAX_MS;
}

/* true: all rows have been looked at. */
static bool slice_rows(struct catalogd *c, struct kv_txn *t, struct mono began)
{
	struct roster *r = &c->membership.roster;

	for (uint32_t i = 0; i < r->count; i++) {
		if (r->rows[i].due && !may_go_on(&c->membership, began)) {
			return false;
		}
		if (r->rows[i].due) {
			look_at_row(c, t, &r->rows[i]);
		}
	}
	return true;
}

/* true: all nodes have been looked at. */
static bool slice_nodes(struct catalogd *c, struct kv_txn *t, struct mono began)
{
	struct membership *ms = &c->membership;
	struct kv_walk w;

	kv_walk_init(&w, t, STATE_NODES, STR(""));
	if (ms->nodes_behind.n) {
		kv_walk_behind(&w, buf_str(&ms->nodes_behind));
	}
	while (may_go_on(ms, began)) {
		if (!kv_walk_next(&w)) {
			buf_clear(&ms->nodes_behind);
			return true;
		}
		look_at_node(c, t, str_n(w.at, w.key_size));
		buf_clear(&ms->nodes_behind);
		buf_put(&ms->nodes_behind, w.at, w.key_size);
	}
	return false;
}

static void slice(struct catalogd *c, struct mono began)
{
	struct membership *ms = &c->membership;
	struct kv_txn *t = db_read(c->stores.state);

	if (!t) {
		membership_look_in(c, RECONCILE_RETRY_MS);
		return;
	}
	look_at_gone(c, t);
	if (!slice_rows(c, t, began) || (ms->nodes_due && !slice_nodes(c, t, began))) {
		/* on_done wakes us when there is room for more */
		membership_look_in(
			c, ms->proposing < MEMBERS_PROPOSING_MAX ? 0 : RECONCILE_SOON_MS);
	} else {
		ms->nodes_due = false;
	}
	kv_abort(t);
}

static void all_are_due(struct membership *ms)
{
	for (uint32_t i = 0; i < ms->roster.count; i++) {
		ms->roster.rows[i].due = true;
	}
	ms->nodes_due = true;
	buf_clear(&ms->nodes_behind);
}

static void on_reconcile(void *arg)
{
	struct catalogd *c = arg;
	struct membership *ms = &c->membership;
	struct mono before = clock_mono();

	if (!ms->roster.count) {
		return;
	}
	if (!c->shown.ready || !leader_here(c)) {
		if (c->leader.term) { /* else membership_now comes */
			membership_look_in(c, RECONCILE_RETRY_MS);
		}
		return;
	}
	if (!mono_before(before, ms->full_at)) {
		all_are_due(ms);
		ms->full_at = mono_add_ms(before, RECONCILE_EVERY_MS);
	}
	slice(c, before);
	membership_look_in(c, mono_diff_ms(ms->full_at, before));
	metrics_add(c->daemon->metrics, METRIC_RECONCILE,
		(double)mono_diff_ns(clock_mono(), before) / NS_PER_MS);
}

void membership_changed(struct catalogd *c, struct str node)
{
	struct roster_row *row = roster_find(&c->membership.roster, node);

	if (row) {
		row->due = true;
		membership_look_in(c, RECONCILE_SOON_MS);
	}
}

/* A leadership begins. */
void membership_now(struct catalogd *c)
{
	absent_forget(&c->membership);
	c->membership.full_at = (struct mono) { 0 };
	membership_look_in(c, 0);
}

/* -------- the pool's word -------- */

static void members_ask(struct catalogd *c);

static void on_members(void *arg, int status, struct str payload)
{
	struct catalogd *c = arg;
	struct membership *ms = &c->membership;
	struct roster fresh;

	ms->pending = NULL;
	if (status) {
		loop_timer_in(&ms->again, status == ST_TIMEOUT ? 0 : RECONCILE_RETRY_MS);
		return;
	}
	if (roster_make(&fresh, payload, c->daemon->conf->datacenter, &ms->roster)) {
		log_error("members-malformed", "bytes=%zu", payload.n);
		roster_fini(&fresh);
		loop_timer_in(&ms->again, RECONCILE_EVERY_MS);
		return;
	}
	roster_fini(&ms->roster);
	ms->roster = fresh;
	membership_look_in(c, 0);
	members_ask(c);
}

static void members_ask(struct catalogd *c)
{
	struct members m = { .version = c->membership.roster.members.version,
		.wait_ms = MEMBERS_WAIT_MS };

	if (!c->membership.pending && !c->daemon->draining) {
		c->membership.pending =
			IPC_CALL(c->gossip, members, &m, MEMBERS_WAIT_MS + 10000, on_members, c);
	}
}

static void on_again(void *arg)
{
	members_ask(arg);
}

/* -------- life -------- */

void membership_init(struct catalogd *c)
{
	struct membership *ms = &c->membership;

	list_init(&ms->changes);
	map_init(&ms->absent, random_u64());
	loop_timer_init(&ms->again, c->daemon->loop, on_again, c);
	loop_timer_init(&ms->reconcile, c->daemon->loop, on_reconcile, c);
}

void membership_start(struct catalogd *c)
{
	members_ask(c);
}

void membership_fini(struct catalogd *c)
{
	struct membership *ms = &c->membership;

	loop_timer_stop(&ms->again);
	loop_timer_stop(&ms->reconcile);
	if (ms->pending) {
		ipc_cancel(take(ms->pending));
	}
	member_changes_fini(c);
	absent_forget(ms);
	map_fini(&ms->absent);
	buf_fini(&ms->nodes_behind);
	roster_fini(&ms->roster);
}
