/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of watches and their requests: a row per parameter, a row per type.
 */
#include "common/client/watch.h"

#include "common/base/err.h"
#include "common/base/time.h"

enum param_kind { PARAM_TEXT, PARAM_BOOL, PARAM_TEXTS };

#define OF(type) (1U << WATCH_##type)
enum { OF_ALL = OF(AGENT_SERVICE) * 2 - 1 };

struct param {
	const char *name;
	enum param_kind kind;
	size_t offset;
	unsigned types; /* that take it */
};

/* In the order in which Consul looks at them. */
static const struct param params[] = {
	{ "datacenter", PARAM_TEXT, offsetof(struct watch, datacenter), OF_ALL },
	{ "token", PARAM_TEXT, offsetof(struct watch, token), OF_ALL },
	{ "stale", PARAM_BOOL, offsetof(struct watch, stale),
		OF_ALL & ~(OF(EVENT) | OF(AGENT_SERVICE)) },
	{ "key", PARAM_TEXT, offsetof(struct watch, key), OF(KEY) },
	{ "prefix", PARAM_TEXT, offsetof(struct watch, prefix), OF(KEYPREFIX) },
	{ "service", PARAM_TEXT, offsetof(struct watch, service), OF(SERVICE) | OF(CHECKS) },
	{ "state", PARAM_TEXT, offsetof(struct watch, state), OF(CHECKS) },
	{ "tag", PARAM_TEXTS, offsetof(struct watch, tags), OF(SERVICE) },
	{ "passingonly", PARAM_BOOL, offsetof(struct watch, passing_only), OF(SERVICE) },
	{ "name", PARAM_TEXT, offsetof(struct watch, name), OF(EVENT) },
	{ "service_id", PARAM_TEXT, offsetof(struct watch, service_id), OF(AGENT_SERVICE) },
};

static const struct type_row {
	const char *name;
	size_t required; /* offset of a text that must be there; 0: none */
	const char *missing;
	const char *path;
} types[] = {
	[WATCH_KEY] = { "key", offsetof(struct watch, key), "Must specify a single key to watch",
		"/v1/kv/" },
	[WATCH_KEYPREFIX] = { "keyprefix", offsetof(struct watch, prefix),
		"Must specify a single prefix to watch", "/v1/kv/" },
	[WATCH_SERVICES] = { "services", 0, NULL, "/v1/catalog/services" },
	[WATCH_NODES] = { "nodes", 0, NULL, "/v1/catalog/nodes" },
	[WATCH_SERVICE] = { "service", offsetof(struct watch, service),
		"Must specify a single service to watch", "/v1/health/service/" },
	[WATCH_CHECKS] = { "checks", 0, NULL, "/v1/health/" },
	[WATCH_EVENT] = { "event", 0, NULL, "/v1/event/list" },
	[WATCH_AGENT_SERVICE] = { "agent_service", 0, NULL, "/v1/agent/service/" },
};

const char *watch_type_name(enum watch_type type)
{
	return types[type].name;
}

/* ---- reading ---- */

static int refuse(struct buf *why, const char *format, ...) PRINTF_LIKE(2, 3);
static int refuse(struct buf *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_vprintf(why, format, args);
	va_end(args);
	return ST_INVALID;
}

static int text_take(const struct json *v, const char *name, struct str *out, struct buf *why)
{
	if (!v) {
		return 0;
	}
	if (v->type != JSON_STRING) {
		return refuse(why, "Expecting %s to be a string", name);
	}
	*out = v->text;
	return 0;
}

/* One string or a list of them. 0, or the number of the item that is none, counted from 1; -1: it
 * is neither. */
static int texts_take(struct arena *arena, const struct json *v, struct strs *out)
{
	bool one = v->type == JSON_STRING;
	const struct json *item = one ? v : v->first;

	if (!one && v->type != JSON_ARRAY) {
		return -1;
	}
	*out = (struct strs) { arena_array(arena, struct str, v->count + 1), 0, true };
	for (; item; item = one ? NULL : item->next) {
		if (item->type != JSON_STRING) {
			return (int)out->count + 1;
		}
		out->items[out->count++] = item->text;
	}
	return 0;
}

