/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done at a pace of its own: while a crowd comes, whoever follows the members is told in a
 * few lists instead of one for each packet; and what large states took is given back.
 */
#include <malloc.h>

#include "gossipd/gossipd.h"

enum { WAKE_MS = 100, TRIM_MS = 60000 };

static void on_wake(void *arg)
{
	struct gossipd *g = arg;

	g->pace.woken_at = loop_now(g->daemon->loop);
	holds_wake(g);
}

void holds_wake_soon(struct gossipd *g)
{
	int64_t ago_ms = mono_diff_ms(loop_now(g->daemon->loop), g->pace.woken_at);

	if (ago_ms >= WAKE_MS) {
		on_wake(g);
	} else if (!loop_timer_active(&g->pace.wake_timer)) {
		loop_timer_in(&g->pace.wake_timer, WAKE_MS - ago_ms);
	}
}

static void on_trim(void *arg)
{
	struct gossipd *g = arg;

	malloc_trim(0);
	loop_timer_in(&g->pace.trim_timer, TRIM_MS);
}

void pace_init(struct gossipd *g)
{
	loop_timer_init(&g->pace.wake_timer, g->daemon->loop, on_wake, g);
	loop_timer_init(&g->pace.trim_timer, g->daemon->loop, on_trim, g);
	loop_timer_in(&g->pace.trim_timer, TRIM_MS);
}

void pace_fini(struct gossipd *g)
{
	loop_timer_stop(&g->pace.wake_timer);
	loop_timer_stop(&g->pace.trim_timer);
}
