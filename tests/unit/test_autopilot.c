/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/core/autopilot: health, and which change of the quorum is due.
 */
#include "tests/unit/unit.h"

#include "catalogd/core/autopilot.h"

enum { SERVERS = 5 };

struct cluster {
	struct autopilot a;
	struct autopilot_config config;
	struct autopilot_sight servers[SERVERS + 2];
	struct autopilot_view view;
	struct autopilot_decision decision;
};

static struct uuid id_of(size_t i)
{
	return (struct uuid) { { (uint8_t)(i + 1) } };
}

/* n healthy voters; the first leads. */
static void cluster_init(struct cluster *c, size_t n)
{
	*c = (struct cluster) { .view = { .now = { NS_PER_S }, .term = 3, .last_index = 1000 } };
	autopilot_init_core(&c->a);
	autopilot_config_default(&c->config);
	c->view.servers = c->servers;
	c->view.servers_count = n;
	for (size_t i = 0; i < n; i++) {
		c->servers[i] = (struct autopilot_sight) { .id = id_of(i),
			.member = true,
			.voter = true,
			.leader = i == 0,
			.connected = true,
			.pool = POOL_ALIVE,
			.last_term = 3,
			.last_index = 1000 };
	}
}

static struct autopilot_sight *server_add(struct cluster *c)
{
	size_t i = c->view.servers_count++;

	c->servers[i] = (struct autopilot_sight) { .id = id_of(i),
		.connected = true,
		.pool = POOL_ALIVE,
		.last_term = 3,
		.last_index = 1000 };
	return &c->servers[i];
}

static void server_fail(struct cluster *c, size_t i)
{
	c->servers[i].connected = false;
	c->servers[i].pool = POOL_FAILED;
}

static enum autopilot_action step(struct cluster *c, int64_t after_ms)
{
	c->view.now = mono_add_ms(c->view.now, after_ms);
	c->view.now_wall.ns += after_ms * NS_PER_MS;
	autopilot_step(&c->a, &c->config, &c->view, &c->decision);
	return c->decision.action;
}

#define ck_decides(c, after_ms, wanted, server)                    \
	do {                                                       \
		struct uuid id_ = id_of(server);                   \
                                                                   \
		ck_assert_int_eq(step((c), (after_ms)), (wanted)); \
		ck_assert(uuid_eq(&(c)->decision.id, &id_));       \
	} while (0)

