/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers as handlers of watches get them. Consul decodes an answer into the structs of its client
 * library and encodes those again: fields come in the library's order, what the answer lacks has
 * its zero value, and what the library does not know is gone. A row per field of a struct.
 */
#include "common/base/err.h"
#include "common/client/watch.h"

enum shape_kind {
	SHAPE_TEXT,
	SHAPE_NUMBER,
	SHAPE_BOOL,
	SHAPE_DURATION, /* a text; "0s" when absent */
	SHAPE_PLAIN,	/* what has no struct, as it is: lists and maps of strings, bytes */
	SHAPE_STRUCT,	/* inner, with all fields even when absent */
	SHAPE_POINTER,	/* inner, or null */
	SHAPE_LIST,	/* of inner */
	SHAPE_MAP,	/* name -> inner */
};

struct shape;

struct shape_field {
	const char *name;
	enum shape_kind kind;
	bool omitted; /* where its value is the zero value */
	const struct shape *inner;
};

struct shape {
	const struct shape_field *fields;
	size_t count;
};

#define SHAPE(array)                       \
	{                                  \
		(array), ARRAY_SIZE(array) \
	}

static const struct shape_field key_fields[] = {
	{ "Key", SHAPE_TEXT },
	{ "CreateIndex", SHAPE_NUMBER },
	{ "ModifyIndex", SHAPE_NUMBER },
	{ "LockIndex", SHAPE_NUMBER },
	{ "Flags", SHAPE_NUMBER },
	{ "Value", SHAPE_PLAIN },
	{ "Session", SHAPE_TEXT },
	{ "Namespace", SHAPE_TEXT, true },
};
static const struct shape key_shape = SHAPE(key_fields);

static const struct shape_field node_fields[] = {
	{ "ID", SHAPE_TEXT },
	{ "Node", SHAPE_TEXT },
	{ "Address", SHAPE_TEXT },
	{ "Datacenter", SHAPE_TEXT },
	{ "TaggedAddresses", SHAPE_PLAIN },
	{ "Meta", SHAPE_PLAIN },
	{ "CreateIndex", SHAPE_NUMBER },
	{ "ModifyIndex", SHAPE_NUMBER },
};
static const struct shape node_shape = SHAPE(node_fields);

static const struct shape_field address_fields[] = {
	{ "Address", SHAPE_TEXT },
	{ "Port", SHAPE_NUMBER },
};
static const struct shape address_shape = SHAPE(address_fields);

static const struct shape_field weights_fields[] = {
	{ "Passing", SHAPE_NUMBER },
	{ "Warning", SHAPE_NUMBER },
};
static const struct shape weights_shape = SHAPE(weights_fields);

static const struct shape_field service_fields[] = {
	{ "Kind", SHAPE_TEXT, true },
	{ "ID", SHAPE_TEXT },
	{ "Service", SHAPE_TEXT },
	{ "Tags", SHAPE_PLAIN },
	{ "Meta", SHAPE_PLAIN },
	{ "Port", SHAPE_NUMBER },
	{ "Address", SHAPE_TEXT },
	{ "TaggedAddresses", SHAPE_MAP, true, &address_shape },
	{ "Weights", SHAPE_STRUCT, false, &weights_shape },
	{ "EnableTagOverride", SHAPE_BOOL },
	{ "CreateIndex", SHAPE_NUMBER, true },
	{ "ModifyIndex", SHAPE_NUMBER, true },
	{ "ContentHash", SHAPE_TEXT, true },
	{ "Proxy", SHAPE_PLAIN, true },
	{ "Connect", SHAPE_PLAIN, true },
	{ "Namespace", SHAPE_TEXT, true },
};
static const struct shape service_shape = SHAPE(service_fields);

static const struct shape_field definition_fields[] = {
	{ "Interval", SHAPE_DURATION },
	{ "Timeout", SHAPE_DURATION },
	{ "DeregisterCriticalServiceAfter", SHAPE_DURATION },
	{ "HTTP", SHAPE_TEXT },
	{ "Header", SHAPE_PLAIN },
	{ "Method", SHAPE_TEXT },
	{ "Body", SHAPE_TEXT },
	{ "TLSSkipVerify", SHAPE_BOOL },
	{ "TCP", SHAPE_TEXT },
};
static const struct shape definition_shape = SHAPE(definition_fields);

static const struct shape_field check_fields[] = {
	{ "Node", SHAPE_TEXT },
	{ "CheckID", SHAPE_TEXT },
	{ "Name", SHAPE_TEXT },
	{ "Status", SHAPE_TEXT },
	{ "Notes", SHAPE_TEXT },
	{ "Output", SHAPE_TEXT },
	{ "ServiceID", SHAPE_TEXT },
	{ "ServiceName", SHAPE_TEXT },
	{ "ServiceTags", SHAPE_PLAIN },
	{ "Type", SHAPE_TEXT },
	{ "Namespace", SHAPE_TEXT, true },
	{ "Definition", SHAPE_STRUCT, false, &definition_shape },
	{ "CreateIndex", SHAPE_NUMBER },
	{ "ModifyIndex", SHAPE_NUMBER },
};
static const struct shape check_shape = SHAPE(check_fields);

static const struct shape_field entry_fields[] = {
	{ "Node", SHAPE_POINTER, false, &node_shape },
	{ "Service", SHAPE_POINTER, false, &service_shape },
	{ "Checks", SHAPE_LIST, false, &check_shape },
};
static const struct shape entry_shape = SHAPE(entry_fields);

static const struct shape_field event_fields[] = {
	{ "ID", SHAPE_TEXT },
	{ "Name", SHAPE_TEXT },
	{ "Payload", SHAPE_PLAIN },
	{ "NodeFilter", SHAPE_TEXT },
	{ "ServiceFilter", SHAPE_TEXT },
	{ "TagFilter", SHAPE_TEXT },
	{ "Version", SHAPE_NUMBER },
	{ "LTime", SHAPE_NUMBER },
};
static const struct shape event_shape = SHAPE(event_fields);

