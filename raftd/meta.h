/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file "meta": what Raft must not forget beside the log (struct raft_persistent), as two
 * records that are written alternately, each with a number and a checksum. The newer good one
 * counts; the space for both is there from the start, so a full disk does not hurt.
 */
#ifndef MUSTER_RAFTD_META_H
#define MUSTER_RAFTD_META_H

#include "raftd/core/raft.h"
#include "raftd/disk.h"

enum { META_SLOT_SIZE = 4096 };

struct meta;

/* *loaded is zero where nothing was ever stored. Whether that can be is for the log to say. -errno
 * with *why. */
int meta_open(
	struct disk *disk, struct meta **out, struct raft_persistent *loaded, struct buf *why);
void meta_free(struct meta *m);
DEFINE_OWN(struct meta, meta_free)

/* Durable when it returns 0; -errno: perhaps, perhaps not. */
int meta_write(struct meta *m, const struct raft_persistent *p);

#endif
