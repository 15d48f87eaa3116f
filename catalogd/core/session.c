/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: bound to a node and to checks, holders of locks. A session ends with its node, when one
 * of its checks goes or turns critical, or when it is destroyed; its keys are then released or
 * deleted, in the same command, and cannot be locked for a while.
 */
#include "catalogd/core/internal.h"

enum { SESSION_CHECKS_MAX = 256, SESSION_NAME_MAX = 4096 };

static struct str session_key(const struct uuid *id)
{
	return str_n(id->b, sizeof(id->b));
}

static void index_row(struct catalog *c, enum state_table table, struct str key, bool add)
{
	if (add) {
		table_put(c, table, key, STR(""));
	} else {
		table_del(c, table, key);
	}
}

void session_index(struct catalog *c, const struct session_def *s, bool add)
{
	struct state_key room;
	struct str node = lower(c, s->node), id = session_key(&s->id);

	index_row(c, STATE_SESSION_NODES, state_key2(&room, node, id), add);
	for (uint32_t i = 0; i < s->node_checks.count; i++) {
		struct str check = lower(c, s->node_checks.items[i]);

		index_row(c, STATE_SESSION_CHECKS, state_key3(&room, node, check, id), add);
	}
	for (uint32_t i = 0; i < s->service_checks.count; i++) {
		struct str check = lower(c, s->service_checks.items[i].id);

		index_row(c, STATE_SESSION_CHECKS, state_key3(&room, node, check, id), add);
	}
}

static int check_usable(struct catalog *c, struct str node, struct str id)
{
	struct entry e;
	struct health_check h;

	if (!check_find(c, node, id, &e)) {
		return fail(c, "Missing check '" STR_FMT "' registration", STR_ARG(id));
	}
	must(!health_check_decode(e.def, &c->arena, &h));
	if (str_eq(h.status, STR("critical"))) {
		return fail(c, "Check '" STR_FMT "' is in critical state", STR_ARG(id));
	}
	return 0;
}

static int checks_usable(struct catalog *c, const struct session_def *s)
{
	if (s->node_checks.count + s->service_checks.count > SESSION_CHECKS_MAX) {
		return fail(
			c, "A session cannot be bound to more than %d checks", SESSION_CHECKS_MAX);
	}
	for (uint32_t i = 0; i < s->node_checks.count; i++) {
		if (check_usable(c, s->node, s->node_checks.items[i])) {
			return ST_INVALID;
		}
	}
	for (uint32_t i = 0; i < s->service_checks.count; i++) {
		if (check_usable(c, s->node, s->service_checks.items[i].id)) {
			return ST_INVALID;
		}
	}
	return 0;
}

int session_create(struct catalog *c, struct session_def *s)
{
	struct entry now = { .create_index = c->index, .modify_index = c->index }, other;

	if (!s->behavior.n) {
		s->behavior = STR("release");
	}
	if (!str_eq(s->behavior, STR("release")) && !str_eq(s->behavior, STR("delete"))) {
		return fail(c, "Invalid session behavior: " STR_FMT, STR_ARG(s->behavior));
	}
	if (uuid_is_zero(&s->id) || s->name.n > SESSION_NAME_MAX) {
		return fail(c, "Invalid session: no ID, or a name of more than %d bytes",
			SESSION_NAME_MAX);
	}
	if (!node_find(c, s->node, &other)) {
		return fail(c, "Missing node registration");
	}
	if (checks_usable(c, s)) {
		return ST_INVALID;
	}
	session_delete(c, &s->id);
	buf_clear(&c->def);
	session_def_encode(&c->def, s);
	now.def = arena_str(&c->arena, buf_str(&c->def));
	buf_clear(&c->json);
	render_session(&c->json, s, now.create_index, now.modify_index);
	now.json = buf_str(&c->json);
	entry_put(c, STATE_SESSIONS, session_key(&s->id), &now);
	session_index(c, s, true);
	mark(c, THING_SESSIONS, STR(""));
	mark(c, THING_SESSION, session_key(&s->id));
	mark(c, THING_NODE_SESSIONS, lower(c, s->node));
	return 0;
}

static int64_t delay_ms(const struct session_def *s)
{
	int64_t ms = s->lock_delay_ns / NS_PER_MS;

	return ms < 0 ? 0 : min_of(ms, (int64_t)LOCK_DELAY_MAX_MS);
}

static void release_keys(struct catalog *c, const struct session_def *s)
{
	bool delete = str_eq(s->behavior, STR("delete"));
	struct kv_walk w;

	kv_walk_init(&w, c->t, STATE_SESSION_KEYS, session_key(&s->id));
	while (kv_walk_next(&w)) {
		struct str key = str_skip(str_n(w.at, w.key_size), sizeof(s->id.b));

		if (delete) {
			kv_delete(c, key);
		} else {
			kv_release(c, key);
		}
		if (delay_ms(s) > 0) {
			lock_delay_put(c, key, delay_ms(s));
		}
	}
}

void session_delete(struct catalog *c, const struct uuid *id)
{
	struct state_key room;
	struct entry e;
	struct session_def s;
	struct str node;
	struct kv_walk w;

	if (!entry_get(c, STATE_SESSIONS, session_key(id), &e)) {
		return;
	}
	must(!session_def_decode(e.def, &c->arena, &s));
	table_del(c, STATE_SESSIONS, session_key(&s.id));
	session_index(c, &s, false);
	release_keys(c, &s);
	query_delete_of_session(c, &s.id);
	node = lower(c, s.node);
	mark(c, THING_SESSIONS, STR(""));
	mark_gone(c, THING_SESSION, session_key(&s.id));
	kv_walk_init(&w, c->t, STATE_SESSION_NODES, state_key2(&room, node, STR("")));
	if (kv_walk_next(&w)) {
		mark(c, THING_NODE_SESSIONS, node);
	} else {
		mark_gone(c, THING_NODE_SESSIONS, node);
	}
}

/* Ends every session whose rows in the table begin with the prefix; the session's ID stands last.
 */
static void delete_indexed(struct catalog *c, enum state_table table, struct str prefix)
{
	struct kv_walk w;
	struct uuid id;

	kv_walk_init(&w, c->t, table, prefix);
	while (kv_walk_next(&w)) {
		if (w.key_size != prefix.n + sizeof(id.b)) {
			continue;
		}
		memcpy(id.b, w.at + prefix.n, sizeof(id.b));
		session_delete(c, &id);
	}
}

void session_delete_of_check(struct catalog *c, struct str node, struct str check)
{
	struct state_key room;

	delete_indexed(c, STATE_SESSION_CHECKS, lower(c, state_key3(&room, node, check, STR(""))));
}

void session_delete_of_node(struct catalog *c, struct str node)
{
	struct state_key room;

	delete_indexed(c, STATE_SESSION_NODES, lower(c, state_key2(&room, node, STR(""))));
}

int session_lookup(struct catalog *c, struct str text, struct uuid *id_out, bool *found_out)
{
	struct str ignored;
	int r;

	*found_out = false;
	buf_clear(&c->why);
	r = state_uuid(text, id_out, &c->why);
	if (r == ST_INVALID) {
		return fail_within(c, "failed session lookup: index error: ");
	}
	*found_out = !r && table_get(c, STATE_SESSIONS, session_key(id_out), &ignored);
	return 0;
}
