/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd: the replicated state. It is the only writer of the state and naming environments;
 * everything it writes came out of the log (feed.c). It checks and proposes writes (propose.c),
 * tells what changed (watch.c), takes and restores snapshots (snapshot.c, archive.c), and does the
 * leader's duties (leader.c, member.c).
 *
 * One struct holds it all; each file owns the part that bears its name.
 */
#ifndef MUSTER_CATALOGD_CATALOGD_H
#define MUSTER_CATALOGD_CATALOGD_H

#include <limits.h>

#include "catalogd/core/autopilot.h"
#include "catalogd/core/core.h"
#include "catalogd/core/roster.h"
#include "catalogd/wheel.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/msg/message.h"
#include "common/msg/page.h"
#include "common/sys/clock.h"
#include "common/sys/daemon.h"
#include "common/sys/db.h"
#include "common/sys/page.h"

struct catalogd;

enum {
	PROPOSALS_MAX = 8192,		 /* waiting for their result at once */
	PROPOSALS_BYTES_MAX = 256 << 20, /* of their commands */
	PROPOSE_ATTEMPTS = 2, /* a silent raftd is asked so often in performance.rpc_hold_timeout */
	WATCHERS_MAX = 64,
	BARRIERS_MAX = 8192,
	BARRIER_SILENCE_MS = 2000,  /* then raftd is asked again */
	FEED_BYTES_MAX = 256 << 10, /* commands of one transaction of the environment */
	FEED_WAIT_MS = 10000,
	CHANGES_BYTES_MAX = 512 << 10, /* of the newer half of what watchers can look back at */
	SNAPSHOTS_KEPT = 2,
	/* A log that grew by so much since the newest one, and by half of the state, takes long to
	 * read at a start. */
	SNAPSHOT_LOG_BYTES = 256 << 20,
	RESTORE_CHUNK_MAX = 512 << 10,
	RESTORE_CHUNKS_AT_ONCE = 4,
	ARCHIVE_STATE_MAX = 2000 << 20, /* bytes of state in an archive */
};

/* Rows of metrics.c. */
enum metric {
	METRIC_KVS_APPLY,
	METRIC_TXN_APPLY,
	METRIC_SESSION_APPLY,
	METRIC_REGISTER,
	METRIC_DEREGISTER,
	METRIC_SESSION_RENEW,
	METRIC_FSM_APPLY,
	METRIC_TTL_ACTIVE,
	METRIC_TTL_INVALIDATE,
	METRIC_REAP,
	METRIC_RECONCILE,
	METRIC_SNAPSHOT,
	METRIC_NODES,
	METRIC_SERVICES,
	METRIC_INSTANCES,
	METRIC_KEYS,
	METRICS_COUNT
};
extern const struct metric_row catalogd_metrics[METRICS_COUNT];

/* ---- stores.c: the environments on disk, and whether they may be trusted ---- */

struct stores {
	char directory[PATH_MAX]; /* <data_dir>/catalogd */
	uint64_t generation;
	struct db *state, *naming;
};

/*
 * Opens the environments of the generation that the mark names, if the mark says that they are
 * whole (this boot, or a clean end), else a new generation from the newest snapshot. -errno when
 * not even an empty one can be made.
 */
int stores_open(struct stores *s, const char *data_dir);
/* A new generation from the newest snapshot, or empty: what is there cannot go on. */
int stores_renew(struct stores *s);
void stores_close(struct stores *s, bool clean); /* clean: synced and marked as whole */
/* The newest snapshot's index, 0 for none. */
uint64_t stores_snapshot_newest(const struct stores *s);
/* The one at *index, or the newest for 0. */
bool stores_snapshot_find(const struct stores *s, uint64_t *index, uint64_t *term_out);
void stores_snapshots_prune(const struct stores *s, size_t keep);
void stores_path(const struct stores *s, char out[PATH_MAX], const char *format, ...)
	PRINTF_LIKE(3, 4);
void stores_remove(const char *directory); /* with the files in it */
int stores_sync_directory(const char *directory);

/* ---- worker.c: one job at a time beside the loop ---- */

struct worker_job {
	struct list link;
	void (*work)(struct worker_job *job); /* in the thread: touches nothing of the loop's */
	/* The last call, in the loop; one of the two: */
	void (*done)(struct catalogd *c, struct worker_job *job);
	void (*drop)(struct worker_job *job); /* the daemon ends */
};

struct worker;
/* One thread. */
int worker_new(struct catalogd *c, struct worker **out);
void worker_free(
	struct worker *w); /* waits for the running job; jobs that are not done are dropped */