static int param_take(struct arena *arena, const struct param *p, const struct json *v,
	struct watch *w, struct buf *why)
{
	char *to = (char *)w + p->offset;
	int r;

	switch (p->kind) {
	case PARAM_TEXT:
		return text_take(v, p->name, (struct str *)(void *)to, why);
	case PARAM_BOOL:
		if (v->type != JSON_BOOL) {
			return refuse(why, "Expecting %s to be a boolean", p->name);
		}
		*(bool *)to = v->boolean;
		return 0;
	default:
		r = texts_take(arena, v, (struct strs *)(void *)to);
		if (r > 0) {
			return refuse(why, "Index %d of %s expected to be string", r - 1, p->name);
		}
		return r ? refuse(why, "Expecting %s to be a string or []string", p->name) : 0;
	}
}

static int type_find(struct str name, enum watch_type *out, struct buf *why)
{
	if (name.n == 0) {
		return refuse(why, "Watch type must be specified");
	}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (str_is(name, types[i].name)) {
			*out = (enum watch_type)i;
			return 0;
		}
	}
	return refuse(why, "Unsupported watch type: " STR_FMT, STR_ARG(name));
}

static int params_take(struct arena *arena, const struct json *v, struct watch *w, struct buf *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
		const struct json *value = json_find(v, params[i].name);

		if (value && params[i].types & 1U << w->type) {
			int r = param_take(arena, &params[i], value, w, why);

			if (r) {
				return r;
			}
		}
	}
	return 0;
}

static int type_check(struct watch *w, struct buf *why)
{
	const struct type_row *row = &types[w->type];

	if (row->required && ((const struct str *)(void *)((char *)w + row->required))->n == 0) {
		return refuse(why, "%s", row->missing);
	}
	if (w->type == WATCH_CHECKS && w->service.n && w->state.n) {
		return refuse(why, "Cannot specify service and state");
	}
	if (w->type == WATCH_CHECKS && !w->service.n && !w->state.n) {
		w->state = STR("any");
	}
	return 0;
}

/* ---- handlers ---- */

static bool headers_are_lists(const struct json *headers)
{
	const struct json *list, *item;

	json_for_each (list, headers) {
		if (list->type != JSON_ARRAY) {
			return false;
		}
		json_for_each (item, list) {
			if (item->type != JSON_STRING) {
				return false;
			}
		}
	}
	return headers->type == JSON_OBJECT;
}

static int http_take(const struct json *v, struct watch *w, struct buf *why)
{
	static const char failed[] = "Failed to parse 'http_handler_config':";
	const struct json *header = json_find_fold(v, "header"),
			  *skip = json_find_fold(v, "tls_skip_verify");
	struct str timeout = STR_NONE;
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	int64_t ns;

	if (v->type != JSON_OBJECT) {
		return refuse(why, "%s expected a map, got '%s'", failed, json_go_type(v));
	}
	w->method = STR("POST");
	if (text_take(json_find_fold(v, "path"), "path", &w->url, &reason) ||
		text_take(json_find_fold(v, "method"), "method", &w->method, &reason) ||
		text_take(json_find_fold(v, "timeout"), "timeout", &timeout, &reason)) {
		return refuse(why, "%s %s", failed, buf_cstr(&reason));
	}
	if (skip && skip->type != JSON_BOOL) {
		return refuse(why, "%s Expecting tls_skip_verify to be a boolean", failed);
	}
	if (header && !headers_are_lists(header)) {
		return refuse(why, "%s Expecting header to be a map of lists of strings", failed);
	}
	if (w->url.n == 0) {
		return refuse(why, "%s Requires 'path' to be set", failed);
	}
	if (w->method.n == 0) {
		w->method = STR("POST");
	}
	w->timeout_ms = WATCH_HTTP_TIMEOUT_MS;
	if (timeout.n) {
		if (duration_parse(timeout, &ns, &reason)) {
			return refuse(
				why, "%s Failed to parse timeout: %s", failed, buf_cstr(&reason));
		}
		w->timeout_ms = max_of(ns / NS_PER_MS, 1);
	}
	w->headers = header;
	w->tls_skip_verify = skip && skip->boolean;
	w->handler = WATCH_HTTP;
	return 0;
}

