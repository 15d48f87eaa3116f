/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepared queries where they are stored: what is refused and in which words, names, sessions,
 * templates and how they are found. The expected bytes were seen on Consul 1.8.7.
 */
#include "tests/unit/catalog.h"

#include "common/msg/query.h"

static const char session_text[] = "aaaaaaaa-0000-0000-0000-000000000001";

static struct uuid id_of(uint8_t n)
{
	return (struct uuid) { .b = { [15] = n } };
}

static void apply(struct world *w, enum query_op op, uint8_t n, struct query_def q)
{
	char text[UUID_TEXT_SIZE + 1];
	struct cmd_query cmd = { .op = (uint8_t)op, .query = q };

	cmd.query.id = id_of(n);
	uuid_text(&cmd.query.id, text);
	cmd.id = op == QUERY_CREATE ? STR("") : str_of(text);
	APPLY(w, cmd_query, &cmd);
}

#define ck_refused(w, expected)                                       \
	do {                                                          \
		ck_str_is((w)->out.result.text, expected);            \
		ck_assert_int_eq((w)->out.result.kind, RESULT_ERROR); \
	} while (0)
#define ck_done(w) \
	ck_assert_msg((w)->out.result.kind == RESULT_OK, STR_FMT, STR_ARG((w)->out.result.text))

static struct query_def web(const char *name)
{
	return (struct query_def) { .name = str_of(name), .service = STR("web") };
}

static struct query_def template(const char *name, const char *service)
{
	return (struct query_def) { .name = str_of(name),
		.service = str_of(service),
		.template_type = STR("name_prefix_match") };
}

static void session_create(struct world *w)
{
	struct cmd_register node = { .node = { .node = STR("n1"), .address = STR("10.0.0.1") } };
	struct cmd_session_create session = { .session = { .node = STR("n1") } };

	APPLY(w, cmd_register, &node);
	ck_assert_int_eq(uuid_parse(str_of(session_text), &session.session.id), 0);
	APPLY(w, cmd_session_create, &session);
	ck_done(w);
}

