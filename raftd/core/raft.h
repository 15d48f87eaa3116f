/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raft as a pure function: what happened goes in as an event, what to do comes out as an update. No
 * I/O, no clock, no chance but the given one, and no bodies of entries: the log (raftd/log.h) keeps
 * those, the core knows indexes and terms. "Thesis" is Ongaro, Consensus: Bridging Theory and
 * Practice (2014).
 *
 *                     START or deadline, and this server is the only voter
 *          +----------+                        +-----------+                  +--------+
 *   ------>| FOLLOWER |----------------------->| CANDIDATE |----------------->| LEADER |
 *   START  +----------+   term + 1, own vote   +-----------+    PERSISTED     +--------+
 *             ^    ^                                 |        (own vote is        |
 *             |    |          DISK_FAILED            |       a majority of one)   |
 *             |    +---------------------------------+                            |
 *             +-------------------------------------------------------------------+
 *                             DISK_FAILED: what is not durable is cut
 *
 * The order in which the shell carries out an update is part of the contract:
 *   1. persist: write raft_persistent() durably, then step PERSISTED (only then a vote counts)
 *   2. cut: forget the entries behind cut_after (they were never durable)
 *   3. append: hand the entries to the log; when they are synced, step DURABLE
 *   4. commit_index, reads: answer what waits for them
 *   5. discard_before: the log may drop the entries before it (never before 1 is done)
 *   6. arm the timer for raft_deadline()
 * When the shell cannot do 1 or 3, it drops the rest of the update and steps DISK_FAILED.
 *
 * Event memory is borrowed for the call. Update memory is the core's, valid until the next step.
 * The body of a proposed command is the one thing the update leaves out: the shell has it in hand.
 */
#ifndef MUSTER_RAFTD_CORE_RAFT_H
#define MUSTER_RAFTD_CORE_RAFT_H

#include "common/base/rng.h"
#include "common/base/time.h"
#include "raftd/core/configuration.h"

enum raft_role { RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_entry_type {
	RAFT_COMMAND = 1,	/* an encoded struct command, for catalogd */
	RAFT_NOOP = 2,		/* first of a leader's term, empty (thesis 6.4) */
	RAFT_CONFIGURATION = 3, /* encoded struct raft_members */
};

enum raft_event_type {
	RAFT_EVENT_START,	   /* the first event, once */
	RAFT_EVENT_TICK,	   /* the deadline passed (an early one does no harm) */
	RAFT_EVENT_PERSISTED,	   /* the newest persist was carried out */
	RAFT_EVENT_PROPOSE,	   /* append a command; update.status tells */
	RAFT_EVENT_DURABLE,	   /* index: the log is synced up to it */
	RAFT_EVENT_DISK_FAILED,	   /* a write or sync of the log or of the persistent part failed */
	RAFT_EVENT_READ_INDEX,	   /* tag: of a linearizable read; tags grow */
	RAFT_EVENT_SNAPSHOT_TAKEN, /* index, term: of the state that was saved durably elsewhere */
};

/* What must survive a crash, beside the log itself (thesis, figure 3.1: persistent state). */
struct raft_persistent {
	uint64_t term;
	struct uuid vote; /* zero: none in this term */
	uint64_t snapshot_index, snapshot_term;
	uint64_t configuration_index; /* of the configuration kept here, whose entry the log may
					 have dropped */
	struct configuration configuration;
};

/* persistent, the log's bounds and the newest configuration that recovery found. */
struct raft_start {
	const struct raft_persistent *persistent;
	uint64_t first_index; /* 0: the log is empty */
	uint64_t last_index, last_term;
	uint64_t configuration_index; /* of an entry in the log, 0: none there */
	struct str configuration;     /* its body */
	bool bootstrap;		      /* form a quorum of one where there is nothing yet */
};

struct raft_event {
	enum raft_event_type type;
	struct mono now;
	struct raft_start start;
	uint64_t index, term, tag;
};

struct raft_append {
	uint64_t index, term;
	enum raft_entry_type type;
	struct str body; /* RAFT_COMMAND: STR_NONE, the shell has it */
};

enum { RAFT_APPENDS_MAX = 2 }; /* per step: a no-op and a configuration */

struct raft_update {
	int status; /* PROPOSE, READ_INDEX, SNAPSHOT_TAKEN: 0, ST_NOT_LEADER, ST_INVALID */
	bool persist;
	bool cut;
	uint64_t cut_after;
	struct raft_append append[RAFT_APPENDS_MAX];
	size_t append_count;
	bool committed;		/* commit_index moved */
	uint64_t reads_through; /* every waiting read with a tag up to this one ends; 0: none */
	int reads_status;	/* 0: with reads_index; else refused */
	uint64_t reads_index;
	uint64_t discard_before; /* 0: nothing */
	bool role_changed;
	const char *note; /* for the log: why the role changed; NULL */
};

struct raft_options {
	struct uuid id;
	const char *address;
	uint64_t trailing_logs; /* entries kept behind a snapshot */
	uint64_t seed;
};

struct raft {
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE];
	uint64_t trailing_logs;
	struct rng rng;
	struct raft_persistent persistent;
	enum raft_role role;
	bool persisting; /* a persist is on its way */
	struct mono deadline;
	int64_t retry_ms; /* back-off after a disk failure */
	/* The log as this server has it. Where followers come in, each gets a struct of its own
	 * beside these, with next and match. */
	uint64_t first_index, last_index, last_term;
	uint64_t durable_index, durable_term;
	uint64_t commit_index;
	uint64_t term_start_index; /* leader: of its no-op */
	uint64_t configuration_index;
	struct configuration configuration; /* the newest in the log */
	uint64_t reads_waiting_through;	    /* highest tag of a read that waits; 0: none */
	struct buf configuration_body;	    /* memory of update.append */
};

void raft_init(struct raft *r, const struct raft_options *options);
void raft_fini(struct raft *r);
void raft_step(struct raft *r, const struct raft_event *event, struct raft_update *update);
struct mono raft_deadline(const struct raft *r); /* MONO_NEVER: none */
void raft_check(const struct raft *r);		 /* must() of every invariant */
uint64_t raft_digest(const struct raft *r);

const char *raft_role_name(enum raft_role role); /* "Leader", as Consul says it */
bool raft_is_alone(
	const struct raft *r); /* the only voter of its configuration: nobody else can lead */

#endif
