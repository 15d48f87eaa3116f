/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nettle's AES-GCM behind aead.h. GnuTLS's is the same with a dozen libraries more in the memory of
 * gossipd.
 */
#include "common/sys/aead.h"

#include <nettle/memops.h>
#include <nettle/nettle-meta.h>

#include "common/base/err.h"

struct aead {
	const struct nettle_aead *form;
	void *context; /* the key, and the message that is being worked on */
};

struct aead *aead_new(struct str key)
{
	struct aead *a = xcalloc(1, sizeof(*a));

	must(key.n == 16 || key.n == 24 || key.n == 32);
	a->form = key.n == 16   ? &nettle_gcm_aes128
		  : key.n == 24 ? &nettle_gcm_aes192
				: &nettle_gcm_aes256;
	a->context = xcalloc(1, a->form->context_size);
	a->form->set_encrypt_key(a->context, (const uint8_t *)key.p);
	return a;
}

void aead_free(struct aead *a)
{
	if (a) {
		explicit_bzero(a->context, a->form->context_size);
		free(a->context);
		free(a);
	}
}

static void message_begin(const struct aead *a, const void *nonce, struct str associated)
{
	a->form->set_nonce(a->context, nonce);
	a->form->update(a->context, associated.n, (const uint8_t *)associated.p);
}

void aead_seal(const struct aead *a, const void *nonce, struct str associated, struct str plain,
	struct buf *out)
{
	uint8_t *to;

	buf_reserve(out, plain.n + AEAD_TAG_SIZE);
	to = (uint8_t *)out->p + out->n;
	message_begin(a, nonce, associated);
	a->form->encrypt(a->context, plain.n, to, (const uint8_t *)plain.p);
	a->form->digest(a->context, AEAD_TAG_SIZE, to + plain.n);
	out->n += plain.n + AEAD_TAG_SIZE;
}

int aead_open(const struct aead *a, const void *nonce, struct str associated, struct str sealed,
	struct buf *out)
{
	const uint8_t *from = (const uint8_t *)sealed.p;
	uint8_t tag[AEAD_TAG_SIZE];
	size_t size;

	if (sealed.n < AEAD_TAG_SIZE) {
		return ST_INVALID;
	}
	size = sealed.n - AEAD_TAG_SIZE;
	buf_reserve(out, size);
	message_begin(a, nonce, associated);
	a->form->decrypt(a->context, size, (uint8_t *)out->p + out->n, from);
	a->form->digest(a->context, sizeof(tag), tag);
	if (!memeql_sec(tag, from + size, sizeof(tag))) {
		return ST_INVALID;
	}
	out->n += size;
	return 0;
}
