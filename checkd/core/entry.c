/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services and checks come and go: by the agent's endpoints, by configuration, from the store. Each
 * owns its encoded row, which is what the store holds too. Definitions were checked by the caller
 * (common/client/definition.h); what depends on the registry (limits, the service of a check) is
 * decided here.
 */
#include "checkd/core/private.h"

#define MAINTENANCE_NODE    "_node_maintenance"
#define MAINTENANCE_SERVICE "_service_maintenance:"

struct service *service_find(const struct registry *r, struct str id)
{
	struct service *s = map_find(&r->services, id, struct service, node);

	return s && !s->sync.deleted ? s : NULL;
}

struct check *check_find(const struct registry *r, struct str id)
{
	struct check *c = map_find(&r->checks, id, struct check, node);

	return c && !c->sync.deleted ? c : NULL;
}

/* ---- rows ---- */

void service_replace_row(struct service *s, const struct service_row *row)
{
	OWN_EMBEDDED(buf_fini) struct buf encoded = { 0 };

	service_row_encode(&encoded, row);
	arena_fini(&s->arena);
	free(s->bytes);
	s->bytes = str_dup(buf_str(&encoded));
	s->bytes_count = encoded.n;
	must(service_row_decode(str_n(s->bytes, s->bytes_count), &s->arena, &s->row) == 0);
	s->node.key = s->row.def.id;
}

static void check_replace_row(struct check *c, const struct check_row *row)
{
	OWN_EMBEDDED(buf_fini) struct buf encoded = { 0 };

	check_row_encode(&encoded, row);
	arena_fini(&c->arena);
	free(c->bytes);
	c->bytes = str_dup(buf_str(&encoded));
	c->bytes_count = encoded.n;
	must(check_row_decode(str_n(c->bytes, c->bytes_count), &c->arena, &c->row) == 0);
	c->node.key = c->row.def.id;
	c->kind = check_kind_of(&c->row.def);
}

static void service_store(struct registry *r, const struct service *s)
{
	if (s->row.from_config) {
		write_del(r, TABLE_SERVICES, s->row.def.id);
	} else {
		write_put(r, TABLE_SERVICES, s->row.def.id, str_n(s->bytes, s->bytes_count));
	}
}

static void check_store(struct registry *r, const struct check *c)
{
	if (c->row.from_config) {
		write_del(r, TABLE_CHECKS, c->row.def.id);
	} else {
		write_put(r, TABLE_CHECKS, c->row.def.id, str_n(c->bytes, c->bytes_count));
	}
}

/* ---- making and freeing ---- */

static struct service *service_add(struct registry *r, const struct service_row *row)
{
	struct service *s = xcalloc(1, sizeof(*s));

	list_init(&s->checks);
	service_replace_row(s, row);
	map_add(&r->services, &s->node, s->row.def.id);
	s->sync.deleted = true;
	return s;
}

static struct check *check_add(struct registry *r, const struct check_row *row)
{
	struct check *c = xcalloc(1, sizeof(*c));

	c->run_due = c->ttl_due = c->defer_due = c->critical_since = MONO_NEVER;
	check_replace_row(c, row);
	map_add(&r->checks, &c->node, c->row.def.id);
	c->sync.deleted = true;
	return c;
}

struct service *service_stub(struct registry *r, struct str id)
{
	struct service_row row = { .def = { .id = id } };

	return service_add(r, &row);
}

struct check *check_stub(struct registry *r, struct str id, struct str service_id)
{
	struct check_row row = { .def = { .id = id, .service_id = service_id } };
	struct check *c = check_add(r, &row);

	list_add_tail(&r->node_checks, &c->of_service);
	return c;
}

void check_forget(struct registry *r, struct check *c)
{
	sync_clean_check(r, c);
	schedule_stop(r, c);
	list_del(&c->of_service);
	list_del(&c->of_request);
	list_del(&c->of_alias);
	map_del(&r->checks, &c->node);
	buf_fini(&c->output);
	buf_fini(&c->probe_output);
	arena_fini(&c->arena);
	free(c->bytes);
	free(c);
}

void service_forget(struct registry *r, struct service *s)
{
	struct check *c, *next;

	list_for_each_safe (c, next, &s->checks, of_service) {
		if (c->sync.deleted && !c->sync.busy) {
			check_forget(r, c);
		} else {
			/* A check of ours that is being told on its own: it goes when that is
			 * answered. */
			c->service = NULL;
			list_del(&c->of_service);
			list_add_tail(&r->node_checks, &c->of_service);
		}
	}
	sync_clean_service(r, s);
	map_del(&r->services, &s->node);
	arena_fini(&s->arena);
	free(s->bytes);
	free(s);
}

