/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration's JSON tree against the tables of keys. conf_tree_check speaks for one file:
 * unknown keys and wrong types with Consul's texts, every fault of the file at once; it also gives
 * keys their proper spelling, so that merging may compare exactly. conf_tree_bind then cannot fail.
 */
#include "common/sys/conf_private.h"

#include "common/base/err.h"

struct check {
	struct conf_builder *b;
	const struct conf_text *text;
	struct conf_faults unknown, wrong; /* of this file */
	struct buf path;		   /* of the value that is looked at */
};

/* Appends ".name" (or "name") for the time of one child; path_pop takes it away. */
static size_t path_push(struct check *c, struct str name)
{
	size_t before = c->path.n;

	if (before) {
		buf_put_char(&c->path, '.');
	}
	buf_put_str(&c->path, name);
	return before;
}

static size_t path_push_index(struct check *c, unsigned index)
{
	size_t before = c->path.n;

	buf_printf(&c->path, "[%u]", index);
	return before;
}

static size_t path_push_key(struct check *c, struct str key)
{
	size_t before = c->path.n;

	buf_printf(&c->path, "[" STR_FMT "]", STR_ARG(key));
	return before;
}

static int line_of(const struct check *c, const struct json *v)
{
	return conf_line(c->text, v->offset);
}

static const char *go_type(const struct json *v)
{
	static const char *const names[] = { "nil", "bool", "float64", "string", "[]interface {}",
		"map[string]interface {}" };

	return names[v->type];
}

static const char *go_kind(const struct json *v)
{
	static const char *const names[] = { "nil", "bool", "float64", "string", "slice", "map" };

	return names[v->type];
}

static void scalar_wrong(struct check *c, const struct json *v, const char *expected)
{
	conf_fault(c->b, &c->wrong,
		"'%s' expected type '%s', got unconvertible type '%s' (line %d)",
		buf_cstr(&c->path), expected, go_type(v), line_of(c, v));
}

static void map_wrong(struct check *c, const struct json *v)
{
	conf_fault(c->b, &c->wrong, "'%s' expected a map, got '%s' (line %d)", buf_cstr(&c->path),
		go_kind(v), line_of(c, v));
}

static void list_wrong(struct check *c, const struct json *v)
{
	conf_fault(c->b, &c->wrong, "'%s': source data must be an array or slice, got %s (line %d)",
		buf_cstr(&c->path), go_kind(v), line_of(c, v));
}

/* A value that has the right type and is wrong all the same: told when all files are read. */
static void value_wrong(struct check *c, const struct json *v, struct str reason)
{
	OWN_EMBEDDED(buf_fini) struct buf where = { 0 };

	conf_where(c->b, v->offset, &where);
	conf_fault(c->b, &c->b->faults, "%s: " STR_FMT STR_FMT, buf_cstr(&c->path), STR_ARG(reason),
		STR_ARG(buf_str(&where)));
}

static void text_check(struct check *c, const struct json *v)
{
	if (v->type != JSON_STRING) {
		scalar_wrong(c, v, "string");
	} else if (memchr(v->text.p, 0, v->text.n)) {
		value_wrong(c, v, STR("contains a NUL byte"));
	}
}

static int64_t number_of(const struct json *v)
{
	double d = strtod(v->text.p, NULL);

	return d > 9e18 ? INT64_MAX : d < -9e18 ? INT64_MIN : (int64_t)d;
}

static void number_check(struct check *c, const struct json *v, enum conf_type type)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	int64_t n;

	if (v->type != JSON_NUMBER) {
		scalar_wrong(c, v, type == KEY_FLOAT ? "float64" : "int");
		return;
	}
	n = number_of(v);
	if (type == KEY_PORT && (n < -1 || n > 65535)) {
		buf_printf(&reason, "invalid port: %lld", (long long)n);
		value_wrong(c, v, buf_str(&reason));
	}
}

static void duration_check(struct check *c, const struct json *v)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	int64_t ns;

	text_check(c, v);
	if (v->type != JSON_STRING || v->text.n == 0) {
		return;
	}
	buf_printf(&reason, "invalid duration: \"" STR_FMT "\": ", STR_ARG(v->text));
	if (duration_parse(v->text, &ns, &reason)) {
		value_wrong(c, v, buf_str(&reason));
	}
}

static void texts_check(struct check *c, const struct json *v)
{
	const struct json *item;
	unsigned at = 0;

	if (v->type != JSON_ARRAY) {
		list_wrong(c, v);
		return;
	}
	json_for_each (item, v) {
		size_t before = path_push_index(c, at++);

		text_check(c, item);
		c->path.n = before;
	}
}

static void pairs_check(struct check *c, const struct json *v, bool lists)
{
	const struct json *item;

	if (v->type != JSON_OBJECT) {
		map_wrong(c, v);
		return;
	}
	json_for_each (item, v) {
		size_t before = path_push_key(c, item->key);

		if (lists) {
			texts_check(c, item);
		} else {
			text_check(c, item);
		}
		c->path.n = before;
	}
}

static void object_check(struct check *c, const struct conf_schema *schema, struct json *v);

static void objects_check(struct check *c, const struct conf_schema *schema, struct json *v)
{
	unsigned at = 0;

	if (v->type != JSON_ARRAY) {
		list_wrong(c, v);
		return;
	}
	for (struct json *item = v->first; item; item = item->next) {
		size_t before = path_push_index(c, at++);

		if (item->type != JSON_OBJECT) {
			map_wrong(c, item);
		} else if (schema) {
			object_check(c, schema, item);
		}
		c->path.n = before;
	}
}

