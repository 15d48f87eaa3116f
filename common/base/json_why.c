/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small strict JSON checker (RFC 8259) that stops at the first wrong byte and names it as Go
 * does.
 */
#include "common/base/json_why.h"

#include "common/base/json.h"

struct checker {
	struct str input;
	size_t at;
	const char *expectation; /* set at the first error */
	bool ended;		 /* the input stopped too early */
	int depth;
};

static bool fail(struct checker *c, const char *expectation)
{
	c->ended = c->at >= c->input.n;
	c->expectation = expectation;
	return false;
}

static int peek(const struct checker *c)
{
	return c->at < c->input.n ? (unsigned char)c->input.p[c->at] : -1;
}

static void space_skip(struct checker *c)
{
	int ch = peek(c);

	while (ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n') {
		c->at++;
		ch = peek(c);
	}
}

static bool is_hex(int ch)
{
	return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

static bool escape_check(struct checker *c)
{
	int ch = peek(c);

	if (ch == 'u') {
		c->at++;
		for (int i = 0; i < 4; i++, c->at++) {
			if (!is_hex(peek(c))) {
				return fail(c, "in \\u hexadecimal character escape");
			}
		}
		return true;
	}
	if (ch < 0 || !strchr("\"\\/bfnrt", ch)) {
		return fail(c, "in string escape code");
	}
	c->at++;
	return true;
}

static bool string_check(struct checker *c)
{
	c->at++;
	for (;;) {
		int ch = peek(c);

		if (ch < 0x20) {
			return fail(c, "in string literal");
		}
		c->at++;
		if (ch == '"') {
			return true;
		}
		if (ch == '\\' && !escape_check(c)) {
			return false;
		}
	}
}

static bool digits_check(struct checker *c, const char *expectation)
{
	if (peek(c) < '0' || peek(c) > '9') {
		return fail(c, expectation);
	}
	while (peek(c) >= '0' && peek(c) <= '9') {
		c->at++;
	}
	return true;
}

static bool number_check(struct checker *c)
{
	if (peek(c) == '-') {
		c->at++;
	}
	if (peek(c) == '0') {
		c->at++;
	} else if (!digits_check(c, "in numeric literal")) {
		return false;
	}
	if (peek(c) == '.') {
		c->at++;
		if (!digits_check(c, "after decimal point in numeric literal")) {
			return false;
		}
	}
	if (peek(c) == 'e' || peek(c) == 'E') {
		c->at++;
		if (peek(c) == '+' || peek(c) == '-') {
			c->at++;
		}
		return digits_check(c, "in exponent of numeric literal");
	}
	return true;
}

static bool word_check(struct checker *c, const char *word, const char *const expectations[])
{
	for (size_t i = 0; word[i]; i++, c->at++) {
		if (peek(c) != word[i]) {
			return fail(c, expectations[i]);
		}
	}
	return true;
}

static bool value_check(struct checker *c);

static bool members_check(struct checker *c, bool object)
{
	int close = object ? '}' : ']';

	c->at++;
	space_skip(c);
	if (peek(c) == close) {
		c->at++;
		return true;
	}
	for (;;) {
		space_skip(c);
		if (object) {
			if (peek(c) != '"') {
				return fail(c, "looking for beginning of object key string");
			}
			if (!string_check(c)) {
				return false;
			}
			space_skip(c);
			if (peek(c) != ':') {
				return fail(c, "after object key");
			}
			c->at++;
		}
		if (!value_check(c)) {
			return false;
		}
		space_skip(c);
		if (peek(c) == close) {
			c->at++;
			return true;
		}
		if (peek(c) != ',') {
			return fail(
				c, object ? "after object key:value pair" : "after array element");
		}
		c->at++;
	}
}

static bool value_check(struct checker *c)
{
	static const char *const in_true[] = { "", "in literal true (expecting 'r')",
		"in literal true (expecting 'u')", "in literal true (expecting 'e')" };
	static const char *const in_false[] = { "", "in literal false (expecting 'a')",
		"in literal false (expecting 'l')", "in literal false (expecting 's')",
		"in literal false (expecting 'e')" };
	static const char *const in_null[] = { "", "in literal null (expecting 'u')",
		"in literal null (expecting 'l')", "in literal null (expecting 'l')" };
	bool good;
	int ch;

	space_skip(c);
	ch = peek(c);
	if (ch == '{' || ch == '[') {
		if (c->depth == JSON_DEPTH_MAX) {
			return fail(c, "exceeded max depth");
		}
		c->depth++;
		good = members_check(c, ch == '{');
		c->depth--;
		return good;
	}
	if (ch == '"') {
		return string_check(c);
	}
	if (ch == '-' || (ch >= '0' && ch <= '9')) {
		return number_check(c);
	}
	if (ch == 't') {
		return word_check(c, "true", in_true);
	}
	if (ch == 'f') {
		return word_check(c, "false", in_false);
	}
	if (ch == 'n') {
		return word_check(c, "null", in_null);
	}
	return fail(c, "looking for beginning of value");
}

static void check(struct checker *c)
{
	if (!value_check(c)) {
		return;
	}
	space_skip(c);
	if (c->at < c->input.n) {
		fail(c, "after top-level value");
	}
}

/* A byte as Go quotes it in these messages. */
static void byte_render(struct buf *why, unsigned char ch)
{
	static const struct {
		unsigned char ch;
		const char *text;
	} names[] = { { '\'', "\\'" }, { '"', "\"" }, { '\n', "\\n" }, { '\r', "\\r" },
		{ '\t', "\\t" }, { '\b', "\\b" }, { '\f', "\\f" }, { '\a', "\\a" }, { '\v', "\\v" },
		{ '\\', "\\\\" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].ch == ch) {
			buf_put_cstr(why, names[i].text);
			return;
		}
	}
	if (ch >= 0x20 && ch < 0x7f) {
		buf_put_char(why, (char)ch);
	} else if (ch < 0x80) {
		buf_printf(why, "\\x%02x", ch);
	} else { /* Go reads the byte as a code point */
		buf_put_char(why, (char)(0xc0 | ch >> 6));
		buf_put_char(why, (char)(0x80 | (ch & 0x3f)));
	}
}

void json_why(struct str input, struct buf *why)
{
	struct checker c = { .input = input };

	check(&c);
	if (!c.expectation) {
		buf_put_lit(why, "exceeded max depth");
	} else if (c.ended) {
		buf_put_cstr(why, str_trim(input).n ? "unexpected EOF" : "EOF");
	} else {
		buf_put_lit(why, "invalid character '");
		byte_render(why, (unsigned char)input.p[c.at]);
		buf_printf(why, "' %s", c.expectation);
	}
}

int json_why_line(struct str input)
{
	struct checker c = { .input = input };
	int line = 1;

	check(&c);
	for (size_t i = 0; i < min_of(c.at, input.n); i++) {
		line += input.p[i] == '\n';
	}
	return line;
}
