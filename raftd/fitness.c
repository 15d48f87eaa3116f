/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this server is fit to lead. A quorum goes on with a leader whose disk is slow or whose
 * catalogd is away, but badly: everyone waits for the disk, and nobody does what only the leader's
 * catalogd does (sessions that end, members that come and go). Where others can lead, one of them
 * should.
 */
#include "common/sys/clock.h"
#include "raftd/raftd.h"

static bool others_could(const struct raftd *r)
{
	return r->node.raft.role == RAFT_LEADER && !raft_is_alone(&r->node.raft) && !r->stopping;
}

static void give_way(struct raftd *r)
{
	struct uuid whoever = { { 0 } };

	(void)node_transfer(&r->node, clock_mono(), &whoever); /* nobody there: it goes on */
}

void raftd_sync_judge(struct raftd *r, int64_t took_ns)
{
	bool slow = took_ns > r->node.options.raft.election_ms * NS_PER_MS / 2;

	r->slow_syncs = slow ? r->slow_syncs + 1 : 0;
	if (r->slow_syncs < SLOW_SYNCS_MAX || !others_could(r)) {
		return;
	}
	r->slow_syncs = 0;
	log_warning("disk-slow", "sync_ms=%lld reason=\"somebody else should lead\"",
		(long long)(took_ns / NS_PER_MS));
	give_way(r);
}

/* There is something to apply, and nobody has asked for it. */
void raftd_state_judge(struct raftd *r)
{
	bool behind = r->applied_index < r->node.raft.commit_index && r->feeds_count == 0;
	int64_t away_ms = lasting_look(&r->state_away, clock_mono(), behind && others_could(r));

	if (away_ms < STATE_AWAY_MAX_MS) {
		return;
	}
	r->state_away.ms = 0;
	log_warning("state-away",
		"applied_index=%llu commit_index=%llu reason=\"catalogd is away, somebody else "
		"should lead\"",
		(unsigned long long)r->applied_index,
		(unsigned long long)r->node.raft.commit_index);
	give_way(r);
}
