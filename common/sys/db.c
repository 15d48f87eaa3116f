/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB behind kv.h. A transaction keeps one cursor per table, so that walking on from the key just
 * seen is one step.
 */
#include "common/sys/db.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "common/sys/log.h"
#include "common/sys/share.h"

enum { TABLES_MAX = 64 };
static const size_t map_size_default = 64ULL << 30;

struct db_txn {
	struct kv_txn base;
	struct db *db;
	MDB_txn *txn;
	bool write;
	bool busy; /* the reader's one transaction is in use */
	MDB_cursor *cursors[TABLES_MAX];
	bool cursor_stale[TABLES_MAX]; /* reader: to be renewed in this transaction */
	void *scratch;		       /* where reserved bytes go after an error */
};

struct db {
	MDB_env *env;
	unsigned tables;
	int mode;
	MDB_dbi dbis[TABLES_MAX];
	struct db_txn *reader; /* renewed for each read */
};

/* LMDB's own codes have no errno; ENOTRECOVERABLE stands for them, the text says which. */
static int lmdb_error(int code, const char *what)
{
	return err_new(code > 0 ? -code : -ENOTRECOVERABLE, "%s: %s", what, mdb_strerror(code));
}

static MDB_val val_of(struct str s)
{
	return (MDB_val) { s.n, (void *)(uintptr_t)s.p };
}

static struct str str_of_val(MDB_val v)
{
	return str_n(v.mv_data, v.mv_size);
}

static struct db_txn *txn_of(struct kv_txn *t)
{
	return container_of(t, struct db_txn, base);
}

static void txn_fail(struct db_txn *t, int code, const char *what)
{
	if (!t->base.error) {
		t->base.error = lmdb_error(code, what);
	}
}

static bool db_get(struct kv_txn *kt, unsigned table, struct str key, struct str *value_out)
{
	struct db_txn *t = txn_of(kt);
	MDB_val k = val_of(key), v;
	int r;

	if (kt->error || key.n == 0 || key.n > KV_KEY_MAX) {
		return false;
	}
	r = mdb_get(t->txn, t->db->dbis[table], &k, &v);
	if (r == 0) {
		*value_out = str_of_val(v);
	} else if (r != MDB_NOTFOUND) {
		txn_fail(t, r, "mdb_get");
	}
	return r == 0;
}

static void *db_put_reserve(struct kv_txn *kt, unsigned table, struct str key, size_t n)
{
	struct db_txn *t = txn_of(kt);
	MDB_val k = val_of(key), v = { n, NULL };
	int r;

	must(t->write && key.n > 0 && key.n <= KV_KEY_MAX);
	if (!kt->error) {
		r = mdb_put(t->txn, t->db->dbis[table], &k, &v, MDB_RESERVE);
		if (r == 0) {
			return v.mv_data;
		}
		txn_fail(t, r, "mdb_put");
	}
	/* After an error the caller still writes somewhere; the commit will tell. */
	t->scratch = xrealloc(t->scratch, n);
	return t->scratch;
}

static void db_put(struct kv_txn *kt, unsigned table, struct str key, struct str value)
{
	struct db_txn *t = txn_of(kt);
	MDB_val k = val_of(key), v = val_of(value);
	int r;

	must(t->write && key.n > 0 && key.n <= KV_KEY_MAX);
	if (kt->error) {
		return;
	}
	r = mdb_put(t->txn, t->db->dbis[table], &k, &v, 0);
	if (r) {
		txn_fail(t, r, "mdb_put");
	}
}

static bool db_del(struct kv_txn *kt, unsigned table, struct str key)
{
	struct db_txn *t = txn_of(kt);
	MDB_val k = val_of(key);
	int r;

	must(t->write);
	if (kt->error || key.n == 0 || key.n > KV_KEY_MAX) {
		return false;
	}
	r = mdb_del(t->txn, t->db->dbis[table], &k, NULL);
	if (r && r != MDB_NOTFOUND) {
		txn_fail(t, r, "mdb_del");
	}
	return r == 0;
}

static void db_clear(struct kv_txn *kt, unsigned table)
{
	struct db_txn *t = txn_of(kt);
	int r = kt->error ? 0 : mdb_drop(t->txn, t->db->dbis[table], 0);

	if (r) {
		txn_fail(t, r, "mdb_drop");
	}
}

static MDB_cursor *cursor_of_table(struct db_txn *t, unsigned table)
{
	int r = 0;

	if (!t->cursors[table]) {
		r = mdb_cursor_open(t->txn, t->db->dbis[table], &t->cursors[table]);
	} else if (t->cursor_stale[table]) {
		r = mdb_cursor_renew(t->txn, t->cursors[table]);
	}
	if (r) {
		txn_fail(t, r, "mdb_cursor");
		return NULL;
	}
	t->cursor_stale[table] = false;
	return t->cursors[table];
}

