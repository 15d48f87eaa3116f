/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock: one key, held by whose session it carries.
 */
#include "common/base/err.h"
#include "ctl/lock.h"

static const uint64_t flags_lock = 0x2ddccbc058a50c18;

static bool is_ours(const struct locker *l, const struct json *pair)
{
	return pair && str_is(json_find_text(pair, "Session"), l->session);
}

/* The pair (NULL: no such key), after a wait for a change where l->index says so. */
static int pair_read(struct locker *l, struct lock_question *q, int64_t wait_ms,
	const struct json **out, uint64_t *index_out)
{
	const struct json *list = NULL;
	int r = lock_ask(l, buf_str(&l->key), q, wait_ms, &list, index_out);

	*out = list ? list->first : NULL;
	return r == ST_INVALID && !q->consistent ? lock_failed(l, "failed to read lock") : r;
}

static int conflict_check(struct locker *l, const struct json *pair)
{
	return pair && field_u64(pair, "Flags") != flags_lock
		       ? lock_refuse(l, "Existing key does not match lock use")
		       : 0;
}

/* Somebody holds it: l->index waits for a change. */
static bool is_held(struct locker *l, const struct json *pair, uint64_t index)
{
	bool held = pair && json_find_text(pair, "Session").n;

	l->index = held ? index : 0;
	return held;
}

static int attempt(struct locker *l, int64_t wait_ms)
{
	struct lock_question q = { 0 };
	const struct json *pair;
	uint64_t index = 0;
	bool done = false;
	int r = pair_read(l, &q, wait_ms, &pair, &index);

	r = r ? r : conflict_check(l, pair);
	if (r || is_ours(l, pair)) {
		return r;
	}
	if (is_held(l, pair, index)) {
		return ST_CONFLICT;
	}
	r = lock_tell(
		l, "PUT", buf_str(&l->key), "acquire", l->session, flags_lock, STR_NONE, &done);
	if (r) {
		return lock_failed(l, "failed to acquire lock");
	}
	if (done) {
		return 0;
	}
	/* Either somebody was faster, or a lock delay is in force. */
	r = pair_read(l, &q, 0, &pair, &index);
	if (r) {
		return r;
	}
	return is_held(l, pair, index) ? ST_CONFLICT : ST_FULL;
}

static int check(struct locker *l)
{
	struct lock_question q = { .consistent = true };
	const struct json *pair;
	uint64_t index = 0;
	int r = pair_read(l, &q, LOCK_WAIT_MS, &pair, &index);

	if (r) {
		return r == ST_INVALID && !q.transient ? ST_CONFLICT : r;
	}
	l->index = index;
	return is_ours(l, pair) ? 0 : ST_CONFLICT;
}

static int release(struct locker *l)
{
	bool done;
	int r = lock_tell(
		l, "PUT", buf_str(&l->key), "release", l->session, flags_lock, STR_NONE, &done);

	return r ? lock_failed(l, "failed to release lock") : 0;
}

static int cleanup(struct locker *l)
{
	struct lock_question q = { 0 };
	const struct json *pair;
	uint64_t index = 0;
	bool done = false;
	int r;

	l->index = 0;
	r = pair_read(l, &q, 0, &pair, &index);
	r = r ? r : conflict_check(l, pair);
	if (r || !pair) {
		return r;
	}
	if (json_find_text(pair, "Session").n) {
		return ST_CONFLICT;
	}
	r = lock_tell(l, "DELETE", buf_str(&l->key), "cas", field_text(pair, "ModifyIndex"), 0,
		STR_NONE, &done);
	if (r) {
		return lock_failed(l, "failed to remove lock");
	}
	return done ? 0 : ST_CONFLICT;
}

const struct lock_kind lock_key = { false, attempt, check, release, cleanup };
