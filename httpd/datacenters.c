/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/catalog/datacenters, from what this server knows of the WAN pool. Nobody else is asked.
 */
#include "httpd/datacenters.h"

#include <math.h>

#include "common/base/err.h"
#include "httpd/forward.h"
#include "httpd/list.h"
#include "httpd/routes.h"

enum { COORDINATES_MS = 1000 };

struct place {
	struct str name;
	double distance;
};

static int number_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Is it of a server of this data centre? They are named "server.datacenter". */
static bool is_of(const struct coordinate *c, struct str datacenter)
{
	ssize_t dot = str_rfind(c->node, '.');

	return dot >= 0 && str_eq(str_skip(c->node, (size_t)dot + 1), datacenter);
}

/* The middle one of its servers, of which some may have no coordinate: they are farthest. */
static double median(
	struct exchange *x, const struct gossip_coordinates_reply *all, struct str name)
{
	double *distances = arena_array(&x->arena, double, all->coordinates.count + 1);
	size_t servers = servers_count(x->httpd->forwards->servers, name), count = 0;

	for (uint32_t i = 1; i < all->coordinates.count; i++) {
		if (is_of(&all->coordinates.items[i], name)) {
			distances[count++] = coordinate_distance(
				&all->coordinates.items[0], &all->coordinates.items[i]);
		}
	}
	qsort(distances, count, sizeof(distances[0]), number_cmp);
	return servers / 2 < count ? distances[servers / 2] : INFINITY;
}

static int place_cmp(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->distance != y->distance
		       ? (x->distance > y->distance) - (x->distance < y->distance)
		       : str_cmp(x->name, y->name);
}

void datacenters_by_distance(struct exchange *x, int status, struct str payload, struct strs *out)
{
	struct gossip_coordinates_reply all = { 0 };
	struct place *places;

	if (EXCHANGE_DECODE(x, gossip_coordinates, status, payload, &all)) {
		all = (struct gossip_coordinates_reply) { 0 };
	}
	servers_datacenters(x->httpd->forwards->servers, &x->arena, out);
	places = arena_array(&x->arena, struct place, out->count);
	for (uint32_t i = 0; i < out->count; i++) {
		bool own = str_eq(out->items[i], x->httpd->conf->datacenter);

		places[i].name = out->items[i];
		places[i].distance = own ? -1 : median(x, &all, out->items[i]);
	}
	qsort(places, out->count, sizeof(places[0]), place_cmp);
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
