/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps behind raft.h that every role takes, and the way to those of one role. The thesis is
 * quoted where it is implemented.
 */
#include "common/base/hash.h"
#include "raftd/core/internal.h"

/* A disk that fails is tried again soon, then less often: a full or vanished disk comes back by
 * hand. */
enum { RETRY_FIRST_MS = 50, RETRY_MAX_MS = 2000, UNFIT_TIMEOUTS = 10 };

const char *raft_role_name(enum raft_role role)
{
	static const char *const names[] = { "Follower", "Candidate", "Candidate", "Leader" };

	return names[role];
}

void raft_init(struct raft *r, const struct raft_options *options)
{
	size_t n = strlen(options->address);

	*r = (struct raft) {
		.id = options->id,
		.options = *options,
		.deadline = MONO_NEVER,
		.retry_ms = RETRY_FIRST_MS,
	};
	must(n < sizeof(r->address));
	must(options->heartbeat_ms > 0 && options->election_ms > options->heartbeat_ms);
	memcpy(r->address, options->address, n);
	rng_init(&r->rng, options->seed);
	trail_init(&r->trail);
}

void raft_fini(struct raft *r)
{
	free(r->older);
	trail_fini(&r->trail);
	buf_fini(&r->configuration_body);
	free(take(r->sends));
}

struct mono raft_deadline(const struct raft *r)
{
	return r->deadline;
}

bool raft_is_alone(const struct raft *r)
{
	return raft_self_votes(r) && configuration_voters(&r->configuration) == 1;
}

/* -------- what the steps are made of -------- */

struct raft_message *raft_message_new(
	struct raft *r, enum raft_message_type type, const struct uuid *to)
{
	struct raft_send *s;

	if (r->sends_count == r->sends_room) {
		r->sends_room = r->sends_room ? r->sends_room * 2 : 8;
		r->sends = xrealloc(r->sends, r->sends_room * sizeof(*r->sends));
	}
	s = &r->sends[r->sends_count++];
	*s = (struct raft_send) { .message = { .type = (uint8_t)type,
					  .from = r->id,
					  .to = *to,
					  .term = r->persistent.term } };
	return &s->message;
}

void raft_become(struct raft *r, struct raft_update *u, enum raft_role role, const char *why)
{
	u->role_changed = u->role_changed || r->role != role;
	u->note = why;
	r->role = role;
}

void raft_persist(struct raft *r, struct raft_update *u)
{
	u->persist = true;
	r->persisting = true;
}

void raft_leader_set(struct raft *r, struct raft_update *u, const struct uuid *leader)
{
	if (uuid_eq(&r->leader, leader)) {
		return;
	}
	raft_forwarded_end(r, u); /* who was asked does not answer any more */
	r->leader = *leader;
	u->leader_changed = true;
}

/*
 * Thesis 3.3: "If a candidate or leader discovers that its term is out of date, it immediately
 * reverts to follower state."
 */
void raft_follow(struct raft *r, struct raft_update *u, uint64_t term, const char *why)
{
	struct uuid no_one = raft_no_one();

	must(term >= r->persistent.term);
	if (r->role == RAFT_LEADER) {
		raft_lead_end(r, u);
	}
	if (r->role != RAFT_FOLLOWER) {
		raft_become(r, u, RAFT_FOLLOWER, why);
		raft_election_rearm(r);
	}
	raft_leader_set(r, u, &no_one);
	if (term > r->persistent.term) {
		r->persistent.term = term;
		r->persistent.vote = no_one;
		raft_persist(r, u);
		r->match = r->commit_index; /* of the new leader's log only that is known */
		r->leader_commit = 0;
		r->reply_due = false;
	}
}

void raft_append_own(
	struct raft *r, struct raft_update *u, enum raft_entry_type type, struct str body)
{
	must(u->append_count < RAFT_APPENDS_MAX);
	trail_append(&r->trail, r->persistent.term);
	u->append[u->append_count++] =
		(struct raft_append) { r->trail.last, r->persistent.term, type, body };
}

