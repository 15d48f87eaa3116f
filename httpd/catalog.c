/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/catalog/: nodes, services and instances as registered; register and deregister, which become
 * commands.
 */
#include "common/base/err.h"
#include "common/base/map.h"
#include "httpd/catalog_body.h"
#include "httpd/list.h"
#include "httpd/routes.h"

/* ---- writes ---- */

/* The body says where it belongs. false: it is on its way there. */
static bool datacenter_is_ours(struct exchange *x, struct str datacenter)
{
	if (!datacenter.n || str_eq(datacenter, x->httpd->conf->datacenter)) {
		return true;
	}
	exchange_to_datacenter(x, datacenter);
	return false;
}

void handle_catalog_register(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, payload = { 0 };
	struct cmd_register command;
	struct str datacenter;
	struct json *body;

	if (!exchange_json(x, "Request decode failed: ", &body)) {
		return;
	}
	if (catalog_body_register(&x->arena, body, &command, &why)) {
		answer_printf(x, 400, "Request decode failed: %s", buf_cstr(&why));
		return;
	}
	datacenter = command.node.datacenter;
	if (!datacenter_is_ours(x, datacenter)) {
		return;
	}
	command.node.datacenter = x->httpd->conf->datacenter;
	cmd_register_encode(&payload, &command);
	exchange_propose(x, COMMAND_cmd_register, buf_str(&payload));
}

void handle_catalog_deregister(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, payload = { 0 };
	struct cmd_deregister command;
	struct str datacenter;
	struct json *body;

	if (!exchange_json(x, "Request decode failed: ", &body)) {
		return;
	}
	if (catalog_body_deregister(&x->arena, body, &command, &datacenter, &why)) {
		answer_printf(x, 400, "Request decode failed: %s", buf_cstr(&why));
		return;
	}
	if (!datacenter_is_ours(x, datacenter)) {
		return;
	}
	cmd_deregister_encode(&payload, &command);
	exchange_propose(x, COMMAND_cmd_deregister, buf_str(&payload));
}

/* ---- lists ---- */

void handle_catalog_nodes(struct exchange *x)
{
	struct list_query l;
	struct kv_walk w;

	if (!list_begin(&l, x, FILTER_NODE)) {
		return;
	}
	read_thing(x, THING_NODES, STR(""));
	if (list_held(&l)) {
		return;
	}
	kv_walk_init(&w, x->txn, STATE_NODES, STR(""));
	while (kv_walk_next(&w)) {
		struct cursor c = cursor_of(w.value);
		struct str json = wire_get_STR(&c, NULL);
		struct node_record record;

		if (!l.has_meta || (node_record_decode(w.value, &x->arena, &record) == 0 &&
					   list_wants_meta(&l, &record.def.meta))) {
			list_add(&l, json, w.key);
		}
	}
	list_end(&l);
}

/* key: lower(service) 0 lower(node) 0 lower(id) */
static struct str node_of_instance(struct str key)
{
	struct str rest;

	str_split(key, '\0', &rest);
	return str_split(rest, '\0', &rest);
}

void handle_catalog_service(struct exchange *x)
{
	struct str service = exchange_lower(x, x->request.name);
	struct state_key room;
	struct list_query l;
	struct kv_walk w;

	if (!x->request.name.n) {
		answer_text(x, 400, STR("Missing service name"));
		return;
	}
	if (!list_begin(&l, x, FILTER_SERVICE_NODE)) {
		return;
	}
	read_thing(x, THING_SERVICE_CATALOG, service);
	if (list_held(&l)) {
		return;
	}
	kv_walk_init(&w, x->txn, STATE_INSTANCES, state_key2(&room, service, STR("")));
	while (kv_walk_next(&w)) {
		struct cursor c = cursor_of(w.value);
		struct str json = wire_get_STR(&c, NULL);
		struct instance_record record;

		if ((!l.has_meta && !l.has_tags) ||
			(instance_record_decode(w.value, &x->arena, &record) == 0 &&
				list_wants_meta(&l, &record.node_meta) &&
				list_wants_tags(&l, &record.tags))) {
			list_add(&l, json, l.near ? node_of_instance(w.key) : STR_NONE);
		}
	}
	list_end(&l);
}

/* ---- services ---- */

/* Names and tags of the services on nodes that ?node-meta selects, gathered because the state knows
 * them only as a whole. */
struct name_tags {
	struct map_node link;
	struct str name;
	struct strs *tags; /* one list per instance */
	uint32_t count, room;
};

