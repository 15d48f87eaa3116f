/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table-driven binding of JSON to structs.
 */
#include "common/base/bind.h"

#include "common/base/err.h"

struct binding {
	const struct bind_object *object;
	const struct bind_field *field;
	struct arena *arena;
	struct buf *why;
};

static const char *go_type_of(const struct bind_field *f)
{
	static const char *const names[] = {
		[BIND_STR] = "string",
		[BIND_BOOL] = "bool",
		[BIND_INT] = "int",
		[BIND_U64] = "uint64",
		[BIND_DURATION] = "time.Duration",
		[BIND_STRS] = "[]string",
		[BIND_PAIRS] = "map[string]string",
		[BIND_MULTI] = "map[string][]string",
		[BIND_BASE64] = "[]uint8",
		[BIND_OBJECTS] = "[]",
	};

	if (f->go_type) {
		return f->go_type;
	}
	if (f->object) {
		return f->object->go_value ? f->object->go_value : f->object->go_name;
	}
	return f->type < ARRAY_SIZE(names) && names[f->type] ? names[f->type] : "value";
}

static int wrong_type(const struct binding *b, const struct json *v, const char *go_type)
{
	if (b->why) {
		buf_printf(b->why, "json: cannot unmarshal %s", json_go_type(v));
		if (v->type == JSON_NUMBER) {
			bool integer = b->field->type == BIND_INT || b->field->type == BIND_U64 ||
				       b->field->type == BIND_DURATION;

			if (integer) {
				buf_printf(b->why, " " STR_FMT, STR_ARG(v->text));
			}
		}
		buf_printf(b->why, " into Go struct field %s.%s of type %s", b->object->go_name,
			b->field->name, go_type);
	}
	return ST_INVALID;
}

static int bind_text(
	const struct binding *b, const struct json *v, const char *go_type, struct str *out)
{
	if (v->type != JSON_STRING) {
		return wrong_type(b, v, go_type);
	}
	*out = v->text;
	return 0;
}

static int bind_str(const struct binding *b, const struct json *v, struct str *out)
{
	return bind_text(b, v, b->field->go_type ? b->field->go_type : "string", out);
}

static int bind_bool(const struct binding *b, const struct json *v, bool *out)
{
	if (v->type != JSON_BOOL) {
		return wrong_type(b, v, "bool");
	}
	*out = v->boolean;
	return 0;
}

static int bind_int(const struct binding *b, const struct json *v, int64_t *out)
{
	if (v->type != JSON_NUMBER || str_to_i64(v->text, out)) {
		return wrong_type(b, v, go_type_of(b->field));
	}
	return 0;
}

static int bind_u64(const struct binding *b, const struct json *v, uint64_t *out)
{
	if (v->type != JSON_NUMBER || str_to_u64(v->text, out)) {
		return wrong_type(b, v, go_type_of(b->field));
	}
	return 0;
}

static int bind_duration(const struct binding *b, const struct json *v, int64_t *out)
{
	if (v->type == JSON_STRING) {
		return duration_parse(v->text, out, b->why);
	}
	return bind_int(b, v, out);
}

static int bind_strs(const struct binding *b, const struct json *v, struct strs *out)
{
	const char *go_type = go_type_of(b->field);
	const struct json *item;
	uint32_t at = 0;

	if (v->type != JSON_ARRAY) {
		return wrong_type(b, v, go_type);
	}
	*out = (struct strs) { arena_array(b->arena, struct str, v->count), v->count, true };
	json_for_each (item, v) {
		int r = item->type == JSON_NULL
				? 0
				: bind_text(b, item, go_type + 2, &out->items[at]); /* [] */

		if (r) {
			return r;
		}
		at++;
	}
	return 0;
}

bool strs_has(const struct strs *list, struct str s)
{
	for (uint32_t i = 0; i < list->count; i++) {
		if (str_eq(list->items[i], s)) {
			return true;
		}
	}
	return false;
}

void strs_render(struct jsonw *w, struct strs v, bool nulls)
{
	if (!v.present && nulls) {
		jsonw_null(w);
		return;
	}
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < v.count; i++) {
		jsonw_str(w, v.items[i]);
	}
	jsonw_close(w, ']');
}

void pairs_render(struct jsonw *w, struct pairs v, bool nulls)
{
	if (!v.present && nulls) {
		jsonw_null(w);
		return;
	}
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < v.count; i++) {
		jsonw_key(w, v.items[i].key);
		jsonw_str(w, v.items[i].value);
	}
	jsonw_close(w, '}');
}

static int pair_cmp(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return str_cmp(x->key, y->key);
}

void pairs_sort(struct pairs *pairs)
{
	uint32_t kept = 0;

	if (pairs->count == 0) {
		return;
	}
	qsort(pairs->items, pairs->count, sizeof(pairs->items[0]), pair_cmp);
	for (uint32_t i = 0; i < pairs->count; i++) {
		if (kept && str_eq(pairs->items[kept - 1].key, pairs->items[i].key)) {
			kept--; /* a repeated key: the later value */
		}
		pairs->items[kept++] = pairs->items[i];
	}
	pairs->count = kept;
}

struct str pairs_find(const struct pairs *pairs, struct str key)
{
	for (uint32_t i = 0; i < pairs->count; i++) {
		if (str_eq(pairs->items[i].key, key)) {
			return pairs->items[i].value;
		}
	}
	return STR_NONE;
}

