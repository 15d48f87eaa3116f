/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints raftd/write and raftd/read, advance(), and the beginning and end.
 */
#include <errno.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/msg/command.h"
#include "common/sys/clock.h"
#include "raftd/raftd.h"

enum {
	LISTEN_BACKLOG = 256,	/* all of them call again when we were away */
	ELECTION_UNIT_MS = 100, /* times performance.raft_multiplier */
	ELECTION_MIN_MS = 200,
	HEARTBEATS_PER_ELECTION = 5,
	DRIFT_PERCENT = 5,
};

/* -------- reads: what one turn has asked for is confirmed together -------- */

static void reads_end(
	struct raftd *r, enum raft_read_kind kind, uint64_t through, int status, uint64_t index)
{
	struct waiting w;

	while (waiting_take(&r->reads[kind], through, &w)) {
		if (status) {
			ipc_refuse(w.call, status);
		} else if (kind == RAFT_READ_LEASE) {
			IPC_REPLY(w.call, raft_read_lease,
				&((struct raft_read_lease_reply) { index }));
		} else {
			IPC_REPLY(w.call, raft_read_index,
				&((struct raft_read_index_reply) { index }));
		}
	}
}

static void reads_ask(struct raftd *r)
{
	for (enum raft_read_kind kind = 0; kind < RAFT_READ_KINDS; kind++) {
		uint64_t tag = r->read_tag[kind] + 1;
		int status;

		if (!r->reads_due[kind]) {
			continue;
		}
		r->reads_due[kind] = false;
		r->read_tag[kind] = tag;
		status = node_read_index(&r->node, clock_mono(), kind, tag);
		if (status) {
			reads_end(r, kind, tag, status, 0);
		}
	}
}

static void read_add(struct raftd *r, struct ipc_call *call, enum raft_read_kind kind)
{
	if (r->reads[kind].count == READS_WAITING_MAX) {
		ipc_refuse(call, ST_FULL);
		return;
	}
	metrics_add(r->daemon->metrics, METRIC_VERIFY_LEADER, 1);
	waiting_add(&r->reads[kind],
		&(struct waiting) { .number = r->read_tag[kind] + 1, .call = call });
	r->reads_due[kind] = true;
}

/* -------- what the node tells -------- */

static void role_show(struct raftd *r, const struct raft_update *u)
{
	static const struct {
		enum log_level level;
		enum raftd_metric metric;
	} roles[] = {
		[RAFT_FOLLOWER] = { LOG_LEVEL_NOTICE, METRIC_STATE_FOLLOWER },
		[RAFT_PRE_CANDIDATE] = { LOG_LEVEL_INFO, METRIC_HEARTBEAT_TIMEOUT },
		[RAFT_CANDIDATE] = { LOG_LEVEL_NOTICE, METRIC_STATE_CANDIDATE },
		[RAFT_LEADER] = { LOG_LEVEL_NOTICE, METRIC_STATE_LEADER },
	};
	const struct raft *raft = &r->node.raft;

	metrics_add(r->daemon->metrics, roles[raft->role].metric, 1);
	metrics_set(r->daemon->metrics, METRIC_AUTOPILOT_HEALTHY, raft->role == RAFT_LEADER);
	log_at(roles[raft->role].level, "role", "state=%s term=%llu last_index=%llu reason=\"%s\"",
		raft_role_name(raft->role), (unsigned long long)raft->persistent.term,
		(unsigned long long)raft_last_index(raft), u->note ? u->note : "");
}

static void transfer_end(struct raftd *r, int status)
{
	static const struct raft_transfer_reply reply;
	struct ipc_call *call = take(r->transfer);

	if (call && status) {
		ipc_refuse(call, status);
	} else if (call) {
		IPC_REPLY(call, raft_transfer, &reply);
	}
}

static void role_changed(struct raftd *r, const struct raft_update *u)
{
	role_show(r, u);
	if (r->node.raft.role != RAFT_LEADER) {
		raftd_proposals_refuse(r);
		transfer_end(r, 0);
	}
}

