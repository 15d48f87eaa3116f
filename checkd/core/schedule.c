/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When checks run and what their results mean (agent-and-checks 2): intervals, thresholds, TTLs,
 * deferred outputs, services that were critical for too long. All instants of a check share one
 * place in the heap, the earliest of them.
 */
#include "checkd/core/private.h"

enum {
	INTERVAL_MIN_MS = 1000,
	REAP_AFTER_MIN_MS = 60000,
	ALIAS_PAUSE_MS = 1000,
	RUN_MS = 30000, /* a run is over by then, unless its definition says more */
};

static int64_t reap_after_ns(const struct check *c)
{
	return max_of(c->row.def.deregister_critical_after_ns, REAP_AFTER_MIN_MS * NS_PER_MS);
}

static struct mono reap_due(const struct check *c)
{
	if (c->row.def.deregister_critical_after_ns <= 0 || !c->service) {
		return MONO_NEVER;
	}
	return mono_add_ns(c->critical_since, reap_after_ns(c));
}

static void arm(struct registry *r, struct check *c)
{
	struct mono due =
		mono_min(mono_min(c->run_due, c->ttl_due), mono_min(c->defer_due, reap_due(c)));

	heap_set(&r->dues, &c->due, due);
}

void state_write(struct registry *r, const struct check *c)
{
	OWN_EMBEDDED(buf_fini) struct buf encoded = { 0 };
	struct state_row row = { .status = (uint8_t)c->status, .output = buf_str(&c->output) };

	if (c->kind == CHECK_KIND_NONE) {
		return;
	}
	if (c->ttl_due.ns != MONO_NEVER.ns) {
		row.ttl_due_mono_ns = c->ttl_due.ns;
		row.ttl_due_wall_ns = c->ttl_due_wall.ns;
	}
	if (c->critical_since.ns != MONO_NEVER.ns) {
		row.critical_since_mono_ns = c->critical_since.ns;
	}
	state_row_encode(&encoded, &row);
	write_put(r, TABLE_STATES, c->row.def.id, buf_str(&encoded));
}

/* ---- running ---- */

static int64_t interval_ns(const struct check *c)
{
	return max_of(c->row.def.interval_ns, INTERVAL_MIN_MS * NS_PER_MS);
}

static void run_start(struct registry *r, struct check *c)
{
	struct registry_run *run = arena_new(&r->arena, struct registry_run);

	run->number = c->run;
	run->kind = c->kind;
	run->def = &c->row.def;
	*r->run_tail = run;
	r->run_tail = &run->next;
	list_add_tail(&r->running, &c->of_running);
	r->running_count++;
}

static void run_due(struct registry *r, struct check *c)
{
	c->run_due = MONO_NEVER;
	if (c->kind == CHECK_KIND_ALIAS) {
		alias_request(r, c);
		return;
	}
	c->run = ++r->numbers;
	if (r->running_count < REGISTRY_RUNS_MAX) {
		run_start(r, c);
	} else {
		list_add_tail(&r->queued, &c->of_running);
	}
}

static void queued_start(struct registry *r)
{
	struct check *c = list_first(&r->queued, struct check, of_running);

	if (c && r->running_count < REGISTRY_RUNS_MAX) {
		list_del(&c->of_running);
		run_start(r, c);
	}
}

static bool is_queued(const struct registry *r, const struct check *which)
{
	const struct check *c;

	list_for_each (c, &r->queued, of_running) {
		if (c == which) {
			return true;
		}
	}
	return false;
}

static void run_abandon(struct registry *r, struct check *c)
{
	if (c->run == 0) {
		return;
	}
	if (c->kind == CHECK_KIND_ALIAS) {
		stop_put(r, c->run);
	} else if (is_queued(r, c)) {
		list_del(&c->of_running);
	} else {
		stop_put(r, c->run);
		list_del(&c->of_running);
		r->running_count--;
		queued_start(r);
	}
	c->run = 0;
}

void schedule_stop(struct registry *r, struct check *c)
{
	run_abandon(r, c);
	c->run_due = c->ttl_due = c->defer_due = MONO_NEVER;
	heap_set(&r->dues, &c->due, MONO_NEVER);
}

static void ttl_restart(struct registry *r, struct check *c)
{
	c->ttl_due = mono_add_ns(r->now, c->row.def.ttl_ns);
	c->ttl_due_wall = wall_add_ns(r->wall, c->row.def.ttl_ns);
}

