/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an HTTP request that an operator has described (a check, a handler of a watch) can be
 * sent at all: methods, URLs and headers that Go's client refuses, in its words. Nothing that
 * passes can smuggle a line into the request.
 */
#ifndef MUSTER_CHECKD_CORE_REQUEST_H
#define MUSTER_CHECKD_CORE_REQUEST_H

#include "common/base/json.h"

/* headers: an object of lists of strings, or NULL. 0, or ST_INVALID with the text in *why:
 * net/http: invalid method "G ET"; parse ":x": missing protocol scheme; Get "foo": unsupported
 * protocol scheme "" */
int request_check(struct str method, struct str url, const struct json *headers, struct buf *why);

/* Get "http://x/": as Go's client begins its errors. */
void request_render(struct buf *out, struct str method, struct str url);

#endif
