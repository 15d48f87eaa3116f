/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals of filter expressions. Columns and offsets are those of Consul's parser, because its
 * users read them.
 */
#include "httpd/core/filter_lex.h"

#include "common/base/err.h"

/* A terminal read or did not read something at `at`: remember it when that is news. */
static void note(struct filter_parser *p, bool matched, size_t at, const char *text)
{
	if (matched != p->inverted || at < p->want_at) {
		return;
	}
	if (at > p->want_at) {
		p->want_at = at;
		p->wants_count = 0;
	}
	for (int i = 0; i < p->wants_count; i++) {
		if (!strcmp(p->wants[i].text, text) && p->wants[i].inverted == p->inverted) {
			return;
		}
	}
	if (p->wants_count < WANTS_MAX) {
		p->wants[p->wants_count++] = (struct want) { text, p->inverted };
	}
}

/* line:col (offset) of a byte; columns count characters, and a newline stands in column 0 of the
 * line it begins. */
static struct str position_render(
	struct filter_parser *p, size_t offset, const char *rule, const char *text)
{
	int line = 1, column = 0;

	for (size_t i = 0; i <= offset; i++) {
		if (i < p->in.n && ((unsigned char)p->in.p[i] & 0xc0) == 0x80) {
			continue;
		}
		column++;
		if (i < p->in.n && p->in.p[i] == '\n') {
			line++;
			column = 0;
		}
	}
	return arena_printf(
		&p->filter->arena, "%d:%d (%zu): %s%s", line, column, offset, rule, text);
}

void lex_error(struct filter_parser *p, size_t offset, const char *rule, const char *text)
{
	struct str error = position_render(p, offset, rule, text);

	for (int i = 0; i < p->errors_count; i++) {
		if (str_eq(p->errors[i], error)) {
			return;
		}
	}
	if (p->errors_count < ERRORS_MAX) {
		p->errors[p->errors_count++] = error;
	}
}

/* ---- terminals ---- */

bool lex_literal(struct filter_parser *p, const char *text, const char *want)
{
	size_t n = strlen(text);
	bool is = p->in.n - p->at >= n && !memcmp(p->in.p + p->at, text, n);

	note(p, is, p->at, want);
	if (is) {
		p->at += n;
	}
	return is;
}

static bool class_has(enum lex_class c, char ch)
{
	bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z'),
	     digit = ch >= '0' && ch <= '9';

	switch (c) {
	case CLASS_SPACE:
		return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
	case CLASS_LETTER:
		return letter;
	case CLASS_WORD:
		return letter || digit || ch == '_';
	case CLASS_DIGIT:
		return digit;
	case CLASS_DIGIT_NOT_ZERO:
		return digit && ch != '0';
	}
	return false;
}

bool lex_one(struct filter_parser *p, enum lex_class c)
{
	static const char *const wants[] = { "[ \\t\\r\\n]", "[a-zA-Z]", "[a-zA-Z0-9_]", "[0-9]",
		"[1-9]" };
	bool is = p->at < p->in.n && class_has(c, p->in.p[p->at]);

	note(p, is, p->at, wants[c]);
	p->at += is;
	return is;
}

bool lex_some(struct filter_parser *p, enum lex_class c)
{
	bool any = false;

	while (lex_one(p, c)) {
		any = true;
	}
	return any;
}

bool lex_space(struct filter_parser *p)
{
	return lex_some(p, CLASS_SPACE);
}

bool lex_end(struct filter_parser *p)
{
	p->inverted = !p->inverted;
	note(p, p->at < p->in.n, p->at, ".");
	p->inverted = !p->inverted;
	return p->at == p->in.n;
}

/* ---- strings and numbers ---- */

static int hex_digits(struct str s, size_t at, int count, uint32_t *out)
{
	*out = 0;
	if (s.n - at < (size_t)count) {
		return ST_INVALID;
	}
	for (int i = 0; i < count; i++) {
		char c = s.p[at + (size_t)i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0) {
			return ST_INVALID;
		}
		*out = *out * 16 + (uint32_t)digit;
	}
	return 0;
}

static void rune_put(struct buf *out, uint32_t r)
{
	if (r < 0x80) {
		buf_put_char(out, (char)r);
	} else if (r < 0x800) {
		buf_put_char(out, (char)(0xc0 | r >> 6));
		buf_put_char(out, (char)(0x80 | (r & 0x3f)));
	} else if (r < 0x10000) {
		buf_put_char(out, (char)(0xe0 | r >> 12));
		buf_put_char(out, (char)(0x80 | (r >> 6 & 0x3f)));
		buf_put_char(out, (char)(0x80 | (r & 0x3f)));
	} else {
		buf_put_char(out, (char)(0xf0 | r >> 18));
		buf_put_char(out, (char)(0x80 | (r >> 12 & 0x3f)));
		buf_put_char(out, (char)(0x80 | (r >> 6 & 0x3f)));
		buf_put_char(out, (char)(0x80 | (r & 0x3f)));
	}
}

/* \x41 \u00e9 \U0001f600; at stands on the letter. */
static int escape_hex(struct str s, size_t *at, struct buf *out)
{
	char kind = s.p[*at];
	int digits = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
	uint32_t r;

	if (hex_digits(s, *at + 1, digits, &r)) {
		return ST_INVALID;
	}
	if (kind == 'x') {
		buf_put_char(out, (char)r);
	} else if (r > 0x10ffff || (r >= 0xd800 && r < 0xe000)) {
		return ST_INVALID;
	} else {
		rune_put(out, r);
	}
	*at += (size_t)digits;
	return 0;
}

