/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap of things that will happen, by time and then by the order in which they were decided.
 */
#include "tests/sim/gossip_net.h"

#include <stdio.h>

#include "common/base/hash.h"
#include "gossipd/core/packet.h"

enum {
	PORT = 7946,
	LATENCY_MIN_NS = 200000,
	LATENCY_SPREAD_NS = 1800000,
	REFUSED_MS = 1,
	WAKE_MS = 1
};

enum item_kind { ITEM_TIMER, ITEM_PACKET, ITEM_REQUEST, ITEM_REPLY };

struct sim_item {
	struct mono at;
	uint64_t order;
	enum item_kind kind;
	uint32_t node, from, token;
	uint64_t generation, from_generation;
	char *bytes;
	uint32_t size;
};

/* -------- heap -------- */

static bool is_before(const struct sim_item *a, const struct sim_item *b)
{
	return a->at.ns != b->at.ns ? a->at.ns < b->at.ns : a->order < b->order;
}

static void heap_push(struct net *n, struct sim_item item)
{
	size_t i = n->heap_count;

	if (n->heap_count == n->heap_size) {
		n->heap_size = max_of(n->heap_size * 2, (size_t)1024);
		n->heap = xrealloc(n->heap, n->heap_size * sizeof(n->heap[0]));
	}
	item.order = n->order++;
	n->heap_count++;
	while (i > 0 && is_before(&item, &n->heap[(i - 1) / 2])) {
		n->heap[i] = n->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	n->heap[i] = item;
}

static struct sim_item heap_pop(struct net *n)
{
	struct sim_item first = n->heap[0], last = n->heap[--n->heap_count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= n->heap_count) {
			break;
		}
		if (child + 1 < n->heap_count && is_before(&n->heap[child + 1], &n->heap[child])) {
			child++;
		}
		if (!is_before(&n->heap[child], &last)) {
			break;
		}
		n->heap[i] = n->heap[child];
		i = child;
	}
	n->heap[i] = last;
	return first;
}

/* -------- addresses -------- */

static struct pool_address address_of_node(size_t i)
{
	return (struct pool_address) { { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, 4,
		PORT };
}

static size_t node_at(const struct pool_address *a)
{
	must(a->n == 4 && a->bytes[0] == 10);
	return (size_t)a->bytes[1] << 16 | (size_t)a->bytes[2] << 8 | a->bytes[3];
}

size_t net_index(const struct net *n, const struct sim_node *node)
{
	return (size_t)(node - n->nodes);
}

/* -------- what an update says -------- */

static struct mono soon(struct net *n)
{
	return mono_add_ns(n->now, LATENCY_MIN_NS + (int64_t)rng_below(&n->rng, LATENCY_SPREAD_NS));
}

static struct sim_item item_of(struct net *n, enum item_kind kind, size_t node, struct str bytes)
{
	struct sim_item item = { .at = soon(n),
		.kind = kind,
		.node = (uint32_t)node,
		.generation = n->nodes[node].generation,
		.size = (uint32_t)bytes.n };

