/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two kinds of instants that cannot be mixed up by accident. struct mono: boot-time clock, for
 * deadlines and durations; struct wall: Unix time, only for what is shown or stored as a date.
 * Durations are plain int64_t with _ms or _ns in the name. Clocks are read in common/sys/clock.h;
 * cores get time in their events.
 */
#ifndef MUSTER_COMMON_BASE_TIME_H
#define MUSTER_COMMON_BASE_TIME_H

#include "common/base/std.h"

struct buf;

struct mono {
	int64_t ns;
};

struct wall {
	int64_t ns;
};

#define NS_PER_MS  1000000LL
#define NS_PER_S   1000000000LL
#define MONO_NEVER ((struct mono) { INT64_MAX })

/* What lies behind the end of time is MONO_NEVER: durations are what somebody wrote. */
static inline struct mono mono_add_ns(struct mono t, int64_t ns)
{
	int64_t sum;

	return t.ns == INT64_MAX || __builtin_add_overflow(t.ns, ns, &sum) ? MONO_NEVER
									   : (struct mono) { sum };
}

static inline struct mono mono_add_ms(struct mono t, int64_t ms)
{
	int64_t ns;

	return __builtin_mul_overflow(ms, NS_PER_MS, &ns) ? MONO_NEVER : mono_add_ns(t, ns);
}

static inline int64_t mono_diff_ns(struct mono later, struct mono earlier)
{
	return later.ns - earlier.ns;
}

static inline int64_t mono_diff_ms(struct mono later, struct mono earlier)
{
	return mono_diff_ns(later, earlier) / NS_PER_MS;
}

static inline bool mono_before(struct mono a, struct mono b)
{
	return a.ns < b.ns;
}

static inline struct mono mono_min(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

static inline struct wall wall_add_ns(struct wall w, int64_t ns)
{
	int64_t sum;

	return (struct wall) { __builtin_add_overflow(w.ns, ns, &sum) ? INT64_MAX : sum };
}

static inline int64_t wall_ms(struct wall w)
{
	return w.ns / NS_PER_MS;
}

/* RFC 3339 in UTC: digits 0, 3 or 9 after the seconds, e.g. 2026-11-20T08:51:24.236Z. */
void wall_render(struct buf *out, struct wall w, int digits);

#endif
