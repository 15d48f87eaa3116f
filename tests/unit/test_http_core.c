/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd/core: requests, paths, routes, answers, and who is woken by what.
 */
#include "httpd/core/answer.h"
#include "httpd/core/parser.h"
#include "httpd/core/route.h"
#include "httpd/core/uri.h"
#include "httpd/core/wait.h"
#include "tests/unit/unit.h"

static int parse(struct arena *arena, const char *head, struct request *out, struct str *why)
{
	return request_parse(str_of(head), arena, out, why);
}

TEST(request_line)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct request r;
	struct str why, value;
	uint32_t at = 0;

	ck_assert_int_eq(parse(&arena,
				 "PUT /v1/kv/a%2Fb%20c?flags=5&tag=x&raw&tag=y+z;cas= "
				 "HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n",
				 &r, &why),
		0);
	ck_assert_int_eq(r.method, METHOD_PUT);
	ck_str_is(r.path, "/v1/kv/a/b c");
	ck_str_is(request_param(&r, "flags"), "5");
	ck_assert(request_has(&r, "raw") && request_has(&r, "cas") && !request_has(&r, "Raw"));
	ck_assert(request_param_next(&r, "tag", &at, &value));
	ck_str_is(value, "x");
	ck_assert(request_param_next(&r, "tag", &at, &value));
	ck_str_is(value, "y z");
	ck_assert(!request_param_next(&r, "tag", &at, &value));
	ck_assert_int_eq(r.content_length, 12);
	ck_assert(r.keep_alive && !r.chunked && !r.params_malformed);
}
END_TEST

TEST(request_refused)
{
	static const struct {
		const char *head, *why;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "missing required Host header" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "too many Host headers" },
		{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "unsupported protocol version" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n", "invalid header name" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n", "folded header" },
		{ "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "" },
		{ "GET v1 HTTP/1.1\r\nHost: a\r\n\r\n", "" },
		{ "GARBAGE\r\n\r\n", "" },
		{ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "" },
		{ "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", "" },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "" },
		{ "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n",
			"" },
	};
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct request r;
	struct str why;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_int_eq(parse(&arena, rows[i].head, &r, &why), ST_INVALID);
		ck_str_is(why, rows[i].why);
	}
}
END_TEST

TEST(request_unknown_method)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct request r;
	struct str why;

	ck_assert_int_eq(parse(&arena, "FOO /a?x=%zz HTTP/1.1\r\nHost: h\r\n\r\n", &r, &why), 0);
	ck_assert_int_eq(r.method, METHOD_OTHER);
	ck_str_is(r.method_text, "FOO");
	ck_str_is(r.path, "/a");
	ck_assert(r.params_malformed);
}
END_TEST

TEST(request_limits)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf head = { 0 };
	struct request r;
	struct str why;

	buf_put_cstr(&head, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < REQUEST_HEADERS_MAX; i++) {
		buf_put_cstr(&head, "A: b\r\n");
	}
	buf_put_cstr(&head, "\r\n");
	ck_assert_int_eq(request_parse(buf_str(&head), &arena, &r, &why), ST_TOO_LARGE);
	buf_clear(&head);
	buf_put_cstr(&head, "GET /?");
	for (int i = 0; i < REQUEST_PARAMS_MAX; i++) {
		buf_put_cstr(&head, "a&");
	}
	buf_put_cstr(&head, " HTTP/1.1\r\nHost: h\r\n\r\n");
	ck_assert_int_eq(request_parse(buf_str(&head), &arena, &r, &why), ST_TOO_LARGE);
}
END_TEST

TEST(request_lengths)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct request r;
	struct str why;

	/* more than fits is still a body, and not none */
	ck_assert_int_eq(
		parse(&arena,
			"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551600\r\n\r\n",
			&r, &why),
		0);
	ck_assert_int_eq(r.content_length, INT64_MAX);
	ck_assert_int_eq(parse(&arena, "PUT / HTTP/1.1\r\nHost: h\r\n\r\n", &r, &why), 0);
	ck_assert_int_eq(r.content_length, -1);
}
END_TEST

TEST(request_tokens)
{
	static const struct {
		const char *lines, *token;
	} rows[] = {
		{ "GET /?token=q HTTP/1.1\r\nHost: h\r\nX-Consul-Token: x\r\n\r\n", "q" },
		{ "GET /?token= HTTP/1.1\r\nHost: h\r\nx-consul-token: x\r\n\r\n", "x" },
		{ "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: bearer b c\r\n\r\n", "b" },
		{ "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic b\r\n\r\n", "" },
		{ "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "" },
	};
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct request r;
	struct str why;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_int_eq(parse(&arena, rows[i].lines, &r, &why), 0);
		ck_str_is(request_token(&r), rows[i].token);
	}
}
END_TEST

