/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that bind the catalogue's bodies. Field names in errors are Go's: the innermost struct, then
 * the path from the outermost.
 */
#include "httpd/catalog_body.h"

#include "common/base/err.h"
#include "common/client/definition.h"

struct weights {
	int64_t passing, warning;
};

struct connect {
	bool native;
};

struct service_body {
	struct service_def service;
	const struct json *tagged_addresses, *proxy;
	struct weights *weights;
	struct connect connect;
	uint64_t ignored;
};

struct check_body {
	struct health_check check;
	const struct json *definition;
	uint64_t ignored;
};

struct register_body {
	struct cmd_register command;
	struct service_body *service;
	struct check_body *check;
	struct bind_list checks; /* of struct check_body */
	uint64_t ignored;
	struct str token;
};

static const struct bind_field weights_fields[] = {
	{ "Passing", BIND_INT, offsetof(struct weights, passing) },
	{ "Warning", BIND_INT, offsetof(struct weights, warning) },
};

static const struct bind_object weights_rows = {
	.go_name = "Weights.Service.Weights",
	.size = sizeof(struct weights),
	BIND_FIELDS(weights_fields),
};

static const struct bind_field connect_fields[] = {
	{ "Native", BIND_BOOL, offsetof(struct connect, native) },
};

static const struct bind_object connect_rows = {
	.go_name = "ServiceConnect.Service.Connect",
	.size = sizeof(struct connect),
	BIND_FIELDS(connect_fields),
	.ignore_unknown = true,
};

#define SERVICE_AT(field) offsetof(struct service_body, service.field)

static const struct bind_field service_fields[] = {
	{ "Kind", BIND_STR, SERVICE_AT(kind) },
	{ "ID", BIND_STR, SERVICE_AT(id) },
	{ "Service", BIND_STR, SERVICE_AT(name) },
	{ "Tags", BIND_STRS, SERVICE_AT(tags) },
	{ "Address", BIND_STR, SERVICE_AT(address) },
	{ "TaggedAddresses", BIND_JSON, offsetof(struct service_body, tagged_addresses) },
	{ "Meta", BIND_PAIRS, SERVICE_AT(meta) },
	{ "Port", BIND_INT, SERVICE_AT(port) },
	{ "Weights", BIND_POINTER, offsetof(struct service_body, weights), &weights_rows },
	{ "EnableTagOverride", BIND_BOOL, SERVICE_AT(enable_tag_override) },
	{ "Proxy", BIND_JSON, offsetof(struct service_body, proxy) },
	{ "Connect", BIND_OBJECT, offsetof(struct service_body, connect), &connect_rows },
	{ "CreateIndex", BIND_U64, offsetof(struct service_body, ignored) },
	{ "ModifyIndex", BIND_U64, offsetof(struct service_body, ignored) },
};

static const struct bind_object service_rows = {
	.go_name = "NodeService.Service",
	.size = sizeof(struct service_body),
	BIND_FIELDS(service_fields),
};

#define CHECK_AT(field) offsetof(struct check_body, check.field)

static const struct bind_field check_fields[] = {
	{ "Node", BIND_STR, CHECK_AT(node) },
	{ "CheckID", BIND_STR, CHECK_AT(check_id) },
	{ "Name", BIND_STR, CHECK_AT(name) },
	{ "Status", BIND_STR, CHECK_AT(status) },
	{ "Notes", BIND_STR, CHECK_AT(notes) },
	{ "Output", BIND_STR, CHECK_AT(output) },
	{ "ServiceID", BIND_STR, CHECK_AT(service_id) },
	{ "ServiceName", BIND_STR, CHECK_AT(service_name) },
	{ "ServiceTags", BIND_STRS, CHECK_AT(service_tags) },
	{ "Type", BIND_STR, CHECK_AT(type) },
	{ "Definition", BIND_JSON, offsetof(struct check_body, definition) },
	{ "CreateIndex", BIND_U64, offsetof(struct check_body, ignored) },
	{ "ModifyIndex", BIND_U64, offsetof(struct check_body, ignored) },
};

