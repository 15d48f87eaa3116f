/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts with ${...} in them, as the templates of prepared queries have: the language that Consul
 * takes there (HIL of 2016) without floating point and lists.
 *
 *     a${name.suffix}b   variables
 *     ${match(1)}        the one function
 *     ${"x${name.full}"} quoted texts, with ${...} in them again
 *     ${match(1) + 1}    whole numbers: + - * / % from left to right, and parentheses
 *     $$                 a dollar sign
 *
 * Pure. Nesting is bounded by TEMPLATE_DEPTH_MAX.
 */
#ifndef MUSTER_COMMON_BASE_TEMPLATE_H
#define MUSTER_COMMON_BASE_TEMPLATE_H

#include "common/base/arena.h"
#include "common/base/buf.h"

enum { TEMPLATE_DEPTH_MAX = 32 };

struct template_scope {
	bool (*variable)(void *arg, struct str name, struct str *value_out); /* false: unknown */
	struct str (*match)(void *arg, int64_t number);
	void *arg;
};

/* Is the text well formed? ST_INVALID with the reason in *why: parse error: ... */
int template_check(struct str text, struct buf *why);
/*
 * What the text says in this scope; *out is borrowed from the arena or from what the scope gave.
 * ST_INVALID with the reason in *why: 1:3: unknown variable accessed: x
 */
int template_render(struct str text, const struct template_scope *scope, struct arena *arena,
	struct str *out, struct buf *why);

#endif
