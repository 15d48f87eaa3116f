/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raft as a pure function: what happened goes in as an event, what to do comes out as an update. No
 * I/O, no clock, no chance but the given one, and no bodies of entries: the log (raftd/log.h) keeps
 * those, the core knows indexes and terms (trail.h). "Thesis" is Ongaro, Consensus: Bridging Theory
 * and Practice (2014).
 *
 *             deadline        a majority would vote     a majority voted, own vote durable
 *  +----------+      +---------------+      +-----------+      +--------+
 *  | FOLLOWER |----->| PRE_CANDIDATE |----->| CANDIDATE |----->| LEADER |
 *  +----------+      +---------------+      +-----------+      +--------+
 *     ^  ^                  |     term + 1, own vote |              |
 *     |  +------------------+------------------------+              |
 *     |     a leader of this term, a newer term, deadline           |
 *     +-------------------------------------------------------------+
 *        a newer term, no majority heard for an election timeout, the
 *        disk failed, removed, leadership transferred
 *
 * Elections: pre-vote (thesis 9.6); a server that has heard of a leader within the minimum election
 * timeout votes for nobody else (thesis 4.2.3), also right after a start, when it cannot know whom
 * it had heard; that is what makes the leader's lease good. Of a quorum of one nobody is asked.
 * Who is woken a heartbeat too late was kept from running, and perhaps the whole machine with it:
 * what others have sent may still be on its way, and what it should have sent is late. So a
 * follower waits one heartbeat more before it asks for votes, and a leader bears silence for one
 * more election timeout.
 * The first election of a new cluster needs every server of the first configuration, so that
 * servers that were told of different ones cannot form two clusters.
 *
 * The order in which the shell carries out an update is part of the contract:
 *   1. persist: write raft_persistent() durably, then (after this update) step PERSISTED
 *   2. reset: forget the whole log, it goes on behind reset_index; or
 *      cut: forget the entries behind cut_after
 *   3. append: hand the entries to the log: those of the event's message from accept_from on, then
 *      those in append[]
 *   4. sends: hand to the network; for each that was handed over step SENT. An APPEND is filled up
 *      from the log: any number of entries behind message.index up to `through`
 *   5. commit_index, reads: answer what waits for them
 *   6. discard_before: the log may drop the entries before it (never before 1 is done)
 *   7. arm the timer for raft_deadline()
 * When the shell cannot do 1, 2 or 3, it drops the rest of the update, except a reset, and steps
 * DISK_FAILED.
 * Appended entries are synced at the end of a turn, then DURABLE is stepped, and FLUSH before and
 * after that: FLUSH is when a leader sends, so that a turn's entries leave together, and before its
 * own disk has them (thesis 10.2.1).
 *
 * Event memory is borrowed for the call. Update memory is the core's, valid until the next step.
 */
#ifndef MUSTER_RAFTD_CORE_RAFT_H
#define MUSTER_RAFTD_CORE_RAFT_H

#include "common/base/rng.h"
#include "common/base/time.h"
#include "raftd/core/configuration.h"
#include "raftd/core/message.h"
#include "raftd/core/trail.h"

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_entry_type {
	RAFT_COMMAND = 1,	/* an encoded struct command, for catalogd */
	RAFT_NOOP = 2,		/* first of a leader's term, empty (thesis 6.4) */
	RAFT_CONFIGURATION = 3, /* encoded struct raft_members */
};

enum raft_event_type {
	RAFT_EVENT_START,	   /* the first event, once */
	RAFT_EVENT_TICK,	   /* the deadline passed (an early one does no harm) */
	RAFT_EVENT_MESSAGE,	   /* message: from another server, of that life */
	RAFT_EVENT_FLUSH,	   /* the end of a turn: what is there to be sent is sent */
	RAFT_EVENT_SENT,	   /* peer, index: an APPEND up to index was handed over */
	RAFT_EVENT_UNREACHABLE,	   /* peer: the connection broke: what was on its way may be lost */
	RAFT_EVENT_PERSISTED,	   /* the newest persist was carried out */
	RAFT_EVENT_PROPOSE,	   /* append a command; update.status tells */
	RAFT_EVENT_DURABLE,	   /* index: the log is synced up to it */
	RAFT_EVENT_DISK_FAILED,	   /* a write or sync of the log or of the persistent part failed */
	RAFT_EVENT_READ_INDEX,	   /* tag, read: of a linearizable read; tags grow, kind by kind */
	RAFT_EVENT_SNAPSHOT_TAKEN, /* index, term: of the state that was saved durably elsewhere */
	RAFT_EVENT_DISCARDED,	   /* index: the log begins there now, further on than was asked */
	RAFT_EVENT_SNAPSHOT_SENT,  /* peer, index: has all of it, or (index 0) sending it failed */
	RAFT_EVENT_SNAPSHOT_INSTALLED, /* snapshot: a leader's, durable and in place */
	RAFT_EVENT_BOOTSTRAP, /* configuration: who may form a new cluster, this one among them */
	RAFT_EVENT_CHANGE,    /* change: of the configuration; update.status tells */
	RAFT_EVENT_TRANSFER,  /* peer: shall lead (zero: whoever is best); update.status tells */
};

