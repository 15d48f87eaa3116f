/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instances of its service a prepared query lets through: by health, tags, and meta.
 */
#include "common/base/err.h"
#include "httpd/query.h"

static bool is_tagged(const struct strs *tags, struct str tag)
{
	for (uint32_t i = 0; i < tags->count; i++) {
		if (str_ieq(tags->items[i], tag)) {
			return true;
		}
	}
	return false;
}

/* All of them, but none behind a '!'. */
static bool tags_match(const struct strs *wanted, const struct strs *tags)
{
	for (uint32_t i = 0; i < wanted->count; i++) {
		struct str tag = wanted->items[i];
		bool forbidden = str_starts(tag, STR("!"));

		if (is_tagged(tags, str_skip(tag, forbidden)) == forbidden) {
			return false;
		}
	}
	return true;
}

static bool meta_matches(const struct pairs *wanted, const struct pairs *meta)
{
	for (uint32_t i = 0; i < wanted->count; i++) {
		struct str value = pairs_find(meta, wanted->items[i].key);

		if (!value.p || !str_eq(value, wanted->items[i].value)) {
			return false;
		}
	}
	return true;
}

static bool status_passes(const struct query_def *q, enum health status)
{
	return q->only_passing ? status == HEALTH_PASSING : status != HEALTH_CRITICAL;
}

/* The checks of a service instance, or with id "" those of its node. */
static bool checks_pass(
	struct exchange *x, const struct query_def *q, struct str node, struct str id)
{
	struct state_key room, check_room;
	struct kv_walk w;

	kv_walk_init(&w, x->txn, STATE_INSTANCE_CHECKS, state_key3(&room, node, id, STR("")));
	while (kv_walk_next(&w)) {
		struct str check = str_skip(w.key, node.n + 1 + id.n + 1), value;
		struct check_record record;

		if (!kv_get(x->txn, STATE_CHECKS, state_key2(&check_room, node, check), &value) ||
			check_record_decode(value, &x->arena, &record)) {
			continue;
		}
		if (!strs_has(&q->ignore_check_ids, record.def.check_id) &&
			!status_passes(q, health_of(record.def.status))) {
			return false;
		}
	}
	return true;
}

/* key: lower(service) 0 lower(node) 0 lower(id) */
static bool is_healthy(struct exchange *x, const struct query_def *q, struct str key,
	const struct health_record *record)
{
	struct str node, id;

	if (status_passes(q, record->status) || !q->ignore_check_ids.count) {
		return status_passes(q, record->status);
	}
	str_split(key, '\0', &node);
	node = str_split(node, '\0', &id);
	return checks_pass(x, q, node, id) && checks_pass(x, q, node, STR(""));
}

static bool service_meta_matches(struct exchange *x, const struct query_def *q, struct str key)
{
	struct service_record record;
	struct str instance, value;

	if (!q->service_meta.count) {
		return true;
	}
	str_split(key, '\0', &instance); /* its key in SERVICES */
	return kv_get(x->txn, STATE_SERVICES, instance, &value) &&
	       !service_record_decode(value, &x->arena, &record) &&
	       meta_matches(&q->service_meta, &record.def.meta);
}

static void add(struct exchange *x, struct query_hits *hits, const struct health_record *record)
{
	if (hits->count == hits->room) {
		uint32_t room = max_of(hits->room * 2, 32u);
		struct query_hit *items = arena_array(&x->arena, struct query_hit, room);

		if (hits->count) {
			memcpy(items, hits->items, hits->count * sizeof(items[0]));
		}
		hits->items = items;
		hits->room = room;
	}
	hits->items[hits->count++] =
		(struct query_hit) { .json = record->json, .node = record->node };
}

void query_pick(struct exchange *x, const struct query_def *q, struct query_hits *out)
{
	struct str service = exchange_lower(x, str_cut(q->service, SERVICE_NAME_MAX + 1));
	struct state_key room;
	struct kv_walk w;

	*out = (struct query_hits) { 0 };
	if (q->connect) {
		return; /* no mesh, so no instance takes part in it */
	}
	kv_walk_init(&w, x->txn, STATE_HEALTH, state_key2(&room, service, STR("")));
	while (kv_walk_next(&w)) {
		struct health_record record;

		if (!health_record_decode(w.value, &x->arena, &record) &&
			is_healthy(x, q, w.key, &record) &&
			meta_matches(&q->node_meta, &record.node_meta) &&
			service_meta_matches(x, q, w.key) && tags_match(&q->tags, &record.tags)) {
			add(x, out, &record);
		}
	}
}
