/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery. The segments are read in order of generation; each counts up to where the next one
 * begins. Where the records of a segment end too early, one of these is the case:
 *     1. nothing of what is missing is needed: it lies before the snapshot (a file that was being
 * used again): what is older goes
 *     2. it was never synced: no good record behind the gap knew it as synced. A torn tail: the log
 * ends there
 *     3. else something that was acknowledged is damaged: refused, with the place
 * After a torn tail the log goes on in a new segment, which overrules every remainder behind the
 * cut.
 *
 * What was read may so far stand only in the page cache: the process died before its sync, or the
 * sync failed and the kernel took the pages for clean since. So the records that no other record
 * knows as synced are written once more and synced; and the names too.
 */
#include <stdio.h>

#include "raftd/log.h"

struct opening {
	struct log *log;
	struct list blank; /* segments without a header */
	struct buf bytes;  /* of the segment at hand */
	struct buf *why;
	uint64_t synced_index; /* the highest that a record knew as synced */
	int error;
};

static int corrupt(struct opening *o, const struct segment *s, uint64_t index, const char *what)
{
	buf_printf(o->why, "%s, offset %llu, entry %llu: %s", s->name, (unsigned long long)s->end,
		(unsigned long long)index, what);
	return ST_CORRUPT;
}

/* -------- finding the files -------- */

static void sort_in(struct list *list, struct segment *s)
{
	struct list *at = list->prev;

	while (at != list && list_entry(at, struct segment, link)->generation > s->generation) {
		at = at->prev;
	}
	list_add_head(at, &s->link);
}

static void on_name(void *arg, const char *name)
{
	struct opening *o = arg;
	struct disk_file *file;
	struct segment *s;
	uint64_t number, size;

	if (!str_starts(str_of(name), STR("segment.")) ||
		str_to_u64(str_skip(str_of(name), 8), &number) || number >= UINT32_MAX ||
		strlen(name) >= SEGMENT_NAME_SIZE || o->error) {
		return;
	}
	o->log->number = max_of(o->log->number, (unsigned)number + 1);
	o->error = disk_open(o->log->options.disk, name, &file, &size);
	if (o->error) {
		return;
	}
	s = segment_new(name, file, min_of(size, (uint64_t)UINT32_MAX));
	o->error = segment_read_header(s);
	if (s->generation) {
		sort_in(&o->log->segments, s);
	} else {
		list_add_tail(&o->blank, &s->link);
	}
}

static int take_blank(struct opening *o)
{
	struct segment *s, *next;
	size_t count = 0;

	list_for_each_safe (s, next, &o->blank, link) {
		if (s->size >= o->log->options.segment_bytes && count < LOG_SPARES_MAX) {
			log_put_spare(o->log, s);
			count++;
		} else {
			int r = disk_remove(o->log->options.disk, s->name);

			segment_free(s);
			if (r) {
				return r;
			}
		}
	}
	return 0;
}

/* -------- reading records -------- */

static int load(struct opening *o, const struct segment *s)
{
	buf_clear(&o->bytes);
	buf_reserve(&o->bytes, s->size);
	o->bytes.n = s->size;
	return disk_read(s->file, 0, o->bytes.p, s->size);
}

/* What the core wants to know of the log. */
static void remember(struct log *l, const struct segment *s, const struct record *r)
{
	if (l->trail.last + 1 != r->index) {
		trail_reset(&l->trail, s->base_index - 1, s->base_term);
	}
	trail_append(&l->trail, r->term);
	if (r->type == RAFT_CONFIGURATION) {
		if (l->configured_count == l->configured_room) {
			l->configured_room = max_of(l->configured_room * 2, (size_t)4);
			l->configured = xrealloc(
				l->configured, l->configured_room * sizeof(*l->configured));
		}
		l->configured[l->configured_count++] =
			(struct raft_configured) { r->index, arena_str(&l->bodies, r->body) };
	}
}

