/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking, filling in and finding prepared queries.
 */
#include "common/msg/query.h"

#include "common/base/err.h"
#include "common/base/regex.h"
#include "common/base/template.h"

enum { META_PAIRS_MAX = 64, META_KEY_MAX = 128, META_VALUE_MAX = 512 };

static int refuse(struct buf *why, const char *text)
{
	buf_put_cstr(why, text);
	return ST_INVALID;
}

/* ---- definitions ---- */

static bool key_valid(struct str key)
{
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '-' && c != '_') {
			return false;
		}
	}
	return true;
}

static int pair_check(const struct pair *pair, struct buf *why)
{
	const char *reason = NULL;

	if (!pair->key.n) {
		reason = "Key cannot be blank";
	} else if (!key_valid(pair->key)) {
		reason = "Key contains invalid characters";
	} else if (pair->key.n > META_KEY_MAX) {
		reason = "Key is too long (limit: 128 characters)";
	} else if (pair->value.n > META_VALUE_MAX) {
		reason = "Value is too long (limit: 512 characters)";
	}
	if (!reason) {
		return 0;
	}
	buf_printf(why, "Couldn't load metadata pair ('" STR_FMT "', '" STR_FMT "'): %s",
		STR_ARG(pair->key), STR_ARG(pair->value), reason);
	return ST_INVALID;
}

static int meta_check(const struct pairs *meta, struct buf *why)
{
	if (meta->count > META_PAIRS_MAX) {
		return refuse(why, "Node metadata cannot contain more than 64 key/value pairs");
	}
	for (uint32_t i = 0; i < meta->count; i++) {
		if (pair_check(&meta->items[i], why)) {
			return ST_INVALID;
		}
	}
	return 0;
}

static int ttl_check(struct str ttl, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	int64_t ns = 0;

	if (ttl.n && duration_parse(ttl, &ns, &reason)) {
		buf_printf(why, "Bad DNS TTL '" STR_FMT "': " STR_FMT, STR_ARG(ttl),
			STR_ARG(buf_str(&reason)));
		return ST_INVALID;
	}
	if (ns < 0) {
		buf_printf(why, "DNS TTL '%lld', must be >=0", (long long)ns);
		return ST_INVALID;
	}
	return 0;
}

int query_check(const struct query_def *q, struct buf *why)
{
	if (!q->name.n && !query_is_template(q) && !q->session.n) {
		return refuse(why, "Must be bound to a session");
	}
	if (str_eq(q->token, STR("<hidden>"))) {
		return refuse(why, "Bad Token '<hidden>', it looks like a query definition with a "
				   "redacted token was submitted");
	}
	if (!q->service.n) {
		return refuse(why, "Must provide a Service name to query");
	}
	if (q->nearest_n < 0) {
		buf_printf(why, "Bad NearestN '%lld', must be >= 0", (long long)q->nearest_n);
		return ST_INVALID;
	}
	return meta_check(&q->node_meta, why) ? ST_INVALID : ttl_check(q->dns_ttl, why);
}

/* ---- templates ---- */

/* Where a text stands in the definition: Service.Tags[1], Service.NodeMeta[rack]. */
struct place {
	const char *field;
	bool in_list, in_map;
	uint32_t number;
	struct str key;
};

typedef int (*text_fn)(void *arg, const struct place *place, struct str *text);

static void place_put(struct buf *out, const struct place *place)
{
	buf_printf(out, "Service.%s", place->field);
	if (place->in_list) {
		buf_printf(out, "[%u]", place->number);
	} else if (place->in_map) {
		buf_printf(out, "[" STR_FMT "]", STR_ARG(place->key));
	}
}

static int each_in_list(struct strs *list, const char *field, text_fn visit, void *arg)
{
	struct place place = { .field = field, .in_list = true };

	for (; place.number < list->count; place.number++) {
		if (visit(arg, &place, &list->items[place.number])) {
			return ST_INVALID;
		}
	}
	return 0;
}