TEST(test_health)
{
	static const struct {
		bool connected;
		enum pool_status pool;
		uint64_t term, index;
		int64_t contact_ms;
		bool healthy;
	} rows[] = {
		{ true, POOL_ALIVE, 3, 1000, 200, true },
		{ true, POOL_NONE, 3, 750, 0, true },
		{ true, POOL_ALIVE, 3, 749, 0, false },
		{ true, POOL_ALIVE, 2, 1000, 0, false },
		{ true, POOL_ALIVE, 3, 1000, 201, false },
		{ true, POOL_ALIVE, 3, 1000, -1, false },
		{ true, POOL_FAILED, 3, 1000, 0, false },
		{ true, POOL_LEFT, 3, 1000, 0, false },
		{ false, POOL_ALIVE, 3, 1000, 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct uuid id = id_of(1);
		struct cluster c;
		struct wall since;
		bool all;

		cluster_init(&c, 3);
		c.servers[1].connected = rows[i].connected;
		c.servers[1].pool = rows[i].pool;
		c.servers[1].last_term = rows[i].term;
		c.servers[1].last_index = rows[i].index;
		c.servers[1].last_contact_ms = rows[i].contact_ms;
		step(&c, 0);
		ck_assert_int_eq(autopilot_healthy(&c.a, &id, &since), rows[i].healthy);
		ck_assert_uint_eq(
			autopilot_tolerance(&c.a, &c.view, &all), rows[i].healthy ? 1 : 0);
		ck_assert_int_eq(all, rows[i].healthy);
	}
}
END_TEST

TEST(test_stability_is_counted_from_the_last_change)
{
	struct uuid id = id_of(1);
	struct cluster c;
	struct wall since;

	cluster_init(&c, 3);
	step(&c, 0);
	c.servers[1].last_contact_ms = 5000;
	step(&c, 1000);
	c.servers[1].last_contact_ms = 0;
	step(&c, 1000);
	step(&c, 1000);
	ck_assert(autopilot_healthy(&c.a, &id, &since));
	ck_assert_int_eq(since.ns, 2000 * NS_PER_MS);
}
END_TEST

TEST(test_a_new_server_is_added_and_promoted)
{
	struct autopilot_sight *s;
	struct cluster c;

	cluster_init(&c, 3);
	ck_assert_int_eq(step(&c, 0), AUTOPILOT_NOTHING);
	s = server_add(&c);
	ck_decides(&c, 1000, AUTOPILOT_ADD, 3);
	s->member = true;
	ck_assert_int_eq(step(&c, 9999), AUTOPILOT_NOTHING);
	ck_decides(&c, 1, AUTOPILOT_PROMOTE, 3);
	s->voter = true;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	/* A read replica never votes. */
	s = server_add(&c);
	s->read_replica = true;
	ck_decides(&c, 1000, AUTOPILOT_ADD, 4);
	s->member = true;
	ck_assert_int_eq(step(&c, 60000), AUTOPILOT_NOTHING);
}
END_TEST

TEST(test_who_was_there_before_the_leadership_need_not_wait)
{
	struct cluster c;

	cluster_init(&c, 3);
	c.servers[2].voter = false;
	ck_decides(&c, 0, AUTOPILOT_PROMOTE, 2);
	/* but has to when it was not well since */
	cluster_init(&c, 3);
	c.servers[2].voter = false;
	c.servers[2].last_contact_ms = 1000;
	ck_assert_int_eq(step(&c, 0), AUTOPILOT_NOTHING);
	c.servers[2].last_contact_ms = 0;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	ck_decides(&c, 10000, AUTOPILOT_PROMOTE, 2);
}
END_TEST

TEST(test_a_dead_voter_goes_when_another_has_come)
{
	struct autopilot_sight *s;
	struct cluster c;

	cluster_init(&c, 3);
	step(&c, 0);
	server_fail(&c, 2);
	ck_assert_int_eq(step(&c, 60000), AUTOPILOT_NOTHING);
	s = server_add(&c);
	ck_decides(&c, 1000, AUTOPILOT_ADD, 3);
	s->member = true;
	ck_decides(&c, 1000, AUTOPILOT_REMOVE, 2);
	/* the next one that dies waits for the next replacement */
	c.servers[2] = c.servers[3];
	c.servers[2].voter = true;
	c.view.servers_count = 3;
	step(&c, 1000);
	server_fail(&c, 1);
	ck_assert_int_eq(step(&c, 60000), AUTOPILOT_NOTHING);
}
END_TEST

/* The new one came before the old one was given up. */
TEST(test_a_voter_that_dies_while_another_comes)
{
	struct autopilot_sight *s;
	struct cluster c;

	cluster_init(&c, 3);
	step(&c, 0);
	c.servers[2].connected = false;
	s = server_add(&c);
	ck_decides(&c, 1000, AUTOPILOT_ADD, 3);
	s->member = true;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	ck_decides(&c, 9000, AUTOPILOT_REMOVE, 2);
}
END_TEST

TEST(test_the_dead_stay_where_it_would_be_dangerous)
{
	static const struct {
		uint32_t voters, dead, unwell;
		uint64_t min_quorum;
		bool cleanup;
		enum autopilot_action wanted;
	} rows[] = {
		{ 5, 1, 0, 0, true, AUTOPILOT_REMOVE },
		{ 5, 2, 0, 0, true, AUTOPILOT_REMOVE },
		{ 5, 3, 0, 0, true, AUTOPILOT_NOTHING }, /* a majority */
		{ 5, 1, 0, 5, true, AUTOPILOT_NOTHING }, /* min_quorum */
		{ 5, 1, 0, 4, true, AUTOPILOT_REMOVE },
		{ 5, 1, 0, 0, false, AUTOPILOT_NOTHING },
		{ 5, 2, 1, 0, true, AUTOPILOT_NOTHING }, /* too few of the rest are well */
		{ 3, 1, 1, 0, true, AUTOPILOT_NOTHING },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cluster c;

		cluster_init(&c, rows[i].voters);
		step(&c, 0);
		for (uint32_t n = 0; n < rows[i].dead; n++) {
			server_fail(&c, rows[i].voters - 1 - n);
		}
		for (uint32_t n = 0; n < rows[i].unwell; n++) {
			c.servers[1 + n].last_contact_ms = 5000;
		}
		c.config.min_quorum = rows[i].min_quorum;
		c.config.cleanup_dead_servers = rows[i].cleanup;
		server_add(&c);
		ck_assert_int_eq(step(&c, 1000), AUTOPILOT_ADD);
		c.servers[rows[i].voters].member = true;
		ck_assert_int_eq(step(&c, 1000), rows[i].wanted);
	}
}
END_TEST

TEST(test_others_that_go)
{
	struct cluster c;

	/* left: at once */
	cluster_init(&c, 3);
	step(&c, 0);
	c.servers[1].connected = false;
	c.servers[1].pool = POOL_LEFT;
	ck_decides(&c, 1000, AUTOPILOT_REMOVE, 1);
	/* a non-voter that the pool does not know: when it is out of reach for long */
	cluster_init(&c, 3);
	c.servers[2].voter = false;
	c.servers[2].read_replica = true;
	c.servers[2].pool = POOL_NONE;
	step(&c, 0);
	c.servers[2].connected = false;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	ck_assert_int_eq(step(&c, 9000), AUTOPILOT_NOTHING);
	ck_decides(&c, 1000, AUTOPILOT_REMOVE, 2);
}
END_TEST

/* It waits for it, connected; and one that left is taken in again when it is back in the pool. */
TEST(test_one_that_leaves_and_comes_back)
{
	struct cluster c;

	cluster_init(&c, 3);
	step(&c, 0);
	c.servers[2].pool = POOL_LEFT;
	ck_decides(&c, 1000, AUTOPILOT_REMOVE, 2);
	ck_decides(&c, 1000, AUTOPILOT_REMOVE, 2); /* not done yet */
	c.servers[2].member = c.servers[2].voter = false;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	/* The same connection, whose pool is a moment late. */
	c.servers[2].pool = POOL_ALIVE;
	ck_decides(&c, 1000, AUTOPILOT_ADD, 2);
	/* Had an operator removed it then, it would stay out. */
	c.servers[2].member = true;
	step(&c, 1000);
	c.servers[2].member = false;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	ck_assert_int_eq(step(&c, 60000), AUTOPILOT_NOTHING);
}
END_TEST

TEST(test_who_is_not_alive_in_the_pool_is_not_added)
{
	static const struct {
		enum pool_status pool;
		bool added;
	} rows[] = { { POOL_NONE, false }, { POOL_ALIVE, true }, { POOL_FAILED, false },
		{ POOL_LEFT, false } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cluster c;

		cluster_init(&c, 3);
		step(&c, 0);
		server_add(&c)->pool = rows[i].pool;
		ck_assert_int_eq(step(&c, 1000), rows[i].added ? AUTOPILOT_ADD : AUTOPILOT_NOTHING);
	}
}
END_TEST

TEST(test_removed_by_an_operator)
{
	struct cluster c;

	cluster_init(&c, 4);
	step(&c, 0);
	c.servers[3].member = c.servers[3].voter = false;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	ck_assert_int_eq(step(&c, 60000), AUTOPILOT_NOTHING);
	/* started again, it asks again */
	c.servers[3].connected = false;
	ck_assert_int_eq(step(&c, 1000), AUTOPILOT_NOTHING);
	c.servers[3].connected = true;
	ck_decides(&c, 1000, AUTOPILOT_ADD, 3);
}
END_TEST

TEST(test_another_address)
{
	struct cluster c;

	cluster_init(&c, 3);
	step(&c, 0);
	c.servers[1].moved = true;
	ck_decides(&c, 1000, AUTOPILOT_ADD, 1);
}
END_TEST

UNIT_MAIN("autopilot", test_health, test_stability_is_counted_from_the_last_change,
	test_a_new_server_is_added_and_promoted,
	test_who_was_there_before_the_leadership_need_not_wait,
	test_a_dead_voter_goes_when_another_has_come, test_a_voter_that_dies_while_another_comes,
	test_the_dead_stay_where_it_would_be_dangerous, test_others_that_go,
	test_one_that_leaves_and_comes_back, test_who_is_not_alive_in_the_pool_is_not_added,
	test_removed_by_an_operator, test_another_address)
