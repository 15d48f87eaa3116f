/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anti-entropy (agent-and-checks 4): what has changed here is told to the catalogue at once; a full
 * sync compares everything from time to time and heals what was changed behind our back. Requests
 * are planned at the end of a turn only, at most REGISTRY_REQUESTS_MAX at once; a service travels
 * with its changed checks.
 */
#include <math.h>

#include "checkd/core/private.h"

enum {
	BACKOFF_MIN_MS = 100,
	FAILED_AFTER_MS = 15000, /* and as much again by chance: also the longest back-off */
	FULL_PERIOD_MS = 60000,
	NODE_PATIENCE_MS = 3000, /* the leader registers the node; we complete what it wrote */
	NODE_AGAIN_MS = 50,
	CLUSTER_UNSCALED = 128, /* members up to which periods are not stretched */
};

void sync_init(struct registry *r)
{
	list_init(&r->dirty_services);
	list_init(&r->dirty_checks);
	list_init(&r->failed_services);
	list_init(&r->failed_checks);
	list_init(&r->requests);
	r->node_dirty = true;
	r->failed_due = MONO_NEVER;
	r->full.due = MONO_NEVER;
}

static void request_free(struct registry *r, struct request *q)
{
	struct check *c, *next;

	list_for_each_safe (c, next, &q->checks, of_request) {
		c->sync.busy = NULL;
		list_del(&c->of_request);
	}
	if (q->service) {
		q->service->sync.busy = NULL;
	}
	list_del(&q->link);
	r->requests_count--;
	free(q);
}

void sync_fini(struct registry *r)
{
	struct request *q, *next;

	list_for_each_safe (q, next, &r->requests, link) {
		request_free(r, q);
	}
}

/* ---- marks ---- */

static void sync_mark(struct sync *s, struct list *list, bool failed)
{
	list_del(&s->link);
	list_add_tail(list, &s->link);
	s->dirty = !failed;
	s->failed = failed;
}

static void sync_clean(struct sync *s)
{
	list_del(&s->link);
	s->dirty = s->failed = false;
}

void sync_dirty_service(struct registry *r, struct service *s)
{
	sync_mark(&s->sync, &r->dirty_services, false);
}

void sync_dirty_check(struct registry *r, struct check *c)
{
	sync_mark(&c->sync, &r->dirty_checks, false);
}

void sync_clean_service(struct registry *r, struct service *s)
{
	sync_clean(&s->sync);
}

void sync_clean_check(struct registry *r, struct check *c)
{
	sync_clean(&c->sync);
}

void sync_full_now(struct registry *r)
{
	r->full.due = r->now;
}

/* ---- bodies ---- */

struct registry_request *sync_request_put(struct registry *r, uint64_t number)
{
	struct registry_request *q = arena_new(&r->arena, struct registry_request);

	q->number = number;
	*r->request_tail = q;
	r->request_tail = &q->next;
	return q;
}

static struct request *request_new(struct registry *r, enum request_kind kind)
{
	struct request *q = xcalloc(1, sizeof(*q));

	q->number = ++r->numbers;
	q->kind = kind;
	list_init(&q->checks);
	list_add_tail(&r->requests, &q->link);
	r->requests_count++;
	return q;
}

static struct str token_or(struct str own, struct str other)
{
	return own.n ? own : other;
}

static void request_send(struct registry *r, const struct request *q, const char *path,
	const struct buf *body, struct str token)
{
	struct registry_request *out = sync_request_put(r, q->number);

	out->put = body != NULL;
	out->path = arena_str(&r->arena, str_of(path));
	out->body = body ? arena_str(&r->arena, buf_str(body)) : STR("");
	out->token = arena_str(&r->arena, token);
}

static void check_take(struct request *q, struct check *c)
{
	sync_clean(&c->sync);
	c->sync.busy = q;
	list_add_tail(&q->checks, &c->of_request);
}

/* Opens the body of a register: the node's part is sent along while the catalogue's is not known to
 * be right. */
static void register_open(struct registry *r, struct request *q, struct jsonw *w)
{
	q->with_node = r->node_dirty;
	q->config_number = r->config_number;
	jsonw_open(w, '{');
	render_node(r, w);
	jsonw_put_bool(w, "SkipNodeUpdate", !q->with_node);
}

