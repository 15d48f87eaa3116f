/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job per watch: at any time it asks, handles or pauses.
 */
#include "checkd/watches.h"

#include <stdio.h>

#include "checkd/handler.h"
#include "common/base/hash.h"
#include "common/client/api.h"
#include "common/client/watcher.h"
#include "common/sys/log.h"

struct job {
	struct list link; /* in watches.jobs or .retired */
	struct watches *watches;
	struct arena arena;
	struct watch def;
	struct buf identity;
	struct watcher watcher;
	uint64_t request;	 /* number of the question under way; 0: none */
	struct handler *handler; /* NULL: it does not run */
	struct loop_timer pause;
	bool seen; /* in the configuration that is being applied */
	bool retired;
};

/* A cursor of an earlier life that no watch has asked for yet. */
struct cursor_row {
	struct list link;
	char key[20];
	uint64_t index;
};

struct watches {
	struct loop *loop;
	struct scripts *scripts;
	struct watches_hooks hooks;
	struct api *api;
	struct fetcher *fetcher; /* made when first needed */
	struct list jobs, retired, cursors;
	unsigned jobs_count;
	uint64_t numbers;
	bool draining;
};

static void job_act(struct job *j, enum watcher_action action);

/* ---- cursors ---- */

static void cursor_key(const struct job *j, char key[20])
{
	snprintf(key, 20, "%016llx", (unsigned long long)hash64(buf_str(&j->identity), 0));
}

static void cursor_store(struct job *j)
{
	char key[20], value[24];

	if (j->def.type == WATCH_EVENT) {
		cursor_key(j, key);
		snprintf(value, sizeof(value), "%llu", (unsigned long long)j->watcher.index);
		j->watches->hooks.on_cursor(j->watches->hooks.arg, str_of(key), str_of(value));
	}
}

/* Two watches that are the same share what is stored. */
static void cursor_recall(struct job *j)
{
	struct cursor_row *row;
	char key[20];

	cursor_key(j, key);
	list_for_each (row, &j->watches->cursors, link) {
		if (strcmp(row->key, key) == 0) {
			watcher_resume(&j->watcher, row->index);
		}
	}
}

void watches_load(struct watches *w, struct str key, struct str value)
{
	struct cursor_row *row = xcalloc(1, sizeof(*row));

	snprintf(row->key, sizeof(row->key), STR_FMT, STR_ARG(key));
	if (str_to_u64(value, &row->index)) {
		row->index = 0;
	}
	list_add_tail(&w->cursors, &row->link);
}

static bool cursor_is_used(const struct watches *w, const char *wanted)
{
	const struct job *j;
	char key[20];

	list_for_each (j, &w->jobs, link) {
		cursor_key(j, key);
		if (j->def.type == WATCH_EVENT && strcmp(key, wanted) == 0) {
			return true;
		}
	}
	return false;
}

static void cursor_forget(struct watches *w, const char *key)
{
	if (!cursor_is_used(w, key)) {
		w->hooks.on_cursor(w->hooks.arg, str_of(key), STR(""));
	}
}

/* Those that nobody has taken are of watches that are gone. */
static void cursors_end(struct watches *w)
{
	struct cursor_row *row, *next;

	list_for_each_safe (row, next, &w->cursors, link) {
		cursor_forget(w, row->key);
		list_del(&row->link);
		free(row);
	}
}

/* ---- one watch ---- */

static void job_free(struct job *j)
{
	if (j->handler) {
		handler_stop(j->handler);
	}
	loop_timer_stop(&j->pause);
	list_del(&j->link);
	watcher_fini(&j->watcher);
	buf_fini(&j->identity);
	arena_fini(&j->arena);
	free(j);
}

/* No more questions. */
static void job_quiet(struct job *j)
{
	if (j->request) {
		api_cancel(j->watches->api, j->request);
		j->request = 0;
	}
	loop_timer_stop(&j->pause);
}

