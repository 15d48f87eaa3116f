/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes and checksums. hash64 is for tables (keyed: strangers choose the strings) and for digests
 * of content (with key 0); crc32c (Castagnoli, RFC 3720 B.4) guards stored records.
 */
#ifndef MUSTER_COMMON_BASE_HASH_H
#define MUSTER_COMMON_BASE_HASH_H

#include "common/base/str.h"

uint64_t hash64(struct str s, uint64_t key); /* SipHash-1-3 */
uint64_t hash64_mix(uint64_t a, uint64_t b); /* combines two hashes, order matters */
uint32_t crc32c(uint32_t seed, const void *p, size_t n);

#endif
