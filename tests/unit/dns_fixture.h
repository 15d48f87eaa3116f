/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small catalogue in memory and a way to ask it, for the tests and the fuzz target of dnsd/core.
 */
#ifndef MUSTER_TESTS_UNIT_DNS_FIXTURE_H
#define MUSTER_TESTS_UNIT_DNS_FIXTURE_H

#include "dnsd/core/dns.h"
#include "tests/unit/dns_text.h"

enum {
	T_A = 1,
	T_NS = 2,
	T_CNAME = 5,
	T_SOA = 6,
	T_PTR = 12,
	T_MX = 15,
	T_TXT = 16,
	T_AAAA = 28,
	T_SRV = 33,
	T_AXFR = 252,
	T_ANY = 255
};

struct fixture {
	struct kv_mem *kv;
	struct kv_txn *txn;
	struct dns *dns;
	struct rng rng;
	struct buf query, text;
	unsigned pointers;
	bool not_ready, peer, too_old, fresh;
	bool others; /* there are other servers: DNS_ASK is an outcome */
	const struct dns_found *found;
	struct dns_reply reply;
	const struct dns_executed *executed;
};

static inline struct dns_settings fixture_settings(void)
{
	return (struct dns_settings) {
		.domain = STR("consul."),
		.datacenter = STR("dc1"),
		.node_meta_txt = true,
		.server = true,
		.allow_stale = true,
		.udp_answer_limit = 3,
		.soa_refresh = 3600,
		.soa_retry = 600,
		.soa_expire = 86400,
	};
}

static inline void fixture_owner(
	struct fixture *f, const char *address, enum naming_owner kind, const char *name)
{
	struct state_key room;
	struct str key;

	if (naming_address_key(&room, str_of(address), kind, str_of(name), &key)) {
		kv_put(f->txn, NAMING_ADDRESSES, key, str_of(name));
	}
}

static inline void fixture_node(
	struct fixture *f, const char *name, const char *address, struct pairs meta)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	struct node_def def = { .node = str_of(name), .address = str_of(address), .meta = meta };

	naming_node_encode(&b, &def, NAMING_FACE_ANY);
	kv_put(f->txn, NAMING_NODES, str_of(name), buf_str(&b));
	fixture_owner(f, address, NAMING_OWNER_NODE, name);
}

static inline void fixture_service(
	struct fixture *f, const char *name, const struct naming_instance *items, uint32_t count)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };

	naming_service_encode(&b, items, count);
	kv_put(f->txn, NAMING_SERVICES, str_of(name), buf_str(&b));
}

/* An instance without an address of its own on a node that has this one too, for others. */
static inline void fixture_face(struct fixture *f, const char *service, const char *node,
	enum naming_face face, const char *address, int64_t port)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	struct naming_instance item = { .node = str_of(node),
		.node_address = str_of(address),
		.address = str_of(address),
		.port = port,
		.weight_passing = 1 };
	struct node_def def = { .node = str_of(node), .address = str_of(address) };
	struct state_key room;

	naming_service_encode(&b, &item, 1);
	kv_put(f->txn, NAMING_FACES,
		naming_face_key(&room, NAMING_OWNER_SERVICE, str_of(service), face), buf_str(&b));
	buf_clear(&b);
	naming_node_encode(&b, &def, NAMING_FACE_ANY);
	kv_put(f->txn, NAMING_FACES, naming_face_key(&room, NAMING_OWNER_NODE, str_of(node), face),
		buf_str(&b));
}

static inline struct naming_instance fixture_instance(
	const char *node, const char *node_address, const char *address, int64_t port)
{
	return (struct naming_instance) {
		.node = str_of(node),
		.node_address = str_of(node_address),
		.service_id = STR("id"),
		.address = str_of(address),
		.port = port,
		.weight_passing = 1,
		.weight_warning = 1,
	};
}

static inline void fixture_fill(struct fixture *f)
{
	static struct str tags1[] = { { "v1", 2 }, { "Prod", 4 } }, tags2[] = { { "V.2", 3 } };
	static struct pair meta[] = { { { "rack", 4 }, { "r1", 2 } },
		{ { "rfc1035-x", 9 }, { "plain text", 10 } } };
	struct naming_instance items[3];

	fixture_node(f, "n1", "10.0.0.1", (struct pairs) { meta, 2, true });
	fixture_node(f, "ext.3", "2001:db8::1", (struct pairs) { 0 });
	fixture_node(f, "hostn", "www.example.com", (struct pairs) { 0 });
	fixture_owner(f, "10.9.9.9", NAMING_OWNER_SERVICE, "web");
	items[0] = fixture_instance("n1", "10.0.0.1", "", 8300);
	items[0].node_meta = (struct pairs) { meta, 2, true };
	fixture_service(f, "consul", items, 1);
	items[0] = fixture_instance("ext1", "10.1.0.1", "", 80);
	items[0].tags = (struct strs) { tags1, 2, true };
	items[0].weight_passing = 5;
	items[1] = fixture_instance("ext1", "10.1.0.1", "", 81);
	items[2] = fixture_instance("ext2", "10.1.0.2", "10.9.9.9", 82);
	items[2].tags = (struct strs) { tags2, 1, true };
	items[2].status = HEALTH_WARNING;
	fixture_service(f, "web", items, 3);
	items[0] = fixture_instance("ext.3", "2001:db8::1", "", 82);
	fixture_service(f, "six", items, 1);
	items[0].status = HEALTH_CRITICAL;
	fixture_service(f, "sick", items, 1);
	items[0] = fixture_instance("hostn", "www.example.com", "", 82);
	fixture_service(f, "onhost", items, 1);
	items[0] = fixture_instance("ext2", "10.1.0.2", "web.service.consul", 82);
	fixture_service(f, "fq", items, 1);
	items[0] = fixture_instance("ext2", "10.1.0.2", "loop.service.consul.", 82);
	fixture_service(f, "loop", items, 1);
}

