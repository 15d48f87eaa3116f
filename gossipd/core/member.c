/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serf's members: what SWIM says about nodes, together with the intents to join and leave, in the
 * order of their Lamport times. Leaving, forcing others out, reaping, reconnecting. Section
 * numbers: the notes on the protocol.
 */
#include "common/base/bind.h"
#include "gossipd/core/pool_private.h"

/* One poisoned time would make all that is older be dropped, and the clock end: a pool that has had
 * so many events is not believed. */
bool clock_witness(struct pool *p, uint64_t *clock, uint64_t seen)
{
	static const uint64_t jump_max = 1ull << 32;

	if (seen >= *clock && (seen - *clock > jump_max || seen == UINT64_MAX)) {
		p->refused[POOL_REFUSED_TIME]++;
		return false;
	}
	if (seen >= *clock) {
		*clock = seen + 1;
		p->update->clocks_changed = true;
	}
	return true;
}

static void changed(struct pool *p)
{
	p->version++;
	p->update->members_changed = true;
}

static void status_set(struct pool *p, struct pool_node *n, enum member_status status)
{
	if (n->status == MEMBER_NONE) {
		p->members_count++;
	} else {
		p->counts[n->status]--;
	}
	if (status == MEMBER_NONE) {
		p->members_count--;
	} else {
		p->counts[status]++;
	}
	n->status = (uint8_t)status;
	changed(p);
}

size_t pool_count(const struct pool *p, enum member_status status)
{
	return status == MEMBER_NONE ? p->nodes.count - p->members_count : p->counts[status];
}

bool others_alive(const struct pool *p)
{
	return p->counts[MEMBER_ALIVE] > (p->self->status == MEMBER_ALIVE);
}

/* -------- intents about names that are no members (yet) -------- */

static void intent_forget(struct pool *p, struct pool_intent *i)
{
	map_del(&p->intents_by_name, &i->entry);
	list_del(&i->link);
	free((void *)(uintptr_t)i->name.p);
	free(i);
}

void intents_fini(struct pool *p)
{
	while (!list_empty(&p->intents)) {
		intent_forget(p, list_first(&p->intents, struct pool_intent, link));
	}
}

/* Is it newer than what is remembered? Then it is, and is spread. */
static bool intent_remember(struct pool *p, const struct serf_intent *m, bool leave)
{
	struct pool_intent *i = map_find(&p->intents_by_name, m->node, struct pool_intent, entry);
	uint32_t gone = i && leave ? i->gone : 0;

	if (i && m->ltime <= i->ltime) {
		return false;
	}
	if (i) {
		intent_forget(p, i);
	} else if (p->intents_by_name.count == POOL_INTENTS_MAX) {
		intent_forget(p, list_first(&p->intents, struct pool_intent, link));
	}
	i = xcalloc(1, sizeof(*i));
	*i = (struct pool_intent) { .leave = leave,
		.gone = gone,
		.ltime = m->ltime,
		.at = p->now,
		.name = owned_str(m->node) };
	map_add(&p->intents_by_name, &i->entry, i->name);
	list_add_tail(&p->intents, &i->link);
	return true;
}

/* Who joined and left a moment ago may be heard of in any order. */
void intent_on_gone(struct pool *p, const struct swim_accusation *m)
{
	struct pool_intent *i = map_find(&p->intents_by_name, m->node, struct pool_intent, entry);

	if (i && i->leave && str_eq(m->node, m->from)) {
		i->gone = max_of(i->gone, m->incarnation);
	}
}

uint32_t intent_gone(const struct pool *p, struct str name)
{
	const struct pool_intent *i =
		map_find(&p->intents_by_name, name, struct pool_intent, entry);

	return i ? i->gone : 0;
}

static void intent_spread(
	struct pool *p, const struct serf_intent *m, bool leave, struct broadcast **owner)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };

	serf_put(&bytes, leave ? SERF_LEAVE : SERF_JOIN,
		leave ? &serf_leave_schema : &serf_join_schema, m);
	pool_broadcast_serf(p, QUEUE_INTENT, buf_str(&bytes), owner);
}

/* -------- what SWIM says (5.4) -------- */

void member_on_alive(struct pool *p, struct pool_node *n)
{
	struct pool_intent *i = map_find(&p->intents_by_name, n->name, struct pool_intent, entry);
	bool leaving = false;

	if (n->status == MEMBER_NONE && i) {
		n->status_time = i->ltime;
		n->leave_meant = leaving = i->leave;
		intent_forget(p, i);
	}
	n->pruning = false;
	status_set(p, n, leaving ? MEMBER_LEAVING : MEMBER_ALIVE);
	note_add(p, POOL_NOTE_MEMBER_JOIN, n->name, STR(""));
}

