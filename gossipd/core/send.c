/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves the pool: packets with as much of the queues as fits, dials, notes. All of it is
 * collected in the update.
 */
#include "gossipd/core/pool_private.h"

#include <math.h>

enum {
	PER_PART = 2, /* of a compound, each */
	COMPOUND_HEADER = 2,
	SEAL_SIZE = 29,
	BURST_MAX = 4,	 /* packets to one member in one tick ... */
	BURST_TIERS = 8, /* ... with what was sent less often than this */
};

#define GROW(p, array, count, size)                                                           \
	do {                                                                                  \
		if ((p)->count == (p)->size) {                                                \
			(p)->size = max_of((p)->size * 2, (size_t)8);                         \
			(p)->array = xrealloc((p)->array, (p)->size * sizeof((p)->array[0])); \
		}                                                                             \
	} while (0)

void note_add(struct pool *p, enum pool_note_type type, struct str name, struct str payload)
{
	GROW(p, notes, notes_count, notes_size);
	p->notes[p->notes_count++] = (struct pool_note) {
		.type = type,
		.name = arena_str(&p->arena, name),
		.payload = arena_str(&p->arena, payload),
	};
}

struct pool_note *note_last(struct pool *p)
{
	return &p->notes[p->notes_count - 1];
}

/* -------- queues -------- */

/* Memberlist 4.8: L = RetransmitMult * ceil(log10(n + 1)). */
uint32_t retransmit_limit(const struct pool *p, uint32_t nodes)
{
	return p->options.profile.retransmit_mult * (uint32_t)ceil(log10((double)nodes + 1));
}

/* What fits in no packet would lie in the queue for ever, in front of what does. */
void pool_broadcast(
	struct pool *p, enum pool_queue_name queue, struct str message, struct broadcast **owner)
{
	struct queue *q = &p->queues[queue];

	if (message.n + PER_PART > room_for(p, 0)) {
		p->refused[POOL_REFUSED_SIZE]++;
		return;
	}
	if (queue != QUEUE_SWIM) {
		q->count_max = max_of((size_t)POOL_QUEUE_MAX, 2 * (size_t)p->members_count);
	}
	queue_add(q, message, owner);
	if (p->gossip_at.ns == MONO_NEVER.ns) {
		struct mono next =
			mono_add_ms(p->gossiped_at, p->options.profile.gossip_interval_ms);

		p->gossip_at = mono_before(next, p->now) ? p->now : next;
	}
}

void pool_broadcast_serf(
	struct pool *p, enum pool_queue_name queue, struct str message, struct broadcast **owner)
{
	OWN_EMBEDDED(buf_fini) struct buf user = { 0 };

	buf_put_u8(&user, SWIM_USER);
	buf_put_str(&user, message);
	pool_broadcast(p, queue, buf_str(&user), owner);
}

/* -------- packets -------- */

size_t room_for(const struct pool *p, size_t message)
{
	size_t used = message + COMPOUND_HEADER + (p->options.sealed ? SEAL_SIZE : 0);

	return used < PACKET_SIZE_MAX ? PACKET_SIZE_MAX - used : 0;
}

static void pick_share(struct pool *p, enum pool_queue_name queue, struct queue_pick *pick,
	size_t share, struct queue_room *room)
{
	struct queue_room part = *room;

	part.size = min_of(share, room->size);
	room->size -= part.size;
	queue_take(&p->queues[queue], pick, &part);
	room->size += part.size;
}

static enum pool_queue_name whose_turn(struct pool *p)
{
	bool queries = p->queues[QUEUE_QUERY].count, events = p->queues[QUEUE_EVENT].count;

	return queries && (!events || p->packets_filled++ % 2) ? QUEUE_QUERY : QUEUE_EVENT;
}

/*
 * Memberlist 4.8 fills packets with what it says itself, then with Serf's intents, queries, events;
 * so where many members come or go, an event waits for minutes. Here a part of each packet is kept
 * for intents, and one, large enough for any event, for events and queries in turn. What they
 * leave is filled in the old order.
 */
static void pick_from_queues(struct pool *p, struct queue_pick *pick, size_t size, int tiers)
{
	struct queue_room room = { size, PER_PART, tiers };

	pick_share(p, whose_turn(p), pick, size * 2 / 5, &room);
	pick_share(p, QUEUE_INTENT, pick, size / 8, &room);
	for (int i = 0; i < POOL_QUEUES; i++) {
		queue_take(&p->queues[i], pick, &room);
	}
}

