/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node as other members see it: Consul's tags (reference: 6.2), sorted by key.
 */
#include "gossipd/gossipd.h"
#include "version.h"

enum { TAGS_MAX = 16 };

struct tags {
	struct arena *arena;
	struct pair items[TAGS_MAX];
	uint32_t count;
};

static void add(struct tags *t, const char *key, struct str value)
{
	must(t->count < TAGS_MAX);
	t->items[t->count++] = (struct pair) { str_of(key), value };
}

static void add_number(struct tags *t, const char *key, int64_t value)
{
	add(t, key, arena_printf(t->arena, "%lld", (long long)value));
}

static void describe_tags(
	const struct conf *c, const char *id, enum gossip_pool_name pool, struct tags *t)
{
	add(t, "acls", c->acl.enabled ? STR("1") : STR("0"));
	if (c->server && (c->bootstrap || c->bootstrap_expect == 1 || c->dev_mode)) {
		add(t, "bootstrap", STR("1"));
	}
	add(t, "build", STR(CONSUL_VERSION ":"));
	add(t, "dc", c->datacenter);
	if (c->server && c->bootstrap_expect > 1) {
		add_number(t, "expect", c->bootstrap_expect);
	}
	if (c->server) {
		add(t, "ft_fs", STR("1"));
	}
	add(t, "id", arena_str(t->arena, str_of(id)));
	if (c->server) {
		add_number(t, "port", c->ports.server);
		add_number(t, "raft_vsn", c->raft_protocol);
	}
	add(t, "role", c->server ? STR("consul") : STR("node"));
	add(t, "segment", STR(""));
	add(t, "vsn", STR("2"));
	add(t, "vsn_max", STR("3"));
	add(t, "vsn_min", STR("2"));
	if (c->server && pool == GOSSIP_LAN && c->ports.serf_wan > 0) {
		add_number(t, "wan_join_port", c->ports.serf_wan);
	}
}

void self_describe(const struct conf *c, const char *id, enum gossip_pool_name pool,
	struct arena *arena, struct member *out)
{
	bool wan = pool == GOSSIP_WAN;
	struct tags tags = { .arena = arena };

	describe_tags(c, id, pool, &tags);
	*out = (struct member) {
		.name = wan ? arena_printf(arena, STR_FMT "." STR_FMT, STR_ARG(c->node_name),
				      STR_ARG(c->datacenter))
			    : c->node_name,
		.addr = wan ? c->advertise_addr_wan : c->advertise_addr,
		.port = (uint16_t)(wan ? c->ports.serf_wan : c->ports.serf_lan),
		.tags = { arena_array(arena, struct pair, tags.count), tags.count, true },
		.status = MEMBER_ALIVE,
		.protocol_min = 1,
		.protocol_max = 5,
		.protocol_cur = 2,
		.delegate_min = 2,
		.delegate_max = 5,
		.delegate_cur = 4,
	};
	memcpy(out->tags.items, tags.items, tags.count * sizeof(tags.items[0]));
}