	if (bytes.n) {
		item.bytes = xmalloc(bytes.n);
		memcpy(item.bytes, bytes.p, bytes.n);
	}
	return item;
}

static bool reaches(const struct net *n, size_t from, size_t to)
{
	return to < n->count && n->nodes[to].up && n->nodes[from].group == n->nodes[to].group;
}

static void send_packets(struct net *n, size_t from, const struct pool_update *u)
{
	for (size_t k = 0; k < u->packets_count; k++) {
		const struct pool_packet *p = &u->packets[k];
		size_t to = node_at(&p->to);
		struct sim_item item;

		n->packets++;
		n->bytes += p->size;
		n->packet_max = max_of(n->packet_max, (size_t)p->size);
		if (!reaches(n, from, to) || rng_below(&n->rng, 1000) < n->loss_permille) {
			continue;
		}
		item = item_of(n, ITEM_PACKET, to, pool_bytes(u, p->at, p->size));
		item.from = (uint32_t)from;
		item.at.ns = max_of(item.at.ns, n->nodes[from].blocked_until.ns);
		heap_push(n, item);
	}
}

static void send_dials(struct net *n, size_t from, const struct pool_update *u)
{
	for (size_t k = 0; k < u->dials_count; k++) {
		const struct pool_dial *d = &u->dials[k];
		size_t to = node_at(&d->to);
		struct sim_item item;

		n->stream_bytes += d->size;
		if (reaches(n, from, to)) {
			item = item_of(n, ITEM_REQUEST, to, pool_bytes(u, d->at, d->size));
			item.from = (uint32_t)from;
			item.from_generation = n->nodes[from].generation;
		} else {
			bool refused = to < n->count && n->nodes[from].group == n->nodes[to].group;

			item = item_of(n, ITEM_REPLY, from, STR_NONE);
			item.at = mono_add_ms(n->now, refused ? REFUSED_MS : d->timeout_ms);
		}
		item.token = d->token;
		heap_push(n, item);
	}
}

static void timer_set(struct net *n, size_t i)
{
	struct sim_node *node = &n->nodes[i];
	struct mono at = pool_deadline(&node->pool);
	struct sim_item item = { .at = at, .kind = ITEM_TIMER, .node = (uint32_t)i };

	if (at.ns == MONO_NEVER.ns || at.ns == node->timer_at.ns) {
		return;
	}
	must(!mono_before(at, n->now) || mono_diff_ms(n->now, at) <= 60000);
	item.at.ns = max_of(at.ns, n->now.ns);
	item.generation = node->generation;
	node->timer_at = at;
	heap_push(n, item);
}

static void apply(struct net *n, size_t i, const struct pool_update *u)
{
	struct sim_node *node = &n->nodes[i];

	node->clocks = node->pool.clocks;
	node->incarnation = node->pool.incarnation;
	for (size_t k = 0; k < u->notes_count; k++) {
		node->left |= u->notes[k].type == POOL_NOTE_LEFT;
		n->on_note(n->arg, node, &u->notes[k]);
	}
	send_packets(n, i, u);
	send_dials(n, i, u);
}

void net_step(struct net *n, size_t i, struct pool_event *event)
{
	struct pool_update u;

	event->now = n->now;
	pool_step(&n->nodes[i].pool, event, &u);
	apply(n, i, &u);
	timer_set(n, i);
	if (++n->steps % 4096 == 0) {
		pool_check(&n->nodes[i].pool);
	}
}

/* -------- what happens -------- */

static void request(struct net *n, const struct sim_item *item)
{
	struct pool_event event = {
		.type = POOL_REQUEST, .now = n->now, .bytes = str_n(item->bytes, item->size)
	};
	struct pool_update u;
	struct sim_item reply;

	pool_step(&n->nodes[item->node].pool, &event, &u);
	n->stream_bytes += u.reply.n;
	reply = item_of(n, ITEM_REPLY, item->from, u.reply);
	reply.token = item->token;
	reply.generation = item->from_generation;
	heap_push(n, reply);
	apply(n, item->node, &u);
	timer_set(n, item->node);
}

static void happen(struct net *n, const struct sim_item *item)
{
	struct sim_node *node = &n->nodes[item->node];
	struct pool_event event = { .type = POOL_TICK,
		.bytes = item->bytes ? str_n(item->bytes, item->size) : STR_NONE,
		.token = item->token,
		.text = STR("refused") };

	switch (item->kind) {
	case ITEM_TIMER:
		if (node->timer_at.ns > n->now.ns) {
			return; /* it was set anew */
		}
		node->timer_at = (struct mono) { 0 };
		break;
	case ITEM_PACKET:
		event.type = POOL_PACKET;
		event.from = address_of_node(item->from);
		break;
	case ITEM_REQUEST:
		request(n, item);
		return;
	case ITEM_REPLY:
		event.type = POOL_REPLY;
		break;
	}
	net_step(n, item->node, &event);
}

void net_run(struct net *n, int64_t ms)
{
	struct mono end = mono_add_ms(n->now, ms);

	while (n->heap_count && !mono_before(end, n->heap[0].at)) {
		struct sim_item item = heap_pop(n);
		const struct sim_node *node = &n->nodes[item.node];

		n->now = item.at;
		if (!node->up || node->generation != item.generation) {
			free(item.bytes);
		} else if (item.kind != ITEM_TIMER && mono_before(n->now, node->blocked_until)) {
			item.at = node->blocked_until;
			heap_push(n, item);
		} else if (mono_before(n->now, node->paused_until)) {
			item.at = mono_add_ms(
				node->paused_until, item.kind == ITEM_TIMER ? 0 : WAKE_MS);
			heap_push(n, item);
		} else {
			happen(n, &item);
			free(item.bytes);
		}
	}
	n->now = end;
}

/* -------- nodes -------- */

static void state_put(const struct net *n, size_t i, struct buf *out)
{
	struct pool_address address = address_of_node(i);
	char name[NAME_SIZE];
	struct swim_node_state m = {
		.alive = {
			.incarnation = 1,
			.addr = str_n(address.bytes, address.n),
			.port = address.port,
			.meta = n->options.meta,
			.vsn = str_n(n->options.versions, SWIM_VERSIONS),
		},
	};

	snprintf(name, sizeof(name), "n%zu", i);
	m.alive.node = str_of(name);
	pack_struct(out, &swim_node_state_schema, &m);
}

void net_introduce(struct net *n, size_t i, size_t others, size_t view)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct swim_push_pull header = { .nodes = (uint32_t)(view ? view : others) };
	struct pool_event event = { .type = POOL_REQUEST, .now = n->now };
	struct pool_update u;

