/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches: what is a definition, in Consul's words; requests; results as Consul's client library
 * writes them (compared with what Consul 1.8.7 prints); when a handler runs.
 */
#include "tests/unit/unit.h"

#include "common/client/watch.h"
#include "common/client/watcher.h"

static struct arena arena;

static int parse(const char *text, enum watch_source source, struct watch *out, struct buf *why)
{
	struct json *v;

	ck_assert_int_eq(json_parse(&arena, str_of(text), &v, NULL), 0);
	buf_clear(why);
	return watch_parse(&arena, v, source, out, why);
}

static const struct {
	enum watch_source source;
	const char *text, *why;
} refused[] = {
	{ WATCH_FROM_COMMAND, "{}", "Watch type must be specified" },
	{ WATCH_FROM_COMMAND, "{\"type\":1}", "Expecting type to be a string" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"bogus\"}", "Unsupported watch type: bogus" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"key\"}", "Must specify a single key to watch" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"key\",\"key\":1}", "Expecting key to be a string" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"key\",\"key\":\"a\",\"token\":true}",
		"Expecting token to be a string" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"key\",\"key\":\"a\",\"stale\":\"x\"}",
		"Expecting stale to be a boolean" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"key\",\"key\":\"a\",\"state\":\"x\",\"b\":1}",
		"Invalid parameters: [state b]" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"event\",\"stale\":true}",
		"Invalid parameters: [stale]" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"keyprefix\",\"key\":\"a\"}",
		"Must specify a single prefix to watch" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"service\"}", "Must specify a single service to watch" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"service\",\"service\":\"a\",\"tag\":1}",
		"Expecting tag to be a string or []string" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"service\",\"service\":\"a\",\"tag\":[\"a\",2]}",
		"Index 1 of tag expected to be string" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"service\",\"service\":\"a\",\"passingonly\":1}",
		"Expecting passingonly to be a boolean" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"checks\",\"service\":\"a\",\"state\":\"b\"}",
		"Cannot specify service and state" },
	{ WATCH_FROM_COMMAND, "{\"type\":\"nodes\",\"args\":[\"a\"]}",
		"Invalid parameters: [args]" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"nodes\"}", "Must define a watch handler" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"nodes\",\"args\":\"a\"}",
		"Watch args must be a list of strings" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"nodes\",\"args\":[\"a\",1]}",
		"Watch args must be a list of strings" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"nodes\",\"handler\":1}",
		"Watch handler must be a string" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"nodes\",\"handler\":\"a\",\"args\":[\"b\"]}",
		"Only one watch handler allowed" },
	{ WATCH_FROM_CONFIGURATION,
		"{\"type\":\"nodes\",\"handler_type\":\"http\",\"args\":[\"b\"],"
		"\"http_handler_config\":{\"path\":\"http://x\"}}",
		"Only one watch handler allowed" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"nodes\",\"handler_type\":\"x\"}",
		"Handler type 'x' not recognized" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"nodes\",\"handler_type\":\"http\"}",
		"Handler type 'http' requires 'http_handler_config' to be set" },
	{ WATCH_FROM_CONFIGURATION,
		"{\"type\":\"nodes\",\"handler_type\":\"http\",\"http_handler_config\":{}}",
		"Failed to parse 'http_handler_config': Requires 'path' to be set" },
	{ WATCH_FROM_CONFIGURATION,
		"{\"type\":\"nodes\",\"handler_type\":\"http\",\"http_handler_config\":"
		"{\"path\":\"http://x\",\"timeout\":\"5\"}}",
		"Failed to parse 'http_handler_config': Failed to parse timeout: time: "
		"missing unit in duration \"5\"" },
	{ WATCH_FROM_CONFIGURATION,
		"{\"type\":\"nodes\",\"handler_type\":\"http\",\"http_handler_config\":"
		"{\"path\":\"http://x\",\"header\":{\"a\":\"b\"}}}",
		"Failed to parse 'http_handler_config': Expecting header to be a map of "
		"lists of strings" },
	{ WATCH_FROM_CONFIGURATION, "{\"type\":\"connect_roots\",\"args\":[\"a\"]}",
		"Watch type connect_roots is not allowed in agent config" },
	{ WATCH_FROM_CONFIGURATION,
		"{\"type\":\"nodes\",\"args\":[\"a\"],\"http_handler_config\":{}}",
		"Invalid parameters: [http_handler_config]" },
};

