/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed strings: comparison, cutting, integers, UTF-8.
 */
#include "common/base/str.h"

#include <ctype.h>

#include "common/base/err.h"

int str_cmp(struct str a, struct str b)
{
	size_t n = min_of(a.n, b.n);
	int r = n ? memcmp(a.p, b.p, n) : 0;

	if (r) {
		return r;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_ieq(struct str a, struct str b)
{
	if (a.n != b.n) {
		return false;
	}
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i])) {
			return false;
		}
	}
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_cut(s, prefix.n), prefix);
}

bool str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_ieq(str_cut(s, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix);
}

struct str str_skip(struct str s, size_t n)
{
	n = min_of(n, s.n);
	return (struct str) { s.p + n, s.n - n };
}

struct str str_cut(struct str s, size_t n)
{
	return (struct str) { s.p, min_of(n, s.n) };
}

struct str str_trim(struct str s)
{
	while (s.n && isspace((unsigned char)s.p[0])) {
		s = str_skip(s, 1);
	}
	while (s.n && isspace((unsigned char)s.p[s.n - 1])) {
		s.n--;
	}
	return s;
}

ssize_t str_find(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

ssize_t str_rfind(struct str s, char c)
{
	const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

ssize_t str_find_str(struct str s, struct str part)
{
	const char *at;

	if (part.n == 0) {
		return 0;
	}
	at = s.n ? memmem(s.p, s.n, part.p, part.n) : NULL;
	return at ? at - s.p : -1;
}

struct str str_split(struct str s, char c, struct str *rest)
{
	ssize_t at = str_find(s, c);

	if (at < 0) {
		*rest = STR_NONE;
		return s;
	}
	*rest = str_skip(s, (size_t)at + 1);
	return str_cut(s, (size_t)at);
}

char *str_dup(struct str s)
{
	char *p = xmalloc(s.n + 1);

	if (s.n) {
		memcpy(p, s.p, s.n);
	}
	p[s.n] = '\0';
	return p;
}

void str_lower_into(struct str s, char *out)
{
	for (size_t i = 0; i < s.n; i++) {
		out[i] = lower(s.p[i]);
	}
}

int str_to_u64(struct str s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0) {
		return ST_INVALID;
	}
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9') {
			return ST_INVALID;
		}
	}
	for (size_t i = 0; i < s.n; i++) {
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
			return ST_TOO_LARGE;
		}
	}
	*out = v;
	return 0;
}

int str_to_i64(struct str s, int64_t *out)
{
	bool negative = s.n && s.p[0] == '-';
	bool sign = negative || (s.n && s.p[0] == '+');
	uint64_t v;
	int r = str_to_u64(sign ? str_skip(s, 1) : s, &v);

	if (r) {
		return r;
	}
	if (v > (uint64_t)INT64_MAX + negative) {
		return ST_TOO_LARGE;
	}
	*out = negative ? (int64_t)-v : (int64_t)v;
	return 0;
}

int str_to_bool(struct str s, bool *out)
{
	static const char *const words[][6] = {
		{ "0", "f", "F", "FALSE", "false", "False" },
		{ "1", "t", "T", "TRUE", "true", "True" },
	};

	for (size_t value = 0; value < 2; value++) {
		for (size_t i = 0; i < ARRAY_SIZE(words[0]); i++) {
			if (str_is(s, words[value][i])) {
				*out = value;
				return 0;
			}
		}
	}
	return ST_INVALID;
}

/* The length of the well-formed sequence at p (RFC 3629, table of section 4), or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t n;
	} forms[] = {
		{ 0x00, 0x7f, 0x80, 0xbf, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t f = 0; f < ARRAY_SIZE(forms); f++) {
		if (p[0] < forms[f].first || p[0] > forms[f].last) {
			continue;
		}
		if (left < forms[f].n ||
			(forms[f].n > 1 && (p[1] < forms[f].low || p[1] > forms[f].high))) {
			return 0;
		}
		for (size_t i = 2; i < forms[f].n; i++) {
			if ((p[i] & 0xc0) != 0x80) {
				return 0;
			}
		}
		return forms[f].n;
	}
	return 0;
}

bool utf8_valid(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0; i < s.n;) {
		size_t n = p[i] < 0x80 ? 1 : utf8_sequence(p + i, s.n - i);

		if (n == 0) {
			return false;
		}
		i += n;
	}
	return true;
}
