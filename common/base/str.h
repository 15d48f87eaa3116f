/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct str: a borrowed run of bytes, not NUL-terminated, may hold NUL. Passed by value. Never
 * owns. Also the parsing and printing of the small values that travel as text: integers, durations
 * (Go syntax), hex, base64, UUID.
 */
#ifndef MUSTER_COMMON_BASE_STR_H
#define MUSTER_COMMON_BASE_STR_H

#include "common/base/std.h"

struct buf;

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str) { "" literal, sizeof(literal) - 1 })
#define STR_NONE     ((struct str) { NULL, 0 })
#define STR_FMT	     "%.*s"
#define STR_ARG(s)   (int)(s).n, ((s).p ? (s).p : "")

static inline struct str str_of(const char *s)
{
	return (struct str) { s, s ? strlen(s) : 0 };
}

static inline struct str str_n(const void *p, size_t n)
{
	return (struct str) { p, n };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *b)
{
	return str_eq(a, str_of(b));
}

int str_cmp(struct str a, struct str b);  /* bytewise, shorter first */
bool str_ieq(struct str a, struct str b); /* ASCII case folded */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_istarts(struct str s, struct str prefix);
struct str str_skip(struct str s, size_t n); /* without its first n bytes (or empty) */
struct str str_cut(struct str s, size_t n);  /* its first n bytes at most */
struct str str_trim(struct str s);	     /* without white space at both ends */
ssize_t str_find(struct str s, char c);	     /* offset, or -1 */
ssize_t str_rfind(struct str s, char c);
ssize_t str_find_str(struct str s, struct str part);
/* Cuts s at the first c: returns what precedes it and leaves what follows in *rest. Without c: all
 * of s, and rest is STR_NONE (p NULL). */
struct str str_split(struct str s, char c, struct str *rest);
char *str_dup(struct str s);		      /* NUL-terminated heap copy, owned by the caller */
void str_lower_into(struct str s, char *out); /* writes s.n bytes, ASCII lower case */

/* Strict decimal: digits only, whole input, no overflow. ST_INVALID / ST_TOO_LARGE (overflow). */
int str_to_u64(struct str s, uint64_t *out);
int str_to_i64(struct str s, int64_t *out);
/* Go's strconv.ParseBool: 1 t T TRUE true True 0 f F FALSE false False. */
int str_to_bool(struct str s, bool *out);

/*
 * Go's time.ParseDuration: sign, decimals with ns us µs ms s m h, combinable; "0" needs no unit.
 * Nanoseconds. On error (ST_INVALID) appends Go's text to *why (may be NULL): time: invalid
 * duration "x", time: unknown unit "y" in duration "5y", time: missing unit in duration "5".
 */
int duration_parse(struct str s, int64_t *ns_out, struct buf *why);
/* Go's Duration.String: 1m30s, 200ms, 0s. */
void duration_render(struct buf *out, int64_t ns);

void hex_render(struct buf *out, const void *bytes, size_t n);
int hex_parse(struct str s, void *out, size_t n); /* exactly 2n digits, any case. ST_INVALID */

void base64_render(
	struct buf *out, const void *bytes, size_t n); /* standard alphabet with padding */
/* As Go reads it: line ends are passed over, all else is strict. ST_INVALID and the offset that Go
 * tells (bad_at may be NULL); *out has what came before. */
int base64_parse(struct str s, struct buf *out, size_t *bad_at);

/* Percent-encodes what is not unreserved in a URL (RFC 3986, section 2.3). */
void url_escape(struct buf *out, struct str s, bool slash_kept);

/* Appends "/" and a part to a key, as Go's path.Join does with slashes: none at the begin's end, no
 * empty parts. */
void path_join(struct buf *out, struct str part);

#define UUID_TEXT_SIZE 36
struct uuid {
	uint8_t b[16];
};
bool uuid_eq(const struct uuid *a, const struct uuid *b);
bool uuid_is_zero(const struct uuid *a);
void uuid_render(struct buf *out, const struct uuid *u);
void uuid_text(const struct uuid *u, char out[UUID_TEXT_SIZE + 1]);
int uuid_parse(struct str s, struct uuid *out); /* 8-4-4-4-12 hex digits. ST_INVALID */
uint64_t uuid_fold(const struct uuid *u);	/* its halves, XORed: event/list's index */
void uuid_from_random(
	const uint8_t bytes[16], struct uuid *out); /* sets version 4 and variant bits */

/* Valid UTF-8 (RFC 3629)? */
bool utf8_valid(struct str s);

#endif
