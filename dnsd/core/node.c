/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: their addresses and texts, hexadecimal addresses, name servers, reverse names.
 */
#include "dnsd/core/internal.h"

enum { NAME_SERVERS_MAX = 3, CANDIDATES_MAX = 64 };

static uint32_t node_ttl(const struct job *j)
{
	return (uint32_t)j->d->settings.node_ttl_s;
}

/* Labels 0 .. count-1 joined with dots, in lower case. Empty when they cannot be a registered name.
 */
static struct str labels_join(struct lookup *l, unsigned count)
{
	size_t n = l->subject->at[count - 1] + 1u + l->subject->lower[l->subject->at[count - 1]];
	char *p;

	if (l->subject->special) {
		return STR_NONE;
	}
	if (count == 1) {
		return subject_label(l->subject, 0);
	}
	p = arena_alloc(&l->job->d->scratch, n);
	memcpy(p, l->subject->lower, n);
	for (unsigned i = 1; i < count; i++) {
		p[l->subject->at[i]] = '.';
	}
	return str_n(p + 1, n - 1);
}

void texts_add(struct rrs *to, struct name owner, const struct naming_node *node, uint32_t ttl)
{
	struct str texts = node->texts, rdata;

	for (uint16_t i = 0; i < node->texts_count && naming_text_next(&texts, &rdata); i++) {
		struct rr *rr = rrs_add(to);

		rr->owner = owner;
		rr->type = TYPE_TXT;
		rr->ttl = ttl;
		rr->data = rdata;
	}
}

static void node_address_add(struct lookup *l, const struct naming_node *node)
{
	bool a = l->type == TYPE_A || l->type == TYPE_ANY,
	     aaaa = l->type == TYPE_AAAA || l->type == TYPE_ANY;

	if ((node->address.kind == NAMING_V4 && a) || (node->address.kind == NAMING_V6 && aaaa)) {
		rr_address(l->answers, l->owner, &node->address, node_ttl(l->job));
	} else if (node->address.kind == NAMING_HOST && (a || aaaa)) {
		struct name target = { node->address.bytes, name_root };

		rr_target(l->answers, l->owner, TYPE_CNAME, target, node_ttl(l->job));
		chase(l, node->address.bytes, true, 0, l->answers);
	}
}

void lookup_node(struct lookup *l)
{
	bool texts = l->type == TYPE_TXT || l->type == TYPE_ANY;
	struct naming_node node;
	struct str name, record;

	if (l->right <= 1 && l->type != TYPE_A && l->type != TYPE_AAAA && !texts) {
		return; /* there is nothing else to know of a node, wherever it is */
	}
	if (lookup_elsewhere(l)) {
		return;
	}
	name = labels_join(l, l->left);
	if (name.n == 0 || !lookup_find(l, NAMING_OWNER_NODE, name, &record)) {
		lookup_not_found(l);
		return;
	}
	if (naming_node_open(record, &node)) {
		lookup_failed(l);
		return;
	}
	node_address_add(l, &node);
	if (texts) {
		texts_add(l->answers, l->owner, &node, node_ttl(l->job));
	} else if (l->extras && l->job->d->settings.node_meta_txt) {
		texts_add(l->extras, l->owner, &node, node_ttl(l->job));
	}
}

/* <8 or 32 hex digits>.addr: the address itself, whatever the type asked for. */
void lookup_addr(struct lookup *l)
{
	struct str label = subject_label(l->subject, 0);
	struct dns *d = l->job->d;
	size_t n = label.n / 2;
	struct naming_address a = { n == 4 ? NAMING_V4 : NAMING_V6, { NULL, n } };
	struct name owner;
	char *bytes;

	if (l->left != 1) {
		lookup_not_found(l);
		return;
	}
	if (label.n != 8 && label.n != 32) {
		return;
	}
	bytes = arena_alloc(&d->scratch, n);
	if (hex_parse(label, bytes, n)) {
		lookup_not_found(l);
		return;
	}
	a.bytes.p = bytes;
	/* Under the main domain and in lower case, however it was asked. */
	owner.prefix = str_n(l->subject->lower,
		l->subject->at[l->subject->labels_count - zone_labels(d, l->subject)]);
	owner.suffix = d->domain;
	rr_address(l->answers, owner, &a, node_ttl(l->job));
}