TEST(refusals)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct watch w;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		ck_assert_int_eq(parse(refused[i].text, refused[i].source, &w, &why), ST_INVALID);
		ck_buf_is(&why, refused[i].why);
	}
	arena_fini(&arena);
}
END_TEST

TEST(handlers)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct watch w;

	ck_assert_int_eq(parse("{\"type\":\"key\",\"key\":\"a\",\"args\":[\"x\",\"y\"],"
			       "\"timeout\":\"5s\"}",
				 WATCH_FROM_CONFIGURATION, &w, &why),
		0);
	ck_assert_int_eq(w.handler, WATCH_PROGRAM);
	ck_assert_uint_eq(w.args.count, 2);
	ck_assert_int_eq(w.timeout_ms, 5000);
	ck_assert_int_eq(parse("{\"type\":\"nodes\",\"handler\":\"x | y\"}",
				 WATCH_FROM_CONFIGURATION, &w, &why),
		0);
	ck_assert_int_eq(w.handler, WATCH_SHELL);
	ck_str_is(w.script, "x | y");
	/* as in Consul: a shell that does nothing */
	ck_assert_int_eq(
		parse("{\"type\":\"nodes\",\"args\":[]}", WATCH_FROM_CONFIGURATION, &w, &why), 0);
	ck_assert_int_eq(w.handler, WATCH_SHELL);
	ck_str_is(w.script, "");
	ck_assert_int_eq(
		parse("{\"type\":\"nodes\",\"handler\":\"x\"}", WATCH_FROM_CONFIGURATION, &w, &why),
		0);
	ck_assert_int_eq(w.timeout_ms, WATCH_PROGRAM_TIMEOUT_MS);
	ck_assert_int_eq(
		parse("{\"type\":\"nodes\",\"handler_type\":\"http\",\"http_handler_config\":"
		      "{\"path\":\"http://x\",\"timeout\":\"3s\",\"header\":{\"a\":[\"b\",\"c\"]},"
		      "\"tls_skip_verify\":true}}",
			WATCH_FROM_CONFIGURATION, &w, &why),
		0);
	ck_assert_int_eq(w.handler, WATCH_HTTP);
	ck_str_is(w.method, "POST");
	ck_assert_int_eq(w.timeout_ms, 3000);
	ck_assert(w.tls_skip_verify && w.headers);
	arena_fini(&arena);
}
END_TEST

TEST(paths)
{
	static const struct {
		const char *text;
		uint64_t index;
		const char *path;
	} rows[] = {
		{ "{\"type\":\"key\",\"key\":\"a b/c\"}", 0, "/v1/kv/a%20b/c" },
		{ "{\"type\":\"key\",\"key\":\"a\",\"stale\":true,\"datacenter\":\"dc2\"}", 7,
			"/v1/kv/a?dc=dc2&stale=1&index=7" },
		{ "{\"type\":\"keyprefix\",\"prefix\":\"a/\"}", 9, "/v1/kv/a/?recurse=1&index=9" },
		{ "{\"type\":\"services\"}", 0, "/v1/catalog/services" },
		{ "{\"type\":\"nodes\"}", 3, "/v1/catalog/nodes?index=3" },
		{ "{\"type\":\"service\",\"service\":\"a/b\",\"tag\":[\"x\",\"y z\"],"
		  "\"passingonly\":true}",
			0, "/v1/health/service/a%2Fb?passing=1&tag=x&tag=y%20z" },
		{ "{\"type\":\"checks\"}", 0, "/v1/health/state/any" },
		{ "{\"type\":\"checks\",\"service\":\"web\"}", 0, "/v1/health/checks/web" },
		{ "{\"type\":\"event\"}", 0, "/v1/event/list" },
		{ "{\"type\":\"event\",\"name\":\"a&b\"}", 18446744073709551615u,
			"/v1/event/list?name=a%26b&index=18446744073709551615" },
		{ "{\"type\":\"agent_service\",\"service_id\":\"a\"}", 0xa4f,
			"/v1/agent/service/a?hash=a4f" },
	};
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, path = { 0 };
	struct watch w;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_int_eq(parse(rows[i].text, WATCH_FROM_COMMAND, &w, &why), 0);
		buf_clear(&path);
		watch_path(&w, rows[i].index, &path);
		ck_buf_is(&path, rows[i].path);
	}
	arena_fini(&arena);
}
END_TEST

