/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 (Aumasson, Bernstein: SipHash, a fast short-input PRF) and CRC-32C by the processor's
 * instruction where it has one.
 */
#include "common/base/hash.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static uint64_t rotate(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t hash64(struct str s, uint64_t key)
{
	uint64_t v[4] = { 0x736f6d6570736575ULL ^ key, 0x646f72616e646f6dULL ^ ~key,
		0x6c7967656e657261ULL ^ key, 0x7465646279746573ULL ^ ~key };
	uint64_t last = (uint64_t)s.n << 56, word;
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8) {
		memcpy(&word, s.p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	if (i < s.n) {
		memcpy(&word, s.p + i, s.n - i);
	}
	last |= word;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++) {
		sip_round(v);
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash64_mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15ULL ^ rotate(b, 29);

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	return x ^ x >> 32;
}

static uint32_t crc32c_plain(uint32_t crc, const uint8_t *p, size_t n)
{
	for (; n; n--, p++) {
		crc ^= *p;
		for (int bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
		}
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(
	uint32_t seed, const uint8_t *p, size_t n)
{
	uint64_t crc = seed, word;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		crc = _mm_crc32_u64(crc, word);
	}
	for (; n; n--, p++) {
		crc = _mm_crc32_u8((uint32_t)crc, *p);
	}
	return (uint32_t)crc;
}
#endif

uint32_t crc32c(uint32_t seed, const void *p, size_t n)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2")) {
		return ~crc32c_sse(~seed, p, n);
	}
#endif
	return ~crc32c_plain(~seed, p, n);
}