/* A death that the member announces itself, without an intent, counts as a failure. But when it was
 * taken for dead before it left, its intent may have come first and the refutation then: what it
 * has meant stands. */
void member_on_gone(struct pool *p, struct pool_node *n)
{
	bool meant = n->leave_meant && n->state == SWIM_STATE_LEFT;

	if (n->status == MEMBER_LEAVING || (n->status == MEMBER_ALIVE && meant)) {
		n->leave_at = p->now;
		status_set(p, n, MEMBER_LEFT);
		note_add(p, POOL_NOTE_MEMBER_LEAVE, n->name, STR(""));
	} else if (n->status == MEMBER_ALIVE) {
		n->leave_at = p->now;
		status_set(p, n, MEMBER_FAILED);
		note_add(p, POOL_NOTE_MEMBER_FAILED, n->name, STR(""));
	}
}

void member_on_update(struct pool *p, struct pool_node *n)
{
	changed(p);
	note_add(p, POOL_NOTE_MEMBER_UPDATE, n->name, STR(""));
}

static void member_erase(struct pool *p, struct pool_node *n)
{
	note_add(p, POOL_NOTE_MEMBER_REAP, n->name, STR(""));
	status_set(p, n, MEMBER_NONE);
	n->status_time = 0;
	n->leave_meant = n->pruning = false;
	free(take(n->latencies));
	free(take(n->coordinate));
	node_free_unused(p, n);
}

/* -------- intents (5.4) -------- */

void intent_broadcast_join(struct pool *p)
{
	struct serf_intent m = { .ltime = p->clocks.member, .node = p->options.name };

	clock_witness(p, &p->clocks.member, m.ltime);
	p->self->status_time = max_of(p->self->status_time, m.ltime);
	intent_spread(p, &m, false, NULL);
}

void intent_on_join(struct pool *p, const struct serf_intent *m)
{
	struct pool_node *n = node_find(p, m->node);

	if (!clock_witness(p, &p->clocks.member, m->ltime)) {
		return;
	}
	if (!n || n->status == MEMBER_NONE) {
		if (m->node.n <= POOL_NAME_MAX && intent_remember(p, m, false)) {
			intent_spread(p, m, false, NULL);
		}
		return;
	}
	if (m->ltime <= n->status_time) {
		return;
	}
	n->status_time = m->ltime;
	n->leave_meant = n->pruning = false;
	if (n->status == MEMBER_LEAVING) {
		status_set(p, n, MEMBER_ALIVE);
	}
	intent_spread(p, m, false, NULL);
}

static void prune(struct pool *p, struct pool_node *n)
{
	if (n->status == MEMBER_LEAVING) {
		/* Its death must get round first. */
		n->pruning = true;
		n->leave_at = p->now;
		p->prune_at = mono_min(p->prune_at,
			mono_add_ms(p->now, BROADCAST_TIMEOUT_MS + p->options.leave_delay_ms));
		return;
	}
	if (n != p->self) {
		member_erase(p, n);
	}
}

static void leave_member(struct pool *p, struct pool_node *n)
{
	if (n->status == MEMBER_ALIVE) {
		status_set(p, n, MEMBER_LEAVING);
	} else if (n->status == MEMBER_FAILED) {
		status_set(p, n, MEMBER_LEFT);
		note_add(p, POOL_NOTE_MEMBER_LEAVE, n->name, STR(""));
	}
}

void intent_on_leave(struct pool *p, const struct serf_intent *m)
{
	struct pool_node *n = node_find(p, m->node);

	if (!clock_witness(p, &p->clocks.member, m->ltime)) {
		return;
	}
	if (!n || n->status == MEMBER_NONE) {
		if (m->node.n <= POOL_NAME_MAX && intent_remember(p, m, true)) {
			intent_spread(p, m, true, NULL);
		}
		return;
	}
	if (m->ltime <= n->status_time) {
		return;
	}
	if (n == p->self && !p->leave) {
		intent_broadcast_join(p); /* we are here, and say so with a later time */
		return;
	}
	n->status_time = m->ltime;
	n->leave_meant = true;
	leave_member(p, n);
	intent_spread(p, m, true, n == p->self ? &p->leaving : NULL);
	if (m->prune) {
		prune(p, n);
	}
}

void member_prune_tick(struct pool *p)
{
	struct pool_node *n, *next;

	if (mono_before(p->now, p->prune_at)) {
		return;
	}
	p->prune_at = MONO_NEVER;
	pool_for_each(n, next, p)
	{
		struct mono at =
			mono_add_ms(n->leave_at, BROADCAST_TIMEOUT_MS + p->options.leave_delay_ms);

		if (n->pruning && n != p->self && !mono_before(p->now, at)) {
			member_erase(p, n);
		} else if (n->pruning && n != p->self) {
			p->prune_at = mono_min(p->prune_at, at);
		}
	}
}

