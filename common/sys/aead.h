/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-GCM with a nonce of 12 and a tag of 16 bytes, the tag behind the ciphertext. Keys of 16, 24
 * or 32 bytes.
 */
#ifndef MUSTER_COMMON_SYS_AEAD_H
#define MUSTER_COMMON_SYS_AEAD_H

#include "common/base/buf.h"

enum { AEAD_NONCE_SIZE = 12, AEAD_TAG_SIZE = 16 };

struct aead;
struct aead *aead_new(struct str key);
void aead_free(struct aead *a);
DEFINE_OWN(struct aead, aead_free)

/* Appends ciphertext and tag. */
void aead_seal(const struct aead *a, const void *nonce, struct str associated, struct str plain,
	struct buf *out);
/* Appends the plaintext. ST_INVALID: wrong key or changed bytes; *out is as before. */
int aead_open(const struct aead *a, const void *nonce, struct str associated, struct str sealed,
	struct buf *out);

#endif