void schedule_start(struct registry *r, struct check *c)
{
	const struct check_def *def = &c->row.def;

	c->successes = def->success_before_passing; /* counters start full: the first result counts
						       at once */
	c->failures = max_of(def->failures_before_critical, def->failures_before_warning);
	switch (c->kind) {
	case CHECK_KIND_NONE:
		break;
	case CHECK_KIND_TTL:
		ttl_restart(r, c);
		state_write(r, c);
		break;
	case CHECK_KIND_ALIAS:
		r->aliases_stale = true;
		c->run_due = alias_is_local(r, c) ? MONO_NEVER : r->now;
		break;
	default:
		c->run_due =
			mono_add_ns(r->now, (int64_t)rng_below(&r->rng, (uint64_t)interval_ns(c)));
	}
	arm(r, c);
}

/* ---- results ---- */

void schedule_undefer(struct registry *r, struct check *c)
{
	if (c->defer_due.ns != MONO_NEVER.ns) {
		c->defer_due = MONO_NEVER;
		state_write(r, c);
		arm(r, c);
	}
}

/* A change of output alone can wait; one answer for all that changes until then. */
static void output_defer(struct registry *r, struct check *c)
{
	int64_t interval = r->config->check_update_interval_ns;

	if (c->defer_due.ns == MONO_NEVER.ns) {
		c->defer_due = mono_add_ns(mono_add_ns(r->now, interval / 2),
			(int64_t)rng_below(&r->rng, (uint64_t)interval));
	}
}

void schedule_status(
	struct registry *r, struct check *c, enum check_status status, struct str output)
{
	bool same_status = c->status == status;

	if (r->config->discard_output) {
		output = STR("");
	}
	if (status != CHECK_CRITICAL) {
		c->critical_since = MONO_NEVER;
	} else if (c->critical_since.ns == MONO_NEVER.ns) {
		c->critical_since = r->now;
	}
	if (!same_status || !str_eq(buf_str(&c->output), output)) {
		c->status = status;
		buf_clear(&c->output);
		buf_put_str(&c->output, output);
		r->aliases_stale = true;
		if (same_status && r->config->check_update_interval_ns > 0) {
			output_defer(r, c);
		} else {
			c->defer_due = MONO_NEVER;
			state_write(r, c);
			sync_dirty_check(r, c);
		}
	}
	arm(r, c);
}

/* success_before_passing and failures_before_x: that many results in a row before the status
 * follows. */
static void result_count(
	struct registry *r, struct check *c, enum check_status status, struct str output)
{
	const struct check_def *def = &c->row.def;
	int64_t warning_after = def->failures_before_warning > 0 ? def->failures_before_warning
								 : def->failures_before_critical;

	if (status != CHECK_CRITICAL) {
		c->failures = 0;
		c->successes = min_of(c->successes, INT32_MAX) + 1;
		if (c->successes >= def->success_before_passing) {
			schedule_status(r, c, status, output);
		}
		return;
	}
	c->successes = 0;
	c->failures = min_of(c->failures, INT32_MAX) + 1;
	if (c->failures >= def->failures_before_critical) {
		schedule_status(r, c, CHECK_CRITICAL, output);
	} else if (c->failures >= warning_after) {
		schedule_status(r, c, CHECK_WARNING, output);
	}
}

void schedule_run_done(struct registry *r, const struct registry_event *e)
{
	struct check *c;

	list_for_each (c, &r->running, of_running) {
		if (c->run == e->run.number) {
			c->run = 0;
			list_del(&c->of_running);
			r->running_count--;
			result_count(r, c, e->run.status, e->run.output);
			c->run_due = mono_add_ns(r->now, interval_ns(c));
			arm(r, c);
			queued_start(r);
			return;
		}
	}
}

bool schedule_alias_done(struct registry *r, const struct registry_event *e)
{
	struct check *c;

	list_for_each (c, &r->aliases, of_alias) {
		if (c->run == e->request.number) {
			c->run = 0;
			alias_answer(r, c, e);
			c->run_due = mono_add_ms(r->now, ALIAS_PAUSE_MS);
			arm(r, c);
			return true;
		}
	}
	return false;
}

void schedule_ttl(struct registry *r, const struct registry_event *e)
{
	OWN_EMBEDDED(buf_fini) struct buf output = { 0 };
	struct check *c = check_find(r, e->ttl.id);

	if (!c || c->kind != CHECK_KIND_TTL) {
		result_set(r, RESULT_ERROR,
			arena_printf(&r->arena,
				"CheckID \"" STR_FMT "\" does not have associated TTL",
				STR_ARG(e->ttl.id)));
		return;
	}
	output_head(&output, e->ttl.output, check_output_max(&c->row.def, r->config->output_max));
	ttl_restart(r, c);
	schedule_status(r, c, e->ttl.status, buf_str(&output));
	state_write(r, c);
}

