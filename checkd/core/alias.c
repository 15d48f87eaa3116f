/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that mirror others (agent-and-checks 2.2). Of a service here: looked at whenever anything
 * here has changed. Of another node: one blocking query at a time, whose answer is judged by the
 * same rules.
 */
#include "checkd/core/private.h"

/* What the rules say so far. */
struct verdict {
	enum check_status status;
	bool any;
	struct str name, output; /* of the check that decides */
};

static void verdict_add(
	struct verdict *v, enum check_status status, struct str name, struct str output)
{
	if (!v->any || status > v->status) {
		*v = (struct verdict) { status, true, name, output };
	}
}

/* Of an output no more than a check may have: nodes may mirror each other, and each adds its
 * words. */
static enum check_status verdict_render(
	const struct registry *r, const struct check *c, const struct verdict *v, struct buf *out)
{
	size_t max = check_output_max(&c->row.def, r->config->output_max);

	if (!v->any) {
		buf_put_lit(out, "No checks found.");
	} else if (v->status == CHECK_PASSING) {
		buf_put_lit(out, "All checks passing.");
	} else {
		buf_printf(out, "Aliased check \"" STR_FMT "\" failing: " STR_FMT, STR_ARG(v->name),
			STR_ARG(str_cut(v->output, max)));
	}
	return v->any ? v->status : CHECK_PASSING;
}

static void missing_apply(struct registry *r, struct check *c)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "Service " STR_FMT " could not be found on node " STR_FMT,
		STR_ARG(c->row.def.alias_service), STR_ARG(c->row.def.alias_node));
	schedule_status(r, c, CHECK_CRITICAL, buf_str(&text));
}

bool alias_is_local(const struct registry *r, const struct check *c)
{
	return c->row.def.alias_node.n == 0 || str_ieq(c->row.def.alias_node, r->config->node);
}

static bool is_local_alias(const struct registry *r, const struct check *c)
{
	return c->kind == CHECK_KIND_ALIAS && alias_is_local(r, c);
}

/* ---- of this node ---- */

/*
 * An alias looks at node-level checks, which may be aliases themselves, and at those of a service,
 * whose check may be an alias of yet another one: they can stand in a ring. What holds is the least
 * that follows from checks that are none: statuses rise from passing, round by round, so that no
 * alias is critical for no other reason than that those are which mirror it. The rank of one is the
 * round in which it got its status; it names as its reason one of a lower rank, so that reasons
 * end.
 */

/* What a check counts for in this round. */
static enum check_status standing(const struct registry *r, const struct check *c, unsigned round)
{
	if (!is_local_alias(r, c)) {
		return c->status;
	}
	return c->alias_rank < round ? c->alias_status : CHECK_PASSING;
}

static enum check_status worst_of(const struct registry *r, const struct list *checks,
	const struct check *self, unsigned round)
{
	enum check_status worst = CHECK_PASSING;
	const struct check *c;

	list_for_each (c, checks, of_service) {
		if (!c->sync.deleted && c != self) {
			enum check_status status = standing(r, c, round);

			worst = max_of(worst, status);
		}
	}
	return worst;
}

/* *missing_out: its service is not there. */
static const struct service *aliased_find(
	const struct registry *r, const struct check *c, bool *missing_out)
{
	struct str id = c->row.def.alias_service;
	const struct service *s = id.n ? service_find(r, id) : NULL;

	*missing_out = id.n && !s;
	return s;
}

/* true: its status got worse. */
static bool rise(const struct registry *r, struct check *c, unsigned round)
{
	bool missing;
	const struct service *s = aliased_find(r, c, &missing);
	enum check_status worst = missing ? CHECK_CRITICAL : worst_of(r, &r->node_checks, c, round);

	if (s) {
		enum check_status own = worst_of(r, &s->checks, c, round);

		worst = max_of(worst, own);
	}
	if (worst <= c->alias_status) {
		return false;
	}
	c->alias_status = worst;
	c->alias_rank = round;
	return true;
}

/* Only what it can follow from. */
static void verdict_add_list(struct verdict *v, const struct registry *r, const struct list *checks,
	const struct check *self)
{
	const struct check *c;

	list_for_each (c, checks, of_service) {
		bool alias = is_local_alias(r, c);

		if (c->sync.deleted || c == self ||
			(alias && self->alias_rank && c->alias_rank >= self->alias_rank)) {
			continue;
		}
		verdict_add(v, alias ? c->alias_status : c->status, c->row.def.name,
			buf_str(&c->output));
	}
}

