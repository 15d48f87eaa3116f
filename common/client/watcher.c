/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules behind watcher.h.
 */
#include "common/client/watcher.h"

void watcher_init(struct watcher *w, bool only_news)
{
	*w = (struct watcher) { .only_news = only_news };
}

void watcher_fini(struct watcher *w)
{
	buf_fini(&w->result);
}

void watcher_resume(struct watcher *w, uint64_t index)
{
	w->answered = true;
	w->index = index;
}

/* An answer without an index cannot be waited for. */
enum watcher_action watcher_handled(struct watcher *w)
{
	w->pause_ms = WATCHER_PAUSE_EARLY_MS;
	return w->index ? WATCHER_ASK : WATCHER_PAUSE;
}

enum watcher_action watcher_answered(struct watcher *w, uint64_t index, struct str result)
{
	bool first = !w->answered;
	bool same = str_eq(result, buf_str(&w->result)) ||
		    (w->only_news && (str_is(result, "[]") || str_is(result, "null")));

	w->failures = 0;
	w->answered = true;
	w->index = index;
	if (!first && same) {
		return watcher_handled(w);
	}
	buf_clear(&w->result);
	buf_put_str(&w->result, result);
	return WATCHER_HANDLE;
}

enum watcher_action watcher_failed(struct watcher *w, bool refused)
{
	int64_t unit = w->answered && refused ? WATCHER_PAUSE_MS : WATCHER_PAUSE_EARLY_MS;

	w->failures = min_of(w->failures + 1, 1000U);
	w->pause_ms = min_of(unit * w->failures * w->failures, WATCHER_PAUSE_MAX_MS);
	return WATCHER_PAUSE;
}
