/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services: addresses and SRV records of randomly picked instances. Only what is picked is read.
 */
#include "dnsd/core/internal.h"

enum { HOSTS_LOOKED_AT_MAX = 64 };

/* The usable elements of a list stand in front. */
static uint32_t usable(const struct lookup *l, const struct found *f, enum naming_list_kind kind)
{
	const struct naming_list *list = &f->view.lists[kind];

	return l->job->d->settings.only_passing ? list->passing : list->count;
}

static bool underscored(struct str label)
{
	return label.n && label.p[0] == '_';
}

/* RFC 2782: _service._tag, where _tcp means any; else [tag.]service, the tag's labels joined with
 * dots. */
static void name_split(struct lookup *l, struct str *service, struct str *tag)
{
	const struct subject *s = l->subject;
	unsigned last = l->left - 1;
	char *joined;

	*service = subject_label(s, last);
	*tag = STR_NONE;
	if (l->left == 2 && underscored(subject_label(s, 0)) && underscored(subject_label(s, 1))) {
		*tag = str_skip(subject_label(s, 1), 1);
		*service = str_skip(subject_label(s, 0), 1);
		if (str_eq(*tag, STR("tcp"))) {
			*tag = STR_NONE;
		}
		return;
	}
	if (last == 1) {
		*tag = subject_label(s, 0);
	} else if (last > 1) {
		joined = arena_alloc(&l->job->d->scratch, s->at[last]);
		memcpy(joined, s->lower, s->at[last]);
		for (unsigned i = 1; i < last; i++) {
			joined[s->at[i]] = '.';
		}
		*tag = str_n(joined + 1, s->at[last] - 1u);
	}
}

/* 0, or the outcome is noted in l. */
static int find(struct lookup *l, struct found *f)
{
	struct str service, tag, record;
	int r;

	name_split(l, &service, &tag);
	if (service.n == 0) {
		lookup_failed(l);
		return ST_INVALID;
	}
	if (l->subject->special || !lookup_find(l, NAMING_OWNER_SERVICE, service, &record)) {
		lookup_not_found(l);
		return ST_NOT_FOUND;
	}
	r = naming_service_open(record, &f->service);
	if (!r) {
		r = naming_service_view(&f->service, tag, &f->view);
	}
	if (r == ST_NOT_FOUND || (!r && usable(l, f, NAMING_LIST_TARGETS) == 0)) {
		lookup_not_found(l);
		return ST_NOT_FOUND;
	}
	if (r) {
		lookup_failed(l);
		return r;
	}
	f->ttl = dns_service_ttl(l->job->d, service);
	f->ordered = false;
	f->node_suffix = l->job->d->node_suffix;
	f->addr_suffix = l->job->d->addr_suffix;
	return 0;
}

/* An instance may be registered under the very name asked for: then its node's address is meant. */
static bool names_itself(const struct lookup *l, const struct naming_target *t)
{
	struct name host = { t->address.bytes, name_root };

	return t->address.kind == NAMING_HOST &&
	       (t->node.address.kind == NAMING_V4 || t->node.address.kind == NAMING_V6) &&
	       name_eq(&host, &l->owner);
}

static bool wants_address(const struct lookup *l, enum naming_address_kind kind)
{
	return l->type == TYPE_ANY || l->type == TYPE_TXT ||
	       (l->type == TYPE_A && kind == NAMING_V4) ||
	       (l->type == TYPE_AAAA && kind == NAMING_V6);
}

