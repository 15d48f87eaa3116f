/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over prefixes, the same for every backend.
 */
#include "common/base/kv.h"

void kv_walk_init(struct kv_walk *w, struct kv_txn *t, unsigned table, struct str prefix)
{
	must(prefix.n <= KV_KEY_MAX);
	w->t = t;
	w->table = table;
	w->started = false;
	w->prefix_size = (uint16_t)prefix.n;
	w->key_size = 0;
	w->key = w->value = STR_NONE;
	if (prefix.n) {
		memcpy(w->prefix, prefix.p, prefix.n);
	}
}

void kv_walk_behind(struct kv_walk *w, struct str key)
{
	must(key.n <= KV_KEY_MAX);
	memcpy(w->at, key.p, key.n);
	w->key_size = (uint16_t)key.n;
	w->started = true;
}

bool kv_walk_next(struct kv_walk *w)
{
	struct str prefix = str_n(w->prefix, w->prefix_size);
	struct str from = w->started ? str_n(w->at, w->key_size) : prefix;

	if (!w->t->ops->seek(w->t, w->table, from, w->started, &w->key, &w->value) ||
		!str_starts(w->key, prefix)) {
		return false;
	}
	must(w->key.n <= KV_KEY_MAX);
	memcpy(w->at, w->key.p, w->key.n);
	w->key_size = (uint16_t)w->key.n;
	w->started = true;
	return true;
}
