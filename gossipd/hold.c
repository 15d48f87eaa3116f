/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that may wait for news: members, servers, events, and orders for remote execution.
 */
#include "common/sys/clock.h"
#include "gossipd/gossipd.h"

enum hold_kind { HOLD_MEMBERS, HOLD_SERVERS, HOLD_EVENTS, HOLD_REMOTE, HOLD_KINDS };

struct hold {
	struct list link;
	struct ipc_call *call;
	enum hold_kind kind;
	enum gossip_pool_name pool;
	uint64_t seen; /* version of the members, index of the events */
	char *name;    /* of the events */
	struct mono deadline;
};

static uint64_t news(const struct gossipd *g, const struct hold *h)
{
	switch (h->kind) {
	case HOLD_MEMBERS:
		return g->life + g->wires[h->pool].pool.version;
	case HOLD_SERVERS:
		return g->servers_version;
	case HOLD_EVENTS:
		return gossip_events_index(&g->gossip, GOSSIP_USER, str_of(h->name));
	default:
		return gossip_events_index(&g->gossip, GOSSIP_REMOTE, STR(""));
	}
}

static void answer_members(struct gossipd *g, const struct hold *h)
{
	const struct wire *w = &g->wires[h->pool];
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct members_reply reply = { .version = g->life + w->pool.version };
	struct pool_node *n, *next;

	if (w->active) {
		reply.self = w->pool.options.name;
		reply.members.items = arena_array(&arena, struct member, w->pool.members_count + 1);
		pool_for_each(n, next, &w->pool)
		{
			if (n->status != MEMBER_NONE) {
				member_of(n, &arena, &reply.members.items[reply.members.count++]);
			}
		}
	}
	IPC_REPLY(h->call, members, &reply);
}

static void answer_servers(struct gossipd *g, const struct hold *h)
{
	const struct pool *p = &g->wires[GOSSIP_LAN].pool;
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct member items[SERVERS_TOLD_MAX];
	struct gossip_servers_reply reply = { .version = g->servers_version,
		.servers = { items, 0 } };
	struct pool_node *n, *next;

	pool_for_each(n, next, p)
	{
		if (n->status != MEMBER_NONE && node_is_server(n) &&
			reply.servers.count < SERVERS_TOLD_MAX) {
			member_of(n, &arena, &items[reply.servers.count++]);
		}
	}
	IPC_REPLY(h->call, gossip_servers, &reply);
}

static void answer_events(struct gossipd *g, const struct hold *h)
{
	struct user_event items[GOSSIP_EVENTS_MAX];
	struct str name = str_of(h->name);
	struct events_reply reply = {
		.index = gossip_events_index(&g->gossip, GOSSIP_USER, name),
		.events = { items,
			(uint32_t)gossip_events_list(&g->gossip, GOSSIP_USER, name, items) },
	};

	IPC_REPLY(h->call, events, &reply);
}

static void answer_remote(struct gossipd *g, const struct hold *h)
{
	struct user_event items[GOSSIP_EVENTS_MAX];
	struct remote_events_reply reply = {
		.index = gossip_events_index(&g->gossip, GOSSIP_REMOTE, STR("")),
		.events = { items,
			(uint32_t)gossip_events_list(&g->gossip, GOSSIP_REMOTE, STR(""), items) },
	};

	IPC_REPLY(h->call, remote_events, &reply);
}

static void answer(struct gossipd *g, const struct hold *h)
{
	static void (*const answers[HOLD_KINDS])(struct gossipd *, const struct hold *) = {
		[HOLD_MEMBERS] = answer_members,
		[HOLD_SERVERS] = answer_servers,
		[HOLD_EVENTS] = answer_events,
		[HOLD_REMOTE] = answer_remote,
	};

	answers[h->kind](g, h);
}

static void hold_free(struct gossipd *g, struct hold *h)
{
	list_del(&h->link);
	g->holds_count--;
	free(h->name);
	free(h);
}

static void rearm(struct gossipd *g)
{
	struct mono deadline = MONO_NEVER;
	const struct hold *h;

	list_for_each (h, &g->holds, link) {
		deadline = mono_min(deadline, h->deadline);
	}
	loop_timer_at(&g->hold_timer, deadline);
}

static void on_deadline(void *arg)
{
	struct gossipd *g = arg;
	struct mono now = loop_now(g->daemon->loop);
	struct hold *h, *next;

	list_for_each_safe (h, next, &g->holds, link) {
		if (!mono_before(now, h->deadline)) {
			answer(g, h);
			hold_free(g, h);
		}
	}
	rearm(g);
}

static void hold_add(struct gossipd *g, const struct hold *wanted, uint32_t wait_ms)
{
	struct hold *h;

	if (g->holds_count == HOLDS_MAX) {
		ipc_refuse(wanted->call, ST_FULL);
		return;
	}
	h = xmalloc(sizeof(*h));
	*h = *wanted;
	h->name = wanted->name ? xstrdup(wanted->name) : NULL;
	h->deadline = mono_add_ms(loop_now(g->daemon->loop), wait_ms);
	list_add_tail(&g->holds, &h->link);
	g->holds_count++;
	rearm(g);
}

static void answer_or_hold(struct gossipd *g, const struct hold *h, uint32_t wait_ms)
{
	if (h->seen && h->seen == news(g, h) && wait_ms) {
		hold_add(g, h, wait_ms);
	} else {
		answer(g, h);
	}
}

void handle_members(struct gossipd *g, struct ipc_call *call, const struct members *m)
{
	struct hold h = {
		.call = call,
		.kind = HOLD_MEMBERS,
		.pool = m->wan ? GOSSIP_WAN : GOSSIP_LAN,
		.seen = m->version,
	};

	answer_or_hold(g, &h, m->wait_ms);
}

void handle_servers(struct gossipd *g, struct ipc_call *call, const struct gossip_servers *m)
{
	struct hold h = { .call = call, .kind = HOLD_SERVERS, .seen = m->version };

	answer_or_hold(g, &h, m->wait_ms);
}

void holds_server_news(struct gossipd *g)
{
	g->servers_version++;
}

void handle_events(struct gossipd *g, struct ipc_call *call, const struct events *m)
{
	OWN(free) char *name = str_dup(m->name);
	struct hold h = { .call = call, .kind = HOLD_EVENTS, .seen = m->index, .name = name };

	answer_or_hold(g, &h, m->wait_ms);
}

void handle_remote_events(struct gossipd *g, struct ipc_call *call, const struct remote_events *m)
{
	struct hold h = { .call = call, .kind = HOLD_REMOTE, .seen = m->index };

	answer_or_hold(g, &h, m->wait_ms);
}

void holds_init(struct gossipd *g)
{
	list_init(&g->holds);
	g->life = (random_u64() | 1) << 32;
	g->servers_version = g->life;
	loop_timer_init(&g->hold_timer, g->daemon->loop, on_deadline, g);
}

void holds_wake(struct gossipd *g)
{
	struct hold *h, *next;

	list_for_each_safe (h, next, &g->holds, link) {
		if (h->seen != news(g, h)) {
			answer(g, h);
			hold_free(g, h);
		}
	}
}

void holds_fini(struct gossipd *g)
{
	struct hold *h, *next;

	list_for_each_safe (h, next, &g->holds, link) {
		hold_free(g, h);
	}
	loop_timer_stop(&g->hold_timer);
}
