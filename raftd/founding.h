/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When servers that expect each other form a new cluster (bootstrap_expect). A pure function of
 * what their hellos say: as many servers as are expected, all with that expectation, none with a
 * log and none that knows a leader. Where there are more, those with the lowest ids found it, and
 * the others join. Servers that have heard of different ones choose differently for a while: the
 * first election needs all whom the chosen configuration names, and they must have chosen the same.
 */
#ifndef MUSTER_RAFTD_FOUNDING_H
#define MUSTER_RAFTD_FOUNDING_H

#include "raftd/core/configuration.h"

enum { FOUNDING_SERVERS_MAX = 64 };

struct founding_server {
	struct uuid id;
	struct str address;
	uint32_t expect;
	bool has_log, read_replica, knows_leader;
	struct uuid life;
};

enum founding_verdict {
	FOUNDING_NOT_EXPECTED, /* this server was not told to take part in one */
	FOUNDING_WAITS,	       /* too few servers yet */
	FOUNDING_JOINS,	       /* there is a cluster already */
	FOUNDING_DIFFERS,      /* another server expects another number */
	FOUNDING_OTHERS,       /* enough others with lower ids found it */
	FOUNDING_NOW,
};

/* servers[0] is this one. *out is set with FOUNDING_NOW; *seen_out: how many would take part. The
 * array is sorted. */
enum founding_verdict founding_judge(
	struct founding_server *servers, size_t count, struct configuration *out, size_t *seen_out);

#endif
