/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request, parsed. Pure: bytes in, struct request out. Every string is borrowed from the
 * head and the body that were given to the parser, or from the arena (decoded text), and lives as
 * long as they do.
 *
 *     request_parse   head of a request (request line and headers) -> struct request
 *     request_param   query parameters
 *     request_header  headers
 *     request_token   the ACL token, by Consul's order of precedence
 */
#ifndef MUSTER_HTTPD_CORE_REQUEST_H
#define MUSTER_HTTPD_CORE_REQUEST_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

enum method {
	METHOD_GET,
	METHOD_POST,
	METHOD_PUT,
	METHOD_DELETE,
	METHODS_ROUTED, /* those that a route can declare, in the order of the Allow header */
	METHOD_OPTIONS = METHODS_ROUTED,
	METHOD_HEAD,
	METHOD_OTHER,
};

enum { REQUEST_HEAD_MAX = (1 << 20) + 4096, REQUEST_HEADERS_MAX = 512, REQUEST_PARAMS_MAX = 256 };

struct header {
	struct str name, value;
};

struct param {
	struct str name, value; /* decoded; value "" (p not NULL) for ?name and ?name= */
};

struct request {
	enum method method;
	struct str method_text; /* "GET" */
	struct str target;	/* path and query as sent, still encoded; without an authority */
	struct str raw_query;	/* behind '?', as sent; p NULL without */
	struct str path;	/* decoded */
	struct str name; /* what follows a subtree route's path, decoded: the key, service, node
			    ...; "" for plain routes */
	const struct param *params;
	uint32_t params_count;
	bool params_malformed; /* the query string does not parse */
	const struct header *headers;
	uint32_t headers_count;
	struct str body;	/* valid while the handler runs, not in later replies */
	int64_t content_length; /* -1: none given */
	bool chunked, keep_alive, expects_continue, expects_other, http_1_0;
};

/*
 * Parses a complete head (it ends with an empty line). 0; ST_INVALID with the reason phrase that
 * Go's server would add in *why_out ("" or "missing required Host header" ...); ST_TOO_LARGE: too
 * many headers or parameters; ST_UNSUPPORTED: a transfer coding that is not chunked.
 */
int request_parse(struct str head, struct arena *arena, struct request *out, struct str *why_out);

/* First value of a query parameter; STR_NONE (p NULL) when absent. Names are case-sensitive. */
struct str request_param(const struct request *r, const char *name);
bool request_has(const struct request *r, const char *name);
/* Repeated parameters: for (uint32_t at = 0; request_param_next(r, "tag", &at, &value);) */
bool request_param_next(
	const struct request *r, const char *name, uint32_t *at, struct str *value_out);
/* First header of that name, case ignored; STR_NONE when absent. */
struct str request_header(const struct request *r, const char *name);
/* ?token= > X-Consul-Token > Authorization: Bearer; "" when none was given. */
struct str request_token(const struct request *r);
/* May the answer be compressed with gzip? */
bool request_accepts_gzip(const struct request *r);

const char *method_name(enum method method);

#endif
