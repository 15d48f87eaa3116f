/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who takes part, and how that changes: thesis 4.1 and 4.2, one server at a time. A configuration
 * counts from when it is in the log. At most one of a log is not committed (change() sees to that),
 * so remembering the one before it is enough for the case that it is cut.
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
	return raft_is_voter(r, &r->id);
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

/* Those that stay keep what is known of them. */
void raft_peers_update(struct raft *r)
{
	struct raft_peer peers[RAFT_SERVERS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < r->configuration.count; i++) {
		const struct uuid *id = &r->configuration.servers[i].id;
		const struct raft_peer *known = raft_peer_of(r, id);

		if (!uuid_eq(id, &r->id)) {
			peers[count++] = known ? *known
					       : (struct raft_peer) { .id = *id,
							 .next = r->trail.last + 1,
							 .heard = r->now,
							 .beat = true };
		}
	}
	memcpy(r->peers, peers, count * sizeof(*peers));
	r->peers_count = count;
}

void raft_configuration_take(
	struct raft *r, struct raft_update *u, uint64_t index, const struct configuration *c)
{
	r->previous = r->configuration;
	r->previous_index = r->configuration_index;
	r->configuration = *c;
	r->configuration_index = index;
	u->configuration_changed = true;
	raft_peers_update(r);
}

void raft_configuration_cut(struct raft *r, struct raft_update *u, uint64_t after)
{
	if (r->configuration_index > after) {
		r->configuration = r->previous;
		r->configuration_index = r->previous_index;
		u->configuration_changed = true;
		raft_peers_update(r);
	}
}

const struct configuration *raft_configuration_at(
	const struct raft *r, uint64_t index, uint64_t *index_out)
{
	bool newest = r->configuration_index <= index;

	*index_out = newest ? r->configuration_index : r->previous_index;
	return newest ? &r->configuration : &r->previous;
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
	return 0;
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
