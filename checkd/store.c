/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB in <data_dir>/checkd, one transaction per turn.
 */
#include "checkd/store.h"

#include <errno.h>
#include <sys/stat.h>

#include "common/sys/clock.h"
#include "common/sys/db.h"

static const size_t map_size = 4ULL << 30;
static const char *const table_names[TABLES_COUNT] = { "services", "checks", "states", "meta",
	"watches" };

struct store {
	struct db *db;
	struct kv_txn *txn; /* of this turn; NULL: nothing written yet */
	bool same_boot;
};

/* Notes the boot under which states are written from now on, and whether it is that of those that
 * are there. */
static int boot_note(struct store *s)
{
	char boot[UUID_TEXT_SIZE + 1] = "";
	struct kv_txn *t;
	struct str known;
	int r = boot_id_read(boot);

	if (r) {
		return err_pass(r);
	}
	t = db_begin(s->db);
	s->same_boot = kv_get(t, TABLE_META, STR("boot"), &known) && str_is(known, boot);
	if (s->same_boot) {
		kv_abort(t);
		return 0;
	}
	kv_put(t, TABLE_META, STR("boot"), str_of(boot));
	return kv_commit(t);
}

int store_open(const char *data_dir, struct store **out)
{
	OWN_EMBEDDED(buf_fini) struct buf folder = { 0 };
	OWN(store_free) struct store *s = xcalloc(1, sizeof(*s));
	struct db_options options = { .tables = TABLES_COUNT,
		.table_names = table_names,
		.mode = DB_WRITE | DB_SYNC,
		.map_size = map_size };
	int r;

	buf_printf(&folder, "%s/checkd", data_dir);
	options.directory = buf_cstr(&folder);
	if (mkdir(options.directory, 0750) && errno != EEXIST) {
		return err_errno("mkdir %s", options.directory);
	}
	r = db_open(&options, &s->db);
	r = r ? r : boot_note(s);
	if (r) {
		return err_pass(r);
	}
	*out = take(s);
	return 0;
}

void store_free(struct store *s)
{
	if (s->txn) {
		kv_abort(s->txn);
	}
	if (s->db) {
		db_free(s->db);
	}
	free(s);
}

int store_each(struct store *s, enum registry_table table, store_row_fn row, void *arg)
{
	struct kv_txn *t = db_read(s->db);
	struct kv_walk walk;

	if (!t) {
		return err_new(-EIO, "%s cannot be read", table_names[table]);
	}
	kv_walk_init(&walk, t, table, STR(""));
	while (kv_walk_next(&walk)) {
		row(arg, walk.key, walk.value);
	}
	kv_abort(t);
	return 0;
}

bool store_same_boot(struct store *s)
{
	return s->same_boot;
}

void store_put(struct store *s, const struct registry_write *writes)
{
	if (writes && !s->txn) {
		s->txn = db_begin(s->db);
	}
	for (const struct registry_write *w = writes; w; w = w->next) {
		if (w->del) {
			kv_del(s->txn, w->table, w->key);
		} else {
			kv_put(s->txn, w->table, w->key, w->value);
		}
	}
}

int store_commit(struct store *s)
{
	return s->txn ? kv_commit(take(s->txn)) : 0;
}
