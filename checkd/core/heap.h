/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive binary heap of instants. Items equal in time come out in no particular but repeatable
 * order.
 */
#ifndef MUSTER_CHECKD_CORE_HEAP_H
#define MUSTER_CHECKD_CORE_HEAP_H

#include "common/base/time.h"

struct heap_item {
	struct mono when;
	size_t place; /* 1-based; 0: not in the heap */
};

struct heap {
	struct heap_item **items; /* items[1] is the earliest */
	size_t count, size;
};

void heap_fini(struct heap *h);
/* Puts, moves or (MONO_NEVER) removes the item. */
void heap_set(struct heap *h, struct heap_item *item, struct mono when);

static inline struct heap_item *heap_first(const struct heap *h)
{
	return h->count ? h->items[1] : NULL;
}

#endif
