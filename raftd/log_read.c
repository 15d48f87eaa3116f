/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading records back: the newest from memory, older ones from their segment, checked again.
 */
#include "raftd/log.h"

enum { READ_WINDOW_MIN = 64 << 10 };

struct harvest {
	struct record *items;
	size_t count, count_max, bytes, bytes_max;
};

/* false: enough */
static bool harvest_add(void *arg, const struct record *r)
{
	struct harvest *h = arg;

	if (h->count == h->count_max || (h->count && h->bytes + r->body.n > h->bytes_max)) {
		return false;
	}
	h->items[h->count++] = *r;
	h->bytes += r->body.n;
	return h->count < h->count_max && h->bytes < h->bytes_max;
}

static struct segment *segment_of(const struct log *l, uint64_t index)
{
	struct segment *s;

	list_for_each (s, &l->segments, link) {
		if (index >= s->base_index && index <= s->last_index) {
			return s;
		}
	}
	return NULL;
}

/*
 * One window of the segment from offset on, where record *index stands. Both move behind what was
 * decoded. The window may end inside a record; *needed_out is then what that record takes.
 */
static int read_window(const struct segment *s, uint64_t *offset, uint64_t *index, uint64_t from,
	size_t window, struct arena *arena, struct harvest *h)
{
	size_t n = (size_t)min_of((uint64_t)window, s->end - *offset), at = 0, size;
	char *bytes = arena_alloc(arena, n);
	struct record r;
	int status = disk_read(s->file, *offset, bytes, n);

	if (status) {
		return status;
	}
	while (record_decode(s, bytes + at, n - at, &r, &size) == 0 && r.index == *index) {
		at += size;
		(*index)++;
		if (r.index >= from && !harvest_add(h, &r)) {
			break;
		}
	}
	*offset += at;
	return 0;
}

static int read_segment(
	const struct segment *s, uint64_t from, struct arena *arena, struct harvest *h)
{
	size_t window = h->bytes_max + READ_WINDOW_MIN;
	uint64_t index, before;
	uint64_t offset = segment_seek(s, from, &index);

	while (h->count == 0) {
		int r;

		before = offset;
		r = read_window(s, &offset, &index, from, window, arena, h);
		if (r) {
			return r;
		}
		if (offset == before) {
			if (window >= s->end - offset) {
				return ST_CORRUPT;
			}
			window *= 2; /* the record is longer than that */
		}
	}
	return 0;
}

int log_read(struct log *l, uint64_t from, uint64_t through, size_t bytes_max, struct arena *arena,
	struct record **out, size_t *count_out)
{
	uint64_t tail_from = log_tail_first(&l->tail);
	struct harvest h = { .bytes_max = bytes_max };
	int r = 0;

	must(from >= l->first_index && from <= through && through <= l->last_index);
	h.count_max = (size_t)min_of(through - from + 1, (uint64_t)LOG_READ_RECORDS_MAX);
	h.items = arena_array(arena, struct record, h.count_max);
	if (tail_from && from >= tail_from) {
		log_tail_each(&l->tail, from, harvest_add, &h);
	} else {
		struct segment *s = segment_of(l, from);

		must(s);
		h.count_max = (size_t)min_of((uint64_t)h.count_max, s->last_index - from + 1);
		r = read_segment(s, from, arena, &h);
	}
	*out = h.items;
	*count_out = h.count;
	return r;
}
