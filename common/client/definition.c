/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding and checking definitions: rows per spelling, then the rules in the order in which Consul
 * applies them (the first that is broken is the one that is reported).
 */
#include "common/client/definition.h"

#include <arpa/inet.h>

#include "common/base/err.h"
#include "common/client/definition_rows.h"

static int refuse(struct arena *arena, struct result *error, enum result_kind kind,
	const char *prefix, struct str text)
{
	*error = (struct result) {
		.kind = kind,
		.text = arena_printf(arena, "%s" STR_FMT, prefix, STR_ARG(text)),
	};
	return ST_INVALID;
}

static int refuse_bad(struct arena *arena, struct result *error, const char *text)
{
	return refuse(arena, error, RESULT_BAD, text, STR_NONE);
}

/* The first rule that the check breaks, or NULL. */
static const char *check_fault(const struct check_def *c)
{
	bool alias = c->alias_node.n || c->alias_service.n;
	bool runs = c->args.count || c->http.n || c->tcp.n || c->grpc.n || c->udp.n ||
		    c->h2ping.n || c->os_service.n;

	if (c->interval_ns > 0 && c->ttl_ns > 0) {
		return "Interval and TTL cannot both be specified";
	}
	if (runs && c->interval_ns <= 0) {
		return "Interval must be > 0 for Script, HTTP, or TCP checks";
	}
	if (alias && runs) {
		return "Interval cannot be set for Alias checks";
	}
	if (alias && c->ttl_ns > 0) {
		return "TTL must be not be set for Alias checks";
	}
	if (!alias && !runs && c->ttl_ns <= 0) {
		return "TTL must be > 0 for TTL checks";
	}
	if (c->output_max_size < 0) {
		return "MaxOutputMaxSize must be positive";
	}
	return NULL;
}

static bool status_known(struct str status)
{
	return status.n == 0 || str_is(status, "passing") || str_is(status, "warning") ||
	       str_is(status, "critical");
}

static struct str json_text(struct arena *arena, const struct json *v)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (!v || v->type != JSON_OBJECT || v->count == 0) {
		return STR_NONE;
	}
	json_render(&text, v);
	return arena_str(arena, buf_str(&text));
}

static void check_settle(struct arena *arena, struct check_binding *b, struct check_def *out)
{
	*out = b->check;
	out->header_json = json_text(arena, b->header);
}

static int decode_failed(
	struct arena *arena, enum definition_form form, struct buf *why, struct result *error)
{
	return refuse(arena, error, RESULT_BAD,
		form == DEFINITION_API ? "Request decode failed: " : "", buf_str(why));
}

/* Names become parts of keys. */
static bool has_zero(struct str name)
{
	return name.n && memchr(name.p, '\0', name.n);
}

int definition_check(struct arena *arena, enum definition_form form, const struct json *v,
	struct check_def *out, struct result *error)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct check_binding b = { 0 };
	const char *fault;

	if (form == DEFINITION_FILE && definition_file_shape(arena, false, "check", v, error)) {
		return ST_INVALID;
	}
	if (bind_object(form == DEFINITION_API ? &check_api_rows : &check_file_rows, v, arena, &b,
		    &why)) {
		return decode_failed(arena, form, &why, error);
	}
	check_settle(arena, &b, out);
	if (out->name.n == 0) {
		return refuse_bad(arena, error, "Missing check name");
	}
	if (has_zero(out->name) || has_zero(out->id)) {
		return refuse_bad(arena, error, "Invalid check name or ID: holds a zero byte");
	}
	if (!status_known(out->status)) {
		return refuse_bad(arena, error, "Bad check status");
	}
	fault = check_fault(out);
	if (fault) {
		return refuse(arena, error, RESULT_BAD, "Invalid check: ", str_of(fault));
	}
	return 0;
}

static int meta_pair_check(const struct pair *p, bool reserved_allowed, struct buf *why)
{
	const char *fault = NULL;

	if (p->key.n == 0) {
		fault = "Key cannot be blank";
	} else if (p->key.n > META_KEY_MAX) {
		fault = "Key is too long (limit: 128 characters)";
	} else if (!reserved_allowed && str_starts(p->key, STR("consul-"))) {
		fault = "Key prefix 'consul-' is reserved for internal use";
	} else if (p->value.n > META_VALUE_MAX) {
		fault = "Value is too long (limit: 512 characters)";
	}
	for (size_t i = 0; !fault && i < p->key.n; i++) {
		char c = p->key.p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '_' || c == '-';

		if (!word) {
			fault = "Key contains invalid characters";
		}
	}
	if (!fault) {
		return 0;
	}
	buf_printf(why, "Couldn't load metadata pair ('" STR_FMT "', '" STR_FMT "'): %s",
		STR_ARG(p->key), STR_ARG(p->value), fault);
	return ST_INVALID;
}

