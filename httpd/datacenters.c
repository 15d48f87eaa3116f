/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/catalog/datacenters, from what this server knows of the WAN pool. Nobody else is asked.
 */
#include "httpd/datacenters.h"

#include "common/base/err.h"
#include "httpd/core/nearest.h"
#include "httpd/forward.h"
#include "httpd/list.h"
#include "httpd/routes.h"

enum { COORDINATES_MS = 1000 };

/* Is it of a server of this data centre? They are named "server.datacenter". */
static bool is_of(const struct coordinate *c, struct str datacenter)
{
	ssize_t dot = str_rfind(c->node, '.');

	return dot >= 0 && str_eq(str_skip(c->node, (size_t)dot + 1), datacenter);
}

/* How far its servers are from here. */
static void distances_find(
	struct exchange *x, const struct gossip_coordinates_reply *all, struct nearest *n)
{
	n->servers_count = servers_count(x->httpd->forwards->servers, n->name);
	n->distances = arena_array(&x->arena, double, all->coordinates.count + 1);
	for (uint32_t i = 1; i < all->coordinates.count; i++) {
		if (is_of(&all->coordinates.items[i], n->name)) {
			n->distances[n->distances_count++] = coordinate_distance(
				&all->coordinates.items[0], &all->coordinates.items[i]);
		}
	}
}

void datacenters_by_distance(struct exchange *x, int status, struct str payload, struct strs *out)
{
	struct gossip_coordinates_reply all = { 0 };
	struct nearest *places;

	if (EXCHANGE_DECODE(x, gossip_coordinates, status, payload, &all)) {
		all = (struct gossip_coordinates_reply) { 0 };
	}
	servers_datacenters(x->httpd->forwards->servers, &x->arena, out);
	places = arena_array(&x->arena, struct nearest, out->count);
	for (uint32_t i = 0; i < out->count; i++) {
		places[i].name = out->items[i];
		places[i].own = str_eq(out->items[i], x->httpd->conf->datacenter);
		distances_find(x, &all, &places[i]);
	}
	nearest_sort(places, out->count);
	for (uint32_t i = 0; i < out->count; i++) {
		out->items[i] = places[i].name;
	}
}

static void on_coordinates(struct exchange *x, int status, struct str payload)
{
	struct jsonw w = jsonw_of(exchange_body(x));
	struct strs names;

	datacenters_by_distance(x, status, payload, &names);
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < names.count; i++) {
		jsonw_str(&w, names.items[i]);
	}
	jsonw_close(&w, ']');
	answer_json(x, 200);
}

void handle_catalog_datacenters(struct exchange *x)
{
	struct gossip_coordinates m = { .wan = true };

	if (ipc_client_connected(x->httpd->gossip_read)) {
		EXCHANGE_CALL(x, x->httpd->gossip_read, gossip_coordinates, &m, COORDINATES_MS,
			on_coordinates);
	} else {
		on_coordinates(x, ST_CLOSED, STR_NONE);
	}
}
