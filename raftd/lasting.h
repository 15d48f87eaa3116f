/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd/lasting.h: for how long something has been so, in the time that this process has seen.
 * While it stood still (a sync that took long, a machine without time) nobody else could be heard,
 * so that between two looks at most LASTING_LOOK_MS count.
 */
#ifndef MUSTER_RAFTD_LASTING_H
#define MUSTER_RAFTD_LASTING_H

#include "common/base/time.h"

enum { LASTING_LOOK_MS = 500 };

/* Zeroed: never looked at. */
struct lasting {
	struct mono looked;
	int64_t ms;
};

/* Is it so now? Returns for how many milliseconds it has been so at all looks; 0: it is not. */
static inline int64_t lasting_look(struct lasting *l, struct mono now, bool so)
{
	int64_t since_ms = mono_diff_ms(now, l->looked);

	l->looked = now;
	l->ms = so ? l->ms + min_of(since_ms, (int64_t)LASTING_LOOK_MS) : 0;
	return l->ms;
}

#endif
