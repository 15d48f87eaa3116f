/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsd/core: questions and the answers Consul 1.8.7 gives to them with the same catalogue. Answers
 * are read by an independent decoder that accepts no stray byte.
 */
#include "tests/unit/unit.h"

#include "dnsd/core/dns.h"
#include "tests/unit/dns_fixture.h"

#define SOA    "NS consul. 0 SOA ns.consul. hostmaster.consul. 1000 3600 600 86400 0\n"
#define NX     "NXDOMAIN aa rd\n" SOA
#define NODATA "NOERROR aa rd\n" SOA
#define EMPTY  "NOERROR aa rd\n"

static const struct {
	const char *name;
	unsigned type;
	const char *expected;
} cases[] = {
	{ "n1.node.consul", T_A,
		"NOERROR aa rd\nAN n1.node.consul. 0 A 10.0.0.1\nAR n1.node.consul. 0 TXT \"plain "
		"text\"\nAR n1.node.consul. 0 TXT \"rack=r1\"\n" },
	{ "N1.node.DC1.consul", T_A,
		"NOERROR aa rd\nAN N1.node.DC1.consul. 0 A 10.0.0.1\nAR N1.node.DC1.consul. 0 TXT "
		"\"plain text\"\nAR N1.node.DC1.consul. 0 TXT \"rack=r1\"\n" },
	{ "n1.node.consul", T_TXT,
		"NOERROR aa rd\nAN n1.node.consul. 0 TXT \"plain text\"\nAN n1.node.consul. 0 TXT "
		"\"rack=r1\"\n" },
	{ "n1.node.consul", T_ANY,
		"NOERROR aa rd\nAN n1.node.consul. 0 A 10.0.0.1\nAN n1.node.consul. 0 TXT \"plain "
		"text\"\nAN n1.node.consul. 0 TXT \"rack=r1\"\n" },
	{ "ext.3.node.consul", T_AAAA,
		"NOERROR aa rd\nAN ext.3.node.consul. 0 AAAA 2001:db8::1\n" },
	{ "ext.3.node.consul", T_A, EMPTY },
	{ "nope.node.consul", T_A, NX },
	{ "nope.node.consul", T_MX, EMPTY },
	{ "nope.node.dc9.consul", T_MX, EMPTY },
	{ "n1.node.dc9.consul", T_A, NX },
	{ "n1.node.a.dc1.consul", T_MX, NX },
	{ "node.consul", T_MX, NX },
	{ "hostn.node.consul", T_A,
		"NOERROR aa rd\nAN hostn.node.consul. 0 CNAME www.example.com.\n" },
	{ "hostn.node.consul", T_TXT, EMPTY },
	{ "consul", T_A, NX },
	{ "x.consul", T_A, NX },
	{ "consul", T_SOA,
		"NOERROR aa rd\nAN consul. 0 SOA ns.consul. hostmaster.consul. 1000 3600 600 86400 "
		"0\nNS consul. 0 NS n1.node.dc1.consul.\nAR n1.node.dc1.consul. 0 A 10.0.0.1\n" },
	{ "nope.service.consul", T_NS,
		"NOERROR aa rd\nAN consul. 0 NS n1.node.dc1.consul.\nAR n1.node.dc1.consul. 0 A "
		"10.0.0.1\n" },
	{ "consul", T_AXFR, "NOTIMP aa rd\n" },
	{ "web.service.consul", T_A,
		"NOERROR aa rd\nAN web.service.consul. 0 A 10.1.0.1\nAN web.service.consul. 0 A "
		"10.9.9.9\n" },
	{ "A.WEB.SERVICE.CONSUL", T_A, NX },
	{ "web.service.consul", T_TXT,
		"NOERROR aa rd\nAN web.service.consul. 0 A 10.1.0.1\nAN web.service.consul. 0 A "
		"10.9.9.9\n" },
	{ "web.service.consul", T_AAAA, NODATA },
	{ "web.service.consul", T_MX, NODATA },
	{ "web.service.consul", T_CNAME, NODATA },
	{ "V1.web.service.consul", T_A, "NOERROR aa rd\nAN V1.web.service.consul. 0 A 10.1.0.1\n" },
	{ "prod.web.service.consul", T_SRV,
		"NOERROR aa rd\nAN prod.web.service.consul. 0 SRV 1 5 80 ext1.node.dc1.consul.\nAR "
		"ext1.node.dc1.consul. 0 A 10.1.0.1\n" },
	{ "v.2.web.service.consul", T_A,
		"NOERROR aa rd\nAN v.2.web.service.consul. 0 A 10.9.9.9\n" },
	{ "_web._v1.service.consul", T_SRV,
		"NOERROR aa rd\nAN _web._v1.service.consul. 0 SRV 1 5 80 ext1.node.dc1.consul.\nAR "
		"ext1.node.dc1.consul. 0 A 10.1.0.1\n" },
	{ "_web._TCP.dc1.consul", T_SRV,
		"NOERROR aa rd\nAN _web._TCP.dc1.consul. 0 SRV 1 1 81 ext1.node.dc1.consul.\nAN "
		"_web._TCP.dc1.consul. 0 SRV 1 1 82 0a090909.addr.dc1.consul.\nAN "
		"_web._TCP.dc1.consul. 0 SRV 1 5 80 ext1.node.dc1.consul.\n"
		"AR 0a090909.addr.dc1.consul. 0 A 10.9.9.9\nAR ext1.node.dc1.consul. 0 A "
		"10.1.0.1\nAR ext1.node.dc1.consul. 0 A 10.1.0.1\n" },
	{ "_web._tcp.consul", T_A, NX },
	{ "x._web._tcp.service.consul", T_SRV, NX },
	{ "_web.consul", T_SRV, NX },
	{ "_web.x.consul", T_SRV, NX },
	{ "_._tcp.service.consul", T_SRV, "SERVFAIL aa rd\n" },
	{ "_six._.service.consul", T_SRV,
		"NOERROR aa rd\nAN _six._.service.consul. 0 SRV 1 1 82 ext.3.node.dc1.consul.\nAR "
		"ext.3.node.dc1.consul. 0 AAAA 2001:db8::1\n" },
	{ "six.service.consul", T_ANY,
		"NOERROR aa rd\nAN six.service.consul. 0 AAAA 2001:db8::1\n" },
	{ "sick.service.consul", T_A, NX },
	{ "onhost.service.consul", T_MX,
		"NOERROR aa rd\nAN onhost.service.consul. 0 CNAME www.example.com.\n" },
	{ "onhost.service.consul", T_SRV,
		"NOERROR aa rd\nAN onhost.service.consul. 0 SRV 1 1 82 www.example.com.\n" },
	{ "fq.service.consul", T_AAAA,
		"NOERROR aa rd\nAN fq.service.consul. 0 CNAME web.service.consul.\nAN "
		"web.service.consul. 0 A 10.1.0.1\nAN web.service.consul. 0 A 10.9.9.9\n" },
	{ "fq.service.consul", T_SRV,
		"NOERROR aa rd\nAN fq.service.consul. 0 SRV 1 1 82 web.service.consul.\nAR "
		"web.service.consul. 0 A 10.1.0.1\nAR web.service.consul. 0 A 10.9.9.9\n" },
	{ "loop.service.consul", T_A, "NOERROR aa rd\nAN loop.service.consul. 0 A 10.1.0.2\n" },
	{ "loop.service.consul", T_SRV,
		"NOERROR aa rd\nAN loop.service.consul. 0 SRV 1 1 82 ext2.node.dc1.consul.\nAR "
		"ext2.node.dc1.consul. 0 A 10.1.0.2\n" },
	{ "web.service.service.consul", T_A, NX },
	{ "web.connect.consul", T_A, NX },
	{ "query.consul", T_A, NX },
	{ "web.query.a.b.consul", T_A, NX },
	{ "0A000009.ADDR.consul", T_A, "NOERROR aa rd\nAN 0a000009.addr.consul. 0 A 10.0.0.9\n" },
	{ "0a000009.addr.a.b.consul", T_MX,
		"NOERROR aa rd\nAN 0a000009.addr.a.b.consul. 0 A 10.0.0.9\n" },
	{ "20010db8000000000000000000000001.addr.dc1.consul", T_A,
		"NOERROR aa rd\nAN 20010db8000000000000000000000001.addr.dc1.consul. 0 AAAA "
		"2001:db8::1\n" },
	{ "0a0009.addr.consul", T_A, EMPTY },
	{ "0a0000zz.addr.consul", T_A, NX },
	{ "a.0a000009.addr.consul", T_A, NX },
	{ "1.0.0.10.IN-addr.arpa", T_PTR,
		"NOERROR aa rd\nAN 1.0.0.10.IN-addr.arpa. 0 PTR n1.node.dc1.consul.\n" },
	{ "9.9.9.10.in-addr.arpa", T_A,
		"NOERROR aa rd\nAN 9.9.9.10.in-addr.arpa. 0 PTR web.service.dc1.consul.\n" },
	{ "1.0.0.10.in-addr.arpa", T_SOA,
		"NOERROR aa rd\nAN 1.0.0.10.in-addr.arpa. 0 PTR n1.node.dc1.consul.\n" SOA },
	{ "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", T_PTR,
		"NOERROR aa rd\nAN "
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 0 PTR "
		"ext.3.node.dc1.consul.\n" },
	{ "9.9.9.9.in-addr.arpa", T_PTR, "SERVFAIL rd ra\n" },
	{ "9.10.in-addr.arpa", T_PTR, "SERVFAIL rd ra\n" },
	{ "arpa", T_SOA, "SERVFAIL rd ra\n" },
	{ "www.example.com", T_A, "REFUSED rd\n" },
	{ "consul.example", T_A, "REFUSED rd\n" },
	{ "notconsul", T_A, "REFUSED rd\n" },
	{ "", T_A, "REFUSED rd\n" },
};

