/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: the comparisons of a parsed expression are checked against the rows of the element (does
 * the selector exist, does the operator fit, does the value convert), then asked about JSON. Absent
 * members have Go's zero values.
 */
#include "httpd/core/filter.h"

#include <errno.h>

#include "common/base/err.h"
#include "httpd/core/filter_tree.h"

static const char *const op_names[FILTER_OPS_COUNT] = {
	"Equal",
	"Not Equal",
	"In",
	"Not In",
	"Is Empty",
	"Is Not Empty",
	"Matches",
	"Not Matches",
};

#define OP(op) (1u << FILTER_##op)

static const unsigned type_ops[] = {
	[FILTER_STRING] =
		OP(EQUAL) | OP(NOT_EQUAL) | OP(IN) | OP(NOT_IN) | OP(MATCHES) | OP(NOT_MATCHES),
	[FILTER_INT] = OP(EQUAL) | OP(NOT_EQUAL),
	[FILTER_BOOL] = OP(EQUAL) | OP(NOT_EQUAL),
	[FILTER_STRINGS] = OP(IN) | OP(NOT_IN) | OP(IS_EMPTY) | OP(IS_NOT_EMPTY),
	[FILTER_MAP] = OP(IN) | OP(NOT_IN) | OP(IS_EMPTY) | OP(IS_NOT_EMPTY),
	[FILTER_MAP_OF] = OP(IN) | OP(NOT_IN) | OP(IS_EMPTY) | OP(IS_NOT_EMPTY),
	[FILTER_STRUCT] = 0,
	[FILTER_LIST_OF] = OP(IS_EMPTY) | OP(IS_NOT_EMPTY),
};

/* ---- checking ---- */

/* As Go's %q does: quotes, backslashes and control characters escaped. */
static void quoted_put(struct buf *out, struct str s)
{
	static const char letters[] = "\a\b\f\n\r\t\v\\\"", escapes[] = "abfnrtv\\\"";

	buf_put_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		const char *special = s.p[i] ? strchr(letters, s.p[i]) : NULL;

		if (special) {
			buf_put_char(out, '\\');
			buf_put_char(out, escapes[special - letters]);
		} else if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
			buf_printf(out, "\\x%02x", (unsigned char)s.p[i]);
		} else {
			buf_put_char(out, s.p[i]);
		}
	}
	buf_put_char(out, '"');
}

static void selector_put(struct buf *out, const struct filter_node *n, int parts)
{
	OWN_EMBEDDED(buf_fini) struct buf joined = { 0 };

	for (int i = 0; i < parts; i++) {
		buf_put_cstr(&joined, i ? "." : "");
		buf_put_str(&joined, n->selector[i]);
	}
	quoted_put(out, buf_str(&joined));
}

static const struct filter_field *field_find(const struct filter_fields *fields, struct str name)
{
	for (int i = 0; fields && i < fields->count; i++) {
		if (str_is(name, fields->rows[i].name)) {
			return &fields->rows[i];
		}
	}
	return NULL;
}

/* The entry of a map of objects: a struct that has no operators of its own. */
static const struct filter_field map_object = { "", FILTER_STRUCT, NULL };

static int path_resolve(struct filter_node *n, const struct filter_fields *fields, struct buf *why)
{
	const struct filter_field *above = NULL;

	for (int i = 0; i < n->selector_count; i++) {
		if (above && above->type == FILTER_MAP) {
			n->path[i] = &filter_map_value;
			fields = NULL;
		} else if (above && above->type == FILTER_MAP_OF) {
			n->path[i] = &map_object;
			fields = above->below;
		} else {
			n->path[i] = field_find(fields, n->selector[i]);
			fields = n->path[i] && n->path[i]->type != FILTER_MAP_OF ? n->path[i]->below
										 : NULL;
		}
		above = n->path[i];
		if (!above) {
			buf_put_cstr(why, "Selector ");
			selector_put(why, n, i + 1);
			buf_put_cstr(why, " is not valid");
			return ST_INVALID;
		}
	}
	return 0;
}

