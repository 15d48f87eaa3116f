/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/coordinate/: where nodes are in the network, by Vivaldi's measure. What agents send is stored
 * as it is; gossip makes it.
 */
#include <math.h>

#include "common/base/err.h"
#include "common/msg/coordinate.h"
#include "httpd/list.h"
#include "httpd/routes.h"

enum { VEC_SIZE = 8 };

/* ---- update ---- */

struct update_body {
	struct coordinate coordinate;
	const struct json *coord;
	struct str datacenter, token;
};

static const struct bind_field update_fields[] = {
	{ "Datacenter", BIND_STR, offsetof(struct update_body, datacenter) },
	{ "Node", BIND_STR, offsetof(struct update_body, coordinate.node) },
	{ "Segment", BIND_STR, offsetof(struct update_body, coordinate.segment) },
	{ "Coord", BIND_JSON, offsetof(struct update_body, coord) },
	{ "Token", BIND_STR, offsetof(struct update_body, token) },
};

static const struct bind_object update_rows = {
	.go_name = "CoordinateUpdateRequest",
	.go_value = "structs.CoordinateUpdateRequest",
	.size = sizeof(struct update_body),
	BIND_FIELDS(update_fields),
};

/* A number as the bits of a double; NaN when it is none. */
static uint64_t bits_of(const struct json *v)
{
	double number = v && v->type == JSON_NUMBER ? strtod(v->text.p, NULL) : (double)NAN;
	uint64_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits;
}

static bool is_finite(uint64_t bits)
{
	double number;

	memcpy(&number, &bits, sizeof(number));
	return isfinite(number);
}

/* The rest of the body. false: answered. */
static bool coord_bind(struct exchange *x, const struct json *coord, struct coordinate *c)
{
	uint64_t *const vec[VEC_SIZE] = { &c->vec0, &c->vec1, &c->vec2, &c->vec3, &c->vec4,
		&c->vec5, &c->vec6, &c->vec7 };
	const struct json *list = json_find_fold(coord, "Vec"), *item;
	bool valid = coord && coord->type == JSON_OBJECT;
	int count = 0;

	for (item = list && list->type == JSON_ARRAY ? list->first : NULL; item;
		item = item->next) {
		if (item->type != JSON_NUMBER) {
			answer_printf(x, 400,
				"Request decode failed: json: cannot unmarshal %s into Go struct "
				"field "
				"Coordinate.Coord.Vec of type float64",
				json_go_type(item));
			return false;
		}
		if (count < VEC_SIZE) {
			*vec[count] = bits_of(item);
			valid &= is_finite(*vec[count]);
		}
		count++;
	}
	c->error = bits_of(json_find_fold(coord, "Error"));
	c->adjustment = bits_of(json_find_fold(coord, "Adjustment"));
	c->height = bits_of(json_find_fold(coord, "Height"));
	if (!valid || !is_finite(c->error) || !is_finite(c->adjustment) || !is_finite(c->height)) {
		answer_text(x, 500, STR("invalid coordinate"));
		return false;
	}
	if (count != VEC_SIZE) {
		answer_text(x, 500, STR("incompatible coordinate"));
		return false;
	}
	return true;
}

static bool disabled(struct exchange *x)
{
	if (!x->httpd->conf->disable_coordinates) {
		return false;
	}
	answer_text(x, 401, STR("Coordinate support disabled"));
	return true;
}

void handle_coordinate_update(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct update_body body = { 0 };
	struct cmd_coordinates command = { { &body.coordinate, 1 } };

	if (disabled(x) || !exchange_bind(x, &update_rows, &body) ||
		!coord_bind(x, body.coord, &body.coordinate)) {
		return;
	}
	if (body.datacenter.n && !request_has(&x->request, "dc") &&
		!str_eq(body.datacenter, x->httpd->conf->datacenter)) {
		exchange_to_datacenter(x, body.datacenter);
		return;
	}
	cmd_coordinates_encode(&payload, &command);
	exchange_propose(x, COMMAND_cmd_coordinates, buf_str(&payload));
}

/* ---- reads ---- */

