/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to the httpd of other nodes (their port ports.peer_http). One request per connection
 * at a time; those that are idle are kept for the next one, at most LINES_PER_NODE for a node and
 * LINES_IDLE_MAX in all, for LINE_IDLE_MS.
 */
#ifndef MUSTER_HTTPD_LINE_H
#define MUSTER_HTTPD_LINE_H

#include "common/base/list.h"
#include "common/base/str.h"
#include "common/sys/http_link.h"

enum { LINES_PER_NODE = 64, LINES_IDLE_MAX = 256, LINE_IDLE_MS = 30000 };

/* Whom to ask. */
struct target {
	struct net_address address;
	struct uuid server; /* zero: the leader, by raftd's page */
};

struct line {
	struct list link; /* in lines.idle */
	struct lines *lines;
	struct http_link http;
	struct target target;
	struct forward *forward; /* whose request is on it; NULL: idle */
	struct mono idle_since;
	bool used; /* not for the first time: it may have ended without our knowing */
};

struct lines {
	struct loop *loop;
	const struct http_link_events *events; /* their arg: the line */
	struct list idle;		       /* longest idle first */
	size_t idle_count;
	struct loop_timer sweep;
};

void lines_init(struct lines *all, struct loop *loop, const struct http_link_events *events);
void lines_fini(struct lines *all); /* the idle ones; who has another frees it before */

/* An idle one to there (unless it must be a fresh one), else one that is being opened; NULL when
 * that failed at once. The caller's until line_free or line_done. */
struct line *line_get(
	struct lines *all, const struct target *target, bool fresh, struct forward *forward);
void line_free(struct line *l);
void line_done(struct line *l); /* answered: kept where both sides would go on */
/* Nothing there answers: the idle ones would be no better. */
void lines_forget(struct lines *all, const struct target *target);

#endif
