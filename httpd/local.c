/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking all daemons of the node at once. A control call cannot be taken back, so what it answers
 * to outlives the exchange: struct gather is freed when its last answer is in.
 */
#include "httpd/local.h"

#include <stdio.h>

#include "common/base/err.h"

enum { END_AFTER_MS = 100 };

static const char *const names[LOCAL_DAEMONS_COUNT] = {
	[LOCAL_HTTPD] = "httpd",
	[LOCAL_GOSSIPD] = "gossipd",
	[LOCAL_RAFTD] = "raftd",
	[LOCAL_CATALOGD] = "catalogd",
	[LOCAL_CHECKD] = "checkd",
	[LOCAL_DNSD] = "dnsd",
};

/* They do not run on client nodes. */
static bool is_server_only(enum local_daemon daemon)
{
	return daemon == LOCAL_RAFTD || daemon == LOCAL_CATALOGD;
}

struct local {
	struct control_client *clients[LOCAL_DAEMONS_COUNT];
	struct control_client *agent; /* NULL: nobody supervises us but systemd */
	struct list pending;	      /* of struct pending */
	struct loop_timer end_timer;
};

/* A question on its way: answered exactly once, also when everything ends. */
struct pending {
	struct list link;
	control_fn on_answer;
	void *arg;
};

static void pending_end(void *arg, int status, struct str answer)
{
	struct pending *p = arg;

	list_del(&p->link);
	p->on_answer(p->arg, status, answer);
	free(p);
}

struct gather;

struct gather_slot {
	struct gather *gather;
	struct buf answer;
	bool answered;
};

struct gather {
	struct exchange *x; /* NULL: the client has gone */
	void (*done)(struct exchange *x, const struct local_answers *answers);
	unsigned waits; /* daemons that have not answered, and one for the asking itself */
	struct gather_slot slots[LOCAL_DAEMONS_COUNT];
};

static void gather_free(struct gather *g)
{
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		buf_fini(&g->slots[i].answer);
	}
	free(g);
}

static void ignore(void *arg, int status, struct str answer)
{
}

static void on_end(void *arg)
{
	struct local *l = arg;

	if (l->agent) {
		control_call(l->agent, STR("{\"cmd\":\"stop\"}"), LOCAL_ASK_MS, ignore, NULL);
		return;
	}
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		local_call(l, i, STR("{\"cmd\":\"drain\"}"), ignore, NULL);
	}
}

void local_end(struct local *l)
{
	loop_timer_in(&l->end_timer, END_AFTER_MS);
}

int local_open(struct httpd *h)
{
	OWN(local_free) struct local *l = xcalloc(1, sizeof(*l));

	list_init(&l->pending);
	loop_timer_init(&l->end_timer, h->loop, on_end, l);
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		char endpoint[64];
		int r;

		if (!h->conf->server && is_server_only(i)) {
			continue;
		}
		snprintf(endpoint, sizeof(endpoint), "%s/control", names[i]);
		r = control_client_new(h->loop, endpoint, &l->clients[i]);
		if (r) {
			return err_pass(r);
		}
	}
	if (getenv("MUSTER_PARENT")) {
		int r = control_client_new(h->loop, "agent/control", &l->agent);

		if (r) {
			return err_pass(r);
		}
	}
	h->local = take(l);
	return 0;
}

void local_free(struct local *l)
{
	struct pending *p, *following;

	loop_timer_stop(&l->end_timer);
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		if (l->clients[i]) {
			control_client_free(l->clients[i]);
		}
	}
	if (l->agent) {
		control_client_free(l->agent);
	}
	list_for_each_safe (p, following, &l->pending, link) {
		pending_end(p, ST_CLOSED, STR_NONE);
	}
	free(l);
}

void local_call(struct local *l, enum local_daemon daemon, struct str request, control_fn on_answer,
	void *arg)
{
	struct pending *p;

	if (!l->clients[daemon]) {
		on_answer(arg, ST_CLOSED, STR_NONE);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->on_answer = on_answer;
	p->arg = arg;
	list_add_tail(&l->pending, &p->link);
	control_call(l->clients[daemon], request, LOCAL_ASK_MS, pending_end, p);
}

static void run_done(struct exchange *x, void *arg)
{
	const struct gather *g = arg;
	struct local_answers answers = { 0 };

	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		if (g->slots[i].answered) {
			answers.text[i] = buf_str(&g->slots[i].answer);
		}
	}
	g->done(x, &answers);
}

static void gather_step(struct gather *g)
{
	struct exchange *x = g->x;

	if (--g->waits) {
		return;
	}
	g->x = NULL;
	if (x) {
		exchange_continue(x, run_done, g);
	}
	gather_free(g);
}

static void on_answer(void *arg, int status, struct str answer)
{
	struct gather_slot *slot = arg;

	if (!status) {
		slot->answered = true;
		buf_put_str(&slot->answer, answer);
	}
	gather_step(slot->gather);
}

static void on_gone(void *arg)
{
	struct gather *g = arg;

	g->x = NULL;
}

void local_ask(struct exchange *x, unsigned mask, struct str request,
	void (*done)(struct exchange *x, const struct local_answers *answers))
{
	struct local *l = x->httpd->local;
	struct gather *g = xcalloc(1, sizeof(*g));

	g->done = done;
	g->x = x;
	g->waits = 1;
	exchange_suspend(x, on_gone, g);
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		g->slots[i].gather = g;
		if (mask & 1u << i) {
			g->waits++;
			local_call(l, i, request, on_answer, &g->slots[i]);
		}
	}
	if (--g->waits == 0) { /* all were refused at once: the handler still runs */
		exchange_ready(x);
		run_done(x, g);
		gather_free(g);
	}
}
