/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/client/server_table: which servers there are by what gossip says, and which is asked.
 */
#include "tests/unit/unit.h"

#include "common/client/server_table.h"

enum { ALIVE = 1, LEAVING = 2, LEFT = 3, FAILED = 4, ROUNDS = 3000 };

static const struct uuid self = { { 0xff } };

static struct uuid uuid_of(int number)
{
	return (struct uuid) { { (uint8_t)number } };
}

/* A member as gossipd tells it; every text lives in the arena. */
struct made {
	int number, status;
	const char *name, *dc;
	const char *role;      /* NULL: consul */
	const char *http_port; /* NULL: none told */
};

static struct member member_make(struct arena *a, const struct made *m)
{
	struct uuid uuid = uuid_of(m->number);
	struct pair *tags = arena_array(a, struct pair, 4);
	char id[UUID_TEXT_SIZE + 1];
	uint32_t count = 0;

	uuid_text(m->number < 0 ? &self : &uuid, id);
	tags[count++] = (struct pair) { STR("dc"), str_of(m->dc) };
	if (m->http_port) {
		tags[count++] = (struct pair) { STR("http_port"), str_of(m->http_port) };
	}
	tags[count++] = (struct pair) { STR("id"), arena_str(a, str_of(id)) };
	tags[count++] = (struct pair) { STR("role"), str_of(m->role ? m->role : "consul") };
	return (struct member) {
		.name = str_of(m->name),
		.addr = arena_printf(a, "10.0.0.%d", m->number),
		.status = (uint8_t)m->status,
		.tags = { tags, count, true },
	};
}

static void update(struct server_table *t, bool wan, const struct made *made, uint32_t count)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct member members[8];

	for (uint32_t i = 0; i < count; i++) {
		members[i] = member_make(&arena, &made[i]);
	}
	server_table_update(t, members, count, wan);
}
#define UPDATE(t, wan, ...)                                             \
	do {                                                            \
		const struct made made_[] = { __VA_ARGS__ };            \
		update((t), (wan), made_, (uint32_t)ARRAY_SIZE(made_)); \
	} while (0)

static const struct mono start = { 1000 * NS_PER_S };

/* The number of the server that is offered at a time, 0: none. */
static int pick_at(struct server_table *t, const char *dc, int64_t at_ms)
{
	struct server s;

	return server_table_pick(t, str_of(dc), NULL, 0, mono_add_ms(start, at_ms), &s)
		       ? s.uuid.b[0]
		       : 0;
}

static void fail_at(struct server_table *t, int number, int64_t at_ms)
{
	struct uuid uuid = uuid_of(number);

	server_table_failed(t, &uuid, mono_add_ms(start, at_ms));
}

TEST(test_members)
{
	OWN_EMBEDDED(server_table_fini) struct server_table t;
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct server s;
	struct strs dcs;

	server_table_init(&t, &self, STR("dc1"), 1);
	ck_assert_int_eq(pick_at(&t, "dc1", 0), 0);
	ck_assert(!server_table_knows(&t, STR("dc1")));
	UPDATE(&t, false, { -1, ALIVE, "me", "dc1" }, { 1, ALIVE, "s1", "dc1" },
		{ 2, ALIVE, "c1", "dc1", "node" }, { 3, FAILED, "s3", "dc1" },
		{ 4, LEFT, "s4", "dc1" }, { 5, LEAVING, "s5", "dc1" });
	UPDATE(&t, true, { 1, ALIVE, "s1.dc1", "dc1" },
		{ 6, ALIVE, "far.dc2", "dc2", NULL, "9310" },
		{ 7, FAILED, "dead.dc3", "dc3", NULL, "0" }, { 8, LEFT, "gone.dc4", "dc4" });

	for (int i = 0; i < 50; i++) { /* neither this node nor any that is not alive */
		ck_assert_int_eq(pick_at(&t, "dc1", i), 1);
	}
	ck_assert_uint_eq(server_table_alive(&t, STR("dc1")), 1);
	ck_assert(server_table_pick(&t, STR("dc2"), NULL, 0, start, &s));
	ck_str_is(s.name, "far");
	ck_str_is(s.datacenter, "dc2");
	ck_str_is(s.ip, "10.0.0.6");
	ck_assert_uint_eq(s.http_port, 9310);
	ck_assert_uint_eq(s.dns_port, SERVER_DNS_PORT);
	ck_assert(server_table_knows(&t, STR("dc3"))); /* known, though nobody can be asked */
	ck_assert_int_eq(pick_at(&t, "dc3", 0), 0);
	ck_assert(!server_table_knows(&t, STR("dc4")));
	ck_assert(!server_table_knows(&t, STR("DC2")));

	server_table_datacenters(&t, &arena, &dcs);
	ck_assert_uint_eq(dcs.count, 3);
	ck_str_is(dcs.items[0], "dc1");
	ck_str_is(dcs.items[2], "dc3");

	UPDATE(&t, true, { 7, ALIVE, "dead.dc3", "dc3" });
	ck_assert(!server_table_knows(&t, STR("dc2"))); /* what the pool has forgotten */
	ck_assert_int_eq(pick_at(&t, "dc3", 0), 7);
	ck_assert_int_eq(pick_at(&t, "dc1", 0), 1); /* that pool said nothing */
}

