/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the answer, cut to what the client can take as Consul cuts it: first whole; if that is
 * too much, as many leading answers as fit, with only the address records of their targets in the
 * additional section.
 */
#include "dnsd/core/names.h"

enum {
	UDP_SIZE_DEFAULT = 512,
	UDP_SPARE = 7,	     /* kept free of the client's size */
	UDP_ANSWERS_MAX = 8, /* without EDNS, whatever udp_answer_limit says */
	TCP_SIZE_MAX = 65523,
	TCP_ANSWERS_MAX = 4096,
	TCP_SRV_MAX = 1024,
	ANSWER_SIZE_MIN = 16,
	RR_FIXED = 10,
	OPT_FIXED = 11,
	ECS_FIXED = 8,
	OPT_SIZE_MAX = OPT_FIXED + ECS_FIXED + 16,
};

static size_t udp_size(const struct query *q)
{
	size_t size = q->edns && q->edns_size > UDP_SIZE_DEFAULT ? q->edns_size
								 : (size_t)UDP_SIZE_DEFAULT;

	return min_of(size, (size_t)DNS_UDP_MAX);
}

static bool udp_small(const struct job *j)
{
	return !j->tcp && udp_size(&j->query) == UDP_SIZE_DEFAULT;
}

/* How many bytes of its address a client subnet comes back with. */
static size_t ecs_bytes(struct str ecs)
{
	return ((uint8_t)ecs.p[2] + 7u) / 8;
}

static size_t opt_size(const struct query *q)
{
	return !q->edns ? 0 : OPT_FIXED + (q->ecs.p ? ECS_FIXED + ecs_bytes(q->ecs) : 0);
}

/* Of all but OPT, which is put behind it. Consul forgets that, and then says more than the client
 * can take. */
static size_t size_limit(const struct job *j)
{
	return j->tcp ? TCP_SIZE_MAX
		      : udp_size(&j->query) - max_of((size_t)UDP_SPARE, opt_size(&j->query));
}

static uint32_t answers_limit(const struct job *j)
{
	if (j->tcp) {
		return j->query.type == TYPE_SRV ? TCP_SRV_MAX : TCP_ANSWERS_MAX;
	}
	if (udp_small(j)) {
		int64_t limit = min_of(j->d->settings.udp_answer_limit, (int64_t)UDP_ANSWERS_MAX);

		return (uint32_t)max_of(limit, (int64_t)0);
	}
	return UINT32_MAX;
}

uint32_t job_want(const struct job *j)
{
	return min_of(answers_limit(j), (uint32_t)(size_limit(j) / ANSWER_SIZE_MIN + 1));
}

static size_t rr_size_max(const struct rr *rr)
{
	size_t n = name_size(&rr->owner) + RR_FIXED + 6 + name_size(&rr->target) + rr->data.n;

	return rr->type == TYPE_SOA ? n + 2 * DNS_NAME_MAX : n;
}

static void soa_put(struct writer *w, const struct job *j, const struct rr *rr)
{
	struct name mname = { STR("\x02ns"), j->d->domain },
		    rname = { STR("\x0ahostmaster"), j->d->domain };

	name_put(w, &mname, true);
	name_put(w, &rname, true);
	wire_put_u32(w->p + w->n, (uint32_t)j->request->now_s);
	memcpy(w->p + w->n + 4, rr->data.p, rr->data.n);
	w->n += 4 + rr->data.n;
	w->plain += 4 + rr->data.n;
}

static void rdata_put(struct writer *w, const struct job *j, const struct rr *rr)
{
	switch (rr->type) {
	case TYPE_SRV:
		wire_put_u16(w->p + w->n, 1); /* priority */
		wire_put_u16(w->p + w->n + 2, rr->weight);
		wire_put_u16(w->p + w->n + 4, rr->port);
		w->n += 6;
		w->plain += 6;
		name_put(w, &rr->target, false);
		return;
	case TYPE_CNAME:
	case TYPE_NS:
	case TYPE_PTR:
		name_put(w, &rr->target, true);
		return;
	case TYPE_SOA:
		soa_put(w, j, rr);
		return;
	default:
		memcpy(w->p + w->n, rr->data.p, rr->data.n);
		w->n += rr->data.n;
		w->plain += rr->data.n;
	}
}

