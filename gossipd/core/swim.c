/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is alive: the merge rules of alive, suspect and dead messages, refutation, and the suspicion
 * timers of Lifeguard. Section numbers: the notes on the protocol.
 */
#include "gossipd/core/pool_private.h"

#include <math.h>

/* -------- suspicion (4.6) -------- */

int64_t suspicion_min_ms(uint32_t mult, uint32_t nodes, int64_t interval_ms)
{
	double scale = fmax(1.0, log10(fmax(1.0, (double)nodes)));

	return (int64_t)mult * (int64_t)floor(1000.0 * scale) * interval_ms / 1000;
}

int64_t suspicion_timeout_ms(int64_t min, int64_t max, uint32_t confirmed, uint32_t wanted)
{
	double part = log((double)confirmed + 1.0) / log((double)wanted + 1.0);
	double timeout = (double)max - part * (double)(max - min);

	return wanted == 0 ? min : max_of(min, (int64_t)floor(timeout));
}

static void suspicion_arm(struct pool *p, struct pool_suspicion *s)
{
	s->deadline = mono_add_ms(
		s->start, suspicion_timeout_ms(s->min_ms, s->max_ms, s->count, s->wanted));
	p->suspicion_at = mono_min(p->suspicion_at, s->deadline);
}

static void suspicion_begin(struct pool *p, struct pool_node *n, struct str from)
{
	struct pool_suspicion *s = xcalloc(1, sizeof(*s));
	uint32_t mult = p->options.profile.suspicion_mult;
	uint32_t wanted = mult > 2 ? min_of(mult - 2, (uint32_t)ARRAY_SIZE(s->from) - 1) : 0;

	s->node = n;
	s->start = p->now;
	s->wanted = p->ring_count < wanted + 2 ? 0 : wanted;
	s->min_ms = suspicion_min_ms(mult, p->ring_count, p->options.profile.probe_interval_ms);
	s->max_ms = s->min_ms * p->options.profile.suspicion_max_mult;
	s->from[s->from_count++] = str_dup(from);
	list_add_tail(&p->suspicions, &s->link);
	n->suspicion = s;
	suspicion_arm(p, s);
}

void suspicion_end(struct pool *p, struct pool_node *n)
{
	struct pool_suspicion *s = take(n->suspicion);

	(void)p;
	if (s) {
		for (uint32_t i = 0; i < s->from_count; i++) {
			free(s->from[i]);
		}
		list_del(&s->link);
		free(s);
	}
}

/* Is it news that this one suspects too? */
static bool suspicion_confirm(struct pool *p, struct pool_suspicion *s, struct str from)
{
	if (s->count >= s->wanted) {
		return false;
	}
	for (uint32_t i = 0; i < s->from_count; i++) {
		if (str_is(from, s->from[i])) {
			return false;
		}
	}
	s->from[s->from_count++] = str_dup(from);
	s->count++;
	suspicion_arm(p, s);
	return true;
}

void suspicions_tick(struct pool *p)
{
	struct pool_suspicion *s, *next;

	if (mono_before(p->now, p->suspicion_at)) {
		return;
	}
	list_for_each_safe (s, next, &p->suspicions, link) {
		if (!mono_before(p->now, s->deadline)) {
			struct swim_accusation m = { s->node->incarnation, s->node->name,
				p->options.name };

			swim_on_dead(p, &m);
		}
	}
	p->suspicion_at = MONO_NEVER;
	list_for_each (s, &p->suspicions, link) {
		p->suspicion_at = mono_min(p->suspicion_at, s->deadline);
	}
}

/* -------- messages about nodes -------- */

/* Nobody can contradict who comes with the last of all incarnations: what is far ahead of all that
 * is known of a node is not believed. */
static bool is_believable(struct pool *p, const struct pool_node *n, uint32_t incarnation)
{
	uint32_t known = n ? n->incarnation : 0;

	if (incarnation < UINT32_MAX &&
		(incarnation <= known || incarnation - known <= INCARNATION_JUMP_MAX)) {
		return true;
	}
	p->refused[POOL_REFUSED_TIME]++;
	return false;
}

static bool is_too_long(struct pool *p, struct str s, size_t max)
{
	p->refused[POOL_REFUSED_SIZE] += s.n > max;
	return s.n > max;
}