/* The first entry behind key: one step when the cursor still stands on it. */
static int seek_after(MDB_cursor *c, struct str key, MDB_val *k, MDB_val *v)
{
	int r = mdb_cursor_get(c, k, v, MDB_GET_CURRENT);

	if (r == 0 && str_eq(str_of_val(*k), key)) {
		return mdb_cursor_get(c, k, v, MDB_NEXT);
	}
	*k = val_of(key);
	r = mdb_cursor_get(c, k, v, MDB_SET_RANGE);
	if (r == 0 && str_eq(str_of_val(*k), key)) {
		r = mdb_cursor_get(c, k, v, MDB_NEXT);
	}
	return r;
}

static bool db_seek(struct kv_txn *kt, unsigned table, struct str key, bool after,
	struct str *key_out, struct str *value_out)
{
	struct db_txn *t = txn_of(kt);
	MDB_cursor *c = kt->error ? NULL : cursor_of_table(t, table);
	MDB_val k = val_of(key), v;
	int r;

	if (!c) {
		return false;
	}
	if (after) {
		r = seek_after(c, key, &k, &v);
	} else {
		r = mdb_cursor_get(c, &k, &v, key.n ? MDB_SET_RANGE : MDB_FIRST);
	}
	if (r && r != MDB_NOTFOUND) {
		txn_fail(t, r, "mdb_cursor_get");
	}
	if (r) {
		return false;
	}
	*key_out = str_of_val(k);
	*value_out = str_of_val(v);
	return true;
}

static bool db_last(struct kv_txn *kt, unsigned table, struct str *key_out, struct str *value_out)
{
	struct db_txn *t = txn_of(kt);
	MDB_cursor *c = kt->error ? NULL : cursor_of_table(t, table);
	MDB_val k, v;

	if (!c || mdb_cursor_get(c, &k, &v, MDB_LAST)) {
		return false;
	}
	*key_out = str_of_val(k);
	*value_out = str_of_val(v);
	return true;
}

static uint64_t db_count(struct kv_txn *kt, unsigned table)
{
	struct db_txn *t = txn_of(kt);
	MDB_stat st;

	return !kt->error && mdb_stat(t->txn, t->db->dbis[table], &st) == 0 ? st.ms_entries : 0;
}

static void cursors_close(struct db_txn *t)
{
	for (unsigned i = 0; i < t->db->tables; i++) {
		if (t->cursors[i]) {
			mdb_cursor_close(t->cursors[i]);
		}
	}
}

static int write_commit(struct kv_txn *kt)
{
	struct db_txn *t = txn_of(kt);
	int error = kt->error, r = 0;

	cursors_close(t);
	if (error) {
		mdb_txn_abort(t->txn);
	} else {
		r = mdb_txn_commit(t->txn);
		error = r ? lmdb_error(r, "mdb_txn_commit") : 0;
	}
	free(t->scratch);
	free(t);
	return error;
}

static void write_abort(struct kv_txn *kt)
{
	struct db_txn *t = txn_of(kt);

	cursors_close(t);
	mdb_txn_abort(t->txn);
	free(t->scratch);
	free(t);
}

/* A reader's transaction is parked, not freed: renewing it is cheaper than beginning one. */
static void read_end(struct kv_txn *kt)
{
	struct db_txn *t = txn_of(kt);

	mdb_txn_reset(t->txn);
	memset(t->cursor_stale, 1, sizeof(t->cursor_stale));
	t->busy = false;
	kt->error = 0;
}

static int read_commit(struct kv_txn *kt)
{
	int error = kt->error;

	read_end(kt);
	return error;
}

static const struct kv_ops write_ops = {
	.get = db_get,
	.put = db_put,
	.put_reserve = db_put_reserve,
	.del = db_del,
	.clear = db_clear,
	.seek = db_seek,
	.last = db_last,
	.count = db_count,
	.commit = write_commit,
	.abort = write_abort,
};

static const struct kv_ops read_ops = {
	.get = db_get,
	.seek = db_seek,
	.last = db_last,
	.count = db_count,
	.commit = read_commit,
	.abort = read_end,
};

static int tables_open(struct db *d, const struct db_options *o)
{
	MDB_txn *txn;
	int r = mdb_txn_begin(d->env, NULL, o->mode & DB_WRITE ? 0 : MDB_RDONLY, &txn);

	if (r) {
		return lmdb_error(r, "mdb_txn_begin");
	}
	for (unsigned i = 0; i < o->tables; i++) {
		r = mdb_dbi_open(
			txn, o->table_names[i], o->mode & DB_WRITE ? MDB_CREATE : 0, &d->dbis[i]);
		if (r) {
			mdb_txn_abort(txn);
			return r == MDB_NOTFOUND ? ST_NOT_FOUND : lmdb_error(r, "mdb_dbi_open");
		}
	}
	r = mdb_txn_commit(txn);
	return r ? lmdb_error(r, "mdb_txn_commit") : 0;
}