void raft_commit_to(struct raft *r, struct raft_update *u, uint64_t index)
{
	if (index > r->commit_index) {
		r->commit_index = index;
		u->committed = true;
	}
}

void raft_reads_end(struct raft_update *u, enum raft_read_kind kind, uint64_t through, int status,
	uint64_t index)
{
	if (through) {
		u->reads[kind] = (struct raft_reads_end) { through, status, index };
	}
}

/* -------- start -------- */

static void alone_bootstrap(struct raft *r)
{
	struct configuration_server *self = &r->configuration.servers[0];

	self->id = r->id;
	self->life = r->persistent.life;
	self->voter = true;
	memcpy(self->address, r->address, sizeof(self->address));
	r->configuration.count = 1;
	r->persistent.configuration = r->configuration;
}

/* The configurations of the persistent part and of the log. */
static void start_configuration(
	struct raft *r, const struct raft_start *s, bool log_counts, struct raft_update *u)
{
	const struct raft_persistent *p = &r->persistent;
	struct configuration found;

	r->configuration = p->configuration;
	r->configuration_index = p->configuration_index;
	for (size_t i = 0; i < s->configured_count && log_counts; i++) {
		const struct raft_configured *c = &s->configured[i];

		if (c->index > p->configuration_index && c->index <= r->trail.last &&
			configuration_decode(c->body, &found) == 0) {
			raft_configuration_take(r, u, c->index, &found);
		}
	}
}

/* A snapshot that a leader sent was in place, and the crash came before the log was emptied. */
static bool start_log(struct raft *r, const struct trail *t, struct raft_update *u)
{
	const struct raft_persistent *p = &r->persistent;
	bool covered = trail_knows(t, p->snapshot_index) || t->first > p->snapshot_index;
	bool equal = !trail_knows(t, p->snapshot_index) ||
		     trail_term(t, p->snapshot_index) == p->snapshot_term;

	if (covered && equal) {
		trail_copy(&r->trail, t);
		return true;
	}
	trail_reset(&r->trail, p->snapshot_index, p->snapshot_term);
	u->reset = true;
	u->reset_index = p->snapshot_index;
	u->reset_term = p->snapshot_term;
	return false;
}

/*
 * It goes on as another cluster: those that were lost, should they come back with what they had,
 * must not be taken for members of it. The new id follows from the old one and from who takes part,
 * in whatever order they are named, so that all who were told the same choose the same.
 */
static struct uuid recovered_cluster(const struct uuid *old, const struct configuration *c)
{
	uint64_t keys[2], halves[2] = { 1, 0 };
	struct uuid fresh = *old;

	memcpy(keys, old->b, sizeof(keys));
	for (size_t i = 0; i < c->count && !uuid_is_zero(old); i++) {
		OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
		struct configuration one = { .count = 1 };

		one.servers[0] = c->servers[i];
		configuration_encode(&body, &one);
		halves[0] += hash64(buf_str(&body), keys[0]);
		halves[1] += hash64(buf_str(&body), keys[1]);
		memcpy(fresh.b, halves, sizeof(halves));
	}
	return fresh;
}

static void recover(struct raft *r, const struct configuration *c, struct raft_update *u)
{
	struct uuid cluster = recovered_cluster(&r->configuration.cluster, c);

	r->configuration = *c;
	r->configuration.cluster = cluster;
	r->persistent.configuration = r->configuration;
	r->configuration_index = r->trail.last;
	r->older_count = 0;
	r->persistent.configuration_index = r->trail.last;
	r->configuration_due = true;
	raft_persist(r, u);
}

static void on_start(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	const struct raft_start *s = &e->start;
	bool log_counts;

	r->persistent = *s->persistent;
	log_counts = start_log(r, s->trail, u);
	r->durable_index = r->trail.last;
	/* What a snapshot holds was committed before it was taken. */
	r->commit_index = r->match = r->persistent.snapshot_index;
	start_configuration(r, s, log_counts, u);
	if (s->recover) {
		recover(r, s->recover, u);
	}
	if (r->trail.last == 0 && r->persistent.term == 0 && s->bootstrap) {
		alone_bootstrap(r);
	}
	raft_peers_update(r);
	if (raft_is_alone(r)) {
		raft_campaign(r, u, false);
		return;
	}
	/* Thesis 4.2.3 and 6.4.1: it may have heard of a leader just before it stopped, and a lease
	 * relies on that. */
	if (r->persistent.term > 0) {
		r->faithful_until = mono_add_ms(r->now, r->options.election_ms);
	}
	if (r->configuration.count) {
		raft_election_rearm(r);
	}
}

