/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growth by half, decimal printing without stdio.
 */
#include "common/base/buf.h"

#include <stdio.h>

_Static_assert(
	__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored integers are written in host order");

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf) { 0 };
}

void buf_grow(struct buf *b, size_t more)
{
	size_t wanted = b->n + more;
	size_t size = b->size + b->size / 2;

	must(wanted >= b->n);
	size = max_of(size, (size_t)64);
	size = max_of(size, wanted);
	b->p = xrealloc(b->p, size);
	b->size = size;
}

void buf_trim(struct buf *b, size_t keep)
{
	b->n = 0;
	if (b->size > keep) {
		buf_fini(b);
	}
}

void buf_put_dec(struct buf *b, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_put(b, text + at, sizeof(text) - at);
}

void buf_put_idec(struct buf *b, int64_t v)
{
	if (v < 0) {
		buf_put_char(b, '-');
		buf_put_dec(b, -(uint64_t)v);
		return;
	}
	buf_put_dec(b, (uint64_t)v);
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
	va_list again;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	must(n >= 0);
	buf_reserve(b, (size_t)n + 1);
	vsnprintf(b->p + b->n, (size_t)n + 1, format, args);
	b->n += (size_t)n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_vprintf(b, format, args);
	va_end(args);
}

const char *buf_cstr(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return b->p;
}
