/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a query to an outcome: which zone, which form of name, which lookup.
 */
#include "dnsd/core/internal.h"

struct rr *rrs_add(struct rrs *list)
{
	if (list->count == list->size) {
		list->size = list->size ? list->size * 2 : 16;
		list->items = xrealloc(list->items, list->size * sizeof(*list->items));
	}
	memset(&list->items[list->count], 0, sizeof(*list->items));
	return &list->items[list->count++];
}

/* Gives back what one large answer took. */
static void rrs_reset(struct rrs *list)
{
	enum { KEEP = 512 };

	list->count = 0;
	if (list->size > KEEP) {
		list->size = KEEP;
		list->items = xrealloc(list->items, list->size * sizeof(*list->items));
	}
}

static bool below(const struct subject *s, struct str zone, unsigned labels)
{
	size_t at;

	if (labels == 0 || s->labels_count < labels) {
		return false;
	}
	at = s->at[s->labels_count - labels];
	return s->size - at == zone.n && memcmp(s->lower + at, zone.p, zone.n) == 0;
}

unsigned zone_labels(const struct dns *d, const struct subject *s)
{
	unsigned labels = below(s, d->domain, d->domain_labels) ? d->domain_labels : 0;

	if (d->alt_domain_labels > labels && below(s, d->alt_domain, d->alt_domain_labels)) {
		labels = d->alt_domain_labels;
	}
	return labels;
}

void soa_add(struct job *j, struct rrs *to)
{
	struct rr *rr = rrs_add(to);

	rr->owner = (struct name) { STR_NONE, j->d->domain };
	rr->type = TYPE_SOA;
	rr->ttl = (uint32_t)j->d->settings.soa_min_ttl;
	rr->data = str_n(j->d->soa_numbers, sizeof(j->d->soa_numbers));
}

void lookup_not_found(struct lookup *l)
{
	l->rcode = RCODE_NXDOMAIN;
	l->soa = true;
}

void lookup_failed(struct lookup *l)
{
	l->rcode = RCODE_SERVFAIL;
}

bool lookup_elsewhere(struct lookup *l)
{
	struct str dc = l->right ? subject_label(l->subject, l->behind) : STR_NONE;
	enum names_at at;

	if (l->right > 1) {
		lookup_not_found(l);
		return true;
	}
	if (l->depth < DEPTH_MAX && dc.n && !str_eq(dc, l->job->d->settings.datacenter)) {
		return true; /* a CNAME into another data centre is for the client to follow */
	}
	at = job_names(l->job, dc);
	if (at == NAMES_NOWHERE) {
		lookup_not_found(l);
	} else if (at == NAMES_SILENT) {
		lookup_failed(l);
	}
	return at != NAMES_HERE;
}

enum tagged_family lookup_family(const struct lookup *l)
{
	return l->type == TYPE_A ? TAGGED_V4 : l->type == TYPE_AAAA ? TAGGED_V6 : TAGGED_ANY;
}

bool lookup_find(
	const struct lookup *l, enum naming_owner owner, struct str name, struct str *record_out)
{
	return naming_find(l->job->request->names, owner, name,
		naming_face(lookup_family(l), l->job->wan), record_out);
}

/* The words that say what kind of name this is. Mesh names are words too, behind which nothing is
 * found. */
static const struct form {
	struct str word;
	void (*run)(struct lookup *l);
} forms[] = {
	{ { "service", 7 }, lookup_service },
	{ { "node", 4 }, lookup_node },
	{ { "addr", 4 }, lookup_addr },
	{ { "query", 5 }, lookup_query },
	{ { "connect", 7 }, lookup_not_found },
	{ { "ingress", 7 }, lookup_not_found },
};

static const struct form *form_find(struct str label)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (str_eq(forms[i].word, label)) {
			return &forms[i];
		}
	}
	return NULL;
}

void lookup_run(struct lookup *l)
{
	const struct subject *s = l->subject;
	unsigned count = s->labels_count - zone_labels(l->job->d, s);

	for (unsigned i = count; i-- > 0;) {
		struct str label = subject_label(s, i);
		const struct form *form = form_find(label);
		/* _name._tag.<domain>: for SRV the word "service" may be left out. */
		bool bare = !form && l->type == TYPE_SRV && label.p[0] == '_';

		if (form || bare) {
			l->left = bare ? i + 1 : i;
			l->behind = i + 1;
			l->right = count - l->behind;
			if (l->left == 0) {
				break;
			}
			(bare ? lookup_service : form->run)(l);
			return;
		}
	}
	lookup_not_found(l);
}

/* The zone is answered for without them where nobody knows any. */
static void servers_answer(struct job *j, struct rrs *to)
{
	enum names_at at = job_names(j, STR_NONE);

	if (at == NAMES_HERE) {
		name_servers(j, to);
	} else if (at == NAMES_SILENT && j->request->peer) {
		j->flags |= RCODE_SERVFAIL; /* another server may know them */
	}
}

