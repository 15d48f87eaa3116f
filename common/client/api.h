/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking this node's httpd, over its Unix socket, with kept connections: for checkd the only way to
 * the catalogue, for dnsd to prepared queries, the same on servers and clients. Nothing is called
 * back from inside api_send.
 */
#ifndef MUSTER_COMMON_CLIENT_API_H
#define MUSTER_COMMON_CLIENT_API_H

#include "common/base/str.h"
#include "common/sys/loop.h"

enum {
	API_CONNECTIONS_MAX = 64, /* for the registry, and for dnsd's queries */
	API_BODY_MAX = 64 << 20,
	API_TIMEOUT_MS = 10000,	     /* for what is answered at once */
	API_WAIT_TIMEOUT_MS = 90000, /* for what waits up to a minute */
};

struct api;

struct api_request {
	uint64_t number; /* the caller's */
	bool put;	 /* else GET */
	int64_t timeout_ms;
	struct str path; /* with its query */
	struct str body, token;
	struct str headers; /* more of them, each with its CRLF */
};

/* status 0: no answer. body is borrowed for the call. */
typedef void (*api_done_fn)(
	void *arg, uint64_t number, int status, uint64_t index, struct str body);

/* Requests beyond connections_max at once wait for their turn. */
struct api *api_new(struct loop *loop, const char *socket_path, unsigned connections_max,
	api_done_fn on_done, void *arg);
void api_free(struct api *a); /* without calling back */
DEFINE_OWN(struct api, api_free)
void api_send(struct api *a, const struct api_request *q); /* copied */
bool api_cancel(struct api *a, uint64_t number);	   /* false: no such request */
bool api_reachable(const struct api *a);		   /* the last attempt got an answer */

#endif
