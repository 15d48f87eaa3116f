/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of definitions in configuration files: every unknown key, else every wrong type, else
 * every bad duration is reported in one message, in the words that Consul's users know. Walks the
 * same rows that bind later.
 */
#include "common/base/err.h"
#include "common/client/definition_rows.h"

struct shape {
	struct arena *arena;
	struct buf text; /* one line each, already indented */
	int count;
	enum { LOOK_KEYS, LOOK_TYPES, LOOK_DURATIONS } look;
};

static void fault_add(struct shape *s, const char *format, ...) PRINTF_LIKE(2, 3);
static void fault_add(struct shape *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_put_cstr(&s->text, s->look == LOOK_TYPES ? "\n* " : "\n\t* ");
	buf_vprintf(&s->text, format, args);
	va_end(args);
	s->count++;
}

static const char *kind_of(const struct json *v)
{
	static const char *const words[] = {
		[JSON_NULL] = "nil",
		[JSON_BOOL] = "bool",
		[JSON_NUMBER] = "float64",
		[JSON_STRING] = "string",
		[JSON_ARRAY] = "[]interface {}",
		[JSON_OBJECT] = "map[string]interface {}",
	};

	return words[v->type];
}

static void type_check(
	struct shape *s, const char *path, const struct json *v, enum json_type wanted)
{
	static const char *const words[] = {
		[JSON_BOOL] = "bool", [JSON_NUMBER] = "int", [JSON_STRING] = "string"
	};

	if (s->look != LOOK_TYPES || v->type == wanted || v->type == JSON_NULL) {
		return;
	}
	if (wanted == JSON_ARRAY) {
		fault_add(s, "'%s': source data must be an array or slice, got %s", path,
			v->type == JSON_OBJECT ? "map" : kind_of(v));
	} else if (wanted == JSON_OBJECT) {
		fault_add(s, "'%s' expected a map, got '%s'", path, kind_of(v));
	} else {
		fault_add(s, "'%s' expected type '%s', got unconvertible type '%s'", path,
			words[wanted], kind_of(v));
	}
}

static const char *path_member(struct shape *s, const char *path, struct str key)
{
	return arena_printf(s->arena, "%s." STR_FMT, path, STR_ARG(key)).p;
}

static const char *path_element(struct shape *s, const char *path, struct str key)
{
	return arena_printf(s->arena, "%s[" STR_FMT "]", path, STR_ARG(key)).p;
}

static void strings_walk(struct shape *s, const char *path, const struct json *v)
{
	const struct json *item;
	int at = 0;

	type_check(s, path, v, JSON_ARRAY);
	for (item = v->type == JSON_ARRAY ? v->first : NULL; item; item = item->next) {
		type_check(s, arena_printf(s->arena, "%s[%d]", path, at++).p, item, JSON_STRING);
	}
}

static void map_walk(struct shape *s, const char *path, const struct json *v, enum bind_type type)
{
	const struct json *item;

	type_check(s, path, v, JSON_OBJECT);
	for (item = v->type == JSON_OBJECT ? v->first : NULL; item; item = item->next) {
		const char *below = path_element(s, path, item->key);

		if (type == BIND_PAIRS) {
			type_check(s, below, item, JSON_STRING);
		} else {
			strings_walk(s, below, item);
		}
	}
}

static void duration_check(
	struct shape *s, const struct json *object, struct str key, const struct json *v)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct str id = json_find_text(object, "id");
	int64_t ns;

	if (s->look == LOOK_DURATIONS && v->type == JSON_STRING &&
		duration_parse(v->text, &ns, &why)) {
		fault_add(s,
			"check[" STR_FMT "]." STR_FMT ": invalid duration: \"" STR_FMT "\": %s",
			STR_ARG(id), STR_ARG(key), STR_ARG(v->text), buf_cstr(&why));
	}
}

static void object_walk(
	struct shape *s, const char *path, const struct json *v, const struct bind_object *rows);

