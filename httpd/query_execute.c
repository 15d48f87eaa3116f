/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/query/<id or name>/execute and /explain: the query is found, its instances are shuffled or
 * sorted by distance, cut to the limit, and shown. Where there are none: query_failover.c.
 */
#include <arpa/inet.h>
#include <math.h>

#include "common/base/err.h"
#include "common/base/rng.h"
#include "common/sys/clock.h"
#include "httpd/list.h"
#include "httpd/query.h"

enum { NEAREST_SEARCH_MAX = 10 };

/* ?limit; 0: none. false: answered. */
static bool limit_parse(struct exchange *x, int64_t *out)
{
	struct str text = request_param(&x->request, "limit");
	struct str digits = str_starts(text, STR("+")) ? str_skip(text, 1) : text;
	int r = 0;

	*out = 0;
	if (text.n) {
		r = str_to_i64(digits, out);
	}
	if (r) {
		answer_printf(x, 500, "Bad limit: strconv.Atoi: parsing \"" STR_FMT "\": %s",
			STR_ARG(text), r == ST_TOO_LARGE ? "value out of range" : "invalid syntax");
	}
	*out = max_of(*out, (int64_t)0);
	return !r;
}

/* ?connect. false: answered. */
static bool connect_parse(struct exchange *x, bool *out)
{
	struct str text = request_param(&x->request, "connect");

	*out = false;
	if (!text.n || !str_to_bool(text, out)) {
		return true;
	}
	answer_printf(x, 500,
		"Error parsing 'connect' value: strconv.ParseBool: parsing \"" STR_FMT
		"\": invalid syntax",
		STR_ARG(text));
	return false;
}

/* The query that is meant. false: answered. */
static bool resolve(struct exchange *x, struct str name, struct query_record *out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	int r = query_resolve(x->txn, name, &x->arena, out, &why);

	if (r == ST_NOT_FOUND) {
		answer_text(x, 404, STR("Query not found"));
	} else if (r) {
		read_failed(x, 500, buf_str(&why));
	}
	return !r;
}

/* ---- order ---- */

static void shuffle(struct query_hits *hits)
{
	struct rng rng;

	rng_init(&rng, random_u64());
	for (uint32_t i = hits->count; i > 1; i--) {
		uint32_t other = (uint32_t)rng_below(&rng, i);
		struct query_hit moved = hits->items[i - 1];

		hits->items[i - 1] = hits->items[other];
		hits->items[other] = moved;
	}
}

/* The node at the client's address. */
static struct str node_of_client(struct exchange *x)
{
	struct str address = exchange_client(x);
	struct node_record record;
	struct kv_walk w;

	kv_walk_init(&w, x->txn, STATE_NODES, STR(""));
	while (address.n && kv_walk_next(&w)) {
		if (!node_record_decode(w.value, &x->arena, &record) &&
			str_eq(record.def.address, address)) {
			return record.def.node;
		}
	}
	return STR("");
}

/* Near which node; "" for none. */
static struct str near_node(struct exchange *x, const struct query_def *q)
{
	struct str near = request_param(&x->request, "near");

	near = near.n ? near : q->near;
	if (str_eq(near, STR("_agent"))) {
		return exchange_node(x);
	}
	return str_eq(near, STR("_ip")) ? node_of_client(x) : near;
}

static int hit_cmp(const void *a, const void *b)
{
	const struct query_hit *x = a, *y = b;

	if (x->distance != y->distance) {
		return x->distance < y->distance ? -1 : 1;
	}
	return x->number < y->number ? -1 : 1;
}

static bool place_of(struct exchange *x, struct str node, struct coordinate *out)
{
	return node.n <= NODE_NAME_MAX && coordinate_find(x, exchange_lower(x, node), out);
}

static void sort(struct exchange *x, struct query_hits *hits, struct str near)
{
	struct coordinate origin, place;

	if (!hits->count || !place_of(x, near, &origin)) {
		return;
	}
	for (uint32_t i = 0; i < hits->count; i++) {
		struct query_hit *hit = &hits->items[i];

		hit->number = i;
		hit->distance = place_of(x, hit->node, &place)
					? coordinate_distance(&origin, &place)
					: (double)INFINITY;
	}
	qsort(hits->items, hits->count, sizeof(hits->items[0]), hit_cmp);
}

