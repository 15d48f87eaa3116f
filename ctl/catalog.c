/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster catalog: datacenters, nodes, services.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "ctl/api.h"
#include "ctl/commands.h"
#include "ctl/table.h"

enum { ID_SHOWN = 8 };

int catalog_datacenters_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const struct json *all, *name;
	struct flagset f = { 0 };
	int at = api_begin(c, &api, &f, true, "catalog datacenters [options]",
		"Lists the data centres that are known.", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	if (at < argc) {
		return ctl_fail("Too many arguments (expected 0, got %d)", argc - at);
	}
	buf_put_lit(&path, "/v1/catalog/datacenters");
	if (api_get(&api, &path, &all)) {
		return ctl_fail("Error listing datacenters: %s", api_error(&api));
	}
	json_for_each (name, all) {
		ctl_say("%s", name->text.p);
	}
	return 0;
}

/* "k=v, k=v", sorted by key */
void pairs_join(const struct json *object, const char *separator, struct buf *out)
{
	struct pair sorted[256];
	struct pairs pairs = { sorted, 0, true };
	const struct json *member;

	buf_clear(out);
	if (!object || object->type != JSON_OBJECT) {
		return;
	}
	json_for_each (member, object) {
		if (pairs.count < ARRAY_SIZE(sorted)) {
			sorted[pairs.count++] = (struct pair) { member->key, member->text };
		}
	}
	pairs_sort(&pairs);
	for (uint32_t i = 0; i < pairs.count; i++) {
		buf_printf(out, "%s" STR_FMT "=" STR_FMT, i ? separator : "",
			STR_ARG(sorted[i].key), STR_ARG(sorted[i].value));
	}
}

static void nodes_print(const struct json *all, bool detailed, bool of_service)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 }, addresses = { 0 }, meta = { 0 };
	OWN_EMBEDDED(table_fini) struct table t;
	const struct json *n;

	table_init(&t, detailed ? 6 : 4);
	TABLE_ROW(&t, "Node", "ID", "Address", "DC", "TaggedAddresses", "Meta");
	json_for_each (n, all) {
		char id[ID_SHOWN + 1];

		snprintf(id, sizeof(id), "%s", field_text(n, "ID"));
		pairs_join(json_find(n, "TaggedAddresses"), ", ", &addresses);
		pairs_join(json_find(n, of_service ? "NodeMeta" : "Meta"), ", ", &meta);
		TABLE_ROW(&t, field_text(n, "Node"), detailed ? field_text(n, "ID") : id,
			field_text(n, "Address"), field_text(n, "Datacenter"), buf_cstr(&addresses),
			buf_cstr(&meta));
	}
	table_render(&t, &out);
	fwrite(out.p, 1, out.n, stdout);
}

/* -node-meta k=v as the API's node-meta=k:v */
static void node_meta_put(struct buf *path, const struct flag_list *meta)
{
	for (size_t i = 0; i < meta->count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf pair = { 0 };
		struct str value, key = str_split(str_of(meta->items[i]), '=', &value);

		buf_printf(&pair, STR_FMT ":" STR_FMT, STR_ARG(key), STR_ARG(value));
		path_query(path, "node-meta", buf_cstr(&pair));
	}
}

int catalog_nodes_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const char *near = NULL, *service = NULL, *filter = NULL;
	struct flag_list meta = { .count = 0 };
	struct flagset f = { 0 };
	bool detailed = false;
	const struct json *all;
	int at;

	flag_add(&f, "detailed", FLAG_BOOL, &detailed, "Show metadata and all addresses.");
	flag_add(&f, "near", FLAG_TEXT, &near, "Sort by estimated distance to this node.");
	flag_add(&f, "node-meta", FLAG_TEXTS, &meta, "Only nodes with this pair key=value.");
	flag_add(&f, "service", FLAG_TEXT, &service, "Only nodes that have this service.");
	flag_add(&f, "filter", FLAG_TEXT, &filter, "Only nodes that this expression selects.");
	at = api_begin(c, &api, &f, true, "catalog nodes [options]",
		"Lists the nodes of the catalogue.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (at < argc) {
		return ctl_fail("Too many arguments (expected 0, got %d)", argc - at);
	}
	if (ctl_is_set(service)) {
		buf_put_lit(&path, "/v1/catalog/service/");
		path_put(&path, service);
	} else {
		buf_put_lit(&path, "/v1/catalog/nodes");
	}
	path_query(&path, "near", near);
	path_query(&path, "filter", filter);
	node_meta_put(&path, &meta);
	if (api_get(&api, &path, &all)) {
		return ctl_fail("Error listing nodes: %s", api_error(&api));
	}
	if (all->count == 0) {
		ctl_fail("No nodes match the given query - try expanding your search.");
		return 0;
	}
	nodes_print(all, detailed, ctl_is_set(service));
	return 0;
}