TEST(request_gzip)
{
	static const struct {
		const char *header;
		bool accepted;
	} rows[] = {
		{ "gzip", true },
		{ "deflate, GZIP;q=0.5", true },
		{ "gzip;q=0", false },
		{ "gzip; q=0.000", false },
		{ "identity", false },
		{ "", false },
		{ "gzip;q=1, *;q=0", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct header h = { STR("accept-encoding"), str_of(rows[i].header) };
		struct request r = { .headers = &h, .headers_count = 1 };

		ck_assert_msg(request_accepts_gzip(&r) == rows[i].accepted, "%s", rows[i].header);
	}
}
END_TEST

TEST(head_end)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\nrest";
	size_t scanned = 0, whole = sizeof(text) - 1 - 4;

	/* byte by byte, as a slow client sends it */
	for (size_t n = 1; n < whole; n++) {
		ck_assert_uint_eq(parser_head_end(str_n(text, n), &scanned), 0);
	}
	ck_assert_uint_eq(parser_head_end(str_n(text, whole), &scanned), whole);
	scanned = 0;
	ck_assert_uint_eq(parser_head_end(str_of(text), &scanned), whole);
	scanned = 0;
	ck_assert_uint_eq(parser_head_end(STR("GET / HTTP/1.1\nHost: h\n\nx"), &scanned), 24);
}
END_TEST

TEST(chunked_bodies)
{
	static const char text[] = "3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nTrailer: t\r\n\r\nNEXT";
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	size_t used, at = 0, whole = sizeof(text) - 1 - 4;
	struct parser_chunks c;
	bool done = false;

	parser_chunks_init(&c);
	ck_assert_int_eq(parser_chunks_feed(&c, str_of(text), &out, &used, &done), 0);
	ck_assert(done);
	ck_assert_uint_eq(used, whole);
	ck_buf_is(&out, "abcdefgh");
	buf_clear(&out);
	parser_chunks_init(&c);
	while (at < whole) {
		done = false;
		ck_assert_int_eq(
			parser_chunks_feed(&c, str_n(text + at, 1), &out, &used, &done), 0);
		ck_assert_uint_eq(used, 1);
		at++;
		ck_assert(done == (at == whole));
	}
	ck_buf_is(&out, "abcdefgh");
	parser_chunks_init(&c);
	ck_assert_int_eq(parser_chunks_feed(&c, STR("zz\r\n"), &out, &used, &done), ST_INVALID);
}
END_TEST

TEST(paths_cleaned)
{
	static const char *const rows[][2] = {
		{ "/v1/kv/a", "/v1/kv/a" },
		{ "/v1//kv/a", "/v1/kv/a" },
		{ "/v1/kv//", "/v1/kv/" },
		{ "/a/./b", "/a/b" },
		{ "/a/../b", "/b" },
		{ "/../a", "/a" },
		{ "/a/..", "/" },
		{ "/a/b/../", "/a/" },
		{ "/a/.b", "/a/.b" },
		{ "/a/b..", "/a/b.." },
		{ "", "/" },
		{ "a", "/a" },
		{ "//", "/" },
		{ "/a/...", "/a/..." },
	};
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_str_is(uri_clean(str_of(rows[i][0]), &arena), rows[i][1]);
	}
}
END_TEST

TEST(paths_printable)
{
	static const char *const good[] = { "/a b~", "/\xc3\xa4", "/\xf0\x9f\x98\x80", "/\xff\xc3",
		"/\xe2\x82" };
	static const char *const bad[] = { "/\x01", "/\x7f", "/\xc2\xa0", "/\xe2\x80\xa8",
		"/a\xef\xbb\xbf" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		ck_assert(uri_printable(str_of(good[i])));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert(!uri_printable(str_of(bad[i])));
	}
}
END_TEST

TEST(paths_encoded)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

	uri_encode_path(STR("/a b/\xc3\xa4?&=:@~"), &out);
	ck_buf_is(&out, "/a%20b/%C3%A4%3F&=:@~");
	buf_clear(&out);
	uri_encode_query(STR("a b/&="), &out);
	ck_buf_is(&out, "a+b%2F%26%3D");
}
END_TEST

static void handle_nothing(struct exchange *x)
{
}

