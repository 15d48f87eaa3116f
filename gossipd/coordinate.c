/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coordinates: what this node knows, for who asks.
 */
#include "gossipd/gossipd.h"

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

/* It becomes part of the catalogue through checkd, as all that a node says about itself. */
void handle_coordinate(
	struct gossipd *g, struct ipc_call *call, const struct gossip_coordinate *m UNUSED)
{
	const struct pool *pool = &g->wires[GOSSIP_LAN].pool;
	struct gossip_coordinate_reply reply = {
		.known = pool->options.coordinates,
		.members = pool->nodes.count,
		.coordinate = coordinate_of(g->daemon->conf->node_name, &pool->vivaldi.at),
	};

	IPC_REPLY(call, gossip_coordinate, &reply);
}