static void snapshot_due(struct raftd *r, const struct uuid *to)
{
	for (size_t i = 0; i < r->snapshots_due_count; i++) {
		if (uuid_eq(&r->snapshots_due[i], to)) {
			return;
		}
	}
	if (!uuid_is_zero(to) && r->snapshots_due_count < ARRAY_SIZE(r->snapshots_due)) {
		r->snapshots_due[r->snapshots_due_count++] = *to;
	}
}

static void on_update(void *arg, const struct raft_update *u)
{
	struct raftd *r = arg;

	if (u->committed) {
		/* Before anybody is told: a write that was answered elsewhere must show in what
		 * this leader answers by its lease, and who reads by it looks at the page. */
		raftd_publish(r);
		raftd_proposals_commit(r);
	}
	if (u->cut || u->reset) {
		raftd_proposals_refuse(r);
	}
	for (enum raft_read_kind kind = 0; kind < RAFT_READ_KINDS; kind++) {
		const struct raft_reads_end *e = &u->reads[kind];

		if (e->through) {
			reads_end(r, kind, e->through, e->status, e->index);
		}
	}
	if (u->role_changed) {
		role_changed(r, u);
	}
	if (u->leader_changed) {
		raftd_forwarded_refuse(r);
	}
	snapshot_due(r, &u->snapshot_to);
	r->role_changed |= u->role_changed;
	r->leader_changed |= u->leader_changed;
	r->configuration_changed |= u->configuration_changed;
}

static void failures_log(struct raftd *r)
{
	if (r->node.disk_failures != r->failures_logged) {
		log_error("disk", "failures=%llu error=\"%s\"",
			(unsigned long long)r->node.disk_failures, r->node.failure);
		r->failures_logged = r->node.disk_failures;
	}
}

static void sync_measured(struct raftd *r)
{
	struct metrics *m = r->daemon->metrics;
	uint64_t entries = r->node.log->last_index - r->node.log->synced_index;
	struct mono before = clock_mono(), after;

	node_advance(&r->node, before);
	if (entries == 0) {
		return;
	}
	after = clock_mono();
	metrics_add(m, METRIC_DISPATCH_LOG, (double)mono_diff_ns(after, before) / NS_PER_MS);
	metrics_add(m, METRIC_COMMIT_TIME,
		(double)mono_diff_ns(after, loop_now(r->daemon->loop)) / NS_PER_MS);
	metrics_set(m, METRIC_DISPATCH_NUM_LOGS, (double)entries);
	metrics_set(m, METRIC_COMMIT_NUM_LOGS, (double)entries);
	metrics_set(m, METRIC_LAST_INDEX, (double)raft_last_index(&r->node.raft));
	raftd_sync_judge(r, mono_diff_ns(after, before));
}

/* When this has to be looked at again. */
static struct mono next_turn(struct raftd *r)
{
	struct mono when = mono_min(node_deadline(&r->node), raftd_feed_deadline(r));

	if (r->role_changed || r->leader_changed || r->configuration_changed || r->told ||
		r->snapshots_due_count) {
		return (struct mono) { 0 };
	}
	when = mono_min(when, raftd_leave_deadline(r));
	return mono_min(when, transfers_deadline(&r->transfers));
}

/* A transfer of leadership that came to nothing leaves us leading. */
static void transfer_look(struct raftd *r)
{
	if (r->node.raft.role == RAFT_LEADER && uuid_is_zero(&r->node.raft.transfer_to)) {
		transfer_end(r, ST_TIMEOUT);
	}
}

static void drain_look(struct raftd *r)
{
	bool handed_over =
		r->node.raft.role != RAFT_LEADER || uuid_is_zero(&r->node.raft.transfer_to);

	if (r->stopping && handed_over && r->proposals.count == 0 && r->forwarded.count == 0) {
		daemon_drained(r->daemon);
	}
}

/* The end of a turn: what broke and what changed, send, make durable, reply and feed, show,
 * rearm. */
