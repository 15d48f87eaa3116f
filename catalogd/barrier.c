/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linearizable reads: raftd names the index that was committed when the question came in; the
 * answer goes out when that is applied. What comes in one turn of the loop shares one question to
 * raftd (a round); nobody joins a round that has begun, whose index may be older than he is. While
 * nobody leads rounds are tried again, until performance.rpc_hold_timeout is over for each who
 * waits.
 */
#include "catalogd/catalogd.h"

struct barrier {
	struct list link;
	struct mono give_up;
	barrier_fn on_done;
	void *arg;
};

/* One question to raftd and who waits for its answer, later for that index. */
struct round {
	struct list link;
	struct list waiting; /* of struct barrier */
	struct catalogd *c;
	enum barrier_kind kind;
	struct ipc_pending *pending; /* raftd has not answered yet */
	uint64_t index;
};

enum { AGAIN_MIN_MS = 50, AGAIN_MAX_MS = 100 };

static void barrier_end(struct catalogd *c, struct barrier *b, int status)
{
	list_del(&b->link);
	c->barriers.count--;
	b->on_done(b->arg, status);
	free(b);
}

static void round_end(struct round *r, int status)
{
	struct barrier *b;

	list_del(&r->link);
	while ((b = list_first(&r->waiting, struct barrier, link))) {
		barrier_end(r->c, b, status);
	}
	free(r);
}

/* They ask again, together with whoever has come since; for whom it is too late, not. */
static void round_again(struct round *r)
{
	struct barriers *all = &r->c->barriers;
	struct mono now = clock_mono();
	struct barrier *b;

	while ((b = list_first(&r->waiting, struct barrier, link))) {
		if (mono_before(now, b->give_up)) {
			list_del(&b->link);
			list_add_tail(&all->again[r->kind], &b->link);
		} else {
			barrier_end(r->c, b, ST_NOT_LEADER);
		}
	}
	if (!loop_timer_active(&all->timer)) {
		loop_timer_in(&all->timer,
			AGAIN_MIN_MS + (int64_t)(random_u64() % (AGAIN_MAX_MS - AGAIN_MIN_MS)));
	}
	round_end(r, 0);
}

static void round_answered(struct round *r, int status, uint64_t index)
{
	r->pending = NULL;
	if (status == ST_NOT_LEADER || status == ST_CLOSED || status == ST_TIMEOUT) {
		round_again(r);
	} else if (status) {
		round_end(r, status);
	} else {
		r->index = index;
		if (r->c->feed.applied >= index) {
			round_end(r, 0);
		}
	}
}

static void on_index(void *arg, int status, struct str payload)
{
	struct raft_read_index_reply m = { 0 };

	if (!status && raft_read_index_reply_decode(payload, NULL, &m)) {
		status = ST_INVALID;
	}
	round_answered(arg, status, m.index);
}

static void on_lease(void *arg, int status, struct str payload)
{
	struct raft_read_lease_reply m = { 0 };

	if (!status && raft_read_lease_reply_decode(payload, NULL, &m)) {
		status = ST_INVALID;
	}
	round_answered(arg, status, m.index);
}

static void round_begin(struct catalogd *c, enum barrier_kind kind, struct list *who)
{
	struct round *r = xcalloc(1, sizeof(*r));
	struct raft_read_index index = {};
	struct raft_read_lease lease = {};
	struct ipc_pending *pending;
	int64_t timeout_ms = BARRIER_SILENCE_MS;

	r->c = c;
	r->kind = kind;
	list_init(&r->waiting);
	list_add_tail(who, &r->waiting); /* takes the list over */
	list_del(who);
	list_add_tail(&c->barriers.rounds, &r->link);
	pending = kind == BARRIER_LEASE
			  ? IPC_CALL(c->raft, raft_read_lease, &lease, timeout_ms, on_lease, r)
			  : IPC_CALL(c->raft, raft_read_index, &index, timeout_ms, on_index, r);
	if (pending) {
		r->pending = pending; /* NULL: refused already, and r is gone */
	}
}

