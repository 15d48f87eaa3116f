/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster of raftd in one process: the real core, node and log of each server on a disk in memory
 * (tests/fake), a network, clocks and processes that misbehave on purpose, a state machine like
 * catalogd's, and clients. Virtual time, one seed: a run repeats exactly.
 *
 *     world.c     time and the queue of what happens next
 *     network.c   links between servers: loss, delay, order, partitions, connections that break
 *     server.c    a server's life and its turns: the shell around a node
 *     service.c   what clients ask of a server: proposals, reads, and how those are forwarded
 *     transfer.c  snapshots between servers
 *     machine.c   the state machine
 *     clients.c   who asks, and what they were told (history.c: was that linearizable?)
 *     chaos.c     what goes wrong; profiles.c: how often
 *     check_*.c   what must always hold
 *
 * True time is struct world's now, in ns. Each server has a clock of its own: another offset and
 * another speed, up to the drift that the core is told to expect.
 */
#ifndef MUSTER_TESTS_SIM_QUORUM_WORLD_H
#define MUSTER_TESTS_SIM_QUORUM_WORLD_H

#include "raftd/node.h"
#include "tests/fake/fake_disk.h"
#include "tests/sim/quorum/history.h"
#include "tests/sim/quorum/machine.h"

enum {
	SERVERS_MAX = 9,
	ELECTION_MS = 200,
	HEARTBEAT_MS = 40,
	DRIFT_PERCENT = 5,
	SERVER_READS_MAX = 2 * CLIENTS,
	VARIANTS_MAX = 8,
};

struct world;

enum event_type {
	EVENT_DELIVER, /* packet */
	EVENT_TURN,    /* who: a server does what has come in */
	EVENT_APPLY,   /* who: its state machine takes what was committed */
	EVENT_CLIENT,  /* who */
	EVENT_CHAOS,
	EVENT_END, /* of the faults, and of the run */
};

struct event {
	int64_t at;
	uint64_t order; /* equal times: first come, first served */
	enum event_type type;
	unsigned who;
	struct packet *packet;
};

enum packet_kind {
	PACKET_RAFT,	/* bytes: an encoded raft_message */
	PACKET_PROPOSE, /* bytes: a command, for the leader */
	PACKET_CHUNK,	/* a piece of a snapshot */
	PACKET_WANTED,	/* what the receiver of a snapshot wants next */
};

struct snapshot_chunk {
	struct machine state; /* whole: what counts is which piece arrived */
	uint64_t term, configuration_index;
	unsigned at, count; /* the at-th of count pieces */
	bool installed;	    /* WANTED: all of it is there */
};

struct packet {
	struct list link; /* in the receiver's inbox */
	enum packet_kind kind;
	unsigned from, to;
	uint64_t connection;
	struct uuid life; /* of the sender */
	struct buf bytes;
	struct snapshot_chunk chunk; /* bytes: its configuration */
};

struct link {
	bool cut;	       /* nothing gets through */
	int64_t clogged_until; /* nothing gets through before */
	int64_t refused_until; /* no connection: send says so */
	int64_t newest;	       /* when the newest packet arrives */
	uint64_t connection;   /* number; a break begins another */
	unsigned waiting;      /* on their way */
};

/* A read that a client waits for at a server. */
struct server_read {
	unsigned client;
	enum operation_kind kind;
	bool known; /* index is */
	uint64_t operation, tag, index;
	unsigned reg;
};

/* A snapshot on its way to another server. */
struct offer {
	bool active;
	uint64_t index;
	unsigned at, tries; /* the piece that was asked for */
	int64_t until;
};