static void on_handled(void *arg)
{
	struct job *j = arg;
	struct watches *w = j->watches;

	j->handler = NULL;
	if (j->retired) {
		job_free(j);
	} else {
		cursor_store(j);
		if (!w->draining) {
			job_act(j, watcher_handled(&j->watcher));
		}
	}
	w->hooks.on_handled(w->hooks.arg);
}

static void job_handle(struct job *j)
{
	struct watches *w = j->watches;
	struct handler_setup setup = { w->loop, w->scripts, NULL };
	bool numbered = j->def.type != WATCH_AGENT_SERVICE;

	if (j->def.handler == WATCH_HTTP) {
		w->fetcher = w->fetcher ? w->fetcher : fetcher_new(w->loop);
		setup.fetcher = w->fetcher;
	}
	j->handler = handler_start(&setup, &j->def, numbered ? j->watcher.index : 0,
		buf_str(&j->watcher.result), on_handled, j);
}

static void job_ask(struct job *j)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	bool waits = j->watcher.index != 0;
	struct api_request q = { .timeout_ms = waits ? API_WAIT_TIMEOUT_MS : API_TIMEOUT_MS,
		.token = j->def.token };

	watch_path(&j->def, j->watcher.index, &path);
	if (waits) {
		buf_printf(&path, "&wait=%ds", WATCHES_WAIT_S);
	}
	q.number = j->request = ++j->watches->numbers;
	q.path = buf_str(&path);
	api_send(j->watches->api, &q);
}

static void on_pause_end(void *arg)
{
	job_ask(arg);
}

static void job_act(struct job *j, enum watcher_action action)
{
	switch (action) {
	case WATCHER_ASK:
		job_ask(j);
		break;
	case WATCHER_HANDLE:
		job_handle(j);
		break;
	case WATCHER_PAUSE:
		loop_timer_in(&j->pause, j->watcher.pause_ms);
		break;
	}
}

static void failure_log(const struct job *j, struct str why)
{
	OWN_EMBEDDED(buf_fini) struct buf pause = { 0 };

	duration_render(&pause, j->watcher.pause_ms * NS_PER_MS);
	log_warning("watch-failed", "type=%s error=\"" STR_FMT "\" retry=%s",
		watch_type_name(j->def.type), STR_ARG(str_cut(why, 500)), buf_cstr(&pause));
}

static void on_answer(void *arg, uint64_t number, int status, uint64_t index, struct str body)
{
	OWN_EMBEDDED(buf_fini) struct buf result = { 0 }, why = { 0 };
	struct watches *w = arg;
	enum watcher_action action;
	struct job *j, *found = NULL;

	list_for_each (j, &w->jobs, link) {
		found = j->request == number ? j : found;
	}
	if (!found) {
		return;
	}
	found->request = 0;
	if (status == 0) {
		buf_put_lit(&why, "httpd does not answer");
	} else {
		(void)watch_result(
			&found->def, status, body, found->watcher.index, &index, &result, &why);
	}
	if (why.n) {
		action = watcher_failed(&found->watcher, status != 0);
		failure_log(found, buf_str(&why));
	} else {
		action = watcher_answered(&found->watcher, index, buf_str(&result));
	}
	job_act(found, action);
}

/* ---- all of them ---- */

static struct job *job_new(struct watches *w, const struct json *v)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 }, why = { 0 };
	struct job *j = xcalloc(1, sizeof(*j));
	struct json *own;

	/* The configuration's tree goes with the next reload. */
	json_render(&text, v);
	must(json_parse(&j->arena, buf_str(&text), &own, NULL) == 0);
	list_init(&j->link);
	j->watches = w;
	loop_timer_init(&j->pause, w->loop, on_pause_end, j);
	if (watch_parse(&j->arena, own, WATCH_FROM_CONFIGURATION, &j->def, &why)) {
		log_error("watch-refused", "error=\"%s\"", buf_cstr(&why));
		job_free(j);
		return NULL;
	}
	watch_identity(&j->def, &j->identity);
	watcher_init(&j->watcher, j->def.type == WATCH_EVENT);
	return j;
}

