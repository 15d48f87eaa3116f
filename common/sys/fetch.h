/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP client for what strangers serve: libcurl on our loop (curl.h is included in fetch.c
 * alone). The library is loaded when the first request is made: it and what it needs cost 7 MiB,
 * which a process that never asks anybody should not pay. For our own httpd there are cheaper ways.
 *
 * One request per call, no connection is kept. Texts of failures are those of Go's client.
 */
#ifndef MUSTER_COMMON_SYS_FETCH_H
#define MUSTER_COMMON_SYS_FETCH_H

#include "common/base/bind.h"
#include "common/sys/loop.h"

enum { FETCH_HEADERS_WANTED = 2, FETCH_REDIRECTS_MAX = 10 };

struct fetch_request {
	struct str method, url, body;
	struct strs headers;	/* "Name: value" */
	struct str unix_socket; /* "": by the URL */
	int64_t timeout_ms;
	size_t body_max; /* the newest bytes of the answer that are kept */
	bool follow;	 /* redirects, at most FETCH_REDIRECTS_MAX */
	bool http2;	 /* without asking (RFC 9113, section 3.3) */
	bool tls_skip_verify;
	struct str ca_file, ca_path, cert_file, key_file; /* "": the system's, none */
	struct str tls_server_name; /* asked for and expected in the certificate; "": the URL's */
	const char *headers_wanted[FETCH_HEADERS_WANTED]; /* lower case; trailers count too */
};

struct fetch_result {
	int status;		/* 0: no answer, see error */
	struct str status_line; /* "200 OK" */
	struct str body;
	struct str error; /* "dial tcp 127.0.0.1:1: connect: connection refused" */
	struct str headers[FETCH_HEADERS_WANTED];
};

struct fetcher;
struct fetch;

struct fetcher *fetcher_new(struct loop *loop);
void fetcher_free(struct fetcher *f); /* every fetch is cancelled */
DEFINE_OWN(struct fetcher, fetcher_free)

/* Everything in the request is copied. on_done runs once, from the loop, with a borrowed result;
 * the fetch is gone behind it. */
typedef void (*fetch_fn)(void *arg, const struct fetch_result *result);
struct fetch *fetch_start(
	struct fetcher *f, const struct fetch_request *request, fetch_fn on_done, void *arg);
void fetch_cancel(struct fetch *fetch);
/* Servers expect a body, and want to be told when it is empty: POST, PUT, PATCH. */
static inline bool fetch_method_has_body(struct str method)
{
	return str_is(method, "POST") || str_is(method, "PUT") || str_is(method, "PATCH");
}

#endif