TEST(test_table)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(
			fixture_ask(&f, cases[i].name, cases[i].type, 0, false), DNS_REPLY);
		ck_assert_msg(str_is(buf_str(&f.text), cases[i].expected), "%s %u:\n%s\nnot\n%s",
			cases[i].name, cases[i].type, buf_cstr(&f.text), cases[i].expected);
	}
}
END_TEST

/* Sizes and counts as the oracle's, 60 instances with one text each. */
TEST(test_sizes)
{
	static const struct {
		unsigned type, edns;
		bool tcp;
		unsigned answers, extras;
		size_t least, most;
	} sizes[] = {
		{ T_A, 0, false, 3, 0, 84, 84 },
		{ T_A, 512, false, 3, 1, 95, 95 },
		{ T_A, 1232, false, 60, 1, 1007, 1007 },
		{ T_ANY, 900, false, 53, 1, 895, 895 },
		{ T_SRV, 0, false, 3, 3, 204, 207 },
		{ T_SRV, 600, false, 9, 10, 540, 560 },
		{ T_SRV, 1232, false, 20, 21, 1170, 1187 },
		{ T_SRV, 4096, false, 60, 61, 3458, 3458 },
		{ T_SRV, 8000, false, 60, 121, 4418, 4418 },
		{ T_SRV, 0, true, 60, 120, 4407, 4407 },
		{ T_SRV, 512, true, 60, 121, 4418, 4418 },
		{ T_A, 0, true, 60, 0, 996, 996 },
	};
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	fixture_big(&f, "big", 60);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ck_assert_int_eq(fixture_ask(&f, "big.service.consul", sizes[i].type, sizes[i].edns,
					 sizes[i].tcp),
			DNS_REPLY);
		ck_assert_ptr_null(strstr(buf_cstr(&f.text), "BROKEN"));
		ck_assert_msg(fixture_count(&f, 6) == sizes[i].answers &&
				      fixture_count(&f, 10) == sizes[i].extras &&
				      f.reply.size >= sizes[i].least &&
				      f.reply.size <= sizes[i].most,
			"case %zu: %u answers, %u extras, %zu bytes", i, fixture_count(&f, 6),
			fixture_count(&f, 10), f.reply.size);
	}
}
END_TEST

