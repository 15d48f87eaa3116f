/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/base/json and bind: Go's texts, Go's bytes.
 */
#include "tests/unit/unit.h"

#include "common/base/bind.h"
#include "common/base/json.h"

TEST(test_errors_in_go_words)
{
	static const char *const cases[][2] = {
		{ "", "EOF" },
		{ "{", "unexpected EOF" },
		{ "{\"a\":", "unexpected EOF" },
		{ "nope", "invalid character 'o' in literal null (expecting 'u')" },
		{ "x", "invalid character 'x' looking for beginning of value" },
		{ "{\"a\" 1}", "invalid character '1' after object key" },
		{ "[1 2]", "invalid character '2' after array element" },
		{ "{1}", "invalid character '1' looking for beginning of object key string" },
		{ "1 2", "invalid character '2' after top-level value" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		struct json *v;

		ck_assert_int_eq(json_parse(&arena, str_of(cases[i][0]), &v, &why), ST_INVALID);
		ck_buf_is(&why, cases[i][1]);
	}
}
END_TEST

TEST(test_round_trip)
{
	static const char text[] =
		"{\"a\":[1,2.5,null,true],\"b\":{\"c\":\"x\\u003c\\u2028\\n\"},\"d\":[],\"e\":{}}";
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct json *v;

	ck_assert_int_eq(json_parse(&arena, str_of(text), &v, NULL), 0);
	json_render(&out, v);
	ck_buf_is(&out, text);
}
END_TEST

TEST(test_halves_of_surrogate_pairs)
{
	static const char text[] = "[\"\\ud800x\",\"\\udc00\",\"\\ud83d\\ude00\",\"\\\\ud800\","
				   "\"\\ud800\\ud83d\\ude00\"]";
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct json *v;

	ck_assert_int_eq(json_parse(&arena, str_of(text), &v, NULL), 0);
	json_render(&out, v);
	ck_buf_is(&out, "[\"\xef\xbf\xbdx\",\"\xef\xbf\xbd\",\"\xf0\x9f\x98\x80\",\"\\\\ud800\","
			"\"\xef\xbf\xbd\xf0\x9f\x98\x80\"]");
}
END_TEST

TEST(test_indent)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

	json_indent(&out, STR("{\"a\":[1,{}],\"b\":\"x,{\\\"\"}"), STR("    "));
	ck_buf_is(
		&out, "{\n    \"a\": [\n        1,\n        {}\n    ],\n    \"b\": \"x,{\\\"\"\n}");
}
END_TEST

TEST(test_doubles)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = { { 1.5, "1.5" }, { 0.1, "0.1" }, { 0.00001, "0.00001" }, { 1e-5, "0.00001" },
		{ 100000000, "100000000" } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
		struct jsonw w = jsonw_of(&out);

		jsonw_double(&w, cases[i].v);
		ck_buf_is(&out, cases[i].text);
	}
}
END_TEST

struct body {
	struct str name;
	int64_t port;
	int64_t ttl_ns;
	struct strs tags;
	struct pairs meta;
};

static const struct bind_field body_fields[] = {
	{ "Name", BIND_STR, offsetof(struct body, name), NULL, NULL },
	{ "Port", BIND_INT, offsetof(struct body, port), NULL, NULL },
	{ "TTL", BIND_DURATION, offsetof(struct body, ttl_ns), NULL, NULL },
	{ "Tags", BIND_STRS, offsetof(struct body, tags), NULL, NULL },
	{ "Meta", BIND_PAIRS, offsetof(struct body, meta), NULL, NULL },
};
static const struct bind_object body_object = {
	.go_name = "Body", .size = sizeof(struct body), BIND_FIELDS(body_fields)
};

static int bind_text(struct arena *arena, const char *text, struct body *out, struct buf *why)
{
	struct json *v;

	ck_assert_int_eq(json_parse(arena, str_of(text), &v, NULL), 0);
	return bind_object(&body_object, v, arena, out, why);
}

TEST(test_bind)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct body b = { .port = 7 };

	ck_assert_int_eq(bind_text(&arena,
				 "{\"name\":\"w\",\"TTL\":\"10s\",\"Tags\":[\"a\"],\"Meta\":{\"z\":"
				 "\"1\",\"a\":\"2\"},\"port\":null}",
				 &b, NULL),
		0);
	ck_str_is(b.name, "w");
	ck_assert_int_eq(b.port, 7);
	ck_assert_int_eq(b.ttl_ns, 10000000000LL);
	ck_assert_uint_eq(b.tags.count, 1);
	ck_str_is(b.meta.items[0].key, "a");
	ck_str_is(pairs_find(&b.meta, STR("z")), "1");
}
END_TEST

TEST(test_bind_errors)
{
	static const char *const cases[][2] = {
		{ "{\"Bogus\":1}", "json: unknown field \"Bogus\"" },
		{ "{\"Name\":1}", "json: cannot unmarshal number into Go struct field Body.Name of "
				  "type string" },
		{ "{\"Port\":\"x\"}", "json: cannot unmarshal string into Go struct field "
				      "Body.Port of type int" },
		{ "{\"TTL\":\"x\"}", "time: invalid duration \"x\"" },
		{ "[]", "json: cannot unmarshal array into Go value of type Body" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		struct body b = { 0 };

		ck_assert_int_eq(bind_text(&arena, cases[i][0], &b, &why), ST_INVALID);
		ck_buf_is(&why, cases[i][1]);
	}
}
END_TEST

UNIT_MAIN("json", test_errors_in_go_words, test_round_trip, test_halves_of_surrogate_pairs,
	test_indent, test_doubles, test_bind, test_bind_errors)
