/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Held queries. What is kept of one is its head, which counts as buffered, and what it waits for
 * (well under 1 KiB together, as heads usually are); buffers, arena and parsed request go back to
 * the engine. When something it waits for has changed, the head is parsed again and the handler
 * runs again.
 *
 * While anybody waits, exactly one catalog_watch is under way. It begins at the index that the
 * first waiter has read, so no change between reading and waiting can be missed; whoever comes
 * later has read no older state than that.
 */
#include "common/sys/clock.h"
#include "httpd/engine.h"

enum { WATCH_MS = 60000, WATCH_GRACE_MS = 5000, WATCH_RETRY_MS = 50 };

static void rerun(struct hold *h);
static void watch_begin(struct engine *e);

static void leave_waits(struct hold *h)
{
	struct engine *e = h->conn->engine;

	for (size_t i = 0; i < ARRAY_SIZE(h->waiters); i++) {
		wait_del(&e->waits, &h->waiters[i]);
	}
	list_del(&h->parked);
}

void hold_free(struct hold *h)
{
	leave_waits(h);
	h->conn->engine->holds_count--;
	h->conn->engine->buffered -= h->head_size;
	free(h);
}

static struct hold *hold_new(struct exchange *x)
{
	struct hold *h = xcalloc(1, sizeof(*h) + x->head.n);
	const struct exchange_read *read = x->read;
	struct engine *e = x->httpd->engine;

	h->conn = x->conn;
	h->started = x->started;
	for (size_t i = 0; i < ARRAY_SIZE(h->waiters); i++) {
		h->waiters[i].owner = h;
	}
	h->head_size = (uint32_t)x->head.n;
	memcpy(h->head, x->head.p, x->head.n);
	h->deadline = MONO_NEVER;
	if (read->blocking) {
		h->deadline = mono_add_ns(loop_now(e->loop), read->wait_ns);
	}
	e->buffered += h->head_size;
	e->holds_count++;
	e->counts.holds++;
	return h;
}

static void park_unready(struct engine *e, struct hold *h)
{
	if (!h->give_up.ns) {
		h->give_up = mono_add_ns(
			loop_now(e->loop), e->httpd->conf->performance.rpc_hold_timeout_ns);
	}
	list_add_tail(&e->parked, &h->parked);
	if (!loop_timer_active(&e->park_timer)) {
		loop_timer_in(&e->park_timer, PARK_POLL_MS);
	}
}

static void wait_for_things(struct exchange *x, struct hold *h)
{
	struct engine *e = x->httpd->engine;
	const struct exchange_read *read = x->read;
	struct catalog_page page;

	h->give_up = (struct mono) { 0 };
	h->has_hash = read->compare;
	h->hash = read->hash;
	/* Unreadable: its writer was killed while writing. Generation 0 then has catalogd say that
	 * everything must be looked at. */
	if (state_catalog_page(x->httpd->reader, &page) && !h->has_restore_count) {
		h->restore_count = page.restore_count;
		h->has_restore_count = true;
	}
	if (!e->watch && !e->waits.waiters_count) {
		e->watch_generation = page.generation;
		e->watch_after = read->applied;
	}
	for (uint32_t i = 0; i < read->things_count; i++) {
		if (read->things[i].kind) {
			wait_add(&e->waits, &h->waiters[i], read->things[i].kind,
				read->things[i].name);
		} else {
			wait_add_prefix(&e->waits, &h->waiters[i], read->things[i].name);
		}
	}
	watch_begin(e);
}

void hold_park(struct exchange *x)
{
	struct conn *c = x->conn;
	struct engine *e = x->httpd->engine;

	if (!c->hold) {
		c->hold = hold_new(x);
	}
	c->hold->confirmed = x->read->confirmed;
	c->state = CONN_HELD;
	conn_timer_at(c, c->hold->deadline);
	if (x->read->park) {
		park_unready(e, c->hold);
	} else {
		wait_for_things(x, c->hold);
	}
	exchange_free(x);
}

