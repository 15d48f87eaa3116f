/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-memory backend of kv.h: one sorted array of entries per table, an undo list per
 * transaction. Insertion moves pointers, so it is meant for tests and simulations of some ten
 * thousand entries, not for production.
 */
#include "common/base/kv.h"

struct entry {
	size_t key_size, value_size;
	char bytes[]; /* key, then value */
};

struct table {
	struct entry **entries;
	size_t count, size;
};

struct kv_mem {
	unsigned tables_count;
	bool writing;
	struct table tables[];
};

struct undo {
	struct undo *older;
	unsigned table;
	struct entry *before; /* NULL: there was none */
	struct str key;	      /* borrowed from key_copy */
	char key_copy[];
};

struct mem_txn {
	struct kv_txn base;
	struct kv_mem *m;
	struct undo *undo;
};

static struct str entry_key(const struct entry *e)
{
	return str_n(e->bytes, e->key_size);
}

static struct str entry_value(const struct entry *e)
{
	return str_n(e->bytes + e->key_size, e->value_size);
}

static struct mem_txn *mem_of(struct kv_txn *t)
{
	return container_of(t, struct mem_txn, base);
}

static struct table *table_of(struct kv_txn *t, unsigned table)
{
	struct kv_mem *m = mem_of(t)->m;

	must(table < m->tables_count);
	return &m->tables[table];
}