static void zone_answer(struct job *j)
{
	struct dns *d = j->d;
	struct lookup l = {
		.job = j,
		.subject = &j->query.subject,
		.owner = { STR_NONE, str_n(j->query.subject.wire, j->query.subject.size) },
		.type = j->query.type,
		.depth = DEPTH_MAX,
		.answers = &d->answers,
		.extras = &d->extras,
		.want = job_want(j),
	};

	j->flags |= FLAG_AA;
	switch (j->query.type) {
	case TYPE_SOA:
		soa_add(j, &d->answers);
		servers_answer(j, &d->authorities);
		return;
	case TYPE_NS:
		servers_answer(j, &d->answers);
		return;
	case TYPE_AXFR:
		j->flags |= RCODE_NOTIMP;
		return;
	default:
		break;
	}
	lookup_run(&l);
	j->flags |= l.rcode;
	j->total = l.total;
	if (l.soa) {
		soa_add(j, &d->authorities);
	}
}

static enum dns_outcome refuse(struct job *j, enum query_verdict verdict)
{
	enum { KEEP = FLAG_TC | FLAG_RD | FLAG_RA | FLAG_AD | FLAG_CD };

	if (verdict == QUERY_DROP) {
		return DNS_DROP;
	}
	j->reply->size =
		message_refusal(&j->query, verdict == QUERY_NOTIMP ? RCODE_NOTIMP : RCODE_FORMERR,
			KEEP, verdict == QUERY_FORMERR, j->reply->bytes);
	return DNS_REPLY;
}

static enum dns_outcome foreign(struct job *j)
{
	if (j->d->settings.recursors && j->query.has_question && !j->request->peer) {
		return DNS_RELAY;
	}
	j->reply->size = message_refusal(&j->query, RCODE_REFUSED, 0, true, j->reply->bytes);
	return DNS_REPLY;
}

static enum dns_outcome reverse(struct job *j)
{
	enum names_at at = job_names(j, STR_NONE);

	j->reply->kind = DNS_KIND_PTR;
	if (at == NAMES_ASKED) {
		return job_ask(j);
	}
	if (at == NAMES_HERE && reverse_answer(j)) {
		j->flags |= FLAG_AA;
		message_write(j);
		return DNS_REPLY;
	}
	if (at == NAMES_HERE && j->request->peer) { /* it may know somebody else to ask */
		j->reply->size =
			message_refusal(&j->query, RCODE_NXDOMAIN, 0, true, j->reply->bytes);
		return DNS_REPLY;
	}
	if (j->d->settings.recursors && !j->request->peer) {
		return DNS_RELAY;
	}
	j->reply->size = dns_servfail(j->request->query, j->reply->bytes);
	return DNS_REPLY;
}

static enum dns_outcome own(struct job *j)
{
	j->reply->kind = DNS_KIND_DOMAIN;
	zone_answer(j);
	if (j->ask) {
		return job_ask(j);
	}
	if (j->executes) {
		return DNS_EXECUTE;
	}
	if (j->reply->wanted_count) {
		return DNS_CHASE;
	}
	message_write(j);
	return DNS_REPLY;
}

enum dns_outcome dns_answer(struct dns *d, const struct dns_request *request, struct dns_reply *out)
{
	struct job j;
	enum query_verdict verdict = query_parse(request->query, &j.query);
	const struct subject *s = &j.query.subject;

	j.d = d;
	j.request = request;
	j.reply = out;
	j.flags = d->settings.recursors ? FLAG_RA : 0;
	j.ask = j.executes = j.trim = false;
	j.total = 0;
	rrs_reset(&d->answers);
	rrs_reset(&d->authorities);
	rrs_reset(&d->extras);
	arena_reset(&d->scratch);
	out->size = 0;
	out->kind = DNS_KIND_OTHER;
	out->wanted_count = 0;
	out->datacenter[0] = '\0';
	out->leader = false;
	if (verdict != QUERY_OK) {
		return refuse(&j, verdict);
	}
	job_peer(&j);
	if (!j.query.has_question) {
		return foreign(&j);
	}
	if (zone_labels(d, s)) {
		return own(&j);
	}
	if (s->labels_count && str_eq(subject_label(s, s->labels_count - 1), STR("arpa"))) {
		return reverse(&j);
	}
	return foreign(&j);
}

size_t dns_servfail(struct str query, uint8_t out[DNS_MESSAGE_MAX])
{
	struct query q;
	size_t n, opt;

	if (query_parse(query, &q) != QUERY_OK) {
		return 0;
	}
	n = message_refusal(&q, RCODE_SERVFAIL, 0, true, out);
	opt = opt_put(&q, out + n);
	wire_put_u16(out + 2, wire_u16(str_n(out, n), 2) | FLAG_RA);
	wire_put_u16(out + 10, opt != 0);
	return n + opt;
}
