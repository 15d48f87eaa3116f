/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct arena: memory with the lifetime of one request. Everything is freed at once by arena_fini,
 * or reused after arena_reset, which keeps the first block. Zero-initialised is empty and valid.
 */
#ifndef MUSTER_COMMON_BASE_ARENA_H
#define MUSTER_COMMON_BASE_ARENA_H

#include "common/base/std.h"
#include "common/base/str.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	char *at, *end;
};

void arena_fini(struct arena *a);
void arena_reset(struct arena *a);
void *arena_grow(struct arena *a, size_t size);

/* Zeroed, aligned to 8 (16 for sizes of 16 and more is not promised). */
static inline void *arena_alloc(struct arena *a, size_t size)
{
	size_t rounded = (size + 7) & ~(size_t)7;
	void *p = a->at;

	must(rounded >= size);
	if ((size_t)(a->end - a->at) < rounded || !a->at) {
		return arena_grow(a, rounded);
	}
	if (rounded == 0) {
		return p; /* NULL out of an empty arena */
	}
	a->at += rounded;
	return memset(p, 0, rounded);
}

#define arena_new(a, type)	    ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, count) ((type *)arena_alloc_array((a), (count), sizeof(type)))

void *arena_alloc_array(struct arena *a, size_t count, size_t size);
struct str arena_str(struct arena *a, struct str s); /* a copy, NUL-terminated behind its end */
struct str arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
