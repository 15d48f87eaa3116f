/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chained hash table that doubles when it is full.
 */
#include "common/base/map.h"

#include "common/base/hash.h"

enum { SLOTS_MIN = 8 };

void map_init(struct map *m, uint64_t hash_key)
{
	*m = (struct map) { .hash_key = hash_key };
	list_init(&m->all);
}

void map_fini(struct map *m)
{
	free(m->slots);
	map_init(m, m->hash_key);
}

static struct map_node **slot_of(const struct map *m, uint64_t hash)
{
	return &m->slots[hash & (m->slots_count - 1)];
}

struct map_node *map_find_node(const struct map *m, struct str key)
{
	uint64_t hash;

	if (m->count == 0) {
		return NULL;
	}
	hash = hash64(key, m->hash_key);
	for (struct map_node *n = *slot_of(m, hash); n; n = n->chain) {
		if (n->hash == hash && str_eq(n->key, key)) {
			return n;
		}
	}
	return NULL;
}

static void slots_resize(struct map *m, size_t count)
{
	struct list *link;

	free(m->slots);
	m->slots = xcalloc(count, sizeof(m->slots[0]));
	m->slots_count = count;
	for (link = m->all.next; link != &m->all; link = link->next) {
		struct map_node *n = list_entry(link, struct map_node, all);
		struct map_node **slot = slot_of(m, n->hash);

		n->chain = *slot;
		*slot = n;
	}
}

void map_add(struct map *m, struct map_node *node, struct str key)
{
	struct map_node **slot;

	if (m->count == m->slots_count) {
		slots_resize(m, max_of(m->slots_count * 2, (size_t)SLOTS_MIN));
	}
	node->key = key;
	node->hash = hash64(key, m->hash_key);
	slot = slot_of(m, node->hash);
	node->chain = *slot;
	*slot = node;
	list_add_tail(&m->all, &node->all);
	m->count++;
}

void map_del(struct map *m, struct map_node *node)
{
	struct map_node **at = slot_of(m, node->hash);

	while (*at != node) {
		must(*at);
		at = &(*at)->chain;
	}
	*at = node->chain;
	list_del(&node->all);
	m->count--;
}
