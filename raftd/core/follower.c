/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following: thesis 3.5 (log replication, the receiver's side), 5 (snapshots from a leader), and
 * reads that are asked for here but answered by the leader (6.4).
 */
#include "raftd/core/internal.h"

static void heard_leader(struct raft *r, const struct uuid *leader, struct raft_update *u)
{
	if (r->role != RAFT_FOLLOWER) {
		raft_become(r, u, RAFT_FOLLOWER, "a leader of this term");
	}
	raft_leader_set(r, u, leader);
	r->heard = r->now;
	r->faithful_until = mono_add_ms(r->now, r->options.election_ms);
	raft_election_rearm(r);
}

static void reply(struct raft *r, const struct uuid *to, uint64_t stamp)
{
	struct raft_message *m = raft_message_new(r, RAFT_APPEND_REPLY, to);

	m->granted = true;
	m->stamp = stamp;
	m->index = min_of(r->match, r->durable_index);
	r->reply_due = false;
}

/*
 * The faster way back of thesis 3.5: where the logs may agree is the newest entry here, up to the
 * one in question, whose term is not newer than that one's.
 */
static void refuse(struct raft *r, const struct raft_message *m)
{
	struct raft_message *reply = raft_message_new(r, RAFT_APPEND_REPLY, &m->from);

	reply->stamp = m->stamp;
	reply->tag = m->index;
	reply->index = trail_find(&r->trail, min_of(m->index, r->trail.last), m->log_term);
	reply->index = max_of(reply->index, r->commit_index);
	reply->log_term = trail_term(&r->trail, reply->index);
}

/* Terms that only grow, up to the leader's own. */
static bool is_sound(const struct raft_message *m)
{
	uint64_t term = m->log_term;

	for (uint32_t i = 0; i < m->entries.count; i++) {
		if (m->entries.items[i].term < term) {
			return false;
		}
		term = m->entries.items[i].term;
	}
	return term <= m->term && m->index <= UINT64_MAX / 2;
}

/* The position of the first entry that is not in the log; the count of them: all are. */
static uint32_t first_news(const struct raft *r, const struct raft_message *m)
{
	uint32_t i = 0;

	while (i < m->entries.count) {
		uint64_t index = m->index + 1 + i;

		if (index > r->trail.last ||
			(index > r->commit_index &&
				trail_term(&r->trail, index) != m->entries.items[i].term)) {
			break;
		}
		i++;
	}
	return i;
}

static void cut(struct raft *r, struct raft_update *u, uint64_t after)
{
	must(after >= r->commit_index);
	u->cut = true;
	u->cut_after = after;
	trail_cut(&r->trail, after);
	u->cut_term = raft_last_term(r);
	r->durable_index = min_of(r->durable_index, after);
	r->match = min_of(r->match, after);
	raft_configuration_cut(r, u, after);
}

static void take_entry(struct raft *r, struct raft_update *u, const struct raft_log_entry *e)
{
	struct configuration c;

	trail_append(&r->trail, e->term);
	if (e->type == RAFT_CONFIGURATION && configuration_decode(e->body, &c) == 0) {
		raft_configuration_take(r, u, r->trail.last, &c);
	}
}

/*
 * Thesis, figure 3.1: "If an existing entry conflicts with a new one (same index but different
 * terms), delete the existing entry and all that follow it. Append any new entries not already in
 * the log".
 */
static bool take_entries(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	uint32_t from = first_news(r, m);

	if (from == m->entries.count) {
		return true;
	}
	if (m->entries.items[from].term < trail_term(&r->trail, m->index + from)) {
		return false; /* terms never go down: not from a server of ours */
	}
	if (m->index + from < r->trail.last) {
		cut(r, u, m->index + from);
	}
	u->accept = true;
	u->accept_from = from;
	for (uint32_t i = from; i < m->entries.count; i++) {
		take_entry(r, u, &m->entries.items[i]);
	}
	return true;
}

/* Is the log the leader's up to the entry in question? What is committed always is. */
static bool agrees(const struct raft *r, const struct raft_message *m)
{
	return m->index <= r->commit_index ||
	       (m->index <= r->trail.last && trail_term(&r->trail, m->index) == m->log_term);
}

/* Figure 3.1: "set commitIndex = min(leaderCommit, index of last new entry)"; and only what this
 * server has durably itself, so that its state is never ahead of its log. */
static void commit(struct raft *r, struct raft_update *u)
{
	raft_commit_to(r, u, min_of(r->leader_commit, min_of(r->match, r->durable_index)));
}

void raft_on_append(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	if (r->role == RAFT_LEADER || !is_sound(m)) {
		return; /* two leaders of one term cannot be; not from a server of ours */
	}
	heard_leader(r, &m->from, u);
	if (!agrees(r, m)) {
		refuse(r, m);
		return;
	}
	if (!take_entries(r, m, u)) {
		return;
	}
	r->match = max_of(r->match, min_of(m->index + m->entries.count, r->trail.last));
	r->leader_commit = max_of(r->leader_commit, m->commit);
	commit(r, u);
	if (r->match <= r->durable_index) {
		reply(r, &m->from, m->stamp);
	} else {
		r->reply_due = true;
		r->reply_stamp = m->stamp;
	}
}

void raft_follower_durable(struct raft *r, struct raft_update *u)
{
	commit(r, u);
	if (r->reply_due && !uuid_is_zero(&r->leader)) {
		reply(r, &r->leader, r->reply_stamp);
	}
}

/* -------- reads -------- */

void raft_follower_read(
	struct raft *r, enum raft_read_kind kind, uint64_t tag, struct raft_update *u)
{
	struct raft_message *m;

	if (uuid_is_zero(&r->leader)) {
		u->status = ST_NOT_LEADER;
		return;
	}
	must(tag > r->reads_forwarded[kind]);
	r->reads_forwarded[kind] = tag;
	m = raft_message_new(r, RAFT_READ, &r->leader);
	m->kind = (uint8_t)kind;
	m->tag = tag;
}

void raft_on_read_reply(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	if (m->kind >= RAFT_READ_KINDS || !uuid_eq(&m->from, &r->leader) ||
		m->tag > r->reads_forwarded[m->kind]) {
		return;
	}
	if (m->tag == r->reads_forwarded[m->kind]) {
		r->reads_forwarded[m->kind] = 0;
	}
	raft_reads_end(u, m->kind, m->tag, m->status ? ST_NOT_LEADER : 0, m->index);
}

void raft_forwarded_end(struct raft *r, struct raft_update *u)
{
	for (int kind = 0; kind < RAFT_READ_KINDS; kind++) {
		raft_reads_end(u, kind, r->reads_forwarded[kind], ST_NOT_LEADER, 0);
		r->reads_forwarded[kind] = 0;
	}
}

/*
 * The leader may be gone. Nobody may vote yet, since its lease may count; but when that is over
 * there is no reason to wait longer, but for not to ask all at the same moment.
 */
void raft_follower_unreachable(struct raft *r, const struct uuid *peer, struct raft_update *u)
{
	int64_t spread = r->options.election_ms / 4;
	struct mono soon;

	if (!uuid_eq(peer, &r->leader)) {
		return;
	}
	raft_forwarded_end(r, u);
	if (r->role == RAFT_FOLLOWER) {
		soon = mono_add_ms(
			r->faithful_until, r->options.heartbeat_ms / 4 +
						   (int64_t)rng_below(&r->rng, (uint64_t)spread));
		r->deadline = mono_min(r->deadline, soon);
	}
}

/* -------- snapshots -------- */

/* Thesis 5.3: "If the follower [has] an entry [with the snapshot's last index and term], the
 * entries following it are retained"; else the whole log is superseded. */
static void reset(struct raft *r, const struct raft_snapshot *s, struct raft_update *u)
{
	trail_reset(&r->trail, s->index, s->term);
	u->reset = true;
	u->reset_index = s->index;
	u->reset_term = s->term;
	r->durable_index = r->match = s->index;
	r->persistent.log_reset = true;
	r->configuration = r->persistent.configuration;
	r->configuration_index = r->persistent.configuration_index;
	r->older_count = 0;
	u->configuration_changed = true;
	raft_peers_update(r);
}

void raft_snapshot_installed(struct raft *r, const struct raft_snapshot *s, struct raft_update *u)
{
	struct raft_persistent *p = &r->persistent;
	struct configuration c;
	bool equal = trail_knows(&r->trail, s->index) &&
		     trail_term(&r->trail, s->index) == s->term && s->index <= r->durable_index;

	if (s->index <= r->commit_index || s->term > p->term || r->role == RAFT_LEADER ||
		s->configuration_index > s->index || s->index > UINT64_MAX / 2 ||
		configuration_decode(s->configuration, &c)) {
		u->status = s->index <= r->commit_index ? 0 : ST_INVALID;
		return;
	}
	p->snapshot_index = s->index;
	p->snapshot_term = s->term;
	p->configuration = c;
	p->configuration_index = s->configuration_index;
	raft_persist(r, u);
	if (!equal) {
		reset(r, s, u);
	}
	raft_configuration_forget(r, s->index);
	r->match = max_of(r->match, s->index);
	raft_commit_to(r, u, s->index);
}
