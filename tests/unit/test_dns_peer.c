/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsd/core between nodes: which questions go where, that an answer by way of others is byte for
 * byte the one that a server gives directly, and the cache of last answers.
 */
#include "tests/unit/unit.h"

#include "dnsd/core/cache.h"
#include "tests/unit/dns_fixture.h"

enum who { CLIENT, SERVER, UNREADY, BEHIND, OLD, LEADER, PEER, PEER_UNREADY, PEER_BEHIND };

/* A node that others could help. */
static void node_make(struct fixture *f, enum who who)
{
	struct dns_settings s = fixture_settings();

	s.server = who != CLIENT;
	s.allow_stale = who != BEHIND && who != LEADER && who != PEER_BEHIND;
	fixture_init(f, &s);
	f->others = true;
	f->not_ready = who == CLIENT || who == UNREADY || who == PEER_UNREADY;
	f->fresh = who == LEADER;
	f->too_old = who == OLD || who == PEER_BEHIND;
	f->peer = who >= PEER;
}

static const struct {
	enum who who;
	const char *name;
	unsigned type;
	enum dns_outcome outcome;
	const char *datacenter;
	bool leader;
} places[] = {
	{ CLIENT, "web.service.consul", T_A, DNS_ASK, "", false },
	{ CLIENT, "web.service.DC1.consul", T_A, DNS_ASK, "", false },
	{ CLIENT, "web.service.DC2.consul", T_A, DNS_ASK, "dc2", false },
	{ CLIENT, "_web._v1.dc2.consul", T_SRV, DNS_ASK, "dc2", false },
	{ CLIENT, "n1.node.consul", T_A, DNS_ASK, "", false },
	{ CLIENT, "n1.node.dc2.consul", T_TXT, DNS_ASK, "dc2", false },
	{ CLIENT, "consul", T_SOA, DNS_ASK, "", false },
	{ CLIENT, "x.service.dc2.consul", T_NS, DNS_ASK, "", false },
	{ CLIENT, "1.0.0.10.in-addr.arpa", T_PTR, DNS_ASK, "", false },
	{ CLIENT, "n1.node.consul", T_MX, DNS_REPLY, "", false },
	{ CLIENT, "0a000001.addr.dc2.consul", T_A, DNS_REPLY, "", false },
	{ CLIENT, "x.consul", T_A, DNS_REPLY, "", false },
	{ CLIENT, "web.service.a.b.consul", T_A, DNS_REPLY, "", false },
	{ CLIENT, "consul", T_AXFR, DNS_REPLY, "", false },
	{ CLIENT, "www.example.com", T_A, DNS_REPLY, "", false },
	{ SERVER, "web.service.consul", T_A, DNS_REPLY, "", false },
	{ SERVER, "web.service.dc2.consul", T_A, DNS_ASK, "dc2", false },
	{ SERVER, "n1.node.dc2.consul", T_A, DNS_ASK, "dc2", false },
	{ SERVER, "x.node.dc2.consul", T_SOA, DNS_REPLY, "", false },
	{ SERVER, "9.9.9.9.in-addr.arpa", T_PTR, DNS_REPLY, "", false },
	{ UNREADY, "web.service.consul", T_A, DNS_ASK, "", false },
	{ BEHIND, "web.service.consul", T_A, DNS_ASK, "", true },
	{ BEHIND, "1.0.0.10.in-addr.arpa", T_PTR, DNS_ASK, "", true },
	{ BEHIND, "web.service.dc2.consul", T_A, DNS_ASK, "dc2", false },
	{ OLD, "web.service.consul", T_A, DNS_ASK, "", true },
	{ LEADER, "web.service.consul", T_A, DNS_REPLY, "", false },
	/* without the option a question that came over the peer port goes no further */
	{ PEER, "web.service.consul", T_A, DNS_REPLY, "", false },
	{ PEER, "web.service.dc2.consul", T_A, DNS_REPLY, "", false },
	{ PEER, "www.example.com", T_A, DNS_REPLY, "", false },
	{ PEER_UNREADY, "web.service.consul", T_A, DNS_REPLY, "", false },
	{ PEER_BEHIND, "web.service.consul", T_A, DNS_REPLY, "", false },
};

static void place_check(size_t i)
{
	OWN_EMBEDDED(fixture_fini) struct fixture f;

	node_make(&f, places[i].who);
	ck_assert_msg(
		fixture_ask(&f, places[i].name, places[i].type, 0, false) == places[i].outcome,
		"%s of %d", places[i].name, (int)places[i].who);
	ck_assert_str_eq(f.reply.datacenter, places[i].datacenter);
	ck_assert_int_eq(f.reply.leader, places[i].leader);
}

