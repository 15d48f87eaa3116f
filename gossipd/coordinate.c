/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coordinates: what this node knows, for who asks; and its own into the catalogue, now and then,
 * when it has moved. Only where there is a catalogd (servers).
 */
#include "common/msg/command.h"
#include "common/sys/clock.h"
#include "gossipd/gossipd.h"

enum { PROPOSE_TIMEOUT_MS = 10000 };

static uint64_t bits_of(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static struct coordinate coordinate_of(struct str node, const struct vivaldi_coordinate *c)
{
	return (struct coordinate) {
		.node = node,
		.segment = STR(""),
		.vec0 = bits_of(c->vec[0]),
		.vec1 = bits_of(c->vec[1]),
		.vec2 = bits_of(c->vec[2]),
		.vec3 = bits_of(c->vec[3]),
		.vec4 = bits_of(c->vec[4]),
		.vec5 = bits_of(c->vec[5]),
		.vec6 = bits_of(c->vec[6]),
		.vec7 = bits_of(c->vec[7]),
		.error = bits_of(c->error),
		.adjustment = bits_of(c->adjustment),
		.height = bits_of(c->height),
	};
}

void handle_coordinates(
	struct gossipd *g, struct ipc_call *call, const struct gossip_coordinates *m)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct wire *w = &g->wires[m->wan ? GOSSIP_WAN : GOSSIP_LAN];
	struct gossip_coordinates_reply reply = { .coordinates = { NULL, 0 } };
	struct pool_node *n, *next;

	if (w->active && w->pool.options.coordinates) {
		reply.coordinates.items =
			arena_array(&arena, struct coordinate, w->pool.nodes.count + 1);
		reply.coordinates.items[reply.coordinates.count++] =
			coordinate_of(w->pool.options.name, &w->pool.vivaldi.at);
		pool_for_each(n, next, &w->pool)
		{
			if (n->coordinate && n != w->pool.self) {
				reply.coordinates.items[reply.coordinates.count++] =
					coordinate_of(n->name, n->coordinate);
			}
		}
	}
	IPC_REPLY(call, gossip_coordinates, &reply);
}

/* -------- our own into the catalogue -------- */

static void on_proposed(void *arg, int status, struct str payload)
{
	struct gossipd *g = arg;

	(void)status;
	(void)payload;
	g->coordinate_pending = NULL;
}

static void send_own(struct gossipd *g)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct vivaldi_coordinate at = g->wires[GOSSIP_LAN].pool.vivaldi.at;
	struct coordinate c = coordinate_of(g->daemon->conf->node_name, &at);
	struct cmd_coordinates command = { { &c, 1 } };
	struct catalog_propose m = { .id = random_uuid(),
		.token = g->daemon->conf->acl.token_agent,
		.type = COMMAND_cmd_coordinates };

	if (memcmp(&at, &g->coordinate_sent, sizeof(at)) == 0 || g->coordinate_pending ||
		!ipc_client_connected(g->catalogd)) {
		return;
	}
	cmd_coordinates_encode(&payload, &command);
	m.payload = buf_str(&payload);
	g->coordinate_sent = at;
	g->coordinate_pending =
		IPC_CALL(g->catalogd, catalog_propose, &m, PROPOSE_TIMEOUT_MS, on_proposed, g);
}

static void on_coordinate(void *arg)
{
	struct gossipd *g = arg;

	/* Spread over the interval, so that a pool's nodes do not all send at once. */
	loop_timer_in(&g->coordinate_timer,
		COORDINATE_SEND_MS + (int64_t)(random_u64() % COORDINATE_SEND_MS));
	send_own(g);
}

void coordinates_init(struct gossipd *g)
{
	loop_timer_init(&g->coordinate_timer, g->daemon->loop, on_coordinate, g);
}

void coordinates_start(struct gossipd *g)
{
	const struct conf *c = g->daemon->conf;

	/* Where it begins is no news. */
	g->coordinate_sent = g->wires[GOSSIP_LAN].pool.vivaldi.at;
	if (c->server && !c->disable_coordinates) {
		loop_timer_in(&g->coordinate_timer, COORDINATE_SEND_MS);
	}
}

void coordinates_fini(struct gossipd *g)
{
	loop_timer_stop(&g->coordinate_timer);
	if (g->coordinate_pending) {
		ipc_cancel(take(g->coordinate_pending));
	}
}
