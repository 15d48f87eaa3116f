/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/core command by command: what is rendered, which texts errors have, what locks and
 * sessions do. The expected bytes were seen on Consul 1.8.7.
 */
#include "tests/unit/catalog.h"

static const char uuid_1[] = "11111111-1111-1111-1111-111111111111";
static const char uuid_2[] = "22222222-2222-2222-2222-222222222222";

static struct cmd_register node_register(const char *node, const char *id, const char *address)
{
	return (struct cmd_register) { .node = { .id = str_of(id),
					       .node = str_of(node),
					       .address = str_of(address),
					       .datacenter = STR("dc1") } };
}

static struct service_def web_service(struct str *tag)
{
	return (struct service_def) { .id = STR("web1"),
		.name = STR("web"),
		.tags = { tag, 1, true },
		.port = 80,
		.weight_passing = 1,
		.weight_warning = 1 };
}

static struct str json_of(struct str row, bool after_status)
{
	struct cursor c = cursor_of(row);

	if (after_status) {
		cursor_u8(&c);
	}
	return wire_get_STR(&c, NULL);
}

#define ck_result(w, expected_kind, expected)                                             \
	do {                                                                              \
		ck_str_is((w)->out.result.kind == RESULT_ERROR ? (w)->out.result.text     \
							       : (w)->out.result.payload, \
			expected);                                                        \
		ck_assert_int_eq((w)->out.result.kind, expected_kind);                    \
	} while (0)

TEST(test_register_renders)
{
	OWN_EMBEDDED(buf_fini) struct buf row = { 0 };
	struct world w;
	struct str tag = STR("a<b");
	struct health_check check = { .check_id = STR("c1"),
		.name = STR("c"),
		.service_id = STR("web1"),
		.status = STR("passing"),
		.type = STR("tcp"),
		.definition_json = STR("{\"TCP\":\"x\"}") };
	struct cmd_register cmd = node_register("Ext", uuid_1, "10.0.0.1");

	world_init(&w, NULL);
	cmd.has_service = true;
	cmd.service = web_service(&tag);
	cmd.checks.items = &check;
	cmd.checks.count = 1;
	APPLY(&w, cmd_register, &cmd);
	ck_result(&w, RESULT_OK, "true");
	ck_str_is(json_of(world_row(&w, &row, STATE_HEALTH, "web", "ext", "web1"), true),
		"{\"Node\":{\"ID\":\"11111111-1111-1111-1111-111111111111\",\"Node\":\"Ext\","
		"\"Address\":\"10.0.0.1\","
		"\"Datacenter\":\"dc1\",\"TaggedAddresses\":null,\"Meta\":null,\"CreateIndex\":1,"
		"\"ModifyIndex\":1},"
		"\"Service\":{\"ID\":\"web1\",\"Service\":\"web\",\"Tags\":[\"a\\u003cb\"],"
		"\"Address\":\"\",\"Meta\":null,"
		"\"Port\":80,\"Weights\":{\"Passing\":1,\"Warning\":1},\"EnableTagOverride\":false,"
		"\"Proxy\":{\"MeshGateway\":{},\"Expose\":{}},\"Connect\":{},\"CreateIndex\":1,"
		"\"ModifyIndex\":1},"
		"\"Checks\":[{\"Node\":\"Ext\",\"CheckID\":\"c1\",\"Name\":\"c\",\"Status\":"
		"\"passing\",\"Notes\":\"\","
		"\"Output\":\"\",\"ServiceID\":\"web1\",\"ServiceName\":\"web\",\"ServiceTags\":["
		"\"a\\u003cb\"],"
		"\"Type\":\"tcp\",\"Definition\":{\"TCP\":\"x\"},\"CreateIndex\":1,\"ModifyIndex\":"
		"1}]}");
	ck_str_is(json_of(world_row(&w, &row, STATE_INSTANCES, "web", "ext", "web1"), false),
		"{\"ID\":\"11111111-1111-1111-1111-111111111111\",\"Node\":\"Ext\",\"Address\":"
		"\"10.0.0.1\","
		"\"Datacenter\":\"dc1\",\"TaggedAddresses\":null,\"NodeMeta\":null,\"ServiceKind\":"
		"\"\","
		"\"ServiceID\":\"web1\",\"ServiceName\":\"web\",\"ServiceTags\":[\"a\\u003cb\"],"
		"\"ServiceAddress\":\"\","
		"\"ServiceWeights\":{\"Passing\":1,\"Warning\":1},\"ServiceMeta\":{},"
		"\"ServicePort\":80,"
		"\"ServiceEnableTagOverride\":false,\"ServiceProxy\":{\"MeshGateway\":{},"
		"\"Expose\":{}},"
		"\"ServiceConnect\":{},\"CreateIndex\":1,\"ModifyIndex\":1}");
	ck_str_is(json_of(world_row(&w, &row, STATE_SERVICE_NAMES, "web", NULL, NULL), false),
		"\"web\":[\"a\\u003cb\"]");
	/* The same again changes nothing and wakes nobody. */
	APPLY(&w, cmd_register, &cmd);
	ck_assert_uint_eq(world_thing(&w, THING_SERVICE_HEALTH, "web"), 1);
	ck_assert_uint_eq(world_thing(&w, THING_NODES, ""), 1);
	world_fini(&w);
}
END_TEST

