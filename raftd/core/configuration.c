/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoding of a configuration, and looking things up in it.
 */
#include "raftd/core/configuration.h"

#include "common/msg/wire_code.h"

WIRE_DEFINE(raft_member)
WIRE_DEFINE(raft_members)

void configuration_encode(struct buf *out, const struct configuration *c)
{
	struct raft_member items[RAFT_SERVERS_MAX];
	struct raft_members members = { .members = { items, (uint32_t)c->count } };

	for (size_t i = 0; i < c->count; i++) {
		items[i] = (struct raft_member) {
			.id = c->servers[i].id,
			.address = str_of(c->servers[i].address),
			.voter = c->servers[i].voter,
		};
	}
	raft_members_encode(out, &members);
}

int configuration_decode(struct str bytes, struct configuration *out)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raft_members members;
	int r = raft_members_decode(bytes, &arena, &members);

	*out = (struct configuration) { 0 };
	if (r) {
		return r;
	}
	if (members.members.count > RAFT_SERVERS_MAX) {
		return ST_TOO_LARGE;
	}
	for (uint32_t i = 0; i < members.members.count; i++) {
		const struct raft_member *m = &members.members.items[i];
		struct configuration_server *s = &out->servers[i];

		if (m->address.n >= sizeof(s->address)) {
			*out = (struct configuration) { 0 };
			return ST_TOO_LARGE;
		}
		s->id = m->id;
		memcpy(s->address, m->address.p, m->address.n);
		s->voter = m->voter;
	}
	out->count = members.members.count;
	return 0;
}

struct configuration_server *configuration_find(struct configuration *c, const struct uuid *id)
{
	for (size_t i = 0; i < c->count; i++) {
		if (uuid_eq(&c->servers[i].id, id)) {
			return &c->servers[i];
		}
	}
	return NULL;
}

size_t configuration_voters(const struct configuration *c)
{
	size_t voters = 0;

	for (size_t i = 0; i < c->count; i++) {
		voters += c->servers[i].voter;
	}
	return voters;
}