static const struct bind_object check_rows = {
	.go_name = "HealthCheck.Check",
	.size = sizeof(struct check_body),
	BIND_FIELDS(check_fields),
};

static const struct bind_object listed_check_rows = {
	.go_name = "HealthCheck.Checks",
	.size = sizeof(struct check_body),
	BIND_FIELDS(check_fields),
};

#define NODE_AT(field) offsetof(struct register_body, command.node.field)

static const struct bind_field register_fields[] = {
	{ "Datacenter", BIND_STR, NODE_AT(datacenter) },
	{ "ID", BIND_STR, NODE_AT(id) },
	{ "Node", BIND_STR, NODE_AT(node) },
	{ "Address", BIND_STR, NODE_AT(address) },
	{ "TaggedAddresses", BIND_PAIRS, NODE_AT(tagged_addresses) },
	{ "NodeMeta", BIND_PAIRS, NODE_AT(meta) },
	{ "Service", BIND_POINTER, offsetof(struct register_body, service), &service_rows,
		"structs.NodeService" },
	{ "Check", BIND_POINTER, offsetof(struct register_body, check), &check_rows,
		"structs.HealthCheck" },
	{ "Checks", BIND_OBJECTS, offsetof(struct register_body, checks), &listed_check_rows,
		"structs.HealthChecks" },
	{ "SkipNodeUpdate", BIND_BOOL, offsetof(struct register_body, command.skip_node_update) },
	{ "Token", BIND_STR, offsetof(struct register_body, token) },
	{ "CreateIndex", BIND_U64, offsetof(struct register_body, ignored) },
	{ "ModifyIndex", BIND_U64, offsetof(struct register_body, ignored) },
};

static const struct bind_object register_rows = {
	.go_name = "RegisterRequest",
	.go_value = "structs.RegisterRequest",
	.size = sizeof(struct register_body),
	BIND_FIELDS(register_fields),
};

/* ---- check definitions ---- */

struct definition_body {
	struct check_def check;
	const struct json *header;
};

#define DEFINITION_AT(field) offsetof(struct definition_body, check.field)

static const struct bind_field definition_fields[] = {
	{ "Interval", BIND_DURATION, DEFINITION_AT(interval_ns) },
	{ "OutputMaxSize", BIND_INT, DEFINITION_AT(output_max_size) },
	{ "Timeout", BIND_DURATION, DEFINITION_AT(timeout_ns) },
	{ "DeregisterCriticalServiceAfter", BIND_DURATION,
		DEFINITION_AT(deregister_critical_after_ns) },
	{ "HTTP", BIND_STR, DEFINITION_AT(http) },
	{ "TLSSkipVerify", BIND_BOOL, DEFINITION_AT(tls_skip_verify) },
	{ "Header", BIND_MULTI, offsetof(struct definition_body, header) },
	{ "Method", BIND_STR, DEFINITION_AT(method) },
	{ "Body", BIND_STR, DEFINITION_AT(body) },
	{ "TCP", BIND_STR, DEFINITION_AT(tcp) },
	{ "ScriptArgs", BIND_STRS, DEFINITION_AT(args) },
	{ "DockerContainerID", BIND_STR, DEFINITION_AT(docker_container_id) },
	{ "Shell", BIND_STR, DEFINITION_AT(shell) },
	{ "GRPC", BIND_STR, DEFINITION_AT(grpc) },
	{ "GRPCUseTLS", BIND_BOOL, DEFINITION_AT(grpc_use_tls) },
	{ "AliasNode", BIND_STR, DEFINITION_AT(alias_node) },
	{ "AliasService", BIND_STR, DEFINITION_AT(alias_service) },
	{ "TTL", BIND_DURATION, DEFINITION_AT(ttl_ns) },
};

static const struct bind_object definition_rows = {
	.go_name = "HealthCheckDefinition",
	.size = sizeof(struct definition_body),
	BIND_FIELDS(definition_fields),
	.ignore_unknown = true,
};

