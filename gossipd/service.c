/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints gossipd/read and gossipd/write, and the life of the process.
 */
#include <errno.h>

#include "gossipd/gossipd.h"

static struct wire *lan_of(struct gossipd *g)
{
	return &g->wires[GOSSIP_LAN];
}

/* The pool spreads it, and brings it to us as to everybody (note.c). */
static int spread(struct gossipd *g, const struct gossip_update *u)
{
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 }, payload = { 0 };
	struct pool_event event = { .type = POOL_FIRE };
	struct pool_update update;

	buf_put_str(&name, u->name);
	buf_put_str(&payload, u->payload);
	event.name = buf_str(&name);
	event.payload = buf_str(&payload);
	wire_step(lan_of(g), &event, &update);
	return update.status;
}

static void handle_fire(struct gossipd *g, struct ipc_call *call, const struct event_fire *m)
{
	struct gossip_event event = { .type = GOSSIP_EVENT_FIRE,
		.user_event = &m->event,
		.ltime = lan_of(g)->pool.clocks.event };
	struct event_fire_reply reply = { .event = m->event };
	struct gossip_update update;

	gossipd_step(g, &event, &update);
	reply.result = (struct result) { .kind = update.status ? RESULT_ERROR : RESULT_OK,
		.text = update.why };
	reply.event.ltime = 0;
	IPC_REPLY(call, event_fire, &reply);
	if (!update.status && update.name.n && spread(g, &update)) {
		log_error("event-not-spread", "event=\"" STR_FMT "\"", STR_ARG(m->event.name));
	}
}

/* In the WAN pool its name is another. Members that no pool knows are refused. */
static void handle_force_leave(
	struct gossipd *g, struct ipc_call *call, const struct gossip_force_leave *m)
{
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 }, text = { 0 };
	struct gossip_force_leave_reply reply = { .result = { .kind = RESULT_OK } };
	struct pool_event event = { .type = POOL_FORCE_LEAVE, .name = m->node, .prune = m->prune };
	struct pool_update update;
	int status;

	wire_step(lan_of(g), &event, &update);
	status = update.status;
	if (g->wires[GOSSIP_WAN].active) {
		buf_printf(&name, STR_FMT "." STR_FMT, STR_ARG(m->node),
			STR_ARG(g->daemon->conf->datacenter));
		event.name = buf_str(&name);
		wire_step(&g->wires[GOSSIP_WAN], &event, &update);
		event.name = m->node; /* of another data centre: with its own */
		wire_step(&g->wires[GOSSIP_WAN], &event, &update);
		status = status ? update.status : 0;
	}
	if (status) {
		buf_printf(&text, "agent: No node found with name '" STR_FMT "'", STR_ARG(m->node));
		reply.result = (struct result) { .kind = RESULT_ERROR, .text = buf_str(&text) };
	}
	IPC_REPLY(call, gossip_force_leave, &reply);
}

IPC_DECODER(struct gossipd, members, handle_members)
IPC_DECODER(struct gossipd, events, handle_events)
IPC_DECODER(struct gossipd, remote_events, handle_remote_events)
IPC_DECODER(struct gossipd, gossip_stats, handle_stats)
IPC_DECODER(struct gossipd, event_fire, handle_fire)
IPC_DECODER(struct gossipd, gossip_join, handle_join)
IPC_DECODER(struct gossipd, gossip_leave, handle_leave)
IPC_DECODER(struct gossipd, gossip_force_leave, handle_force_leave)
IPC_DECODER(struct gossipd, gossip_keyring, handle_keyring)
IPC_DECODER(struct gossipd, gossip_query, handle_query)
IPC_DECODER(struct gossipd, gossip_coordinates, handle_coordinates)
IPC_DECODER(struct gossipd, gossip_coordinate, handle_coordinate)
IPC_DECODER(struct gossipd, gossip_servers, handle_servers)

static const struct ipc_handler rows[] = {
	IPC_HANDLER(members, ROLE_READ, handle_members),
	IPC_HANDLER(events, ROLE_READ, handle_events),
	IPC_HANDLER(remote_events, ROLE_READ, handle_remote_events),
	IPC_HANDLER(gossip_stats, ROLE_READ, handle_stats),
	IPC_HANDLER(event_fire, ROLE_WRITE, handle_fire),
	IPC_HANDLER(gossip_join, ROLE_WRITE, handle_join),
	IPC_HANDLER(gossip_leave, ROLE_WRITE, handle_leave),
	IPC_HANDLER(gossip_force_leave, ROLE_WRITE, handle_force_leave),
	IPC_HANDLER(gossip_keyring, ROLE_WRITE, handle_keyring),
	IPC_HANDLER(gossip_query, ROLE_WRITE, handle_query),
	IPC_HANDLER(gossip_coordinates, ROLE_READ, handle_coordinates),
	IPC_HANDLER(gossip_coordinate, ROLE_READ, handle_coordinate),
	IPC_HANDLER(gossip_servers, ROLE_READ, handle_servers),
};