TEST(test_check)
{
	struct pair pairs[65] = { { STR("a"), STR("b") } };
	struct query_def ok = web("x");
	struct {
		struct query_def q;
		const char *why;
	} rows[] = {
		{ { .service = STR("web") }, "Must be bound to a session" },
		{ { .name = STR("x"), .token = STR("<hidden>"), .service = STR("web") },
			"Bad Token '<hidden>', it looks like a query definition with a redacted "
			"token was submitted" },
		{ { .name = STR("x") }, "Must provide a Service name to query" },
		{ { .name = STR("x"), .service = STR("web"), .nearest_n = -1 },
			"Bad NearestN '-1', must be >= 0" },
		{ { .name = STR("x"), .service = STR("web"), .dns_ttl = STR("x") },
			"Bad DNS TTL 'x': time: invalid duration \"x\"" },
		{ { .name = STR("x"), .service = STR("web"), .dns_ttl = STR("-5s") },
			"DNS TTL '-5000000000', must be >=0" },
		{ { .name = STR("x"), .service = STR("web"), .node_meta = { pairs, 65, true } },
			"Node metadata cannot contain more than 64 key/value pairs" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

		ck_assert_int_eq(query_check(&rows[i].q, &why), ST_INVALID);
		ck_buf_is(&why, rows[i].why);
	}
	ok.dns_ttl = STR("1m10s");
	ok.node_meta = (struct pairs) { pairs, 1, true };
	ck_assert_int_eq(query_check(&ok, NULL), 0);
}
END_TEST

TEST(test_renders)
{
	OWN_EMBEDDED(buf_fini) struct buf json = { 0 };
	struct str tags[] = { STR("a"), STR("!b") };
	struct pair meta = { STR("k"), STR("<v>") };
	struct query_def q = web("x");

	q.id = id_of(7);
	query_json(&json, &q, 3, 4);
	ck_buf_is(&json,
		"{\"ID\":\"00000000-0000-0000-0000-000000000007\",\"Name\":\"x\",\"Session\":\"\","
		"\"Token\":\"\",\"Template\":{\"Type\":\"\",\"Regexp\":\"\",\"RemoveEmptyTags\":"
		"false},\"Service\":{\"Service\":\"web\",\"Failover\":{\"NearestN\":0,"
		"\"Datacenters\":null},\"OnlyPassing\":false,\"IgnoreCheckIDs\":null,\"Near\":\"\","
		"\"Tags\":null,\"NodeMeta\":null,\"ServiceMeta\":null,\"Connect\":false},\"DNS\":{"
		"\"TTL\":\"\"},\"CreateIndex\":3,\"ModifyIndex\":4}");
	q.tags = (struct strs) { tags, 2, true };
	q.service_meta = (struct pairs) { &meta, 1, true };
	buf_clear(&json);
	query_json(&json, &q, 3, 4);
	ck_assert(str_find_str(buf_str(&json), STR("\"Tags\":[\"a\",\"!b\"]")) > 0);
	ck_assert(str_find_str(buf_str(&json), STR("\"ServiceMeta\":{\"k\":\"\\u003cv\\u003e\"}")) >
		  0);
}
END_TEST

TEST(test_create_update_delete)
{
	struct world w;
	struct kv_txn *t;

	world_init(&w, NULL);
	apply(&w, QUERY_CREATE, 1, web("x"));
	ck_done(&w);
	ck_str_is(w.out.result.payload, "{\"ID\":\"00000000-0000-0000-0000-000000000001\"}");
	apply(&w, QUERY_UPDATE, 1, web("y"));
	ck_done(&w);
	ck_str_is(w.out.result.payload, "");
	ck_assert_uint_eq(world_thing(&w, THING_QUERIES, ""), 2);
	/* The old name is free. */
	apply(&w, QUERY_CREATE, 2, web("x"));
	ck_done(&w);
	apply(&w, QUERY_UPDATE, 3, web("z"));
	ck_refused(&w, "Cannot modify non-existent prepared query: "
		       "'00000000-0000-0000-0000-000000000003'");
	apply(&w, QUERY_UPDATE, 1, (struct query_def) { 0 });
	ck_refused(&w, "Invalid prepared query: Must be bound to a session");
	apply(&w, QUERY_DELETE, 3, (struct query_def) { 0 });
	ck_refused(&w, "Cannot modify non-existent prepared query: "
		       "'00000000-0000-0000-0000-000000000003'");
	apply(&w, QUERY_DELETE, 1, (struct query_def) { 0 });
	ck_done(&w);
	apply(&w, QUERY_DELETE, 2, (struct query_def) { 0 });
	ck_done(&w);
	t = world_begin(&w);
	ck_assert_uint_eq(kv_count(t, STATE_QUERIES), 0);
	ck_assert_uint_eq(kv_count(t, STATE_QUERY_NAMES), 0);
	kv_abort(t);
	world_fini(&w);
}
END_TEST

TEST(test_bad_ids)
{
	static const struct {
		const char *id, *why;
	} rows[] = {
		{ "", "UUID must be 36 characters" },
		{ "short", "UUID must be 36 characters" },
		{ "00000000-0000-0000-0000-0000-000-001",
			"UUID should have maximum of 4 \"-\"; got 6" },
		{ "00000000-0000-0000-0000000000000001x",
			"Input (without hyphens) must be even length" },
		{ "x0000000-0000-0000-0000-000000000001",
			"Invalid UUID: encoding/hex: invalid byte: U+0078 'x'" },
	};
	struct world w;

	world_init(&w, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf expected = { 0 };
		struct cmd_query cmd = { .op = QUERY_DELETE, .id = str_of(rows[i].id) };

		APPLY(&w, cmd_query, &cmd);
		buf_printf(&expected,
			"Prepared Query lookup failed: failed prepared query lookup: index error: "
			"%s",
			rows[i].why);
		ck_refused(&w, buf_cstr(&expected));
	}
	world_fini(&w);
}
END_TEST

TEST(test_names_are_unique)
{
	char name[QUERY_NAME_MAX + 2];
	struct query_def q = web("X"), zero = web("");
	struct world w;

	world_init(&w, NULL);
	apply(&w, QUERY_CREATE, 1, q);
	ck_done(&w);
	apply(&w, QUERY_CREATE, 2, web("x"));
	ck_refused(&w, "name 'x' aliases an existing query name");
	apply(&w, QUERY_UPDATE, 1, web("x")); /* its own */
	ck_done(&w);
	apply(&w, QUERY_CREATE, 2, template("x", "web")); /* a template has a name too */
	ck_refused(&w, "name 'x' aliases an existing query name");
	apply(&w, QUERY_CREATE, 2, web("00000000-0000-0000-0000-000000000001"));
	ck_refused(&w, "name '00000000-0000-0000-0000-000000000001' aliases an existing query ID");
	apply(&w, QUERY_CREATE, 2, web("00000000-0000-0000-0000-000000000009"));
	ck_done(&w);
	apply(&w, QUERY_CREATE, 3, template("", "web"));
	ck_done(&w);
	apply(&w, QUERY_CREATE, 4, template("", "web"));
	ck_refused(&w, "a query template with an empty name already exists");
	memset(name, 'n', sizeof(name));
	q.name = str_n(name, QUERY_NAME_MAX + 1);
	apply(&w, QUERY_CREATE, 4, q);
	ck_refused(&w, "Name is too long (401 > 400 bytes)");
	q.name = str_n(name, QUERY_NAME_MAX);
	apply(&w, QUERY_CREATE, 4, q);
	ck_done(&w);
	zero.name = STR("a\0b");
	apply(&w, QUERY_CREATE, 5, zero);
	ck_refused(&w, "Name holds a zero byte");
	world_fini(&w);
}
END_TEST

TEST(test_limits)
{
	OWN_EMBEDDED(buf_fini) struct buf large = { 0 };
	struct query_def q = web("x");
	struct world w;

	world_init(&w, NULL);
	memset(buf_reserve(&large, QUERY_BYTES_MAX), 'x', QUERY_BYTES_MAX);
	q.near = str_n(large.p, QUERY_BYTES_MAX);
	apply(&w, QUERY_CREATE, 1, q);
	ck_assert(str_starts(w.out.result.text, STR("Query is too large (")));
	ck_assert_int_eq(w.out.result.kind, RESULT_ERROR);
	batch_begin(&w);
	for (uint32_t i = 1; i <= QUERIES_MAX + 1; i++) {
		struct cmd_query cmd = { .query = q };
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		memcpy(cmd.query.id.b, &i, sizeof(i));
		cmd.query.name = str_of(name);
		cmd.query.near = STR("");
		APPLY(&w, cmd_query, &cmd);
		ck_assert_int_eq(w.out.result.kind, i <= QUERIES_MAX ? RESULT_OK : RESULT_ERROR);
	}
	ck_refused(&w, "There are too many queries (16384)");
	batch_end(&w);
	world_fini(&w);
}
END_TEST

TEST(test_sessions)
{
	struct cmd_session_destroy destroy = { .cause = STR("destroy") };
	struct query_def q = { .service = STR("web"), .session = STR("x") };
	struct world w;

	world_init(&w, NULL);
	apply(&w, QUERY_CREATE, 1, q);
	ck_refused(&w, "invalid session: index error: UUID must be 36 characters");
	q.session = str_of(session_text);
	apply(&w, QUERY_CREATE, 1, q);
	ck_refused(&w, "invalid session \"aaaaaaaa-0000-0000-0000-000000000001\"");
	session_create(&w);
	apply(&w, QUERY_CREATE, 1, q);
	ck_done(&w);
	apply(&w, QUERY_CREATE, 2, web("stays"));
	q.name = STR("named");
	apply(&w, QUERY_CREATE, 3, q);
	apply(&w, QUERY_UPDATE, 3, web("named")); /* not bound any more */
	ck_done(&w);
	ck_assert_int_eq(uuid_parse(str_of(session_text), &destroy.id), 0);
	APPLY(&w, cmd_session_destroy, &destroy);
	apply(&w, QUERY_DELETE, 1, q);
	ck_refused(&w, "Cannot modify non-existent prepared query: "
		       "'00000000-0000-0000-0000-000000000001'");
	apply(&w, QUERY_DELETE, 2, q);
	ck_done(&w);
	apply(&w, QUERY_DELETE, 3, q);
	ck_done(&w);
	world_fini(&w);
}
END_TEST

TEST(test_validate)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct catalog_rules rules = { .fresh_id = id_of(9) };
	struct cmd_query cmd = { .id = STR("given"), .query = web("x") }, completed;

	cmd_query_encode(&payload, &cmd);
	ck_assert_int_eq(
		catalog_validate(&rules, COMMAND_cmd_query, buf_str(&payload), &arena, &out, &why),
		ST_INVALID);
	ck_buf_is(&why, "ID must be empty when creating a new prepared query");
	cmd.id = STR("");
	buf_clear(&payload);
	cmd_query_encode(&payload, &cmd);
	ck_assert_int_eq(
		catalog_validate(&rules, COMMAND_cmd_query, buf_str(&payload), &arena, &out, &why),
		0);
	ck_assert_int_eq(cmd_query_decode(buf_str(&out), &arena, &completed), 0);
	ck_assert(uuid_eq(&completed.query.id, &rules.fresh_id));
	cmd.op = QUERY_UPDATE;
	cmd.query = template("x", "${nope}");
	buf_clear(&payload);
	cmd_query_encode(&payload, &cmd);
	ck_assert_int_eq(
		catalog_validate(&rules, COMMAND_cmd_query, buf_str(&payload), &arena, &out, &why),
		ST_INVALID);
	ck_buf_is(&why, "failed compiling template: Bad evaluation for '${nope}' in "
			"Service.Service: 1:3: unknown variable accessed: nope");
}
END_TEST

