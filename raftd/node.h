/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One Raft server without its sockets: the core, the log and the meta file, and the order between
 * them. Every update of the core is carried out here as its header demands; failures of the disk go
 * back into the core. The caller hands in what happened and time, and learns through on_update what
 * came of it; messages leave through send. node_advance is the end of a turn: what is to be sent is
 * sent, then one sync for everything appended since the last, then what the sync allows.
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
	NODE_APPEND_BYTES_MAX = 1 << 20, /* bodies in one message; a single larger one goes alone */
};

struct node_options {
	struct disk *disk;
	struct raft_options raft;
	struct uuid life; /* random: that of a disk which has none yet */
	size_t segment_bytes, first_segment_bytes, tail_bytes;
	bool bootstrap;
	const struct configuration *recover; /* see raft_start; NULL */
	/* After each step of the core; u is borrowed. NULL: nobody is told. It must not call the
	 * node. */
	void (*on_update)(void *arg, const struct raft_update *u);
	/* Hands a message to the network, borrowed. false: not now (no connection, or too much
	 * waits for it); what can be lost is lost then, entries are offered again. NULL: there is
	 * no network. It must not call the node. */
	bool (*send)(void *arg, const struct raft_message *m);
	/* Between the sends of a turn and its sync: what was handed over leaves now, so that the
	 * others write to their disks while this server writes to its own. NULL: nothing waits. It
	 * must not call the node. */
	void (*depart)(void *arg);
	void *arg;
};

struct node {
	struct node_options options;
	struct raft raft;
	struct log *log;
	struct meta *meta;
	struct str proposal; /* body of the command that is being proposed */
	bool more;	     /* entries were left over by a send that went well */
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
/* 0: on_update tells by kind and tag, perhaps before this returns; ST_NOT_LEADER: nobody is known
 * to lead. The tags of a kind grow. */
int node_read_index(struct node *n, struct mono now, enum raft_read_kind kind, uint64_t tag);
/* 0; ST_INVALID: not committed; ST_STORAGE. */
int node_snapshot_taken(struct node *n, struct mono now, uint64_t index, uint64_t term);
/* 0; ST_STORAGE. From now on the log begins behind it, unless it held the entry already. */
int node_snapshot_installed(struct node *n, struct mono now, const struct raft_snapshot *snapshot);
/* index 0: it could not be sent. */
void node_snapshot_sent(struct node *n, struct mono now, const struct uuid *peer, uint64_t index);
/* The snapshot that followers get, as it is to be installed there; index 0: none. Borrowed until
 * the next call. */
struct raft_snapshot node_snapshot(const struct node *n, struct buf *configuration);

/* life: of the sender, zero: not known. */
void node_receive(
	struct node *n, struct mono now, const struct raft_message *m, const struct uuid *life);
void node_unreachable(struct node *n, struct mono now, const struct uuid *peer);
/* 0; ST_INVALID: there is a log already, or a vote was given. */
int node_bootstrap(struct node *n, struct mono now, const struct configuration *c);
/* Statuses as raft_update has them, and ST_STORAGE; 0: committed when commit_index reaches
 * *index_out, unless leadership is lost before (on_update: role_changed). */
int node_change(
	struct node *n, struct mono now, const struct raft_server_change *c, uint64_t *index_out);
/* peer: zero for whoever is best. 0: under way; on_update tells of a role that changed. */
int node_transfer(struct node *n, struct mono now, const struct uuid *peer);

void node_advance(struct node *n, struct mono now);
void node_tick(struct node *n, struct mono now);
struct mono node_deadline(const struct node *n);

#endif
