/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service instances, and the list of service names with their tags.
 */
#include "catalogd/core/internal.h"

enum { META_PAIRS_MAX = 64, META_KEY_MAX = 128, META_VALUE_MAX = 512 };

/* The key in SERVICES; false when the names cannot make one. */
static bool service_key(struct catalog *c, struct str node, struct str id, struct str *out)
{
	struct state_key room;

	if (!node.n || node.n > NODE_NAME_MAX || !id.n || id.n > SERVICE_ID_MAX) {
		return false;
	}
	*out = lower(c, state_key2(&room, node, id));
	return true;
}

bool service_find(struct catalog *c, struct str node, struct str id, struct entry *out)
{
	struct str key;

	return service_key(c, node, id, &key) && entry_get(c, STATE_SERVICES, key, out);
}

static const char *meta_problem(struct pair pair)
{
	if (!pair.key.n) {
		return "Key cannot be blank";
	}
	for (size_t i = 0; i < pair.key.n; i++) {
		char ch = pair.key.p[i];

		if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
			    (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '_')) {
			return "Key contains invalid characters";
		}
	}
	if (pair.key.n > META_KEY_MAX) {
		return "Key is too long (limit: 128 characters)";
	}
	if (str_starts(pair.key, STR("consul-"))) {
		return "Key prefix 'consul-' is reserved for internal use";
	}
	return pair.value.n > META_VALUE_MAX ? "Value is too long (limit: 512 characters)" : NULL;
}

static int meta_check(struct catalog *c, const struct pairs *meta)
{
	if (meta->count > META_PAIRS_MAX) {
		return fail(c, "Node metadata cannot contain more than %d key/value pairs",
			META_PAIRS_MAX);
	}
	for (uint32_t i = 0; i < meta->count; i++) {
		struct pair pair = meta->items[i];
		const char *problem = meta_problem(pair);

		if (problem) {
			return fail(c,
				"Couldn't load metadata pair ('" STR_FMT "', '" STR_FMT "'): %s",
				STR_ARG(pair.key), STR_ARG(pair.value), problem);
		}
	}
	return 0;
}

static int service_check_names(struct catalog *c, struct str node, const struct service_def *s)
{
	if (!s->id.n) {
		return fail(c, "failed inserting service: object missing primary index");
	}
	if (memchr(s->id.p, 0, s->id.n) || (s->name.n && memchr(s->name.p, 0, s->name.n))) {
		return fail(c, "Invalid service name or ID: holds a zero byte");
	}
	if (s->id.n > SERVICE_ID_MAX || s->name.n > SERVICE_NAME_MAX ||
		node.n + s->id.n + s->name.n > INSTANCE_NAMES_MAX) {
		return fail(c,
			"Service name or ID is too long (name %d, ID %d, together with the node "
			"name %d bytes)",
			SERVICE_NAME_MAX, SERVICE_ID_MAX, INSTANCE_NAMES_MAX);
	}
	return 0;
}

static void tagged_sort(struct service_def *s)
{
	struct tagged_address *items = s->tagged_addresses.items;

	for (uint32_t i = 1; i < s->tagged_addresses.count; i++) {
		struct tagged_address a = items[i];
		uint32_t at = i;

		for (; at > 0 && str_cmp(items[at - 1].name, a.name) > 0; at--) {
			items[at] = items[at - 1];
		}
		items[at] = a;
	}
}

static void service_address(
	struct catalog *c, struct str key, const struct service_def *s, bool gone)
{
	struct address_note note = {
		.gone = gone,
		.owner = NAMING_OWNER_SERVICE,
		.address = s->address,
		.id = key,
		.name = s->name,
	};

	if (s->address.n) {
		address_note(c, &note);
	}
}

static bool same_strs(struct strs a, struct strs b)
{
	bool same = a.count == b.count;

	for (uint32_t i = 0; i < a.count && same; i++) {
		same = str_eq(a.items[i], b.items[i]);
	}
	return same;
}

static bool same_tagged(const struct service_def *a, const struct service_def *b)
{
	bool same = a->tagged_addresses.count == b->tagged_addresses.count;

	for (uint32_t i = 0; i < a->tagged_addresses.count && same; i++) {
		const struct tagged_address *x = &a->tagged_addresses.items[i],
					    *y = &b->tagged_addresses.items[i];

		same = str_eq(x->name, y->name) && str_eq(x->address, y->address) &&
		       x->port == y->port;
	}
	return same;
}

/* An instance took its place, maybe that of another one (before): what is derived from names moves.
 */
static void service_place(struct catalog *c, struct str node, struct str key,
	const struct service_def *before, const struct service_def *now)
{
	bool same_name = before && str_eq(before->name, now->name);

	if (!same_name || !same_strs(before->tags, now->tags)) {
		service_name_count(c, now->name, now->tags, 1);
		if (before) {
			service_name_count(c, before->name, before->tags, -1);
		}
	}
	if (!same_name || !str_eq(before->address, now->address)) {
		if (before) {
			service_address(c, key, before, true);
		}
		service_address(c, key, now, false);
	}
	if (before && !same_tagged(before, now)) {
		derive_naming(c, lower(c, now->name));
	}
	if (before && !str_ieq(before->name, now->name)) {
		derive_drop_instance(c, node, before->id, before->name);
	}
}

