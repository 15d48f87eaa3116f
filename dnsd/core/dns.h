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
 *     DNS_ASK     another server has to say: send out->bytes, with an id of its own, to the peer
 *                 port of one in the data centre of the name (client nodes: of this one; as
 *                 out->leader says: to the leader), and see dns_peer_said about what comes back.
 *                 When nothing does, ask again with .asked
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
	DNS_PEER_QUERY_MAX = 320,
	DNS_PEER_UDP_MAX = 1232, /* longer answers go to other nodes over TCP: no fragments */
};

struct dns_settings {
	struct str domain, alt_domain, datacenter;
	bool only_passing, enable_truncate, disable_compression, node_meta_txt;
	bool recursors; /* there are some: names of others are relayed */
	bool server;	/* has the names of its data centre, and asks other data centres itself */
	bool allow_stale;
	bool translate_wan_addrs; /* instances elsewhere are shown under their WAN addresses */
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
	enum tagged_family family;	 /* of the addresses that are wanted */
	bool wan;			 /* somebody in another data centre wants WAN addresses */
};

/* What it found: its instances as a service of the naming environment, with the face that is
 * wanted, all of them passing, in the order in which they are answered. */
struct dns_executed {
	enum { DNS_EXECUTED, DNS_EXECUTED_NOTHING, DNS_EXECUTED_FAILED } outcome;
	struct str record;
	struct str service, datacenter; /* lower case; where they are */
	bool has_ttl;			/* else that of the service */
	uint32_t ttl;
};

/* What became of a question to others. */
enum dns_asked {
	DNS_NOT_ASKED,
	DNS_UNANSWERED,
	DNS_NO_PATH, /* no such data centre */
	DNS_NOBODY,  /* its data centre does not know the (reverse) name */
};

struct dns_request {
	struct str query;
	bool tcp;
	bool peer;	      /* from another node's dnsd, over the port for that */
	struct kv_txn *names; /* NULL: there are none here, or they are known to be behind */
	bool fresh;	      /* names is what the leader has, and it leads: good for everybody */
	bool too_old;	      /* names is older than the settings allow */
	enum dns_asked asked;
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
	/* DNS_ASK */
	char datacenter[DNS_LABEL_MAX + 1]; /* that the name is in, lower case; "": this one */
	bool leader;			    /* only the leader can say */
	struct dns_execute execute;	    /* DNS_EXECUTE */
};

enum dns_outcome { DNS_DROP, DNS_REPLY, DNS_RELAY, DNS_CHASE, DNS_ASK, DNS_EXECUTE };

enum dns_outcome dns_answer(
	struct dns *d, const struct dns_request *request, struct dns_reply *out);

/* What a client gets when every recursor failed: SERVFAIL with RA and the EDNS of the query.
 * Returns its size; 0: not a query. */
size_t dns_servfail(struct str query, uint8_t out[DNS_MESSAGE_MAX]);

/* ---- talking to other nodes ---- */

/*
 * A question to a peer is a query like any other, with the client's question, flags and EDNS, and
 * an EDNS option of our own that carries what else the answer depends on: the client's transport,
 * whether it sent EDNS at all, whether stale names will do, whether WAN addresses are wanted, and
 * how many nodes it came through, which ends loops. The answer is the client's but for its id and
 * the RA flag.
 */
enum dns_said {
	DNS_SAID_ANSWER,
	DNS_SAID_LONGER,   /* too long for a datagram: to be asked again over TCP */
	DNS_SAID_UNABLE,   /* that server cannot say; another one may */
	DNS_SAID_NOBODY,   /* a reverse name that the data centre does not know */
	DNS_SAID_STRANGER, /* no answer to this question */
};
/* query: as it was sent, with its id. */
enum dns_said dns_peer_said(const struct dns *d, struct str query, struct str message);
/* Makes a peer's answer the one for a client: the id, and what we ourselves can do. */
void dns_peer_finish(const struct dns *d, struct str client_query, uint8_t *message);
/* What an answer that is longer than DNS_PEER_UDP_MAX becomes for a datagram. Returns its size. */
size_t dns_peer_shorten(uint8_t *message, size_t size);
/* Worth being kept for when nobody can be asked. */
bool dns_answer_keeps(struct str message);

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
