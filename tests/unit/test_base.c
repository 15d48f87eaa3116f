/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/base: strings, durations, encodings, containers.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>

#include "common/base/cidr.h"
#include "common/base/cursor.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/process.h"
#include "common/base/rng.h"
#include "common/base/time.h"

TEST(test_integers)
{
	uint64_t u;
	int64_t i;

	ck_assert_int_eq(str_to_u64(STR("18446744073709551615"), &u), 0);
	ck_assert_uint_eq(u, UINT64_MAX);
	ck_assert_int_eq(str_to_u64(STR("18446744073709551616"), &u), ST_TOO_LARGE);
	ck_assert_int_eq(str_to_u64(STR("-1"), &u), ST_INVALID);
	ck_assert_int_eq(str_to_u64(STR(""), &u), ST_INVALID);
	ck_assert_int_eq(str_to_i64(STR("-9223372036854775808"), &i), 0);
	ck_assert_int_eq(i, INT64_MIN);
	ck_assert_int_eq(str_to_i64(STR("9223372036854775808"), &i), ST_TOO_LARGE);
}
END_TEST

TEST(test_durations)
{
	static const struct {
		const char *text;
		int64_t ns;
		const char *shown;
	} good[] = {
		{ "0", 0, "0s" },
		{ "1h30m", 5400 * NS_PER_S, "1h30m0s" },
		{ "1.5s", 1500 * NS_PER_MS, "1.5s" },
		{ "200ms", 200 * NS_PER_MS, "200ms" },
		{ "-2us", -2000, "-2\xc2\xb5s" },
		{ "24h", 86400 * NS_PER_S, "24h0m0s" },
		{ "1.000000001s", 1000000001, "1.000000001s" },
	};
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "time: invalid duration \"\"" },
		{ "x", "time: invalid duration \"x\"" },
		{ "5", "time: missing unit in duration \"5\"" },
		{ "5x", "time: unknown unit \"x\" in duration \"5x\"" },
		{ "9999999999h", "time: invalid duration \"9999999999h\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		OWN_EMBEDDED(buf_fini) struct buf shown = { 0 };
		int64_t ns;

		ck_assert_int_eq(duration_parse(str_of(good[i].text), &ns, NULL), 0);
		ck_assert_int_eq(ns, good[i].ns);
		duration_render(&shown, ns);
		ck_buf_is(&shown, good[i].shown);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		int64_t ns;

		ck_assert_int_eq(duration_parse(str_of(bad[i].text), &ns, &why), ST_INVALID);
		ck_buf_is(&why, bad[i].why);
	}
}
END_TEST

TEST(test_instants)
{
	const struct mono now = { 1000000000000000LL };
	static const int64_t long_ns =
		2562047LL * 3600 * NS_PER_S; /* the longest that Go can say */

	ck_assert_int_eq(mono_add_ms(now, 5).ns, now.ns + 5000000);
	ck_assert_int_eq(mono_add_ms(now, -5).ns, now.ns - 5000000);
	ck_assert_int_eq(mono_add_ns(now, 5).ns, now.ns + 5);
	ck_assert(mono_before(now, mono_add_ns(now, long_ns)));
	ck_assert(mono_before(now, mono_add_ms(now, long_ns / NS_PER_MS)));
	ck_assert(mono_before(now, mono_add_ms(now, INT64_MAX)));
	ck_assert_int_eq(mono_add_ms(MONO_NEVER, -5).ns, MONO_NEVER.ns);
}
END_TEST

TEST(test_base64)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" } };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf back = { 0 };

		base64_render(&text, pairs[i][0], strlen(pairs[i][0]));
		ck_buf_is(&text, pairs[i][1]);
		ck_assert_int_eq(base64_parse(buf_str(&text), &back, NULL), 0);
		ck_buf_is(&back, pairs[i][0]);
	}
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

	ck_assert_int_eq(base64_parse(STR("Zm9v\r\nYg=\n=\n"), &out, NULL), 0);
	ck_buf_is(&out, "foob");
	buf_clear(&out);
	ck_assert_int_eq(base64_parse(STR("\n"), &out, NULL), 0);
	ck_assert_uint_eq(out.n, 0);
}
END_TEST

TEST(test_base64_refused)
{
	static const struct {
		const char *text;
		size_t bad_at; /* as Go tells it */
	} cases[] = {
		{ "Zm9*", 3 },
		{ "Zm 9", 2 },
		{ "Zm9", 0 },
		{ "Zm9vY", 4 },
		{ "Zm9v\nYg", 5 },
		{ "=", 0 },
		{ "Z=", 1 },
		{ "Zg=", 3 },
		{ "Zg=x", 2 },
		{ "Zg===", 4 },
		{ "Zg==Zg==", 4 },
		{ "Zm8=\nZ", 5 },
		{ "Zm9v====", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
		size_t bad_at = 99;

		ck_assert_int_eq(base64_parse(str_of(cases[i].text), &out, &bad_at), ST_INVALID);
		ck_assert_msg(bad_at == cases[i].bad_at, "%s: %zu", cases[i].text, bad_at);
	}
}
END_TEST

TEST(test_uuid)
{
	struct uuid u;
	char text[UUID_TEXT_SIZE + 1];

	ck_assert_int_eq(uuid_parse(STR("01234567-89ab-cdef-0123-456789abcdef"), &u), 0);
	uuid_text(&u, text);
	ck_assert_str_eq(text, "01234567-89ab-cdef-0123-456789abcdef");
	ck_assert_int_eq(uuid_parse(STR("0123456789ab-cdef-0123-456789abcdef--"), &u), ST_INVALID);
}
END_TEST

TEST(test_crc32c_known_vector)
{
	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u); /* RFC 3720 B.4's check value */
}
END_TEST

