/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a handler, and saying how it went.
 */
#include "checkd/handler.h"

#include <errno.h>

#include "checkd/core/request.h"
#include "checkd/program.h"
#include "common/base/err.h"
#include "common/base/process.h"
#include "common/base/tail.h"
#include "common/sys/log.h"

struct handler {
	const struct watch *watch;
	struct program *program;
	struct fetch *fetch;
	struct loop_timer failed; /* told later: it did not even start */
	struct tail printed;
	void (*on_end)(void *arg);
	void *arg;
};

static void handler_free(struct handler *h)
{
	loop_timer_stop(&h->failed);
	tail_fini(&h->printed);
	free(h);
}

void handler_stop(struct handler *h)
{
	if (h->program) {
		program_stop(h->program);
	}
	if (h->fetch) {
		fetch_cancel(h->fetch);
	}
	handler_free(h);
}

static void handler_end(struct handler *h)
{
	void (*on_end)(void *arg) = h->on_end;
	void *arg = h->arg;

	handler_free(h);
	on_end(arg);
}

/* What identifies a handler in a log line. */
static struct str name_of(const struct watch *w)
{
	return w->handler == WATCH_HTTP	   ? w->url
	       : w->handler == WATCH_SHELL ? w->script
					   : w->args.items[0];
}

static void log_end(const struct watch *w, struct str error, struct str output)
{
	struct str name = name_of(w);

	if (error.n) {
		log_error("watch-handler-failed",
			"type=%s handler=\"" STR_FMT "\" error=\"" STR_FMT "\" output=\"" STR_FMT
			"\"",
			watch_type_name(w->type), STR_ARG(name), STR_ARG(error), STR_ARG(output));
	} else {
		log_debug("watch-handled", "type=%s handler=\"" STR_FMT "\" output=\"" STR_FMT "\"",
			watch_type_name(w->type), STR_ARG(name), STR_ARG(output));
	}
}

/* ---- programs ---- */

static void on_printed(void *arg, struct str bytes)
{
	tail_put(&((struct handler *)arg)->printed, bytes);
}

static void start_error_log(const struct watch *w, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN(free)
	char *program =
		str_dup(w->handler == WATCH_SHELL ? str_of(program_shell()) : w->args.items[0]);

	process_render_error(&text, program, error);
	log_end(w, buf_str(&text), STR(""));
}

static void on_program_end(void *arg, const struct program_end *end)
{
	OWN_EMBEDDED(buf_fini) struct buf output = { 0 }, error = { 0 };
	struct handler *h = arg;

	tail_render(&h->printed, &output);
	if (end->error) {
		start_error_log(h->watch, end->error);
	} else {
		if (end->timed_out) {
			buf_put_lit(&error, "killed: not done after ");
			duration_render(&error, h->watch->timeout_ms * NS_PER_MS);
		} else {
			process_render_end(&error, end->status);
		}
		log_end(h->watch, buf_str(&error), buf_str(&output));
	}
	handler_end(h);
}

static void arguments_put(const struct watch *w, struct buf *out)
{
	if (w->handler == WATCH_SHELL) {
		program_argument(out, str_of(program_shell()));
		program_argument(out, STR("-c"));
		program_argument(out, w->script);
	}
	for (uint32_t i = 0; i < w->args.count; i++) {
		program_argument(out, w->args.items[i]);
	}
}

/* Errors are logged; not 0: it did not begin. */
static int program_begin(
	struct handler *h, const struct handler_setup *setup, uint64_t index, struct str input)
{
	OWN_EMBEDDED(buf_fini) struct buf arguments = { 0 }, environment = { 0 };
	const struct program_hooks hooks = { on_printed, on_program_end, h };
	struct program_request q = {
		.input_is = PROGRAM_STDIN, .input = input, .timeout_ms = h->watch->timeout_ms
	};
	int r;

	arguments_put(h->watch, &arguments);
	buf_printf(&environment, "CONSUL_INDEX=%llu", (unsigned long long)index);
	buf_put_char(&environment, '\0');
	q.arguments = buf_str(&arguments);
	q.environment = buf_str(&environment);
	r = h->watch->args.count > SCRIPT_ARGUMENTS_MAX
		    ? E2BIG
		    : program_start(setup->loop, setup->scripts, &q, &hooks, &h->program);
	if (r) {
		start_error_log(h->watch, r);
	}
	return r;
}

/* ---- HTTP ---- */

static void on_fetched(void *arg, const struct fetch_result *r)
{
	OWN_EMBEDDED(buf_fini) struct buf error = { 0 };
	struct handler *h = arg;

	if (r->status == 0) {
		buf_put_str(&error, r->error);
	} else if (r->status < 200 || r->status > 299) {
		buf_printf(&error, "answered " STR_FMT, STR_ARG(r->status_line));
	}
	log_end(h->watch, buf_str(&error), r->body);
	handler_end(h);
}

static void headers_put(
	const struct watch *w, uint64_t index, struct arena *arena, struct strs *out)
{
	const struct json none = { .type = JSON_OBJECT }, *list, *item;
	const struct json *headers = w->headers ? w->headers : &none;
	uint32_t count = 2;

	json_for_each (list, headers) {
		count += list->count;
	}
	*out = (struct strs) { arena_array(arena, struct str, count), 0, true };
	out->items[out->count++] = STR("Content-Type: application/json");
	out->items[out->count++] =
		arena_printf(arena, "X-Consul-Index: %llu", (unsigned long long)index);
	json_for_each (list, headers) {
		json_for_each (item, list) {
			out->items[out->count++] = arena_printf(arena, STR_FMT ": " STR_FMT,
				STR_ARG(list->key), STR_ARG(item->text));
		}
	}
}

/* Errors are logged; not 0: it did not begin. */
static int fetch_begin(
	struct handler *h, const struct handler_setup *setup, uint64_t index, struct str body)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct fetch_request q = { .method = h->watch->method,
		.url = h->watch->url,
		.body = body,
		.timeout_ms = h->watch->timeout_ms,
		.body_max = HANDLER_OUTPUT_MAX,
		.follow = true,
		.tls_skip_verify = h->watch->tls_skip_verify };

	if (request_check(h->watch->method, h->watch->url, h->watch->headers, &why)) {
		log_end(h->watch, buf_str(&why), STR(""));
		return ST_INVALID;
	}
	headers_put(h->watch, index, &arena, &q.headers);
	h->fetch = fetch_start(setup->fetcher, &q, on_fetched, h);
	return 0;
}

/* ---- both ---- */

static void on_failed(void *arg)
{
	handler_end(arg);
}

struct handler *handler_start(const struct handler_setup *setup, const struct watch *watch,
	uint64_t index, struct str result, void (*on_end)(void *arg), void *arg)
{
	OWN_EMBEDDED(buf_fini) struct buf input = { 0 };
	struct handler *h = xcalloc(1, sizeof(*h));
	int r;

	*h = (struct handler) { .watch = watch, .on_end = on_end, .arg = arg };
	tail_init(&h->printed, HANDLER_OUTPUT_MAX);
	loop_timer_init(&h->failed, setup->loop, on_failed, h);
	buf_put_str(&input, result);
	buf_put_char(&input, '\n');
	r = watch->handler == WATCH_HTTP ? fetch_begin(h, setup, index, buf_str(&input))
					 : program_begin(h, setup, index, buf_str(&input));
	if (r) {
		loop_timer_in(&h->failed, 0);
	}
	return h;
}
