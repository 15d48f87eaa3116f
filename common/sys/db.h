/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB behind the kv interface (lmdb.h is included in db.c alone). A writer opens with DB_WRITE,
 * alone; any number of processes open read-only. Commits are not synced on the hot path
 * (DB_NOSYNC): durability is the Raft log's business; db_sync and db_copy are for snapshots. No
 * read transaction may outlive the callback that began it.
 */
#ifndef MUSTER_COMMON_SYS_DB_H
#define MUSTER_COMMON_SYS_DB_H

#include "common/base/kv.h"

enum {
	DB_READ = 0,
	DB_WRITE = 1,
	DB_SYNC = 2
}; /* DB_SYNC: every commit is durable (checkd's own state) */

struct db;
struct db_options {
	const char *directory; /* must exist; holds data.mdb and lock.mdb */
	unsigned tables;
	const char *const *table_names;
	int mode;
	size_t map_size;   /* address space; 0: 64 GiB, which costs nothing until used */
	const char *share; /* writer: who may read it is in this group (share.h); NULL: nobody */
};

/*
 * ST_NOT_FOUND: nothing there to read yet. ST_CORRUPT: not a database of ours. -errno. Tables that
 * an older writer did not know (but not the first one) read as empty until the database is opened
 * anew.
 */
int db_open(const struct db_options *options, struct db **out);
bool db_is_whole(const struct db *d); /* every table was there */
void db_free(struct db *d);
DEFINE_OWN(struct db, db_free)

/* Writer: one transaction at a time. Errors show up at kv_commit. */
struct kv_txn *db_begin(struct db *d);
/* Reader: a snapshot of the newest commit, renewed in place (about 0.3 us); end it with kv_abort in
 * the same callback. NULL: cannot read (logged). */
struct kv_txn *db_read(struct db *d);

int db_sync(struct db *d);
/* Writes a compacted, synced copy into an existing empty directory; may run in a thread of its own
 * beside the writer. -errno */
int db_copy(struct db *d, const char *directory);
/* Frees the slots of readers that died (call once a second in the writer). Returns how many. */
int db_reap_readers(struct db *d);
uint64_t db_used_bytes(struct db *d);

#endif
