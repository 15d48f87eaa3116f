/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's life: open, start, drain, stop; its rows of messages; what it tells about itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "catalogd/catalogd.h"

/* The page is published every second: one that is older was left by a server that has been away. */
enum { ALIVE_MAX_S = 5 };

IPC_DECODER(struct catalogd, catalog_propose, handle_propose)
IPC_DECODER(struct catalogd, catalog_watch, handle_watch)
IPC_DECODER(struct catalogd, catalog_barrier, handle_barrier)
IPC_DECODER(struct catalogd, catalog_barrier_lease, handle_barrier_lease)
IPC_DECODER(struct catalogd, session_renew, handle_session_renew)
IPC_DECODER(struct catalogd, snapshot_save, handle_snapshot_save)
IPC_DECODER(struct catalogd, snapshot_restore, handle_snapshot_restore)
IPC_DECODER(struct catalogd, snapshot_read, handle_snapshot_read)
IPC_DECODER(struct catalogd, snapshot_write, handle_snapshot_write)
IPC_DECODER(struct catalogd, quorum_remove, handle_quorum_remove)
IPC_DECODER(struct catalogd, quorum_transfer, handle_quorum_transfer)
IPC_DECODER(struct catalogd, quorum_leave, handle_quorum_leave)
IPC_DECODER(struct catalogd, autopilot_health, handle_autopilot_health)
IPC_DECODER(struct catalogd, autopilot_configuration, handle_autopilot_configuration)

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(catalog_propose, ROLE_WRITE, handle_propose),
	IPC_HANDLER(catalog_watch, ROLE_READ, handle_watch),
	IPC_HANDLER(catalog_barrier, ROLE_READ, handle_barrier),
	IPC_HANDLER(catalog_barrier_lease, ROLE_READ, handle_barrier_lease),
	IPC_HANDLER(session_renew, ROLE_WRITE, handle_session_renew),
	IPC_HANDLER(snapshot_save, ROLE_WRITE, handle_snapshot_save),
	IPC_HANDLER(snapshot_restore, ROLE_WRITE, handle_snapshot_restore),
	IPC_HANDLER(snapshot_read, ROLE_WRITE, handle_snapshot_read),
	IPC_HANDLER(snapshot_write, ROLE_WRITE, handle_snapshot_write),
	IPC_HANDLER(quorum_remove, ROLE_WRITE, handle_quorum_remove),
	IPC_HANDLER(quorum_transfer, ROLE_WRITE, handle_quorum_transfer),
	IPC_HANDLER(quorum_leave, ROLE_WRITE, handle_quorum_leave),
	IPC_HANDLER(autopilot_health, ROLE_READ, handle_autopilot_health),
	IPC_HANDLER(autopilot_configuration, ROLE_READ, handle_autopilot_configuration),
};

static uint32_t now_s(void)
{
	return (uint32_t)(clock_mono().ns / NS_PER_S);
}

void catalogd_page(struct catalogd *c)
{
	c->shown.alive_s = now_s();
	page_publish(c->page, &c->shown);
}

void catalogd_give_up(const char *what)
{
	log_error("environment-failed", "what=%s error=%s", what, err_text());
	exit(EXIT_FAILURE);
}

/*
 * The page of a process before us stays valid when we go on with the same generation and it was at
 * work until just now: whatever it acknowledged is in there, so that readers need not notice our
 * restart. Otherwise nothing is ready until the log has been followed to where the leader is.
 */
static int page_open(struct catalogd *c)
{
	struct page_reader *before = page_reader_new("catalogd/page", sizeof(c->shown));
	struct catalog_page page;
	bool known = page_read(before, &page);
	int r;

	page_reader_free(before);
	c->shown = (struct catalog_page) { .generation = c->stores.generation };
	if (known) {
		c->shown.ready = page.ready && page.generation == c->stores.generation &&
				 now_s() - page.alive_s <= ALIVE_MAX_S;
		c->shown.restore_count = page.restore_count + (c->shown.ready ? 0 : 1);
	}
	r = page_writer_open("catalogd/page", sizeof(c->shown), &c->page);
	if (r) {
		return err_pass(r);
	}
	catalogd_page(c);
	return 0;
}

