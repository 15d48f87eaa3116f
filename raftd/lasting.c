/* SPDX-License-Identifier: Apache-2.0 */
#include "raftd/lasting.h"

int64_t lasting_look(struct lasting *l, struct mono now, bool so)
{
	int64_t since_ms = mono_diff_ms(now, l->looked);

	l->looked = now;
	l->ms = so ? l->ms + min_of(since_ms, (int64_t)LASTING_LOOK_MS) : 0;
	return l->ms;
}