TEST(routes_found)
{
	static const struct route rows[] = {
		{ METHOD_GET, { "/", 1 }, handle_nothing, 0 },
		{ METHOD_GET, { "/v1/kv/", 7 }, handle_nothing, 0 },
		{ METHOD_PUT, { "/v1/kv/", 7 }, handle_nothing, 0 },
		{ METHOD_GET, { "/v1/status/leader", 17 }, handle_nothing, 0 },
	};
	OWN_EMBEDDED(route_table_fini) struct route_table t;
	OWN_EMBEDDED(buf_fini) struct buf allow = { 0 };
	struct route_match m;

	route_table_init(&t, rows, ARRAY_SIZE(rows));
	m = route_find(&t, STR("/v1/kv/a/b/c/d/e/f/g/h/i"));
	ck_assert_ptr_eq(m.rows, &rows[1]);
	ck_str_is(m.name, "a/b/c/d/e/f/g/h/i");
	route_render_allow(&m, &allow);
	ck_buf_is(&allow, "OPTIONS,GET,PUT");
	ck_assert(route_find(&t, STR("/v1/kv")).add_slash);
	m = route_find(&t, STR("/v1/status/leader"));
	ck_assert_ptr_eq(m.rows, &rows[3]);
	m = route_find(&t, STR("/v1/status/leader/"));
	ck_assert_ptr_eq(m.rows, &rows[0]);
}
END_TEST

TEST(answer_heads)
{
	struct answer a = { .status = 200,
		.content_type = STR("application/json"),
		.index = 7,
		.has_leader = true,
		.known_leader = true,
		.content_length = 3 };
	struct answer refused = {
		.status = 405, .bare = true, .connection = CONNECTION_CLOSE, .http_1_0 = true
	};
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

	answer_render(&a, STR("A: b\r\n"), STR("Date: d\r\n"), &out);
	ck_buf_is(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nA: b\r\nVary: "
			"Accept-Encoding\r\nX-Consul-Index: 7\r\n"
			"X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\nDate: "
			"d\r\nContent-Length: 3\r\n\r\n");
	buf_clear(&out);
	answer_render(&refused, STR("A: b\r\n"), STR(""), &out);
	ck_buf_is(&out, "HTTP/1.0 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: "
			"close\r\n\r\n");
	ck_str_is(answer_status_text(431), "Request Header Fields Too Large");
}
END_TEST

static size_t woken(struct wait_table *t, enum thing kind, const char *name)
{
	struct list list;
	size_t n = 0;

	list_init(&list);
	wait_wake(t, kind, str_of(name), &list);
	while (!list_empty(&list)) {
		struct waiter *w = list_entry(list.next, struct waiter, link);

		wait_del(t, w);
		n++;
	}
	return n;
}

TEST(waiters_woken)
{
	struct waiter key = { 0 }, other = { 0 }, prefix = { 0 }, all = { 0 }, service = { 0 };
	OWN_EMBEDDED(wait_table_fini) struct wait_table t;

	wait_table_init(&t, 1);
	wait_add(&t, &key, THING_KV, STR("a/b"));
	wait_add(&t, &other, THING_KV, STR("a/bc"));
	wait_add_prefix(&t, &prefix, STR("a/"));
	wait_add_prefix(&t, &all, STR(""));
	wait_add(&t, &service, THING_SERVICE_HEALTH, STR("a/b"));
	ck_assert_uint_eq(woken(&t, THING_KV, "b"), 1); /* all */
	ck_assert_uint_eq(woken(&t, THING_KV, "a/b"), 2);
	ck_assert_uint_eq(woken(&t, THING_KV, "a/b"), 0);
	ck_assert_uint_eq(woken(&t, THING_SERVICE_CATALOG, "a/b"), 0);
	ck_assert_uint_eq(woken(&t, THING_SERVICE_HEALTH, "a/b"), 1);
	wait_add_prefix(&t, &prefix, STR("a/"));
	wait_del(&t, &prefix);
	ck_assert_uint_eq(woken(&t, THING_KV, "a/x"), 0);
	ck_assert_uint_eq(t.waiters_count, 1);
	wait_del(&t, &other);
	ck_assert_uint_eq(t.spots.count, 0);
}
END_TEST

TEST(waiters_all_woken_in_order)
{
	struct waiter w[3] = { 0 };
	struct list list;
	OWN_EMBEDDED(wait_table_fini) struct wait_table t;

	wait_table_init(&t, 1);
	wait_add(&t, &w[0], THING_NODES, STR(""));
	wait_add(&t, &w[1], THING_NODES, STR(""));
	wait_add_prefix(&t, &w[2], STR("x"));
	list_init(&list);
	wait_wake_all(&t, &list);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		ck_assert_ptr_eq(list_entry(list.next, struct waiter, link), &w[i]);
		wait_del(&t, &w[i]);
	}
	ck_assert(list_empty(&list));
}
END_TEST

UNIT_MAIN("http_core", request_line, request_refused, request_unknown_method, request_limits,
	request_lengths, request_tokens, request_gzip, head_end, chunked_bodies, paths_cleaned,
	paths_printable, paths_encoded, routes_found, answer_heads, waiters_woken,
	waiters_all_woken_in_order)
