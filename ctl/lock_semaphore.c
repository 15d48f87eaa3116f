/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A semaphore: a key that lists the holders, and a key for each who wants to be one.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "ctl/lock.h"

static const uint64_t flags_semaphore = 0xe0f69a2baa414de0;

/* What the tree says. */
struct places {
	const struct json *pair; /* of .lock; NULL: not there */
	int64_t limit;
	struct json *holders; /* an object: session -> true; those without a contender are left out
			       */
};

static void contender_key(const struct locker *l, struct buf *out)
{
	buf_put_str(out, buf_str(&l->prefix));
	path_join(out, str_of(l->session));
}

static bool is_alive(const struct json *tree, struct str session)
{
	const struct json *pair;

	json_for_each (pair, tree) {
		if (str_eq(json_find_text(pair, "Session"), session)) {
			return true;
		}
	}
	return false;
}

/* tree NULL: nobody is left out. */
static void holders_prune(struct json *holders, const struct json *tree, struct str without)
{
	struct json **at = &holders->first;

	while (*at) {
		if (str_eq((*at)->key, without) || (tree && !is_alive(tree, (*at)->key))) {
			*at = (*at)->next;
			holders->count--;
		} else {
			at = &(*at)->next;
		}
	}
}

static int places_decode(struct locker *l, struct places *p)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	const struct json *value = p->pair ? json_find(p->pair, "Value") : NULL, *holders;
	struct json *tree;

	p->limit = l->limit;
	p->holders = arena_new(&l->api.arena, struct json);
	p->holders->type = JSON_OBJECT;
	if (!value || value->type != JSON_STRING) {
		return 0;
	}
	buf_clear(&l->api.error);
	if (base64_parse(value->text, &text, NULL) ||
		json_parse(&l->api.arena, buf_str(&text), &tree, &l->api.error)) {
		return lock_failed(l, "lock decoding failed");
	}
	p->limit = (int64_t)field_u64(tree, "Limit");
	holders = json_find(tree, "Holders");
	if (holders && holders->type == JSON_OBJECT) {
		*p->holders = *holders;
	}
	return 0;
}

/* A wrong use of the key is found here too. tree NULL: nothing is there. */
static int places_read(struct locker *l, const struct json *tree, struct places *p)
{
	const struct json *pair;

	*p = (struct places) { 0 };
	for (pair = tree ? tree->first : NULL; pair; pair = pair->next) {
		if (str_eq(json_find_text(pair, "Key"), buf_str(&l->key))) {
			p->pair = pair;
		}
	}
	if (p->pair && field_u64(p->pair, "Flags") != flags_semaphore) {
		return lock_refuse(l, "Existing key does not match semaphore use");
	}
	return places_decode(l, p);
}

static int places_write(struct locker *l, const struct places *p, const char *add, bool *done)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct jsonw w = jsonw_of(&body);
	const struct json *holder;
	int r;

	jsonw_open(&w, '{');
	jsonw_put_i64(&w, "Limit", p->limit);
	jsonw_keyc(&w, "Holders");
	jsonw_open(&w, '{');
	json_for_each (holder, p->holders) {
		jsonw_key(&w, holder->key);
		jsonw_bool(&w, true);
	}
	if (add) {
		jsonw_key(&w, str_of(add));
		jsonw_bool(&w, true);
	}
	jsonw_close(&w, '}');
	jsonw_close(&w, '}');
	r = lock_tell(l, "PUT", buf_str(&l->key), "cas",
		p->pair ? field_text(p->pair, "ModifyIndex") : "0", flags_semaphore, buf_str(&body),
		done);
	return r ? lock_failed(l, "failed to update lock") : 0;
}

static int contend(struct locker *l)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };
	bool done = false;
	int r;

	if (l->contends) {
		return 0;
	}
	contender_key(l, &key);
	r = lock_tell(
		l, "PUT", buf_str(&key), "acquire", l->session, flags_semaphore, STR_NONE, &done);
	if (r == 0 && !done) {
		return lock_refuse(l, "failed to make contender entry: <nil>");
	}
	l->contends = r == 0;
	return r ? lock_failed(l, "failed to make contender entry") : 0;
}