TEST(test_register_errors)
{
	struct world w;
	struct health_check check = { .check_id = STR("x"), .service_id = STR("none") };
	struct health_check serf = { .check_id = STR("serfHealth"), .status = STR("passing") };
	struct pair meta = { STR("a b"), STR("v") };
	struct cmd_register cmd = node_register("s1", uuid_1, "127.0.0.1");

	world_init(&w, NULL);
	cmd.checks.items = &check;
	cmd.checks.count = 1;
	APPLY(&w, cmd_register, &cmd);
	ck_result(&w, RESULT_ERROR,
		"failed inserting check: Missing service registration on node \"s1\"");
	ck_assert_uint_eq(world_thing(&w, THING_NODES, ""), 1); /* nothing of it stays */
	cmd.checks.items = &serf;
	APPLY(&w, cmd_register, &cmd);
	cmd = node_register("S1", uuid_2, "10.0.0.3");
	APPLY(&w, cmd_register, &cmd);
	ck_result(&w, RESULT_ERROR,
		"failed inserting node: Error while renaming Node ID: "
		"\"22222222-2222-2222-2222-222222222222\": Node name S1 "
		"is reserved by node 11111111-1111-1111-1111-111111111111 with name s1 "
		"(127.0.0.1)");
	cmd = node_register("ext", "", "10.0.0.3");
	check.node = STR("foo");
	cmd.checks.items = &check;
	cmd.checks.count = 1;
	APPLY(&w, cmd_register, &cmd);
	ck_result(&w, RESULT_ERROR, "check node \"foo\" does not match node \"ext\"");
	cmd.checks.count = 0;
	cmd.has_service = true;
	cmd.service = (struct service_def) {
		.id = STR("x"), .name = STR("x"), .meta = { &meta, 1, true }
	};
	APPLY(&w, cmd_register, &cmd);
	ck_result(&w, RESULT_ERROR,
		"failed inserting service: Invalid Service Meta for node ext and serviceID x: "
		"Couldn't load metadata pair "
		"('a b', 'v'): Key contains invalid characters");
	world_fini(&w);
}
END_TEST