static void plan_node(struct registry *r)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct jsonw w = jsonw_of(&body);
	struct request *q = request_new(r, REQUEST_NODE);

	register_open(r, q, &w);
	jsonw_close(&w, '}');
	request_send(r, q, "/v1/catalog/register", &body,
		token_or(r->config->agent_token, r->config->default_token));
}

static void checks_render(struct registry *r, struct request *q, struct jsonw *w)
{
	struct check *c;

	if (list_empty(&q->checks)) {
		return;
	}
	jsonw_keyc(w, "Checks");
	jsonw_open(w, '[');
	list_for_each (c, &q->checks, of_request) {
		render_health_check(r, c, w);
		schedule_undefer(r, c);
	}
	jsonw_close(w, ']');
}

static void plan_service_put(struct registry *r, struct service *s)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct jsonw w = jsonw_of(&body);
	struct request *q = request_new(r, REQUEST_SERVICE);
	struct check *c;

	q->service = s;
	s->sync.busy = q;
	sync_clean(&s->sync);
	list_for_each (c, &s->checks, of_service) {
		if (c->sync.dirty && !c->sync.deleted && !c->sync.busy &&
			str_eq(c->row.sync_token, s->row.sync_token)) {
			check_take(q, c);
		}
	}
	register_open(r, q, &w);
	jsonw_keyc(&w, "Service");
	render_node_service(s, &w);
	checks_render(r, q, &w);
	jsonw_close(&w, '}');
	request_send(r, q, "/v1/catalog/register", &body,
		token_or(s->row.sync_token, r->config->default_token));
}

static void plan_check_put(struct registry *r, struct check *c)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct jsonw w = jsonw_of(&body);
	struct request *q = request_new(r, REQUEST_CHECK);

	check_take(q, c);
	register_open(r, q, &w);
	checks_render(r, q, &w);
	jsonw_close(&w, '}');
	request_send(r, q, "/v1/catalog/register", &body,
		token_or(c->row.sync_token, r->config->default_token));
}

static void deregister_send(
	struct registry *r, struct request *q, const char *key, struct str id, struct str token)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct jsonw w = jsonw_of(&body);

	jsonw_open(&w, '{');
	jsonw_put_str(&w, "Datacenter", r->config->datacenter);
	jsonw_put_str(&w, "Node", r->config->node);
	jsonw_key(&w, str_of(key));
	jsonw_str(&w, id);
	jsonw_close(&w, '}');
	request_send(
		r, q, "/v1/catalog/deregister", &body, token_or(token, r->config->default_token));
}

static void plan_service_del(struct registry *r, struct service *s)
{
	struct request *q = request_new(r, REQUEST_SERVICE_DEL);

	q->service = s;
	s->sync.busy = q;
	sync_clean(&s->sync);
	deregister_send(r, q, "ServiceID", s->row.def.id, s->row.sync_token);
}

static void plan_check_del(struct registry *r, struct check *c)
{
	struct request *q = request_new(r, REQUEST_CHECK_DEL);

	check_take(q, c);
	deregister_send(r, q, "CheckID", c->row.def.id, c->row.sync_token);
}

static void plan_read(struct registry *r, enum request_kind kind, const char *path)
{
	OWN_EMBEDDED(buf_fini) struct buf full = { 0 };
	struct request *q = request_new(r, kind);

	buf_put_cstr(&full, path);
	url_escape(&full, r->config->node, false);
	buf_put_lit(&full, "?stale");
	request_send(r, q, buf_cstr(&full), NULL,
		token_or(r->config->agent_token, r->config->default_token));
}

/* ---- planning ---- */

static bool has_room(const struct registry *r)
{
	return r->requests_count < REGISTRY_REQUESTS_MAX;
}

static void plan_services(struct registry *r)
{
	struct service *s, *next;

	list_for_each_safe (s, next, &r->dirty_services, sync.link) {
		if (!has_room(r)) {
			return;
		}
		if (s->sync.busy) {
			continue;
		}
		if (s->sync.deleted) {
			plan_service_del(r, s);
		} else {
			plan_service_put(r, s);
		}
	}
}

