/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS queries against a small catalogue: the first byte chooses settings and transport, the rest is
 * the packet. Whatever is answered must decode to its last byte, carry the query's id and keep to
 * the size limits. The same bytes are also read as a recursor's answer.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/unit/dns_fixture.h"

enum {
	VARIANT_RECURSORS = 1,
	VARIANT_PLAIN = 2,
	VARIANT_TCP = 4,
	VARIANT_NOT_READY = 8,
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
	buf_clear(&f->query);
	buf_put_str(&f->query, query);
	if (ask(f, data[0] & VARIANT_TCP) == DNS_REPLY) {
		must(query.n >= DNS_HEADER_SIZE && memcmp(f->reply.bytes, query.p, 2) == 0);
		must(f->reply.size <= DNS_MESSAGE_MAX);
		must(!strstr(buf_cstr(&f->text), "BROKEN"));
	}
	(void)dns_servfail(query, f->reply.bytes);
	upstream_read(query);
	free(exact);
	return 0;
}
