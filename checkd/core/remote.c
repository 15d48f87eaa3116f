/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules behind remote.h.
 */
#include "checkd/core/remote.h"

#include <stdio.h>

#include "common/base/json.h"

void remote_init(struct remote *r, struct str node)
{
	*r = (struct remote) { .flush_due = MONO_NEVER, .beat_due = MONO_NEVER };
	buf_put_str(&r->own, node); /* the whole directory once the order is known */
}

void remote_fini(struct remote *r)
{
	arena_fini(&r->arena);
	buf_fini(&r->directory);
	buf_fini(&r->own);
	buf_fini(&r->session);
	buf_fini(&r->path);
	buf_fini(&r->output);
	buf_fini(&r->chunk);
}

/* ---- requests ---- */

static void ask(struct remote *r, struct remote_update *u, const struct buf *directory,
	const char *name, const char *query)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };

	buf_put_str(&key, buf_str(directory));
	path_join(&key, str_of(name));
	buf_clear(&r->path);
	buf_put_lit(&r->path, "/v1/kv/");
	url_escape(&r->path, buf_str(&key), true);
	buf_put_cstr(&r->path, query);
	r->busy = true;
	u->ask = true;
	u->path = buf_str(&r->path);
}

static void tell(struct remote *r, struct remote_update *u, const char *name, struct str body)
{
	ask(r, u, &r->own, name, "?acquire=");
	url_escape(&r->path, buf_str(&r->session), false);
	u->path = buf_str(&r->path);
	u->put = true;
	u->body = body;
}

static void stop(struct remote *r, struct remote_update *u, const char *note)
{
	r->state = REMOTE_IS_DONE;
	u->kill = r->runs;
	r->runs = false;
	u->done = true;
	u->note = note;
}

/* ---- before it runs ---- */

static void on_begin(struct remote *r, const struct remote_event *e, struct remote_update *u)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf node = { 0 };
	struct str prefix, session;
	struct json *payload;

	if (json_parse(&arena, e->text, &payload, NULL)) {
		stop(r, u, "the event is unreadable");
		return;
	}
	prefix = json_find_text(payload, "Prefix");
	session = json_find_text(payload, "Session");
	if (!prefix.n || !session.n) {
		stop(r, u, "the event names no session");
		return;
	}
	buf_put_str(&node, buf_str(&r->own));
	buf_put_str(&r->session, session);
	path_join(&r->directory, prefix);
	path_join(&r->directory, session);
	buf_clear(&r->own);
	buf_put_str(&r->own, buf_str(&r->directory));
	path_join(&r->own, buf_str(&node));
	if (e->again) {
		r->state = REMOTE_LOOKS_BACK;
		ask(r, u, &r->own, "ack", "?raw&consistent");
	} else {
		r->state = REMOTE_READS_STALE;
		ask(r, u, &r->directory, "job", "?raw&stale");
	}
}

static void on_looked_back(struct remote *r, const struct remote_event *e, struct remote_update *u)
{
	if (e->status == 404) {
		r->state = REMOTE_READS;
		ask(r, u, &r->directory, "job", "?raw&consistent");
	} else {
		stop(r, u, e->status == 200 ? "an earlier life has begun it" : "no answer");
	}
}

static bool spec_decode(struct remote *r, struct str text)
{
	static const struct bind_field fields[] = {
		{ "Command", BIND_STR, offsetof(struct remote_spec, command) },
		{ "Args", BIND_STRS, offsetof(struct remote_spec, args) },
		{ "Script", BIND_BASE64, offsetof(struct remote_spec, script) },
		{ "Wait", BIND_DURATION, offsetof(struct remote_spec, wait_ns) },
	};
	static const struct bind_object spec = { .go_name = "remoteExecSpec",
		.size = sizeof(struct remote_spec),
		BIND_FIELDS(fields),
		.ignore_unknown = true };
	struct json *tree;

	return json_parse(&r->arena, text, &tree, NULL) == 0 &&
	       bind_object(&spec, tree, &r->arena, &r->spec, NULL) == 0;
}

static void on_job(struct remote *r, const struct remote_event *e, struct remote_update *u)
{
	if (e->status == 404 && r->state == REMOTE_READS_STALE) {
		r->state = REMOTE_READS;
		ask(r, u, &r->directory, "job", "?raw&consistent");
	} else if (e->status == 404) {
		stop(r, u, "its order is gone");
	} else if (e->status != 200) {
		stop(r, u, "its order cannot be read");
	} else if (!spec_decode(r, e->text)) {
		stop(r, u, "its order is unreadable");
	} else {
		r->state = REMOTE_ACKS;
		tell(r, u, "ack", STR(""));
	}
}

