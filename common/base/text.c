/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small values as text (declared in str.h): hex, base64, URLs, UUID.
 */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

static const char hex_digits[] = "0123456789abcdef";

void hex_render(struct buf *out, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;
	char *p = buf_reserve(out, 2 * n);

	for (size_t i = 0; i < n; i++) {
		p[2 * i] = hex_digits[b[i] >> 4];
		p[2 * i + 1] = hex_digits[b[i] & 15];
	}
	out->n += 2 * n;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_parse(struct str s, void *out, size_t n)
{
	uint8_t *b = out;

	if (s.n != 2 * n) {
		return ST_INVALID;
	}
	for (size_t i = 0; i < n; i++) {
		int high = hex_value(s.p[2 * i]), low = hex_value(s.p[2 * i + 1]);

		if (high < 0 || low < 0) {
			return ST_INVALID;
		}
		b[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

void url_escape(struct buf *out, struct str s, bool slash_kept)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9') || (ch && strchr("-._~", ch)) ||
			     (slash_kept && ch == '/');

		if (plain) {
			buf_put_char(out, (char)ch);
		} else {
			buf_printf(out, "%%%02X", ch);
		}
	}
}

void path_join(struct buf *out, struct str part)
{
	struct str rest = part;

	while (rest.p) {
		struct str name = str_split(rest, '/', &rest);

		if (name.n == 0) {
			continue;
		}
		if (out->n && out->p[out->n - 1] != '/') {
			buf_put_char(out, '/');
		}
		buf_put_str(out, name);
	}
}

void base64_render(struct buf *out, const void *bytes, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *b = bytes;
	char *p = buf_reserve(out, (n + 2) / 3 * 4);
	size_t i = 0;

	for (; i + 2 < n; i += 3) {
		uint32_t v = (uint32_t)b[i] << 16 | (uint32_t)b[i + 1] << 8 | b[i + 2];

		*p++ = digits[v >> 18];
		*p++ = digits[v >> 12 & 63];
		*p++ = digits[v >> 6 & 63];
		*p++ = digits[v & 63];
	}
	if (i < n) {
		uint32_t v = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0);

		*p++ = digits[v >> 18];
		*p++ = digits[v >> 12 & 63];
		*p++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*p++ = '=';
	}
	out->n += (n + 2) / 3 * 4;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z') {
		return c - 'A';
	}
	if (c >= 'a' && c <= 'z') {
		return c - 'a' + 26;
	}
	if (c >= '0' && c <= '9') {
		return c - '0' + 52;
	}
	if (c == '+') {
		return 62;
	}
	return c == '/' ? 63 : -1;
}

static size_t line_ends_skip(struct str s, size_t at)
{
	while (at < s.n && (s.p[at] == '\n' || s.p[at] == '\r')) {
		at++;
	}
	return at;
}

/* From the first '=' on, behind so many digits of a group of four. */
static int base64_padding(struct str s, size_t at, size_t digits, size_t *bad_at)
{
	size_t next = line_ends_skip(s, at + 1);

	*bad_at = at;
	if (digits < 2) {
		return ST_INVALID;
	}
	if (digits == 2) {
		*bad_at = next < s.n ? next - 1 : s.n;
		if (next == s.n || s.p[next] != '=') {
			return ST_INVALID;
		}
		next = line_ends_skip(s, next + 1);
	}
	*bad_at = next;
	return next < s.n ? ST_INVALID : 0;
}

static void base64_group(struct buf *out, uint32_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		buf_put_u8(out, (uint8_t)(v >> (16 - 8 * i)));
	}
}

int base64_parse(struct str s, struct buf *out, size_t *bad_at)
{
	size_t digits = 0, ignored;
	uint32_t v = 0;

	bad_at = bad_at ? bad_at : &ignored;
	for (size_t i = line_ends_skip(s, 0); i < s.n; i = line_ends_skip(s, i + 1)) {
		int digit = base64_value(s.p[i]);

		if (digit < 0) {
			*bad_at = i;
			if (s.p[i] != '=' || base64_padding(s, i, digits, bad_at)) {
				return ST_INVALID;
			}
			base64_group(out, v << (6 * (4 - digits)), digits - 1);
			return 0;
		}
		v = v << 6 | (uint32_t)digit;
		if (++digits == 4) {
			base64_group(out, v, 3);
			digits = 0;
		}
	}
	*bad_at = s.n - digits;
	return digits ? ST_INVALID : 0;
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool uuid_is_zero(const struct uuid *a)
{
	static const struct uuid zero;

	return uuid_eq(a, &zero);
}

void uuid_text(const struct uuid *u, char out[UUID_TEXT_SIZE + 1])
{
	size_t at = 0;

	for (size_t i = 0; i < sizeof(u->b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10) {
			out[at++] = '-';
		}
		out[at++] = hex_digits[u->b[i] >> 4];
		out[at++] = hex_digits[u->b[i] & 15];
	}
	out[at] = '\0';
}

void uuid_render(struct buf *out, const struct uuid *u)
{
	char text[UUID_TEXT_SIZE + 1];

	uuid_text(u, text);
	buf_put(out, text, UUID_TEXT_SIZE);
}

int uuid_parse(struct str s, struct uuid *out)
{
	char digits[32];
	size_t at = 0;

	if (s.n != UUID_TEXT_SIZE) {
		return ST_INVALID;
	}
	for (size_t i = 0; i < s.n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (s.p[i] == '-')) {
			return ST_INVALID;
		}
		if (!dash) {
			digits[at++] = s.p[i];
		}
	}
	return hex_parse(str_n(digits, sizeof(digits)), out->b, sizeof(out->b));
}

uint64_t uuid_fold(const struct uuid *u)
{
	uint64_t high, low;

	memcpy(&high, u->b, 8);
	memcpy(&low, u->b + 8, 8);
	return __builtin_bswap64(high) ^ __builtin_bswap64(low);
}

void uuid_from_random(const uint8_t bytes[16], struct uuid *out)
{
	memcpy(out->b, bytes, sizeof(out->b));
	out->b[6] = (uint8_t)((out->b[6] & 0x0f) | 0x40);
	out->b[8] = (uint8_t)((out->b[8] & 0x3f) | 0x80);
}