static int program_take(struct arena *arena, const struct json *v, struct watch *w, struct buf *why)
{
	const struct json *script = json_find(v, "handler"), *args = json_find(v, "args"),
			  *timeout = json_find(v, "timeout");
	bool http = w->handler == WATCH_HTTP;
	int64_t ns;

	if (script && script->type != JSON_STRING) {
		return refuse(why, "Watch handler must be a string");
	}
	if (args && (args->type != JSON_ARRAY || texts_take(arena, args, &w->args))) {
		return refuse(why, "Watch args must be a list of strings");
	}
	if ((script && args) || (http && (script || args))) {
		return refuse(why, "Only one watch handler allowed");
	}
	if (!script && !args && !http) {
		return refuse(why, "Must define a watch handler");
	}
	if (timeout && (http || timeout->type != JSON_STRING)) {
		return refuse(why, "Expecting timeout to be a duration, for a script");
	}
	if (timeout && duration_parse(timeout->text, &ns, why)) {
		return ST_INVALID;
	}
	if (!http) {
		w->timeout_ms = timeout ? max_of(ns / NS_PER_MS, 1) : WATCH_PROGRAM_TIMEOUT_MS;
		w->handler = w->args.count ? WATCH_PROGRAM : WATCH_SHELL;
		w->script = script ? script->text : STR("");
	}
	return 0;
}

/* What is left when everything else has been taken, as Go prints a list. */
static int rest_check(
	const struct json *v, const struct watch *w, bool configuration, struct buf *why)
{
	static const char *const ours[] = { "handler_type", "handler", "args", "timeout" };
	OWN_EMBEDDED(buf_fini) struct buf bad = { 0 };
	const struct json *item;

	json_for_each (item, v) {
		bool known = str_is(item->key, "type");

		for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
			known = known || (params[i].types & 1U << w->type &&
						 str_is(item->key, params[i].name));
		}
		for (size_t i = 0; configuration && i < ARRAY_SIZE(ours); i++) {
			known = known || str_is(item->key, ours[i]);
		}
		known = known ||
			(w->handler == WATCH_HTTP && str_is(item->key, "http_handler_config"));
		if (!known) {
			buf_printf(&bad, "%s" STR_FMT, bad.n ? " " : "", STR_ARG(item->key));
		}
	}
	return bad.n ? refuse(why, "Invalid parameters: [%s]", buf_cstr(&bad)) : 0;
}

static int handler_type_check(const struct json *v, bool *http_out, struct buf *why)
{
	const struct json *type = json_find(v, "handler_type");
	struct str name = type ? type->text : STR("script");

	*http_out = str_is(name, "http");
	if (!*http_out && !str_is(name, "script")) {
		return refuse(why, "Handler type '" STR_FMT "' not recognized", STR_ARG(name));
	}
	return 0;
}

static int configured_check(const struct json *v, bool *http_out, struct buf *why)
{
	struct str type = json_find_text(v, "type");
	int r = handler_type_check(v, http_out, why);

	if (r == 0 && str_starts(type, STR("connect"))) {
		return refuse(why, "Watch type " STR_FMT " is not allowed in agent config",
			STR_ARG(type));
	}
	return r;
}

static int handler_take(const struct json *v, struct watch *w, struct buf *why)
{
	const struct json *http = json_find(v, "http_handler_config");

	return http ? http_take(http, w, why)
		    : refuse(why, "Handler type 'http' requires 'http_handler_config' to be set");
}

int watch_parse(struct arena *arena, const struct json *v, enum watch_source source,
	struct watch *out, struct buf *why)
{
	static const char *const first[] = { "datacenter", "token", "type" };
	bool configuration = source == WATCH_FROM_CONFIGURATION, http = false;
	struct str type = STR_NONE;
	int r = configuration ? configured_check(v, &http, why) : 0;