TEST(test_templates_checked)
{
	struct str tag = STR("${match(}");
	struct pair meta = { STR("rack"), STR("${nope}") };
	struct query_def rows[5];
	static const char *const expected[] = {
		"failed compiling template: Bad Template.Type 'foo'",
		"failed compiling template: Bad format '${match(}' in Service.Tags[0]: parse "
		"error: syntax error",
		"failed compiling template: Bad evaluation for '${nope}' in "
		"Service.NodeMeta[rack]: 1:3: unknown variable accessed: nope",
		"failed compiling template: Bad Regexp: error parsing regexp: missing closing ): "
		"`(`",
		"failed compiling template: Bad evaluation for '${match(name.full)}' in "
		"Service.Near: __builtin_StringToInt: strconv.ParseInt: parsing \"x\": invalid "
		"syntax",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		rows[i] = template("x", "web");
	}
	rows[0].template_type = STR("foo");
	rows[1].tags = (struct strs) { &tag, 1, true };
	rows[2].node_meta = (struct pairs) { &meta, 1, true };
	rows[3].template_regexp = STR("(");
	rows[4].near = STR("${match(name.full)}");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

		ck_assert_int_eq(query_template_check(&rows[i], &why), ST_INVALID);
		ck_buf_is(&why, expected[i]);
	}
}
END_TEST

