/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks as the catalogue knows them, and the rows by which they are found.
 */
#include "catalogd/core/internal.h"

static bool check_key(struct catalog *c, struct str node, struct str id, struct str *out)
{
	struct state_key room;

	if (!node.n || node.n > NODE_NAME_MAX || !id.n || id.n > CHECK_ID_MAX) {
		return false;
	}
	*out = lower(c, state_key2(&room, node, id));
	return true;
}

bool check_find(struct catalog *c, struct str node, struct str id, struct entry *out)
{
	struct str key;

	return check_key(c, node, id, &key) && entry_get(c, STATE_CHECKS, key, out);
}

static void row(
	struct catalog *c, enum state_table table, struct str key, struct str value, bool add)
{
	if (add) {
		table_put(c, table, key, value);
	} else {
		table_del(c, table, key);
	}
}

void check_index(struct catalog *c, struct str key, const struct health_check *h, bool add)
{
	struct str node = lower(c, h->node), id = lower(c, h->check_id);
	struct state_key room;

	row(c, STATE_CHECK_STATES, state_key3(&room, h->status, node, id), key, add);
	row(c, STATE_INSTANCE_CHECKS, state_key3(&room, node, lower(c, h->service_id), id), STR(""),
		add);
	if (h->service_name.n) {
		row(c, STATE_SERVICE_CHECKS, state_key3(&room, lower(c, h->service_name), node, id),
			key, add);
	}
}

/* Is there any row that begins with part 0 ? */
static bool any_row(struct catalog *c, enum state_table table, struct str part)
{
	struct state_key room;
	struct kv_walk w;

	kv_walk_init(&w, c->t, table, state_key2(&room, part, STR("")));
	return kv_walk_next(&w);
}

static void mark_of(struct catalog *c, enum state_table table, enum thing kind, struct str name)
{
	if (any_row(c, table, name)) {
		mark(c, kind, name);
	} else {
		mark_gone(c, kind, name);
	}
}

/* What showed, or shows, this check. Its rows are as they are after the change. */
static void check_changed(struct catalog *c, const struct health_check *h)
{
	mark(c, THING_CHECKS, STR(""));
	mark_of(c, STATE_CHECKS, THING_NODE_CHECKS, lower(c, h->node));
	mark_of(c, STATE_CHECK_STATES, THING_CHECK_STATE, h->status);
	if (h->service_name.n) {
		mark_of(c, STATE_SERVICE_CHECKS, THING_SERVICE_CHECKS, lower(c, h->service_name));
	}
	if (h->service_id.n) {
		derive_note_instance(c, h->node, h->service_id);
	} else {
		derive_note_node(c, lower(c, h->node));
	}
}

static int check_names(struct catalog *c, struct health_check *h)
{
	if (!h->status.n) {
		h->status = STR("critical");
	}
	if (!h->check_id.n) {
		return fail(c, "failed inserting check: object missing primary index");
	}
	if (memchr(h->check_id.p, 0, h->check_id.n) || memchr(h->status.p, 0, h->status.n)) {
		return fail(c, "Invalid check ID or status: holds a zero byte");
	}
	if (h->status.n > STATUS_MAX) {
		return fail(c, "Check status is too long (limit: %d bytes)", STATUS_MAX);
	}
	if (h->check_id.n > CHECK_ID_MAX || h->service_id.n > SERVICE_ID_MAX ||
		h->node.n + h->check_id.n + max_of(h->service_name.n, h->service_id.n) >
			INSTANCE_NAMES_MAX) {
		return fail(c,
			"Check ID is too long (limit: %d, together with the names of node and "
			"service %d bytes)",
			CHECK_ID_MAX, INSTANCE_NAMES_MAX);
	}
	return 0;
}

/* A check of a service carries the service's name and tags as they are now. */
static int check_of_service(struct catalog *c, struct health_check *h)
{
	struct entry e;
	struct service_def s;

	if (!h->service_id.n) {
		return 0;
	}
	if (!service_find(c, h->node, h->service_id, &e)) {
		return fail(c, "Missing service registration");
	}
	must(!service_def_decode(e.def, &c->arena, &s));
	h->service_name = s.name;
	h->service_tags = s.tags;
	return 0;
}

/* Are both found under the same rows? Then only what is shown of it has changed. */
static bool same_rows(const struct health_check *a, const struct health_check *b)
{
	return str_eq(a->status, b->status) && str_ieq(a->service_id, b->service_id) &&
	       str_ieq(a->service_name, b->service_name);
}

static void check_move(
	struct catalog *c, struct str key, const struct health_check *h, const struct entry *before)
{
	struct health_check old;

	must(!health_check_decode(before->def, &c->arena, &old));
	if (!same_rows(&old, h)) {
		check_index(c, key, &old, false);
		check_index(c, key, h, true);
		check_changed(c, &old);
	}
}

static void check_write(
	struct catalog *c, struct str key, const struct health_check *h, const struct entry *before)
{
	struct entry now = { .create_index = c->index, .modify_index = c->index };

	now.def = arena_str(&c->arena, buf_str(&c->def));
	if (before) {
		now.create_index = before->create_index;
		check_move(c, key, h, before);
	} else {
		check_index(c, key, h, true);
	}
	buf_clear(&c->json);
	render_check(&c->json, h, now.create_index, now.modify_index, false);
	now.json = buf_str(&c->json);
	entry_put(c, STATE_CHECKS, key, &now);
	check_changed(c, h);
}

int check_ensure(struct catalog *c, struct health_check *h)
{
	struct entry before, node;
	struct str key;
	bool known;

	if (!node_find(c, h->node, &node)) {
		return fail(c, "Missing node registration");
	}
	if (check_of_service(c, h) || check_names(c, h)) {
		return ST_INVALID;
	}
	must(check_key(c, h->node, h->check_id, &key));
	known = entry_get(c, STATE_CHECKS, key, &before);
	if (str_eq(h->status, STR("critical"))) {
		session_delete_of_check(c, h->node, h->check_id);
	}
	buf_clear(&c->def);
	health_check_encode(&c->def, h);
	if (!known || !str_eq(before.def, buf_str(&c->def))) {
		check_write(c, key, h, known ? &before : NULL);
	}
	return 0;
}

void check_delete(struct catalog *c, struct str node, struct str id)
{
	struct entry e;
	struct health_check h;
	struct str key;

	if (!check_key(c, node, id, &key) || !entry_get(c, STATE_CHECKS, key, &e)) {
		return;
	}
	must(!health_check_decode(e.def, &c->arena, &h));
	check_index(c, key, &h, false);
	table_del(c, STATE_CHECKS, key);
	check_changed(c, &h);
	session_delete_of_check(c, h.node, h.check_id);
}
