/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct cursor: reads a borrowed run of bytes front to back with a sticky error: after the first
 * short or wrong read every read gives zero, and cursor_done() says so once at the end. Integers
 * little-endian unless _be.
 */
#ifndef MUSTER_COMMON_BASE_CURSOR_H
#define MUSTER_COMMON_BASE_CURSOR_H

#include "common/base/err.h"
#include "common/base/str.h"

struct cursor {
	const char *p;
	const char *end;
	bool bad;
};

static inline struct cursor cursor_of(struct str s)
{
	return (struct cursor) { s.p, s.p + s.n, false };
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

static inline struct str cursor_take(struct cursor *c, size_t n)
{
	struct str s = { c->p, n };

	if (c->bad || cursor_left(c) < n) {
		c->bad = true;
		return STR_NONE;
	}
	c->p += n;
	return s;
}

static inline void cursor_read(struct cursor *c, void *out, size_t n)
{
	struct str s = cursor_take(c, n);

	if (c->bad) {
		memset(out, 0, n);
	} else {
		memcpy(out, s.p, n);
	}
}

#define CURSOR_GETTER(name, type, convert)                 \
	static inline type cursor_##name(struct cursor *c) \
	{                                                  \
		type v;                                    \
                                                           \
		cursor_read(c, &v, sizeof(v));             \
		return convert(v);                         \
	}
CURSOR_GETTER(u8, uint8_t, )
CURSOR_GETTER(u16, uint16_t, )
CURSOR_GETTER(u32, uint32_t, )
CURSOR_GETTER(u64, uint64_t, )
CURSOR_GETTER(u16be, uint16_t, __builtin_bswap16)
CURSOR_GETTER(u32be, uint32_t, __builtin_bswap32)
CURSOR_GETTER(u64be, uint64_t, __builtin_bswap64)
#undef CURSOR_GETTER

static inline struct str cursor_rest(struct cursor *c)
{
	return cursor_take(c, cursor_left(c));
}

/* 0 when everything was read and nothing was wrong; ST_TRUNCATED after a short read; ST_INVALID
 * with bytes left over. */
static inline int cursor_done(const struct cursor *c)
{
	if (c->bad) {
		return ST_TRUNCATED;
	}
	return c->p == c->end ? 0 : ST_INVALID;
}

#endif