static void text_put(struct jsonw *w, const char *key, struct str v)
{
	if (v.n) {
		jsonw_key(w, str_of(key));
		jsonw_str(w, v);
	}
}

static void duration_put(struct jsonw *w, const char *key, int64_t ns)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (ns) {
		duration_render(&text, ns);
		text_put(w, key, buf_str(&text));
	}
}

static void int_put(struct jsonw *w, const char *key, int64_t v)
{
	if (v) {
		jsonw_key(w, str_of(key));
		jsonw_i64(w, v);
	}
}

static void true_put(struct jsonw *w, const char *key, bool v)
{
	if (v) {
		jsonw_key(w, str_of(key));
		jsonw_bool(w, true);
	}
}

static void args_put(struct jsonw *w, const struct strs *args)
{
	if (args->count == 0) {
		return;
	}
	jsonw_keyc(w, "ScriptArgs");
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < args->count; i++) {
		jsonw_str(w, args->items[i]);
	}
	jsonw_close(w, ']');
}

/* In the order in which Consul writes it. */
static void definition_put(struct jsonw *w, const struct definition_body *b)
{
	const struct check_def *c = &b->check;

	jsonw_open(w, '{');
	duration_put(w, "Interval", c->interval_ns);
	int_put(w, "OutputMaxSize", c->output_max_size);
	duration_put(w, "Timeout", c->timeout_ns);
	duration_put(w, "DeregisterCriticalServiceAfter", c->deregister_critical_after_ns);
	text_put(w, "HTTP", c->http);
	true_put(w, "TLSSkipVerify", c->tls_skip_verify);
	if (b->header && b->header->count) {
		OWN_EMBEDDED(buf_fini) struct buf header = { 0 };

		json_render(&header, b->header);
		jsonw_keyc(w, "Header");
		jsonw_raw(w, buf_str(&header));
	}
	text_put(w, "Method", c->method);
	text_put(w, "Body", c->body);
	text_put(w, "TCP", c->tcp);
	args_put(w, &c->args);
	text_put(w, "DockerContainerID", c->docker_container_id);
	text_put(w, "Shell", c->shell);
	text_put(w, "GRPC", c->grpc);
	true_put(w, "GRPCUseTLS", c->grpc_use_tls);
	text_put(w, "AliasNode", c->alias_node);
	text_put(w, "AliasService", c->alias_service);
	int_put(w, "TTL", c->ttl_ns);
	jsonw_close(w, '}');
}

int catalog_body_definition(struct arena *arena, const struct json *definition,
	struct str *json_out, const char **type_out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct jsonw w = jsonw_of(&text);
	struct definition_body b = { 0 };
	struct check_def typed;

	if (definition && bind_object(&definition_rows, definition, arena, &b, why)) {
		return ST_INVALID;
	}
	definition_put(&w, &b);
	*json_out = arena_str(arena, buf_str(&text));
	/* these run only when they have an interval, and do not count without */
	typed = b.check;
	if (typed.interval_ns <= 0) {
		typed.grpc = typed.http = typed.tcp = typed.docker_container_id = STR_NONE;
	}
	*type_out = definition_check_type(&typed);
	return 0;
}

/* ---- settling ---- */

/* A registered check gets a type from its definition; one set in a transaction does not. */
static int check_settle(struct arena *arena, const struct check_body *b, bool registered,
	struct health_check *out, struct buf *why)
{
	const char *type;

	*out = b->check;
	if (catalog_body_definition(arena, b->definition, &out->definition_json, &type, why)) {
		return ST_INVALID;
	}
	if (registered && out->type.n == 0) {
		out->type = str_of(type);
	}
	if (out->check_id.n == 0) {
		out->check_id = out->name;
	}
	return 0;
}

/* The catalogue takes weights that an agent would refuse for none at all. */
static bool weights_valid(const struct weights *w)
{
	enum { WEIGHT_MAX = 65535 };

	return w->passing >= 1 && w->passing <= WEIGHT_MAX && w->warning >= 0 &&
	       w->warning <= WEIGHT_MAX;
}

