/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending, syncing, cutting, discarding. Reading is in log_read.c, recovery in log_open.c.
 */
#include "raftd/log.h"

#include <stdio.h>

struct segment *log_newest(const struct log *l)
{
	return list_empty(&l->segments) ? NULL : list_entry(l->segments.prev, struct segment, link);
}

void log_free(struct log *l)
{
	struct segment *s, *next;

	list_for_each_safe (s, next, &l->segments, link) {
		segment_free(s);
	}
	list_for_each_safe (s, next, &l->spares, link) {
		segment_free(s);
	}
	if (l->preparing) {
		segment_free(l->preparing);
	}
	log_tail_fini(&l->tail);
	trail_fini(&l->trail);
	arena_fini(&l->bodies);
	free(l->configured);
	free(l);
}

/* -------- new segments -------- */

static int file_new(struct log *l, struct segment **out)
{
	char name[SEGMENT_NAME_SIZE];
	struct disk_file *file;
	uint64_t size;
	int r;

	snprintf(name, sizeof(name), "segment.%u", l->number);
	r = disk_open(l->options.disk, name, &file, &size);
	if (r) {
		return r;
	}
	l->number++;
	*out = segment_new(name, file, 0);
	return 0;
}

static int fill(struct segment *s, uint64_t bytes)
{
	static const char zeros[64 << 10];

	while (bytes) {
		size_t n = (size_t)min_of(bytes, (uint64_t)sizeof(zeros));
		int r = disk_write(s->file, s->size, zeros, n);

		if (r) {
			return r;
		}
		s->size += n;
		bytes -= n;
	}
	return disk_sync(s->file);
}

/* A whole file at once. What cannot be completed is removed: a full disk must not fill up with
 * halves. */
static int segment_make(struct log *l, uint64_t bytes, struct segment **out)
{
	OWN(segment_free) struct segment *s = NULL;
	int r = file_new(l, &s);

	if (r) {
		return r;
	}
	r = fill(s, bytes);
	if (r == 0) {
		r = disk_sync_names(l->options.disk);
	}
	if (r) {
		(void)disk_remove(l->options.disk, s->name);
		return r;
	}
	*out = take(s);
	return 0;
}

static struct segment *spare_take(struct log *l, uint64_t bytes)
{
	struct segment *s;

	list_for_each (s, &l->spares, link) {
		if (s->size >= bytes) {
			list_del(&s->link);
			return s;
		}
	}
	return NULL;
}

void log_put_spare(struct log *l, struct segment *s)
{
	log_tail_forget(&l->tail, s);
	list_del(&s->link);
	list_add_tail(&l->spares, &s->link);
}

int log_reserve(struct log *l, size_t body_size)
{
	struct segment *s = log_newest(l);
	uint64_t need = SEGMENT_HEADER_SIZE + record_size(body_size), size;
	int r;

	if (body_size > LOG_BODY_MAX || need > l->options.segment_bytes) {
		return ST_TOO_LARGE;
	}
	if (s && !l->sealed && segment_has_room(s, record_size(body_size))) {
		return 0;
	}
	s = spare_take(l, need);
	if (!s) {
		size = list_empty(&l->segments) ? l->options.first_segment_bytes
						: l->options.segment_bytes;
		r = segment_make(l, max_of(size, need), &s);
		if (r) {
			return r;
		}
	}
	l->generation++;
	segment_begin(s, l->generation, rng_u64(&l->rng), l->last_index + 1, l->last_term);
	list_add_tail(&l->segments, &s->link);
	l->sealed = false;
	return 0;
}

bool log_wants_spare(const struct log *l)
{
	const struct segment *s = log_newest(l);

	return s && list_empty(&l->spares) && s->end >= s->size / 4;
}

int log_prepare(struct log *l)
{
	uint64_t size = l->options.segment_bytes;
	struct segment *s;
	int r = 0;

	if (!log_wants_spare(l)) {
		return 0;
	}
	if (!l->preparing) {
		r = file_new(l, &l->preparing);
	}
	if (r) {
		return r;
	}
	s = l->preparing;
	r = fill(s, min_of(size - s->size, (uint64_t)LOG_SLICE_BYTES));
	if (r) {
		(void)disk_remove(l->options.disk, s->name);
		segment_free(take(l->preparing));
		return r;
	}
	if (s->size == size) {
		r = disk_sync_names(l->options.disk);
	}
	if (s->size == size && r == 0) {
		log_put_spare(l, take(l->preparing));
	}
	return r;
}