TEST(test_node_keeps_its_id_under_a_new_name)
{
	OWN_EMBEDDED(buf_fini) struct buf row = { 0 };
	struct world w;
	struct str tag = STR("t");
	struct cmd_register cmd = node_register("old", uuid_1, "10.0.0.1");

	world_init(&w, NULL);
	cmd.has_service = true;
	cmd.service = web_service(&tag);
	APPLY(&w, cmd_register, &cmd);
	cmd = node_register("new", uuid_1, "10.0.0.1");
	APPLY(&w, cmd_register, &cmd);
	ck_result(&w, RESULT_OK, "true");
	ck_assert_uint_eq(world_row(&w, &row, STATE_NODES, "old", NULL, NULL).n, 0);
	ck_assert_uint_eq(world_row(&w, &row, STATE_HEALTH, "web", "old", "web1").n, 0);
	ck_assert_uint_eq(world_row(&w, &row, STATE_SERVICE_NAMES, "web", NULL, NULL).n, 0);
	ck_str_is(json_of(world_row(&w, &row, STATE_NODES, "new", NULL, NULL), false),
		"{\"ID\":\"11111111-1111-1111-1111-111111111111\",\"Node\":\"new\",\"Address\":"
		"\"10.0.0.1\","
		"\"Datacenter\":\"dc1\",\"TaggedAddresses\":null,\"Meta\":null,\"CreateIndex\":1,"
		"\"ModifyIndex\":2}");
	world_fini(&w);
}
END_TEST

static void kv(struct world *w, enum kv_op op, const char *key, const char *value, uint64_t index,
	const char *session)
{
	struct cmd_kv cmd = { .op = (uint8_t)op,
		.key = str_of(key),
		.value = str_of(value),
		.index = index,
		.session = str_of(session) };

	APPLY(w, cmd_kv, &cmd);
}

static struct kv_record kv_row(struct world *w, struct buf *row, const char *key)
{
	struct kv_record r = { 0 };

	if (world_row(w, row, STATE_KVS, key, NULL, NULL).n) {
		ck_assert_int_eq(kv_record_decode(buf_str(row), NULL, &r), 0);
	}
	return r;
}

TEST(test_kv_conditions)
{
	OWN_EMBEDDED(buf_fini) struct buf row = { 0 };
	struct world w;

	world_init(&w, NULL);
	kv(&w, KV_CAS, "k", "1", 0, "");
	ck_result(&w, RESULT_OK, "true");
	kv(&w, KV_CAS, "k", "2", 0, "");
	ck_result(&w, RESULT_OK, "false");
	kv(&w, KV_CAS, "k", "2", 1, "");
	ck_result(&w, RESULT_OK, "true");
	kv(&w, KV_SET, "k", "2", 0, ""); /* identical: the index stays */
	ck_assert_uint_eq(kv_row(&w, &row, "k").modify_index, 3);
	ck_assert_uint_eq(kv_row(&w, &row, "k").create_index, 1);
	kv(&w, KV_DELETE_CAS, "missing", "", 5, "");
	ck_result(&w, RESULT_OK, "true");
	kv(&w, KV_DELETE_CAS, "k", "", 0, "");
	ck_result(&w, RESULT_OK, "false");
	kv(&w, KV_SET, "k/a", "x", 0, "");
	kv(&w, KV_DELETE_TREE, "k", "", 0, "");
	ck_assert_uint_eq(kv_row(&w, &row, "k").modify_index, 0);
	ck_assert_uint_eq(world_row(&w, &row, STATE_TOMBSTONES, "k/a", NULL, NULL).n, 8);
	kv(&w, KV_SET, "", "x", 0, "");
	ck_result(&w, RESULT_ERROR, "Must provide key");
	world_fini(&w);
}
END_TEST

static struct uuid session_make(
	struct world *w, const char *id, const char *behavior, const char *check)
{
	struct str name = str_of(check);
	struct cmd_session_create cmd = { .session = { .node = STR("n"),
						  .behavior = str_of(behavior),
						  .lock_delay_ns = 15000000000,
						  .node_checks = { &name, check ? 1 : 0, true } } };

	ck_assert_int_eq(uuid_parse(str_of(id), &cmd.session.id), 0);
	APPLY(w, cmd_session_create, &cmd);
	return cmd.session.id;
}

static void delay_end(struct world *w, const char *key, uint64_t index)
{
	struct lock_delay d = { .key = str_of(key), .index = index };
	struct cmd_lock_delays_end cmd = { .items = { &d, 1 } };

	APPLY(w, cmd_lock_delays_end, &cmd);
}

