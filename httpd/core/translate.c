/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes addresses in ready JSON.
 */
#include "httpd/core/translate.h"

#include "common/base/json.h"
#include "common/msg/tagged.h"

/* Where an object has them; NULL: it has no such member. */
struct place {
	const char *address, *port, *tagged;
};
static const struct place node_place = { "Address", NULL, "TaggedAddresses" };
static const struct place service_place = { "Address", "Port", "TaggedAddresses" };
static const struct place instance_place = { "ServiceAddress", "ServicePort",
	"ServiceTaggedAddresses" };

static struct json *member(struct json *object, const char *key, enum json_type type)
{
	struct json *v;

	json_for_each (v, object) {
		if (str_is(v->key, key)) {
			return v->type == type ? v : NULL;
		}
	}
	return NULL;
}

static void place_translate(struct arena *arena, struct json *object, const struct place *place)
{
	struct json *address = member(object, place->address, JSON_STRING);
	struct json *port = place->port ? member(object, place->port, JSON_NUMBER) : NULL;
	struct json *addresses = member(object, place->tagged, JSON_OBJECT);
	struct tagged tagged;
	int64_t number;

	if (!addresses) {
		return;
	}
	tagged_of_json(&tagged, addresses);
	if (address) {
		address->text = tagged_address(&tagged, address->text, TAGGED_ANY, true);
	}
	if (port && !str_to_i64(port->text, &number)) {
		number = tagged_port(&tagged, number, true);
		port->text = arena_printf(arena, "%lld", (long long)number);
	}
}

static void element_translate(struct arena *arena, enum filter_object object, struct json *v)
{
	struct json *node, *service;

	switch (object) {
	case FILTER_NODE:
		place_translate(arena, v, &node_place);
		break;
	case FILTER_NODE_SERVICE:
		place_translate(arena, v, &service_place);
		break;
	case FILTER_SERVICE_NODE:
		place_translate(arena, v, &node_place);
		place_translate(arena, v, &instance_place);
		break;
	case FILTER_CHECK_SERVICE_NODE:
		node = member(v, "Node", JSON_OBJECT);
		service = member(v, "Service", JSON_OBJECT);
		if (node && service) {
			place_translate(arena, node, &node_place);
			place_translate(arena, service, &service_place);
		}
		break;
	default:
		break;
	}
}

struct str translate(struct arena *arena, enum filter_object object, struct str json)
{
	OWN_EMBEDDED(arena_fini) struct arena tree = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct json *v;

	if (json_parse(&tree, json, &v, NULL)) {
		return json;
	}
	element_translate(&tree, object, v);
	json_render(&text, v);
	return arena_str(arena, buf_str(&text));
}
