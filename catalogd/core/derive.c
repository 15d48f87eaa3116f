/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps what is served about instances (HEALTH, INSTANCES) in step with nodes, services and checks:
 * commands note what they touched, derive_flush renders that again at their end, and only what came
 * out different is written and counts as changed.
 */
#include "catalogd/core/internal.h"

void derive_note_instance(struct catalog *c, struct str node, struct str id)
{
	struct state_key room;

	set_add(&c->dirty, lower(c, state_key2(&room, node, id)));
}

void derive_note_node(struct catalog *c, struct str node)
{
	struct state_key room;
	struct kv_walk w;

	kv_walk_init(&w, c->t, STATE_SERVICES, state_key2(&room, node, STR("")));
	while (kv_walk_next(&w)) {
		set_add(&c->dirty, str_n(w.at, w.key_size));
	}
}

void derive_naming(struct catalog *c, struct str service)
{
	set_add(&c->renamed, arena_printf(&c->arena, "s" STR_FMT, STR_ARG(service)));
}

void derive_drop_instance(struct catalog *c, struct str node, struct str id, struct str service)
{
	struct state_key room;
	struct kv_walk w;
	struct str name = lower(c, service);
	struct str key = state_key3(&room, name, lower(c, node), lower(c, id));

	table_del(c, STATE_HEALTH, key);
	mark(c, THING_INSTANCES, STR(""));
	table_del(c, STATE_INSTANCES, key);
	kv_walk_init(&w, c->t, STATE_INSTANCES, state_key2(&room, name, STR("")));
	if (kv_walk_next(&w)) {
		mark(c, THING_SERVICE_CATALOG, name);
		mark(c, THING_SERVICE_HEALTH, name);
	} else {
		mark_gone(c, THING_SERVICE_CATALOG, name);
		mark_gone(c, THING_SERVICE_HEALTH, name);
	}
	derive_naming(c, name);
}

/* What is rendered together; the node is that of the last instance, mostly the same again. */
struct instance {
	struct str node_key, id_key; /* lower case */
	struct entry node, service;
	struct node_def node_def;
	struct service_def def;
	enum health status;
};

/* Appends the checks that stand under node 0 service id 0; notes the worst status. */
static void put_checks(struct catalog *c, struct instance *in, struct str service_id, bool *comma)
{
	struct state_key room;
	struct str prefix =
		arena_str(&c->arena, state_key3(&room, in->node_key, service_id, STR("")));
	struct kv_walk w;
	struct str value;

	kv_walk_init(&w, c->t, STATE_INSTANCE_CHECKS, prefix);
	while (kv_walk_next(&w)) {
		struct str id = str_skip(str_n(w.at, w.key_size), prefix.n);
		struct health_check h;
		struct cursor cursor;
		struct str json;

		must(table_get(c, STATE_CHECKS, state_key2(&room, in->node_key, id), &value));
		cursor = cursor_of(value);
		json = wire_get_STR(&cursor, NULL);
		cursor_take(&cursor, 2 * sizeof(uint64_t));
		health_check_read(&cursor, &c->arena, &h);
		must(!cursor.bad);
		in->status = max_of(in->status, health_of(h.status));
		if (*comma) {
			buf_put_char(&c->json, ',');
		}
		buf_put_str(&c->json, json);
		*comma = true;
	}
}

static void render_health(struct catalog *c, struct instance *in)
{
	bool comma = false;

	buf_clear(&c->json);
	buf_put_lit(&c->json, "{\"Node\":");
	buf_put_str(&c->json, in->node.json);
	buf_put_lit(&c->json, ",\"Service\":");
	buf_put_str(&c->json, in->service.json);
	buf_put_lit(&c->json, ",\"Checks\":[");
	in->status = HEALTH_PASSING;
	put_checks(c, in, STR(""), &comma);
	put_checks(c, in, in->id_key, &comma);
	buf_put_lit(&c->json, "]}");
}

/* Without what is served: does DNS see a difference? */
static bool same_naming(struct str before, struct str now)
{
	struct cursor a = cursor_of(before), b = cursor_of(now);

	if (cursor_u8(&a) != cursor_u8(&b)) {
		return false;
	}
	wire_get_STR(&a, NULL);
	wire_get_STR(&b, NULL);
	return str_eq(cursor_rest(&a), cursor_rest(&b));
}

static void put_health(struct catalog *c, struct str key, struct instance *in)
{
	struct health_record r;
	struct str before, name = lower(c, in->def.name);
	bool known;

	render_health(c, in);
	r = (struct health_record) {
		.status = (uint8_t)in->status,
		.json = buf_str(&c->json),
		.node = in->node_def.node,
		.service = in->def.name,
		.tags = in->def.tags,
		.node_meta = in->node_def.meta,
		.node_address = in->node_def.address,
		.node_tagged_addresses = in->node_def.tagged_addresses,
		.service_id = in->def.id,
		.address = in->def.address,
		.port = in->def.port,
		.weight_passing = in->def.weight_passing,
		.weight_warning = in->def.weight_warning,
	};
	buf_clear(&c->record);
	health_record_encode(&c->record, &r);
	known = table_get(c, STATE_HEALTH, key, &before);
	if (known && str_eq(before, buf_str(&c->record))) {
		return;
	}
	if (!known || !same_naming(before, buf_str(&c->record))) {
		derive_naming(c, name);
	}
	table_put(c, STATE_HEALTH, key, buf_str(&c->record));
	mark(c, THING_SERVICE_HEALTH, name);
	mark(c, THING_INSTANCES, STR(""));
}

static void put_instance(struct catalog *c, struct str key, struct instance *in)
{
	struct instance_record r;
	struct str before;

	buf_clear(&c->json);
	render_instance(&c->json, &in->node_def, &in->def, in->service.create_index,
		in->service.modify_index);
	r = (struct instance_record) {
		.json = buf_str(&c->json),
		.node = in->node_def.node,
		.service = in->def.name,
		.tags = in->def.tags,
		.node_meta = in->node_def.meta,
	};
	buf_clear(&c->record);
	instance_record_encode(&c->record, &r);
	if (table_get(c, STATE_INSTANCES, key, &before) && str_eq(before, buf_str(&c->record))) {
		return;
	}
	table_put(c, STATE_INSTANCES, key, buf_str(&c->record));
	mark(c, THING_SERVICE_CATALOG, lower(c, in->def.name));
}

static void flush_one(struct catalog *c, struct instance *in, struct str dirty)
{
	struct state_key room;
	struct str rest, key;
	struct str node = str_split(dirty, '\0', &rest);

	if (!entry_get(c, STATE_SERVICES, dirty, &in->service)) {
		return; /* it has gone in the same command */
	}
	if (!str_eq(node, in->node_key)) {
		if (!entry_get(c, STATE_NODES, node, &in->node)) {
			return; /* only a restored archive can have that: nobody shows it */
		}
		must(!node_def_decode(in->node.def, &c->arena, &in->node_def));
		in->node_key = node;
	}
	in->id_key = rest;
	must(!service_def_decode(in->service.def, &c->arena, &in->def));
	key = arena_str(&c->arena, state_key3(&room, lower(c, in->def.name), node, rest));
	put_health(c, key, in);
	put_instance(c, key, in);
}

void derive_flush(struct catalog *c)
{
	struct name_entry *e, *following;
	struct instance in = { .node_key = STR_NONE };

	map_for_each(e, following, &c->dirty.map, node)
	{
		flush_one(c, &in, e->node.key);
	}
	set_clear(&c->dirty);
	service_names_flush(c, true);
}
