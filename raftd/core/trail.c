/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of terms: appended at the end, dropped at both ends.
 */
#include "raftd/core/trail.h"

static void put(struct trail *t, uint64_t first, uint64_t term)
{
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 4;
		t->runs = xrealloc(t->runs, t->room * sizeof(*t->runs));
	}
	t->runs[t->count++] = (struct trail_run) { first, term };
}

void trail_init(struct trail *t)
{
	*t = (struct trail) { 0 };
	trail_reset(t, 0, 0);
}

void trail_fini(struct trail *t)
{
	free(t->runs);
	*t = (struct trail) { 0 };
}

void trail_reset(struct trail *t, uint64_t index, uint64_t term)
{
	t->count = 0;
	put(t, index, term);
	t->first = index + 1;
	t->last = index;
}

void trail_copy(struct trail *to, const struct trail *from)
{
	to->count = 0;
	for (size_t i = 0; i < from->count; i++) {
		put(to, from->runs[i].first, from->runs[i].term);
	}
	to->first = from->first;
	to->last = from->last;
}

void trail_append(struct trail *t, uint64_t term)
{
	must(term >= trail_last_term(t));
	t->last++;
	if (term != trail_last_term(t)) {
		put(t, t->last, term);
	}
}

void trail_cut(struct trail *t, uint64_t after)
{
	must(trail_knows(t, after));
	while (t->runs[t->count - 1].first > after) {
		t->count--;
	}
	t->last = after;
}

/* The run that index is in. */
static size_t run_of(const struct trail *t, uint64_t index)
{
	size_t i = t->count - 1;

	while (t->runs[i].first > index) {
		i--;
	}
	return i;
}

void trail_discard(struct trail *t, uint64_t before)
{
	size_t keep;

	must(before <= t->last + 1);
	if (before <= t->first) {
		return;
	}
	keep = run_of(t, before - 1);
	memmove(t->runs, t->runs + keep, (t->count - keep) * sizeof(*t->runs));
	t->count -= keep;
	t->runs[0].first = before - 1;
	t->first = before;
}

bool trail_knows(const struct trail *t, uint64_t index)
{
	return index + 1 >= t->first && index <= t->last;
}

uint64_t trail_term(const struct trail *t, uint64_t index)
{
	must(trail_knows(t, index));
	return t->runs[run_of(t, index)].term;
}

uint64_t trail_find(const struct trail *t, uint64_t index, uint64_t term)
{
	size_t i;

	must(trail_knows(t, index));
	for (i = run_of(t, index); i > 0 && t->runs[i].term > term; i--) {
		index = t->runs[i].first - 1;
	}
	return t->runs[i].term > term ? t->first - 1 : index;
}
