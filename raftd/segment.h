/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of the log: a header block, then records back to back.
 *
 *     block 0      the header, twice (a copy in each half), so that no torn sector loses it
 *     record       crc u32 | length u32 | index u64 | term u64 | unsynced u32 | type u8 | 0 0 0 |
 *                  body | padding to 8
 *
 * Files are made once, filled with zeros, and used again and again under new generations. The CRC
 * of a record is seeded from the header's generation and random salt: what an earlier generation
 * left behind is never taken for a record, nor are bytes that a client of ours chose. unsynced
 * tells how many entries, this one included, were not yet known to be synced when the record was
 * written: a good record behind a bad one says by it whether the bad one had ever been acknowledged
 * (damage) or not (a torn tail). A segment of a higher generation replaces what older ones hold
 * from its base_index on.
 */
#ifndef MUSTER_RAFTD_SEGMENT_H
#define MUSTER_RAFTD_SEGMENT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "raftd/disk.h"

enum {
	SEGMENT_HEADER_SIZE = 4096,
	SEGMENT_HEADER_COPY = 2048, /* where the second copy is */
	RECORD_HEADER_SIZE = 32,
	SEGMENT_MARK_EVERY = 32, /* one remembered offset per so many records */
	SEGMENT_NAME_SIZE = 24,
};

struct record {
	uint64_t index, term;
	uint32_t unsynced;
	uint8_t type;
	struct str body;
};

struct segment {
	struct list link;
	struct disk_file *file;
	char name[SEGMENT_NAME_SIZE];
	uint64_t size;	     /* of the file */
	uint64_t generation; /* 0: not in use */
	uint64_t salt;
	uint64_t base_index, base_term; /* of its first record; the term of the one before it */
	uint64_t last_index, last_term; /* base_index - 1, base_term: holds nothing */
	uint64_t end;			/* offset behind the last record */
	bool header_pending;		/* not written yet */
	uint32_t *marks;		/* offset of record base_index + 32 i */
	size_t marks_count, marks_room;
};

static inline size_t record_size(size_t body_size)
{
	return (RECORD_HEADER_SIZE + body_size + 7) & ~(size_t)7;
}

/* Appends one encoded record to memory at p, which has record_size(r->body.n) bytes of room. */
void record_encode(const struct segment *s, const struct record *r, char *p);
/* Decodes the record at p of at most n bytes; the body is borrowed. ST_CORRUPT: none of this
 * segment is there. */
int record_decode(
	const struct segment *s, const char *p, size_t n, struct record *out, size_t *size_out);

struct segment *segment_new(
	const char *name, struct disk_file *file, uint64_t size); /* takes file */
void segment_free(struct segment *s);
DEFINE_OWN(struct segment, segment_free)

/* Starts a new generation in the file; nothing is written yet (header_pending). */
void segment_begin(struct segment *s, uint64_t generation, uint64_t salt, uint64_t base_index,
	uint64_t base_term);
int segment_write_header(struct segment *s); /* -errno */
/* Makes the file's header invalid and syncs that. -errno */
int segment_erase(struct segment *s);
/* Reads the header; generation stays 0 where there is none. -errno */
int segment_read_header(struct segment *s);

/* Notes that a record of this size stands at s->end. */
void segment_add(struct segment *s, const struct record *r);
/* The remembered offset at or before index, and the index that stands there. */
uint64_t segment_seek(const struct segment *s, uint64_t index, uint64_t *index_out);

static inline bool segment_has_room(const struct segment *s, size_t record_bytes)
{
	return s->size - s->end >= record_bytes;
}

#endif
