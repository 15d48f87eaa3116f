/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the DNS wire format, names in it, and parsing a query. RFC 1035, 6891 (EDNS), 7871
 * (client subnet).
 */
#ifndef MUSTER_DNSD_CORE_WIRE_H
#define MUSTER_DNSD_CORE_WIRE_H

#include "common/base/buf.h"
#include "dnsd/core/dns.h"

enum dns_type {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_PTR = 12,
	TYPE_TXT = 16,
	TYPE_AAAA = 28,
	TYPE_SRV = 33,
	TYPE_OPT = 41,
	TYPE_AXFR = 252,
	TYPE_ANY = 255,
};

enum dns_rcode {
	RCODE_OK = 0,
	RCODE_FORMERR = 1,
	RCODE_SERVFAIL = 2,
	RCODE_NXDOMAIN = 3,
	RCODE_NOTIMP = 4,
	RCODE_REFUSED = 5
};

enum dns_flag {
	FLAG_QR = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	FLAG_AD = 0x0020,
	FLAG_CD = 0x0010,
	FLAG_RCODE = 0x000f,
};

enum {
	OPCODE_QUERY = 0,
	OPCODE_NOTIFY = 4,
	CLASS_IN = 1,
	LABELS_MAX = 128,
	OPTION_ECS = 8,
	OPTION_PEER = 65001, /* peer.c */
	POINTER_MAX = 0x3fff
};

/* A name taken apart. */
struct subject {
	uint8_t wire[DNS_NAME_MAX + 1];	 /* spelled as received, with root */
	uint8_t lower[DNS_NAME_MAX + 1]; /* the same in lower case */
	uint8_t at[LABELS_MAX];		 /* where each label's length byte is, without root */
	unsigned labels_count;
	size_t size;
	bool special; /* holds bytes that no registered name can hold in DNS: dots, blanks, control
			 characters ... */
};

struct query {
	uint16_t id, flags, type, class;
	bool has_question;
	bool edns;
	uint16_t edns_size;
	struct str ecs;	 /* family, source prefix, scope, address; checked; STR_NONE without */
	bool ecs_scoped; /* the answer is for that prefix alone */
	struct str peer; /* what another node says about it, unchecked */
	struct subject subject;
};

enum query_verdict { QUERY_OK, QUERY_DROP, QUERY_FORMERR, QUERY_NOTIMP };

enum query_verdict query_parse(struct str message, struct query *out);

/* A possibly compressed name at *at, which moves behind it. Needs room for DNS_NAME_MAX. false:
 * broken. */
bool wire_name_read(struct str message, size_t *at, uint8_t *out, size_t *size_out);
/* wire and size are filled in; does the rest. */
void subject_fill(struct subject *s);
/* Label i in lower case. */
static inline struct str subject_label(const struct subject *s, unsigned i)
{
	return str_n(s->lower + s->at[i] + 1, s->lower[s->at[i]]);
}

static inline uint16_t wire_u16(struct str message, size_t at)
{
	return (uint16_t)((uint8_t)message.p[at] << 8 | (uint8_t)message.p[at + 1]);
}

static inline void wire_put_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void wire_put_u32(uint8_t *p, uint32_t v)
{
	wire_put_u16(p, (uint16_t)(v >> 16));
	wire_put_u16(p + 2, (uint16_t)v);
}

#endif
