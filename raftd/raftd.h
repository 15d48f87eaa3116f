/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd: one agreed order of commands. This is the state of the process: the node (node.h) between
 * the endpoints of service.c, the feed of feed.c and what status.c shows.
 *
 * The order of one turn of the loop: requests are taken in (proposals go into the log's memory),
 * then advance(): one sync for all of them, then the replies and the feed, which the endpoints send
 * at the end of the same turn.
 */
#ifndef MUSTER_RAFTD_RAFTD_H
#define MUSTER_RAFTD_RAFTD_H

#include "common/msg/page.h"
#include "common/sys/daemon.h"
#include "common/sys/page.h"
#include "raftd/node.h"

enum {
	FEEDS_MAX = 16, /* held feed calls; more are refused with ST_FULL */
	FEED_BYTES_MAX = 4 << 20,
	PREPARE_EVERY_MS = 20,
	PREPARE_RETRY_MS = 5000,
	ELECTION_MS = 100, /* times performance.raft_multiplier */
	ELECTION_MIN_MS = 200,
	HEARTBEATS = 5, /* in an election timeout */
	CLOCK_DRIFT_PERCENT = 5,
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
	METRIC_APPLIED_INDEX,
	METRIC_LAST_INDEX,
	METRIC_VERIFY_LEADER,
	METRIC_COMPACT_LOGS,
	METRIC_AUTOPILOT_HEALTHY,
	METRIC_AUTOPILOT_TOLERANCE,
	METRICS_COUNT,
};

/* A call that waits for an index or a read tag. They end in order. */
struct waiting {
	struct ipc_call *call;
	uint64_t number;
};

/* A ring of them: one allocation for thousands of calls. */
struct waiting_ring {
	struct waiting *items;
	size_t first, count, size; /* size: a power of two */
};

struct raftd {
	struct daemon *daemon;
	struct disk *disk;
	struct node node;
	bool node_open;
	struct page_writer *page;
	struct raft_page shown;
	struct ipc_server *read_server, *write_server;
	struct loop_flush flush;
	struct loop_timer wake, prepare;
	struct waiting_ring proposals, reads;
	uint64_t read_tag;
	uint64_t acked_index; /* commit index that the metrics know */
	struct list feeds;    /* struct feed, held */
	size_t feeds_count;
	uint64_t applied_index; /* as far as the feed was asked for */
	struct buf noop;	/* what the feed shows for entries of the quorum's own */
	struct log_limit foreign_state;
	uint64_t failures_logged;
};

extern const struct metric_row raftd_metrics[METRICS_COUNT];

/* service.c */
int raftd_open(struct daemon *d);
int raftd_start(struct daemon *d);
void raftd_stop(struct daemon *d);

/* feed.c */
void raftd_handle_feed(struct raftd *r, struct ipc_call *call, const struct raft_feed *m);
void raftd_feed_all(struct raftd *r); /* answers the held calls that have something or are due */
struct mono raftd_feed_deadline(const struct raftd *r);
void raftd_feed_fini(struct raftd *r);

/* status.c */
void raftd_status(struct daemon *d, struct jsonw *w);
void raftd_dump(struct daemon *d, struct jsonw *w);
const char *raftd_waits_for(struct daemon *d);
void raftd_handle_configuration(
	struct raftd *r, struct ipc_call *call, const struct raft_configuration *m);
void raftd_publish(struct raftd *r); /* the page, when it differs from what is shown */

#endif
