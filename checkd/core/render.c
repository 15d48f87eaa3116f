/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries as JSON: as the agent's endpoints show them and as the catalogue takes them. Field order
 * is part of the interface.
 */
#include <stdio.h>

#include "checkd/core/private.h"
#include "common/base/hash.h"

static void render_strs(struct jsonw *w, const struct strs *v)
{
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < v->count; i++) {
		jsonw_str(w, v->items[i]);
	}
	jsonw_close(w, ']');
}

static void render_pairs(struct jsonw *w, const struct pairs *v)
{
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < v->count; i++) {
		jsonw_key(w, v->items[i].key);
		jsonw_str(w, v->items[i].value);
	}
	jsonw_close(w, '}');
}

static void member_str(struct jsonw *w, const char *key, struct str v)
{
	jsonw_key(w, str_of(key));
	jsonw_str(w, v);
}

static int address_compare(const void *a, const void *b)
{
	const struct tagged_address *const *x = a, *const *y = b;

	return str_cmp((*x)->name, (*y)->name);
}

static void render_tagged_addresses(struct jsonw *w, const struct service_def *d)
{
	const struct tagged_address **sorted;
	uint32_t count = d->tagged_addresses.count;

	if (count == 0) {
		return;
	}
	sorted = xcalloc(count, sizeof(*sorted));
	for (uint32_t i = 0; i < count; i++) {
		sorted[i] = &d->tagged_addresses.items[i];
	}
	qsort(sorted, count, sizeof(*sorted), address_compare);
	jsonw_keyc(w, "TaggedAddresses");
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < count; i++) {
		jsonw_key(w, sorted[i]->name);
		jsonw_open(w, '{');
		member_str(w, "Address", sorted[i]->address);
		jsonw_put_i64(w, "Port", sorted[i]->port);
		jsonw_close(w, '}');
	}
	jsonw_close(w, '}');
	free(sorted);
}

static void render_weights(struct jsonw *w, const struct service_def *d)
{
	jsonw_keyc(w, "Weights");
	jsonw_open(w, '{');
	jsonw_put_i64(w, "Passing", d->weight_passing);
	jsonw_put_i64(w, "Warning", d->weight_warning);
	jsonw_close(w, '}');
	jsonw_put_bool(w, "EnableTagOverride", d->enable_tag_override);
}

static void render_mesh(struct jsonw *w, const struct service_def *d)
{
	if (d->proxy_json.n) {
		jsonw_keyc(w, "Proxy");
		jsonw_raw(w, d->proxy_json);
	}
	if (d->connect_native) {
		jsonw_keyc(w, "Connect");
		jsonw_raw(w, STR("{\"Native\":true}"));
	}
}

static void render_identity(struct jsonw *w, const struct service_def *d)
{
	if (d->kind.n) {
		member_str(w, "Kind", d->kind);
	}
	member_str(w, "ID", d->id);
	member_str(w, "Service", d->name);
	jsonw_keyc(w, "Tags");
	render_strs(w, &d->tags);
}

/* AgentService (http-api 4.2); hash: "" or the ContentHash. */
static void render_agent_service(struct jsonw *w, const struct service_def *d, struct str hash)
{
	jsonw_open(w, '{');
	render_identity(w, d);
	jsonw_keyc(w, "Meta");
	render_pairs(w, &d->meta);
	jsonw_put_i64(w, "Port", d->port);
	member_str(w, "Address", d->address);
	render_tagged_addresses(w, d);
	render_weights(w, d);
	if (hash.n) {
		member_str(w, "ContentHash", hash);
	}
	render_mesh(w, d);
	jsonw_close(w, '}');
}

void render_node_service(const struct service *s, struct jsonw *w)
{
	const struct service_def *d = &s->row.def;

	jsonw_open(w, '{');
	render_identity(w, d);
	member_str(w, "Address", d->address);
	render_tagged_addresses(w, d);
	if (d->meta.count) {
		jsonw_keyc(w, "Meta");
		render_pairs(w, &d->meta);
	}
	jsonw_put_i64(w, "Port", d->port);
	render_weights(w, d);
	render_mesh(w, d);
	jsonw_close(w, '}');
}

void render_node(const struct registry *r, struct jsonw *w)
{
	const struct registry_config *c = r->config;

	member_str(w, "Datacenter", c->datacenter);
	member_str(w, "ID", c->node_id);
	member_str(w, "Node", c->node);
	member_str(w, "Address", c->address);
	jsonw_keyc(w, "TaggedAddresses");
	render_pairs(w, &c->tagged_addresses);
	jsonw_keyc(w, "NodeMeta");
	render_pairs(w, &c->meta);
}

/* The client library's shape tells absent tags from none, and leaves the type out. */
static void check_members(
	const struct registry *r, const struct check *c, struct jsonw *w, bool client)
{
	const struct check_row *row = &c->row;

	member_str(w, "Node", r->config->node);
	member_str(w, "CheckID", row->def.id);
	member_str(w, "Name", row->def.name);
	jsonw_put_cstr(w, "Status", check_status_name(c->status));
	member_str(w, "Notes", row->def.notes);
	member_str(w, "Output", buf_str(&c->output));
	member_str(w, "ServiceID", row->def.service_id);
	member_str(w, "ServiceName", row->service_name);
	jsonw_keyc(w, "ServiceTags");
	if (client && !row->service_tags.present) {
		jsonw_null(w);
	} else {
		render_strs(w, &row->service_tags);
	}
	member_str(w, "Type", client ? STR("") : row->type);
}

void render_health_check(const struct registry *r, const struct check *c, struct jsonw *w)
{
	jsonw_open(w, '{');
	check_members(r, c, w, false);
	jsonw_close(w, '}');
}