struct server {
	struct world *world;
	unsigned number;
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE];
	struct fake_disk disk;
	struct node node;
	bool live, wanted; /* wanted: it was to be started once */
	uint64_t life;
	struct uuid disk_life; /* changes when the disk is lost */
	int64_t clock_offset, clock_ppm;
	int64_t busy_until; /* paused, or waits for its disk */
	int64_t stall;	    /* what a sync of this turn takes */
	uint64_t turn_syncs;
	int64_t turn_at, apply_at;	  /* of the queued events; INT64_MAX: none */
	struct list inbox;		  /* struct packet */
	const struct configuration *told; /* of node_bootstrap; NULL: not yet */
	bool bootstrap;

	/* the state machine and its durable snapshots, newest first */
	struct machine machine;
	struct machine saved[2];
	bool save_due;
	struct machine incoming; /* a leader's snapshot that is being received */
	unsigned incoming_at;

	/* what clients wait for */
	struct {
		uint64_t operation;
		struct command command; /* kind 0: none */
		bool proposed;
	} writes[CLIENTS];
	struct server_read asked[SERVER_READS_MAX]; /* for the next turn */
	size_t asked_count;
	struct server_read reads[SERVER_READS_MAX];
	size_t reads_count;
	uint64_t tag;
	struct offer offers[SERVERS_MAX];
	bool offer_asked[SERVERS_MAX];
	bool broken[SERVERS_MAX]; /* connections: it does not know yet */

	/* what the checkers remember */
	uint64_t seen_last;	 /* the log was looked at up to here */
	uint64_t commit_checked; /* and was compared with other servers' up to here */
	uint64_t commit_seen;
	uint64_t term_durable;
	struct uuid vote_durable;
	uint64_t log_durable, log_durable_term; /* of its newest durable entry */
	uint64_t voted_term;			/* newest vote that it told anybody of */
	unsigned voted_for;
	uint64_t stale_seen; /* index of its newest stale read in this life */
	uint64_t promised;   /* newest term in which it acknowledged entries */
};

struct variant {
	uint64_t term, hash, before; /* before: term of the entry before it */
};

/* What was ever known of an index. */
struct known {
	uint64_t term, hash;  /* committed; term 0: not known to be */
	uint64_t commit_term; /* of the server that first knew it */
	uint64_t digest;      /* of the state behind it; 0: nobody applied it */
	struct variant variants[VARIANTS_MAX];
	unsigned variants_count;
};

struct truth {
	struct known *known;
	size_t room;
	uint64_t last;	   /* the highest committed index */
	unsigned *leaders; /* by term: number of the server + 1 */
	size_t leaders_room;
	uint64_t commit_term;	     /* the highest term in which a leader committed */
	uint64_t *commands[CLIENTS]; /* by id: the entry that did it */
	size_t commands_room[CLIENTS];
	uint64_t seen; /* index that an answered write or linearizable read has shown */
};

struct counters {
	uint64_t events, messages, lost, elections, commits, writes, reads, lease_reads,
		stale_reads, restarts, power_cuts, wipes, installs, changes, transfers,
		disk_failures, breaks, unknown;
};

struct world {
	uint64_t seed;
	const struct profile *profile;
	struct rng rng;
	int64_t now;
	struct event *heap;
	size_t heap_count, heap_room;
	uint64_t order;
	struct server servers[SERVERS_MAX];
	unsigned servers_count;
	unsigned started;	       /* servers at first; the rest may be added */
	struct configuration first[2]; /* that servers are told at bootstrap */
	unsigned first_to, first_from; /* first[0] ends before, first[1] begins with */
	struct link links[SERVERS_MAX][SERVERS_MAX];
	uint32_t loss_pm, duplicate_pm;
	struct client clients[CLIENTS];
	struct history history;
	struct truth truth;
	struct counters counters;
	bool faults; /* not over yet */
	int64_t calm_at;
	uint64_t marker; /* writes acknowledged when the faults ended */
	uint64_t target; /* what everybody has to apply then; 0: not known yet */
	bool torn;	 /* not all were told of the same cluster: perhaps there never is one */
	bool done, trace;
	struct buf lines; /* of the trace, when it is not printed at once */
};

/* -------- world.c -------- */

