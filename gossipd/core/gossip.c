/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules behind gossip.h: a step per event. Section numbers: the notes on the Serf protocol.
 */
#include "gossipd/core/gossip.h"

#include "common/base/err.h"
#include "common/base/hash.h"

/* Remote execution is asked for by events of this name; they are no news for anybody else. */
#define EVENT_INTERNAL "_rexec"

/* -------- members -------- */

static void member_add(struct gossip_pool *pool, const struct member *m)
{
	struct gossip_member *copy = xcalloc(1, sizeof(*copy));

	member_encode(&copy->bytes, m);
	must(member_decode(buf_str(&copy->bytes), &copy->arena, &copy->member) == 0);
	list_add_tail(&pool->members, &copy->link);
	pool->members_count++;
	pool->version++;
	pool->active = true;
}

static void member_del(struct gossip_member *m)
{
	list_del(&m->link);
	buf_fini(&m->bytes);
	arena_fini(&m->arena);
	free(m);
}

static struct gossip_member *member_find(struct gossip_pool *pool, struct str name)
{
	struct gossip_member *m;

	list_for_each (m, &pool->members, link) {
		if (str_eq(m->member.name, name)) {
			return m;
		}
	}
	return NULL;
}

static struct member *self_of(struct gossip *g, enum gossip_pool_name pool)
{
	return &list_first(&g->pools[pool].members, struct gossip_member, link)->member;
}

size_t gossip_count(const struct gossip *g, enum gossip_pool_name pool, enum member_status status)
{
	const struct gossip_member *m;
	size_t count = 0;

	list_for_each (m, &g->pools[pool].members, link) {
		count += m->member.status == status;
	}
	return count;
}

void gossip_init(struct gossip *g, const struct gossip_options *options)
{
	*g = (struct gossip) { .clocks = { 1, 1 } };
	list_init(&g->events);
	list_init(&g->unmatched);
	for (int i = 0; i < GOSSIP_POOLS; i++) {
		list_init(&g->pools[i].members);
	}
	member_add(&g->pools[GOSSIP_LAN], options->lan);
	if (options->wan) {
		member_add(&g->pools[GOSSIP_WAN], options->wan);
	}
	g->node = self_of(g, GOSSIP_LAN)->name;
}

/* -------- stored events -------- */

static void stored_free(struct gossip_stored *s)
{
	list_del(&s->link);
	buf_fini(&s->bytes);
	free(s);
}

static struct gossip_stored *stored_new(const struct user_event *e)
{
	struct gossip_stored *s = xcalloc(1, sizeof(*s));

	user_event_encode(&s->bytes, e);
	must(user_event_decode(buf_str(&s->bytes), NULL, &s->event) == 0);
	list_init(&s->link);
	return s;
}

static void store(struct gossip *g, struct gossip_stored *s, struct gossip_update *u)
{
	list_add_tail(&g->events, &s->link);
	if (++g->events_count > GOSSIP_EVENTS_MAX) {
		stored_free(list_first(&g->events, struct gossip_stored, link));
		g->events_count--;
	}
	u->events_changed = true;
}

void gossip_fini(struct gossip *g)
{
	struct gossip_member *m, *next_member;
	struct gossip_stored *s, *next;

	for (int i = 0; i < GOSSIP_POOLS; i++) {
		list_for_each_safe (m, next_member, &g->pools[i].members, link) {
			member_del(m);
		}
	}
	list_for_each_safe (s, next, &g->events, link) {
		stored_free(s);
	}
	list_for_each_safe (s, next, &g->unmatched, link) {
		stored_free(s);
	}
	buf_fini(&g->why);
}

size_t gossip_events_list(
	const struct gossip *g, struct str name, struct user_event out[GOSSIP_EVENTS_MAX])
{
	const struct gossip_stored *s;
	size_t count = 0;

	list_for_each (s, &g->events, link) {
		if (name.n == 0 || str_eq(s->event.name, name)) {
			out[count++] = s->event;
		}
	}
	return count;
}

uint64_t gossip_events_index(const struct gossip *g, struct str name)
{
	for (const struct list *l = g->events.prev; l != &g->events; l = l->prev) {
		const struct gossip_stored *s = list_entry(l, struct gossip_stored, link);

		if (name.n == 0 || str_eq(s->event.name, name)) {
			return user_event_index(&s->event.id);
		}
	}
	return 1;
}

/* -------- steps -------- */

/* Serf 5.2: the clock stands at the next time to use. */
static void on_start(struct gossip *g, const struct gossip_clocks *stored)
{
	g->clocks.member_time = max_of(g->clocks.member_time, stored->member_time);
	g->clocks.event_time = max_of(g->clocks.event_time, stored->event_time);
}

static bool was_fired(const struct gossip *g, const struct uuid *id)
{
	for (size_t i = 0; i < GOSSIP_IDS_MAX; i++) {
		if (uuid_eq(&g->fired[i], id)) {
			return true;
		}
	}
	return false;
}

