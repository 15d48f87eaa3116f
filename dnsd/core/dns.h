/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS answers: a query's bytes and the naming environment in, a message out. No I/O, no clock, no
 * chance of its own.
 *
 *   dns_answer gives
 *     DNS_DROP    send nothing
 *     DNS_REPLY   send out->size bytes
 *     DNS_RELAY   the name is not ours: ask the recursors and send on what they say;
 *                 when all fail, send dns_servfail
 *     DNS_CHASE   look up the A records of out->wanted at the recursors, then ask
 *                 again with .found and the same rng
 *     DNS_EXECUTE have httpd execute the prepared query out->execute, then ask again
 *                 with .executed
 *
 * Strangers' bytes may be anything: what is not a query is dropped, what is malformed gets FORMERR.
 * A struct dns holds the compiled settings and the memory that all its answers share; it serves one
 * query at a time.
 */
#ifndef MUSTER_DNSD_CORE_DNS_H
#define MUSTER_DNSD_CORE_DNS_H

#include "common/base/kv.h"
#include "common/base/rng.h"
#include "common/msg/naming.h"

enum {
	DNS_MESSAGE_MAX = 65535,
	DNS_HEADER_SIZE = 12,
	DNS_UDP_MAX = 65467, /* the largest datagram we make */
	DNS_WANTED_MAX = 8,  /* names looked up at recursors for one query */
};

struct dns_settings {
	struct str domain, alt_domain, datacenter;
	bool only_passing, enable_truncate, disable_compression, node_meta_txt;
	bool recursors; /* there are some: names of others are relayed */
	int64_t node_ttl_s, udp_answer_limit, a_record_limit;
	int64_t soa_refresh, soa_retry, soa_expire, soa_min_ttl;
	struct pairs service_ttl; /* name, prefix* or * -> duration in Go's syntax */
};

struct dns;
/* The settings are copied. ST_INVALID: a domain or data centre that cannot be written in DNS. */
int dns_new(const struct dns_settings *settings, struct dns **out);
void dns_free(struct dns *d);
DEFINE_OWN(struct dns, dns_free)

/* A name in DNS form with its root label, lower case. */
struct dns_wanted {
	uint8_t name[DNS_NAME_MAX];
	size_t size;
};

/* What a recursor said about a wanted name: records packed by dns_found_parse, empty when it did
 * not answer. */
struct dns_found {
	struct dns_wanted name;
	struct str records;
};

/* A prepared query that a name stands for. */
struct dns_execute {
	char name[DNS_NAME_MAX + 1], datacenter[DNS_LABEL_MAX + 1]; /* datacenter: "" for ours */
	bool has_subnet;		 /* the query says for whom it is asked ... */
	uint8_t subnet[16], subnet_size; /* ... this address; 0: nobody's */
	uint32_t instances_max;		 /* more cannot become part of an answer */
};

/* What it found: its instances as a service of the naming environment, all of them passing, in the
 * order in which they are answered. */
struct dns_executed {
	enum { DNS_EXECUTED, DNS_EXECUTED_NOTHING, DNS_EXECUTED_FAILED } outcome;
	struct str record;
	struct str service, datacenter; /* lower case; where they are */
	bool has_ttl;			/* else that of the service */
	uint32_t ttl;
};

struct dns_request {
	struct str query;
	bool tcp;
	struct kv_txn *names; /* NULL: not ready, our names get SERVFAIL */
	struct rng *rng;
	int64_t now_s; /* Unix time, for the SOA serial */
	bool chased;   /* found is complete: nothing more is wanted */
	const struct dns_found *found;
	size_t found_count;
	const struct dns_executed *executed; /* NULL: not yet */
};

enum dns_kind { DNS_KIND_OTHER, DNS_KIND_DOMAIN, DNS_KIND_PTR };

struct dns_reply {
	uint8_t *bytes; /* the caller's room, DNS_MESSAGE_MAX */
	size_t size;
	enum dns_kind kind; /* for the metrics */
	struct dns_wanted wanted[DNS_WANTED_MAX];
	size_t wanted_count;
	struct dns_execute execute;
};

enum dns_outcome { DNS_DROP, DNS_REPLY, DNS_RELAY, DNS_CHASE, DNS_EXECUTE };

enum dns_outcome dns_answer(
	struct dns *d, const struct dns_request *request, struct dns_reply *out);

/* What a client gets when every recursor failed: SERVFAIL with RA and the EDNS of the query.
 * Returns its size; 0: not a query. */
size_t dns_servfail(struct str query, uint8_t out[DNS_MESSAGE_MAX]);

/* ---- talking to recursors ---- */

/* An A query for a wanted name. Returns its size. */
size_t dns_wanted_query(const struct dns_wanted *w, uint16_t id, uint8_t out[512]);
/*
 * Does the message answer the query: same id, a response, one question, the same up to case?
 * *usable_out: its RCODE is NOERROR or NXDOMAIN (others mean: ask the next recursor).
 */
bool dns_response_matches(struct str message, struct str query, bool *usable_out);
/* Appends the CNAME, A and AAAA records of the answer section. ST_INVALID */
int dns_found_parse(struct str message, struct buf *out);

#endif
