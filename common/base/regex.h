/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions from strangers (filters, events, prepared queries): RE2's syntax as far as
 * PCRE2 agrees with it, unanchored, with a bound on the work of one match. What RE2 does not have
 * (look-around, back references) is refused.
 */
#ifndef MUSTER_COMMON_BASE_REGEX_H
#define MUSTER_COMMON_BASE_REGEX_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/str.h"

enum { REGEX_MATCH_STEPS_MAX = 200000, REGEX_HEAP_KIB_MAX = 1024 };

struct regex;

/* 0, or ST_INVALID with Go's text in *why: error parsing regexp: missing closing ): `(` */
int regex_new(struct str pattern, struct regex **out, struct buf *why);
void regex_free(struct regex *r);
DEFINE_OWN(struct regex, regex_free)

bool regex_match(
	const struct regex *r, struct str text); /* false too when the match would take too long */
/* The leftmost match: the array of what its groups hold, the whole first, borrowed from text. A
 * group without a part in it is "". 0: no match. */
size_t regex_groups(
	const struct regex *r, struct str text, struct arena *arena, struct str **groups_out);

#endif
