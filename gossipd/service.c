/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints gossipd/read and gossipd/write, and the life of the process.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "gossipd/gossipd.h"

void gossipd_step(struct gossipd *g, const struct gossip_event *event, struct gossip_update *update)
{
	gossip_step(&g->gossip, event, update);
	if (update->clocks_changed && clocks_store(g->clocks_path, &g->gossip.clocks)) {
		/* The next start may use a time twice; alone that does no harm. */
		log_error("clocks", "error=\"%s\"", err_text());
	}
	if (update->events_changed) {
		metrics_add(g->daemon->metrics, METRIC_EVENTS, 1);
	}
	if (update->events_changed || update->members_changed) {
		holds_wake(g);
	}
}

static struct result result_of(const struct gossip_update *u)
{
	return (struct result) { .kind = u->status ? RESULT_ERROR : RESULT_OK, .text = u->why };
}

static void handle_fire(struct gossipd *g, struct ipc_call *call, const struct event_fire *m)
{
	struct gossip_event event = { .type = GOSSIP_EVENT_FIRE, .user_event = &m->event };
	struct event_fire_reply reply = { .event = m->event };
	struct gossip_update update;

	gossipd_step(g, &event, &update);
	reply.result = result_of(&update);
	reply.event.ltime = 0;
	IPC_REPLY(call, event_fire, &reply);
	if (update.to_match) {
		match_services(g, update.to_match);
	}
}

static void handle_leave(struct gossipd *g, struct ipc_call *call, const struct gossip_leave *m)
{
	struct gossip_event event = { .type = GOSSIP_EVENT_LEAVE };
	struct gossip_leave_reply reply;
	struct gossip_update update;

	gossipd_step(g, &event, &update);
	if (update.members_changed) {
		log_notice("left", "member_time=%llu",
			(unsigned long long)g->gossip.clocks.member_time);
		metrics_add(g->daemon->metrics, METRIC_MEMBER_LEFT, 1);
	}
	reply.result = result_of(&update);
	IPC_REPLY(call, gossip_leave, &reply);
}

static void handle_force_leave(
	struct gossipd *g, struct ipc_call *call, const struct gossip_force_leave *m)
{
	struct gossip_event event = { .type = GOSSIP_EVENT_FORCE_LEAVE, .node = m->node };
	struct gossip_force_leave_reply reply;
	struct gossip_update update;

	gossipd_step(g, &event, &update);
	reply.result = result_of(&update);
	IPC_REPLY(call, gossip_force_leave, &reply);
}

IPC_DECODER(struct gossipd, members, handle_members)
IPC_DECODER(struct gossipd, events, handle_events)
IPC_DECODER(struct gossipd, gossip_stats, handle_stats)
IPC_DECODER(struct gossipd, event_fire, handle_fire)
IPC_DECODER(struct gossipd, gossip_join, handle_join)
IPC_DECODER(struct gossipd, gossip_leave, handle_leave)
IPC_DECODER(struct gossipd, gossip_force_leave, handle_force_leave)

static const struct ipc_handler rows[] = {
	IPC_HANDLER(members, ROLE_READ, handle_members),
	IPC_HANDLER(events, ROLE_READ, handle_events),
	IPC_HANDLER(gossip_stats, ROLE_READ, handle_stats),
	IPC_HANDLER(event_fire, ROLE_WRITE, handle_fire),
	IPC_HANDLER(gossip_join, ROLE_WRITE, handle_join),
	IPC_HANDLER(gossip_leave, ROLE_WRITE, handle_leave),
	IPC_HANDLER(gossip_force_leave, ROLE_WRITE, handle_force_leave),
};

/* -------- life -------- */

static int clocks_open(struct gossipd *g, struct gossip_clocks *out)
{
	const struct conf *c = g->daemon->conf;
	int r;

	snprintf(g->clocks_path, sizeof(g->clocks_path), STR_FMT "/gossipd", STR_ARG(c->data_dir));
	if (mkdir(g->clocks_path, 0750) < 0 && errno != EEXIST) {
		return err_errno("make %s", g->clocks_path);
	}
	snprintf(g->clocks_path, sizeof(g->clocks_path), STR_FMT "/gossipd/clocks.json",
		STR_ARG(c->data_dir));
	r = clocks_load(g->clocks_path, out);
	if (r == ST_CORRUPT) {
		log_warning("clocks-unreadable", "path=\"%s\" action=\"they start again\"",
			g->clocks_path);
		*out = (struct gossip_clocks) { 0 };
		return 0;
	}
	return r;
}

static int core_open(struct gossipd *g)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct conf *c = g->daemon->conf;
	char id[UUID_TEXT_SIZE + 1];
	struct member lan, wan;
	struct gossip_options options = { &lan, c->server && c->ports.serf_wan > 0 ? &wan : NULL };
	struct uuid uuid;
	int r = conf_node_id(c, &uuid);

	if (r) {
		return r;
	}
	uuid_text(&uuid, id);
	self_describe(c, id, GOSSIP_LAN, &arena, &lan);
	self_describe(c, id, GOSSIP_WAN, &arena, &wan);
	gossip_init(&g->gossip, &options);
	g->gossip_open = true;
	return 0;
}

int gossipd_open(struct daemon *d)
{
	struct gossipd *g = xcalloc(1, sizeof(*g));
	struct gossip_event start = { .type = GOSSIP_EVENT_START };
	struct gossip_update update;
	int r;

	d->self = g;
	g->daemon = d;
	list_init(&g->matches);
	holds_init(g);
	list_init(&g->joins);
	r = clocks_open(g, &start.clocks);
	r = r ? r : core_open(g);
	if (r == 0) {
		gossip_step(&g->gossip, &start, &update);
		metrics_add(d->metrics, METRIC_MEMBER_JOIN, 1);
	}
	return r;
}

int gossipd_start(struct daemon *d)
{
	struct gossipd *g = d->self;
	int r = ipc_client_new(d->loop, "checkd/read", &g->checkd);

	r = r ? r
	      : ipc_server_new(d->loop, "gossipd/read", ROLE_READ, rows, ARRAY_SIZE(rows), g,
			&g->read_server);
	return r ? r
		 : ipc_server_new(d->loop, "gossipd/write", ROLE_WRITE, rows, ARRAY_SIZE(rows), g,
			   &g->write_server);
}

void gossipd_stop(struct daemon *d)
{
	struct gossipd *g = d->self;

	if (!g) {
		return;
	}
	matches_fini(g);
	joins_fini(g);
	holds_fini(g);
	if (g->read_server) {
		ipc_server_free(g->read_server);
	}
	if (g->write_server) {
		ipc_server_free(g->write_server);
	}
	if (g->checkd) {
		ipc_client_free(g->checkd);
	}
	if (g->gossip_open) {
		gossip_fini(&g->gossip);
	}
	free(take(d->self));
}
