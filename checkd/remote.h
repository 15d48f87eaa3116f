/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote execution, where disable_remote_exec is false: gossipd tells of the events, each order
 * (core/remote.h) is carried out with the agent's token, as scripts of checks are run.
 */
#ifndef MUSTER_CHECKD_REMOTE_H
#define MUSTER_CHECKD_REMOTE_H

#include "checkd/script.h"
#include "common/sys/conf.h"
#include "common/sys/loop.h"

enum {
	REMOTES_MAX = 16,	   /* at once; more wait (and find the order gone, when it is) */
	REMOTES_WAITING_MAX = 256, /* more are dropped, and logged */
};

struct remotes;

/* conf stays the caller's and valid until remotes_reconfigure; on_run: a program was started.
 * -errno */
int remotes_new(struct loop *loop, const struct conf *conf, struct scripts *scripts,
	void (*on_run)(void *arg), void *arg, struct remotes **out);
void remotes_free(struct remotes *r); /* kills what runs */
DEFINE_OWN(struct remotes, remotes_free)
/* Begins no order any more: those that have not told so yet are for a later life. */
void remotes_drain(struct remotes *r);
void remotes_reconfigure(struct remotes *r, const struct conf *conf);
uint64_t remotes_count(const struct remotes *r); /* under way */

#endif