/* ---- while it runs ---- */

static bool is_written(const struct remote_event *e)
{
	return e->status == 200 && str_starts(e->text, STR("true"));
}

static int64_t beat_ms(const struct remote *r)
{
	return max_of(r->spec.wait_ns / NS_PER_MS, REMOTE_BEAT_MIN_MS);
}

static void chunk_put(struct remote *r, struct mono now, struct remote_update *u)
{
	char name[24];
	struct str all = buf_str(&r->output);

	buf_clear(&r->chunk);
	buf_put_str(&r->chunk, str_cut(all, REMOTE_CHUNK_MAX));
	all = str_skip(all, r->chunk.n);
	if (all.n) {
		memmove(r->output.p, all.p, all.n);
	}
	r->output.n = all.n;
	snprintf(name, sizeof(name), "out/%05x", r->chunks++);
	r->beat_due = mono_add_ms(now, beat_ms(r));
	tell(r, u, name, buf_str(&r->chunk));
}

/* Nothing more of the program is told, only that it failed. */
static void give_up(struct remote *r, struct remote_update *u)
{
	u->kill = r->runs;
	r->runs = false;
	r->failed = true;
	r->code = REMOTE_FAILED;
	buf_clear(&r->output);
}

static void exit_put(struct remote *r, struct remote_update *u)
{
	r->state = REMOTE_EXITS;
	buf_clear(&r->chunk);
	buf_put_idec(&r->chunk, r->code);
	tell(r, u, "exit", buf_str(&r->chunk));
}

/* What is to be written next, if anything may. */
static void plan(struct remote *r, struct mono now, struct remote_update *u)
{
	bool due = r->output.n >= REMOTE_CHUNK_MAX ||
		   (r->output.n && (!r->runs || !mono_before(now, r->flush_due)));

	if (r->state != REMOTE_RUNS || r->busy) {
		return;
	}
	if (r->chunks >= REMOTE_CHUNKS_MAX && !r->failed && (due || r->runs)) {
		give_up(r, u);
		due = false;
	}
	if (due) {
		chunk_put(r, now, u);
	} else if (!r->runs) {
		exit_put(r, u);
	} else if (!mono_before(now, r->beat_due)) {
		chunk_put(r, now, u);
	}
}

static void on_acked(struct remote *r, const struct remote_event *e, struct remote_update *u)
{
	if (!is_written(e)) {
		stop(r, u, "its beginning could not be told");
		return;
	}
	r->state = REMOTE_RUNS;
	r->runs = true;
	r->beat_due = mono_add_ms(e->now, beat_ms(r));
	u->start = true;
}

static void on_answered(struct remote *r, const struct remote_event *e, struct remote_update *u)
{
	r->busy = false;
	switch (r->state) {
	case REMOTE_LOOKS_BACK:
		on_looked_back(r, e, u);
		break;
	case REMOTE_READS_STALE:
	case REMOTE_READS:
		on_job(r, e, u);
		break;
	case REMOTE_ACKS:
		on_acked(r, e, u);
		break;
	case REMOTE_RUNS:
		if (!is_written(e)) {
			give_up(r, u);
		}
		break;
	case REMOTE_EXITS:
		stop(r, u, is_written(e) ? NULL : "its end could not be told");
		break;
	case REMOTE_IS_DONE:
		break;
	}
}

static void on_printed(struct remote *r, const struct remote_event *e)
{
	if (r->runs) {
		buf_put_str(&r->output, e->text);
		r->flush_due = mono_add_ms(e->now, REMOTE_IDLE_MS);
	}
}

void remote_step(struct remote *r, const struct remote_event *e, struct remote_update *u)
{
	*u = (struct remote_update) { 0 };
	switch (e->type) {
	case REMOTE_BEGIN:
		on_begin(r, e, u);
		break;
	case REMOTE_ANSWERED:
		on_answered(r, e, u);
		break;
	case REMOTE_PRINTED:
		on_printed(r, e);
		break;
	case REMOTE_ENDED:
		r->code = r->runs ? e->code : r->code;
		r->runs = false;
		break;
	case REMOTE_TIMER:
		break;
	}
	plan(r, e->now, u);
	u->hold = r->output.n >= REMOTE_HELD_MAX;
}

struct mono remote_deadline(const struct remote *r)
{
	if (r->state != REMOTE_RUNS || r->busy) {
		return MONO_NEVER;
	}
	return r->output.n ? mono_min(r->flush_due, r->beat_due) : r->beat_due;
}