/* Whatever the client says that it can take (512 at least), with what EDNS itself takes. */
TEST(test_never_longer_than_the_client_takes)
{
	static const unsigned types[] = { T_A, T_SRV };
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	fixture_big(&f, "big", 100);
	for (unsigned edns = 500; edns < 1400; edns++) {
		for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
			fixture_query(&f, "big.service.consul", types[i], edns);
			if (edns % 2) { /* for the subnet 2001:db8::/56 */
				buf_put(&f.query, "\0\x08\0\x0b\0\x02\x38\0\x20\1\x0d\xb8\0\0\0",
					15);
				f.query.p[f.query.n - 16] = 15;
			}
			ck_assert_int_eq(fixture_send(&f, false), DNS_REPLY);
			ck_assert_uint_le(f.reply.size, max_of(edns, 512U));
		}
	}
}
END_TEST

TEST(test_thousands)
{
	struct dns_settings s = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	s.enable_truncate = true;
	fixture_init(&f, &s);
	fixture_big(&f, "huge", 5000);
	ck_assert_int_eq(fixture_ask(&f, "huge.service.consul", T_SRV, 0, true), DNS_REPLY);
	ck_assert_uint_gt(fixture_count(&f, 6), 900);
	ck_assert_uint_le(f.reply.size, 65523);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&f.text), " tc "));
	ck_assert_ptr_null(strstr(buf_cstr(&f.text), "BROKEN"));
	ck_assert_int_eq(fixture_ask(&f, "huge.service.consul", T_A, 0, true), DNS_REPLY);
	ck_assert_uint_eq(fixture_count(&f, 6), 4092);
	ck_assert_uint_le(f.reply.size, 65523);
	ck_assert_int_eq(fixture_ask(&f, "huge.service.consul", T_SRV, 65535, false), DNS_REPLY);
	ck_assert_uint_le(f.reply.size, 65460 + 11);
	ck_assert_ptr_null(strstr(buf_cstr(&f.text), "BROKEN"));
}
END_TEST