int definition_meta_check(const struct pairs *meta, bool reserved_allowed, struct buf *why)
{
	if (meta->count > META_PAIRS_MAX) {
		buf_printf(why, "Node metadata cannot contain more than %d key/value pairs",
			META_PAIRS_MAX);
		return ST_INVALID;
	}
	for (uint32_t i = 0; i < meta->count; i++) {
		if (meta_pair_check(&meta->items[i], reserved_allowed, why)) {
			return ST_INVALID;
		}
	}
	return 0;
}

bool definition_address_is_any(struct str address)
{
	return str_is(address, "0.0.0.0") || str_is(address, "::") || str_is(address, "[::]");
}

/* Address family of an IP literal, 0 for anything else. */
static int ip_family(struct str address)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in6_addr room;

	if (address.n == 0 || address.n >= sizeof(text)) {
		return 0;
	}
	memcpy(text, address.p, address.n);
	text[address.n] = '\0';
	if (inet_pton(AF_INET, text, &room) == 1) {
		return AF_INET;
	}
	return inet_pton(AF_INET6, text, &room) == 1 ? AF_INET6 : 0;
}

static int tagged_cmp(const void *a, const void *b)
{
	const struct tagged_address *x = a, *y = b;

	return str_cmp(x->name, y->name);
}

static bool tagged_has(const struct service_def *s, struct str name)
{
	for (uint32_t i = 0; i < s->tagged_addresses.count; i++) {
		if (str_eq(s->tagged_addresses.items[i].name, name)) {
			return true;
		}
	}
	return false;
}

static void tagged_sort(struct service_def *s)
{
	if (s->tagged_addresses.count) {
		qsort(s->tagged_addresses.items, s->tagged_addresses.count,
			sizeof(s->tagged_addresses.items[0]), tagged_cmp);
	}
}

/* An instance with a literal address is reachable under it by family too. Keeps the list sorted by
 * name. */
static void tagged_complete(struct service_def *s)
{
	static const char *const v4[] = { "lan_ipv4", "wan_ipv4" }, *const v6[] = { "lan_ipv6",
		"wan_ipv6" };
	int family = ip_family(s->address);

	for (int i = 0; family && i < 2; i++) {
		struct str name = str_of(family == AF_INET ? v4[i] : v6[i]);

		if (!tagged_has(s, name)) {
			s->tagged_addresses.items[s->tagged_addresses.count++] =
				(struct tagged_address) { name, s->address, s->port };
		}
	}
	tagged_sort(s);
}

int definition_tagged_addresses(struct arena *arena, const char *go_name, const struct json *v,
	struct service_def *s, struct buf *why)
{
	struct bind_object rows = tagged_address_rows;
	const struct json *item;
	uint32_t n = v && v->type == JSON_OBJECT ? v->count : 0;

	rows.go_name = go_name;
	/* two more: tagged_complete's */
	s->tagged_addresses.items = arena_array(arena, struct tagged_address, n + 2);
	s->tagged_addresses.count = 0;
	if (v && v->type != JSON_OBJECT && v->type != JSON_NULL) {
		buf_printf(why,
			"json: cannot unmarshal %s into Go struct field .TaggedAddresses of type "
			"map[string]structs.ServiceAddress",
			json_go_type(v));
		return ST_INVALID;
	}
	for (item = n ? v->first : NULL; item; item = item->next) {
		struct tagged_address *t = &s->tagged_addresses.items[s->tagged_addresses.count];

		if (tagged_has(s, item->key)) {
			continue;
		}
		if (bind_object(&rows, item, arena, t, why)) {
			return ST_INVALID;
		}
		t->name = item->key;
		s->tagged_addresses.count++;
	}
	tagged_sort(s);
	return 0;
}

/* wan_ipv6 is not looked at, as in Consul. */
static int tagged_check(struct arena *arena, const struct service_def *s, struct result *error)
{
	static const struct {
		const char *name;
		int family;
		const char *word;
	} rows[] = { { "lan_ipv4", AF_INET, "ipv4" }, { "wan_ipv4", AF_INET, "ipv4" },
		{ "lan_ipv6", AF_INET6, "ipv6" } };

	for (uint32_t i = 0; i < s->tagged_addresses.count; i++) {
		const struct tagged_address *t = &s->tagged_addresses.items[i];

		for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
			if (str_is(t->name, rows[j].name) &&
				ip_family(t->address) != rows[j].family) {
				return refuse(arena, error, RESULT_ERROR, "",
					arena_printf(arena,
						"Service tagged address \"%s\" must be a valid %s "
						"address",
						rows[j].name, rows[j].word));
			}
		}
	}
	return 0;
}

