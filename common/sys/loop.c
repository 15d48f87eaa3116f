/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libev, and nothing of it outside.
 */
#include "common/sys/loop.h"

#include <ev.h>

#include "common/sys/clock.h"

_Static_assert(sizeof(struct ev_io) <= sizeof(((struct loop_io *)0)->ev), "room for ev_io");
_Static_assert(
	sizeof(struct ev_timer) <= sizeof(((struct loop_timer *)0)->ev), "room for ev_timer");
_Static_assert(
	sizeof(struct ev_signal) <= sizeof(((struct loop_signal *)0)->ev), "room for ev_signal");

/* What has arrived is looked at before it is said that time is up: after a turn that came late both
 * are there. */
enum { TIMER_PRIORITY = -1 };

struct loop {
	struct ev_loop *ev;
	struct ev_prepare prepare;
	struct ev_check check;
	struct list flushes;
	struct mono now;
};

static void on_prepare(struct ev_loop *ev, struct ev_prepare *w, int events)
{
	struct loop *l = w->data;
	struct loop_flush *f, *following;

	list_for_each_safe (f, following, &l->flushes, link) {
		f->on_flush(f->arg);
	}
}

static void on_check(struct ev_loop *ev, struct ev_check *w, int events)
{
	struct loop *l = w->data;

	l->now = clock_mono();
}

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	must(l->ev);
	list_init(&l->flushes);
	l->now = clock_mono();
	ev_prepare_init(&l->prepare, on_prepare);
	l->prepare.data = l;
	ev_prepare_start(l->ev, &l->prepare);
	ev_check_init(&l->check, on_check);
	l->check.data = l;
	ev_set_priority(&l->check, EV_MAXPRI);
	ev_check_start(l->ev, &l->check);
	return l;
}

void loop_free(struct loop *l)
{
	ev_loop_destroy(l->ev);
	free(l);
}

void loop_run(struct loop *l)
{
	ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

void loop_run_once(struct loop *l)
{
	ev_run(l->ev, EVRUN_ONCE);
}

struct mono loop_now(const struct loop *l)
{
	return l->now;
}

static void on_ev_io(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct loop_io *w = io->data;

	w->on_io(w->arg, (events & EV_READ ? LOOP_READ : 0) | (events & EV_WRITE ? LOOP_WRITE : 0));
}

void loop_io_init(
	struct loop_io *w, struct loop *l, int fd, void (*on_io)(void *arg, int events), void *arg)
{
	struct ev_io *io = (struct ev_io *)w->ev;

	*w = (struct loop_io) { .loop = l, .on_io = on_io, .arg = arg };
	ev_io_init(io, on_ev_io, fd, 0);
	io->data = w;
}

void loop_io_set(struct loop_io *w, int events)
{
	struct ev_io *io = (struct ev_io *)w->ev;
	int wanted = (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);

	if (!w->loop || (ev_is_active(io) && (io->events & (EV_READ | EV_WRITE)) == wanted)) {
		return;
	}
	ev_io_stop(w->loop->ev, io);
	if (wanted) {
		ev_io_modify(io, wanted);
		ev_io_start(w->loop->ev, io);
	}
}

static void on_ev_timer(struct ev_loop *ev, struct ev_timer *timer, int events)
{
	struct loop_timer *w = timer->data;

	w->on_timer(w->arg);
}

void loop_timer_init(struct loop_timer *w, struct loop *l, void (*on_timer)(void *arg), void *arg)
{
	struct ev_timer *timer = (struct ev_timer *)w->ev;

	*w = (struct loop_timer) { .loop = l, .on_timer = on_timer, .arg = arg };
	ev_timer_init(timer, on_ev_timer, 0., 0.);
	ev_set_priority(timer, TIMER_PRIORITY);
	timer->data = w;
}

void loop_timer_at(struct loop_timer *w, struct mono when)
{
	if (when.ns == MONO_NEVER.ns) {
		loop_timer_stop(w);
		return;
	}
	/* Never early: libev rounds, and a core that is woken before its deadline would only arm
	 * again. */
	loop_timer_in(w, max_of((mono_diff_ns(when, clock_mono()) + NS_PER_MS - 1) / NS_PER_MS, 0));
}

void loop_timer_in(struct loop_timer *w, int64_t ms)
{
	struct ev_timer *timer = (struct ev_timer *)w->ev;

	ev_timer_stop(w->loop->ev, timer);
	/* libev counts from the beginning of its turn; after a long callback that lies in the past.
	 * Its other clock, ev_time(), is the wall's: somebody may have set that meanwhile. */
	ev_now_update(w->loop->ev);
	ev_timer_set(timer, (double)ms / 1000., 0.);
	ev_timer_start(w->loop->ev, timer);
}

void loop_timer_stop(struct loop_timer *w)
{
	if (w->loop) {
		ev_timer_stop(w->loop->ev, (struct ev_timer *)w->ev);
	}
}

bool loop_timer_active(const struct loop_timer *w)
{
	return w->loop && ev_is_active((const struct ev_timer *)w->ev);
}

static void on_ev_signal(struct ev_loop *ev, struct ev_signal *s, int events)
{
	struct loop_signal *w = s->data;

	w->on_signal(w->arg);
}

void loop_signal_start(
	struct loop_signal *w, struct loop *l, int signal, void (*on_signal)(void *arg), void *arg)
{
	struct ev_signal *s = (struct ev_signal *)w->ev;

	*w = (struct loop_signal) { .loop = l, .on_signal = on_signal, .arg = arg };
	ev_signal_init(s, on_ev_signal, signal);
	s->data = w;
	ev_signal_start(l->ev, s);
}

void loop_signal_stop(struct loop_signal *w)
{
	if (w->loop) {
		ev_signal_stop(w->loop->ev, (struct ev_signal *)w->ev);
	}
}

void loop_flush_add(struct loop_flush *f, struct loop *l, void (*on_flush)(void *arg), void *arg)
{
	*f = (struct loop_flush) { .on_flush = on_flush, .arg = arg };
	list_add_tail(&l->flushes, &f->link);
}

void loop_flush_del(struct loop_flush *f)
{
	list_del(&f->link);
}
