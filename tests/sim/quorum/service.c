/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What raftd's service and catalogd do for clients: a proposal goes to the leader's raftd, its
 * result comes from the local state machine; a read waits until the state machine has the index
 * that the leader, its lease or its quorum has confirmed.
 */
#include "tests/sim/quorum/chaos.h"
#include "tests/sim/quorum/world.h"

#include "common/base/err.h"

enum { APPLY_RECORDS_MAX = 64, APPLY_BYTES_MAX = 64 << 10 };

void service_forget(struct server *s)
{
	memset(s->writes, 0, sizeof(s->writes));
	s->asked_count = s->reads_count = 0;
}

/* -------- writes -------- */

void service_write(struct server *s, unsigned client, const struct command *c)
{
	s->writes[client].operation = s->world->clients[client].operation;
	s->writes[client].command = *c;
	s->writes[client].proposed = false;
	server_wake(s, s->world->now + world_within(s->world, 0, 300));
}

static bool forward(struct server *s, struct str command)
{
	const struct configuration_server *leader = raft_leader(&s->node.raft);
	struct server *to = leader ? world_server(s->world, &leader->id) : NULL;
	struct packet *p;

	if (!to || to == s) {
		return false;
	}
	p = xcalloc(1, sizeof(*p));
	p->kind = PACKET_PROPOSE;
	buf_put_str(&p->bytes, command);
	return server_send(s, to->number, p);
}

static bool propose(struct server *s, struct str command)
{
	uint64_t index = 0;
	int r = node_propose(&s->node, server_clock(s), command, &index);

	if (r && r != ST_NOT_LEADER && r != ST_STORAGE) {
		failed(s->world, s, "a proposal is refused: %s", status_name(r));
	}
	return r == 0 || (r == ST_NOT_LEADER && forward(s, command));
}

void service_proposed(struct server *s, struct str command)
{
	uint64_t index = 0;

	(void)node_propose(&s->node, server_clock(s), command, &index);
}

static void propose_all(struct server *s)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };

	for (unsigned i = 0; i < CLIENTS; i++) {
		if (!s->writes[i].command.kind || s->writes[i].proposed) {
			continue;
		}
		s->writes[i].proposed = true;
		buf_clear(&body);
		command_encode(&body, &s->writes[i].command);
		if (!propose(s, buf_str(&body))) {
			s->writes[i].command.kind = 0;
			client_answer(s->world, i, s->writes[i].operation, false, 0, 0);
		}
	}
}

/* -------- reads -------- */

static void answer_stale(struct server *s, unsigned client, unsigned reg)
{
	check_read(s->world, s, OPERATION_STALE, s->machine.applied, s->stale_seen);
	s->stale_seen = s->machine.applied;
	client_answer(s->world, client, s->world->clients[client].operation, true,
		s->machine.registers[reg], s->machine.applied);
}

void service_read(struct server *s, unsigned client, enum operation_kind kind, unsigned reg)
{
	struct world *w = s->world;

	if (kind == OPERATION_STALE) {
		answer_stale(s, client, reg);
		return;
	}
	if (s->asked_count == SERVER_READS_MAX) {
		client_answer(w, client, w->clients[client].operation, false, 0, 0);
		return;
	}
	s->asked[s->asked_count++] = (struct server_read) { .client = client,
		.kind = kind,
		.operation = w->clients[client].operation,
		.reg = reg };
	server_wake(s, w->now + world_within(w, 0, 300));
}

static void refuse(struct server *s, const struct server_read *r)
{
	client_answer(s->world, r->client, r->operation, false, 0, 0);
}

/* A read whose client has given it up is of no interest; else what it will show is enough. */
static void check_index(struct server *s, const struct server_read *r)
{
	const struct client *c = &s->world->clients[r->client];

	if (c->waits && c->operation == r->operation) {
		check_read(s->world, s, r->kind, r->index, c->floor);
	}
}

/* As raftd's page lets catalogd do it: without asking anybody. */
static bool read_by_lease(struct server *s, struct server_read *r)
{
	const struct raft *raft = &s->node.raft;

	if (!raft_leads(raft) || !mono_before(server_clock(s), raft_lease(raft))) {
		return false;
	}
	s->world->counters.lease_reads++;
	r->index = raft->commit_index;
	r->known = true;
	check_index(s, r);
	return true;
}

