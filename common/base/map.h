/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive hash table keyed by byte strings. The entry embeds a struct map_node and keeps the
 * key's bytes alive and unchanged while it is in the table. The table owns nothing but its slots.
 * Iteration order is that of insertion (deterministic).
 *
 *     struct thing { struct map_node node; ... };
 *     map_init(&m, key);
 *     map_add(&m, &t->node, name);
 *     t = map_find(&m, name, struct thing, node);
 *     map_del(&m, &t->node);
 */
#ifndef MUSTER_COMMON_BASE_MAP_H
#define MUSTER_COMMON_BASE_MAP_H

#include "common/base/list.h"
#include "common/base/str.h"

struct map_node {
	struct map_node *chain;
	struct list all;
	uint64_t hash;
	struct str key;
};

struct map {
	struct map_node **slots;
	size_t slots_count;
	size_t count;
	uint64_t hash_key;
	struct list all; /* of map_node.all, in order of insertion */
};

/* hash_key: random where strangers choose the keys, anything fixed in cores. */
void map_init(struct map *m, uint64_t hash_key);
void map_fini(struct map *m); /* frees the slots; the entries are the caller's */
struct map_node *map_find_node(const struct map *m, struct str key);
void map_add(struct map *m, struct map_node *node, struct str key); /* the key must not be in it */
void map_del(struct map *m, struct map_node *node);

#define map_find(m, k, type, member)                                \
	({                                                          \
		struct map_node *found_ = map_find_node((m), (k));  \
		found_ ? container_of(found_, type, member) : NULL; \
	})
/* The loop body may remove item. */
#define map_for_each(item, following, m, member) \
	list_for_each_safe (item, following, &(m)->all, member.all)

#endif