DEFINE_OWN(struct worker, worker_free)
void worker_add(struct worker *w, struct worker_job *job);
bool worker_busy(struct worker *w); /* a job is running, waiting, or not yet done */

/* ---- feed.c: from the log into the state ---- */

struct feed {
	struct ipc_pending *pending;
	struct loop_timer again;
	struct loop_timer late;	 /* large services that wait for being derived */
	struct mono large_after; /* until when they wait */
	uint64_t applied, term;
	uint64_t commit_index;	 /* as raftd last said */
	uint64_t since_snapshot; /* commands applied since the newest one */
	bool confirming;	 /* how far the log goes is being asked of the leader */
};

void feed_start(struct catalogd *c);
void feed_stop(struct catalogd *c);
/* Loads what depends on the state as a whole: after opening or replacing it. */
void feed_state_opened(struct catalogd *c);

/* ---- coordinates.c: updates gathered before they are proposed ---- */

struct coordinates;
void coordinates_new(struct catalogd *c);
void coordinates_free(struct coordinates *all);
void coordinates_take(struct catalogd *c, const struct cmd_coordinates *cmd); /* checked */

/* ---- propose.c ---- */

typedef void (*propose_fn)(void *arg, int status, const struct result *result);

struct proposals {
	struct map by_id;
	struct list applied;
	struct list waiting; /* for somebody who leads */
	struct loop_timer again;
	size_t bytes;
	uint64_t refused;
};

void handle_propose(struct catalogd *c, struct ipc_call *call, const struct catalog_propose *m);
/* A command of our own. on_done (may be NULL) runs once, unless the daemon ends before. id zero: a
 * fresh one. */
void propose(struct catalogd *c, uint16_t type, struct str payload, propose_fn on_done, void *arg);
/* The same for what only the leader does: void when it is applied in another term than that of
 * leader_here. */
void propose_as_leader(
	struct catalogd *c, uint16_t type, struct str payload, propose_fn on_done, void *arg);
