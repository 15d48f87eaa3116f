/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of members in the simulator, and those who look on. check_* fail the run, each for one
 * promise; the rest counts.
 */
#ifndef MUSTER_TESTS_SIM_GOSSIP_WORLD_H
#define MUSTER_TESTS_SIM_GOSSIP_WORLD_H

#include "tests/sim/gossip_net.h"

enum { EVENTS_MAX = 32 };

struct world {
	struct net net;
	const char *plan;
	size_t view; /* how many others each member knows; 0: all */
	/* failures of members that were up and well, as the well ones saw it */
	uint64_t false_failures;
	bool false_failures_allowed;
	/* of lives that were over, where the next one was not known yet */
	uint64_t past_failures;
	bool past_failures_allowed;
	uint64_t suspects;
	struct mono fired_at[EVENTS_MAX];
	size_t events;
	uint32_t *delivered; /* per event and node: how often */
	bool *listens;	     /* by node: was there when the first event was fired */
	size_t listeners;
	int64_t *latencies_ns; /* of deliveries */
	size_t latencies_count;
	struct mono died_at;
	int64_t known_last_ns; /* when the last member heard of the last dead one */
	uint64_t deaths_known;
	bool *dead, *shaky; /* by node: dead; not to be judged */
	uint32_t *past;	    /* by node: the last incarnation of its life before this one */
	uint64_t bytes_before, stream_bytes_before;
	struct mono meter_at;
};

_Noreturn void world_failed(const struct world *w, const char *what, uint64_t number);

void world_init(struct world *w, const char *plan, size_t count, uint64_t seed);
/* The first `up` members have known each other (or so many others) for long, and nothing to say. */
void world_build(struct world *w, size_t up, size_t view);
void world_fini(struct world *w);

/* It may be started again: who still judges the life that ends here is not wrong. */
void world_kill(struct world *w, size_t i);
void world_fire(struct world *w, size_t i); /* the next user event, at node i */
/* Prints how long events took; fails where p99 is a second or more, or one in 1,000 is missing. */
void check_events(struct world *w);
/* Nobody that is up sees somebody alive who is not. */
void check_no_ghosts(struct world *w);
/* All that are up see exactly those alive that are up, and no table is broken. */
void check_agreement(struct world *w);
/* Of all pairs of members, how many know each other; 10000: all. */
unsigned world_known(const struct world *w);

void meter_start(struct world *w);
void meter_print(struct world *w, const char *what); /* what each member sent, per second */

#endif
