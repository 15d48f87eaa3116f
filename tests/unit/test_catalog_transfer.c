/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/transfer: a snapshot read out piece by piece, and another server's put together and put
 * in place, over real files. The calls, the worker and the environment are ours: the worker works
 * when it is told to, and what a snapshot is is what its sums say.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogd/catalogd.h"
#include "catalogd/sums.h"
#include "tests/unit/unit.h"

enum { DATA_SIZE = (600 << 10) + 123, INDEX = 7, TERM = 2, PIECE = 100 << 10 };

/* -------- what transfer.c calls -------- */

struct ipc_call {
	bool answered;
	int status;
	struct buf payload;
};

static struct {
	struct worker_job *job; /* waits for the worker */
	unsigned snapshots;	/* that were asked for */
	int identity;		/* what opening a snapshot says */
} world;

void ipc_reply(struct ipc_call *call, struct str payload)
{
	ck_assert(!call->answered);
	call->answered = true;
	buf_put_str(&call->payload, payload);
}

void ipc_refuse(struct ipc_call *call, int status)
{
	ck_assert(!call->answered);
	call->answered = true;
	call->status = status;
}

void worker_add(struct worker *w UNUSED, struct worker_job *job)
{
	ck_assert(!world.job);
	world.job = job;
}

void snapshot_now(struct catalogd *c UNUSED)
{
	world.snapshots++;
}

int snapshot_identify(const char *directory UNUSED, uint64_t *index_out, uint64_t *term_out)
{
	*index_out = INDEX;
	*term_out = TERM;
	return world.identity;
}

/* -------- a server -------- */

static void server_init(struct catalogd *c)
{
	char path[PATH_MAX];

	*c = (struct catalogd) { .feed = { .applied = 1 } };
	world.job = NULL;
	world.snapshots = 0;
	world.identity = 0;
	snprintf(c->stores.directory, sizeof(c->stores.directory), "/tmp/muster-transfer-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(c->stores.directory));
	stores_path(&c->stores, path, "snapshots");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snapshot_transfers_init(c);
}

static void server_fini(struct catalogd *c)
{
	OWN_EMBEDDED(buf_fini) struct buf command = { 0 };

	snapshot_transfers_fini(c);
	buf_printf(&command, "rm -r %s", c->stores.directory);
	ck_assert_int_eq(system(buf_cstr(&command)), 0);
}

static void work(struct catalogd *c)
{
	struct worker_job *job = take(world.job);

	ck_assert(job);
	job->work(job);
	job->done(c, job);
}

/* A snapshot as one is taken. */
static void snapshot_make(struct catalogd *c, uint64_t index)
{
	OWN(free) char *bytes = xmalloc(DATA_SIZE);
	char directory[PATH_MAX], path[PATH_MAX];
	int fd;

	for (size_t i = 0; i < DATA_SIZE; i++) {
		bytes[i] = (char)(i * 31 + i / 1000 + index);
	}
	stores_path(&c->stores, directory, "snapshots/%llu-%d", (unsigned long long)index, TERM);
	ck_assert_int_eq(mkdir(directory, 0700), 0);
	stores_path(
		&c->stores, path, "snapshots/%llu-%d/data.mdb", (unsigned long long)index, TERM);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, bytes, DATA_SIZE), DATA_SIZE);
	close(fd);
	ck_assert_int_eq(sums_write(directory, index, TERM), 0);
}

/* -------- its two calls -------- */

static int ask(struct catalogd *c, uint64_t index, uint64_t offset, struct arena *arena,
	struct snapshot_read_reply *out)
{
	struct ipc_call call = { .answered = false };
	struct snapshot_read m = { index, offset, PIECE };

	handle_snapshot_read(c, &call, &m);
	ck_assert(call.answered);
	if (!call.status) {
		ck_assert_int_eq(snapshot_read_reply_decode(
					 arena_str(arena, buf_str(&call.payload)), NULL, out),
			0);
	}
	buf_fini(&call.payload);
	return call.status;
}

static void give(
	struct catalogd *c, struct ipc_call *call, uint64_t size, uint64_t offset, struct str bytes)
{
	struct snapshot_write m = {
		.index = INDEX, .term = TERM, .size = size, .offset = offset, .bytes = bytes
	};

	*call = (struct ipc_call) { .answered = false };
	handle_snapshot_write(c, call, &m);
}

/* What it wants next; UINT64_MAX: it has all of it in place. */
static uint64_t wanted(struct ipc_call *call)
{
	struct snapshot_write_reply reply;

	ck_assert(call->answered);
	ck_assert_int_eq(call->status, 0);
	ck_assert_int_eq(snapshot_write_reply_decode(buf_str(&call->payload), NULL, &reply), 0);
	buf_fini(&call->payload);
	return reply.installed ? UINT64_MAX : reply.wanted;
}

