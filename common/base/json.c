/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON: yajl's events become a tree in an arena. When yajl refuses, json_why.c finds the
 * words.
 */
#include "common/base/json.h"

#include <yajl/yajl_parse.h>

#include "common/base/err.h"
#include "common/base/json_why.h"

struct builder {
	struct arena *arena;
	struct json *root;
	struct json *open[JSON_DEPTH_MAX]; /* containers being filled, outermost first */
	struct json *last[JSON_DEPTH_MAX]; /* their newest child */
	int depth;
	struct str key;
	yajl_handle parser;
};

static struct json *value_add(struct builder *b, enum json_type type)
{
	struct json *v = arena_new(b->arena, struct json);

	v->type = type;
	v->key = b->key;
	v->offset = (uint32_t)yajl_get_bytes_consumed(b->parser);
	b->key = STR_NONE;
	if (b->depth == 0) {
		b->root = v;
		return v;
	}
	if (b->last[b->depth - 1]) {
		b->last[b->depth - 1]->next = v;
	} else {
		b->open[b->depth - 1]->first = v;
	}
	b->last[b->depth - 1] = v;
	b->open[b->depth - 1]->count++;
	return v;
}

static int on_null(void *ctx)
{
	value_add(ctx, JSON_NULL);
	return 1;
}

static int on_boolean(void *ctx, int value)
{
	value_add(ctx, JSON_BOOL)->boolean = value;
	return 1;
}

static int on_number(void *ctx, const char *p, size_t n)
{
	struct builder *b = ctx;
	struct json *v = value_add(b, JSON_NUMBER);

	v->text = arena_str(b->arena, str_n(p, n));
	return 1;
}

static int on_string(void *ctx, const unsigned char *p, size_t n)
{
	struct builder *b = ctx;
	struct json *v = value_add(b, JSON_STRING);

	v->text = arena_str(b->arena, str_n(p, n));
	return 1;
}

static int on_key(void *ctx, const unsigned char *p, size_t n)
{
	struct builder *b = ctx;

	b->key = arena_str(b->arena, str_n(p, n));
	return 1;
}

static int container_open(struct builder *b, enum json_type type)
{
	struct json *v;

	if (b->depth == JSON_DEPTH_MAX) {
		return 0;
	}
	v = value_add(b, type);
	b->open[b->depth] = v;
	b->last[b->depth] = NULL;
	b->depth++;
	return 1;
}

static int on_object(void *ctx)
{
	return container_open(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
	return container_open(ctx, JSON_ARRAY);
}

static int on_close(void *ctx)
{
	struct builder *b = ctx;

	b->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_close,
	.yajl_start_array = on_array,
	.yajl_end_array = on_close,
};

/* The code unit of the \u escape at p, or -1. */
static int escape_at(const char *p, const char *end)
{
	unsigned char unit[2];

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u' || hex_parse(str_n(p + 2, 4), unit, 2)) {
		return -1;
	}
	return unit[0] << 8 | unit[1];
}

static bool is_surrogate(int unit, int first)
{
	return unit >= first && unit < first + 0x400;
}

/*
 * yajl makes a question mark of half a surrogate pair, Go the replacement character: such an escape
 * becomes \ufffd, of the same length, so that places in the text stay what they are.
 */
static struct str surrogates_mend(struct arena *arena, struct str input)
{
	const char *end = input.p + input.n;
	char *copy = NULL;

	if (!input.n) {
		return input;
	}
	for (const char *p = input.p; (p = memchr(p, '\\', (size_t)(end - p)));) {
		int unit = escape_at(p, end);

		if (unit < 0) {
			p += min_of(2, end - p);
		} else if (is_surrogate(unit, 0xd800) &&
			   is_surrogate(escape_at(p + 6, end), 0xdc00)) {
			p += 12;
		} else {
			if (unit >= 0xd800 && unit < 0xe000) {
				if (!copy) {
					copy = (char *)arena_str(arena, input).p;
				}
				memcpy(copy + (p - input.p), "\\ufffd", 6);
			}
			p += 6;
		}
	}
	return copy ? str_n(copy, input.n) : input;
}

static int parse(
	struct arena *arena, struct str input, bool first, struct json **out, struct buf *why)
{
	struct builder b = { .arena = arena };
	struct str mended = surrogates_mend(arena, input);
	yajl_handle parser = yajl_alloc(&callbacks, NULL, &b);
	yajl_status status;

	must(parser);
	b.parser = parser;
	yajl_config(parser, yajl_dont_validate_strings,
		1); /* Go replaces bad UTF-8 rather than refusing it */
	yajl_config(parser, yajl_allow_trailing_garbage, first ? 1 : 0);
	status = yajl_parse(parser, (const unsigned char *)mended.p, mended.n);
	if (status == yajl_status_ok) {
		status = yajl_complete_parse(parser);
	}
	yajl_free(parser);
	if (status != yajl_status_ok || !b.root) {
		if (why) {
			json_why(input, why);
		}
		return ST_INVALID;
	}
	*out = b.root;
	return 0;
}

int json_parse(struct arena *arena, struct str input, struct json **out, struct buf *why)
{
	return parse(arena, input, false, out, why);
}

int json_parse_first(struct arena *arena, struct str input, struct json **out, struct buf *why)
{
	return parse(arena, input, true, out, why);
}

const struct json *json_find(const struct json *object, const char *key)
{
	const struct json *member;

	if (!object || object->type != JSON_OBJECT) {
		return NULL;
	}
	json_for_each (member, object) {
		if (str_is(member->key, key)) {
			return member;
		}
	}
	return NULL;
}

const struct json *json_find_fold(const struct json *object, const char *key)
{
	const struct json *member, *found = NULL;

	if (!object || object->type != JSON_OBJECT) {
		return NULL;
	}
	json_for_each (member, object) {
		if (str_ieq(member->key, str_of(key))) {
			found = member;
		}
	}
	return found;
}

struct str json_find_text(const struct json *object, const char *key)
{
	const struct json *v = json_find(object, key);

	return v && v->type == JSON_STRING ? v->text : STR_NONE;
}

const char *json_go_type(const struct json *v)
{
	static const char *const names[] = { "null", "bool", "number", "string", "array",
		"object" };

	return names[v->type];
}