static int text_order(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void tags_join(const struct json *tags, struct buf *out)
{
	struct str sorted[1024];
	const struct json *tag;
	size_t count = 0;

	buf_clear(out);
	json_for_each (tag, tags) {
		if (tag->type == JSON_STRING && count < ARRAY_SIZE(sorted)) {
			sorted[count++] = tag->text;
		}
	}
	qsort(sorted, count, sizeof(*sorted), text_order);
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "%s" STR_FMT, i ? "," : "", STR_ARG(sorted[i]));
	}
}

static void services_print(struct api *api, const struct json *all, bool with_tags)
{
	const struct json *member;
	struct str *names = arena_array(&api->arena, struct str, all->count);
	size_t count = 0, width = 0;

	json_for_each (member, all) {
		names[count++] = member->key;
		width = max_of(width, member->key.n);
	}
	qsort(names, count, sizeof(*names), text_order);
	for (size_t i = 0; i < count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf tags = { 0 };

		if (with_tags) {
			tags_join(json_find(all, names[i].p), &tags);
			ctl_say("%-*s%s", (int)width + 6, names[i].p, buf_cstr(&tags));
		} else {
			ctl_say("%s", names[i].p);
		}
	}
}

static bool is_of(const struct json *service, const char *name)
{
	return strcmp(field_text(service, "Service"), name) == 0;
}

/* A name once, with the tags of all instances of it. first: the first of these. */
static void name_put(struct jsonw *w, const struct json *first, const char *name)
{
	const struct json *service, *list, *tag;

	jsonw_key(w, str_of(name));
	jsonw_open(w, '[');
	for (service = first; service; service = service->next) {
		list = is_of(service, name) ? json_find(service, "Tags") : NULL;
		for (tag = list ? list->first : NULL; tag; tag = tag->next) {
			jsonw_str(w, tag->text);
		}
	}
	jsonw_close(w, ']');
}

/* The names (and tags) of one node's services, in the shape of catalog/services. */
static int node_services_get(struct api *api, struct buf *path, struct buf *shape)
{
	const struct json *answer, *service, *services, *first;
	struct jsonw w = jsonw_of(shape);
	int r = api_get(api, path, &answer);

	if (r) {
		return r;
	}
	services = json_find(answer, "Services");
	jsonw_open(&w, '{');
	for (service = services ? services->first : NULL; service; service = service->next) {
		const char *name = field_text(service, "Service");

		for (first = services->first; !is_of(first, name); first = first->next) {
		}
		if (first == service) {
			name_put(&w, first, name);
		}
	}
	jsonw_close(&w, '}');
	return 0;
}

int catalog_services_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, shape = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flag_list meta = { .count = 0 };
	const struct json *all = NULL;
	struct flagset f = { 0 };
	const char *node = NULL;
	bool tags = false;
	int at, r;

	flag_add(&f, "node", FLAG_TEXT, &node, "Only services of this node.");
	flag_add(&f, "node-meta", FLAG_TEXTS, &meta,
		"Only services of nodes with this pair key=value.");
	flag_add(&f, "tags", FLAG_BOOL, &tags, "Show tags as well.");
	at = api_begin(c, &api, &f, true, "catalog services [options]",
		"Lists the services of the catalogue.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (at < argc) {
		return ctl_fail("Too many arguments (expected 0, got %d)", argc - at);
	}
	if (ctl_is_set(node)) {
		buf_put_lit(&path, "/v1/catalog/node/");
		path_put(&path, node);
	} else {
		buf_put_lit(&path, "/v1/catalog/services");
	}
	node_meta_put(&path, &meta);
	if (ctl_is_set(node)) {
		r = node_services_get(&api, &path, &shape);
		r = r ? r : json_parse(&api.arena, buf_str(&shape), (struct json **)&all, NULL);
	} else {
		r = api_get(&api, &path, &all);
	}
	if (r) {
		return ctl_fail(ctl_is_set(node) ? "Error listing services for node: %s"
						 : "Error listing services: %s",
			api_error(&api));
	}
	if (all->count == 0) {
		ctl_fail("No services match the given query - try expanding your search.");
		return 0;
	}
	services_print(&api, all, tags);
	return 0;
}
