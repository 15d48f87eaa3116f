/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One forwarded request:
 *
 *     attempt --> line is opened or taken --> asked --> answered: passed on
 *        ^            |  failed, CONNECT_MS     |  cut off, its server is gone
 *        |            v                         v
 *        +---- somebody else can be asked    may it be repeated?
 *
 * and at any point its client may go away, which ends all of it.
 */
#include "httpd/forward.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "httpd/engine.h"

static void attempt(struct forward *f);

/* ---- its end ---- */

static void line_drop(struct forward *f)
{
	if (f->line) {
		line_free(take(f->line));
	}
}

void forward_free(struct forward *f)
{
	struct engine *e = f->forwards->httpd->engine;

	list_del(&f->link);
	f->forwards->count--;
	loop_timer_stop(&f->timer);
	loop_timer_stop(&f->limit);
	line_drop(f);
	if (f->upload >= 0) {
		close(f->upload);
	}
	e->buffered -= f->request.size;
	buf_fini(&f->request);
	buf_fini(&f->fields);
	buf_fini(&f->body);
	free(f);
}

static void on_gone(void *arg)
{
	forward_free(arg);
}

static void answer_error(struct exchange *x, struct str text)
{
	if (x->route->flags & ROUTE_READ) {
		read_failed(x, 500, text);
	} else {
		answer_text(x, 500, text);
	}
}

static void run_failed(struct exchange *x, void *arg)
{
	answer_error(x, str_of(arg));
}

static void run_then_failed(struct exchange *x, void *arg)
{
	const struct forward *f = arg;
	struct peer_answer answer = { .status = 500, .body = str_of(f->why), .unreachable = true };

	f->then(x, &answer);
}

void forward_fail(struct forward *f, const char *text)
{
	char why[WHY_SIZE];

	snprintf(why, sizeof(why), "%s", text);
	f->forwards->counts.failed++;
	engine_count(f->forwards->httpd->engine, METRIC_FORWARD_FAILED);
	loop_timer_stop(&f->timer);
	loop_timer_stop(&f->limit);
	line_drop(f);
	if (f->then) {
		memcpy(f->why, why, sizeof(why));
		exchange_continue(f->x, run_then_failed, f);
	} else {
		exchange_continue(f->x, run_failed, why);
	}
	forward_free(f);
}

/* ---- attempts ---- */

static bool is_late(const struct forward *f)
{
	int64_t hold_ns = f->forwards->httpd->conf->performance.rpc_hold_timeout_ns;

	return mono_diff_ns(clock_mono(), f->trying_since) >= hold_ns;
}

/* Until now all was well. */
static void series_begin(struct forward *f)
{
	f->trying_since = clock_mono();
	f->tried_count = 0;
}

static void attempt_later(struct forward *f, int64_t ms)
{
	line_drop(f);
	f->forwards->counts.retries++;
	loop_timer_in(&f->timer, ms);
}

static void why_unreachable(struct forward *f, const struct target *target, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };

	net_address_render(&target->address, &address);
	snprintf(f->why, sizeof(f->why),
		"rpc error getting client: failed to get conn: dial tcp " STR_FMT ":0->%s: %s%s",
		STR_ARG(f->forwards->httpd->conf->advertise_addr), buf_cstr(&address),
		error == ETIMEDOUT ? "" : "connect: ",
		error == ETIMEDOUT	? "i/o timeout"
		: error == ECONNREFUSED ? "connection refused"
		: error == EHOSTUNREACH ? "no route to host"
		: error == ENETUNREACH	? "network is unreachable"
					: strerror(error));
}

/* It never got there: somebody else may be asked. */
static void server_unreachable(struct forward *f, const struct target *target, int error)
{
	why_unreachable(f, target, error);
	if (f->datacenter.n) {
		servers_failed(f->forwards->servers, &target->server);
	}
	attempt_later(f, f->datacenter.n ? 0 : AGAIN_MS);
}

/* Nobody there has even acknowledged it: the host, or the way to it, is gone. */
static void server_silent(struct forward *f)
{
	struct target target = f->line->target;

	lines_forget(&f->forwards->lines, &target);
	if (f->repeatable) {
		server_unreachable(f, &target, ETIMEDOUT);
	} else {
		forward_fail(f, "rpc error making call: i/o timeout");
	}
}