static int each_in_map(struct pairs *map, const char *field, text_fn visit, void *arg)
{
	struct place place = { .field = field, .in_map = true };

	for (uint32_t i = 0; i < map->count; i++) {
		place.key = map->items[i].key;
		if (visit(arg, &place, &map->items[i].value)) {
			return ST_INVALID;
		}
	}
	return 0;
}

/* Every text below Service, in Consul's order. */
static int each_text(struct query_def *q, text_fn visit, void *arg)
{
	const struct place service = { .field = "Service" }, near = { .field = "Near" };

	if (visit(arg, &service, &q->service) ||
		each_in_list(&q->datacenters, "Failover.Datacenters", visit, arg) ||
		each_in_list(&q->ignore_check_ids, "IgnoreCheckIDs", visit, arg) ||
		visit(arg, &near, &q->near) || each_in_list(&q->tags, "Tags", visit, arg) ||
		each_in_map(&q->node_meta, "NodeMeta", visit, arg)) {
		return ST_INVALID;
	}
	return each_in_map(&q->service_meta, "ServiceMeta", visit, arg);
}

static int text_check(void *arg, const struct place *place, struct str *text)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	struct buf *why = arg;

	if (!template_check(*text, &reason)) {
		return 0;
	}
	buf_printf(why, "Bad format '" STR_FMT "' in ", STR_ARG(*text));
	place_put(why, place);
	buf_printf(why, ": " STR_FMT, STR_ARG(buf_str(&reason)));
	return ST_INVALID;
}

struct filling {
	const struct query_def *template;
	struct str name;
	struct str *groups;
	size_t groups_count;
	struct arena *arena;
	struct buf *why;
};

static bool variable(void *arg, struct str name, struct str *value_out)
{
	const struct filling *f = arg;
	struct str prefix = f->template->name;

	if (str_eq(name, STR("name.full"))) {
		*value_out = f->name;
	} else if (str_eq(name, STR("name.prefix"))) {
		*value_out = prefix;
	} else if (str_eq(name, STR("name.suffix"))) {
		*value_out = str_starts(f->name, prefix) ? str_skip(f->name, prefix.n) : f->name;
	} else if (str_eq(name, STR("agent.segment"))) {
		*value_out = STR("");
	} else {
		return false;
	}
	return true;
}

static struct str match(void *arg, int64_t number)
{
	const struct filling *f = arg;

	return number >= 0 && (uint64_t)number < f->groups_count ? f->groups[number] : STR("");
}

static int text_fill(void *arg, const struct place *place, struct str *text)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	struct filling *f = arg;
	const struct template_scope scope = { variable, match, f };
	struct str filled;

	if (!template_render(*text, &scope, f->arena, &filled, &reason)) {
		*text = filled;
		return 0;
	}
	buf_printf(f->why, "Bad evaluation for '" STR_FMT "' in ", STR_ARG(*text));
	place_put(f->why, place);
	buf_printf(f->why, ": " STR_FMT, STR_ARG(buf_str(&reason)));
	return ST_INVALID;
}

static struct strs strs_copy(struct arena *arena, struct strs v)
{
	struct str *items = arena_array(arena, struct str, v.count);

	if (v.count) {
		memcpy(items, v.items, v.count * sizeof(items[0]));
	}
	v.items = items;
	return v;
}

static struct pairs pairs_copy(struct arena *arena, struct pairs v)
{
	struct pair *items = arena_array(arena, struct pair, v.count);

	if (v.count) {
		memcpy(items, v.items, v.count * sizeof(items[0]));
	}
	v.items = items;
	return v;
}

static void empty_tags_remove(struct strs *tags)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < tags->count; i++) {
		if (tags->items[i].n) {
			tags->items[kept++] = tags->items[i];
		}
	}
	tags->count = kept;
	tags->present = true;
}