struct thing {
	struct map_node node;
	char name[16];
};

TEST(test_map)
{
	struct thing things[1000], *item, *following;
	struct map m;
	size_t seen = 0;

	map_init(&m, 7);
	for (size_t i = 0; i < ARRAY_SIZE(things); i++) {
		snprintf(things[i].name, sizeof(things[i].name), "t%zu", i);
		map_add(&m, &things[i].node, str_of(things[i].name));
	}
	for (size_t i = 0; i < ARRAY_SIZE(things); i += 2) {
		map_del(&m, &things[i].node);
	}
	ck_assert_uint_eq(m.count, 500);
	ck_assert_ptr_null(map_find(&m, STR("t4"), struct thing, node));
	ck_assert_ptr_eq(map_find(&m, STR("t5"), struct thing, node), &things[5]);
	map_for_each(item, following, &m, node)
	{
		ck_assert_ptr_eq(item, &things[2 * seen + 1]);
		seen++;
	}
	ck_assert_uint_eq(seen, 500);
	map_fini(&m);
}
END_TEST

TEST(test_cursor_is_sticky)
{
	struct cursor c = cursor_of(str_n("\x01\x00\x02", 3));

	ck_assert_uint_eq(cursor_u16(&c), 1);
	ck_assert_uint_eq(cursor_u32(&c), 0);
	ck_assert_uint_eq(cursor_u8(&c), 0);
	ck_assert_int_eq(cursor_done(&c), ST_TRUNCATED);
}
END_TEST

TEST(test_utf8)
{
	ck_assert(utf8_valid(STR("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
	ck_assert(!utf8_valid(STR("\xc0\x80")));
	ck_assert(!utf8_valid(STR("\xed\xa0\x80")));
	ck_assert(!utf8_valid(STR("\xe2\x82")));
}
END_TEST

TEST(test_urls_and_keys)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

	url_escape(&out, STR("a-._~Z9/ %?\xc3\xa9"), false);
	ck_buf_is(&out, "a-._~Z9%2F%20%25%3F%C3%A9");
	buf_clear(&out);
	url_escape(&out, STR("a/b c"), true);
	ck_buf_is(&out, "a/b%20c");
	buf_clear(&out);
	path_join(&out, STR("//a///b/"));
	path_join(&out, STR(""));
	path_join(&out, STR("/c"));
	ck_buf_is(&out, "a/b/c");
}
END_TEST

/* As Go words them. */
TEST(test_ends_of_programs)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = { { 0, "" }, { 3 << 8, "exit status 3" }, { 9, "signal: killed" },
		{ 15, "signal: terminated" },
		{ 11 | 0x80, "signal: segmentation fault (core dumped)" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

		process_render_end(&out, rows[i].status);
		ck_buf_is(&out, rows[i].text);
	}
}
END_TEST

TEST(test_cidr)
{
	static const struct {
		const char *network, *address; /* NULL: no network */
		bool has;
	} rows[] = { { "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false },
		{ "10.0.0.7/32", "10.0.0.7", true }, { "10.0.0.7/32", "10.0.0.6", false },
		{ "10.0.0.128/25", "10.0.0.129", true }, { "10.0.0.128/25", "10.0.0.1", false },
		{ "1.2.3.4/0", "200.0.0.1", true }, { "fd00::/7", "fc00::1", true },
		{ "fd00::1/127", "fd00::2", false }, { "::/0", "10.0.0.1", false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true }, { "::/0", "::ffff:10.1.2.3", false },
		{ "10.0.0.0", NULL, false }, { "10.0.0.0/33", NULL, false },
		{ "10.0.0/8", NULL, false }, { "/8", NULL, false }, { "10.0.0.0/", NULL, false },
		{ "10.0.0.0/8/8", NULL, false }, { "fd00::/129", NULL, false },
		{ "x", NULL, false }, { "", NULL, false } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t bytes[16];
		struct cidr c;
		int r = cidr_parse(str_of(rows[i].network), &c);

		ck_assert_msg(!r == (rows[i].address != NULL), "%s", rows[i].network);
		if (rows[i].address) {
			bool v6 = strchr(rows[i].address, ':');

			ck_assert_int_eq(
				inet_pton(v6 ? AF_INET6 : AF_INET, rows[i].address, bytes), 1);
			ck_assert_msg(cidr_has(&c, bytes, v6 ? 16 : 4) == rows[i].has, "%s in %s",
				rows[i].address, rows[i].network);
		}
	}
}
END_TEST

UNIT_MAIN("base", test_integers, test_durations, test_instants, test_base64, test_base64_refused,
	test_uuid, test_crc32c_known_vector, test_map, test_cursor_is_sticky, test_utf8,
	test_urls_and_keys, test_ends_of_programs, test_cidr)
