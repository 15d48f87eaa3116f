/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/internal/ui/: the summaries that the web UI shows. Unlike the catalogue's own endpoints these
 * say null for tags that were never set.
 */
#include "common/base/err.h"
#include "httpd/list.h"
#include "httpd/routes.h"

/*
 * A record's rendering with null in place of an empty list. The text cannot occur earlier inside a
 * string: its quotes would be escaped.
 */
static void put_with_null(struct jsonw *w, struct str json, struct str key, bool present)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	ssize_t at = present ? -1 : str_find_str(json, key);

	if (at < 0) {
		jsonw_raw(w, json);
		return;
	}
	buf_put_str(&text, str_cut(json, (size_t)at + key.n - 2));
	buf_put_cstr(&text, "null");
	buf_put_str(&text, str_skip(json, (size_t)at + key.n));
	jsonw_raw(w, buf_str(&text));
}

static void services_put(struct exchange *x, struct jsonw *w, struct str node)
{
	struct state_key room;
	struct kv_walk walk;

	jsonw_open(w, '[');
	kv_walk_init(&walk, x->txn, STATE_SERVICES, state_key2(&room, node, STR("")));
	while (kv_walk_next(&walk)) {
		struct service_record r;

		if (service_record_decode(walk.value, &x->arena, &r) == 0) {
			put_with_null(w, r.json, STR("\"Tags\":[]"), r.def.tags.present);
		}
	}
	jsonw_close(w, ']');
}

static void checks_put(struct exchange *x, struct jsonw *w, struct str node)
{
	struct state_key room;
	struct kv_walk walk;

	jsonw_open(w, '[');
	kv_walk_init(&walk, x->txn, STATE_CHECKS, state_key2(&room, node, STR("")));
	while (kv_walk_next(&walk)) {
		struct check_record r;

		if (check_record_decode(walk.value, &x->arena, &r) == 0) {
			put_with_null(
				w, r.json, STR("\"ServiceTags\":[]"), r.def.service_tags.present);
		}
	}
	jsonw_close(w, ']');
}

static void pairs_put(struct jsonw *w, const struct pairs *pairs)
{
	if (!pairs->present) {
		jsonw_null(w);
		return;
	}
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < pairs->count; i++) {
		jsonw_key(w, pairs->items[i].key);
		jsonw_str(w, pairs->items[i].value);
	}
	jsonw_close(w, '}');
}

/* key: of the node in NODES */
static void node_info_put(
	struct exchange *x, struct buf *out, struct str key, const struct node_def *n)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	jsonw_put_str(&w, "ID", n->id);
	jsonw_put_str(&w, "Node", n->node);
	jsonw_put_str(&w, "Address", n->address);
	jsonw_keyc(&w, "TaggedAddresses");
	pairs_put(&w, &n->tagged_addresses);
	jsonw_keyc(&w, "Meta");
	pairs_put(&w, &n->meta);
	jsonw_keyc(&w, "Services");
	services_put(x, &w, key);
	jsonw_keyc(&w, "Checks");
	checks_put(x, &w, key);
	jsonw_close(&w, '}');
}

void handle_ui_nodes(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf element = { 0 };
	struct list_query l;
	struct kv_walk w;

	if (!list_begin(&l, x, FILTER_NODE_INFO)) {
		return;
	}
	read_thing(x, THING_NODES, STR(""));
	read_thing(x, THING_CHECKS, STR(""));
	read_thing(x, THING_INSTANCES, STR(""));
	if (list_held(&l)) {
		return;
	}
	l.near = false;
	kv_walk_init(&w, x->txn, STATE_NODES, STR(""));
	while (kv_walk_next(&w)) {
		struct node_record r;

		if (node_record_decode(w.value, &x->arena, &r) == 0) {
			buf_clear(&element);
			node_info_put(x, &element, w.key, &r.def);
			list_add(&l, buf_str(&element), w.key);
		}
	}
	list_end(&l);
}

void handle_ui_node(struct exchange *x)
{
	struct str key = exchange_lower(x, x->request.name), value;
	struct node_record r;

	if (!key.n) {
		answer_text(x, 400, STR("Missing node name"));
		return;
	}
	read_thing(x, THING_NODE, key);
	read_thing(x, THING_NODE_CHECKS, key);
	if (read_held(x)) {
		return;
	}
	if (!kv_get(x->txn, STATE_NODES, key, &value) || node_record_decode(value, &x->arena, &r)) {
		answer_text(x, 404, STR(""));
		return;
	}
	node_info_put(x, exchange_body(x), key, &r.def);
	answer_json(x, 200);
}

