/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derives the naming environment: the services, nodes and addresses that the last batch changed,
 * each once.
 */
#include "catalogd/core/internal.h"

/* The records of one owner. An empty one is no record. */
static void record_put(struct kv_txn *naming, enum naming_owner owner, struct str name,
	enum naming_face face, struct str record)
{
	enum naming_table table = owner == NAMING_OWNER_NODE ? NAMING_NODES : NAMING_SERVICES;
	struct state_key room;

	if (face != NAMING_FACE_ANY) {
		table = NAMING_FACES;
		name = naming_face_key(&room, owner, name, face);
	}
	if (record.n) {
		kv_put(naming, table, name, record);
	} else {
		kv_del(naming, table, name);
	}
}

/* The tagged addresses of an instance stand in its registration only. */
static void tagged_find(struct catalog *c, struct kv_txn *state, struct str key, struct tagged *out)
{
	struct service_record r;
	struct str value;

	*out = (struct tagged) { 0 };
	if (kv_get(state, STATE_SERVICES, key, &value)) {
		must(!service_record_decode(value, &c->arena, &r));
		tagged_of_service(out, &r.def);
	}
}

/* key: lower(service) 0, and then that of the instance in SERVICES */
static struct naming_faced faced_of(
	struct catalog *c, struct kv_txn *state, const struct kv_walk *w)
{
	struct health_record r;
	struct naming_faced out;
	struct str instance;

	must(!health_record_decode(w->value, &c->arena, &r));
	out.plain = (struct naming_instance) {
		.node = r.node,
		.node_address = r.node_address,
		.node_meta = r.node_meta,
		.service_id = r.service_id,
		.address = r.address,
		.tags = r.tags,
		.port = r.port,
		.weight_passing = r.weight_passing,
		.weight_warning = r.weight_warning,
		.status = (enum health)r.status,
	};
	tagged_of_node(&out.node_tagged, &r.node_tagged_addresses);
	str_split(w->key, '\0', &instance);
	tagged_find(c, state, instance, &out.tagged);
	return out;
}

static bool faces_agree(const struct naming_faced *items, uint32_t count, enum naming_face face,
	enum naming_face other)
{
	bool agree = true;

	for (uint32_t i = 0; i < count && agree; i++) {
		agree = naming_faces_agree(&items[i], face, other);
	}
	return agree;
}

/* room: for as many instances. */
static void service_face_put(struct catalog *c, struct kv_txn *naming, struct str service,
	const struct naming_faced *items, uint32_t count, enum naming_face face,
	struct naming_instance *room)
{
	bool needed = face == NAMING_FACE_ANY ||
		      !faces_agree(items, count, face, naming_face_fallback(face));

	buf_clear(&c->record);
	if (needed && count) {
		for (uint32_t i = 0; i < count; i++) {
			room[i] = naming_face_instance(&items[i], face);
		}
		naming_service_encode(&c->record, room, count);
	}
	record_put(naming, NAMING_OWNER_SERVICE, service, face, buf_str(&c->record));
}

static void service_put(
	struct catalog *c, struct kv_txn *state, struct kv_txn *naming, struct str service)
{
	struct state_key room;
	struct naming_faced *items = NULL;
	struct naming_instance *shown;
	uint32_t count = 0, size = 0;
	struct kv_walk w;

	kv_walk_init(&w, state, STATE_HEALTH, state_key2(&room, service, STR("")));
	while (kv_walk_next(&w)) {
		items = wire_list_room(&c->arena, items, count, &size, sizeof(items[0]));
		items[count++] = faced_of(c, state, &w);
	}
	shown = arena_array(&c->arena, struct naming_instance, count);
	for (enum naming_face face = 0; face < NAMING_FACES_COUNT; face++) {
		service_face_put(c, naming, service, items, count, face, shown);
	}
}

static void node_put(
	struct catalog *c, struct kv_txn *state, struct kv_txn *naming, struct str node)
{
	struct node_record r;
	struct str value;
	bool known = kv_get(state, STATE_NODES, node, &value);

	must(!known || !node_record_decode(value, &c->arena, &r));
	for (enum naming_face face = 0; face < NAMING_FACES_COUNT; face++) {
		enum naming_face fallback = naming_face_fallback(face);

		buf_clear(&c->record);
		if (known && (face == fallback || !str_eq(naming_face_address(&r.def, face),
							  naming_face_address(&r.def, fallback)))) {
			naming_node_encode(&c->record, &r.def, face);
		}
		record_put(naming, NAMING_OWNER_NODE, node, face, buf_str(&c->record));
	}
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
		kv_put(naming, NAMING_META, STR("faces"), str_n(&index, sizeof(index)));
	}
}