static void spread_accusation(
	struct pool *p, enum swim_type type, struct pool_node *n, const struct swim_accusation *m)
{
	OWN_EMBEDDED(buf_fini) struct buf message = { 0 };

	swim_put(&message, type, &swim_accusation_schema, m);
	pool_broadcast(p, QUEUE_SWIM, buf_str(&message), &n->broadcast);
}

static void spread_alive(struct pool *p, struct pool_node *n, const struct swim_alive *m)
{
	OWN_EMBEDDED(buf_fini) struct buf message = { 0 };

	swim_put(&message, SWIM_ALIVE, &swim_alive_schema, m);
	pool_broadcast(p, QUEUE_SWIM, buf_str(&message), &n->broadcast);
}

static void state_set(struct pool *p, struct pool_node *n, enum swim_state state)
{
	if (n->state != state) {
		n->state = (uint8_t)state;
		n->state_at = p->now;
	}
}

static struct swim_alive alive_of_self(struct pool *p)
{
	return (struct swim_alive) {
		.incarnation = p->incarnation,
		.node = p->options.name,
		.addr = address_str(&p->options.address),
		.port = p->options.address.port,
		.meta = p->options.meta,
		.vsn = str_n(p->options.versions, SWIM_VERSIONS),
	};
}

/* refute(accused), 4.2 */
static void refute(struct pool *p, uint32_t accused)
{
	struct swim_alive m;

	p->incarnation = max_of(p->incarnation, accused) + 1;
	p->self->incarnation = p->incarnation;
	p->health = min_of(p->health + 1, p->options.profile.health_max - 1);
	p->refuted_count++;
	m = alive_of_self(p);
	spread_alive(p, p->self, &m);
	note_add(p, POOL_NOTE_REFUTED, p->options.name, STR(""));
}

/* -------- old news -------- */

/* What is said to one member in answer to news that are none: so many in a second. */
static void put_right(struct pool *p, const struct pool_node *to, struct str message)
{
	enum { CORRECTIONS_PER_S_MAX = 32 };

	if (mono_diff_ms(p->now, p->corrections_at) >= 1000) {
		p->corrections_at = p->now;
		p->corrections = 0;
	}
	if (p->corrections++ < CORRECTIONS_PER_S_MAX) {
		pool_send(p, to->address, (struct send_form) { .to = to }, &message, 1);
	}
}

/* SWIM forgets who has left after a while, and somebody who slept longer still tells that it lives.
 * Or it does live again, and counts its lives from the beginning: then it contradicts. */
static bool doubts_old_news(struct pool *p, const struct pool_node *n, const struct swim_alive *m)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct pool_address address = address_of(m->addr, m->port);
	struct swim_accusation doubt;

	if (!n || n->slot != POOL_NO_SLOT || n->status != MEMBER_LEFT ||
		m->incarnation > n->incarnation || !pool_address_eq(&n->address, &address)) {
		return false;
	}
	doubt = (struct swim_accusation) { n->incarnation, n->name, p->options.name };
	swim_put(&bytes, SWIM_SUSPECT, &swim_accusation_schema, &doubt);
	put_right(p, n, buf_str(&bytes));
	return true;
}

/* Who accuses a former life has missed the present one, and gossip about that is over: where a
 * whole pool restarts, members that are well would fail (memberlist#311). Whoever hears it tells.
 */
static void correct(struct pool *p, const struct pool_node *n, struct str accuser)
{
	const struct pool_node *to = node_find(p, accuser);
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct swim_alive m = {
		.incarnation = n->incarnation,
		.node = n->name,
		.addr = address_str(&n->address),
		.port = n->address.port,
		.meta = n->meta,
		.vsn = str_n(n->versions, SWIM_VERSIONS),
	};

	if (!to || to == n || to == p->self || n->state != SWIM_STATE_ALIVE) {
		return;
	}
	swim_put(&bytes, SWIM_ALIVE, &swim_alive_schema, &m);
	put_right(p, to, buf_str(&bytes));
}

/* -------- alive (4.2) -------- */

/* Anything but six bytes harms others: dropped, not forwarded. So does who cannot be in one pool
 * with us: every exchange of states would fail because of it (4.4). */
