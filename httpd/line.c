/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle connections in the order in which they became so: the newest is taken first, so that those
 * too many grow old.
 */
#include "httpd/line.h"

#include "common/sys/clock.h"

/* A host that is gone without a word while a query is held there is noticed after so long, if
 * gossip has not known it long before. */
enum { ALIVE_LIMIT_MS = 60000, SWEEP_MS = 10000 };

static bool is_same(const struct net_address *a, const struct net_address *b)
{
	return a->size == b->size && memcmp(&a->sa, &b->sa, a->size) == 0;
}

void line_free(struct line *l)
{
	http_link_close(&l->http);
	if (list_linked(&l->link)) {
		l->lines->idle_count--;
	}
	list_del(&l->link);
	free(l);
}

static void on_sweep(void *arg)
{
	struct lines *all = arg;
	struct mono now = loop_now(all->loop);
	struct line *l, *following;

	list_for_each_safe (l, following, &all->idle, link) {
		if (mono_diff_ms(now, l->idle_since) >= LINE_IDLE_MS) {
			line_free(l);
		}
	}
	if (all->idle_count) {
		loop_timer_in(&all->sweep, SWEEP_MS);
	}
}

void lines_init(struct lines *all, struct loop *loop, const struct http_link_events *events)
{
	*all = (struct lines) { .loop = loop, .events = events };
	list_init(&all->idle);
	loop_timer_init(&all->sweep, loop, on_sweep, all);
}

void lines_fini(struct lines *all)
{
	struct line *l, *following;

	loop_timer_stop(&all->sweep);
	list_for_each_safe (l, following, &all->idle, link) {
		line_free(l);
	}
}

static struct line *idle_find(struct lines *all, const struct target *target)
{
	for (struct list *at = all->idle.prev; at != &all->idle; at = at->prev) {
		struct line *l = list_entry(at, struct line, link);

		if (is_same(&l->target.address, &target->address)) {
			return l; /* the one used last: the others may go */
		}
	}
	return NULL;
}

static struct line *line_open(struct lines *all, const struct target *target)
{
	struct line *l = xcalloc(1, sizeof(*l));

	if (http_link_open(&l->http, all->loop, &target->address, all->events, l)) {
		free(l);
		return NULL;
	}
	net_alive_limit(l->http.fd, ALIVE_LIMIT_MS);
	l->lines = all;
	return l;
}

struct line *line_get(
	struct lines *all, const struct target *target, bool fresh, struct forward *forward)
{
	struct line *l = fresh ? NULL : idle_find(all, target);

	if (l) {
		list_del(&l->link);
		all->idle_count--;
	} else {
		l = line_open(all, target);
	}
	if (l) {
		l->target = *target;
		l->forward = forward;
	}
	return l;
}

/* Makes room: for a node its longest idle one goes, beyond all bounds that of any node. */
static void crowd_thin(struct lines *all, const struct target *target)
{
	struct line *l, *first = NULL;
	size_t count = 0;

	if (all->idle_count < LINES_PER_NODE) {
		return;
	}
	list_for_each (l, &all->idle, link) {
		if (is_same(&l->target.address, &target->address)) {
			first = first ? first : l;
			count++;
		}
	}
	if (count >= LINES_PER_NODE) {
		line_free(first);
	} else if (all->idle_count >= LINES_IDLE_MAX) {
		line_free(list_first(&all->idle, struct line, link));
	}
}

void lines_forget(struct lines *all, const struct target *target)
{
	struct line *l, *following;

	list_for_each_safe (l, following, &all->idle, link) {
		if (is_same(&l->target.address, &target->address)) {
			line_free(l);
		}
	}
}

void line_done(struct line *l)
{
	struct lines *all = l->lines;

	if (!http_link_kept(&l->http)) {
		line_free(l);
		return;
	}
	crowd_thin(all, &l->target);
	http_link_pause(&l->http, false); /* to notice its end */
	l->forward = NULL;
	l->used = true;
	l->idle_since = loop_now(all->loop);
	list_add_tail(&all->idle, &l->link);
	all->idle_count++;
	if (!loop_timer_active(&all->sweep)) {
		loop_timer_in(&all->sweep, SWEEP_MS);
	}
}
