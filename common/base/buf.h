/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct buf: a growable run of bytes. Zero-initialised is empty and valid. Embedded:
 * buf_init/buf_fini; declare locals as OWN_EMBEDDED(buf_fini) struct buf b = { 0 }; Fixed-width
 * integers are written little-endian (the order of every stored or local message); _be for the
 * network's.
 */
#ifndef MUSTER_COMMON_BASE_BUF_H
#define MUSTER_COMMON_BASE_BUF_H

#include <stdarg.h>

#include "common/base/std.h"
#include "common/base/str.h"

struct buf {
	char *p;
	size_t n;
	size_t size;
};

static inline void buf_init(struct buf *b)
{
	*b = (struct buf) { 0 };
}

void buf_fini(struct buf *b);
void buf_grow(
	struct buf *b, size_t more); /* makes room for more bytes behind n, without adding them */
void buf_trim(struct buf *b,
	size_t keep); /* empties it; gives the memory back where it is over keep bytes */

static inline void buf_clear(struct buf *b)
{
	b->n = 0;
}

static inline char *buf_reserve(struct buf *b, size_t more)
{
	if (__builtin_expect(b->size - b->n < more, 0)) {
		buf_grow(b, more);
	}
	return b->p + b->n;
}

static inline void buf_put(struct buf *b, const void *p, size_t n)
{
	if (n) {
		memcpy(buf_reserve(b, n), p, n);
		b->n += n;
	}
}

static inline void buf_put_str(struct buf *b, struct str s)
{
	buf_put(b, s.p, s.n);
}

#define buf_put_lit(b, literal) buf_put((b), "" literal, sizeof(literal) - 1)

static inline void buf_put_cstr(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

static inline void buf_put_char(struct buf *b, char c)
{
	*buf_reserve(b, 1) = c;
	b->n++;
}

static inline void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put_char(b, (char)v);
}

static inline void buf_put_u16(struct buf *b, uint16_t v)
{
	buf_put(b, &v, sizeof(v));
}

static inline void buf_put_u32(struct buf *b, uint32_t v)
{
	buf_put(b, &v, sizeof(v));
}

static inline void buf_put_u64(struct buf *b, uint64_t v)
{
	buf_put(b, &v, sizeof(v));
}

static inline void buf_put_u16be(struct buf *b, uint16_t v)
{
	v = __builtin_bswap16(v);
	buf_put(b, &v, sizeof(v));
}

static inline void buf_put_u32be(struct buf *b, uint32_t v)
{
	v = __builtin_bswap32(v);
	buf_put(b, &v, sizeof(v));
}

static inline void buf_put_u64be(struct buf *b, uint64_t v)
{
	v = __builtin_bswap64(v);
	buf_put(b, &v, sizeof(v));
}

void buf_put_dec(struct buf *b, uint64_t v);
void buf_put_idec(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *format, va_list args) PRINTF_LIKE(2, 0);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str) { b->p, b->n };
}

/* NUL-terminates (the NUL is not counted) and returns the text, borrowed until the next change. */
const char *buf_cstr(struct buf *b);

#endif
