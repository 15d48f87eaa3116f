/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd/pool.h: which members of the pool are servers that raftd is to talk to, and where.
 */
#include "raftd/pool.h"

#include "tests/unit/unit.h"

#define ID_A "0a000000-0000-4000-8000-000000000000"
#define ID_B "0b000000-0000-4000-8000-000000000000"

enum { ALIVE = 1, LEAVING = 2, LEFT = 3, FAILED = 4 };

static const struct uuid self = { { 0x51 } };

static struct member member(
	struct pair tags[2], const char *id, const char *addr, const char *port, uint8_t status)
{
	tags[0] = (struct pair) { STR("id"), str_of(id) };
	tags[1] = (struct pair) { STR("port"), str_of(port) };
	return (struct member) {
		.name = STR("n"), .addr = str_of(addr), .tags = { tags, 2, true }, .status = status
	};
}

TEST(members)
{
	static const struct {
		const char *id, *addr, *port;
		uint8_t status;
		const char *wanted; /* NULL: none */
	} rows[] = {
		{ ID_A, "10.0.0.1", "8300", ALIVE, "10.0.0.1:8300" },
		{ ID_A, "10.0.0.1", "9000", FAILED, "10.0.0.1:9000" },
		{ ID_A, "10.0.0.1", "8300", LEAVING, "10.0.0.1:8300" },
		{ ID_A, "fd00::1", "8300", ALIVE, "[fd00::1]:8300" },
		{ ID_A, "10.0.0.1", "8300", LEFT, NULL },
		{ ID_A, "10.0.0.1", "0", ALIVE, NULL },
		{ ID_A, "10.0.0.1", "65536", ALIVE, NULL },
		{ ID_A, "10.0.0.1", "", ALIVE, NULL },
		{ ID_A, "10.0.0.1", "port", ALIVE, NULL },
		{ "", "10.0.0.1", "8300", ALIVE, NULL },
		{ "nobody", "10.0.0.1", "8300", ALIVE, NULL },
		{ "00000000-0000-0000-0000-000000000000", "10.0.0.1", "8300", ALIVE, NULL },
		{ "51000000-0000-0000-0000-000000000000", "10.0.0.1", "8300", ALIVE, NULL },
		{ ID_A, "an address that is longer than there is room for, and no address at all",
			"8300", ALIVE, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pool_server out[POOL_SERVERS_MAX];
		struct pair tags[2];
		struct member m =
			member(tags, rows[i].id, rows[i].addr, rows[i].port, rows[i].status);
		struct gossip_servers_reply reply = { .servers = { &m, 1 } };
		size_t dropped, count = pool_servers(&reply, &self, out, &dropped);

		ck_assert_uint_eq(dropped, 0);
		ck_assert_msg(count == (rows[i].wanted != NULL), "row %zu", i);
		if (count) {
			ck_assert_str_eq(out[0].address, rows[i].wanted);
			ck_assert_uint_eq(out[0].id.b[0], 0x0a);
		}
	}
}
END_TEST

TEST(one_id_twice)
{
	struct pool_server out[POOL_SERVERS_MAX];
	struct pair tags[3][2];
	struct member all[] = { member(tags[0], ID_A, "10.0.0.1", "8300", FAILED),
		member(tags[1], ID_A, "10.0.0.2", "8300", ALIVE),
		member(tags[2], ID_A, "10.0.0.3", "8300", FAILED) };
	struct gossip_servers_reply reply = { .servers = { all, 3 } };
	size_t dropped;

	ck_assert_uint_eq(pool_servers(&reply, &self, out, &dropped), 1);
	ck_assert_str_eq(out[0].address, "10.0.0.2:8300");
}
END_TEST

TEST(more_than_there_is_room_for)
{
	enum { MANY = POOL_SERVERS_MAX + 3 };
	struct pool_server out[POOL_SERVERS_MAX];
	struct pair tags[MANY][2];
	char ids[MANY][64];
	struct member all[MANY];
	struct gossip_servers_reply reply = { .servers = { all, MANY } };
	size_t dropped;

	for (int i = 0; i < MANY; i++) {
		snprintf(ids[i], sizeof(ids[i]), "%02x000000-0000-4000-8000-000000000001", i + 1);
		all[i] = member(tags[i], ids[i], "10.0.0.1", "8300", ALIVE);
	}
	ck_assert_uint_eq(pool_servers(&reply, &self, out, &dropped), POOL_SERVERS_MAX);
	ck_assert_uint_eq(dropped, 3);
}
END_TEST

UNIT_MAIN("pool_servers", members, one_id_twice, more_than_there_is_room_for)