/* Takes the records of the loaded segment, up to but without limit. */
static void scan(struct opening *o, struct segment *s, uint64_t limit)
{
	struct record r;
	size_t size;

	while (s->last_index + 1 < limit &&
		record_decode(s, o->bytes.p + s->end, o->bytes.n - s->end, &r, &size) == 0 &&
		r.index == s->last_index + 1 && r.term >= s->last_term) {
		remember(o->log, s, &r);
		o->synced_index = max_of(o->synced_index, r.index - r.unsynced);
		segment_add(s, &r);
	}
}

enum remainder { REMAINDER_NONE, REMAINDER_TORN, REMAINDER_SYNCED };

/* What the loaded segment holds from offset on, where record boundaries are not known: does a
 * record there know `missing` as synced? */
static enum remainder look_behind(
	struct opening *o, const struct segment *s, uint64_t offset, uint64_t missing)
{
	enum remainder found = REMAINDER_NONE;
	struct record r;
	size_t size;

	for (size_t at = offset; at + RECORD_HEADER_SIZE <= o->bytes.n; at += 8) {
		if (o->bytes.p[at + 28] == 0 ||
			record_decode(s, o->bytes.p + at, o->bytes.n - at, &r, &size)) {
			continue;
		}
		if (r.index - r.unsynced >= missing) {
			return REMAINDER_SYNCED;
		}
		found = REMAINDER_TORN;
	}
	return found;
}

static struct segment *following(const struct log *l, const struct segment *s)
{
	return s->link.next == &l->segments ? NULL : list_entry(s->link.next, struct segment, link);
}

/* The records of s end before limit. */
static int gap(struct opening *o, struct segment *s, uint64_t limit)
{
	uint64_t missing = s->last_index + 1;
	enum remainder found = look_behind(o, s, s->end, missing);
	struct segment *next;

	for (next = following(o->log, s); next && found != REMAINDER_SYNCED;
		next = following(o->log, s)) {
		int r = load(o, next);

		if (r) {
			return r;
		}
		if (look_behind(o, next, SEGMENT_HEADER_SIZE, missing) == REMAINDER_SYNCED) {
			found = REMAINDER_SYNCED;
			break;
		}
		log_put_spare(o->log, next);
		found = REMAINDER_TORN;
	}
	if (found == REMAINDER_SYNCED) {
		return corrupt(o, s, missing,
			"damaged: what follows shows that it was stored durably once");
	}
	if (found == REMAINDER_TORN) {
		o->log->torn = o->log->sealed = true;
	}
	return 0;
}

static void drop_through(struct log *l, const struct segment *last)
{
	struct segment *s;

	do {
		s = list_first(&l->segments, struct segment, link);
		log_put_spare(l, s);
	} while (s != last);
	trail_reset(&l->trail, 0, 0);
	l->configured_count = 0;
}

/* Where the segments behind s take over; UINT64_MAX: never. */
static uint64_t limit_of(const struct log *l, const struct segment *s)
{
	uint64_t limit = UINT64_MAX;

	for (s = following(l, s); s; s = following(l, s)) {
		limit = min_of(limit, s->base_index);
	}
	return limit;
}

/* The segment that begins behind s was begun behind this very entry, not behind one that s was to
 * overrule. */
static bool continued(const struct log *l, const struct segment *s)
{
	const struct segment *next;

	for (next = following(l, s); next; next = following(l, next)) {
		if (next->base_index == s->last_index + 1) {
			return next->base_term == s->last_term;
		}
	}
	return true;
}

