/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules and texts of keyring.h are Serf's.
 */
#include "gossipd/core/keyring.h"

#include "common/base/err.h"
#include "common/base/json.h"

static int refuse(struct buf *why, int status, const char *text)
{
	if (why) {
		buf_put_cstr(why, text);
	}
	return status;
}

static ssize_t find(const struct keyring *k, struct str key)
{
	for (uint32_t i = 0; i < k->count; i++) {
		if (str_eq(keyring_at(k, i), key)) {
			return i;
		}
	}
	return -1;
}

bool keyring_has(const struct keyring *k, struct str key)
{
	return find(k, key) >= 0;
}

int keyring_install(struct keyring *k, struct str key, struct buf *why)
{
	struct keyring_key *fresh = &k->keys[k->count];

	if (key.n != 16 && key.n != 24 && key.n != 32) {
		return refuse(why, ST_INVALID, "key size must be 16, 24 or 32 bytes");
	}
	if (find(k, key) >= 0) {
		return 0;
	}
	if (k->count == KEYRING_MAX) {
		return refuse(why, ST_FULL, "too many keys");
	}
	*fresh = (struct keyring_key) { .size = (uint8_t)key.n };
	memcpy(fresh->bytes, key.p, key.n);
	k->count++;
	k->version++;
	return 0;
}

int keyring_use(struct keyring *k, struct str key, struct buf *why)
{
	ssize_t at = find(k, key);
	struct keyring_key chosen;

	if (at < 0) {
		return refuse(why, ST_INVALID, "Requested key is not in the keyring");
	}
	chosen = k->keys[at];
	memmove(&k->keys[1], &k->keys[0], (size_t)at * sizeof(k->keys[0]));
	k->keys[0] = chosen;
	k->version++;
	return 0;
}

int keyring_remove(struct keyring *k, struct str key, struct buf *why)
{
	ssize_t at = find(k, key);

	if (at == 0) {
		return refuse(why, ST_INVALID, "Removing the primary key is not allowed");
	}
	if (at > 0) {
		memmove(&k->keys[at], &k->keys[at + 1],
			(k->count - (size_t)at - 1) * sizeof(k->keys[0]));
		k->count--;
		k->version++;
	}
	return 0;
}

static int add_text(struct keyring *out, const struct json *item, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };

	if (item->type != JSON_STRING || base64_parse(item->text, &key, NULL)) {
		return refuse(why, ST_INVALID, "a key is not base64");
	}
	return keyring_install(out, buf_str(&key), why);
}

int keyring_parse(struct str text, struct keyring *out, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct json *item;
	struct json *tree;
	int r = json_parse(&arena, text, &tree, why);

	*out = (struct keyring) { .count = 0 };
	if (r) {
		return r;
	}
	if (tree->type != JSON_ARRAY || !tree->first) {
		return refuse(why, ST_INVALID, "not a list of keys");
	}
	json_for_each (item, tree) {
		r = add_text(out, item, why);
		if (r) {
			return ST_INVALID;
		}
	}
	return 0;
}

void keyring_render(const struct keyring *k, struct buf *out)
{
	buf_put_lit(out, "[");
	for (uint32_t i = 0; i < k->count; i++) {
		buf_put_cstr(out, i ? ",\n  \"" : "\n  \"");
		base64_render(out, k->keys[i].bytes, k->keys[i].size);
		buf_put_char(out, '"');
	}
	buf_put_lit(out, "\n]");
}