/* Once a second: slots of readers that died, and how much there is. */
static void on_second(void *arg)
{
	struct catalogd *c = arg;
	struct metrics *m = c->daemon->metrics;
	struct kv_txn *t;

	loop_timer_in(&c->second, 1000);
	catalogd_page(c);
	transfers_tidy(c);
	db_reap_readers(c->stores.state);
	db_reap_readers(c->stores.naming);
	t = db_read(c->stores.state);
	if (t) {
		metrics_set(m, METRIC_NODES, (double)kv_count(t, STATE_NODES));
		metrics_set(m, METRIC_SERVICES, (double)kv_count(t, STATE_SERVICE_NAMES));
		metrics_set(m, METRIC_INSTANCES, (double)kv_count(t, STATE_SERVICES));
		metrics_set(m, METRIC_KEYS, (double)kv_count(t, STATE_KVS));
		kv_abort(t);
	}
}

int catalogd_open(struct daemon *d)
{
	struct catalogd *c = xcalloc(1, sizeof(*c));
	OWN_EMBEDDED(buf_fini) struct buf data_dir = { 0 };
	int r;

	d->self = c;
	c->daemon = d;
	c->core = catalog_new();
	proposals_init(c);
	coordinates_new(c);
	watches_init(c);
	barriers_init(c);
	leader_init(c);
	snapshot_transfers_init(c);
	autopilot_init(c);
	membership_init(c);
	archives_init(c);
	list_init(&c->quorum_calls);
	buf_put_str(&data_dir, d->conf->data_dir);
	r = stores_open(&c->stores, buf_cstr(&data_dir));
	if (!r && mkdir("catalogd/saved", 0750) && errno != EEXIST) {
		r = err_errno("mkdir catalogd/saved");
	}
	if (!r) {
		r = page_open(c);
	}
	if (!r) {
		r = worker_new(c, &c->worker);
	}
	return r;
}

static int endpoints_open(struct catalogd *c)
{
	struct loop *loop = c->daemon->loop;
	int r = ipc_client_new(loop, "raftd/write", &c->raft);

	if (!r) {
		r = ipc_client_new(loop, "raftd/read", &c->raft_read);
	}
	if (!r) {
		r = ipc_client_new(loop, "gossipd/read", &c->gossip);
	}
	if (!r) {
		r = ipc_server_new(loop, "catalogd/read", ROLE_READ, handlers, ARRAY_SIZE(handlers),
			c, &c->read);
	}
	if (!r) {
		r = ipc_server_new(loop, "catalogd/write", ROLE_WRITE, handlers,
			ARRAY_SIZE(handlers), c, &c->write);
	}
	return r;
}

int catalogd_start(struct daemon *d)
{
	struct catalogd *c = d->self;
	int r = endpoints_open(c);

	if (r) {
		return r;
	}
	c->raft_page = page_reader_new("raftd/page", sizeof(struct raft_page));
	feed_state_opened(c);
	snapshots_start(c);
	leader_start(c);
	membership_start(c);
	feed_start(c);
	loop_timer_init(&c->second, d->loop, on_second, c);
	loop_timer_in(&c->second, 1000);
	log_notice("state-opened", "generation=%" PRIu64 " applied=%" PRIu64, c->stores.generation,
		c->feed.applied);
	return 0;
}

/*
 * What is proposed may still come back for a moment. Calls that are open at the end stay without an
 * answer: their callers ask the process after us again, with the same ids.
 */
static void on_drained(void *arg)
{
	struct catalogd *c = arg;

	if (!c->proposals.by_id.count) {
		daemon_drained(c->daemon);
		return;
	}
	loop_timer_in(&c->second, 20);
}

