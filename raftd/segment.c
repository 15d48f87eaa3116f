/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding and decoding of headers and records; no policy.
 */
#include "raftd/segment.h"

#include <stdio.h>

#include "common/base/cursor.h"
#include "common/base/hash.h"

static const char header_magic[8] = "musterL1";

enum { HEADER_SIZE = 8 + 4 * 8 + 4 };

static uint32_t seed_of(const struct segment *s)
{
	const uint64_t words[] = { s->generation, s->salt };

	return crc32c(0, words, sizeof(words));
}

void record_encode(const struct segment *s, const struct record *r, char *p)
{
	uint32_t length = (uint32_t)r->body.n, crc;

	memset(p + 28, 0, 4);
	memcpy(p + 4, &length, 4);
	memcpy(p + 8, &r->index, 8);
	memcpy(p + 16, &r->term, 8);
	memcpy(p + 24, &r->unsynced, 4);
	p[28] = (char)r->type;
	if (r->body.n) {
		memcpy(p + RECORD_HEADER_SIZE, r->body.p, r->body.n);
	}
	crc = crc32c(seed_of(s), p + 4, RECORD_HEADER_SIZE - 4 + r->body.n);
	memcpy(p, &crc, 4);
	memset(p + RECORD_HEADER_SIZE + r->body.n, 0,
		record_size(r->body.n) - RECORD_HEADER_SIZE - r->body.n);
}

int record_decode(
	const struct segment *s, const char *p, size_t n, struct record *out, size_t *size_out)
{
	uint32_t crc, length, tail;

	if (n < RECORD_HEADER_SIZE) {
		return ST_CORRUPT;
	}
	memcpy(&crc, p, 4);
	memcpy(&length, p + 4, 4);
	memcpy(&tail, p + 28, 4);
	if (length > n - RECORD_HEADER_SIZE || tail == 0 || tail > UINT8_MAX) {
		return ST_CORRUPT;
	}
	memcpy(&out->index, p + 8, 8);
	memcpy(&out->term, p + 16, 8);
	memcpy(&out->unsynced, p + 24, 4);
	out->type = (uint8_t)tail;
	if (out->index < s->base_index || out->unsynced == 0 || out->unsynced > out->index) {
		return ST_CORRUPT;
	}
	if (crc != crc32c(seed_of(s), p + 4, RECORD_HEADER_SIZE - 4 + length)) {
		return ST_CORRUPT;
	}
	out->body = str_n(p + RECORD_HEADER_SIZE, length);
	*size_out = min_of(record_size(length), n);
	return 0;
}

struct segment *segment_new(const char *name, struct disk_file *file, uint64_t size)
{
	struct segment *s = xcalloc(1, sizeof(*s));

	list_init(&s->link);
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->file = file;
	s->size = size;
	return s;
}

void segment_free(struct segment *s)
{
	list_del(&s->link);
	disk_close(s->file);
	free(s->marks);
	free(s);
}

void segment_begin(struct segment *s, uint64_t generation, uint64_t salt, uint64_t base_index,
	uint64_t base_term)
{
	s->generation = generation;
	s->salt = salt;
	s->base_index = base_index;
	s->base_term = base_term;
	s->last_index = base_index - 1;
	s->last_term = base_term;
	s->end = SEGMENT_HEADER_SIZE;
	s->header_pending = true;
	s->marks_count = 0;
}

static void put_header(struct buf *out, const struct segment *s)
{
	size_t at = out->n;

	buf_put(out, header_magic, sizeof(header_magic));
	buf_put_u64(out, s->generation);
	buf_put_u64(out, s->salt);
	buf_put_u64(out, s->base_index);
	buf_put_u64(out, s->base_term);
	buf_put_u32(out, crc32c(0, out->p + at, out->n - at));
}

int segment_write_header(struct segment *s)
{
	OWN_EMBEDDED(buf_fini) struct buf block = { 0 };
	int r;

	memset(buf_reserve(&block, SEGMENT_HEADER_SIZE), 0, SEGMENT_HEADER_SIZE);
	put_header(&block, s);
	block.n = SEGMENT_HEADER_COPY;
	put_header(&block, s);
	r = disk_write(s->file, 0, block.p, SEGMENT_HEADER_SIZE);
	s->header_pending = r != 0;
	return r;
}

int segment_erase(struct segment *s)
{
	static const char zeros[SEGMENT_HEADER_SIZE];
	int r = disk_write(s->file, 0, zeros, sizeof(zeros));

	s->generation = 0;
	return r ? r : disk_sync(s->file);
}

static void take_header(struct segment *s, const char *p)
{
	struct cursor c = cursor_of(str_n(p, HEADER_SIZE));
	struct str magic = cursor_take(&c, sizeof(header_magic));
	uint64_t generation = cursor_u64(&c), salt = cursor_u64(&c);
	uint64_t base_index = cursor_u64(&c), base_term = cursor_u64(&c);
	uint32_t crc = cursor_u32(&c);

	/* The copies differ when the power went while a new generation was begun: the newer one
	 * counts. */
	if (memcmp(magic.p, header_magic, sizeof(header_magic)) != 0 ||
		crc != crc32c(0, p, HEADER_SIZE - 4) || generation <= s->generation ||
		base_index == 0) {
		return;
	}
	segment_begin(s, generation, salt, base_index, base_term);
	s->header_pending = false;
}

int segment_read_header(struct segment *s)
{
	char block[SEGMENT_HEADER_SIZE];
	int r;

	s->generation = 0;
	if (s->size < SEGMENT_HEADER_SIZE) {
		return 0;
	}
	r = disk_read(s->file, 0, block, sizeof(block));
	if (r) {
		return r;
	}
	take_header(s, block);
	take_header(s, block + SEGMENT_HEADER_COPY);
	return 0;
}

void segment_add(struct segment *s, const struct record *r)
{
	must(r->index == s->last_index + 1);
	if ((r->index - s->base_index) % SEGMENT_MARK_EVERY == 0) {
		if (s->marks_count == s->marks_room) {
			s->marks_room = max_of(s->marks_room * 2, (size_t)64);
			s->marks = xrealloc(s->marks, s->marks_room * sizeof(*s->marks));
		}
		s->marks[s->marks_count++] = (uint32_t)s->end;
	}
	s->last_index = r->index;
	s->last_term = r->term;
	s->end += record_size(r->body.n);
}

uint64_t segment_seek(const struct segment *s, uint64_t index, uint64_t *index_out)
{
	size_t mark = (size_t)((index - s->base_index) / SEGMENT_MARK_EVERY);

	must(index >= s->base_index && index <= s->last_index && mark < s->marks_count);
	*index_out = s->base_index + mark * SEGMENT_MARK_EVERY;
	return s->marks[mark];
}