void member_force_leave(struct pool *p, struct str name, bool prune_it)
{
	struct serf_intent m = { .ltime = p->clocks.member, .node = name, .prune = prune_it };
	struct pool_node *n = node_find(p, name);

	if (!n || n->status == MEMBER_NONE) {
		p->update->status = ST_NOT_FOUND;
		return;
	}
	clock_witness(p, &p->clocks.member, m.ltime);
	intent_on_leave(p, &m);
}

/* -------- leaving (5.5) -------- */

/* The intent goes round before the death: in one packet they could be read in the wrong order. */
void member_leave(struct pool *p)
{
	struct serf_intent m = { .ltime = p->clocks.member, .node = p->options.name };

	if (p->leave) {
		return;
	}
	p->leave = LEAVE_INTENT;
	p->leave_at = mono_add_ms(p->now, BROADCAST_TIMEOUT_MS);
	clock_witness(p, &p->clocks.member, m.ltime);
	p->self->status_time = m.ltime - 1;
	intent_on_leave(p, &m);
}

static void leave_next(struct pool *p)
{
	bool alone = !others_alive(p);

	switch (p->leave) {
	case LEAVE_INTENT:
		p->leave = LEAVE_DEAD;
		p->leave_at = mono_add_ms(p->now, BROADCAST_TIMEOUT_MS);
		swim_leave(p);
		break;
	case LEAVE_DEAD:
		p->leave = LEAVE_DELAY;
		p->leave_at = alone ? p->now : mono_add_ms(p->now, p->options.leave_delay_ms);
		break;
	default:
		p->leave = LEAVE_DONE;
		p->leave_at = MONO_NEVER;
		note_add(p, POOL_NOTE_LEFT, p->options.name, STR(""));
		break;
	}
}

static bool stage_over(const struct pool *p)
{
	if (!mono_before(p->now, p->leave_at)) {
		return true;
	}
	return (p->leave == LEAVE_INTENT && !p->leaving) ||
	       (p->leave == LEAVE_DEAD && !p->self->broadcast) ||
	       (p->leave < LEAVE_DELAY && !others_alive(p));
}

void leave_tick(struct pool *p)
{
	while (p->leave != LEAVE_NO && p->leave != LEAVE_DONE && stage_over(p)) {
		leave_next(p);
	}
}

/* -------- now and then -------- */

/* How long a failed member is waited for; it may ask for a time of its own (Consul 1.10's tag
 * rc_tm). */
static int64_t reconnect_ms(const struct pool *p, const struct pool_node *n)
{
	struct pair tags[SERF_TAGS_MAX];
	uint32_t count = 0;
	struct pairs all = { tags, 0, false };
	struct str wanted;
	int64_t ns;

	all.count = serf_tags_get(n->meta, tags, &count) ? 0 : count;
	wanted = pairs_find(&all, STR("rc_tm"));
	return wanted.n && duration_parse(wanted, &ns, NULL) == 0 && ns > 0
		       ? ns / NS_PER_MS
		       : p->options.reconnect_timeout_ms;
}

void member_reap(struct pool *p)
{
	struct pool_node *n, *next;
	struct pool_intent *i, *next_intent;

	p->reap_at = mono_add_ms(p->now, REAP_INTERVAL_MS);
	pool_for_each(n, next, p)
	{
		int64_t after = n->status == MEMBER_FAILED ? reconnect_ms(p, n)
				: n->status == MEMBER_LEFT ? p->options.tombstone_ms
							   : INT64_MAX;

		if (n != p->self && mono_diff_ms(p->now, n->leave_at) > after) {
			member_erase(p, n);
		}
	}
	list_for_each_safe (i, next_intent, &p->intents, link) {
		if (mono_diff_ms(p->now, i->at) > INTENT_TIMEOUT_MS) {
			intent_forget(p, i);
		}
	}
}

/* 5.12: the more have failed, the likelier one of them is tried again. */
void member_reconnect(struct pool *p)
{
	size_t failed = pool_count(p, MEMBER_FAILED), left = pool_count(p, MEMBER_LEFT), at;
	size_t living = max_of(
		(size_t)1, p->members_count - min_of(failed + left, (size_t)p->members_count));
	struct pool_node *n, *next;
	uint32_t token;

	p->reconnect_at = mono_add_ms(p->now, RECONNECT_INTERVAL_MS);
	if (!failed || p->leave || rng_below(&p->rng, living) >= failed) {
		return;
	}
	at = rng_below(&p->rng, failed);
	pool_for_each(n, next, p)
	{
		if (n->status == MEMBER_FAILED && at-- == 0) {
			sync_dial(p, n->address, DIAL_REJOIN, &token);
			return;
		}
	}
}
