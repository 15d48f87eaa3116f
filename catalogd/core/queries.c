/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepared queries: names are unique, a query that is bound to a session ends with it. What a
 * template says was checked before it was proposed (validate.c): two libraries for expressions need
 * not agree, and all servers must.
 */
#include "catalogd/core/internal.h"
#include "common/msg/query.h"

static struct str id_key(const struct uuid *id)
{
	return str_n(id->b, sizeof(id->b));
}

/* The key in QUERY_SESSIONS. false: it is bound to none. */
static bool session_key(struct state_key *room, const struct query_def *q, struct str *key_out)
{
	OWN_EMBEDDED(buf_fini) struct buf ignored = { 0 };
	struct uuid session;

	if (!q->session.n || state_uuid(q->session, &session, &ignored)) {
		return false;
	}
	memcpy(room->bytes, session.b, sizeof(session.b));
	memcpy(room->bytes + sizeof(session.b), q->id.b, sizeof(q->id.b));
	*key_out = str_n(room->bytes, sizeof(session.b) + sizeof(q->id.b));
	return true;
}

static void row(struct catalog *c, enum state_table table, struct str key, bool add)
{
	if (add) {
		table_put(c, table, key, STR(""));
	} else {
		table_del(c, table, key);
	}
}

void query_index(struct catalog *c, const struct query_def *q, bool add)
{
	struct state_key room;
	struct str key;

	if (q->name.n) {
		row(c, STATE_QUERY_NAMES, query_name_key(&room, 'n', q->name, &q->id), add);
	}
	if (query_is_template(q)) {
		row(c, STATE_QUERY_NAMES, query_name_key(&room, 't', q->name, &q->id), add);
	}
	if (session_key(&room, q, &key)) {
		row(c, STATE_QUERY_SESSIONS, key, add);
	}
}

static bool query_get(
	struct catalog *c, const struct uuid *id, struct entry *e, struct query_def *q)
{
	if (!entry_get(c, STATE_QUERIES, id_key(id), e)) {
		return false;
	}
	must(!query_def_decode(e->def, &c->arena, q));
	return true;
}

static void forget(struct catalog *c, const struct query_def *q)
{
	table_del(c, STATE_QUERIES, id_key(&q->id));
	query_index(c, q, false);
	mark(c, THING_QUERIES, STR(""));
	mark_gone(c, THING_QUERY, id_key(&q->id));
}

void query_delete_of_session(struct catalog *c, const struct uuid *session)
{
	struct kv_walk w;

	kv_walk_init(&w, c->t, STATE_QUERY_SESSIONS, id_key(session));
	while (kv_walk_next(&w)) {
		struct uuid id;
		struct entry e;
		struct query_def q;

		must(w.key_size == 2 * sizeof(id.b));
		memcpy(id.b, w.at + sizeof(id.b), sizeof(id.b));
		if (query_get(c, &id, &e, &q)) {
			forget(c, &q);
		}
	}
}

/* ---- what must hold between queries ---- */

static int name_check(struct catalog *c, const struct query_def *q)
{
	struct uuid other;
	struct str ignored;

	if (q->name.n > QUERY_NAME_MAX) {
		return fail(c, "Name is too long (%zu > %d bytes)", q->name.n, QUERY_NAME_MAX);
	}
	if (q->name.n && memchr(q->name.p, 0, q->name.n)) {
		return fail(c, "Name holds a zero byte");
	}
	if (q->name.n && query_name_find(c->t, 'n', q->name, &q->id, &other)) {
		return fail(
			c, "name '" STR_FMT "' aliases an existing query name", STR_ARG(q->name));
	}
	if (!q->name.n && query_is_template(q) &&
		query_name_find(c->t, 't', q->name, &q->id, &other)) {
		return fail(c, "a query template with an empty name already exists");
	}
	if (!uuid_parse(q->name, &other) && table_get(c, STATE_QUERIES, id_key(&other), &ignored)) {
		return fail(c, "name '" STR_FMT "' aliases an existing query ID", STR_ARG(q->name));
	}
	return 0;
}

static int session_check(struct catalog *c, const struct query_def *q)
{
	struct uuid session;
	struct str ignored;
	int r;

	if (!q->session.n) {
		return 0;
	}
	buf_clear(&c->why);
	r = state_uuid(q->session, &session, &c->why);
	if (r == ST_INVALID) {
		return fail_within(c, "invalid session: index error: ");
	}
	if (r || !table_get(c, STATE_SESSIONS, id_key(&session), &ignored)) {
		return fail(c, "invalid session %s", quoted(c, q->session));
	}
	return 0;
}

static int room_check(struct catalog *c, bool known)
{
	if (c->def.n > QUERY_BYTES_MAX) {
		return fail(c, "Query is too large (%zu > %d bytes)", c->def.n, QUERY_BYTES_MAX);
	}
	if (!known && kv_count(c->t, STATE_QUERIES) >= QUERIES_MAX) {
		return fail(c, "There are too many queries (%d)", QUERIES_MAX);
	}
	return 0;
}

/* ---- commands ---- */

static int set(struct catalog *c, const struct query_def *q)
{
	struct entry now = { .create_index = c->index, .modify_index = c->index }, before;
	struct query_def old;
	bool known = query_get(c, &q->id, &before, &old);

	buf_clear(&c->def);
	query_def_encode(&c->def, q);
	if (name_check(c, q) || session_check(c, q) || room_check(c, known)) {
		return ST_INVALID;
	}
	if (known) {
		now.create_index = before.create_index;
		query_index(c, &old, false);
	}
	now.def = arena_str(&c->arena, buf_str(&c->def));
	buf_clear(&c->json);
	query_json(&c->json, q, now.create_index, now.modify_index);
	now.json = buf_str(&c->json);
	entry_put(c, STATE_QUERIES, id_key(&q->id), &now);
	query_index(c, q, true);
	mark(c, THING_QUERIES, STR(""));
	mark(c, THING_QUERY, id_key(&q->id));
	return 0;
}

static int definition_check(struct catalog *c, const struct query_def *q)
{
	buf_clear(&c->why);
	return query_check(q, &c->why) ? fail_within(c, "Invalid prepared query: ") : 0;
}

/* The query that an update or a deletion is about. */
static int existing(
	struct catalog *c, struct str text, struct uuid *id, struct entry *e, struct query_def *q)
{
	int r;

	buf_clear(&c->why);
	r = state_uuid(text, id, &c->why);
	if (r == ST_INVALID) {
		return fail_within(c, "Prepared Query lookup failed: failed prepared query "
				      "lookup: index error: ");
	}
	if (r || !query_get(c, id, e, q)) {
		return fail(c, "Cannot modify non-existent prepared query: '" STR_FMT "'",
			STR_ARG(text));
	}
	return 0;
}

int query_apply(struct catalog *c, struct cmd_query *cmd)
{
	struct entry e;
	struct query_def old;

	if (cmd->op > QUERY_DELETE) {
		return fail(c, "Unknown prepared query operation: %u", cmd->op);
	}
	if (cmd->op != QUERY_CREATE && existing(c, cmd->id, &cmd->query.id, &e, &old)) {
		return ST_INVALID;
	}
	if (cmd->op == QUERY_DELETE) {
		forget(c, &old);
		return 0;
	}
	return definition_check(c, &cmd->query) ? ST_INVALID : set(c, &cmd->query);
}