struct run {
	const struct profile *profile;
	uint64_t seed;
	bool trace, print; /* print: every line at once; else the last ones when it fails */
	uint64_t digest_out;
	struct counters counters_out; /* added to */
};

void world_run(struct run *run); /* does not return from a failure */
void world_at(struct world *w, int64_t at, enum event_type type, unsigned who, struct packet *p);
int64_t world_within(
	struct world *w, int64_t least_us, int64_t most_us); /* a chance duration, ns */
bool world_chance(struct world *w, uint32_t percent);
void world_note(struct world *w, const struct server *s, const char *format, ...) PRINTF_LIKE(3, 4);
#define note(w, s, ...)                                \
	do {                                           \
		if ((w)->trace) {                      \
			world_note(w, s, __VA_ARGS__); \
		}                                      \
	} while (0)
_Noreturn void failed(struct world *w, const struct server *s, const char *format, ...)
	PRINTF_LIKE(3, 4);
struct server *world_leader(struct world *w);			     /* of the newest term; NULL */
struct server *world_server(struct world *w, const struct uuid *id); /* NULL */
/* Nobody of this configuration has lost its disk. */
bool world_is_sound(struct world *w, const struct configuration *c);
struct server *world_sound_leader(
	struct world *w); /* one that has committed such a configuration; NULL */

/* -------- network.c -------- */

/* late: how much later than now it leaves. false: there is no connection, or too much waits. */
bool net_send(struct server *s, unsigned to, struct packet *p, int64_t late);
void net_break(struct world *w, unsigned a, unsigned b); /* both ends are told */
void net_heal(struct world *w);
void net_deliver(struct world *w, struct packet *p);
void packet_free(struct packet *p);

/* -------- server.c -------- */

void server_init(struct world *w, unsigned number);
void server_fini(struct server *s);
struct mono server_clock(const struct server *s);
bool server_start(struct server *s);
void server_crash(struct server *s, bool power);
void server_wipe(struct server *s); /* it loses its disk, and comes back with an empty one */
bool server_is_wiped(const struct server *s);
void server_turn(struct server *s);
void server_wake(struct server *s, int64_t at); /* there is something to do */
int64_t server_late(const struct server *s);	/* how far in its turn it is */
bool server_send(struct server *s, unsigned to, struct packet *p);

/* -------- service.c -------- */

void service_write(struct server *s, unsigned client, const struct command *c);
void service_read(struct server *s, unsigned client, enum operation_kind kind, unsigned reg);
void service_requests(struct server *s);		     /* those that came in: within a turn */
void service_proposed(struct server *s, struct str command); /* by another server */
void service_reads(struct server *s, const struct raft_update *u);
void service_apply(struct server *s);
void service_forget(struct server *s); /* it has crashed */

/* -------- transfer.c -------- */

void transfer_begin(struct server *s, unsigned to);
void transfer_chunk(struct server *s, const struct packet *p);
void transfer_wanted(struct server *s, const struct packet *p);
void transfer_look(struct server *s); /* for what takes too long: within a turn */
void transfer_save(struct server *s); /* takes a snapshot */

/* -------- clients.c -------- */

void client_event(struct world *w, unsigned number);
void client_give_up(struct world *w, unsigned number);
void client_answer(struct world *w, unsigned number, uint64_t operation, bool good, uint64_t value,
	uint64_t index);

/* -------- check_*.c -------- */

void check_update(struct server *s, const struct raft_update *u); /* after each step */
void check_send(struct server *s, const struct raft_message *m);
void check_started(struct server *s);
void check_turn(struct server *s); /* after each turn */
void check_complete(struct server *s);
void check_applied(struct server *s, const struct command *c, bool fresh);
void check_read(struct world *w, const struct server *s, enum operation_kind kind, uint64_t index,
	uint64_t floor);
bool check_converged(struct world *w);
void truth_fini(struct truth *t);
struct known *truth_of(struct world *w, uint64_t index);
uint64_t *truth_command(struct world *w, unsigned client, uint64_t id);

#endif
