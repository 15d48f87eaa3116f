/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of the environment, so that the log need not be kept for ever: a compacted, synced copy
 * made beside the loop, put in its place by one rename, then raftd is told that the log before it
 * may go.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogd/catalogd.h"
#include "catalogd/sums.h"

enum { TAKEN_TIMEOUT_MS = 30000, CHECK_EVERY_MIN_MS = 1000 };

struct snapshot_job {
	struct worker_job job;
	struct stores stores; /* names only; the environment is the loop's */
	struct db *state;
	uint64_t index, term;
	int error;
	struct mono began;
};

int snapshot_identify(const char *directory, uint64_t *index_out, uint64_t *term_out)
{
	struct db_options options = { .directory = directory,
		.tables = STATE_TABLES_COUNT,
		.table_names = state_table_names,
		.mode = DB_READ };
	OWN(db_free) struct db *copy = NULL;
	char lock[PATH_MAX];
	struct kv_txn *t;
	int r = db_open(&options, &copy);

	if (r) {
		return r;
	}
	t = db_read(copy);
	if (!t) {
		return ST_CORRUPT;
	}
	*index_out = catalog_applied(t, term_out);
	kv_abort(t);
	db_free(take(copy));
	if (snprintf(lock, sizeof(lock), "%s/lock.mdb", directory) < PATH_MAX) {
		unlink(lock);
	}
	return 0;
}

/* All of one, durable in this folder, which has no name of a snapshot yet. */
static int copy_write(struct snapshot_job *j, const char *directory)
{
	int r;

	if (mkdir(directory, 0750)) {
		return err_errno("mkdir %s", directory);
	}
	r = db_copy(j->state, directory);
	if (!r) { /* of the newest commit, which may be later than when the job was made */
		r = snapshot_identify(directory, &j->index, &j->term);
	}
	if (!r) {
		r = sums_write(directory, j->index, j->term);
	}
	return r ? r : stores_sync_directory(directory);
}

static int copy_make(struct snapshot_job *j)
{
	char fresh[PATH_MAX], final[PATH_MAX], parent[PATH_MAX];
	int r;

	stores_path(&j->stores, parent, "snapshots");
	stores_path(&j->stores, fresh, "snapshots/new");
	stores_remove(fresh);
	r = copy_write(j, fresh);
	if (r) {
		stores_remove(fresh); /* it may be what the disk is full of */
		return r;
	}
	stores_path(&j->stores, final, "snapshots/%" PRIu64 "-%" PRIu64, j->index, j->term);
	stores_remove(final);
	if (rename(fresh, final)) {
		return err_errno("rename %s", final);
	}
	r = stores_sync_directory(parent);
	stores_snapshots_prune(&j->stores, SNAPSHOTS_KEPT);
	return r;
}

static void snapshot_work(struct worker_job *job)
{
	struct snapshot_job *j = container_of(job, struct snapshot_job, job);

	j->error = copy_make(j);
}

static void on_taken(void *arg, int status, struct str payload)
{
	if (status) {
		log_warning("snapshot-not-told", "status=%s", status_name(status));
	}
}

static void snapshot_drop(struct worker_job *job)
{
	free(container_of(job, struct snapshot_job, job));
}

static void snapshot_done(struct catalogd *c, struct worker_job *job)
{
	struct snapshot_job *j = container_of(job, struct snapshot_job, job);
	struct raft_snapshot_taken m = { .index = j->index, .term = j->term };
	double ms = (double)mono_diff_ns(clock_mono(), j->began) / NS_PER_MS;

	c->snapshots.running = false;
	/* The log will be cut. Where it will not, as this one has failed, it has to grow by as much
	 * again before it is a reason for another. */
	c->snapshots.log_least = UINT64_MAX;
	if (j->error) {
		log_error("snapshot-failed", "error=%d", j->error);
		transfers_snapshot_done(c);
		snapshot_drop(job);
		return;
	}
	c->snapshots.last_index = j->index;
	c->feed.since_snapshot = c->feed.applied > j->index ? c->feed.applied - j->index : 0;
	metrics_add(c->daemon->metrics, METRIC_SNAPSHOT, ms);
	log_info("snapshot-taken", "index=%" PRIu64 " ms=%.0f", j->index, ms);
	IPC_CALL(c->raft, raft_snapshot_taken, &m, TAKEN_TIMEOUT_MS, on_taken, NULL);
	transfers_snapshot_done(c);
	snapshot_drop(job);
}

static void snapshot_begin(struct catalogd *c)
{
	struct snapshot_job *j = xcalloc(1, sizeof(*j));

	j->job = (struct worker_job) {
		.work = snapshot_work, .done = snapshot_done, .drop = snapshot_drop
	};
	j->stores = c->stores;
	j->state = c->stores.state;
	j->began = clock_mono();
	c->snapshots.running = true;
	worker_add(c->worker, &j->job);
}

void snapshot_now(struct catalogd *c)
{
	if (!c->snapshots.running) {
		snapshot_begin(c);
	}
}

void snapshots_log_seen(struct catalogd *c, uint64_t bytes)
{
	struct snapshots *s = &c->snapshots;

	s->log_least = min_of(s->log_least, bytes);
	if (bytes - s->log_least >= SNAPSHOT_LOG_BYTES && !s->running &&
		bytes - s->log_least >= db_used_bytes(c->stores.state) / 2) {
		snapshot_now(c);
	}
}

static int64_t interval_ms(const struct catalogd *c)
{
	return max_of(c->daemon->conf->raft_snapshot_interval_ns / NS_PER_MS,
		(int64_t)CHECK_EVERY_MIN_MS);
}

static void on_timer(void *arg)
{
	struct catalogd *c = arg;

	loop_timer_in(&c->snapshots.timer, interval_ms(c));
	if (c->feed.since_snapshot >= (uint64_t)c->daemon->conf->raft_snapshot_threshold) {
		snapshot_now(c);
	}
}

void snapshots_start(struct catalogd *c)
{
	c->snapshots.last_index = stores_snapshot_newest(&c->stores);
	c->feed.since_snapshot = c->feed.applied - min_of(c->feed.applied, c->snapshots.last_index);
	loop_timer_init(&c->snapshots.timer, c->daemon->loop, on_timer, c);
	loop_timer_in(&c->snapshots.timer, interval_ms(c));
}

void snapshots_fini(struct catalogd *c)
{
	loop_timer_stop(&c->snapshots.timer);
}
