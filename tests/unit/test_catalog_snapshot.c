/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/snapshot: one is taken, told and kept; one that fails leaves nothing behind. The
 * environment, the worker and raftd are ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogd/catalogd.h"
#include "tests/unit/unit.h"

static struct {
	struct kv_mem *state;
	struct worker_job *job;
	int copy_error; /* of the next copy, behind its first bytes */
	uint64_t told;
} world;

/* -------- what snapshot.c and stores.c call -------- */

int db_open(const struct db_options *o UNUSED, struct db **out)
{
	*out = NULL;
	return 0;
}

void db_free(struct db *d UNUSED)
{
}

struct kv_txn *db_begin(struct db *d UNUSED)
{
	return kv_mem_begin(world.state);
}

struct kv_txn *db_read(struct db *d UNUSED)
{
	return kv_mem_begin(world.state);
}

int db_sync(struct db *d UNUSED)
{
	return 0;
}

uint64_t db_used_bytes(struct db *d UNUSED)
{
	return 0;
}

int db_copy(struct db *d UNUSED, const char *directory)
{
	char path[PATH_MAX];
	int fd;

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/data.mdb", directory), PATH_MAX);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, "state", 5), 5);
	close(fd);
	return world.copy_error;
}

void worker_add(struct worker *w UNUSED, struct worker_job *job)
{
	ck_assert(!world.job);
	world.job = job;
}

void transfers_snapshot_done(struct catalogd *c UNUSED)
{
}

struct ipc_pending *ipc_call(struct ipc_client *client UNUSED, uint16_t message, struct str encoded,
	int64_t timeout_ms UNUSED, ipc_reply_fn on_reply UNUSED, void *arg UNUSED)
{
	struct raft_snapshot_taken m;

	ck_assert_int_eq(message, MSG_raft_snapshot_taken);
	ck_assert_int_eq(raft_snapshot_taken_decode(encoded, NULL, &m), 0);
	world.told = m.index;
	return NULL;
}

void metrics_add(struct metrics *m UNUSED, size_t row UNUSED, double value UNUSED)
{
}

/* -------- a server -------- */

static struct daemon a_daemon;

static void server_init(struct catalogd *c)
{
	char path[PATH_MAX];

	memset(&world, 0, sizeof(world));
	world.state = kv_mem_new(STATE_TABLES_COUNT);
	*c = (struct catalogd) { .daemon = &a_daemon };
	snprintf(c->stores.directory, sizeof(c->stores.directory), "/tmp/muster-snapshot-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(c->stores.directory));
	stores_path(&c->stores, path, "snapshots");
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void server_fini(struct catalogd *c)
{
	OWN_EMBEDDED(buf_fini) struct buf command = { 0 };

	buf_printf(&command, "rm -r %s", c->stores.directory);
	ck_assert_int_eq(system(buf_cstr(&command)), 0);
	kv_mem_free(world.state);
}

static void state_at(uint64_t index)
{
	const uint64_t applied[2] = { index, 1 };
	struct kv_txn *t = kv_mem_begin(world.state);

	kv_put(t, STATE_META, STR("applied"), str_n(applied, sizeof(applied)));
	ck_assert_int_eq(kv_commit(t), 0);
}

static void snapshot_take(struct catalogd *c)
{
	struct worker_job *job;

	snapshot_now(c);
	job = take(world.job);
	ck_assert(job);
	job->work(job);
	job->done(c, job);
	ck_assert(!c->snapshots.running);
}

static bool is_there(const struct catalogd *c, const char *name)
{
	char path[PATH_MAX];

	stores_path(&c->stores, path, "snapshots/%s", name);
	return access(path, F_OK) == 0;
}

/* -------- tests -------- */

TEST(the_newest_are_kept)
{
	struct catalogd c;

	server_init(&c);
	for (uint64_t index = 5; index < 8; index++) {
		state_at(index);
		snapshot_take(&c);
		ck_assert_uint_eq(world.told, index);
		ck_assert_uint_eq(stores_snapshot_newest(&c.stores), index);
	}
	ck_assert(!is_there(&c, "5-1") && is_there(&c, "6-1") && is_there(&c, "7-1/sums"));
	server_fini(&c);
}
END_TEST

/* What was written of it is given back: on a full disk that is what everything else needs. */
TEST(one_that_fails_leaves_nothing)
{
	struct catalogd c;

	server_init(&c);
	state_at(5);
	world.copy_error = -ENOSPC;
	snapshot_take(&c);
	ck_assert_uint_eq(world.told, 0);
	ck_assert(!is_there(&c, "new"));
	world.copy_error = 0;
	snapshot_take(&c);
	ck_assert_uint_eq(world.told, 5);
	server_fini(&c);
}
END_TEST

TEST(nor_one_that_was_cut_off)
{
	static const char *const names[] = { "new", "saving" };
	struct stores opened = { .generation = 0 };
	char path[PATH_MAX], data_dir[PATH_MAX];
	struct catalogd c;

	server_init(&c);
	snprintf(data_dir, sizeof(data_dir), "%s", c.stores.directory);
	strncat(c.stores.directory, "/catalogd", 10);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ck_assert(mkdir(c.stores.directory, 0700) == 0 || errno == EEXIST);
		stores_path(&c.stores, path, "snapshots");
		ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
		stores_path(&c.stores, path, "snapshots/%s", names[i]);
		ck_assert_int_eq(mkdir(path, 0700), 0);
		ck_assert_int_eq(db_copy(NULL, path), 0);
		(void)stores_open(&opened, data_dir);
		ck_assert(!is_there(&c, names[i]));
	}
	snprintf(c.stores.directory, sizeof(c.stores.directory), "%s", data_dir);
	server_fini(&c);
}
END_TEST

UNIT_MAIN("catalog_snapshot", the_newest_are_kept, one_that_fails_leaves_nothing,
	nor_one_that_was_cut_off)