/* The position of the first entry with a key >= key. */
static size_t position(const struct table *tb, struct str key, bool *found_out)
{
	size_t low = 0, high = tb->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (str_cmp(entry_key(tb->entries[middle]), key) < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	*found_out = low < tb->count && str_eq(entry_key(tb->entries[low]), key);
	return low;
}

static bool mem_get(struct kv_txn *t, unsigned table, struct str key, struct str *value_out)
{
	struct table *tb = table_of(t, table);
	bool found;
	size_t at = position(tb, key, &found);

	if (found) {
		*value_out = entry_value(tb->entries[at]);
	}
	return found;
}

/* Takes over `before`, which may be NULL. */
static void undo_note(struct mem_txn *mt, unsigned table, struct str key, struct entry *before)
{
	struct undo *u = xmalloc(sizeof(*u) + key.n);

	memcpy(u->key_copy, key.p, key.n);
	*u = (struct undo) { .older = mt->undo, .table = table, .before = before };
	u->key = str_n(u->key_copy, key.n);
	mt->undo = u;
}

static void table_insert(struct table *tb, size_t at, struct entry *e)
{
	if (tb->count == tb->size) {
		tb->size = max_of(tb->size * 2, (size_t)16);
		tb->entries = xrealloc(tb->entries, tb->size * sizeof(tb->entries[0]));
	}
	memmove(&tb->entries[at + 1], &tb->entries[at], (tb->count - at) * sizeof(tb->entries[0]));
	tb->entries[at] = e;
	tb->count++;
}

static struct entry *table_remove(struct table *tb, size_t at)
{
	struct entry *e = tb->entries[at];

	tb->count--;
	memmove(&tb->entries[at], &tb->entries[at + 1], (tb->count - at) * sizeof(tb->entries[0]));
	return e;
}

static void *mem_put_reserve(struct kv_txn *t, unsigned table, struct str key, size_t n)
{
	struct table *tb = table_of(t, table);
	struct entry *e = xcalloc(1, sizeof(*e) + key.n + n);
	bool found;
	size_t at = position(tb, key, &found);

	must(key.n > 0 && key.n <= KV_KEY_MAX);
	e->key_size = key.n;
	e->value_size = n;
	memcpy(e->bytes, key.p, key.n);
	if (found) {
		undo_note(mem_of(t), table, entry_key(e), tb->entries[at]);
		tb->entries[at] = e;
	} else {
		undo_note(mem_of(t), table, key, NULL);
		table_insert(tb, at, e);
	}
	return e->bytes + key.n;
}

static void mem_put(struct kv_txn *t, unsigned table, struct str key, struct str value)
{
	void *room = mem_put_reserve(t, table, key, value.n);

	if (value.n) {
		memcpy(room, value.p, value.n);
	}
}

static bool mem_del(struct kv_txn *t, unsigned table, struct str key)
{
	struct table *tb = table_of(t, table);
	bool found;
	size_t at = position(tb, key, &found);

	if (found) {
		struct entry *e = table_remove(tb, at);

		undo_note(mem_of(t), table, entry_key(e), e);
	}
	return found;
}

static void mem_clear(struct kv_txn *t, unsigned table)
{
	struct table *tb = table_of(t, table);

	while (tb->count) {
		struct entry *e = table_remove(tb, tb->count - 1);

		undo_note(mem_of(t), table, entry_key(e), e);
	}
}

static bool mem_at(struct table *tb, size_t at, struct str *key_out, struct str *value_out)
{
	if (at >= tb->count) {
		return false;
	}
	*key_out = entry_key(tb->entries[at]);
	*value_out = entry_value(tb->entries[at]);
	return true;
}

static bool mem_seek(struct kv_txn *t, unsigned table, struct str key, bool after,
	struct str *key_out, struct str *value_out)
{
	struct table *tb = table_of(t, table);
	bool found;
	size_t at = position(tb, key, &found);

	return mem_at(tb, at + (found && after), key_out, value_out);
}

static bool mem_last(struct kv_txn *t, unsigned table, struct str *key_out, struct str *value_out)
{
	struct table *tb = table_of(t, table);

	return tb->count && mem_at(tb, tb->count - 1, key_out, value_out);
}

static uint64_t mem_count(struct kv_txn *t, unsigned table)
{
	return table_of(t, table)->count;
}

static void txn_free(struct mem_txn *mt)
{
	while (mt->undo) {
		struct undo *u = mt->undo;

		mt->undo = u->older;
		free(u->before);
		free(u);
	}
	mt->m->writing = false;
	free(mt);
}

static int mem_commit(struct kv_txn *t)
{
	int error = t->error;

	txn_free(mem_of(t));
	return error;
}

static void undo_one(struct kv_mem *m, struct undo *u)
{
	struct table *tb = &m->tables[u->table];
	bool found;
	size_t at = position(tb, u->key, &found);

	if (found) {
		free(table_remove(tb, at));
	}
	if (u->before) {
		table_insert(tb, at, take(u->before));
	}
}

static void mem_abort(struct kv_txn *t)
{
	struct mem_txn *mt = mem_of(t);

	for (struct undo *u = mt->undo; u; u = u->older) {
		undo_one(mt->m, u);
	}
	txn_free(mt);
}

static const struct kv_ops mem_ops = {
	.get = mem_get,
	.put = mem_put,
	.put_reserve = mem_put_reserve,
	.del = mem_del,
	.clear = mem_clear,
	.seek = mem_seek,
	.last = mem_last,
	.count = mem_count,
	.commit = mem_commit,
	.abort = mem_abort,
};

struct kv_mem *kv_mem_new(unsigned tables)
{
	struct kv_mem *m = xcalloc(1, sizeof(*m) + tables * sizeof(m->tables[0]));

	m->tables_count = tables;
	return m;
}

void kv_mem_free(struct kv_mem *m)
{
	for (unsigned i = 0; i < m->tables_count; i++) {
		for (size_t at = 0; at < m->tables[i].count; at++) {
			free(m->tables[i].entries[at]);
		}
		free(m->tables[i].entries);
	}
	free(m);
}

struct kv_txn *kv_mem_begin(struct kv_mem *m)
{
	struct mem_txn *mt = xcalloc(1, sizeof(*mt));

	must(!m->writing);
	m->writing = true;
	mt->base.ops = &mem_ops;
	mt->m = m;
	return &mt->base;
}