/* An event that arrived, from here or elsewhere. */
static void deliver(struct gossip *g, const struct user_event *e, struct gossip_update *u)
{
	struct gossip_stored *s;

	if (str_is(e->name, EVENT_INTERNAL) || !user_event_is_for_node(e, g->node)) {
		return;
	}
	s = stored_new(e);
	if (e->service_filter.n == 0) {
		store(g, s, u);
		return;
	}
	if (g->unmatched_count == GOSSIP_UNMATCHED_MAX) {
		stored_free(s);
		g->dropped_count++;
		return;
	}
	list_add_tail(&g->unmatched, &s->link);
	g->unmatched_count++;
	u->to_match = &s->event;
}

/* Serf 5.6: stamped with the event clock, which then goes on; processed here first. */
static void on_fire(struct gossip *g, const struct user_event *e, struct gossip_update *u)
{
	struct user_event stamped = *e;

	if (uuid_is_zero(&e->id)) {
		buf_put_lit(&g->why, "User event missing ID");
		u->status = ST_INVALID;
		return;
	}
	if (was_fired(g, &e->id)) {
		return;
	}
	u->status = user_event_check(e, g->clocks.event_time, &g->why);
	if (u->status) {
		return;
	}
	g->fired[g->fired_next++ % GOSSIP_IDS_MAX] = e->id;
	stamped.ltime = g->clocks.event_time++;
	u->clocks_changed = true;
	deliver(g, &stamped, u);
}

static void on_matched(struct gossip *g, uint64_t ltime, bool matched, struct gossip_update *u)
{
	struct gossip_stored *s, *next;

	list_for_each_safe (s, next, &g->unmatched, link) {
		if (s->event.ltime != ltime) {
			continue;
		}
		list_del(&s->link);
		g->unmatched_count--;
		if (matched) {
			store(g, s, u);
		} else {
			stored_free(s);
		}
		return;
	}
}

static void on_join(struct gossip *g, const struct gossip_event *event, struct gossip_update *u)
{
	const struct member *self;

	u->status = ST_NOT_FOUND;
	if (g->pools[event->pool].active) {
		self = self_of(g, event->pool);
		if (str_eq(self->addr, event->address) && self->port == event->port) {
			u->status = 0;
		}
	}
}

/* Serf 5.5: a leave intent is stamped with the clock, which then goes on. */
static void on_leave(struct gossip *g, struct gossip_update *u)
{
	if (self_of(g, GOSSIP_LAN)->status == MEMBER_LEFT) {
		return;
	}
	for (int i = 0; i < GOSSIP_POOLS; i++) {
		if (g->pools[i].active) {
			self_of(g, (enum gossip_pool_name)i)->status = MEMBER_LEFT;
			g->pools[i].version++;
		}
	}
	g->clocks.member_time++;
	u->clocks_changed = true;
	u->members_changed = true;
}

/* A live member refutes the intent; this node is the only one, and alive. */
static void on_force_leave(struct gossip *g, struct str node, struct gossip_update *u)
{
	if (!member_find(&g->pools[GOSSIP_LAN], node)) {
		buf_printf(&g->why, "agent: No node found with name '" STR_FMT "'", STR_ARG(node));
		u->status = ST_NOT_FOUND;
		return;
	}
	g->clocks.member_time++;
	u->clocks_changed = true;
}

void gossip_step(struct gossip *g, const struct gossip_event *event, struct gossip_update *update)
{
	*update = (struct gossip_update) { 0 };
	buf_clear(&g->why);
	switch (event->type) {
	case GOSSIP_EVENT_START:
		on_start(g, &event->clocks);
		break;
	case GOSSIP_EVENT_FIRE:
		on_fire(g, event->user_event, update);
		break;
	case GOSSIP_EVENT_MATCHED:
		on_matched(g, event->ltime, event->matched, update);
		break;
	case GOSSIP_EVENT_JOIN:
		on_join(g, event, update);
		break;
	case GOSSIP_EVENT_LEAVE:
		on_leave(g, update);
		break;
	case GOSSIP_EVENT_FORCE_LEAVE:
		on_force_leave(g, event->node, update);
		break;
	}
	update->why = buf_str(&g->why);
}

void gossip_check(const struct gossip *g)
{
	const struct gossip_stored *s;
	size_t events = 0, unmatched = 0;

	list_for_each (s, &g->events, link) {
		must(s->event.ltime < g->clocks.event_time);
		events++;
	}
	list_for_each (s, &g->unmatched, link) {
		must(s->event.service_filter.n);
		unmatched++;
	}
	must(events == g->events_count && events <= GOSSIP_EVENTS_MAX);
	must(unmatched == g->unmatched_count && unmatched <= GOSSIP_UNMATCHED_MAX);
	must(g->pools[GOSSIP_LAN].members_count > 0);
}

uint64_t gossip_digest(const struct gossip *g)
{
	uint64_t digest = hash64_mix(g->clocks.member_time, g->clocks.event_time);
	const struct gossip_member *m;
	const struct gossip_stored *s;

	for (int i = 0; i < GOSSIP_POOLS; i++) {
		list_for_each (m, &g->pools[i].members, link) {
			digest = hash64_mix(digest, hash64(buf_str(&m->bytes), m->member.status));
		}
	}
	list_for_each (s, &g->events, link) {
		digest = hash64_mix(digest, hash64(buf_str(&s->bytes), 0));
	}
	return digest;
}