static void refresh_local(struct registry *r, struct check *c)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	bool missing;
	const struct service *s = aliased_find(r, c, &missing);
	struct verdict v = { 0 };
	enum check_status status;

	if (missing) {
		missing_apply(r, c);
		return;
	}
	verdict_add_list(&v, r, &r->node_checks, c);
	if (s) {
		verdict_add_list(&v, r, &s->checks, c);
	}
	status = verdict_render(r, c, &v, &text);
	schedule_status(r, c, status, buf_str(&text));
}

static bool all_rise(struct registry *r, unsigned round)
{
	struct check *c;
	bool rose = false;

	list_for_each (c, &r->aliases, of_alias) {
		if (alias_is_local(r, c)) {
			rose |= rise(r, c, round);
		}
	}
	return rose;
}

void alias_refresh(struct registry *r)
{
	unsigned rounds = 1;
	struct check *c;

	list_for_each (c, &r->aliases, of_alias) {
		c->alias_status = CHECK_PASSING;
		c->alias_rank = 0;
	}
	while (all_rise(r, rounds)) {
		rounds++;
	}
	for (unsigned rank = 0; rank < rounds; rank++) {
		list_for_each (c, &r->aliases, of_alias) {
			if (alias_is_local(r, c) && c->alias_rank == rank) {
				refresh_local(r, c);
			}
		}
	}
	r->aliases_stale = false;
}

/* ---- another node ---- */

void alias_request(struct registry *r, struct check *c)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	struct registry_request *q;

	c->run = ++r->numbers;
	buf_put_cstr(&path, c->alias_probe ? "/v1/catalog/node-services/" : "/v1/health/node/");
	url_escape(&path, c->row.def.alias_node, false);
	buf_put_lit(&path, "?stale");
	if (c->alias_index && !c->alias_probe) {
		buf_printf(&path, "&wait=1m&index=%llu", (unsigned long long)c->alias_index);
	}
	q = sync_request_put(r, c->run);
	q->path = arena_str(&r->arena, buf_str(&path));
	q->token = arena_str(&r->arena, c->row.sync_token);
	q->waits = !c->alias_probe;
}

static void verdict_add_json(struct verdict *v, const struct json *item)
{
	enum check_status status = CHECK_CRITICAL;

	check_status_parse(json_find_text(item, "Status"), &status);
	verdict_add(v, status, json_find_text(item, "Name"), json_find_text(item, "Output"));
}

static void health_answer(struct registry *r, struct check *c, const struct json *answer)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct str service = c->row.def.alias_service;
	const struct json *item;
	struct verdict v = { 0 };
	enum check_status status;
	bool found = service.n == 0;

	json_for_each (item, answer) {
		struct str owner = json_find_text(item, "ServiceID");

		if (owner.n == 0 || (service.n && str_eq(owner, service))) {
			verdict_add_json(&v, item);
			found = found || owner.n;
		}
	}
	status = verdict_render(r, c, &v, &text);
	if (found) {
		schedule_status(r, c, status, buf_str(&text));
		return;
	}
	c->alias_probe = true;
	c->probe_status = status;
	buf_clear(&c->probe_output);
	buf_put_str(&c->probe_output, buf_str(&text));
}

static void probe_answer(struct registry *r, struct check *c, const struct json *answer)
{
	const struct json *services = json_find(answer, "Services"), *item;

	if (services) {
		json_for_each (item, services) {
			if (str_eq(json_find_text(item, "ID"), c->row.def.alias_service)) {
				schedule_status(r, c, c->probe_status, buf_str(&c->probe_output));
				return;
			}
		}
	}
	missing_apply(r, c);
}

void alias_answer(struct registry *r, struct check *c, const struct registry_event *e)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	bool probe = c->alias_probe;
	struct json *answer;

	c->alias_probe = false;
	if (e->request.status != 200 || json_parse(&arena, e->request.body, &answer, NULL)) {
		c->alias_index = 0; /* asked again after the pause, without waiting for a change */
	} else if (probe) {
		probe_answer(r, c, answer);
	} else {
		c->alias_index = e->request.index;
		health_answer(r, c, answer);
	}
}
