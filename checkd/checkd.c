/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop body. Within a turn, events are stepped as they come and their writes gather in one
 * transaction; at its end the transaction is made durable, then callers are answered, then the
 * catalogue is told.
 */
#include "checkd/checkd.h"

#include "checkd/program.h"
#include "common/client/definition.h"
#include "common/sys/clock.h"

enum { STORE_AGAIN_MS = 1000 };

const struct metric_row checkd_metrics[] = {
	[METRIC_RUNS] = { "checkd.runs", METRIC_COUNTER, "" },
	[METRIC_REGISTRATIONS] = { "checkd.registrations", METRIC_COUNTER, "" },
	[METRIC_SYNC_OK] = { "checkd.sync", METRIC_COUNTER, "result=ok" },
	[METRIC_SYNC_FAILED] = { "checkd.sync", METRIC_COUNTER, "result=failed" },
	[METRIC_SYNC_DENIED] = { "checkd.sync", METRIC_COUNTER, "result=denied" },
	[METRIC_COMMITS] = { "checkd.commits", METRIC_COUNTER, "" },
	[METRIC_WATCHES_HANDLED] = { "checkd.watches.handled", METRIC_COUNTER, "" },
	[METRIC_REMOTE_RUNS] = { "checkd.remote.runs", METRIC_COUNTER, "" },
};
const size_t checkd_metrics_count = ARRAY_SIZE(checkd_metrics);

static void stops_do(struct checkd *c, const struct registry_update *u)
{
	for (const struct registry_stop *s = u->stops; s; s = s->next) {
		bool found = runs_stop(c->runs, s->number) || api_cancel(c->api, s->number);

		if (!found) {
			api_cancel(c->held, s->number);
		}
	}
}

static void request_send(struct checkd *c, const struct registry_request *q)
{
	struct api_request request = {
		.number = q->number,
		.put = q->put,
		.timeout_ms = q->waits ? API_WAIT_TIMEOUT_MS : API_TIMEOUT_MS,
		.path = q->path,
		.body = q->body,
		.token = q->token,
	};

	api_send(q->waits ? c->held : c->api, &request);
}

void checkd_step(struct checkd *c, struct registry_event *event, struct result *result_out)
{
	struct registry_update u;

	event->now = clock_mono();
	event->wall = clock_wall();
	registry_step(c->registry, event, &u);
	c->stepped = true;
	c->services_changed |= u.services_changed;
	store_put(c->store, u.writes);
	stops_do(c, &u);
	/* While we drain nothing begins: it would be killed, or fail for want of what runs it. */
	for (const struct registry_run *run = u.runs; run && !c->draining; run = run->next) {
		metrics_add(c->daemon->metrics, METRIC_RUNS, 1);
		runs_start(c->runs, run);
	}
	/* Planned at the end of a turn, or by an alias' timer. The bytes are copied; nothing is
	 * called back from here. */
	for (const struct registry_request *q = u.requests; q; q = q->next) {
		if (!c->daemon->draining) {
			request_send(c, q);
		}
	}
	if (result_out) {
		*result_out = u.result;
	}
}

static void runs_collect(struct checkd *c)
{
	struct run *run;

	while ((run = runs_take_done(c->runs))) {
		struct registry_event e = { .type = REGISTRY_RUN_DONE,
			.run = { run->number, run->status, buf_str(&run->output) } };

		checkd_step(c, &e, NULL);
		run_free(run);
	}
}

/* Who has asked is told when it failed; it is tried again all the same, since what was asked for is
 * in force. */
static void commit(struct checkd *c)
{
	static struct log_limit limit;
	int r = store_commit(c->store);

	if (r && log_allow(&limit)) {
		log_error("store-failed", "error=\"%s\"", err_text());
	}
	c->store_again = r ? mono_add_ms(clock_mono(), STORE_AGAIN_MS) : MONO_NEVER;
	service_answer_all(c, r);
}