/* Only what means something else is another watch. */
TEST(identities)
{
	static const char *const texts[] = {
		"{\"type\":\"key\",\"key\":\"a\",\"args\":[\"x\"]}",
		"{\"type\":\"key\",\"key\":\"b\",\"args\":[\"x\"]}",
		"{\"type\":\"key\",\"key\":\"a\",\"args\":[\"x\",\"\"]}",
		"{\"type\":\"key\",\"key\":\"a\",\"handler\":\"x\"}",
		"{\"type\":\"key\",\"key\":\"a\",\"args\":[\"x\"],\"token\":\"t\"}",
		"{\"type\":\"key\",\"key\":\"a\",\"args\":[\"x\"],\"stale\":true}",
		"{\"type\":\"key\",\"key\":\"a\",\"args\":[\"x\"],\"timeout\":\"1s\"}",
		"{\"type\":\"keyprefix\",\"prefix\":\"a\",\"args\":[\"x\"]}",
		"{\"type\":\"key\",\"key\":\"a\",\"handler_type\":\"http\",\"http_handler_config\":"
		"{\"path\":\"x\"}}",
		"{\"type\":\"key\",\"key\":\"a\",\"handler_type\":\"http\",\"http_handler_config\":"
		"{\"path\":\"x\",\"header\":{\"a\":[\"b\"]}}}",
	};
	static const char same[] = "{\"args\":[\"x\"],\"handler_type\":\"script\",\"key\":\"a\","
				   "\"type\":\"key\",\"stale\":false}";
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, one = { 0 }, two = { 0 };
	struct watch w;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
			buf_clear(&one);
			buf_clear(&two);
			ck_assert_int_eq(parse(texts[i], WATCH_FROM_CONFIGURATION, &w, &why), 0);
			watch_identity(&w, &one);
			ck_assert_int_eq(parse(texts[k], WATCH_FROM_CONFIGURATION, &w, &why), 0);
			watch_identity(&w, &two);
			ck_assert_int_eq(str_eq(buf_str(&one), buf_str(&two)), i == k);
		}
	}
	buf_clear(&one);
	buf_clear(&two);
	ck_assert_int_eq(parse(texts[0], WATCH_FROM_CONFIGURATION, &w, &why), 0);
	watch_identity(&w, &one);
	ck_assert_int_eq(parse(same, WATCH_FROM_CONFIGURATION, &w, &why), 0);
	watch_identity(&w, &two);
	ck_assert(str_eq(buf_str(&one), buf_str(&two)));
	arena_fini(&arena);
}
END_TEST

#define EVENT(id)                                                                 \
	"{\"ID\":\"" id "\",\"Name\":\"d\",\"Payload\":null,\"NodeFilter\":\"\"," \
	"\"ServiceFilter\":\"\",\"TagFilter\":\"\",\"Version\":1,\"LTime\":2}"
#define ID_1 "3f9c6c07-1111-4222-8333-444444444444"
#define ID_2 "4f9c6c07-1111-4222-8333-444444444444"