/* -------- appending -------- */

void log_append(struct log *l, uint64_t index, uint64_t term, uint8_t type, struct str body)
{
	struct segment *s = log_newest(l);
	uint64_t unsynced = index - l->synced_index;
	struct record r = {
		.index = index,
		.term = term,
		.unsynced = (uint32_t)min_of(unsynced, (uint64_t)UINT32_MAX),
		.type = type,
		.body = body,
	};

	must(s && !l->sealed && segment_has_room(s, record_size(body.n)));
	must(index == s->last_index + 1);
	log_tail_add(&l->tail, s, &r);
	segment_add(s, &r);
	l->last_index = index;
	l->last_term = term;
	if (l->first_index == 0) {
		l->first_index = index;
	}
}

size_t log_unwritten(const struct log *l)
{
	return log_tail_unwritten(&l->tail);
}

static int chunk_write(struct tail_chunk *c)
{
	int r = disk_write(
		c->segment->file, c->offset + c->written, c->data + c->written, c->n - c->written);

	if (r == 0) {
		c->written = c->n;
	}
	return r;
}

/* Older files first: a record that survives must not stand behind one that does not. */
static int segment_sync(struct log *l, struct segment *s)
{
	struct tail_chunk *c;
	bool dirty = s->header_pending;
	int r = dirty ? segment_write_header(s) : 0;

	list_for_each (c, &l->tail.chunks, link) {
		if (r == 0 && c->segment == s && c->written < c->n) {
			dirty = true;
			r = chunk_write(c);
		}
	}
	return r || !dirty ? r : disk_sync(s->file);
}

int log_sync(struct log *l)
{
	struct segment *s;

	list_for_each (s, &l->segments, link) {
		if (s->last_index > l->synced_index) {
			int r = segment_sync(l, s);

			if (r) {
				return r;
			}
		}
	}
	l->synced_index = l->last_index;
	l->synced_term = l->last_term;
	log_tail_shrink(&l->tail);
	return 0;
}

/*
 * What may or may not be on the disk is overruled by the next segment, whose generation is higher
 * and which begins behind `after`: so nothing more goes into this one.
 */
void log_cut(struct log *l, uint64_t after, uint64_t term)
{
	struct segment *s;

	must(after + 1 >= l->first_index && after <= l->last_index);
	if (after == l->last_index) {
		return;
	}
	log_tail_cut(&l->tail, after);
	while ((s = log_newest(l)) && s->base_index > after) {
		log_put_spare(l, s);
	}
	if (s && s->last_index > after) {
		s->last_index = after;
		s->last_term = term;
	}
	l->sealed = true;
	l->last_index = after;
	l->last_term = term;
	if (l->synced_index > after) {
		l->synced_index = after;
		l->synced_term = term;
	}
	l->first_index = after ? l->first_index : 0;
}

void log_reset(struct log *l, uint64_t index, uint64_t term)
{
	struct segment *s;

	while ((s = log_newest(l))) {
		log_put_spare(l, s);
	}
	l->sealed = true;
	l->first_index = index + 1;
	l->last_index = l->synced_index = index;
	l->last_term = l->synced_term = term;
}

/* -------- giving back -------- */

static int segment_retire(struct log *l, struct segment *s)
{
	struct segment *spare;
	size_t count = 0;
	int r;

	log_put_spare(l, s);
	list_for_each (spare, &l->spares, link) {
		count++;
	}
	if (count <= LOG_SPARES_MAX && s->size >= l->options.segment_bytes) {
		return 0;
	}
	r = disk_remove(l->options.disk, s->name);
	segment_free(s);
	return r;
}

int log_discard(struct log *l, uint64_t before, uint64_t limit, uint64_t bytes_max)
{
	int result = 0;

	while (!list_empty(&l->segments)) {
		struct segment *s = list_first(&l->segments, struct segment, link);
		bool old = s->last_index < before;
		bool over = s->last_index < limit && log_disk_bytes(l) > bytes_max;
		int r;

		if (s == log_newest(l) || !(old || over)) {
			break;
		}
		r = segment_retire(l, s);
		result = result ? result : r;
		l->first_index = list_first(&l->segments, struct segment, link)->base_index;
	}
	return result;
}

uint64_t log_disk_bytes(const struct log *l)
{
	const struct segment *s;
	uint64_t bytes = 0;

	list_for_each (s, &l->segments, link) {
		bytes += s->size;
	}
	return bytes;
}
