/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of one server, step by step: one leader per term, terms and votes that are kept,
 * nothing promised that is not durable, a commit index that grows; and of what clients see.
 */
#include "tests/sim/quorum/world.h"

#include <stdio.h>

/* Election safety: at most one leader in a term. */
static void check_election(struct server *s)
{
	struct truth *t = &s->world->truth;
	uint64_t term = s->node.raft.persistent.term;

	if (term >= t->leaders_room) {
		size_t room = max_of(t->leaders_room * 2, (size_t)term + 64);

		t->leaders = xrealloc(t->leaders, room * sizeof(*t->leaders));
		memset(t->leaders + t->leaders_room, 0,
			(room - t->leaders_room) * sizeof(*t->leaders));
		t->leaders_room = room;
	}
	if (t->leaders[term] == s->number + 1) {
		return;
	}
	if (t->leaders[term]) {
		failed(s->world, s, "election safety: s%u leads in term %llu too", t->leaders[term],
			(unsigned long long)term);
	}
	t->leaders[term] = s->number + 1;
	s->world->counters.elections++;
	check_complete(s);
}

static void check_persistent(struct server *s)
{
	const struct raft_persistent *p = &s->node.raft.persistent;

	if (p->term < s->term_durable ||
		(p->term == s->term_durable && !uuid_is_zero(&s->vote_durable) &&
			!uuid_eq(&p->vote, &s->vote_durable))) {
		failed(s->world, s, "its term or vote went back: term %llu after %llu",
			(unsigned long long)p->term, (unsigned long long)s->term_durable);
	}
	if (!s->node.raft.persisting) {
		s->term_durable = p->term;
		s->vote_durable = p->vote;
	}
}

/* What was called durable once is there after a power cut too. */
static void check_durable(struct server *s)
{
	const struct raft *r = &s->node.raft;

	if (!r->persisting) {
		s->log_durable = r->durable_index;
		s->log_durable_term = trail_knows(&r->trail, r->durable_index)
					      ? trail_term(&r->trail, r->durable_index)
					      : 0;
	}
}

/* Servers that vote in one of them only. */
static size_t differences(const struct configuration *a, const struct configuration *b)
{
	size_t count = 0;

	for (size_t i = 0; i < a->count; i++) {
		const struct configuration_server *other =
			configuration_find((struct configuration *)b, &a->servers[i].id);

		count += a->servers[i].voter && !(other && other->voter);
	}
	for (size_t i = 0; i < b->count; i++) {
		const struct configuration_server *other =
			configuration_find((struct configuration *)a, &b->servers[i].id);

		count += b->servers[i].voter && !(other && other->voter);
	}
	return count;
}

/* Thesis 4.1: one change at a time, so that old and new majorities overlap. */
static void check_change(struct server *s, uint64_t index)
{
	const struct raft *r = &s->node.raft;
	const struct raft_older *before = r->older_count ? &r->older[r->older_count - 1] : NULL;
	size_t different;

	s->world->counters.changes++;
	different = before ? differences(&before->configuration, &r->configuration) : 0;
	if (!before || before->index == 0 || different == 0) {
		return; /* the first one, or one repeated */
	}
	if (different > 1 || before->index > r->commit_index ||
		r->commit_index < r->term_start_index) {
		failed(s->world, s, "two changes of the configuration at once (entry %llu)",
			(unsigned long long)index);
	}
}

void check_update(struct server *s, const struct raft_update *u)
{
	const struct raft *r = &s->node.raft;

	raft_check(r);
	check_persistent(s);
	check_durable(s);
	if (u->cut && u->cut_after < r->commit_index) {
		failed(s->world, s, "committed entries are cut");
	}
	if (u->cut) {
		s->seen_last = min_of(s->seen_last, u->cut_after);
	}
	if (u->reset) {
		s->seen_last = min_of(s->seen_last, u->reset_index);
	}
	if (r->role == RAFT_LEADER) {
		check_election(s);
	}
	for (size_t i = 0; i < u->append_count; i++) {
		if (u->append[i].type == RAFT_CONFIGURATION) {
			check_change(s, u->append[i].index);
		}
	}
	/* Figure 3.1: a leader commits by counting only what is of its term. */
	if (u->committed && r->role == RAFT_LEADER &&
		trail_term(&r->trail, r->commit_index) != r->persistent.term) {
		failed(s->world, s, "it commits an entry of an old term");
	}
	if (r->commit_index < s->commit_seen) {
		failed(s->world, s, "its commit index went back from %llu",
			(unsigned long long)s->commit_seen);
	}
	s->commit_seen = r->commit_index;
}