/* -------- events of every role -------- */

static void on_tick(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	bool late = r->now.ns - r->deadline.ns >= r->options.heartbeat_ms * NS_PER_MS;

	if (mono_before(r->now, r->deadline)) {
		return;
	}
	if (r->role == RAFT_LEADER) {
		raft_leader_tick(r, late, u);
	} else if (late && !r->spared && !raft_is_alone(r)) {
		r->spared = true;
		r->deadline = mono_add_ms(r->now, r->options.heartbeat_ms);
	} else {
		raft_election_begin(r, u);
	}
}

static void on_persisted(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	r->persisting = false;
	if (r->role == RAFT_CANDIDATE) {
		raft_votes_count(r, u);
	}
}

/*
 * Entries that were not synced may or may not be on the disk. They are cut, and the next leadership
 * has a new term, so that no index and term ever names two entries.
 */
static void on_disk_failed(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	bool alone = raft_is_alone(r);
	int64_t pause_ms = r->retry_ms + (int64_t)rng_below(&r->rng, (uint64_t)r->retry_ms);

	u->cut = true;
	u->cut_after = r->durable_index;
	trail_cut(&r->trail, r->durable_index);
	u->cut_term = raft_last_term(r);
	raft_configuration_cut(r, u, r->durable_index);
	r->match = min_of(r->match, r->durable_index);
	r->reply_due = false;
	raft_follow(r, u, r->persistent.term, "disk failed");
	u->note = "disk failed";
	r->deadline = alone ? mono_add_ms(r->now, pause_ms) : r->deadline;
	r->unfit_until = mono_add_ms(r->now, UNFIT_TIMEOUTS * r->options.election_ms);
	r->retry_ms = min_of(r->retry_ms * 2, RETRY_MAX_MS);
}

static void on_propose(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	if (r->role != RAFT_LEADER || !uuid_is_zero(&r->transfer_to)) {
		u->status = ST_NOT_LEADER;
		return;
	}
	raft_append_own(r, u, RAFT_COMMAND, STR_NONE);
}

static void on_durable(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	if (e->index <= r->durable_index || e->index > r->trail.last) {
		return;
	}
	r->durable_index = e->index;
	r->retry_ms = RETRY_FIRST_MS;
	r->unfit_until = (struct mono) { 0 };
	if (r->role == RAFT_LEADER) {
		raft_leader_commit(r, u);
	} else {
		raft_follower_durable(r, u);
	}
}

static void on_flush(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	if (r->role == RAFT_LEADER) {
		raft_leader_flush(r, u);
	}
}

static void on_sent(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	if (r->role == RAFT_LEADER) {
		raft_leader_sent(r, &e->peer, e->index);
	}
}

static void on_unreachable(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	if (r->role == RAFT_LEADER) {
		raft_leader_unreachable(r, &e->peer);
	} else {
		raft_follower_unreachable(r, &e->peer, u);
	}
}

static void on_read_index(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	struct uuid self = raft_no_one();

	if (r->role == RAFT_LEADER) {
		raft_leader_read(r, &self, e->read, e->tag, u);
	} else {
		raft_follower_read(r, e->read, e->tag, u);
	}
}

/* Thesis 5.1: the entries before a durable snapshot may go; some stay, for followers that are a
 * little behind. */
