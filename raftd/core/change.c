/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who takes part, and how that changes: thesis 4.1 and 4.2, one server at a time. A configuration
 * counts from when it is in the log. At most one of a cluster is not committed (change() sees to
 * that); but a follower may not know that yet, or lose more to its disk: so all of them back to the
 * snapshot are remembered.
 */
#include "raftd/core/internal.h"

bool raft_is_voter(const struct raft *r, const struct uuid *id)
{
	const struct configuration_server *s =
		configuration_find((struct configuration *)&r->configuration, id);

	return s && s->voter;
}

bool raft_self_votes(const struct raft *r)
{
	const struct configuration_server *s =
		configuration_find((struct configuration *)&r->configuration, &r->id);

	return s && s->voter && life_eq(&s->life, &r->persistent.life);
}

const struct configuration_server *raft_leader(const struct raft *r)
{
	return configuration_find((struct configuration *)&r->configuration, &r->leader);
}

struct raft_peer *raft_peer_of(struct raft *r, const struct uuid *id)
{
	for (size_t i = 0; i < r->peers_count; i++) {
		if (uuid_eq(&r->peers[i].id, id)) {
			return &r->peers[i];
		}
	}
	return NULL;
}

const struct raft_peer *raft_peer_find(const struct raft *r, const struct uuid *id)
{
	return raft_peer_of((struct raft *)r, id);
}

/* Those that stay keep what is known of them; not so one that comes back without its disk. */
void raft_peers_update(struct raft *r)
{
	struct raft_peer peers[RAFT_SERVERS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < r->configuration.count; i++) {
		const struct configuration_server *s = &r->configuration.servers[i];
		const struct raft_peer *known = raft_peer_of(r, &s->id);

		if (uuid_eq(&s->id, &r->id)) {
			continue;
		}
		peers[count] = known && life_eq(&known->life, &s->life)
				       ? *known
				       : (struct raft_peer) { .id = s->id,
						 .next = r->trail.last + 1,
						 .heard = r->now,
						 .beat = true };
		peers[count++].life = s->life;
	}
	memcpy(r->peers, peers, count * sizeof(*peers));
	r->peers_count = count;
}

void raft_configuration_take(
	struct raft *r, struct raft_update *u, uint64_t index, const struct configuration *c)
{
	if (r->older_count == r->older_room) {
		r->older_room = max_of(r->older_room * 2, (size_t)4);
		r->older = xrealloc(r->older, r->older_room * sizeof(*r->older));
	}
	r->older[r->older_count++] =
		(struct raft_older) { r->configuration_index, r->configuration };
	r->configuration = *c;
	r->configuration_index = index;
	u->configuration_changed = true;
	raft_peers_update(r);
}

void raft_configuration_cut(struct raft *r, struct raft_update *u, uint64_t after)
{
	if (r->configuration_index <= after) {
		return;
	}
	while (r->configuration_index > after && r->older_count) {
		const struct raft_older *o = &r->older[--r->older_count];

		r->configuration = o->configuration;
		r->configuration_index = o->index;
	}
	/* An operator put it at the end of a log that is shorter now: it stays in force. */
	r->configuration_index = min_of(r->configuration_index, after);
	if (r->persistent.configuration_index > after) {
		r->persistent.configuration_index = after;
		raft_persist(r, u);
	}
	u->configuration_changed = true;
	raft_peers_update(r);
}

void raft_configuration_forget(struct raft *r, uint64_t before)
{
	size_t gone = 0;

	while (gone < r->older_count &&
		(gone + 1 < r->older_count ? r->older[gone + 1].index : r->configuration_index) <=
			before) {
		gone++;
	}
	if (gone == 0) {
		return;
	}
	r->older_count -= gone;
	memmove(r->older, r->older + gone, r->older_count * sizeof(*r->older));
}

const struct configuration *raft_configuration_at(
	const struct raft *r, uint64_t index, uint64_t *index_out)
{
	size_t i = r->older_count;

	if (r->configuration_index <= index || i == 0) {
		*index_out = r->configuration_index;
		return &r->configuration;
	}
	while (i > 1 && r->older[i - 1].index > index) {
		i--;
	}
	*index_out = r->older[i - 1].index;
	return &r->older[i - 1].configuration;
}