/* Every instance comes up, about equally often. */
TEST(test_shuffle)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;
	unsigned seen[11] = { 0 };

	fixture_init(&f, NULL);
	fixture_big(&f, "ten", 10);
	for (int i = 0; i < 3000; i++) {
		const char *at;

		fixture_ask(&f, "ten.service.consul", T_A, 0, false);
		at = buf_cstr(&f.text);
		while ((at = strstr(at, "10.2.0.")) != NULL) {
			seen[atoi(at + 7)]++;
			at++;
		}
	}
	for (int i = 1; i <= 10; i++) {
		ck_assert_msg(seen[i] > 750 && seen[i] < 1050, "instance %d: %u", i, seen[i]);
	}
}
END_TEST

static void expect(struct fixture *f, const char *name, unsigned type, const char *expected)
{
	ck_assert_int_eq(fixture_ask(f, name, type, 0, false), DNS_REPLY);
	ck_buf_is(&f->text, expected);
}

TEST(test_settings)
{
	struct pair ttls[] = { { STR("web"), STR("9s") }, { STR("we*"), STR("8s") },
		{ STR("*"), STR("7500ms") } };
	struct dns_settings s = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	s.service_ttl = (struct pairs) { ttls, 3, true };
	s.node_ttl_s = 5;
	s.only_passing = true;
	s.a_record_limit = 1;
	s.node_meta_txt = false;
	s.alt_domain = STR("Alt.Test.");
	s.soa_min_ttl = 60;
	fixture_init(&f, &s);
	expect(&f, "n1.node.consul", T_A, "NOERROR aa rd\nAN n1.node.consul. 5 A 10.0.0.1\n");
	/* ext2's instance warns, so only_passing leaves one. */
	expect(&f, "web.service.alt.test", T_A,
		"NOERROR aa rd\nAN web.service.alt.test. 9 A 10.1.0.1\n");
	expect(&f, "six.service.consul", T_AAAA,
		"NOERROR aa rd\nAN six.service.consul. 7 AAAA 2001:db8::1\n");
	expect(&f, "six.service.alt.TEST", T_SRV,
		"NOERROR aa rd\nAN six.service.alt.TEST. 7 SRV 1 1 82 ext.3.node.dc1.consul.\nAR "
		"ext.3.node.dc1.consul. 7 AAAA 2001:db8::1\n");
	expect(&f, "x.alt.test", T_A,
		"NXDOMAIN aa rd\nNS consul. 60 SOA ns.consul. hostmaster.consul. 1000 3600 600 "
		"86400 60\n");
	expect(&f, "0a000009.addr.alt.test", T_A,
		"NOERROR aa rd\nAN 0a000009.addr.consul. 5 A 10.0.0.9\n");
	expect(&f, "fq.service.consul", T_A,
		"NOERROR aa rd\nAN fq.service.consul. 7 CNAME web.service.consul.\nAN "
		"web.service.consul. 7 A 10.1.0.1\n");
}
END_TEST