/* What is said must be true after a power cut too; check_started looks. */
void check_send(struct server *s, const struct raft_message *m)
{
	struct server *to = world_server(s->world, &m->to);

	if (m->type == RAFT_VOTE_REPLY && m->granted) {
		if (m->term < s->voted_term ||
			(m->term == s->voted_term && s->voted_for != to->number)) {
			failed(s->world, s, "it votes twice in term %llu",
				(unsigned long long)m->term);
		}
		s->voted_term = m->term;
		s->voted_for = to->number;
	}
	if (m->type == RAFT_APPEND_REPLY && m->granted) {
		if (m->index > s->node.log->synced_index) {
			failed(s->world, s, "it acknowledges entry %llu before that is durable",
				(unsigned long long)m->index);
		}
		s->promised = max_of(s->promised, m->term);
	}
}

/* What is durable is in the log; or, where a leader's snapshot took the place of a log that was
 * never emptied, in that. */
static bool durable_is_there(const struct server *s)
{
	const struct raft_persistent *p = &s->node.raft.persistent;
	const struct log *log = s->node.log;

	if (max_of(log->last_index, p->snapshot_index) < s->log_durable) {
		return false;
	}
	if ((p->log_reset && s->log_durable <= p->snapshot_index) || !s->log_durable_term ||
		!trail_knows(&log->trail, s->log_durable)) {
		return true;
	}
	return trail_term(&log->trail, s->log_durable) == s->log_durable_term;
}

/* After recovery, before anything happens. */
void check_started(struct server *s)
{
	const struct raft_persistent *p = &s->node.raft.persistent;
	const struct log *log = s->node.log;

	check_persistent(s);
	if (p->term < s->promised || p->term < s->voted_term ||
		(s->voted_term && p->term == s->voted_term &&
			!uuid_eq(&p->vote, &s->world->servers[s->voted_for].id))) {
		failed(s->world, s, "it forgot its vote or term: %llu",
			(unsigned long long)p->term);
	}
	if (p->snapshot_index > s->saved[0].applied || log->first_index > s->saved[0].applied + 1) {
		failed(s->world, s, "the snapshot that the log begins behind is not there");
	}
	if (!durable_is_there(s)) {
		failed(s->world, s, "entry %llu of term %llu was durable and is not there",
			(unsigned long long)s->log_durable,
			(unsigned long long)s->log_durable_term);
	}
	s->seen_last = s->commit_checked = s->commit_seen = 0;
	s->stale_seen = 0;
}

/* -------- what clients and state machines see -------- */

/* Equal states at equal indexes, and every command once. */
void check_applied(struct server *s, const struct command *c, bool fresh)
{
	struct known *k = truth_of(s->world, s->machine.applied);

	if (k->digest == 0) {
		k->digest = s->machine.digest;
	} else if (k->digest != s->machine.digest) {
		failed(s->world, s, "another state than elsewhere at entry %llu",
			(unsigned long long)s->machine.applied);
	}
	if (c && fresh) {
		uint64_t *done = truth_command(s->world, c->client, c->id);

		if (*done && *done != s->machine.applied) {
			failed(s->world, s, "a command is applied twice: entries %llu and %llu",
				(unsigned long long)*done, (unsigned long long)s->machine.applied);
		}
		*done = s->machine.applied;
	}
}

void check_read(struct world *w, const struct server *s, enum operation_kind kind, uint64_t index,
	uint64_t floor)
{
	static const char *const names[] = { "write", "stale", "default", "consistent" };

	if (index < floor) {
		failed(w, s, "a %s read shows entry %llu, after %llu was shown", names[kind],
			(unsigned long long)index, (unsigned long long)floor);
	}
}

/* -------- progress -------- */

static bool caught_up(struct world *w, const struct configuration *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct server *s = world_server(w, &c->servers[i].id);

		if (!s->live || s->machine.applied < w->target) {
			return false;
		}
	}
	return true;
}

/* Enough new writes were acknowledged, and then every member of the cluster has applied them (to
 * the same digest: check_applied). */
bool check_converged(struct world *w)
{
	struct server *leader = world_leader(w);
	uint64_t acknowledged = 0;

	for (unsigned i = 0; i < CLIENTS; i++) {
		acknowledged += w->clients[i].acknowledged;
	}
	if (!leader || !raft_leads(&leader->node.raft)) {
		return w->torn && w->truth.last == 0 && w->now - w->calm_at > 5 * NS_PER_S;
	}
	if (w->target == 0 && acknowledged >= w->marker + CLIENTS) {
		w->target = leader->node.raft.commit_index;
	}
	return w->target && caught_up(w, &leader->node.raft.configuration);
}