/* ---- removing ---- */

void check_remove(struct registry *r, struct check *c)
{
	schedule_stop(r, c);
	list_del(&c->of_alias);
	c->sync.deleted = true;
	r->checks_live--;
	r->aliases_stale = true;
	write_del(r, TABLE_CHECKS, c->row.def.id);
	write_del(r, TABLE_STATES, c->row.def.id);
	sync_dirty_check(r, c);
}

void service_remove(struct registry *r, struct service *s)
{
	struct check *c;

	list_for_each (c, &s->checks, of_service) {
		if (!c->sync.deleted) {
			check_remove(r, c);
		}
	}
	s->sync.deleted = true;
	r->services_live--;
	r->aliases_stale = true;
	r->update->services_changed = true;
	write_del(r, TABLE_SERVICES, s->row.def.id);
	sync_dirty_service(r, s);
}

void entry_service_del(struct registry *r, struct str id)
{
	struct service *s = service_find(r, id);

	if (id.n == 0) {
		result_set(r, RESULT_ERROR, STR("ServiceID missing"));
	} else if (s) {
		service_remove(r, s);
	}
}

void entry_check_del(struct registry *r, struct str id)
{
	struct check *c = check_find(r, id);

	if (id.n == 0) {
		result_set(r, RESULT_ERROR, STR("CheckID missing"));
	} else if (c) {
		check_remove(r, c);
	}
}

/* ---- checks ---- */

static void check_alias_link(struct registry *r, struct check *c)
{
	list_del(&c->of_alias);
	if (c->kind == CHECK_KIND_ALIAS) {
		list_add_tail(&r->aliases, &c->of_alias);
	}
}

static void check_service_link(struct registry *r, struct check *c, struct service *s)
{
	c->service = s;
	list_del(&c->of_service);
	list_add_tail(s ? &s->checks : &r->node_checks, &c->of_service);
}

/* A check that was not there before: its initial status, everything else at rest. */
static void check_begin(struct registry *r, struct check *c)
{
	c->sync.deleted = false;
	r->checks_live++;
	c->status = CHECK_CRITICAL;
	check_status_parse(c->row.def.status, &c->status);
	buf_clear(&c->output);
	c->critical_since = c->defer_due = c->ttl_due = MONO_NEVER;
	c->alias_index = 0;
	c->alias_probe = false;
}

/*
 * Adds or replaces. A check that is there keeps its status and output, and, when it is defined as
 * before, its schedule too, so that somebody who registers more often than the interval does not
 * keep the check from running.
 */
static void check_put(struct registry *r, const struct check_row *row, struct service *s)
{
	struct check *c = map_find(&r->checks, row->def.id, struct check, node);
	bool fresh = !c || c->sync.deleted, changed = true;

	if (!c) {
		c = check_add(r, row);
	} else {
		OWN_EMBEDDED(buf_fini) struct buf encoded = { 0 };

		check_row_encode(&encoded, row);
		changed = !str_eq(buf_str(&encoded), str_n(c->bytes, c->bytes_count));
		if (changed && !fresh) {
			schedule_stop(r, c); /* runs borrow the old definition */
		}
		if (changed) {
			check_replace_row(c, row);
		}
	}
	check_service_link(r, c, s);
	check_alias_link(r, c);
	if (fresh) {
		check_begin(r, c);
	}
	if (fresh || changed || c->kind == CHECK_KIND_TTL) {
		schedule_start(r, c); /* registering a TTL check again is a sign of life */
	}
	if (fresh || changed) {
		check_store(r, c);
		sync_dirty_check(r, c);
	}
	r->aliases_stale = true;
	c->seen = true;
}

static int check_limits(struct registry *r, struct str id, uint64_t more)
{
	if (id.n > REGISTRY_ID_MAX) {
		result_set(r, RESULT_BAD, STR("CheckID is too long"));
		return ST_TOO_LARGE;
	}
	if (r->checks_live + more > REGISTRY_CHECKS_MAX) {
		result_set(r, RESULT_ERROR, STR("Too many checks on this agent"));
		return ST_FULL;
	}
	return 0;
}

