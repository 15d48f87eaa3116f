/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of the core: one step per event, and what holds between steps.
 */
#include "checkd/core/private.h"
#include "common/base/hash.h"

struct registry *registry_new(const struct registry_config *config, const struct rng *rng)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	r->config = config;
	r->rng = *rng;
	map_init(&r->services, rng_u64(&r->rng));
	map_init(&r->checks, rng_u64(&r->rng));
	list_init(&r->node_checks);
	list_init(&r->aliases);
	list_init(&r->running);
	list_init(&r->queued);
	sync_init(r);
	return r;
}

static void update_begin(struct registry *r, struct registry_update *update)
{
	arena_reset(&r->arena);
	*update = (struct registry_update) { 0 };
	r->update = update;
	r->write_tail = &update->writes;
	r->run_tail = &update->runs;
	r->stop_tail = &update->stops;
	r->request_tail = &update->requests;
}

void registry_free(struct registry *r)
{
	struct service *s, *next_service;
	struct check *c, *next_check;
	struct registry_update nobody_reads;

	update_begin(r, &nobody_reads);
	sync_fini(r);
	map_for_each(c, next_check, &r->checks, node)
	{
		check_forget(r, c);
	}
	map_for_each(s, next_service, &r->services, node)
	{
		service_forget(r, s);
	}
	map_fini(&r->checks);
	map_fini(&r->services);
	heap_fini(&r->dues);
	arena_fini(&r->arena);
	free(r);
}

void result_set(struct registry *r, enum result_kind kind, struct str text)
{
	r->update->result.kind = (uint8_t)kind;
	r->update->result.text = arena_str(&r->arena, text);
}

static struct registry_write *write_new(
	struct registry *r, enum registry_table table, struct str key)
{
	struct registry_write *w = arena_new(&r->arena, struct registry_write);

	w->table = table;
	w->key = arena_str(&r->arena, key);
	*r->write_tail = w;
	r->write_tail = &w->next;
	return w;
}

void write_put(struct registry *r, enum registry_table table, struct str key, struct str value)
{
	write_new(r, table, key)->value = arena_str(&r->arena, value);
}

void write_del(struct registry *r, enum registry_table table, struct str key)
{
	write_new(r, table, key)->del = true;
}

void writes_forget(struct registry *r)
{
	r->update->writes = NULL;
	r->write_tail = &r->update->writes;
}

void stop_put(struct registry *r, uint64_t number)
{
	struct registry_stop *s = arena_new(&r->arena, struct registry_stop);

	s->number = number;
	*r->stop_tail = s;
	r->stop_tail = &s->next;
}

static void loaded(struct registry *r)
{
	struct service *s, *next_service;
	struct check *c, *next_check;

	/* The first full sync decides what the catalogue lacks. */
	map_for_each(s, next_service, &r->services, node)
	{
		sync_clean_service(r, s);
	}
	map_for_each(c, next_check, &r->checks, node)
	{
		sync_clean_check(r, c);
	}
	sync_full_now(r);
}

static void config_set(struct registry *r, const struct registry_config *config)
{
	r->config = config;
	r->config_number++;
	r->node_dirty = true;
	if (!r->full.running) {
		sync_full_now(r); /* who reloads may well have repaired something */
	}
}

static void request_done(struct registry *r, const struct registry_event *e)
{
	if (!schedule_alias_done(r, e)) {
		sync_done(r, e);
	}
}

static void dispatch(struct registry *r, const struct registry_event *e)
{
	switch (e->type) {
	case REGISTRY_CONFIG:
		config_set(r, e->config);
		break;
	case REGISTRY_CONF_BEGIN:
		entry_conf_begin(r);
		break;
	case REGISTRY_CONF_END:
		entry_conf_end(r);
		break;
	case REGISTRY_LOAD_SERVICE:
		entry_load_service(r, e);
		break;
	case REGISTRY_LOAD_CHECK:
		entry_load_check(r, e);
		break;
	case REGISTRY_LOAD_STATE:
		schedule_load_state(r, e);
		break;
	case REGISTRY_LOADED:
		loaded(r);
		break;
	case REGISTRY_SERVICE_PUT:
		entry_service_put(r, e);
		break;
	case REGISTRY_SERVICE_DEL:
		entry_service_del(r, e->id);
		break;
	case REGISTRY_CHECK_PUT:
		entry_check_put(r, e);
		break;
	case REGISTRY_CHECK_DEL:
		entry_check_del(r, e->id);
		break;
	case REGISTRY_TTL:
		schedule_ttl(r, e);
		break;
	case REGISTRY_MAINTENANCE:
		entry_maintenance(r, e);
		break;
	case REGISTRY_RUN_DONE:
		schedule_run_done(r, e);
		break;
	case REGISTRY_REQUEST_DONE:
		request_done(r, e);
		break;
	case REGISTRY_TIMER:
		schedule_timer(r);
		sync_timer(r);
		break;
	case REGISTRY_FLUSH:
		sync_plan(r);
		break;
	}
}

