/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones. The operations of one value (its write and the reads that saw it) must be done without
 * those of another value in between. One of them ended at `least_end`, one began at `most_begin`:
 * when the former is earlier, the register held the value all the time between (a zone forward),
 * else there is an instant when all of them ran (a zone backward), which only must not lie within
 * another value's time.
 */
#include "tests/sim/quorum/history.h"

struct zone {
	unsigned reg;
	uint64_t value;
	int64_t least_end, most_begin;
	int64_t write_begin; /* INT64_MAX: no write */
	int64_t first_read_end;
	bool read;
};

void history_add(struct history *h, const struct operation *o)
{
	if (h->count == h->room) {
		h->room = max_of(h->room * 2, (size_t)64);
		h->operations = xrealloc(h->operations, h->room * sizeof(*h->operations));
	}
	h->operations[h->count++] = *o;
}

void history_fini(struct history *h)
{
	free(h->operations);
	*h = (struct history) { 0 };
}

static int by_value(const void *a, const void *b)
{
	const struct operation *x = a, *y = b;

	if (x->reg != y->reg) {
		return x->reg < y->reg ? -1 : 1;
	}
	return x->value < y->value ? -1 : x->value > y->value;
}

static int by_time(const void *a, const void *b)
{
	const struct zone *x = a, *y = b;
	int64_t p = min_of(x->least_end, x->most_begin), q = min_of(y->least_end, y->most_begin);

	if (x->reg != y->reg) {
		return x->reg < y->reg ? -1 : 1;
	}
	return p < q ? -1 : p > q;
}

static struct zone zone_new(const struct operation *o)
{
	struct zone z = { .reg = o->reg,
		.value = o->value,
		.least_end = INT64_MAX,
		.most_begin = INT64_MIN,
		.write_begin = INT64_MAX,
		.first_read_end = INT64_MAX };

	if (o->value == 0) {
		/* As if written before everything. */
		z.least_end = z.most_begin = z.write_begin = INT64_MIN;
	}
	return z;
}

static void zone_add(struct zone *z, const struct operation *o)
{
	z->least_end = min_of(z->least_end, o->end);
	z->most_begin = max_of(z->most_begin, o->begin);
	if (o->kind == OPERATION_WRITE) {
		z->write_begin = o->begin;
	} else {
		z->read = true;
		z->first_read_end = min_of(z->first_read_end, o->end);
	}
}

/* Writes without an answer that nobody saw need not have happened. */
static size_t zones_make(const struct operation *sorted, size_t count, struct zone *zones)
{
	size_t n = 0;

	for (size_t i = 0; i < count;) {
		struct zone z = zone_new(&sorted[i]);
		size_t from = i;

		while (i < count && by_value(&sorted[i], &sorted[from]) == 0) {
			zone_add(&z, &sorted[i++]);
		}
		if (z.read || z.least_end != INT64_MAX) {
			zones[n++] = z;
		}
	}
	return n;
}

static bool forward(const struct zone *z)
{
	return z->least_end < z->most_begin;
}

static bool complain(const struct zone *a, const struct zone *b, const char *what, struct buf *why)
{
	buf_printf(why, "register %u, value %llu: %s", a->reg, (unsigned long long)a->value, what);
	if (b) {
		buf_printf(why, " %llu", (unsigned long long)b->value);
	}
	return false;
}

static bool zone_good(const struct zone *z, struct buf *why)
{
	if (z->write_begin == INT64_MAX) {
		return complain(z, NULL, "was read, but never written", why);
	}
	if (z->first_read_end < z->write_begin) {
		return complain(z, NULL, "was read before it was written", why);
	}
	return true;
}

/* zones of one register, by their beginning: `held` is the forward zone that ends last so far. */
static bool zones_good(const struct zone *zones, size_t count, struct buf *why)
{
	const struct zone *held = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct zone *z = &zones[i];
		int64_t begin = min_of(z->least_end, z->most_begin);
		int64_t end = max_of(z->least_end, z->most_begin);

		if (!zone_good(z, why)) {
			return false;
		}
		if (held && held->reg == z->reg && forward(z) && begin < held->most_begin) {
			return complain(z, held, "was there in the middle of the time of", why);
		}
		if (held && held->reg == z->reg && !forward(z) && begin > held->least_end &&
			end < held->most_begin) {
			return complain(z, held, "came and went within the time of", why);
		}
		if (forward(z) && (!held || held->reg != z->reg || end > held->most_begin)) {
			held = z;
		}
	}
	return true;
}

bool history_check(const struct history *h, struct buf *why)
{
	OWN(free) struct operation *sorted = xcalloc(h->count + 1, sizeof(*sorted));
	OWN(free) struct zone *zones = xcalloc(h->count + 1, sizeof(*zones));
	size_t count;

	if (h->count) {
		memcpy(sorted, h->operations, h->count * sizeof(*sorted));
	}
	qsort(sorted, h->count, sizeof(*sorted), by_value);
	count = zones_make(sorted, h->count, zones);
	qsort(zones, count, sizeof(*zones), by_time);
	return zones_good(zones, count, why);
}
