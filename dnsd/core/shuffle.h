/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct shuffle: the numbers 0 .. n-1 in random order, each for the price of what was taken: a
 * Fisher-Yates shuffle whose array is filled in only where it was touched (older contents are
 * recognised by their stamp).
 */
#ifndef MUSTER_DNSD_CORE_SHUFFLE_H
#define MUSTER_DNSD_CORE_SHUFFLE_H

#include "common/base/rng.h"

struct shuffle_slot {
	uint32_t stamp, value;
};

struct shuffle {
	struct shuffle_slot *slots;
	uint32_t size, stamp, n, at;
};

static inline void shuffle_fini(struct shuffle *s)
{
	free(s->slots);
	*s = (struct shuffle) { 0 };
}

static inline void shuffle_start(struct shuffle *s, uint32_t n)
{
	if (n > s->size || ++s->stamp == 0) {
		free(s->slots);
		s->size = max_of(n, s->size);
		s->slots = xcalloc(s->size, sizeof(*s->slots));
		s->stamp = 1;
	}
	s->n = n;
	s->at = 0;
}

static inline uint32_t shuffle_get(const struct shuffle *s, uint32_t i)
{
	return s->slots[i].stamp == s->stamp ? s->slots[i].value : i;
}

/* false when all were taken. */
static inline bool shuffle_next(struct shuffle *s, struct rng *rng, uint32_t *out)
{
	uint32_t other;

	if (s->at == s->n) {
		return false;
	}
	other = s->at + (uint32_t)rng_below(rng, s->n - s->at);
	*out = shuffle_get(s, other);
	s->slots[other] = (struct shuffle_slot) { s->stamp, shuffle_get(s, s->at) };
	s->at++;
	return true;
}

#endif