static void advance(void *arg)
{
	struct raftd *r = arg;

	raftd_quorum_turn(r);
	raftd_leave_turn(r);
	reads_ask(r);
	sync_measured(r);
	raftd_feed_all(r);
	raftd_publish(r);
	raftd_recovery_turn(r);
	transfer_look(r);
	failures_log(r);
	peers_flush(&r->peers);
	drain_look(r);
	loop_timer_at(&r->wake, next_turn(r));
	if (!loop_timer_active(&r->prepare) && log_wants_spare(r->node.log)) {
		loop_timer_in(&r->prepare, PREPARE_EVERY_MS);
	}
}

static void on_wake(void *arg)
{
	struct raftd *r = arg;

	raftd_contact_measure(r);
	raftd_state_judge(r);
	node_tick(&r->node, clock_mono());
}

/* Nobody took it in time, or an answer does not come: it is not worth waiting for. */
static void on_drain_limit(void *arg)
{
	struct raftd *r = arg;

	daemon_drained(r->daemon);
}

static void on_prepare(void *arg)
{
	struct raftd *r = arg;

	if (log_prepare(r->node.log)) {
		loop_timer_in(
			&r->prepare, PREPARE_RETRY_MS); /* a full disk is not to be kept busy */
	}
}

/* -------- requests -------- */

static void handle_read_index(
	struct raftd *r, struct ipc_call *call, const struct raft_read_index *m UNUSED)
{
	read_add(r, call, RAFT_READ_ROUND);
}

static void handle_read_lease(
	struct raftd *r, struct ipc_call *call, const struct raft_read_lease *m UNUSED)
{
	read_add(r, call, RAFT_READ_LEASE);
}

static void handle_transfer(struct raftd *r, struct ipc_call *call, const struct raft_transfer *m)
{
	struct uuid to = { { 0 } };
	int status = m->id.n ? uuid_parse(m->id, &to) : 0;

	status = status ? status : node_transfer(&r->node, clock_mono(), &to);
	if (status) {
		ipc_refuse(call, status);
		return;
	}
	transfer_end(r, ST_AGAIN); /* none can be waiting: one transfer at a time */
	r->transfer = call;
	if (r->node.raft.role != RAFT_LEADER) {
		transfer_end(r, 0);
	}
}

static void handle_snapshot_taken(
	struct raftd *r, struct ipc_call *call, const struct raft_snapshot_taken *m)
{
	struct mono before = clock_mono();
	int status = node_snapshot_taken(&r->node, before, m->index, m->term);
	struct raft_snapshot_taken_reply reply = { r->node.log->first_index };

	if (status) {
		ipc_refuse(call, status);
		return;
	}
	metrics_add(r->daemon->metrics, METRIC_COMPACT_LOGS,
		(double)mono_diff_ns(clock_mono(), before) / NS_PER_MS);
	log_info("snapshot-taken", "index=%llu log_begins=%llu", (unsigned long long)m->index,
		(unsigned long long)reply.first_index);
	IPC_REPLY(call, raft_snapshot_taken, &reply);
}

IPC_DECODER(struct raftd, raft_propose, raftd_handle_propose)
IPC_DECODER(struct raftd, raft_feed, raftd_handle_feed)
IPC_DECODER(struct raftd, raft_read_index, handle_read_index)
IPC_DECODER(struct raftd, raft_read_lease, handle_read_lease)
IPC_DECODER(struct raftd, raft_snapshot_taken, handle_snapshot_taken)
IPC_DECODER(struct raftd, raft_change, raftd_handle_change)
IPC_DECODER(struct raftd, raft_transfer, handle_transfer)
IPC_DECODER(struct raftd, raft_health, raftd_handle_health)
IPC_DECODER(struct raftd, raft_leave, raftd_handle_leave)
IPC_DECODER(struct raftd, raft_configuration, raftd_handle_configuration)