/* All of it, in pieces. */
static void stream_read(struct catalogd *c, struct buf *out)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct snapshot_read_reply reply;

	do {
		ck_assert_int_eq(ask(c, out->n ? INDEX : 0, out->n, &arena, &reply), 0);
		ck_assert_uint_eq(reply.index, INDEX);
		ck_assert_uint_eq(reply.term, TERM);
		ck_assert(reply.bytes.n);
		buf_put_str(out, reply.bytes);
	} while (out->n < reply.size);
	ck_assert_uint_eq(out->n, reply.size);
}

/* -------- tests -------- */

TEST(from_one_to_the_other)
{
	OWN_EMBEDDED(buf_fini) struct buf stream = { 0 };
	struct catalogd from, to;
	struct ipc_call call;
	uint64_t index = 0, term, at = 0;

	server_init(&from);
	snapshot_make(&from, INDEX);
	stream_read(&from, &stream);
	server_init(&to);
	for (; at < stream.n - PIECE; at = wanted(&call)) {
		give(&to, &call, stream.n, at, str_n(stream.p + at, PIECE));
	}
	/* Bytes from anywhere else are not taken, and a question tells where it is. */
	give(&to, &call, stream.n, at + 1, STR("x"));
	ck_assert_uint_eq(wanted(&call), at);
	give(&to, &call, stream.n, 0, STR("x"));
	ck_assert_uint_eq(wanted(&call), at);
	/* The last piece is answered when all of it was checked; so is who asks meanwhile. */
	give(&to, &call, stream.n, at, str_n(stream.p + at, stream.n - at));
	ck_assert(!call.answered);
	ck_assert(!stores_snapshot_find(&to.stores, &index, &term));
	work(&to);
	ck_assert_uint_eq(wanted(&call), UINT64_MAX);
	index = 0;
	ck_assert(stores_snapshot_find(&to.stores, &index, &term));
	ck_assert_uint_eq(index, INDEX);
	ck_assert_uint_eq(term, TERM);
	/* Again, or an older one: it is here. */
	give(&to, &call, stream.n, 0, STR(""));
	ck_assert_uint_eq(wanted(&call), UINT64_MAX);
	buf_clear(&stream);
	stream_read(&to, &stream);
	server_fini(&from);
	server_fini(&to);
}
END_TEST

TEST(a_restart_goes_on)
{
	OWN_EMBEDDED(buf_fini) struct buf stream = { 0 };
	struct catalogd from, to;
	struct ipc_call call;

	server_init(&from);
	snapshot_make(&from, INDEX);
	stream_read(&from, &stream);
	server_fini(&from);
	server_init(&to);
	give(&to, &call, stream.n, 0, str_n(stream.p, PIECE));
	ck_assert_uint_eq(wanted(&call), PIECE);
	snapshot_transfers_fini(&to); /* another process */
	to.transfers = (struct transfers) { { 0 } };
	snapshot_transfers_init(&to);
	give(&to, &call, stream.n, 0, STR(""));
	ck_assert_uint_eq(wanted(&call), PIECE);
	give(&to, &call, stream.n, PIECE, str_n(stream.p + PIECE, stream.n - PIECE));
	ck_assert(!call.answered);
	work(&to);
	ck_assert_uint_eq(wanted(&call), UINT64_MAX);
	server_fini(&to);
}
END_TEST

/* What does not check, or does not open, is thrown away, and can come again. */
TEST(what_is_not_believed)
{
	OWN_EMBEDDED(buf_fini) struct buf stream = { 0 };
	struct catalogd from, to;
	struct ipc_call call;
	uint64_t index = 0, term;

	server_init(&from);
	snapshot_make(&from, INDEX);
	stream_read(&from, &stream);
	server_fini(&from);
	server_init(&to);
	for (int damage = 0; damage < 2; damage++) {
		world.identity = damage == 1 ? ST_CORRUPT : 0;
		stream.p[1000] ^= damage == 0;
		give(&to, &call, stream.n, 0, buf_str(&stream));
		stream.p[1000] ^= damage == 0;
		ck_assert(!call.answered);
		work(&to);
		ck_assert(call.answered);
		ck_assert_int_eq(call.status, ST_CORRUPT);
		ck_assert(!stores_snapshot_find(&to.stores, &index, &term));
	}
	world.identity = 0;
	give(&to, &call, stream.n, 0, STR(""));
	ck_assert_uint_eq(wanted(&call), 0);
	give(&to, &call, stream.n, 0, buf_str(&stream));
	work(&to);
	ck_assert_uint_eq(wanted(&call), UINT64_MAX);
	server_fini(&to);
}
END_TEST