/*
 * A check waits until the catalogue has its service as it is; and a check that goes with its
 * service needs no request of its own, for the catalogue removes both.
 */
static bool check_waits(const struct check *c)
{
	const struct service *s = c->service;

	if (c->sync.busy) {
		return true;
	}
	return s && (s->sync.busy || s->sync.dirty || s->sync.failed || s->sync.deleted);
}

static void plan_checks(struct registry *r)
{
	struct check *c, *next;

	list_for_each_safe (c, next, &r->dirty_checks, sync.link) {
		if (!has_room(r)) {
			return;
		}
		if (check_waits(c)) {
			continue;
		}
		if (c->sync.deleted) {
			plan_check_del(r, c);
		} else {
			plan_check_put(r, c);
		}
	}
}

static void plan_full(struct registry *r)
{
	if (r->full.running || mono_before(r->now, r->full.due) ||
		r->requests_count + 2 > REGISTRY_REQUESTS_MAX) {
		return;
	}
	r->full.due = MONO_NEVER;
	r->full.running = true;
	r->full.reads_left = 2;
	r->full.reads_failed = r->full.too_early = false;
	if (r->full.patience.ns == 0) {
		r->full.patience = mono_add_ms(r->now, NODE_PATIENCE_MS);
	}
	plan_read(r, REQUEST_READ_SERVICES, "/v1/catalog/node-services/");
	plan_read(r, REQUEST_READ_CHECKS, "/v1/health/node/");
}

void sync_plan(struct registry *r)
{
	if (mono_before(r->now, r->retry_at)) {
		return;
	}
	plan_full(r);
	plan_services(r);
	plan_checks(r);
	if (r->node_dirty && r->full.completed && list_empty(&r->requests)) {
		plan_node(r);
	}
}

/* ---- answers ---- */

/* ORPHAN: the catalogue does not know the service of a check (any more). */
enum answer { ANSWER_OK, ANSWER_DENIED, ANSWER_REFUSED, ANSWER_ORPHAN, ANSWER_NONE };

static enum answer answer_of(const struct registry_event *e)
{
	if (e->request.status == 200) {
		return ANSWER_OK;
	}
	if (e->request.status == 403) {
		return ANSWER_DENIED;
	}
	if (e->request.status == 0 || str_starts(e->request.body, STR("No cluster leader")) ||
		e->request.status == 503 || e->request.status == 429) {
		return ANSWER_NONE;
	}
	if (str_find_str(e->request.body, STR("Missing service registration")) >= 0) {
		return ANSWER_ORPHAN;
	}
	return ANSWER_REFUSED;
}

/* 1 up to 128 members, then growing with the logarithm. */
static int64_t scaled_ms(const struct registry *r, int64_t ms)
{
	uint64_t n = r->config->cluster_size;

	if (n <= CLUSTER_UNSCALED) {
		return ms;
	}
	return ms * (int64_t)(ceil(log2((double)n) - log2((double)CLUSTER_UNSCALED)) + 1);
}

static void back_off(struct registry *r)
{
	int64_t ms = r->backoff_ms ? min_of(r->backoff_ms * 2, FAILED_AFTER_MS) : BACKOFF_MIN_MS;

	if (mono_before(r->now, r->retry_at)) {
		return; /* one step per round, however many requests it had */
	}
	r->backoff_ms = ms;
	r->retry_at = mono_add_ms(r->now, ms + (int64_t)rng_below(&r->rng, (uint64_t)ms));
}

static void failed_arm(struct registry *r)
{
	if (r->failed_due.ns == MONO_NEVER.ns) {
		r->failed_due = mono_add_ms(
			r->now, FAILED_AFTER_MS + (int64_t)rng_below(&r->rng,
							  (uint64_t)scaled_ms(r, FAILED_AFTER_MS)));
	}
}

/* The end of a request for one entry: true when the entry is settled (as far as this request goes).
 */
static bool entry_settle(
	struct registry *r, struct sync *s, enum answer a, struct list *dirty, struct list *failed)
{
	s->busy = NULL;
	if (a == ANSWER_OK || a == ANSWER_DENIED) {
		return !s->dirty;
	}
	if (a == ANSWER_REFUSED && !s->dirty) {
		sync_mark(s, failed, true);
		failed_arm(r);
	} else {
		sync_mark(s, dirty, false);
	}
	return false;
}

