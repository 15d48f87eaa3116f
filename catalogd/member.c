/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader makes the catalogue follow the pool (Consul's membership rules): an alive member is a
 * node with a passing serfHealth, a server also has the service "consul"; a failed one's serfHealth
 * is critical; one that left is deregistered. Looked at when the pool changes, soon after somebody
 * changed such a node, and every minute. What the node's own agent registers stays untouched.
 */
#include "catalogd/catalogd.h"

enum {
	MEMBERS_WAIT_MS = 60000,
	RECONCILE_EVERY_MS = 60000,
	RECONCILE_SOON_MS = 1000,
	RECONCILE_RETRY_MS = 250,
	MEMBER_ALIVE = 1,
	MEMBER_LEFT = 3,
	MEMBER_FAILED = 4,
};

static const struct str serf_health = { "serfHealth", 10 };

struct member_view {
	const struct member *m;
	struct str id; /* of the node */
	bool server;
	int64_t server_port;
	struct pair meta[6];
};

static struct str tag(const struct member *m, const char *name)
{
	struct str v = pairs_find(&m->tags, str_of(name));

	return v.p ? v : STR("");
}

static struct str number(struct arena *arena, uint8_t n)
{
	return arena_printf(arena, "%u", n);
}

static struct member_view view_of(const struct member *m, struct arena *arena)
{
	struct member_view v = {
		.m = m, .id = tag(m, "id"), .server = str_eq(tag(m, "role"), STR("consul"))
	};
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

static bool node_get(struct kv_txn *t, struct str name, struct arena *arena, struct node_def *out)
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

static bool serf_status_is(
	struct kv_txn *t, struct str node, struct arena *arena, struct str status)
{
	struct check_record r;
	struct str value;

	return record_get(t, STATE_CHECKS, node, serf_health, &value) &&
	       !check_record_decode(value, arena, &r) && str_eq(r.def.status, status);
}

static bool service_same(struct kv_txn *t, struct member_view *v, struct arena *arena)
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

static void on_done(void *arg, int status, const struct result *result)
{
	struct catalogd *c = arg;

	c->membership.proposing--;
	if (status || result->kind != RESULT_OK) {
		log_warning("member-not-registered", "status=%s text=" STR_FMT, status_name(status),
			STR_ARG(result ? result->text : STR("")));
	}
}

/* What is in the catalogue of the node's addresses and meta came from its own agent and is kept. */
static void register_member(struct catalogd *c, struct kv_txn *t, struct member_view *v,
	struct arena *arena, bool alive)
{
	struct health_check check = serf_check(v->m, alive);
	struct cmd_register cmd = { .skip_node_update = !alive, .has_service = alive && v->server };
	struct node_def known = { .node = v->m->name };

	node_get(t, v->m->name, arena, &known);
	cmd.node = (struct node_def) {
		.id = v->id,
		.node = v->m->name,
		.address = v->m->addr,
		.datacenter = c->daemon->conf->datacenter,
		.tagged_addresses = known.tagged_addresses,
		.meta = known.meta,
	};
	cmd.service = consul_service(v);
	cmd.checks.items = &check;
	cmd.checks.count = 1;
	c->membership.proposing++;
	PROPOSE_AS_LEADER(c, cmd_register, &cmd, on_done, c);
}

static void member_alive(
	struct catalogd *c, struct kv_txn *t, struct member_view *v, struct arena *arena)
{
	struct node_def node;

	if (node_get(t, v->m->name, arena, &node) && str_eq(node.address, v->m->addr) &&
		service_same(t, v, arena) && serf_status_is(t, v->m->name, arena, STR("passing"))) {
		return;
	}
	log_info("member-registered", "node=" STR_FMT, STR_ARG(v->m->name));
	register_member(c, t, v, arena, true);
}

static void member_failed(
	struct catalogd *c, struct kv_txn *t, struct member_view *v, struct arena *arena)
{
	struct node_def node;

	if (node_get(t, v->m->name, arena, &node) &&
		!serf_status_is(t, v->m->name, arena, STR("critical"))) {
		register_member(c, t, v, arena, false);
	}
}

static void member_left(
	struct catalogd *c, struct kv_txn *t, struct member_view *v, struct arena *arena)
{
	struct cmd_deregister cmd = { .node = v->m->name };
	struct node_def node;

	if (!str_ieq(v->m->name, c->membership.members.self) &&
		node_get(t, v->m->name, arena, &node)) {
		c->membership.proposing++;
		PROPOSE_AS_LEADER(c, cmd_deregister, &cmd, on_done, c);
	}
}

static void reconcile_member(struct catalogd *c, struct kv_txn *t, const struct member *m)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct member_view v = view_of(m, &arena);

	switch (m->status) {
	case MEMBER_ALIVE:
		member_alive(c, t, &v, &arena);
		break;
	case MEMBER_FAILED:
		member_failed(c, t, &v, &arena);
		break;
	case MEMBER_LEFT:
		member_left(c, t, &v, &arena);
		break;
	default:
		break; /* about to leave */
	}
}

static void on_reconcile(void *arg)
{
	struct catalogd *c = arg;
	struct membership *ms = &c->membership;
	struct mono before = clock_mono();
	struct kv_txn *t;

	loop_timer_in(&ms->reconcile, RECONCILE_EVERY_MS);
	if (!ms->members.members.count) {
		return;
	}
	if (!c->shown.ready || !leader_here(c) || ms->proposing) {
		loop_timer_in(&ms->reconcile, RECONCILE_RETRY_MS);
		return;
	}
	t = db_read(c->stores.state);
	for (uint32_t i = 0; t && i < ms->members.members.count; i++) {
		reconcile_member(c, t, &ms->members.members.items[i]);
	}
	if (t) {
		kv_abort(t);
	}
	metrics_add(c->daemon->metrics, METRIC_RECONCILE,
		(double)mono_diff_ns(clock_mono(), before) / NS_PER_MS);
}

void membership_changed(struct catalogd *c, struct str node)
{
	const struct members_reply *m = &c->membership.members;

	for (uint32_t i = 0; i < m->members.count; i++) {
		if (str_ieq(m->members.items[i].name, node)) {
			loop_timer_in(&c->membership.reconcile, RECONCILE_SOON_MS);
			return;
		}
	}
}

void membership_now(struct catalogd *c)
{
	loop_timer_in(&c->membership.reconcile, 0);
}

static void members_ask(struct catalogd *c);

static void on_members(void *arg, int status, struct str payload)
{
	struct catalogd *c = arg;
	struct membership *ms = &c->membership;

	ms->pending = NULL;
	if (status) {
		loop_timer_in(&ms->again, status == ST_TIMEOUT ? 0 : RECONCILE_RETRY_MS);
		return;
	}
	arena_reset(&ms->arena);
	payload = arena_str(&ms->arena, payload);
	if (members_reply_decode(payload, &ms->arena, &ms->members)) {
		log_error("members-malformed", "bytes=%zu", payload.n);
		ms->members = (struct members_reply) { .version = 0 };
		loop_timer_in(&ms->again, RECONCILE_EVERY_MS);
		return;
	}
	loop_timer_in(&ms->reconcile, 0);
	members_ask(c);
}

static void members_ask(struct catalogd *c)
{
	struct members m = { .version = c->membership.members.version, .wait_ms = MEMBERS_WAIT_MS };

	if (!c->membership.pending && !c->daemon->draining) {
		c->membership.pending =
			IPC_CALL(c->gossip, members, &m, MEMBERS_WAIT_MS + 10000, on_members, c);
	}
}

static void on_again(void *arg)
{
	members_ask(arg);
}

void membership_start(struct catalogd *c)
{
	loop_timer_init(&c->membership.again, c->daemon->loop, on_again, c);
	loop_timer_init(&c->membership.reconcile, c->daemon->loop, on_reconcile, c);
	members_ask(c);
}

void membership_fini(struct catalogd *c)
{
	loop_timer_stop(&c->membership.again);
	loop_timer_stop(&c->membership.reconcile);
	if (c->membership.pending) {
		ipc_cancel(take(c->membership.pending));
	}
	arena_fini(&c->membership.arena);
}
