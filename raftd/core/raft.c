/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps behind raft.h, one function per event. The thesis is quoted where it is implemented.
 */
#include "raftd/core/raft.h"

#include "common/base/hash.h"

/* A disk that fails is tried again soon, then less often: a full or vanished disk comes back by
 * hand. */
enum { RETRY_FIRST_MS = 50, RETRY_MAX_MS = 2000 };

const char *raft_role_name(enum raft_role role)
{
	static const char *const names[] = { "Follower", "Candidate", "Leader" };

	return names[role];
}

void raft_init(struct raft *r, const struct raft_options *options)
{
	size_t n = strlen(options->address);

	*r = (struct raft) {
		.id = options->id,
		.trailing_logs = options->trailing_logs,
		.deadline = MONO_NEVER,
		.retry_ms = RETRY_FIRST_MS,
	};
	must(n < sizeof(r->address));
	memcpy(r->address, options->address, n);
	rng_init(&r->rng, options->seed);
}

void raft_fini(struct raft *r)
{
	buf_fini(&r->configuration_body);
}

struct mono raft_deadline(const struct raft *r)
{
	return r->deadline;
}

bool raft_is_alone(const struct raft *r)
{
	const struct configuration_server *self =
		configuration_find((struct configuration *)&r->configuration, &r->id);

	return self && self->voter && configuration_voters(&r->configuration) == 1;
}

static void become(struct raft *r, struct raft_update *u, enum raft_role role, const char *why)
{
	u->role_changed = u->role_changed || r->role != role;
	u->note = why;
	r->role = role;
}

static void append(
	struct raft *r, struct raft_update *u, enum raft_entry_type type, struct str body)
{
	must(u->append_count < RAFT_APPENDS_MAX);
	r->last_index++;
	r->last_term = r->persistent.term;
	if (r->first_index == 0) {
		r->first_index = r->last_index;
	}
	u->append[u->append_count++] =
		(struct raft_append) { r->last_index, r->last_term, type, body };
}

static void append_configuration(struct raft *r, struct raft_update *u)
{
	buf_clear(&r->configuration_body);
	configuration_encode(&r->configuration_body, &r->configuration);
	append(r, u, RAFT_CONFIGURATION, buf_str(&r->configuration_body));
	r->configuration_index = r->last_index;
}

static void persist(struct raft *r, struct raft_update *u)
{
	u->persist = true;
	r->persisting = true;
}

/*
 * Thesis 3.4: "To begin an election, a follower increments its current term and transitions to
 * candidate state. It then votes for itself". The vote counts when it is durable, which PERSISTED
 * says.
 */
static void campaign(struct raft *r, struct raft_update *u)
{
	r->deadline = MONO_NEVER;
	r->persistent.term++;
	r->persistent.vote = r->id;
	persist(r, u);
	become(r, u, RAFT_CANDIDATE, "campaign");
}

/*
 * Thesis 6.4: "to find out [which entries are committed], it needs to commit an entry from its
 * term. Raft handles this by having each leader commit a blank no-op entry into the log at the
 * start of its term."
 */
static void lead(struct raft *r, struct raft_update *u)
{
	struct configuration_server *self = configuration_find(&r->configuration, &r->id);

	become(r, u, RAFT_LEADER, "elected");
	append(r, u, RAFT_NOOP, STR_NONE);
	r->term_start_index = r->last_index;
	/* Not in the log yet, or this server was restarted under another address. Alone, so nobody
	 * has to be asked. */
	if (r->configuration_index == 0 || strcmp(self->address, r->address) != 0) {
		memcpy(self->address, r->address, sizeof(self->address));
		append_configuration(r, u);
	}
}

/* Ends the reads that wait. */
static void end_reads(struct raft *r, struct raft_update *u, int status)
{
	if (r->reads_waiting_through) {
		u->reads_through = r->reads_waiting_through;
		u->reads_status = status;
		u->reads_index = status ? 0 : r->commit_index;
		r->reads_waiting_through = 0;
	}
}

