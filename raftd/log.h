/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable log: records in segment files, the newest also in memory. One owner, one thread.
 *
 *     log_open      recovers what a crash left: a torn tail is cut, damage to what was once synced
 *                   is refused with its place
 *     log_reserve   makes sure that the next append has its place on the disk; this is where a full
 *                   disk shows
 *     log_append    takes a copy; nothing is written yet
 *     log_sync      writes and syncs everything appended: one sync per touched file
 *     log_cut       forgets what is behind an entry (a failed sync, a conflict with the leader's
 *                   log); the next append begins a new segment
 *     log_reset     forgets everything; the log goes on behind a snapshot
 *     log_discard   gives the space before an index back, for use again
 *     log_prepare   fills a spare segment with zeros, a slice per call, so that appending rarely
 *                   has to
 *
 * Indexes have no gaps: first_index..last_index; both 0 before the first entry, and last_index is
 * first_index - 1 where the log is empty behind a snapshot. Syncing in the loop or in a
 * thread was measured (design figures, item 7): inline is 13-29 us faster per commit, and in a
 * quorum of one nobody waits for heartbeats meanwhile.
 */
#ifndef MUSTER_RAFTD_LOG_H
#define MUSTER_RAFTD_LOG_H

#include "common/base/arena.h"
#include "common/base/rng.h"
#include "raftd/core/raft.h"
#include "raftd/log_tail.h"

enum {
	LOG_SEGMENT_BYTES = 16 << 20,
	LOG_FIRST_SEGMENT_BYTES = 1 << 20, /* small: the first write of a new server must be soon */
	LOG_BODY_MAX = 8 << 20,
	LOG_TAIL_BYTES = 512 << 10,
	LOG_SPARES_MAX = 2,
	LOG_SLICE_BYTES = 1 << 20,
	LOG_READ_RECORDS_MAX = 4096,
};

struct log_options {
	struct disk *disk;
	uint64_t seed;		 /* of the salts */
	uint64_t snapshot_index; /* what is before it is not missed */
	bool reset;		 /* the log was, or was to be, emptied behind the snapshot */
	size_t segment_bytes, first_segment_bytes, tail_bytes;
};

struct log {
	struct log_options options;
	struct rng rng;
	struct list segments; /* struct segment, oldest first; the last one is appended to */
	struct list spares;   /* filled with zeros or used before */
	struct log_tail tail;
	uint64_t first_index, last_index, last_term;
	uint64_t synced_index, synced_term;
	uint64_t generation;	   /* of the newest segment */
	unsigned number;	   /* of the next file */
	bool sealed;		   /* the newest segment takes no more */
	struct segment *preparing; /* a spare in the making */
	/* found by log_open */
	struct trail trail;
	struct raft_configured *configured; /* every configuration, oldest first */
	size_t configured_count, configured_room;
	struct arena bodies; /* theirs */
	bool torn;	     /* the tail of the newest segment was cut */
};

/* 0; ST_CORRUPT with the place in *why; -errno. */
int log_open(const struct log_options *options, struct log **out, struct buf *why);
void log_free(struct log *l);
DEFINE_OWN(struct log, log_free)

/* 0; ST_TOO_LARGE; -errno, then nothing has changed. */
int log_reserve(struct log *l, size_t body_size);
/* After a log_reserve of at least this size. index must be the next one. */
void log_append(struct log *l, uint64_t index, uint64_t term, uint8_t type, struct str body);
size_t log_unwritten(const struct log *l);
int log_sync(struct log *l); /* -errno: nothing behind synced_index may be relied on */
/* term: of the entry `after`, which the log has or begins behind. */
void log_cut(struct log *l, uint64_t after, uint64_t term);
void log_reset(struct log *l, uint64_t index, uint64_t term);

/*
 * Records from..., in order: at least one, at most through and bytes_max of bodies and
 * LOG_READ_RECORDS_MAX; perhaps fewer: ask again. Borrowed: until the next change of the log and
 * the end of the arena. -errno or ST_CORRUPT when the disk does not give them back.
 */
int log_read(struct log *l, uint64_t from, uint64_t through, size_t bytes_max, struct arena *arena,
	struct record **out, size_t *count_out);

/* Gives up whole segments before `before`, and those before `limit` while there are more than
 * bytes_max. -errno from removing files. */
int log_discard(struct log *l, uint64_t before, uint64_t limit, uint64_t bytes_max);
bool log_wants_spare(const struct log *l);
/* One slice, when wanted. -errno: not now; log_reserve will meet it, when it comes to that. */
int log_prepare(struct log *l);
uint64_t log_disk_bytes(const struct log *l);

/* Shared by log.c and log_open.c. */
struct segment *log_newest(const struct log *l); /* NULL */
void log_put_spare(struct log *l, struct segment *s);

#endif
