/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of seal.h. Version 0 pads the plaintext to the block size of AES (PKCS#7), version 1 does
 * not.
 */
#include "gossipd/seal.h"

#include "common/base/cursor.h"
#include "gossipd/core/packet.h"

enum { PAD = 16 };

void seal_init(struct seal *s, const struct keyring *keyring)
{
	*s = (struct seal) { .keyring = keyring };
}

void seal_fini(struct seal *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		aead_free(s->ciphers[i]);
	}
	s->count = 0;
}

static void refresh(struct seal *s)
{
	if (s->version == s->keyring->version) {
		return;
	}
	seal_fini(s);
	for (uint32_t i = 0; i < s->keyring->count; i++) {
		s->ciphers[s->count++] = aead_new(keyring_at(s->keyring, i));
	}
	s->version = s->keyring->version;
}

bool seal_active(const struct seal *s)
{
	return s->keyring->count > 0;
}

/* -------- outwards -------- */

static size_t padding(const struct seal_form *form, size_t n)
{
	return form->version == 0 ? PAD - n % PAD : 0;
}

static void block_put(struct seal *s, const struct seal_form *form, struct str associated,
	struct str plain, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf padded = { 0 };
	size_t pad = padding(form, plain.n);

	refresh(s);
	buf_put_u8(out, form->version);
	buf_put(out, form->nonce, AEAD_NONCE_SIZE);
	if (pad) {
		buf_put_str(&padded, plain);
		for (size_t i = 0; i < pad; i++) {
			buf_put_u8(&padded, (uint8_t)pad);
		}
		plain = buf_str(&padded);
	}
	aead_seal(s->ciphers[0], form->nonce, associated, plain, out);
}

void seal_packet(struct seal *s, const struct seal_form *form, struct str plain, struct buf *out)
{
	block_put(s, form, form->label, plain, out);
}

void seal_stream(struct seal *s, const struct seal_form *form, struct str plain, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf header = { 0 };

	buf_put_u8(&header, SWIM_ENCRYPT);
	buf_put_u32be(&header, (uint32_t)(SEAL_OVERHEAD + plain.n + padding(form, plain.n)));
	buf_put_str(out, buf_str(&header));
	buf_put_str(&header, form->label);
	block_put(s, form, buf_str(&header), plain, out);
}

/* -------- inwards -------- */

static int unpad(struct buf *out, size_t start)
{
	uint8_t pad = out->n > start ? (uint8_t)out->p[out->n - 1] : 0;

	if (!pad || pad > PAD || pad > out->n - start) {
		out->n = start;
		return ST_INVALID;
	}
	out->n -= pad;
	return 0;
}

static int block_open(struct seal *s, struct str associated, struct str block, struct buf *out)
{
	struct cursor c = cursor_of(block);
	uint8_t version = cursor_u8(&c);
	struct str nonce = cursor_take(&c, AEAD_NONCE_SIZE), sealed = cursor_rest(&c);
	size_t start = out->n;

	refresh(s);
	if (c.bad || version > SEAL_VERSION_MAX) {
		return ST_INVALID;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		if (aead_open(s->ciphers[i], nonce.p, associated, sealed, out) == 0) {
			return version == 0 ? unpad(out, start) : 0;
		}
	}
	return ST_INVALID;
}

int unseal_packet(struct seal *s, struct str label, struct str packet, struct buf *out)
{
	return block_open(s, label, packet, out);
}

int unseal_stream(struct seal *s, struct str label, struct str bytes, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf associated = { 0 };
	struct cursor c = cursor_of(bytes);
	uint8_t type = cursor_u8(&c);
	uint32_t size = cursor_u32be(&c);

	if (c.bad) {
		return ST_AGAIN;
	}
	if (type != SWIM_ENCRYPT || size > STREAM_SIZE_MAX) {
		return ST_INVALID;
	}
	if (cursor_left(&c) < size) {
		return ST_AGAIN;
	}
	buf_put_str(&associated, str_cut(bytes, SEAL_STREAM_HEADER));
	buf_put_str(&associated, label);
	return block_open(s, buf_str(&associated), cursor_take(&c, size), out);
}
