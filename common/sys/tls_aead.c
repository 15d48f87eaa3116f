/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GnuTLS's AEAD interface behind tls_aead.h.
 */
#include "common/sys/tls_aead.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "common/base/err.h"

struct aead {
	gnutls_aead_cipher_hd_t handle;
};

struct aead *aead_new(struct str key)
{
	struct aead *a = xcalloc(1, sizeof(*a));
	gnutls_datum_t datum = { (unsigned char *)(uintptr_t)key.p, (unsigned)key.n };
	gnutls_cipher_algorithm_t algorithm = key.n == 16   ? GNUTLS_CIPHER_AES_128_GCM
					      : key.n == 24 ? GNUTLS_CIPHER_AES_192_GCM
							    : GNUTLS_CIPHER_AES_256_GCM;

	must(key.n == 16 || key.n == 24 || key.n == 32);
	must(gnutls_aead_cipher_init(&a->handle, algorithm, &datum) == 0);
	return a;
}

void aead_free(struct aead *a)
{
	if (a) {
		gnutls_aead_cipher_deinit(a->handle);
		free(a);
	}
}

void aead_seal(const struct aead *a, const void *nonce, struct str associated, struct str plain,
	struct buf *out)
{
	size_t size = plain.n + AEAD_TAG_SIZE;

	buf_reserve(out, size);
	must(gnutls_aead_cipher_encrypt(a->handle, nonce, AEAD_NONCE_SIZE, associated.p,
		     associated.n, AEAD_TAG_SIZE, plain.p, plain.n, out->p + out->n, &size) == 0);
	out->n += size;
}

int aead_open(const struct aead *a, const void *nonce, struct str associated, struct str sealed,
	struct buf *out)
{
	size_t size = sealed.n;

	if (sealed.n < AEAD_TAG_SIZE) {
		return ST_INVALID;
	}
	buf_reserve(out, size);
	if (gnutls_aead_cipher_decrypt(a->handle, nonce, AEAD_NONCE_SIZE, associated.p,
		    associated.n, AEAD_TAG_SIZE, sealed.p, sealed.n, out->p + out->n, &size)) {
		return ST_INVALID;
	}
	out->n += size;
	return 0;
}