TEST(test_locks_and_sessions)
{
	OWN_EMBEDDED(buf_fini) struct buf row = { 0 };
	uint64_t released;
	struct world w;
	struct cmd_register cmd = node_register("n", "", "10.0.0.1");
	struct health_check check = { .check_id = STR("alive"), .status = STR("passing") };
	struct uuid holder;

	world_init(&w, NULL);
	session_make(&w, uuid_1, "release", NULL);
	ck_result(&w, RESULT_ERROR, "Missing node registration");
	cmd.checks.items = &check;
	cmd.checks.count = 1;
	APPLY(&w, cmd_register, &cmd);
	session_make(&w, uuid_1, "release", "nope");
	ck_result(&w, RESULT_ERROR, "Missing check 'nope' registration");
	session_make(&w, uuid_1, "release", "alive");
	ck_result(&w, RESULT_OK, "{\"ID\":\"11111111-1111-1111-1111-111111111111\"}");
	session_make(&w, uuid_2, "delete", NULL);
	kv(&w, KV_LOCK, "l", "v", 0, uuid_1);
	ck_result(&w, RESULT_OK, "true");
	ck_assert_uint_eq(kv_row(&w, &row, "l").lock_index, 1);
	kv(&w, KV_LOCK, "l", "v", 0, uuid_2);
	ck_result(&w, RESULT_OK, "false");
	kv(&w, KV_UNLOCK, "l", "w", 0, uuid_2);
	ck_result(&w, RESULT_OK, "false");
	kv(&w, KV_LOCK, "l", "v", 0, "foo");
	ck_result(
		&w, RESULT_ERROR, "failed session lookup: index error: UUID must be 36 characters");
	kv(&w, KV_LOCK, "l", "v", 0, "33333333-3333-3333-3333-333333333333");
	ck_result(&w, RESULT_ERROR, "invalid session \"33333333-3333-3333-3333-333333333333\"");
	kv(&w, KV_LOCK, "l", "v", 0, "");
	ck_result(&w, RESULT_ERROR, "missing session");
	/* Its check fails: the key is released in the same command and cannot be locked for 15 s.
	 */
	check.status = STR("critical");
	APPLY(&w, cmd_register, &cmd);
	holder = kv_row(&w, &row, "l").session;
	ck_assert(uuid_is_zero(&holder));
	released = w.index;
	ck_assert_uint_eq(kv_row(&w, &row, "l").modify_index, released);
	kv(&w, KV_LOCK, "l", "v", 0, uuid_2);
	ck_result(&w, RESULT_OK, "false");
	delay_end(&w, "l", released + 1); /* of another delay */
	kv(&w, KV_LOCK, "l", "v", 0, uuid_2);
	ck_result(&w, RESULT_OK, "false");
	delay_end(&w, "l", released);
	kv(&w, KV_LOCK, "l", "v", 0, uuid_2);
	ck_result(&w, RESULT_OK, "true");
	ck_assert_uint_eq(kv_row(&w, &row, "l").lock_index, 2);
	world_fini(&w);
}
END_TEST

TEST(test_commands_of_a_lost_leadership_are_void)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct world w;
	struct cmd_kv kv_cmd = { .op = KV_SET, .key = STR("k"), .value = STR("v") };
	struct cmd_as_leader cmd = { .term = 2, .type = COMMAND_cmd_kv };

	world_init(&w, NULL);
	cmd_kv_encode(&payload, &kv_cmd);
	cmd.payload = buf_str(&payload);
	APPLY(&w, cmd_as_leader, &cmd); /* the entry's term is 1 */
	ck_result(&w, RESULT_ERROR, "leadership lost");
	cmd.term = 1;
	cmd.type = COMMAND_cmd_as_leader;
	APPLY(&w, cmd_as_leader, &cmd);
	ck_result(&w, RESULT_ERROR, "leadership lost");
	ck_assert_uint_eq(world_row(&w, &payload, STATE_KVS, "k", NULL, NULL).n, 0);
	cmd_kv_encode(&payload, &kv_cmd);
	cmd.type = COMMAND_cmd_kv;
	cmd.payload = buf_str(&payload);
	APPLY(&w, cmd_as_leader, &cmd);
	ck_result(&w, RESULT_OK, "true");
	world_fini(&w);
}
END_TEST