void registry_step(
	struct registry *r, const struct registry_event *event, struct registry_update *update_out)
{
	update_begin(r, update_out);
	r->now = event->now;
	r->wall = event->wall;
	dispatch(r, event);
	if (r->aliases_stale) {
		alias_refresh(r);
	}
	r->update = NULL;
}

struct mono registry_deadline(const struct registry *r)
{
	struct heap_item *first = heap_first(&r->dues);

	return mono_min(first ? first->when : MONO_NEVER, sync_deadline(r));
}

static void check_check(const struct registry *r, const struct check *c)
{
	must(!c->sync.deleted || (c->run == 0 && c->due.place == 0));
	must(!c->sync.deleted || c->sync.dirty || c->sync.busy || c->sync.failed ||
		(c->service && c->service->sync.deleted));
	must(!c->service || c->sync.deleted || !c->service->sync.deleted);
	must(!(c->sync.dirty && c->sync.failed));
	must((c->sync.dirty || c->sync.failed) == list_linked(&c->sync.link));
	must(c->kind == CHECK_KIND_ALIAS || c->sync.deleted ||
		(c->run != 0) == list_linked(&c->of_running));
	must(c->kind != CHECK_KIND_TTL || c->run == 0);
}

void registry_check(const struct registry *r)
{
	const struct list *all = &r->checks.all;
	uint64_t services = 0, checks = 0;
	const struct service *s;
	const struct check *c;

	list_for_each (c, all, node.all) {
		check_check(r, c);
		checks += !c->sync.deleted;
	}
	list_for_each (s, &r->services.all, node.all) {
		must(!s->sync.deleted || s->sync.dirty || s->sync.busy || s->sync.failed);
		must((s->sync.dirty || s->sync.failed) == list_linked(&s->sync.link));
		services += !s->sync.deleted;
	}
	must(services == r->services_live && checks == r->checks_live);
	must(r->running_count <= REGISTRY_RUNS_MAX);
	must(r->requests_count <= REGISTRY_REQUESTS_MAX);
	for (size_t i = 2; i <= r->dues.count; i++) {
		must(!mono_before(r->dues.items[i]->when, r->dues.items[i / 2]->when));
	}
}

uint64_t registry_digest(const struct registry *r)
{
	uint64_t digest = r->services_live;
	const struct service *s;
	const struct check *c;

	/* A sum: the same entries give the same digest whatever the order they came in. */
	list_for_each (s, &r->services.all, node.all) {
		if (!s->sync.deleted) {
			digest += hash64(str_n(s->bytes, s->bytes_count), 1);
		}
	}
	list_for_each (c, &r->checks.all, node.all) {
		if (!c->sync.deleted) {
			digest += hash64_mix(hash64(str_n(c->bytes, c->bytes_count), 2),
				hash64(buf_str(&c->output), (uint64_t)c->status));
		}
	}
	return digest;
}

void registry_count(const struct registry *r, struct registry_counts *out)
{
	const struct check *c;
	const struct list *l;

	*out = (struct registry_counts) { .services = r->services_live,
		.checks = r->checks_live,
		.running = r->running_count,
		.requests = r->requests_count };
	list_for_each (c, &r->checks.all, node.all) {
		out->ttls += !c->sync.deleted && c->kind == CHECK_KIND_TTL;
		out->monitors += !c->sync.deleted && c->kind == CHECK_KIND_SCRIPT;
		out->dirty += c->sync.dirty;
		out->failed += c->sync.failed;
	}
	for (l = r->queued.next; l != &r->queued; l = l->next) {
		out->queued++;
	}
	for (l = r->dirty_services.next; l != &r->dirty_services; l = l->next) {
		out->dirty++;
	}
	for (l = r->failed_services.next; l != &r->failed_services; l = l->next) {
		out->failed++;
	}
	out->in_sync = !out->dirty && !out->failed && !out->requests && !r->node_dirty &&
		       !r->full.running && !mono_before(r->full.due, r->now);
}
