/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster watch: shows a view, or runs a program for each of its changes.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/process.h"
#include "common/client/watch.h"
#include "common/client/watcher.h"
#include "common/sys/clock.h"
#include "ctl/api.h"
#include "ctl/child.h"
#include "ctl/commands.h"

struct watching {
	struct api api;
	struct watch watch;
	struct watcher watcher;
	bool shell;
	char **words; /* of the handler */
	int words_count;
	int signals;
};

struct watch_flags {
	const char *type, *key, *prefix, *service, *passing_only, *state, *name;
	struct flag_list tags;
};

/* ---- the definition ---- */

static struct json *member_add(
	struct arena *arena, struct json *object, const char *key, enum json_type type)
{
	struct json *v = arena_new(arena, struct json);
	struct json **end = &object->first;

	while (*end) {
		end = &(*end)->next;
	}
	*v = (struct json) { .type = type, .key = str_of(key) };
	*end = v;
	object->count++;
	return v;
}

static void text_add(struct arena *arena, struct json *object, const char *key, const char *text)
{
	if (text && text[0]) {
		member_add(arena, object, key, JSON_STRING)->text = str_of(text);
	}
}

static int passing_add(struct arena *arena, struct json *object, const char *text)
{
	bool value;

	if (!text || !text[0]) {
		return 0;
	}
	if (str_to_bool(str_of(text), &value)) {
		return ctl_fail("Failed to parse passingonly flag: strconv.ParseBool: parsing "
				"\"%s\": invalid syntax",
			text);
	}
	member_add(arena, object, "passingonly", JSON_BOOL)->boolean = value;
	return 0;
}

/* What only makes sense to programs with the client library. */
static bool is_for_libraries(const char *type)
{
	static const char *const names[] = { "connect_roots", "connect_leaf", "agent_service" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(type, names[i]) == 0) {
			return true;
		}
	}
	return false;
}

static int definition_make(struct watching *w, const struct watch_flags *f)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct arena *arena = &w->api.arena;
	struct json object = { .type = JSON_OBJECT };

	if (is_for_libraries(f->type)) {
		return ctl_fail("Type %s is not supported in the CLI tool", f->type);
	}
	text_add(arena, &object, "type", f->type);
	text_add(arena, &object, "key", f->key);
	text_add(arena, &object, "prefix", f->prefix);
	text_add(arena, &object, "service", f->service);
	text_add(arena, &object, "state", f->state);
	text_add(arena, &object, "name", f->name);
	if (f->tags.count) {
		struct json *tags = member_add(arena, &object, "tag", JSON_ARRAY);

		for (size_t i = 0; i < f->tags.count; i++) {
			text_add(arena, tags, "", f->tags.items[i]);
		}
	}
	if (w->api.stale) {
		member_add(arena, &object, "stale", JSON_BOOL)->boolean = true;
	}
	if (passing_add(arena, &object, f->passing_only)) {
		return 1;
	}
	if (watch_parse(arena, &object, WATCH_FROM_COMMAND, &w->watch, &why)) {
		return ctl_fail("%s", buf_cstr(&why));
	}
	w->watch.stale = false; /* the request says so by itself, as it does the data centre */
	return 0;
}

/* ---- asking ---- */

/* The time of Consul's own log lines. */
static void error_tell(struct watching *w, const char *why)
{
	OWN_EMBEDDED(buf_fini) struct buf at = { 0 }, pause = { 0 };

	wall_render(&at, clock_wall(), 3);
	duration_render(&pause, w->watcher.pause_ms * NS_PER_MS);
	ctl_fail("%s [ERROR] watch: Watch errored: type=%s error=\"%s\" retry=%s", buf_cstr(&at),
		watch_type_name(w->watch.type), why, buf_cstr(&pause));
}

/* The next action. */
static enum watcher_action ask(struct watching *w, bool *interrupted)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, result = { 0 }, why = { 0 };
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	enum watcher_action action;
	int r;

	watch_path(&w->watch, w->watcher.index, &path);
	r = api_call(&w->api, "GET", &path, STR_NONE, &answer);
	if (r == ST_AGAIN) {
		*interrupted = signal_is_end(signals_next(w->signals, 0));
		return WATCHER_ASK;
	}
	if (r == 0) {
		r = watch_result(&w->watch, (int)answer.status, buf_str(&answer.body),
			w->watcher.index, &answer.index, &result, &why);
	} else {
		buf_put_cstr(&why, api_error(&w->api));
	}
	if (r == 0) {
		return watcher_answered(&w->watcher, answer.index, buf_str(&result));
	}
	action = watcher_failed(&w->watcher, true);
	error_tell(w, buf_cstr(&why));
	return action;
}

/* ---- handling ---- */

static void result_show(const struct watching *w)
{
	OWN_EMBEDDED(buf_fini) struct buf pretty = { 0 };

	json_indent(&pretty, buf_str(&w->watcher.result), STR("    "));
	ctl_say("%s", buf_cstr(&pretty));
}

