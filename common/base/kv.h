/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordered key/value storage with tables and transactions, seen through one interface with two
 * backends: kv_mem (a tree in memory, for tests and simulation) and db (LMDB, common/sys/db.h). The
 * pure apply of catalogd is written against this and must give equal digests on both.
 *
 * Tables are numbered 0..tables-1. Keys are 1..KV_KEY_MAX bytes, ordered bytewise. Values returned
 * are borrowed until the next write in the same transaction (or its end).
 *
 * Errors are sticky: after the first environment error every call is harmless and kv_commit returns
 * it. So callers check only for "found" while working, and once at the end.
 */
#ifndef MUSTER_COMMON_BASE_KV_H
#define MUSTER_COMMON_BASE_KV_H

#include "common/base/err.h"
#include "common/base/str.h"

enum { KV_KEY_MAX = 511 };

struct kv_txn;

struct kv_ops {
	bool (*get)(struct kv_txn *t, unsigned table, struct str key, struct str *value_out);
	void (*put)(struct kv_txn *t, unsigned table, struct str key, struct str value);
	/* Makes room for n bytes under key and returns where to write them (valid until the next
	 * call). */
	void *(*put_reserve)(struct kv_txn *t, unsigned table, struct str key, size_t n);
	bool (*del)(struct kv_txn *t, unsigned table, struct str key);
	void (*clear)(struct kv_txn *t, unsigned table);
	/* First entry with a key >= key (or > key when after is set); last entry for from_end. */
	bool (*seek)(struct kv_txn *t, unsigned table, struct str key, bool after,
		struct str *key_out, struct str *value_out);
	bool (*last)(struct kv_txn *t, unsigned table, struct str *key_out, struct str *value_out);
	uint64_t (*count)(struct kv_txn *t, unsigned table);
	int (*commit)(struct kv_txn *t); /* frees t */
	void (*abort)(struct kv_txn *t); /* frees t */
};

struct kv_txn {
	const struct kv_ops *ops;
	int error; /* the first environment error, or 0 */
};

static inline bool kv_get(struct kv_txn *t, unsigned table, struct str key, struct str *value_out)
{
	return t->ops->get(t, table, key, value_out);
}

static inline bool kv_has(struct kv_txn *t, unsigned table, struct str key)
{
	struct str ignored;

	return t->ops->get(t, table, key, &ignored);
}

static inline void kv_put(struct kv_txn *t, unsigned table, struct str key, struct str value)
{
	t->ops->put(t, table, key, value);
}

static inline void *kv_put_reserve(struct kv_txn *t, unsigned table, struct str key, size_t n)
{
	return t->ops->put_reserve(t, table, key, n);
}

static inline bool kv_del(struct kv_txn *t, unsigned table, struct str key)
{
	return t->ops->del(t, table, key);
}

static inline void kv_clear(struct kv_txn *t, unsigned table)
{
	t->ops->clear(t, table);
}

static inline bool kv_last(
	struct kv_txn *t, unsigned table, struct str *key_out, struct str *value_out)
{
	return t->ops->last(t, table, key_out, value_out);
}

static inline uint64_t kv_count(struct kv_txn *t, unsigned table)
{
	return t->ops->count(t, table);
}

static inline int kv_commit(struct kv_txn *t)
{
	return t->ops->commit(t);
}

static inline void kv_abort(struct kv_txn *t)
{
	t->ops->abort(t);
}

/*
 * Walks the entries whose keys start with a prefix, in order; the table may be changed inside the
 * loop (the walk goes on behind the last key it gave; values stay borrowed as above). struct
 * kv_walk w = kv_walk(t, TABLE, prefix); while (kv_walk_next(&w)) { use w.key, w.value }
 */
struct kv_walk {
	struct kv_txn *t;
	unsigned table;
	bool started;
	uint16_t prefix_size;
	uint16_t key_size;
	struct str key, value; /* the current entry; borrowed */
	char at[KV_KEY_MAX];   /* copy of the current key */
	char prefix[KV_KEY_MAX];
};

void kv_walk_init(struct kv_walk *w, struct kv_txn *t, unsigned table, struct str prefix);
/* It begins behind this key. */
void kv_walk_behind(struct kv_walk *w, struct str key);
bool kv_walk_next(struct kv_walk *w);

/* The in-memory backend: one writer at a time, readers see the writer's changes (enough for tests).
 * Owned by the caller. */
struct kv_mem;
struct kv_mem *kv_mem_new(unsigned tables);
void kv_mem_free(struct kv_mem *m);
DEFINE_OWN(struct kv_mem, kv_mem_free)
struct kv_txn *kv_mem_begin(struct kv_mem *m); /* abort does undo */

#endif