TEST(another_one_takes_its_place)
{
	struct catalogd c;
	struct ipc_call call, second;
	char path[PATH_MAX];

	server_init(&c);
	give(&c, &call, 100, 0, STR("0123456789"));
	ck_assert_uint_eq(wanted(&call), 10);
	/* more than there can be: nothing of it is kept */
	give(&c, &call, 5, 0, STR(""));
	ck_assert_uint_eq(wanted(&call), 0);
	give(&c, &call, 100, 0, STR(""));
	ck_assert_uint_eq(wanted(&call), 0);
	give(&c, &call, 0, 0, STR("x"));
	ck_assert_int_eq(call.status, ST_INVALID);
	/* While one is being checked, another has to wait, and the same is answered with it. */
	give(&c, &call, 3, 0, STR("abc"));
	ck_assert(!call.answered);
	give(&c, &second, 4, 0, STR("abcd"));
	ck_assert_int_eq(second.status, ST_FULL);
	give(&c, &second, 3, 3, STR(""));
	ck_assert(!second.answered);
	work(&c);
	ck_assert_int_eq(call.status, ST_CORRUPT);
	ck_assert_int_eq(second.status, ST_CORRUPT);
	stores_path(&c.stores, path, "snapshots/incoming-%d-%d", INDEX, TERM);
	ck_assert_int_ne(access(path, F_OK), 0);
	server_fini(&c);
}
END_TEST

/* It takes only part of a piece: nothing of the snapshot stays in its way. */
TEST(a_disk_without_room)
{
	struct rlimit before, room;
	struct catalogd c;
	struct ipc_call call;
	char path[PATH_MAX];

	server_init(&c);
	give(&c, &call, 100, 0, STR("0123456789"));
	ck_assert_uint_eq(wanted(&call), 10);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	room = (struct rlimit) { 15, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
	give(&c, &call, 100, 10, STR("0123456789"));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	ck_assert_int_eq(call.status, ST_STORAGE);
	stores_path(&c.stores, path, "snapshots/incoming-%d-%d", INDEX, TERM);
	ck_assert_int_ne(access(path, F_OK), 0);
	give(&c, &call, 100, 0, STR(""));
	ck_assert_uint_eq(wanted(&call), 0);
	server_fini(&c);
}
END_TEST

TEST(reading)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct snapshot_read_reply reply;
	struct snapshot_read m = { 0, 0, PIECE };
	struct ipc_call call = { .answered = false };
	struct catalogd c;
	char path[PATH_MAX];

	server_init(&c);
	/* There is none yet: one is taken for whoever asks for the newest. */
	ck_assert_int_eq(ask(&c, INDEX, 0, &arena, &reply), ST_NOT_FOUND);
	handle_snapshot_read(&c, &call, &m);
	ck_assert(!call.answered);
	ck_assert_uint_eq(world.snapshots, 1);
	snapshot_make(&c, INDEX);
	transfers_snapshot_done(&c);
	ck_assert(call.answered && call.status == 0);
	buf_fini(&call.payload);
	/* the end, and behind it */
	ck_assert_int_eq(ask(&c, INDEX, 0, &arena, &reply), 0);
	ck_assert_int_eq(ask(&c, INDEX, reply.size + 1, &arena, &reply), ST_INVALID);
	ck_assert_int_eq(ask(&c, INDEX, reply.size, &arena, &reply), 0);
	ck_assert_uint_eq(reply.bytes.n, 0);
	/* Across the two files. */
	ck_assert_int_eq(ask(&c, INDEX, DATA_SIZE - 1, &arena, &reply), 0);
	ck_assert_uint_eq(reply.bytes.n, reply.size - DATA_SIZE + 1);
	/* What is being sent outlives its removal; a newer one is what the next asks for. */
	snapshot_make(&c, INDEX + 1);
	stores_path(&c.stores, path, "snapshots/%d-%d", INDEX, TERM);
	stores_remove(path);
	ck_assert_int_eq(ask(&c, INDEX, DATA_SIZE - 1, &arena, &reply), 0);
	ck_assert_uint_eq(reply.index, INDEX);
	ck_assert_uint_eq(reply.bytes.n, reply.size - DATA_SIZE + 1);
	ck_assert_int_eq(ask(&c, 0, 0, &arena, &reply), 0);
	ck_assert_uint_eq(reply.index, INDEX + 1);
	ck_assert_int_eq(ask(&c, INDEX, 0, &arena, &reply), ST_NOT_FOUND);
	server_fini(&c);
}
END_TEST

/* One of its files is missing: it is refused each time, and nothing of it stays open. */
TEST(half_a_snapshot)
{
	static const char *const names[] = { "data.mdb", "sums" };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct snapshot_read_reply reply;
	struct catalogd c;
	char path[PATH_MAX];
	int before, after;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		server_init(&c);
		snapshot_make(&c, INDEX);
		stores_path(&c.stores, path, "snapshots/%d-%d/%s", INDEX, TERM, names[i]);
		ck_assert_int_eq(unlink(path), 0);
		before = dup(0);
		ck_assert_int_eq(ask(&c, INDEX, 0, &arena, &reply), ST_NOT_FOUND);
		after = dup(0);
		ck_assert_int_eq(after, before + 1);
		close(before);
		close(after);
		server_fini(&c);
	}
}
END_TEST

UNIT_MAIN("catalog_transfer", from_one_to_the_other, a_restart_goes_on, what_is_not_believed,
	another_one_takes_its_place, a_disk_without_room, reading, half_a_snapshot)
