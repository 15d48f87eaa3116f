/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what the core decides, in the order that its header demands.
 */
#include "raftd/node.h"

#include <stdio.h>

static void step(struct node *n, const struct raft_event *event);

static void note_failure(struct node *n)
{
	n->disk_failures++;
	snprintf(n->failure, sizeof(n->failure), "%s", err_text());
}

static int append(struct node *n, const struct raft_append *a)
{
	struct str body = a->type == RAFT_COMMAND ? n->proposal : a->body;
	/* A command's place was reserved before it was proposed. */
	int r = a->type == RAFT_COMMAND ? 0 : log_reserve(n->log, body.n);

	if (r == 0) {
		log_append(n->log, a->index, a->term, (uint8_t)a->type, body);
	}
	return r;
}

/* The order is the contract of raftd/core/raft.h. -errno: the disk failed, and what was not done
 * yet is not to be done. */
static int carry_out(struct node *n, const struct raft_update *u)
{
	int r = u->persist ? meta_write(n->meta, &n->raft.persistent) : 0;

	if (r == 0 && u->cut) {
		log_cut(n->log, u->cut_after);
	}
	for (size_t i = 0; i < u->append_count && r == 0; i++) {
		r = append(n, &u->append[i]);
	}
	if (r == 0 && u->discard_before) {
		/* A file that cannot be removed is tried again at the next start; nothing depends
		 * on it. */
		if (log_discard(n->log, u->discard_before, n->raft.persistent.snapshot_index,
			    NODE_TRAILING_BYTES_MAX)) {
			note_failure(n);
		}
	}
	return r;
}

static void fail(struct node *n, struct mono now)
{
	struct raft_event event = { .type = RAFT_EVENT_DISK_FAILED, .now = now };

	note_failure(n);
	step(n, &event);
}

static void step(struct node *n, const struct raft_event *event)
{
	struct raft_event persisted = { .type = RAFT_EVENT_PERSISTED, .now = event->now };
	struct raft_update update;
	int r;

	raft_step(&n->raft, event, &update);
	r = carry_out(n, &update);
	if (n->options.on_update) {
		n->options.on_update(n->options.arg, &update);
	}
	if (r) {
		fail(n, event->now);
	} else if (update.persist) {
		step(n, &persisted);
	}
}

int node_init(struct node *n, const struct node_options *options, struct buf *why)
{
	struct log_options log = {
		.disk = options->disk,
		.seed = options->raft.seed,
		.segment_bytes = options->segment_bytes,
		.first_segment_bytes = options->first_segment_bytes,
		.tail_bytes = options->tail_bytes,
	};
	OWN(meta_free) struct meta *meta = NULL;
	struct raft_persistent persistent;
	int r = meta_open(options->disk, &meta, &persistent, why);

	if (r) {
		return r;
	}
	*n = (struct node) { .options = *options };
	log.snapshot_index = persistent.snapshot_index;
	r = log_open(&log, &n->log, why);
	if (r) {
		return r;
	}
	if (n->log->last_term > persistent.term) {
		buf_printf(why,
			"meta: its term %llu is older than the log's %llu: it is lost or damaged",
			(unsigned long long)persistent.term, (unsigned long long)n->log->last_term);
		log_free(take(n->log));
		return ST_CORRUPT;
	}
	n->meta = take(meta);
	raft_init(&n->raft, &options->raft);
	n->raft.persistent = persistent;
	return 0;
}

void node_fini(struct node *n)
{
	raft_fini(&n->raft);
	log_free(n->log);
	meta_free(n->meta);
}

void node_start(struct node *n, struct mono now)
{
	struct raft_persistent persistent = n->raft.persistent;
	struct raft_event event = {
		.type = RAFT_EVENT_START,
		.now = now,
		.start = {
			.persistent = &persistent,
			.first_index = n->log->first_index,
			.last_index = n->log->last_index,
			.last_term = n->log->last_term,
			.configuration_index = n->log->configuration_index,
			.configuration = buf_str(&n->log->configuration),
			.bootstrap = n->options.bootstrap,
		},
	};

	step(n, &event);
	node_advance(n, now);
}

int node_propose(struct node *n, struct mono now, struct str command, uint64_t *index_out)
{
	struct raft_event event = { .type = RAFT_EVENT_PROPOSE, .now = now };
	int r;

	if (n->raft.role == RAFT_LEADER && log_unwritten(n->log) >= NODE_UNWRITTEN_MAX) {
		node_advance(n, now);
	}
	if (n->raft.role != RAFT_LEADER) {
		return ST_NOT_LEADER;
	}
	r = log_reserve(n->log, command.n);
	if (r < 0) {
		note_failure(n);
		return ST_STORAGE;
	}
	if (r) {
		return r;
	}
	n->proposal = command;
	step(n, &event);
	n->proposal = STR_NONE;
	*index_out = n->raft.last_index;
	return 0;
}

int node_read_index(struct node *n, struct mono now, uint64_t tag)
{
	struct raft_event event = { .type = RAFT_EVENT_READ_INDEX, .now = now, .tag = tag };

	if (n->raft.role != RAFT_LEADER) {
		return ST_NOT_LEADER;
	}
	step(n, &event);
	return 0;
}

int node_snapshot_taken(struct node *n, struct mono now, uint64_t index, uint64_t term)
{
	struct raft_event event = {
		.type = RAFT_EVENT_SNAPSHOT_TAKEN, .now = now, .index = index, .term = term
	};
	uint64_t failures = n->disk_failures;

	if (index == 0 || index > n->raft.commit_index) {
		return ST_INVALID;
	}
	step(n, &event);
	return n->disk_failures == failures ? 0 : ST_STORAGE;
}

void node_advance(struct node *n, struct mono now)
{
	struct raft_event event = {
		.type = RAFT_EVENT_DURABLE, .now = now, .index = n->log->last_index
	};

	if (n->log->last_index == n->log->synced_index) {
		return;
	}
	if (log_sync(n->log)) {
		fail(n, now);
	} else {
		step(n, &event);
	}
}

void node_tick(struct node *n, struct mono now)
{
	struct raft_event event = { .type = RAFT_EVENT_TICK, .now = now };

	if (!mono_before(now, raft_deadline(&n->raft))) {
		step(n, &event);
		node_advance(n, now);
	}
}

struct mono node_deadline(const struct node *n)
{
	return raft_deadline(&n->raft);
}
