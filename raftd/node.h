/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One Raft server without its sockets: the core, the log and the meta file, and the order between
 * them. Every update of the core is carried out here as its header demands; failures of the disk go
 * back into the core. The caller hands in what happened and time, and learns through on_update what
 * came of it. node_advance is the end of a turn: one sync for everything proposed since the last.
 */
#ifndef MUSTER_RAFTD_NODE_H
#define MUSTER_RAFTD_NODE_H

#include "raftd/core/raft.h"
#include "raftd/log.h"
#include "raftd/meta.h"

enum {
	NODE_UNWRITTEN_MAX =
		1 << 20, /* bytes proposed without a sync; the next proposal syncs first */
	NODE_TRAILING_BYTES_MAX = 64 << 20,
};

struct node_options {
	struct disk *disk;
	struct raft_options raft;
	size_t segment_bytes, first_segment_bytes, tail_bytes;
	bool bootstrap;
	/* After each step of the core; u is borrowed. NULL: nobody is told. It must not call the
	 * node. */
	void (*on_update)(void *arg, const struct raft_update *u);
	void *arg;
};

struct node {
	struct node_options options;
	struct raft raft;
	struct log *log;
	struct meta *meta;
	struct str proposal; /* body of the command that is being proposed */
	uint64_t disk_failures;
	char failure[160]; /* text of the newest one */
};

/* Recovers. ST_CORRUPT or -errno with *why; then node_fini is not to be called. */
int node_init(struct node *n, const struct node_options *options, struct buf *why);
void node_fini(struct node *n);
void node_start(struct node *n, struct mono now);

/* 0 with the index it will have when node_advance succeeds; ST_NOT_LEADER; ST_TOO_LARGE;
 * ST_STORAGE: the disk has no room. */
int node_propose(struct node *n, struct mono now, struct str command, uint64_t *index_out);
/* 0: on_update tells by tag, perhaps before this returns; ST_NOT_LEADER. Tags grow. */
int node_read_index(struct node *n, struct mono now, uint64_t tag);
/* 0; ST_INVALID: not committed; ST_STORAGE. */
int node_snapshot_taken(struct node *n, struct mono now, uint64_t index, uint64_t term);
void node_advance(struct node *n, struct mono now);
void node_tick(struct node *n, struct mono now);
struct mono node_deadline(const struct node *n);

#endif