static void on_snapshot_taken(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	struct raft_persistent *p = &r->persistent;
	uint64_t keep = r->options.trailing_logs;

	if (e->index > r->commit_index || e->index == 0) {
		u->status = ST_INVALID;
		return;
	}
	if (e->index <= p->snapshot_index) {
		return;
	}
	p->configuration = *raft_configuration_at(r, e->index, &p->configuration_index);
	p->snapshot_index = e->index;
	p->snapshot_term = e->term;
	p->log_reset = false;
	raft_persist(r, u);
	raft_configuration_forget(r, e->index);
	if (e->index > keep && e->index - keep + 1 > r->trail.first) {
		trail_discard(&r->trail, e->index - keep + 1);
		u->discard_before = r->trail.first;
	}
}

static void on_discarded(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	trail_discard(&r->trail, min_of(e->index, r->persistent.snapshot_index + 1));
}

static void on_snapshot_sent(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	if (r->role == RAFT_LEADER) {
		raft_leader_snapshot_sent(r, &e->peer, e->index);
	}
}

static void on_snapshot_installed(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	raft_snapshot_installed(r, &e->snapshot, u);
}

/* Who may begin the log of a new cluster. It can be told anew until the first vote was given. */
static void on_bootstrap(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	const struct configuration *c = e->configuration;

	if (r->trail.last || r->configuration_index || !uuid_is_zero(&r->persistent.vote) ||
		!configuration_find((struct configuration *)c, &r->id)) {
		u->status = ST_INVALID;
		return;
	}
	r->configuration = r->persistent.configuration = *c;
	u->configuration_changed = true;
	raft_peers_update(r);
	r->deadline =
		mono_add_ms(r->now, (int64_t)rng_below(&r->rng, (uint64_t)r->options.election_ms));
}

static void on_change(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	raft_change(r, &e->change, u);
}

static void on_transfer(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	raft_transfer(r, &e->peer, u);
}

/* -------- messages -------- */

/* The message that only asks what would be: its term is nobody's yet. */
static bool asks_for_future(const struct raft_message *m)
{
	return m->type == RAFT_PRE_VOTE || (m->type == RAFT_PRE_VOTE_REPLY && m->granted);
}

/*
 * Thesis 3.3: "If a server receives a request with a stale term number, it rejects the request".
 * The sender learns the newer term by that.
 */
static void answer_stale(struct raft *r, const struct raft_message *m)
{
	struct raft_message *reply;

	if (m->type == RAFT_APPEND || m->type == RAFT_VOTE || m->type == RAFT_PRE_VOTE) {
		reply = raft_message_new(r,
			m->type == RAFT_APPEND ? RAFT_APPEND_REPLY
					       : (enum raft_message_type)(m->type + 1),
			&m->from);
		reply->stamp = m->stamp;
		reply->tag = m->index;
	}
}

/* Thesis 4.2.3: "if a server receives a RequestVote request within the minimum election timeout of
 * hearing from a current leader, it does not update its term or grant its vote." */
static bool is_faithful(const struct raft *r, const struct raft_message *m)
{
	bool leads = r->role == RAFT_LEADER && !r->transfer_sent;

	return (m->type == RAFT_VOTE || m->type == RAFT_PRE_VOTE) && !m->force &&
	       (leads || mono_before(r->now, r->faithful_until));
}

static void on_message(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	static const raft_on_message_fn handlers[RAFT_MESSAGE_TYPES] = {
		[RAFT_PRE_VOTE] = raft_on_pre_vote,
		[RAFT_PRE_VOTE_REPLY] = raft_on_pre_vote_reply,
		[RAFT_VOTE] = raft_on_vote,
		[RAFT_VOTE_REPLY] = raft_on_vote_reply,
		[RAFT_APPEND] = raft_on_append,
		[RAFT_APPEND_REPLY] = raft_on_append_reply,
		[RAFT_TIMEOUT_NOW] = raft_on_timeout_now,
		[RAFT_READ] = raft_on_read,
		[RAFT_READ_REPLY] = raft_on_read_reply,
	};
	const struct raft_message *m = e->message;

	if (m->type >= RAFT_MESSAGE_TYPES || !handlers[m->type] || !uuid_eq(&m->to, &r->id) ||
		uuid_eq(&m->from, &r->id)) {
		return; /* for an earlier holder of this address, or nonsense */
	}
	if (m->term > UINT64_MAX / 2) {
		return; /* no cluster gets there by elections; and one more must be possible */
	}
	if (m->term < r->persistent.term) {
		answer_stale(r, m);
		return;
	}
	if (is_faithful(r, m)) {
		return;
	}
	if (m->term > r->persistent.term && !asks_for_future(m)) {
		raft_follow(r, u, m->term, "newer term");
	}
	if (raft_is_answer_of(r, m, &e->life)) {
		handlers[m->type](r, m, u);
	}
}