/* "Check": {} is no check. */
static bool check_is_empty(const struct check_def *c)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct jsonw w = jsonw_of(&text);

	definition_check_render(&w, c, true);
	return str_is(buf_str(&text), "{}");
}

static void service_checks_settle(
	struct arena *arena, struct service_binding *b, struct service_definition *out)
{
	struct check_binding *listed = b->checks.items;

	out->checks = arena_array(arena, struct check_def, b->checks.count + 1);
	out->checks_count = 0;
	if (b->check) {
		check_settle(arena, b->check, &out->checks[0]);
		out->checks_count = check_is_empty(&out->checks[0]) ? 0 : 1;
	}
	for (uint32_t i = 0; i < b->checks.count; i++) {
		check_settle(arena, &listed[i], &out->checks[out->checks_count++]);
	}
}

static int weights_check(struct arena *arena, const struct service_def *s, struct result *error)
{
	if (s->weight_passing < 1) {
		return refuse_bad(arena, error, "Invalid Weights: Passing must be greater than 0");
	}
	if (s->weight_warning < 0) {
		return refuse_bad(
			arena, error, "Invalid Weights: Warning must be greater or equal than 0");
	}
	if (s->weight_passing > 65535 || s->weight_warning > 65535) {
		return refuse_bad(
			arena, error, "Invalid Weights: DNS Weight must be between 0 and 65535");
	}
	return 0;
}

static int service_check(
	struct arena *arena, const struct service_definition *d, struct result *error)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	if (d->service.name.n == 0) {
		return refuse_bad(arena, error, "Missing service name");
	}
	if (has_zero(d->service.name) || has_zero(d->service.id)) {
		return refuse_bad(arena, error, "Invalid service name or ID: holds a zero byte");
	}
	if (definition_address_is_any(d->service.address)) {
		return refuse_bad(arena, error, "Invalid service address");
	}
	if (definition_meta_check(&d->service.meta, false, &why)) {
		return refuse(arena, error, RESULT_BAD, "Invalid Service Meta: ", buf_str(&why));
	}
	for (uint32_t i = 0; i < d->checks_count; i++) {
		const char *fault = check_fault(&d->checks[i]);

		if (fault) {
			return refuse(arena, error, RESULT_BAD, "Invalid check: ", str_of(fault));
		}
		if (!status_known(d->checks[i].status)) {
			return refuse_bad(arena, error,
				"Status for checks must 'passing', 'warning', 'critical'");
		}
	}
	return weights_check(arena, &d->service, error);
}

int definition_service(struct arena *arena, enum definition_form form, const struct json *v,
	struct service_definition *out, struct result *error)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct service_binding b = { .weights = { 1, 1 } };

	*out = (struct service_definition) { 0 };
	if (form == DEFINITION_FILE && definition_file_shape(arena, true, "service", v, error)) {
		return ST_INVALID;
	}
	if (bind_object(form == DEFINITION_API ? &service_api_rows : &service_file_rows, v, arena,
		    &b, &why) ||
		definition_tagged_addresses(
			arena, tagged_address_rows.go_name, b.tagged_addresses, &b.service, &why)) {
		return decode_failed(arena, form, &why, error);
	}
	service_checks_settle(arena, &b, out);
	out->service = b.service;
	out->token = b.token;
	out->service.weight_passing = b.weights_api ? b.weights_api->passing : b.weights.passing;
	out->service.weight_warning = b.weights_api ? b.weights_api->warning : b.weights.warning;
	out->service.proxy_json = json_text(arena, b.proxy);
	out->service.connect_native = b.connect.native;
	if (out->service.id.n == 0) {
		out->service.id = out->service.name;
	}
	if (service_check(arena, out, error) || tagged_check(arena, &out->service, error)) {
		return ST_INVALID;
	}
	tagged_complete(&out->service);
	return 0;
}

const char *definition_check_type(const struct check_def *c)
{
	const struct {
		bool is;
		const char *word;
	} rows[] = {
		{ c->grpc.n, "grpc" },
		{ c->http.n, "http" },
		{ c->ttl_ns > 0, "ttl" },
		{ c->tcp.n, "tcp" },
		{ c->udp.n, "udp" },
		{ c->h2ping.n, "h2ping" },
		{ c->alias_node.n || c->alias_service.n, "alias" },
		{ c->os_service.n, "os_service" },
		{ c->docker_container_id.n && c->args.count, "docker" },
		{ c->args.count, "script" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].is) {
			return rows[i].word;
		}
	}
	return "";
}

bool definition_check_is_script(const struct check_def *c)
{
	return c->args.count > 0;
}