static bool versions_are_valid(const struct pool *p, struct str vsn)
{
	const uint8_t *theirs = (const uint8_t *)vsn.p, *ours = p->options.versions;
	bool valid = vsn.n == SWIM_VERSIONS && theirs[0] && theirs[1];

	for (int i = 0; valid && i < SWIM_VERSIONS; i += 3) {
		uint8_t min = max_of(theirs[i], ours[i]), max = min_of(theirs[i + 1], ours[i + 1]);

		valid = theirs[i + 2] >= min && theirs[i + 2] <= max && ours[i + 2] >= min &&
			ours[i + 2] <= max;
	}
	return valid;
}

static bool address_may_change(const struct pool *p, const struct pool_node *n)
{
	return n->state == SWIM_STATE_LEFT ||
	       (n->state == SWIM_STATE_DEAD && p->options.reclaim_ms > 0 &&
		       mono_diff_ms(p->now, n->state_at) > p->options.reclaim_ms);
}

/* Every exchange of states brings the claim again. */
static bool claim_is_news(struct pool *p, const struct pool_address *claimed)
{
	enum { TOLD_AGAIN_MS = 10 * 60 * 1000 };

	if (pool_address_eq(&p->claimant, claimed) &&
		mono_diff_ms(p->now, p->claimed_at) < TOLD_AGAIN_MS) {
		return false;
	}
	p->claimant = *claimed;
	p->claimed_at = p->now;
	return true;
}

static void conflict(struct pool *p, const struct pool_node *n, const struct pool_address *claimed)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	static const struct pool_query_options options = { .ack = false };

	pool_address_render(claimed, &text);
	if (n != p->self) {
		note_add(p, POOL_NOTE_CONFLICT, n->name, buf_str(&text));
		return;
	}
	if (claim_is_news(p, claimed)) {
		note_add(p, POOL_NOTE_NAME_TAKEN, n->name, buf_str(&text));
	}
	if (p->options.resolve_conflicts) {
		query_send(p, QUERY_CONFLICT, STR("_serf_conflict"), p->options.name, &options);
	}
}

static void alive_store(struct pool *p, struct pool_node *n, const struct swim_alive *m,
	const struct pool_address *address)
{
	bool was_gone = state_is_gone(n);
	bool changed = !n->meta.p || !str_eq(n->meta, m->meta) ||
		       memcmp(n->versions, m->vsn.p, SWIM_VERSIONS) != 0 ||
		       !pool_address_eq(&n->address, address);

	spread_alive(p, n, m);
	memcpy(n->versions, m->vsn.p, SWIM_VERSIONS);
	n->incarnation = m->incarnation;
	node_set_meta(n, m->meta);
	n->address = *address;
	state_set(p, n, SWIM_STATE_ALIVE);
	if (was_gone) {
		member_on_alive(p, n);
	} else if (changed) {
		member_on_update(p, n);
	}
}

static bool address_is_allowed(const struct pool *p, const struct swim_alive *m)
{
	bool allowed = !p->options.allowed_count || str_eq(m->node, p->options.name);

	for (uint32_t i = 0; i < p->options.allowed_count && !allowed; i++) {
		allowed = cidr_has(&p->options.allowed[i], m->addr.p, m->addr.n);
	}
	return allowed;
}

/* The record of a name, made when there is none; NULL: refused. */
static struct pool_node *alive_node(struct pool *p, const struct swim_alive *m)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct pool_node *n = node_find(p, m->node);

	if (!address_is_allowed(p, m)) {
		buf_put_lit(&why, "its address is none of the allowed ones");
	}
	if (why.n || !rules_admit(p, m, false, &why)) {
		note_add(p, POOL_NOTE_REFUSED, m->node, buf_str(&why));
		return NULL;
	}
	n = n ? n : node_add(p, m->node);
	if (n && n->slot == POOL_NO_SLOT) {
		n->incarnation = 0;
		n->state = SWIM_STATE_DEAD;
		n->state_at = p->now;
		n->address = address_of(m->addr, m->port);
		ring_add(p, n);
	}
	return n;
}

static void alive_of_us(struct pool *p, const struct swim_alive *m)
{
	struct pool_node *n = p->self;

	if (m->incarnation == n->incarnation && str_eq(m->meta, n->meta) &&
		memcmp(m->vsn.p, n->versions, SWIM_VERSIONS) == 0) {
		return;
	}
	suspicion_end(p, n);
	refute(p, m->incarnation);
}