/* ---- services ---- */

struct texts {
	struct str *items;
	uint32_t count, room;
};

struct summary {
	struct str key; /* lower(service), to see where the next one begins */
	struct str name, kind;
	struct texts tags, nodes, sources;
	uint32_t instances, passing, warning, critical;
};

static void texts_add(struct arena *arena, struct texts *t, struct str s)
{
	t->items = wire_list_room(arena, t->items, t->count, &t->room, sizeof(t->items[0]));
	t->items[t->count++] = s;
}

static void texts_add_new(struct arena *arena, struct texts *t, struct str s)
{
	for (uint32_t i = 0; i < t->count; i++) {
		if (str_eq(t->items[i], s)) {
			return;
		}
	}
	texts_add(arena, t, s);
}

static int text_cmp(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void texts_put(struct jsonw *w, const char *key, const struct texts *t)
{
	jsonw_key(w, str_of(key));
	if (t->count == 0) {
		jsonw_null(w);
		return;
	}
	qsort(t->items, t->count, sizeof(t->items[0]), text_cmp);
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < t->count; i++) {
		jsonw_str(w, t->items[i]);
	}
	jsonw_close(w, ']');
}

static void number_put(struct jsonw *w, const char *key, uint32_t v)
{
	jsonw_key(w, str_of(key));
	jsonw_u64(w, v);
}

static void summary_put(struct list_query *l, const struct summary *s)
{
	struct buf *body = exchange_body(l->x);
	struct jsonw w;

	if (s->instances == 0) {
		return;
	}
	buf_put_char(body, l->count++ ? ',' : '[');
	w = jsonw_of(body);
	jsonw_open(&w, '{');
	if (s->kind.n) {
		jsonw_put_str(&w, "Kind", s->kind);
	}
	jsonw_put_str(&w, "Name", s->name);
	texts_put(&w, "Tags", &s->tags);
	texts_put(&w, "Nodes", &s->nodes);
	number_put(&w, "InstanceCount", s->instances);
	number_put(&w, "ChecksPassing", s->passing);
	number_put(&w, "ChecksWarning", s->warning);
	number_put(&w, "ChecksCritical", s->critical);
	texts_put(&w, "ExternalSources", &s->sources);
	jsonw_keyc(&w, "GatewayConfig");
	jsonw_raw(&w, STR("{}"));
	jsonw_close(&w, '}');
}

static void checks_count(struct summary *s, const struct json *checks)
{
	const struct json *check;

	for (check = checks ? checks->first : NULL; check; check = check->next) {
		struct str status = json_find_text(check, "Status");

		s->passing += str_is(status, "passing");
		s->warning += str_is(status, "warning");
		s->critical += str_is(status, "critical");
	}
}

static void instance_count(struct list_query *l, struct summary *s, const struct health_record *r)
{
	struct arena *arena = &l->x->arena;
	const struct json *service;
	struct json *element;
	struct str source;

	arena_reset(&l->scratch);
	if (json_parse(&l->scratch, r->json, &element, NULL) || !filter_match(l->filter, element)) {
		return;
	}
	service = json_find(element, "Service");
	source = json_find_text(json_find(service, "Meta"), "external-source");
	s->name = r->service;
	s->kind = arena_str(arena, json_find_text(service, "Kind"));
	s->instances++;
	texts_add(arena, &s->nodes, r->node);
	for (uint32_t i = 0; i < r->tags.count; i++) {
		texts_add_new(arena, &s->tags, r->tags.items[i]);
	}
	if (source.n) {
		texts_add_new(arena, &s->sources, arena_str(arena, source));
	}
	checks_count(s, json_find(element, "Checks"));
}

void handle_ui_services(struct exchange *x)
{
	struct summary s = { 0 };
	struct list_query l;
	struct kv_walk w;

	if (!list_begin(&l, x, FILTER_CHECK_SERVICE_NODE)) {
		return;
	}
	read_thing(x, THING_INSTANCES, STR(""));
	if (list_held(&l)) {
		return;
	}
	l.near = false;
	kv_walk_init(&w, x->txn, STATE_HEALTH, STR(""));
	while (kv_walk_next(&w)) {
		struct str rest, key = str_split(w.key, '\0', &rest);
		struct health_record r;

		if (health_record_decode(w.value, &x->arena, &r)) {
			continue;
		}
		if (!str_eq(key, s.key)) {
			summary_put(&l, &s);
			s = (struct summary) { .key = arena_str(&x->arena, key) };
		}
		instance_count(&l, &s, &r);
	}
	summary_put(&l, &s);
	list_end(&l);
}