static int tree_read(struct locker *l, struct lock_question *q, int64_t wait_ms,
	const struct json **out, uint64_t *index_out)
{
	int r = lock_ask(l, buf_str(&l->prefix), q, wait_ms, out, index_out);

	return r == ST_INVALID && !q->consistent ? lock_failed(l, "failed to read prefix") : r;
}

static int limit_check(struct locker *l, const struct places *p)
{
	char text[96];

	snprintf(text, sizeof(text), "semaphore limit conflict (lock: %lld, local: %lld)",
		(long long)p->limit, (long long)l->limit);
	return p->limit == l->limit ? 0 : lock_refuse(l, text);
}

static int attempt(struct locker *l, int64_t wait_ms)
{
	struct lock_question q = { .parameter = "recurse" };
	const struct json *tree = NULL;
	struct places p;
	uint64_t index = 0;
	bool done = false;
	int r = contend(l);

	r = r ? r : tree_read(l, &q, wait_ms, &tree, &index);
	r = r ? r : places_read(l, tree, &p);
	r = r ? r : limit_check(l, &p);
	if (r) {
		return r;
	}
	holders_prune(p.holders, tree, STR(""));
	if (p.holders->count >= p.limit) {
		l->index = index;
		return ST_CONFLICT;
	}
	l->index = 0; /* where another contender was faster: look again at once */
	r = places_write(l, &p, l->session, &done);
	return r ? r : done ? 0 : ST_CONFLICT;
}

static int check(struct locker *l)
{
	struct lock_question q = { .parameter = "recurse", .consistent = true };
	const struct json *tree = NULL;
	struct places p;
	uint64_t index = 0;
	int r = tree_read(l, &q, LOCK_WAIT_MS, &tree, &index);

	if (r) {
		return r == ST_INVALID && !q.transient ? ST_CONFLICT : r;
	}
	l->index = index;
	if (!tree || places_read(l, tree, &p)) {
		return ST_CONFLICT;
	}
	holders_prune(p.holders, tree, STR(""));
	return json_find(p.holders, l->session) ? 0 : ST_CONFLICT;
}

/* Until nobody changes the list at the same time. */
static int leave(struct locker *l)
{
	struct lock_question q = { 0 };
	bool done = false;

	while (!done) {
		const struct json *list = NULL;
		struct places p;
		uint64_t index;
		int r = lock_ask(l, buf_str(&l->key), &q, 0, &list, &index);

		r = r ? r : places_read(l, list, &p);
		if (r || !json_find(p.holders, l->session)) {
			return r;
		}
		holders_prune(p.holders, NULL, str_of(l->session));
		r = places_write(l, &p, NULL, &done);
		if (r) {
			return r;
		}
	}
	return 0;
}

static int release(struct locker *l)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };
	bool done;
	int r;

	l->index = 0;
	r = leave(l);
	if (r) {
		return r;
	}
	contender_key(l, &key);
	return lock_tell(l, "DELETE", buf_str(&key), "", "", 0, STR_NONE, &done);
}

static int cleanup(struct locker *l)
{
	struct lock_question q = { .parameter = "recurse" };
	const struct json *tree = NULL;
	struct places p;
	uint64_t index;
	bool done = false;
	int r;

	l->index = 0;
	r = tree_read(l, &q, 0, &tree, &index);
	r = r ? r : places_read(l, tree, &p);
	if (r || !p.pair) {
		return r;
	}
	holders_prune(p.holders, tree, STR(""));
	if (p.holders->count) {
		return ST_CONFLICT;
	}
	r = lock_tell(l, "DELETE", buf_str(&l->key), "cas", field_text(p.pair, "ModifyIndex"), 0,
		STR_NONE, &done);
	if (r) {
		return lock_failed(l, "failed to remove semaphore");
	}
	return done ? 0 : ST_CONFLICT;
}

const struct lock_kind lock_semaphore = { true, attempt, check, release, cleanup };
