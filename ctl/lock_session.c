/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What locks and semaphores share: the session and the requests.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "ctl/lock.h"

int lock_refuse(struct locker *l, const char *text)
{
	buf_clear(&l->api.error);
	buf_put_cstr(&l->api.error, text);
	return ST_INVALID;
}

int lock_failed(struct locker *l, const char *what)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "%s: %s", what, api_error(&l->api));
	return lock_refuse(l, buf_cstr(&text));
}

static int64_t until_ms(struct mono due)
{
	return due.ns == INT64_MAX ? INT64_MAX / 2 : mono_diff_ms(due, clock_mono());
}

/* ---- the session ---- */

int lock_session_open(struct locker *l)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, body = { 0 };
	struct jsonw w = jsonw_of(&body);
	struct json *session;

	jsonw_open(&w, '{');
	jsonw_put_cstr(&w, "Name", l->name);
	if (l->kind->semaphore) { /* so that the contender's key goes with it */
		jsonw_put_cstr(&w, "Behavior", "delete");
	}
	jsonw_put_cstr(&w, "TTL", "15s");
	jsonw_close(&w, '}');
	buf_put_lit(&path, "/v1/session/create");
	l->api.timeout_ms = LOCK_ANSWER_MS;
	if (api_ask(&l->api, "PUT", &path, buf_str(&body), &answer) ||
		json_parse(&l->api.arena, buf_str(&answer.body), &session, &l->api.error)) {
		return lock_failed(l, "failed to create session");
	}
	snprintf(l->session, sizeof(l->session), "%s", field_text(session, "ID"));
	l->ttl_ms = LOCK_TTL_MS;
	l->renewed = clock_mono();
	l->renew_due = mono_add_ms(l->renewed, l->ttl_ms / 2);
	return 0;
}

static int session_tell(struct locker *l, const char *what, struct api_answer *answer)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	buf_printf(&path, "/v1/session/%s/%s", what, l->session);
	l->api.timeout_ms = LOCK_ANSWER_MS;
	return api_call(&l->api, "PUT", &path, STR_NONE, answer);
}

void lock_session_close(struct locker *l)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };

	if (l->session[0]) {
		(void)session_tell(l, "destroy", &answer); /* else it ends by its TTL */
		l->session[0] = 0;
	}
}

/* The servers may have made the TTL longer. */
static void ttl_take(struct locker *l, const struct api_answer *answer)
{
	struct json *list;
	int64_t ns;

	if (json_parse(&l->api.arena, buf_str(&answer->body), &list, NULL) == 0 && list->first &&
		duration_parse(json_find_text(list->first, "TTL"), &ns, NULL) == 0 && ns > 0) {
		l->ttl_ms = ns / NS_PER_MS;
	}
}

/* A session that could not be renewed for its TTL is given up; who asks about the lock will hear of
 * it. */
void lock_session_renew(struct locker *l)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	struct mono now = clock_mono();

	if (mono_before(now, l->renew_due)) {
		return;
	}
	if (session_tell(l, "renew", &answer) == 0 && answer.status == 200) {
		ttl_take(l, &answer);
		l->renewed = now;
		l->renew_due = mono_add_ms(now, l->ttl_ms / 2);
	} else if (answer.status == 404 || mono_diff_ms(now, l->renewed) > l->ttl_ms) {
		l->renew_due = MONO_NEVER;
	} else {
		l->renew_due = mono_add_ms(clock_mono(), LOCK_RETRY_MS);
	}
}

/* ---- requests ---- */

static void key_path(struct buf *path, struct str key)
{
	buf_put_lit(path, "/v1/kv/");
	url_escape(path, key, true);
}

/* One slice of the wait: not longer than the session may go without a renewal. */
static int ask_once(struct locker *l, struct str key, struct lock_question *q, int64_t wait_ms,
	struct api_answer *answer)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	int r;

	key_path(&path, key);
	if (q->parameter) {
		path_mark(&path, q->parameter);
	}
	if (q->consistent) {
		path_mark(&path, "consistent");
	}
	if (l->index) {
		char wait[32];

		snprintf(wait, sizeof(wait), "%lldms", (long long)wait_ms);
		path_query_n(&path, "index", l->index);
		path_query(&path, "wait", wait);
	}
	l->api.timeout_ms = wait_ms + wait_ms / 16 + LOCK_ANSWER_MS;
	r = api_call(&l->api, "GET", &path, STR_NONE, answer);
	q->transient = r == ST_CLOSED || answer->status == 500;
	if (r == ST_AGAIN || (r == 0 && (answer->status == 200 || answer->status == 404))) {
		return r;
	}
	if (r == 0) {
		buf_clear(&l->api.error);
		buf_printf(&l->api.error, "Unexpected response code: %ld", answer->status);
	}
	return ST_INVALID;
}

int lock_ask(struct locker *l, struct str key, struct lock_question *q, int64_t wait_ms,
	const struct json **out, uint64_t *index_out)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	struct mono deadline = mono_add_ms(clock_mono(), wait_ms);
	struct json *tree = NULL;

	arena_reset(&l->api.arena); /* of the answer before */
	do {
		int64_t slice;
		int r;

		lock_session_renew(l);
		slice = max_of(min_of(until_ms(deadline), until_ms(l->renew_due)), 1);
		r = ask_once(l, key, q, slice, &answer);
		if (r) {
			return r;
		}
	} while (l->index && answer.index == l->index && until_ms(deadline) > 0);
	buf_clear(&l->api.error);
	if (answer.status == 200 &&
		json_parse(&l->api.arena, buf_str(&answer.body), &tree, &l->api.error)) {
		return ST_INVALID;
	}
	*out = tree && tree->first ? tree : NULL;
	*index_out = answer.index;
	return 0;
}

int lock_tell(struct locker *l, const char *method, struct str key, const char *parameter,
	const char *value, uint64_t flags, struct str body, bool *done_out)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	int r, wake_fd = l->api.wake_fd;

	key_path(&path, key);
	path_query(&path, parameter, value);
	if (flags) {
		path_query_n(&path, "flags", flags);
	}
	l->api.timeout_ms = LOCK_ANSWER_MS;
	l->api.wake_fd = 0;
	r = api_ask(&l->api, method, &path, body, &answer);
	l->api.wake_fd = wake_fd;
	*done_out = str_starts(buf_str(&answer.body), STR("true"));
	return r;
}
