/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sys: the LMDB backend against the kv contract, status pages, addresses, timers, the log's
 * ring.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/msg/page.h"
#include "common/sys/clock.h"
#include "common/sys/db.h"
#include "common/sys/log.h"
#include "common/sys/loop.h"
#include "common/sys/metrics.h"
#include "common/sys/net.h"
#include "common/sys/page.h"

static const char *const table_names[] = { "one", "two" };

static void directory_make(char dir[32])
{
	strcpy(dir, "/tmp/muster-sys-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void directory_remove(const char *dir)
{
	static const char *const files[] = { "data.mdb", "lock.mdb", "page" };
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

static void rows_put(struct kv_txn *t, int count)
{
	char key[16];

	for (int i = 0; i < count; i++) {
		int n = snprintf(key, sizeof(key), "k/%04d", i);

		kv_put(t, 0, str_n(key, (size_t)n), str_n(&i, sizeof(i)));
	}
}

TEST(test_db_walk_and_readers)
{
	char dir[32];

	directory_make(dir);
	{
		OWN(db_free) struct db *writer = NULL;
		OWN(db_free) struct db *reader = NULL;
		struct db_options options = {
			.directory = dir, .tables = 2, .table_names = table_names, .mode = DB_WRITE
		};
		struct kv_txn *t;
		struct kv_walk w;
		int seen = 0;

		ck_assert_int_eq(db_open(&options, &writer), 0);
		options.mode = DB_READ;
		ck_assert_int_eq(db_open(&options, &reader), 0);
		t = db_begin(writer);
		rows_put(t, 1000);
		kv_put(t, 0, STR("z"), STR(""));
		memcpy(kv_put_reserve(t, 1, STR("r"), 3), "abc", 3);
		ck_assert_int_eq(kv_commit(t), 0);
		t = db_read(reader);
		kv_walk_init(&w, t, 0, STR("k/"));
		while (kv_walk_next(&w)) {
			int stored; /* values are not aligned */

			memcpy(&stored, w.value.p, sizeof(stored));
			ck_assert_int_eq(stored, seen);
			seen++;
		}
		ck_assert_int_eq(seen, 1000);
		ck_assert_uint_eq(kv_count(t, 0), 1001);
		kv_abort(t);
		t = db_begin(writer);
		kv_walk_init(&w, t, 0, STR("k/"));
		while (kv_walk_next(&w)) {
			kv_del(t, 0, str_n(w.at, w.key_size));
		}
		ck_assert_uint_eq(kv_count(t, 0), 1);
		kv_abort(t);
		t = db_read(reader);
		ck_assert(kv_has(t, 0, STR("k/0999")));
		ck_assert(!kv_has(t, 0, STR("k/1000")));
		kv_abort(t);
	}
	directory_remove(dir);
}
END_TEST

/* A database of a version before, which did not have the second table yet. */
TEST(test_db_lacks_a_table)
{
	char dir[32];

	directory_make(dir);
	{
		OWN(db_free) struct db *old = NULL;
		OWN(db_free) struct db *reader = NULL;
		OWN(db_free) struct db *new = NULL;
		OWN(db_free) struct db *again = NULL;
		struct db_options options = {
			.directory = dir, .tables = 1, .table_names = table_names, .mode = DB_WRITE
		};
		struct kv_txn *t;
		struct kv_walk w;
		struct str key, value;

		ck_assert_int_eq(db_open(&options, &old), 0);
		t = db_begin(old);
		rows_put(t, 3);
		ck_assert_int_eq(kv_commit(t), 0);
		db_free(take(old));
		options.tables = 2;
		options.mode = DB_READ;
		ck_assert_int_eq(db_open(&options, &reader), 0);
		ck_assert(!db_is_whole(reader));
		t = db_read(reader);
		ck_assert_uint_eq(kv_count(t, 0), 3);
		ck_assert_uint_eq(kv_count(t, 1), 0);
		ck_assert(!kv_has(t, 1, STR("k/0001")));
		ck_assert(!kv_last(t, 1, &key, &value));
		kv_walk_init(&w, t, 1, STR(""));
		ck_assert(!kv_walk_next(&w));
		ck_assert_int_eq(t->error, 0);
		kv_abort(t);
		db_free(take(reader));
		options.mode = DB_WRITE;
		ck_assert_int_eq(db_open(&options, &new), 0);
		ck_assert(db_is_whole(new));
		db_free(take(new));
		options.mode = DB_READ;
		ck_assert_int_eq(db_open(&options, &again), 0);
		ck_assert(db_is_whole(again));
	}
	directory_remove(dir);
}
END_TEST

TEST(test_db_absent)
{
	struct db_options options = {
		.directory = "/nonexistent", .tables = 2, .table_names = table_names
	};
	struct db *d;

	ck_assert_int_eq(db_open(&options, &d), ST_NOT_FOUND);
}
END_TEST

TEST(test_page)
{
	char dir[32], path[64];
	struct {
		uint64_t a, b;
	} content = { 1, 2 }, got;

	directory_make(dir);
	snprintf(path, sizeof(path), "%s/page", dir);
	{
		OWN(page_reader_free)
		struct page_reader *r = page_reader_new(path, sizeof(content));
		OWN(page_writer_free) struct page_writer *w = NULL;

		ck_assert(!page_read(r, &got));
		ck_assert_int_eq(page_writer_open(path, sizeof(content), &w), 0);
		ck_assert(!page_read(r, &got));
		page_publish(w, &content);
		ck_assert(page_read(r, &got));
		ck_assert_uint_eq(got.b, 2);
		content.b = 3;
		page_publish(w, &content);
		ck_assert(page_read(r, &got));
		ck_assert_uint_eq(got.b, 3);
	}
	directory_remove(dir);
}
END_TEST

TEST(test_addresses)
{
	static const struct {
		const char *text;
		int port;
		const char *shown;
	} cases[] = {
		{ "127.0.0.1", 8500, "127.0.0.1:8500" },
		{ "127.0.0.1:80", 8500, "127.0.0.1:80" },
		{ "::1", 53, "[::1]:53" },
		{ "[::1]:54", 53, "[::1]:54" },
		{ "unix:///tmp/x", 0, "unix:///tmp/x" },
	};
	static const char *const bad[] = { "", "localhost", "127.0.0.1:99999", "[::1",
		"1.2.3.4:", "unix://" };
	struct net_address a;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		OWN_EMBEDDED(buf_fini) struct buf shown = { 0 };

		ck_assert_int_eq(net_address_parse(str_of(cases[i].text), cases[i].port, &a), 0);
		net_address_render(&a, &shown);
		ck_buf_is(&shown, cases[i].shown);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_int_eq(net_address_parse(str_of(bad[i]), 1, &a), ST_INVALID);
	}
	ck_assert_int_eq(net_address_parse(STR("1.2.3.4"), -1, &a), ST_INVALID);
}
END_TEST

static void on_timer(void *arg)
{
	loop_stop(arg);
}

TEST(test_timer_is_never_early)
{
	OWN(loop_free) struct loop *l = loop_new();
	struct mono when = mono_add_ms(clock_mono(), 30);
	struct loop_timer timer;

	loop_timer_init(&timer, l, on_timer, l);
	loop_timer_at(&timer, when);
	loop_run(l);
	ck_assert(!mono_before(clock_mono(), when));
	ck_assert(!loop_timer_active(&timer));
}
END_TEST

/* By how much somebody has set the wall clock; libev asks for it by either name. */
static int64_t wall_set_s;

int clock_gettime(clockid_t id, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, id, t);

	t->tv_sec += id == CLOCK_REALTIME ? wall_set_s : 0;
	return r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	int r = (int)syscall(SYS_gettimeofday, t, zone);

	t->tv_sec += wall_set_s;
	return r;
}

TEST(test_timer_does_not_follow_the_wall_clock)
{
	static const int64_t steps_s[] = { 3600, -3600 };

	for (size_t i = 0; i < ARRAY_SIZE(steps_s); i++) {
		OWN(loop_free) struct loop *l = loop_new();
		struct loop_timer timer, limit;
		struct mono when;

		loop_timer_init(&timer, l, on_timer, l);
		loop_timer_init(&limit, l, on_timer, l);
		loop_timer_in(&limit, 5000);
		wall_set_s += steps_s[i];
		when = mono_add_ms(clock_mono(), 30);
		loop_timer_at(&timer, when);
		loop_run(l);
		ck_assert(!mono_before(clock_mono(), when));
		ck_assert(!loop_timer_active(&timer) && loop_timer_active(&limit));
		loop_timer_stop(&limit);
	}
}
END_TEST

static void on_arrival(void *arg, int events)
{
	*(char *)arg = 'a';
}

static void on_time_up(void *arg)
{
	char *first = arg;

	*first = *first ? *first : 't';
}

/* A turn that comes late: something has arrived, and the time that it could take is over. */
TEST(test_arrivals_come_before_timers)
{
	OWN(loop_free) struct loop *l = loop_new();
	struct loop_io io;
	struct loop_timer timer;
	char first = 0;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	loop_io_init(&io, l, ends[0], on_arrival, &first);
	loop_timer_init(&timer, l, on_time_up, &first);
	loop_io_set(&io, LOOP_READ);
	loop_timer_in(&timer, 5);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	usleep(20000);
	loop_run_once(l);
	ck_assert_int_eq(first, 'a');
	ck_assert(!loop_timer_active(&timer)); /* it ran in the same turn */
	loop_io_set(&io, 0);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

TEST(test_log_ring)
{
	OWN_EMBEDDED(buf_fini) struct buf lines = { 0 };
	uint64_t newest;

	log_init("test", LOG_LEVEL_INFO);
	newest = log_ring_read(0, LOG_LEVEL_INFO, &lines);
	buf_clear(&lines);
	log_notice("bad\nvalue", "k=%s", "v");
	log_at(LOG_LEVEL_DEBUG, "hidden", "%s", "");
	ck_assert_uint_eq(log_ring_read(newest, LOG_LEVEL_INFO, &lines), newest + 1);
	ck_assert(str_ends(buf_str(&lines), STR(" [NOTICE] test: bad value k=v\n")));
	for (int i = 0; i < 2000; i++) {
		log_info("flood", "i=%d", i);
	}
	buf_clear(&lines);
	log_ring_read(0, LOG_LEVEL_INFO, &lines);
	ck_assert_uint_lt(lines.n, 512 * 64);
}
END_TEST

TEST(test_metrics_interval)
{
	static const struct metric_row rows[] = { { "a.b", METRIC_COUNTER, "op=x" },
		{ "g", METRIC_GAUGE, "" } };
	OWN(metrics_free) struct metrics *m = metrics_new(rows, 2);
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

	metrics_tick(m, (struct wall) { 100 * NS_PER_S });
	metrics_add(m, 0, 1);
	metrics_add(m, 0, 3);
	metrics_set(m, 1, 2.5);
	metrics_tick(m, (struct wall) { 109 * NS_PER_S });
	metrics_tick(m, (struct wall) { 110 * NS_PER_S });
	metrics_render(m, STR("consul"), &out);
	ck_buf_is(&out,
		"{\"Timestamp\":\"1970-01-01 00:01:40 +0000 "
		"UTC\",\"Gauges\":[{\"Name\":\"consul.g\",\"Value\":2.5,\"Labels\":{}}],"
		"\"Points\":[],\"Counters\":[{\"Name\":\"consul.a.b\",\"Count\":2,\"Rate\":0.4,"
		"\"Sum\":4,\"Min\":1,\"Max\":3,\"Mean\":2,"
		"\"Stddev\":1.4142135623730951,\"Labels\":{\"op\":\"x\"}}],\"Samples\":[]}");
	ck_assert_uint_eq(metrics_total(m, 0), 4);
}
END_TEST

/* A page left over from before a restart of the machine is nothing. */
TEST(test_page_of_another_boot)
{
	const struct catalog_page content = { .generation = 7, .ready = 1 };
	struct catalog_page got;
	char dir[32], path[64];

	directory_make(dir);
	snprintf(path, sizeof(path), "%s/page", dir);
	for (int life = 0; life < 2; life++) {
		OWN(page_reader_free)
		struct page_reader *r = page_reader_new(path, sizeof(content));
		OWN(page_writer_free) struct page_writer *w = NULL;
		OWN_FD int fd = -1;

		ck_assert(!page_read(r, &got));
		ck_assert_int_eq(page_writer_open(path, sizeof(content), &w), 0);
		ck_assert(!page_read(r, &got));
		page_publish(w, &content);
		ck_assert(page_read(r, &got));
		ck_assert_uint_eq(got.generation, 7);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		ck_assert_int_eq(pwrite(fd, "another", 7, 0), 7);
	}
	directory_remove(dir);
}
END_TEST

UNIT_MAIN("sys", test_db_walk_and_readers, test_db_lacks_a_table, test_db_absent, test_page,
	test_page_of_another_boot, test_addresses, test_timer_is_never_early,
	test_timer_does_not_follow_the_wall_clock, test_arrivals_come_before_timers, test_log_ring,
	test_metrics_interval)
