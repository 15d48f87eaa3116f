/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries: questions that are spread like events and answered to the one who asks. Here: asking,
 * collecting, receiving; keys.c and answer.c have the questions that Serf itself knows. Section
 * numbers: the notes on the protocol.
 */
#include "gossipd/core/pool_private.h"

#include <math.h>

#include "common/base/bind.h"
#include "common/base/regex.h"

enum { QUERY_SIZE_MAX = 1024, TIMEOUT_MULT = 16 };

/* -------- asking -------- */

static int64_t default_timeout_ms(const struct pool *p)
{
	uint32_t nodes = 0;

	for (uint32_t i = 0; i < p->ring_count; i++) {
		nodes += !state_is_gone(p->ring[i]);
	}
	return p->options.profile.gossip_interval_ms * TIMEOUT_MULT *
	       (int64_t)ceil(log10((double)nodes + 1));
}

static void query_free(struct pool_query *q)
{
	list_del(&q->link);
	counts_fini(&q->acks);
	counts_fini(&q->responses);
	free(q);
}

void queries_fini(struct pool *p)
{
	struct pool_query *q, *next;

	list_for_each_safe (q, next, &p->queries, link) {
		query_free(q);
	}
}

static size_t queries_count(const struct pool *p)
{
	const struct pool_query *q;
	size_t count = 0;

	list_for_each (q, &p->queries, link) {
		count++;
	}
	return count;
}

static void query_remember(struct pool *p, enum pool_query_kind kind, const struct serf_query *m)
{
	struct pool_query *q = xcalloc(1, sizeof(*q));

	*q = (struct pool_query) {
		.kind = kind,
		.id = m->id,
		.ltime = m->ltime,
		.deadline = mono_add_ns(p->now, m->timeout_ns),
	};
	map_init(&q->acks, p->options.seed);
	map_init(&q->responses, p->options.seed);
	list_add_tail(&p->queries, &q->link);
	p->update->id = m->id;
}

/* 5.7. 0, ST_FULL, ST_TOO_LARGE */
int query_send(struct pool *p, enum pool_query_kind kind, struct str name, struct str payload,
	const struct pool_query_options *options)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct serf_query m = {
		.ltime = p->clocks.query,
		.id = (uint32_t)(rng_u64(&p->rng) & INT32_MAX),
		.addr = address_str(&p->options.address),
		.port = p->options.address.port,
		.source_node = p->options.name,
		.filters = options->filters,
		.flags = options->ack ? SERF_FLAG_ACK : 0,
		.relay_factor = options->relay_factor,
		.timeout_ns = NS_PER_MS *
			      (options->timeout_ms ? options->timeout_ms : default_timeout_ms(p)),
		.name = name,
		.payload = payload,
	};

	serf_put(&bytes, SERF_QUERY, &serf_query_schema, &m);
	if (bytes.n > QUERY_SIZE_MAX) {
		return ST_TOO_LARGE;
	}
	if (queries_count(p) == POOL_QUERIES_MAX) {
		return ST_FULL;
	}
	query_remember(p, kind, &m);
	/* The clock goes on when we hear it ourselves. */
	query_on(p, str_skip(buf_str(&bytes), 1));
	return 0;
}

void query_start(struct pool *p, const struct pool_event *e)
{
	p->update->status = query_send(p, QUERY_PLAIN, e->name, e->payload, &e->query);
}

/* -------- answers that come back -------- */

static void conflict_count(struct pool *p, struct pool_query *q, struct str payload)
{
	struct pool_address a;
	struct serf_conflict m;

	if (payload.n && payload.p[0] == SERF_CONFLICT &&
		swim_get(str_skip(payload, 1), &serf_conflict_schema, &m) == 0) {
		a = address_of(m.addr, m.port);
		q->matching += pool_address_eq(&a, &p->options.address);
	}
}

