/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd/core: the parts that are no steps. The trail against a plain array, messages and
 * configurations there and back.
 */
#include "tests/unit/unit.h"

#include "common/base/rng.h"
#include "raftd/core/raft.h"
#include "raftd/core/message.h"
#include "raftd/core/trail.h"

enum { MODEL_MAX = 400, STEPS = 20000 };

/* Terms by index, from first - 1 on. */
struct model {
	uint64_t terms[MODEL_MAX + 1];
	uint64_t first, last;
};

static void model_equals(const struct trail *t, const struct model *m)
{
	ck_assert_uint_eq(t->first, m->first);
	ck_assert_uint_eq(t->last, m->last);
	ck_assert_uint_eq(trail_last_term(t), m->terms[m->last]);
	for (uint64_t i = m->first - 1; i <= m->last; i++) {
		ck_assert(trail_knows(t, i));
		ck_assert_uint_eq(trail_term(t, i), m->terms[i]);
	}
	ck_assert(!trail_knows(t, m->last + 1));
	ck_assert(m->first < 2 || !trail_knows(t, m->first - 2));
}

static uint64_t model_find(const struct model *m, uint64_t index, uint64_t term)
{
	while (index >= m->first && m->terms[index] > term) {
		index--;
	}
	return index;
}

static void change(struct trail *t, struct model *m, struct rng *r)
{
	uint64_t index = m->first - 1 + rng_below(r, m->last - m->first + 2);
	uint64_t term = m->terms[m->last];

	switch (rng_below(r, 20)) {
	case 0:
		trail_cut(t, index);
		m->last = index;
		break;
	case 1:
		trail_discard(t, index + 1);
		m->first = max_of(m->first, index + 1);
		break;
	case 2:
		index = rng_below(r, 20);
		term = rng_below(r, 5);
		trail_reset(t, index, term);
		m->first = index + 1;
		m->last = index;
		m->terms[index] = term;
		break;
	default:
		term += rng_below(r, 4) ? 0 : rng_below(r, 3);
		if (m->last < MODEL_MAX) {
			trail_append(t, term);
			m->terms[++m->last] = term;
		}
	}
}

TEST(test_trail_is_an_array)
{
	static struct model m = { .first = 1 };
	struct trail t, copy;
	struct rng r;

	rng_init(&r, 7);
	trail_init(&t);
	trail_init(&copy);
	for (int i = 0; i < STEPS; i++) {
		uint64_t index, term;

		change(&t, &m, &r);
		model_equals(&t, &m);
		index = m.first - 1 + rng_below(&r, m.last - m.first + 2);
		term = rng_below(&r, m.terms[m.last] + 2);
		ck_assert_uint_eq(trail_find(&t, index, term), model_find(&m, index, term));
	}
	trail_copy(&copy, &t);
	model_equals(&copy, &m);
	trail_fini(&copy);
	trail_fini(&t);
}
END_TEST

/* A term changes rarely, and that is what it costs. */
TEST(test_trail_is_small)
{
	struct trail t;

	trail_init(&t);
	for (int i = 0; i < 100000; i++) {
		trail_append(&t, 1 + (uint64_t)(i / 50000));
	}
	ck_assert_uint_le(t.count, 3);
	trail_fini(&t);
}
END_TEST

TEST(test_message_there_and_back)
{
	struct raft_log_entry entries[] = { { 3, 1, STR("one") }, { 3, 3, STR("") },
		{ 4, 2, STR_NONE } };
	struct raft_message m = { .type = RAFT_APPEND,
		.from = { "from" },
		.to = { "to" },
		.term = 4,
		.index = UINT64_MAX,
		.log_term = 3,
		.commit = 9,
		.stamp = 1ULL << 60,
		.tag = 7,
		.kind = 1,
		.status = ST_NOT_LEADER,
		.granted = true,
		.force = true,
		.entries = { entries, 3 } };
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf again = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raft_message out;

	raft_message_encode(&bytes, &m);
	ck_assert_int_eq(raft_message_decode(buf_str(&bytes), &arena, &out), 0);
	raft_message_encode(&again, &out);
	ck_assert(str_eq(buf_str(&bytes), buf_str(&again)));
	ck_assert_uint_eq(out.entries.count, 3);
	ck_str_is(out.entries.items[0].body, "one");
	for (size_t n = 0; n < bytes.n; n++) {
		ck_assert_int_ne(raft_message_decode(str_n(bytes.p, n), &arena, &out), 0);
	}
	buf_put_u8(&bytes, 0);
	ck_assert_int_eq(raft_message_decode(buf_str(&bytes), &arena, &out), ST_INVALID);
}
END_TEST

