/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest records of the log in memory, exactly as they go to the disk: what is appended waits
 * here for the next sync, and the feed reads it from here. Chunks of memory, each for one segment;
 * the oldest written ones go when there are more bytes than the limit.
 */
#ifndef MUSTER_RAFTD_TAIL_H
#define MUSTER_RAFTD_TAIL_H

#include "raftd/segment.h"

struct tail_chunk {
	struct list link;
	struct segment *segment;
	uint64_t offset;		  /* in the segment, of data[0] */
	uint64_t first_index, last_index; /* last < first: empty */
	size_t n, written, size;
	char data[];
};

struct tail {
	struct list chunks; /* oldest first */
	size_t bytes;	    /* allocated */
	size_t bytes_max;
	size_t chunk_bytes;
};

void tail_init(struct tail *t, size_t bytes_max);
void tail_fini(struct tail *t);

/* Adds a record that stands at segment->end. */
void tail_add(struct tail *t, struct segment *s, const struct record *r);
size_t tail_unwritten(const struct tail *t);
/* The index behind which everything up to the last record is here; 0: nothing is. */
uint64_t tail_first(const struct tail *t);
/* Finds a record: false when it is not here. The body is borrowed until the next tail_add, tail_cut
 * or tail_shrink. */
bool tail_find(const struct tail *t, uint64_t index, struct record *out);
/* Visits the records from index on, which must be here, until visit returns false. */
void tail_each(const struct tail *t, uint64_t index,
	bool (*visit)(void *arg, const struct record *r), void *arg);
void tail_cut(struct tail *t, uint64_t after); /* forgets the records behind `after` */
void tail_forget(
	struct tail *t, const struct segment *s); /* and those of one segment, which goes */
void tail_shrink(struct tail *t);		  /* down to bytes_max; never what is not written */

#endif