/* The result as something that can be read from its begin; the handler may leave it unread. */
static int result_file(const struct watching *w)
{
	OWN_FD int fd = memfd_create("result", MFD_CLOEXEC);
	struct str text = buf_str(&w->watcher.result);

	while (fd >= 0 && text.n) {
		ssize_t n = write(fd, text.p, text.n);

		if (n <= 0) {
			return -1;
		}
		text = str_skip(text, (size_t)n);
	}
	if (fd < 0 || write(fd, "\n", 1) != 1 || lseek(fd, 0, SEEK_SET)) {
		return -1;
	}
	return take_fd(&fd);
}

/* Exit status, -1: go on. */
static int handler_run(struct watching *w)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, index = { 0 };
	OWN_FD int input = result_file(w);
	struct child_request q = { .shell = w->shell,
		.words = w->words,
		.words_count = w->words_count,
		.variable = "CONSUL_INDEX",
		.input = input };
	bool interrupted = false;
	pid_t pid;

	if (input < 0) {
		return ctl_fail("Error encoding output: %m");
	}
	buf_put_dec(&index, w->watcher.index);
	q.value = buf_cstr(&index);
	fflush(stdout);
	if (child_start(&q, &pid, &why)) {
		return ctl_fail("Error starting handler: %s", buf_cstr(&why));
	}
	process_render_end(&why, child_wait(w->signals, pid, &interrupted));
	if (interrupted) {
		return 0;
	}
	return why.n ? ctl_fail("Error executing handler: %s", buf_cstr(&why)) : -1;
}

/* Exit status, -1: go on. */
static int act(struct watching *w, enum watcher_action *action)
{
	bool interrupted = false;
	int status;

	switch (*action) {
	case WATCHER_ASK:
		*action = ask(w, &interrupted);
		break;
	case WATCHER_PAUSE:
		interrupted = signal_is_end(signals_next(w->signals, w->watcher.pause_ms));
		*action = WATCHER_ASK;
		break;
	case WATCHER_HANDLE:
		if (w->words_count == 0) {
			result_show(w);
			return 0;
		}
		status = handler_run(w);
		*action = watcher_handled(&w->watcher);
		return status;
	}
	return interrupted ? 0 : -1;
}

static int run(struct watching *w)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	enum watcher_action action = WATCHER_ASK;
	const struct json *self;
	int status = -1;

	buf_put_lit(&path, "/v1/agent/self");
	if (api_get(&w->api, &path, &self)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(&w->api));
	}
	w->signals = signals_open();
	w->api.wake_fd = w->signals;
	watcher_init(&w->watcher, w->watch.type == WATCH_EVENT);
	while (status < 0) {
		status = act(w, &action);
	}
	watcher_fini(&w->watcher);
	return status;
}

int watch_run(struct ctl *c, int argc, char **argv)
{
	static const char usage[] = "watch [options] [child...]";
	static const char about[] =
		"Shows what the catalogue, a key or the events have to say, or, with a program, "
		"runs it now and for each change, with the news as JSON on its stdin.";
	OWN_EMBEDDED(buf_fini) struct buf help = { 0 };
	struct watching w = { .shell = true };
	struct watch_flags values = { 0 };
	struct flagset f = { 0 };
	int at, status;

	flag_add(&f, "type", FLAG_TEXT, &values.type,
		"What to watch: key, keyprefix, services, nodes, service, checks or event.");
	flag_add(&f, "key", FLAG_TEXT, &values.key, "The key; only for type key.");
	flag_add(&f, "prefix", FLAG_TEXT, &values.prefix, "Keys below it; only for keyprefix.");
	flag_add(&f, "service", FLAG_TEXT, &values.service,
		"The service; required for type service, possible for checks.");
	flag_add(&f, "tag", FLAG_TEXTS, &values.tags,
		"Only instances with this tag; for type service. May be given several times.");
	flag_add(&f, "passingonly", FLAG_TEXT, &values.passing_only,
		"true: only instances whose checks all pass; for type service.");
	flag_add(&f, "state", FLAG_TEXT, &values.state, "Only checks in this state.");
	flag_add(&f, "name", FLAG_TEXT, &values.name, "Only events of this name.");
	flag_add(&f, "shell", FLAG_BOOL, &w.shell,
		"Have a shell ($SHELL, else /bin/sh) run the program.");
	at = api_begin(c, &w.api, &f, true, usage, about, argc, argv);
	if (at < 0) {
		status = -1 - at;
	} else if (!values.type || !values.type[0]) {
		ctl_help(c, &f, usage, about, &help);
		status = ctl_fail("Watch type must be specified\n\n%s", buf_cstr(&help));
	} else {
		w.words = argv + at;
		w.words_count = argc - at;
		status = definition_make(&w, &values) ? 1 : run(&w);
	}
	api_fini(&w.api);
	return status;
}