/* The end of the turn. */
static void on_flush(void *arg)
{
	struct catalogd *c = arg;

	for (size_t kind = 0; kind < BARRIER_KINDS_COUNT; kind++) {
		if (!list_empty(&c->barriers.fresh[kind])) {
			round_begin(c, (enum barrier_kind)kind, &c->barriers.fresh[kind]);
		}
	}
}

static void on_again(void *arg)
{
	struct catalogd *c = arg;

	for (size_t kind = 0; kind < BARRIER_KINDS_COUNT; kind++) {
		if (!list_empty(&c->barriers.again[kind])) {
			round_begin(c, (enum barrier_kind)kind, &c->barriers.again[kind]);
		}
	}
}

void barrier_wait(struct catalogd *c, enum barrier_kind kind, barrier_fn on_done, void *arg)
{
	struct barrier *b = xcalloc(1, sizeof(*b));

	b->on_done = on_done;
	b->arg = arg;
	b->give_up = mono_add_ns(clock_mono(), c->daemon->conf->performance.rpc_hold_timeout_ns);
	list_add_tail(&c->barriers.fresh[kind], &b->link);
	c->barriers.count++;
}

void barriers_advance(struct catalogd *c)
{
	struct round *r, *following;

	list_for_each_safe (r, following, &c->barriers.rounds, link) {
		if (!r->pending && c->feed.applied >= r->index) {
			round_end(r, 0);
		}
	}
}

/* ---- calls ---- */

struct barrier_call {
	struct catalogd *c;
	struct ipc_call *call;
};

static void on_passed(void *arg, int status)
{
	struct barrier_call *b = arg;
	struct catalog_barrier_reply reply = { .index = b->c->feed.applied };

	if (status == ST_CLOSED) {
		/* unanswered, it is asked again of the process after us */
	} else if (status) {
		ipc_refuse(b->call, status);
	} else {
		IPC_REPLY(b->call, catalog_barrier, &reply); /* both kinds' replies are the same */
	}
	free(b);
}

static void handle(struct catalogd *c, struct ipc_call *call, enum barrier_kind kind)
{
	struct barrier_call *b;

	if (c->daemon->draining) {
		return; /* unanswered, it is asked again of the process after us */
	}
	if (c->barriers.count >= BARRIERS_MAX) {
		ipc_refuse(call, ST_FULL);
		return;
	}
	b = xcalloc(1, sizeof(*b));
	*b = (struct barrier_call) { c, call };
	barrier_wait(c, kind, on_passed, b);
}

void handle_barrier(struct catalogd *c, struct ipc_call *call, const struct catalog_barrier *m)
{
	handle(c, call, BARRIER_INDEX);
}

void handle_barrier_lease(
	struct catalogd *c, struct ipc_call *call, const struct catalog_barrier_lease *m)
{
	handle(c, call, BARRIER_LEASE);
}

/* ---- life ---- */

void barriers_init(struct catalogd *c)
{
	list_init(&c->barriers.rounds);
	for (size_t kind = 0; kind < BARRIER_KINDS_COUNT; kind++) {
		list_init(&c->barriers.fresh[kind]);
		list_init(&c->barriers.again[kind]);
	}
	loop_timer_init(&c->barriers.timer, c->daemon->loop, on_again, c);
	loop_flush_add(&c->barriers.flush, c->daemon->loop, on_flush, c);
}

static void abandon(struct catalogd *c, struct list *waiting)
{
	struct barrier *b;

	while ((b = list_first(waiting, struct barrier, link))) {
		barrier_end(c, b, ST_CLOSED);
	}
}

void barriers_fini(struct catalogd *c)
{
	struct round *r;

	while ((r = list_first(&c->barriers.rounds, struct round, link))) {
		if (r->pending) {
			ipc_cancel(r->pending);
		}
		round_end(r, ST_CLOSED);
	}
	for (size_t kind = 0; kind < BARRIER_KINDS_COUNT; kind++) {
		abandon(c, &c->barriers.fresh[kind]);
		abandon(c, &c->barriers.again[kind]);
	}
	loop_flush_del(&c->barriers.flush);
	loop_timer_stop(&c->barriers.timer);
}