static void response_add(struct pool *p, struct pool_query *q, const struct serf_response *m)
{
	bool ack = m->flags & SERF_FLAG_ACK;
	struct map *seen = ack ? &q->acks : &q->responses;

	if (map_find_node(seen, m->from) || m->from.n > POOL_NAME_MAX ||
		seen->count >= POOL_MEMBERS_MAX) {
		return;
	}
	count_add(seen, m->from, STR(""));
	if (q->kind == QUERY_PLAIN) {
		note_add(p, ack ? POOL_NOTE_ACK : POOL_NOTE_RESPONSE, m->from, m->payload);
		note_last(p)->id = q->id;
	} else if (q->kind == QUERY_KEYS && !ack) {
		keys_on_response(p, q, m);
	} else if (q->kind == QUERY_CONFLICT && !ack) {
		conflict_count(p, q, m->payload);
	}
}

void query_on_response(struct pool *p, struct str body)
{
	struct serf_response m;
	struct pool_query *q;

	if (swim_get(body, &serf_response_schema, &m)) {
		p->update->status = ST_INVALID;
		return;
	}
	list_for_each (q, &p->queries, link) {
		if (q->ltime == m.ltime && q->id == m.id) {
			response_add(p, q, &m);
			return;
		}
	}
}

static void query_end(struct pool *p, struct pool_query *q)
{
	if (q->kind == QUERY_KEYS) {
		keys_done(p, q);
	} else if (q->kind == QUERY_CONFLICT) {
		if (q->matching < q->responses.count / 2 + 1) {
			note_add(p, POOL_NOTE_NAME_LOST, p->options.name, STR(""));
		}
	} else {
		note_add(p, POOL_NOTE_QUERY_DONE, STR(""), STR(""));
		note_last(p)->id = q->id;
	}
	query_free(q);
}

/* The question about keys ends when all have answered, the others with their time; none in the step
 * that begins it. */
static bool is_over(const struct pool *p, const struct pool_query *q)
{
	return !mono_before(p->now, q->deadline) ||
	       (q->kind == QUERY_KEYS && q->responses.count &&
		       q->responses.count >= pool_count(p, MEMBER_ALIVE));
}

void queries_tick(struct pool *p)
{
	struct pool_query *q, *next;

	list_for_each_safe (q, next, &p->queries, link) {
		if (is_over(p, q)) {
			query_end(p, q);
		}
	}
}

struct mono queries_deadline(const struct pool *p)
{
	struct mono at = MONO_NEVER;
	const struct pool_query *q;

	list_for_each (q, &p->queries, link) {
		at = mono_min(at, q->deadline);
	}
	return at;
}

/* -------- answering -------- */

static bool filter_names(const struct pool *p, struct str body)
{
	struct cursor c = cursor_of(body);
	uint32_t count = unpack_array(&c);

	for (uint32_t i = 0; i < count && !c.bad; i++) {
		if (str_eq(unpack_str(&c), p->options.name) && !c.bad) {
			return true;
		}
	}
	return false;
}

static bool filter_tag(const struct pool *p, struct str body)
{
	OWN(regex_free) struct regex *regex = NULL;
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct pair tags[SERF_TAGS_MAX];
	struct serf_tag_filter f;
	struct str value = STR("");
	uint32_t count = 0;

	if (swim_get(body, &serf_tag_filter_schema, &f) ||
		regex_new(f.expression.p ? f.expression : STR(""), &regex, &why) ||
		serf_tags_get(p->self->meta, tags, &count)) {
		return false;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (str_eq(tags[i].key, f.tag)) {
			value = tags[i].value;
		}
	}
	return regex_match(regex, value);
}