/* The whole answers. */
static const struct shape_field answers[] = {
	[WATCH_KEY] = { "", SHAPE_POINTER, false, &key_shape },
	[WATCH_KEYPREFIX] = { "", SHAPE_LIST, false, &key_shape },
	[WATCH_SERVICES] = { "", SHAPE_PLAIN },
	[WATCH_NODES] = { "", SHAPE_LIST, false, &node_shape },
	[WATCH_SERVICE] = { "", SHAPE_LIST, false, &entry_shape },
	[WATCH_CHECKS] = { "", SHAPE_LIST, false, &check_shape },
	[WATCH_EVENT] = { "", SHAPE_LIST, false, &event_shape },
	[WATCH_AGENT_SERVICE] = { "", SHAPE_POINTER, false, &service_shape },
};

static void value_put(struct jsonw *w, const struct shape_field *f, const struct json *v);

static bool is_zero(const struct json *v)
{
	switch (v ? v->type : JSON_NULL) {
	case JSON_BOOL:
		return !v->boolean;
	case JSON_NUMBER:
		return str_is(v->text, "0");
	case JSON_STRING:
		return v->text.n == 0;
	case JSON_ARRAY:
		return v->count == 0;
	case JSON_OBJECT:
		return false;
	default:
		return true;
	}
}

static void object_put(struct jsonw *w, const struct shape *shape, const struct json *v)
{
	jsonw_open(w, '{');
	for (size_t i = 0; i < shape->count; i++) {
		const struct shape_field *f = &shape->fields[i];
		const struct json *value = v ? json_find(v, f->name) : NULL;
		bool empty_map = f->kind == SHAPE_MAP && value && value->count == 0;

		if (!f->omitted || (!is_zero(value) && !empty_map)) {
			jsonw_key(w, str_of(f->name));
			value_put(w, f, value);
		}
	}
	jsonw_close(w, '}');
}

static void items_put(struct jsonw *w, const struct shape_field *f, const struct json *v)
{
	const struct json *item;
	bool list = f->kind == SHAPE_LIST;

	jsonw_open(w, list ? '[' : '{');
	json_for_each (item, v) {
		if (!list) {
			jsonw_key(w, item->key);
		}
		object_put(w, f->inner, item);
	}
	jsonw_close(w, list ? ']' : '}');
}

static void plain_put(struct jsonw *w, const struct json *v)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	json_render(&text, v);
	jsonw_raw(w, buf_str(&text));
}

static void value_put(struct jsonw *w, const struct shape_field *f, const struct json *v)
{
	bool text = v && v->type == JSON_STRING;

	v = v && v->type == JSON_NULL ? NULL : v;
	switch (f->kind) {
	case SHAPE_TEXT:
		jsonw_str(w, text ? v->text : STR(""));
		break;
	case SHAPE_DURATION:
		jsonw_str(w, text && v->text.n ? v->text : STR("0s"));
		break;
	case SHAPE_NUMBER:
		jsonw_raw(w, v && v->type == JSON_NUMBER ? v->text : STR("0"));
		break;
	case SHAPE_BOOL:
		jsonw_bool(w, v && v->type == JSON_BOOL && v->boolean);
		break;
	case SHAPE_STRUCT:
		object_put(w, f->inner, v);
		break;
	default:
		if (!v) {
			jsonw_null(w);
		} else if (f->kind == SHAPE_PLAIN) {
			plain_put(w, v);
		} else if (f->kind == SHAPE_POINTER) {
			object_put(w, f->inner, v);
		} else {
			items_put(w, f, v);
		}
	}
}

/* ---- answers ---- */

/* Cuts off what the handler has had already. */
static void events_prune(struct json *list, uint64_t after)
{
	struct json *item;
	uint32_t passed = 0;

	for (item = list->first; item; item = item->next) {
		struct uuid id;

		passed++;
		if (uuid_parse(json_find_text(item, "ID"), &id) == 0 && uuid_fold(&id) == after) {
			list->first = item->next;
			list->count -= passed;
			return;
		}
	}
}

/* ContentHash: a number in hexadecimal digits, without leading zeros. */
static uint64_t hash_of(const struct json *service)
{
	char digits[17] = "";
	struct str text = json_find_text(service, "ContentHash");

	if (text.n < sizeof(digits)) {
		memcpy(digits, text.p ? text.p : "", text.n);
	}
	return strtoull(digits, NULL, 16);
}

static int answer_wrong(struct buf *why, int status, struct str body)
{
	buf_printf(why, "Unexpected response code: %d (" STR_FMT ")", status, STR_ARG(body));
	return ST_INVALID;
}

int watch_result(const struct watch *w, int status, struct str body, uint64_t after,
	uint64_t *index, struct buf *out, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	bool keys = w->type == WATCH_KEY || w->type == WATCH_KEYPREFIX;
	const struct shape_field *answer = &answers[w->type];
	struct jsonw writer = jsonw_of(out);
	struct json *tree = NULL;

	if (status != 200 && !(keys && status == 404)) {
		return answer_wrong(why, status, body);
	}
	if (status == 200 && json_parse(&arena, body, &tree, why)) {
		return ST_INVALID;
	}
	if (tree && w->type == WATCH_KEY) {
		tree = tree->first; /* of a list of one */
	}
	if (tree && w->type == WATCH_EVENT) {
		events_prune(tree, after);
	}
	if (tree && w->type == WATCH_AGENT_SERVICE) {
		*index = hash_of(tree);
	}
	value_put(&writer, answer, tree);
	return 0;
}