static void rerun(struct hold *h)
{
	struct conn *c = h->conn;
	struct exchange *x;
	struct str why;
	int rc;

	leave_waits(h);
	conn_timer_at(c, MONO_NEVER); /* it may wait for another daemon, beyond its time */
	c->state = CONN_BUSY;
	x = exchange_new(c, str_n(h->head, h->head_size), &rc, &why);
	must(x); /* it was parsed before */
	buf_clear(exchange_body(x));
	dispatch_route(x);
	read_run(x);
	exchange_settle(x);
}

void hold_expire(struct conn *c)
{
	c->hold->expired = true;
	rerun(c->hold);
}

static void rerun_all(struct list *woken)
{
	while (!list_empty(woken)) {
		struct hold *h = list_entry(woken->next, struct waiter, link)->owner;
		struct conn *c = h->conn;

		c->engine->counts.wakes++;
		rerun(h); /* takes all its waiters off their lists */
		conn_settle(c);
	}
}

/* ---- the watch ---- */

static void on_watch(void *arg, int status, struct str payload)
{
	struct engine *e = arg;
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct catalog_watch_reply m;
	struct list woken;

	e->watch = NULL;
	if (!status) {
		status = catalog_watch_reply_decode(payload, &arena, &m);
	}
	if (status) { /* catalogd is away, or was: ask again from the same place */
		loop_timer_in(&e->watch_timer, WATCH_RETRY_MS);
		return;
	}
	list_init(&woken);
	e->watch_generation = m.generation;
	e->watch_after = m.index;
	if (m.lost) {
		e->counts.watch_lost++;
		wait_wake_all(&e->waits, &woken);
	}
	for (uint32_t i = 0; i < m.changes.count; i++) {
		wait_wake(&e->waits, m.changes.items[i].kind, m.changes.items[i].name, &woken);
	}
	/* The next watch starts before anybody waits again: those who do have read this state, or a
	 * newer one. */
	if (!list_empty(&woken) || e->waits.waiters_count) {
		watch_begin(e);
	}
	rerun_all(&woken);
}

static void watch_begin(struct engine *e)
{
	struct catalog_watch m = {
		.generation = e->watch_generation,
		.after = e->watch_after,
		.wait_ms = WATCH_MS,
	};

	if (e->watch || loop_timer_active(&e->watch_timer) || e->draining) {
		return;
	}
	e->watch = IPC_CALL(
		e->httpd->catalog_read, catalog_watch, &m, WATCH_MS + WATCH_GRACE_MS, on_watch, e);
}

static void on_watch_timer(void *arg)
{
	struct engine *e = arg;

	if (e->waits.waiters_count) {
		watch_begin(e);
	}
}

/* ---- those that wait for a leader or for the state ---- */

static void on_park_timer(void *arg)
{
	struct engine *e = arg;
	struct list now;

	list_init(&now);
	while (!list_empty(&e->parked)) {
		struct list *link = e->parked.next;

		list_del(link);
		list_add_tail(&now, link);
	}
	while (!list_empty(&now)) {
		struct hold *h = list_entry(now.next, struct hold, parked);
		struct conn *c = h->conn;

		rerun(h);
		conn_settle(c);
	}
	if (!list_empty(&e->parked)) {
		loop_timer_in(&e->park_timer, PARK_POLL_MS);
	}
}

void holds_expire_all(struct engine *e)
{
	struct conn *c, *following;

	list_for_each_safe (c, following, &e->conns, link) {
		if (c->state == CONN_HELD) {
			hold_expire(c);
			conn_settle(c);
		} else if (c->state == CONN_BUSY) {
			exchange_restart(c);
			conn_settle(c);
		}
	}
}

void holds_init(struct engine *e)
{
	wait_table_init(&e->waits, random_u64());
	list_init(&e->parked);
	loop_timer_init(&e->park_timer, e->loop, on_park_timer, e);
	loop_timer_init(&e->watch_timer, e->loop, on_watch_timer, e);
}

void holds_fini(struct engine *e)
{
	loop_timer_stop(&e->park_timer);
	loop_timer_stop(&e->watch_timer);
	if (e->watch) {
		ipc_cancel(e->watch);
	}
	wait_table_fini(&e->waits);
}