/* The node itself comes first, unless it stands far behind: then there was nothing to sort by. */
static void put_first(struct query_hits *hits, struct str near)
{
	for (uint32_t i = 0; i < min_of(hits->count, (uint32_t)NEAREST_SEARCH_MAX); i++) {
		if (str_eq(hits->items[i].node, near)) {
			struct query_hit first = hits->items[0];

			hits->items[0] = hits->items[i];
			hits->items[i] = first;
			return;
		}
	}
}

/* ---- answers ---- */

/* What Consul says about an answer in its body too. */
static void put_meta(struct exchange *x, struct jsonw *w)
{
	jsonw_put_u64(w, "Index", 0);
	jsonw_put_i64(w, "LastContact", (int64_t)x->answer.last_contact_ms * NS_PER_MS);
	jsonw_put_bool(w, "KnownLeader", x->answer.known_leader);
	jsonw_put_cstr(w, "ConsistencyLevel", x->answer.consistency);
	jsonw_close(w, '}');
}

void query_answer(struct exchange *x, const struct query_def *q, const struct query_hits *hits,
	struct str datacenter, uint64_t failovers)
{
	struct jsonw w = jsonw_of(exchange_body(x));
	bool wan = exchange_shows_wan(x);

	jsonw_open(&w, '{');
	jsonw_put_str(&w, "Service", q->service);
	jsonw_keyc(&w, "Nodes");
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < hits->count; i++) {
		struct str json = hits->items[i].json;

		jsonw_raw(&w, wan ? translate(&x->arena, FILTER_CHECK_SERVICE_NODE, json) : json);
	}
	jsonw_close(&w, ']');
	jsonw_keyc(&w, "DNS");
	jsonw_open(&w, '{');
	jsonw_put_str(&w, "TTL", q->dns_ttl);
	jsonw_close(&w, '}');
	jsonw_put_str(&w, "Datacenter", datacenter);
	jsonw_put_u64(&w, "Failovers", failovers);
	put_meta(x, &w);
	answer_index(x, 1);
	answer_json(x, 200);
}

static void cut(struct query_hits *hits, int64_t limit)
{
	if (limit) {
		hits->count = (uint32_t)min_of((int64_t)hits->count, limit);
	}
}

void query_execute(struct exchange *x, struct str name)
{
	struct query_record record;
	struct query_hits hits;
	struct str near;
	int64_t limit;
	bool connect;

	if (!limit_parse(x, &limit) || !connect_parse(x, &connect) || !resolve(x, name, &record)) {
		return;
	}
	record.def.connect |= connect;
	query_pick(x, &record.def, &hits);
	shuffle(&hits);
	near = near_node(x, &record.def);
	sort(x, &hits, near);
	put_first(&hits, near);
	cut(&hits, limit);
	if (hits.count) {
		query_answer(x, &record.def, &hits, x->httpd->conf->datacenter, 0);
	} else {
		query_failover(x, &record.def, limit);
	}
}

void query_execute_for_other(struct exchange *x, const struct query_def *q, uint64_t failovers)
{
	struct query_hits hits;
	int64_t limit;

	if (!limit_parse(x, &limit)) {
		return;
	}
	query_pick(x, q, &hits);
	shuffle(&hits);
	cut(&hits, limit);
	if (hits.count) {
		query_answer(x, q, &hits, x->httpd->conf->datacenter, failovers);
	} else {
		buf_put_lit(exchange_body(x), "null");
		answer_json(x, 200);
	}
}

void query_explain(struct exchange *x, struct str name)
{
	struct jsonw w = jsonw_of(exchange_body(x));
	struct query_record record;
	int64_t ignored;

	if (!limit_parse(x, &ignored) || !resolve(x, name, &record)) {
		return;
	}
	jsonw_open(&w, '{');
	jsonw_keyc(&w, "Query");
	query_json(exchange_body(x), &record.def, record.create_index, record.modify_index);
	w.comma = true;
	put_meta(x, &w);
	answer_index(x, 1);
	answer_json(x, 200);
}
