/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure core of catalogd: applies replicated commands to the state environment. A function of
 * state and command alone: no clock (not even that of the proposer: what must last for a time is
 * ended by a command of the leader's), no chance, no I/O; the same commands give the same bytes on
 * every backend of kv.h (compared by catalog_digest).
 *
 *     catalog_open(c, t)              the state was opened or replaced: loads what is cached of it
 *     catalog_begin(c, t)             a batch: one transaction of the state environment
 *       catalog_apply(c, index, ...)  each committed command, in order of the log
 *     catalog_finish(c)               writes what is kept per batch; then the caller commits t
 *     catalog_naming(c, ...)          derives naming from what the batch changed; then a commit too
 *     catalog_changes(c)              the things that the batch changed, for those who wait
 *
 * Primary tables hold what was registered, derived ones what is served; the latter follow in the
 * same command (derive.c) and catalog_rebuild must always give the same bytes.
 */
#ifndef MUSTER_CATALOGD_CORE_CORE_H
#define MUSTER_CATALOGD_CORE_CORE_H

#include "common/msg/naming.h"
#include "common/msg/state.h"

enum {
	/* Results remembered for repeats, which come for performance.rpc_hold_timeout (7 s): enough
	 * for 18,000 commands a second. */
	REQUESTS_MAX = 1 << 17,
	REQUESTS_BYTES_MAX = 32 << 20, /* and their bytes together */
	INSTANCE_NAMES_MAX =
		440,	 /* service name, node name and service ID (or check ID) together */
	STATUS_MAX = 64, /* a check's status word */
	KV_VALUE_MAX =
		16 << 20, /* what a command may hold at all; httpd's limit is the configured one */
	TXN_OPS_MAX = 128,
	LIST_MAX = 4096, /* tags, checks, meta pairs of one object */
};

struct catalog;

struct catalog *catalog_new(void);
void catalog_free(struct catalog *c);
DEFINE_OWN(struct catalog, catalog_free)

struct catalog_outcome {
	struct uuid id; /* of the command; zero for internal ones */
	uint16_t type;
	bool repeated;	      /* the id was known: nothing was done, result is the first one's */
	struct result result; /* borrowed until the next apply or finish */
};

/* One thing that changed: kind (enum thing), name and the index of the command that did it.
 * Borrowed until the next begin. */
struct catalog_change {
	enum thing kind;
	struct str name;
	uint64_t index;
};

void catalog_open(struct catalog *c, struct kv_txn *t);
void catalog_begin(struct catalog *c, struct kv_txn *t);
void catalog_apply(struct catalog *c, uint64_t index, uint64_t term, struct str command,
	struct catalog_outcome *out);
void catalog_finish(struct catalog *c);

/* In order of their first change in the batch. Returns how many; valid from finish to the next
 * begin. */
size_t catalog_changes(struct catalog *c, const struct catalog_change **out);
/* The batch replaced the whole state (a restored snapshot): all that anyone knows of it is void. */
bool catalog_replaced(const struct catalog *c);

/* Did the batch change anything that DNS shows? */
bool catalog_naming_changed(const struct catalog *c);
/* The newest index that did, as the state remembers it; the naming environment has it under
 * NAMING_META when it is complete. */
uint64_t catalog_naming_index(struct kv_txn *t);
/* What to derive for the naming environment. */
enum naming_scope {
	NAMING_CHANGED_SMALL, /* what the batch changed; large services are put off */
	NAMING_CHANGED,	      /* what the batch changed, and all that was put off */
	NAMING_ALL,	      /* everything: a new environment, or one that missed batches */
};
enum { NAMING_LARGE = 8192 }; /* bytes of a service's record (some hundred instances) */

void catalog_naming(
	struct catalog *c, struct kv_txn *state, struct kv_txn *naming, enum naming_scope scope);
bool catalog_naming_late(const struct catalog *c); /* something is put off */

/* The result of the command with this id, when it is among those remembered. Between batches; *out
 * is borrowed from t. */
bool catalog_request_find(
	struct catalog *c, struct kv_txn *t, const struct uuid *id, struct result *out);

/* The stored configuration of the autopilot; ST_NOT_FOUND: none was ever set. */
int catalog_autopilot(struct kv_txn *t, struct arena *arena, struct autopilot_record *out);

/* The index of the last applied command, 0 for an empty state. */
uint64_t catalog_applied(struct kv_txn *t, uint64_t *term_out);

/* Evaluates a transaction that only reads, outside of batches. *out is borrowed until the next
 * apply. */
void catalog_txn_read(
	struct catalog *c, struct kv_txn *t, const struct cmd_txn *cmd, struct result *out);
bool catalog_txn_reads_only(const struct cmd_txn *cmd);

/* What the proposer knows and a command must not depend on later. */
struct catalog_rules {
	int64_t session_ttl_min_ns;
	struct uuid fresh_id; /* for a session or query that has none yet */
};
/*
 * Checks a request as Consul's servers do before they log it, fills in what they fill in, and
 * appends the payload of the command to *out. ST_INVALID with the text in *why.
 */
int catalog_validate(const struct catalog_rules *rules, uint16_t command, struct str payload,
	struct arena *arena, struct buf *out, struct buf *why);

/* Recomputes every derived table from the primary ones. */
void catalog_rebuild(struct catalog *c, struct kv_txn *t);
/* A fingerprint of all tables. */
uint64_t catalog_digest(struct kv_txn *t);

/*
 * A snapshot as a run of records: the rows of the primary tables, without the remembered requests.
 * Archives hold each as u32 length and bytes; so does cmd_restore_chunk.
 */
struct catalog_snapshot {
	struct kv_txn *t;
	unsigned table;
	bool stamped, walking;
	struct kv_walk walk;
	char stamp[8];
};
void catalog_snapshot_init(struct catalog_snapshot *s, struct kv_txn *t);
bool catalog_snapshot_next(
	struct catalog_snapshot *s, struct snapshot_record *out); /* borrowed until the next call */
/* Could these be restored? ST_INVALID. Chunks must hold whole records. */
int catalog_snapshot_check(struct str records);

#endif
