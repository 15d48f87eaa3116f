/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handlers, declared from the rows of routes.def.
 */
#ifndef MUSTER_HTTPD_ROUTES_H
#define MUSTER_HTTPD_ROUTES_H

struct exchange;

#define ROUTE(method, path, handler, flags) void handler(struct exchange *x);
#include "httpd/routes.def"
#undef ROUTE

#endif
