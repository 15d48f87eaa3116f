/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: registration, identity (a node is its ID; its name may change), removal with everything
 * that hangs on it. And the two commands that begin at a node: register and deregister.
 */
#include "catalogd/core/internal.h"

bool node_find(struct catalog *c, struct str name, struct entry *out)
{
	return name.n && name.n <= NODE_NAME_MAX && entry_get(c, STATE_NODES, lower(c, name), out);
}

bool node_find_id(struct catalog *c, struct str id, struct entry *out)
{
	struct uuid uuid;
	struct str key;

	return !uuid_parse(id, &uuid) &&
	       table_get(c, STATE_NODE_IDS, str_n(uuid.b, sizeof(uuid.b)), &key) &&
	       entry_get(c, STATE_NODES, arena_str(&c->arena, key), out);
}

static struct node_def node_decode(struct catalog *c, const struct entry *e)
{
	struct node_def def;

	must(!node_def_decode(e->def, &c->arena, &def));
	return def;
}

/* "If the holder of a name has failed, its name may be taken": a node without serfHealth was
 * registered by hand and counts as failed. */
static bool node_healthy(struct catalog *c, struct str name)
{
	struct entry e;
	struct health_check h;

	if (!check_find(c, name, STR("serfHealth"), &e)) {
		return false;
	}
	must(!health_check_decode(e.def, &c->arena, &h));
	return !str_eq(h.status, STR("critical"));
}

/* May the node have its name? take_unnamed: a holder without an ID gives it up. */
static int name_reserve(struct catalog *c, const struct node_def *node, bool take_unnamed)
{
	struct entry e;
	struct node_def holder;

	if (!node_find(c, node->node, &e)) {
		return 0;
	}
	holder = node_decode(c, &e);
	if (str_eq(holder.id, node->id) || (take_unnamed && !holder.id.n) ||
		!node_healthy(c, holder.node)) {
		return 0;
	}
	return fail(c,
		"Node name " STR_FMT " is reserved by node " STR_FMT " with name " STR_FMT
		" (" STR_FMT ")",
		STR_ARG(node->node), STR_ARG(holder.id), STR_ARG(holder.node),
		STR_ARG(holder.address));
}

void node_id_index(struct catalog *c, const struct node_def *node, bool add)
{
	struct uuid uuid;
	struct str key;

	if (uuid_parse(node->id, &uuid)) {
		return;
	}
	key = str_n(uuid.b, sizeof(uuid.b));
	if (add) {
		table_put(c, STATE_NODE_IDS, key, lower(c, node->node));
	} else {
		table_del(c, STATE_NODE_IDS, key);
	}
}

static void node_address(struct catalog *c, const struct node_def *node, bool gone)
{
	struct address_note note = {
		.gone = gone,
		.owner = NAMING_OWNER_NODE,
		.address = node->address,
		.id = lower(c, node->node),
		.name = node->node,
	};

	address_note(c, &note);
}

static void naming_node(struct catalog *c, struct str key)
{
	set_add(&c->renamed, arena_printf(&c->arena, "n" STR_FMT, STR_ARG(key)));
}

/* Whoever is stored under this name now loses its place in the indexes. */
static void node_unindex(struct catalog *c, struct str name)
{
	struct entry e;
	struct node_def def;

	if (node_find(c, name, &e)) {
		def = node_decode(c, &e);
		node_id_index(c, &def, false);
		node_address(c, &def, true);
	}
}

/* Consul's rules of identity: what is known of this node, by its ID or else by its name. */
static int node_known(
	struct catalog *c, const struct node_def *node, bool *known_out, struct entry *out)
{
	*known_out = node->id.n && node_find_id(c, node->id, out);
	if (*known_out) {
		struct node_def before = node_decode(c, out);

		if (str_eq(before.node, node->node)) {
			return 0;
		}
		if (name_reserve(c, node, false)) {
			return fail_within(c, "Error while renaming Node ID: %s (" STR_FMT "): ",
				quoted(c, node->id), STR_ARG(node->address));
		}
		node_delete(c, before.node);
		return 0;
	}
	if (node->id.n && name_reserve(c, node, true)) {
		return fail_within(c, "Error while renaming Node ID: %s: ", quoted(c, node->id));
	}
	*known_out = node_find(c, node->node, out);
	return 0;
}

