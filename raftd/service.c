/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints raftd/write and raftd/read, and advance().
 */
#include <stdio.h>

#include "common/msg/command.h"
#include "common/sys/clock.h"
#include "raftd/raftd.h"

/* -------- calls that wait, in order -------- */

static void ring_add(struct waiting_ring *ring, struct ipc_call *call, uint64_t number)
{
	if (ring->count == ring->size) {
		size_t size = ring->size ? ring->size * 2 : 64;
		struct waiting *items = xmalloc(size * sizeof(*items));

		for (size_t i = 0; i < ring->count; i++) {
			items[i] = ring->items[(ring->first + i) & (ring->size - 1)];
		}
		free(ring->items);
		*ring = (struct waiting_ring) { items, 0, ring->count, size };
	}
	ring->items[(ring->first + ring->count++) & (ring->size - 1)] =
		(struct waiting) { call, number };
}

/* The next call with a number up to `through`; NULL: none. */
static struct ipc_call *ring_take(struct waiting_ring *ring, uint64_t through)
{
	struct waiting w;

	if (ring->count == 0 || ring->items[ring->first].number > through) {
		return NULL;
	}
	w = ring->items[ring->first];
	ring->first = (ring->first + 1) & (ring->size - 1);
	ring->count--;
	return w.call;
}

static void proposals_commit(struct raftd *r)
{
	while (r->proposals.count) {
		struct raft_propose_reply reply = { r->proposals.items[r->proposals.first].number };
		struct ipc_call *call = ring_take(&r->proposals, r->node.raft.commit_index);

		if (!call) {
			return;
		}
		metrics_add(r->daemon->metrics, METRIC_APPLY, 1);
		IPC_REPLY(call, raft_propose, &reply);
	}
}

static void refuse_all(struct waiting_ring *ring, uint64_t through, int status)
{
	struct ipc_call *call;

	while ((call = ring_take(ring, through))) {
		ipc_refuse(call, status);
	}
}

static void reads_answer(struct raftd *r, const struct raft_reads_end *end)
{
	struct raft_read_index_reply reply = { end->index };
	struct ipc_call *call;

	if (end->status) {
		refuse_all(&r->reads, end->through, end->status);
		return;
	}
	while ((call = ring_take(&r->reads, end->through))) {
		IPC_REPLY(call, raft_read_index, &reply);
	}
}

/* -------- what the node tells -------- */

static void role_show(struct raftd *r, const struct raft_update *u)
{
	static const enum raftd_metric counters[] = {
		[RAFT_FOLLOWER] = METRIC_STATE_FOLLOWER,
		[RAFT_CANDIDATE] = METRIC_STATE_CANDIDATE,
		[RAFT_LEADER] = METRIC_STATE_LEADER,
	};
	const struct raft *raft = &r->node.raft;

	metrics_add(r->daemon->metrics, counters[raft->role], 1);
	metrics_set(r->daemon->metrics, METRIC_AUTOPILOT_HEALTHY, raft->role == RAFT_LEADER);
	log_notice("role", "state=%s term=%llu last_index=%llu reason=\"%s\"",
		raft_role_name(raft->role), (unsigned long long)raft->persistent.term,
		(unsigned long long)raft->trail.last, u->note);
}

static void on_update(void *arg, const struct raft_update *u)
{
	struct raftd *r = arg;

	if (u->committed) {
		proposals_commit(r);
	}
	if (u->cut) {
		refuse_all(&r->proposals, UINT64_MAX, ST_NOT_LEADER);
	}
	if (u->reads[RAFT_READ_ROUND].through) {
		reads_answer(r, &u->reads[RAFT_READ_ROUND]);
	}
	if (u->role_changed) {
		role_show(r, u);
	}
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
	struct mono before, after;

	if (entries == 0) {
		return;
	}
	before = clock_mono();
	node_advance(&r->node, before);
	after = clock_mono();
	metrics_add(m, METRIC_DISPATCH_LOG, (double)mono_diff_ns(after, before) / NS_PER_MS);
	metrics_add(m, METRIC_COMMIT_TIME,
		(double)mono_diff_ns(after, loop_now(r->daemon->loop)) / NS_PER_MS);
	metrics_set(m, METRIC_DISPATCH_NUM_LOGS, (double)entries);
	metrics_set(m, METRIC_COMMIT_NUM_LOGS, (double)entries);
	metrics_set(m, METRIC_LAST_INDEX, (double)r->node.raft.trail.last);
}

/* The end of a turn: make durable, reply and feed, show, rearm. */
static void advance(void *arg)
{
	struct raftd *r = arg;

	sync_measured(r);
	raftd_feed_all(r);
	raftd_publish(r);
	failures_log(r);
	loop_timer_at(&r->wake, mono_min(node_deadline(&r->node), raftd_feed_deadline(r)));
	if (!loop_timer_active(&r->prepare) && log_wants_spare(r->node.log)) {
		loop_timer_in(&r->prepare, PREPARE_EVERY_MS);
	}
}

