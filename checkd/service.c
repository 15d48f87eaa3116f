/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of checkd's endpoints. What changes something is answered when the turn in which it
 * came is on disk.
 */
#include "checkd/checkd.h"
#include "common/client/definition.h"

struct answer {
	struct list link;
	struct ipc_call *call;
	struct buf encoded; /* every write has the same reply: a struct result */
};

/* An agent_service call that waits for another hash than its own. */
struct waiter {
	struct list link;
	struct checkd *checkd;
	struct ipc_call *call;
	struct loop_timer timer;
	char *id, *hash;
};

/* ---- writes ---- */

static void answer_later(struct checkd *c, struct ipc_call *call, const struct result *result)
{
	struct answer *a = xcalloc(1, sizeof(*a));

	a->call = call;
	result_encode(&a->encoded, result);
	list_add_tail(&c->answers, &a->link);
	c->stepped = true;
}

void service_answer_all(struct checkd *c, int commit_error)
{
	OWN_EMBEDDED(buf_fini) struct buf failure = { 0 };
	struct answer *a, *next;

	if (commit_error) {
		struct result result = { .kind = RESULT_ERROR,
			.text = STR("the agent's state could not be written to disk") };

		result_encode(&failure, &result);
	}
	list_for_each_safe (a, next, &c->answers, link) {
		ipc_reply(a->call, commit_error ? buf_str(&failure) : buf_str(&a->encoded));
		list_del(&a->link);
		buf_fini(&a->encoded);
		free(a);
	}
}

static void step_and_answer(struct checkd *c, struct ipc_call *call, struct registry_event *e)
{
	struct result result;

	checkd_step(c, e, &result);
	answer_later(c, call, &result);
}

static void refuse(struct checkd *c, struct ipc_call *call, enum result_kind kind, const char *text)
{
	struct result result = { .kind = (uint8_t)kind, .text = str_of(text) };

	answer_later(c, call, &result);
}

/* The first reason why one of the checks cannot be registered from outside; NULL: none. */
static const char *checks_fault(struct checkd *c, const struct check_def *checks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (definition_check_is_script(&checks[i]) &&
			!c->daemon->conf->enable_script_checks_remote) {
			return "Scripts are disabled on this agent from remote calls; to enable, "
			       "configure 'enable_script_checks' to true";
		}
		if (run_refusal(&checks[i])) {
			return run_refusal(&checks[i]);
		}
	}
	return NULL;
}

static struct str sync_token_of(struct str own, struct str request)
{
	return own.n ? own : request;
}

static void handle_service_register(
	struct checkd *c, struct ipc_call *call, const struct agent_service_register *m)
{
	struct arena *arena = ipc_call_arena(call);
	struct registry_check *checks = arena_array(arena, struct registry_check, m->checks.count);
	const char *fault = checks_fault(c, m->checks.items, m->checks.count);
	struct registry_event e = { .type = REGISTRY_SERVICE_PUT,
		.service = { .def = &m->service,
			.checks = checks,
			.checks_count = m->checks.count,
			.sync_token = sync_token_of(m->sync_token, m->token),
			.replace_checks = m->replace_existing_checks } };

	metrics_add(c->daemon->metrics, METRIC_REGISTRATIONS, 1);
	if (fault) {
		refuse(c, call, RESULT_ERROR, fault);
		return;
	}
	for (uint32_t i = 0; i < m->checks.count; i++) {
		checks[i] = (struct registry_check) { &m->checks.items[i],
			str_of(definition_check_type(&m->checks.items[i])) };
	}
	step_and_answer(c, call, &e);
}

static void handle_service_deregister(
	struct checkd *c, struct ipc_call *call, const struct agent_service_deregister *m)
{
	struct registry_event e = { .type = REGISTRY_SERVICE_DEL, .id = m->id };

	step_and_answer(c, call, &e);
}

static void handle_check_register(
	struct checkd *c, struct ipc_call *call, const struct agent_check_register *m)
{
	const char *fault = checks_fault(c, &m->check, 1);
	struct registry_event e = { .type = REGISTRY_CHECK_PUT,
		.check = { { &m->check, str_of(definition_check_type(&m->check)) },
			sync_token_of(m->check.token, m->token), false } };

