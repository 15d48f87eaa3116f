/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB in <data_dir>/checkd, one transaction per turn. What is to be written is gathered until its
 * end, and stays when it cannot be.
 */
#include "checkd/store.h"

#include <errno.h>
#include <sys/stat.h>

#include "common/base/map.h"
#include "common/sys/clock.h"
#include "common/sys/db.h"

static const size_t map_size = 4ULL << 30;
static const char *const table_names[TABLES_COUNT] = { "services", "checks", "states", "meta",
	"watches" };

/* The newest word on a key that is not on the disk yet. */
struct unsaved {
	struct map_node node; /* by table and key */
	enum registry_table table;
	struct str key, value;
	bool del;
	char bytes[]; /* the table as one byte, key, value */
};

struct store {
	struct db *db;
	struct map unsaved;
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

	map_init(&s->unsaved, 0);
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

static void unsaved_drop(struct store *s, struct unsaved *u)
{
	map_del(&s->unsaved, &u->node);
	free(u);
}

static void unsaved_clear(struct store *s)
{
	struct unsaved *u, *next;

	map_for_each(u, next, &s->unsaved, node)
	{
		unsaved_drop(s, u);
	}
}

void store_free(struct store *s)
{
	unsaved_clear(s);
	map_fini(&s->unsaved);
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

static void unsaved_put(struct store *s, const struct registry_write *w)
{
	struct unsaved *u = xcalloc(1, sizeof(*u) + 1 + w->key.n + w->value.n), *old;
	struct str name = { u->bytes, 1 + w->key.n };

	u->table = w->table;
	u->del = w->del;
	u->bytes[0] = (char)w->table;
	u->key = str_skip(name, 1);
	u->value = str_n(name.p + name.n, w->value.n);
	memcpy(u->bytes + 1, w->key.p, w->key.n);
	if (w->value.n) {
		memcpy(u->bytes + name.n, w->value.p, w->value.n);
	}
	old = map_find(&s->unsaved, name, struct unsaved, node);
	if (old) {
		unsaved_drop(s, old);
	}
	map_add(&s->unsaved, &u->node, name);
}

void store_put(struct store *s, const struct registry_write *writes)
{
	for (const struct registry_write *w = writes; w; w = w->next) {
		unsaved_put(s, w);
	}
}

int store_commit(struct store *s)
{
	struct unsaved *u, *next;
	struct kv_txn *t;
	int r;

	if (s->unsaved.count == 0) {
		return 0;
	}
	t = db_begin(s->db);
	map_for_each(u, next, &s->unsaved, node)
	{
		if (u->del) {
			kv_del(t, u->table, u->key);
		} else {
			kv_put(t, u->table, u->key, u->value);
		}
	}
	r = kv_commit(t);
	if (r) {
		return err_pass(r);
	}
	unsaved_clear(s);
	return 0;
}