TEST(test_autopilot_configuration)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct world w;
	struct cmd_autopilot cmd = { .config = { .max_trailing_logs = 1 }, .cas = true };
	struct autopilot_record r;
	struct kv_txn *t;

	world_init(&w, NULL);
	APPLY(&w, cmd_autopilot, &cmd);
	ck_result(&w, RESULT_OK, "true");
	cmd.config.max_trailing_logs = 2;
	APPLY(&w, cmd_autopilot, &cmd);
	ck_result(&w, RESULT_OK, "false");
	cmd.index = 1;
	APPLY(&w, cmd_autopilot, &cmd);
	ck_result(&w, RESULT_OK, "true");
	cmd.cas = false;
	cmd.config.max_trailing_logs = 3;
	APPLY(&w, cmd_autopilot, &cmd);
	t = world_begin(&w);
	ck_assert_int_eq(catalog_autopilot(t, &arena, &r), 0);
	kv_abort(t);
	ck_assert_uint_eq(r.config.max_trailing_logs, 3);
	ck_assert_uint_eq(r.create_index, 1);
	ck_assert_uint_eq(r.modify_index, w.index);
	world_fini(&w);
}
END_TEST

TEST(test_node_removal_ends_sessions)
{
	OWN_EMBEDDED(buf_fini) struct buf row = { 0 };
	struct world w;
	struct cmd_register cmd = node_register("n", "", "10.0.0.1");
	struct cmd_deregister gone = { .node = STR("N") };

	world_init(&w, NULL);
	APPLY(&w, cmd_register, &cmd);
	session_make(&w, uuid_1, "delete", NULL);
	kv(&w, KV_LOCK, "l", "v", 0, uuid_1);
	APPLY(&w, cmd_deregister, &gone);
	ck_assert_uint_eq(world_row(&w, &row, STATE_KVS, "l", NULL, NULL).n, 0);
	ck_assert_uint_eq(world_row(&w, &row, STATE_LOCK_DELAYS, "l", NULL, NULL).n, 16);
	ck_assert_uint_eq(world_thing(&w, THING_SESSIONS, ""), w.index);
	world_fini(&w);
}
END_TEST

TEST(test_repeats_are_applied_once)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct world w;
	struct cmd_kv cmd = { .op = KV_CAS, .key = STR("k"), .value = STR("v") };
	struct uuid newest = { { 9, 0, 1, REQUESTS_MAX >> 16 } };
	struct kv_txn *t;

	world_init(&w, NULL);
	cmd_kv_encode(&payload, &cmd);
	for (uint32_t i = 0; i < REQUESTS_MAX + 10; i++) {
		struct uuid id = { { (uint8_t)i, (uint8_t)(i >> 8), 1, (uint8_t)(i >> 16) } };

		apply_one(&w, &id, COMMAND_cmd_kv, buf_str(&payload));
		ck_str_is(w.out.result.payload, i ? "false" : "true");
		ck_assert(!w.out.repeated);
		if (i < REQUESTS_MAX && i % 64 == 0) {
			struct uuid first = { { 0, 0, 1 } };

			apply_one(&w, &first, COMMAND_cmd_kv, buf_str(&payload));
			ck_assert(w.out.repeated);
			ck_result(&w, RESULT_OK, "true");
		}
	}
	t = world_begin(&w);
	ck_assert_uint_eq(kv_count(t, STATE_REQUESTS), REQUESTS_MAX);
	/* What is kept in memory of them can be loaded again. */
	catalog_open(w.c, t);
	ck_assert(catalog_request_find(w.c, t, &newest, &w.out.result));
	ck_str_is(w.out.result.payload, "false");
	newest.b[15] = 1;
	ck_assert(!catalog_request_find(w.c, t, &newest, &w.out.result));
	ck_assert_uint_eq(kv_count(t, STATE_REQUESTS), REQUESTS_MAX);
	kv_abort(t);
	world_fini(&w);
}
END_TEST