	metrics_add(c->daemon->metrics, METRIC_REGISTRATIONS, 1);
	if (fault) {
		refuse(c, call, RESULT_ERROR, fault);
	} else {
		step_and_answer(c, call, &e);
	}
}

static void handle_check_deregister(
	struct checkd *c, struct ipc_call *call, const struct agent_check_deregister *m)
{
	struct registry_event e = { .type = REGISTRY_CHECK_DEL, .id = m->id };

	step_and_answer(c, call, &e);
}

static void handle_check_update(
	struct checkd *c, struct ipc_call *call, const struct agent_check_update *m)
{
	struct registry_event e = { .type = REGISTRY_TTL,
		.ttl = { .id = m->id, .output = m->output } };

	if (check_status_parse(m->status, &e.ttl.status)) {
		refuse(c, call, RESULT_BAD, "Invalid check status");
	} else {
		step_and_answer(c, call, &e);
	}
}

static void handle_maintenance(
	struct checkd *c, struct ipc_call *call, const struct agent_maintenance *m)
{
	struct registry_event e = { .type = REGISTRY_MAINTENANCE,
		.maintenance = { m->service_id, m->enable, m->reason } };

	step_and_answer(c, call, &e);
}

/* ---- reads ---- */

static void handle_services(struct checkd *c, struct ipc_call *call, const struct agent_services *m)
{
	OWN_EMBEDDED(buf_fini) struct buf json = { 0 };
	struct agent_services_reply reply = { 0 };

	registry_render_services(c->registry, &json);
	reply.result.payload = buf_str(&json);
	IPC_REPLY(call, agent_services, &reply);
}

static void handle_checks(struct checkd *c, struct ipc_call *call, const struct agent_checks *m)
{
	OWN_EMBEDDED(buf_fini) struct buf json = { 0 };
	struct agent_checks_reply reply = { 0 };

	registry_render_checks(c->registry, &json);
	reply.result.payload = buf_str(&json);
	IPC_REPLY(call, agent_checks, &reply);
}

static void handle_health(struct checkd *c, struct ipc_call *call, const struct agent_health *m)
{
	OWN_EMBEDDED(buf_fini) struct buf json = { 0 };
	struct agent_health_reply reply = { 0 };

	reply.status = str_of(m->by_name ? registry_render_health_name(c->registry, m->name, &json)
					 : registry_render_health_id(c->registry, m->name, &json));
	reply.result.payload = buf_str(&json);
	IPC_REPLY(call, agent_health, &reply);
}

static void handle_counts(struct checkd *c, struct ipc_call *call, const struct agent_counts *m)
{
	struct agent_counts_reply reply = { 0 };
	struct registry_counts n;

	registry_count(c->registry, &n);
	reply = (struct agent_counts_reply) { .check_monitors = n.monitors,
		.check_ttls = n.ttls,
		.checks = n.checks,
		.services = n.services };
	IPC_REPLY(call, agent_counts, &reply);
}

/* ---- one service, and waiting for it to change ---- */

/* Answers unless the hash is still `hash` (and may_wait). */
static bool service_reply(
	struct checkd *c, struct ipc_call *call, struct str id, struct str hash, bool may_wait)
{
	OWN_EMBEDDED(buf_fini) struct buf json = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf now_hash = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct agent_service_reply reply = { 0 };

	if (registry_render_service(c->registry, id, &json, &now_hash)) {
		buf_printf(&text, "unknown service ID: " STR_FMT, STR_ARG(id));
		reply.result.kind = RESULT_NOT_FOUND;
		reply.result.text = buf_str(&text);
	} else if (may_wait && str_eq(hash, buf_str(&now_hash))) {
		return false;
	}
	reply.result.payload = buf_str(&json);
	reply.hash = buf_str(&now_hash);
	IPC_REPLY(call, agent_service, &reply);
	return true;
}

static void waiter_free(struct waiter *w)
{
	loop_timer_stop(&w->timer);
	list_del(&w->link);
	w->checkd->waiters_count--;
	free(w->id);
	free(w->hash);
	free(w);
}

