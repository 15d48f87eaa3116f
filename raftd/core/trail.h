/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terms of the log without its bodies: runs of entries of one term, oldest first. A term
 * changes rarely, so the trail of a log of millions is a few numbers.
 *
 *     first .. last      the entries it knows; first = last + 1: none
 *     first - 1          the entry before them, whose term is known too (0 at the log's beginning)
 */
#ifndef MUSTER_RAFTD_CORE_TRAIL_H
#define MUSTER_RAFTD_CORE_TRAIL_H

#include "common/base/std.h"

struct trail_run {
	uint64_t first; /* index */
	uint64_t term;
};

struct trail {
	struct trail_run *runs; /* runs[0].first is first - 1, the entry before */
	size_t count, room;
	uint64_t first, last;
};

void trail_init(struct trail *t); /* empty, before entry 1 */
void trail_fini(struct trail *t);
void trail_reset(struct trail *t, uint64_t index, uint64_t term); /* empty, behind this entry */
void trail_copy(struct trail *to, const struct trail *from);

void trail_append(struct trail *t, uint64_t term); /* terms never go down */
void trail_cut(struct trail *t, uint64_t after);   /* forgets what is behind; first - 1 at least */
void trail_discard(struct trail *t, uint64_t before); /* forgets what is before; at most last + 1 */

bool trail_knows(const struct trail *t, uint64_t index);    /* first - 1 .. last */
uint64_t trail_term(const struct trail *t, uint64_t index); /* of an entry that it knows */
static inline uint64_t trail_last_term(const struct trail *t)
{
	return t->runs[t->count - 1].term;
}
/* The newest entry up to index whose term is at most term; first - 1 where none is known to be. */
uint64_t trail_find(const struct trail *t, uint64_t index, uint64_t term);

#endif
