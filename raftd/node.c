/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what the core decides, in the order that its header demands.
 */
#include "raftd/node.h"

#include <stdio.h>

static int step(struct node *n, const struct raft_event *event);

static void note_failure(struct node *n)
{
	n->disk_failures++;
	snprintf(n->failure, sizeof(n->failure), "%s", err_text());
}

/* -------- carrying out -------- */

static int append_one(struct node *n, uint64_t index, uint64_t term, uint8_t type, struct str body)
{
	/* A command's place was reserved before it was proposed: this is then nothing. */
	int r = log_reserve(n->log, body.n);

	if (r == 0) {
		log_append(n->log, index, term, type, body);
	}
	return r;
}

/* Entries that came from the leader, behind what the log has (after a cut). */
static int accept(struct node *n, const struct raft_message *m, uint32_t from)
{
	int r = 0;

	for (uint32_t i = from; i < m->entries.count && r == 0; i++) {
		const struct raft_log_entry *e = &m->entries.items[i];

		r = append_one(n, m->index + 1 + i, e->term, e->type, e->body);
	}
	return r;
}

static int append_all(struct node *n, const struct raft_event *event, const struct raft_update *u)
{
	int r = u->accept ? accept(n, event->message, u->accept_from) : 0;

	for (size_t i = 0; i < u->append_count && r == 0; i++) {
		const struct raft_append *a = &u->append[i];

		r = append_one(n, a->index, a->term, (uint8_t)a->type,
			a->type == RAFT_COMMAND ? n->proposal : a->body);
	}
	return r;
}

/* A file that cannot be removed is tried again at the next start; nothing depends on it. */
static void discard(struct node *n, uint64_t before)
{
	struct raft_event event = { .type = RAFT_EVENT_DISCARDED, .now = n->raft.now };

	if (log_discard(
		    n->log, before, n->raft.persistent.snapshot_index, NODE_TRAILING_BYTES_MAX)) {
		note_failure(n);
	}
	event.index = n->log->first_index;
	if (event.index > n->raft.trail.first) {
		step(n, &event);
	}
}

/* -errno: the disk failed, and what was not done yet is not to be done. */
static int carry_out(struct node *n, const struct raft_event *event, const struct raft_update *u)
{
	int r = u->persist ? meta_write(n->meta, &n->raft.persistent) : 0;

	/* In memory, so it cannot fail and is done in any case: nothing is appended behind it
	 * before
	 * the persistent part is written. */
	if (u->reset) {
		log_reset(n->log, u->reset_index, u->reset_term);
	}
	if (r == 0 && u->cut) {
		log_cut(n->log, u->cut_after, u->cut_term);
	}
	return r ? r : append_all(n, event, u);
}

/* -------- sending -------- */

/* The entries that go along, out of the log; *last_out: the index of the last one. */
static int fill(struct node *n, const struct raft_send *s, struct arena *arena,
	struct raft_message *out, uint64_t *last_out)
{
	struct record *records;
	size_t count;
	int r;

	*out = s->message;
	*last_out = out->index;
	if (s->through <= out->index) {
		return 0;
	}
	r = log_read(
		n->log, out->index + 1, s->through, NODE_APPEND_BYTES_MAX, arena, &records, &count);
	if (r) {
		return r;
	}
	out->entries.items = arena_array(arena, struct raft_log_entry, count);
	out->entries.count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		out->entries.items[i] = (struct raft_log_entry) {
			.term = records[i].term, .type = records[i].type, .body = records[i].body
		};
	}
	*last_out += count;
	return 0;
}

/* true: entries were left over that may go at once. */
static bool send_one(struct node *n, const struct raft_send *s, struct raft_event *sent)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raft_message m;
	uint64_t last;

	sent->type = RAFT_EVENT_TICK; /* nothing to tell */
	if (fill(n, s, &arena, &m, &last)) {
		note_failure(n);
		return false;
	}
	if (!n->options.send(n->options.arg, &m) || m.type != RAFT_APPEND) {
		return false;
	}
	*sent = (struct raft_event) {
		.type = RAFT_EVENT_SENT, .now = n->raft.now, .peer = m.to, .index = last
	};
	return last < s->through;
}

/* The core may be told only when all is sent: its next step takes the memory of the update. */
static void send_all(struct node *n, const struct raft_update *u)
{
	struct raft_event sent[RAFT_SERVERS_MAX];
	size_t count = 0;
	struct raft_update nothing;

	for (size_t i = 0; i < u->sends_count; i++) {
		n->more |= send_one(n, &u->sends[i], &sent[count]);
		count += sent[count].type == RAFT_EVENT_SENT;
	}
	for (size_t i = 0; i < count; i++) {
		raft_step(&n->raft, &sent[i], &nothing);
	}
}

/* -------- steps -------- */

static void fail(struct node *n, struct mono now)
{
	struct raft_event event = { .type = RAFT_EVENT_DISK_FAILED, .now = now };

	note_failure(n);
	step(n, &event);
}

/* The status of the update; ST_STORAGE where it could not be carried out. */
static int step(struct node *n, const struct raft_event *event)
{
	struct raft_event persisted = { .type = RAFT_EVENT_PERSISTED, .now = event->now };
	struct raft_update update;
	int r;

	raft_step(&n->raft, event, &update);
	r = carry_out(n, event, &update);
	if (n->options.on_update) {
		n->options.on_update(n->options.arg, &update);
	}
	if (r) {
		if (event->type != RAFT_EVENT_DISK_FAILED) {
			fail(n, event->now);
		}
		return ST_STORAGE;
	}
	if (n->options.send && update.sends_count) {
		send_all(n, &update);
	}
	if (update.discard_before) {
		discard(n, update.discard_before);
	}
	if (update.persist) {
		step(n, &persisted);
	}
	return update.status;
}