/* The other side, or the way to it, went with the request. */
static void server_lost(struct forward *f)
{
	/* It may have ended long before, and the news was under way. Not where a query has been
	 * held for longer: then its server was well. */
	bool stale = f->line->used && !f->line->http.spoken &&
		     mono_diff_ms(clock_mono(), f->asked) < STALE_MS;

	if (!f->repeatable || (!stale && ++f->died > DIED_MAX)) {
		forward_fail(f, "rpc error making call: EOF");
		return;
	}
	if (!stale && f->datacenter.n) {
		servers_failed(f->forwards->servers, &f->line->target.server);
	}
	if (!stale) {
		series_begin(f);
		if (f->datacenter.n) {
			f->tried[f->tried_count++] = f->line->target.server;
		}
	}
	snprintf(f->why, sizeof(f->why), "rpc error making call: EOF");
	attempt_later(f, f->datacenter.n || stale ? 0 : AGAIN_MS);
}

static void attempt_lost(struct forward *f, int error)
{
	struct target target = f->line->target;

	if (f->streaming) {
		line_drop(f);
		forward_cut(f);
	} else if (http_link_reached(&f->line->http)) {
		server_lost(f);
	} else {
		server_unreachable(f, &target, error ? error : ECONNRESET);
	}
}

static void ask(struct forward *f)
{
	struct http_link *http = &f->line->http;
	int64_t left_ms = UNREACHABLE_MS - mono_diff_ms(clock_mono(), f->trying_since);

	buf_clear(&f->fields);
	buf_clear(&f->body);
	if (f->upload >= 0) {
		http_link_ask_file(http, buf_str(&f->request), f->upload, f->upload_size);
	} else {
		http_link_ask(http, buf_str(&f->request), f->x->request.method == METHOD_HEAD);
	}
	f->asked = clock_mono();
	f->patience_ms = max_of(min_of(left_ms, (int64_t)CONNECT_MS), (int64_t)LOOK_MS);
	loop_timer_in(&f->timer, f->datacenter.n ? f->patience_ms : LOOK_MS);
}

/* true: on its way, or a later attempt will be made. false: that is all; f->why says why. */
static bool attempt_begin(struct forward *f, enum target_state *state_out)
{
	struct target target;

	*state_out = target_find(f, &target);
	if (*state_out == TARGET_LATER) {
		loop_timer_in(&f->timer, AGAIN_MS);
	} else if (*state_out == TARGET_FOUND) {
		f->line = line_get(&f->forwards->lines, &target, !f->repeatable, f);
		if (f->line) {
			ask(f);
		} else {
			server_unreachable(f, &target, errno);
		}
	}
	return *state_out == TARGET_LATER || *state_out == TARGET_FOUND;
}

static void run_here(struct exchange *x, void *arg)
{
	x->route->handle(x);
}

static void attempt(struct forward *f)
{
	struct exchange *x = f->x;
	enum target_state state;

	if (is_late(f)) {
		forward_fail(f, f->datacenter.n && f->why[0] ? f->why : "No cluster leader");
	} else if (attempt_begin(f, &state)) {
		return;
	} else if (state == TARGET_HERE) {
		forward_free(f);
		exchange_continue(x, run_here, NULL);
	} else {
		forward_fail(f, f->why);
	}
}

/* The leader is asked: is it still the one to ask? */
static void leader_look(struct forward *f)
{
	struct target now;
	bool here, other = target_leader(f->forwards, &now, &here);

	other = here || (other && (now.address.size != f->line->target.address.size ||
					  memcmp(&now.address.sa, &f->line->target.address.sa,
						  now.address.size) != 0));
	if (is_late(f)) {
		forward_fail(f, "No cluster leader");
	} else if (other && !f->line->http.spoken &&
		   (!http_link_reached(&f->line->http) || f->repeatable)) {
		attempt_later(f, 0);
	} else {
		loop_timer_in(&f->timer, LOOK_MS);
	}
}

static void on_timer(void *arg)
{
	struct forward *f = arg;

	if (!f->line) {
		attempt(f);
	} else if (!f->datacenter.n) {
		leader_look(f);
	} else if (!http_link_reached(&f->line->http)) {
		attempt_lost(f, ETIMEDOUT);
	} else if (!f->line->http.spoken && net_is_silent(f->line->http.fd, f->patience_ms)) {
		server_silent(f);
	}
}

static void on_limit(void *arg)
{
	forward_fail(arg, "rpc error making call: i/o timeout");
}