TEST(where_a_question_goes)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		place_check(i);
	}
}
END_TEST

/* The next node gets what this one asks. Returns its outcome. */
static enum dns_outcome hand_on(struct fixture *from, struct fixture *to)
{
	buf_clear(&to->query);
	buf_put_str(&to->query, str_n(from->reply.bytes, from->reply.size));
	return fixture_send(to, false);
}

static const struct {
	const char *name;
	unsigned type, edns;
	bool tcp;
} asked[] = {
	{ "web.service.consul", T_A, 0, false },
	{ "WEB.service.Consul", T_A, 1232, false },
	{ "_web._tcp.dc1.consul", T_SRV, 0, false },
	{ "n1.node.consul", T_ANY, 0, false },
	{ "nope.node.consul", T_A, 0, false },
	{ "nope.service.consul", T_SRV, 4096, false },
	{ "web.service.consul", T_AAAA, 0, false },
	{ "fq.service.consul", T_A, 0, false },
	{ "consul", T_SOA, 0, false },
	{ "consul", T_NS, 512, false },
	{ "1.0.0.10.in-addr.arpa", T_PTR, 0, false },
	{ "big.service.consul", T_A, 0, false },
	{ "big.service.consul", T_A, 1232, false },
	{ "big.service.consul", T_SRV, 1232, false },
	{ "big.service.consul", T_SRV, 65000, false },
	{ "big.service.consul", T_SRV, 0, true },
	{ "big.service.consul", T_A, 512, true },
};

static void ways_compare(size_t i)
{
	OWN_EMBEDDED(fixture_fini) struct fixture client, server, direct;
	struct str query;

	node_make(&client, CLIENT);
	node_make(&server, PEER);
	node_make(&direct, SERVER);
	fixture_big(&server, "big", 60);
	fixture_big(&direct, "big", 60);
	ck_assert_int_eq(
		fixture_ask(&direct, asked[i].name, asked[i].type, asked[i].edns, asked[i].tcp),
		DNS_REPLY);
	ck_assert_int_eq(
		fixture_ask(&client, asked[i].name, asked[i].type, asked[i].edns, asked[i].tcp),
		DNS_ASK);
	ck_assert_int_le(client.reply.size, DNS_PEER_QUERY_MAX);
	client.reply.bytes[0] = 0xab; /* the id that the shell gives it */
	ck_assert_int_eq(hand_on(&client, &server), DNS_REPLY);
	query = str_n(client.reply.bytes, client.reply.size);
	ck_assert_int_eq(
		dns_peer_said(client.dns, query, str_n(server.reply.bytes, server.reply.size)),
		DNS_SAID_ANSWER);
	dns_peer_finish(client.dns, buf_str(&client.query), server.reply.bytes);
	ck_assert_uint_eq(server.reply.size, direct.reply.size);
	ck_assert_mem_eq(server.reply.bytes, direct.reply.bytes, direct.reply.size);
}

TEST(same_answer_by_way_of_others)
{
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		ways_compare(i);
	}
}
END_TEST

TEST(other_data_centre_by_way_of_a_server)
{
	struct dns_settings there = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture client, server, other;

	there.datacenter = STR("dc2");
	fixture_init(&other, &there);
	other.peer = other.others = true;
	node_make(&client, CLIENT);
	node_make(&server, PEER);
	ck_assert_int_eq(fixture_ask(&client, "six.service.dc2.consul", T_SRV, 0, false), DNS_ASK);
	ck_assert_int_eq(hand_on(&client, &server), DNS_ASK);
	ck_assert_str_eq(server.reply.datacenter, "dc2");
	ck_assert_int_eq(hand_on(&server, &other), DNS_REPLY);
	ck_assert_str_eq(buf_cstr(&other.text),
		"NOERROR aa rd\nAN six.service.dc2.consul. 0 SRV 1 1 82 ext.3.node.dc2.consul.\nAR "
		"ext.3.node.dc2.consul. 0 AAAA 2001:db8::1\n");
}
END_TEST