void entry_check_put(struct registry *r, const struct registry_event *e)
{
	struct check_row row = { .def = *e->check.check.def,
		.type = e->check.check.type,
		.sync_token = e->check.sync_token,
		.from_config = e->check.from_config };
	struct service *s = NULL;

	if (row.def.id.n == 0) {
		row.def.id = row.def.name;
	}
	if (row.def.service_id.n) {
		s = service_find(r, row.def.service_id);
		if (!s) {
			result_set(r, RESULT_ERROR,
				arena_printf(&r->arena, "ServiceID \"" STR_FMT "\" does not exist",
					STR_ARG(row.def.service_id)));
			return;
		}
		row.service_name = s->row.def.name;
		row.service_tags = s->row.def.tags;
	}
	if (check_limits(r, row.def.id, 1)) {
		return;
	}
	check_put(r, &row, s);
}

/* ---- services ---- */

/* Fills in what a check inside a service's definition leaves out (http-api 4.2.1, "Check IDs when
 * not given"). */
static void service_check_row(
	struct registry *r, const struct registry_event *e, uint32_t at, struct check_row *row)
{
	const struct service_def *def = e->service.def;

	*row = (struct check_row) { .def = *e->service.checks[at].def,
		.type = e->service.checks[at].type,
		.service_name = def->name,
		.service_tags = def->tags,
		.sync_token = e->service.sync_token,
		.from_config = e->service.from_config };
	row->def.service_id = def->id;
	if (row->def.id.n == 0 && e->service.checks_count > 1) {
		row->def.id =
			arena_printf(&r->arena, "service:" STR_FMT ":%u", STR_ARG(def->id), at + 1);
	} else if (row->def.id.n == 0) {
		row->def.id = arena_printf(&r->arena, "service:" STR_FMT, STR_ARG(def->id));
	}
	if (row->def.name.n == 0) {
		row->def.name =
			arena_printf(&r->arena, "Service '" STR_FMT "' check", STR_ARG(def->name));
	}
	if (row->def.token.n) {
		row->sync_token = row->def.token;
	}
}

static int service_limits(struct registry *r, const struct registry_event *e)
{
	const struct service_def *def = e->service.def;

	if (def->id.n > REGISTRY_ID_MAX || def->name.n > REGISTRY_ID_MAX) {
		result_set(r, RESULT_BAD, STR("Service ID or name is too long"));
		return ST_TOO_LARGE;
	}
	if (r->services_live >= REGISTRY_SERVICES_MAX && !service_find(r, def->id)) {
		result_set(r, RESULT_ERROR, STR("Too many services on this agent"));
		return ST_FULL;
	}
	for (uint32_t i = 0; i < e->service.checks_count; i++) {
		struct check_row row;
		int status;

		service_check_row(r, e, i, &row);
		status = check_limits(r, row.def.id, e->service.checks_count);
		if (status) {
			return status;
		}
	}
	return 0;
}

static bool is_maintenance(const struct check *c)
{
	return c->row.maintenance;
}

/* Without replace_checks what is absent from the new definition stays. */
static void service_checks_drop(struct registry *r, struct service *s)
{
	struct check *c;

	list_for_each (c, &s->checks, of_service) {
		if (!c->sync.deleted && !c->seen && !is_maintenance(c)) {
			check_remove(r, c);
		}
	}
}

static void service_checks_put(
	struct registry *r, struct service *s, const struct registry_event *e)
{
	struct check *c;

	if (e->service.replace_checks) {
		list_for_each (c, &s->checks, of_service) {
			c->seen = false;
		}
	}
	for (uint32_t i = 0; i < e->service.checks_count; i++) {
		struct check_row row;

		service_check_row(r, e, i, &row);
		check_put(r, &row, s);
	}
	if (e->service.replace_checks) {
		service_checks_drop(r, s);
	}
}

static struct service *service_put(struct registry *r, const struct service_row *row)
{
	struct service *s = map_find(&r->services, row->def.id, struct service, node);
	bool fresh = !s || s->sync.deleted, changed = true;

	if (!s) {
		s = service_add(r, row);
	} else {
		OWN_EMBEDDED(buf_fini) struct buf encoded = { 0 };

		service_row_encode(&encoded, row);
		changed = !str_eq(buf_str(&encoded), str_n(s->bytes, s->bytes_count));
		if (changed) {
			service_replace_row(s, row);
		}
	}
	if (fresh) {
		s->sync.deleted = false;
		r->services_live++;
		r->aliases_stale = true;
	}
	if (fresh || changed) {
		service_store(r, s);
		sync_dirty_service(r, s);
		r->update->services_changed = true;
	}
	s->seen = true;
	return s;
}

