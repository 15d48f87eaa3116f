/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leading: thesis 3.5 and 3.6 (replication and commitment), 6.4 (reads, the lease), 3.10 (transfer
 * of leadership), 10.2 (pipelining, the own disk beside the others').
 *
 *               answer says where it agrees
 *     PROBE <------------------------------ PIPELINE
 *       |  ------------------------------>     ^
 *       |  refused, connection broke           |
 *       | the log begins too late              | what is durable there reaches the log here
 *       +------------------> SNAPSHOT ---------+
 */
#include "raftd/core/internal.h"

enum { PROBE_ENTRIES = 64 };

/* -------- beginning and end -------- */

static void peer_reset(struct raft *r, struct raft_peer *p)
{
	*p = (struct raft_peer) { .id = p->id,
		.life = p->life,
		.next = r->trail.last + 1,
		.heard = r->now,
		.beat = true };
}

/* Nobody can have chosen another id: a new cluster begins with a leader that all have elected. */
static void first_append(struct raft *r, struct raft_update *u)
{
	struct configuration first = r->configuration;
	struct configuration_server *self = configuration_find(&first, &r->id);

	if (uuid_is_zero(&first.cluster)) {
		first.cluster = r->options.cluster;
	}
	if (self && uuid_is_zero(&self->life)) { /* an operator has named it without */
		self->life = r->persistent.life;
	}
	raft_configuration_append(r, u, &first);
}

/*
 * Thesis 6.4: "to find out [which entries are committed], it needs to commit an entry from its
 * term. Raft handles this by having each leader commit a blank no-op entry into the log at the
 * start of its term."
 */
void raft_lead(struct raft *r, struct raft_update *u)
{
	raft_become(r, u, RAFT_LEADER, "elected");
	raft_leader_set(r, u, &r->id);
	r->transfer_sent = r->transfer_told = false;
	r->transfer_to = raft_no_one();
	r->patient_until = r->now;
	r->deadline = r->peers_count ? r->now : MONO_NEVER;
	for (size_t i = 0; i < r->peers_count; i++) {
		peer_reset(r, &r->peers[i]);
	}
	raft_append_own(r, u, RAFT_NOOP, STR_NONE);
	r->term_start_index = r->trail.last;
	/* Not in the log yet. With others in the configuration, an address waits for the commit. */
	if (r->configuration_index == 0 || r->configuration_due) {
		first_append(r, u);
	}
}

static void read_refuse(struct raft *r, const struct raft_read *read, struct raft_update *u)
{
	struct raft_message *m;

	if (uuid_is_zero(&read->from)) {
		raft_reads_end(u, read->kind, read->tag, ST_NOT_LEADER, 0);
		return;
	}
	m = raft_message_new(r, RAFT_READ_REPLY, &read->from);
	m->kind = (uint8_t)read->kind;
	m->tag = read->tag;
	m->status = ST_NOT_LEADER;
}

void raft_lead_end(struct raft *r, struct raft_update *u)
{
	for (size_t i = 0; i < r->reads_count; i++) {
		read_refuse(r, &r->reads[i], u);
	}
	r->reads_count = 0;
	r->transfer_to = raft_no_one();
	r->match = r->leader_commit = r->commit_index;
}

/* -------- what a majority has -------- */

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The highest value that a majority of the voters has reached; own: this server's. */
static uint64_t majority(
	const struct raft *r, uint64_t own, uint64_t (*value)(const struct raft_peer *p))
{
	uint64_t values[RAFT_SERVERS_MAX];
	size_t count = 0;

	if (raft_self_votes(r)) {
		values[count++] = own;
	}
	for (size_t i = 0; i < r->peers_count; i++) {
		if (raft_is_voter(r, &r->peers[i].id)) {
			values[count++] = value(&r->peers[i]);
		}
	}
	qsort(values, count, sizeof(*values), descending);
	return count ? values[count / 2] : 0;
}

static uint64_t value_match(const struct raft_peer *p)
{
	return p->match;
}

static uint64_t value_stamp(const struct raft_peer *p)
{
	return p->stamp;
}

static uint64_t value_heard(const struct raft_peer *p)
{
	return (uint64_t)p->heard.ns;
}

bool raft_leads(const struct raft *r)
{
	return r->role == RAFT_LEADER && r->commit_index >= r->term_start_index;
}

/*
 * Thesis 6.4.1: the lease runs from when the question was sent that a majority has answered; they
 * vote for nobody else for an election timeout, by their clocks.
 */
struct mono raft_lease(const struct raft *r)
{
	int64_t ms = r->options.election_ms * (100 - r->options.drift_percent) / 100;
	uint64_t stamp;

	if (!raft_leads(r) || r->transfer_sent) {
		return (struct mono) { 0 };
	}
	if (raft_is_alone(r)) {
		return MONO_NEVER;
	}
	stamp = majority(r, UINT64_MAX, value_stamp);
	return stamp && stamp != UINT64_MAX ? mono_add_ms((struct mono) { (int64_t)stamp }, ms)
					    : (struct mono) { 0 };
}

/* -------- reads -------- */

static void read_answer(struct raft *r, const struct raft_read *read, struct raft_update *u)
{
	struct raft_message *m;

	if (uuid_is_zero(&read->from)) {
		raft_reads_end(u, read->kind, read->tag, 0, r->commit_index);
		return;
	}
	m = raft_message_new(r, RAFT_READ_REPLY, &read->from);
	m->kind = (uint8_t)read->kind;
	m->tag = read->tag;
	m->index = r->commit_index;
}

static bool is_confirmed(const struct raft *r, const struct raft_read *read, uint64_t stamp)
{
	bool leased = read->kind == RAFT_READ_LEASE && mono_before(r->now, raft_lease(r));

	return raft_leads(r) && (leased || raft_is_alone(r) || stamp > read->stamp);
}

/*
 * Thesis 6.4: step 1, has an entry of this term been committed; step 3, "it issues a new round of
 * heartbeats and waits for their acknowledgments from a majority of the cluster": only questions
 * that were sent after the read came count.
 */
static void reads_advance(struct raft *r, struct raft_update *u)
{
	uint64_t stamp = majority(r, UINT64_MAX, value_stamp);
	size_t kept = 0;

	for (size_t i = 0; i < r->reads_count; i++) {
		if (is_confirmed(r, &r->reads[i], stamp)) {
			read_answer(r, &r->reads[i], u);
		} else {
			r->reads[kept++] = r->reads[i];
		}
	}
	r->reads_count = kept;
}

/* Strictly increasing, and the time as long as there are not more than one in a ns. */
static uint64_t stamp_next(struct raft *r)
{
	r->stamp = max_of(r->stamp + 1, (uint64_t)r->now.ns);
	return r->stamp;
}

/*
 * Where the new read goes: a waiting one that no question was sent for yet takes it in, and so does
 * any other (both then wait for the newer round) when there is no more room. NULL: nowhere.
 */
static struct raft_read *read_room(struct raft *r, const struct raft_read *fresh)
{
	struct raft_read *like = NULL;

	for (size_t i = 0; i < r->reads_count; i++) {
		struct raft_read *read = &r->reads[i];

		if (read->kind == fresh->kind && uuid_eq(&read->from, &fresh->from)) {
			like = read;
		}
	}
	if (like && (like->stamp > r->stamp_sent || r->reads_count == RAFT_READS_MAX)) {
		return like;
	}
	return r->reads_count < RAFT_READS_MAX ? &r->reads[r->reads_count++] : NULL;
}

void raft_leader_read(struct raft *r, const struct uuid *from, enum raft_read_kind kind,
	uint64_t tag, struct raft_update *u)
{
	struct raft_read fresh = { .from = *from, .kind = kind, .tag = tag };
	struct raft_read *room;

	fresh.stamp = stamp_next(r);
	if (is_confirmed(r, &fresh, 0)) {
		read_answer(r, &fresh, u);
		return;
	}
	room = read_room(r, &fresh);
	if (!room) {
		read_refuse(r, &fresh, u);
		return;
	}
	*room = fresh;
	for (size_t i = 0; i < r->peers_count; i++) {
		r->peers[i].beat = true;
	}
}

void raft_on_read(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	struct raft_message *reply;

	if (m->kind >= RAFT_READ_KINDS) {
		return;
	}
	if (r->role == RAFT_LEADER) {
		raft_leader_read(r, &m->from, m->kind, m->tag, u);
		return;
	}
	reply = raft_message_new(r, RAFT_READ_REPLY, &m->from);
	reply->kind = m->kind;
	reply->tag = m->tag;
	reply->status = ST_NOT_LEADER;
}

/* -------- commitment -------- */

static bool is_candidate_for_transfer(const struct raft *r, const struct raft_peer *p)
{
	return raft_is_voter(r, &p->id) && p->state == RAFT_PIPELINE &&
	       mono_diff_ms(r->now, p->heard) < r->options.election_ms;
}

static struct raft_peer *best_peer(struct raft *r)
{
	struct raft_peer *best = NULL;

	for (size_t i = 0; i < r->peers_count; i++) {
		struct raft_peer *p = &r->peers[i];

		if (is_candidate_for_transfer(r, p) && (!best || p->match > best->match)) {
			best = p;
		}
	}
	return best;
}

/*
 * Thesis 4.2.2: "a leader that is removed from the configuration steps down once the Cnew entry is
 * committed". Whoever is best need not wait for a time-out then.
 */
static void step_down_if_removed(struct raft *r, struct raft_update *u)
{
	struct raft_peer *best;

	if (raft_self_votes(r) || r->configuration_index > r->commit_index) {
		return;
	}
	best = best_peer(r);
	if (best && best->match == r->trail.last) {
		raft_message_new(r, RAFT_TIMEOUT_NOW, &best->id);
	}
	raft_follow(r, u, r->persistent.term, "removed");
}

/* It was restarted under another address: that is worth an entry, now that one is allowed. */
static void address_show(struct raft *r, struct raft_update *u)
{
	struct configuration next = r->configuration;
	struct configuration_server *self = configuration_find(&next, &r->id);

	if (!self || strcmp(self->address, r->address) == 0 || !raft_leads(r) ||
		r->configuration_index > r->commit_index || u->append_count) {
		return;
	}
	memcpy(self->address, r->address, sizeof(self->address));
	raft_configuration_append(r, u, &next);
}

/*
 * Thesis 3.6.2: "Raft never commits log entries from previous terms by counting replicas. Only log
 * entries from the leader's current term are committed by counting replicas". And none that this
 * server does not have durably itself: its state is never ahead of its log.
 */
void raft_leader_commit(struct raft *r, struct raft_update *u)
{
	uint64_t match = min_of(majority(r, r->durable_index, value_match), r->durable_index);

	if (match < r->term_start_index || match <= r->commit_index) {
		return;
	}
	raft_commit_to(r, u, match);
	reads_advance(r, u);
	step_down_if_removed(r, u);
	if (r->role == RAFT_LEADER) {
		address_show(r, u);
	}
}

/* -------- transfer -------- */

static void transfer_go(struct raft *r, const struct raft_peer *p)
{
	if (uuid_eq(&p->id, &r->transfer_to) && p->match == r->trail.last && !r->transfer_told) {
		r->transfer_sent = r->transfer_told = true;
		raft_message_new(r, RAFT_TIMEOUT_NOW, &p->id);
	}
}

void raft_transfer(struct raft *r, const struct uuid *to, struct raft_update *u)
{
	struct raft_peer *p = uuid_is_zero(to) ? best_peer(r) : raft_peer_of(r, to);

	if (r->role != RAFT_LEADER) {
		u->status = ST_NOT_LEADER;
	} else if (!uuid_is_zero(&r->transfer_to)) {
		u->status = ST_AGAIN;
	} else if (!p || !raft_is_voter(r, &p->id)) {
		u->status = ST_NOT_FOUND;
	} else {
		r->transfer_to = p->id;
		r->transfer_told = false;
		r->transfer_until = mono_add_ms(r->now, r->options.election_ms);
		p->beat = true;
		transfer_go(r, p);
	}
}

/* -------- time -------- */

struct mono raft_heard_majority(const struct raft *r)
{
	return (struct mono) { (int64_t)majority(r, (uint64_t)r->now.ns, value_heard) };
}

/* Thesis 6.2: "a leader in Raft steps down if an election timeout elapses without a successful
 * round of heartbeats to a majority of its cluster". */
static bool has_lost_majority(const struct raft *r)
{
	uint64_t heard = (uint64_t)raft_heard_majority(r).ns;
	int64_t patience = mono_before(r->now, r->patient_until) ? 2 : 1;

	return r->now.ns - (int64_t)heard >= patience * r->options.election_ms * NS_PER_MS;
}

void raft_leader_tick(struct raft *r, bool late, struct raft_update *u)
{
	if (late) {
		r->patient_until = mono_add_ms(r->now, r->options.election_ms);
	}
	if (has_lost_majority(r)) {
		raft_follow(r, u, r->persistent.term, "no majority heard");
		return;
	}
	if (!uuid_is_zero(&r->transfer_to) && !mono_before(r->now, r->transfer_until)) {
		r->transfer_to = raft_no_one(); /* it did not catch up, or was not elected */
	}
	for (size_t i = 0; i < r->peers_count; i++) {
		r->peers[i].beat = true;
	}
	r->deadline = mono_add_ms(r->now, r->options.heartbeat_ms);
}

/* -------- sending -------- */

static struct raft_message *append_new(struct raft *r, const struct raft_peer *p, uint64_t index)
{
	struct raft_message *m = raft_message_new(r, RAFT_APPEND, &p->id);

	m->index = index;
	m->log_term = index ? trail_term(&r->trail, index) : 0;
	m->commit = r->commit_index;
	m->stamp = r->stamp_sent = stamp_next(r);
	return m;
}

static void send_append(struct raft *r, const struct raft_peer *p, uint64_t through)
{
	append_new(r, p, p->next - 1);
	r->sends[r->sends_count - 1].through = max_of(through, p->next - 1);
}

/* Nothing that it could use, but it must hear that there is a leader. Everyone agrees at 0. */
static void flush_snapshot(struct raft *r, struct raft_peer *p, struct raft_update *u)
{
	if (p->beat) {
		append_new(r, p, 0);
	}
}

/* One update begins one snapshot: who else needs one has its turn with the next. */
static void flush_probe(struct raft *r, struct raft_peer *p, struct raft_update *u)
{
	if (trail_knows(&r->trail, p->next - 1)) {
		if (!p->asked || p->beat) {
			send_append(r, p, min_of(r->trail.last, p->next - 1 + PROBE_ENTRIES));
		}
		return;
	}
	if (uuid_is_zero(&u->snapshot_to)) {
		p->state = RAFT_SNAPSHOT;
		u->snapshot_to = p->id;
	}
	flush_snapshot(r, p, u);
}

static void flush_pipeline(struct raft *r, struct raft_peer *p, struct raft_update *u)
{
	if (!trail_knows(&r->trail, p->next - 1)) {
		p->state = RAFT_PROBE;
	} else if (p->next <= r->trail.last || p->beat || p->commit_sent < r->commit_index) {
		send_append(r, p, r->trail.last);
	}
}

void raft_leader_flush(struct raft *r, struct raft_update *u)
{
	static void (*const flushes[])(struct raft *, struct raft_peer *, struct raft_update *) = {
		[RAFT_PROBE] = flush_probe,
		[RAFT_PIPELINE] = flush_pipeline,
		[RAFT_SNAPSHOT] = flush_snapshot,
	};

	for (size_t i = 0; i < r->peers_count; i++) {
		flushes[r->peers[i].state](r, &r->peers[i], u);
	}
}

void raft_leader_sent(struct raft *r, const struct uuid *peer, uint64_t index)
{
	struct raft_peer *p = raft_peer_of(r, peer);

	if (!p) {
		return;
	}
	p->beat = false;
	p->asked = true;
	p->commit_sent = r->commit_index;
	if (p->state == RAFT_PIPELINE) {
		p->next = max_of(p->next, index + 1);
	}
}

void raft_leader_unreachable(struct raft *r, const struct uuid *peer)
{
	struct raft_peer *p = raft_peer_of(r, peer);

	if (p && p->state == RAFT_PIPELINE) {
		p->state = RAFT_PROBE;
		p->next = p->match + 1;
	}
	if (p) {
		p->asked = false;
		p->beat = true;
	}
}

void raft_leader_snapshot_sent(struct raft *r, const struct uuid *peer, uint64_t index)
{
	struct raft_peer *p = raft_peer_of(r, peer);

	if (!p || p->state != RAFT_SNAPSHOT) {
		return;
	}
	/* What came of it shows in the next answer; if it is too little, another one is sent. */
	p->state = RAFT_PROBE;
	p->next = max_of(p->next, index + 1);
	p->next = min_of(p->next, r->trail.last + 1);
	p->asked = false;
}

/* -------- answers -------- */

/* Thesis 3.5: "the leader decrements nextIndex and retries"; here over a whole term at a time. */
static void step_back(struct raft *r, struct raft_peer *p, const struct raft_message *m)
{
	uint64_t index = min_of(m->index, r->trail.last);

	if (p->state == RAFT_SNAPSHOT || m->tag <= p->match ||
		(p->state == RAFT_PROBE && m->tag != p->next - 1)) {
		return; /* an answer to an older question */
	}
	if (trail_knows(&r->trail, index)) {
		index = trail_find(&r->trail, index, m->log_term);
	}
	p->state = RAFT_PROBE;
	p->next = max_of(min_of(index, m->tag - 1), p->match) + 1;
	p->asked = false;
}

static void step_forward(struct raft *r, struct raft_peer *p, const struct raft_message *m)
{
	p->match = max_of(p->match, m->index);
	p->asked = false;
	if (p->state != RAFT_PIPELINE && trail_knows(&r->trail, p->match)) {
		p->state = RAFT_PIPELINE;
		p->next = p->match + 1;
	}
	p->next = max_of(p->next, p->match + 1);
}

void raft_on_append_reply(struct raft *r, const struct raft_message *m, struct raft_update *u)
{
	struct raft_peer *p = raft_peer_of(r, &m->from);

	if (r->role != RAFT_LEADER || !p || m->stamp > r->stamp ||
		(m->granted && m->index > r->trail.last)) {
		return; /* not an answer to anything that was said in this term */
	}
	p->heard = r->now;
	p->stamp = max_of(p->stamp, m->stamp);
	if (m->granted) {
		step_forward(r, p, m);
		raft_leader_commit(r, u);
	} else {
		step_back(r, p, m);
	}
	if (r->role == RAFT_LEADER) {
		reads_advance(r, u);
		transfer_go(r, p);
	}
}