/* What must survive a crash, beside the log itself (thesis, figure 3.1: persistent state). */
struct raft_persistent {
	struct uuid life; /* of this disk; zero: not known */
	uint64_t term;
	struct uuid vote; /* zero: none in this term */
	uint64_t snapshot_index, snapshot_term;
	/* The snapshot was a leader's: the log may end before it, or differ from it. */
	bool log_reset;
	uint64_t configuration_index; /* of the configuration kept here, whose entry the log may
					 have dropped; 0: of a cluster that has no log yet */
	struct configuration configuration;
};

/* A configuration as an entry of the log has it. */
struct raft_configured {
	uint64_t index;
	struct str body;
};

/* persistent, and what recovery found in the log. */
struct raft_start {
	const struct raft_persistent *persistent;
	const struct trail *trail;
	const struct raft_configured *configured; /* all that the log has, oldest first */
	size_t configured_count;
	bool bootstrap; /* form a quorum of one where there is nothing yet */
	/* Take part in this configuration from the end of the log on, whatever that says: how an
	 * operator recovers a cluster that has lost its majority. NULL: no. */
	const struct configuration *recover;
};

struct raft_snapshot {
	uint64_t index, term, configuration_index;
	struct str configuration; /* encoded */
};

/* How a read makes sure that this leader still leads. A later read of one kind covers the earlier
 * ones. */
enum raft_read_kind {
	RAFT_READ_LEASE, /* by the lease, while it is valid: relies on clocks of about one speed */
	RAFT_READ_ROUND, /* by asking a majority (thesis 6.4) */
	RAFT_READ_KINDS,
};

enum raft_change_type {
	RAFT_ADD = 1, /* as non-voter; or a member with a new address or life */
	RAFT_PROMOTE, /* a non-voter that has caught up votes from now on */
	RAFT_DEMOTE,
	RAFT_REMOVE,
};

struct raft_server_change {
	enum raft_change_type type;
	struct uuid id;
	/* RAFT_ADD. life zero: what is known stays. A member that comes with another life than
	 * before, or blank (without a log), has lost its disk: it does not vote from now on. */
	const char *address;
	struct uuid life;
	bool blank;
};

struct raft_event {
	enum raft_event_type type;
	struct mono now; /* in every event */
	struct raft_start start;
	const struct raft_message *message;
	struct uuid life; /* zero: not known */
	struct uuid peer;
	uint64_t index, term, tag;
	enum raft_read_kind read;
	struct raft_snapshot snapshot;
	const struct configuration *configuration;
	struct raft_server_change change;
};

struct raft_append {
	uint64_t index, term;
	enum raft_entry_type type;
	struct str body; /* RAFT_COMMAND: STR_NONE, the shell has it */
};

struct raft_send {
	struct raft_message message; /* entries: none, the shell adds them */
	uint64_t through;	     /* APPEND: up to which they may be added; else 0 */
};

/* Every waiting read of a kind with a tag up to `through` ends. */
struct raft_reads_end {
	uint64_t through; /* 0: none */
	int status;	  /* 0: with index; ST_NOT_LEADER: refused */
	uint64_t index;
};

enum { RAFT_APPENDS_MAX = 2, RAFT_READS_MAX = 64 };

struct raft_update {
	/* PROPOSE, READ_INDEX, SNAPSHOT_TAKEN, CHANGE, TRANSFER: 0; ST_NOT_LEADER; ST_INVALID;
	 * CHANGE and TRANSFER also ST_AGAIN (another one is under way) and ST_NOT_FOUND. */
	int status;
	bool persist;
	bool reset; /* the log is empty, and goes on behind this entry */
	uint64_t reset_index, reset_term;
	bool cut;
	uint64_t cut_after, cut_term; /* term: of the entry that is now the last */
	bool accept;		      /* entries of the event's message, from this position on */
	uint32_t accept_from;
	struct raft_append append[RAFT_APPENDS_MAX];
	size_t append_count;
	const struct raft_send *sends;
	size_t sends_count;
	struct uuid
		snapshot_to; /* begin sending the newest snapshot to this server; zero: nobody */
	bool committed;	     /* commit_index moved */
	struct raft_reads_end reads[RAFT_READ_KINDS];
	uint64_t discard_before; /* 0: nothing */
	bool role_changed, leader_changed, configuration_changed;
	const char *note; /* for the log: why the role changed; NULL */
};

