/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service mesh would answer: there is none, so no service has instances, gateways or
 * proxies in it. As Consul with Connect switched off; queries that are held are never woken by
 * anything but time.
 */
#include "httpd/httpd.h"
#include "httpd/routes.h"

static void nothing(struct exchange *x, const char *missing, struct str answer)
{
	if (!x->request.name.n) {
		answer_text(x, 400, str_of(missing));
		return;
	}
	read_thing(x, THING_SERVICE_HEALTH, exchange_lower(x, x->request.name));
	if (read_held_filtered(x)) {
		return;
	}
	buf_put_str(exchange_body(x), answer);
	answer_json(x, 200);
}

void handle_mesh_instances(struct exchange *x)
{
	nothing(x, "Missing service name", STR("[]"));
}

void handle_mesh_gateway(struct exchange *x)
{
	nothing(x, "Missing gateway name", STR("null"));
}

void handle_mesh_gateway_nodes(struct exchange *x)
{
	nothing(x, "Missing gateway name", STR("[]"));
}