static void wan_check(bool translate, const char *name, unsigned type, const char *expected)
{
	struct dns_settings here = fixture_settings(), there = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture client, server, other;

	here.server = false;
	here.translate_wan_addrs = translate;
	fixture_init(&client, &here);
	client.not_ready = client.others = true;
	node_make(&server, PEER); /* which passes on what its client wants */
	there.datacenter = STR("dc2");
	fixture_init(&other, &there);
	other.peer = other.others = true;
	fixture_face(&other, "six", "ext.3", NAMING_FACE_WAN_ANY, "192.0.2.1", 99);
	fixture_face(&other, "six", "ext.3", NAMING_FACE_WAN_A, "192.0.2.2", 99);
	ck_assert_int_eq(fixture_ask(&client, name, type, 0, false), DNS_ASK);
	ck_assert_int_eq(hand_on(&client, &server), DNS_ASK);
	ck_assert_int_eq(hand_on(&server, &other), DNS_REPLY);
	ck_assert_str_eq(buf_cstr(&other.text), expected);
}

TEST(wan_addresses_for_another_data_centre)
{
	wan_check(false, "six.service.dc2.consul", T_AAAA,
		"NOERROR aa rd\nAN six.service.dc2.consul. 0 AAAA 2001:db8::1\n");
	wan_check(true, "six.service.dc2.consul", T_A,
		"NOERROR aa rd\nAN six.service.dc2.consul. 0 A 192.0.2.2\n");
	wan_check(true, "ext.3.node.dc2.consul", T_A,
		"NOERROR aa rd\nAN ext.3.node.dc2.consul. 0 A 192.0.2.2\n");
	wan_check(true, "ext.3.node.dc2.consul", T_ANY,
		"NOERROR aa rd\nAN ext.3.node.dc2.consul. 0 A 192.0.2.1\n");
	wan_check(true, "six.service.dc2.consul", T_SRV,
		"NOERROR aa rd\nAN six.service.dc2.consul. 0 SRV 1 1 99 "
		"c0000201.addr.dc2.consul.\nAR c0000201.addr.dc2.consul. 0 A 192.0.2.1\n");
}
END_TEST

/* Who asks for the names of its own data centre sees them as they are. */
TEST(no_wan_addresses_at_home)
{
	struct dns_settings s = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture client, server;

	s.translate_wan_addrs = true;
	fixture_init(&server, &s);
	server.peer = true;
	fixture_face(&server, "six", "ext.3", NAMING_FACE_WAN_ANY, "192.0.2.1", 99);
	s.server = false;
	fixture_init(&client, &s);
	client.not_ready = client.others = true;
	ck_assert_int_eq(fixture_ask(&client, "six.service.dc1.consul", T_ANY, 0, false), DNS_ASK);
	ck_assert_int_eq(hand_on(&client, &server), DNS_REPLY);
	ck_assert_str_eq(buf_cstr(&server.text),
		"NOERROR aa rd\nAN six.service.dc1.consul. 0 AAAA 2001:db8::1\n");
}
END_TEST

TEST(loops_end)
{
	OWN_EMBEDDED(fixture_fini) struct fixture a;
	int hops = 0;

	/* A server that is taken for one of dc2, by itself as well: it asks itself. */
	node_make(&a, SERVER);
	ck_assert_int_eq(fixture_ask(&a, "web.service.dc2.consul", T_A, 0, false), DNS_ASK);
	a.peer = true;
	while (hand_on(&a, &a) == DNS_ASK) {
		ck_assert_int_lt(++hops, 10);
	}
	ck_assert_int_eq(hops, 2);
	ck_assert(strstr(buf_cstr(&a.text), "SERVFAIL"));
}
END_TEST

TEST(only_the_leader_where_stale_will_not_do)
{
	struct dns_settings s = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture client, follower, leader;

	s.server = s.allow_stale = false;
	fixture_init(&client, &s);
	client.others = client.not_ready = true;
	node_make(&follower, PEER);
	node_make(&leader, PEER);
	leader.fresh = true;
	ck_assert_int_eq(fixture_ask(&client, "n1.node.consul", T_A, 0, false), DNS_ASK);
	ck_assert_int_eq(hand_on(&client, &follower), DNS_ASK);
	ck_assert(follower.reply.leader);
	ck_assert_int_eq(hand_on(&follower, &leader), DNS_REPLY);
	ck_assert(strstr(buf_cstr(&leader.text), "10.0.0.1"));
	leader.fresh = false; /* it does not lead any more, and asks on: not for ever */
	ck_assert_int_eq(hand_on(&follower, &leader), DNS_ASK);
	ck_assert_int_eq(hand_on(&leader, &follower), DNS_REPLY);
	ck_assert(strstr(buf_cstr(&follower.text), "SERVFAIL"));
}
END_TEST

