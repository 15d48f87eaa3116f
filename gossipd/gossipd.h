/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gossipd: who is in the cluster. This is the state of the process: the core (core/gossip.h)
 * between the endpoints of service.c, the calls that wait (hold.c), joins under way (join.c) and
 * the stored clocks (clocks.c). It opens no listening socket yet: its pools have one member.
 */
#ifndef MUSTER_GOSSIPD_GOSSIPD_H
#define MUSTER_GOSSIPD_GOSSIPD_H

#include "common/sys/daemon.h"
#include "gossipd/core/gossip.h"

enum {
	HOLDS_MAX = 4096, /* held calls of members and events; more are refused with ST_FULL */
	JOINS_MAX = 32,	  /* connections under way */
	JOIN_TIMEOUT_MS = 10000,
	SERVICES_TIMEOUT_MS = 2000,
	CLOCKS_PATH_SIZE = 4096,
};

enum gossipd_metric {
	METRIC_EVENTS,
	METRIC_MEMBER_JOIN,
	METRIC_MEMBER_LEFT,
	METRIC_HEALTH_SCORE,
	METRIC_QUEUE_EVENT,
	METRIC_QUEUE_INTENT,
	METRIC_QUEUE_QUERY,
	METRICS_COUNT,
};

struct gossipd {
	struct daemon *daemon;
	struct gossip gossip;
	bool gossip_open;
	char clocks_path[CLOCKS_PATH_SIZE];
	struct ipc_server *read_server, *write_server;
	struct ipc_client *checkd;
	struct list matches; /* struct match: events that wait for checkd's answer */
	struct list holds;   /* struct hold */
	size_t holds_count;
	struct list joins; /* struct join */
	size_t joins_count;
	struct loop_timer hold_timer;
};

extern const struct metric_row gossipd_metrics[METRICS_COUNT];

/* service.c */
int gossipd_open(struct daemon *d);
int gossipd_start(struct daemon *d);
void gossipd_stop(struct daemon *d);
/* Steps the core, stores the clocks and wakes who waits. The update is valid until the next step.
 */
void gossipd_step(
	struct gossipd *g, const struct gossip_event *event, struct gossip_update *update);

/* self.c: this node as a member of a pool; strings and tags live in the arena. */
void self_describe(const struct conf *c, const char *id, enum gossip_pool_name pool,
	struct arena *arena, struct member *out);

/* clocks.c */
int clocks_load(const char *path,
	struct gossip_clocks *out); /* zero where there are none. -errno; ST_CORRUPT */
int clocks_store(const char *path, const struct gossip_clocks *c);

/* hold.c */
void holds_init(struct gossipd *g);
void handle_members(struct gossipd *g, struct ipc_call *call, const struct members *m);
void handle_events(struct gossipd *g, struct ipc_call *call, const struct events *m);
void holds_wake(struct gossipd *g); /* answers those that have news */
void holds_fini(struct gossipd *g);

/* join.c */
void handle_join(struct gossipd *g, struct ipc_call *call, const struct gossip_join *m);
void joins_fini(struct gossipd *g);

/* match.c: asks checkd for the services and steps MATCHED. */
void match_services(struct gossipd *g, const struct user_event *e);
void matches_fini(struct gossipd *g);

/* status.c */
void gossipd_status(struct daemon *d, struct jsonw *w);
void gossipd_dump(struct daemon *d, struct jsonw *w);
void handle_stats(struct gossipd *g, struct ipc_call *call, const struct gossip_stats *m);

#endif
