/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd's database: what is written comes back, also when the disk was full in between.
 */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkd/store.h"

struct bench {
	char dir[32];
	struct store *s;
	struct buf rows; /* key=size of value, ... */
};

static void bench_init(struct bench *b)
{
	*b = (struct bench) { .s = NULL };
	strcpy(b->dir, "/tmp/muster-store-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	ck_assert_int_eq(store_open(b->dir, &b->s), 0);
}

static void bench_fini(struct bench *b)
{
	static const char *const names[] = { "checkd/data.mdb", "checkd/lock.mdb", "checkd", "" };
	char path[64];

	store_free(b->s);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", b->dir, names[i]);
		ck_assert_int_eq(remove(path), 0);
	}
	buf_fini(&b->rows);
}

static void put(struct bench *b, const char *key, size_t size)
{
	static const char bytes[256 << 10];
	struct registry_write w = {
		.table = TABLE_SERVICES, .key = str_of(key), .value = str_n(bytes, size)
	};

	store_put(b->s, &w);
}

static void del(struct bench *b, const char *key)
{
	struct registry_write w = { .table = TABLE_SERVICES, .key = str_of(key), .del = true };

	store_put(b->s, &w);
}

static void on_row(void *arg, struct str key, struct str value)
{
	buf_printf(arg, STR_FMT "=%zu ", STR_ARG(key), value.n);
}

/* As the next life finds it. */
static void is_on_disk(struct bench *b, const char *expected)
{
	store_free(b->s);
	ck_assert_int_eq(store_open(b->dir, &b->s), 0);
	buf_clear(&b->rows);
	ck_assert_int_eq(store_each(b->s, TABLE_SERVICES, on_row, &b->rows), 0);
	ck_buf_is(&b->rows, expected);
}

/* Files cannot grow any more. */
static void disk_is_full(struct bench *b, bool full)
{
	struct rlimit limit;
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "%s/checkd/data.mdb", b->dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = full ? (rlim_t)st.st_size : limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(what_is_written_comes_back)
{
	struct bench b;

	bench_init(&b);
	ck_assert_int_eq(store_commit(b.s), 0);
	put(&b, "a", 1);
	put(&b, "b", 2);
	put(&b, "c", 3);
	put(&b, "b", 22);
	del(&b, "c");
	ck_assert_int_eq(store_commit(b.s), 0);
	put(&b, "lost", 1);
	is_on_disk(&b, "a=1 b=22 ");
	ck_assert(store_same_boot(b.s));
	del(&b, "a");
	put(&b, "c", 0);
	ck_assert_int_eq(store_commit(b.s), 0);
	is_on_disk(&b, "b=22 c=0 ");
	bench_fini(&b);
}
END_TEST

/* Whoever asked was told that it failed; it is written with what comes next. */
TEST(a_full_disk_loses_nothing)
{
	struct bench b;

	signal(SIGXFSZ, SIG_IGN);
	bench_init(&b);
	put(&b, "old", 1);
	ck_assert_int_eq(store_commit(b.s), 0);
	disk_is_full(&b, true);
	put(&b, "first", 100000);
	ck_assert_int_lt(store_commit(b.s), 0);
	put(&b, "second", 5);
	del(&b, "old");
	put(&b, "third", 1);
	del(&b, "third");
	ck_assert_int_lt(store_commit(b.s), 0);
	ck_assert_int_lt(store_commit(b.s), 0);
	disk_is_full(&b, false);
	ck_assert_int_eq(store_commit(b.s), 0);
	is_on_disk(&b, "first=100000 second=5 ");
	bench_fini(&b);
}
END_TEST

UNIT_MAIN("store", what_is_written_comes_back, a_full_disk_loses_nothing)
