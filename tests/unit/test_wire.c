/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/msg: rows become code that reads back what it wrote and refuses everything else.
 */
#include "tests/unit/unit.h"

#include "common/msg/message.h"
#include "common/msg/state.h"

static void register_encode(struct buf *out)
{
	struct str tags[] = { STR("a"), STR("b") };
	struct pair meta[] = { { STR("k"), STR("v") } };
	struct health_check checks[] = {
		{ .check_id = STR("c1"), .status = STR("passing"), .definition_json = STR("{}") }
	};
	struct cmd_register r = { .node = { .node = STR("n1"),
					  .address = STR("10.0.0.1"),
					  .meta = { meta, 1, true } },
		.has_service = true,
		.service = { .id = STR("web1"),
			.name = STR("web"),
			.tags = { tags, 2, true },
			.port = -1 },
		.checks = { checks, 1 } };

	cmd_register_encode(out, &r);
}

TEST(test_round_trip)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct jsonw w = jsonw_of(&text);
	struct cmd_register r;

	register_encode(&bytes);
	ck_assert_int_eq(cmd_register_decode(buf_str(&bytes), &arena, &r), 0);
	ck_str_is(r.service.tags.items[1], "b");
	ck_assert_int_eq(r.service.port, -1);
	ck_assert(!r.node.tagged_addresses.present);
	ck_str_is(r.checks.items[0].check_id, "c1");
	cmd_register_dump(&w, &r);
	ck_assert(str_find_str(buf_str(&text), STR("\"meta\":{\"k\":\"v\"}")) > 0);
}
END_TEST

TEST(test_every_cut_is_refused)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };

	register_encode(&bytes);
	for (size_t n = 0; n < bytes.n; n++) {
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
		struct cmd_register r;

		ck_assert_int_ne(cmd_register_decode(str_n(bytes.p, n), &arena, &r), 0);
	}
	buf_put_char(&bytes, 'x');
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct cmd_register r;

	ck_assert_int_eq(cmd_register_decode(buf_str(&bytes), &arena, &r), ST_INVALID);
}
END_TEST

TEST(test_lying_count_costs_nothing)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct cmd_txn txn;

	buf_put_u32(&bytes, 0xffffffffu);
	ck_assert_int_ne(cmd_txn_decode(buf_str(&bytes), &arena, &txn), 0);
	ck_assert_ptr_null(arena.blocks);
}
END_TEST

TEST(test_numbers)
{
	ck_assert_str_eq(command_name(COMMAND_cmd_txn), "cmd_txn");
	ck_assert_str_eq(message_find(MSG_catalog_propose)->name, "catalog_propose");
	ck_assert_int_eq(message_find(MSG_catalog_propose)->role, ROLE_WRITE);
	ck_assert_ptr_null(message_find(0xffff));
}
END_TEST

TEST(test_thing_index)
{
	OWN(kv_mem_free) struct kv_mem *m = kv_mem_new(STATE_TABLES_COUNT);
	struct kv_txn *t = kv_mem_begin(m);
	uint64_t index = 9, floor = 4;
	const char key[] = { THING_NODE, 'n' }, floor_key[] = { THING_FLOOR, THING_NODE };

	ck_assert_uint_eq(thing_index(t, THING_NODE, STR("n")), 1);
	kv_put(t, STATE_THINGS, str_n(floor_key, 2), str_n(&floor, 8));
	ck_assert_uint_eq(thing_index(t, THING_NODE, STR("n")), 4);
	kv_put(t, STATE_THINGS, str_n(key, 2), str_n(&index, 8));
	ck_assert_uint_eq(thing_index(t, THING_NODE, STR("n")), 9);
	kv_abort(t);
}
END_TEST

UNIT_MAIN("wire", test_round_trip, test_every_cut_is_refused, test_lying_count_costs_nothing,
	test_numbers, test_thing_index)
