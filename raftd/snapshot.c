/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots on their way between servers. catalogd of the leader reads them, catalogd of the other
 * writes them, and says when one is in place; what is between is transfer.h here and the connection
 * of the peers.
 */
#include "common/sys/clock.h"
#include "raftd/raftd.h"

enum { CATALOGD_MS = 25000 };

/* -------- from here -------- */

static void chunk_send(struct raftd *r, const struct transfer *t, struct str bytes)
{
	struct buf *out = peers_out(&r->peers, &t->to, APPEND_WAITING_MAX);
	struct peer_chunk m = {
		.raft_term = r->node.raft.persistent.term,
		.index = t->index,
		.term = t->term,
		.configuration_index = t->configuration_index,
		.configuration = buf_str(&t->configuration),
		.size = t->size,
		.offset = t->offset,
		.bytes = bytes,
	};

	if (out) {
		PEER_FRAME_PUT(out, peer_chunk, &m);
	} else {
		transfer_lost(&r->transfers, clock_mono(), &t->to);
	}
}

static void on_read(void *arg, int status, struct str payload)
{
	struct snapshot_read_call *c = arg;
	struct raftd *r = c->raftd;
	struct snapshot_read_reply reply = { 0 };
	const struct transfer *t;

	c->pending = NULL;
	if (status == 0 && snapshot_read_reply_decode(payload, NULL, &reply)) {
		status = ST_INVALID;
	}
	t = transfer_bytes(&r->transfers, clock_mono(), c->number, status, reply.size, reply.bytes);
	if (t) {
		chunk_send(r, t, reply.bytes);
	}
}

static void read_ask(struct raftd *r, const struct transfer_action *a)
{
	struct snapshot_read m = { a->index, a->offset, a->bytes_max };

	for (size_t i = 0; i < ARRAY_SIZE(r->snapshot_reads); i++) {
		struct snapshot_read_call *c = &r->snapshot_reads[i];

		if (!c->pending) {
			c->raftd = r;
			c->number = a->number;
			c->pending =
				IPC_CALL(r->catalogd, snapshot_read, &m, CATALOGD_MS, on_read, c);
			return;
		}
	}
	/* All are waiting for a catalogd that is away: this one fails by its deadline. */
}

static void finished(struct raftd *r, const struct transfer_action *a)
{
	const struct peer *p = peers_find(&r->peers, &a->to);
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&a->to, id);
	if (a->index) {
		log_notice("snapshot-sent", "to=%s index=%llu", id, (unsigned long long)a->index);
	} else {
		/* Of a server that is away that is no news: it is tried again and again. */
		log_at(p && peer_connected(p) ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
			"snapshot-not-sent", "to=%s reason=\"%s\"", id, a->why ? a->why : "");
	}
	node_snapshot_sent(&r->node, clock_mono(), &a->to, a->index);
}

static void transfers_due(struct raftd *r)
{
	OWN_EMBEDDED(buf_fini) struct buf configuration = { 0 };
	struct raft_snapshot s;
	size_t count = r->snapshots_due_count;

	if (count == 0) {
		return;
	}
	r->snapshots_due_count = 0;
	s = node_snapshot(&r->node, &configuration);
	for (size_t i = 0; i < count; i++) {
		transfer_begin(&r->transfers, clock_mono(), &r->snapshots_due[i], s.index, s.term,
			s.configuration_index, s.configuration);
	}
}

void raftd_snapshot_turn(struct raftd *r)
{
	struct transfer_action a;

	if (r->node.raft.role != RAFT_LEADER) {
		transfers_end(&r->transfers);
		r->snapshots_due_count = 0;
		return;
	}
	transfers_due(r);
	do {
		a = transfers_next(&r->transfers, clock_mono());
		if (a.type == TRANSFER_READ) {
			read_ask(r, &a);
		} else if (a.type == TRANSFER_FINISH) {
			finished(r, &a);
		}
	} while (a.type != TRANSFER_NONE);
}

void raftd_snapshot_lost(struct raftd *r, const struct peer *p)
{
	transfer_lost(&r->transfers, clock_mono(), &p->id);
}