static const struct ipc_handler rows[] = {
	IPC_HANDLER(raft_propose, ROLE_WRITE, raftd_handle_propose),
	IPC_HANDLER(raft_feed, ROLE_WRITE, raftd_handle_feed),
	IPC_HANDLER(raft_read_index, ROLE_WRITE, handle_read_index),
	IPC_HANDLER(raft_read_lease, ROLE_WRITE, handle_read_lease),
	IPC_HANDLER(raft_snapshot_taken, ROLE_WRITE, handle_snapshot_taken),
	IPC_HANDLER(raft_change, ROLE_WRITE, raftd_handle_change),
	IPC_HANDLER(raft_transfer, ROLE_WRITE, handle_transfer),
	IPC_HANDLER(raft_leave, ROLE_WRITE, raftd_handle_leave),
	IPC_HANDLER(raft_configuration, ROLE_READ, raftd_handle_configuration),
	IPC_HANDLER(raft_health, ROLE_READ, raftd_handle_health),
};

/* -------- life -------- */

static int listen_open(struct raftd *r)
{
	const struct conf *c = r->daemon->conf;
	OWN_EMBEDDED(buf_fini) struct buf shown = { 0 };
	struct net_address a;

	if (net_address_parse(c->bind_addr, (int)c->ports.server, &a)) {
		return err_new(-EINVAL, "bind_addr \"" STR_FMT "\"", STR_ARG(c->bind_addr));
	}
	r->listen_fd = daemon_listen(r->daemon, "raft", &a, SOCK_STREAM, LISTEN_BACKLOG);
	if (r->listen_fd < 0) {
		net_address_render(&a, &shown);
		log_error("listen", "address=%s error=\"%s\"", buf_cstr(&shown), err_text());
		return err_pass(r->listen_fd);
	}
	return 0;
}

static int node_open(struct raftd *r, struct buf *why)
{
	const struct conf *c = r->daemon->conf;
	int64_t election_ms =
		max_of(ELECTION_MIN_MS, ELECTION_UNIT_MS * c->performance.raft_multiplier);
	struct node_options options = {
		.disk = r->disk,
		.raft = { .address = r->address,
			.trailing_logs = (uint64_t)c->raft_trailing_logs,
			.seed = random_u64(),
			.election_ms = election_ms,
			.heartbeat_ms = election_ms / HEARTBEATS_PER_ELECTION,
			.drift_percent = DRIFT_PERCENT,
			.cluster = random_uuid() },
		.life = random_uuid(),
		.segment_bytes = LOG_SEGMENT_BYTES,
		.first_segment_bytes = LOG_FIRST_SEGMENT_BYTES,
		.tail_bytes = LOG_TAIL_BYTES,
		.bootstrap = c->bootstrap || c->bootstrap_expect == 1 || c->dev_mode,
		.on_update = on_update,
		.send = raftd_quorum_send,
		.depart = raftd_quorum_depart,
		.arg = r,
	};
	int status = conf_node_id(c, &options.raft.id);

	if (status) {
		buf_put_cstr(why, err_text());
		return status;
	}
	status = raftd_recovery_read(r, why);
	if (status) {
		return status;
	}
	options.recover = r->recovered ? &r->recovery : NULL;
	return node_init(&r->node, &options, why);
}

static void address_make(struct raftd *r)
{
	const struct conf *c = r->daemon->conf;
	bool v6 = str_find(c->advertise_addr, ':') >= 0;

	snprintf(r->address, sizeof(r->address), v6 ? "[" STR_FMT "]:%d" : STR_FMT ":%d",
		STR_ARG(c->advertise_addr), (int)c->ports.server);
}

int raftd_open(struct daemon *d)
{
	OWN_EMBEDDED(buf_fini) struct buf directory = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct command noop = { .type = COMMAND_cmd_noop };
	struct raftd *r = xcalloc(1, sizeof(*r));
	int status;

	d->self = r;
	r->daemon = d;
	r->listen_fd = -1;
	list_init(&r->feeds);
	command_encode(&r->noop, &noop);
	address_make(r);
	buf_printf(&directory, STR_FMT "/raft", STR_ARG(d->conf->data_dir));
	status = disk_real_new(buf_cstr(&directory), &r->disk);
	status = status ? status : listen_open(r);
	if (status) {
		return status;
	}
	status = node_open(r, &why);
	if (status) {
		log_error("log-refused", "directory=\"%s\" error=\"%s\"", buf_cstr(&directory),
			buf_cstr(&why));
		return status;
	}
	r->node_open = true;
	raftd_quorum_open(r);
	if (r->node.log->torn) {
		log_warning("log-cut",
			"last_index=%llu reason=\"torn by a crash; what was cut had not been "
			"acknowledged\"",
			(unsigned long long)r->node.log->last_index);
	}
	return page_writer_open("raftd/page", sizeof(struct raft_page), &r->page);
}