static void on_wake(void *arg)
{
	struct raftd *r = arg;

	node_tick(&r->node, clock_mono());
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

static void handle_propose(struct raftd *r, struct ipc_call *call, const struct raft_propose *m)
{
	uint64_t index;
	int status = node_propose(&r->node, clock_mono(), m->command, &index);

	if (status) {
		ipc_refuse(call, status);
	} else {
		ring_add(&r->proposals, call, index);
	}
}

static void handle_read_index(
	struct raftd *r, struct ipc_call *call, const struct raft_read_index *m)
{
	metrics_add(r->daemon->metrics, METRIC_VERIFY_LEADER, 1);
	if (r->node.raft.role != RAFT_LEADER) {
		ipc_refuse(call, ST_NOT_LEADER);
		return;
	}
	ring_add(&r->reads, call, ++r->read_tag);
	node_read_index(&r->node, clock_mono(), RAFT_READ_ROUND, r->read_tag);
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

IPC_DECODER(struct raftd, raft_propose, handle_propose)
IPC_DECODER(struct raftd, raft_feed, raftd_handle_feed)
IPC_DECODER(struct raftd, raft_read_index, handle_read_index)
IPC_DECODER(struct raftd, raft_snapshot_taken, handle_snapshot_taken)
IPC_DECODER(struct raftd, raft_configuration, raftd_handle_configuration)

static const struct ipc_handler rows[] = {
	IPC_HANDLER(raft_propose, ROLE_WRITE, handle_propose),
	IPC_HANDLER(raft_feed, ROLE_WRITE, raftd_handle_feed),
	IPC_HANDLER(raft_read_index, ROLE_WRITE, handle_read_index),
	IPC_HANDLER(raft_snapshot_taken, ROLE_WRITE, handle_snapshot_taken),
	IPC_HANDLER(raft_configuration, ROLE_READ, raftd_handle_configuration),
};

/* -------- life -------- */

static int node_open(struct raftd *r, struct buf *why)
{
	const struct conf *c = r->daemon->conf;
	bool bracketed = str_find(c->advertise_addr, ':') >= 0;
	char address[RAFT_ADDRESS_SIZE];
	struct node_options options = {
		.disk = r->disk,
		.raft = { .address = address,
			.trailing_logs = (uint64_t)c->raft_trailing_logs,
			.election_ms = max_of(
				ELECTION_MIN_MS, ELECTION_MS * c->performance.raft_multiplier),
			.drift_percent = CLOCK_DRIFT_PERCENT,
			.seed = random_u64() },
		.segment_bytes = LOG_SEGMENT_BYTES,
		.first_segment_bytes = LOG_FIRST_SEGMENT_BYTES,
		.tail_bytes = LOG_TAIL_BYTES,
		.bootstrap = c->bootstrap || c->bootstrap_expect == 1 || c->dev_mode,
		.on_update = on_update,
		.arg = r,
	};
	int status = conf_node_id(c, &options.raft.id);

	if (status) {
		buf_put_cstr(why, err_text());
		return status;
	}
	options.raft.heartbeat_ms = options.raft.election_ms / HEARTBEATS;
	snprintf(address, sizeof(address), bracketed ? "[" STR_FMT "]:%d" : STR_FMT ":%d",
		STR_ARG(c->advertise_addr), (int)c->ports.server);
	return node_init(&r->node, &options, why);
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
	list_init(&r->feeds);
	command_encode(&r->noop, &noop);
	buf_printf(&directory, STR_FMT "/raft", STR_ARG(d->conf->data_dir));
	status = disk_real_new(buf_cstr(&directory), &r->disk);
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
	if (r->node.log->torn) {
		log_warning("log-cut",
			"last_index=%llu reason=\"torn by a crash; what was cut had not been "
			"acknowledged\"",
			(unsigned long long)r->node.log->last_index);
	}
	return page_writer_open("raftd/page", sizeof(struct raft_page), &r->page);
}

int raftd_start(struct daemon *d)
{
	struct raftd *r = d->self;
	int status;

	loop_timer_init(&r->wake, d->loop, on_wake, r);
	loop_timer_init(&r->prepare, d->loop, on_prepare, r);
	/* Before the endpoints' own: what a turn answers leaves in that turn. */
	loop_flush_add(&r->flush, d->loop, advance, r);
	status = ipc_server_new(
		d->loop, "raftd/write", ROLE_WRITE, rows, ARRAY_SIZE(rows), r, &r->write_server);
	if (status == 0) {
		status = ipc_server_new(d->loop, "raftd/read", ROLE_READ, rows, ARRAY_SIZE(rows), r,
			&r->read_server);
	}
	if (status) {
		return status;
	}
	r->shown.term = UINT64_MAX; /* the page may be of an earlier life: show what is true now */
	node_start(&r->node, clock_mono());
	if (!raft_is_alone(&r->node.raft)) {
		log_notice("no-leader", "reason=\"no log and no bootstrap\" bootstrap_expect=%lld",
			(long long)d->conf->bootstrap_expect);
	}
	advance(r);
	return 0;
}

void raftd_stop(struct daemon *d)
{
	struct raftd *r = d->self;

	if (!r) {
		return;
	}
	if (r->write_server) {
		sync_measured(r);
		ipc_server_free(r->write_server);
		loop_flush_del(&r->flush);
		loop_timer_stop(&r->wake);
		loop_timer_stop(&r->prepare);
	}
	if (r->read_server) {
		ipc_server_free(r->read_server);
	}
	raftd_feed_fini(r);
	if (r->node_open) {
		node_fini(&r->node);
	}
	if (r->page) {
		page_writer_free(r->page);
	}
	if (r->disk) {
		disk_real_free(r->disk);
	}
	free(r->proposals.items);
	free(r->reads.items);
	buf_fini(&r->noop);
	free(take(d->self));
}