static void request_settle(struct registry *r, struct request *q, enum answer a)
{
	struct service *s = q->service;
	struct check *c, *next;

	list_for_each_safe (c, next, &q->checks, of_request) {
		bool settled;

		list_del(&c->of_request);
		if (a == ANSWER_ORPHAN && c->service && !c->service->sync.deleted) {
			sync_dirty_service(r, c->service); /* the check goes with it */
		}
		settled = entry_settle(r, &c->sync, a, &r->dirty_checks, &r->failed_checks);
		if (settled && c->sync.deleted) {
			check_forget(r, c);
		}
	}
	q->service = NULL;
	if (s && entry_settle(r, &s->sync, a, &r->dirty_services, &r->failed_services) &&
		s->sync.deleted) {
		service_forget(r, s);
	}
}

static void read_done(
	struct registry *r, const struct request *q, const struct registry_event *e, enum answer a)
{
	int status = ST_INVALID;

	if (a == ANSWER_OK) {
		status = q->kind == REQUEST_READ_SERVICES ? compare_services(r, e->request.body)
							  : compare_checks(r, e->request.body);
	}
	r->full.reads_failed |= status != 0;
	if (--r->full.reads_left) {
		return;
	}
	r->full.running = false;
	if (!r->full.reads_failed) {
		int64_t ms = scaled_ms(r, FULL_PERIOD_MS);

		r->full.due = mono_add_ms(r->now, ms + (int64_t)rng_below(&r->rng, (uint64_t)ms));
		r->full.completed = true;
	} else if (r->full.too_early) {
		r->full.due = mono_add_ms(r->now, NODE_AGAIN_MS);
	} else {
		back_off(r);
		r->full.due = r->retry_at;
	}
}

void sync_done(struct registry *r, const struct registry_event *e)
{
	struct request *q, *next;

	list_for_each_safe (q, next, &r->requests, link) {
		enum answer a = answer_of(e);

		if (q->number != e->request.number) {
			continue;
		}
		if (a == ANSWER_ORPHAN && q->kind != REQUEST_CHECK) {
			a = ANSWER_REFUSED;
		}
		if (a == ANSWER_NONE) {
			back_off(r);
		} else if (!mono_before(r->now, r->retry_at)) {
			r->backoff_ms = 0;
		}
		if (q->with_node && a == ANSWER_OK && q->config_number == r->config_number) {
			r->node_dirty = false;
		}
		if (q->kind == REQUEST_READ_SERVICES || q->kind == REQUEST_READ_CHECKS) {
			read_done(r, q, e, a);
		} else if (q->kind == REQUEST_NODE && a == ANSWER_DENIED) {
			r->node_dirty = false; /* until the next full sync */
		} else if (q->kind == REQUEST_NODE && a == ANSWER_REFUSED) {
			back_off(r);
		}
		request_settle(r, q, a);
		request_free(r, q);
		return;
	}
}

/* ---- time ---- */

static bool has_work(const struct registry *r)
{
	return r->node_dirty || !list_empty(&r->dirty_services) || !list_empty(&r->dirty_checks);
}

struct mono sync_deadline(const struct registry *r)
{
	/* A full sync that waits for room is planned when a request ends. */
	struct mono full_due =
		r->requests_count + 2 > REGISTRY_REQUESTS_MAX ? MONO_NEVER : r->full.due;
	struct mono due = mono_min(r->failed_due, full_due);

	if (mono_before(r->now, r->retry_at)) {
		/* Nothing is sent before retry_at. */
		due = mono_before(due, r->retry_at) || has_work(r) ? r->retry_at : due;
	}
	return due;
}

void sync_timer(struct registry *r)
{
	if (mono_before(r->now, r->failed_due)) {
		return;
	}
	r->failed_due = MONO_NEVER;
	while (!list_empty(&r->failed_services)) {
		sync_dirty_service(r, list_first(&r->failed_services, struct service, sync.link));
	}
	while (!list_empty(&r->failed_checks)) {
		sync_dirty_check(r, list_first(&r->failed_checks, struct check, sync.link));
	}
}
