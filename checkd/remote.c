/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From events to orders, and what an order wants done.
 */
#include "checkd/remote.h"

#include <sys/wait.h>

#include "checkd/core/remote.h"
#include "checkd/program.h"
#include "common/base/err.h"
#include "common/client/api.h"
#include "common/sys/clock.h"
#include "common/sys/ipc.h"
#include "common/sys/log.h"

enum {
	POLL_WAIT_MS = 60000, /* for an event */
	POLL_GRACE_MS = 10000,
	POLL_PAUSE_MS = 1000, /* where gossipd does not answer */
	RUN_MAX_MS = 3600 * 1000,
};

struct order {
	struct list link; /* in remotes.waiting, .orders or .over */
	struct remotes *remotes;
	struct buf payload; /* of its event */
	bool again;	    /* the event is older than we */
	struct remote remote;
	uint64_t request; /* 0: none */
	struct program *program;
	struct loop_timer timer;
	char id[UUID_TEXT_SIZE + 1]; /* of the event */
	bool held, over;
};

struct remotes {
	struct loop *loop;
	const struct conf *conf;
	struct scripts *scripts;
	void (*on_run)(void *arg);
	void *arg;
	struct api *api;
	struct ipc_client *gossip;
	struct ipc_pending *poll;
	struct loop_timer again;
	uint64_t index; /* of the newest event seen; 0: none was asked for yet */
	struct list waiting, orders, over;
	unsigned waiting_count, orders_count;
	uint64_t numbers;
	struct loop_timer sweep; /* frees what is over, outside of its own callbacks */
};

static void order_step(struct order *o, struct remote_event *e);

/* ---- one order ---- */

static void order_free(struct order *o)
{
	if (o->program) {
		program_stop(o->program);
	}
	if (o->request) {
		api_cancel(o->remotes->api, o->request);
	}
	loop_timer_stop(&o->timer);
	list_del(&o->link);
	remote_fini(&o->remote);
	buf_fini(&o->payload);
	free(o);
}

static void on_printed(void *arg, struct str bytes)
{
	struct remote_event e = { .type = REMOTE_PRINTED, .text = bytes };

	order_step(arg, &e);
}

/* As Go counts: -1 where a signal ended it. */
static int64_t code_of(const struct program_end *end)
{
	if (end->error || end->timed_out) {
		return REMOTE_FAILED;
	}
	return WIFEXITED(end->status) ? WEXITSTATUS(end->status) : -1;
}

static void on_program_end(void *arg, const struct program_end *end)
{
	struct order *o = arg;
	struct remote_event e = { .type = REMOTE_ENDED, .code = code_of(end) };

	o->program = NULL; /* it goes by itself */
	order_step(o, &e);
}

static int program_begin(struct order *o)
{
	OWN_EMBEDDED(buf_fini) struct buf arguments = { 0 };
	const struct remote_spec *spec = &o->remote.spec;
	const struct program_hooks hooks = { on_printed, on_program_end, o };
	struct program_request q = { .timeout_ms = RUN_MAX_MS };

	if (spec->args.count && !spec->script.n) {
		for (uint32_t i = 0; i < spec->args.count && i < SCRIPT_ARGUMENTS_MAX; i++) {
			program_argument(&arguments, spec->args.items[i]);
		}
	} else {
		program_argument(&arguments, str_of(program_shell()));
		program_argument(&arguments, STR("-c"));
	}
	if (spec->script.n) {
		q.input_is = PROGRAM_INPUT_SCRIPT;
		q.input = spec->script;
	} else if (!spec->args.count) {
		program_argument(&arguments, spec->command);
	}
	q.arguments = buf_str(&arguments);
	return program_start(o->remotes->loop, o->remotes->scripts, &q, &hooks, &o->program);
}

static void order_start(struct order *o)
{
	int r = program_begin(o);

	log_notice("remote-exec", "event=%s session=\"" STR_FMT "\" error=%d", o->id,
		STR_ARG(buf_str(&o->remote.session)), r);
	if (r) {
		struct remote_event e = { .type = REMOTE_ENDED, .code = REMOTE_FAILED };

		order_step(o, &e);
	} else {
		o->remotes->on_run(o->remotes->arg);
	}
}

static void order_ask(struct order *o, const struct remote_update *u)
{
	const struct conf_acl *acl = &o->remotes->conf->acl;
	struct api_request q = { .number = ++o->remotes->numbers,
		.put = u->put,
		.timeout_ms = API_TIMEOUT_MS,
		.path = u->path,
		.body = u->body,
		.token = acl->token_agent.n ? acl->token_agent : acl->token_default };

	o->request = q.number;
	api_send(o->remotes->api, &q);
}

static void order_end(struct order *o, const char *note)
{
	struct remotes *r = o->remotes;

	if (note) {
		log_info("remote-exec-dropped", "event=%s reason=\"%s\"", o->id, note);
	}
	list_del(&o->link);
	list_add_tail(&r->over, &o->link);
	r->orders_count--;
	o->over = true;
	loop_timer_stop(&o->timer);
	loop_timer_in(&r->sweep, 0);
}

static void order_step(struct order *o, struct remote_event *e)
{
	struct remote_update u;

	if (o->over) {
		return;
	}
	e->now = clock_mono();
	remote_step(&o->remote, e, &u);
	if (u.kill && o->program) {
		program_stop(take(o->program));
	}
	if (u.ask) {
		order_ask(o, &u);
	}
	if (o->program && o->held != u.hold) {
		o->held = u.hold;
		program_hold(o->program, u.hold);
	}
	if (u.done) {
		order_end(o, u.note);
		return;
	}
	loop_timer_at(&o->timer, remote_deadline(&o->remote));
	if (u.start) {
		order_start(o);
	}
}

