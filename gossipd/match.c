/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events with a service filter concern this node only if it has such a service: checkd knows.
 */
#include "gossipd/gossipd.h"

struct match {
	struct list link;
	struct gossipd *gossipd;
	struct ipc_pending *pending;
	struct buf bytes;
	struct user_event event;
};

static void match_free(struct match *m)
{
	list_del(&m->link);
	buf_fini(&m->bytes);
	free(m);
}
DEFINE_OWN(struct match, match_free)

static bool decide(const struct match *m, struct str payload)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct agent_services_reply reply;
	struct json *services;

	if (agent_services_reply_decode(payload, &arena, &reply) ||
		reply.result.kind != RESULT_OK ||
		json_parse(&arena, reply.result.payload, &services, NULL)) {
		log_error("services-unreadable", "event=\"" STR_FMT "\"", STR_ARG(m->event.name));
		return false;
	}
	return user_event_is_for_services(&m->event, services);
}

static void on_services(void *arg, int status, struct str payload)
{
	OWN(match_free) struct match *m = arg;
	struct gossip_event event = { .type = GOSSIP_EVENT_MATCHED, .id = m->event.id };
	struct gossip_update update;

	if (status) {
		log_warning("event-dropped",
			"event=\"" STR_FMT "\" ltime=%llu reason=\"checkd does not answer: %s\"",
			STR_ARG(m->event.name), (unsigned long long)m->event.ltime,
			status_name(status));
	}
	event.matched = status == 0 && decide(m, payload);
	gossipd_step(m->gossipd, &event, &update);
}

void gossipd_step(struct gossipd *g, const struct gossip_event *event, struct gossip_update *update)
{
	gossip_step(&g->gossip, event, update);
	if (update->events_changed) {
		metrics_add(g->daemon->metrics, METRIC_EVENTS, 1);
		holds_wake_soon(g);
	}
	if (update->to_match) {
		match_services(g, update->to_match);
	}
}

void match_services(struct gossipd *g, const struct user_event *e)
{
	struct agent_services question = { .token = g->daemon->conf->acl.token_agent };
	struct match *m = xcalloc(1, sizeof(*m));
	struct ipc_pending *pending;

	m->gossipd = g;
	user_event_encode(&m->bytes, e);
	must(user_event_decode(buf_str(&m->bytes), NULL, &m->event) == 0);
	list_add_tail(&g->matches, &m->link);
	/* NULL: on_services has run already, and m is gone. */
	pending =
		IPC_CALL(g->checkd, agent_services, &question, SERVICES_TIMEOUT_MS, on_services, m);
	if (pending) {
		m->pending = pending;
	}
}

void matches_fini(struct gossipd *g)
{
	struct match *m, *next;

	list_for_each_safe (m, next, &g->matches, link) {
		ipc_cancel(m->pending);
		match_free(m);
	}
}