static void name_server_add(struct job *j, const struct naming_node *node, struct rrs *servers)
{
	char *lower = arena_alloc(&j->d->scratch, node->name.n);
	struct name owner = { STR_NONE, j->d->domain },
		    target = { str_n(lower, node->name.n), j->d->node_suffix };

	lower[0] = node->name.p[0];
	str_lower_into(str_skip(node->name, 1), lower + 1);
	rr_target(servers, owner, TYPE_NS, target, node_ttl(j));
	if (node->address.kind == NAMING_V4 || node->address.kind == NAMING_V6) {
		rr_address(&j->d->extras, target, &node->address, node_ttl(j));
	}
}

/* Up to three healthy servers, which are the instances of the service "consul". */
void name_servers(struct job *j, struct rrs *servers)
{
	struct naming_service service;
	struct naming_view view;
	struct naming_list list;
	struct str record;
	uint32_t i, added = 0;

	if (!kv_get(j->request->names, NAMING_SERVICES, STR("consul"), &record) ||
		naming_service_open(record, &service) ||
		naming_service_view(&service, STR_NONE, &view)) {
		return;
	}
	list = view.lists[NAMING_LIST_TARGETS];
	shuffle_start(&j->d->shuffle, j->d->settings.only_passing ? list.passing : list.count);
	for (int tries = 0; tries < CANDIDATES_MAX && added < NAME_SERVERS_MAX; tries++) {
		struct naming_target target;

		if (!shuffle_next(&j->d->shuffle, j->request->rng, &i)) {
			break;
		}
		if (!naming_list_target(&service, &list, i, &target) && target.node.plain) {
			name_server_add(j, &target.node, servers);
			added++;
		}
	}
}

/* d.c.b.a.in-addr.arpa */
static bool reverse_v4(const struct subject *s, uint8_t ip[4])
{
	if (s->labels_count != 6 || !str_eq(subject_label(s, 4), STR("in-addr"))) {
		return false;
	}
	for (unsigned i = 0; i < 4; i++) {
		struct str label = subject_label(s, 3 - i);
		uint64_t v;

		if (label.n > 3 || str_to_u64(label, &v) || v > 255) {
			return false;
		}
		ip[i] = (uint8_t)v;
	}
	return true;
}

/* 32 nibbles, the lowest first, .ip6.arpa */
static bool reverse_v6(const struct subject *s, uint8_t ip[16])
{
	char digits[32];

	if (s->labels_count != 34 || !str_eq(subject_label(s, 32), STR("ip6"))) {
		return false;
	}
	for (unsigned i = 0; i < 32; i++) {
		struct str label = subject_label(s, 31 - i);

		if (label.n != 1) {
			return false;
		}
		digits[i] = label.p[0];
	}
	return hex_parse(str_n(digits, sizeof(digits)), ip, 16) == 0;
}

bool reverse_answer(struct job *j)
{
	const struct subject *s = &j->query.subject;
	struct name owner = { STR_NONE, str_n(s->wire, s->size) }, target;
	uint8_t ip[16];
	char *wire = arena_alloc(&j->d->scratch, DNS_NAME_MAX);
	enum naming_owner kind;
	struct str name;
	size_t ip_size = reverse_v4(s, ip) ? 4 : reverse_v6(s, ip) ? 16 : 0;

	if (!ip_size || !naming_address_find(j->request->names, ip, ip_size, &kind, &name) ||
		naming_name_encode(name, wire, &target.prefix.n)) {
		return false;
	}
	target.prefix.p = wire;
	target.suffix = kind == NAMING_OWNER_NODE ? j->d->node_suffix : j->d->service_suffix;
	if (name_size(&target) > DNS_NAME_MAX) {
		return false;
	}
	rr_target(&j->d->answers, owner, TYPE_PTR, target, 0);
	if (j->query.type == TYPE_SOA) {
		soa_add(j, &j->d->authorities);
	}
	return true;
}