TEST(test_every_message_has_a_name)
{
	for (uint8_t type = 1; type < RAFT_MESSAGE_TYPES; type++) {
		ck_assert_str_ne(raft_message_name(type), raft_message_name(0));
		for (uint8_t other = 1; other < type; other++) {
			ck_assert_str_ne(raft_message_name(type), raft_message_name(other));
		}
	}
	ck_assert_str_eq(raft_message_name(RAFT_MESSAGE_TYPES), "unknown");
	ck_assert_str_eq(raft_message_name(255), "unknown");
}
END_TEST

static struct configuration many(size_t count)
{
	struct configuration c = { .count = count };

	for (size_t i = 0; i < count; i++) {
		c.servers[i] = (struct configuration_server) { .id = { { (uint8_t)(i + 1) } },
			.address = "10.0.0.1:8300",
			.voter = i % 3 == 0 };
	}
	return c;
}

TEST(test_configuration_there_and_back)
{
	struct configuration c = many(RAFT_SERVERS_MAX), out;
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };

	configuration_encode(&bytes, &c);
	ck_assert_int_eq(configuration_decode(buf_str(&bytes), &out), 0);
	ck_assert_mem_eq(&c, &out, sizeof(c));
	ck_assert_uint_eq(configuration_voters(&c), (RAFT_SERVERS_MAX + 2) / 3);
	ck_assert_ptr_eq(configuration_find(&c, &c.servers[4].id), &c.servers[4]);
	ck_assert_ptr_null(configuration_find(&c, &(struct uuid) { { 99 } }));
	for (size_t n = 0; n < bytes.n; n++) {
		ck_assert_int_ne(configuration_decode(str_n(bytes.p, n), &out), 0);
	}
}
END_TEST

/* What has no identities is written as older versions read it; all of the rest comes back too. */
TEST(test_configuration_with_identities)
{
	for (int with = 0; with < 4; with++) {
		struct configuration c = many(3), out;
		OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 }, plain = { 0 };
		struct raft_members members;
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

		configuration_encode(&plain, &c);
		c.cluster.b[3] = with & 1;
		c.servers[1].life.b[5] = with & 2;
		configuration_encode(&bytes, &c);
		ck_assert(str_eq(buf_str(&bytes), buf_str(&plain)) == (with == 0));
		ck_assert_int_eq(
			raft_members_decode(buf_str(&bytes), &arena, &members) == 0, with == 0);
		ck_assert_int_eq(configuration_decode(buf_str(&bytes), &out), 0);
		ck_assert_mem_eq(&c, &out, sizeof(c));
		for (size_t n = 0; n < bytes.n; n++) {
			ck_assert_int_ne(configuration_decode(str_n(bytes.p, n), &out), 0);
			ck_assert_uint_eq(out.count, 0);
		}
	}
}
END_TEST

/* The id of the cluster behind a recovery with this list. */
static struct uuid recovered(uint8_t old, const struct configuration *list)
{
	struct raft_options options = {
		.id = { { 1 } }, .address = "10.0.0.1:8300", .heartbeat_ms = 10, .election_ms = 100
	};
	struct raft_persistent persistent = { .configuration = many(3) };
	struct raft_event e = { .type = RAFT_EVENT_START,
		.start = { .persistent = &persistent, .recover = list } };
	struct raft_update u;
	struct uuid cluster;
	struct trail trail;
	struct raft r;

	trail_init(&trail);
	persistent.configuration.cluster.b[2] = old;
	e.start.trail = &trail;
	raft_init(&r, &options);
	raft_step(&r, &e, &u);
	cluster = r.configuration.cluster;
	ck_assert(uuid_eq(&cluster, &r.persistent.configuration.cluster));
	raft_fini(&r);
	trail_fini(&trail);
	return cluster;
}

