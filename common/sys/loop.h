/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop (libev behind a narrow door; ev.h is included in loop.c alone). One thread, one
 * loop.
 *
 * Watchers are embedded in their owner, initialised once, started and stopped at will; they must be
 * stopped before their memory goes. A callback may stop or free anything, itself included.
 * In a turn all that has arrived is handled before any timer, so that a turn that comes late finds
 * first what it waited for. loop_flush callbacks run at the end of each turn, before the loop
 * sleeps: that is where batched work is sent.
 */
#ifndef MUSTER_COMMON_SYS_LOOP_H
#define MUSTER_COMMON_SYS_LOOP_H

#include "common/base/list.h"
#include "common/base/time.h"

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);
DEFINE_OWN(struct loop, loop_free)
void loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);
void loop_run_once(struct loop *l);	    /* one turn that may wait; for tests */
struct mono loop_now(const struct loop *l); /* when this turn began; cheap */

struct loop_io {
	void *ev[8]; /* struct ev_io, see loop.c */
	struct loop *loop;
	void (*on_io)(void *arg, int events);
	void *arg;
};
void loop_io_init(
	struct loop_io *w, struct loop *l, int fd, void (*on_io)(void *arg, int events), void *arg);
void loop_io_set(struct loop_io *w, int events); /* 0 stops it */

struct loop_timer {
	void *ev[6]; /* struct ev_timer */
	struct loop *loop;
	void (*on_timer)(void *arg);
	void *arg;
};
void loop_timer_init(struct loop_timer *w, struct loop *l, void (*on_timer)(void *arg), void *arg);
void loop_timer_at(struct loop_timer *w, struct mono when); /* rearms; MONO_NEVER stops it */
void loop_timer_in(struct loop_timer *w, int64_t ms);
void loop_timer_stop(struct loop_timer *w);
bool loop_timer_active(const struct loop_timer *w);

struct loop_signal {
	void *ev[6]; /* struct ev_signal */
	struct loop *loop;
	void (*on_signal)(void *arg);
	void *arg;
};
void loop_signal_start(
	struct loop_signal *w, struct loop *l, int signal, void (*on_signal)(void *arg), void *arg);
void loop_signal_stop(struct loop_signal *w);

struct loop_flush {
	struct list link;
	void (*on_flush)(void *arg);
	void *arg;
};
void loop_flush_add(struct loop_flush *f, struct loop *l, void (*on_flush)(void *arg), void *arg);
void loop_flush_del(struct loop_flush *f);

#endif
