/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of nodes by name, and the ring: those that SWIM knows, in the order of probing. A node
 * is in the table as long as either layer has it.
 */
#include "gossipd/core/pool_private.h"

#include <arpa/inet.h>

struct str owned_str(struct str s)
{
	char *p = xmalloc(s.n + 1);

	if (s.n) {
		memcpy(p, s.p, s.n);
	}
	p[s.n] = '\0';
	return str_n(p, s.n);
}

static void owned_free(struct str s)
{
	free((void *)(uintptr_t)s.p);
}

struct str address_str(const struct pool_address *a)
{
	return str_n(a->bytes, a->n);
}

struct pool_address address_of(struct str bytes, uint16_t port)
{
	struct pool_address a = { .port = port };

	if (bytes.n == 4 || bytes.n == 16) {
		a.n = (uint8_t)bytes.n;
		memcpy(a.bytes, bytes.p, bytes.n);
	}
	return a;
}

bool pool_address_eq(const struct pool_address *a, const struct pool_address *b)
{
	return a->port == b->port && a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

static struct str host_of(const struct pool_address *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool four = a->n == 16 && memcmp(a->bytes, mapped, sizeof(mapped)) == 0;

	return four ? str_n(a->bytes + sizeof(mapped), 4) : str_n(a->bytes, a->n);
}

bool pool_address_same(const struct pool_address *a, const struct pool_address *b)
{
	return a->port == b->port && str_eq(host_of(a), host_of(b));
}

void pool_address_render(const struct pool_address *a, struct buf *out)
{
	char text[INET6_ADDRSTRLEN];
	struct str host = host_of(a);

	if (host.n) {
		inet_ntop(host.n == 4 ? AF_INET : AF_INET6, host.p, text, sizeof(text));
		buf_put_cstr(out, text);
	}
}

bool state_is_gone(const struct pool_node *n)
{
	return n->state >= SWIM_STATE_DEAD;
}

struct pool_node *node_find(const struct pool *p, struct str name)
{
	return map_find(&p->nodes, name, struct pool_node, entry);
}

bool node_is_at(const struct pool *p, struct str name, const struct pool_address *address)
{
	const struct pool_node *n = node_find(p, name);

	return n && n->slot != POOL_NO_SLOT && pool_address_same(&n->address, address);
}

const struct pool_node *pool_find(const struct pool *p, struct str name)
{
	return node_find(p, name);
}

struct pool_node *node_add(struct pool *p, struct str name)
{
	struct pool_node *n;
	char *bytes;

	if (p->nodes.count >= POOL_MEMBERS_MAX) {
		p->refused[POOL_REFUSED_MEMBER]++;
		return NULL;
	}
	n = xcalloc(1, sizeof(*n) + name.n);
	bytes = (char *)(n + 1);
	memcpy(bytes, name.p, name.n);
	n->name = str_n(bytes, name.n);
	n->slot = POOL_NO_SLOT;
	n->state = SWIM_STATE_DEAD;
	map_add(&p->nodes, &n->entry, n->name);
	return n;
}

void node_set_meta(struct pool_node *n, struct str meta)
{
	if (n->meta.p && str_eq(n->meta, meta)) {
		return;
	}
	owned_free(n->meta);
	n->meta = owned_str(meta);
}

void node_free(struct pool *p, struct pool_node *n)
{
	suspicion_end(p, n);
	probe_forget(p, n);
	if (n->broadcast) {
		queue_del(&p->queues[QUEUE_SWIM], n->broadcast);
	}
	map_del(&p->nodes, &n->entry);
	owned_free(n->meta);
	free(n->latencies);
	free(n->coordinate);
	free(n);
}

void node_free_unused(struct pool *p, struct pool_node *n)
{
	if (n->slot == POOL_NO_SLOT && n->status == MEMBER_NONE && n != p->self) {
		node_free(p, n);
	}
}

/* -------- the ring -------- */

static void ring_put(struct pool *p, uint32_t slot, struct pool_node *n)
{
	p->ring[slot] = n;
	n->slot = slot;
}

static void ring_swap(struct pool *p, uint32_t a, uint32_t b)
{
	struct pool_node *at_a = p->ring[a];

	ring_put(p, a, p->ring[b]);
	ring_put(p, b, at_a);
}

/* At a random place, so that nobody is probed by all at the same time. */
void ring_add(struct pool *p, struct pool_node *n)
{
	if (p->ring_count == p->ring_size) {
		p->ring_size = max_of(p->ring_size * 2, 16u);
		p->ring = xrealloc(p->ring, p->ring_size * sizeof(p->ring[0]));
	}
	ring_put(p, p->ring_count++, n);
	ring_swap(p, (uint32_t)rng_below(&p->rng, p->ring_count), p->ring_count - 1);
}

static bool is_long_dead(const struct pool *p, const struct pool_node *n)
{
	return state_is_gone(n) && n != p->self &&
	       !mono_before(p->now, mono_add_ms(n->state_at, p->options.profile.to_the_dead_ms));
}

void ring_turn(struct pool *p)
{
	for (uint32_t i = 0; i < p->ring_count;) {
		struct pool_node *n = p->ring[i];

		if (!is_long_dead(p, n)) {
			i++;
			continue;
		}
		ring_swap(p, i, p->ring_count - 1);
		p->ring_count--;
		n->slot = POOL_NO_SLOT;
		node_free_unused(p, n);
	}
	for (uint32_t i = p->ring_count; i > 1; i--) {
		ring_swap(p, i - 1, (uint32_t)rng_below(&p->rng, i));
	}
	p->ring_at = 0;
}

/* A bounded number of throws: where few fit, fewer are found, as in memberlist. */
size_t nodes_pick(struct pool *p, size_t count, node_filter_fn filter, const void *arg,
	struct pool_node **out)
{
	size_t found = 0;

	for (uint32_t throws = 0; throws < 3 * p->ring_count && found < count; throws++) {
		struct pool_node *n = p->ring[rng_below(&p->rng, p->ring_count)];
		bool known = false;

		for (size_t i = 0; i < found; i++) {
			known |= out[i] == n;
		}
		if (!known && filter(p, n, arg)) {
			out[found++] = n;
		}
	}
	return found;
}

/* -------- counters by name -------- */

struct pool_count *count_add(struct map *m, struct str key, struct str text)
{
	struct pool_count *c = map_find(m, key, struct pool_count, entry);

	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->key = owned_str(key);
		c->text = owned_str(text);
		map_add(m, &c->entry, c->key);
	}
	c->count++;
	return c;
}

void counts_fini(struct map *m)
{
	struct pool_count *c, *next;

	map_for_each(c, next, m, entry)
	{
		map_del(m, &c->entry);
		owned_free(c->key);
		owned_free(c->text);
		free(c);
	}
	map_fini(m);
}