/* Go's strconv.ParseInt with base 0: 0x, 0o, 0b and 0 prefixes, underscores between digits. */
static const char *int_coerce(struct arena *arena, struct str s, int64_t *out)
{
	char *digits = arena_alloc(arena, s.n + 1), *end;
	bool negative = s.n && s.p[0] == '-', prefixed = false;
	size_t n = 0, i = s.n && (s.p[0] == '-' || s.p[0] == '+');
	int base = 10;
	unsigned long long v;

	if (s.n - i > 1 && s.p[i] == '0') {
		char kind = s.p[i + 1] | 0x20;

		base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
		prefixed = true;
		i += kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1;
	}
	for (bool after = prefixed; i < s.n; i++) {
		if (s.p[i] == '_' && after && prefixed) {
			after = false;
			continue;
		}
		if (s.p[i] == '_' || s.p[i] == '-' || s.p[i] == '+' || s.p[i] == ' ') {
			return "invalid syntax";
		}
		after = true;
		digits[n++] = s.p[i];
	}
	errno = 0;
	v = strtoull(digits, &end, base);
	if (n == 0 || *end || end != digits + n || s.p[s.n - 1] == '_') {
		return "invalid syntax";
	}
	if (errno || v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
		return "value out of range";
	}
	*out = negative ? (int64_t)(0 - (uint64_t)v) : (int64_t)v;
	return NULL;
}

static int value_coerce(
	struct filter *f, struct filter_node *n, enum filter_type type, struct buf *why)
{
	const char *function = "ParseInt", *fault = NULL;

	if (type == FILTER_INT) {
		fault = int_coerce(&f->arena, n->value, &n->number);
	} else if (type == FILTER_BOOL && str_to_bool(n->value, &n->boolean)) {
		function = "ParseBool";
		fault = "invalid syntax";
	}
	if (!fault) {
		return 0;
	}
	buf_put_cstr(why, "Failed to coerce value ");
	quoted_put(why, n->value);
	buf_put_cstr(why, " for selector ");
	selector_put(why, n, n->selector_count);
	buf_printf(why, ": strconv.%s: parsing ", function);
	quoted_put(why, n->value);
	buf_printf(why, ": %s", fault);
	return ST_INVALID;
}

static int compare_check(struct filter *f, struct filter_node *n,
	const struct filter_fields *fields, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf fault = { 0 };
	enum filter_type type;

	if (path_resolve(n, fields, why)) {
		return ST_INVALID;
	}
	type = n->path[n->selector_count - 1]->type;
	if (!(type_ops[type] & 1u << n->op)) {
		buf_printf(why, "Invalid match operator \"%s\" for selector ", op_names[n->op]);
		selector_put(why, n, n->selector_count);
		return ST_INVALID;
	}
	if (n->op != FILTER_MATCHES && n->op != FILTER_NOT_MATCHES) {
		return value_coerce(f, n, type, why);
	}
	if (regex_new(n->value, &n->regex, &fault)) {
		buf_put_cstr(why, "Failed to compile regular expression ");
		quoted_put(why, n->value);
		buf_put_cstr(why, ": ");
		buf_put_str(why, buf_str(&fault));
		return ST_INVALID;
	}
	return 0;
}

static int compile(
	struct filter *f, struct str expression, enum filter_object object, struct buf *why)
{
	buf_put_cstr(why, "Failed to create boolean expression evaluator: ");
	if (expression.n > FILTER_SIZE_MAX) {
		buf_put_cstr(why, "expression is too long");
		return ST_INVALID;
	}
	if (filter_parse(f, expression, why)) {
		return ST_INVALID;
	}
	for (struct filter_node *n = f->compares; n; n = n->next_compare) {
		if (compare_check(f, n, filter_objects[object], why)) {
			return ST_INVALID;
		}
	}
	return 0;
}

int filter_new(
	struct str expression, enum filter_object object, struct filter **out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN(filter_free) struct filter *f = NULL;

	*out = NULL;
	if (expression.n == 0) {
		return 0;
	}
	f = xcalloc(1, sizeof(*f));
	if (compile(f, expression, object, &text)) {
		buf_put_str(why, buf_str(&text));
		return ST_INVALID;
	}
	*out = take(f);
	return 0;
}

