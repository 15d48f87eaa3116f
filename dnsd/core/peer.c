/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions between nodes: which names this node cannot answer itself, how it asks another server,
 * and what is made of what that one says.
 *
 * The option (OPTION_PEER, of those that RFC 6891 leaves to local use): hops, flags. A question
 * without it is somebody's who tries the port by hand: it is answered, and goes no further.
 */
#include "dnsd/core/internal.h"

enum {
	HOPS_MAX = 3, /* client node, server, server of the other data centre, its leader */
	ECS_MAX = 4 + 16,
	OPT_FIXED = 11,
	OPTION_HEAD = 4,
};

enum peer_flag {
	PEER_PLAIN = 1, /* the client sent no EDNS */
	PEER_TCP = 2,	/* the client is at the other end of a connection */
	PEER_FRESH = 4, /* stale names will not do */
	PEER_WAN = 8,	/* the client's data centre is another one, and wants WAN addresses */
};

void job_peer(struct job *j)
{
	const struct str option = j->query.peer;
	uint8_t flags = 0;

	j->tcp = j->request->tcp;
	j->fresh = !j->d->settings.allow_stale;
	j->hops = 0;
	j->wan = false;
	if (!j->request->peer) {
		return;
	}
	j->hops = HOPS_MAX;
	j->fresh = false;
	if (option.n >= 2) {
		j->hops = (uint8_t)option.p[0];
		flags = (uint8_t)option.p[1];
		j->tcp = flags & PEER_TCP;
		j->fresh = flags & PEER_FRESH;
		j->wan = flags & PEER_WAN;
	}
	if (flags & PEER_PLAIN) {
		j->query.edns = false;
		j->query.edns_size = 0;
	}
}

static bool names_usable(const struct job *j)
{
	const struct dns_request *r = j->request;

	return r->names && (r->fresh || (!r->too_old && !j->fresh));
}

/*
 * Who else may be asked: anybody for ourselves; for another node only what takes it nearer, which
 * is the leader from a server that is none, and the other data centre from this one.
 */
static bool may_ask(const struct job *j, struct str datacenter)
{
	return !j->request->peer || (j->hops < HOPS_MAX && (datacenter.n || j->request->names));
}

enum names_at job_names(struct job *j, struct str datacenter)
{
	bool foreign = datacenter.n && !str_eq(datacenter, j->d->settings.datacenter);

	if (!foreign && names_usable(j)) {
		return NAMES_HERE;
	}
	datacenter = foreign ? datacenter : STR_NONE;
	if (j->request->asked == DNS_NO_PATH) {
		return NAMES_NOWHERE;
	}
	if (j->request->asked != DNS_NOT_ASKED || datacenter.n > DNS_LABEL_MAX ||
		!may_ask(j, datacenter)) {
		return NAMES_SILENT;
	}
	j->ask = true;
	memcpy(j->reply->datacenter, datacenter.n ? datacenter.p : "", datacenter.n);
	j->reply->datacenter[datacenter.n] = '\0';
	/* A server whose own names will not do needs the leader's; others ask a server. */
	j->reply->leader = !foreign && j->request->names;
	return NAMES_ASKED;
}

static size_t option_put(uint8_t *p, uint16_t code, struct str data)
{
	wire_put_u16(p, code);
	wire_put_u16(p + 2, (uint16_t)data.n);
	memcpy(p + OPTION_HEAD, data.p, data.n);
	return OPTION_HEAD + data.n;
}

static uint8_t flags_of(const struct job *j)
{
	bool foreign = j->reply->datacenter[0];
	bool wan = j->wan || (foreign && j->d->settings.translate_wan_addrs);

	return (uint8_t)((j->query.edns ? 0 : PEER_PLAIN) | (j->tcp ? PEER_TCP : 0) |
			 (j->fresh ? PEER_FRESH : 0) | (wan ? PEER_WAN : 0));
}

enum dns_outcome job_ask(struct job *j)
{
	const struct query *q = &j->query;
	const uint8_t ours[2] = { (uint8_t)(j->hops + 1), flags_of(j) };
	uint8_t *p = j->reply->bytes;
	size_t n = DNS_HEADER_SIZE, opt;

	memset(p, 0, n);
	wire_put_u16(p + 2, q->flags);
	wire_put_u16(p + 4, 1);
	wire_put_u16(p + 10, 1);
	memcpy(p + n, q->subject.wire, q->subject.size);
	n += q->subject.size;
	wire_put_u16(p + n, q->type);
	wire_put_u16(p + n + 2, q->class);
	n += 4;
	opt = n;
	p[n] = 0;
	wire_put_u16(p + n + 1, TYPE_OPT);
	wire_put_u16(p + n + 3, q->edns ? q->edns_size : 512);
	wire_put_u32(p + n + 5, 0);
	n += OPT_FIXED;
	if (q->edns && q->ecs.p) {
		n += option_put(p + n, OPTION_ECS, str_cut(q->ecs, ECS_MAX));
	}
	n += option_put(p + n, OPTION_PEER, str_n(ours, sizeof(ours)));
	wire_put_u16(p + opt + 9, (uint16_t)(n - opt - OPT_FIXED));
	must(n <= DNS_PEER_QUERY_MAX);
	j->reply->size = n;
	return DNS_ASK;
}

/* ---- what a peer says ---- */

static bool is_reverse(const struct dns *d, struct str query)
{
	struct query q;
	const struct subject *s = &q.subject;

	return query_parse(query, &q) == QUERY_OK && !zone_labels(d, s) && s->labels_count &&
	       str_eq(subject_label(s, s->labels_count - 1), STR("arpa"));
}

enum dns_said dns_peer_said(const struct dns *d, struct str query, struct str message)
{
	uint16_t flags, rcode;
	bool usable;

	if (!dns_response_matches(message, query, &usable)) {
		return DNS_SAID_STRANGER;
	}
	flags = wire_u16(message, 2);
	rcode = flags & FLAG_RCODE;
	if ((flags & FLAG_TC) && wire_u16(message, 6) == 0) {
		return DNS_SAID_LONGER;
	}
	if (rcode == RCODE_NXDOMAIN && is_reverse(d, query)) {
		return DNS_SAID_NOBODY;
	}
	return rcode == RCODE_SERVFAIL || rcode == RCODE_REFUSED ? DNS_SAID_UNABLE
								 : DNS_SAID_ANSWER;
}

void dns_peer_finish(const struct dns *d, struct str client_query, uint8_t *message)
{
	uint16_t flags = wire_u16(str_n(message, DNS_HEADER_SIZE), 2);

	memcpy(message, client_query.p, 2);
	flags = d->settings.recursors ? flags | FLAG_RA : flags & (uint16_t)~FLAG_RA;
	wire_put_u16(message + 2, flags);
}

size_t dns_peer_shorten(uint8_t *message, size_t size)
{
	struct str whole = str_n(message, size);
	uint8_t name[DNS_NAME_MAX];
	size_t at = DNS_HEADER_SIZE, name_n;

	must(wire_name_read(whole, &at, name, &name_n) && at + 4 <= size);
	wire_put_u16(message + 2, wire_u16(whole, 2) | FLAG_TC);
	memset(message + 6, 0, 6); /* no records of any kind */
	return at + 4;
}

bool dns_answer_keeps(struct str message)
{
	uint16_t rcode = wire_u16(message, 2) & FLAG_RCODE;

	return rcode == RCODE_OK || rcode == RCODE_NXDOMAIN;
}