TEST(results)
{
	static const struct {
		const char *watch;
		int status;
		const char *body, *result;
	} rows[] = {
		{ "{\"type\":\"key\",\"key\":\"a\"}", 200,
			"[{\"LockIndex\":0,\"Key\":\"a\",\"Flags\":5,\"Value\":\"eno=\","
			"\"CreateIndex\":285,\"ModifyIndex\":322,\"More\":1}]",
			"{\"Key\":\"a\",\"CreateIndex\":285,\"ModifyIndex\":322,\"LockIndex\":0,"
			"\"Flags\":5,\"Value\":\"eno=\",\"Session\":\"\"}" },
		{ "{\"type\":\"key\",\"key\":\"a\"}", 404, "", "null" },
		{ "{\"type\":\"keyprefix\",\"prefix\":\"a\"}", 404, "", "null" },
		{ "{\"type\":\"keyprefix\",\"prefix\":\"a\"}", 200, "[]", "[]" },
		{ "{\"type\":\"services\"}", 200, "{\"consul\":[],\"web\":[\"a\"]}",
			"{\"consul\":[],\"web\":[\"a\"]}" },
		{ "{\"type\":\"nodes\"}", 200, "[{\"Node\":\"n\",\"Meta\":{\"a\":\"b\"}}]",
			"[{\"ID\":\"\",\"Node\":\"n\",\"Address\":\"\",\"Datacenter\":\"\","
			"\"TaggedAddresses\":null,\"Meta\":{\"a\":\"b\"},\"CreateIndex\":0,"
			"\"ModifyIndex\":0}]" },
		{ "{\"type\":\"checks\"}", 200, "[{\"CheckID\":\"c\",\"Definition\":{}}]",
			"[{\"Node\":\"\",\"CheckID\":\"c\",\"Name\":\"\",\"Status\":\"\","
			"\"Notes\":\"\",\"Output\":\"\",\"ServiceID\":\"\",\"ServiceName\":\"\","
			"\"ServiceTags\":null,\"Type\":\"\",\"Definition\":{\"Interval\":\"0s\","
			"\"Timeout\":\"0s\",\"DeregisterCriticalServiceAfter\":\"0s\",\"HTTP\":"
			"\"\",\"Header\":null,\"Method\":\"\",\"Body\":\"\",\"TLSSkipVerify\":"
			"false,\"TCP\":\"\"},\"CreateIndex\":0,\"ModifyIndex\":0}]" },
		{ "{\"type\":\"service\",\"service\":\"s\"}", 200,
			"[{\"Node\":null,\"Service\":{\"ID\":\"s\",\"TaggedAddresses\":{\"lan\":"
			"{\"Address\":\"1.2.3.4\",\"Port\":5}},\"Weights\":{\"Passing\":1,"
			"\"Warning\":2}}}]",
			"[{\"Node\":null,\"Service\":{\"ID\":\"s\",\"Service\":\"\",\"Tags\":null,"
			"\"Meta\":null,\"Port\":0,\"Address\":\"\",\"TaggedAddresses\":{\"lan\":"
			"{\"Address\":\"1.2.3.4\",\"Port\":5}},\"Weights\":{\"Passing\":1,"
			"\"Warning\":2},\"EnableTagOverride\":false},\"Checks\":null}]" },
		{ "{\"type\":\"event\"}", 200, "[" EVENT(ID_1) "," EVENT(ID_2) "]",
			"[" EVENT(ID_2) "]" },
		{ "{\"type\":\"event\"}", 200, "[" EVENT(ID_1) "]", "[]" },
		{ "{\"type\":\"event\"}", 200, "[" EVENT(ID_2) "]", "[" EVENT(ID_2) "]" },
	};
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, out = { 0 };
	struct uuid id;
	struct watch w;

	ck_assert_int_eq(uuid_parse(STR(ID_1), &id), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t index = 5;

		ck_assert_int_eq(parse(rows[i].watch, WATCH_FROM_COMMAND, &w, &why), 0);
		buf_clear(&out);
		ck_assert_int_eq(watch_result(&w, rows[i].status, str_of(rows[i].body),
					 uuid_fold(&id), &index, &out, &why),
			0);
		ck_buf_is(&out, rows[i].result);
		ck_assert_uint_eq(index, 5);
	}
	arena_fini(&arena);
}
END_TEST

TEST(hash_is_the_index_of_an_agents_service)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, out = { 0 };
	uint64_t index = 0;
	struct watch w;

	ck_assert_int_eq(parse("{\"type\":\"agent_service\",\"service_id\":\"a\"}",
				 WATCH_FROM_COMMAND, &w, &why),
		0);
	ck_assert_int_eq(watch_result(&w, 200, STR("{\"ID\":\"a\",\"ContentHash\":\"a4f0\"}"), 0,
				 &index, &out, &why),
		0);
	ck_assert_uint_eq(index, 0xa4f0);
	arena_fini(&arena);
}
END_TEST

TEST(errors_of_answers)
{
	static const struct {
		int status;
		const char *body, *why;
	} rows[] = {
		{ 500, "No cluster leader", "Unexpected response code: 500 (No cluster leader)" },
		{ 404, "", "Unexpected response code: 404 ()" },
		{ 200, "{", "unexpected EOF" },
	};
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, out = { 0 };
	struct watch w;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t index = 1;

		ck_assert_int_eq(parse("{\"type\":\"nodes\"}", WATCH_FROM_COMMAND, &w, &why), 0);
		ck_assert_int_eq(watch_result(&w, rows[i].status, str_of(rows[i].body), 0, &index,
					 &out, &why),
			ST_INVALID);
		ck_buf_is(&why, rows[i].why);
	}
	arena_fini(&arena);
}
END_TEST

