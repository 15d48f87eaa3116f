/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who shall lead: thesis 3.4 (elections), 3.6.1 (whose log is good enough), 9.6 (pre-vote), 3.10
 * (an election that the leader asks for).
 */
#include "common/base/hash.h"
#include "raftd/core/internal.h"

void raft_election_rearm(struct raft *r)
{
	int64_t timeout = r->options.election_ms;

	r->spared = false;
	r->deadline = mono_add_ms(r->now, timeout + (int64_t)rng_below(&r->rng, (uint64_t)timeout));
}

bool raft_is_new(const struct raft *r)
{
	return r->trail.last == 0 && r->configuration_index == 0;
}

/* Two servers of a new cluster go together only when they were told of the same servers. */
static uint64_t first_digest(const struct raft *r)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };

	if (!raft_is_new(r)) {
		return 0;
	}
	configuration_encode(&body, &r->configuration);
	return hash64(buf_str(&body), 0) | 1;
}

static void ask(struct raft *r, enum raft_message_type type, uint64_t term)
{
	for (size_t i = 0; i < r->peers_count; i++) {
		struct raft_peer *p = &r->peers[i];
		struct raft_message *m;

		p->voted = false;
		if (!raft_is_voter(r, &p->id)) {
			continue;
		}
		m = raft_message_new(r, type, &p->id);
		m->term = term;
		m->index = r->trail.last;
		m->log_term = raft_last_term(r);
		m->tag = first_digest(r);
		m->force = r->forced;
	}
}

/*
 * Thesis 4.2.2: "a server that is not part of its own latest configuration should still start new
 * elections, as it might still be needed until the Cnew entry is committed". Its own vote does not
 * count then. Any configuration from the one that is known to be committed on may be in force.
 */
static bool may_campaign(const struct raft *r)
{
	bool votes = raft_self_votes(r);
	uint64_t index = r->configuration_index;

	for (size_t i = r->older_count; i > 0 && !votes && index > r->commit_index; i--) {
		const struct raft_older *o = &r->older[i - 1];
		const struct configuration_server *self = configuration_find(
			(struct configuration *)&o->configuration, &r->id);

		votes = self && self->voter;
		index = o->index;
	}
	return votes;
}

void raft_election_begin(struct raft *r, struct raft_update *u)
{
	struct uuid no_one = raft_no_one();

	if (raft_is_alone(r)) {
		raft_campaign(r, u, false);
		return;
	}
	raft_election_rearm(r);
	if (!may_campaign(r) || mono_before(r->now, r->unfit_until)) {
		return;
	}
	raft_leader_set(r, u, &no_one);
	raft_become(r, u, RAFT_PRE_CANDIDATE, "no leader heard");
	r->forced = false;
	ask(r, RAFT_PRE_VOTE, r->persistent.term + 1);
}

/*
 * Thesis 3.4: "To begin an election, a follower increments its current term and transitions to
 * candidate state. It then votes for itself". The vote counts when it is durable, which PERSISTED
 * says.
 */
void raft_campaign(struct raft *r, struct raft_update *u, bool forced)
{
	struct uuid no_one = raft_no_one();

	raft_follow(r, u, r->persistent.term + 1, "campaign");
	raft_leader_set(r, u, &no_one);
	r->persistent.vote = r->id;
	raft_persist(r, u);
	raft_become(r, u, RAFT_CANDIDATE, "campaign");
	r->forced = forced;
	raft_election_rearm(r);
	if (raft_is_alone(r)) {
		r->deadline = MONO_NEVER;
	}
	ask(r, RAFT_VOTE, r->persistent.term);
}

static bool has_majority(const struct raft *r)
{
	size_t voters = configuration_voters(&r->configuration);
	size_t votes = raft_self_votes(r) ? 1 : 0;

	for (size_t i = 0; i < r->peers_count; i++) {
		votes += r->peers[i].voted && raft_is_voter(r, &r->peers[i].id);
	}
	/* A new cluster needs everyone: who was told of other servers must not form another one. */
	return votes >= (raft_is_new(r) ? voters : voters / 2 + 1);
}

void raft_votes_count(struct raft *r, struct raft_update *u)
{
	if (r->role == RAFT_CANDIDATE && !r->persisting && has_majority(r)) {
		raft_lead(r, u);
	}
}

/*
 * Thesis 3.6.1: "If the logs have last entries with different terms, then the log with the later
 * term is more up-to-date. If the logs end with the same term, then whichever log is longer is more
 * up-to-date."
 */
static bool is_good_enough(const struct raft *r, const struct raft_message *m)
{
	uint64_t term = raft_last_term(r);

	if (m->tag && (!raft_is_new(r) || m->tag != first_digest(r))) {
		return false; /* a new cluster, but not ours */
	}
	return m->log_term > term || (m->log_term == term && m->index >= r->trail.last);
}

void raft_on_pre_vote(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	bool granted = m->term > r->persistent.term && is_good_enough(r, m);
	struct raft_message *reply = raft_message_new(r, RAFT_PRE_VOTE_REPLY, &m->from);

	reply->granted = granted;
	reply->term = granted ? m->term : r->persistent.term;
}

void raft_on_pre_vote_reply(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	struct raft_peer *p = raft_peer_of(r, &m->from);

	if (r->role != RAFT_PRE_CANDIDATE || !m->granted || !p ||
		m->term != r->persistent.term + 1) {
		return;
	}
	p->voted = true;
	if (has_majority(r)) {
		raft_campaign(r, u, false);
	}
}

/* Thesis 3.4: "Each server will vote for at most one candidate in a given term". */
void raft_on_vote(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	struct raft_persistent *p = &r->persistent;
	bool is_free = uuid_is_zero(&p->vote) || uuid_eq(&p->vote, &m->from);
	struct raft_message *reply = raft_message_new(r, RAFT_VOTE_REPLY, &m->from);

	reply->granted = is_free && is_good_enough(r, m);
	if (reply->granted && uuid_is_zero(&p->vote)) {
		p->vote = m->from;
		raft_persist(r, u);
	}
	if (reply->granted) {
		raft_election_rearm(r);
	}
}

void raft_on_vote_reply(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	struct raft_peer *p = raft_peer_of(r, &m->from);

	if (r->role == RAFT_CANDIDATE && m->granted && p) {
		p->voted = true;
		raft_votes_count(r, u);
	}
}

/* Thesis 3.10: "the target's election timeout elapsed" is what this says. */
void raft_on_timeout_now(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	if (r->role == RAFT_FOLLOWER && raft_self_votes(r) && uuid_eq(&m->from, &r->leader)) {
		raft_campaign(r, u, true);
	}
}