int service_ensure(struct catalog *c, struct str node, struct service_def *s)
{
	struct entry before, now = { .create_index = c->index, .modify_index = c->index }, holder;
	struct service_def old;
	struct str key;
	bool known;

	tagged_sort(s);
	pairs_sort(&s->meta);
	if (meta_check(c, &s->meta)) {
		return fail_within(c,
			"Invalid Service Meta for node " STR_FMT " and serviceID " STR_FMT ": ",
			STR_ARG(node), STR_ARG(s->id));
	}
	if (!node_find(c, node, &holder)) {
		return fail(c, "Missing node registration");
	}
	if (service_check_names(c, node, s)) {
		return ST_INVALID;
	}
	must(service_key(c, node, s->id, &key));
	known = entry_get(c, STATE_SERVICES, key, &before);
	buf_clear(&c->def);
	service_def_encode(&c->def, s);
	if (known && str_eq(before.def, buf_str(&c->def))) {
		return 0;
	}
	now.def = arena_str(&c->arena, buf_str(&c->def));
	if (known) {
		must(!service_def_decode(before.def, &c->arena, &old));
		now.create_index = before.create_index;
	}
	service_place(c, node, key, known ? &old : NULL, s);
	buf_clear(&c->json);
	render_service(&c->json, s, now.create_index, now.modify_index, false);
	now.json = buf_str(&c->json);
	entry_put(c, STATE_SERVICES, key, &now);
	mark(c, THING_NODE, lower(c, node));
	derive_note_instance(c, node, s->id);
	return 0;
}

static void delete_its_checks(struct catalog *c, struct str node, struct str id)
{
	struct state_key room;
	struct str prefix = lower(c, state_key3(&room, node, id, STR("")));
	struct kv_walk w;

	kv_walk_init(&w, c->t, STATE_INSTANCE_CHECKS, prefix);
	while (kv_walk_next(&w)) {
		check_delete(c, node, str_skip(str_n(w.at, w.key_size), prefix.n));
	}
}

void service_delete(struct catalog *c, struct str node, struct str id)
{
	struct entry e;
	struct service_def s;
	struct str key;

	if (!service_key(c, node, id, &key) || !entry_get(c, STATE_SERVICES, key, &e)) {
		return;
	}
	must(!service_def_decode(e.def, &c->arena, &s));
	node = arena_str(&c->arena, node);
	delete_its_checks(c, node, s.id);
	table_del(c, STATE_SERVICES, key);
	derive_drop_instance(c, node, s.id, s.name);
	service_name_count(c, s.name, s.tags, -1);
	service_address(c, key, &s, true);
	mark(c, THING_NODE, lower(c, node));
}

/* The place of a tag in the sorted list, or where it would go. */
static uint32_t tag_place(const struct service_name_record *r, struct str tag, bool *found_out)
{
	uint32_t at = 0;

	while (at < r->tags.count && str_cmp(r->tags.items[at].tag, tag) < 0) {
		at++;
	}
	*found_out = at < r->tags.count && str_eq(r->tags.items[at].tag, tag);
	return at;
}

static void tag_count(struct service_name_record *r, struct str tag, int by)
{
	bool found;
	uint32_t at = tag_place(r, tag, &found), behind = r->tags.count - at;
	struct tag_count *items = r->tags.items;

	if (!found) {
		must(by > 0);
		memmove(&items[at + 1], &items[at], behind * sizeof(items[0]));
		items[at] = (struct tag_count) { tag, 1 };
		r->tags.count++;
		return;
	}
	items[at].count += (uint32_t)by;
	if (!items[at].count) {
		memmove(&items[at], &items[at + 1], (behind - 1) * sizeof(items[0]));
		r->tags.count--;
	}
}

static void name_render(struct buf *out, struct str name, const struct service_name_record *r)
{
	struct jsonw w = jsonw_of(out);

	jsonw_key(&w, name);
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < r->tags.count; i++) {
		jsonw_str(&w, r->tags.items[i].tag);
	}
	jsonw_close(&w, ']');
}

static void name_touch(struct catalog *c, struct str name, struct str before)
{
	struct touched_name *e;

	if (map_find_node(&c->names, name)) {
		return;
	}
	e = arena_new(&c->arena, struct touched_name);
	e->before = before;
	map_add(&c->names, &e->node, arena_str(&c->arena, name));
}

void service_names_flush(struct catalog *c, bool compare)
{
	struct touched_name *e, *following;
	struct str value;

	map_for_each(e, following, &c->names, node)
	{
		struct str now = STR("");

		if (compare && table_get(c, STATE_SERVICE_NAMES, e->node.key, &value)) {
			struct cursor cursor = cursor_of(value);

			now = wire_get_STR(&cursor, NULL);
		}
		if (compare && !str_eq(now, e->before)) {
			mark(c, THING_SERVICES, STR(""));
		}
		map_del(&c->names, &e->node);
	}
}

void service_name_count(struct catalog *c, struct str name, struct strs tags, int by)
{
	struct service_name_record r = { .json = STR_NONE };
	struct tag_count *items;
	struct str value;

	if (!name.n) {
		return; /* cannot be asked for */
	}
	if (table_get(c, STATE_SERVICE_NAMES, name, &value)) {
		must(!service_name_record_decode(arena_str(&c->arena, value), &c->arena, &r));
	}
	name_touch(c, name, r.json);
	items = arena_array(&c->arena, struct tag_count, r.tags.count + tags.count + 1);
	if (r.tags.count) {
		memcpy(items, r.tags.items, r.tags.count * sizeof(items[0]));
	}
	r.tags.items = items;
	r.instances_count += (uint32_t)by;
	for (uint32_t i = 0; i < tags.count; i++) {
		tag_count(&r, tags.items[i], by);
	}
	buf_clear(&c->json);
	name_render(&c->json, name, &r);
	r.json = buf_str(&c->json);
	if (!r.instances_count) {
		table_del(c, STATE_SERVICE_NAMES, name);
		return;
	}
	buf_clear(&c->record);
	service_name_record_encode(&c->record, &r);
	table_put(c, STATE_SERVICE_NAMES, name, buf_str(&c->record));
}
