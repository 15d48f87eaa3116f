/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader's care for the quorum as a pure function: which servers are healthy, and the one
 * change of the quorum that is due next. Every change is looked at anew when the one before is
 * done, so that no two are ever derived from the same sight of things.
 *
 *   add       a server that is alive in the pool and has said hello, as a non-voter; a member
 *             that has another address now
 *   promote   a non-voter (not a read replica) that has been healthy for server_stabilization
 *   remove    a member that has left the pool; a dead non-voter; a dead voter, once a new server
 *             has come: only while those that remain are a healthy majority, at least min_quorum
 *
 * What an operator removed is not added again while its connection stays.
 */
#ifndef MUSTER_CATALOGD_CORE_AUTOPILOT_H
#define MUSTER_CATALOGD_CORE_AUTOPILOT_H

#include "common/base/time.h"
#include "common/msg/types.h"

enum { AUTOPILOT_SERVERS_MAX = 32 };

/* As the gossip pool sees it. NONE: not a member of it (any more, or yet). */
enum pool_status { POOL_NONE, POOL_ALIVE, POOL_FAILED, POOL_LEFT };

/* A server as the leader sees it now. */
struct autopilot_sight {
	struct uuid id;
	bool member, voter, leader, read_replica;
	bool connected;
	bool moved; /* it says hello from another address than the configuration has */
	enum pool_status pool;
	uint64_t last_term, last_index;
	int64_t last_contact_ms; /* -1: never */
};

/* What is remembered of a server. */
struct autopilot_known {
	struct uuid id;
	bool seen;	     /* in this step */
	bool healthy, early; /* early: was there when the leadership began, and fine ever since */
	bool was_member, removed; /* removed: by an operator */
	bool left;		  /* it was removed because it had left: it may come back */
	struct mono since;	  /* healthy or not for so long */
	struct wall since_wall;
	struct mono gone_since; /* not reachable; MONO_NEVER: it is */
};

struct autopilot {
	struct autopilot_known known[AUTOPILOT_SERVERS_MAX];
	size_t known_count;
	bool began;    /* a step has been made */
	bool replaced; /* a server was added since the dead were last cleaned up */
};

struct autopilot_view {
	struct mono now;
	struct wall now_wall;
	uint64_t term, last_index; /* of the leader's log */
	struct autopilot_sight *servers;
	size_t servers_count;
};

enum autopilot_action {
	AUTOPILOT_NOTHING,
	/* the numbers of raft_change */
	AUTOPILOT_ADD = 1,
	AUTOPILOT_PROMOTE = 2,
	AUTOPILOT_REMOVE = 4,
};

struct autopilot_decision {
	enum autopilot_action action;
	struct uuid id;
	const char *why;
};

void autopilot_config_default(struct autopilot_config *out);
void autopilot_init_core(struct autopilot *a); /* a leadership begins */
void autopilot_step(struct autopilot *a, const struct autopilot_config *config,
	const struct autopilot_view *view, struct autopilot_decision *out);
/* Of the newest step. */
bool autopilot_healthy(const struct autopilot *a, const struct uuid *id, struct wall *since_out);
/* How many more voters may fail; *all_healthy_out: every member is healthy. */
uint32_t autopilot_tolerance(
	const struct autopilot *a, const struct autopilot_view *view, bool *all_healthy_out);

#endif
