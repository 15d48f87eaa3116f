/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other servers: who they are, where they are, and the connections to them. Every server dials
 * every other one that it should reach; an accepted connection is as good for sending while the
 * dialled one is not there. All begin with a hello.
 *
 *     members      of the configuration: always dialled
 *     seeds        servers that the gossip pool knows: always dialled, when settled less often
 *     acquainted   named in a hello, or said hello themselves: dialled while this one is unsettled
 *
 * unsettled: without a known leader, or not a member. What a peer does wrong ends its connection,
 * is counted, and logged at most once a second.
 */
#ifndef MUSTER_RAFTD_PEER_H
#define MUSTER_RAFTD_PEER_H

#include "common/base/rng.h"
#include "raftd/core/configuration.h"
#include "common/sys/log.h"
#include "raftd/link.h"
#include "raftd/pool.h"

enum {
	PEERS_MAX = 64,
	PEER_ACCEPTED_MAX = 128, /* connections; beyond that new ones are closed */
	PEER_CONNECT_MS = 2000,
	PEER_AGAIN_FIRST_MS = 10,
	PEER_AGAIN_MAX_MS = 1000,
	PEER_AGAIN_REFUSED_MS = 5000, /* who does not want us, or is no member and not there */
	PEER_REFUSED_KEPT_MS = 60000,
	PEER_ACQUAINTED_MS = 500,     /* after its first hello it may be taken in */
	PEER_HELLO_MS = 5000,
	PEER_HELLO_UNSETTLED_MS = 250,
};

struct peer {
	struct list link;
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE];    /* where it is dialled */
	char configured[RAFT_ADDRESS_SIZE]; /* where the configuration says it is */
	char pooled[RAFT_ADDRESS_SIZE];	    /* where the pool says it is */
	bool member, seed;
	struct link *out, *in;
	struct mono again;    /* dialled not before */
	struct mono hello_at; /* the next hello over out */
	unsigned failures;    /* in a row */
	uint64_t connects;
	/* what it said of itself, newest */
	bool told;
	struct mono heard; /* when */
	struct mono since; /* ... first, since it is connected */
	struct peer_identity identity;
	const char *refused; /* why, as the log says already; NULL: it is not */
	struct buf words;    /* an encoded struct peer_hello, which facts borrows from */
	struct arena arena;
	struct peer_hello hello;
};

struct peers_counts {
	uint64_t accepted, refused, broken, unknown, mistaken;
};

struct peers_setup {
	struct loop *loop;
	struct uuid id;
	struct str address, datacenter;
	int64_t again_max_ms;
	int64_t greeting_ms; /* from the connection to the end of the first hello */
	/* What this server says in a hello, except for servers (borrowed), and of itself to `to`,
	 * who may be nobody yet (NULL). */
	void (*say)(void *arg, struct peer_hello *out);
	struct peer_identity (*identify)(void *arg, const struct uuid *to);
	/* A peer has said hello, or who it is (again). */
	void (*on_hello)(void *arg, struct peer *p);
	/* Any other frame, of a peer that has said who it is. */
	void (*on_frame)(void *arg, struct peer *p, const struct peer_frame *f);
	/* What was on its way to it may be lost. Called by peers_settle only. */
	void (*on_lost)(void *arg, struct peer *p);
	void *arg;
};

struct peers {
	struct peers_setup setup;
	struct list list; /* struct peer */
	size_t count;
	struct list accepted; /* struct link */
	size_t accepted_count;
	int listen_fd;
	struct loop_io listen_io;
	struct loop_timer timer;
	struct rng rng;
	bool settled;
	struct peers_counts counts;
	struct log_limit limit;
};

void peers_init(struct peers *p, const struct peers_setup *setup, uint64_t seed);
void peers_fini(struct peers *p);
/* Takes the descriptor, accepts and dials from now on. */
void peers_start(struct peers *p, int listen_fd);

/* All that the pool knows now, without this one. Not within on_frame, on_hello, on_lost. */
void peers_seed(struct peers *p, const struct pool_server *servers, size_t count);
/* Nor this. */
void peers_configure(struct peers *p, const struct configuration *c);
void peers_set_settled(struct peers *p, bool settled);
/* What this server says has changed: everybody hears it now. */
void peers_announce(struct peers *p);

/* It has sent what it should not: its connections end. */
void peers_mistake(struct peers *p, struct peer *peer, const char *why);

struct peer *peers_find(const struct peers *p, const struct uuid *id); /* NULL */
bool peer_connected(const struct peer *p);
/* Where frames for this server go; NULL: no connection, or more than waiting_max bytes wait. */
struct buf *peers_out(struct peers *p, const struct uuid *to, size_t waiting_max);
void peers_flush(struct peers *p);
/* The end of a turn: what broke is taken away, timers are set. */
void peers_settle(struct peers *p);

/* Shared by peer.c and peer_connect.c. */
void peer_del(struct peers *p, struct peer *peer);
void peer_link_detach(struct peers *p, struct link *l); /* frees it */
void peer_hello_send(struct peers *p, struct peer *peer);
void peers_on_frame(void *arg, struct link *l, const struct peer_frame *f);

#endif
