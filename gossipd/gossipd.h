/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gossipd: who is in the cluster. The state of the process: two wires (a pool of the core with its
 * sockets and files), Consul's events (core/gossip.h), and between them and the endpoints of
 * service.c what waits: calls (hold.c, calls.c), joins (join.c).
 *
 * All that happens to a pool goes through wire_step: step -> store -> send -> notes -> timer.
 */
#ifndef MUSTER_GOSSIPD_GOSSIPD_H
#define MUSTER_GOSSIPD_GOSSIPD_H

#include "common/sys/daemon.h"
#include "common/sys/net.h"
#include "gossipd/core/gossip.h"
#include "gossipd/core/snapshot.h"
#include "gossipd/seal.h"

enum {
	HOLDS_MAX = 4096, /* held calls of hold.c; more are refused with ST_FULL */
	SERVERS_TOLD_MAX = 256,
	JOINS_MAX = 256,   /* under way */
	CALLS_MAX = 64,	   /* that wait for a leave or for keys */
	STREAMS_MAX = 128, /* from others at once; more are closed */
	SERVICES_TIMEOUT_MS = 2000,
	WIRE_PATH_SIZE = 4096,
	WIRE_RETRY_MS = 1000, /* when the port is in use */
	WIRE_STORE_MS = 500,  /* changes of others are stored so much later */
	FLOOD_MS = 60000,
};

enum gossip_pool_name { GOSSIP_LAN, GOSSIP_WAN, GOSSIP_POOLS };

enum gossipd_metric {
	METRIC_EVENTS,
	METRIC_MEMBER_JOIN,
	METRIC_MEMBER_LEFT,
	METRIC_MEMBER_FAILED,
	METRIC_MEMBER_UPDATE,
	METRIC_SUSPECT,
	METRIC_REFUTED,
	METRIC_UDP_SENT,
	METRIC_UDP_RECEIVED,
	METRIC_DROPPED,
	METRIC_REFUSED,
	METRIC_TCP_ACCEPT,
	METRIC_TCP_CONNECT,
	METRIC_HEALTH_SCORE,
	METRIC_QUEUE_EVENT,
	METRIC_QUEUE_INTENT,
	METRIC_QUEUE_QUERY,
	METRICS_COUNT,
};

struct gossipd;

/* One pool on the network. */
struct wire {
	struct gossipd *gossipd;
	enum gossip_pool_name name;
	bool active; /* this node has such a pool */
	struct pool pool;
	struct seal seal;
	bool verify_incoming, verify_outgoing;
	bool store_keyring;
	uint16_t port; /* <= 0 in the configuration: no sockets */
	struct net_address bind;
	int udp, tcp; /* negative: not open (yet); udp is the last to be */
	bool waits_told;
	struct loop_io udp_io, tcp_io;
	struct loop_timer step_timer, open_timer, store_timer;
	struct list streams; /* struct stream */
	size_t inbound_count, inbound_size;
	char snapshot_path[WIRE_PATH_SIZE], keyring_path[WIRE_PATH_SIZE];
	bool snapshot_stale; /* its members: it must be written as a whole */
	bool snapshot_names; /* others than us */
	struct buf former;   /* lines of those of the last life, until one of them is met */
	size_t snapshot_appended;
	bool left;
	bool key_unproven; /* nobody has been met yet who has the key of the configuration */
	uint64_t stored_clocks[3], refused_seen;
	struct mono notes_second;
	int notes_lines;
};

enum leaving_stage { LEAVING_NOT, LEAVING_QUORUM, LEAVING_POOLS, LEAVING_REMOVAL, LEAVING_OVER };

struct gossipd {
	struct daemon *daemon;
	struct gossip gossip;
	bool gossip_open;
	struct {
		struct mono woken_at;
		struct loop_timer wake_timer, trim_timer;
	} pace;
	struct wire wires[GOSSIP_POOLS];
	struct ipc_server *read_server, *write_server;
	struct ipc_client *checkd, *catalogd;
	struct list matches; /* struct match: events that wait for checkd's answer */
	struct list holds;   /* struct hold */
	size_t holds_count;
	uint64_t life; /* where versions begin: those of two lives differ in the upper half */
	uint64_t servers_version; /* grows when a server of the LAN comes, goes or changes */
	struct list joins;	  /* struct join */
	size_t joins_count;
	struct list calls; /* struct call */
	size_t calls_count;
	struct loop_timer hold_timer, flood_timer;
	struct list retries; /* struct retry: retry_join */
	struct {
		enum leaving_stage stage;
		struct ipc_pending *pending;
	} leaving;
};

extern const struct metric_row gossipd_metrics[METRICS_COUNT];

/* service.c */
int gossipd_open(struct daemon *d);
int gossipd_start(struct daemon *d);
void gossipd_reload(struct daemon *d);
void gossipd_stop(struct daemon *d);