static void picked_sent(struct pool *p, struct queue_pick *pick)
{
	for (int i = 0; i < POOL_QUEUES; i++) {
		uint32_t nodes = i == QUEUE_SWIM ? p->ring_count : p->members_count;

		queue_sent(&p->queues[i], pick, retransmit_limit(p, nodes));
	}
}

static bool understands_crc(const struct pool_node *n)
{
	return n && n->versions[VERSION_PROTOCOL_MAX] >= PROTOCOL_CRC;
}

static void packet_add(
	struct pool *p, struct pool_address to, bool crc, const struct str *messages, size_t count)
{
	struct packet_form form = { p->options.compress, crc };
	size_t at = p->out.n;

	packet_put(&p->out, messages, count, form);
	GROW(p, packets, packets_count, packets_size);
	p->packets[p->packets_count++] =
		(struct pool_packet) { to, (uint32_t)at, (uint32_t)(p->out.n - at) };
}

void pool_send(struct pool *p, struct pool_address to, struct send_form form,
	const struct str *messages, size_t count)
{
	struct queue_pick pick;
	size_t size = 0;

	if (!to.n || p->leave == LEAVE_DONE) {
		return;
	}
	pick.count = 0;
	for (size_t i = 0; i < count; i++) {
		pick.from[pick.count] = NULL;
		pick.queues[pick.count] = NULL;
		pick.messages[pick.count++] = messages[i];
		size += messages[i].n;
	}
	if (form.piggyback) {
		pick_from_queues(p, &pick, room_for(p, size), QUEUE_TIERS);
	}
	packet_add(p, to, understands_crc(form.to), pick.messages, min_of(pick.count, (size_t)255));
	picked_sent(p, &pick);
}

void pool_send_user(struct pool *p, struct pool_address to, struct str serf_message)
{
	OWN_EMBEDDED(buf_fini) struct buf user = { 0 };
	struct str message;

	buf_put_u8(&user, SWIM_USER);
	buf_put_str(&user, serf_message);
	message = buf_str(&user);
	pool_send(p, to, (struct send_form) { 0 }, &message, 1);
}

/* -------- the gossip tick -------- */

static size_t queued(const struct pool *p)
{
	size_t count = 0;

	for (int i = 0; i < POOL_QUEUES; i++) {
		count += p->queues[i].count;
	}
	return count;
}

/* Memberlist 4.9: alive, suspect, and dead ones for a while: they may be alive after all. */
static bool may_gossip_to(const struct pool *p, const struct pool_node *n, const void *arg)
{
	(void)arg;
	return n != p->self && n->state != SWIM_STATE_LEFT &&
	       (n->state != SWIM_STATE_DEAD ||
		       mono_diff_ms(p->now, n->state_at) <= p->options.profile.to_the_dead_ms);
}

/* One packet; and more of them with what was sent a few times only, each message once: where many
 * come at the same time, the backlog is not left to wait for its turn. */
static void gossip_to(struct pool *p, const struct pool_node *n)
{
	struct queue_pick picks[BURST_MAX];
	size_t count = 0;

	do {
		struct queue_pick *pick = &picks[count];

		pick->count = 0;
		pick_from_queues(p, pick, room_for(p, 0), count ? BURST_TIERS : QUEUE_TIERS);
		if (!pick->count) {
			break;
		}
		packet_add(p, n->address, understands_crc(n), pick->messages, pick->count);
	} while (++count < BURST_MAX);
	for (size_t i = 0; i < count; i++) {
		picked_sent(p, &picks[i]);
	}
}

void gossip_tick(struct pool *p)
{
	struct pool_node *to[16];
	size_t count = min_of((size_t)p->options.profile.gossip_nodes, ARRAY_SIZE(to));

	p->gossiped_at = p->now;
	count = nodes_pick(p, count, may_gossip_to, NULL, to);
	for (size_t i = 0; i < count && queued(p); i++) {
		gossip_to(p, to[i]);
	}
	p->gossip_at =
		queued(p) ? mono_add_ms(p->now, p->options.profile.gossip_interval_ms) : MONO_NEVER;
}

/* -------- streams -------- */

uint32_t pool_dial(
	struct pool *p, struct pool_address to, enum pool_dial_kind kind, struct str message)
{
	struct pool_dialled *d = xcalloc(1, sizeof(*d));
	size_t at = p->out.n;

	stream_put(&p->out, message, p->options.compress);
	d->token = ++p->next_token;
	d->kind = kind;
	list_add_tail(&p->dials, &d->link);
	GROW(p, dials_out, dials_count, dials_size);
	p->dials_out[p->dials_count++] = (struct pool_dial) { to, d->token, (uint32_t)at,
		(uint32_t)(p->out.n - at), p->options.profile.stream_timeout_ms };
	return d->token;
}
