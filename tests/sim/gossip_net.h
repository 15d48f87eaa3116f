/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of gossip pools in virtual time: packets take a little while, get lost, are held while
 * a node pauses, and do not pass between groups. Everything follows from one seed. A node is what
 * survives its process: name, address and the clocks it would have stored. Each runs gossipd's own
 * core; nothing of the protocol is written here again.
 *
 * A process that wakes from a pause finds its timers due before it has read what came meanwhile:
 * the hard case for whoever judges others.
 */
#ifndef MUSTER_TESTS_SIM_GOSSIP_NET_H
#define MUSTER_TESTS_SIM_GOSSIP_NET_H

#include "gossipd/core/pool.h"

enum { NAME_SIZE = 24 };

struct sim_node {
	struct pool pool;
	char name[NAME_SIZE];
	bool up, left;
	int group;
	struct mono timer_at, paused_until; /* the process stands still */
	struct mono blocked_until;	    /* it goes on, but neither hears nor is heard */
	struct pool_clocks clocks;
	uint32_t incarnation;
	uint64_t generation; /* of its process: what was meant for an older one is lost */
};

struct sim_item;

struct net {
	uint64_t seed;
	struct rng rng;
	struct mono now;
	struct sim_node *nodes;
	size_t count;
	struct sim_item *heap;
	size_t heap_count, heap_size;
	uint64_t order;
	unsigned loss_permille;
	struct pool_options options; /* of every node; name and address are filled in */
	uint64_t packets, bytes, stream_bytes, steps;
	size_t packet_max;
	void *arg;
	void (*on_note)(void *arg, struct sim_node *node, const struct pool_note *note);
};

void net_init(struct net *n, size_t count, uint64_t seed);
void net_fini(struct net *n);
void net_start_node(struct net *n, size_t i); /* its process begins, with what it stored */
void net_kill_node(struct net *n, size_t i);  /* its process ends, no word said */
void net_step(struct net *n, size_t i, struct pool_event *event); /* now is filled in */
/* Exchanges states with another; again, as after a restart: no intent is spread. */
void net_join(struct net *n, size_t i, size_t to, bool again);
void net_run(struct net *n, int64_t ms); /* lets so much time pass */
/* Node i hears of the first `others` (view 0), or of so many random ones of them, as in a join. */
void net_introduce(struct net *n, size_t i, size_t others, size_t view);
void net_forget_gossip(struct net *n); /* what is still to be said was said long ago */
size_t net_index(const struct net *n, const struct sim_node *node);

#endif