/* The end of a turn. */
static void on_flush(void *arg)
{
	struct checkd *c = arg;
	struct registry_event flush = { .type = REGISTRY_FLUSH };

	runs_collect(c);
	if (!c->stepped) {
		return;
	}
	commit(c);
	if (!c->daemon->draining) {
		checkd_step(c, &flush, NULL);
	}
	runs_collect(c); /* those that failed to start at once */
	commit(c);
	if (c->services_changed) {
		c->services_changed = false;
		service_wake(c);
	}
	c->stepped = false;
	loop_timer_at(&c->timer, mono_min(registry_deadline(c->registry), c->store_again));
}

static void on_timer(void *arg)
{
	struct registry_event e = { .type = REGISTRY_TIMER };

	checkd_step(arg, &e, NULL);
}

static void on_api_done(void *arg, uint64_t number, int status, uint64_t index, struct str body)
{
	struct checkd *c = arg;
	struct registry_event e = { .type = REGISTRY_REQUEST_DONE,
		.request = { number, status, index, body } };
	enum checkd_metric metric = status == 200   ? METRIC_SYNC_OK
				    : status == 403 ? METRIC_SYNC_DENIED
						    : METRIC_SYNC_FAILED;

	metrics_add(c->daemon->metrics, metric, 1);
	if (status != 200 && status != 0) {
		log_warning("sync-refused", "status=%d error=\"" STR_FMT "\"", status,
			STR_ARG(str_cut(str_trim(body), 200)));
	}
	checkd_step(c, &e, NULL);
}

/* ---- start ---- */

static void load_row(
	struct checkd *c, enum registry_event_type type, struct str key, struct str value)
{
	struct registry_event e = { .type = type,
		.load = { key, value, store_same_boot(c->store) } };

	checkd_step(c, &e, NULL);
}

static void load_service(void *arg, struct str key, struct str value)
{
	load_row(arg, REGISTRY_LOAD_SERVICE, key, value);
}

/* A program that was registered over HTTP while that was allowed. */
static bool is_forbidden(const struct conf *conf, struct str check)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct check_row row;

	return !conf->enable_script_checks_remote && !check_row_decode(check, &arena, &row) &&
	       definition_check_is_script(&row.def);
}

static void load_check(void *arg, struct str key, struct str value)
{
	struct checkd *c = arg;
	const struct registry_write gone = { .table = TABLE_CHECKS, .key = key, .del = true };

	if (!is_forbidden(c->daemon->conf, value)) {
		load_row(c, REGISTRY_LOAD_CHECK, key, value);
		return;
	}
	log_warning("check-forgotten",
		"check=\"" STR_FMT "\" reason=\"scripts are disabled from remote calls\"",
		STR_ARG(key));
	store_put(c->store, &gone);
	c->stepped = true;
}

static void load_state(void *arg, struct str key, struct str value)
{
	load_row(arg, REGISTRY_LOAD_STATE, key, value);
}

static void load_cursor(void *arg, struct str key, struct str value)
{
	watches_load(((struct checkd *)arg)->watches, key, value);
}

static int load(struct checkd *c)
{
	static const struct {
		enum registry_table table;
		store_row_fn row;
	} tables[] = { { TABLE_SERVICES, load_service }, { TABLE_CHECKS, load_check },
		{ TABLE_STATES, load_state }, { TABLE_WATCHES, load_cursor } };
	struct registry_event e = { .type = REGISTRY_LOADED };

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		int r = store_each(c->store, tables[i].table, tables[i].row, c);

		if (r) {
			return err_pass(r);
		}
	}
	checkd_step(c, &e, NULL);
	return 0;
}

static int registry_begin(struct checkd *c)
{
	struct uuid id;
	struct rng rng;
	int r = conf_node_id(c->daemon->conf, &id);

	if (r) {
		return err_pass(r);
	}
	uuid_text(&id, c->node_id);
	rng_init(&rng, random_u64());
	config_apply(c);
	c->registry = registry_new(&c->config, &rng);
	return 0;
}