static void on_timer(void *arg)
{
	struct remote_event e = { .type = REMOTE_TIMER };

	order_step(arg, &e);
}

static void on_answer(void *arg, uint64_t number, int status, uint64_t index, struct str body)
{
	struct remote_event e = { .type = REMOTE_ANSWERED, .status = status, .text = body };
	struct remotes *r = arg;
	struct order *o;

	list_for_each (o, &r->orders, link) {
		if (o->request == number) {
			o->request = 0;
			order_step(o, &e);
			return;
		}
	}
}

static void all_free(struct list *orders)
{
	while (!list_empty(orders)) {
		order_free(list_first(orders, struct order, link));
	}
}

static void orders_begin(struct remotes *r)
{
	while (r->orders_count < REMOTES_MAX && !list_empty(&r->waiting)) {
		struct order *o = list_first(&r->waiting, struct order, link);
		struct remote_event e = {
			.type = REMOTE_BEGIN, .text = buf_str(&o->payload), .again = o->again
		};

		list_del(&o->link);
		list_add_tail(&r->orders, &o->link);
		r->waiting_count--;
		r->orders_count++;
		order_step(o, &e);
	}
}

static void on_sweep(void *arg)
{
	struct remotes *r = arg;

	all_free(&r->over);
	orders_begin(r);
}

static void order_new(struct remotes *r, const struct user_event *event, bool again)
{
	struct order *o;
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&event->id, id);
	if (r->waiting_count == REMOTES_WAITING_MAX) {
		log_warning("remote-exec-dropped", "event=%s reason=\"%d wait already\"", id,
			REMOTES_WAITING_MAX);
		return;
	}
	o = xcalloc(1, sizeof(*o));
	o->remotes = r;
	o->again = again;
	buf_put_str(&o->payload, event->payload);
	memcpy(o->id, id, sizeof(id));
	remote_init(&o->remote, r->conf->node_name);
	loop_timer_init(&o->timer, r->loop, on_timer, o);
	list_add_tail(&r->waiting, &o->link);
	r->waiting_count++;
}

/* ---- events ---- */

static void poll_begin(struct remotes *r);

/* Those behind the one that was seen last; all, when it is not among them. */
static void events_take(struct remotes *r, const struct remote_events_reply *m)
{
	bool first = r->index == 0;
	uint32_t begin = 0;

	for (uint32_t i = 0; i < m->events.count; i++) {
		if (uuid_fold(&m->events.items[i].id) == r->index) {
			begin = i + 1;
		}
	}
	r->index = m->index;
	for (uint32_t i = begin; i < m->events.count; i++) {
		order_new(r, &m->events.items[i], first);
	}
	orders_begin(r);
}

static void on_events(void *arg, int status, struct str payload)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct remotes *r = arg;
	struct remote_events_reply m;

	r->poll = NULL;
	if (status == 0 && remote_events_reply_decode(payload, &arena, &m) == 0) {
		events_take(r, &m);
		loop_timer_in(&r->again, 0);
	} else {
		loop_timer_in(&r->again, status == ST_TIMEOUT ? 0 : POLL_PAUSE_MS);
	}
}

static void poll_begin(struct remotes *r)
{
	struct remote_events m = { .index = r->index, .wait_ms = POLL_WAIT_MS };
	struct ipc_pending *pending =
		IPC_CALL(r->gossip, remote_events, &m, POLL_WAIT_MS + POLL_GRACE_MS, on_events, r);

	if (pending) { /* else on_events has run already */
		r->poll = pending;
	}
}

static void on_again(void *arg)
{
	poll_begin(arg);
}

/* ---- life ---- */

int remotes_new(struct loop *loop, const struct conf *conf, struct scripts *scripts,
	void (*on_run)(void *arg), void *arg, struct remotes **out)
{
	struct remotes *r = xcalloc(1, sizeof(*r));
	int error = ipc_client_new(loop, "gossipd/read", &r->gossip);

	if (error) {
		free(r);
		return err_pass(error);
	}
	r->loop = loop;
	r->conf = conf;
	r->scripts = scripts;
	r->on_run = on_run;
	r->arg = arg;
	list_init(&r->waiting);
	list_init(&r->orders);
	list_init(&r->over);
	loop_timer_init(&r->again, loop, on_again, r);
	loop_timer_init(&r->sweep, loop, on_sweep, r);
	r->api = api_new(loop, "httpd/api.sock", REMOTES_MAX, on_answer, r);
	loop_timer_in(&r->again, 0);
	*out = r;
	return 0;
}

void remotes_free(struct remotes *r)
{
	if (r->poll) {
		ipc_cancel(r->poll);
	}
	all_free(&r->waiting);
	all_free(&r->orders);
	all_free(&r->over);
	loop_timer_stop(&r->again);
	loop_timer_stop(&r->sweep);
	ipc_client_free(r->gossip);
	api_free(r->api);
	free(r);
}

void remotes_drain(struct remotes *r)
{
	struct order *o, *next;

	if (r->poll) {
		ipc_cancel(take(r->poll));
	}
	loop_timer_stop(&r->again);
	all_free(&r->waiting);
	r->waiting_count = 0;
	list_for_each_safe (o, next, &r->orders, link) {
		if (o->remote.state < REMOTE_ACKS) {
			order_free(o);
			r->orders_count--;
		}
	}
}

void remotes_reconfigure(struct remotes *r, const struct conf *conf)
{
	r->conf = conf;
}

uint64_t remotes_count(const struct remotes *r)
{
	return r->orders_count;
}
