/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the DNS core share: the compiled settings, records on their way into a message,
 * one lookup.
 */
#ifndef MUSTER_DNSD_CORE_INTERNAL_H
#define MUSTER_DNSD_CORE_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/time.h"
#include "dnsd/core/shuffle.h"
#include "dnsd/core/wire.h"

/* A name in two borrowed parts: labels without root, then the rest with root. */
struct name {
	struct str prefix, suffix;
};

static const struct str name_root = { "", 1 };

static inline size_t name_size(const struct name *n)
{
	return n->prefix.n + n->suffix.n;
}

bool name_eq(const struct name *a, const struct name *b);

struct rr {
	struct name owner;
	uint16_t type, port, weight;
	uint32_t ttl;
	struct name target; /* CNAME, NS, PTR, SRV */
	struct str data;    /* A, AAAA, TXT; SOA: the refresh, retry, expire and minimum numbers */
	uint32_t extras_from, extras_count; /* SRV: its own records in the additional section */
};

struct rrs {
	struct rr *items;
	uint32_t count, size;
};
struct rr *rrs_add(struct rrs *list); /* zeroed; moves the others */

struct ttl_row {
	struct str name;
	uint32_t ttl;
};

/* Where names stand in the message that is being written: open addressing over hashes of their
 * suffixes. */
enum { PLACES_COUNT = 2048, PLACES_MAX = PLACES_COUNT * 3 / 4 };
struct place {
	uint32_t hash;
	uint16_t offset;
	uint16_t stamp;
};
struct places {
	struct place slots[PLACES_COUNT];
	uint32_t used;
	uint16_t stamp;
};

struct dns {
	struct arena arena; /* of the settings */
	struct dns_settings settings;
	struct str domain, alt_domain; /* DNS form with root; alt_domain may be empty */
	struct str node_suffix, service_suffix, addr_suffix; /* node.<dc>.<domain> ... with root */
	unsigned domain_labels, alt_domain_labels;
	struct ttl_row *exact, *prefixes; /* exact sorted by name; prefixes longest first */
	uint32_t exact_count, prefixes_count;
	char soa_numbers[16];
	/* memory of one answer, reused */
	struct arena scratch;
	struct rrs answers, authorities, extras;
	struct shuffle shuffle;
	struct places places;
};

uint32_t dns_service_ttl(const struct dns *d, struct str service);

/* One query being answered. */
struct job {
	struct dns *d;
	const struct dns_request *request;
	struct dns_reply *reply;
	struct query query;
	bool tcp, fresh; /* the client's transport; it will not have stale names */
	bool wan;	 /* it is in another data centre, which wants WAN addresses */
	uint8_t hops;	 /* nodes that the query came through */
	bool ask;	 /* another server has to say */
	bool executes;	 /* the answer waits for what a prepared query finds */
	uint16_t flags;	 /* AA, RA, TC, RCODE of the answer */
	bool trim;	 /* cut to the client's size */
	uint32_t total;	 /* answers there would be without any limit */
};

/* A name looked up: the question itself, or the target of a CNAME (depth below DEPTH_MAX). */
enum { DEPTH_MAX = 3, CHASED_MAX = 5 };
struct lookup {
	struct job *job;
	const struct subject *subject;
	struct name owner;
	uint16_t type;
	unsigned depth;		      /* how many CNAMEs may still be followed */
	unsigned left, behind, right; /* labels before the keyword; the first one behind it, and how
					 many those are */
	struct rrs *answers, *extras; /* extras: NULL for chased names */
	uint32_t want;		      /* more answers than that cannot be sent */
	uint32_t total;
	enum dns_rcode rcode;
	bool soa;
};

/* peer.c */
enum names_at {
	NAMES_HERE,    /* the names in the request say it */
	NAMES_ASKED,   /* another server: the outcome is DNS_ASK, whatever else is found */
	NAMES_SILENT,  /* nobody answers */
	NAMES_NOWHERE, /* there is no such data centre */
};
void job_peer(struct job *j); /* what the query says about itself; may change its EDNS */
/* Where the names of a data centre (lower case; empty: this one) are. Before they are looked at. */
enum names_at job_names(struct job *j, struct str datacenter);
enum dns_outcome job_ask(struct job *j);

/* Instances to answer with. */
struct found {
	struct naming_service service;
	struct naming_view view;
	uint32_t ttl;
	bool ordered;			     /* else any of them, at random */
	struct str node_suffix, addr_suffix; /* of the data centre where they are */
};

/* answer.c: a name in one of our zones. */
void lookup_run(struct lookup *l);
unsigned zone_labels(const struct dns *d, const struct subject *s); /* 0: not ours */
/* The name's data centre has to say, and it is not here: the outcome is noted. */
bool lookup_elsewhere(struct lookup *l);
void lookup_not_found(struct lookup *l); /* NXDOMAIN with SOA */
void lookup_failed(struct lookup *l);	 /* SERVFAIL */
/* Which addresses are meant. */
enum tagged_family lookup_family(const struct lookup *l);
/* The record of a node or service (its name in lower case) with these addresses. */
bool lookup_find(
	const struct lookup *l, enum naming_owner owner, struct str name, struct str *record_out);
/* How many answers of at least 16 bytes the client can get. */
uint32_t job_want(const struct job *j);
/* node.c */
void lookup_node(struct lookup *l);
void lookup_addr(struct lookup *l);
void texts_add(struct rrs *to, struct name owner, const struct naming_node *node, uint32_t ttl);
void name_servers(struct job *j, struct rrs *servers);
bool reverse_answer(struct job *j); /* false: nobody has that address */
/* service.c */
void lookup_service(struct lookup *l);
void found_answer(struct lookup *l, const struct found *f);
/* prepared.c */
void lookup_query(struct lookup *l);
/* settings.c: keyword.text.suffix in DNS form, in the arena. ST_INVALID */
int suffix_make(struct arena *arena, const char *keyword, struct str text, struct str suffix,
	struct str *out);
/* chase.c: appends what is known about a host name (DNS form without root). keep_ttl: as found,
 * else ttl. */
void chase(struct lookup *l, struct str host, bool keep_ttl, uint32_t ttl, struct rrs *to);
void soa_add(struct job *j, struct rrs *to);
/* message.c */
void message_write(struct job *j);
size_t message_refusal(
	const struct query *q, enum dns_rcode rcode, uint16_t keep, bool question, uint8_t *out);
size_t opt_put(const struct query *q, uint8_t *p);

static inline struct rr *rr_address(
	struct rrs *to, struct name owner, const struct naming_address *a, uint32_t ttl)
{
	struct rr *rr = rrs_add(to);

	rr->owner = owner;
	rr->type = a->kind == NAMING_V4 ? TYPE_A : TYPE_AAAA;
	rr->ttl = ttl;
	rr->data = a->bytes;
	return rr;
}

static inline struct rr *rr_target(
	struct rrs *to, struct name owner, uint16_t type, struct name target, uint32_t ttl)
{
	struct rr *rr = rrs_add(to);

	rr->owner = owner;
	rr->type = type;
	rr->ttl = ttl;
	rr->target = target;
	return rr;
}

#endif