/* ---- watches and remote execution ---- */

static void on_handled(void *arg)
{
	struct checkd *c = arg;

	metrics_add(c->daemon->metrics, METRIC_WATCHES_HANDLED, 1);
	if (c->draining && !watches_drain(c->watches)) {
		daemon_drained(c->daemon);
	}
}

static void on_cursor(void *arg, struct str key, struct str value)
{
	struct checkd *c = arg;
	const struct registry_write write = {
		.table = TABLE_WATCHES, .key = key, .value = value, .del = value.n == 0
	};

	store_put(c->store, &write);
	c->stepped = true;
}

static void on_remote_run(void *arg)
{
	metrics_add(((struct checkd *)arg)->daemon->metrics, METRIC_REMOTE_RUNS, 1);
}

static bool wants_programs(const struct conf *conf)
{
	const struct json *const *watches = conf->watches_json.items;
	bool wants = conf->enable_script_checks_local || conf->enable_script_checks_remote ||
		     !conf->disable_remote_exec;

	for (uint32_t i = 0; i < conf->watches_json.count; i++) {
		wants = wants || !str_is(json_find_text(watches[i], "handler_type"), "http");
	}
	return wants;
}

/* Programs are started from outside the jail. */
int checkd_prepare(struct daemon *d)
{
	struct checkd *c = xcalloc(1, sizeof(*c));

	c->daemon = d;
	d->self = c;
	c->scripts.server = -1;
	list_init(&c->scripts.stuck);
	list_init(&c->answers);
	list_init(&c->waiters);
	return wants_programs(d->conf) ? scripts_open(NULL, &c->scripts) : 0;
}

/* From inside it cannot be started again: a new checkd can. */
static void on_scripts_end(void *arg, int events)
{
	struct checkd *c = arg;

	log_error("script-server-ended", "%s", "");
	loop_io_set(&c->on_scripts_end, 0);
	scripts_close(&c->scripts);
	daemon_drain(c->daemon);
}

int checkd_open(struct daemon *d)
{
	OWN_EMBEDDED(buf_fini) struct buf data_dir = { 0 };
	struct checkd *c = d->self;
	const struct watches_hooks hooks = { on_handled, on_cursor, c };
	int r;

	c->runs = runs_new(d->loop, d->conf, &c->scripts);
	c->api = api_new(d->loop, "httpd/api.sock", API_CONNECTIONS_MAX, on_api_done, c);
	c->held = api_new(d->loop, "httpd/api.sock", CHECKD_HELD_MAX, on_api_done, c);
	c->watches = watches_new(d->loop, &c->scripts, &hooks);
	loop_timer_init(&c->timer, d->loop, on_timer, c);
	buf_put_str(&data_dir, d->conf->data_dir);
	r = store_open(buf_cstr(&data_dir), &c->store);
	if (r == 0 && !d->conf->disable_remote_exec) {
		r = remotes_new(d->loop, d->conf, &c->scripts, on_remote_run, c, &c->remotes);
	}
	return r ? err_pass(r) : err_pass(registry_begin(c));
}

int checkd_start(struct daemon *d)
{
	struct checkd *c = d->self;
	int r;

	/* Before the endpoints': answers given here leave in the same turn. */
	loop_flush_add(&c->flush, d->loop, on_flush, c);
	if (c->scripts.server >= 0) {
		loop_io_init(&c->on_scripts_end, d->loop, c->scripts.server, on_scripts_end, c);
		loop_io_set(&c->on_scripts_end, LOOP_READ);
	}
	definitions_apply(c);
	r = load(c);
	r = r ? r : coordinate_sync_new(d, &c->coordinate);
	if (r) {
		return err_pass(r);
	}
	watches_apply(c->watches, d->conf);
	return service_open(c);
}

/* ---- the rest of a daemon's life ---- */