void entry_service_put(struct registry *r, const struct registry_event *e)
{
	struct service_row row = { .def = *e->service.def,
		.sync_token = e->service.sync_token,
		.from_config = e->service.from_config };

	if (service_limits(r, e)) {
		return;
	}
	service_checks_put(r, service_put(r, &row), e);
}

/* ---- configuration: what is no longer in the files goes ---- */

void entry_conf_begin(struct registry *r)
{
	struct service *s, *next_service;
	struct check *c, *next_check;

	r->conf_reading = true;
	map_for_each(s, next_service, &r->services, node)
	{
		s->seen = false;
	}
	map_for_each(c, next_check, &r->checks, node)
	{
		c->seen = false;
	}
}

void entry_conf_end(struct registry *r)
{
	struct service *s, *next_service;
	struct check *c, *next_check;

	r->conf_reading = false;
	map_for_each(c, next_check, &r->checks, node)
	{
		if (!c->sync.deleted && c->row.from_config && !c->seen) {
			check_remove(r, c);
		}
	}
	map_for_each(s, next_service, &r->services, node)
	{
		if (!s->sync.deleted && s->row.from_config && !s->seen) {
			service_remove(r, s);
		}
	}
}

/* ---- from the store: configuration wins ---- */

void entry_load_service(struct registry *r, const struct registry_event *e)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct service_row row;

	if (service_row_decode(e->load.value, &arena, &row) || !str_eq(row.def.id, e->load.key) ||
		service_find(r, row.def.id)) {
		write_del(r, TABLE_SERVICES, e->load.key);
		return;
	}
	service_put(r, &row);
	writes_forget(r);
}

void entry_load_check(struct registry *r, const struct registry_event *e)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct service *s = NULL;
	struct check_row row;

	if (check_row_decode(e->load.value, &arena, &row) || !str_eq(row.def.id, e->load.key) ||
		check_find(r, row.def.id)) {
		write_del(r, TABLE_CHECKS, e->load.key);
		return;
	}
	if (row.def.service_id.n) {
		s = service_find(r, row.def.service_id);
		if (!s) {
			write_del(r, TABLE_CHECKS, e->load.key);
			return;
		}
	}
	check_put(r, &row, s);
	writes_forget(r);
}

/* ---- maintenance mode (agent-and-checks 5) ---- */

static void maintenance_row(struct registry *r, const struct registry_event *e,
	const struct service *s, struct check_row *row)
{
	const char *about = s ? "service" : "node";

	*row = (struct check_row) { .type = STR("maintenance"), .maintenance = true };
	row->def.status = STR("critical");
	row->def.notes = e->maintenance.reason.n
				 ? e->maintenance.reason
				 : arena_printf(&r->arena,
					   "Maintenance mode is enabled for this %s, but no reason "
					   "was provided. This is a default message.",
					   about);
	if (s) {
		row->def.id = arena_printf(
			&r->arena, MAINTENANCE_SERVICE STR_FMT, STR_ARG(s->row.def.id));
		row->def.name = STR("Service Maintenance Mode");
		row->def.service_id = s->row.def.id;
		row->service_name = s->row.def.name;
		row->service_tags = s->row.def.tags;
		row->sync_token = s->row.sync_token;
	} else {
		row->def.id = STR(MAINTENANCE_NODE);
		row->def.name = STR("Node Maintenance Mode");
	}
}

void entry_maintenance(struct registry *r, const struct registry_event *e)
{
	struct service *s = NULL;
	struct check_row row;
	struct check *c;

	if (e->maintenance.service_id.n) {
		s = service_find(r, e->maintenance.service_id);
		if (!s) {
			result_set(r, RESULT_NOT_FOUND,
				arena_printf(&r->arena,
					"No service registered with ID \"" STR_FMT "\"",
					STR_ARG(e->maintenance.service_id)));
			return;
		}
	}
	maintenance_row(r, e, s, &row);
	c = check_find(r, row.def.id);
	if (e->maintenance.enable && !c && !check_limits(r, STR(""), 1)) {
		check_put(r, &row, s);
	} else if (!e->maintenance.enable && c) {
		check_remove(r, c);
	}
}
