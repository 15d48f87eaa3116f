/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice among the addresses of a node or an instance.
 */
#include "common/msg/tagged.h"

void tagged_add(struct tagged *t, struct str name, struct str address, int64_t port)
{
	const struct {
		struct str name, *address;
	} rows[] = {
		{ STR("lan_ipv4"), &t->lan_v4 },
		{ STR("lan_ipv6"), &t->lan_v6 },
		{ STR("wan"), &t->wan },
		{ STR("wan_ipv4"), &t->wan_v4 },
		{ STR("wan_ipv6"), &t->wan_v6 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (str_eq(name, rows[i].name)) {
			*rows[i].address = address.n ? address : STR("");
			t->wan_port = rows[i].address == &t->wan ? port : t->wan_port;
		}
	}
}

void tagged_of_node(struct tagged *out, const struct pairs *addresses)
{
	*out = (struct tagged) { 0 };
	for (uint32_t i = 0; i < addresses->count; i++) {
		tagged_add(out, addresses->items[i].key, addresses->items[i].value, 0);
	}
}

void tagged_of_service(struct tagged *out, const struct service_def *service)
{
	*out = (struct tagged) { 0 };
	for (uint32_t i = 0; i < service->tagged_addresses.count; i++) {
		const struct tagged_address *a = &service->tagged_addresses.items[i];

		tagged_add(out, a->name, a->address, a->port);
	}
}

static int64_t port_of(const struct json *address)
{
	const struct json *v = json_find(address, "Port");
	int64_t port;

	return v && v->type == JSON_NUMBER && !str_to_i64(v->text, &port) ? port : 0;
}

void tagged_of_json(struct tagged *out, const struct json *addresses)
{
	const struct json *v;

	*out = (struct tagged) { 0 };
	if (!addresses || addresses->type != JSON_OBJECT) {
		return;
	}
	json_for_each (v, addresses) {
		bool service = v->type == JSON_OBJECT;

		tagged_add(out, v->key, service ? json_find_text(v, "Address") : v->text,
			service ? port_of(v) : 0);
	}
}

struct str tagged_address(
	const struct tagged *t, struct str plain, enum tagged_family family, bool wan)
{
	struct str v4 = wan && t->wan_v4.p ? t->wan_v4 : t->lan_v4;
	struct str v6 = wan && t->wan_v6.p ? t->wan_v6 : t->lan_v6;

	if (family != TAGGED_V4 && v6.n) {
		return v6;
	}
	if (family != TAGGED_V6 && v4.n) {
		return v4;
	}
	return wan && t->wan.p ? t->wan : plain;
}

int64_t tagged_port(const struct tagged *t, int64_t plain, bool wan)
{
	return wan && t->wan_port ? t->wan_port : plain;
}
