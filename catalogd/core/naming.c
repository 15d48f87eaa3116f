/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derives the naming environment: the services, nodes and addresses that the last batch changed,
 * each once.
 */
#include "catalogd/core/internal.h"

static struct naming_instance instance_of(const struct health_record *r)
{
	return (struct naming_instance) {
		.node = r->node,
		.node_address = r->node_address,
		.node_meta = r->node_meta,
		.node_tagged_addresses = r->node_tagged_addresses,
		.service_id = r->service_id,
		.address = r->address,
		.tags = r->tags,
		.port = r->port,
		.weight_passing = r->weight_passing,
		.weight_warning = r->weight_warning,
		.status = (enum health)r->status,
	};
}

static void service_put(
	struct catalog *c, struct kv_txn *state, struct kv_txn *naming, struct str service)
{
	struct state_key room;
	struct naming_instance *items = NULL;
	uint32_t count = 0, size = 0;
	struct kv_walk w;

	kv_walk_init(&w, state, STATE_HEALTH, state_key2(&room, service, STR("")));
	while (kv_walk_next(&w)) {
		struct health_record r;

		must(!health_record_decode(w.value, &c->arena, &r));
		items = wire_list_room(&c->arena, items, count, &size, sizeof(items[0]));
		items[count++] = instance_of(&r);
	}
	if (!count) {
		kv_del(naming, NAMING_SERVICES, service);
		return;
	}
	buf_clear(&c->record);
	naming_service_encode(&c->record, items, count);
	kv_put(naming, NAMING_SERVICES, service, buf_str(&c->record));
}

static void node_put(
	struct catalog *c, struct kv_txn *state, struct kv_txn *naming, struct str node)
{
	struct node_record r;
	struct str value;

	if (!kv_get(state, STATE_NODES, node, &value)) {
		kv_del(naming, NAMING_NODES, node);
		return;
	}
	must(!node_record_decode(value, &c->arena, &r));
	buf_clear(&c->record);
	naming_node_encode(&c->record, &r.def);
	kv_put(naming, NAMING_NODES, node, buf_str(&c->record));
}

static void address_put(struct kv_txn *naming, const struct address_note *note)
{
	struct state_key room;
	struct str key;

	if (!naming_address_key(&room, note->address, note->owner, note->id, &key)) {
		return;
	}
	if (note->gone) {
		kv_del(naming, NAMING_ADDRESSES, key);
	} else {
		kv_put(naming, NAMING_ADDRESSES, key, note->name);
	}
}

static void all_nodes(struct catalog *c, struct kv_txn *state, struct kv_txn *naming)
{
	struct kv_walk w;

	kv_walk_init(&w, state, STATE_NODES, STR(""));
	while (kv_walk_next(&w)) {
		struct address_note note = { .owner = NAMING_OWNER_NODE,
			.id = str_n(w.at, w.key_size) };
		struct node_record r;

		must(!node_record_decode(w.value, &c->arena, &r));
		note.address = r.def.address;
		note.name = r.def.node;
		address_put(naming, &note);
		node_put(c, state, naming, note.id);
		arena_reset(&c->arena);
	}
}

static void all_services(struct catalog *c, struct kv_txn *state, struct kv_txn *naming)
{
	struct kv_walk w;

	kv_walk_init(&w, state, STATE_SERVICES, STR(""));
	while (kv_walk_next(&w)) {
		struct address_note note = { .owner = NAMING_OWNER_SERVICE,
			.id = str_n(w.at, w.key_size) };
		struct service_record r;

		must(!service_record_decode(w.value, &c->arena, &r));
		note.address = r.def.address;
		note.name = r.def.name;
		address_put(naming, &note);
		arena_reset(&c->arena);
	}
	kv_walk_init(&w, state, STATE_SERVICE_NAMES, STR(""));
	while (kv_walk_next(&w)) {
		service_put(c, state, naming, lower(c, str_n(w.at, w.key_size)));
		arena_reset(&c->arena);
	}
}

static bool is_large(struct kv_txn *naming, struct str service)
{
	struct str record;

	return kv_get(naming, NAMING_SERVICES, service, &record) && record.n > NAMING_LARGE;
}

static void changed_services(
	struct catalog *c, struct kv_txn *state, struct kv_txn *naming, bool with_large)
{
	struct name_entry *e, *following;

	map_for_each(e, following, &c->naming_services.map, node)
	{
		if (!with_large && is_large(naming, e->node.key)) {
			set_add(&c->naming_late, e->node.key);
			continue;
		}
		service_put(c, state, naming, e->node.key);
		arena_reset(&c->arena);
	}
	if (with_large) {
		map_for_each(e, following, &c->naming_late.map, node)
		{
			service_put(c, state, naming, e->node.key);
			arena_reset(&c->arena);
		}
	}
}

static void changed_ones(struct catalog *c, struct kv_txn *state, struct kv_txn *naming)
{
	struct name_entry *e, *following;

	for (size_t i = 0; i < c->addresses.count; i++) {
		address_put(naming, &c->addresses.items[i]);
	}
	map_for_each(e, following, &c->naming_nodes.map, node)
	{
		node_put(c, state, naming, e->node.key);
		arena_reset(&c->arena);
	}
}

static void late_forget(struct catalog *c)
{
	set_clear(&c->naming_late);
	arena_reset(&c->late_arena);
}

bool catalog_naming_late(const struct catalog *c)
{
	return c->naming_late.map.count > 0;
}

uint64_t catalog_naming_index(struct kv_txn *t)
{
	uint64_t index = 0;
	struct str value;

	if (kv_get(t, STATE_META, STR("naming"), &value) && value.n == sizeof(index)) {
		memcpy(&index, value.p, sizeof(index));
	}
	return index;
}

void catalog_naming(
	struct catalog *c, struct kv_txn *state, struct kv_txn *naming, enum naming_scope scope)
{
	uint64_t index = catalog_naming_index(state);

	arena_reset(&c->arena);
	if (scope == NAMING_ALL || c->replaced) {
		for (unsigned i = 0; i < NAMING_TABLES_COUNT; i++) {
			kv_clear(naming, i);
		}
		all_nodes(c, state, naming);
		all_services(c, state, naming);
		late_forget(c);
	} else {
		changed_ones(c, state, naming);
		changed_services(c, state, naming, scope == NAMING_CHANGED);
		if (scope == NAMING_CHANGED) {
			late_forget(c);
		}
	}
	c->addresses.count = 0; /* carried out: what is put off may be of another state, where they
				   are wrong */
	if (!catalog_naming_late(c)) { /* else it is behind, and says so */
		kv_put(naming, NAMING_META, STR("applied"), str_n(&index, sizeof(index)));
	}
}
