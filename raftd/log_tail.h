/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest records of the log in memory, exactly as they go to the disk: what is appended waits
 * here for the next sync, and the feed reads it from here. Chunks of memory, each for one segment;
 * the oldest written ones go when there are more bytes than the limit.
 */
#ifndef MUSTER_RAFTD_LOG_TAIL_H
#define MUSTER_RAFTD_LOG_TAIL_H

#include "raftd/segment.h"

struct tail_chunk {
	struct list link;
	struct segment *segment;
	uint64_t offset;		  /* in the segment, of data[0] */
	uint64_t first_index, last_index; /* last < first: empty */
	size_t n, written, size;
	char data[];
};

struct log_tail {
	struct list chunks; /* oldest first */
	size_t bytes;	    /* allocated */
	size_t bytes_max;
	size_t chunk_bytes;
};

void log_tail_init(struct log_tail *t, size_t bytes_max);
void log_tail_fini(struct log_tail *t);

/* Adds a record that stands at segment->end. */
void log_tail_add(struct log_tail *t, struct segment *s, const struct record *r);
size_t log_tail_unwritten(const struct log_tail *t);
/* The index behind which everything up to the last record is here; 0: nothing is. */
uint64_t log_tail_first(const struct log_tail *t);
/* Finds a record: false when it is not here. The body is borrowed until the next log_tail_add,
 * log_tail_cut or log_tail_shrink. */
bool log_tail_find(const struct log_tail *t, uint64_t index, struct record *out);
/* Visits the records from index on, which must be here, until visit returns false. */
void log_tail_each(const struct log_tail *t, uint64_t index,
	bool (*visit)(void *arg, const struct record *r), void *arg);
void log_tail_cut(struct log_tail *t, uint64_t after); /* forgets the records behind `after` */
void log_tail_forget(
	struct log_tail *t, const struct segment *s); /* and those of one segment, which goes */
void log_tail_shrink(struct log_tail *t); /* down to bytes_max; never what is not written */

#endif