/* Gossip may know that a server is gone before its connections do. */
static void on_sweep(void *arg)
{
	struct forwards *all = arg;
	struct forward *f, *following;

	list_for_each_safe (f, following, &all->all, link) {
		if (f->line && f->datacenter.n && f->repeatable && !f->line->http.spoken &&
			!servers_is_alive(all->servers, &f->line->target.server) &&
			servers_alive(all->servers, f->datacenter)) {
			attempt_lost(f, ETIMEDOUT);
		}
	}
	if (all->count) {
		loop_timer_in(&all->sweep, SWEEP_MS);
	}
}

/* ---- what the line tells ---- */

/* It does not lead any more, or knows nobody who does, and has not done it. */
static bool says_no_leader(const struct forward *f)
{
	return f->line->http.response.status == 500 &&
	       str_is(buf_str(&f->body), "No cluster leader");
}

static void on_answered(void *arg)
{
	struct line *l = arg;
	struct forward *f = l->forward;
	bool again =
		!f->streaming && says_no_leader(f) && !is_late(f) &&
		(f->repeatable || !f->datacenter.n); /* the leader itself says that it is not */

	if (again && f->datacenter.n) {
		servers_failed(f->forwards->servers, &l->target.server);
	} else if (f->datacenter.n) {
		servers_good(f->forwards->servers, &l->target.server);
	}
	if (again) {
		snprintf(f->why, sizeof(f->why), "No cluster leader");
		line_done(take(f->line));
		attempt_later(f, AGAIN_MS);
	} else {
		forward_pass(f);
	}
}

static void on_lost(void *arg, int error)
{
	struct line *l = arg;

	if (l->forward) {
		attempt_lost(l->forward, error);
	} else {
		line_free(l);
	}
}

static const struct http_link_events line_events = {
	.on_field = forward_on_field,
	.on_body = forward_on_body,
	.on_progress = forward_on_progress,
	.on_answered = on_answered,
	.on_lost = on_lost,
};

/* ---- its beginning ---- */

/* NULL: refused, and answered. */
static struct forward *forward_new(struct exchange *x, struct str datacenter)
{
	struct forwards *all = x->httpd->forwards;
	struct engine *e = x->httpd->engine;
	struct forward *f;

	if (all->count >= e->forwards_max || e->buffered + x->request.body.n > BUFFERED_MAX) {
		answer_text(x, 503, STR("too many requests are being handed on"));
		return NULL;
	}
	f = xcalloc(1, sizeof(*f));
	*f = (struct forward) { .forwards = all,
		.x = x,
		.datacenter = datacenter,
		.upload = -1,
		.now = e->draining,
		.trying_since = clock_mono() };
	list_add_tail(&all->all, &f->link);
	all->count++;
	all->counts.requests++;
	engine_count(e, METRIC_FORWARDED);
	loop_timer_init(&f->timer, x->httpd->loop, on_timer, f);
	loop_timer_init(&f->limit, x->httpd->loop, on_limit, f);
	if (!loop_timer_active(&all->sweep)) {
		loop_timer_in(&all->sweep, SWEEP_MS);
	}
	return f;
}

static bool upload_open(struct forward *f)
{
	const char *path = f->x->upload_path;
	struct stat st;

	if (!path) {
		return true;
	}
	f->upload = open(path, O_RDONLY | O_CLOEXEC);
	if (f->upload < 0 || fstat(f->upload, &st)) {
		return false;
	}
	f->upload_size = (uint64_t)st.st_size;
	return true;
}

static void render(struct forward *f, const struct peer_question *q)
{
	struct engine *e = f->forwards->httpd->engine;

	e->buffered -= f->request.size;
	forward_render(f, q);
	e->buffered += f->request.size;
}

/* Called by a handler, so that what fails at once is told later. */
static void forward_begin(struct forward *f, const struct peer_question *q)
{
	enum target_state state;

	render(f, q);
	f->x->request.body = STR(""); /* it lay in a buffer of the engine */
	exchange_suspend(f->x, on_gone, f);
	if (!attempt_begin(f, &state)) {
		loop_timer_in(&f->timer, 0);
	}
}