/* Three octal digits up to \377; at stands on the first. */
static int escape_octal(struct str s, size_t *at, struct buf *out)
{
	int v = 0;

	if (s.n - *at < 3) {
		return ST_INVALID;
	}
	for (size_t i = 0; i < 3; i++) {
		char c = s.p[*at + i];

		if (c < '0' || c > '7') {
			return ST_INVALID;
		}
		v = v * 8 + (c - '0');
	}
	if (v > 255) {
		return ST_INVALID;
	}
	buf_put_char(out, (char)v);
	*at += 2;
	return 0;
}

/* What stands between double quotes, by Go's rules. */
static int unquote(struct str s, struct buf *out)
{
	static const char letters[] = "abfnrtv\\\"", bytes[] = "\a\b\f\n\r\t\v\\\"";

	for (size_t i = 0; i < s.n; i++) {
		const char *simple;
		int r = 0;

		if (s.p[i] == '\n') {
			return ST_INVALID;
		}
		if (s.p[i] != '\\') {
			buf_put_char(out, s.p[i]);
			continue;
		}
		if (++i == s.n || s.p[i] == '\0') {
			return ST_INVALID;
		}
		simple = strchr(letters, s.p[i]);
		if (simple) {
			buf_put_char(out, bytes[simple - letters]);
		} else if (strchr("xuU", s.p[i])) {
			r = escape_hex(s, &i, out);
		} else {
			r = escape_octal(s, &i, out);
		}
		if (r) {
			return r;
		}
	}
	return 0;
}

static struct str string_value(struct filter_parser *p, size_t start, char quote, struct str inside)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (quote == '"') {
		if (unquote(inside, &text)) {
			lex_error(p, start, "rule \"string\": ", "invalid syntax");
		}
	} else {
		for (size_t i = 0; i < inside.n; i++) {
			if (inside.p[i] != '\r') {
				buf_put_char(&text, inside.p[i]);
			}
		}
	}
	return arena_str(&p->filter->arena, buf_str(&text));
}

bool lex_string(struct filter_parser *p, struct str *out)
{
	size_t start = p->at;
	char quote = '`';
	const char *end;

	if (!lex_literal(p, "`", "\"`\"")) {
		if (!lex_literal(p, "\"", "\"\\\"\"")) {
			return false;
		}
		quote = '"';
	}
	end = memchr(p->in.p + p->at, quote, p->in.n - p->at);
	if (!end) {
		lex_error(p, p->in.n, "rule \"string\": ", "Unterminated string literal");
		p->at = start;
		return false;
	}
	*out = string_value(
		p, start, quote, str_n(p->in.p + p->at, (size_t)(end - p->in.p) - p->at));
	p->at = (size_t)(end - p->in.p) + 1;
	return true;
}

/* A number stands alone: behind it comes space, a closing parenthesis or the end. */
static bool after_number(struct filter_parser *p)
{
	size_t start = p->at;
	bool is = lex_space(p) || lex_end(p) || LITERAL(p, ")");

	p->at = start;
	return is;
}

bool lex_number(struct filter_parser *p, struct str *out)
{
	size_t start = p->at, whole;

	LITERAL(p, "-");
	if (!LITERAL(p, "0")) {
		if (!lex_one(p, CLASS_DIGIT_NOT_ZERO)) {
			p->at = start;
			return false;
		}
		lex_some(p, CLASS_DIGIT);
	}
	whole = p->at;
	if (!LITERAL(p, ".") || !lex_some(p, CLASS_DIGIT)) {
		p->at = whole;
	}
	if (!after_number(p)) {
		lex_error(p, p->at, "rule \"number\": ", "Invalid number literal");
		p->at = start;
		return false;
	}
	*out = str_n(p->in.p + start, p->at - start);
	return true;
}

static int want_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The expected terminals as text, sorted; the end of the input last. */
static int wants_list(struct filter_parser *p, const char **out)
{
	bool end = false;
	int n = 0;

	for (int i = 0; i < p->wants_count; i++) {
		const struct want *w = &p->wants[i];

		if (w->inverted && !strcmp(w->text, ".")) {
			end = true;
		} else {
			out[n++] = w->inverted ? arena_printf(&p->filter->arena, "!%s", w->text).p
					       : w->text;
		}
	}
	qsort(out, (size_t)n, sizeof(out[0]), want_cmp);
	if (end) {
		out[n++] = "EOF";
	}
	return n;
}

void lex_explain(struct filter_parser *p, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	const char *wants[WANTS_MAX];
	int n;

	for (int i = 0; i < p->errors_count; i++) {
		buf_put_cstr(why, i ? "\n" : "");
		buf_put_str(why, p->errors[i]);
	}
	if (p->errors_count) {
		return;
	}
	n = wants_list(p, wants);
	buf_put_cstr(&text, "no match found, expected: ");
	for (int i = 0; i < n; i++) {
		buf_put_cstr(&text, i == 0 ? "" : i == n - 1 ? " or " : ", ");
		buf_put_cstr(&text, wants[i]);
	}
	buf_put_str(why, position_render(p, p->want_at, "", buf_cstr(&text)));
}