/* The highest index that a majority holds durably: with one voter, what this server has synced. */
static uint64_t quorum_match(const struct raft *r)
{
	return r->durable_index;
}

/*
 * Thesis 3.6.2: "Raft never commits log entries from previous terms by counting replicas. Only log
 * entries from the leader's current term are committed by counting replicas".
 */
static void commit(struct raft *r, struct raft_update *u)
{
	uint64_t match = quorum_match(r);

	if (r->role != RAFT_LEADER || match < r->term_start_index || match <= r->commit_index) {
		return;
	}
	r->commit_index = match;
	r->retry_ms = RETRY_FIRST_MS;
	u->committed = true;
	end_reads(r, u, 0);
}

/* The decision to be a quorum of one is stored with the first vote; the log gets it as an entry
 * when there is a leader. */
static void bootstrap(struct raft *r)
{
	struct configuration_server *self = &r->configuration.servers[0];

	self->id = r->id;
	self->voter = true;
	memcpy(self->address, r->address, sizeof(self->address));
	r->configuration.count = 1;
	r->persistent.configuration = r->configuration;
}

static void on_start(struct raft *r, const struct raft_start *s, struct raft_update *u)
{
	r->persistent = *s->persistent;
	r->first_index = s->first_index;
	r->last_index = max_of(s->last_index, r->persistent.snapshot_index);
	r->last_term = s->last_index ? s->last_term : r->persistent.snapshot_term;
	r->durable_index = r->last_index;
	r->durable_term = r->last_term;
	/* What a snapshot holds was committed before it was taken. */
	r->commit_index = r->persistent.snapshot_index;
	r->configuration = r->persistent.configuration;
	r->configuration_index = r->persistent.configuration_index;
	if (s->configuration_index > r->configuration_index &&
		configuration_decode(s->configuration, &r->configuration) == 0) {
		r->configuration_index = s->configuration_index;
	}
	if (r->last_index == 0 && r->persistent.term == 0 && s->bootstrap) {
		bootstrap(r);
	}
	if (raft_is_alone(r)) {
		campaign(r, u);
	}
}

static void on_tick(struct raft *r, struct mono now, struct raft_update *u)
{
	if (!mono_before(now, r->deadline) && r->role == RAFT_FOLLOWER && raft_is_alone(r)) {
		campaign(r, u);
	}
}

static void on_persisted(struct raft *r, struct raft_update *u)
{
	r->persisting = false;
	if (r->role == RAFT_CANDIDATE && raft_is_alone(r)) {
		lead(r, u);
	}
}

/*
 * Entries that were not synced may or may not be on the disk. They are cut, and the next leadership
 * has a new term, so that no index and term ever names two entries.
 */
static void on_disk_failed(struct raft *r, struct mono now, struct raft_update *u)
{
	r->persisting = false;
	u->cut = true;
	u->cut_after = r->durable_index;
	r->last_index = r->durable_index;
	r->last_term = r->durable_term;
	if (r->configuration_index > r->last_index) {
		r->configuration_index = 0; /* the next leadership appends it again */
	}
	if (r->last_index == 0) {
		r->first_index = 0;
	}
	end_reads(r, u, ST_NOT_LEADER);
	become(r, u, RAFT_FOLLOWER, "disk failed");
	r->deadline =
		mono_add_ms(now, r->retry_ms + (int64_t)rng_below(&r->rng, (uint64_t)r->retry_ms));
	r->retry_ms = min_of(r->retry_ms * 2, RETRY_MAX_MS);
}

static void on_propose(struct raft *r, struct raft_update *u)
{
	if (r->role != RAFT_LEADER) {
		u->status = ST_NOT_LEADER;
		return;
	}
	append(r, u, RAFT_COMMAND, STR_NONE);
}