void raftd_peer_chunk_reply(struct raftd *r, struct peer *p, const struct peer_chunk_reply *m)
{
	transfer_reply(
		&r->transfers, clock_mono(), &p->id, m->index, m->status, m->wanted, m->installed);
}

/* -------- to here -------- */

static void chunk_answer(struct raftd *r, const struct uuid *to, const struct peer_chunk_reply *m)
{
	struct buf *out = peers_out(&r->peers, to, SIZE_MAX);

	if (out) {
		PEER_FRAME_PUT(out, peer_chunk_reply, m);
	}
}

static int install(struct raftd *r)
{
	const struct raft_snapshot *s = &r->incoming.snapshot;
	int status = node_snapshot_installed(&r->node, clock_mono(), s);

	if (status == 0) {
		log_notice("snapshot-installed", "index=%llu term=%llu bytes=%llu",
			(unsigned long long)s->index, (unsigned long long)s->term,
			(unsigned long long)r->incoming.size);
	}
	return status;
}

static void on_written(void *arg, int status, struct str payload)
{
	struct raftd *r = arg;
	struct snapshot_write_reply written = { 0 };
	struct peer_chunk_reply reply = { .index = r->incoming.snapshot.index };

	r->incoming.pending = NULL;
	if (status == 0 && snapshot_write_reply_decode(payload, NULL, &written)) {
		status = ST_INVALID;
	}
	if (status == 0 && written.installed) {
		status = install(r);
	}
	r->incoming.wanted = written.wanted;
	reply.wanted = written.wanted;
	reply.installed = status == 0 && written.installed;
	reply.status = (uint8_t)(status == ST_TIMEOUT ? ST_NOT_READY : status);
	chunk_answer(r, &r->incoming.from, &reply);
}

static bool chunk_sound(const struct peer_chunk *m)
{
	struct configuration c;

	return m->index && m->size && m->offset <= m->size && m->bytes.n <= m->size - m->offset &&
	       m->bytes.n <= TRANSFER_CHUNK_MAX && m->configuration_index <= m->index &&
	       configuration_decode(m->configuration, &c) == 0;
}

/* What is known to be committed here needs no snapshot; nor does a server without it take one from
 * who has been a leader once. */
static bool is_answered_at_once(struct raftd *r, struct peer *p, const struct peer_chunk *m)
{
	struct peer_chunk_reply reply = { .index = m->index };

	if (m->raft_term < r->node.raft.persistent.term) {
		reply.status = ST_NOT_LEADER;
	} else if (!chunk_sound(m)) {
		reply.status = ST_INVALID;
	} else if (m->index <= r->node.raft.commit_index) {
		reply.installed = true;
	} else {
		return false;
	}
	chunk_answer(r, &p->id, &reply);
	return true;
}

void raftd_peer_chunk(struct raftd *r, struct peer *p, const struct peer_chunk *m)
{
	struct snapshot_in *in = &r->incoming;
	struct snapshot_write call = { m->index, m->term, m->size, m->offset, m->bytes };
	struct mono now = clock_mono();

	if (is_answered_at_once(r, p, m)) {
		return;
	}
	if (in->pending) { /* its sender has begun anew, or another one has */
		ipc_cancel(take(in->pending));
	}
	in->from = p->id;
	in->size = m->size;
	buf_clear(&in->configuration);
	buf_put_str(&in->configuration, m->configuration);
	in->snapshot = (struct raft_snapshot) { m->index, m->term, m->configuration_index,
		buf_str(&in->configuration) };
	in->pending = IPC_CALL(r->catalogd, snapshot_write, &call, CATALOGD_MS, on_written, r);
	metrics_add(r->daemon->metrics, METRIC_RPC_SNAPSHOT,
		(double)mono_diff_ns(clock_mono(), now) / NS_PER_MS);
}

void raftd_snapshot_fini(struct raftd *r)
{
	transfers_fini(&r->transfers);
	buf_fini(&r->incoming.configuration);
}
