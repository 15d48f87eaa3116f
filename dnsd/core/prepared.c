/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepared queries: <name or ID>.query[.<datacenter>].<domain>. What they find is for httpd to say;
 * the shell asks it, and has the answer made again.
 */
#include "dnsd/core/internal.h"

/* Several may share an address, and are then one answer. */
enum { INSTANCES_PER_ANSWER = 4, INSTANCES_MIN = 128, INSTANCES_MAX = 4096 };

/* Labels 0 .. count-1 joined with dots, in lower case. */
static void name_join(const struct subject *s, unsigned count, char *out)
{
	size_t n = s->at[count - 1] + 1u + s->lower[s->at[count - 1]];

	memcpy(out, s->lower + 1, n - 1);
	for (unsigned i = 1; i < count; i++) {
		out[s->at[i] - 1] = '.';
	}
	out[n - 1] = '\0';
}

/* RFC 7871 6: as much of the address as the source prefix says, the rest is zero. */
static void subnet_take(struct str ecs, struct dns_execute *e)
{
	static const uint8_t sizes[] = { 0, 4, 16 };

	e->has_subnet = ecs.p != NULL;
	if (e->has_subnet) {
		e->subnet_size = sizes[wire_u16(ecs, 0)];
		memcpy(e->subnet, ecs.p + 4, min_of(ecs.n - 4, (size_t)e->subnet_size));
	}
}

static void execute(struct lookup *l)
{
	struct dns_execute *e = &l->job->reply->execute;
	const struct subject *s = l->subject;

	*e = (struct dns_execute) {
		.instances_max = max_of(l->want * INSTANCES_PER_ANSWER, (uint32_t)INSTANCES_MIN),
		.family = lookup_family(l),
		.wan = l->job->wan,
	};
	e->instances_max = min_of(e->instances_max, (uint32_t)INSTANCES_MAX);
	name_join(s, l->left, e->name);
	if (l->right == 1) {
		struct str label = subject_label(s, l->behind);

		memcpy(e->datacenter, label.p, label.n);
	}
	subnet_take(l->job->query.ecs, e);
	l->job->executes = true;
}

/* ST_NOT_FOUND: there is nobody in it. */
static int found_open(struct lookup *l, const struct dns_executed *e, struct found *f)
{
	struct dns *d = l->job->d;

	f->ordered = true;
	f->ttl = e->has_ttl ? e->ttl : dns_service_ttl(d, e->service);
	if (suffix_make(&d->scratch, "node", e->datacenter, d->domain, &f->node_suffix) ||
		suffix_make(&d->scratch, "addr", e->datacenter, d->domain, &f->addr_suffix) ||
		naming_service_open(e->record, &f->service)) {
		return ST_INVALID;
	}
	return naming_service_view(&f->service, STR_NONE, &f->view);
}

void lookup_query(struct lookup *l)
{
	const struct dns_executed *e = l->job->request->executed;
	struct found f;
	int r;

	/* A host name of an instance leads here too; one query in another is not followed. */
	if (l->right > 1 || l->subject->special || l->depth < DEPTH_MAX) {
		lookup_not_found(l);
	} else if (!e) {
		execute(l);
	} else if (e->outcome == DNS_EXECUTED_NOTHING) {
		lookup_not_found(l);
	} else if (e->outcome == DNS_EXECUTED_FAILED) {
		lookup_failed(l);
	} else {
		r = found_open(l, e, &f);
		if (r == ST_NOT_FOUND) {
			lookup_not_found(l);
		} else if (r) {
			lookup_failed(l);
		} else {
			l->job->query.ecs_scoped = true; /* it may be near the client */
			found_answer(l, &f);
		}
	}
}
