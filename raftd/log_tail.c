/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of encoded records, oldest first.
 */
#include "raftd/log_tail.h"

enum { CHUNKS_AT_LIMIT = 8 };

void log_tail_init(struct log_tail *t, size_t bytes_max)
{
	list_init(&t->chunks);
	t->bytes = 0;
	t->bytes_max = bytes_max;
	t->chunk_bytes = bytes_max / CHUNKS_AT_LIMIT;
}

static void chunk_free(struct log_tail *t, struct tail_chunk *c)
{
	list_del(&c->link);
	t->bytes -= c->size;
	free(c);
}

void log_tail_fini(struct log_tail *t)
{
	struct tail_chunk *c, *next;

	list_for_each_safe (c, next, &t->chunks, link) {
		chunk_free(t, c);
	}
}

static struct tail_chunk *chunk_last(const struct log_tail *t)
{
	return list_empty(&t->chunks) ? NULL : list_entry(t->chunks.prev, struct tail_chunk, link);
}

static struct tail_chunk *chunk_for(
	struct log_tail *t, struct segment *s, uint64_t index, size_t bytes)
{
	struct tail_chunk *c = chunk_last(t);
	size_t size = max_of(t->chunk_bytes, bytes);

	if (c && c->segment == s && c->size - c->n >= bytes) {
		return c;
	}
	c = xmalloc(sizeof(*c) + size);
	*c = (struct tail_chunk) {
		.segment = s,
		.offset = s->end,
		.first_index = index,
		.last_index = index - 1,
		.size = size,
	};
	list_add_tail(&t->chunks, &c->link);
	t->bytes += size;
	return c;
}

void log_tail_add(struct log_tail *t, struct segment *s, const struct record *r)
{
	size_t bytes = record_size(r->body.n);
	struct tail_chunk *c = chunk_for(t, s, r->index, bytes);

	must(c->offset + c->n == s->end && c->last_index + 1 == r->index);
	record_encode(s, r, c->data + c->n);
	c->n += bytes;
	c->last_index = r->index;
}

size_t log_tail_unwritten(const struct log_tail *t)
{
	const struct tail_chunk *c;
	size_t bytes = 0;

	list_for_each (c, &t->chunks, link) {
		bytes += c->n - c->written;
	}
	return bytes;
}

uint64_t log_tail_first(const struct log_tail *t)
{
	return list_empty(&t->chunks)
		       ? 0
		       : list_first(&t->chunks, struct tail_chunk, link)->first_index;
}

static struct tail_chunk *chunk_of(const struct log_tail *t, uint64_t index)
{
	/* Newest first: that is what is asked for. */
	for (struct list *l = t->chunks.prev; l != &t->chunks; l = l->prev) {
		struct tail_chunk *c = list_entry(l, struct tail_chunk, link);

		if (index >= c->first_index) {
			return index <= c->last_index ? c : NULL;
		}
	}
	return NULL;
}

/* Our own memory, so no CRC. */
static size_t record_view(const char *p, struct record *out)
{
	uint32_t length;

	memcpy(&length, p + 4, 4);
	memcpy(&out->index, p + 8, 8);
	memcpy(&out->term, p + 16, 8);
	memcpy(&out->unsynced, p + 24, 4);
	out->type = (uint8_t)p[28];
	out->body = str_n(p + RECORD_HEADER_SIZE, length);
	return record_size(length);
}

static size_t chunk_seek(const struct tail_chunk *c, uint64_t index)
{
	size_t at = 0;
	uint32_t length;

	for (uint64_t i = c->first_index; i < index; i++) {
		memcpy(&length, c->data + at + 4, 4);
		at += record_size(length);
	}
	return at;
}

bool log_tail_find(const struct log_tail *t, uint64_t index, struct record *out)
{
	const struct tail_chunk *c = chunk_of(t, index);

	if (!c) {
		return false;
	}
	record_view(c->data + chunk_seek(c, index), out);
	return true;
}

void log_tail_each(const struct log_tail *t, uint64_t index,
	bool (*visit)(void *arg, const struct record *r), void *arg)
{
	const struct tail_chunk *c = chunk_of(t, index);
	struct record r;

	must(c);
	for (const struct list *l = &c->link; l != &t->chunks; l = l->next) {
		c = list_entry(l, struct tail_chunk, link);
		for (size_t at = chunk_seek(c, max_of(index, c->first_index)); at < c->n;) {
			at += record_view(c->data + at, &r);
			if (!visit(arg, &r)) {
				return;
			}
		}
	}
}

void log_tail_cut(struct log_tail *t, uint64_t after)
{
	struct tail_chunk *c;

	while ((c = chunk_last(t)) && c->last_index > after) {
		if (c->first_index > after) {
			chunk_free(t, c);
			continue;
		}
		c->n = chunk_seek(c, after + 1);
		c->last_index = after;
		c->written = min_of(c->written, c->n);
	}
}

void log_tail_forget(struct log_tail *t, const struct segment *s)
{
	struct tail_chunk *c, *next;

	list_for_each_safe (c, next, &t->chunks, link) {
		if (c->segment == s) {
			chunk_free(t, c);
		}
	}
}

void log_tail_shrink(struct log_tail *t)
{
	struct tail_chunk *c;

	while (t->bytes > t->bytes_max && (c = list_first(&t->chunks, struct tail_chunk, link)) &&
		c->written == c->n && c != chunk_last(t)) {
		chunk_free(t, c);
	}
}
