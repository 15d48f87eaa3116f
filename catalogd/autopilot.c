/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The autopilot at the leader: once a second raftd and the pool are asked how the servers are, and
 * the one change that core/autopilot.c finds due is made. The configuration is part of the state;
 * the first leader puts that of its files there.
 */
#include "catalogd/catalogd.h"

enum { LOOK_EVERY_MS = 1000, ASK_TIMEOUT_MS = 5000, CHANGE_TIMEOUT_MS = 10000 };

/* The stored one, else that of the files. Strings live in the arena. */
static void config_now(struct catalogd *c, struct arena *arena, struct autopilot_record *out)
{
	struct kv_txn *t = db_read(c->stores.state);
	int r = t ? catalog_autopilot(t, arena, out) : ST_NOT_FOUND;

	if (t) {
		kv_abort(t);
	}
	if (r) {
		*out = (struct autopilot_record) { .create_index = 0 };
		out->config = c->daemon->conf->autopilot;
	}
}

void handle_autopilot_configuration(
	struct catalogd *c, struct ipc_call *call, const struct autopilot_configuration *m)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct autopilot_record record;
	struct autopilot_configuration_reply reply;

	config_now(c, &arena, &record);
	reply = (struct autopilot_configuration_reply) { .create_index = record.create_index,
		.modify_index = record.modify_index,
		.config = record.config };
	IPC_REPLY(call, autopilot_configuration, &reply);
}

/* ---- what is seen ---- */

struct look {
	struct list link;
	struct catalogd *c;
	struct ipc_pending *pending;
	struct ipc_call *call; /* who wants to know; NULL: the timer */
	struct arena arena;
	struct raft_health_reply raft;
	struct raft_configuration_reply quorum;
	struct autopilot_sight sights[AUTOPILOT_SERVERS_MAX];
	const struct member *members[AUTOPILOT_SERVERS_MAX]; /* NULL: not in the pool */
	struct autopilot_view view;
};

static const struct member *member_by_id(const struct catalogd *c, struct str id)
{
	const struct members_reply *m = &c->membership.roster.members;

	for (uint32_t i = 0; i < m->members.count; i++) {
		struct str known = pairs_find(&m->members.items[i].tags, STR("id"));

		if (known.p && str_ieq(known, id)) {
			return &m->members.items[i];
		}
	}
	return NULL;
}

static enum pool_status pool_status(const struct member *m)
{
	static const enum pool_status statuses[] = { [1] = POOL_ALIVE,
		[2] = POOL_ALIVE, /* about to leave */
		[3] = POOL_LEFT,
		[4] = POOL_FAILED };

	return m && m->status < ARRAY_SIZE(statuses) ? statuses[m->status] : POOL_NONE;
}

static bool has_tag(const struct member *m, const char *name)
{
	return m && pairs_find(&m->tags, str_of(name)).n > 0;
}

/* What it says of its address is not what the configuration has. */
static bool has_moved(const struct look *l, const struct raft_health_server *s)
{
	for (uint32_t i = 0; i < l->quorum.servers.count; i++) {
		const struct raft_server *known = &l->quorum.servers.items[i];

		if (s->member && str_ieq(known->id, s->id)) {
			return s->connected && s->address.n && !str_eq(known->address, s->address);
		}
	}
	return false;
}

static void look_fill(struct look *l)
{
	l->view = (struct autopilot_view) { .now = clock_mono(),
		.now_wall = clock_wall(),
		.term = l->raft.term,
		.last_index = l->raft.last_index,
		.servers = l->sights };
	for (uint32_t i = 0; i < l->raft.servers.count && i < AUTOPILOT_SERVERS_MAX; i++) {
		const struct raft_health_server *s = &l->raft.servers.items[i];
		struct autopilot_sight *sight = &l->sights[i];

		l->members[i] = member_by_id(l->c, s->id);
		*sight = (struct autopilot_sight) {
			.member = s->member,
			.voter = s->voter,
			.leader = s->leader,
			.read_replica = s->read_replica || has_tag(l->members[i], "nonvoter") ||
					has_tag(l->members[i], "read_replica"),
			.connected = s->connected,
			.moved = has_moved(l, s),
			.pool = pool_status(l->members[i]),
			.last_term = s->last_term,
			.last_index = s->last_index,
			.last_contact_ms = s->last_contact_ms,
		};
		if (!uuid_parse(s->id, &sight->id)) {
			l->view.servers_count = i + 1;
		}
	}
}

/* ---- what is done ---- */

static void on_changed(void *arg, int status, struct str payload)
{
	struct catalogd *c = arg;

	c->autopilot.changing = false;
	if (status) {
		log_warning("autopilot-change-failed", "status=%s", status_name(status));
	} else {
		loop_timer_in(&c->autopilot.timer, 0); /* what is next? */
	}
}

static void decision_execute(struct look *l, const struct autopilot_decision *d)
{
	static const char *const names[] = { [AUTOPILOT_ADD] = "add",
		[AUTOPILOT_PROMOTE] = "promote",
		[AUTOPILOT_REMOVE] = "remove" };
	struct catalogd *c = l->c;
	char id[UUID_TEXT_SIZE + 1];
	struct raft_change m = { .op = (uint8_t)d->action, .address = STR("") };

	uuid_text(&d->id, id);
	m.id = str_of(id);
	for (size_t i = 0; i < l->view.servers_count; i++) {
		if (d->action == AUTOPILOT_ADD && uuid_eq(&l->sights[i].id, &d->id)) {
			m.address = l->raft.servers.items[i].address;
		}
	}
	log_notice("autopilot", "change=%s id=%s address=" STR_FMT " reason=\"%s\"",
		names[d->action], id, STR_ARG(m.address), d->why);
	c->autopilot.changing = true;
	IPC_CALL(c->raft, raft_change, &m, CHANGE_TIMEOUT_MS, on_changed, c);
}

