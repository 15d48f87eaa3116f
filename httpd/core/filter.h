/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter expressions (?filter=): parsed once per request into a small tree, then asked about each
 * element's JSON. The language, its operators and its error texts are go-bexpr's as Consul 1.8 has
 * it. Pure.
 *
 * Limits: FILTER_SIZE_MAX bytes, FILTER_DEPTH_MAX of nesting, and a bounded number of steps per
 * regular expression (regex.h); a match that needs more counts as no match.
 */
#ifndef MUSTER_HTTPD_CORE_FILTER_H
#define MUSTER_HTTPD_CORE_FILTER_H

#include "common/base/json.h"

enum { FILTER_SIZE_MAX = 64 << 10, FILTER_DEPTH_MAX = 256, FILTER_SELECTOR_MAX = 16 };

/* What the elements are: decides which selectors exist. */
enum filter_object {
	FILTER_NODE,
	FILTER_SERVICE_NODE,
	FILTER_NODE_SERVICE,
	FILTER_HEALTH_CHECK,
	FILTER_CHECK_SERVICE_NODE,
	FILTER_NODE_INFO,
	FILTER_OBJECTS_COUNT
};

struct filter;

/*
 * 0; *out is NULL for an empty expression (everything matches), else owned by the caller.
 * ST_INVALID with the whole text for the client in *why.
 */
int filter_new(
	struct str expression, enum filter_object object, struct filter **out, struct buf *why);
void filter_free(struct filter *f);
DEFINE_OWN(struct filter, filter_free)

bool filter_match(const struct filter *f, const struct json *element); /* f NULL: true */

/* The same for an element as text; scratch is reset first. Text that is no JSON does not match. */
bool filter_match_text(const struct filter *f, struct arena *scratch, struct str element);

#endif
