/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parser that evaluates as it goes. Without a scope it only parses: then nothing that a value
 * could cause is an error.
 */
#include "common/base/template.h"

#include <ctype.h>
#include <errno.h>

#include "common/base/err.h"

struct value {
	bool is_number;
	int64_t number;
	struct str text;
};

struct parser {
	struct str text;
	size_t at;
	const struct template_scope *scope; /* NULL: only the syntax matters */
	struct arena *arena;
	struct buf *why;
	unsigned depth;
};

/* Where a name stands, as Consul counts: in characters, and the one behind a line's end is the
 * second. */
struct place {
	unsigned line, column;
};

static int broken(struct parser *p, const char *what)
{
	if (p->why) {
		buf_printf(p->why, "parse error: %s", what);
	}
	return ST_INVALID;
}

static struct place place_of(const struct parser *p, size_t at)
{
	struct place place = { 1, 0 };

	for (size_t i = 0; i <= at; i++) {
		if (p->text.p[i] == '\n') {
			place = (struct place) { place.line + 1, 1 };
		} else if (((uint8_t)p->text.p[i] & 0xc0) != 0x80) {
			place.column++;
		}
	}
	return place;
}

static int refuse(struct parser *p, size_t at, const char *what, struct str name)
{
	struct place place = place_of(p, at);

	if (p->why) {
		buf_printf(
			p->why, "%u:%u: %s" STR_FMT, place.line, place.column, what, STR_ARG(name));
	}
	return ST_INVALID;
}

static int peek(const struct parser *p)
{
	return p->at < p->text.n ? (uint8_t)p->text.p[p->at] : -1;
}

static bool takes(struct parser *p, char c)
{
	if (peek(p) != (uint8_t)c) {
		return false;
	}
	p->at++;
	return true;
}

static void blanks_skip(struct parser *p)
{
	while (peek(p) == ' ' || (peek(p) >= '\t' && peek(p) <= '\r')) {
		p->at++;
	}
}

/* ---- values ---- */

static struct str text_of(struct parser *p, const struct value *v)
{
	return v->is_number ? arena_printf(p->arena, "%lld", (long long)v->number) : v->text;
}

static int number_of(struct parser *p, const struct value *v, int64_t *out)
{
	char *end, *z;

	*out = v->number;
	if (v->is_number || !p->scope) {
		return 0;
	}
	z = arena_alloc(p->arena, v->text.n + 1);
	memcpy(z, v->text.n ? v->text.p : "", v->text.n);
	errno = 0;
	*out = strtoll(z, &end, 0);
	if (!errno && end != z && end == z + v->text.n && !isspace((uint8_t)z[0])) {
		return 0;
	}
	if (p->why) {
		buf_printf(p->why, "__builtin_StringToInt: strconv.ParseInt: parsing \"%s\": %s", z,
			errno ? "value out of range" : "invalid syntax");
	}
	return ST_INVALID;
}

/* Overflow wraps around, as in Go. */
static int compute(struct parser *p, char operation, struct value *left, const struct value *right)
{
	int64_t a, b;

	if (number_of(p, left, &a) || number_of(p, right, &b)) {
		return ST_INVALID;
	}
	*left = (struct value) { .is_number = true };
	if (!p->scope) {
		return 0;
	}
	if ((operation == '/' || operation == '%') && b == 0) {
		if (p->why) {
			buf_put_cstr(p->why, "__builtin_IntMath: divide by zero");
		}
		return ST_INVALID;
	}
	switch (operation) {
	case '+':
		left->number = (int64_t)((uint64_t)a + (uint64_t)b);
		break;
	case '-':
		left->number = (int64_t)((uint64_t)a - (uint64_t)b);
		break;
	case '*':
		left->number = (int64_t)((uint64_t)a * (uint64_t)b);
		break;
	case '/':
		left->number = b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
		break;
	default:
		left->number = b == -1 ? 0 : a % b;
		break;
	}
	return 0;
}

/* ---- expressions ---- */

static int expression(struct parser *p, struct value *out);
static int pieces(struct parser *p, bool quoted, struct str *out);

static bool is_name_byte(int c, int before)
{
	return c == '_' || c == '-' || c == '.' || (c == '*' && before == '.') ||
	       (c >= 0 && (isalnum(c) || c >= 0x80));
}

static struct str name_take(struct parser *p)
{
	size_t from = p->at;

	for (int before = 0; is_name_byte(peek(p), before); p->at++) {
		before = peek(p);
	}
	return str_n(p->text.p + from, p->at - from);
}

