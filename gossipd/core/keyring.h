/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a pool: the first is the one to send with, all are tried on what arrives. As text: a
 * JSON list of base64 strings, Serf's keyring file. Embedded; zero-initialised is empty.
 */
#ifndef MUSTER_GOSSIPD_CORE_KEYRING_H
#define MUSTER_GOSSIPD_CORE_KEYRING_H

#include "common/base/buf.h"

enum { KEYRING_MAX = 32, KEY_SIZE_MAX = 32 };

struct keyring_key {
	uint8_t bytes[KEY_SIZE_MAX];
	uint8_t size;
};

struct keyring {
	struct keyring_key keys[KEYRING_MAX];
	uint32_t count;
	uint32_t version; /* grows with every change */
};

static inline struct str keyring_at(const struct keyring *k, uint32_t i)
{
	return str_n(k->keys[i].bytes, k->keys[i].size);
}

/* 0, or ST_INVALID, ST_FULL with Serf's text in *why (may be NULL). */
int keyring_install(struct keyring *k, struct str key, struct buf *why); /* last; known: nothing */
int keyring_use(struct keyring *k, struct str key, struct buf *why);	 /* becomes the first */
int keyring_remove(struct keyring *k, struct str key, struct buf *why);	 /* absent: nothing */

bool keyring_has(const struct keyring *k, struct str key);

/* The file. ST_INVALID with the reason: it is no list of keys, or empty. */
int keyring_parse(struct str text, struct keyring *out, struct buf *why);
void keyring_render(const struct keyring *k, struct buf *out);

#endif