static struct job *same_find(const struct watches *w, const struct job *wanted)
{
	struct job *j;

	list_for_each (j, &w->jobs, link) {
		if (!j->seen && str_eq(buf_str(&j->identity), buf_str(&wanted->identity))) {
			return j;
		}
	}
	return NULL;
}

/* New ones are gathered in *fresh, until those that went have made room. */
static void one_apply(struct watches *w, const struct json *v, struct list *fresh)
{
	struct job *j = job_new(w, v), *same = j ? same_find(w, j) : NULL;

	if (same) {
		same->seen = true;
		job_free(j);
	} else if (j) {
		list_add_tail(fresh, &j->link);
	}
}

static void job_begin(struct job *j)
{
	struct watches *w = j->watches;

	if (w->jobs_count == WATCHES_MAX) {
		log_error("watch-refused", "error=\"more than %d watches\"", WATCHES_MAX);
		job_free(j);
		return;
	}
	list_del(&j->link);
	list_add_tail(&w->jobs, &j->link);
	w->jobs_count++;
	cursor_recall(j);
	job_ask(j);
}

static void job_retire(struct job *j)
{
	char key[20];

	job_quiet(j);
	list_del(&j->link);
	j->watches->jobs_count--;
	if (j->def.type == WATCH_EVENT) {
		cursor_key(j, key);
		cursor_forget(j->watches, key);
	}
	j->retired = true;
	if (j->handler) {
		list_add_tail(&j->watches->retired, &j->link);
	} else {
		job_free(j);
	}
}

void watches_apply(struct watches *w, const struct conf *conf)
{
	const struct json *const *rows = conf->watches_json.items;
	struct job *j, *next;
	struct list fresh;

	list_init(&fresh);
	list_for_each (j, &w->jobs, link) {
		j->seen = false;
	}
	for (uint32_t i = 0; i < conf->watches_json.count; i++) {
		one_apply(w, rows[i], &fresh);
	}
	list_for_each_safe (j, next, &w->jobs, link) {
		if (!j->seen) {
			job_retire(j);
		}
	}
	list_for_each_safe (j, next, &fresh, link) {
		job_begin(j);
	}
	cursors_end(w);
}

bool watches_drain(struct watches *w)
{
	struct watches_counts n;
	struct job *j;

	w->draining = true;
	list_for_each (j, &w->jobs, link) {
		job_quiet(j);
	}
	watches_count(w, &n);
	return n.handling > 0;
}

void watches_count(const struct watches *w, struct watches_counts *out)
{
	const struct job *j;

	*out = (struct watches_counts) { .watches = w->jobs_count };
	list_for_each (j, &w->jobs, link) {
		out->handling += j->handler != NULL;
		out->failing += j->watcher.failures > 0;
	}
	list_for_each (j, &w->retired, link) {
		out->handling++;
	}
}

struct watches *watches_new(
	struct loop *loop, struct scripts *scripts, const struct watches_hooks *hooks)
{
	struct watches *w = xcalloc(1, sizeof(*w));

	w->loop = loop;
	w->scripts = scripts;
	w->hooks = *hooks;
	list_init(&w->jobs);
	list_init(&w->retired);
	list_init(&w->cursors);
	w->api = api_new(loop, "httpd/api.sock", WATCHES_MAX, on_answer, w);
	return w;
}

void watches_free(struct watches *w)
{
	struct list *lists[] = { &w->jobs, &w->retired };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		while (!list_empty(lists[i])) {
			job_free(list_first(lists[i], struct job, link));
		}
	}
	while (!list_empty(&w->cursors)) {
		struct cursor_row *row = list_first(&w->cursors, struct cursor_row, link);

		list_del(&row->link);
		free(row);
	}
	api_free(w->api);
	if (w->fetcher) {
		fetcher_free(w->fetcher);
	}
	free(w);
}