static void name_tags_add(struct exchange *x, struct map *names, const struct service_def *s)
{
	struct name_tags *n = map_find(names, s->name, struct name_tags, link);

	if (!n) {
		n = arena_new(&x->arena, struct name_tags);
		n->name = s->name;
		map_add(names, &n->link, n->name);
	}
	n->tags = wire_list_room(&x->arena, n->tags, n->count, &n->room, sizeof(n->tags[0]));
	n->tags[n->count++] = s->tags;
}

static bool tag_is_new(const struct name_tags *n, uint32_t list, uint32_t at)
{
	for (uint32_t i = 0; i <= list; i++) {
		for (uint32_t j = 0; j < (i == list ? at : n->tags[i].count); j++) {
			if (str_eq(n->tags[i].items[j], n->tags[list].items[at])) {
				return false;
			}
		}
	}
	return true;
}

static void name_tags_put(struct jsonw *w, const struct name_tags *n)
{
	jsonw_key(w, n->name);
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < n->count; i++) {
		for (uint32_t j = 0; j < n->tags[i].count; j++) {
			if (tag_is_new(n, i, j)) {
				jsonw_str(w, n->tags[i].items[j]);
			}
		}
	}
	jsonw_close(w, ']');
}

static int name_cmp(const void *a, const void *b)
{
	return str_cmp(
		(*(struct name_tags *const *)a)->name, (*(struct name_tags *const *)b)->name);
}

static void names_put(struct exchange *x, struct map *names)
{
	struct name_tags **sorted = arena_array(&x->arena, struct name_tags *, names->count), *n,
			 *following;
	struct jsonw w = jsonw_of(exchange_body(x));
	size_t count = 0;

	map_for_each(n, following, names, link)
	{
		sorted[count++] = n;
	}
	qsort(sorted, count, sizeof(sorted[0]), name_cmp);
	jsonw_open(&w, '{');
	for (size_t i = 0; i < count; i++) {
		name_tags_put(&w, sorted[i]);
	}
	jsonw_close(&w, '}');
}

static void services_of_node(struct list_query *l, struct map *names, struct str node)
{
	struct state_key room;
	struct kv_walk w;

	kv_walk_init(&w, l->x->txn, STATE_SERVICES, state_key2(&room, node, STR("")));
	while (kv_walk_next(&w)) {
		struct service_record record;

		if (service_record_decode(w.value, &l->x->arena, &record) == 0) {
			name_tags_add(l->x, names, &record.def);
		}
	}
}

static void services_by_meta(struct list_query *l)
{
	struct map names;
	struct kv_walk w;

	map_init(&names, (uint64_t)(uintptr_t)l);
	kv_walk_init(&w, l->x->txn, STATE_NODES, STR(""));
	while (kv_walk_next(&w)) {
		struct node_record record;

		if (node_record_decode(w.value, &l->x->arena, &record) == 0 &&
			list_wants_meta(l, &record.def.meta)) {
			services_of_node(l, &names, w.key);
		}
	}
	names_put(l->x, &names);
	map_fini(&names);
}

void handle_catalog_services(struct exchange *x)
{
	struct buf *body = exchange_body(x);
	struct list_query l = { .x = x };
	struct kv_walk w;
	char before = '{';

	l.has_meta = l.narrowed = request_has(&x->request, "node-meta");
	read_thing(x, THING_SERVICES, STR(""));
	if (list_held(&l)) {
		return;
	}
	if (l.has_meta) {
		services_by_meta(&l);
		answer_json(x, 200);
		return;
	}
	kv_walk_init(&w, x->txn, STATE_SERVICE_NAMES, STR(""));
	while (kv_walk_next(&w)) {
		struct cursor c = cursor_of(w.value);

		buf_put_char(body, before);
		buf_put_str(body, wire_get_STR(&c, NULL));
		before = ',';
	}
	buf_put_cstr(body, before == '{' ? "{}" : "}");
	answer_json(x, 200);
}

/* ---- one node ---- */