TEST(test_spread)
{
	OWN_EMBEDDED(server_table_fini) struct server_table t;
	struct uuid tried[] = { uuid_of(1), uuid_of(2), uuid_of(3) };
	int counts[4] = { 0 };
	struct server s;

	server_table_init(&t, &self, STR("dc1"), 7);
	UPDATE(&t, false, { 1, ALIVE, "s1", "dc1" }, { 2, ALIVE, "s2", "dc1" },
		{ 3, ALIVE, "s3", "dc1" });
	for (int i = 0; i < ROUNDS; i++) {
		counts[pick_at(&t, "dc1", 0)]++;
	}
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_gt(counts[i], ROUNDS / 4);
		ck_assert_int_lt(counts[i], ROUNDS * 2 / 5);
	}
	for (int i = 0; i < 50; i++) { /* none that this request has tried */
		ck_assert(server_table_pick(&t, STR("dc1"), tried, 2, start, &s));
		ck_assert_int_eq(s.uuid.b[0], 3);
	}
	ck_assert(!server_table_pick(&t, STR("dc1"), tried, 3, start, &s));
}

TEST(test_bench)
{
	OWN_EMBEDDED(server_table_fini) struct server_table t;
	struct uuid one = uuid_of(1);
	int64_t at = 0;
	int ones = 0;

	server_table_init(&t, &self, STR("dc1"), 3);
	UPDATE(&t, false, { 1, ALIVE, "s1", "dc1" }, { 2, ALIVE, "s2", "dc1" });
	for (int64_t ms = SERVER_BENCH_FIRST_MS; at < 200000; ms = min_of(2 * ms, (int64_t)30000)) {
		fail_at(&t, 1, at);
		fail_at(&t, 1, at + 1); /* of the same crowd */
		for (int i = 0; i < 20; i++) {
			ck_assert_int_eq(pick_at(&t, "dc1", at), 2);
			ck_assert_int_eq(pick_at(&t, "dc1", at + ms - 1), 2);
		}
		at += ms;
		ones = 0;
		for (int i = 0; i < 100; i++) {
			ones += pick_at(&t, "dc1", at) == 1;
		}
		ck_assert_int_gt(ones, 20);
	}
	fail_at(&t, 1, at);
	server_table_good(&t, &one);
	ones = 0;
	for (int i = 0; i < 100; i++) {
		ones += pick_at(&t, "dc1", at) == 1;
	}
	ck_assert_int_gt(ones, 20);
	fail_at(&t, 1, at); /* from the beginning again */
	ck_assert_int_eq(pick_at(&t, "dc1", at + SERVER_BENCH_FIRST_MS - 1), 2);
	fail_at(&t, 2, at + 100);
	for (int i = 0; i < 20; i++) { /* nobody else is left: whose time is over first */
		ck_assert_int_eq(pick_at(&t, "dc1", at + 200), 1);
	}
}

TEST(test_come_back)
{
	OWN_EMBEDDED(server_table_fini) struct server_table t;
	int ones = 0;

	server_table_init(&t, &self, STR("dc1"), 5);
	UPDATE(&t, false, { 1, ALIVE, "s1", "dc1" }, { 2, ALIVE, "s2", "dc1" });
	fail_at(&t, 1, 0);
	UPDATE(&t, false, { 1, ALIVE, "s1", "dc1" }, { 2, ALIVE, "s2", "dc1" });
	ck_assert_int_eq(pick_at(&t, "dc1", 1), 2); /* no news */
	UPDATE(&t, false, { 1, FAILED, "s1", "dc1" }, { 2, ALIVE, "s2", "dc1" });
	ck_assert_int_eq(pick_at(&t, "dc1", 100000), 2);
	UPDATE(&t, false, { 1, ALIVE, "s1", "dc1" }, { 2, ALIVE, "s2", "dc1" });
	for (int i = 0; i < 100; i++) {
		ones += pick_at(&t, "dc1", 2) == 1;
	}
	ck_assert_int_gt(ones, 20);
	fail_at(&t, 1, 3);
	ck_assert_int_eq(pick_at(&t, "dc1", 4), 2);
	UPDATE(&t, false, { 1, ALIVE, "s1", "dc1", NULL, "9310" }, { 2, ALIVE, "s2", "dc1" });
	ones = 0;
	for (int i = 0; i < 100; i++) { /* it has moved */
		ones += pick_at(&t, "dc1", 5) == 1;
	}
	ck_assert_int_gt(ones, 20);
}

/* The leader is known by where it is. */
TEST(test_find)
{
	OWN_EMBEDDED(server_table_fini) struct server_table t;
	struct server found;

	server_table_init(&t, &self, STR("dc1"), 1);
	UPDATE(&t, false, { 1, ALIVE, "a", "dc1" }, { 2, FAILED, "b", "dc1", NULL, "9310" },
		{ -1, ALIVE, "me", "dc1" });
	UPDATE(&t, true, { 3, ALIVE, "c.dc2", "dc2" });
	ck_assert(server_table_find(&t, STR("10.0.0.1"), SERVER_HTTP_PORT, &found));
	ck_str_is(found.name, "a");
	ck_assert(server_table_find(&t, STR("10.0.0.2"), 9310, &found));
	ck_assert(!server_table_find(&t, STR("10.0.0.2"), SERVER_HTTP_PORT, &found));
	ck_assert(!server_table_find(&t, STR("10.0.0.3"), SERVER_HTTP_PORT, &found));
	ck_assert(!server_table_find(&t, STR("10.0.0.-1"), SERVER_HTTP_PORT, &found));
}
END_TEST

UNIT_MAIN("server_table", test_members, test_spread, test_bench, test_come_back, test_find)
