/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoding of a configuration, and looking things up in it.
 */
#include "raftd/core/configuration.h"

#include "common/msg/wire_code.h"

WIRE_DEFINE(raft_member)
WIRE_DEFINE(raft_members)

WIRE_DEFINE(raft_lively_member)
WIRE_DEFINE(raft_cluster)

static bool has_identity(const struct configuration *c)
{
	bool has = !uuid_is_zero(&c->cluster);

	for (size_t i = 0; i < c->count; i++) {
		has |= !uuid_is_zero(&c->servers[i].life);
	}
	return has;
}

/* As older versions read it, while there is nothing that they could not. */
static void encode_plain(struct buf *out, const struct configuration *c)
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

void configuration_encode(struct buf *out, const struct configuration *c)
{
	struct raft_lively_member items[RAFT_SERVERS_MAX];
	struct raft_cluster all = { .mark = RAFT_CLUSTER_MARK,
		.cluster = c->cluster,
		.members = { items, (uint32_t)c->count } };

	if (!has_identity(c)) {
		encode_plain(out, c);
		return;
	}
	for (size_t i = 0; i < c->count; i++) {
		items[i] = (struct raft_lively_member) {
			.id = c->servers[i].id,
			.address = str_of(c->servers[i].address),
			.voter = c->servers[i].voter,
			.life = c->servers[i].life,
		};
	}
	raft_cluster_encode(out, &all);
}

static int add(struct configuration *c, const struct raft_lively_member *m)
{
	struct configuration_server *s = &c->servers[c->count];

	if (c->count == RAFT_SERVERS_MAX || m->address.n >= sizeof(s->address)) {
		return ST_TOO_LARGE;
	}
	*s = (struct configuration_server) { .id = m->id, .voter = m->voter, .life = m->life };
	memcpy(s->address, m->address.p, m->address.n);
	c->count++;
	return 0;
}

static int decode_plain(struct str bytes, struct arena *arena, struct configuration *out)
{
	struct raft_members members;
	int r = raft_members_decode(bytes, arena, &members);

	for (uint32_t i = 0; r == 0 && i < members.members.count; i++) {
		const struct raft_member *m = &members.members.items[i];

		r = add(out,
			&(struct raft_lively_member) { m->id, m->address, m->voter, { { 0 } } });
	}
	return r;
}

static int decode_cluster(struct str bytes, struct arena *arena, struct configuration *out)
{
	struct raft_cluster all;
	int r = raft_cluster_decode(bytes, arena, &all);

	out->cluster = r ? out->cluster : all.cluster;
	for (uint32_t i = 0; r == 0 && i < all.members.count; i++) {
		r = add(out, &all.members.items[i]);
	}
	return r;
}

int configuration_decode(struct str bytes, struct configuration *out)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct cursor c = cursor_of(bytes);
	bool lively = cursor_u32(&c) == RAFT_CLUSTER_MARK && !c.bad;
	int r;

	*out = (struct configuration) { 0 };
	r = lively ? decode_cluster(bytes, &arena, out) : decode_plain(bytes, &arena, out);
	if (r) {
		*out = (struct configuration) { 0 };
	}
	return r;
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
