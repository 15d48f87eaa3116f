/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS queries against a small catalogue: the first byte chooses settings, transport and whether it
 * comes from another node, the rest is the packet. Whatever is answered must decode to its last
 * byte, carry the query's id and keep to the size limits; what another node is asked must be a
 * query, and its answer fit. The same bytes are also read as a recursor's or another node's
 * answer.
 */
#include "tests/fuzz/fuzz.h"

#include "dnsd/core/cache.h"
#include "tests/unit/dns_fixture.h"

enum {
	VARIANT_RECURSORS = 1,
	VARIANT_PLAIN = 2,
	VARIANT_TCP = 4,
	VARIANT_NOT_READY = 8,
	VARIANT_PEER = 16,
	VARIANT_OTHERS = 32, /* there are other nodes */
	VARIANTS = 4
};

static struct fixture fixtures[VARIANTS];

static void fixtures_make(void)
{
	for (unsigned i = 0; i < VARIANTS; i++) {
		struct dns_settings s = fixture_settings();

		s.recursors = i & VARIANT_RECURSORS;
		s.disable_compression = i & VARIANT_PLAIN;
		s.alt_domain = STR("alt.test");
		s.enable_truncate = true;
		fixture_init(&fixtures[i], &s);
		fixture_big(&fixtures[i], "big", 60);
	}
}

static void upstream_read(struct str bytes)
{
	OWN_EMBEDDED(buf_fini) struct buf records = { 0 };
	bool usable;

	(void)dns_response_matches(bytes, bytes, &usable);
	(void)dns_peer_said(fixtures[0].dns, bytes, bytes);
	(void)dns_found_parse(bytes, &records);
}

/* What a prepared query found is answered, and not executed again. */
static enum dns_outcome ask(struct fixture *f, bool tcp)
{
	struct dns_executed executed = { .service = STR("big"), .datacenter = STR("dc1") };
	enum dns_outcome outcome;

	f->executed = NULL;
	outcome = fixture_send(f, tcp);
	if (outcome != DNS_EXECUTE) {
		return outcome;
	}
	must(kv_get(f->txn, NAMING_SERVICES, STR("big"), &executed.record));
	f->executed = &executed;
	outcome = fixture_send(f, tcp);
	f->executed = NULL;
	must(outcome == DNS_REPLY);
	return outcome;
}

/* Hands the question on to a server, and its answer through the cache back to who asked. */
static void other_node_ask(struct fixture *f, struct str query)
{
	static struct fixture other;
	static struct dns_cache cache;
	struct str ask = str_n(f->reply.bytes, f->reply.size);
	struct dns_reply out;

	if (!other.kv) {
		fixture_init(&other, NULL);
		other.peer = true;
		dns_cache_init(&cache, 64, 1 << 16, 1);
	}
	must(ask.n <= DNS_PEER_QUERY_MAX);
	buf_clear(&other.query);
	buf_put_str(&other.query, ask);
	must(fixture_send(&other, false) == DNS_REPLY && !strstr(buf_cstr(&other.text), "BROKEN"));
	must(dns_peer_said(f->dns, ask, str_n(other.reply.bytes, other.reply.size)) !=
		DNS_SAID_STRANGER);
	dns_cache_put(&cache, ask, str_n(other.reply.bytes, other.reply.size), (struct mono) { 1 });
	out.bytes = other.reply.bytes;
	must(dns_cache_get(&cache, ask, query, (struct mono) { 2 }, 1, &out));
	must(memcmp(out.bytes, query.p, 2) == 0);
	if (out.size > DNS_PEER_UDP_MAX) {
		must(dns_peer_shorten(out.bytes, out.size) < out.size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum dns_outcome outcome;
	struct fixture *f;
	char *exact;
	struct str query;

	if (!fixtures[0].kv) {
		fixtures_make();
	}
	if (size < 1 || size > DNS_MESSAGE_MAX) {
		return 0;
	}
	/* An exact copy, so that a read behind the end is seen. */
	exact = xmalloc(size);
	memcpy(exact, data + 1, size - 1);
	query = str_n(exact, size - 1);
	f = &fixtures[data[0] % VARIANTS];
	f->not_ready = data[0] & VARIANT_NOT_READY;
	f->peer = data[0] & VARIANT_PEER;
	f->others = data[0] & VARIANT_OTHERS;
	buf_clear(&f->query);
	buf_put_str(&f->query, query);
	outcome = ask(f, data[0] & VARIANT_TCP);
	if (outcome == DNS_REPLY) {
		must(query.n >= DNS_HEADER_SIZE && memcmp(f->reply.bytes, query.p, 2) == 0);
		must(f->reply.size <= DNS_MESSAGE_MAX);
		must(!strstr(buf_cstr(&f->text), "BROKEN"));
	} else if (outcome == DNS_ASK) {
		other_node_ask(f, query);
	}
	(void)dns_servfail(query, f->reply.bytes);
	upstream_read(query);
	free(exact);
	return 0;
}