bool filters_match(const struct pool *p, struct str filters)
{
	struct cursor c = cursor_of(filters);
	uint32_t count = filters.n ? unpack_array(&c) : 0;

	for (uint32_t i = 0; i < count; i++) {
		struct str filter = unpack_str(&c);
		uint8_t type = filter.n ? (uint8_t)filter.p[0] : UINT8_MAX;

		if (c.bad || (type == SERF_FILTER_NODES && !filter_names(p, str_skip(filter, 1))) ||
			(type == SERF_FILTER_TAG && !filter_tag(p, str_skip(filter, 1))) ||
			type > SERF_FILTER_TAG) {
			return false;
		}
	}
	return !c.bad;
}

static bool may_relay(const struct pool *p, const struct pool_node *n, const void *arg)
{
	(void)arg;
	return n != p->self && n->status == MEMBER_ALIVE &&
	       n->versions[VERSION_PROTOCOL_MAX] >= PROTOCOL_RELAY;
}

static void relay(struct pool *p, const struct serf_query *q, struct str response)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 }, address = { 0 };
	struct serf_relay_addr to = { .ip = q->addr, .port = q->port };
	struct serf_relay header = { .dest_name = q->source_node };
	struct pool_node *peers[16];
	size_t count = min_of((size_t)q->relay_factor, ARRAY_SIZE(peers));

	if (!count || p->members_count < q->relay_factor + 1u) {
		return;
	}
	pack_struct(&address, &serf_relay_addr_schema, &to);
	header.dest_addr = buf_str(&address);
	serf_put(&bytes, SERF_RELAY, &serf_relay_schema, &header);
	buf_put_str(&bytes, response);
	count = bytes.n <= POOL_RESPONSE_MAX ? nodes_pick(p, count, may_relay, NULL, peers) : 0;
	for (size_t i = 0; i < count; i++) {
		pool_send_user(p, peers[i]->address, buf_str(&bytes));
	}
}

void query_respond(struct pool *p, const struct serf_query *q, uint32_t flags, struct str payload)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct serf_response m = { .ltime = q->ltime,
		.id = q->id,
		.flags = flags,
		.from = p->options.name,
		.payload = payload };

	serf_put(&bytes, SERF_RESPONSE, &serf_response_schema, &m);
	if (bytes.n <= POOL_RESPONSE_MAX) {
		pool_send_user(p, address_of(q->addr, q->port), buf_str(&bytes));
		relay(p, q, buf_str(&bytes));
	}
}

void query_on(struct pool *p, struct str body)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct serf_query q;

	if (swim_get(body, &serf_query_schema, &q)) {
		p->update->status = ST_INVALID;
		return;
	}
	if (!clock_witness(p, &p->clocks.query, q.ltime) || q.ltime < p->query_min ||
		!slot_is_new(p, &p->queries_seen, q.ltime, p->clocks.query,
			str_n(&q.id, sizeof(q.id)))) {
		return;
	}
	if (!(q.flags & SERF_FLAG_NO_BROADCAST)) {
		buf_put_u8(&bytes, SERF_QUERY);
		buf_put_str(&bytes, body);
		pool_broadcast_serf(p, QUEUE_QUERY, buf_str(&bytes), NULL);
	}
	if (!filters_match(p, q.filters)) {
		return;
	}
	if (q.flags & SERF_FLAG_ACK) {
		query_respond(p, &q, SERF_FLAG_ACK, STR_NONE);
	}
	if (str_is(q.name, "_serf_conflict")) {
		conflict_answer(p, &q);
	} else {
		keys_answer(p, &q);
	}
}

void query_on_relay(struct pool *p, struct str body)
{
	struct cursor c = cursor_of(body), address;
	struct serf_relay_addr to;
	struct serf_relay m;
	struct str inner;

	unpack_struct(&c, &serf_relay_schema, &m);
	inner = cursor_rest(&c);
	address = cursor_of(m.dest_addr);
	unpack_struct(&address, &serf_relay_addr_schema, &to);
	if (c.bad || address.bad || !inner.n) {
		p->update->status = ST_INVALID;
		return;
	}
	pool_send_user(p, address_of(to.ip, to.port), inner);
}