TEST(test_not_ready)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	f.not_ready = true;
	expect(&f, "web.service.consul", T_A, "SERVFAIL aa rd\n");
	expect(&f, "1.0.0.10.in-addr.arpa", T_PTR, "SERVFAIL rd ra\n");
	expect(&f, "www.example.com", T_A, "REFUSED rd\n");
}
END_TEST

TEST(test_compression)
{
	struct dns_settings s = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	expect(&f, "six.service.consul", T_SRV,
		"NOERROR aa rd\nAN six.service.consul. 0 SRV 1 1 82 ext.3.node.dc1.consul.\nAR "
		"ext.3.node.dc1.consul. 0 AAAA 2001:db8::1\n");
	ck_assert_uint_eq(f.reply.size, 105);
	ck_assert_uint_eq(f.pointers, 2);
	fixture_ask(&f, "fq.service.consul", T_A, 0, false);
	ck_assert_uint_eq(f.reply.size, 85);
	fixture_ask(&f, "consul", T_SOA, 0, false);
	ck_assert_uint_eq(f.reply.size, 116);
	fixture_fini(&f);
	s.disable_compression = true;
	fixture_init(&f, &s);
	fixture_big(&f, "big", 60);
	fixture_ask(&f, "big.service.consul", T_SRV, 1232, false);
	ck_assert_uint_eq(f.pointers, 0);
	ck_assert_uint_eq(fixture_count(&f, 6), 12);
}
END_TEST

TEST(test_edns)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	fixture_query(&f, "six.service.consul", T_A, 4096);
	buf_put(&f.query, "\0\x08\0\x07\0\x01\x17\0\xc6\x12\x01", 11); /* 198.18.1.0/23 */
	f.query.p[f.query.n - 12] = 11;
	ck_assert_int_eq(fixture_send(&f, false), DNS_REPLY);
	ck_buf_is(&f.text, NODATA "AR OPT 4096 0008000700011700c61200\n");
	f.query.p[f.query.n - 6] = 9; /* no such family */
	ck_assert_int_eq(fixture_send(&f, false), DNS_REPLY);
	ck_buf_is(&f.text, "FORMERR rd\n");
}
END_TEST

