/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following host names: our own are looked up here (type ANY, as Consul does), those of others at
 * the recursors, by the shell.
 */
#include "common/base/cursor.h"
#include "dnsd/core/internal.h"

enum { FOUND_RECORDS_MAX = 64, SUB_ANSWERS_MAX = 8 };

static uint32_t chased_max(const struct lookup *l)
{
	return l->job->query.edns ? FOUND_RECORDS_MAX : CHASED_MAX;
}

/* lookup_run with fewer rights: a name of ours that another one stands for. */
static void chase_own(
	struct lookup *l, struct subject *s, bool keep_ttl, uint32_t ttl, struct rrs *to)
{
	int64_t limit = max_of(
		min_of(l->job->d->settings.udp_answer_limit, (int64_t)SUB_ANSWERS_MAX), (int64_t)0);
	struct rrs records = { 0 };
	struct lookup sub = {
		.job = l->job,
		.subject = s,
		.owner = { STR_NONE, str_n(s->wire, s->size) },
		.type = TYPE_ANY,
		.depth = l->depth - 1,
		.answers = &records,
		.want = (uint32_t)limit,
	};
	uint32_t taken = 0;

	lookup_run(&sub);
	for (uint32_t i = 0; i < records.count && taken < chased_max(l); i++) {
		struct rr rr = records.items[i];

		/* A node stands in for another with its texts, too; a service does not. */
		if (rr.type == TYPE_A || rr.type == TYPE_AAAA || rr.type == TYPE_CNAME ||
			(rr.type == TYPE_TXT && keep_ttl)) {
			rr.ttl = keep_ttl ? rr.ttl : ttl;
			*rrs_add(to) = rr;
			taken++;
		}
	}
	free(records.items);
}

static const struct dns_found *found_find(const struct dns_request *r, const struct subject *s)
{
	for (size_t i = 0; i < r->found_count; i++) {
		if (str_eq(str_n(r->found[i].name.name, r->found[i].name.size),
			    str_n(s->lower, s->size))) {
			return &r->found[i];
		}
	}
	return NULL;
}

static void want(struct job *j, const struct subject *s)
{
	struct dns_reply *r = j->reply;

	for (size_t i = 0; i < r->wanted_count; i++) {
		if (str_eq(str_n(r->wanted[i].name, r->wanted[i].size), str_n(s->lower, s->size))) {
			return;
		}
	}
	if (r->wanted_count < DNS_WANTED_MAX) {
		struct dns_wanted *w = &r->wanted[r->wanted_count++];

		memcpy(w->name, s->lower, s->size);
		w->size = s->size;
	}
}

/* Packed record: u16 type, u32 ttl, u8 owner size, owner, u16 data size, data (names in DNS form
 * with root). */
static void found_add(
	struct lookup *l, struct str records, bool keep_ttl, uint32_t ttl, struct rrs *to)
{
	struct cursor c = cursor_of(records);

	for (uint32_t taken = 0; cursor_left(&c) && taken < chased_max(l); taken++) {
		uint16_t type = cursor_u16(&c);
		uint32_t own_ttl = cursor_u32(&c);
		struct str owner = cursor_take(&c, cursor_u8(&c)),
			   data = cursor_take(&c, cursor_u16(&c));
		struct rr *rr;

		must(!c.bad);
		rr = rrs_add(to);
		rr->owner = (struct name) { STR_NONE, owner };
		rr->type = type;
		rr->ttl = keep_ttl ? own_ttl : ttl;
		if (type == TYPE_CNAME) {
			rr->target = (struct name) { STR_NONE, data };
		} else {
			rr->data = data;
		}
	}
}

void chase(struct lookup *l, struct str host, bool keep_ttl, uint32_t ttl, struct rrs *to)
{
	struct subject *s = arena_new(&l->job->d->scratch, struct subject);
	const struct dns_found *found;

	must(host.n < DNS_NAME_MAX);
	memcpy(s->wire, host.p, host.n);
	s->size = host.n + 1;
	subject_fill(s);
	if (zone_labels(l->job->d, s)) {
		if (l->depth > 0) {
			chase_own(l, s, keep_ttl, ttl, to);
		}
		return;
	}
	if (!l->job->d->settings.recursors) {
		return;
	}
	found = found_find(l->job->request, s);
	if (found) {
		found_add(l, found->records, keep_ttl, ttl, to);
	} else if (!l->job->request->chased) {
		want(l->job, s);
	}
}

