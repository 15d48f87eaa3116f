/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON as Go's encoder does (declared in json.h), and indenting it.
 */
#include <math.h>
#include <stdio.h>

#include "common/base/json.h"

static void comma(struct jsonw *w)
{
	if (w->comma) {
		buf_put_char(w->out, ',');
	}
	w->comma = true;
}

void jsonw_open(struct jsonw *w, char bracket)
{
	comma(w);
	buf_put_char(w->out, bracket);
	w->comma = false;
}

void jsonw_close(struct jsonw *w, char bracket)
{
	buf_put_char(w->out, bracket);
	w->comma = true;
}

void jsonw_key(struct jsonw *w, struct str key)
{
	comma(w);
	json_put_string(w->out, key);
	buf_put_char(w->out, ':');
	w->comma = false;
}

void jsonw_str(struct jsonw *w, struct str s)
{
	comma(w);
	json_put_string(w->out, s);
}

void jsonw_cstr(struct jsonw *w, const char *s)
{
	jsonw_str(w, str_of(s));
}

void jsonw_u64(struct jsonw *w, uint64_t v)
{
	comma(w);
	buf_put_dec(w->out, v);
}

void jsonw_i64(struct jsonw *w, int64_t v)
{
	comma(w);
	buf_put_idec(w->out, v);
}

void jsonw_double(struct jsonw *w, double v)
{
	char text[40];
	double magnitude = fabs(v);

	must(isfinite(v));
	comma(w);
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v) {
			break;
		}
	}
	if (strchr(text, 'e') && magnitude >= 1e-6 && magnitude < 1e21) {
		/* Go keeps plain notation in this range: as many decimals as the shortest form has
		 * digits. */
		for (int decimals = 0; decimals <= 24; decimals++) {
			snprintf(text, sizeof(text), "%.*f", decimals, v);
			if (strtod(text, NULL) == v) {
				break;
			}
		}
	}
	buf_put_cstr(w->out, text);
}

void jsonw_bool(struct jsonw *w, bool v)
{
	comma(w);
	buf_put_cstr(w->out, v ? "true" : "false");
}

void jsonw_null(struct jsonw *w)
{
	comma(w);
	buf_put_lit(w->out, "null");
}

void jsonw_base64(struct jsonw *w, struct str bytes)
{
	if (bytes.n == 0) {
		jsonw_null(w);
		return;
	}
	comma(w);
	buf_put_char(w->out, '"');
	base64_render(w->out, bytes.p, bytes.n);
	buf_put_char(w->out, '"');
}

void jsonw_raw(struct jsonw *w, struct str json)
{
	comma(w);
	buf_put_str(w->out, json);
}

/* Bytes that can be copied as they are. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void control_put(struct buf *out, unsigned char c)
{
	switch (c) {
	case '"':
		buf_put_lit(out, "\\\"");
		break;
	case '\\':
		buf_put_lit(out, "\\\\");
		break;
	case '\n':
		buf_put_lit(out, "\\n");
		break;
	case '\r':
		buf_put_lit(out, "\\r");
		break;
	case '\t':
		buf_put_lit(out, "\\t");
		break;
	default:
		buf_printf(out, "\\u%04x", c);
	}
}

/* The length of the UTF-8 sequence at the front of s (at most 4), or 0 where it is not well formed.
 */
static size_t sequence_length(struct str s)
{
	for (size_t n = 2; n <= 4 && n <= s.n; n++) {
		if (utf8_valid(str_cut(s, n))) {
			return n;
		}
	}
	return 0;
}

static size_t wide_put(struct buf *out, struct str s)
{
	size_t n = sequence_length(s);

	if (n == 0) {
		buf_put_lit(out, "\\ufffd");
		return 1;
	}
	if (str_starts(s, STR("\xe2\x80\xa8"))) {
		buf_put_lit(out, "\\u2028");
	} else if (str_starts(s, STR("\xe2\x80\xa9"))) {
		buf_put_lit(out, "\\u2029");
	} else {
		buf_put(out, s.p, n);
	}
	return n;
}

void json_put_string(struct buf *out, struct str s)
{
	buf_reserve(out, s.n + 2);
	buf_put_char(out, '"');
	while (s.n) {
		size_t plain = 0;

		while (plain < s.n && is_plain((unsigned char)s.p[plain])) {
			plain++;
		}
		buf_put(out, s.p, plain);
		s = str_skip(s, plain);
		if (s.n == 0) {
			break;
		}
		if ((unsigned char)s.p[0] < 0x80) {
			if (s.p[0] == 0x7f) {
				buf_put_char(out, 0x7f);
			} else {
				control_put(out, (unsigned char)s.p[0]);
			}
			s = str_skip(s, 1);
		} else {
			s = str_skip(s, wide_put(out, s));
		}
	}
	buf_put_char(out, '"');
}

static void newline(struct buf *out, struct str indent, int depth)
{
	buf_put_char(out, '\n');
	for (int i = 0; i < depth; i++) {
		buf_put_str(out, indent);
	}
}

static size_t string_length(struct str s)
{
	size_t i = 1;

	while (i < s.n && s.p[i] != '"') {
		i += s.p[i] == '\\' ? 2 : 1;
	}
	return min_of(i + 1, s.n);
}

void json_indent(struct buf *out, struct str s, struct str indent)
{
	int depth = 0;

	while (s.n) {
		char c = s.p[0];
		size_t used = 1;

		if (c == '"') {
			used = string_length(s);
			buf_put(out, s.p, used);
		} else if ((c == '{' || c == '[') && s.n > 1 && (s.p[1] == '}' || s.p[1] == ']')) {
			used = 2;
			buf_put(out, s.p, used);
		} else if (c == '{' || c == '[') {
			buf_put_char(out, c);
			newline(out, indent, ++depth);
		} else if (c == '}' || c == ']') {
			newline(out, indent, --depth);
			buf_put_char(out, c);
		} else if (c == ',') {
			buf_put_char(out, c);
			newline(out, indent, depth);
		} else if (c == ':') {
			buf_put_lit(out, ": ");
		} else {
			buf_put_char(out, c);
		}
		s = str_skip(s, used);
	}
}

static void value_render(struct jsonw *w, const struct json *v)
{
	const struct json *item;

	switch (v->type) {
	case JSON_NULL:
		jsonw_null(w);
		break;
	case JSON_BOOL:
		jsonw_bool(w, v->boolean);
		break;
	case JSON_NUMBER:
		jsonw_raw(w, v->text);
		break;
	case JSON_STRING:
		jsonw_str(w, v->text);
		break;
	case JSON_ARRAY:
		jsonw_open(w, '[');
		json_for_each (item, v) {
			value_render(w, item);
		}
		jsonw_close(w, ']');
		break;
	case JSON_OBJECT:
		jsonw_open(w, '{');
		json_for_each (item, v) {
			jsonw_key(w, item->key);
			value_render(w, item);
		}
		jsonw_close(w, '}');
		break;
	}
}

void json_render(struct buf *out, const struct json *v)
{
	struct jsonw w = jsonw_of(out);

	value_render(&w, v);
}