	*out = (struct watch) { .handler = WATCH_NO_HANDLER };
	for (size_t i = 0; i < ARRAY_SIZE(first) && r == 0; i++) {
		r = text_take(json_find(v, first[i]), first[i], &type, why);
	}
	type = json_find_text(v, "type");
	if (r == 0 && type.n && http) {
		r = handler_take(v, out, why);
	}
	r = r ? r : type_find(type, &out->type, why);
	r = r ? r : params_take(arena, v, out, why);
	r = r ? r : type_check(out, why);
	r = r ? r : rest_check(v, out, configuration, why);
	if (r == 0 && configuration) {
		r = program_take(arena, v, out, why);
	}
	return r;
}

/* ---- comparing ---- */

static void text_put(struct buf *out, struct str s)
{
	buf_put_u64(out, s.n);
	buf_put_str(out, s);
}

static void texts_put(struct buf *out, const struct strs *list)
{
	buf_put_u64(out, list->count);
	for (uint32_t i = 0; i < list->count; i++) {
		text_put(out, list->items[i]);
	}
}

void watch_identity(const struct watch *w, struct buf *out)
{
	buf_put_u8(out, (uint8_t)w->type);
	for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
		const void *value = (const char *)w + params[i].offset;

		switch (params[i].kind) {
		case PARAM_TEXT:
			text_put(out, *(const struct str *)value);
			break;
		case PARAM_BOOL:
			buf_put_u8(out, *(const bool *)value);
			break;
		default:
			texts_put(out, value);
		}
	}
	buf_put_u8(out, (uint8_t)w->handler);
	texts_put(out, &w->args);
	text_put(out, w->script);
	text_put(out, w->url);
	text_put(out, w->method);
	buf_put_u8(out, w->tls_skip_verify);
	buf_put_u64(out, (uint64_t)w->timeout_ms);
	if (w->headers) {
		json_render(out, w->headers);
	}
}

/* ---- asking ---- */

static void query_put(struct buf *out, const char *name, struct str value)
{
	if (value.n) {
		buf_printf(out, "%s%s=", str_find(buf_str(out), '?') < 0 ? "?" : "&", name);
		url_escape(out, value, false);
	}
}

/* A parameter whose presence counts. */
static void mark_put(struct buf *out, const char *name, bool set)
{
	query_put(out, name, set ? STR("1") : STR(""));
}

static void subject_put(const struct watch *w, struct buf *out)
{
	const bool by_state = w->state.n > 0;

	switch (w->type) {
	case WATCH_KEY:
		url_escape(out, w->key, true);
		break;
	case WATCH_KEYPREFIX:
		url_escape(out, w->prefix, true);
		break;
	case WATCH_SERVICE:
		url_escape(out, w->service, false);
		break;
	case WATCH_CHECKS:
		buf_put_cstr(out, by_state ? "state/" : "checks/");
		url_escape(out, by_state ? w->state : w->service, false);
		break;
	case WATCH_AGENT_SERVICE:
		url_escape(out, w->service_id, false);
		break;
	default:
		break;
	}
}

void watch_path(const struct watch *w, uint64_t index, struct buf *out)
{
	buf_put_cstr(out, types[w->type].path);
	subject_put(w, out);
	mark_put(out, "recurse", w->type == WATCH_KEYPREFIX);
	mark_put(out, "passing", w->passing_only);
	for (uint32_t i = 0; i < w->tags.count; i++) {
		query_put(out, "tag", w->tags.items[i]);
	}
	query_put(out, "name", w->name);
	query_put(out, "dc", w->datacenter);
	mark_put(out, "stale", w->stale);
	if (index) {
		bool hash = w->type == WATCH_AGENT_SERVICE;

		buf_printf(out, hash ? "%shash=%llx" : "%sindex=%llu",
			str_find(buf_str(out), '?') < 0 ? "?" : "&", (unsigned long long)index);
	}
}