static bool rr_put(struct writer *w, const struct job *j, const struct rr *rr)
{
	size_t size_at;

	if (w->max - w->n < rr_size_max(rr)) {
		w->full = true;
		return false;
	}
	name_put(w, &rr->owner, true);
	wire_put_u16(w->p + w->n, rr->type);
	wire_put_u16(w->p + w->n + 2, CLASS_IN);
	wire_put_u32(w->p + w->n + 4, rr->ttl);
	size_at = w->n + 8;
	w->n += RR_FIXED;
	w->plain += RR_FIXED;
	rdata_put(w, j, rr);
	wire_put_u16(w->p + size_at, (uint16_t)(w->n - size_at - 2));
	return true;
}

static uint16_t section_put(struct writer *w, const struct job *j, const struct rrs *list)
{
	uint16_t count = 0;

	for (uint32_t i = 0; i < list->count && rr_put(w, j, &list->items[i]); i++) {
		count++;
	}
	return count;
}

static void question_put(struct writer *w, const struct query *q)
{
	struct name name = { STR_NONE, str_n(q->subject.wire, q->subject.size) };

	w->n = w->plain = DNS_HEADER_SIZE;
	name_put(w, &name, false);
	w->question = name.suffix.p;
	wire_put_u16(w->p + w->n, q->type);
	wire_put_u16(w->p + w->n + 2, q->class);
	w->n += 4;
	w->plain += 4;
}

/* RFC 7871 7.2.1: the source prefix's bits of the address, the rest zero. */
static size_t ecs_put(struct str ecs, bool scoped, uint8_t *p)
{
	uint8_t bits = (uint8_t)ecs.p[2];
	size_t n = ecs_bytes(ecs), given = min_of(n, ecs.n - 4);

	wire_put_u16(p, OPTION_ECS);
	wire_put_u16(p + 2, (uint16_t)(4 + n));
	memcpy(p + 4, ecs.p, 3);
	p[7] = scoped ? bits : 0; /* 0: the answer is the same for everybody */
	memset(p + 8, 0, n);
	memcpy(p + 8, ecs.p + 4, given);
	if (n && bits % 8) {
		p[8 + n - 1] &= (uint8_t)(0xff << (8 - bits % 8));
	}
	return ECS_FIXED + n;
}

size_t opt_put(const struct query *q, uint8_t *p)
{
	size_t n = 0;

	if (!q->edns) {
		return 0;
	}
	p[0] = 0;
	wire_put_u16(p + 1, TYPE_OPT);
	wire_put_u16(p + 3, q->edns_size);
	wire_put_u32(p + 5, 0);
	if (q->ecs.p) {
		n = ecs_put(q->ecs, q->ecs_scoped, p + OPT_FIXED);
	}
	wire_put_u16(p + 9, (uint16_t)n);
	return OPT_FIXED + n;
}

static uint16_t reply_flags(const struct query *q)
{
	uint16_t flags = FLAG_QR | (q->flags & FLAG_OPCODE);

	return (q->flags & FLAG_OPCODE) == 0 ? flags | (q->flags & (FLAG_RD | FLAG_CD)) : flags;
}

static void header_put(uint8_t *p, uint16_t id, uint16_t flags, const uint16_t counts[4])
{
	wire_put_u16(p, id);
	wire_put_u16(p + 2, flags);
	for (int i = 0; i < 4; i++) {
		wire_put_u16(p + 4 + (size_t)2 * i, counts[i]);
	}
}

size_t message_refusal(
	const struct query *q, enum dns_rcode rcode, uint16_t keep, bool question, uint8_t *out)
{
	static struct places none;
	uint16_t flags = (rcode == RCODE_FORMERR ? (uint16_t)FLAG_QR : reply_flags(q)) |
			 (q->flags & keep) | rcode;
	const uint16_t counts[4] = { question && q->has_question, 0, 0, 0 };
	struct writer w;

	writer_start(&w, &none, out, DNS_MESSAGE_MAX, false);
	w.n = DNS_HEADER_SIZE;
	if (counts[0]) {
		question_put(&w, q);
	}
	header_put(out, q->id, flags, counts);
	return w.n;
}

/* The records that belong to a SRV answer when the message is cut: its target's address, through
 * CNAMEs. */
