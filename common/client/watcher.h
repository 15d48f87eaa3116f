/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a watch asks again, and when its handler runs. Pure: what happens is told by calls, each of
 * which says what to do next. Strictly one thing at a time, so a handler never runs twice at once,
 * and what changed meanwhile is in the next answer:
 *
 *     ASK --answer--> watcher_answered --> HANDLE, when it is not what the handler knows
 *      ^                     `-----------> ASK otherwise
 *      |<--handler done------ watcher_handled
 *      `<--after pause_ms---- PAUSE <---- watcher_failed
 *
 * Nothing is forgotten by a failure: the next answer is compared with what the handler was given
 * last, whatever lay between. (Consul runs the handler again after each failure.)
 */
#ifndef MUSTER_COMMON_CLIENT_WATCHER_H
#define MUSTER_COMMON_CLIENT_WATCHER_H

#include "common/base/buf.h"

enum {
	WATCHER_PAUSE_MS = 5000, /* times the square of the failures in a row, as in Consul; ... */
	WATCHER_PAUSE_EARLY_MS = 1000, /* ... before the first answer, and where nobody answers: a
					  daemon is starting */
	WATCHER_PAUSE_MAX_MS = 180000,
};

enum watcher_action { WATCHER_ASK, WATCHER_HANDLE, WATCHER_PAUSE };

struct watcher {
	bool only_news;	   /* events: an empty list is none */
	uint64_t index;	   /* to wait with: of the newest answer; 0: ask without waiting */
	struct buf result; /* what the handler was given last, and is given on HANDLE */
	bool answered;	   /* at least once */
	unsigned failures; /* in a row */
	int64_t pause_ms;  /* of the last PAUSE */
};

/* The first action is ASK. */
void watcher_init(struct watcher *w, bool only_news);
void watcher_fini(struct watcher *w);
/* Goes on behind an answer that an earlier life has handled. */
void watcher_resume(struct watcher *w, uint64_t index);

/* result: as watch_result makes it; copied. */
enum watcher_action watcher_answered(struct watcher *w, uint64_t index, struct str result);
enum watcher_action watcher_handled(struct watcher *w); /* the handler has ended, however */
/* refused: the answer was an error; else there was none. */
enum watcher_action watcher_failed(struct watcher *w, bool refused);

#endif
