/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: taken of the own state machine, and carried to other servers piece by piece. The
 * receiver says which piece it wants next, so that a transfer goes on after losses and restarts.
 */
#include "tests/sim/quorum/world.h"

#include "common/base/err.h"

enum { PIECES = 3, PATIENCE_MS = 300 };

void transfer_save(struct server *s)
{
	struct machine *m = &s->machine;
	int r;

	s->save_due = false;
	if (m->applied <= s->saved[0].applied || m->applied > s->node.raft.commit_index) {
		return;
	}
	s->saved[1] = s->saved[0];
	s->saved[0] = *m;
	r = node_snapshot_taken(&s->node, server_clock(s), m->applied, m->term);
	note(s->world, s, "has a snapshot of %llu: %s", (unsigned long long)m->applied,
		status_name(r));
	if (r && r != ST_STORAGE) {
		failed(s->world, s, "a snapshot is refused: %s", status_name(r));
	}
}

static const struct machine *saved(const struct server *s, uint64_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->saved); i++) {
		if (s->saved[i].applied == index) {
			return &s->saved[i];
		}
	}
	return NULL;
}

static void give_up(struct server *s, unsigned to)
{
	note(s->world, s, "gives up sending a snapshot to s%u", to + 1);
	s->offers[to].active = false;
	node_snapshot_sent(&s->node, server_clock(s), &s->world->servers[to].id, 0);
}

static void send_piece(struct server *s, unsigned to)
{
	struct offer *o = &s->offers[to];
	struct packet *p = xcalloc(1, sizeof(*p));
	OWN_EMBEDDED(buf_fini) struct buf configuration = { 0 };
	struct raft_snapshot snapshot = node_snapshot(&s->node, &configuration);
	const struct machine *m = saved(s, o->index);

	if (!m || snapshot.index != o->index) {
		packet_free(p); /* a newer one was taken: begin again */
		give_up(s, to);
		return;
	}
	p->kind = PACKET_CHUNK;
	p->chunk = (struct snapshot_chunk) { .state = *m,
		.term = snapshot.term,
		.configuration_index = snapshot.configuration_index,
		.at = o->at,
		.count = PIECES };
	buf_put_str(&p->bytes, snapshot.configuration);
	(void)server_send(s, to, p);
}

void transfer_begin(struct server *s, unsigned to)
{
	struct offer *o = &s->offers[to];
	OWN_EMBEDDED(buf_fini) struct buf configuration = { 0 };
	struct raft_snapshot snapshot = node_snapshot(&s->node, &configuration);

	if (snapshot.index == 0) {
		failed(s->world, s, "wants to send a snapshot and has none");
	}
	note(s->world, s, "sends snapshot %llu to s%u", (unsigned long long)snapshot.index, to + 1);
	*o = (struct offer) { .active = true,
		.index = snapshot.index,
		.until = s->world->now + PATIENCE_MS * NS_PER_MS };
	send_piece(s, to);
}

static void reply(struct server *s, const struct packet *p, unsigned wanted, bool installed)
{
	struct packet *answer = xcalloc(1, sizeof(*answer));

	answer->kind = PACKET_WANTED;
	answer->chunk.state.applied = p->chunk.state.applied;
	answer->chunk.at = wanted;
	answer->chunk.installed = installed;
	(void)server_send(s, p->from, answer);
}

/* Everything is here: durable first, then in place. */
static bool install(struct server *s, const struct packet *p)
{
	const struct snapshot_chunk *c = &p->chunk;
	struct raft_snapshot snapshot = { .index = c->state.applied,
		.term = c->term,
		.configuration_index = c->configuration_index,
		.configuration = buf_str(&p->bytes) };
	int r;

	if (c->state.applied > s->saved[0].applied) {
		s->saved[1] = s->saved[0];
		s->saved[0] = c->state;
	}
	r = node_snapshot_installed(&s->node, server_clock(s), &snapshot);
	s->world->counters.installs += r == 0;
	note(s->world, s, "installed snapshot %llu: %s", (unsigned long long)c->state.applied,
		status_name(r));
	return r == 0;
}

void transfer_chunk(struct server *s, const struct packet *p)
{
	const struct snapshot_chunk *c = &p->chunk;
	bool installed = false;

	if (c->state.applied > s->incoming.applied) {
		s->incoming = c->state;
		s->incoming_at = 0;
	}
	if (c->state.applied < s->incoming.applied) {
		return; /* an old one */
	}
	if (c->at == s->incoming_at && s->incoming_at < c->count) {
		s->incoming_at++;
	}
	if (s->incoming_at == c->count) {
		installed = install(s, p);
	}
	reply(s, p, installed ? 0 : min_of(s->incoming_at, c->count - 1), installed);
}

void transfer_wanted(struct server *s, const struct packet *p)
{
	struct offer *o = &s->offers[p->from];

	if (!o->active || o->index != p->chunk.state.applied) {
		return;
	}
	if (p->chunk.installed) {
		o->active = false;
		node_snapshot_sent(
			&s->node, server_clock(s), &s->world->servers[p->from].id, o->index);
		return;
	}
	o->at = p->chunk.at;
	o->until = s->world->now + PATIENCE_MS * NS_PER_MS;
	send_piece(s, p->from);
}

/* Nothing heard for too long: once more, in the end not. */
void transfer_look(struct server *s)
{
	for (unsigned i = 0; i < s->world->servers_count; i++) {
		struct offer *o = &s->offers[i];

		if (o->active && s->world->now >= o->until) {
			if (o->tries++ < 2) {
				o->until = s->world->now + PATIENCE_MS * NS_PER_MS;
				send_piece(s, i);
			} else {
				give_up(s, i);
			}
		}
	}
	for (unsigned i = 0; i < s->world->servers_count; i++) {
		if (s->offers[i].active) {
			server_wake(s, s->offers[i].until);
		}
	}
}
