/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The full sync's comparison: the catalogue's answers about this node against what is registered
 * here. We are right about our own node, except for the tags of services with EnableTagOverride and
 * for what servers themselves put there (service "consul", check "serfHealth").
 */
#include "checkd/core/private.h"
#include "common/base/bind.h"

struct remote_service {
	struct service_def def;
	const struct json *tagged_addresses, *weights, *connect;
};

#define ROW(struct_name, key, bind, member)                                 \
	{                                                                   \
		key, bind, offsetof(struct struct_name, member), NULL, NULL \
	}

static const struct bind_field service_fields[] = {
	ROW(remote_service, "Kind", BIND_STR, def.kind),
	ROW(remote_service, "ID", BIND_STR, def.id),
	ROW(remote_service, "Service", BIND_STR, def.name),
	ROW(remote_service, "Tags", BIND_STRS, def.tags),
	ROW(remote_service, "Address", BIND_STR, def.address),
	ROW(remote_service, "TaggedAddresses", BIND_JSON, tagged_addresses),
	ROW(remote_service, "Meta", BIND_PAIRS, def.meta),
	ROW(remote_service, "Port", BIND_INT, def.port),
	ROW(remote_service, "Weights", BIND_JSON, weights),
	ROW(remote_service, "EnableTagOverride", BIND_BOOL, def.enable_tag_override),
	ROW(remote_service, "Connect", BIND_JSON, connect),
};
static const struct bind_object service_object = { .go_name = "NodeService",
	.size = sizeof(struct remote_service),
	BIND_FIELDS(service_fields),
	.ignore_unknown = true };

static const struct bind_field check_fields[] = {
	ROW(health_check, "CheckID", BIND_STR, check_id),
	ROW(health_check, "Name", BIND_STR, name),
	ROW(health_check, "Status", BIND_STR, status),
	ROW(health_check, "Notes", BIND_STR, notes),
	ROW(health_check, "Output", BIND_STR, output),
	ROW(health_check, "ServiceID", BIND_STR, service_id),
	ROW(health_check, "ServiceName", BIND_STR, service_name),
	ROW(health_check, "ServiceTags", BIND_STRS, service_tags),
};
static const struct bind_object check_object = { .go_name = "HealthCheck",
	.size = sizeof(struct health_check),
	BIND_FIELDS(check_fields),
	.ignore_unknown = true };

struct remote_node {
	struct str id, address;
	struct pairs tagged_addresses, meta;
};

static const struct bind_field node_fields[] = {
	ROW(remote_node, "ID", BIND_STR, id),
	ROW(remote_node, "Address", BIND_STR, address),
	ROW(remote_node, "TaggedAddresses", BIND_PAIRS, tagged_addresses),
	ROW(remote_node, "Meta", BIND_PAIRS, meta),
};
static const struct bind_object node_object = { .go_name = "Node",
	.size = sizeof(struct remote_node),
	BIND_FIELDS(node_fields),
	.ignore_unknown = true };

/* ---- equality ---- */

static bool strs_equal(const struct strs *a, const struct strs *b)
{
	if (a->count != b->count) {
		return false;
	}
	for (uint32_t i = 0; i < a->count; i++) {
		if (!str_eq(a->items[i], b->items[i])) {
			return false;
		}
	}
	return true;
}

static bool pairs_equal(const struct pairs *a, const struct pairs *b)
{
	if (a->count != b->count) {
		return false;
	}
	for (uint32_t i = 0; i < a->count; i++) {
		struct str other = pairs_find(b, a->items[i].key);

		if (!other.p || !str_eq(a->items[i].value, other)) {
			return false;
		}
	}
	return true;
}

static int64_t json_integer(const struct json *object, const char *key)
{
	const struct json *v = json_find(object, key);
	int64_t n = 0;

	if (v && v->type == JSON_NUMBER) {
		str_to_i64(v->text, &n);
	}
	return n;
}

static bool addresses_equal(const struct service_def *def, const struct json *remote)
{
	uint32_t count = remote && remote->type == JSON_OBJECT ? remote->count : 0;
	const struct json *item;

	if (count != def->tagged_addresses.count) {
		return false;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct tagged_address *a = &def->tagged_addresses.items[i];
		bool found = false;

		json_for_each (item, remote) {
			found = found ||
				(str_eq(item->key, a->name) &&
					str_eq(json_find_text(item, "Address"), a->address) &&
					json_integer(item, "Port") == a->port);
		}
		if (!found) {
			return false;
		}
	}
	return true;
}

/* Proxy is left out: the catalogue completes it with defaults, and nothing of the mesh is offered.
 */
static bool service_equal(const struct service_def *a, const struct remote_service *b)
{
	const struct json *native = json_find(b->connect, "Native");

	return str_eq(a->kind, b->def.kind) && str_eq(a->name, b->def.name) &&
	       strs_equal(&a->tags, &b->def.tags) && str_eq(a->address, b->def.address) &&
	       a->port == b->def.port && pairs_equal(&a->meta, &b->def.meta) &&
	       a->enable_tag_override == b->def.enable_tag_override &&
	       addresses_equal(a, b->tagged_addresses) &&
	       a->weight_passing == json_integer(b->weights, "Passing") &&
	       a->weight_warning == json_integer(b->weights, "Warning") &&
	       a->connect_native == (native && native->type == JSON_BOOL && native->boolean);
}

