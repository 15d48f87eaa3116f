/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/kv/<key>: one entry, raw or as JSON; all entries below a prefix; their keys.
 */
#include "httpd/httpd.h"
#include "httpd/routes.h"

static void put_entry(struct buf *out, struct str key, const struct kv_record *r)
{
	buf_put_lit(out, "{\"LockIndex\":");
	buf_put_dec(out, r->lock_index);
	buf_put_lit(out, ",\"Key\":");
	json_put_string(out, key);
	buf_put_lit(out, ",\"Flags\":");
	buf_put_dec(out, r->flags);
	if (r->value.n) {
		buf_put_lit(out, ",\"Value\":\"");
		base64_render(out, r->value.p, r->value.n);
		buf_put_lit(out, "\"");
	} else {
		buf_put_lit(out, ",\"Value\":null");
	}
	if (!uuid_is_zero(&r->session)) {
		buf_put_lit(out, ",\"Session\":\"");
		uuid_render(out, &r->session);
		buf_put_lit(out, "\"");
	}
	buf_put_lit(out, ",\"CreateIndex\":");
	buf_put_dec(out, r->create_index);
	buf_put_lit(out, ",\"ModifyIndex\":");
	buf_put_dec(out, r->modify_index);
	buf_put_char(out, '}');
}

static void answer_entry(struct exchange *x, struct str key, const struct kv_record *record)
{
	struct buf *out = exchange_body(x);

	if (request_has(&x->request, "raw")) {
		/* A stored page must not run in the origin of the API. */
		answer_header(x, STR("X-Content-Type-Options"), STR("nosniff"));
		answer_header(x, STR("Content-Security-Policy"), STR("sandbox"));
		buf_put_str(out, record->value);
		answer_raw(x, 200, STR("text/plain"));
		return;
	}
	buf_put_char(out, '[');
	put_entry(out, key, record);
	buf_put_char(out, ']');
	answer_json(x, 200);
}

/*
 * What is not there is shown with the index of all keys, as Consul does. Waiting goes by the exact
 * index all the same: the client is woken when the key comes, and by nothing else.
 */
static void answer_missing(struct exchange *x)
{
	answer_index(x, thing_index(x->txn, THING_KVS, STR("")));
	answer_empty(x, 404);
}

static void get_one(struct exchange *x, struct str key)
{
	struct kv_record record;
	struct str value;

	if (!key.n) {
		answer_text(x, 400, STR("Missing key name"));
		return;
	}
	read_thing(x, THING_KV, key);
	if (read_held(x)) {
		return;
	}
	if (!kv_get(x->txn, STATE_KVS, key, &value) || kv_record_decode(value, NULL, &record)) {
		answer_missing(x);
		return;
	}
	answer_entry(x, key, &record);
}

/* The index of a prefix: of the last change of any key below it, deletions included. */
static uint64_t tombstones_index(struct exchange *x, struct str prefix)
{
	uint64_t index = thing_kv_index(x->txn, STR("")), deleted; /* the floor of all keys */
	struct kv_walk w;

	kv_walk_init(&w, x->txn, STATE_TOMBSTONES, prefix);
	while (kv_walk_next(&w)) {
		if (w.value.n == sizeof(deleted)) {
			memcpy(&deleted, w.value.p, sizeof(deleted));
			index = max_of(index, deleted);
		}
	}
	return index;
}

/* Nothing below it can have been stored: answered, or held for as long as it may wait. */
static bool is_too_long(struct exchange *x, struct str prefix)
{
	if (prefix.n <= KV_NAME_MAX) {
		return false;
	}
	read_prefix(x, prefix, thing_kv_index(x->txn, STR("")));
	if (!read_held(x)) {
		answer_missing(x);
	}
	return true;
}

static void get_below(struct exchange *x, struct str prefix)
{
	struct buf *out = exchange_body(x);
	struct kv_record record;
	struct kv_walk w;
	uint64_t index;

	if (is_too_long(x, prefix)) {
		return;
	}
	index = tombstones_index(x, prefix);
	kv_walk_init(&w, x->txn, STATE_KVS, prefix);
	while (kv_walk_next(&w)) {
		if (kv_record_decode(w.value, NULL, &record)) {
			continue;
		}
		index = max_of(index, record.modify_index);
		buf_put_char(out, out->n ? ',' : '[');
		put_entry(out, w.key, &record);
	}
	read_prefix(x, prefix, index);
	if (read_held(x)) {
		return;
	}
	if (!out->n) {
		answer_missing(x);
		return;
	}
	buf_put_char(out, ']');
	answer_json(x, 200);
}

/* A key up to and with the first separator behind the prefix. */
static struct str cut_key(struct str key, size_t prefix_size, struct str separator)
{
	ssize_t at = separator.n ? str_find_str(str_skip(key, prefix_size), separator) : -1;

	return at < 0 ? key : str_cut(key, prefix_size + (size_t)at + separator.n);
}

static void get_keys(struct exchange *x, struct str prefix)
{
	struct buf *out = exchange_body(x);
	struct str separator = request_param(&x->request, "separator");
	OWN_EMBEDDED(buf_fini) struct buf last = { 0 };
	struct kv_record record;
	struct kv_walk w;
	uint64_t index;

	if (is_too_long(x, prefix)) {
		return;
	}
	if (!separator.p) {
		separator = request_param(&x->request, "seperator");
	}
	index = tombstones_index(x, prefix);
	kv_walk_init(&w, x->txn, STATE_KVS, prefix);
	while (kv_walk_next(&w)) {
		struct str key = cut_key(w.key, prefix.n, separator);

		if (!kv_record_decode(w.value, NULL, &record)) {
			index = max_of(index, record.modify_index);
		}
		if (out->n && str_eq(key, buf_str(&last))) {
			continue;
		}
		buf_clear(&last);
		buf_put_str(&last, key);
		buf_put_char(out, out->n ? ',' : '[');
		json_put_string(out, key);
	}
	read_prefix(x, prefix, index);
	if (read_held(x)) {
		return;
	}
	if (!out->n && prefix.n) {
		answer_missing(x);
		return;
	}
	buf_put_cstr(out, out->n ? "]" : "[]");
	answer_json(x, 200);
}

void handle_kv_get(struct exchange *x)
{
	const struct request *r = &x->request;

	if (request_has(r, "keys")) {
		get_keys(x, r->name);
	} else if (request_has(r, "recurse")) {
		get_below(x, r->name);
	} else {
		get_one(x, r->name);
	}
}
