/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to be spread by gossip: each is sent a limited number of times in all, those sent least
 * come first, newer ones before older ones. At the ceiling the one that was sent most goes.
 */
#ifndef MUSTER_GOSSIPD_CORE_QUEUE_H
#define MUSTER_GOSSIPD_CORE_QUEUE_H

#include "common/base/list.h"
#include "common/base/str.h"

enum { QUEUE_TIERS = 64 };

struct broadcast {
	struct list link;
	struct broadcast **owner; /* set to NULL when it goes; may be NULL */
	uint32_t sent;
	uint32_t size : 31;
	uint32_t picked : 1; /* for the packet that is being made */
	char bytes[];
};

struct queue {
	struct list tiers[QUEUE_TIERS]; /* by times sent, newest first */
	size_t count;
	size_t count_max;
};

void queue_init(struct queue *q, size_t count_max);
void queue_fini(struct queue *q);
/* Copies the bytes. What *owner held before is replaced. */
void queue_add(struct queue *q, struct str bytes, struct broadcast **owner);
void queue_del(struct queue *q, struct broadcast *b);

/*
 * Takes what fits, was sent less than `tiers` times and is not taken yet: bytes.n + per_message of
 * each within room->size (reduced). The strings are valid until queue_sent, which must follow, with
 * how often a message may be sent.
 */
struct queue_pick {
	struct str messages[256];
	struct broadcast *from[256];
	struct queue *queues[256];
	size_t count;
};
struct queue_room {
	size_t size, per_message;
	int tiers;
};
void queue_take(struct queue *q, struct queue_pick *pick, struct queue_room *room);
void queue_sent(struct queue *q, struct queue_pick *pick, uint32_t limit);

#endif