void exchange_to_leader(struct exchange *x)
{
	struct forward *f;

	must(x->route->flags & ROUTE_LEADER);
	if (!x->leader_since.ns) {
		x->leader_since = clock_mono();
	}
	if (exchange_hops(x) >= HOPS_MAX) {
		answer_text(x, 500, STR("No cluster leader"));
		return;
	}
	f = forward_new(x, STR(""));
	if (f) {
		f->repeatable = x->route->flags & ROUTE_REPEATABLE;
		f->trying_since = x->leader_since;
		x->request.body = STR(""); /* what there was is gone */
		forward_begin(f, NULL);
	}
}

void exchange_to_datacenter(struct exchange *x, struct str datacenter)
{
	const struct conf *conf = x->httpd->conf;
	struct servers *servers = x->httpd->forwards->servers;
	struct forward *f;

	if (conf->server &&
		(exchange_hops(x) >= HOPS_MAX ||
			(servers_ready(servers) && !servers_knows(servers, datacenter)))) {
		answer_error(x, STR("No path to datacenter"));
		return;
	}
	/* Only servers know other data centres. */
	f = forward_new(x, conf->server ? datacenter : conf->datacenter);
	if (!f) {
		return;
	}
	f->repeatable = x->request.method == METHOD_GET || x->request.method == METHOD_HEAD ||
			x->route->flags & ROUTE_REPEATABLE;
	if (!upload_open(f)) {
		forward_free(f);
		answer_text(x, 500, STR("failed to read the request body from its file"));
		return;
	}
	forward_begin(f, NULL);
}

void exchange_ask_datacenter(
	struct exchange *x, const struct peer_question *q, exchange_answer_fn then)
{
	struct forward *f;

	must(x->httpd->conf->server);
	f = forward_new(x, q->datacenter);
	if (f) {
		f->repeatable = q->repeatable;
		f->then = then;
		if (q->timeout_ms) {
			loop_timer_in(&f->limit, q->timeout_ms);
		}
		forward_begin(f, q);
	}
}

bool forward_if_due(struct exchange *x)
{
	const struct conf *conf = x->httpd->conf;
	unsigned flags = x->route->flags;
	struct str dc = flags & ROUTE_ANY_DC ? STR_NONE : request_param(&x->request, "dc");
	bool foreign = dc.n && !str_eq(dc, conf->datacenter);

	if (flags & ROUTE_LOCAL || (!foreign && (conf->server || flags & ROUTE_GOSSIP))) {
		return false;
	}
	exchange_to_datacenter(x, foreign ? dc : conf->datacenter);
	return true;
}

/* ---- all of them ---- */

int forwards_open(struct httpd *h)
{
	struct forwards *all = xcalloc(1, sizeof(*all));
	int r = servers_new(h->loop, h->gossip_read, h->conf, &all->servers);

	if (r) {
		free(all);
		return err_pass(r);
	}
	all->httpd = h;
	list_init(&all->all);
	lines_init(&all->lines, h->loop, &line_events);
	loop_timer_init(&all->sweep, h->loop, on_sweep, all);
	h->forwards = all;
	return 0;
}

void forwards_drain(struct forwards *all)
{
	struct forward *f, *following;

	list_for_each_safe (f, following, &all->all, link) {
		bool waits = !f->then && !f->streaming && !(f->line && f->line->http.spoken) &&
			     f->x->request.method == METHOD_GET &&
			     request_has(&f->x->request, "index");

		if (waits && !f->now) {
			f->now = true;
			render(f, NULL);
			if (f->line) {
				series_begin(f);
			}
			attempt_later(f, 0);
		}
	}
}

/* Of answers that have come and have not been taken yet. */
static uint64_t bytes_held(const struct forwards *all)
{
	const struct forward *f;
	uint64_t bytes = 0;

	list_for_each (f, &all->all, link) {
		bytes += f->body.size;
	}
	return bytes;
}

void forwards_status(const struct forwards *all, struct jsonw *w)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "forwards", all->count },
		{ "forwards_held_bytes", bytes_held(all) },
		{ "forwards_idle_connections", all->lines.idle_count },
		{ "forwarded", all->counts.requests },
		{ "forward_retries", all->counts.retries },
		{ "forward_failures", all->counts.failed },
		{ "forwards_streamed", all->counts.streamed },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		jsonw_key(w, str_of(rows[i].name));
		jsonw_u64(w, rows[i].value);
	}
}

void forwards_free(struct forwards *all)
{
	must(list_empty(&all->all)); /* exchanges end before */
	loop_timer_stop(&all->sweep);
	lines_fini(&all->lines);
	servers_free(all->servers);
	free(all);
}