#define INDEXES "\"CreateIndex\":0,\"ModifyIndex\":0"

static void render_agent_check(const struct registry *r, const struct check *c, struct jsonw *w)
{
	jsonw_open(w, '{');
	check_members(r, c, w, false);
	jsonw_raw(w, STR("\"Definition\":{}," INDEXES));
	jsonw_close(w, '}');
}

/* The client library's shape of a check (http-api 4.5). */
static void render_client_check(const struct registry *r, const struct check *c, struct jsonw *w)
{
	jsonw_open(w, '{');
	check_members(r, c, w, true);
	jsonw_raw(w, STR("\"Definition\":{\"Interval\":\"0s\",\"Timeout\":\"0s\","
			 "\"DeregisterCriticalServiceAfter\":\"0s\",\"HTTP\":\"\","
			 "\"Header\":null,\"Method\":\"\",\"Body\":\"\",\"TLSSkipVerify\":false,"
			 "\"TCP\":\"\"}," INDEXES));
	jsonw_close(w, '}');
}

/* ---- maps, sorted by key as Go writes them ---- */

static int node_compare(const void *a, const void *b)
{
	const struct map_node *const *x = a, *const *y = b;

	return str_cmp((*x)->key, (*y)->key);
}

static const struct map_node **sorted_nodes(const struct map *m)
{
	const struct map_node **nodes = xcalloc(m->count + 1, sizeof(*nodes));
	const struct map_node *n;
	size_t at = 0;

	list_for_each (n, &m->all, all) {
		nodes[at++] = n;
	}
	qsort(nodes, at, sizeof(*nodes), node_compare);
	return nodes;
}

void registry_render_services(const struct registry *r, struct buf *out)
{
	OWN(free) const struct map_node **nodes = sorted_nodes(&r->services);
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	for (size_t i = 0; i < r->services.count; i++) {
		const struct service *s = container_of(nodes[i], struct service, node);

		if (!s->sync.deleted) {
			jsonw_key(&w, s->row.def.id);
			render_agent_service(&w, &s->row.def, STR(""));
		}
	}
	jsonw_close(&w, '}');
}

void registry_render_checks(const struct registry *r, struct buf *out)
{
	OWN(free) const struct map_node **nodes = sorted_nodes(&r->checks);
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	for (size_t i = 0; i < r->checks.count; i++) {
		const struct check *c = container_of(nodes[i], struct check, node);

		if (!c->sync.deleted) {
			jsonw_key(&w, c->row.def.id);
			render_agent_check(r, c, &w);
		}
	}
	jsonw_close(&w, '}');
}

int registry_render_service(
	const struct registry *r, struct str id, struct buf *out, struct buf *hash_out)
{
	const struct service *s = service_find(r, id);
	struct jsonw w = jsonw_of(out);
	char hash[20];

	if (!s) {
		return ST_NOT_FOUND;
	}
	snprintf(hash, sizeof(hash), "%llx",
		(unsigned long long)hash64(str_n(s->bytes, s->bytes_count), 0));
	buf_put_cstr(hash_out, hash);
	render_agent_service(&w, &s->row.def, str_of(hash));
	return 0;
}

/* ---- local health ---- */

static const char *const health_words[] = { "passing", "warning", "critical", "maintenance" };

static unsigned check_badness(const struct check *c)
{
	return c->row.maintenance ? 3 : (unsigned)c->status;
}

static unsigned render_checks_of(
	const struct registry *r, const struct list *checks, struct jsonw *w)
{
	unsigned worst = 0;
	const struct check *c;

	list_for_each (c, checks, of_service) {
		if (!c->sync.deleted) {
			render_client_check(r, c, w);
			worst = max_of(worst, check_badness(c));
		}
	}
	return worst;
}

static unsigned render_health(const struct registry *r, const struct service *s, struct jsonw *w)
{
	OWN_EMBEDDED(buf_fini) struct buf checks = { 0 };
	struct jsonw inner = jsonw_of(&checks);
	unsigned worst, node_worst;

	jsonw_open(&inner, '[');
	worst = render_checks_of(r, &s->checks, &inner);
	node_worst = render_checks_of(r, &r->node_checks, &inner);
	worst = max_of(worst, node_worst);
	jsonw_close(&inner, ']');
	jsonw_open(w, '{');
	jsonw_put_cstr(w, "AggregatedStatus", health_words[worst]);
	jsonw_keyc(w, "Service");
	render_agent_service(w, &s->row.def, STR(""));
	jsonw_keyc(w, "Checks");
	jsonw_raw(w, buf_str(&checks));
	jsonw_close(w, '}');
	return worst;
}

const char *registry_render_health_id(const struct registry *r, struct str id, struct buf *out)
{
	const struct service *s = service_find(r, id);
	struct jsonw w = jsonw_of(out);

	if (!s) {
		buf_put_lit(out,
			"{\"AggregatedStatus\":\"critical\",\"Service\":null,\"Checks\":null}");
		return "";
	}
	return health_words[render_health(r, s, &w)];
}

const char *registry_render_health_name(const struct registry *r, struct str name, struct buf *out)
{
	OWN(free) const struct map_node **nodes = sorted_nodes(&r->services);
	struct jsonw w = jsonw_of(out);
	unsigned worst = 0;
	bool any = false;

	jsonw_open(&w, '[');
	for (size_t i = 0; i < r->services.count; i++) {
		const struct service *s = container_of(nodes[i], struct service, node);

		if (!s->sync.deleted && str_eq(s->row.def.name, name)) {
			unsigned one = render_health(r, s, &w);

			worst = max_of(worst, one);
			any = true;
		}
	}
	jsonw_close(&w, ']');
	return any ? health_words[worst] : "";
}
