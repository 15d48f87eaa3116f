/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests by Nettle.
 */
#include "common/sys/digest.h"

#include <nettle/sha2.h>

struct sha256 {
	struct sha256_ctx context;
};

struct sha256 *sha256_new(void)
{
	struct sha256 *s = xmalloc(sizeof(*s));

	sha256_init(&s->context);
	return s;
}

void sha256_add(struct sha256 *s, struct str bytes)
{
	sha256_update(&s->context, bytes.n, (const uint8_t *)bytes.p);
}

void sha256_end(struct sha256 *s, uint8_t out[SHA256_SIZE])
{
	sha256_digest(&s->context, SHA256_SIZE, out);
	free(s);
}
