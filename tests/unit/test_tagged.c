/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/msg/tagged.c: which address is taken; the rows are what Consul 1.8.7 answers.
 */
#include "tests/unit/unit.h"

#include "common/msg/naming.h"

static const struct {
	const char *plain;
	const char *tagged[4][2];
	const char *chosen[NAMING_FACES_COUNT]; /* ANY, A, AAAA; the same for other data centres */
} rows[] = {
	{ "10.0.0.1",
		{ { "lan_ipv4", "10.0.1.1" }, { "lan_ipv6", "fd00::1" }, { "wan", "10.0.2.1" },
			{ "wan_ipv4", "10.0.3.1" } },
		{ "fd00::1", "10.0.1.1", "fd00::1", "fd00::1", "10.0.3.1", "fd00::1" } },
	{ "10.0.0.2", { { "wan", "10.0.2.2" } },
		{ "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.2.2", "10.0.2.2", "10.0.2.2" } },
	{ "10.0.0.3", { { "wan", "10.0.2.3" }, { "wan_ipv6", "fd00::3" } },
		{ "10.0.0.3", "10.0.0.3", "10.0.0.3", "fd00::3", "10.0.2.3", "fd00::3" } },
	{ "fd00::44", { { "lan_ipv4", "10.0.1.4" }, { "wan", "host.example" }, { "wan_ipv4", "" } },
		{ "10.0.1.4", "10.0.1.4", "fd00::44", "host.example", "host.example",
			"host.example" } },
	{ "10.0.0.5", { { "lan", "10.9.9.9" }, { "other", "x" } },
		{ "10.0.0.5", "10.0.0.5", "10.0.0.5", "10.0.0.5", "10.0.0.5", "10.0.0.5" } },
};

static void row_check(size_t i)
{
	struct pair tagged[4];
	struct node_def def = { .node = STR("n"),
		.address = str_of(rows[i].plain),
		.tagged_addresses = { tagged, 0, true } };

	for (uint32_t n = 0; n < ARRAY_SIZE(tagged) && rows[i].tagged[n][0]; n++) {
		tagged[n].key = str_of(rows[i].tagged[n][0]);
		tagged[n].value = str_of(rows[i].tagged[n][1]);
		def.tagged_addresses.count++;
	}
	for (enum naming_face face = 0; face < NAMING_FACES_COUNT; face++) {
		ck_str_is(naming_face_address(&def, face), rows[i].chosen[face]);
	}
}

TEST(test_nodes)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		row_check(i);
	}
}
END_TEST

static struct naming_faced faced(const char *address)
{
	struct naming_faced f = { .plain = { .node = STR("n"),
					  .node_address = STR("10.0.0.1"),
					  .address = str_of(address),
					  .port = 80 } };

	return f;
}

TEST(test_ports)
{
	struct naming_faced f = faced("10.1.0.1");

	tagged_add(&f.tagged, STR("lan_ipv6"), STR("fd01::1"), 81);
	tagged_add(&f.tagged, STR("wan_ipv4"), STR("10.1.4.1"), 82);
	ck_assert_int_eq(naming_face_instance(&f, NAMING_FACE_WAN_A).port, 80);
	tagged_add(&f.tagged, STR("wan"), STR("10.1.3.1"), 84);
	ck_assert_int_eq(naming_face_instance(&f, NAMING_FACE_WAN_A).port, 84);
	ck_str_is(naming_face_instance(&f, NAMING_FACE_WAN_A).address, "10.1.4.1");
	ck_assert_int_eq(naming_face_instance(&f, NAMING_FACE_AAAA).port, 80);
	ck_str_is(naming_face_instance(&f, NAMING_FACE_AAAA).address, "fd01::1");
	ck_assert(naming_faces_agree(&f, NAMING_FACE_AAAA, NAMING_FACE_ANY));
	ck_assert(!naming_faces_agree(&f, NAMING_FACE_A, NAMING_FACE_ANY));
	ck_assert(!naming_faces_agree(&f, NAMING_FACE_WAN_ANY, NAMING_FACE_ANY)); /* the port */
}
END_TEST

/* SRV leads to the node's name only where that has the same address. */
TEST(test_node_addresses)
{
	struct naming_faced f = faced("");

	tagged_add(&f.node_tagged, STR("wan"), STR("192.0.2.1"), 0);
	ck_str_is(naming_face_instance(&f, NAMING_FACE_ANY).address, "");
	ck_str_is(naming_face_instance(&f, NAMING_FACE_ANY).node_address, "10.0.0.1");
	ck_str_is(naming_face_instance(&f, NAMING_FACE_WAN_ANY).address, "192.0.2.1");
	/* An empty one hides what is plain: then the node's counts. */
	f = faced("10.1.0.1");
	tagged_add(&f.tagged, STR("wan"), STR_NONE, 0);
	ck_str_is(naming_face_instance(&f, NAMING_FACE_WAN_ANY).address, "");
	ck_str_is(naming_face_instance(&f, NAMING_FACE_ANY).address, "10.1.0.1");
}
END_TEST

TEST(test_fallbacks)
{
	OWN(kv_mem_free) struct kv_mem *m = kv_mem_new(NAMING_TABLES_COUNT);
	struct kv_txn *t = kv_mem_begin(m);
	struct state_key room;
	struct str record;

	ck_assert(!naming_find(t, NAMING_OWNER_NODE, STR("n"), NAMING_FACE_WAN_AAAA, &record));
	kv_put(t, NAMING_NODES, STR("n"), STR("plain"));
	kv_put(t, NAMING_FACES,
		naming_face_key(&room, NAMING_OWNER_NODE, STR("n"), NAMING_FACE_WAN_ANY),
		STR("wan"));
	kv_put(t, NAMING_FACES,
		naming_face_key(&room, NAMING_OWNER_NODE, STR("n"), NAMING_FACE_WAN_A),
		STR("wan4"));
	ck_assert(naming_find(t, NAMING_OWNER_NODE, STR("n"), NAMING_FACE_AAAA, &record));
	ck_str_is(record, "plain");
	ck_assert(naming_find(t, NAMING_OWNER_NODE, STR("n"), NAMING_FACE_WAN_AAAA, &record));
	ck_str_is(record, "wan");
	ck_assert(naming_find(t, NAMING_OWNER_NODE, STR("n"), NAMING_FACE_WAN_A, &record));
	ck_str_is(record, "wan4");
	ck_assert(!naming_find(t, NAMING_OWNER_SERVICE, STR("n"), NAMING_FACE_WAN_A, &record));
	ck_assert_int_eq(naming_face(TAGGED_V6, true), NAMING_FACE_WAN_AAAA);
	ck_assert_int_eq(naming_face(TAGGED_ANY, false), NAMING_FACE_ANY);
	kv_abort(t);
}
END_TEST

UNIT_MAIN("tagged", test_nodes, test_ports, test_node_addresses, test_fallbacks)