TEST(test_recovery_makes_another_cluster)
{
	struct configuration list = many(3), turned = many(3), other = many(2);
	struct uuid first, second, old = { { 0, 0, 9 } };

	turned.servers[0] = list.servers[2];
	turned.servers[2] = list.servers[0];
	first = recovered(9, &list);
	ck_assert(!uuid_is_zero(&first) && !uuid_eq(&first, &old));
	second = recovered(9, &turned); /* the same servers in another order */
	ck_assert(uuid_eq(&first, &second));
	second = recovered(9, &other);
	ck_assert(!uuid_eq(&first, &second));
	second = recovered(8, &list);
	ck_assert(!uuid_eq(&first, &second));
	second = recovered(0, &list); /* of an older version: it has none, and gets none */
	ck_assert(uuid_is_zero(&second));
}
END_TEST

TEST(test_lives)
{
	struct uuid none = { { 0 } }, a = { { 1 } }, b = { { 2 } };

	ck_assert(life_eq(&a, &a) && !life_eq(&a, &b));
	ck_assert(life_eq(&none, &a) && life_eq(&a, &none) && life_eq(&none, &none));
}
END_TEST

/* A leader that was removed leads until that is committed, and has no vote meanwhile: one other
 * server is the majority then. */
TEST(test_majority_is_heard)
{
	struct raft_options options = {
		.address = "1.1.1.1:1", .id = { "self" }, .heartbeat_ms = 100, .election_ms = 1000
	};
	struct raft r;

	raft_init(&r, &options);
	r.now = (struct mono) { 100 };
	for (uint8_t i = 0; i < 4; i++) {
		r.peers[i] = (struct raft_peer) { .id = { { i + 1 } }, .heard = { 10 + i } };
		r.configuration.servers[i] =
			(struct configuration_server) { .id = { { i + 1 } }, .voter = true };
	}
	r.configuration.servers[4] = (struct configuration_server) { .id = r.id, .voter = true };
	r.configuration.count = 5;
	r.peers_count = 4;
	ck_assert_int_eq(raft_heard_majority(&r).ns, 12);
	r.configuration.count = 4; /* without this one */
	ck_assert_int_eq(raft_heard_majority(&r).ns, 11);
	r.configuration.count = r.peers_count = 1;
	ck_assert_int_eq(raft_heard_majority(&r).ns, 10);
	raft_fini(&r);
}
END_TEST

TEST(test_configuration_has_limits)
{
	struct raft_member members[RAFT_SERVERS_MAX + 1];
	struct raft_members list = { .members = { members, ARRAY_SIZE(members) } };
	char address[RAFT_ADDRESS_SIZE];
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct configuration out;

	memset(address, 'a', sizeof(address));
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		members[i] =
			(struct raft_member) { { { (uint8_t)i } }, STR("10.0.0.1:8300"), true };
	}
	raft_members_encode(&bytes, &list);
	ck_assert_int_eq(configuration_decode(buf_str(&bytes), &out), ST_TOO_LARGE);
	ck_assert_uint_eq(out.count, 0);
	members[0].address = str_n(address, sizeof(address));
	list.members.count = 1;
	buf_clear(&bytes);
	raft_members_encode(&bytes, &list);
	ck_assert_int_eq(configuration_decode(buf_str(&bytes), &out), ST_TOO_LARGE);
	members[0].address.n--;
	buf_clear(&bytes);
	raft_members_encode(&bytes, &list);
	ck_assert_int_eq(configuration_decode(buf_str(&bytes), &out), 0);
	ck_assert_uint_eq(strlen(out.servers[0].address), RAFT_ADDRESS_SIZE - 1);
}
END_TEST

UNIT_MAIN("raft_core", test_trail_is_an_array, test_trail_is_small, test_message_there_and_back,
	test_every_message_has_a_name, test_configuration_there_and_back,
	test_configuration_with_identities, test_recovery_makes_another_cluster, test_lives,
	test_majority_is_heard, test_configuration_has_limits)