static void tagged_walk(struct shape *s, const char *path, const struct json *v)
{
	const struct json *item;

	type_check(s, path, v, JSON_OBJECT);
	for (item = v->type == JSON_OBJECT ? v->first : NULL; item; item = item->next) {
		object_walk(s, path_element(s, path, item->key), item, &tagged_address_rows);
	}
}

static void objects_walk(
	struct shape *s, const char *path, const struct json *v, const struct bind_object *rows)
{
	const struct json *item;
	int at = 0;

	type_check(s, path, v, JSON_ARRAY);
	for (item = v->type == JSON_ARRAY ? v->first : NULL; item; item = item->next) {
		object_walk(s, arena_printf(s->arena, "%s[%d]", path, at++).p, item, rows);
	}
}

static void field_walk(struct shape *s, const char *path, const struct json *object,
	const struct json *v, const struct bind_field *f)
{
	switch (f->type) {
	case BIND_STR:
		type_check(s, path, v, JSON_STRING);
		return;
	case BIND_DURATION:
		type_check(s, path, v, JSON_STRING);
		duration_check(s, object, v->key, v);
		return;
	case BIND_BOOL:
		type_check(s, path, v, JSON_BOOL);
		return;
	case BIND_INT:
		type_check(s, path, v, JSON_NUMBER);
		return;
	case BIND_STRS:
		strings_walk(s, path, v);
		return;
	case BIND_PAIRS:
	case BIND_MULTI:
		map_walk(s, path, v, f->type);
		return;
	case BIND_OBJECT:
	case BIND_POINTER:
		object_walk(s, path, v, f->object);
		return;
	case BIND_OBJECTS:
		objects_walk(s, path, v, f->object);
		return;
	default: /* free-form, except for the one that has rows of its own */
		if (str_is(v->key, "tagged_addresses")) {
			tagged_walk(s, path, v);
		}
	}
}

static const struct bind_field *field_of(const struct bind_object *rows, struct str key)
{
	for (uint32_t i = 0; i < rows->fields_count; i++) {
		if (str_ieq(key, str_of(rows->fields[i].name))) {
			return &rows->fields[i];
		}
	}
	return NULL;
}

static void object_walk(
	struct shape *s, const char *path, const struct json *v, const struct bind_object *rows)
{
	const struct json *item;

	type_check(s, path, v, JSON_OBJECT);
	for (item = v->type == JSON_OBJECT ? v->first : NULL; item; item = item->next) {
		const struct bind_field *f = field_of(rows, item->key);
		const char *below = path_member(s, path, item->key);

		if (f) {
			field_walk(s, below, v, item, f);
		} else if (s->look == LOOK_KEYS && !rows->ignore_unknown) {
			fault_add(s, "invalid config key %s", below);
		}
	}
}

static struct str shape_text(struct shape *s)
{
	if (s->look == LOOK_TYPES) {
		return arena_printf(
			s->arena, "%d error(s) decoding:\n%s", s->count, buf_cstr(&s->text));
	}
	return arena_printf(s->arena, "%d error%s occurred:%s\n\n", s->count,
		s->count == 1 ? "" : "s", buf_cstr(&s->text));
}

int definition_file_shape(struct arena *arena, bool is_service, const char *path,
	const struct json *v, struct result *error)
{
	/* Wrong types stop Consul's decoder before it looks for unknown keys; durations come last.
	 */
	static const int order[] = { LOOK_TYPES, LOOK_KEYS, LOOK_DURATIONS };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		struct shape s = { .arena = arena, .look = order[i] };

		object_walk(&s, path, v, is_service ? &service_file_rows : &check_file_rows);
		if (s.count) {
			*error = (struct result) { .kind = RESULT_BAD, .text = shape_text(&s) };
			buf_fini(&s.text);
			return ST_INVALID;
		}
	}
	return 0;
}