/* -------- life -------- */

static int wire_begin(struct gossipd *g, enum gossip_pool_name name, const char *id)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct pool_options options;

	if (self_options(g->daemon->conf, id, name, &arena, &options)) {
		return err_new(-EINVAL, "advertised address");
	}
	return wire_init(&g->wires[name], g, name, &options);
}

static int wires_open(struct gossipd *g)
{
	const struct conf *c = g->daemon->conf;
	char id[UUID_TEXT_SIZE + 1];
	struct uuid uuid;
	int r = conf_node_id(c, &uuid);

	if (r) {
		return r;
	}
	uuid_text(&uuid, id);
	r = wire_begin(g, GOSSIP_LAN, id);
	return r || !c->server || c->ports.serf_wan <= 0 ? r : wire_begin(g, GOSSIP_WAN, id);
}

/* With the clocks of the last life, and one incarnation above it. */
static void wire_start(struct wire *w)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct pool_event start = { .type = POOL_START };
	struct pool_update update;
	struct snapshot s;

	store_snapshot_load(w, &arena, &s);
	start.clocks = (struct pool_clocks) { s.clocks.member + 1, s.clocks.event + 1,
		s.clocks.query + 1 };
	start.event_min = s.clocks.event ? s.clocks.event + 1 : 0;
	start.query_min = s.clocks.query ? s.clocks.query + 1 : 0;
	start.incarnation = s.incarnation;
	wire_open(w);
	wire_step(w, &start, &update);
	joins_rejoin(w, &s);
}

int gossipd_open(struct daemon *d)
{
	struct gossipd *g = xcalloc(1, sizeof(*g));

	d->self = g;
	g->daemon = d;
	list_init(&g->matches);
	pace_init(g);
	holds_init(g);
	joins_init(g);
	calls_init(g);
	gossip_init(&g->gossip, d->conf->node_name);
	g->gossip_open = true;
	return wires_open(g);
}

int gossipd_start(struct daemon *d)
{
	struct gossipd *g = d->self;
	int r = ipc_client_new(d->loop, "checkd/read", &g->checkd);

	r = r ? r : ipc_client_new(d->loop, "catalogd/write", &g->catalogd);
	r = r ? r
	      : ipc_server_new(d->loop, "gossipd/read", ROLE_READ, rows, ARRAY_SIZE(rows), g,
			&g->read_server);
	r = r ? r
	      : ipc_server_new(d->loop, "gossipd/write", ROLE_WRITE, rows, ARRAY_SIZE(rows), g,
			&g->write_server);
	if (r) {
		return r;
	}
	for (int i = 0; i < GOSSIP_POOLS; i++) {
		if (g->wires[i].active) {
			wire_start(&g->wires[i]);
		}
	}
	joins_start(g);
	return 0;
}

/* What the others are told of this node may have changed. */
void gossipd_reload(struct daemon *d)
{
	struct gossipd *g = d->self;
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	char id[UUID_TEXT_SIZE + 1];
	struct uuid uuid;

	if (conf_node_id(d->conf, &uuid)) {
		log_error("node-id", "error=\"%s\"", err_text());
		return;
	}
	uuid_text(&uuid, id);
	for (int i = 0; i < GOSSIP_POOLS; i++) {
		struct pool_event event = { .type = POOL_TAGS };
		struct pool_options options;
		struct pool_update update;

		if (!g->wires[i].active ||
			self_options(d->conf, id, (enum gossip_pool_name)i, &arena, &options)) {
			continue;
		}
		event.payload = options.meta;
		if (!str_eq(options.meta, g->wires[i].pool.options.meta)) {
			wire_step(&g->wires[i], &event, &update);
		}
	}
}

void gossipd_stop(struct daemon *d)
{
	struct gossipd *g = d->self;
	struct ipc_client *const clients[] = { g ? g->checkd : NULL, g ? g->catalogd : NULL };

	if (!g) {
		return;
	}
	pace_fini(g);
	matches_fini(g);
	joins_fini(g);
	leave_fini(g);
	calls_fini(g);
	holds_fini(g);
	for (int i = 0; i < GOSSIP_POOLS; i++) {
		wire_fini(&g->wires[i]);
	}
	if (g->read_server) {
		ipc_server_free(g->read_server);
	}
	if (g->write_server) {
		ipc_server_free(g->write_server);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		if (clients[i]) {
			ipc_client_free(clients[i]);
		}
	}
	if (g->gossip_open) {
		gossip_fini(&g->gossip);
	}
	free(take(d->self));
}