static void ttl_expire(struct registry *r, struct check *c)
{
	OWN_EMBEDDED(buf_fini) struct buf output = { 0 };

	c->ttl_due = MONO_NEVER;
	if (c->output.n) {
		buf_printf(&output, "TTL expired (last output before timeout follows): " STR_FMT,
			STR_ARG(buf_str(&c->output)));
	} else {
		buf_put_lit(&output, "TTL expired");
	}
	schedule_status(r, c, CHECK_CRITICAL, buf_str(&output));
	state_write(r, c);
}

/* ---- time ---- */

static void check_timer(struct registry *r, struct check *c)
{
	if (!mono_before(r->now, c->ttl_due)) {
		ttl_expire(r, c);
	}
	if (!mono_before(r->now, c->defer_due)) {
		c->defer_due = MONO_NEVER;
		state_write(r, c);
		sync_dirty_check(r, c);
	}
	if (!mono_before(r->now, c->run_due)) {
		run_due(r, c);
	}
	if (!mono_before(r->now, reap_due(c))) {
		service_remove(r, c->service);
		return;
	}
	arm(r, c);
}

void schedule_timer(struct registry *r)
{
	struct heap_item *first;

	while ((first = heap_first(&r->dues)) && !mono_before(r->now, first->when)) {
		check_timer(r, container_of(first, struct check, due));
	}
}

/* The deadline that was noted, but none that an update could not set now: the wall clock may have
 * been set back while the machine was off, and the TTL may be another one. */
static void ttl_load(
	struct registry *r, struct check *c, const struct state_row *row, bool same_boot)
{
	struct mono due = same_boot ? (struct mono) { row->ttl_due_mono_ns }
				    : mono_add_ns(r->now, row->ttl_due_wall_ns - r->wall.ns);

	if (row->ttl_due_mono_ns == 0) {
		c->ttl_due = MONO_NEVER; /* it has expired */
		return;
	}
	ttl_restart(r, c);
	if (mono_before(due, c->ttl_due)) {
		c->ttl_due_wall.ns -= mono_diff_ns(c->ttl_due, due);
		c->ttl_due = due;
	}
}

/* Since when it is critical. While nobody looked it may have recovered: its service does not go
 * before there was time for one more word. */
static struct mono critical_since_load(
	const struct registry *r, const struct check *c, const struct state_row *row)
{
	const struct check_def *def = &c->row.def;
	bool ttl = c->kind == CHECK_KIND_TTL;
	struct mono begin = mono_add_ns(r->now, ttl ? def->ttl_ns : interval_ns(c));
	struct mono word =
		ttl ? begin : mono_add_ns(begin, max_of(def->timeout_ns, RUN_MS * NS_PER_MS));
	struct mono latest = mono_min(r->now, mono_add_ns(word, -reap_after_ns(c)));

	return (struct mono) { max_of(row->critical_since_mono_ns, latest.ns) };
}

/*
 * Within one boot a state is as good as when it was written: an agent that comes back does not turn
 * its services critical. After a reboot only the word of others counts (TTL checks, until their
 * deadline).
 */
void schedule_load_state(struct registry *r, const struct registry_event *e)
{
	struct check *c = check_find(r, e->load.key);
	struct state_row row;
	bool usable = c && state_row_decode(e->load.value, NULL, &row) == 0 &&
		      row.status <= CHECK_CRITICAL;

	if (!usable || (!e->load.same_boot &&
			       (c->kind != CHECK_KIND_TTL || row.ttl_due_wall_ns <= r->wall.ns))) {
		write_del(r, TABLE_STATES, e->load.key);
		return;
	}
	c->status = (enum check_status)row.status;
	buf_clear(&c->output);
	buf_put_str(&c->output, row.output);
	if (c->status == CHECK_CRITICAL) { /* to change it takes as many results as ever */
		c->successes = 0;
	} else {
		c->failures = 0;
	}
	if (e->load.same_boot && row.critical_since_mono_ns) {
		c->critical_since = critical_since_load(r, c, &row);
	}
	if (c->kind == CHECK_KIND_TTL) {
		ttl_load(r, c, &row, e->load.same_boot);
	}
	if (!e->load.same_boot || c->kind == CHECK_KIND_TTL) {
		/* With deadlines of this boot's clock; and over what a definition of the
		 * configuration has noted as its beginning, in this same turn. */
		state_write(r, c);
	}
	r->aliases_stale = true;
	arm(r, c);
}
