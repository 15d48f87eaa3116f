/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of catalogd's core share: a state with a backend, and functions that make and
 * apply commands.
 */
#ifndef MUSTER_TESTS_UNIT_CATALOG_H
#define MUSTER_TESTS_UNIT_CATALOG_H

#include "tests/unit/unit.h"

#include "catalogd/core/core.h"
#include "common/base/rng.h"
#include "common/sys/db.h"

struct world {
	struct kv_mem *mem; /* one of the two */
	struct db *db;
	struct catalog *c;
	uint64_t index;
	int64_t now_ms;
	struct kv_txn *t; /* the open batch */
	struct catalog_outcome out;
	char id_next;
};

static inline struct kv_txn *world_begin(struct world *w)
{
	return w->mem ? kv_mem_begin(w->mem) : db_begin(w->db);
}

static inline void world_init(struct world *w, struct db *db)
{
	struct kv_txn *t;

	*w = (struct world) { .db = db, .now_ms = 1000000, .c = catalog_new() };
	if (!db) {
		w->mem = kv_mem_new(STATE_TABLES_COUNT);
	}
	t = world_begin(w);
	catalog_open(w->c, t);
	kv_abort(t);
}

static inline void world_fini(struct world *w)
{
	catalog_free(w->c);
	if (w->mem) {
		kv_mem_free(w->mem);
	}
}

static inline void batch_begin(struct world *w)
{
	w->t = world_begin(w);
	catalog_begin(w->c, w->t);
}

static inline void batch_end(struct world *w)
{
	catalog_finish(w->c);
	ck_assert_int_eq(kv_commit(w->t), 0);
	w->t = NULL;
}

static inline void apply_in_batch(
	struct world *w, const struct uuid *id, uint16_t type, struct str payload)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct command cmd = { .now_ms = w->now_ms, .type = type, .payload = payload };

	if (id) {
		cmd.id = *id;
	}
	command_encode(&bytes, &cmd);
	catalog_apply(w->c, ++w->index, 1, buf_str(&bytes), &w->out);
}

/* One command as a batch of its own; its result is w->out.result. */
static inline void apply_one(
	struct world *w, const struct uuid *id, uint16_t type, struct str payload)
{
	batch_begin(w);
	apply_in_batch(w, id, type, payload);
	batch_end(w);
}

#define APPLY(world, type, cmd_pointer)                                                    \
	do {                                                                               \
		OWN_EMBEDDED(buf_fini) struct buf payload_ = { 0 };                        \
                                                                                           \
		type##_encode(&payload_, (cmd_pointer));                                   \
		if ((world)->t) {                                                          \
			apply_in_batch((world), NULL, COMMAND_##type, buf_str(&payload_)); \
		} else {                                                                   \
			apply_one((world), NULL, COMMAND_##type, buf_str(&payload_));      \
		}                                                                          \
	} while (0)

static inline uint64_t world_digest(struct world *w)
{
	struct kv_txn *t = world_begin(w);
	uint64_t digest = catalog_digest(t);

	kv_abort(t);
	return digest;
}

/* The index of a thing, as readers see it. */
static inline uint64_t world_thing(struct world *w, enum thing kind, const char *name)
{
	struct kv_txn *t = world_begin(w);
	uint64_t index = thing_index(t, kind, str_of(name));

	kv_abort(t);
	return index;
}

/* The row of a table under a key of up to three parts (NULL: fewer), as it is stored; "" when there
 * is none. */
static inline struct str world_row(struct world *w, struct buf *out, enum state_table table,
	const char *a, const char *b, const char *c)
{
	struct kv_txn *t = world_begin(w);
	struct state_key room;
	struct str value, key = str_of(a);

	if (b) {
		key = state_key3(&room, str_of(a), str_of(b), c ? str_of(c) : STR_NONE);
	}
	buf_clear(out);
	if (kv_get(t, table, key, &value)) {
		buf_put_str(out, value);
	}
	kv_abort(t);
	return buf_str(out);
}

#endif