void filter_free(struct filter *f)
{
	for (struct filter_node *n = f->compares; n; n = n->next_compare) {
		if (n->regex) {
			regex_free(n->regex);
		}
	}
	arena_fini(&f->arena);
	free(f);
}

/* ---- evaluating ---- */

static struct str text_of(const struct json *v)
{
	return v && (v->type == JSON_STRING || v->type == JSON_NUMBER) ? v->text : STR_NONE;
}

static bool equal(const struct filter_node *n, const struct json *v, enum filter_type type)
{
	int64_t number = 0;

	switch (type) {
	case FILTER_INT:
		return str_to_i64(text_of(v), &number) ? n->number == 0 && !v : number == n->number;
	case FILTER_BOOL:
		return (v && v->type == JSON_BOOL && v->boolean) == n->boolean;
	default:
		return str_eq(text_of(v), n->value);
	}
}

static bool contains(const struct filter_node *n, const struct json *v, enum filter_type type)
{
	const struct json *item;

	if (type == FILTER_STRING) {
		return n->value.n == 0 || str_find_str(text_of(v), n->value) >= 0;
	}
	for (item = v ? v->first : NULL; item; item = item->next) {
		if (str_eq(type == FILTER_STRINGS ? text_of(item) : item->key, n->value)) {
			return true;
		}
	}
	return false;
}

static bool compare_here(const struct filter_node *n, const struct json *v, enum filter_type type)
{
	switch (n->op) {
	case FILTER_EQUAL:
		return equal(n, v, type);
	case FILTER_NOT_EQUAL:
		return !equal(n, v, type);
	case FILTER_IN:
		return contains(n, v, type);
	case FILTER_NOT_IN:
		return !contains(n, v, type);
	case FILTER_IS_EMPTY:
		return !v || v->count == 0;
	case FILTER_IS_NOT_EMPTY:
		return v && v->count > 0;
	case FILTER_MATCHES:
		return regex_match(n->regex, text_of(v));
	case FILTER_NOT_MATCHES:
		return !regex_match(n->regex, text_of(v));
	case FILTER_OPS_COUNT:
		break;
	}
	return false;
}

/* A key that the map does not have: Consul's answer, which is true for `matches` too. */
static bool compare_absent(const struct filter_node *n)
{
	return n->op != FILTER_EQUAL && n->op != FILTER_IN && n->op != FILTER_IS_NOT_EMPTY;
}

static const struct json *member(const struct json *object, struct str name)
{
	const struct json *item;

	for (item = object && object->type == JSON_OBJECT ? object->first : NULL; item;
		item = item->next) {
		if (str_eq(item->key, name)) {
			return item;
		}
	}
	return NULL;
}

/* v is what path[at - 1] names (the element itself for 0). Depth: the number of parts of a
 * selector. */
static bool compare(const struct filter_node *n, int at, const struct json *v)
{
	const struct filter_field *here = at ? n->path[at - 1] : NULL;
	const struct json *below, *item;

	if (at == n->selector_count) {
		return compare_here(n, v, here->type);
	}
	if (here && here->type == FILTER_LIST_OF) {
		for (item = v ? v->first : NULL; item; item = item->next) {
			if (compare(n, at + 1, member(item, n->selector[at]))) {
				return true;
			}
		}
		return false;
	}
	below = member(v, n->selector[at]);
	if (!below && here && (here->type == FILTER_MAP || here->type == FILTER_MAP_OF)) {
		return compare_absent(n);
	}
	return compare(n, at + 1, below);
}

static bool node_match(const struct filter_node *n, const struct json *element)
{
	switch (n->kind) {
	case FILTER_OR:
		return node_match(n->left, element) || node_match(n->right, element);
	case FILTER_AND:
		return node_match(n->left, element) && node_match(n->right, element);
	case FILTER_NOT:
		return !node_match(n->left, element);
	case FILTER_COMPARE:
		return compare(n, 0, element);
	}
	return false;
}

bool filter_match(const struct filter *f, const struct json *element)
{
	return !f || node_match(f->root, element);
}

bool filter_match_text(const struct filter *f, struct arena *scratch, struct str element)
{
	struct json *v;

	if (!f) {
		return true;
	}
	arena_reset(scratch);
	return json_parse(scratch, element, &v, NULL) == 0 && filter_match(f, v);
}
