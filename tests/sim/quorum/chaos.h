/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong in a run and how often: a profile. Each action of the table in chaos.c has a
 * weight; one is drawn every now and then while the faults last.
 */
#ifndef MUSTER_TESTS_SIM_QUORUM_CHAOS_H
#define MUSTER_TESTS_SIM_QUORUM_CHAOS_H

#include "common/base/str.h"

struct world;

enum chaos_action {
	CHAOS_PARTITION, /* two groups */
	CHAOS_ISOLATE,	 /* one server, the leader as a rule */
	CHAOS_ONE_WAY,	 /* one direction of one link */
	CHAOS_PAIR,	 /* one link, both ways */
	CHAOS_CLOG,
	CHAOS_BREAK,
	CHAOS_LOSS,
	CHAOS_HEAL,
	CHAOS_KILL,
	CHAOS_POWER,
	CHAOS_POWER_ALL,
	CHAOS_WIPE, /* a server loses its disk */
	CHAOS_START,
	CHAOS_BOUNCE, /* killed and there again at once */
	CHAOS_PAUSE,
	CHAOS_DISK,
	CHAOS_FULL,
	CHAOS_DISK_GOOD,
	CHAOS_DISK_SLOW, /* the leader finds its own so */
	CHAOS_MEMBERS,
	CHAOS_MOVE, /* a server comes back under another address */
	CHAOS_TRANSFER,
	CHAOS_SNAPSHOT,
	CHAOS_PREPARE,
	CHAOS_BURST, /* many commands at once, for the leader */
	CHAOS_TELL,  /* a server learns who may form the cluster */
	CHAOS_CALM,  /* everything is well for a while */
	CHAOS_ACTIONS,
};

enum founding {
	FOUND_ANY,   /* one of the next two */
	FOUND_ALONE, /* by one server, which takes the others in */
	FOUND_TOLD,  /* all are told of all */
	FOUND_TORN,  /* of one of two clusters that overlap */
};

struct profile {
	const char *name;
	unsigned least_servers, most_servers; /* at first */
	enum founding founding;
	int64_t least_ms, most_ms; /* how long the faults last */
	int64_t every_ms;	   /* on average, from one to the next */
	int64_t latency_us;
	uint32_t slow_percent;	/* of packets take much longer */
	uint32_t stall_percent; /* of turns have a slow sync */
	uint32_t loss_pm_max, duplicate_pm_max;
	bool disorder;	     /* packets overtake each other */
	bool idle;	     /* clients take their time: also who was away has the newest entry */
	uint64_t save_every; /* entries between snapshots */
	uint64_t trailing;
	unsigned weights[CHAOS_ACTIONS];
};

extern const struct profile profiles[];
extern const size_t profiles_count;
const struct profile *profile_find(struct str name); /* NULL */

void chaos_begin(struct world *w); /* makes the servers */
void chaos_event(struct world *w);
void chaos_end(struct world *w); /* everything is well from now on */

#endif
