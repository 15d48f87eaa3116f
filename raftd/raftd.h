/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd: one agreed order of commands. This is the state of the process: the node (node.h) and the
 * other servers (peer.h) between the endpoints of service.c, the feed of feed.c and what status.c
 * shows.
 *
 *     service.c     endpoints, the turn of the loop, life
 *     propose.c     commands: appended here, or by the leader's raftd for us
 *     quorum.c      node <-> peers; forming a new cluster, joining one
 *     seeds.c       which servers the gossip pool knows
 *     leave.c       this server leaves
 *     snapshot.c    snapshots from and to other servers, through catalogd
 *     fitness.c     whether somebody else should lead
 *     recovery.c    peers.json
 *
 * The order of one turn of the loop: requests and messages are taken in (proposals go into the
 * log's memory), then advance(): what is to be sent leaves, one sync for all that was appended,
 * then replies, the feed and what the sync allows to be sent, all at the end of the same turn.
 */
#ifndef MUSTER_RAFTD_RAFTD_H
#define MUSTER_RAFTD_RAFTD_H

#include "common/msg/page.h"
#include "common/sys/daemon.h"
#include "common/sys/page.h"
#include "raftd/founding.h"
#include "raftd/lasting.h"
#include "raftd/node.h"
#include "raftd/peer.h"
#include "raftd/transfer.h"
#include "raftd/waiting.h"

enum {
	FEEDS_MAX = 16, /* held feed calls; more are refused with ST_FULL */
	FEED_BYTES_MAX = 4 << 20,
	PROPOSALS_MAX = 65536,	       /* that wait to be committed, from everywhere */
	READS_WAITING_MAX = 65536,     /* of each kind */
	APPEND_WAITING_MAX = 4 << 20,  /* bytes for one server; more entries are not offered */
	FORWARD_WAITING_MAX = 8 << 20, /* the same for commands on their way to the leader */
	PREPARE_EVERY_MS = 20,
	PREPARE_RETRY_MS = 5000,
	SLOW_SYNCS_MAX = 3,	  /* in a row, each over half an election timeout */
	STATE_AWAY_MAX_MS = 3000, /* a leader whose catalogd applies nothing gives way */
	DRAIN_HELD_MS = 500,
};

enum raftd_metric {
	METRIC_APPLY,
	METRIC_COMMIT_TIME,
	METRIC_DISPATCH_LOG,
	METRIC_DISPATCH_NUM_LOGS,
	METRIC_COMMIT_NUM_LOGS,
	METRIC_STATE_CANDIDATE,
	METRIC_STATE_FOLLOWER,
	METRIC_STATE_LEADER,
	METRIC_HEARTBEAT_TIMEOUT,
	METRIC_APPLIED_INDEX,
	METRIC_LAST_INDEX,
	METRIC_VERIFY_LEADER,
	METRIC_COMPACT_LOGS,
	METRIC_AUTOPILOT_HEALTHY,
	METRIC_AUTOPILOT_TOLERANCE,
	METRIC_LAST_CONTACT,
	METRIC_REPLICATION_LOGS,
	METRIC_RPC_APPEND,
	METRIC_RPC_VOTE,
	METRIC_RPC_SNAPSHOT,
	METRIC_PEERS,
	METRICS_COUNT,
};

/* A snapshot that the leader is sending to this server. */
struct snapshot_in {
	struct ipc_pending *pending; /* catalogd writes a chunk */
	struct uuid from;
	struct buf configuration;
	struct raft_snapshot snapshot; /* borrows from configuration */
	uint64_t size, wanted;
};

/* catalogd is asked for a piece of one that this server sends. */
struct snapshot_read_call {
	struct raftd *raftd;
	struct ipc_pending *pending; /* NULL: free */
	uint64_t number;
};

struct raftd {
	struct daemon *daemon;
	struct disk *disk;
	struct node node;
	bool node_open;
	int listen_fd; /* -1: the peers have it */
	char address[RAFT_ADDRESS_SIZE];
	struct peers peers;
	bool peers_open;
	struct page_writer *page;
	struct raft_page shown;
	struct ipc_server *read_server, *write_server;
	struct ipc_client *catalogd, *gossipd;
	struct {
		struct ipc_pending *pending;
		struct loop_timer again;
		uint64_t version;
	} seeds;
	struct loop_flush flush;
	struct loop_timer wake, prepare, drain_limit;
	struct rng rng;

	/* callers */
	struct waiting_ring proposals; /* appended here, by index */
	struct waiting_ring forwarded; /* the leader was asked, by tag */
	uint64_t forward_tag;
	struct uuid forwarded_to;
	struct waiting_ring reads[RAFT_READ_KINDS]; /* by tag */
	uint64_t read_tag[RAFT_READ_KINDS];
	bool reads_due[RAFT_READ_KINDS]; /* there are some with the next tag: asked at the end of
					    the turn */
	struct ipc_call *transfer;	 /* waits for another leader */

	/* what the node has told and the end of the turn carries out */
	bool role_changed, leader_changed, configuration_changed, told;
	uint64_t configuration_committed; /* index of the one that the others know to be */
	struct uuid snapshots_due[RAFT_SERVERS_MAX];
	size_t snapshots_due_count;

	enum founding_verdict founding;
	size_t founding_seen;
	bool recovered; /* peers.json was read and is to be put aside */
	struct configuration recovery;
	struct transfers transfers;
	struct snapshot_read_call snapshot_reads[RAFT_SERVERS_MAX];
	struct snapshot_in incoming;
	struct {
		bool on;   /* this server is about to go */
		bool told; /* ... and everybody has been told */
		struct ipc_call *call;
		struct mono until;
	} leaving;
	unsigned slow_syncs;
	struct lasting state_away;
	bool stopping; /* hands over, then ends */

	struct list feeds; /* struct feed, held */
	size_t feeds_count;
	uint64_t applied_index; /* as far as the feed was asked for */
	struct buf noop;	/* what the feed shows for entries of the quorum's own */
	struct log_limit foreign_state, broken_peer;
	uint64_t failures_logged;
};

extern const struct metric_row raftd_metrics[METRICS_COUNT];

/* fitness.c */
void raftd_sync_judge(struct raftd *r, int64_t took_ns);
void raftd_state_judge(struct raftd *r);

/* service.c */
int raftd_open(struct daemon *d);
int raftd_start(struct daemon *d);
void raftd_drain(struct daemon *d);
void raftd_stop(struct daemon *d);

/* propose.c */
void raftd_handle_propose(struct raftd *r, struct ipc_call *call, const struct raft_propose *m);
void raftd_handle_change(struct raftd *r, struct ipc_call *call, const struct raft_change *m);
void raftd_peer_propose(struct raftd *r, struct peer *p, const struct peer_propose *m);
void raftd_peer_propose_reply(struct raftd *r, struct peer *p, const struct peer_propose_reply *m);
void raftd_proposals_commit(struct raftd *r);
void raftd_proposals_refuse(struct raftd *r); /* leadership is lost */
void raftd_forwarded_refuse(struct raftd *r); /* the leader is */

/* quorum.c */
void raftd_quorum_open(struct raftd *r);
void raftd_quorum_turn(struct raftd *r); /* before the node's advance */
bool raftd_quorum_send(void *arg, const struct raft_message *m);
void raftd_quorum_depart(void *arg);
bool raftd_has_log(const struct raftd *r);
/* There is a member that has lost its disk since it became one. Before anything else is changed it
 * is made a member without a vote. */
bool raftd_disk_lost(const struct raftd *r);
const char *raftd_waits_for(struct daemon *d);

/* seeds.c */
int raftd_seeds_start(struct raftd *r);
void raftd_seeds_fini(struct raftd *r);

/* leave.c */
void raftd_handle_leave(struct raftd *r, struct ipc_call *call, const struct raft_leave *m);
void raftd_leave_turn(struct raftd *r);
struct mono raftd_leave_deadline(const struct raftd *r);
void raftd_leave_fini(struct raftd *r);

/* snapshot.c */
void raftd_snapshot_turn(struct raftd *r);
void raftd_snapshot_lost(struct raftd *r, const struct peer *p);
void raftd_peer_chunk(struct raftd *r, struct peer *p, const struct peer_chunk *m);
void raftd_peer_chunk_reply(struct raftd *r, struct peer *p, const struct peer_chunk_reply *m);
void raftd_snapshot_fini(struct raftd *r);

/* recovery.c: ST_INVALID with *why. */
int raftd_recovery_read(struct raftd *r, struct buf *why);
void raftd_recovery_turn(struct raftd *r); /* behind the start of the node */

/* feed.c */
void raftd_handle_feed(struct raftd *r, struct ipc_call *call, const struct raft_feed *m);
void raftd_feed_all(struct raftd *r); /* answers the held calls that have something or are due */
struct mono raftd_feed_deadline(const struct raftd *r);
void raftd_feed_fini(struct raftd *r);

/* status.c */
void raftd_status(struct daemon *d, struct jsonw *w);
void raftd_dump(struct daemon *d, struct jsonw *w);
void raftd_handle_configuration(
	struct raftd *r, struct ipc_call *call, const struct raft_configuration *m);
void raftd_handle_health(struct raftd *r, struct ipc_call *call, const struct raft_health *m);
void raftd_contact_measure(struct raftd *r); /* a metric, now and then */
void raftd_publish(struct raftd *r);	     /* the page, when it differs from what is shown */

#endif
