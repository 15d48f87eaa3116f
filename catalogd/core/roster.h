/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of the gossip pool in the order of their names, with what the leader makes of each:
 * which of them belong into the catalogue, which have an id that another one has too, which have
 * changed since they were looked at, and which are gone. Pure; everything lives in the roster's
 * arena.
 */
#ifndef MUSTER_CATALOGD_CORE_ROSTER_H
#define MUSTER_CATALOGD_CORE_ROSTER_H

#include "common/base/arena.h"
#include "common/msg/message.h"

/* As gossipd counts them. */
enum roster_status { ROSTER_ALIVE = 1, ROSTER_LEAVING, ROSTER_LEFT, ROSTER_FAILED };

struct roster_row {
	const struct member *m;
	struct str key; /* its name in lower case, as the catalogue has it */
	struct str id;	/* of the node; may be empty */
	bool handled;	/* an agent of this data centre, as its tags say */
	bool server;
	bool twin;	    /* another agent that is alive has its id */
	bool first;	    /* ... and a name behind this one's */
	bool due;	    /* to be looked at */
	struct str trouble; /* what was last logged about it, so that it is said once */
};

struct roster {
	struct arena arena;
	struct members_reply members;
	struct roster_row *rows;
	uint32_t count;
	/* Keys of those that had left or failed, and are not in the pool any more. A new life of
	 * gossipd has yet to hear of the dead: what it does not know is not gone. */
	struct strs gone;
};

/*
 * From an encoded members_reply. Rows that are not in `before`, or differ there, are due; what was
 * due or said there stays. ST_INVALID, ST_TRUNCATED: not such a message. r is initialised in any
 * case.
 */
int roster_make(
	struct roster *r, struct str members, struct str datacenter, const struct roster *before);
void roster_fini(struct roster *r);
struct roster_row *roster_find(const struct roster *r, struct str key); /* NULL */

#endif
