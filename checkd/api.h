/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking this node's httpd, over its Unix socket, with kept connections: the only way to the
 * catalogue, the same on servers and clients. Nothing is called back from inside api_send.
 */
#ifndef MUSTER_CHECKD_API_H
#define MUSTER_CHECKD_API_H

#include "checkd/core/registry.h"
#include "common/sys/loop.h"

enum {
	API_CONNECTIONS_MAX = 64, /* for the registry */
	API_TIMEOUT_MS = 10000,
	API_WAIT_TIMEOUT_MS = 90000,
	API_BODY_MAX = 64 << 20
};

struct api;

/* status 0: no answer. body is borrowed for the call. */
typedef void (*api_done_fn)(
	void *arg, uint64_t number, int status, uint64_t index, struct str body);

/* Requests beyond connections_max at once wait for their turn. */
struct api *api_new(struct loop *loop, const char *socket_path, unsigned connections_max,
	api_done_fn on_done, void *arg);
void api_free(struct api *a); /* without calling back */
DEFINE_OWN(struct api, api_free)
void api_send(struct api *a, const struct registry_request *q);
bool api_cancel(struct api *a, uint64_t number); /* false: no such request */
bool api_reachable(const struct api *a);	 /* the last attempt got an answer */

#endif