TEST(test_bad_queries)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *expected; /* NULL: dropped */
	} bad[] = {
		{ "", 0, NULL },
		{ "\0\1\1\0\0\1\0\0\0\0\0", 11, NULL },
		{ "\0\1\x81\0\0\1\0\0\0\0\0\0\0\0\1\0\1", 17, NULL },
		{ "\0\1\1\0\0\1\0\0\0\0\0\0", 12, "REFUSED rd\n" },
		{ "\0\1\1\0\0\0\0\0\0\0\0\0", 12, "FORMERR rd\n" },
		{ "\0\1\1\0\0\2\0\0\0\0\0\0\0\0\1\0\1", 17, "FORMERR rd\n" },
		{ "\0\1\x09\0\0\1\0\0\0\0\0\0\0\0\1\0\1", 17, "NOTIMP rd\n" },
		{ "\0\1\x07\xf0\0\1\0\2\0\0\0\0\0\0\1\0\1", 17, "FORMERR tc rd ra ad cd\n" },
		{ "\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 18, "FORMERR rd\n" },
		{ "\0\1\1\0\0\1\0\0\0\0\0\0\x05"
		  "ab",
			15, "FORMERR rd\n" },
		{ "\0\1\1\0\0\1\0\0\0\0\0\0\x80"
		  "ab\0\0\1\0\1",
			19, "FORMERR rd\n" },
		{ "\0\1\1\0\0\1\0\0\0\0\0\1\0\0\1\0\1\xc0", 18, "FORMERR rd\n" },
		{ "\0\1\1\0\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29\1\0\0\0\0\0\0\1", 28,
			"FORMERR rd\n" },
		{ "\0\1\x21\0\0\1\0\0\0\0\0\0\4node\6consul\0\0\1\0\1", 29, "NXDOMAIN aa\n" SOA },
	};
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		buf_clear(&f.query);
		buf_put(&f.query, bad[i].bytes, bad[i].n);
		ck_assert_int_eq(fixture_send(&f, false), bad[i].expected ? DNS_REPLY : DNS_DROP);
		if (bad[i].expected) {
			ck_assert_msg(str_is(buf_str(&f.text), bad[i].expected), "case %zu: %s", i,
				buf_cstr(&f.text));
		}
	}
}
END_TEST

TEST(test_recursors)
{
	struct dns_settings s = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture f;
	OWN_EMBEDDED(buf_fini) struct buf records = { 0 };
	uint8_t message[512];
	struct dns_found found = { 0 };
	bool usable;
	size_t n;

	s.recursors = true;
	fixture_init(&f, &s);
	ck_assert_int_eq(fixture_ask(&f, "www.example.com", T_A, 0, false), DNS_RELAY);
	ck_assert_int_eq(fixture_ask(&f, "9.9.9.9.in-addr.arpa", T_PTR, 0, false), DNS_RELAY);
	ck_assert_int_eq(fixture_ask(&f, "onhost.service.consul", T_A, 0, false), DNS_CHASE);
	ck_assert_uint_eq(f.reply.wanted_count, 1);
	ck_str_is(str_n(f.reply.wanted[0].name, 4), "\x03www");

	found.name = f.reply.wanted[0];
	n = dns_wanted_query(&found.name, 0x1234, message);
	ck_assert(!dns_response_matches(str_n(message, n), str_n(message, n), &usable));
	message[2] |= 0x80;
	ck_assert(dns_response_matches(str_n(message, n), str_n(message, n), &usable) && usable);
	memcpy(message + n, "\xc0\x0c\0\5\0\1\0\0\0\x63\0\4\1a\xc0\x10", 16);
	memcpy(message + n + 16, "\1a\xc0\x10\0\1\0\1\0\0\0\x62\0\4\1\2\3\4", 18);
	message[7] = 3; /* the third is missing */
	ck_assert_int_eq(dns_found_parse(str_n(message, n + 34), &records), 0);
	found.records = buf_str(&records);
	f.found = &found;
	expect(&f, "onhost.service.consul", T_A,
		"NOERROR aa rd ra\nAN a.example.com. 0 A 1.2.3.4\nAN onhost.service.consul. 0 "
		"CNAME www.example.com.\nAN www.example.com. 0 CNAME a.example.com.\n");
	expect(&f, "hostn.node.consul", T_A,
		"NOERROR aa rd ra\nAN a.example.com. 98 A 1.2.3.4\nAN hostn.node.consul. 0 CNAME "
		"www.example.com.\nAN www.example.com. 99 CNAME a.example.com.\n");
	expect(&f, "onhost.service.consul", T_SRV,
		"NOERROR aa rd ra\nAN onhost.service.consul. 0 SRV 1 1 82 www.example.com.\nAR "
		"a.example.com. 0 A 1.2.3.4\nAR www.example.com. 0 CNAME a.example.com.\n");
	fixture_query(&f, "www.example.com", T_A, 1400);
	n = dns_servfail(buf_str(&f.query), f.reply.bytes);
	buf_clear(&f.text);
	dns_text(&f.text, f.reply.bytes, n, NULL);
	ck_buf_is(&f.text, "SERVFAIL rd ra\nAR OPT 1400\n");
}
END_TEST

