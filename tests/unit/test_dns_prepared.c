/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsd/core: names of prepared queries. What is asked of httpd, and how its answer is given.
 */
#include "tests/unit/unit.h"

#include "tests/unit/dns_fixture.h"

struct executed {
	struct buf record;
	struct dns_executed result;
};

static void executed_init(struct executed *e, const struct naming_instance *items, uint32_t count)
{
	*e = (struct executed) { .result = { .datacenter = STR("dc2"), .service = STR("web") } };
	naming_service_encode(&e->record, items, count);
	e->result.record = buf_str(&e->record);
}

static struct naming_instance instance(const char *node, const char *address, int64_t weight)
{
	return (struct naming_instance) { .node = str_of(node),
		.node_address = STR("10.0.0.7"),
		.address = str_of(address),
		.port = 80,
		.weight_passing = weight };
}

TEST(test_what_is_asked)
{
	static const struct {
		const char *name;
		unsigned type;
		const char *query, *datacenter;
	} rows[] = {
		{ "db.query.consul", T_A, "db", "" },
		{ "DB.Query.DC1.Consul", T_SRV, "db", "dc1" },
		{ "a.b.c.query.dc9.consul", T_ANY, "a.b.c", "dc9" },
		{ "_db._tcp.query.consul", T_SRV, "_db._tcp", "" },
		{ "db.query.query.consul", T_A, "db.query", "" },
	};
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_int_eq(
			fixture_ask(&f, rows[i].name, rows[i].type, 0, false), DNS_EXECUTE);
		ck_assert_str_eq(f.reply.execute.name, rows[i].query);
		ck_assert_str_eq(f.reply.execute.datacenter, rows[i].datacenter);
		ck_assert(!f.reply.execute.has_subnet);
	}
	/* Without a state too. */
	f.not_ready = true;
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, false), DNS_EXECUTE);
	ck_assert_uint_eq(f.reply.execute.instances_max, 128);
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 4096, false), DNS_EXECUTE);
	ck_assert_uint_eq(f.reply.execute.instances_max, 1024);
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, true), DNS_EXECUTE);
	ck_assert_uint_eq(f.reply.execute.instances_max, 4096);
}
END_TEST

TEST(test_what_is_not)
{
	static const char *const names[] = { "query.consul", "query.dc1.consul",
		"db.query.a.b.consul", "d\x01.query.consul" };
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ck_assert_int_eq(fixture_ask(&f, names[i], T_A, 0, false), DNS_REPLY);
		ck_assert(str_starts(buf_str(&f.text), STR("NXDOMAIN aa rd\n")));
	}
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_SOA, 0, false), DNS_REPLY);
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_NS, 0, false), DNS_REPLY);
}
END_TEST

TEST(test_subnet)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;
	static const uint8_t expected[] = { 198, 18, 1, 0 };

	fixture_init(&f, NULL);
	fixture_query(&f, "db.query.consul", T_A, 4096);
	buf_put(&f.query, "\0\x08\0\x07\0\x01\x17\0\xc6\x12\x01", 11); /* 198.18.1.0/23 */
	f.query.p[f.query.n - 12] = 11;
	ck_assert_int_eq(fixture_send(&f, false), DNS_EXECUTE);
	ck_assert(f.reply.execute.has_subnet);
	ck_assert_uint_eq(f.reply.execute.subnet_size, 4);
	ck_assert(memcmp(f.reply.execute.subnet, expected, sizeof(expected)) == 0);
}
END_TEST

