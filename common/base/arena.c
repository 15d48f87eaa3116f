/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of 4 KiB, or larger for one large object.
 */
#include "common/base/arena.h"

#include <stdarg.h>
#include <stdio.h>

enum { BLOCK_SIZE = 4096 };

struct arena_block {
	struct arena_block *older;
	size_t size;
	char bytes[] __attribute__((aligned(8)));
};

static void blocks_free(struct arena_block *b)
{
	while (b) {
		struct arena_block *older = b->older;

		free(b);
		b = older;
	}
}

void arena_fini(struct arena *a)
{
	blocks_free(a->blocks);
	*a = (struct arena) { 0 };
}

void arena_reset(struct arena *a)
{
	struct arena_block *b = a->blocks;

	if (!b) {
		return;
	}
	if (b->size > BLOCK_SIZE) {
		arena_fini(a);
		return;
	}
	blocks_free(b->older);
	b->older = NULL;
	a->at = b->bytes;
	a->end = b->bytes + b->size;
}

void *arena_grow(struct arena *a, size_t size)
{
	size_t payload = max_of(size, BLOCK_SIZE - sizeof(struct arena_block));
	struct arena_block *b = xmalloc(sizeof(*b) + payload);

	b->size = payload;
	b->older = a->blocks;
	a->blocks = b;
	a->at = b->bytes + size;
	a->end = b->bytes + payload;
	return memset(b->bytes, 0, size);
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
	size_t total;

	must(!__builtin_mul_overflow(count, size, &total));
	return arena_alloc(a, total);
}

struct str arena_str(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n) {
		memcpy(p, s.p, s.n);
	}
	return (struct str) { p, s.n };
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
	va_list args, again;
	char *p;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	must(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	return (struct str) { p, (size_t)n };
}
