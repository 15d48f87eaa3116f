/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User events: each is delivered once and spread; what was seen stays in slots by Lamport time, to
 * know it again and to bring others up to date. Section numbers: the notes on the protocol.
 */
#include "gossipd/core/pool_private.h"

static void slot_clear(struct pool_slots *slots, struct pool_slot *slot)
{
	for (uint32_t i = 0; i < slot->count; i++) {
		slots->size -= slot->seen[i].n;
		free((void *)(uintptr_t)slot->seen[i].p);
	}
	free(take(slot->seen));
	slot->count = 0;
}

static void slot_put(struct pool_slots *slots, struct pool_slot *slot, struct str content)
{
	slot->seen = xrealloc(slot->seen, (slot->count + 1) * sizeof(slot->seen[0]));
	slot->seen[slot->count++] = owned_str(content);
	slots->size += content.n;
}

/* Is this content new at its time? Then it is kept. Too old, or no room for it: not. */
bool slot_is_new(struct pool *p, struct pool_slots *slots, uint64_t ltime, uint64_t clock,
	struct str content)
{
	struct pool_slot *slot = &slots->slots[ltime % SERF_SLOTS];

	if (clock > SERF_SLOTS && ltime < clock - SERF_SLOTS) {
		return false;
	}
	if (slot->ltime != ltime) {
		slot_clear(slots, slot);
		slot->ltime = ltime;
	}
	for (uint32_t i = 0; i < slot->count; i++) {
		if (str_eq(slot->seen[i], content)) {
			return false;
		}
	}
	if (slot->count == POOL_EVENTS_PER_TIME_MAX ||
		slots->size + content.n > POOL_EVENTS_SIZE_MAX) {
		p->refused[POOL_REFUSED_EVENT]++;
		return false;
	}
	slot_put(slots, slot, content);
	return true;
}

void slots_fini(struct pool_slots *slots)
{
	for (size_t i = 0; i < SERF_SLOTS; i++) {
		slot_clear(slots, &slots->slots[i]);
	}
}

static void event_deliver(struct pool *p, const struct serf_event *m)
{
	note_add(p, POOL_NOTE_EVENT, m->name, m->payload);
	note_last(p)->ltime = m->ltime;
}

/* 5.6 */
void event_on(struct pool *p, const struct serf_event *m, bool broadcast)
{
	OWN_EMBEDDED(buf_fini) struct buf content = { 0 }, bytes = { 0 };
	struct serf_event kept = *m;

	if (m->name.n + m->payload.n > POOL_EVENT_SIZE_MAX) {
		p->refused[POOL_REFUSED_SIZE]++;
		return;
	}
	if (!clock_witness(p, &p->clocks.event, m->ltime) || m->ltime < p->event_min) {
		return;
	}
	/* nil and empty are the same payload */
	kept.payload = m->payload.n ? m->payload : STR_NONE;
	pack_struct(&content, &serf_slot_event_schema, &kept);
	if (!slot_is_new(p, &p->events, m->ltime, p->clocks.event, buf_str(&content))) {
		return;
	}
	event_deliver(p, m);
	if (broadcast) {
		serf_put(&bytes, SERF_EVENT, &serf_event_schema, m);
		pool_broadcast_serf(p, QUEUE_EVENT, buf_str(&bytes), NULL);
	}
}

void event_fire(struct pool *p, const struct pool_event *e)
{
	enum { EVENT_SIZE_MAX = 512 };
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct serf_event m = { .ltime = p->clocks.event,
		.name = e->name,
		.payload = e->payload,
		.coalesce = e->coalesce };

	serf_put(&bytes, SERF_EVENT, &serf_event_schema, &m);
	if (e->name.n + e->payload.n > EVENT_SIZE_MAX || bytes.n > EVENT_SIZE_MAX) {
		p->update->status = ST_TOO_LARGE;
		return;
	}
	event_on(p, &m, true);
}

/* The whole buffer, as stock agents send it: nil for every slot that is empty. */
void events_put(const struct pool *p, struct buf *out)
{
	pack_array(out, SERF_SLOTS);
	for (size_t i = 0; i < SERF_SLOTS; i++) {
		OWN_EMBEDDED(buf_fini) struct buf list = { 0 };
		const struct pool_slot *slot = &p->events.slots[i];
		struct serf_event_slot m;

		if (!slot->count) {
			pack_nil(out);
			continue;
		}
		pack_array(&list, slot->count);
		for (uint32_t k = 0; k < slot->count; k++) {
			buf_put_str(&list, slot->seen[k]);
		}
		m = (struct serf_event_slot) { .ltime = slot->ltime, .events = buf_str(&list) };
		pack_struct(out, &serf_event_slot_schema, &m);
	}
}