static struct rr *extra_next(struct job *j, const struct rr *srv, struct name *wanted, uint32_t *k)
{
	while (*k < srv->extras_count) {
		struct rr *extra = &j->d->extras.items[srv->extras_from + (*k)++];

		if (name_eq(&extra->owner, wanted)) {
			if (extra->type == TYPE_CNAME) {
				*wanted = extra->target;
			} else {
				*k = srv->extras_count;
			}
			return extra;
		}
	}
	return NULL;
}

struct cost {
	size_t packed, plain;
};

static void extras_cost(
	struct job *j, const struct writer *w, const struct rr *srv, struct cost *sum)
{
	struct name wanted = srv->target;
	struct rr *extra;

	for (uint32_t k = 0; (extra = extra_next(j, srv, &wanted, &k));) {
		size_t plain = name_size(&extra->owner) + RR_FIXED + extra->data.n +
			       name_size(&extra->target);

		sum->plain += plain;
		sum->packed += w->compress && w->n <= POINTER_MAX
				       ? plain - name_size(&extra->owner) + 2
				       : plain;
	}
}

static uint16_t extras_put(struct job *j, struct writer *w, uint32_t answers)
{
	uint16_t count = 0;

	for (uint32_t i = 0; i < answers; i++) {
		const struct rr *srv = &j->d->answers.items[i];
		struct name wanted = srv->target;
		struct rr *extra;

		for (uint32_t k = 0;
			srv->type == TYPE_SRV && (extra = extra_next(j, srv, &wanted, &k));) {
			count += rr_put(w, j, extra);
		}
	}
	return count;
}

/* Leading answers while they and what belongs to them fit; the first one in any case. */
static uint32_t leading_put(struct job *j, struct writer *w, bool plain)
{
	uint32_t kept = 0, keep = min_of(answers_limit(j), j->d->answers.count);
	size_t limit = size_limit(j);
	size_t plain_limit = plain ? udp_size(&j->query) - UDP_SPARE : SIZE_MAX;
	struct cost extras = { 0, 0 };

	for (; kept < keep; kept++) {
		struct rr *rr = &j->d->answers.items[kept];
		size_t n = w->n, plain_n = w->plain;

		if (rr->type == TYPE_SRV && name_known(w, &rr->target)) {
			rr->extras_count = 0; /* an earlier answer brings them */
		}
		if (!rr_put(w, j, rr)) {
			break;
		}
		extras_cost(j, w, rr, &extras);
		if (kept &&
			(w->n + extras.packed > limit || w->plain + extras.plain > plain_limit)) {
			w->n = n;
			w->plain = plain_n;
			break;
		}
	}
	return kept;
}

static void begin(struct job *j, struct writer *w)
{
	size_t max = j->query.edns ? DNS_MESSAGE_MAX - OPT_SIZE_MAX : DNS_MESSAGE_MAX;

	writer_start(w, &j->d->places, j->reply->bytes, max, !j->d->settings.disable_compression);
	question_put(w, &j->query);
}

static bool whole_fits(const struct job *j, const struct writer *w)
{
	if (!j->trim || j->total <= 1) {
		return true;
	}
	return !w->full && w->n <= size_limit(j);
}

void message_write(struct job *j)
{
	bool whole = !j->trim || (j->total <= answers_limit(j) && j->d->answers.count == j->total);
	uint16_t counts[4] = { 1, 0, 0, 0 };
	struct writer w;

	begin(j, &w);
	if (whole) {
		counts[1] = section_put(&w, j, &j->d->answers);
		counts[2] = section_put(&w, j, &j->d->authorities);
		counts[3] = section_put(&w, j, &j->d->extras);
		whole = whole_fits(j, &w);
		if (!whole) {
			begin(j, &w);
		}
	}
	if (!whole) {
		/* As Consul does: an answer cut by number is measured as if it were sent
		 * uncompressed. */
		counts[1] =
			(uint16_t)leading_put(j, &w, udp_small(j) && j->total > answers_limit(j));
		counts[2] = 0;
		counts[3] = extras_put(j, &w, counts[1]);
		if (counts[1] < j->total && j->d->settings.enable_truncate) {
			j->flags |= FLAG_TC;
		}
	}
	w.n += opt_put(&j->query, w.p + w.n);
	counts[3] += j->query.edns;
	header_put(w.p, j->query.id, reply_flags(&j->query) | j->flags, counts);
	j->reply->size = w.n;
}
