/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sys/archive: what is written is read again, everything else is refused with the texts that
 * Consul has.
 */
#include <stdio.h>
#include <unistd.h>

#include "common/sys/archive.h"
#include "tests/unit/unit.h"

static int temporary(struct str content)
{
	FILE *f = tmpfile();
	int fd;

	ck_assert_ptr_nonnull(f);
	fd = dup(fileno(f));
	fclose(f);
	ck_assert_int_eq(write(fd, content.p, content.n), (ssize_t)content.n);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static struct str content_of(int fd, struct buf *out)
{
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	buf_clear(out);
	while ((n = read(fd, buf_reserve(out, 4096), 4096)) > 0) {
		out->n += (size_t)n;
	}
	return buf_str(out);
}

static void archive_of(struct str meta, struct str state, struct buf *out)
{
	OWN_FD int fd = temporary(STR(""));
	OWN_FD int state_fd = temporary(state);
	const struct archive_member members[] = { { "meta.json", meta, -1 },
		{ "state.bin", STR_NONE, state_fd } };

	ck_assert_int_eq(archive_write(fd, members, ARRAY_SIZE(members)), 0);
	content_of(fd, out);
}

static int meta_check(struct str bytes, struct buf *why)
{
	if (str_eq(bytes, STR("bad"))) {
		buf_put_lit(why, "bad meta");
		return ST_INVALID;
	}
	return 0;
}

/* Returns what state.bin held; the text of the refusal is compared. */
static void read_it(struct str archive, const char *expected, struct buf *state)
{
	OWN_EMBEDDED(buf_fini) struct buf meta = { 0 }, why = { 0 };
	OWN_FD int fd = temporary(archive);
	OWN_FD int state_fd = temporary(STR(""));
	const struct archive_slot slots[] = {
		{ "meta.json", "snapshot metadata", -1, &meta, 100, meta_check },
		{ "state.bin", "or write snapshot data", state_fd, NULL, 1 << 20, NULL },
	};

	ck_assert_int_eq(
		archive_read(fd, slots, ARRAY_SIZE(slots), &why), *expected ? ST_INVALID : 0);
	ck_buf_is(&why, expected);
	content_of(state_fd, state);
}

TEST(test_round_trip)
{
	OWN_EMBEDDED(buf_fini) struct buf archive = { 0 }, large = { 0 }, state = { 0 };

	for (uint32_t i = 0; i < 50000; i++) {
		buf_put_u32(&large, i * 2654435761u);
	}
	archive_of(STR("{}"), buf_str(&large), &archive);
	read_it(buf_str(&archive), "", &state);
	ck_assert(str_eq(buf_str(&state), buf_str(&large)));
	archive_of(STR(""), STR(""), &archive);
	read_it(buf_str(&archive), "", &state);
}
END_TEST

TEST(test_refusals)
{
	OWN_EMBEDDED(buf_fini) struct buf archive = { 0 }, state = { 0 }, more = { 0 };

	read_it(STR(""), "failed to decompress snapshot: EOF", &state);
	read_it(STR("garbage"), "failed to decompress snapshot: unexpected EOF", &state);
	read_it(STR("garbage garbage"), "failed to decompress snapshot: gzip: invalid header",
		&state);
	archive_of(STR("bad"), STR("x"), &archive);
	read_it(buf_str(&archive), "failed to read snapshot file: bad meta", &state);
	archive_of(STR("{}"), STR("state"), &archive);
	buf_put_str(&more, buf_str(&archive));
	buf_put_lit(&more, "xxxx");
	read_it(buf_str(&more), "gzip: invalid header", &state);
}
END_TEST

/* Each may be as large as its limit, but not as often as somebody likes. */
TEST(test_each_file_once)
{
	OWN_EMBEDDED(buf_fini) struct buf archive = { 0 }, state = { 0 };
	OWN_FD int fd = temporary(STR(""));
	OWN_FD int state_fd = temporary(STR("state"));
	const struct archive_member members[] = { { "meta.json", STR("{}"), -1 },
		{ "state.bin", STR_NONE, state_fd }, { "meta.json", STR("{}"), -1 } };

	ck_assert_int_eq(archive_write(fd, members, ARRAY_SIZE(members)), 0);
	content_of(fd, &archive);
	read_it(buf_str(&archive),
		"failed to read snapshot file: unexpected file \"meta.json\" in snapshot", &state);
}
END_TEST

/* Wherever it is cut or one bit is wrong: refused, or the same content; never believed, never a
 * crash. */
TEST(test_damage)
{
	OWN_EMBEDDED(buf_fini) struct buf archive = { 0 }, state = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf meta = { 0 }, why = { 0 };

	archive_of(STR("{}"), STR("state"), &archive);
	for (size_t at = 10; at < archive.n; at++) {
		OWN_FD int state_fd = temporary(STR(""));
		const struct archive_slot slots[] = {
			{ "meta.json", "snapshot metadata", -1, &meta, 100, meta_check },
			{ "state.bin", "or write snapshot data", state_fd, NULL, 1 << 20, NULL },
		};
		OWN_FD int cut = temporary(str_cut(buf_str(&archive), at));
		OWN_FD int wrong = -1;

		buf_clear(&meta);
		ck_assert_int_eq(archive_read(cut, slots, ARRAY_SIZE(slots), &why), ST_INVALID);
		archive.p[at] ^= 0x10;
		wrong = temporary(buf_str(&archive));
		archive.p[at] ^= 0x10;
		buf_clear(&meta);
		if (archive_read(wrong, slots, ARRAY_SIZE(slots), &why) != ST_INVALID) {
			/* A match of zeros at another distance is the same content. */
			ck_assert(str_ends(content_of(state_fd, &state), STR("state")));
			ck_buf_is(&meta, "{}");
		}
	}
}
END_TEST

UNIT_MAIN("archive", test_round_trip, test_refusals, test_each_file_once, test_damage)
