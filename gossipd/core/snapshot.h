/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node remembers of its pool over a restart, in the lines of Serf's snapshot file: the
 * members that were alive, the clocks, whether it left. A comment line carries the incarnation, so
 * that the next life overtakes this one at once.
 */
#ifndef MUSTER_GOSSIPD_CORE_SNAPSHOT_H
#define MUSTER_GOSSIPD_CORE_SNAPSHOT_H

#include "gossipd/core/pool.h"

enum {
	SNAPSHOT_SIZE_MAX = 16 << 20,
	SNAPSHOT_MEMBERS_MAX = 4096, /* written: one that is there is enough to rejoin */
};

struct snapshot_member {
	struct str name, address; /* "1.2.3.4:8301", "[::1]:8301" */
};

struct snapshot {
	struct pool_clocks clocks; /* the newest that was seen; 0: none */
	uint32_t incarnation;
	struct snapshot_member *members; /* in the arena */
	uint32_t members_count;
	bool left;
};

/* Lines that are unknown or wrong are skipped, as Serf does. Strings are borrowed from the text. */
void snapshot_parse(struct str text, struct arena *arena, struct snapshot *out);
void snapshot_render(const struct pool *p, struct buf *out); /* the whole */
/* What may be appended to it when nothing else has changed. */
void snapshot_render_clocks(const struct pool *p, struct buf *out);

#endif