void swim_on_alive(struct pool *p, const struct swim_alive *message)
{
	struct swim_alive m = *message;
	struct pool_address address;
	struct pool_node *n;
	uint32_t gone;
	bool moved;

	m.port = m.port ? m.port : p->options.address.port;
	address = address_of(m.addr, m.port);
	/* Lives are counted from 1: of a name that is new, an earlier one would leave a record
	 * without versions, and others refuse a state with such a one. */
	if (!m.node.n || !m.incarnation || !address.n || !versions_are_valid(p, m.vsn) ||
		is_too_long(p, m.node, POOL_NAME_MAX) ||
		is_too_long(p, m.meta, POOL_META_TAKEN_MAX) ||
		!is_believable(p, node_find(p, m.node), m.incarnation) ||
		(p->leave && str_eq(m.node, p->options.name))) {
		return;
	}
	n = doubts_old_news(p, node_find(p, m.node), &m) ? NULL : alive_node(p, &m);
	if (!n) {
		return;
	}
	moved = !pool_address_eq(&n->address, &address);
	if (moved && !address_may_change(p, n)) {
		conflict(p, n, &address);
		return;
	}
	if (n == p->self) {
		if (m.incarnation >= n->incarnation) {
			alive_of_us(p, &m);
		}
		return;
	}
	if (m.incarnation <= n->incarnation && !moved) {
		return;
	}
	gone = intent_gone(p, n->name);
	suspicion_end(p, n);
	alive_store(p, n, &m, &address);
	if (gone && gone >= m.incarnation) {
		swim_on_dead(p, &(struct swim_accusation) { gone, n->name, n->name });
	}
}

void swim_announce(struct pool *p)
{
	struct swim_alive m;

	p->incarnation++;
	m = alive_of_self(p);
	alive_store(p, p->self, &m, &p->options.address);
}

/* -------- suspect and dead (4.2) -------- */

void swim_on_suspect(struct pool *p, const struct swim_accusation *m)
{
	struct pool_node *n = node_find(p, m->node);

	if (!n || n->slot == POOL_NO_SLOT || is_too_long(p, m->from, POOL_NAME_MAX) ||
		!is_believable(p, n, m->incarnation)) {
		return;
	}
	if (m->incarnation < n->incarnation) {
		correct(p, n, m->from);
		return;
	}
	if (n->suspicion) {
		if (suspicion_confirm(p, n->suspicion, m->from)) {
			spread_accusation(p, SWIM_SUSPECT, n, m);
		}
		return;
	}
	if (n->state != SWIM_STATE_ALIVE) {
		return;
	}
	if (n == p->self) {
		if (!p->leave) {
			refute(p, m->incarnation);
		}
		return;
	}
	spread_accusation(p, SWIM_SUSPECT, n, m);
	n->incarnation = m->incarnation;
	state_set(p, n, SWIM_STATE_SUSPECT);
	p->suspects_seen++;
	suspicion_begin(p, n, m->from);
	note_add(p, POOL_NOTE_SUSPECT, n->name, m->from);
}

void swim_on_dead(struct pool *p, const struct swim_accusation *m)
{
	struct pool_node *n = node_find(p, m->node);

	if (is_too_long(p, m->from, POOL_NAME_MAX) || !is_believable(p, n, m->incarnation)) {
		return;
	}
	if (!n || n->slot == POOL_NO_SLOT) {
		intent_on_gone(p, m);
		return;
	}
	if (m->incarnation < n->incarnation) {
		correct(p, n, m->from);
		return;
	}
	suspicion_end(p, n);
	if (state_is_gone(n)) {
		return;
	}
	if (n == p->self && !p->leave) {
		refute(p, m->incarnation);
		return;
	}
	spread_accusation(p, SWIM_DEAD, n, m);
	n->incarnation = m->incarnation;
	state_set(p, n, str_eq(m->node, m->from) ? SWIM_STATE_LEFT : SWIM_STATE_DEAD);
	member_on_gone(p, n);
}

void swim_leave(struct pool *p)
{
	struct swim_accusation m = { p->incarnation, p->options.name, p->options.name };

	swim_on_dead(p, &m);
}