/* A node that stands for a service: its own answer is not cut, as services' are, and keeps its
 * texts. */
TEST(test_node_with_a_service_for_an_address)
{
	struct pair meta[] = { { STR("rack"), STR("r2") } };
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	fixture_init(&f, NULL);
	fixture_big(&f, "big", 3);
	fixture_node(&f, "front", "big.service.consul", (struct pairs) { meta, 1, true });
	expect(&f, "front.node.consul", T_A,
		"NOERROR aa rd\nAN big.service.consul. 0 A 10.2.0.1\nAN big.service.consul. 0 A "
		"10.2.0.2\nAN big.service.consul. 0 A 10.2.0.3\nAN front.node.consul. 0 CNAME "
		"big.service.consul.\nAR front.node.consul. 0 TXT \"rack=r2\"\n");
}
END_TEST

/* Damaged records give SERVFAIL, not a crash. */
TEST(test_damaged_records)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;
	struct str record;

	fixture_init(&f, NULL);
	ck_assert(kv_get(f.txn, NAMING_SERVICES, STR("web"), &record));
	for (size_t i = 0; i < record.n; i++) {
		OWN_EMBEDDED(buf_fini) struct buf copy = { 0 };

		buf_put_str(&copy, record);
		copy.p[i] ^= 0xff;
		kv_put(f.txn, NAMING_SERVICES, STR("bad"), buf_str(&copy));
		fixture_ask(&f, "bad.service.consul", T_SRV, 4096, false);
		ck_assert_ptr_null(strstr(buf_cstr(&f.text), "BROKEN"));
		fixture_ask(&f, "v1.bad.service.consul", T_ANY, 0, true);
		ck_assert_ptr_null(strstr(buf_cstr(&f.text), "BROKEN"));
		ck_assert(kv_get(f.txn, NAMING_SERVICES, STR("web"), &record));
	}
	kv_put(f.txn, NAMING_SERVICES, STR("bad"), STR("x"));
	expect(&f, "bad.service.consul", T_A, "SERVFAIL aa rd\n");
	kv_put(f.txn, NAMING_NODES, STR("bad"), STR("x"));
	expect(&f, "bad.node.consul", T_A, "SERVFAIL aa rd\n");
}
END_TEST

UNIT_MAIN("dns-answer", test_table, test_sizes, test_never_longer_than_the_client_takes,
	test_thousands, test_shuffle, test_settings, test_not_ready, test_compression, test_edns,
	test_bad_queries, test_recursors, test_node_with_a_service_for_an_address,
	test_damaged_records)