/* Where systemd starts them, they can be had at any time. */
static bool scripts_are_there(struct checkd *c)
{
	if (!wants_programs(c->daemon->conf) || c->scripts.path || c->scripts.server >= 0) {
		return true;
	}
	return scripts_of_systemd(&c->scripts);
}

void checkd_reload(struct daemon *d)
{
	struct checkd *c = d->self;
	struct registry_event e = { .type = REGISTRY_CONFIG, .config = &c->config };

	runs_reconfigure(c->runs, d->conf);
	if (c->remotes) {
		remotes_reconfigure(c->remotes, d->conf);
	}
	config_apply(c);
	checkd_step(c, &e, NULL);
	definitions_apply(c);
	if (scripts_are_there(c)) {
		watches_apply(c->watches, d->conf);
	} else { /* a new checkd starts what runs programs before it goes to jail */
		log_notice("restarts", "reason=\"programs are to be run from now on\"");
		daemon_drain(d);
	}
}

/* Nothing is held that a caller waits for beyond this turn; checks that run are killed, and run
 * again after the restart. Handlers of watches have what time the skeleton gives us. */
void checkd_drain(struct daemon *d)
{
	struct checkd *c = d->self;

	c->draining = true;
	runs_stop_all(c->runs);
	service_close(c);
	if (c->remotes) {
		remotes_drain(c->remotes);
	}
	if (!watches_drain(c->watches)) {
		daemon_drained(d);
	}
}

void checkd_stop(struct daemon *d)
{
	struct checkd *c = d->self;

	if (!c) {
		return;
	}
	if (c->flush.on_flush) {
		loop_flush_del(&c->flush);
	}
	loop_timer_stop(&c->timer);
	loop_io_set(&c->on_scripts_end, 0);
	service_close(c);
	if (c->coordinate) {
		coordinate_sync_free(take(c->coordinate));
	}
	if (c->runs) {
		runs_free(c->runs);
		api_free(c->api);
		api_free(c->held);
	}
	if (c->watches) {
		watches_free(c->watches);
	}
	if (c->remotes) {
		remotes_free(c->remotes);
	}
	programs_forget(&c->scripts);
	scripts_close(&c->scripts);
	if (c->store) {
		store_commit(c->store);
		store_free(c->store);
	}
	if (c->registry) {
		registry_free(c->registry);
	}
	arena_fini(&c->config_arena);
	free(c);
	d->self = NULL;
}

static void member_u64(struct jsonw *w, const char *name, uint64_t v)
{
	jsonw_key(w, str_of(name));
	jsonw_u64(w, v);
}

void checkd_status(struct daemon *d, struct jsonw *w)
{
	struct checkd *c = d->self;
	struct watches_counts watches;
	struct registry_counts n;

	registry_count(c->registry, &n);
	member_u64(w, "services", n.services);
	member_u64(w, "checks", n.checks);
	member_u64(w, "running", n.running);
	member_u64(w, "queued", n.queued);
	member_u64(w, "unsynced", n.dirty);
	member_u64(w, "refused", n.failed);
	jsonw_put_bool(w, "in_sync", n.in_sync);
	watches_count(c->watches, &watches);
	member_u64(w, "watches", watches.watches);
	member_u64(w, "watches_handling", watches.handling);
	member_u64(w, "watches_failing", watches.failing);
	member_u64(w, "remote_runs", c->remotes ? remotes_count(c->remotes) : 0);
}

void checkd_dump(struct daemon *d, struct jsonw *w)
{
	OWN_EMBEDDED(buf_fini) struct buf services = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf checks = { 0 };
	struct checkd *c = d->self;

	registry_render_services(c->registry, &services);
	registry_render_checks(c->registry, &checks);
	jsonw_keyc(w, "services");
	jsonw_raw(w, buf_str(&services));
	jsonw_keyc(w, "checks");
	jsonw_raw(w, buf_str(&checks));
}

const char *checkd_waits_for(struct daemon *d)
{
	struct checkd *c = d->self;

	return c->api && !api_reachable(c->api) ? "httpd" : NULL;
}