static int fill(struct filling *f, const struct regex *re, struct query_def *out)
{
	struct query_def q = *f->template;

	q.datacenters = strs_copy(f->arena, q.datacenters);
	q.ignore_check_ids = strs_copy(f->arena, q.ignore_check_ids);
	q.tags = strs_copy(f->arena, q.tags);
	q.node_meta = pairs_copy(f->arena, q.node_meta);
	q.service_meta = pairs_copy(f->arena, q.service_meta);
	if (re) {
		f->groups_count = regex_groups(re, f->name, f->arena, &f->groups);
	}
	if (each_text(&q, text_fill, f)) {
		return ST_INVALID;
	}
	if (q.remove_empty_tags) {
		empty_tags_remove(&q.tags);
	}
	*out = q;
	return 0;
}

static int expression_compile(const struct query_def *q, struct regex **out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };

	if (!q->template_regexp.n || !regex_new(q->template_regexp, out, &reason)) {
		return 0;
	}
	buf_printf(why, "Bad Regexp: " STR_FMT, STR_ARG(buf_str(&reason)));
	return ST_INVALID;
}

int query_template_fill(const struct query_def *q, struct str name, struct arena *arena,
	struct query_def *out, struct buf *why)
{
	OWN(regex_free) struct regex *re = NULL;
	struct filling f = { .template = q, .name = name, .arena = arena, .why = why };

	return expression_compile(q, &re, why) ? ST_INVALID : fill(&f, re, out);
}

static int template_checked(const struct query_def *q, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct query_def copy = *q, filled;

	if (!str_eq(q->template_type, STR("name_prefix_match"))) {
		buf_printf(why, "Bad Template.Type '" STR_FMT "'", STR_ARG(q->template_type));
		return ST_INVALID;
	}
	if (each_text(&copy, text_check, why)) {
		return ST_INVALID;
	}
	/* The shortest name that it will ever be filled in with. */
	return query_template_fill(q, q->name, &arena, &filled, why);
}

int query_template_check(const struct query_def *q, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };

	if (!template_checked(q, &reason)) {
		return 0;
	}
	buf_printf(why, "failed compiling template: " STR_FMT, STR_ARG(buf_str(&reason)));
	return ST_INVALID;
}

/* ---- JSON ---- */

static void put_strs(struct jsonw *w, const char *key, struct strs v)
{
	jsonw_key(w, str_of(key));
	strs_render(w, v, true);
}

static void put_pairs(struct jsonw *w, const char *key, struct pairs v)
{
	jsonw_key(w, str_of(key));
	pairs_render(w, v, true);
}

static void put_service(struct jsonw *w, const struct query_def *q)
{
	jsonw_open(w, '{');
	jsonw_put_str(w, "Service", q->service);
	jsonw_keyc(w, "Failover");
	jsonw_open(w, '{');
	jsonw_put_i64(w, "NearestN", q->nearest_n);
	put_strs(w, "Datacenters", q->datacenters);
	jsonw_close(w, '}');
	jsonw_put_bool(w, "OnlyPassing", q->only_passing);
	put_strs(w, "IgnoreCheckIDs", q->ignore_check_ids);
	jsonw_put_str(w, "Near", q->near);
	put_strs(w, "Tags", q->tags);
	put_pairs(w, "NodeMeta", q->node_meta);
	put_pairs(w, "ServiceMeta", q->service_meta);
	jsonw_put_bool(w, "Connect", q->connect);
	jsonw_close(w, '}');
}

