/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watches of the configuration: each asks this node's httpd for its view, again and again, and
 * runs its handler when that has changed (common/client/watcher.h has the rules, handler.h the
 * runs). A reload leaves a watch alone whose definition stays the same, be its handler running or
 * not; one that is no longer defined ends, once its handler has.
 *
 * A watch of events remembers on disk which it handled last, so that a new checkd loses none and
 * repeats only those whose handler had not ended when checkd was killed; of everything else a new
 * checkd handles the current state, as Consul does.
 */
#ifndef MUSTER_CHECKD_WATCHES_H
#define MUSTER_CHECKD_WATCHES_H

#include "checkd/script.h"
#include "common/sys/conf.h"
#include "common/sys/loop.h"

enum {
	WATCHES_MAX = 256,   /* more are not run, and logged */
	WATCHES_WAIT_S = 60, /* a question is held so long */
};

struct watches;

struct watches_hooks {
	void (*on_handled)(void *arg); /* a handler has ended */
	/* What a watch of events has handled: key -> value is to be stored; value "": no more. */
	void (*on_cursor)(void *arg, struct str key, struct str value);
	void *arg;
};

struct watches *watches_new(
	struct loop *loop, struct scripts *scripts, const struct watches_hooks *hooks);
void watches_free(struct watches *w); /* kills what runs */
DEFINE_OWN(struct watches, watches_free)
/* A stored cursor; before the first watches_apply. */
void watches_load(struct watches *w, struct str key, struct str value);
/* The configuration's watches, which are valid, from now on. */
void watches_apply(struct watches *w, const struct conf *conf);
/* Asks no more; on_handled tells when a handler has ended. True: some still run. */
bool watches_drain(struct watches *w);

struct watches_counts {
	uint64_t watches, handling, failing;
};
void watches_count(const struct watches *w, struct watches_counts *out);

#endif