static inline void fixture_big(struct fixture *f, const char *name, uint32_t count)
{
	static struct pair meta[] = { { { "m", 1 }, { "x", 1 } } };
	struct naming_instance *items = xcalloc(count, sizeof(*items));

	for (uint32_t i = 0; i < count; i++) {
		char node[32], address[32];

		snprintf(node, sizeof(node), "big%u", i + 1);
		snprintf(address, sizeof(address), "10.2.%u.%u", (i + 1) / 256, (i + 1) % 256);
		items[i] = fixture_instance("", "", "", 1001 + i);
		items[i].node = str_of(xstrdup(node));
		items[i].node_address = str_of(xstrdup(address));
		items[i].node_meta = (struct pairs) { meta, 1, true };
	}
	fixture_service(f, name, items, count);
	for (uint32_t i = 0; i < count; i++) {
		free((char *)items[i].node.p);
		free((char *)items[i].node_address.p);
	}
	free(items);
}

static inline void fixture_init(struct fixture *f, const struct dns_settings *settings)
{
	struct dns_settings s = settings ? *settings : fixture_settings();

	memset(f, 0, sizeof(*f));
	f->kv = kv_mem_new(NAMING_TABLES_COUNT);
	f->txn = kv_mem_begin(f->kv);
	f->reply.bytes = xmalloc(DNS_MESSAGE_MAX);
	must(dns_new(&s, &f->dns) == 0);
	rng_init(&f->rng, 1);
	fixture_fill(f);
}

static inline void fixture_fini(struct fixture *f)
{
	kv_abort(f->txn);
	kv_mem_free(f->kv);
	dns_free(f->dns);
	free(f->reply.bytes);
	buf_fini(&f->query);
	buf_fini(&f->text);
}

static inline void fixture_query(struct fixture *f, const char *name, unsigned type, unsigned edns)
{
	buf_clear(&f->query);
	buf_put(&f->query, "\x12\x34\x01\0\0\1\0\0\0\0\0", 11);
	buf_put_u8(&f->query, edns != 0);
	for (struct str rest = str_of(name); rest.p && *name;) {
		struct str label = str_split(rest, '.', &rest);

		buf_put_u8(&f->query, (uint8_t)label.n);
		buf_put_str(&f->query, label);
	}
	buf_put_u8(&f->query, 0);
	buf_put_u16be(&f->query, (uint16_t)type);
	buf_put_u16be(&f->query, 1);
	if (edns) {
		buf_put(&f->query, "\0\0\x29", 3);
		buf_put_u16be(&f->query, (uint16_t)edns);
		buf_put_u32be(&f->query, 0);
		buf_put_u16be(&f->query, 0);
	}
}

/* Sends f->query; the answer's text is f->text. */
static inline enum dns_outcome fixture_send(struct fixture *f, bool tcp)
{
	struct dns_request request = {
		.query = buf_str(&f->query),
		.tcp = tcp,
		.names = f->not_ready ? NULL : f->txn,
		.peer = f->peer,
		.too_old = f->too_old,
		.fresh = f->fresh,
		.rng = &f->rng,
		.now_s = 1000,
		.found = f->found,
		.found_count = f->found != NULL,
		.executed = f->executed,
	};
	enum dns_outcome outcome = dns_answer(f->dns, &request, &f->reply);

	if (outcome == DNS_ASK && !f->others) {
		request.asked = f->reply.datacenter[0] ? DNS_NO_PATH : DNS_UNANSWERED;
		outcome = dns_answer(f->dns, &request, &f->reply);
	}
	buf_clear(&f->text);
	if (outcome == DNS_REPLY) {
		dns_text(&f->text, f->reply.bytes, f->reply.size, &f->pointers);
	}
	return outcome;
}

static inline enum dns_outcome fixture_ask(
	struct fixture *f, const char *name, unsigned type, unsigned edns, bool tcp)
{
	fixture_query(f, name, type, edns);
	return fixture_send(f, tcp);
}

/* The count at this offset of the answer's header: 6 answers, 8 authority, 10 additional. */
static inline unsigned fixture_count(const struct fixture *f, size_t at)
{
	return (unsigned)f->reply.bytes[at] << 8 | f->reply.bytes[at + 1];
}

#endif