static int endpoints_open(struct raftd *r)
{
	struct loop *loop = r->daemon->loop;
	int status = ipc_client_new(loop, "catalogd/write", &r->catalogd);

	if (status == 0) {
		status = ipc_server_new(loop, "raftd/write", ROLE_WRITE, rows, ARRAY_SIZE(rows), r,
			&r->write_server);
	}
	if (status == 0) {
		status = ipc_server_new(
			loop, "raftd/read", ROLE_READ, rows, ARRAY_SIZE(rows), r, &r->read_server);
	}
	return status;
}

int raftd_start(struct daemon *d)
{
	struct raftd *r = d->self;
	int status;

	loop_timer_init(&r->wake, d->loop, on_wake, r);
	loop_timer_init(&r->prepare, d->loop, on_prepare, r);
	loop_timer_init(&r->drain_limit, d->loop, on_drain_limit, r);
	/* Before the endpoints' own: what a turn answers leaves in that turn. */
	loop_flush_add(&r->flush, d->loop, advance, r);
	status = endpoints_open(r);
	if (status) {
		return status;
	}
	peers_start(&r->peers, take_fd(&r->listen_fd));
	status = raftd_seeds_start(r);
	if (status) {
		return status;
	}
	r->shown.term = UINT64_MAX; /* the page may be of an earlier life: show what is true now */
	node_start(&r->node, clock_mono());
	if (!raftd_has_log(r) && !raft_is_alone(&r->node.raft)) {
		log_notice("no-leader", "reason=\"no log and no bootstrap\" bootstrap_expect=%lld",
			(long long)d->conf->bootstrap_expect);
	}
	advance(r);
	return 0;
}

/* Leadership goes to somebody else first, so that nobody waits for an election. */
void raftd_drain(struct daemon *d)
{
	struct uuid whoever = { { 0 } };
	struct raftd *r = d->self;

	r->stopping = true;
	if (r->node.raft.role == RAFT_LEADER && !raft_is_alone(&r->node.raft) &&
		node_transfer(&r->node, clock_mono(), &whoever) == 0) {
		log_notice("leadership", "reason=\"stopping: handed over\"%s", "");
	}
	loop_timer_in(
		&r->drain_limit, max_of(r->node.options.raft.election_ms, (int64_t)DRAIN_HELD_MS));
	drain_look(r);
}

void raftd_stop(struct daemon *d)
{
	struct raftd *r = d->self;

	if (!r) {
		return;
	}
	if (r->write_server) {
		sync_measured(r);
		raftd_proposals_refuse(r);
		raftd_forwarded_refuse(r);
		raftd_leave_fini(r);
		ipc_server_free(r->write_server);
	}
	if (r->read_server) {
		ipc_server_free(r->read_server);
	}
	raftd_seeds_fini(r);
	if (r->catalogd) {
		ipc_client_free(r->catalogd);
		loop_flush_del(&r->flush);
		loop_timer_stop(&r->wake);
		loop_timer_stop(&r->prepare);
		loop_timer_stop(&r->drain_limit);
	}
	raftd_feed_fini(r);
	if (r->peers_open) {
		peers_flush(&r->peers);
		peers_fini(&r->peers);
	}
	raftd_snapshot_fini(r);
	if (r->node_open) {
		node_fini(&r->node);
	}
	if (r->page) {
		page_writer_free(r->page);
	}
	if (r->disk) {
		disk_real_free(r->disk);
	}
	fd_close_own(&r->listen_fd);
	waiting_fini(&r->proposals);
	waiting_fini(&r->forwarded);
	for (size_t i = 0; i < RAFT_READ_KINDS; i++) {
		waiting_fini(&r->reads[i]);
	}
	buf_fini(&r->noop);
	free(take(d->self));
}
