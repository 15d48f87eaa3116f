/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring; the next byte goes to total modulo size.
 */
#include "common/base/tail.h"

void tail_init(struct tail *t, size_t size)
{
	*t = (struct tail) { .ring = size ? xmalloc(size) : NULL, .size = size };
}

void tail_fini(struct tail *t)
{
	free(t->ring);
	*t = (struct tail) { 0 };
}

void tail_put(struct tail *t, struct str bytes)
{
	if (bytes.n > t->size) {
		t->total += bytes.n - t->size;
		bytes = str_skip(bytes, bytes.n - t->size);
	}
	while (bytes.n) {
		size_t at = t->total % t->size, part = min_of(bytes.n, t->size - at);

		memcpy(t->ring + at, bytes.p, part);
		t->total += part;
		bytes = str_skip(bytes, part);
	}
}

void tail_render(const struct tail *t, struct buf *out)
{
	size_t at = t->total > t->size && t->size ? t->total % t->size : 0;

	if (t->total > t->size) {
		buf_put(out, t->ring + at, t->size - at);
		buf_put(out, t->ring, at);
	} else {
		buf_put(out, t->ring, t->total);
	}
}
