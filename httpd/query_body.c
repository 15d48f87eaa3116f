/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that bind the body of a prepared query.
 */
#include "httpd/query_body.h"

#include "common/base/err.h"

/* The parts of the JSON are parts of one struct here; objects bind at its beginning. */
struct body {
	struct query_def query;
	struct str id;
	uint64_t ignored;
};

#define AT(field) offsetof(struct body, query.field)

static const struct bind_field template_fields[] = {
	{ "Type", BIND_STR, AT(template_type) },
	{ "Regexp", BIND_STR, AT(template_regexp) },
	{ "RemoveEmptyTags", BIND_BOOL, AT(remove_empty_tags) },
};

static const struct bind_object template_rows = {
	.go_name = "QueryTemplateOptions.Template",
	.go_value = "structs.QueryTemplateOptions",
	.size = sizeof(struct body),
	BIND_FIELDS(template_fields),
};

static const struct bind_field failover_fields[] = {
	{ "NearestN", BIND_INT, AT(nearest_n) },
	{ "Datacenters", BIND_STRS, AT(datacenters) },
};

static const struct bind_object failover_rows = {
	.go_name = "QueryDatacenterOptions.Service.Failover",
	.go_value = "structs.QueryDatacenterOptions",
	.size = sizeof(struct body),
	BIND_FIELDS(failover_fields),
};

static const struct bind_field service_fields[] = {
	{ "Service", BIND_STR, AT(service) },
	{ "Failover", BIND_OBJECT, 0, &failover_rows },
	{ "OnlyPassing", BIND_BOOL, AT(only_passing) },
	{ "IgnoreCheckIDs", BIND_STRS, AT(ignore_check_ids), NULL, "[]types.CheckID" },
	{ "Near", BIND_STR, AT(near) },
	{ "Tags", BIND_STRS, AT(tags) },
	{ "NodeMeta", BIND_PAIRS, AT(node_meta) },
	{ "ServiceMeta", BIND_PAIRS, AT(service_meta) },
	{ "Connect", BIND_BOOL, AT(connect) },
};

static const struct bind_object service_rows = {
	.go_name = "ServiceQuery.Service",
	.go_value = "structs.ServiceQuery",
	.size = sizeof(struct body),
	BIND_FIELDS(service_fields),
};

static const struct bind_field dns_fields[] = {
	{ "TTL", BIND_STR, AT(dns_ttl) },
};

static const struct bind_object dns_rows = {
	.go_name = "QueryDNSOptions.DNS",
	.go_value = "structs.QueryDNSOptions",
	.size = sizeof(struct body),
	BIND_FIELDS(dns_fields),
};

static const struct bind_field body_fields[] = {
	{ "ID", BIND_STR, offsetof(struct body, id) },
	{ "Name", BIND_STR, AT(name) },
	{ "Session", BIND_STR, AT(session) },
	{ "Token", BIND_STR, AT(token) },
	{ "Template", BIND_OBJECT, 0, &template_rows },
	{ "Service", BIND_OBJECT, 0, &service_rows },
	{ "DNS", BIND_OBJECT, 0, &dns_rows },
	{ "CreateIndex", BIND_U64, offsetof(struct body, ignored) },
	{ "ModifyIndex", BIND_U64, offsetof(struct body, ignored) },
};

static const struct bind_object body_rows = {
	.go_name = "PreparedQuery",
	.go_value = "structs.PreparedQuery",
	.size = sizeof(struct body),
	BIND_FIELDS(body_fields),
};

int query_body(struct arena *arena, const struct json *body, struct query_def *out,
	struct str *id_out, struct buf *why)
{
	struct body b = { 0 };
	int r = bind_object(&body_rows, body, arena, &b, why);

	*out = b.query;
	*id_out = b.id;
	return r;
}