void raft_step(struct raft *r, const struct raft_event *event, struct raft_update *update)
{
	static void (*const steps[])(
		struct raft *, const struct raft_event *, struct raft_update *) = {
		[RAFT_EVENT_START] = on_start,
		[RAFT_EVENT_TICK] = on_tick,
		[RAFT_EVENT_MESSAGE] = on_message,
		[RAFT_EVENT_FLUSH] = on_flush,
		[RAFT_EVENT_SENT] = on_sent,
		[RAFT_EVENT_UNREACHABLE] = on_unreachable,
		[RAFT_EVENT_PERSISTED] = on_persisted,
		[RAFT_EVENT_PROPOSE] = on_propose,
		[RAFT_EVENT_DURABLE] = on_durable,
		[RAFT_EVENT_DISK_FAILED] = on_disk_failed,
		[RAFT_EVENT_READ_INDEX] = on_read_index,
		[RAFT_EVENT_SNAPSHOT_TAKEN] = on_snapshot_taken,
		[RAFT_EVENT_DISCARDED] = on_discarded,
		[RAFT_EVENT_SNAPSHOT_SENT] = on_snapshot_sent,
		[RAFT_EVENT_SNAPSHOT_INSTALLED] = on_snapshot_installed,
		[RAFT_EVENT_BOOTSTRAP] = on_bootstrap,
		[RAFT_EVENT_CHANGE] = on_change,
		[RAFT_EVENT_TRANSFER] = on_transfer,
	};

	*update = (struct raft_update) { 0 };
	r->sends_count = 0;
	if (mono_before(r->now, event->now)) {
		r->now = event->now;
	}
	steps[event->type](r, event, update);
	/* What a failed persist left undone comes before anything that relies on it. */
	update->persist |=
		r->persisting && (r->sends_count || update->append_count || update->accept);
	update->sends = r->sends;
	update->sends_count = r->sends_count;
}

void raft_check(const struct raft *r)
{
	must(r->commit_index <= r->durable_index);
	must(r->durable_index <= r->trail.last);
	must(r->persistent.snapshot_index <= r->commit_index);
	must(raft_last_term(r) <= r->persistent.term);
	must(r->match <= r->trail.last);
	must(r->match >= r->commit_index || r->role == RAFT_LEADER);
	must(r->configuration_index <= r->trail.last);
	must(r->older_count == 0 || r->older[r->older_count - 1].index <= r->configuration_index);
	must(r->role != RAFT_LEADER || r->term_start_index <= r->trail.last);
	must(r->role != RAFT_LEADER || uuid_eq(&r->leader, &r->id));
	must(r->role == RAFT_LEADER || r->reads_count == 0);
	must(r->role == RAFT_LEADER || uuid_is_zero(&r->transfer_to));
	for (size_t i = 0; i < r->peers_count; i++) {
		const struct raft_peer *p = &r->peers[i];

		must(r->role != RAFT_LEADER ||
			(p->match < p->next && p->next <= r->trail.last + 1));
	}
}

uint64_t raft_digest(const struct raft *r)
{
	const uint64_t numbers[] = { r->persistent.term, r->persistent.snapshot_index,
		r->persistent.snapshot_term, r->role, r->trail.first, r->trail.last,
		raft_last_term(r), r->durable_index, r->commit_index, r->term_start_index,
		r->configuration_index, r->match, r->reads_count, r->peers_count };
	uint64_t digest = hash64(str_n(&r->persistent.vote, sizeof(r->persistent.vote)), 0);

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		digest = hash64_mix(digest, numbers[i]);
	}
	return digest;
}
