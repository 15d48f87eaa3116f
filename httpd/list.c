/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of records: filtering, and ordering by distance.
 */
#include "httpd/list.h"

#include <math.h>

#include "common/base/err.h"

static double double_of(uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

double coordinate_distance(const struct coordinate *a, const struct coordinate *b)
{
	const uint64_t va[] = { a->vec0, a->vec1, a->vec2, a->vec3, a->vec4, a->vec5, a->vec6,
		a->vec7 };
	const uint64_t vb[] = { b->vec0, b->vec1, b->vec2, b->vec3, b->vec4, b->vec5, b->vec6,
		b->vec7 };
	double sum = 0, distance, adjusted;

	for (size_t i = 0; i < ARRAY_SIZE(va); i++) {
		double d = double_of(va[i]) - double_of(vb[i]);

		sum += d * d;
	}
	distance = sqrt(sum) + double_of(a->height) + double_of(b->height);
	adjusted = distance + double_of(a->adjustment) + double_of(b->adjustment);
	return adjusted > 0 ? adjusted : distance;
}

bool coordinate_find(struct exchange *x, struct str node, struct coordinate *out)
{
	struct coordinate_record record;
	struct state_key room;
	struct str value;

	if (!kv_get(x->txn, STATE_COORDINATES, state_key2(&room, node, STR("")), &value) ||
		coordinate_record_decode(value, &x->arena, &record)) {
		return false;
	}
	*out = record.coordinate;
	return true;
}

/* A node that nobody knows a place for leaves the order as it is. */
static void near_begin(struct list_query *l, struct str near)
{
	struct str node = str_is(near, "_agent") ? exchange_node(l->x) : near;

	l->near = node.n && node.n <= NODE_NAME_MAX &&
		  coordinate_find(l->x, exchange_lower(l->x, node), &l->origin);
}

bool list_begin(struct list_query *l, struct exchange *x, enum filter_object object)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	const struct request *r = &x->request;

	*l = (struct list_query) { .x = x, .object = object, .wan = exchange_shows_wan(x) };
	if (r->params_count == 0) {
		return true;
	}
	if (filter_new(request_param(r, "filter"), object, &l->filter, &why)) {
		read_failed(x, 500, buf_str(&why));
		return false;
	}
	l->has_meta = request_has(r, "node-meta");
	l->has_tags = request_has(r, "tag");
	l->narrowed = l->filter || l->has_meta || l->has_tags;
	near_begin(l, request_param(r, "near"));
	return true;
}

bool list_held(struct list_query *l)
{
	if (!(l->narrowed ? read_held_filtered(l->x) : read_held(l->x))) {
		return false;
	}
	list_drop(l);
	return true;
}

bool list_wants_meta(const struct list_query *l, const struct pairs *node_meta)
{
	struct str wanted;

	for (uint32_t at = 0;
		l->has_meta && request_param_next(&l->x->request, "node-meta", &at, &wanted);) {
		struct str value, key = str_split(wanted, ':', &value);
		struct str found = pairs_find(node_meta, key);

		if (!found.p || !str_eq(found, value)) {
			return false;
		}
	}
	return true;
}

static bool tag_listed(const struct strs *tags, struct str tag)
{
	for (uint32_t i = 0; i < tags->count; i++) {
		if (str_ieq(tags->items[i], tag)) {
			return true;
		}
	}
	return false;
}

bool list_wants_tags(const struct list_query *l, const struct strs *tags)
{
	struct str wanted;

	for (uint32_t at = 0;
		l->has_tags && request_param_next(&l->x->request, "tag", &at, &wanted);) {
		if (!tag_listed(tags, wanted)) {
			return false;
		}
	}
	return true;
}

bool list_matches(struct list_query *l, struct str json)
{
	return filter_match_text(l->filter, &l->scratch, json);
}

struct str list_shown(struct list_query *l, enum filter_object object, struct str json)
{
	return l->wan ? translate(&l->x->arena, object, json) : json;
}

static void append(struct list_query *l, struct str json)
{
	struct buf *body = exchange_body(l->x);

	buf_put_char(body, l->count++ ? ',' : '[');
	buf_put_str(body, list_shown(l, l->object, json));
}

static void collect(struct list_query *l, struct str json, struct str node, bool is_out)
{
	struct coordinate place;
	double distance = INFINITY;

	if (l->count == l->room) {
		l->room = max_of(l->room * 2, 64u);
		l->elements = xrealloc(l->elements, l->room * sizeof(l->elements[0]));
	}
	if (l->near && coordinate_find(l->x, node, &place)) {
		distance = coordinate_distance(&l->origin, &place);
	}
	l->elements[l->count] = (struct list_element) { json, distance, l->count, is_out };
	l->count++;
}

void list_add(struct list_query *l, struct str json, struct str node)
{
	if (!list_matches(l, json)) {
		return;
	}
	if (l->near || l->weeds) {
		collect(l, json, node, false);
	} else {
		append(l, json);
	}
}

void list_add_out(struct list_query *l, struct str json, struct str node)
{
	if (list_matches(l, json)) {
		collect(l, json, node, true);
	}
}

static int element_cmp(const void *a, const void *b)
{
	const struct list_element *x = a, *y = b;

	if (x->distance != y->distance) {
		return x->distance < y->distance ? -1 : 1;
	}
	return x->number < y->number ? -1 : 1;
}

/* Puts what was collected into the body, in its order. */
static void collected_put(struct list_query *l)
{
	uint32_t count = l->count;

	if (l->near) {
		qsort(l->elements, count, sizeof(l->elements[0]), element_cmp);
	}
	l->count = 0;
	for (uint32_t i = 0; i < count;) {
		if (l->elements[i].is_out) {
			l->elements[i] = l->elements[--count];
		} else {
			append(l, l->elements[i++].json);
		}
	}
}

void list_end(struct list_query *l)
{
	struct exchange *x = l->x;
	struct buf *body = exchange_body(x);

	if ((l->near || l->weeds) && l->count) {
		collected_put(l);
	}
	if (l->count) {
		buf_put_char(body, ']');
	} else {
		buf_put_cstr(body, "[]");
	}
	list_drop(l);
	answer_json(x, 200);
}

void list_drop(struct list_query *l)
{
	if (l->filter) {
		filter_free(take(l->filter));
	}
	arena_fini(&l->scratch);
	free(take(l->elements));
}
