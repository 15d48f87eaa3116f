/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct rng: a seeded stream of chance (xoshiro256**). Cores get one at init, so that a seed
 * repeats a run. Not for secrets: those come from common/sys/random.h.
 */
#ifndef MUSTER_COMMON_BASE_RNG_H
#define MUSTER_COMMON_BASE_RNG_H

#include "common/base/std.h"

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in [0, n); n = 0 gives 0 */
void rng_bytes(struct rng *r, void *out, size_t n);

#endif