static int env_open(struct db *d, const struct db_options *o)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
	int r = mdb_env_create(&d->env);

	must(r == 0);
	mdb_env_set_maxdbs(d->env, o->tables);
	mdb_env_set_maxreaders(d->env, 64);
	r = mdb_env_set_mapsize(d->env, o->map_size ? o->map_size : map_size_default);
	if (r) {
		return lmdb_error(r, "mdb_env_set_mapsize");
	}
	if (!(o->mode & DB_WRITE)) {
		flags |= MDB_RDONLY;
	} else if (!(o->mode & DB_SYNC)) {
		flags |= MDB_NOSYNC;
	}
	r = mdb_env_open(d->env, o->directory, flags, 0660);
	if (r == ENOENT && !(o->mode & DB_WRITE)) {
		return ST_NOT_FOUND;
	}
	if (r == MDB_INVALID || r == MDB_VERSION_MISMATCH || r == MDB_CORRUPTED) {
		return ST_CORRUPT;
	}
	return r ? lmdb_error(r, o->directory) : 0;
}

/* Readers write into the lock, where they note what they are reading; into nothing else. */
static int files_share(const struct db_options *o)
{
	static const struct {
		const char *name;
		mode_t mode;
	} rows[] = { { "data.mdb", 0640 }, { "lock.mdb", 0660 }, { ".", 0750 } };
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && r == 0; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", o->directory, rows[i].name) >=
			(int)sizeof(path)) {
			return err_new(-ENAMETOOLONG, "%s", o->directory);
		}
		r = share_file(path, o->share, rows[i].mode);
	}
	return r;
}

int db_open(const struct db_options *o, struct db **out)
{
	OWN(db_free) struct db *d = xcalloc(1, sizeof(*d));
	int r;

	must(o->tables <= TABLES_MAX);
	d->tables = o->tables;
	d->mode = o->mode;
	r = env_open(d, o);
	if (!r) {
		r = tables_open(d, o);
	}
	if (!r && o->share) {
		r = files_share(o);
	}
	if (r) {
		return r;
	}
	*out = take(d);
	return 0;
}

void db_free(struct db *d)
{
	if (d->reader) {
		cursors_close(d->reader);
		mdb_txn_abort(d->reader->txn);
		free(d->reader);
	}
	mdb_env_close(d->env);
	free(d);
}

struct kv_txn *db_begin(struct db *d)
{
	struct db_txn *t = xcalloc(1, sizeof(*t));
	int r;

	must(d->mode & DB_WRITE);
	t->base.ops = &write_ops;
	t->db = d;
	t->write = true;
	r = mdb_txn_begin(d->env, NULL, 0, &t->txn);
	if (r) {
		log_error("db-begin", "error=%s", mdb_strerror(r));
		must(!"the writer of a database cannot begin a transaction");
	}
	return &t->base;
}

static int read_renew(struct db *d)
{
	int r = mdb_txn_renew(d->reader->txn);

	if (r == MDB_MAP_RESIZED) {
		r = mdb_env_set_mapsize(d->env, 0);
		r = r ? r : mdb_txn_renew(d->reader->txn);
	}
	return r;
}

struct kv_txn *db_read(struct db *d)
{
	static struct log_limit limit;
	int r;

	if (!d->reader) {
		d->reader = xcalloc(1, sizeof(*d->reader));
		d->reader->base.ops = &read_ops;
		d->reader->db = d;
		r = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &d->reader->txn);
		if (r) {
			free(take(d->reader));
		}
	} else {
		must(!d->reader->busy);
		r = read_renew(d);
	}
	if (r) {
		if (log_allow(&limit)) {
			log_error("db-read", "error=%s", mdb_strerror(r));
		}
		return NULL;
	}
	d->reader->busy = true;
	return &d->reader->base;
}

int db_sync(struct db *d)
{
	int r = mdb_env_sync(d->env, 1);

	return r ? lmdb_error(r, "mdb_env_sync") : 0;
}

/* mdb_env_copy2 itself leaves the file's size and the disk's cache to their own time. */
int db_copy(struct db *d, const char *directory)
{
	char path[PATH_MAX];
	int r = mdb_env_copy2(d->env, directory, MDB_CP_COMPACT);

	if (r) {
		return lmdb_error(r, directory);
	}
	if (snprintf(path, sizeof(path), "%s/data.mdb", directory) >= PATH_MAX) {
		return err_new(-ENAMETOOLONG, "copy to %s", directory);
	}
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? err_errno("sync %s", path) : 0;
}

int db_reap_readers(struct db *d)
{
	int dead = 0;

	mdb_reader_check(d->env, &dead);
	return dead;
}

uint64_t db_used_bytes(struct db *d)
{
	MDB_envinfo info;
	MDB_stat st;

	if (mdb_env_info(d->env, &info) || mdb_env_stat(d->env, &st)) {
		return 0;
	}
	return (info.me_last_pgno + 1) * st.ms_psize;
}