/* The coordinates below a prefix of the table, of one segment where ?segment is given. */
static uint32_t coordinates_put(struct exchange *x, struct str prefix)
{
	struct str segment = request_param(&x->request, "segment");
	struct buf *body = exchange_body(x);
	uint32_t count = 0;
	struct kv_walk w;

	kv_walk_init(&w, x->txn, STATE_COORDINATES, prefix);
	while (kv_walk_next(&w)) {
		struct cursor c = cursor_of(w.value);
		struct str json = wire_get_STR(&c, NULL), of;

		str_split(w.key, '\0', &of);
		if (segment.p && !str_eq(segment, of)) {
			continue;
		}
		buf_put_char(body, count++ ? ',' : '[');
		buf_put_str(body, json);
	}
	buf_put_cstr(body, count ? "]" : "[]");
	return count;
}

void handle_coordinate_nodes(struct exchange *x)
{
	if (disabled(x)) {
		return;
	}
	read_thing(x, THING_COORDINATES, STR(""));
	if (read_held(x)) {
		return;
	}
	coordinates_put(x, STR(""));
	answer_json(x, 200);
}

void handle_coordinate_node(struct exchange *x)
{
	struct state_key room;

	if (disabled(x)) {
		return;
	}
	read_thing(x, THING_COORDINATES, STR(""));
	if (read_held_filtered(x)) {
		return;
	}
	if (coordinates_put(x, state_key2(&room, exchange_lower(x, x->request.name), STR("")))) {
		answer_json(x, 200);
	} else {
		answer_text(x, 404, STR(""));
	}
}

/* The servers of each data centre as far as gossip has measured them in the WAN pool. */

/* "node.datacenter" */
static struct str datacenter_of(const struct coordinate *c, struct str *node_out)
{
	ssize_t dot = str_rfind(c->node, '.');

	*node_out = dot < 0 ? c->node : str_cut(c->node, (size_t)dot);
	return dot < 0 ? STR("") : str_skip(c->node, (size_t)dot + 1);
}

/* Those of one data centre, that of the one at `first`. */
static void put_datacenter(
	struct jsonw *w, const struct gossip_coordinates_reply *all, uint32_t first)
{
	struct str node, dc = datacenter_of(&all->coordinates.items[first], &node);

	jsonw_open(w, '{');
	jsonw_put_str(w, "Datacenter", dc);
	jsonw_put_cstr(w, "AreaID", "wan");
	jsonw_keyc(w, "Coordinates");
	jsonw_open(w, '[');
	for (uint32_t i = first; i < all->coordinates.count; i++) {
		if (!str_eq(datacenter_of(&all->coordinates.items[i], &node), dc)) {
			continue;
		}
		jsonw_open(w, '{');
		jsonw_put_str(w, "Node", node);
		jsonw_put_cstr(w, "Segment", "");
		jsonw_keyc(w, "Coord");
		coordinate_put(w, &all->coordinates.items[i]);
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
	jsonw_close(w, '}');
}

static bool is_first_of_its_own(const struct gossip_coordinates_reply *all, uint32_t at)
{
	struct str node, dc = datacenter_of(&all->coordinates.items[at], &node);

	for (uint32_t i = 0; i < at; i++) {
		if (str_eq(datacenter_of(&all->coordinates.items[i], &node), dc)) {
			return false;
		}
	}
	return true;
}

static void on_coordinates(struct exchange *x, int status, struct str payload)
{
	struct jsonw w = jsonw_of(exchange_body(x));
	struct gossip_coordinates_reply reply;

	status = EXCHANGE_DECODE(x, gossip_coordinates, status, payload, &reply);
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < reply.coordinates.count; i++) {
		if (is_first_of_its_own(&reply, i)) {
			put_datacenter(&w, &reply, i);
		}
	}
	jsonw_close(&w, ']');
	answer_json(x, 200);
}

void handle_coordinate_datacenters(struct exchange *x)
{
	struct gossip_coordinates m = { .wan = true };

	if (disabled(x)) {
		return;
	}
	EXCHANGE_CALL(x, x->httpd->gossip_read, gossip_coordinates, &m, 0, on_coordinates);
}
