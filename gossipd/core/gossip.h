/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is in the cluster, as a pure function: the member tables of the LAN and the WAN pool, Lamport
 * clocks, and the user events that this node has accepted. Serf's rules. So far the pools have one
 * member, this node; what arrives from others will be further events.
 *
 *     a member:   ALIVE --LEAVE--> LEFT        (alone there is nobody to tell, so LEAVING has no
 * length)
 *
 *     an event:   FIRE --checks--> accepted --node filter--> [service filter: the shell asks for
 * the services, MATCHED] --> stored
 *
 * Event memory is borrowed for the call. Update memory is the core's, valid until the next step.
 * Limits: GOSSIP_EVENTS_MAX stored events (the oldest goes), GOSSIP_UNMATCHED_MAX that wait for the
 * services (more are dropped and counted), the IDs of the last GOSSIP_IDS_MAX fired events (a
 * repeated call does not fire twice).
 */
#ifndef MUSTER_GOSSIPD_CORE_GOSSIP_H
#define MUSTER_GOSSIPD_CORE_GOSSIP_H

#include "common/base/list.h"
#include "gossipd/core/pool.h"
#include "gossipd/core/user_event.h"

enum { GOSSIP_EVENTS_MAX = 256, GOSSIP_UNMATCHED_MAX = 64, GOSSIP_IDS_MAX = 256 };

enum gossip_pool_name { GOSSIP_LAN, GOSSIP_WAN, GOSSIP_POOLS };

/* What outlives a restart: a node must not fire with a time that others have seen. */
struct gossip_clocks {
	uint64_t member_time, event_time;
};

enum gossip_event_type {
	GOSSIP_EVENT_START,   /* clocks: as stored, zero when there are none */
	GOSSIP_EVENT_FIRE,    /* user_event, with an ID of the caller */
	GOSSIP_EVENT_MATCHED, /* ltime, matched: of an update's to_match */
	GOSSIP_EVENT_JOIN,    /* address, port, pool: is that this node? */
	GOSSIP_EVENT_LEAVE,
	GOSSIP_EVENT_FORCE_LEAVE, /* node */
};

struct gossip_event {
	enum gossip_event_type type;
	struct gossip_clocks clocks;
	const struct user_event *user_event;
	uint64_t ltime;
	bool matched;
	struct str address, node;
	uint16_t port;
	enum gossip_pool_name pool;
};

struct gossip_update {
	int status;	/* FIRE: 0 ST_INVALID ST_TOO_LARGE; JOIN: 0 or ST_NOT_FOUND; FORCE_LEAVE: 0
			   ST_NOT_FOUND */
	struct str why; /* Consul's text; JOIN has none */
	const struct user_event *to_match; /* compare with the services of this node, then step
					      MATCHED with its ltime */
	bool clocks_changed;		   /* store them before the answer */
	bool members_changed;
	bool events_changed;
};

struct gossip_member {
	struct list link;
	struct buf bytes; /* what member borrows from */
	struct arena arena;
	struct member member;
};

struct gossip_pool {
	struct list members;
	uint64_t members_count;
	uint64_t version; /* grows with every change */
	bool active;
};

struct gossip_stored {
	struct list link;
	struct buf bytes;
	struct user_event event;
};

struct gossip {
	struct str node;
	struct gossip_pool pools[GOSSIP_POOLS];
	struct gossip_clocks clocks;
	struct list events;    /* struct gossip_stored, oldest first */
	struct list unmatched; /* struct gossip_stored that wait for the services */
	size_t events_count, unmatched_count;
	uint64_t dropped_count;
	struct uuid fired[GOSSIP_IDS_MAX];
	size_t fired_next;
	struct buf why;
};

/* Copied. wan NULL: no WAN pool (clients). */
struct gossip_options {
	const struct member *lan, *wan;
};

void gossip_init(struct gossip *g, const struct gossip_options *options);
void gossip_fini(struct gossip *g);
void gossip_step(struct gossip *g, const struct gossip_event *event, struct gossip_update *update);
void gossip_check(const struct gossip *g);
uint64_t gossip_digest(const struct gossip *g);

/* The stored events of a name ("": all): how many there are, and the index of the list (1: none).
 * Items are borrowed. */
uint64_t gossip_events_index(const struct gossip *g, struct str name);
size_t gossip_events_list(
	const struct gossip *g, struct str name, struct user_event out[GOSSIP_EVENTS_MAX]);
size_t gossip_count(const struct gossip *g, enum gossip_pool_name pool, enum member_status status);

#endif