int node_ensure(struct catalog *c, struct node_def *node)
{
	struct entry before, now = { .create_index = c->index, .modify_index = c->index };
	struct uuid uuid;
	struct str key;
	bool known;

	if (!node->node.n || node->node.n > NODE_NAME_MAX ||
		memchr(node->node.p, 0, node->node.n)) {
		return fail(c, "Invalid node name: must have 1 to %d bytes, none of them zero",
			NODE_NAME_MAX);
	}
	if (node->id.n && uuid_parse(node->id, &uuid)) {
		return fail(c, "Bad node ID: uuid is improperly formatted");
	}
	pairs_sort(&node->tagged_addresses);
	pairs_sort(&node->meta);
	if (node_known(c, node, &known, &before)) {
		return ST_INVALID;
	}
	buf_clear(&c->def);
	node_def_encode(&c->def, node);
	now.def = arena_str(&c->arena, buf_str(&c->def));
	if (known) {
		if (str_eq(before.def, now.def)) {
			return 0;
		}
		now.create_index = before.create_index;
	}
	node_unindex(c, node->node);
	key = lower(c, node->node);
	buf_clear(&c->json);
	render_node(&c->json, node, now.create_index, now.modify_index);
	now.json = buf_str(&c->json);
	entry_put(c, STATE_NODES, key, &now);
	node_id_index(c, node, true);
	node_address(c, node, false);
	mark(c, THING_NODES, STR(""));
	mark(c, THING_NODE, key);
	naming_node(c, key);
	derive_note_node(c, key);
	return 0;
}

void node_delete(struct catalog *c, struct str name)
{
	struct str key = lower(c, name), prefix;
	struct kv_walk w;
	struct state_key room;
	struct entry e;

	if (!node_find(c, name, &e)) {
		return;
	}
	prefix = arena_str(&c->arena, state_key2(&room, key, STR("")));
	kv_walk_init(&w, c->t, STATE_SERVICES, prefix);
	while (kv_walk_next(&w)) {
		service_delete(c, key, str_skip(str_n(w.at, w.key_size), prefix.n));
	}
	kv_walk_init(&w, c->t, STATE_CHECKS, prefix);
	while (kv_walk_next(&w)) {
		check_delete(c, key, str_skip(str_n(w.at, w.key_size), prefix.n));
	}
	coordinates_delete(c, key);
	node_unindex(c, name);
	table_del(c, STATE_NODES, key);
	mark(c, THING_NODES, STR(""));
	mark_gone(c, THING_NODE, key);
	naming_node(c, key);
	session_delete_of_node(c, key);
}

/* Does the request say anything new of the node? */
static bool node_changes(struct catalog *c, struct cmd_register *cmd)
{
	struct entry e;

	if (!node_find(c, cmd->node.node, &e)) {
		return true;
	}
	if (cmd->skip_node_update) {
		return false;
	}
	pairs_sort(&cmd->node.tagged_addresses);
	pairs_sort(&cmd->node.meta);
	buf_clear(&c->def);
	node_def_encode(&c->def, &cmd->node);
	return !str_eq(e.def, buf_str(&c->def));
}

static int register_check(struct catalog *c, struct str node, struct health_check *h)
{
	if (!h->node.n) {
		h->node = node;
	}
	if (!str_eq(h->node, node)) {
		return fail(c, "check node %s does not match node %s", quoted(c, h->node),
			quoted(c, node));
	}
	if (check_ensure(c, h)) {
		buf_printf(&c->why, " on node %s", quoted(c, node));
		return fail_within(c, "failed inserting check: ");
	}
	return 0;
}

int register_apply(struct catalog *c, struct cmd_register *cmd)
{
	if (node_changes(c, cmd) && node_ensure(c, &cmd->node)) {
		return fail_within(c, "failed inserting node: ");
	}
	if (cmd->has_service && service_ensure(c, cmd->node.node, &cmd->service)) {
		return fail_within(c, "failed inserting service: ");
	}
	for (uint32_t i = 0; i < cmd->checks.count; i++) {
		if (register_check(c, cmd->node.node, &cmd->checks.items[i])) {
			return ST_INVALID;
		}
	}
	return 0;
}

int deregister_apply(struct catalog *c, const struct cmd_deregister *cmd)
{
	if (cmd->service_id.n) {
		service_delete(c, cmd->node, cmd->service_id);
	} else if (cmd->check_id.n) {
		check_delete(c, cmd->node, cmd->check_id);
	} else {
		node_delete(c, cmd->node);
	}
	return 0;
}