static int bind_pairs(const struct binding *b, const struct json *v, struct pairs *out)
{
	const struct json *item;
	uint32_t at = 0;

	if (v->type != JSON_OBJECT) {
		return wrong_type(b, v, "map[string]string");
	}
	*out = (struct pairs) { arena_array(b->arena, struct pair, v->count), v->count, true };
	json_for_each (item, v) {
		int r = item->type == JSON_NULL ? 0 : bind_str(b, item, &out->items[at].value);

		if (r) {
			return r;
		}
		out->items[at++].key = item->key;
	}
	pairs_sort(out);
	return 0;
}

static int bind_multi(const struct binding *b, const struct json *v, const struct json **out)
{
	const struct json *list, *item;
	struct str ignored;

	if (v->type != JSON_OBJECT) {
		return wrong_type(b, v, "map[string][]string");
	}
	json_for_each (list, v) {
		if (list->type != JSON_ARRAY) {
			return wrong_type(b, list, "[]string");
		}
		json_for_each (item, list) {
			int r = bind_str(b, item, &ignored);

			if (r) {
				return r;
			}
		}
	}
	*out = v;
	return 0;
}

static int bind_base64(const struct binding *b, const struct json *v, struct str *out)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	size_t bad_at;

	if (v->type != JSON_STRING) {
		return wrong_type(b, v, "[]uint8");
	}
	if (base64_parse(v->text, &bytes, &bad_at)) {
		if (b->why) {
			buf_printf(b->why, "illegal base64 data at input byte %zu", bad_at);
		}
		return ST_INVALID;
	}
	*out = arena_str(b->arena, buf_str(&bytes));
	return 0;
}

static int bind_objects(const struct binding *b, const struct json *v, struct bind_list *out)
{
	const struct json *item;
	char *at;

	if (v->type != JSON_ARRAY) {
		return wrong_type(b, v, go_type_of(b->field));
	}
	at = arena_alloc_array(b->arena, v->count, b->field->object->size);
	*out = (struct bind_list) { at, v->count, true };
	json_for_each (item, v) {
		const char *go_type = go_type_of(b->field);
		int r;

		if (item->type != JSON_OBJECT && item->type != JSON_NULL &&
			strncmp(go_type, "[]", 2) == 0 && go_type[2]) {
			return wrong_type(b, item, go_type + 2);
		}
		r = bind_object(b->field->object, item, b->arena, at, b->why);
		if (r) {
			return r;
		}
		at += b->field->object->size;
	}
	return 0;
}

static int bind_pointer(const struct binding *b, const struct json *v, void **out)
{
	if (v->type != JSON_OBJECT) {
		return wrong_type(b, v, go_type_of(b->field));
	}
	*out = arena_alloc(b->arena, b->field->object->size);
	return bind_object(b->field->object, v, b->arena, *out, b->why);
}

static int bind_field(const struct binding *b, const struct json *v, void *at)
{
	switch (b->field->type) {
	case BIND_STR:
		return bind_str(b, v, at);
	case BIND_BOOL:
		return bind_bool(b, v, at);
	case BIND_INT:
		return bind_int(b, v, at);
	case BIND_U64:
		return bind_u64(b, v, at);
	case BIND_DURATION:
		return bind_duration(b, v, at);
	case BIND_STRS:
		return bind_strs(b, v, at);
	case BIND_PAIRS:
		return bind_pairs(b, v, at);
	case BIND_MULTI:
		return bind_multi(b, v, at);
	case BIND_BASE64:
		return bind_base64(b, v, at);
	case BIND_OBJECT:
		return v->type == JSON_OBJECT
			       ? bind_object(b->field->object, v, b->arena, at, b->why)
			       : wrong_type(b, v, go_type_of(b->field));
	case BIND_POINTER:
		return bind_pointer(b, v, at);
	case BIND_OBJECTS:
		return bind_objects(b, v, at);
	case BIND_JSON:
		*(const struct json **)at = v;
		return 0;
	}
	must(!"bind type");
	return 0;
}

static const struct bind_field *field_find(const struct bind_object *object, struct str key)
{
	for (uint32_t i = 0; i < object->fields_count; i++) {
		struct str name = str_of(object->fields[i].name);

		if (object->exact_case ? str_eq(key, name) : str_ieq(key, name)) {
			return &object->fields[i];
		}
	}
	return NULL;
}

int bind_object(const struct bind_object *object, const struct json *v, struct arena *arena,
	void *out, struct buf *why)
{
	struct binding b = { .object = object, .arena = arena, .why = why };
	const struct json *member;

	if (v->type == JSON_NULL) {
		return 0;
	}
	if (v->type != JSON_OBJECT) {
		if (why) {
			buf_printf(why, "json: cannot unmarshal %s into Go value of type %s",
				json_go_type(v),
				object->go_value ? object->go_value : object->go_name);
		}
		return ST_INVALID;
	}
	json_for_each (member, v) {
		int r;

		b.field = field_find(object, member->key);
		if (!b.field) {
			if (object->ignore_unknown) {
				continue;
			}
			if (why) {
				buf_printf(why, "json: unknown field \"" STR_FMT "\"",
					STR_ARG(member->key));
			}
			return ST_INVALID;
		}
		if (member->type == JSON_NULL && b.field->type != BIND_JSON) {
			continue;
		}
		r = bind_field(&b, member, (char *)out + b.field->offset);
		if (r) {
			return r;
		}
	}
	return 0;
}
