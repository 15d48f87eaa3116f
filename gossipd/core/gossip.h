/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consul's user events on top of the pool's: what this node fires, and what it accepts and keeps of
 * all that arrives, its own included. A pure function like the pool.
 *
 *     FIRE --checks--> to be spread by the pool, which delivers it here too
 *     ARRIVED --node filter--> [service filter: the shell asks checkd, MATCHED] --> stored
 *
 * Events by which remote execution is asked for are kept apart: they are news for checkd alone.
 *
 * Event memory is borrowed for the call. Update memory is the core's, valid until the next step.
 * Limits: GOSSIP_EVENTS_MAX stored events of each kind (the oldest goes), GOSSIP_UNMATCHED_MAX that
 * wait for the services (more are dropped and counted), the IDs of the last GOSSIP_IDS_MAX fired
 * events (a repeated call does not fire twice).
 */
#ifndef MUSTER_GOSSIPD_CORE_GOSSIP_H
#define MUSTER_GOSSIPD_CORE_GOSSIP_H

#include "common/base/list.h"
#include "gossipd/core/user_event.h"

enum { GOSSIP_EVENTS_MAX = 256, GOSSIP_UNMATCHED_MAX = 64, GOSSIP_IDS_MAX = 256 };

enum gossip_ring_name { GOSSIP_USER, GOSSIP_REMOTE, GOSSIP_RINGS };

enum gossip_event_type {
	GOSSIP_EVENT_FIRE,    /* user_event, with an ID of the caller; ltime: the pool's next */
	GOSSIP_EVENT_ARRIVED, /* name, payload, ltime: an event of the pool */
	GOSSIP_EVENT_MATCHED, /* id, matched: of an update's to_match */
};

struct gossip_event {
	enum gossip_event_type type;
	const struct user_event *user_event;
	uint64_t ltime;
	struct str name, payload;
	struct uuid id;
	bool matched;
};

struct gossip_update {
	int status;		  /* FIRE: 0 ST_INVALID ST_TOO_LARGE */
	struct str why;		  /* Consul's text */
	struct str name, payload; /* FIRE: give this to the pool; none: it was fired before */
	const struct user_event *to_match; /* compare with the services of this node, then step
					      MATCHED with its ID */
	bool events_changed;
};

struct gossip_stored {
	struct list link;
	struct buf bytes;
	struct user_event event;
};

struct gossip {
	struct buf node;
	struct gossip_ring {
		struct list events; /* struct gossip_stored, oldest first */
		size_t count;
	} rings[GOSSIP_RINGS];
	struct list unmatched; /* struct gossip_stored that wait for the services */
	size_t unmatched_count;
	uint64_t dropped_count;
	struct uuid fired[GOSSIP_IDS_MAX];
	size_t fired_next;
	struct buf why, name, payload; /* of the update */
};

void gossip_init(struct gossip *g, struct str node);
void gossip_fini(struct gossip *g);
void gossip_step(struct gossip *g, const struct gossip_event *event, struct gossip_update *update);
void gossip_check(const struct gossip *g);
uint64_t gossip_digest(const struct gossip *g);

/* The stored events of a name ("": all): how many there are, and the index of the list (1: none).
 * Items are borrowed. */
uint64_t gossip_events_index(const struct gossip *g, enum gossip_ring_name ring, struct str name);
size_t gossip_events_list(const struct gossip *g, enum gossip_ring_name ring, struct str name,
	struct user_event out[GOSSIP_EVENTS_MAX]);

#endif