static int recover(struct opening *o)
{
	struct log *l = o->log;
	struct segment *s, *next;
	int r;

	for (s = list_first(&l->segments, struct segment, link); s; s = next) {
		uint64_t limit = limit_of(l, s);

		next = following(l, s);
		if (next && next->generation == s->generation) {
			return corrupt(
				o, next, next->base_index, "a second file of the same generation");
		}
		if (s->base_index >= limit) {
			log_put_spare(l, s); /* overruled */
			continue;
		}
		r = load(o, s);
		if (r) {
			return r;
		}
		scan(o, s, limit);
		if (s->last_index + 1 == limit && continued(l, s)) {
			continue;
		}
		if (next && limit - 1 <= l->options.snapshot_index) {
			drop_through(l, s);
			continue;
		}
		r = gap(o, s, limit);
		if (r) {
			return r;
		}
		next = following(l, s);
		must(!next);
	}
	return 0;
}

static int rewrite(struct opening *o, struct segment *s)
{
	uint64_t index, offset;
	int r = 0;

	if (s->base_index > o->synced_index) {
		r = segment_write_header(s);
	}
	if (r == 0 && s->last_index >= s->base_index) {
		offset = segment_seek(s, max_of(s->base_index, o->synced_index + 1), &index);
		r = load(o, s);
		r = r ? r
		      : disk_write(s->file, offset, o->bytes.p + offset, (size_t)(s->end - offset));
	}
	return r ? r : disk_sync(s->file);
}

static int rewrite_unsynced(struct opening *o)
{
	struct segment *s;
	int r = 0;

	list_for_each (s, &o->log->segments, link) {
		if (r == 0 && s->last_index > o->synced_index) {
			r = rewrite(o, s);
		}
	}
	return r ? r : disk_sync_names(o->log->options.disk);
}

static int check_bounds(struct opening *o)
{
	struct log *l = o->log;
	struct segment *first =
		list_empty(&l->segments) ? NULL : list_first(&l->segments, struct segment, link);
	struct segment *last = log_newest(l);
	uint64_t snapshot = l->options.snapshot_index;

	if (first && last->last_index >= first->base_index) {
		l->first_index = first->base_index;
		l->last_index = l->synced_index = last->last_index;
		l->last_term = l->synced_term = last->last_term;
	}
	if (l->last_index < snapshot && l->options.reset) {
		log_reset(l, snapshot, 0); /* the core knows the term, and resets it once more */
		return 0;
	}
	if (l->last_index < snapshot) {
		buf_printf(o->why,
			"the log ends at entry %llu, but a snapshot was taken at %llu: segments "
			"are missing or damaged",
			(unsigned long long)l->last_index, (unsigned long long)snapshot);
		return ST_CORRUPT;
	}
	if (first && first->base_index > snapshot + 1) {
		buf_printf(o->why,
			"the log begins at entry %llu, but the newest snapshot is at %llu: "
			"segments are missing",
			(unsigned long long)first->base_index, (unsigned long long)snapshot);
		return ST_CORRUPT;
	}
	return 0;
}

int log_open(const struct log_options *options, struct log **out, struct buf *why)
{
	OWN(log_free) struct log *l = xcalloc(1, sizeof(*l));
	struct opening o = { .log = l, .why = why };
	struct segment *s;
	int r;

	l->options = *options;
	rng_init(&l->rng, options->seed);
	list_init(&l->segments);
	list_init(&l->spares);
	list_init(&o.blank);
	trail_init(&l->trail);
	log_tail_init(&l->tail, options->tail_bytes);
	r = disk_list(options->disk, on_name, &o);
	r = r ? r : o.error;
	s = log_newest(l);
	l->generation = s ? s->generation : 0;
	if (r == 0) {
		r = take_blank(&o);
	}
	if (r == 0) {
		r = recover(&o);
	}
	if (r == 0) {
		r = check_bounds(&o);
	}
	if (r == 0) {
		r = rewrite_unsynced(&o);
	}
	while (!list_empty(&o.blank)) {
		segment_free(list_first(&o.blank, struct segment, link));
	}
	buf_fini(&o.bytes);
	if (r < 0) {
		buf_put_cstr(why, err_text());
	}
	if (r == 0) {
		*out = take(l);
	}
	return r;
}
