/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Go's rules for paths and queries, as uri.h says.
 */
#include "httpd/core/uri.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool needs_decoding(struct str s, bool plus)
{
	return s.n && (memchr(s.p, '%', s.n) || (plus && memchr(s.p, '+', s.n)));
}

int uri_decode(struct str s, bool plus, struct arena *arena, struct str *out)
{
	char *text;
	size_t n = 0;

	*out = s;
	if (!needs_decoding(s, plus)) {
		return 0;
	}
	text = arena_alloc(arena, s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%') {
			int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
			int low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;

			if (high < 0 || low < 0) {
				return ST_INVALID;
			}
			text[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			text[n++] = plus && s.p[i] == '+' ? ' ' : s.p[i];
		}
	}
	*out = str_n(text, n);
	return 0;
}

static bool is_clean(struct str path)
{
	if (!path.n || path.p[0] != '/') {
		return false;
	}
	return str_find_str(path, STR("//")) < 0 && str_find_str(path, STR("/.")) < 0;
}

/* Removes the last element of the n bytes written so far: "/a/b" -> "/a". */
static size_t drop_element(const char *text, size_t n)
{
	while (n && text[n - 1] != '/') {
		n--;
	}
	return n ? n - 1 : 0;
}

struct str uri_clean(struct str path, struct arena *arena)
{
	struct str rest = path, element;
	char *text;
	size_t n = 0;

	if (is_clean(path)) {
		return path;
	}
	text = arena_alloc(arena, path.n + 2);
	while (rest.p) {
		element = str_split(rest, '/', &rest);
		if (str_is(element, "..")) {
			n = drop_element(text, n);
		} else if (element.n && !str_is(element, ".")) {
			text[n++] = '/';
			memcpy(text + n, element.p, element.n);
			n += element.n;
		}
	}
	if (n == 0 || (path.n && path.p[path.n - 1] == '/')) {
		text[n++] = '/';
	}
	return str_n(text, n);
}

/* What Unicode calls controls, formats, separators and private use; the space is printable. */
static const struct {
	uint32_t first, last;
} unprintable[] = {
	{ 0x0, 0x1f },
	{ 0x7f, 0xa0 },
	{ 0xad, 0xad },
	{ 0x600, 0x605 },
	{ 0x61c, 0x61c },
	{ 0x6dd, 0x6dd },
	{ 0x70f, 0x70f },
	{ 0x1680, 0x1680 },
	{ 0x180e, 0x180e },
	{ 0x2000, 0x200f },
	{ 0x2028, 0x202f },
	{ 0x205f, 0x206f },
	{ 0x3000, 0x3000 },
	{ 0xe000, 0xf8ff },
	{ 0xfeff, 0xfeff },
	{ 0xfff9, 0xfffb },
	{ 0xfffe, 0xffff },
	{ 0xe0000, 0x10ffff },
};

static bool is_printable(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_SIZE(unprintable); i++) {
		if (c >= unprintable[i].first && c <= unprintable[i].last) {
			return false;
		}
	}
	return true;
}

/* One character of two to four bytes, or one byte that begins none (as U+FFFD). Returns its size.
 */
static size_t next_rune(struct str s, uint32_t *out)
{
	uint8_t lead = (uint8_t)s.p[0];
	size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;

	*out = 0xfffd;
	if (n == 1 || s.n < n || !utf8_valid(str_cut(s, n))) {
		return 1;
	}
	*out = lead & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		*out = *out << 6 | ((uint8_t)s.p[i] & 0x3f);
	}
	return n;
}

bool uri_printable(struct str path)
{
	uint32_t rune;
	size_t i = 0;

	while (i < path.n) {
		uint8_t byte = (uint8_t)path.p[i];

		if (byte >= 0x20 && byte < 0x7f) {
			i++;
			continue;
		}
		if (byte < 0x80) {
			return false;
		}
		i += next_rune(str_skip(path, i), &rune);
		if (!is_printable(rune)) {
			return false;
		}
	}
	return true;
}

static size_t params_ceiling(struct str query)
{
	size_t count = 1;

	for (size_t i = 0; i < query.n; i++) {
		count += query.p[i] == '&' || query.p[i] == ';';
	}
	return count;
}

/* Go (before 1.17, as the reference's) takes ';' for '&'. */
static struct str next_param(struct str *rest)
{
	struct str all = *rest;

	for (size_t i = 0; i < all.n; i++) {
		if (all.p[i] == '&' || all.p[i] == ';') {
			*rest = str_skip(all, i + 1);
			return str_cut(all, i);
		}
	}
	*rest = STR_NONE;
	return all;
}

int uri_parse_query(struct request *r, struct arena *arena)
{
	struct str rest = r->raw_query, name, value;
	struct param *params;
	size_t ceiling;

	if (!rest.p) {
		return 0;
	}
	ceiling = params_ceiling(rest);
	if (ceiling > REQUEST_PARAMS_MAX) {
		return ST_TOO_LARGE;
	}
	params = arena_array(arena, struct param, ceiling);
	while (rest.n) {
		struct param *param = &params[r->params_count];

		name = str_split(next_param(&rest), '=', &value);
		if (!name.n && !value.p) {
			continue;
		}
		value = value.p ? value : STR("");
		if (uri_decode(name, true, arena, &param->name) ||
			uri_decode(value, true, arena, &param->value)) {
			r->params_malformed = true;
			continue;
		}
		r->params_count++;
	}
	r->params = params;
	return 0;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '~';
}

static void put_percent(char c, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	buf_put_char(out, '%');
	buf_put_char(out, digits[(uint8_t)c >> 4]);
	buf_put_char(out, digits[(uint8_t)c & 15]);
}

void uri_encode_path(struct str path, struct buf *out)
{
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];

		if (is_unreserved(c) || (c && strchr("$&+,/:;=@", c))) {
			buf_put_char(out, c);
		} else {
			put_percent(c, out);
		}
	}
}

void uri_encode_query(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (is_unreserved(c)) {
			buf_put_char(out, c);
		} else if (c == ' ') {
			buf_put_char(out, '+');
		} else {
			put_percent(c, out);
		}
	}
}