static int service_settle(
	struct arena *arena, const struct service_body *b, struct service_def *out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf proxy = { 0 };

	*out = b->service;
	if (definition_tagged_addresses(arena, "ServiceAddress.Service.TaggedAddresses",
		    b->tagged_addresses, out, why)) {
		return ST_INVALID;
	}
	if (b->proxy && b->proxy->type == JSON_OBJECT && b->proxy->count) {
		json_render(&proxy, b->proxy);
		out->proxy_json = arena_str(arena, buf_str(&proxy));
	}
	out->connect_native = b->connect.native;
	out->weight_passing = out->weight_warning = 1;
	if (b->weights && weights_valid(b->weights)) {
		out->weight_passing = b->weights->passing;
		out->weight_warning = b->weights->warning;
	}
	if (out->id.n == 0) {
		out->id = out->name;
	}
	return 0;
}

int catalog_body_service(
	struct arena *arena, const struct json *body, struct service_def *out, struct buf *why)
{
	struct service_body b = { 0 };

	return bind_object(&service_rows, body, arena, &b, why)
		       ? ST_INVALID
		       : service_settle(arena, &b, out, why);
}

int catalog_body_check(
	struct arena *arena, const struct json *body, struct health_check *out, struct buf *why)
{
	struct check_body b = { 0 };

	return bind_object(&check_rows, body, arena, &b, why)
		       ? ST_INVALID
		       : check_settle(arena, &b, false, out, why);
}

static int checks_settle(struct arena *arena, const struct register_body *b,
	struct cmd_register *out, struct buf *why)
{
	const struct check_body *listed = b->checks.items;
	uint32_t count = b->checks.count + (b->check ? 1 : 0);

	out->checks.items = arena_array(arena, struct health_check, count);
	out->checks.count = count;
	for (uint32_t i = 0; i < count; i++) {
		/* the single one comes last */
		const struct check_body *from = i < b->checks.count ? &listed[i] : b->check;
		struct health_check *check = &out->checks.items[i];

		if (check_settle(arena, from, true, check, why)) {
			return ST_INVALID;
		}
		if (check->node.n == 0) {
			check->node = out->node.node;
		}
	}
	return 0;
}

int catalog_body_register(
	struct arena *arena, const struct json *body, struct cmd_register *out, struct buf *why)
{
	struct register_body b = { 0 };

	if (bind_object(&register_rows, body, arena, &b, why)) {
		return ST_INVALID;
	}
	*out = b.command;
	out->has_service = b.service != NULL;
	if (b.service && service_settle(arena, b.service, &out->service, why)) {
		return ST_INVALID;
	}
	return checks_settle(arena, &b, out, why);
}

struct deregister_body {
	struct cmd_deregister command;
	struct str datacenter, ignored;
};

static const struct bind_field deregister_fields[] = {
	{ "Datacenter", BIND_STR, offsetof(struct deregister_body, datacenter) },
	{ "Node", BIND_STR, offsetof(struct deregister_body, command.node) },
	{ "ServiceID", BIND_STR, offsetof(struct deregister_body, command.service_id) },
	{ "CheckID", BIND_STR, offsetof(struct deregister_body, command.check_id) },
	{ "Address", BIND_STR, offsetof(struct deregister_body, ignored) },
	{ "Token", BIND_STR, offsetof(struct deregister_body, ignored) },
};

static const struct bind_object deregister_rows = {
	.go_name = "",
	.go_value = "struct { Address string; *structs.Alias }",
	.size = sizeof(struct deregister_body),
	BIND_FIELDS(deregister_fields),
};

int catalog_body_deregister(struct arena *arena, const struct json *body,
	struct cmd_deregister *out, struct str *datacenter_out, struct buf *why)
{
	struct deregister_body b = { 0 };

	if (bind_object(&deregister_rows, body, arena, &b, why)) {
		return ST_INVALID;
	}
	*out = b.command;
	*datacenter_out = b.datacenter;
	return 0;
}
