/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that cannot be sent: the texts are those of Consul 1.8.7's checks.
 */
#include "tests/unit/unit.h"

#include "checkd/core/request.h"

TEST(refusals)
{
	static const struct {
		const char *method, *url, *headers, *why;
	} rows[] = {
		{ "GET", "http://127.0.0.1:1/", "{\"ok\":[\"tab\\there\",\"\"]}", "" },
		{ "get", "HTTP://u:p@[::1]:80/a%20b?x=%zz#f", NULL, "" },
		{ "G ET", "http://x/", NULL, "net/http: invalid method \"G ET\"" },
		{ "G\303\211T", "http://x/", NULL, "net/http: invalid method \"G\303\211T\"" },
		{ "", "http://x/", NULL, "net/http: invalid method \"\"" },
		{ "GET", "http://127.0.0.1:1/", "{\"a b\":[\"x\"]}",
			"Get \"http://127.0.0.1:1/\": net/http: invalid header field name \"a "
			"b\"" },
		{ "GET", "http://x/", "{\"\":[\"x\"]}",
			"Get \"http://x/\": net/http: invalid header field name \"\"" },
		{ "GET", "http://x/", "{\"x:y\":[\"x\"]}",
			"Get \"http://x/\": net/http: invalid header field name \"x:y\"" },
		{ "PUT", "http://x/", "{\"x-y\":[\"a\\nb\"]}",
			"Put \"http://x/\": net/http: invalid header field value \"a\\nb\" for key "
			"x-y" },
		{ "GET", "http://x/", "{\"x-y\":[\"\\u007f\\\"\\u0001\303\251\"]}",
			"Get \"http://x/\": net/http: invalid header field value "
			"\"\\u007f\\\"\\x01\303\251\" for key x-y" },
		{ "GET", "http://[::1/", NULL, "parse \"http://[::1/\": missing ']' in host" },
		{ "GET", "foo", NULL, "Get \"foo\": unsupported protocol scheme \"\"" },
		{ "GET", "ftp://x/", NULL,
			"Get \"ftp://x/\": unsupported protocol scheme \"ftp\"" },
		{ "GET", "http://a b/", NULL,
			"parse \"http://a b/\": invalid character \" \" in host name" },
		{ "GET", "http:///x", NULL, "Get \"http:///x\": http: no Host in request URL" },
		{ "GET", "http://127.0.0.1:1/%zz", NULL,
			"parse \"http://127.0.0.1:1/%zz\": invalid URL escape \"%zz\"" },
		{ "GET", "http://x/%a", NULL, "parse \"http://x/%a\": invalid URL escape \"%a\"" },
		{ "GET", ":x", NULL, "parse \":x\": missing protocol scheme" },
		{ "GET", "http://x/\r\nX: y", NULL,
			"parse \"http://x/\\r\\nX: y\": net/url: invalid control character in "
			"URL" },
	};
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		struct json *headers = NULL;

		if (rows[i].headers) {
			ck_assert_int_eq(
				json_parse(&arena, str_of(rows[i].headers), &headers, NULL), 0);
		}
		ck_assert_int_eq(
			request_check(str_of(rows[i].method), str_of(rows[i].url), headers, &why),
			rows[i].why[0] ? ST_INVALID : 0);
		ck_buf_is(&why, rows[i].why);
	}
}
END_TEST

UNIT_MAIN("request", refusals)
