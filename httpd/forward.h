/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that another node's httpd answers: what a client node is asked about the catalogue, what
 * is of another data centre, what only the leader can do. They travel as they are, over the port
 * for other nodes (ports.peer_http), with a few headers of ours:
 *
 *     X-Muster-Hops     how many nodes have handed it on; more than HOPS_MAX are refused
 *     X-Muster-Node     the node that was asked first: what "this agent" means (near=_agent, the
 *                       node of a session)
 *     X-Muster-Request  its id: a write that is repeated, also through another server, is done once
 *     X-Muster-Now      do not wait: the node that was asked first is about to end
 *     X-Muster-Translate  the data centre of that node, where it has translate_wan_addrs: to others
 *                       addresses of instances are shown translated. dnsd, which does that itself,
 *                       says "." to its own httpd: nobody's. Clients may say it, too: it hides
 *                       nothing
 *
 *     line.c            connections, kept while idle
 *     forward_target.c  whom to ask
 *     forward_head.c    what is said to it
 *     forward.c         one request: attempts, failures, its end
 *     forward_answer.c  the answer, passed on piece by piece
 *
 * An attempt that never reached anybody is made again elsewhere. One that was cut off is repeated
 * where that does no harm: reads, and ROUTE_REPEATABLE. While some server is reachable that goes on
 * until performance.rpc_hold_timeout is over; when none is, for UNREACHABLE_MS. A client that goes
 * away takes a request that waits for a change with it at once.
 */
#ifndef MUSTER_HTTPD_FORWARD_H
#define MUSTER_HTTPD_FORWARD_H

#include "common/client/servers.h"
#include "httpd/httpd.h"
#include "httpd/line.h"

enum {
	HOPS_MAX = 3, /* a client node, its server, one of another data centre, the leader there */
	TRIED_MAX = 16,
	DIED_MAX = 3,	      /* cut off so often: it may be the request that kills */
	CONNECT_MS = 600,     /* for one attempt to reach a server, or it to acknowledge */
	UNREACHABLE_MS = 900, /* nobody at all can be reached */
	STALE_MS = 600,	      /* so long the end of a line that was idle may be under way */
	AGAIN_MS = 50,
	LOOK_MS = 100, /* does the leader that was asked still lead? */
	SWEEP_MS = 1000,
	PASS_MAX = 64 << 10,   /* longer answers are passed on while they come */
	AHEAD_MAX = 256 << 10, /* of an answer, that its client has not taken yet */
	WHOLE_MAX = 8 << 20,   /* of answers that have to be whole */
	ANSWER_STALL_MS = 60000,
	WHY_SIZE = 160,
};

struct forwards {
	struct httpd *httpd;
	struct servers *servers;
	struct lines lines;
	struct list all; /* of struct forward */
	size_t count;
	struct loop_timer sweep;
	struct {
		uint64_t requests, retries, failed, streamed;
	} counts;
};

struct forward {
	struct list link;
	struct forwards *forwards;
	struct exchange *x;
	struct str datacenter; /* "": to the leader of this one */
	bool repeatable;
	struct loop_timer limit; /* of the whole question, where it has one */
	struct loop_timer timer; /* without a line: the next attempt; with one: see on_timer */
	struct line *line;	 /* NULL between attempts */
	/* the request */
	struct buf request;
	int upload; /* the file behind it, -1: none */
	uint64_t upload_size;
	bool now; /* X-Muster-Now */
	/* attempts */
	struct mono trying_since; /* the first of this series */
	struct mono asked;	  /* this attempt */
	int64_t patience_ms;	  /* of this attempt, until a server must have shown itself */
	struct uuid tried[TRIED_MAX];
	size_t tried_count, died;
	char why[WHY_SIZE]; /* the last one failed */
	/* the answer */
	struct buf fields; /* lines of its head that are passed on */
	struct buf body;
	int status;
	bool streaming, complete, cut;
	struct mono heard;	 /* streaming: when something last came */
	exchange_answer_fn then; /* NULL: it is passed on */
};

int forwards_open(struct httpd *h); /* -errno */
void forwards_free(struct forwards *all);
/* httpd ends: what waits for a change is asked again without waiting. */
void forwards_drain(struct forwards *all);
void forwards_status(const struct forwards *all, struct jsonw *w);

/* Is it for another node? Then it is on its way, or answered. */
bool forward_if_due(struct exchange *x);

/* forward.c, for forward_answer.c */
void forward_free(struct forward *f);
/* Ends it with an error of ours. */
void forward_fail(struct forward *f, const char *text);

/* forward_target.c */
enum target_state {
	TARGET_FOUND,
	TARGET_HERE,  /* this server leads by now */
	TARGET_LATER, /* look again */
	TARGET_NONE,  /* why says why */
};
enum target_state target_find(struct forward *f, struct target *out);
/* The leader, by raftd's page. *here_out: it is this server. */
bool target_leader(struct forwards *all, struct target *out, bool *here_out);

/* forward_head.c */
void forward_render(struct forward *f, const struct peer_question *q);
void forward_on_field(void *arg, struct str name, struct str value);
unsigned exchange_hops(const struct exchange *x);

/* forward_answer.c */
void forward_on_body(void *arg, struct str piece);
void forward_on_progress(void *arg);
void forward_pass(struct forward *f); /* complete: f ends */
void forward_cut(struct forward *f);  /* its rest will never come; f stays the exchange's */

#endif
