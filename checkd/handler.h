/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of a watch's handler: a program that gets the result on its stdin and the index as
 * CONSUL_INDEX, or an HTTP request with them as body and X-Consul-Index. How it went is logged,
 * with the last HANDLER_OUTPUT_MAX bytes of what came back; nobody else wants to know.
 */
#ifndef MUSTER_CHECKD_HANDLER_H
#define MUSTER_CHECKD_HANDLER_H

#include "checkd/script.h"
#include "common/client/watch.h"
#include "common/sys/fetch.h"

enum { HANDLER_OUTPUT_MAX = 4096 };

struct handler;

struct handler_setup {
	struct loop *loop;
	struct scripts *scripts;
	struct fetcher *fetcher; /* for WATCH_HTTP */
};

/* Calls on_end once, from the loop, never from inside; the handler is gone behind it. watch is
 * borrowed until then. */
struct handler *handler_start(const struct handler_setup *setup, const struct watch *watch,
	uint64_t index, struct str result, void (*on_end)(void *arg), void *arg);
void handler_stop(struct handler *h); /* kills it, without on_end */

#endif