void raft_configuration_append(struct raft *r, struct raft_update *u, const struct configuration *c)
{
	struct configuration next = *c;

	buf_clear(&r->configuration_body);
	configuration_encode(&r->configuration_body, &next);
	raft_append_own(r, u, RAFT_CONFIGURATION, buf_str(&r->configuration_body));
	raft_configuration_take(r, u, r->trail.last, &next);
	r->configuration_due = false;
	r->deadline = r->peers_count ? mono_min(r->deadline, r->now) : MONO_NEVER;
}

/* "What it once said does not count for it any more": neither its votes nor what it has. */
static void life_set(struct configuration_server *s, const struct raft_server_change *c)
{
	if (!life_eq(&s->life, &c->life) || (c->blank && !uuid_eq(&s->life, &c->life))) {
		s->voter = false;
	}
	if (!uuid_is_zero(&c->life)) {
		s->life = c->life;
	}
}

static int add(struct configuration *next, const struct raft_server_change *c)
{
	struct configuration_server *s = configuration_find(next, &c->id);
	size_t n = strlen(c->address);

	if (n == 0 || n >= RAFT_ADDRESS_SIZE || uuid_is_zero(&c->id)) {
		return ST_INVALID;
	}
	if (!s && next->count == RAFT_SERVERS_MAX) {
		return ST_FULL;
	}
	if (!s) {
		s = &next->servers[next->count++];
		*s = (struct configuration_server) { .id = c->id };
	}
	memset(s->address, 0, sizeof(s->address));
	memcpy(s->address, c->address, n);
	life_set(s, c);
	return configuration_voters(next) ? 0 : ST_INVALID;
}

/* What follows a server that has not caught up would wait for it (thesis 4.2.1). */
static int promote(
	const struct raft *r, struct configuration *next, const struct raft_server_change *c)
{
	struct configuration_server *s = configuration_find(next, &c->id);
	const struct raft_peer *p = raft_peer_find(r, &c->id);

	if (!s) {
		return ST_NOT_FOUND;
	}
	if (p && (p->state != RAFT_PIPELINE || p->match < r->term_start_index)) {
		return ST_AGAIN;
	}
	s->voter = true;
	return 0;
}

static int demote(struct configuration *next, const struct raft_server_change *c)
{
	struct configuration_server *s = configuration_find(next, &c->id);

	if (!s) {
		return ST_NOT_FOUND;
	}
	s->voter = false;
	return configuration_voters(next) ? 0 : ST_INVALID;
}

static int remove_server(struct configuration *next, const struct raft_server_change *c)
{
	struct configuration_server *s = configuration_find(next, &c->id);

	if (!s) {
		return ST_NOT_FOUND;
	}
	next->count--;
	memmove(s, s + 1, (size_t)((next->servers + next->count) - s) * sizeof(*s));
	next->servers[next->count] = (struct configuration_server) { 0 };
	return configuration_voters(next) ? 0 : ST_INVALID;
}

static int change(
	const struct raft *r, struct configuration *next, const struct raft_server_change *c)
{
	switch (c->type) {
	case RAFT_ADD:
		return add(next, c);
	case RAFT_PROMOTE:
		return promote(r, next, c);
	case RAFT_DEMOTE:
		return demote(next, c);
	case RAFT_REMOVE:
		return remove_server(next, c);
	}
	return ST_INVALID;
}

/*
 * One change at a time, and none before this term has committed something: two leaders could each
 * make one from different configurations, and find majorities without a common server.
 */
static bool may_change(const struct raft *r)
{
	return raft_leads(r) && r->configuration_index <= r->commit_index &&
	       uuid_is_zero(&r->transfer_to);
}

void raft_change(struct raft *r, const struct raft_server_change *c, struct raft_update *u)
{
	struct configuration next = r->configuration;

	if (r->role != RAFT_LEADER) {
		u->status = ST_NOT_LEADER;
		return;
	}
	if (!may_change(r)) {
		u->status = ST_AGAIN;
		return;
	}
	u->status = change(r, &next, c);
	if (u->status == 0 && memcmp(&next, &r->configuration, sizeof(next)) != 0) {
		raft_configuration_append(r, u, &next);
	}
}
