/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xoshiro256** (Blackman, Vigna), seeded through splitmix64.
 */
#include "common/base/rng.h"

static uint64_t rotate(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

void rng_init(struct rng *r, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->s); i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15ULL;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
		z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
		r->s[i] = z ^ z >> 31;
	}
}

uint64_t rng_u64(struct rng *r)
{
	uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (uint64_t)((unsigned __int128)rng_u64(r) * n >> 64);
}

void rng_bytes(struct rng *r, void *out, size_t n)
{
	uint8_t *p = out;

	while (n) {
		uint64_t v = rng_u64(r);
		size_t part = min_of(n, sizeof(v));

		memcpy(p, &v, part);
		p += part;
		n -= part;
	}
}