/* An output that is deferred is left out: its own deadline sends it. */
static bool check_equal(const struct check *c, const struct health_check *b)
{
	const struct check_row *row = &c->row;
	bool deferred = c->defer_due.ns != MONO_NEVER.ns;

	return str_eq(row->def.name, b->name) && str_is(b->status, check_status_name(c->status)) &&
	       str_eq(row->def.notes, b->notes) && str_eq(row->def.service_id, b->service_id) &&
	       str_eq(row->service_name, b->service_name) &&
	       strs_equal(&row->service_tags, &b->service_tags) &&
	       (deferred || str_eq(buf_str(&c->output), b->output));
}

static bool node_equal(const struct registry_config *a, const struct remote_node *b)
{
	return str_eq(a->node_id, b->id) && str_eq(a->address, b->address) &&
	       pairs_equal(&a->tagged_addresses, &b->tagged_addresses) &&
	       pairs_equal(&a->meta, &b->meta);
}

/* ---- the walk ---- */

static bool in_talks(const struct sync *s)
{
	return s->busy || s->dirty || s->failed;
}

static void tags_adopt(struct registry *r, struct service *s, const struct strs *tags)
{
	struct service_row row = s->row;

	if (strs_equal(&row.def.tags, tags)) {
		return;
	}
	row.def.tags = *tags;
	row.def.tags.present = true;
	service_replace_row(s, &row);
	if (!row.from_config) {
		write_put(r, TABLE_SERVICES, s->row.def.id, str_n(s->bytes, s->bytes_count));
	}
	r->update->services_changed = true;
}

static int service_compare(struct registry *r, const struct json *item, struct arena *arena)
{
	struct remote_service remote = { 0 };
	struct service *s;

	if (bind_object(&service_object, item, arena, &remote, NULL)) {
		return ST_INVALID;
	}
	s = map_find(&r->services, remote.def.id, struct service, node);
	if (!s) {
		if (!str_is(remote.def.id, "consul")) {
			s = service_stub(r, remote.def.id);
			s->seen = true;
			sync_dirty_service(r, s);
		}
		return 0;
	}
	s->seen = true;
	if (in_talks(&s->sync)) {
		return 0;
	}
	if (s->row.def.enable_tag_override) {
		tags_adopt(r, s, &remote.def.tags);
	}
	if (!service_equal(&s->row.def, &remote)) {
		sync_dirty_service(r, s);
	}
	return 0;
}

static void services_unseen(struct registry *r)
{
	struct service *s, *next;

	map_for_each(s, next, &r->services, node)
	{
		if (s->seen || s->sync.busy) {
			continue;
		}
		if (s->sync.deleted) {
			service_forget(r, s);
		} else if (!in_talks(&s->sync)) {
			sync_dirty_service(r, s);
		}
	}
}

int compare_services(struct registry *r, struct str body)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct remote_node node = { 0 };
	const struct json *services, *item;
	struct service *s, *next;
	struct json *answer;

	if (json_parse(&arena, body, &answer, NULL) || answer->type != JSON_OBJECT) {
		return ST_INVALID;
	}
	item = json_find(answer, "Node");
	if ((!item || item->type != JSON_OBJECT) && mono_before(r->now, r->full.patience)) {
		r->full.too_early = true;
		return ST_NOT_READY;
	}
	r->node_dirty = !item || item->type != JSON_OBJECT ||
			bind_object(&node_object, item, &arena, &node, NULL) ||
			!node_equal(r->config, &node);
	map_for_each(s, next, &r->services, node)
	{
		s->seen = false;
	}
	services = json_find(answer, "Services");
	if (services && services->type == JSON_ARRAY) {
		json_for_each (item, services) {
			if (service_compare(r, item, &arena)) {
				return ST_INVALID;
			}
		}
	}
	services_unseen(r);
	return 0;
}

static int check_compare(struct registry *r, const struct json *item, struct arena *arena)
{
	struct health_check remote = { 0 };
	struct check *c;

	if (bind_object(&check_object, item, arena, &remote, NULL)) {
		return ST_INVALID;
	}
	c = map_find(&r->checks, remote.check_id, struct check, node);
	if (!c) {
		if (!str_is(remote.check_id, "serfHealth")) {
			c = check_stub(r, remote.check_id, remote.service_id);
			c->seen = true;
			sync_dirty_check(r, c);
		}
		return 0;
	}
	c->seen = true;
	if (!in_talks(&c->sync) && !check_equal(c, &remote)) {
		sync_dirty_check(r, c);
	}
	return 0;
}

int compare_checks(struct registry *r, struct str body)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct check *c, *next;
	const struct json *item;
	struct json *answer;

	if (json_parse(&arena, body, &answer, NULL) ||
		(answer->type != JSON_ARRAY && answer->type != JSON_NULL)) {
		return ST_INVALID;
	}
	map_for_each(c, next, &r->checks, node)
	{
		c->seen = false;
	}
	json_for_each (item, answer) {
		if (check_compare(r, item, &arena)) {
			return ST_INVALID;
		}
	}
	map_for_each(c, next, &r->checks, node)
	{
		if (c->seen || c->sync.busy) {
			continue;
		}
		if (c->sync.deleted) {
			check_forget(r, c);
		} else if (!in_talks(&c->sync)) {
			sync_dirty_check(r, c);
		}
	}
	return 0;
}