static void on_durable(struct raft *r, uint64_t index, struct raft_update *u)
{
	if (index > r->durable_index && index <= r->last_index) {
		r->durable_index = index;
		r->durable_term =
			r->last_term; /* what is not durable was all appended in one term */
		commit(r, u);
	}
}

/*
 * Thesis 6.4, read-only queries: step 1 (has an entry of this term been committed?) may make the
 * read wait; step 3 (confirm the leadership with a majority) is done as soon as it is asked, alone.
 */
static void on_read_index(struct raft *r, uint64_t tag, struct raft_update *u)
{
	if (r->role != RAFT_LEADER) {
		u->status = ST_NOT_LEADER;
		return;
	}
	must(tag > r->reads_waiting_through);
	r->reads_waiting_through = tag;
	if (r->commit_index >= r->term_start_index) {
		end_reads(r, u, 0);
	}
}

/* Thesis 5.1: the entries before a durable snapshot may go; some stay, for followers that are a
 * little behind. */
static void on_snapshot_taken(struct raft *r, uint64_t index, uint64_t term, struct raft_update *u)
{
	struct raft_persistent *p = &r->persistent;

	if (index > r->commit_index || index == 0) {
		u->status = ST_INVALID;
		return;
	}
	if (index <= p->snapshot_index) {
		return;
	}
	p->snapshot_index = index;
	p->snapshot_term = term;
	p->configuration = r->configuration;
	p->configuration_index = r->configuration_index;
	persist(r, u);
	if (index > r->trailing_logs && r->first_index &&
		index - r->trailing_logs + 1 > r->first_index) {
		r->first_index = index - r->trailing_logs + 1;
		if (r->first_index > r->last_index) {
			r->first_index = r->last_index;
		}
		u->discard_before = r->first_index;
	}
}

void raft_step(struct raft *r, const struct raft_event *event, struct raft_update *update)
{
	*update = (struct raft_update) { 0 };
	switch (event->type) {
	case RAFT_EVENT_START:
		on_start(r, &event->start, update);
		break;
	case RAFT_EVENT_TICK:
		on_tick(r, event->now, update);
		break;
	case RAFT_EVENT_PERSISTED:
		on_persisted(r, update);
		break;
	case RAFT_EVENT_PROPOSE:
		on_propose(r, update);
		break;
	case RAFT_EVENT_DURABLE:
		on_durable(r, event->index, update);
		break;
	case RAFT_EVENT_DISK_FAILED:
		on_disk_failed(r, event->now, update);
		break;
	case RAFT_EVENT_READ_INDEX:
		on_read_index(r, event->tag, update);
		break;
	case RAFT_EVENT_SNAPSHOT_TAKEN:
		on_snapshot_taken(r, event->index, event->term, update);
		break;
	}
}

void raft_check(const struct raft *r)
{
	must(r->commit_index <= r->durable_index);
	must(r->durable_index <= r->last_index);
	must(r->persistent.snapshot_index <= r->commit_index);
	must(r->last_term <= r->persistent.term);
	must(r->first_index <= r->last_index);
	must(r->configuration_index <= r->last_index || r->role != RAFT_LEADER);
	must(r->role != RAFT_CANDIDATE || r->persisting);
	must(r->role != RAFT_LEADER || r->term_start_index <= r->last_index);
	must(r->role == RAFT_LEADER || r->reads_waiting_through == 0);
}

uint64_t raft_digest(const struct raft *r)
{
	const uint64_t numbers[] = { r->persistent.term, r->persistent.snapshot_index,
		r->persistent.snapshot_term, r->role, r->first_index, r->last_index, r->last_term,
		r->durable_index, r->commit_index, r->term_start_index, r->configuration_index };
	uint64_t digest = hash64(str_n(&r->persistent.vote, sizeof(r->persistent.vote)), 0);

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		digest = hash64_mix(digest, numbers[i]);
	}
	return digest;
}