static void waiter_end(struct waiter *w)
{
	service_reply(w->checkd, w->call, str_of(w->id), STR(""), false);
	waiter_free(w);
}

static void on_waited(void *arg)
{
	waiter_end(arg);
}

static void handle_service(struct checkd *c, struct ipc_call *call, const struct agent_service *m)
{
	bool may_wait = m->wait_ms && m->hash.n && c->waiters_count < CHECKD_WAITERS_MAX &&
			!c->daemon->draining;
	struct waiter *w;

	if (service_reply(c, call, m->id, m->hash, may_wait)) {
		return;
	}
	w = xcalloc(1, sizeof(*w));
	*w = (struct waiter) {
		.checkd = c, .call = call, .id = str_dup(m->id), .hash = str_dup(m->hash)
	};
	list_add_tail(&c->waiters, &w->link);
	c->waiters_count++;
	loop_timer_init(&w->timer, c->daemon->loop, on_waited, w);
	loop_timer_in(&w->timer, min_of(m->wait_ms, CHECKD_WAIT_MAX_MS));
}

void service_wake(struct checkd *c)
{
	struct waiter *w, *next;

	list_for_each_safe (w, next, &c->waiters, link) {
		if (service_reply(c, w->call, str_of(w->id), str_of(w->hash), true)) {
			waiter_free(w);
		}
	}
}

/* ---- the endpoints ---- */

IPC_DECODER(struct checkd, agent_services, handle_services)
IPC_DECODER(struct checkd, agent_checks, handle_checks)
IPC_DECODER(struct checkd, agent_service, handle_service)
IPC_DECODER(struct checkd, agent_health, handle_health)
IPC_DECODER(struct checkd, agent_counts, handle_counts)
IPC_DECODER(struct checkd, agent_service_register, handle_service_register)
IPC_DECODER(struct checkd, agent_service_deregister, handle_service_deregister)
IPC_DECODER(struct checkd, agent_check_register, handle_check_register)
IPC_DECODER(struct checkd, agent_check_deregister, handle_check_deregister)
IPC_DECODER(struct checkd, agent_check_update, handle_check_update)
IPC_DECODER(struct checkd, agent_maintenance, handle_maintenance)

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(agent_services, ROLE_READ, handle_services),
	IPC_HANDLER(agent_checks, ROLE_READ, handle_checks),
	IPC_HANDLER(agent_service, ROLE_READ, handle_service),
	IPC_HANDLER(agent_health, ROLE_READ, handle_health),
	IPC_HANDLER(agent_counts, ROLE_READ, handle_counts),
	IPC_HANDLER(agent_service_register, ROLE_WRITE, handle_service_register),
	IPC_HANDLER(agent_service_deregister, ROLE_WRITE, handle_service_deregister),
	IPC_HANDLER(agent_check_register, ROLE_WRITE, handle_check_register),
	IPC_HANDLER(agent_check_deregister, ROLE_WRITE, handle_check_deregister),
	IPC_HANDLER(agent_check_update, ROLE_WRITE, handle_check_update),
	IPC_HANDLER(agent_maintenance, ROLE_WRITE, handle_maintenance),
};

int service_open(struct checkd *c)
{
	struct loop *loop = c->daemon->loop;
	int r = ipc_server_new(
		loop, "checkd/read", ROLE_READ, handlers, ARRAY_SIZE(handlers), c, &c->read);

	return r ? err_pass(r)
		 : ipc_server_new(loop, "checkd/write", ROLE_WRITE, handlers, ARRAY_SIZE(handlers),
			   c, &c->write);
}

void service_close(struct checkd *c)
{
	while (!list_empty(&c->waiters)) {
		waiter_end(list_first(&c->waiters, struct waiter, link));
	}
	if (c->store) { /* else it never began to serve */
		service_answer_all(c, store_commit(c->store));
	}
	if (c->read) {
		ipc_server_free(take(c->read));
	}
	if (c->write) {
		ipc_server_free(take(c->write));
	}
}
