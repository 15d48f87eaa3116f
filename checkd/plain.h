/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 request without TLS, on a connection of its own: what most HTTP checks are.
 * Everything else (TLS, redirects, user names in URLs, HTTP/2) is for common/sys/fetch and its
 * library, which costs far more than an idle daemon should.
 */
#ifndef MUSTER_CHECKD_PLAIN_H
#define MUSTER_CHECKD_PLAIN_H

#include "common/sys/fetch.h"

struct plain;

/* Of a fetch_request only method, url, body, headers, timeout_ms and body_max are looked at. */
bool plain_can(const struct fetch_request *request);

/*
 * Calls on_done once, from the loop, never from inside plain_start; the plain is gone behind it.
 * redirected: the answer names another Location.
 */
typedef void (*plain_fn)(void *arg, const struct fetch_result *result, bool redirected);
struct plain *plain_start(
	struct loop *loop, const struct fetch_request *request, plain_fn on_done, void *arg);
void plain_cancel(struct plain *p);

#endif
