/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of callers, in order.
 */
#include "raftd/waiting.h"

enum { SIZE_FIRST = 64 };

void waiting_fini(struct waiting_ring *ring)
{
	free(ring->items);
	*ring = (struct waiting_ring) { 0 };
}

static struct waiting *at(struct waiting_ring *ring, size_t position)
{
	return &ring->items[(ring->first + position) & (ring->size - 1)];
}

void waiting_add(struct waiting_ring *ring, const struct waiting *w)
{
	if (ring->count == ring->size) {
		size_t size = ring->size ? ring->size * 2 : SIZE_FIRST;
		struct waiting *items = xmalloc(size * sizeof(*items));

		for (size_t i = 0; i < ring->count; i++) {
			items[i] = *at(ring, i);
		}
		free(ring->items);
		*ring = (struct waiting_ring) { items, 0, ring->count, size };
	}
	must(ring->count == 0 || at(ring, ring->count - 1)->number <= w->number);
	ring->count++;
	*at(ring, ring->count - 1) = *w;
}

bool waiting_take(struct waiting_ring *ring, uint64_t through, struct waiting *out)
{
	if (ring->count == 0 || at(ring, 0)->number > through) {
		return false;
	}
	*out = *at(ring, 0);
	ring->first = (ring->first + 1) & (ring->size - 1);
	ring->count--;
	return true;
}

struct waiting *waiting_at(struct waiting_ring *ring, uint64_t number)
{
	uint64_t first = ring->count ? at(ring, 0)->number : 0;

	if (number < first || number - first >= ring->count) {
		return NULL;
	}
	return at(ring, (size_t)(number - first));
}