TEST(test_tombstones_are_reaped)
{
	OWN_EMBEDDED(buf_fini) struct buf row = { 0 };
	struct world w;
	struct cmd_reap reap = { 0 };
	struct kv_txn *t;

	world_init(&w, NULL);
	kv(&w, KV_SET, "a", "1", 0, "");
	kv(&w, KV_DELETE, "a", "", 0, "");
	reap.index = w.index;
	kv(&w, KV_SET, "b", "1", 0, "");
	kv(&w, KV_DELETE, "b", "", 0, "");
	APPLY(&w, cmd_reap, &reap);
	ck_assert_uint_eq(world_row(&w, &row, STATE_TOMBSTONES, "a", NULL, NULL).n, 0);
	ck_assert_uint_eq(world_row(&w, &row, STATE_TOMBSTONES, "b", NULL, NULL).n, 8);
	t = world_begin(&w);
	ck_assert_uint_eq(thing_kv_index(t, STR("a")), 2); /* the floor: it never goes back */
	ck_assert_uint_eq(thing_kv_index(t, STR("b")), 4);
	kv_abort(t);
	world_fini(&w);
}
END_TEST

/* One operation on a key, in the notation of the test below. */
struct step {
	const char *verb, *key, *value;
	uint64_t index;
};

static void transaction(struct world *w, const struct step *steps, uint32_t count)
{
	struct txn_op ops[8] = { 0 };
	struct buf rooms[8] = { 0 };
	struct cmd_txn cmd = { .ops = { ops, count } };

	for (uint32_t i = 0; i < count; i++) {
		struct cmd_kv one = { .key = str_of(steps[i].key),
			.value = str_of(steps[i].value) };

		cmd_kv_encode(&rooms[i], &one);
		ops[i] = (struct txn_op) { TXN_KV, str_of(steps[i].verb), steps[i].index,
			buf_str(&rooms[i]) };
	}
	APPLY(w, cmd_txn, &cmd);
	for (uint32_t i = 0; i < count; i++) {
		buf_fini(&rooms[i]);
	}
}

TEST(test_transactions)
{
	OWN_EMBEDDED(buf_fini) struct buf row = { 0 };
	struct world w;
	const struct step good[] = { { "set", "a", "1", 0 }, { "get", "a", "", 0 },
		{ "delete", "a", "", 0 }, { "check-not-exists", "a", "", 0 }, { "set", "b", "", 0 },
		{ "get-tree", "b", "", 0 } };
	const struct step bad[] = { { "set", "a", "1", 0 }, { "get", "nope1", "", 0 },
		{ "bogus", "b", "", 0 }, { "cas", "b", "", 9 }, { "delete-cas", "b", "", 9 },
		{ "check-index", "b", "", 5 }, { "delete-tree", "b", "", 0 } };
	const struct step refused[] = { { "set", "", "1", 0 }, { "get", "nope", "", 0 } };

	world_init(&w, NULL);
	transaction(&w, good, ARRAY_SIZE(good));
	ck_result(&w, RESULT_OK,
		"{\"Results\":[{\"KV\":{\"LockIndex\":0,\"Key\":\"a\",\"Flags\":0,\"Value\":null,"
		"\"CreateIndex\":1,"
		"\"ModifyIndex\":1}},{\"KV\":{\"LockIndex\":0,\"Key\":\"a\",\"Flags\":0,\"Value\":"
		"\"MQ==\",\"CreateIndex\":1,"
		"\"ModifyIndex\":1}},{\"KV\":{\"LockIndex\":0,\"Key\":\"b\",\"Flags\":0,\"Value\":"
		"null,\"CreateIndex\":1,"
		"\"ModifyIndex\":1}},{\"KV\":{\"LockIndex\":0,\"Key\":\"b\",\"Flags\":0,\"Value\":"
		"null,\"CreateIndex\":1,"
		"\"ModifyIndex\":1}}],\"Errors\":null}");
	transaction(&w, bad, ARRAY_SIZE(bad));
	ck_result(&w, RESULT_CONFLICT,
		"{\"Results\":null,\"Errors\":[{\"OpIndex\":1,\"What\":\"key \\\"nope1\\\" doesn't "
		"exist\"},"
		"{\"OpIndex\":2,\"What\":\"unknown KV verb \\\"bogus\\\"\"},"
		"{\"OpIndex\":3,\"What\":\"failed to set key \\\"b\\\", index is stale\"},"
		"{\"OpIndex\":4,\"What\":\"failed to delete key \\\"b\\\", index is stale\"},"
		"{\"OpIndex\":5,\"What\":\"failed index check for key \\\"b\\\", current modify "
		"index 1 != 5\"}]}");
	ck_assert_uint_eq(world_row(&w, &row, STATE_KVS, "a", NULL, NULL).n, 0);
	ck_assert_uint_gt(world_row(&w, &row, STATE_KVS, "b", NULL, NULL).n, 0);
	ck_assert_uint_eq(world_thing(&w, THING_KVS, ""), 1);
	transaction(&w, refused, ARRAY_SIZE(refused));
	ck_result(&w, RESULT_CONFLICT,
		"{\"Results\":null,\"Errors\":[{\"OpIndex\":0,\"What\":\"Must provide key\"}]}");
	world_fini(&w);
}
END_TEST

