/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/sums: what arrives is what was taken, or it is noticed.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogd/sums.h"

enum { DATA_SIZE = (256 << 10) * 2 + 12345 };

struct place {
	char directory[64];
	char path[96];
};

static const char *file(struct place *p, const char *name)
{
	snprintf(p->path, sizeof(p->path), "%s/%s", p->directory, name);
	return p->path;
}

static void put(struct place *p, const char *name, struct str bytes)
{
	int fd = open(file(p, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes.p, bytes.n), bytes.n);
	close(fd);
}

static void get(struct place *p, const char *name, struct buf *out)
{
	int fd = open(file(p, name), O_RDONLY);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(
		read(fd, buf_reserve(out, (size_t)st.st_size), (size_t)st.st_size), st.st_size);
	out->n += (size_t)st.st_size;
	close(fd);
}

static void place_init(struct place *p)
{
	snprintf(p->directory, sizeof(p->directory), "/tmp/muster-sums-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->directory));
}

static void place_fini(struct place *p)
{
	static const char *const names[] = { "data.mdb", "sums", "stream" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		unlink(file(p, names[i]));
	}
	rmdir(p->directory);
}

/* data.mdb, and in *stream what is sent of it. */
static void snapshot_make(struct place *p, size_t size, struct buf *stream)
{
	for (size_t i = 0; i < size; i++) {
		buf_put_u8(stream, (uint8_t)(i * 31 + i / 1000));
	}
	put(p, "data.mdb", buf_str(stream));
	ck_assert_int_eq(sums_check(p->directory, 7, 2), ST_NOT_FOUND);
	ck_assert_int_eq(sums_write(p->directory, 7, 2), 0);
	get(p, "sums", stream);
}

TEST(test_round_trip)
{
	static const size_t sizes[] = { 0, 1, 256 << 10, DATA_SIZE };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		OWN_EMBEDDED(buf_fini) struct buf stream = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf back = { 0 };
		struct place from, to;

		place_init(&from);
		place_init(&to);
		snapshot_make(&from, sizes[i], &stream);
		ck_assert_int_eq(sums_check(from.directory, 7, 2), 0);
		put(&to, "stream", buf_str(&stream));
		ck_assert_int_eq(sums_unpack(to.directory), 0);
		ck_assert_int_eq(sums_check(to.directory, 7, 2), 0);
		ck_assert_int_eq(sums_check(to.directory, 8, 2), ST_CORRUPT);
		ck_assert_int_eq(sums_check(to.directory, 7, 3), ST_CORRUPT);
		get(&to, "data.mdb", &back);
		ck_assert(str_eq(buf_str(&back), str_cut(buf_str(&stream), sizes[i])));
		place_fini(&from);
		place_fini(&to);
	}
}
END_TEST

/* Any byte that differs, anything missing or more. */
TEST(test_damage_is_noticed)
{
	OWN_EMBEDDED(buf_fini) struct buf stream = { 0 };
	struct place from, to;

	place_init(&from);
	place_init(&to);
	snapshot_make(&from, DATA_SIZE, &stream);
	for (size_t at = 0; at < stream.n; at += at < DATA_SIZE - 10 ? 9973 : 1) {
		int r;

		stream.p[at] ^= 0x10;
		put(&to, "stream", buf_str(&stream));
		r = sums_unpack(to.directory);
		r = r ? r : sums_check(to.directory, 7, 2);
		ck_assert_int_eq(r, ST_CORRUPT);
		stream.p[at] ^= 0x10;
	}
	for (size_t cut = 0; cut < 200; cut += 7) {
		put(&to, "stream", str_cut(buf_str(&stream), stream.n - 1 - cut));
		ck_assert_int_eq(sums_unpack(to.directory), ST_CORRUPT);
	}
	buf_put_u8(&stream, 0);
	put(&to, "stream", buf_str(&stream));
	ck_assert_int_eq(sums_unpack(to.directory), ST_CORRUPT);
	place_fini(&from);
	place_fini(&to);
}
END_TEST

UNIT_MAIN("sums", test_round_trip, test_damage_is_noticed)
