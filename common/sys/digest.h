/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptographic digests (Nettle behind a narrow door).
 */
#ifndef MUSTER_COMMON_SYS_DIGEST_H
#define MUSTER_COMMON_SYS_DIGEST_H

#include "common/base/str.h"

enum { SHA256_SIZE = 32 };

/* In pieces: new, add ..., end (which frees). */
struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *s, struct str bytes);
void sha256_end(struct sha256 *s, uint8_t out[SHA256_SIZE]);

#endif