/* HCL's habit of writing an object as a list of one is allowed in JSON too. */
static void list_of_one_unwrap(struct json *v)
{
	if (v->type == JSON_ARRAY && v->count == 1 && v->first->type == JSON_OBJECT) {
		struct json *only = v->first;

		v->type = JSON_OBJECT;
		v->count = only->count;
		v->first = only->first;
	}
}

static void value_check(struct check *c, const struct conf_key *key, struct json *v)
{
	switch (key->type) {
	case KEY_TEXT:
		text_check(c, v);
		break;
	case KEY_BOOL:
		if (v->type != JSON_BOOL) {
			scalar_wrong(c, v, "bool");
		}
		break;
	case KEY_INT:
	case KEY_FLOAT:
	case KEY_PORT:
		number_check(c, v, key->type);
		break;
	case KEY_DURATION:
		duration_check(c, v);
		break;
	case KEY_TEXTS:
		texts_check(c, v);
		break;
	case KEY_PAIRS:
	case KEY_MULTI:
		list_of_one_unwrap(v);
		pairs_check(c, v, key->type == KEY_MULTI);
		break;
	case KEY_OBJECT:
		list_of_one_unwrap(v);
		object_check(c, key->inner, v);
		break;
	case KEY_OBJECTS:
		objects_check(c, key->inner, v);
		break;
	case KEY_ANY:
		break;
	}
}

static void object_check(struct check *c, const struct conf_schema *schema, struct json *v)
{
	if (v->type != JSON_OBJECT) {
		map_wrong(c, v);
		return;
	}
	for (struct json *member = v->first; member; member = member->next) {
		const struct conf_key *key = conf_key_find(schema, member->key);
		size_t before = path_push(c, member->key);

		if (!key) {
			conf_fault(c->b, &c->unknown, "invalid config key %s (line %d)",
				buf_cstr(&c->path), line_of(c, member));
		} else {
			member->key = str_of(key->name);
			if (member->type != JSON_NULL) {
				value_check(c, key, member);
			}
		}
		c->path.n = before;
	}
}

int conf_tree_check(struct conf_builder *b, const struct conf_text *t, struct json *tree)
{
	struct check c = { .b = b, .text = t };

	object_check(&c, &conf_schema, tree);
	buf_fini(&c.path);
	if (c.wrong.count) {
		buf_printf(b->why, "failed to parse " STR_FMT ": %zu error(s) decoding:\n\n",
			STR_ARG(t->path), c.wrong.count);
		for (size_t i = 0; i < c.wrong.count; i++) {
			buf_printf(
				b->why, "%s* " STR_FMT, i ? "\n" : "", STR_ARG(c.wrong.items[i]));
		}
		return ST_INVALID;
	}
	if (c.unknown.count) {
		buf_printf(b->why, "failed to parse " STR_FMT ": ", STR_ARG(t->path));
		conf_faults_render(&c.unknown, b->why);
		return ST_INVALID;
	}
	return 0;
}

/* ---- filling struct conf ---- */

static void texts_bind(struct conf *c, const struct json *v, struct strs *out)
{
	const struct json *item;

	*out = (struct strs) { arena_array(&c->arena, struct str, v->count), 0, true };
	json_for_each (item, v) {
		if (item->type == JSON_STRING) {
			out->items[out->count++] = item->text;
		}
	}
}

static void pairs_bind(struct conf *c, const struct json *v, struct pairs *out)
{
	const struct json *item;

	*out = (struct pairs) { arena_array(&c->arena, struct pair, v->count), 0, true };
	json_for_each (item, v) {
		if (item->type == JSON_STRING) {
			out->items[out->count++] = (struct pair) { item->key, item->text };
		}
	}
	pairs_sort(out);
}

static void objects_bind(struct conf *c, const struct json *v, struct bind_list *out)
{
	const struct json **items = arena_array(&c->arena, const struct json *, v->count), *item;

	*out = (struct bind_list) { items, 0, true };
	json_for_each (item, v) {
		items[out->count++] = item;
	}
}

static void value_bind(struct conf *c, const struct conf_key *key, const struct json *v)
{
	void *at = (char *)c + key->offset;

	switch (key->type) {
	case KEY_TEXT:
		*(struct str *)at = v->text;
		break;
	case KEY_BOOL:
		*(bool *)at = v->boolean;
		break;
	case KEY_INT:
	case KEY_PORT:
		*(int64_t *)at = number_of(v);
		break;
	case KEY_DURATION:
		if (duration_parse(v->text, at, NULL)) {
			*(int64_t *)at = 0; /* "": not set */
		}
		break;
	case KEY_TEXTS:
		texts_bind(c, v, at);
		break;
	case KEY_PAIRS:
		pairs_bind(c, v, at);
		break;
	case KEY_OBJECTS:
		objects_bind(c, v, at);
		break;
	case KEY_FLOAT:
	case KEY_MULTI:
	case KEY_OBJECT:
	case KEY_ANY:
		must(!"a key of this type has no field");
	}
}

void conf_tree_bind(struct conf *c, const struct conf_schema *schema, const struct json *tree)
{
	for (size_t i = 0; i < schema->keys_count; i++) {
		const struct conf_key *key = &schema->keys[i];
		const struct json *v = json_find(tree, key->name);

		if (!v || v->type == JSON_NULL) {
			continue;
		}
		if (key->offset != KEY_UNUSED) {
			value_bind(c, key, v);
		} else if (key->type == KEY_OBJECT) {
			conf_tree_bind(c, key->inner, v);
		}
	}
}
