/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap in an array; every item knows its place.
 */
#include "checkd/core/heap.h"

void heap_fini(struct heap *h)
{
	free(h->items);
	*h = (struct heap) { 0 };
}

static void place(struct heap *h, size_t at, struct heap_item *item)
{
	h->items[at] = item;
	item->place = at;
}

static void sift_up(struct heap *h, size_t at, struct heap_item *item)
{
	while (at > 1 && mono_before(item->when, h->items[at / 2]->when)) {
		place(h, at, h->items[at / 2]);
		at /= 2;
	}
	place(h, at, item);
}

static void sift_down(struct heap *h, size_t at, struct heap_item *item)
{
	size_t child;

	while ((child = at * 2) <= h->count) {
		if (child < h->count &&
			mono_before(h->items[child + 1]->when, h->items[child]->when)) {
			child++;
		}
		if (!mono_before(h->items[child]->when, item->when)) {
			break;
		}
		place(h, at, h->items[child]);
		at = child;
	}
	place(h, at, item);
}

static void item_remove(struct heap *h, struct heap_item *item)
{
	size_t at = item->place;
	struct heap_item *last = h->items[h->count--];

	item->place = 0;
	if (last == item) {
		return;
	}
	if (at > 1 && mono_before(last->when, h->items[at / 2]->when)) {
		sift_up(h, at, last);
	} else {
		sift_down(h, at, last);
	}
}

void heap_set(struct heap *h, struct heap_item *item, struct mono when)
{
	if (item->place) {
		if (item->when.ns == when.ns) {
			return;
		}
		item_remove(h, item);
	}
	item->when = when;
	if (when.ns == INT64_MAX) {
		return;
	}
	if (h->count + 1 >= h->size) {
		h->size = max_of(h->size * 2, (size_t)16);
		h->items = xrealloc(h->items, h->size * sizeof(h->items[0]));
	}
	sift_up(h, ++h->count, item);
}
