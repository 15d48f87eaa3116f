/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node as other members see it: Consul's tags, sorted by key; and what the configuration says
 * about pools.
 */
#include <netinet/in.h>

#include "common/client/server_table.h"
#include "common/sys/clock.h"
#include "gossipd/gossipd.h"
#include "version.h"

enum { TAGS_MAX = 22 };

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

/* Where a server answers other nodes, which they need not be told where it is the usual port. */
static void add_port(
	const struct conf *c, struct tags *t, const char *key, int64_t port, int64_t usual)
{
	if (c->server && port != usual) {
		add_number(t, key, max_of(port, (int64_t)0));
	}
}

static struct str duration(struct arena *arena, int64_t ns)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	duration_render(&text, ns);
	return arena_str(arena, buf_str(&text));
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
	add_port(c, t, "dns_port", c->ports.peer_dns, SERVER_DNS_PORT);
	if (c->server && c->bootstrap_expect > 1) {
		add_number(t, "expect", c->bootstrap_expect);
	}
	if (c->server) {
		add(t, "ft_fs", STR("1"));
	}
	add_port(c, t, "http_port", c->ports.peer_http, SERVER_HTTP_PORT);
	add(t, "id", arena_str(t->arena, str_of(id)));
	if (c->server && c->read_replica) {
		add(t, "nonvoter", STR("1"));
	}
	if (c->server) {
		add_number(t, "port", c->ports.server);
		add_number(t, "raft_vsn", c->raft_protocol);
	}
	if (pool == GOSSIP_LAN && c->advertise_reconnect_timeout_ns) {
		add(t, "rc_tm", duration(t->arena, c->advertise_reconnect_timeout_ns));
	}
	if (c->server && c->read_replica) {
		add(t, "read_replica", STR("1"));
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

/* -------- settings -------- */

static const struct json *setting(const struct conf *c, const char *group, const char *key)
{
	const struct json *at = group ? json_find(c->merged, group) : c->merged;

	return at ? json_find(at, key) : NULL;
}

struct str conf_text(const struct conf *c, const char *key)
{
	return json_find_text(c->merged, key);
}

bool conf_flag(const struct conf *c, const char *key, bool otherwise)
{
	const struct json *v = setting(c, NULL, key);

	return v && v->type == JSON_BOOL ? v->boolean : otherwise;
}

int64_t conf_number(const struct conf *c, const char *group, const char *key, int64_t otherwise)
{
	const struct json *v = setting(c, group, key);
	int64_t out;

	return v && v->type == JSON_NUMBER && str_to_i64(v->text, &out) == 0 && out > 0 ? out
											: otherwise;
}

int64_t conf_ms(const struct conf *c, const char *group, const char *key, int64_t otherwise)
{
	const struct json *v = setting(c, group, key);
	int64_t ns;

	return v && v->type == JSON_STRING && duration_parse(v->text, &ns, NULL) == 0 &&
			       ns >= NS_PER_MS
		       ? ns / NS_PER_MS
		       : otherwise;
}

static struct pool_profile profile_of(const struct conf *c, bool wan)
{
	struct pool_profile p = wan ? pool_profile_wan : pool_profile_lan;
	const char *group = wan ? "gossip_wan" : "gossip_lan";

	p.gossip_interval_ms = conf_ms(c, group, "gossip_interval", p.gossip_interval_ms);
	p.probe_interval_ms = conf_ms(c, group, "probe_interval", p.probe_interval_ms);
	p.probe_timeout_ms = conf_ms(c, group, "probe_timeout", p.probe_timeout_ms);
	p.gossip_nodes = (uint32_t)conf_number(c, group, "gossip_nodes", p.gossip_nodes);
	p.retransmit_mult = (uint32_t)conf_number(c, group, "retransmit_mult", p.retransmit_mult);
	p.suspicion_mult = (uint32_t)conf_number(c, group, "suspicion_mult", p.suspicion_mult);
	return p;
}

/* -------- this node -------- */

int pool_address_of(const struct net_address *a, struct pool_address *out)
{
	*out = (struct pool_address) { .n = 0 };
	if (a->sa.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->sa;

		out->n = 4;
		out->port = ntohs(v4->sin_port);
		memcpy(out->bytes, &v4->sin_addr, 4);
	} else if (a->sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->sa;

		out->n = 16;
		out->port = ntohs(v6->sin6_port);
		memcpy(out->bytes, &v6->sin6_addr, 16);
	}
	return out->n ? 0 : ST_INVALID;
}

static struct cidr *allowed_of(const struct strs *texts, struct arena *arena)
{
	struct cidr *allowed = arena_array(arena, struct cidr, texts->count);

	for (uint32_t i = 0; i < texts->count; i++) {
		must(!cidr_parse(texts->items[i], &allowed[i])); /* it has been checked */
	}
	return allowed;
}

int self_options(const struct conf *c, const char *id, enum gossip_pool_name pool,
	struct arena *arena, struct pool_options *out)
{
	enum { TOMBSTONE_MS = 24 * 3600 * 1000, LEAVE_DELAY_MS = 3000, RECLAIM_MS = 30000 };
	bool wan = pool == GOSSIP_WAN;
	int64_t port = wan ? c->ports.serf_wan : c->ports.serf_lan;
	int64_t reconnect_ms = c->reconnect_timeout_ns / NS_PER_MS;
	const struct strs *allowed = wan ? &c->serf_wan_allowed_cidrs : &c->serf_lan_allowed_cidrs;
	OWN_EMBEDDED(buf_fini) struct buf meta = { 0 };
	struct tags tags = { .arena = arena };
	struct net_address advertised;

	describe_tags(c, id, pool, &tags);
	serf_tags_put(&meta, tags.items, tags.count);
	*out = (struct pool_options) {
		.name = wan ? arena_printf(arena, STR_FMT "." STR_FMT, STR_ARG(c->node_name),
				      STR_ARG(c->datacenter))
			    : c->node_name,
		.meta = arena_str(arena, buf_str(&meta)),
		.versions = { 1, 5, 2, 2, 5, 4 },
		.profile = profile_of(c, wan),
		.reclaim_ms = RECLAIM_MS,
		.reconnect_timeout_ms =
			wan ? conf_ms(c, NULL, "reconnect_timeout_wan", reconnect_ms)
			    : reconnect_ms,
		.tombstone_ms = TOMBSTONE_MS,
		.leave_delay_ms = LEAVE_DELAY_MS,
		.compress = true,
		.coordinates = !c->disable_coordinates,
		.rules = wan ? POOL_RULES_WAN : POOL_RULES_LAN,
		.allowed = allowed_of(allowed, arena),
		.allowed_count = allowed->count,
		.datacenter = c->datacenter,
		.id = arena_str(arena, str_of(id)),
		.segment = STR(""),
		.seed = random_u64(),
	};
	if (net_address_parse(wan ? c->advertise_addr_wan : c->advertise_addr,
		    (int)max_of(port, (int64_t)0), &advertised)) {
		return ST_INVALID;
	}
	return pool_address_of(&advertised, &out->address);
}

/* A node of a pool as the other daemons are told of it; tags sorted by key. */
void member_of(const struct pool_node *n, struct arena *arena, struct member *out)
{
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };
	struct pair *tags = arena_array(arena, struct pair, SERF_TAGS_MAX);
	uint32_t count = 0;

	if (serf_tags_get(n->meta, tags, &count)) {
		count = 0;
	}
	pool_address_render(&n->address, &address);
	*out = (struct member) {
		.name = n->name,
		.addr = arena_str(arena, buf_str(&address)),
		.port = n->address.port,
		.tags = { tags, count, true },
		.status = n->status,
		.protocol_min = n->versions[0],
		.protocol_max = n->versions[1],
		.protocol_cur = n->versions[2],
		.delegate_min = n->versions[3],
		.delegate_max = n->versions[4],
		.delegate_cur = n->versions[5],
	};
	pairs_sort(&out->tags);
}

bool node_is_server(const struct pool_node *n)
{
	struct pair tags[SERF_TAGS_MAX];
	uint32_t count = 0;
	struct pairs all = { tags, 0, false };

	if (serf_tags_get(n->meta, tags, &count)) {
		return false;
	}
	all.count = count;
	return str_is(pairs_find(&all, STR("role")), "consul");
}
