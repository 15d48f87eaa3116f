/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may be a member: Consul's rules (6.3 of the notes on the protocol), but one: two others of
 * one ID do not make a join fail, so a node under a new name gets in while its old one is failed.
 */
#include "common/base/bind.h"
#include "gossipd/core/pool_private.h"

struct consul_tags {
	struct str role, datacenter, segment, id;
};

static struct consul_tags consul_tags_of(struct str meta)
{
	struct consul_tags out = { .role = STR_NONE };
	struct pair tags[SERF_TAGS_MAX];
	uint32_t count;

	if (!meta.n || (uint8_t)meta.p[0] != 0xff || serf_tags_get(meta, tags, &count)) {
		return out;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct {
			const char *key;
			struct str *value;
		} rows[] = { { "role", &out.role }, { "dc", &out.datacenter },
			{ "segment", &out.segment }, { "id", &out.id } };

		for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
			if (str_is(tags[i].key, rows[k].key)) {
				*rows[k].value = tags[i].value;
			}
		}
	}
	return out;
}

static bool admit_lan(struct pool *p, const struct swim_alive *m, struct buf *why)
{
	struct consul_tags t = consul_tags_of(m->meta);

	if (!str_is(t.role, "consul") && !str_is(t.role, "node")) {
		return true;
	}
	if (!str_eq(t.datacenter, p->options.datacenter)) {
		buf_printf(why, "Member '" STR_FMT "' part of wrong datacenter '" STR_FMT "'",
			STR_ARG(m->node), STR_ARG(t.datacenter));
		return false;
	}
	if (!str_eq(t.segment, p->options.segment)) {
		buf_printf(why,
			"Member '" STR_FMT "' part of wrong segment '" STR_FMT
			"' (expected '" STR_FMT "')",
			STR_ARG(m->node), STR_ARG(t.segment), STR_ARG(p->options.segment));
		return false;
	}
	if (t.id.n && str_eq(t.id, p->options.id) && !str_eq(m->node, p->options.name)) {
		buf_printf(why,
			"Member '" STR_FMT "' has conflicting node ID '" STR_FMT
			"' with this agent's ID",
			STR_ARG(m->node), STR_ARG(t.id));
		return false;
	}
	return true;
}

bool rules_admit(struct pool *p, const struct swim_alive *m, bool left, struct buf *why)
{
	if (p->options.rules == POOL_RULES_LAN && !left) {
		return admit_lan(p, m, why);
	}
	if (p->options.rules == POOL_RULES_WAN && !str_is(consul_tags_of(m->meta).role, "consul")) {
		buf_printf(why, "Member '" STR_FMT "' is not a server", STR_ARG(m->node));
		return false;
	}
	return true;
}