TEST(what_a_peer_says)
{
	OWN_EMBEDDED(fixture_fini) struct fixture client, server;
	struct str query, message;

	node_make(&client, CLIENT);
	node_make(&server, PEER);
	fixture_big(&server, "big", 400);
	/* a reverse name of which the data centre knows nothing */
	ck_assert_int_eq(fixture_ask(&client, "9.9.9.9.in-addr.arpa", T_PTR, 0, false), DNS_ASK);
	ck_assert_int_eq(hand_on(&client, &server), DNS_REPLY);
	query = str_n(client.reply.bytes, client.reply.size);
	message = str_n(server.reply.bytes, server.reply.size);
	ck_assert_int_eq(dns_peer_said(client.dns, query, message), DNS_SAID_NOBODY);
	/* another id */
	server.reply.bytes[1] ^= 1;
	ck_assert_int_eq(dns_peer_said(client.dns, query, message), DNS_SAID_STRANGER);
	/* not ready */
	ck_assert_int_eq(fixture_ask(&client, "web.service.consul", T_A, 0, false), DNS_ASK);
	query.n = client.reply.size;
	ck_assert_int_eq(dns_peer_said(client.dns, query, message), DNS_SAID_STRANGER);
	server.not_ready = true;
	ck_assert_int_eq(hand_on(&client, &server), DNS_REPLY);
	message.n = server.reply.size;
	ck_assert_int_eq(dns_peer_said(client.dns, query, message), DNS_SAID_UNABLE);
	ck_assert(!dns_answer_keeps(message));
	/* too long for a datagram */
	server.not_ready = false;
	ck_assert_int_eq(fixture_ask(&client, "big.service.consul", T_A, 0, true), DNS_ASK);
	ck_assert_int_eq(hand_on(&client, &server), DNS_REPLY);
	query.n = client.reply.size;
	message.n = server.reply.size;
	ck_assert_uint_gt(message.n, DNS_PEER_UDP_MAX);
	ck_assert_int_eq(dns_peer_said(client.dns, query, message), DNS_SAID_ANSWER);
	ck_assert(dns_answer_keeps(message));
	message.n = dns_peer_shorten(server.reply.bytes, server.reply.size);
	ck_assert_uint_eq(message.n, DNS_HEADER_SIZE + sizeof("3big7service6consul") + 4);
	ck_assert_int_eq(dns_peer_said(client.dns, query, message), DNS_SAID_LONGER);
}
END_TEST

TEST(recursion_is_offered_by_who_is_asked)
{
	struct dns_settings s = fixture_settings();
	OWN_EMBEDDED(fixture_fini) struct fixture client, server;

	s.server = false;
	s.recursors = true;
	fixture_init(&client, &s);
	client.others = client.not_ready = true;
	node_make(&server, PEER);
	ck_assert_int_eq(fixture_ask(&client, "n1.node.consul", T_A, 0, false), DNS_ASK);
	ck_assert_int_eq(hand_on(&client, &server), DNS_REPLY);
	ck_assert_int_eq(server.reply.bytes[3] & 0x80, 0);
	dns_peer_finish(client.dns, buf_str(&client.query), server.reply.bytes);
	ck_assert_int_eq(server.reply.bytes[3] & 0x80, 0x80);
	ck_assert_mem_eq(server.reply.bytes, "\x12\x34", 2);
	/* a server never relays for others */
	ck_assert_int_eq(fixture_ask(&client, "www.example.com", T_A, 0, false), DNS_RELAY);
	client.peer = true;
	ck_assert_int_eq(fixture_ask(&client, "www.example.com", T_A, 0, false), DNS_REPLY);
}
END_TEST

/* ---- the cache ---- */

static const int64_t minute_ns = 60 * NS_PER_S;

static struct mono at_s(int64_t s)
{
	return (struct mono) { (1000 + s) * NS_PER_S };
}

/* Makes client.reply the question and keeps it with an answer of n bytes. */
static void keep(
	struct fixture *client, struct dns_cache *c, const char *name, size_t n, struct mono now)
{
	char message[4096];

	memset(message, 'x', sizeof(message));
	ck_assert_int_eq(fixture_ask(client, name, T_A, 0, false), DNS_ASK);
	dns_cache_put(c, str_n(client->reply.bytes, client->reply.size), str_n(message, n), now);
}