struct raft_options {
	struct uuid id;
	struct uuid cluster; /* random: the id of a cluster that this server is the first to lead */
	const char *address;
	uint64_t trailing_logs; /* entries kept behind a snapshot */
	uint64_t seed;
	int64_t heartbeat_ms;  /* a leader is heard of at least so often */
	int64_t election_ms;   /* the shortest election timeout; the longest is twice that */
	int64_t drift_percent; /* by which no two clocks differ more in speed; shortens the lease */
};

enum raft_peer_state {
	RAFT_PROBE,    /* where its log agrees is being found out: one question at a time */
	RAFT_PIPELINE, /* entries are sent without waiting */
	RAFT_SNAPSHOT, /* it needs what the log does not have any more */
};

/* What the leader knows of another server; also who voted for a candidate. */
struct raft_peer {
	struct uuid id, life;
	enum raft_peer_state state;
	uint64_t next;	      /* the next entry to send */
	uint64_t match;	      /* its log is durable and equal to ours up to here */
	uint64_t commit_sent; /* as far as it was told */
	uint64_t stamp;	      /* newest that it answered */
	struct mono heard;    /* when it last answered */
	bool asked;	      /* PROBE: waits for an answer */
	bool beat;	      /* something is due, if only a sign of life */
	bool voted;
};

/* A configuration that is in force again when what follows it is cut. */
struct raft_older {
	uint64_t index;
	struct configuration configuration;
};

/* A read that the leader has not confirmed yet. */
struct raft_read {
	struct uuid from; /* zero: this server */
	enum raft_read_kind kind;
	uint64_t tag, stamp;
};

struct raft {
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE];
	struct raft_options options; /* address: not used */
	struct rng rng;
	struct mono now; /* of the newest event */
	struct raft_persistent persistent;
	enum raft_role role;
	bool persisting; /* what persistent says is not durable yet */
	struct mono deadline;
	bool spared;	  /* this deadline was put off once */
	int64_t retry_ms; /* back-off after a disk failure */
	struct mono
		unfit_until; /* the disk failed: no candidate, unless something becomes durable */

	/* the log */
	struct trail trail;
	uint64_t durable_index;
	uint64_t commit_index;
	uint64_t configuration_index;
	struct configuration configuration; /* the newest in the log */
	struct raft_older *older; /* those before it, oldest first, back to the snapshot's */
	size_t older_count, older_room;
	bool configuration_due; /* recovered or bootstrapped: the log does not have it yet */

	/* a follower's */
	struct uuid leader;	    /* zero: not known */
	struct mono heard;	    /* when the leader was last heard of */
	struct mono faithful_until; /* no vote for anybody else before */
	uint64_t match;		    /* the log is equal to the leader's up to here */
	uint64_t leader_commit;
	bool reply_due; /* to an APPEND whose entries are not durable yet */
	uint64_t reply_stamp;
	uint64_t reads_forwarded[RAFT_READ_KINDS]; /* highest tag that the leader was asked for; 0:
						      none waits */

	/* a candidate's and leader's */
	struct raft_peer peers[RAFT_SERVERS_MAX];
	size_t peers_count;
	bool forced; /* this election was asked for by the leader */

	/* a leader's */
	struct mono patient_until;  /* it slept: silence may be twice as long until then */
	uint64_t term_start_index;  /* of its no-op */
	uint64_t stamp, stamp_sent; /* the newest, and the newest that a question had */
	struct raft_read reads[RAFT_READS_MAX];
	size_t reads_count;
	struct uuid transfer_to; /* zero: no transfer */
	struct mono transfer_until;
	bool transfer_told; /* it was given the word */
	/* The word was given to anybody in this term: it may arrive late, so the lease counts no
	 * more. */
	bool transfer_sent;

	struct buf configuration_body; /* memory of the update */
	struct raft_send *sends;
	size_t sends_count, sends_room;
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
/* A leader that has committed an entry of its term: its commit index is the cluster's. */
bool raft_leads(const struct raft *r);
/* Until when nobody else can have been elected: MONO_NEVER in a quorum of one, 0 for who does not
 * lead. Thesis 6.4.1. */
struct mono raft_lease(const struct raft *r);
/* A leader's: since when it has not heard of a majority of the voters; of itself, if it is one, it
 * always hears. */
struct mono raft_heard_majority(const struct raft *r);
const struct configuration_server *raft_leader(const struct raft *r); /* NULL: not known */
const struct raft_peer *raft_peer_find(const struct raft *r, const struct uuid *id); /* NULL */

static inline uint64_t raft_last_index(const struct raft *r)
{
	return r->trail.last;
}

static inline uint64_t raft_last_term(const struct raft *r)
{
	return trail_last_term(&r->trail);
}

#endif