void catalogd_drain(struct daemon *d)
{
	struct catalogd *c = d->self;

	loop_timer_stop(&c->second);
	loop_timer_init(&c->second, d->loop, on_drained, c);
	loop_timer_in(&c->second, 0);
}

void catalogd_stop(struct daemon *d)
{
	struct catalogd *c = d->self;

	if (!c) {
		return;
	}
	loop_timer_stop(&c->second);
	if (c->worker) {
		worker_free(take(c->worker));
	}
	if (c->raft_page) {
		feed_stop(c);
		membership_fini(c);
		snapshots_fini(c);
		page_reader_free(take(c->raft_page));
	}
	archives_fini(c);
	snapshot_transfers_fini(c);
	quorum_fini(c);
	autopilot_fini(c);
	leader_fini(c);
	barriers_fini(c);
	watches_fini(c);
	coordinates_free(take(c->coordinates));
	proposals_fini(c);
	if (c->write) {
		ipc_server_free(take(c->write));
	}
	if (c->read) {
		ipc_server_free(take(c->read));
	}
	if (c->gossip) {
		ipc_client_free(take(c->gossip));
	}
	if (c->raft_read) {
		ipc_client_free(take(c->raft_read));
	}
	if (c->raft) {
		ipc_client_free(take(c->raft));
	}
	if (c->page) {
		page_writer_free(take(c->page));
	}
	stores_close(&c->stores, true);
	catalog_free(take(c->core));
	free(c);
	d->self = NULL;
}

void catalogd_status(struct daemon *d, struct jsonw *w)
{
	struct catalogd *c = d->self;
	struct kv_txn *t = db_read(c->stores.state);

	jsonw_put_u64(w, "applied_index", c->feed.applied);
	jsonw_put_u64(w, "commit_index", c->feed.commit_index);
	jsonw_put_u64(w, "generation", c->stores.generation);
	jsonw_put_bool(w, "ready", c->shown.ready);
	jsonw_put_bool(w, "leader", leader_here(c));
	jsonw_put_u64(w, "proposals", c->proposals.by_id.count);
	jsonw_put_u64(w, "proposals_refused", c->proposals.refused);
	jsonw_put_u64(w, "watchers", c->watches.watchers_count);
	jsonw_put_u64(w, "sessions_with_ttl", c->leader.sessions.count);
	jsonw_put_u64(w, "snapshot_index", c->snapshots.last_index);
	jsonw_put_u64(w, "state_bytes", db_used_bytes(c->stores.state));
	if (t) {
		jsonw_put_u64(w, "nodes", kv_count(t, STATE_NODES));
		jsonw_put_u64(w, "service_names", kv_count(t, STATE_SERVICE_NAMES));
		jsonw_put_u64(w, "service_instances", kv_count(t, STATE_SERVICES));
		jsonw_put_u64(w, "checks", kv_count(t, STATE_CHECKS));
		jsonw_put_u64(w, "keys", kv_count(t, STATE_KVS));
		jsonw_put_u64(w, "sessions", kv_count(t, STATE_SESSIONS));
		kv_abort(t);
	}
}

void catalogd_dump(struct daemon *d, struct jsonw *w)
{
	struct catalogd *c = d->self;
	struct kv_txn *t = db_read(c->stores.state);
	char digest[17];

	if (!t) {
		return;
	}
	snprintf(digest, sizeof(digest), "%016" PRIx64, catalog_digest(t));
	jsonw_put_cstr(w, "digest", digest);
	jsonw_keyc(w, "tables");
	jsonw_open(w, '{');
	for (unsigned table = 0; table < STATE_TABLES_COUNT; table++) {
		jsonw_put_u64(w, state_table_names[table], kv_count(t, table));
	}
	jsonw_close(w, '}');
	kv_abort(t);
}

const char *catalogd_waits_for(struct daemon *d)
{
	struct catalogd *c = d->self;

	if (!c->raft || !ipc_client_connected(c->raft)) {
		return "raftd";
	}
	return c->shown.ready ? NULL : "the log";
}
