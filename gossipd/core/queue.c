/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list per number of times sent. Going through a tier stops after a few that do not fit.
 */
#include "gossipd/core/queue.h"

enum { MISSES_MAX = 8, PICKS_MAX = 255 };

void queue_init(struct queue *q, size_t count_max)
{
	*q = (struct queue) { .count_max = count_max };
	for (int i = 0; i < QUEUE_TIERS; i++) {
		list_init(&q->tiers[i]);
	}
}

void queue_del(struct queue *q, struct broadcast *b)
{
	list_del(&b->link);
	q->count--;
	if (b->owner) {
		*b->owner = NULL;
	}
	free(b);
}

void queue_fini(struct queue *q)
{
	for (int i = 0; i < QUEUE_TIERS; i++) {
		while (!list_empty(&q->tiers[i])) {
			queue_del(q, list_first(&q->tiers[i], struct broadcast, link));
		}
	}
}

static void drop_most_sent(struct queue *q)
{
	for (int i = QUEUE_TIERS - 1; i >= 0; i--) {
		if (!list_empty(&q->tiers[i])) {
			queue_del(q, list_entry(q->tiers[i].prev, struct broadcast, link));
			return;
		}
	}
}

void queue_add(struct queue *q, struct str bytes, struct broadcast **owner)
{
	struct broadcast *b = xmalloc(sizeof(*b) + bytes.n);

	*b = (struct broadcast) { .owner = owner, .size = (uint32_t)bytes.n & INT32_MAX };
	memcpy(b->bytes, bytes.p, bytes.n);
	if (owner) {
		if (*owner) {
			queue_del(q, *owner);
		}
		*owner = b;
	}
	list_add_head(&q->tiers[0], &b->link);
	if (++q->count > q->count_max) {
		drop_most_sent(q);
	}
}

void queue_take(struct queue *q, struct queue_pick *pick, struct queue_room *room)
{
	struct broadcast *b;

	for (int i = 0; i < min_of(room->tiers, (int)QUEUE_TIERS) && q->count; i++) {
		int misses = 0;

		list_for_each (b, &q->tiers[i], link) {
			if (pick->count == PICKS_MAX || misses == MISSES_MAX) {
				break;
			}
			if (b->picked) {
				continue;
			}
			if (b->size + room->per_message > room->size) {
				misses++;
				continue;
			}
			b->picked = 1;
			room->size -= b->size + room->per_message;
			pick->messages[pick->count] = str_n(b->bytes, b->size);
			pick->queues[pick->count] = q;
			pick->from[pick->count++] = b;
		}
	}
}

void queue_sent(struct queue *q, struct queue_pick *pick, uint32_t limit)
{
	for (size_t i = 0; i < pick->count; i++) {
		struct broadcast *b = pick->from[i];

		if (pick->queues[i] != q) {
			continue;
		}
		b->picked = 0;
		b->sent++;
		if (b->sent >= limit) {
			queue_del(q, b);
		} else {
			list_del(&b->link);
			list_add_head(&q->tiers[min_of(b->sent, QUEUE_TIERS - 1u)], &b->link);
		}
	}
}