/* ---- when a handler runs ---- */

TEST(handler_runs_for_each_change)
{
	struct watcher w;

	watcher_init(&w, false);
	ck_assert_int_eq(watcher_answered(&w, 10, STR("null")), WATCHER_HANDLE);
	ck_assert_int_eq(watcher_handled(&w), WATCHER_ASK);
	ck_assert_uint_eq(w.index, 10);
	ck_assert_int_eq(watcher_answered(&w, 10, STR("null")), WATCHER_ASK); /* its time is over */
	ck_assert_int_eq(watcher_answered(&w, 12, STR("null")), WATCHER_ASK); /* others' news */
	ck_assert_uint_eq(w.index, 12);
	ck_assert_int_eq(watcher_answered(&w, 13, STR("1")), WATCHER_HANDLE);
	ck_buf_is(&w.result, "1");
	/* a snapshot was restored: indexes begin anew */
	ck_assert_int_eq(watcher_answered(&w, 3, STR("1")), WATCHER_ASK);
	ck_assert_uint_eq(w.index, 3);
	ck_assert_int_eq(watcher_answered(&w, 4, STR("2")), WATCHER_HANDLE);
	/* an answer without an index is no reason to ask again at once */
	ck_assert_int_eq(watcher_answered(&w, 0, STR("2")), WATCHER_PAUSE);
	ck_assert_int_eq(w.pause_ms, WATCHER_PAUSE_EARLY_MS);
	watcher_fini(&w);
}
END_TEST

TEST(failures_pause_and_forget_nothing)
{
	static const int64_t pauses_s[] = { 5, 20, 45, 80, 125, 180, 180 };
	struct watcher w;

	watcher_init(&w, false);
	ck_assert_int_eq(watcher_failed(&w, true), WATCHER_PAUSE);
	ck_assert_int_eq(w.pause_ms, 1000); /* the node is starting */
	ck_assert_int_eq(watcher_answered(&w, 10, STR("1")), WATCHER_HANDLE);
	for (size_t i = 0; i < ARRAY_SIZE(pauses_s); i++) {
		ck_assert_int_eq(watcher_failed(&w, true), WATCHER_PAUSE);
		ck_assert_int_eq(w.pause_ms, pauses_s[i] * 1000);
	}
	ck_assert_uint_eq(w.index, 10);
	ck_assert_int_eq(watcher_answered(&w, 11, STR("1")), WATCHER_ASK); /* the same as before */
	watcher_failed(&w, true);
	ck_assert_int_eq(w.pause_ms, 5000); /* counted anew */
	ck_assert_int_eq(watcher_answered(&w, 12, STR("2")), WATCHER_HANDLE);
	watcher_failed(&w, false);
	ck_assert_int_eq(w.pause_ms, 1000); /* nobody answered: a daemon is starting */
	watcher_fini(&w);
}
END_TEST

TEST(events_that_went_are_no_news)
{
	struct watcher w;

	watcher_init(&w, true);
	ck_assert_int_eq(watcher_answered(&w, 1, STR("[]")), WATCHER_HANDLE); /* the first */
	ck_assert_int_eq(watcher_answered(&w, 77, STR("[e]")), WATCHER_HANDLE);
	ck_assert_int_eq(watcher_answered(&w, 1, STR("[]")), WATCHER_ASK);
	ck_assert_int_eq(watcher_answered(&w, 5, STR("[f]")), WATCHER_HANDLE);
	watcher_fini(&w);
	watcher_init(&w, true);
	watcher_resume(&w, 77);
	ck_assert_uint_eq(w.index, 77);
	ck_assert_int_eq(watcher_answered(&w, 77, STR("[]")), WATCHER_ASK);
	ck_assert_int_eq(watcher_answered(&w, 78, STR("[g]")), WATCHER_HANDLE);
	watcher_fini(&w);
}
END_TEST

UNIT_MAIN("watch", refusals, handlers, paths, identities, results,
	hash_is_the_index_of_an_agents_service, errors_of_answers, handler_runs_for_each_change,
	failures_pause_and_forget_nothing, events_that_went_are_no_news)