static void health_reply(struct look *l)
{
	static const char *const words[] = { [POOL_NONE] = "none",
		[POOL_ALIVE] = "alive",
		[POOL_FAILED] = "failed",
		[POOL_LEFT] = "left" };
	struct autopilot_server servers[AUTOPILOT_SERVERS_MAX];
	struct autopilot_health_reply reply = { .servers = { servers, 0 } };

	reply.failure_tolerance =
		autopilot_tolerance(&l->c->autopilot.core, &l->view, &reply.healthy);
	for (size_t i = 0; i < l->view.servers_count; i++) {
		const struct raft_health_server *s = &l->raft.servers.items[i];
		struct str build =
			l->members[i] ? pairs_find(&l->members[i]->tags, STR("build")) : s->version;
		struct wall since;
		bool healthy = autopilot_healthy(&l->c->autopilot.core, &l->sights[i].id, &since);

		if (!s->member) {
			continue;
		}
		servers[reply.servers.count++] = (struct autopilot_server) {
			.id = s->id,
			.name = s->node,
			.address = s->address,
			.status_word = str_of(words[l->sights[i].pool]),
			.version = str_split(build.p ? build : s->version, ':', &build),
			.leader = s->leader,
			.voter = s->voter,
			.read_replica = s->read_replica,
			.healthy = healthy,
			.last_contact_ms = s->last_contact_ms,
			.last_term = s->last_term,
			.last_index = s->last_index,
			.stable_since_ms = healthy ? wall_ms(since) : 0,
		};
	}
	IPC_REPLY(l->call, autopilot_health, &reply);
}

static void look_free(struct look *l)
{
	list_del(&l->link);
	arena_fini(&l->arena);
	free(l);
}

static void on_seen(struct look *l)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct catalogd *c = l->c;
	struct autopilot_decision decision;
	struct autopilot_record record;

	config_now(c, &arena, &record);
	look_fill(l);
	autopilot_step(&c->autopilot.core, &record.config, &l->view, &decision);
	if (decision.action && !c->autopilot.changing && !l->call) {
		decision_execute(l, &decision);
	}
	if (l->call) {
		health_reply(l);
	}
}

static void look_fail(struct look *l, int status)
{
	if (l->call) {
		ipc_refuse(l->call, status);
	}
	look_free(l);
}

static void on_quorum(void *arg, int status, struct str payload)
{
	struct look *l = arg;

	l->pending = NULL;
	if (!status) {
		payload = arena_str(&l->arena, payload);
		status = raft_configuration_reply_decode(payload, &l->arena, &l->quorum);
	}
	if (!status && !leader_here(l->c)) {
		status = ST_NOT_LEADER;
	}
	if (status) {
		look_fail(l, status);
		return;
	}
	on_seen(l);
	look_free(l);
}

static void on_health(void *arg, int status, struct str payload)
{
	struct look *l = arg;
	struct raft_configuration m = {};
	struct ipc_pending *pending;

	l->pending = NULL;
	if (!status) {
		payload = arena_str(&l->arena, payload);
		status = raft_health_reply_decode(payload, &l->arena, &l->raft);
	}
	if (status) {
		look_fail(l, status);
		return;
	}
	pending = IPC_CALL(l->c->raft_read, raft_configuration, &m, ASK_TIMEOUT_MS, on_quorum, l);
	if (pending) {
		l->pending = pending; /* NULL: refused already, and l is gone */
	}
}

static void autopilot_ask(struct catalogd *c, struct ipc_call *call)
{
	struct look *l = xcalloc(1, sizeof(*l));
	struct raft_health m = {};
	struct ipc_pending *pending;

	l->c = c;
	l->call = call;
	list_add_tail(&c->autopilot.looks, &l->link);
	pending = IPC_CALL(c->raft_read, raft_health, &m, ASK_TIMEOUT_MS, on_health, l);
	if (pending) {
		l->pending = pending; /* NULL: refused already, and l is gone */
	}
}

void handle_autopilot_health(
	struct catalogd *c, struct ipc_call *call, const struct autopilot_health *m)
{
	if (leader_here(c)) {
		autopilot_ask(c, call);
	} else {
		ipc_refuse(call, ST_NOT_LEADER);
	}
}

static void on_timer(void *arg)
{
	struct catalogd *c = arg;

	if (!c->leader.term) {
		return; /* autopilot_begin comes with the next leadership */
	}
	loop_timer_in(&c->autopilot.timer, LOOK_EVERY_MS);
	if (leader_here(c)) { /* else its lease is over, maybe for this moment only */
		autopilot_ask(c, NULL);
	}
}

/* ---- life ---- */

static void config_store(struct catalogd *c)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct autopilot_record record;
	struct cmd_autopilot cmd = { .cas = true, .index = 0 };

	config_now(c, &arena, &record);
	if (!record.create_index) {
		cmd.config = record.config;
		PROPOSE_AS_LEADER(c, cmd_autopilot, &cmd, NULL, NULL);
	}
}

void autopilot_begin(struct catalogd *c)
{
	autopilot_init_core(&c->autopilot.core);
	config_store(c);
	loop_timer_in(&c->autopilot.timer, 0);
}

void autopilot_init(struct catalogd *c)
{
	list_init(&c->autopilot.looks);
	loop_timer_init(&c->autopilot.timer, c->daemon->loop, on_timer, c);
}

void autopilot_fini(struct catalogd *c)
{
	struct look *l, *following;

	loop_timer_stop(&c->autopilot.timer);
	list_for_each_safe (l, following, &c->autopilot.looks, link) {
		if (l->pending) {
			ipc_cancel(l->pending);
		}
		look_free(l);
	}
}