static void begin_read(struct server *s, struct server_read r)
{
	enum raft_read_kind kind = r.kind == OPERATION_DEFAULT ? RAFT_READ_LEASE : RAFT_READ_ROUND;

	if (s->reads_count == SERVER_READS_MAX) {
		refuse(s, &r);
		return;
	}
	if (r.kind == OPERATION_DEFAULT && read_by_lease(s, &r)) {
		s->reads[s->reads_count++] = r;
		return;
	}
	r.tag = ++s->tag;
	s->reads[s->reads_count++] = r;
	if (node_read_index(&s->node, server_clock(s), kind, r.tag)) {
		must(s->reads_count && s->reads[s->reads_count - 1].tag == r.tag);
		s->reads_count--;
		refuse(s, &r);
	}
}

static bool ends(struct server_read *r, const struct raft_update *u)
{
	const struct raft_reads_end *end =
		&u->reads[r->kind == OPERATION_DEFAULT ? RAFT_READ_LEASE : RAFT_READ_ROUND];

	if (r->known || r->tag > end->through) {
		return false;
	}
	r->known = true;
	r->index = end->index;
	return end->status != 0;
}

void service_reads(struct server *s, const struct raft_update *u)
{
	size_t keep = 0;

	for (size_t i = 0; i < s->reads_count; i++) {
		struct server_read r = s->reads[i];
		bool known = r.known;

		if (ends(&r, u)) {
			refuse(s, &r);
			continue;
		}
		if (r.known && !known) {
			check_index(s, &r);
		}
		s->reads[keep++] = r;
	}
	s->reads_count = keep;
}

static void answer_reads(struct server *s)
{
	size_t keep = 0;

	for (size_t i = 0; i < s->reads_count; i++) {
		struct server_read r = s->reads[i];

		if (r.known && r.index <= s->machine.applied) {
			client_answer(s->world, r.client, r.operation, true,
				s->machine.registers[r.reg], s->machine.applied);
		} else {
			s->reads[keep++] = r;
		}
	}
	s->reads_count = keep;
}

void service_requests(struct server *s)
{
	propose_all(s);
	for (size_t i = 0; i < s->asked_count; i++) {
		begin_read(s, s->asked[i]);
	}
	s->asked_count = 0;
	answer_reads(s);
}

/* -------- applying -------- */

static void apply(struct server *s, const struct record *r)
{
	struct command c;
	bool command = r->type == RAFT_COMMAND;
	bool fresh;

	if (command && !command_decode(r->body, &c)) {
		failed(s->world, s, "entry %llu is no command", (unsigned long long)r->index);
	}
	fresh = machine_apply(&s->machine, r->index, r->term, r->body, command ? &c : NULL);
	check_applied(s, command ? &c : NULL, fresh);
	if (command && s->writes[c.client].command.id == c.id &&
		s->machine.done[c.client] == c.id) {
		s->writes[c.client].command.kind = 0;
		client_answer(s->world, c.client, s->writes[c.client].operation, true, c.value,
			s->machine.done_index[c.client]);
	}
}

/* The log does not have what comes next: a snapshot has. */
static void restore(struct server *s)
{
	if (s->saved[0].applied + 1 < s->node.log->first_index) {
		failed(s->world, s, "neither log nor snapshot has entry %llu",
			(unsigned long long)s->machine.applied + 1);
	}
	note(s->world, s, "restores %llu", (unsigned long long)s->saved[0].applied);
	s->machine = s->saved[0];
	check_applied(s, NULL, true);
}

static bool apply_some(struct server *s)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	uint64_t from = s->machine.applied + 1;
	uint64_t through = min_of(s->node.raft.commit_index, from + APPLY_RECORDS_MAX);
	struct record *records;
	size_t count;

	if (log_read(s->node.log, from, through, APPLY_BYTES_MAX, &arena, &records, &count)) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (records[i].index != s->machine.applied + 1) {
			failed(s->world, s, "the log has a gap at %llu",
				(unsigned long long)records[i].index);
		}
		apply(s, &records[i]);
	}
	return true;
}

void service_apply(struct server *s)
{
	struct world *w = s->world;
	bool good = true;

	s->apply_at = INT64_MAX;
	if (!s->live) {
		return;
	}
	if (s->node.raft.commit_index > s->machine.applied &&
		s->machine.applied + 1 < s->node.log->first_index) {
		restore(s);
	}
	if (s->node.raft.commit_index > s->machine.applied) {
		good = apply_some(s);
	}
	answer_reads(s);
	if (s->machine.applied >= s->saved[0].applied + w->profile->save_every) {
		s->save_due = true;
		server_wake(s, w->now);
	}
	if (s->node.raft.commit_index > s->machine.applied) {
		s->apply_at = w->now + (good ? world_within(w, 10, 500) : 10 * NS_PER_MS);
		world_at(w, s->apply_at, EVENT_APPLY, s->number, NULL);
	}
}
