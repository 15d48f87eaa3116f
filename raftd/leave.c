/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This server leaves, in Consul's order. First, before the pool is told, a leader removes itself
 * from the quorum, where others could lead. Then, when all have been told, it waits until the
 * leader has removed it: one that stopped before would still be counted, and missed. A server that
 * was removed is not sent the entry that says so; the leader tells it (peer_identity).
 */
#include "common/sys/clock.h"
#include "raftd/raftd.h"

static bool is_member(const struct raftd *r)
{
	const struct peer *p;

	list_for_each (p, &r->peers.list, link) {
		if (p->told && peer_connected(p) && p->identity.removed) {
			return false;
		}
	}
	return configuration_find((struct configuration *)&r->node.raft.configuration,
		       &r->node.raft.id) != NULL;
}

static bool is_done(struct raftd *r)
{
	const struct raft *raft = &r->node.raft;
	struct raft_server_change change = { .type = RAFT_REMOVE, .id = raft->id };
	uint64_t index;

	if (raft->role != RAFT_LEADER) {
		return !r->leaving.told || !is_member(r);
	}
	if (raft_is_alone(raft)) {
		return true;
	}
	if (!is_member(r)) {
		return false; /* it leads until that is committed */
	}
	/* Another change may be under way: then with the next turn. */
	if (node_change(&r->node, clock_mono(), &change, &index) == 0) {
		log_notice("change", "op=%d reason=\"this server leaves\" index=%llu", RAFT_REMOVE,
			(unsigned long long)index);
	}
	return false;
}

void raftd_leave_turn(struct raftd *r)
{
	struct raft_leave_reply reply;

	if (!r->leaving.call ||
		(!is_done(r) && mono_before(loop_now(r->daemon->loop), r->leaving.until))) {
		return;
	}
	reply.member = is_member(r);
	if (reply.member && !raft_is_alone(&r->node.raft) && r->leaving.told) {
		log_warning(
			"leave", "reason=\"the leader has not removed this server in time\"%s", "");
	}
	IPC_REPLY(take(r->leaving.call), raft_leave, &reply);
}

struct mono raftd_leave_deadline(const struct raftd *r)
{
	return r->leaving.call ? r->leaving.until : MONO_NEVER;
}

void raftd_handle_leave(struct raftd *r, struct ipc_call *call, const struct raft_leave *m)
{
	raftd_leave_fini(r); /* one at a time: it was asked again */
	r->leaving.call = call;
	r->leaving.told = m->told;
	r->leaving.until = mono_add_ms(loop_now(r->daemon->loop), m->wait_ms);
	if (!r->leaving.on) {
		r->leaving.on = true;
		peers_announce(&r->peers);
	}
}

void raftd_leave_fini(struct raftd *r)
{
	if (r->leaving.call) {
		ipc_refuse(take(r->leaving.call), ST_AGAIN);
	}
}
