/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control sockets of this node's daemons, for the endpoints that speak for the whole agent:
 * metrics, monitor, reload, leave. A daemon that does not answer within LOCAL_ASK_MS counts as
 * absent.
 */
#ifndef MUSTER_HTTPD_LOCAL_H
#define MUSTER_HTTPD_LOCAL_H

#include "common/sys/control.h"
#include "httpd/httpd.h"

enum local_daemon {
	LOCAL_HTTPD,
	LOCAL_GOSSIPD,
	LOCAL_RAFTD,
	LOCAL_CATALOGD,
	LOCAL_CHECKD,
	LOCAL_DNSD,
	LOCAL_DAEMONS_COUNT
};

enum { LOCAL_ASK_MS = 2000, LOCAL_ALL = (1 << LOCAL_DAEMONS_COUNT) - 1 };

struct local;

int local_open(struct httpd *h); /* makes h->local. -errno */
void local_free(struct local *l);
DEFINE_OWN(struct local, local_free)

/* One question to one daemon; on_answer runs exactly once: later, or at once with ST_FULL, or with
 * ST_CLOSED for one that this kind of node does not have. ST_CLOSED, too, when everything ends. */
void local_call(struct local *l, enum local_daemon daemon, struct str request, control_fn on_answer,
	void *arg);

/*
 * Ends the node, after a moment in which the answer of leave goes out: `stop` to the agent that
 * supervises us (MUSTER_PARENT is set), who ends all daemons and then itself with status 0; without
 * one (systemd) every daemon is asked to drain.
 */
void local_end(struct local *l);

struct local_answers {
	struct str text[LOCAL_DAEMONS_COUNT]; /* the JSON, borrowed; STR_NONE: did not answer, or
						 not asked */
};
/* The same question to the daemons of a mask; done goes on with the exchange. Never runs when the
 * client has gone. */
void local_ask(struct exchange *x, unsigned mask, struct str request,
	void (*done)(struct exchange *x, const struct local_answers *answers));

#endif
