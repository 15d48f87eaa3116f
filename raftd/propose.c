/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on their way into the log. At the leader they are appended and wait for their commit;
 * elsewhere they go to the leader's raftd, which answers when it is committed there. Where that
 * leader or the connection to it is lost, nobody knows what became of them: ST_NOT_LEADER.
 */
#include "common/sys/clock.h"
#include "raftd/raftd.h"

/* -------- answers -------- */

static void server_answer(struct raftd *r, const struct waiting *w, int status, uint64_t index)
{
	struct peer_propose_reply reply = { w->tag, (uint8_t)status, index };
	struct buf *out = peers_out(&r->peers, &w->from, SIZE_MAX);

	if (out) { /* else it has refused its caller already */
		PEER_FRAME_PUT(out, peer_propose_reply, &reply);
	}
}

static void answer(struct raftd *r, const struct waiting *w, int status, uint64_t index)
{
	if (w->kind == WAITING_SERVER) {
		server_answer(r, w, status, index);
	} else if (status) {
		ipc_refuse(w->call, status);
	} else if (w->kind == WAITING_CHANGE) {
		IPC_REPLY(w->call, raft_change, &((struct raft_change_reply) { index }));
	} else {
		IPC_REPLY(w->call, raft_propose, &((struct raft_propose_reply) { index }));
	}
}

void raftd_proposals_commit(struct raftd *r)
{
	struct waiting w;

	while (waiting_take(&r->proposals, r->node.raft.commit_index, &w)) {
		metrics_add(r->daemon->metrics, METRIC_APPLY, 1);
		answer(r, &w, 0, w.number);
	}
}

void raftd_proposals_refuse(struct raftd *r)
{
	struct waiting w;

	while (waiting_take(&r->proposals, UINT64_MAX, &w)) {
		answer(r, &w, ST_NOT_LEADER, 0);
	}
}

void raftd_forwarded_refuse(struct raftd *r)
{
	struct waiting w;

	while (waiting_take(&r->forwarded, UINT64_MAX, &w)) {
		if (w.call) {
			ipc_refuse(w.call, ST_NOT_LEADER);
		}
	}
}

/* -------- at the leader -------- */

static void append_here(struct raftd *r, struct waiting *w, struct str command)
{
	int status = ST_FULL;

	if (r->stopping) {
		status = ST_NOT_LEADER;
	} else if (r->proposals.count < PROPOSALS_MAX) {
		status = node_propose(&r->node, clock_mono(), command, &w->number);
	}
	if (status) {
		answer(r, w, status, 0);
	} else {
		waiting_add(&r->proposals, w);
	}
}

void raftd_peer_propose(struct raftd *r, struct peer *p, const struct peer_propose *m)
{
	struct waiting w = { .kind = WAITING_SERVER, .from = p->id, .tag = m->tag };

	append_here(r, &w, m->command);
}

void raftd_handle_change(struct raftd *r, struct ipc_call *call, const struct raft_change *m)
{
	struct waiting w = { .kind = WAITING_CHANGE, .call = call };
	char address[RAFT_ADDRESS_SIZE] = "";
	struct raft_server_change change = { .type = m->op, .address = address };
	const struct peer *p;
	int status;

	if (m->address.n >= sizeof(address) || uuid_parse(m->id, &change.id)) {
		ipc_refuse(call, ST_INVALID);
		return;
	}
	memcpy(address, m->address.p ? m->address.p : "", m->address.n);
	p = peers_find(&r->peers, &change.id);
	if (p && peer_connected(p)) {
		change.life = p->identity.life;
	}
	status = raftd_disk_lost(r) ? ST_AGAIN
				    : node_change(&r->node, clock_mono(), &change, &w.number);
	if (status) {
		ipc_refuse(call, status);
		return;
	}
	log_notice("change", "op=%u id=" STR_FMT " address=%s index=%llu", m->op, STR_ARG(m->id),
		address, (unsigned long long)w.number);
	if (w.number <= r->node.raft.commit_index) {
		answer(r, &w, 0, w.number);
	} else {
		waiting_add(&r->proposals, &w);
	}
}

/* -------- elsewhere -------- */

static void forward(struct raftd *r, struct ipc_call *call, struct str command)
{
	const struct uuid *leader = &r->node.raft.leader;
	const struct peer *p = peers_find(&r->peers, leader);
	struct buf *out = peers_out(&r->peers, leader, FORWARD_WAITING_MAX);
	struct peer_propose m = { r->forward_tag + 1, command };

	if (!p || !peer_connected(p) || r->stopping) {
		ipc_refuse(call, ST_NOT_LEADER);
	} else if (command.n > LOG_BODY_MAX) {
		ipc_refuse(call, ST_TOO_LARGE);
	} else if (!out || r->forwarded.count == PROPOSALS_MAX) {
		ipc_refuse(call, ST_FULL);
	} else {
		r->forward_tag++;
		r->forwarded_to = *leader;
		PEER_FRAME_PUT(out, peer_propose, &m);
		waiting_add(&r->forwarded,
			&(struct waiting) { .number = r->forward_tag, .call = call });
	}
}

void raftd_handle_propose(struct raftd *r, struct ipc_call *call, const struct raft_propose *m)
{
	struct waiting w = { .kind = WAITING_CALL, .call = call };

	if (r->node.raft.role == RAFT_LEADER) {
		append_here(r, &w, m->command);
	} else {
		forward(r, call, m->command);
	}
}

void raftd_peer_propose_reply(struct raftd *r, struct peer *p, const struct peer_propose_reply *m)
{
	struct raft_propose_reply reply = { m->index };
	struct waiting *w = waiting_at(&r->forwarded, m->tag), done;

	if (!w || !w->call || !uuid_eq(&p->id, &r->forwarded_to)) {
		return; /* refused meanwhile */
	}
	if (m->status) {
		ipc_refuse(take(w->call), m->status);
	} else {
		IPC_REPLY(w->call, raft_propose, &reply);
		w->call = NULL;
	}
	while (r->forwarded.count && !r->forwarded.items[r->forwarded.first].call) {
		waiting_take(&r->forwarded, UINT64_MAX, &done);
	}
}