TEST(test_template_fills)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct str tags[] = { STR("${match(2)}"), STR("${name.suffix}x${name.prefix}"),
		STR("${match(9)}") };
	struct query_def q = template("t-", "${match(1)}"), filled;

	q.template_regexp = STR("^t-(.*)-([^-]+)$");
	q.tags = (struct strs) { tags, 3, true };
	q.near = STR("${agent.segment}${name.full}");
	ck_assert_int_eq(query_template_check(&q, &why), 0);
	ck_assert_int_eq(query_template_fill(&q, STR("t-web-a"), &arena, &filled, &why), 0);
	ck_str_is(filled.service, "web");
	ck_str_is(filled.near, "t-web-a");
	ck_assert_uint_eq(filled.tags.count, 3);
	ck_str_is(filled.tags.items[0], "a");
	ck_str_is(filled.tags.items[1], "web-axt-");
	ck_str_is(filled.tags.items[2], "");
	ck_str_is(q.tags.items[0], "${match(2)}"); /* the template stays as it is */
	q.remove_empty_tags = true;
	ck_assert_int_eq(query_template_fill(&q, STR("T-web-a"), &arena, &filled, &why), 0);
	ck_str_is(filled.service, ""); /* the expression minds the case, and so does the suffix */
	ck_assert_uint_eq(filled.tags.count, 1);
	ck_str_is(filled.tags.items[0], "T-web-axt-");
}
END_TEST

static const char *resolved(struct world *w, const char *name, struct buf *out)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct kv_txn *t = world_begin(w);
	struct query_record record;
	int r;

	buf_clear(out);
	r = query_resolve(t, str_of(name), &arena, &record, out);
	if (!r) {
		buf_put_str(out, record.def.service);
	} else if (r == ST_NOT_FOUND) {
		buf_put_lit(out, "nothing");
	}
	kv_abort(t);
	return buf_cstr(out);
}

TEST(test_resolves)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct world w;

	world_init(&w, NULL);
	ck_assert_str_eq(resolved(&w, "x", &out), "nothing");
	apply(&w, QUERY_CREATE, 1, web("geo"));
	apply(&w, QUERY_CREATE, 2, template("GEO-", "geo:${name.suffix}"));
	apply(&w, QUERY_CREATE, 3, template("geo-db", "db:${name.suffix}"));
	ck_done(&w);
	ck_assert_str_eq(resolved(&w, "Geo", &out), "web");
	ck_assert_str_eq(resolved(&w, "00000000-0000-0000-0000-000000000001", &out), "web");
	ck_assert_str_eq(resolved(&w, "00000000-0000-0000-0000-000000000002", &out),
		"prepared query templates can only be resolved up by name, not by ID");
	ck_assert_str_eq(resolved(&w, "00000000-0000-0000-0000-000000000004", &out), "nothing");
	ck_assert_str_eq(resolved(&w, "GEO-x", &out), "geo:x");
	ck_assert_str_eq(resolved(&w, "geo-", &out), "geo:geo-");
	ck_assert_str_eq(resolved(&w, "geo-dbs", &out), "db:s");
	ck_assert_str_eq(resolved(&w, "geo-db", &out), "db:");
	ck_assert_str_eq(resolved(&w, "ge", &out), "nothing");
	ck_assert_str_eq(resolved(&w, "", &out), "Missing Query ID");
	apply(&w, QUERY_CREATE, 4, template("", "any:${name.full}"));
	ck_done(&w);
	ck_assert_str_eq(resolved(&w, "ge", &out), "any:ge");
	ck_assert_str_eq(resolved(&w, "00000000-0000-0000-0000-000000000009", &out),
		"any:00000000-0000-0000-0000-000000000009");
	world_fini(&w);
}
END_TEST

UNIT_MAIN("query", test_check, test_renders, test_create_update_delete, test_bad_ids,
	test_names_are_unique, test_limits, test_sessions, test_validate, test_templates_checked,
	test_template_fills, test_resolves)
