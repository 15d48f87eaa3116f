/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules behind gossip.h: a step per event.
 */
#include "gossipd/core/gossip.h"

#include "common/base/err.h"
#include "common/base/hash.h"

/* Remote execution is asked for by events of this name. */
#define EVENT_INTERNAL "_rexec"

void gossip_init(struct gossip *g, struct str node)
{
	*g = (struct gossip) { .unmatched_count = 0 };
	for (int i = 0; i < GOSSIP_RINGS; i++) {
		list_init(&g->rings[i].events);
	}
	list_init(&g->unmatched);
	buf_put_str(&g->node, node);
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
	struct gossip_ring *ring =
		&g->rings[str_is(s->event.name, EVENT_INTERNAL) ? GOSSIP_REMOTE : GOSSIP_USER];

	list_add_tail(&ring->events, &s->link);
	if (++ring->count > GOSSIP_EVENTS_MAX) {
		stored_free(list_first(&ring->events, struct gossip_stored, link));
		ring->count--;
	}
	u->events_changed = true;
}

static void all_free(struct list *head)
{
	while (!list_empty(head)) {
		stored_free(list_first(head, struct gossip_stored, link));
	}
}

void gossip_fini(struct gossip *g)
{
	for (int i = 0; i < GOSSIP_RINGS; i++) {
		all_free(&g->rings[i].events);
	}
	all_free(&g->unmatched);
	buf_fini(&g->node);
	buf_fini(&g->why);
	buf_fini(&g->name);
	buf_fini(&g->payload);
}

size_t gossip_events_list(const struct gossip *g, enum gossip_ring_name ring, struct str name,
	struct user_event out[GOSSIP_EVENTS_MAX])
{
	const struct gossip_stored *s;
	size_t count = 0;

	list_for_each (s, &g->rings[ring].events, link) {
		if (name.n == 0 || str_eq(s->event.name, name)) {
			out[count++] = s->event;
		}
	}
	return count;
}

uint64_t gossip_events_index(const struct gossip *g, enum gossip_ring_name ring, struct str name)
{
	const struct list *head = &g->rings[ring].events;

	for (const struct list *l = head->prev; l != head; l = l->prev) {
		const struct gossip_stored *s = list_entry(l, struct gossip_stored, link);

		if (name.n == 0 || str_eq(s->event.name, name)) {
			return uuid_fold(&s->event.id);
		}
	}
	return 1;
}

/* -------- steps -------- */

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

	if (!user_event_is_for_node(e, buf_str(&g->node))) {
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

static void on_fire(
	struct gossip *g, const struct user_event *e, uint64_t ltime, struct gossip_update *u)
{
	if (uuid_is_zero(&e->id)) {
		buf_put_lit(&g->why, "User event missing ID");
		u->status = ST_INVALID;
		return;
	}
	if (was_fired(g, &e->id)) {
		return;
	}
	u->status = user_event_check(e, ltime, &g->why);
	if (u->status) {
		return;
	}
	g->fired[g->fired_next++ % GOSSIP_IDS_MAX] = e->id;
	buf_put_lit(&g->name, USER_EVENT_PREFIX);
	buf_put_str(&g->name, e->name);
	user_event_pack(&g->payload, e);
	u->name = buf_str(&g->name);
	u->payload = buf_str(&g->payload);
}

/* What is none of Consul's (or not readable) is passed over, as Consul does. */
static void on_arrived(struct gossip *g, const struct gossip_event *event, struct gossip_update *u)
{
	struct user_event e;

	if (user_event_unpack(event->name, event->payload, &e) == 0) {
		e.ltime = event->ltime;
		deliver(g, &e, u);
	}
}

static void on_matched(
	struct gossip *g, const struct uuid *id, bool matched, struct gossip_update *u)
{
	struct gossip_stored *s, *next;

	list_for_each_safe (s, next, &g->unmatched, link) {
		if (!uuid_eq(&s->event.id, id)) {
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

void gossip_step(struct gossip *g, const struct gossip_event *event, struct gossip_update *update)
{
	*update = (struct gossip_update) { 0 };
	buf_clear(&g->why);
	buf_clear(&g->name);
	buf_clear(&g->payload);
	switch (event->type) {
	case GOSSIP_EVENT_FIRE:
		on_fire(g, event->user_event, event->ltime, update);
		break;
	case GOSSIP_EVENT_ARRIVED:
		on_arrived(g, event, update);
		break;
	case GOSSIP_EVENT_MATCHED:
		on_matched(g, &event->id, event->matched, update);
		break;
	}
	update->why = buf_str(&g->why);
}

void gossip_check(const struct gossip *g)
{
	const struct gossip_stored *s;
	size_t unmatched = 0;

	for (int i = 0; i < GOSSIP_RINGS; i++) {
		size_t events = 0;

		list_for_each (s, &g->rings[i].events, link) {
			must(str_is(s->event.name, EVENT_INTERNAL) == (i == GOSSIP_REMOTE));
			events++;
		}
		must(events == g->rings[i].count && events <= GOSSIP_EVENTS_MAX);
	}
	list_for_each (s, &g->unmatched, link) {
		must(s->event.service_filter.n);
		unmatched++;
	}
	must(unmatched == g->unmatched_count && unmatched <= GOSSIP_UNMATCHED_MAX);
}

uint64_t gossip_digest(const struct gossip *g)
{
	uint64_t digest = 0;
	const struct gossip_stored *s;

	for (int i = 0; i < GOSSIP_RINGS; i++) {
		digest = hash64_mix(digest, g->rings[i].count);
		list_for_each (s, &g->rings[i].events, link) {
			digest = hash64_mix(digest, hash64(buf_str(&s->bytes), 0));
		}
	}
	return digest;
}
