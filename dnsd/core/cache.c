/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry per question, found by its bytes, in a list by use.
 */
#include "dnsd/core/cache.h"

#include "dnsd/core/wire.h"

struct entry {
	struct map_node node; /* by key */
	struct list used;
	struct mono since;
	size_t key_n, message_n;
	uint8_t bytes[]; /* key, message */
};

struct key {
	uint8_t bytes[DNS_PEER_QUERY_MAX];
};

/* The name in a question, with its root. */
static struct str name_of(struct str peer_query)
{
	size_t at = DNS_HEADER_SIZE;

	while (at < peer_query.n && peer_query.p[at]) {
		at += (size_t)1 + (uint8_t)peer_query.p[at];
	}
	must(at < peer_query.n);
	return str_n(peer_query.p + DNS_HEADER_SIZE, at + 1 - DNS_HEADER_SIZE);
}

static struct str key_make(struct key *k, struct str peer_query)
{
	struct str name = name_of(peer_query);

	must(peer_query.n <= DNS_PEER_QUERY_MAX);
	memcpy(k->bytes, peer_query.p + 2, peer_query.n - 2);
	/* The bytes that say how long a label is are no letters. */
	str_lower_into(name, (char *)k->bytes + DNS_HEADER_SIZE - 2);
	return str_n(k->bytes, peer_query.n - 2);
}

static size_t entry_size(const struct entry *e)
{
	return sizeof(*e) + e->key_n + e->message_n;
}

static void entry_drop(struct dns_cache *c, struct entry *e)
{
	c->bytes -= entry_size(e);
	map_del(&c->map, &e->node);
	list_del(&e->used);
	free(e);
}

void dns_cache_init(struct dns_cache *c, size_t entries_max, size_t bytes_max, uint64_t seed)
{
	*c = (struct dns_cache) { .entries_max = entries_max, .bytes_max = bytes_max };
	map_init(&c->map, seed);
	list_init(&c->used);
}

void dns_cache_fini(struct dns_cache *c)
{
	struct entry *e;

	while ((e = list_first(&c->used, struct entry, used))) {
		entry_drop(c, e);
	}
	map_fini(&c->map);
}

/* Makes room for `size` bytes more. */
static void room_make(struct dns_cache *c, size_t size)
{
	while (c->map.count && (c->map.count >= c->entries_max || c->bytes + size > c->bytes_max)) {
		entry_drop(c, list_first(&c->used, struct entry, used));
	}
}

void dns_cache_put(struct dns_cache *c, struct str peer_query, struct str message, struct mono now)
{
	struct key room;
	struct str key = key_make(&room, peer_query);
	struct entry *e = map_find(&c->map, key, struct entry, node);

	if (e && e->message_n != message.n) {
		entry_drop(c, e);
		e = NULL;
	}
	if (!e) {
		size_t size = sizeof(*e) + key.n + message.n;

		if (size > c->bytes_max || !c->entries_max) {
			return;
		}
		room_make(c, size);
		e = xcalloc(1, size);
		e->key_n = key.n;
		e->message_n = message.n;
		memcpy(e->bytes, key.p, key.n);
		map_add(&c->map, &e->node, str_n(e->bytes, key.n));
		c->bytes += size;
	}
	memcpy(e->bytes + e->key_n, message.p, message.n);
	e->since = now;
	list_del(&e->used);
	list_add_tail(&c->used, &e->used);
}

void dns_cache_del(struct dns_cache *c, struct str peer_query)
{
	struct key room;
	struct entry *e = map_find(&c->map, key_make(&room, peer_query), struct entry, node);

	if (e) {
		entry_drop(c, e);
	}
}

bool dns_cache_get(struct dns_cache *c, struct str peer_query, struct str client_query,
	struct mono now, int64_t age_max_ns, struct dns_reply *out)
{
	struct key room;
	struct entry *e = map_find(&c->map, key_make(&room, peer_query), struct entry, node);
	struct str name = name_of(peer_query);

	if (!e || mono_diff_ns(now, e->since) > age_max_ns) {
		return false;
	}
	memcpy(out->bytes, e->bytes + e->key_n, e->message_n);
	out->size = e->message_n;
	memcpy(out->bytes, client_query.p, 2);
	/* The names of the records point to that of the question; it is as long as the one kept. */
	memcpy(out->bytes + DNS_HEADER_SIZE, name.p, name.n);
	list_del(&e->used);
	list_add_tail(&c->used, &e->used);
	return true;
}