#define PROPOSE_AS_LEADER(c, type, cmd_pointer, on_done, arg)                                 \
	do {                                                                                  \
		OWN_EMBEDDED(buf_fini) struct buf payload_ = { 0 };                           \
                                                                                              \
		type##_encode(&payload_, (cmd_pointer));                                      \
		propose_as_leader((c), COMMAND_##type, buf_str(&payload_), (on_done), (arg)); \
	} while (0)
#define PROPOSE(c, type, cmd_pointer, on_done, arg)                                 \
	do {                                                                        \
		OWN_EMBEDDED(buf_fini) struct buf payload_ = { 0 };                 \
                                                                                    \
		type##_encode(&payload_, (cmd_pointer));                            \
		propose((c), COMMAND_##type, buf_str(&payload_), (on_done), (arg)); \
	} while (0)
/* The command with this id was applied. Kept until proposals_flush, which is called after the
 * commit. */
void proposals_applied(struct catalogd *c, const struct catalog_outcome *outcome);
void proposals_flush(struct catalogd *c);
/* The state has moved on without the feed: what became of ours is looked up in it. */
void proposals_state_opened(struct catalogd *c, struct kv_txn *t);
void proposals_init(struct catalogd *c);
void proposals_fini(struct catalogd *c);

/* ---- watch.c ---- */

struct watch_half {
	struct buf bytes;   /* u8 kind, u16 length, name */
	struct buf batches; /* of struct { uint64_t index; size_t offset; } */
};

struct watches {
	struct watch_half halves[2]; /* older, newer */
	uint64_t floor;		     /* changes up to this index are not known any more */
	struct list watchers;
	size_t watchers_count;
};

void watches_init(struct catalogd *c);
void watches_fini(struct catalogd *c);
void watches_reset(struct catalogd *c); /* another state: everyone looks again */
void watches_add(
	struct catalogd *c, uint64_t index, const struct catalog_change *changes, size_t count);
void handle_watch(struct catalogd *c, struct ipc_call *call, const struct catalog_watch *m);

/* ---- barrier.c ---- */

enum barrier_kind {
	BARRIER_INDEX, /* the leader asks its quorum whether it still leads */
	BARRIER_LEASE, /* its lease is good enough */
	BARRIER_KINDS_COUNT
};

struct barriers {
	struct list rounds;
	struct list fresh[BARRIER_KINDS_COUNT]; /* since the beginning of this turn */
	struct list again[BARRIER_KINDS_COUNT]; /* nobody led when they asked */
	struct loop_timer timer;
	struct loop_flush flush;
	size_t count;
};

/* on_done once: 0 when everything is applied that was committed when this was called;
 * ST_NOT_LEADER after performance.rpc_hold_timeout without a leader; ST_CLOSED: the daemon ends. */
typedef void (*barrier_fn)(void *arg, int status);
void barrier_wait(struct catalogd *c, enum barrier_kind kind, barrier_fn on_done, void *arg);

void barriers_init(struct catalogd *c);
void barriers_fini(struct catalogd *c);
void barriers_advance(struct catalogd *c);
void handle_barrier(struct catalogd *c, struct ipc_call *call, const struct catalog_barrier *m);
void handle_barrier_lease(
	struct catalogd *c, struct ipc_call *call, const struct catalog_barrier_lease *m);

/* ---- leader.c: when the leader's duties run; ttl.c and delay.c: what has its time ---- */

enum { REAP_SAMPLES = 32 };

struct leader {
	uint64_t term;			 /* of the leadership whose duties run; 0: none */
	uint64_t seen_term, seen_commit; /* the newest one seen, and what was committed then */
	struct loop_timer look_timer, reap_timer;
	struct map sessions; /* those with a TTL */
	struct wheel ttl_wheel;
	struct map delays; /* by key */
	struct wheel delay_wheel;
	uint64_t samples[REAP_SAMPLES]; /* the applied index, every 30 s */
	size_t samples_count;
};

void leader_init(struct catalogd *c);
void leader_start(struct catalogd *c);
void leader_fini(struct catalogd *c);
void leader_look(struct catalogd *c); /* has a leadership begun or ended? */
void leader_state_opened(struct catalogd *c);
bool leader_here(struct catalogd *c); /* leads for certain, and its duties run */
/* The same, and everything is applied that anybody can have been told of. */
bool leader_knows_all(struct catalogd *c);

void ttl_init(struct catalogd *c);
void ttl_fini(struct catalogd *c);
void ttl_load(struct catalogd *c); /* all of them, from now on */
void ttl_session_changed(struct catalogd *c, struct kv_txn *t, struct str id);
void handle_session_renew(struct catalogd *c, struct ipc_call *call, const struct session_renew *m);

void delays_init(struct catalogd *c);
void delays_fini(struct catalogd *c);
void delays_load(struct catalogd *c);
void delays_key_changed(struct catalogd *c, struct kv_txn *t, struct str key);

/* ---- autopilot.c: the leader looks after the quorum ---- */

struct autopilot_shell {
	struct autopilot core;
	struct loop_timer timer;
	struct list looks; /* questions to raftd that are under way */
	bool changing;	   /* a change of the quorum is under way */
};

void autopilot_init(struct catalogd *c);
void autopilot_begin(struct catalogd *c); /* of a leadership */
void autopilot_fini(struct catalogd *c);
void handle_autopilot_health(
	struct catalogd *c, struct ipc_call *call, const struct autopilot_health *m);
void handle_autopilot_configuration(
	struct catalogd *c, struct ipc_call *call, const struct autopilot_configuration *m);

/* ---- quorum.c: what operators want changed ---- */

void quorum_fini(struct catalogd *c);
void handle_quorum_remove(struct catalogd *c, struct ipc_call *call, const struct quorum_remove *m);
void handle_quorum_transfer(
	struct catalogd *c, struct ipc_call *call, const struct quorum_transfer *m);

void handle_quorum_leave(struct catalogd *c, struct ipc_call *call, const struct quorum_leave *m);

/* ---- member.c: members of the pool become nodes of the catalogue ---- */

enum { MEMBERS_PROPOSING_MAX = 64 };

struct membership {
	struct roster roster;
	struct ipc_pending *pending;
	struct loop_timer again, reconcile;
	struct mono next, full_at; /* of the reconcile timer; when all members are looked at */
	struct list changes;	   /* that wait for their commit */
	uint32_t proposing;	   /* how many */
	bool nodes_due;		   /* nodes that are no members have to be looked for */
	struct buf nodes_behind;   /* ... those behind this one, as far as that is done */
	struct map absent;	   /* since when such nodes are seen */
};

void membership_init(struct catalogd *c);
void membership_start(struct catalogd *c);
void membership_now(struct catalogd *c); /* begins to look at all members in this turn */
void membership_fini(struct catalogd *c);
void membership_changed(
	struct catalogd *c, struct str node); /* somebody changed this node (lower case) */

void membership_look_in(struct catalogd *c, int64_t ms); /* at the latest */

/* member_node.c: a member as a node; what is borrowed lives in the arena or the row */
struct member_view {
	const struct member *m;
	struct str id; /* of the node */
	bool server;
	int64_t server_port;
	struct pair meta[6];
};
struct member_view member_view_of(const struct roster_row *row, struct arena *arena);
bool member_node(struct kv_txn *t, struct str name, struct arena *arena, struct node_def *out);
bool member_has_health(struct kv_txn *t, struct str node);
bool member_health_is(struct kv_txn *t, struct str node, struct arena *arena, struct str status);
bool member_service_same(struct kv_txn *t, struct member_view *v, struct arena *arena);
/* Proposed by the leader. known: what is in the catalogue of it. */
void member_register(
	struct catalogd *c, struct member_view *v, const struct node_def *known, bool alive);
void member_deregister(struct catalogd *c, struct str name, const char *why);
/* What is wrong with it goes into the log, once; "": nothing. */
void member_trouble(struct catalogd *c, struct str name, struct str text);
void member_changes_fini(struct catalogd *c);

/* ---- snapshot.c: of the environment, for ourselves ---- */

struct snapshots {
	struct loop_timer timer;
	bool running;
	uint64_t last_index;
	uint64_t log_least; /* bytes of the log at its shortest since the last attempt */
};

/* Begins one unless one is being taken. */
void snapshot_now(struct catalogd *c);
/* The log has so many bytes: is it time for one? */
void snapshots_log_seen(struct catalogd *c, uint64_t bytes);
/* Whose state is in this directory? Opens it: for the worker. ST_CORRUPT, -errno */
int snapshot_identify(const char *directory, uint64_t *index_out, uint64_t *term_out);
void snapshots_start(struct catalogd *c);
void snapshots_fini(struct catalogd *c);

/* ---- transfer.c: snapshots from and for other servers ---- */

enum { TRANSFER_CHUNK_MAX = 512 << 10, OUTGOING_IDLE_MS = 60000 };

struct outgoing {
	uint64_t index, term; /* index 0: none */
	uint64_t data_size, sums_size;
	int data_fd, sums_fd;
	struct mono used;
};

struct incoming {
	uint64_t index, term; /* index 0: none */
	uint64_t size, have;
	int fd;
	bool checking; /* by the worker */
};

struct transfers {
	struct outgoing out;
	struct incoming in;
	struct list readers, writers; /* calls that wait for the worker */
};

void snapshot_transfers_init(struct catalogd *c);
void snapshot_transfers_fini(struct catalogd *c);
void transfers_snapshot_done(struct catalogd *c); /* one was taken, or could not be */
void transfers_tidy(struct catalogd *c);	  /* lets go of what nobody reads any more */
void handle_snapshot_read(struct catalogd *c, struct ipc_call *call, const struct snapshot_read *m);
void handle_snapshot_write(
	struct catalogd *c, struct ipc_call *call, const struct snapshot_write *m);

/* ---- archive.c, restore.c: for people ---- */

void handle_snapshot_save(struct catalogd *c, struct ipc_call *call, const struct snapshot_save *m);
void handle_snapshot_restore(
	struct catalogd *c, struct ipc_call *call, const struct snapshot_restore *m);
void archives_init(struct catalogd *c);
void archives_fini(struct catalogd *c);

/* ---- rights.c: what a token may do ---- */

struct rights {
	bool everything;
};

void rights_resolve(struct catalogd *c, struct str token, struct rights *out);
/* ST_DENIED with Consul's text in *why. */
int rights_check(const struct rights *r, uint16_t command, struct str payload, struct buf *why);
int rights_check_management(const struct rights *r, struct buf *why);

/* ---- service.c ---- */

struct catalogd {
	struct daemon *daemon;
	struct catalog *core;
	struct stores stores;
	bool naming_all; /* the naming environment must be made anew with the next batch */
	struct page_writer *page;
	struct catalog_page shown;
	struct page_reader *raft_page;
	struct ipc_client *raft, *raft_read, *gossip;
	struct ipc_server *read, *write;
	struct worker *worker;
	struct loop_timer second;
	struct feed feed;
	struct proposals proposals;
	struct coordinates *coordinates;
	struct watches watches;
	struct barriers barriers;
	struct leader leader;
	struct membership membership;
	struct snapshots snapshots;
	struct transfers transfers;
	struct autopilot_shell autopilot;
	struct list quorum_calls;
	struct list archives;
	struct loop_timer archives_sweep;
	struct restore *restore; /* the one that is running, if any */
};

int catalogd_open(struct daemon *d);
int catalogd_start(struct daemon *d);
void catalogd_drain(struct daemon *d);
void catalogd_stop(struct daemon *d);
void catalogd_status(struct daemon *d, struct jsonw *w);
void catalogd_dump(struct daemon *d, struct jsonw *w);
const char *catalogd_waits_for(struct daemon *d);

void catalogd_page(struct catalogd *c); /* publishes shown */
/* The environment failed (disk full, I/O error): the log has everything, a new process tries again.
 * Does not return. */
_Noreturn void catalogd_give_up(const char *what);

#endif