static bool kept(struct fixture *client, struct dns_cache *c, const char *name, struct mono now)
{
	struct dns_reply out = { .bytes = xmalloc(DNS_MESSAGE_MAX) };
	bool found;

	ck_assert_int_eq(fixture_ask(client, name, T_A, 0, false), DNS_ASK);
	found = dns_cache_get(c, str_n(client->reply.bytes, client->reply.size),
		buf_str(&client->query), now, minute_ns, &out);
	if (found) {
		/* as asked now: the id, and the name in its spelling */
		ck_assert_mem_eq(out.bytes, client->query.p, 2);
		ck_assert_mem_eq(out.bytes + DNS_HEADER_SIZE, client->query.p + DNS_HEADER_SIZE,
			strlen(name) + 2);
	}
	free(out.bytes);
	return found;
}

TEST(cache_is_for_the_same_question)
{
	OWN_EMBEDDED(dns_cache_fini) struct dns_cache c;
	OWN_EMBEDDED(fixture_fini) struct fixture client;
	struct dns_reply out = { .bytes = xmalloc(DNS_MESSAGE_MAX) };

	node_make(&client, CLIENT);
	dns_cache_init(&c, 10, 100000, 1);
	keep(&client, &c, "web.service.consul", 100, at_s(0));
	ck_assert(kept(&client, &c, "web.service.consul", at_s(60)));
	ck_assert(kept(&client, &c, "WEB.service.consul", at_s(60)));
	ck_assert(!kept(&client, &c, "web.service.consul", at_s(61)));
	ck_assert(!kept(&client, &c, "wev.service.consul", at_s(0)));
	/* what the client can take is part of it */
	ck_assert_int_eq(fixture_ask(&client, "web.service.consul", T_A, 1232, false), DNS_ASK);
	ck_assert(!dns_cache_get(&c, str_n(client.reply.bytes, client.reply.size),
		buf_str(&client.query), at_s(0), minute_ns, &out));
	ck_assert_int_eq(fixture_ask(&client, "web.service.consul", T_A, 0, true), DNS_ASK);
	ck_assert(!dns_cache_get(&c, str_n(client.reply.bytes, client.reply.size),
		buf_str(&client.query), at_s(0), minute_ns, &out));
	/* a newer answer, of another size */
	keep(&client, &c, "web.service.consul", 200, at_s(61));
	ck_assert(kept(&client, &c, "web.service.consul", at_s(120)));
	ck_assert_uint_eq(c.map.count, 1);
	ck_assert_int_eq(fixture_ask(&client, "web.service.consul", T_A, 0, false), DNS_ASK);
	dns_cache_del(&c, str_n(client.reply.bytes, client.reply.size));
	dns_cache_del(&c, str_n(client.reply.bytes, client.reply.size));
	ck_assert(!kept(&client, &c, "web.service.consul", at_s(61)));
	ck_assert_uint_eq(c.bytes, 0);
	free(out.bytes);
}
END_TEST

TEST(cache_is_bounded)
{
	OWN_EMBEDDED(dns_cache_fini) struct dns_cache c;
	OWN_EMBEDDED(fixture_fini) struct fixture client;

	node_make(&client, CLIENT);
	dns_cache_init(&c, 3, 6000, 1);
	keep(&client, &c, "a.service.consul", 100, at_s(0));
	keep(&client, &c, "b.service.consul", 100, at_s(0));
	keep(&client, &c, "c.service.consul", 100, at_s(0));
	ck_assert(kept(&client, &c, "a.service.consul", at_s(0)));
	keep(&client, &c, "d.service.consul", 100, at_s(0)); /* b was used least recently */
	ck_assert_uint_eq(c.map.count, 3);
	ck_assert(!kept(&client, &c, "b.service.consul", at_s(0)));
	ck_assert(kept(&client, &c, "a.service.consul", at_s(0)));
	keep(&client, &c, "e.service.consul", 4000, at_s(0));
	keep(&client, &c, "f.service.consul", 4000, at_s(0)); /* bytes */
	ck_assert_uint_le(c.bytes, 6000);
	ck_assert(kept(&client, &c, "f.service.consul", at_s(0)));
	ck_assert(!kept(&client, &c, "e.service.consul", at_s(0)));
	c.bytes_max = 100;
	keep(&client, &c, "g.service.consul", 4000, at_s(0)); /* larger than all there is */
	ck_assert(!kept(&client, &c, "g.service.consul", at_s(0)));
}
END_TEST

UNIT_MAIN("dns-peer", where_a_question_goes, same_answer_by_way_of_others,
	other_data_centre_by_way_of_a_server, wan_addresses_for_another_data_centre,
	no_wan_addresses_at_home, loops_end, only_the_leader_where_stale_will_not_do,
	what_a_peer_says, recursion_is_offered_by_who_is_asked, cache_is_for_the_same_question,
	cache_is_bounded)