static void flush(struct node *n, struct mono now)
{
	struct raft_event event = { .type = RAFT_EVENT_FLUSH, .now = now };

	do {
		n->more = false;
		step(n, &event);
	} while (n->more);
}

void node_advance(struct node *n, struct mono now)
{
	struct raft_event event = { .type = RAFT_EVENT_DURABLE, .now = now };

	flush(n, now);
	event.index = n->log->last_index;
	if (event.index == n->log->synced_index) {
		return;
	}
	if (n->options.depart) {
		n->options.depart(n->options.arg);
	}
	if (log_sync(n->log)) {
		fail(n, now);
	} else {
		step(n, &event);
	}
	flush(n, now);
}

/* -------- life -------- */

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
	log.reset = persistent.log_reset;
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
	/* It is durable before anybody hears of it. */
	if (uuid_is_zero(&persistent.life) && !uuid_is_zero(&options->life)) {
		persistent.life = options->life;
		r = meta_write(meta, &persistent);
	}
	if (r) {
		buf_put_cstr(why, err_text());
		log_free(take(n->log));
		return r;
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
	const struct log *l = n->log;
	struct raft_event event = {
		.type = RAFT_EVENT_START,
		.now = now,
		.start = {
			.persistent = &persistent,
			.trail = &l->trail,
			.configured = l->configured,
			.configured_count = l->configured_count,
			.bootstrap = n->options.bootstrap,
			.recover = n->options.recover,
		},
	};

	step(n, &event);
	node_advance(n, now);
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

/* -------- what is asked of it -------- */

/* Where others could lead, a leader without room on its disk is no leader. */
static int no_room(struct node *n, struct mono now)
{
	if (raft_is_alone(&n->raft)) {
		note_failure(n);
	} else {
		fail(n, now);
	}
	return ST_STORAGE;
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
		return no_room(n, now);
	}
	if (r) {
		return r;
	}
	n->proposal = command;
	r = step(n, &event);
	n->proposal = STR_NONE;
	*index_out = n->raft.trail.last;
	return r;
}

int node_read_index(struct node *n, struct mono now, enum raft_read_kind kind, uint64_t tag)
{
	struct raft_event event = {
		.type = RAFT_EVENT_READ_INDEX, .now = now, .read = kind, .tag = tag
	};

	return step(n, &event);
}

int node_snapshot_taken(struct node *n, struct mono now, uint64_t index, uint64_t term)
{
	struct raft_event event = {
		.type = RAFT_EVENT_SNAPSHOT_TAKEN, .now = now, .index = index, .term = term
	};
	int status = step(n, &event);

	if (status == 0) {
		discard(n, n->raft.trail.first); /* few entries may be many bytes */
	}
	return status;
}

int node_snapshot_installed(struct node *n, struct mono now, const struct raft_snapshot *snapshot)
{
	struct raft_event event = {
		.type = RAFT_EVENT_SNAPSHOT_INSTALLED, .now = now, .snapshot = *snapshot
	};

	return step(n, &event);
}

void node_snapshot_sent(struct node *n, struct mono now, const struct uuid *peer, uint64_t index)
{
	struct raft_event event = {
		.type = RAFT_EVENT_SNAPSHOT_SENT, .now = now, .peer = *peer, .index = index
	};

	step(n, &event);
}

struct raft_snapshot node_snapshot(const struct node *n, struct buf *configuration)
{
	const struct raft_persistent *p = &n->raft.persistent;

	buf_clear(configuration);
	configuration_encode(configuration, &p->configuration);
	/* A recovered configuration may be of further on; elsewhere it begins with the snapshot. */
	return (struct raft_snapshot) { p->snapshot_index, p->snapshot_term,
		min_of(p->configuration_index, p->snapshot_index), buf_str(configuration) };
}

void node_receive(
	struct node *n, struct mono now, const struct raft_message *m, const struct uuid *life)
{
	struct raft_event event = {
		.type = RAFT_EVENT_MESSAGE, .now = now, .message = m, .life = *life
	};

	if (m->entries.count && log_unwritten(n->log) >= NODE_UNWRITTEN_MAX) {
		node_advance(n, now);
	}
	step(n, &event);
}

void node_unreachable(struct node *n, struct mono now, const struct uuid *peer)
{
	struct raft_event event = { .type = RAFT_EVENT_UNREACHABLE, .now = now, .peer = *peer };

	step(n, &event);
}

int node_bootstrap(struct node *n, struct mono now, const struct configuration *c)
{
	struct raft_event event = { .type = RAFT_EVENT_BOOTSTRAP, .now = now, .configuration = c };

	return step(n, &event);
}

int node_change(
	struct node *n, struct mono now, const struct raft_server_change *c, uint64_t *index_out)
{
	struct raft_event event = { .type = RAFT_EVENT_CHANGE, .now = now, .change = *c };
	int r = step(n, &event);

	*index_out = n->raft.configuration_index;
	return r;
}

int node_transfer(struct node *n, struct mono now, const struct uuid *peer)
{
	struct raft_event event = { .type = RAFT_EVENT_TRANSFER, .now = now, .peer = *peer };

	return step(n, &event);
}