static uint32_t record_limit(const struct lookup *l)
{
	int64_t limit = l->job->d->settings.a_record_limit;

	return limit > 0 && limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

/* Instances with a host name: those that name themselves count as addresses; of the others one is
 * followed if there is nothing else. */
static void hosts_add(struct lookup *l, const struct found *f)
{
	const struct naming_list *list = &f->view.lists[NAMING_LIST_HOSTS];
	uint32_t count = usable(l, f, NAMING_LIST_HOSTS),
		 start = f->ordered ? 0 : (uint32_t)rng_below(l->job->request->rng, count);
	struct naming_target t, followed = { 0 };
	bool follow = false;

	for (uint32_t i = 0; i < min_of(count, (uint32_t)HOSTS_LOOKED_AT_MAX); i++) {
		if (naming_list_target(&f->service, list, (start + i) % count, &t)) {
			continue;
		}
		if (!names_itself(l, &t)) {
			followed = follow ? followed : t;
			follow = true;
		} else if (wants_address(l, t.node.address.kind) && l->total < record_limit(l)) {
			rr_address(l->answers, l->owner, &t.node.address, f->ttl);
			l->total++;
		}
	}
	if (follow && l->total == 0) {
		struct str host = followed.address.kind == NAMING_HOST
					  ? followed.address.bytes
					  : followed.node.address.bytes;

		rr_target(l->answers, l->owner, TYPE_CNAME, (struct name) { host, name_root },
			f->ttl);
		chase(l, host, false, f->ttl, l->answers);
		l->total = l->answers->count;
	}
}

/* Which element is answered with after `taken` others; shuffle_start has run. */
static uint32_t pick(struct lookup *l, const struct found *f, uint32_t taken)
{
	uint32_t i = taken;

	if (!f->ordered) {
		shuffle_next(&l->job->d->shuffle, l->job->request->rng, &i);
	}
	return i;
}

static void addresses_add(struct lookup *l, const struct found *f)
{
	uint32_t v4 = wants_address(l, NAMING_V4) ? usable(l, f, NAMING_LIST_V4) : 0;
	uint32_t v6 = wants_address(l, NAMING_V6) ? usable(l, f, NAMING_LIST_V6) : 0;

	l->total = min_of(v4 + v6, record_limit(l));
	shuffle_start(&l->job->d->shuffle, v4 + v6);
	for (uint32_t taken = 0; taken < min_of(l->total, l->want); taken++) {
		uint32_t i = pick(l, f, taken);
		enum naming_list_kind kind = i < v4 ? NAMING_LIST_V4 : NAMING_LIST_V6;
		struct naming_address a = naming_list_address(
			&f->service, &f->view.lists[kind], kind, i < v4 ? i : i - v4);

		rr_address(l->answers, l->owner, &a, f->ttl);
	}
	if (usable(l, f, NAMING_LIST_HOSTS)) {
		hosts_add(l, f);
	}
}

/* <hex>.addr.<dc>.<domain> */
static struct name addr_name(
	struct lookup *l, const struct found *f, const struct naming_address *a)
{
	static const char digits[] = "0123456789abcdef";
	struct name name = { { NULL, 1 + 2 * a->bytes.n }, f->addr_suffix };
	char *p = arena_alloc(&l->job->d->scratch, name.prefix.n);

	name.prefix.p = p;
	*p++ = (char)(2 * a->bytes.n);
	for (size_t i = 0; i < a->bytes.n; i++) {
		*p++ = digits[(uint8_t)a->bytes.p[i] >> 4];
		*p++ = digits[a->bytes.p[i] & 15];
	}
	return name;
}

static void target_add(struct lookup *l, const struct found *f, const struct naming_target *t)
{
	struct name node = { t->node.name, f->node_suffix };
	const struct naming_address *a = t->address.kind == NAMING_NONE || names_itself(l, t)
						 ? &t->node.address
						 : &t->address;
	uint32_t at = l->answers->count, from = l->extras->count;
	struct rr *rr;

	if (a->kind == NAMING_NONE || name_size(&node) > DNS_NAME_MAX) {
		l->total--; /* it has no address at all */
		return;
	}
	rr = rr_target(l->answers, l->owner, TYPE_SRV, node, f->ttl);
	rr->port = t->port;
	rr->weight = t->weight;
	if (a->kind == NAMING_HOST) {
		rr->target = (struct name) { a->bytes, name_root };
		chase(l, a->bytes, false, f->ttl, l->extras);
	} else {
		rr->target = a == &t->address ? addr_name(l, f, a) : node;
		rr_address(l->extras, rr->target, a, f->ttl);
	}
	if (l->job->d->settings.node_meta_txt) {
		texts_add(l->extras, node, &t->node, f->ttl);
	}
	rr = &l->answers->items[at];
	rr->extras_from = from;
	rr->extras_count = l->extras->count - from;
}

static void targets_add(struct lookup *l, const struct found *f)
{
	uint32_t take, *picks;

	l->total = usable(l, f, NAMING_LIST_TARGETS);
	take = min_of(l->total, l->want);
	picks = arena_array(&l->job->d->scratch, uint32_t, take);
	shuffle_start(&l->job->d->shuffle, l->total);
	for (uint32_t i = 0; i < take; i++) { /* all at once: following a host name shuffles too */
		picks[i] = pick(l, f, i);
	}
	for (uint32_t i = 0; i < take; i++) {
		struct naming_target t;

		if (naming_list_target(
			    &f->service, &f->view.lists[NAMING_LIST_TARGETS], picks[i], &t)) {
			lookup_failed(l);
			return;
		}
		target_add(l, f, &t);
	}
}

void found_answer(struct lookup *l, const struct found *f)
{
	if (l->type == TYPE_SRV) {
		targets_add(l, f);
	} else {
		addresses_add(l, f);
	}
	l->job->trim |= l->depth == DEPTH_MAX; /* not what a node's host name leads to */
	l->soa = l->answers->count == 0;
}

void lookup_service(struct lookup *l)
{
	struct found f;

	if (!lookup_elsewhere(l) && !find(l, &f)) {
		found_answer(l, &f);
	}
}