/* Behind the parenthesis that opens. */
static int call(struct parser *p, size_t at, struct str name, struct value *out)
{
	struct value argument = { 0 };
	unsigned count = 0;
	int64_t number;

	for (blanks_skip(p); !takes(p, ')'); count++) {
		if (count && !takes(p, ',')) {
			return broken(p, "syntax error");
		}
		if (expression(p, &argument)) {
			return ST_INVALID;
		}
	}
	*out = (struct value) { .text = STR("") };
	if (!p->scope) {
		return 0;
	}
	if (!str_eq(name, STR("match"))) {
		return refuse(p, at, "unknown function called: ", name);
	}
	if (count != 1) {
		return refuse(p, at, "match: expected 1 arguments, got ",
			arena_printf(p->arena, "%u", count));
	}
	if (number_of(p, &argument, &number)) {
		return ST_INVALID;
	}
	out->text = p->scope->match(p->scope->arg, number);
	return 0;
}

static int named(struct parser *p, struct value *out)
{
	size_t at = p->at;
	struct str name = name_take(p);

	if (!name.n) {
		return broken(p, "syntax error");
	}
	blanks_skip(p);
	if (takes(p, '(')) {
		return call(p, at, name, out);
	}
	*out = (struct value) { .text = STR("") };
	if (p->scope && !p->scope->variable(p->scope->arg, name, &out->text)) {
		return refuse(p, at, "unknown variable accessed: ", name);
	}
	return 0;
}

static int number_take(struct parser *p, struct value *out)
{
	char digits[24];
	size_t n = 0;
	char *end;

	for (; peek(p) >= '0' && peek(p) <= '9' && n < sizeof(digits) - 1; p->at++) {
		digits[n++] = (char)peek(p);
	}
	digits[n] = '\0';
	errno = 0;
	*out = (struct value) { .is_number = true, .number = strtoll(digits, &end, 0) };
	return errno || *end ? broken(p, "syntax error") : 0;
}

static int operand_inner(struct parser *p, struct value *out)
{
	int r;

	if (takes(p, '(')) {
		r = expression(p, out);
		return r || takes(p, ')') ? r : broken(p, "syntax error");
	}
	if (takes(p, '"')) {
		*out = (struct value) { 0 };
		return pieces(p, true, &out->text);
	}
	return peek(p) >= '0' && peek(p) <= '9' ? number_take(p, out) : named(p, out);
}

/* With the signs before it and the blanks around it. */
static int operand(struct parser *p, struct value *out)
{
	unsigned signs = 0;
	int r;

	for (blanks_skip(p); takes(p, '-'); blanks_skip(p)) {
		signs++;
	}
	r = operand_inner(p, out);
	while (!r && signs--) {
		struct value right = *out;

		*out = (struct value) { .is_number = true };
		r = compute(p, '-', out, &right);
	}
	blanks_skip(p);
	return r;
}

static int expression_inner(struct parser *p, struct value *out)
{
	int r = operand(p, out);

	while (!r && peek(p) > 0 && strchr("+-*/%", peek(p))) {
		char operation = (char)peek(p);
		struct value right;

		p->at++;
		r = operand(p, &right);
		if (!r) {
			r = compute(p, operation, out, &right);
		}
	}
	return r;
}

static int expression(struct parser *p, struct value *out)
{
	int r;

	if (p->depth == TEMPLATE_DEPTH_MAX) {
		return broken(p, "nested too deeply");
	}
	p->depth++;
	r = expression_inner(p, out);
	p->depth--;
	return r;
}

/* ---- texts ---- */

/* A byte of a text, with what escapes mean. */
static char byte_take(struct parser *p, bool quoted)
{
	char c = p->text.p[p->at++];

	if (quoted && c == '\\' && (peek(p) == '\\' || peek(p) == '"')) {
		return p->text.p[p->at++];
	}
	if (quoted && c == '\\' && takes(p, 'n')) {
		return '\n';
	}
	if (c == '$') {
		takes(p, '$');
	}
	return c;
}

static bool opens(const struct parser *p)
{
	return str_starts(str_skip(p->text, p->at), STR("${"));
}

/* Up to the end, or behind the quotation mark that closes. */
static int pieces(struct parser *p, bool quoted, struct str *out)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	while (peek(p) >= 0 && !(quoted && peek(p) == '"')) {
		struct value v = { 0 };

		if (!opens(p)) {
			buf_put_char(&text, byte_take(p, quoted));
			continue;
		}
		p->at += 2;
		if (expression(p, &v)) {
			return ST_INVALID;
		}
		if (!takes(p, '}')) {
			return broken(p, "syntax error");
		}
		buf_put_str(&text, text_of(p, &v));
	}
	if (quoted && !takes(p, '"')) {
		return broken(p, "syntax error");
	}
	*out = arena_str(p->arena, buf_str(&text));
	return 0;
}

int template_render(struct str text, const struct template_scope *scope, struct arena *arena,
	struct str *out, struct buf *why)
{
	struct parser p = { .text = text, .scope = scope, .arena = arena, .why = why };

	return pieces(&p, false, out);
}

int template_check(struct str text, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct str ignored;

	return template_render(text, NULL, &arena, &ignored, why);
}