TEST(test_answers_in_order)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;
	struct naming_instance items[] = { instance("n3", "10.0.0.3", 3),
		instance("n1", "10.0.0.1", 1), instance("n2", "10.0.0.2", 0),
		instance("n1", "10.0.0.1", 1) };
	struct executed e;

	fixture_init(&f, NULL);
	executed_init(&e, items, ARRAY_SIZE(items));
	e.result.has_ttl = true;
	e.result.ttl = 7;
	f.executed = &e.result;
	for (int i = 0; i < 20; i++) { /* chance has no part in it */
		enum { FIRST = 12 + 17 + 4, SIZE = 16 };
		const uint8_t *last = f.reply.bytes + FIRST + SIZE - 1; /* byte of an address */

		ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, false), DNS_REPLY);
		ck_buf_is(&f.text, "NOERROR aa rd\n"
				   "AN db.query.consul. 7 A 10.0.0.1\n"
				   "AN db.query.consul. 7 A 10.0.0.2\n"
				   "AN db.query.consul. 7 A 10.0.0.3\n");
		ck_assert_uint_eq(last[0], 3);
		ck_assert_uint_eq(last[SIZE], 1);
		ck_assert_uint_eq(last[2 * SIZE], 2);
	}
	/* Targets are named in the data centre where they are. */
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_SRV, 0, false), DNS_REPLY);
	ck_buf_is(&f.text, "NOERROR aa rd\n"
			   "AN db.query.consul. 7 SRV 1 0 80 0a000002.addr.dc2.consul.\n"
			   "AN db.query.consul. 7 SRV 1 1 80 0a000001.addr.dc2.consul.\n"
			   "AN db.query.consul. 7 SRV 1 3 80 0a000003.addr.dc2.consul.\n"
			   "AR 0a000001.addr.dc2.consul. 7 A 10.0.0.1\n"
			   "AR 0a000002.addr.dc2.consul. 7 A 10.0.0.2\n"
			   "AR 0a000003.addr.dc2.consul. 7 A 10.0.0.3\n");
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_AAAA, 0, false), DNS_REPLY);
	ck_assert(str_starts(buf_str(&f.text), STR("NOERROR aa rd\nNS consul. 0 SOA")));
	buf_fini(&e.record);
}
END_TEST

TEST(test_outcomes)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;
	struct naming_instance one = instance("n3", "", 1);
	struct executed e;

	fixture_init(&f, NULL);
	executed_init(&e, &one, 1);
	f.executed = &e.result;
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_SRV, 0, false), DNS_REPLY);
	ck_buf_is(&f.text, "NOERROR aa rd\n"
			   "AN db.query.consul. 0 SRV 1 1 80 n3.node.dc2.consul.\n"
			   "AR n3.node.dc2.consul. 0 A 10.0.0.7\n");
	e.result.outcome = DNS_EXECUTED_NOTHING;
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, false), DNS_REPLY);
	ck_assert(str_starts(buf_str(&f.text), STR("NXDOMAIN aa rd\nNS consul. 0 SOA")));
	e.result.outcome = DNS_EXECUTED_FAILED;
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, false), DNS_REPLY);
	ck_buf_is(&f.text, "SERVFAIL aa rd\n");
	e.result.outcome = DNS_EXECUTED;
	e.result.record = STR("damaged");
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, false), DNS_REPLY);
	ck_buf_is(&f.text, "SERVFAIL aa rd\n");
	buf_clear(&e.record);
	naming_service_encode(&e.record, NULL, 0);
	e.result.record = buf_str(&e.record);
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, false), DNS_REPLY);
	ck_assert(str_starts(buf_str(&f.text), STR("NXDOMAIN aa rd\nNS consul. 0 SOA")));
	buf_fini(&e.record);
}
END_TEST

/* The host name of an instance may be that of a prepared query: one leads to no other. */
TEST(test_no_query_in_another)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;
	struct naming_instance one = instance("n3", "other.query.consul", 1);
	struct executed e;

	fixture_init(&f, NULL);
	executed_init(&e, &one, 1);
	f.executed = &e.result;
	ck_assert_int_eq(fixture_ask(&f, "db.query.consul", T_A, 0, false), DNS_REPLY);
	ck_buf_is(&f.text, "NOERROR aa rd\nAN db.query.consul. 0 CNAME other.query.consul.\n");
	buf_fini(&e.record);
}
END_TEST

UNIT_MAIN("dns_prepared", test_what_is_asked, test_what_is_not, test_subnet, test_answers_in_order,
	test_outcomes, test_no_query_in_another)