void query_json(
	struct buf *out, const struct query_def *q, uint64_t create_index, uint64_t modify_index)
{
	struct jsonw w = jsonw_of(out);
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&q->id, id);
	jsonw_open(&w, '{');
	jsonw_put_str(&w, "ID", str_n(id, UUID_TEXT_SIZE));
	jsonw_put_str(&w, "Name", q->name);
	jsonw_put_str(&w, "Session", q->session);
	jsonw_put_str(&w, "Token", q->token);
	jsonw_keyc(&w, "Template");
	jsonw_open(&w, '{');
	jsonw_put_str(&w, "Type", q->template_type);
	jsonw_put_str(&w, "Regexp", q->template_regexp);
	jsonw_put_bool(&w, "RemoveEmptyTags", q->remove_empty_tags);
	jsonw_close(&w, '}');
	jsonw_keyc(&w, "Service");
	put_service(&w, q);
	jsonw_keyc(&w, "DNS");
	jsonw_open(&w, '{');
	jsonw_put_str(&w, "TTL", q->dns_ttl);
	jsonw_close(&w, '}');
	jsonw_put_u64(&w, "CreateIndex", create_index);
	jsonw_put_u64(&w, "ModifyIndex", modify_index);
	jsonw_close(&w, '}');
}

/* ---- finding ---- */

/* 'n' + lower(name) 0 */
static struct str name_prefix(struct state_key *room, char kind, struct str name)
{
	must(name.n <= QUERY_NAME_MAX);
	room->bytes[0] = kind;
	str_lower_into(name, room->bytes + 1);
	room->bytes[1 + name.n] = '\0';
	return str_n(room->bytes, name.n + 2);
}

struct str query_name_key(struct state_key *room, char kind, struct str name, const struct uuid *id)
{
	struct str prefix = name_prefix(room, kind, name);

	memcpy(room->bytes + prefix.n, id->b, sizeof(id->b));
	return str_n(room->bytes, prefix.n + sizeof(id->b));
}

bool query_name_find(
	struct kv_txn *t, char kind, struct str name, const struct uuid *but, struct uuid *out)
{
	struct state_key room;
	struct str prefix;
	struct kv_walk w;

	if (name.n > QUERY_NAME_MAX) {
		return false;
	}
	prefix = name_prefix(&room, kind, name);
	kv_walk_init(&w, t, STATE_QUERY_NAMES, prefix);
	while (kv_walk_next(&w)) {
		if (w.key.n != prefix.n + sizeof(out->b)) {
			continue; /* of a name with a zero byte: there is none */
		}
		memcpy(out->b, w.key.p + prefix.n, sizeof(out->b));
		if (!but || !uuid_eq(out, but)) {
			return true;
		}
	}
	return false;
}

static int record_get(
	struct kv_txn *t, const struct uuid *id, struct arena *arena, struct query_record *out)
{
	struct str value;

	return kv_get(t, STATE_QUERIES, str_n(id->b, sizeof(id->b)), &value)
		       ? query_record_decode(value, arena, out)
		       : ST_NOT_FOUND;
}

/* The template with the longest name that this one begins with. */
static bool template_find(struct kv_txn *t, struct str name, struct uuid *out)
{
	struct kv_walk any;

	kv_walk_init(&any, t, STATE_QUERY_NAMES, STR("t"));
	if (!kv_walk_next(&any)) {
		return false;
	}
	for (size_t n = min_of(name.n, (size_t)QUERY_NAME_MAX) + 1; n-- > 0;) {
		if (query_name_find(t, 't', str_cut(name, n), NULL, out)) {
			return true;
		}
	}
	return false;
}

int query_resolve(struct kv_txn *t, struct str id_or_name, struct arena *arena,
	struct query_record *out, struct buf *why)
{
	struct uuid id;
	int r;

	if (!id_or_name.n) {
		return refuse(why, "Missing Query ID");
	}
	if (uuid_parse(id_or_name, &id) == 0 && !record_get(t, &id, arena, out)) {
		return query_is_template(&out->def)
			       ? refuse(why, "prepared query templates can only be resolved up by "
					     "name, not by ID")
			       : 0;
	}
	if (!query_name_find(t, 'n', id_or_name, NULL, &id) && !template_find(t, id_or_name, &id)) {
		return ST_NOT_FOUND;
	}
	r = record_get(t, &id, arena, out);
	if (!r && query_is_template(&out->def)) {
		r = query_template_fill(&out->def, id_or_name, arena, &out->def, why);
	}
	return r;
}
