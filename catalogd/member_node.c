/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a member of the pool looks like in the catalogue, what is there of it now, and the changes
 * that the leader proposes about it.
 */
#include "catalogd/catalogd.h"

static const struct str serf_health = { "serfHealth", 10 };

static struct str tag(const struct member *m, const char *name)
{
	struct str v = pairs_find(&m->tags, str_of(name));

	return v.p ? v : STR("");
}

static struct str number(struct arena *arena, uint8_t n)
{
	return arena_printf(arena, "%u", n);
}

struct member_view member_view_of(const struct roster_row *row, struct arena *arena)
{
	const struct member *m = row->m;
	struct member_view v = { .m = m, .id = row->id, .server = row->server };
	struct str build = tag(m, "build");

	if (str_to_i64(tag(m, "port"), &v.server_port)) {
		v.server_port = 8300;
	}
	v.meta[0] = (struct pair) { STR("non_voter"),
		tag(m, "nonvoter").n ? STR("true") : STR("false") };
	v.meta[1] = (struct pair) { STR("raft_version"), tag(m, "raft_vsn") };
	v.meta[2] = (struct pair) { STR("serf_protocol_current"), number(arena, m->protocol_cur) };
	v.meta[3] = (struct pair) { STR("serf_protocol_max"), number(arena, m->protocol_max) };
	v.meta[4] = (struct pair) { STR("serf_protocol_min"), number(arena, m->protocol_min) };
	v.meta[5] = (struct pair) { STR("version"), str_split(build, ':', &build) };
	return v;
}

static struct service_def consul_service(struct member_view *v)
{
	return (struct service_def) {
		.id = STR("consul"),
		.name = STR("consul"),
		.meta = { v->meta, ARRAY_SIZE(v->meta), true },
		.port = v->server_port,
		.weight_passing = 1,
		.weight_warning = 1,
	};
}

/* -------- what is there -------- */

static bool record_get(struct kv_txn *t, enum state_table table, struct str node, struct str id,
	struct str *value_out)
{
	struct state_key room, lower;
	struct str key = state_lower(&lower, node);

	if (id.p) {
		key = state_key2(&room, key, id);
		key = state_lower(&lower, key);
	}
	return kv_get(t, table, key, value_out);
}

bool member_node(struct kv_txn *t, struct str name, struct arena *arena, struct node_def *out)
{
	struct node_record r;
	struct str value;

	if (!record_get(t, STATE_NODES, name, STR_NONE, &value) ||
		node_record_decode(value, arena, &r)) {
		return false;
	}
	*out = r.def;
	return true;
}

bool member_health_is(struct kv_txn *t, struct str node, struct arena *arena, struct str status)
{
	struct check_record r;
	struct str value;

	return record_get(t, STATE_CHECKS, node, serf_health, &value) &&
	       !check_record_decode(value, arena, &r) && str_eq(r.def.status, status);
}

bool member_has_health(struct kv_txn *t, struct str node)
{
	struct str value;

	return record_get(t, STATE_CHECKS, node, serf_health, &value);
}

bool member_service_same(struct kv_txn *t, struct member_view *v, struct arena *arena)
{
	OWN_EMBEDDED(buf_fini) struct buf a = { 0 }, b = { 0 };
	struct service_def wanted = consul_service(v);
	struct service_record r;
	struct str value;

	if (!v->server) {
		return true;
	}
	if (!record_get(t, STATE_SERVICES, v->m->name, STR("consul"), &value) ||
		service_record_decode(value, arena, &r)) {
		return false;
	}
	service_def_encode(&a, &wanted);
	service_def_encode(&b, &r.def);
	return str_eq(buf_str(&a), buf_str(&b));
}

/* -------- changes of the catalogue -------- */

/* A change that waits for its commit. */
struct member_change {
	struct list link;
	struct catalogd *c;
	char *name;
};

static struct roster_row *row_named(struct catalogd *c, struct str name)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct str key = arena_str(&arena, name);

	str_lower_into(name, (char *)key.p);
	return roster_find(&c->membership.roster, key);
}

/* Said once, until something else is wrong or all is well. */
void member_trouble(struct catalogd *c, struct str name, struct str text)
{
	struct roster_row *row = row_named(c, name);

	if (row && str_eq(row->trouble, text)) {
		return;
	}
	if (row) {
		row->trouble = arena_str(&c->membership.roster.arena, text);
	}
	if (text.n) {
		log_warning("member-refused", "node=" STR_FMT " reason=\"" STR_FMT "\"",
			STR_ARG(name), STR_ARG(text));
	}
}

static void change_free(struct member_change *change)
{
	list_del(&change->link);
	change->c->membership.proposing--;
	free(change->name);
	free(change);
}

static void look_again(struct catalogd *c, struct str name)
{
	struct roster_row *row = row_named(c, name);

	if (row) {
		membership_changed(c, row->key);
	}
}

static void on_done(void *arg, int status, const struct result *result)
{
	struct member_change *change = arg;
	struct catalogd *c = change->c;

	if (status) { /* nobody knows what became of it: the next look tells */
		log_debug("member-change", "node=%s status=%s", change->name, status_name(status));
		look_again(c, str_of(change->name));
	} else {
		member_trouble(c, str_of(change->name),
			result->kind == RESULT_OK ? STR("") : result->text);
	}
	change_free(change);
	if (c->membership.proposing < MEMBERS_PROPOSING_MAX / 2) {
		membership_look_in(c, 0);
	}
}

static struct member_change *change_new(struct catalogd *c, struct str name)
{
	struct member_change *change = xcalloc(1, sizeof(*change));

	change->c = c;
	change->name = str_dup(name);
	list_add_tail(&c->membership.changes, &change->link);
	c->membership.proposing++;
	return change;
}

static struct health_check serf_check(const struct member *m, bool alive)
{
	return (struct health_check) {
		.node = m->name,
		.check_id = serf_health,
		.name = STR("Serf Health Status"),
		.status = alive ? STR("passing") : STR("critical"),
		.output = alive ? STR("Agent alive and reachable")
				: STR("Agent not live or unreachable"),
		.definition_json = STR("{}"),
	};
}

/* What is in the catalogue of the node's addresses and meta came from its own agent and is kept. */
void member_register(
	struct catalogd *c, struct member_view *v, const struct node_def *known, bool alive)
{
	struct health_check check = serf_check(v->m, alive);
	struct cmd_register cmd = { .skip_node_update = !alive, .has_service = alive && v->server };

	cmd.node = (struct node_def) {
		.id = v->id,
		.node = v->m->name,
		.address = v->m->addr,
		.datacenter = c->daemon->conf->datacenter,
		.tagged_addresses = known->tagged_addresses,
		.meta = known->meta,
	};
	cmd.service = consul_service(v);
	cmd.checks.items = &check;
	cmd.checks.count = 1;
	PROPOSE_AS_LEADER(c, cmd_register, &cmd, on_done, change_new(c, v->m->name));
}

void member_deregister(struct catalogd *c, struct str name, const char *why)
{
	struct cmd_deregister cmd = { .node = name };

	log_info("member-deregistered", "node=" STR_FMT " reason=%s", STR_ARG(name), why);
	PROPOSE_AS_LEADER(c, cmd_deregister, &cmd, on_done, change_new(c, name));
}

void member_changes_fini(struct catalogd *c)
{
	struct member_change *change, *following;

	list_for_each_safe (change, following, &c->membership.changes, link) {
		change_free(change);
	}
}