static void validated(uint16_t type, struct buf *payload, const char *expected)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 }, why = { 0 };
	struct catalog_rules rules = { .session_ttl_min_ns = 10000000000 };

	ck_assert_int_eq(catalog_validate(&rules, type, buf_str(payload), &arena, &out, &why),
		*expected ? ST_INVALID : 0);
	ck_buf_is(&why, expected);
	buf_clear(payload);
}

TEST(test_requests_are_checked)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct cmd_register cmd = node_register("ext", "zz", "10.0.0.1");
	struct cmd_session_create session = { .session = { .node = STR("n"), .ttl = STR("5ms") } };
	struct cmd_deregister gone = { .node = STR("") };

	cmd_register_encode(&payload, &cmd);
	validated(COMMAND_cmd_register, &payload, "Bad node ID: uuid string is wrong length");
	cmd = node_register("ext", "11111111-1111-1111-1111-11111111111z", "");
	cmd_register_encode(&payload, &cmd);
	validated(COMMAND_cmd_register, &payload,
		"Bad node ID: encoding/hex: invalid byte: U+007A 'z'");
	cmd = node_register("ext", "", "");
	cmd_register_encode(&payload, &cmd);
	validated(COMMAND_cmd_register, &payload,
		"Must provide address if SkipNodeUpdate is not set");
	cmd = node_register("ext", "", "10.0.0.1");
	cmd.has_service = true;
	cmd.service = (struct service_def) { .id = STR("x") };
	cmd_register_encode(&payload, &cmd);
	validated(COMMAND_cmd_register, &payload, "Must provide service name with ID");
	cmd_session_create_encode(&payload, &session);
	validated(COMMAND_cmd_session_create, &payload,
		"Invalid Session TTL '5000000', must be between [10s=24h0m0s]");
	session.session.ttl = STR("30s");
	cmd_session_create_encode(&payload, &session);
	validated(COMMAND_cmd_session_create, &payload, "");
	cmd_deregister_encode(&payload, &gone);
	validated(COMMAND_cmd_deregister, &payload, "Must provide node");
	buf_put_char(&payload, 'x');
	validated(COMMAND_cmd_register, &payload, "malformed request");
	validated(99, &payload, "unknown request");
}
END_TEST

TEST(test_snapshot_refuses_malformed)
{
	ck_assert_int_eq(catalog_snapshot_check(STR("")), 0);
	ck_assert_int_eq(catalog_snapshot_check(STR("abc")), ST_INVALID);
	ck_assert_int_eq(catalog_snapshot_check(STR("\x04\x00\x00\x00zzzz")), ST_INVALID);
}
END_TEST

UNIT_MAIN("catalog_core", test_register_renders, test_register_errors,
	test_node_keeps_its_id_under_a_new_name, test_kv_conditions, test_locks_and_sessions,
	test_commands_of_a_lost_leadership_are_void, test_autopilot_configuration,
	test_node_removal_ends_sessions, test_repeats_are_applied_once, test_tombstones_are_reaped,
	test_transactions, test_requests_are_checked, test_snapshot_refuses_malformed)