/* self.c: this node as a member of a pool; strings and tags live in the arena. ST_INVALID: an
 * address is none. */
int self_options(const struct conf *c, const char *id, enum gossip_pool_name pool,
	struct arena *arena, struct pool_options *out);
void member_of(const struct pool_node *n, struct arena *arena, struct member *out);
bool node_is_server(const struct pool_node *n);
/* ST_INVALID: it is no IP address. */
int pool_address_of(const struct net_address *a, struct pool_address *out);
struct str conf_text(const struct conf *c, const char *key); /* of the merged configuration */
bool conf_flag(const struct conf *c, const char *key, bool otherwise);
int64_t conf_ms(const struct conf *c, const char *group, const char *key, int64_t otherwise);
int64_t conf_number(const struct conf *c, const char *group, const char *key, int64_t otherwise);

/* wire.c */
int wire_init(struct wire *w, struct gossipd *g, enum gossip_pool_name name,
	const struct pool_options *options);
void wire_open(struct wire *w); /* the sockets, now or when they are free */
void wire_fini(struct wire *w);
/* now is filled in. The update is valid until the next step of this pool. */
void wire_step(struct wire *w, struct pool_event *event, struct pool_update *update);
void wire_store_soon(struct wire *w);

/* udp.c */
void udp_send(struct wire *w, const struct pool_update *u);
void udp_on_readable(void *arg, int events);

/* stream.c */
void stream_dial(struct wire *w, const struct pool_dial *d, struct str message);
void stream_on_acceptable(void *arg, int events);
void streams_fini(struct wire *w);

/* store.c */
int store_paths(struct wire *w);
void store_snapshot_load(struct wire *w, struct arena *arena, struct snapshot *out);
void store_snapshot(struct wire *w);
int store_keyring_load(struct wire *w);
void store_keyring(struct wire *w);
void store_proven_key(struct wire *w);

/* note.c: what a pool says about itself and its members */
void notes_handle(struct wire *w, const struct pool_update *u);

/* hold.c */
void holds_init(struct gossipd *g);
void handle_members(struct gossipd *g, struct ipc_call *call, const struct members *m);
void handle_servers(struct gossipd *g, struct ipc_call *call, const struct gossip_servers *m);
void handle_events(struct gossipd *g, struct ipc_call *call, const struct events *m);
void holds_server_news(struct gossipd *g);
void handle_remote_events(struct gossipd *g, struct ipc_call *call, const struct remote_events *m);
void holds_wake(struct gossipd *g); /* answers those that have news */
void holds_fini(struct gossipd *g);

/* join.c */
void joins_init(struct gossipd *g);
void joins_start(struct gossipd *g); /* start_join, retry_join */
void joins_rejoin(struct wire *w, const struct snapshot *s);
void handle_join(struct gossipd *g, struct ipc_call *call, const struct gossip_join *m);
void joins_on_note(struct wire *w, uint32_t token, struct str why);
void joins_fini(struct gossipd *g);
void joins_flood(struct gossipd *g); /* LAN servers that the WAN pool does not have */

/* leave.c */
void leave_begin(struct gossipd *g);   /* calls_on_left is called in the end */
void leave_on_left(struct gossipd *g); /* a pool has been left */
void leave_fini(struct gossipd *g);

/* calls.c: calls that wait for the pool */
void calls_init(struct gossipd *g);
void handle_leave(struct gossipd *g, struct ipc_call *call, const struct gossip_leave *m);
void handle_keyring(struct gossipd *g, struct ipc_call *call, const struct gossip_keyring *m);
void handle_query(struct gossipd *g, struct ipc_call *call, const struct gossip_query *m);
void calls_on_left(struct gossipd *g);
void calls_on_note(struct wire *w, const struct pool_note *note);
void calls_fini(struct gossipd *g);

/* match.c: asks checkd for the services and steps MATCHED. */
void gossipd_step(
	struct gossipd *g, const struct gossip_event *event, struct gossip_update *update);
void match_services(struct gossipd *g, const struct user_event *e);
void matches_fini(struct gossipd *g);

/* coordinate.c */
void handle_coordinates(
	struct gossipd *g, struct ipc_call *call, const struct gossip_coordinates *m);
void handle_coordinate(struct gossipd *g, struct ipc_call *call, const struct gossip_coordinate *m);

/* pace.c */
void pace_init(struct gossipd *g);
void pace_fini(struct gossipd *g);
void holds_wake_soon(struct gossipd *g); /* now, or a moment later where it was just done */

/* status.c */
void gossipd_status(struct daemon *d, struct jsonw *w);
void gossipd_dump(struct daemon *d, struct jsonw *w);
const char *gossipd_waits_for(struct daemon *d);
void handle_stats(struct gossipd *g, struct ipc_call *call, const struct gossip_stats *m);

#endif