size_t dns_wanted_query(const struct dns_wanted *w, uint16_t id, uint8_t out[512])
{
	size_t n = DNS_HEADER_SIZE;

	memset(out, 0, n);
	wire_put_u16(out, id);
	wire_put_u16(out + 2, FLAG_RD);
	wire_put_u16(out + 4, 1);
	memcpy(out + n, w->name, w->size);
	n += w->size;
	wire_put_u16(out + n, TYPE_A);
	wire_put_u16(out + n + 2, CLASS_IN);
	return n + 4;
}

static bool question_read(
	struct str message, struct subject *s, uint16_t *type, uint16_t *class, size_t *at)
{
	*at = DNS_HEADER_SIZE;
	if (message.n < DNS_HEADER_SIZE || wire_u16(message, 4) != 1 ||
		!wire_name_read(message, at, s->wire, &s->size) || message.n - *at < 4) {
		return false;
	}
	subject_fill(s);
	*type = wire_u16(message, *at);
	*class = wire_u16(message, *at + 2);
	*at += 4;
	return true;
}

bool dns_response_matches(struct str message, struct str query, bool *usable_out)
{
	struct subject theirs, ours;
	uint16_t type, class, our_type, our_class, flags;
	size_t at;

	if (!question_read(message, &theirs, &type, &class, &at) ||
		!question_read(query, &ours, &our_type, &our_class, &at)) {
		return false;
	}
	flags = wire_u16(message, 2);
	if (wire_u16(message, 0) != wire_u16(query, 0) || !(flags & FLAG_QR) || type != our_type ||
		class != our_class ||
		!str_eq(str_n(theirs.lower, theirs.size), str_n(ours.lower, ours.size))) {
		return false;
	}
	*usable_out = (flags & FLAG_RCODE) == RCODE_OK || (flags & FLAG_RCODE) == RCODE_NXDOMAIN;
	return true;
}

static int found_pack(struct str message, size_t at, size_t size, uint16_t type, uint32_t ttl,
	struct str owner, struct buf *out)
{
	uint8_t name[DNS_NAME_MAX];
	struct str data = str_n(message.p + at, size);
	size_t name_n, end = at + size;

	if (type == TYPE_CNAME) {
		if (!wire_name_read(message, &at, name, &name_n) || at != end) {
			return ST_INVALID;
		}
		data = str_n(name, name_n);
	} else if ((type == TYPE_A && size != 4) || (type == TYPE_AAAA && size != 16)) {
		return ST_INVALID;
	} else if (type != TYPE_A && type != TYPE_AAAA) {
		return 0;
	}
	buf_put_u16(out, type);
	buf_put_u32(out, ttl);
	buf_put_u8(out, (uint8_t)owner.n);
	buf_put_str(out, owner);
	buf_put_u16(out, (uint16_t)data.n);
	buf_put_str(out, data);
	return 0;
}

int dns_found_parse(struct str message, struct buf *out)
{
	struct subject s;
	uint16_t type, class, count;
	size_t at, kept = out->n;

	if (!question_read(message, &s, &type, &class, &at)) {
		return ST_INVALID;
	}
	count = wire_u16(message, 6);
	for (uint16_t i = 0; i < count && i < FOUND_RECORDS_MAX; i++) {
		uint8_t owner[DNS_NAME_MAX];
		size_t owner_n, size;
		uint32_t ttl;

		if (!wire_name_read(message, &at, owner, &owner_n) || message.n - at < 10) {
			break;
		}
		type = wire_u16(message, at);
		ttl = (uint32_t)wire_u16(message, at + 4) << 16 | wire_u16(message, at + 6);
		size = wire_u16(message, at + 8);
		at += 10;
		if (size > message.n - at ||
			found_pack(message, at, size, type, ttl, str_n(owner, owner_n), out)) {
			break;
		}
		at += size;
		kept = out->n;
	}
	out->n = kept; /* a damaged tail is left out */
	return 0;
}
