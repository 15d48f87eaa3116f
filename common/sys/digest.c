/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests by GnuTLS.
 */
#include "common/sys/digest.h"

#include <gnutls/crypto.h>

struct sha256 {
	gnutls_hash_hd_t handle;
};

struct sha256 *sha256_new(void)
{
	struct sha256 *s = xmalloc(sizeof(*s));
	int r = gnutls_hash_init(&s->handle, GNUTLS_DIG_SHA256);

	must(r == 0);
	return s;
}

void sha256_add(struct sha256 *s, struct str bytes)
{
	if (bytes.n) {
		gnutls_hash(s->handle, bytes.p, bytes.n);
	}
}

void sha256_end(struct sha256 *s, uint8_t out[SHA256_SIZE])
{
	gnutls_hash_deinit(s->handle, out);
	free(s);
}