static int nibble(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* The hex digits of a node ID's beginning, dashes left out, and how many there are. -1: no such
 * text. */
static int id_digits(struct str text, uint8_t bytes[16])
{
	int count = 0;

	memset(bytes, 0, 16);
	for (size_t i = 0; i < text.n; i++) {
		int v = nibble(text.p[i]);

		if (text.p[i] == '-') {
			continue;
		}
		if (v < 0 || count == 32) {
			return -1;
		}
		bytes[count / 2] |= (uint8_t)(count % 2 ? v : v << 4);
		count++;
	}
	return count;
}

/* The only node whose ID begins so: its key in NODES. */
static bool node_by_id(struct exchange *x, struct str text, struct str *out)
{
	uint8_t bytes[16];
	int digits = id_digits(text, bytes);
	struct kv_walk w;
	bool found = false;

	/* whole bytes only */
	if (digits < 2 || digits % 2) {
		return false;
	}
	kv_walk_init(&w, x->txn, STATE_NODE_IDS, str_n(bytes, (size_t)digits / 2));
	while (kv_walk_next(&w)) {
		if (found) {
			return false;
		}
		found = true;
		*out = w.value;
	}
	return found;
}

/* A name wins over an ID. *key_out: in NODES, also when there is no such node (false). */
static bool node_resolve(struct exchange *x, struct str *key_out, struct str *json_out)
{
	struct str key = exchange_lower(x, x->request.name), value;
	struct cursor c;

	*key_out = key;
	if (key.n > NODE_NAME_MAX || !kv_get(x->txn, STATE_NODES, key, &value)) {
		if (!node_by_id(x, x->request.name, &key) ||
			!kv_get(x->txn, STATE_NODES, key, &value)) {
			return false;
		}
		*key_out = arena_str(&x->arena, key);
	}
	c = cursor_of(value);
	*json_out = wire_get_STR(&c, NULL);
	return true;
}

struct named_service {
	struct str id, json;
};

static int named_cmp(const void *a, const void *b)
{
	return str_cmp(
		((const struct named_service *)a)->id, ((const struct named_service *)b)->id);
}

/* The services of a node that the filter lets through, by ID; in the arena. NULL: it has none at
 * all. */
static struct named_service *services_find(
	struct list_query *l, struct str node, uint32_t *count_out)
{
	struct named_service *items = NULL;
	uint32_t count = 0, size = 0;
	struct state_key room;
	struct kv_walk w;

	kv_walk_init(&w, l->x->txn, STATE_SERVICES, state_key2(&room, node, STR("")));
	while (kv_walk_next(&w)) {
		struct service_record record;

		if (service_record_decode(w.value, &l->x->arena, &record)) {
			continue;
		}
		items = wire_list_room(&l->x->arena, items, count, &size, sizeof(items[0]));
		if (!list_matches(l, record.json)) {
			continue;
		}
		items[count++] = (struct named_service) { record.def.id, record.json };
	}
	if (count) {
		qsort(items, count, sizeof(items[0]), named_cmp);
	}
	*count_out = count;
	return items;
}

/* {"Node":..,"Services":..} with the services as an object (catalog/node) or a list
 * (catalog/node-services). */
static void node_put(struct list_query *l, struct str node, struct str node_json, bool as_list)
{
	struct jsonw w = jsonw_of(exchange_body(l->x));
	uint32_t count;
	struct named_service *services = services_find(l, node, &count);

	jsonw_open(&w, '{');
	jsonw_keyc(&w, "Node");
	jsonw_raw(&w, list_shown(l, FILTER_NODE, node_json));
	jsonw_keyc(&w, "Services");
	if (as_list && !services) {
		jsonw_raw(&w, STR("null}"));
		return;
	}
	jsonw_open(&w, as_list ? '[' : '{');
	for (uint32_t i = 0; i < count; i++) {
		if (!as_list) {
			jsonw_key(&w, services[i].id);
		}
		jsonw_raw(&w, list_shown(l, FILTER_NODE_SERVICE, services[i].json));
	}
	jsonw_close(&w, as_list ? ']' : '}');
	jsonw_close(&w, '}');
}

static void answer_node(struct exchange *x, bool as_list)
{
	struct str node, node_json;
	struct list_query l;
	bool known;

	if (!x->request.name.n) {
		answer_text(x, 400, STR("Missing node name"));
		return;
	}
	if (!list_begin(&l, x, FILTER_NODE_SERVICE)) {
		return;
	}
	known = node_resolve(x, &node, &node_json);
	read_thing(x, THING_NODE, node);
	if (list_held(&l)) {
		return;
	}
	if (known) {
		node_put(&l, node, node_json, as_list);
	} else {
		buf_put_cstr(
			exchange_body(x), as_list ? "{\"Node\":null,\"Services\":null}" : "null");
	}
	list_drop(&l);
	answer_json(x, 200);
}

void handle_catalog_node(struct exchange *x)
{
	answer_node(x, false);
}

void handle_catalog_node_services(struct exchange *x)
{
	answer_node(x, true);
}