	swim_put(&bytes, SWIM_PUSH_PULL, &swim_push_pull_schema, &header);
	for (size_t k = 0; k < header.nodes; k++) {
		state_put(n, view ? rng_below(&n->rng, others) : k, &bytes);
	}
	event.bytes = buf_str(&bytes);
	pool_step(&n->nodes[i].pool, &event, &u);
	must(u.reply.n);
	for (int k = 0; k < POOL_QUEUES; k++) {
		queue_fini(&n->nodes[i].pool.queues[k]);
	}
	net_step(n, i, &(struct pool_event) { .type = POOL_TICK }); /* frees what this one took */
}

/* What was on its way then is waited for. */
void net_forget_gossip(struct net *n)
{
	size_t queued;

	do {
		queued = 0;
		for (size_t i = 0; i < n->count; i++) {
			for (int k = 0; k < POOL_QUEUES && n->nodes[i].up; k++) {
				queued += n->nodes[i].pool.queues[k].count;
				queue_fini(&n->nodes[i].pool.queues[k]);
			}
		}
		net_run(n, 100);
	} while (queued);
}

void net_start_node(struct net *n, size_t i)
{
	struct sim_node *node = &n->nodes[i];
	struct pool_event start = {
		.type = POOL_START,
		.clocks = node->clocks,
		.event_min = node->clocks.event,
		.query_min = node->clocks.query,
		.incarnation = node->incarnation,
	};
	struct pool_options options = n->options;

	snprintf(node->name, sizeof(node->name), "n%zu", i);
	options.name = str_of(node->name);
	options.address = address_of_node(i);
	options.seed = hash64_mix(n->seed, ++node->generation * 1000003 + i);
	pool_init(&node->pool, &options);
	node->up = true;
	node->left = false;
	node->timer_at = (struct mono) { 0 };
	net_step(n, i, &start);
}

void net_kill_node(struct net *n, size_t i)
{
	struct sim_node *node = &n->nodes[i];

	if (node->up) {
		node->up = false;
		node->generation++;
		pool_fini(&node->pool);
	}
}

void net_join(struct net *n, size_t i, size_t to, bool again)
{
	struct pool_event join = {
		.type = POOL_JOIN, .rejoin = again, .from = address_of_node(to)
	};

	net_step(n, i, &join);
}

void net_init(struct net *n, size_t count, uint64_t seed)
{
	*n = (struct net) { .seed = seed, .count = count, .now = { NS_PER_S } };
	rng_init(&n->rng, seed);
	n->nodes = xcalloc(count, sizeof(n->nodes[0]));
	n->options = (struct pool_options) {
		.meta = STR("\xff\x80"),
		.versions = { 1, 5, 2, 2, 5, 4 },
		.profile = pool_profile_lan,
		.reclaim_ms = 30000,
		.reconnect_timeout_ms = 72 * 3600 * 1000,
		.tombstone_ms = 24 * 3600 * 1000,
		.leave_delay_ms = 3000,
		.coordinates = true,
	};
}

void net_fini(struct net *n)
{
	for (size_t i = 0; i < n->count; i++) {
		net_kill_node(n, i);
	}
	while (n->heap_count) {
		free(heap_pop(n).bytes);
	}
	free(n->heap);
	free(n->nodes);
}
