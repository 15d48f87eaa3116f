/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that bind definitions. A new kind of check gets its keys here, once per spelling.
 */
#include "common/client/definition_rows.h"

#define CHECK_AT(field)	  offsetof(struct check_binding, check.field)
#define SERVICE_AT(field) offsetof(struct service_binding, service.field)

/* What a check's body says under either spelling of its id. */
#define CHECK_API_COMMON                                                                         \
	{ "Name", BIND_STR, CHECK_AT(name) }, { "Notes", BIND_STR, CHECK_AT(notes) },            \
		{ "Status", BIND_STR, CHECK_AT(status) }, { "Args", BIND_STRS, CHECK_AT(args) }, \
		{ "ScriptArgs", BIND_STRS, CHECK_AT(args) },                                     \
		{ "script_args", BIND_STRS, CHECK_AT(args) },                                    \
		{ "HTTP", BIND_STR, CHECK_AT(http) },                                            \
		{ "Header", BIND_MULTI, offsetof(struct check_binding, header) },                \
		{ "Method", BIND_STR, CHECK_AT(method) }, { "Body", BIND_STR, CHECK_AT(body) },  \
		{ "TCP", BIND_STR, CHECK_AT(tcp) }, { "UDP", BIND_STR, CHECK_AT(udp) },          \
		{ "H2PING", BIND_STR, CHECK_AT(h2ping) },                                        \
		{ "OSService", BIND_STR, CHECK_AT(os_service) },                                 \
		{ "Interval", BIND_DURATION, CHECK_AT(interval_ns) },                            \
		{ "DockerContainerID", BIND_STR, CHECK_AT(docker_container_id) },                \
		{ "docker_container_id", BIND_STR, CHECK_AT(docker_container_id) },              \
		{ "Shell", BIND_STR, CHECK_AT(shell) }, { "GRPC", BIND_STR, CHECK_AT(grpc) },    \
		{ "GRPCUseTLS", BIND_BOOL, CHECK_AT(grpc_use_tls) },                             \
		{ "TLSSkipVerify", BIND_BOOL, CHECK_AT(tls_skip_verify) },                       \
		{ "tls_skip_verify", BIND_BOOL, CHECK_AT(tls_skip_verify) },                     \
		{ "TLSServerName", BIND_STR, CHECK_AT(tls_server_name) },                        \
		{ "DisableRedirects", BIND_BOOL, CHECK_AT(disable_redirects) },                  \
		{ "AliasNode", BIND_STR, CHECK_AT(alias_node) },                                 \
		{ "AliasService", BIND_STR, CHECK_AT(alias_service) },                           \
		{ "Timeout", BIND_DURATION, CHECK_AT(timeout_ns) },                              \
		{ "TTL", BIND_DURATION, CHECK_AT(ttl_ns) },                                      \
		{ "OutputMaxSize", BIND_INT, CHECK_AT(output_max_size) },                        \
		{ "SuccessBeforePassing", BIND_INT, CHECK_AT(success_before_passing) },          \
		{ "FailuresBeforeWarning", BIND_INT, CHECK_AT(failures_before_warning) },        \
		{ "FailuresBeforeCritical", BIND_INT, CHECK_AT(failures_before_critical) },      \
		{ "DeregisterCriticalServiceAfter", BIND_DURATION,                               \
			CHECK_AT(deregister_critical_after_ns) },                                \
		{ "deregister_critical_service_after", BIND_DURATION,                            \
			CHECK_AT(deregister_critical_after_ns) },                                \
		{ "ServiceID", BIND_STR, CHECK_AT(service_id) },                                 \
		{ "service_id", BIND_STR, CHECK_AT(service_id) },                                \
		{ "ProxyHTTP", BIND_STR, offsetof(struct check_binding, ignored) },              \
	{                                                                                        \
		"ProxyGRPC", BIND_STR, offsetof(struct check_binding, ignored)                   \
	}

/* How Go names the anonymous structs that Consul decodes into. */
#define GO_CHECK_MEMBERS                                                                           \
	"struct { Interval interface {}; Timeout interface {}; TTL interface {}; "                 \
	"DeregisterCriticalServiceAfter interface {}; Args []string \"json:\\\"args\\\"\"; "       \
	"ScriptArgsSnake []string \"json:\\\"script_args\\\"\"; "                                  \
	"DeregisterCriticalServiceAfterSnake "                                                     \
	"interface {} \"json:\\\"deregister_critical_service_after\\\"\"; DockerContainerIDSnake " \
	"string "                                                                                  \
	"\"json:\\\"docker_container_id\\\"\"; TLSSkipVerifySnake bool "                           \
	"\"json:\\\"tls_skip_verify\\\"\"; "
#define GO_CHECK \
	GO_CHECK_MEMBERS "ServiceIDSnake string \"json:\\\"service_id\\\"\"; *structs.Alias }"
#define GO_CHECK_IN_SERVICE                                                                    \
	GO_CHECK_MEMBERS "ServiceID string \"json:\\\"ServiceID\\\"\"; ServiceIDSnake string " \
			 "\"json:\\\"service_id\\\"\"; *structs.Alias }"
#define GO_SERVICE                                                                    \
	"struct { EnableTagOverrideSnake bool \"json:\\\"enable_tag_override\\\"\"; " \
	"TaggedAddressesSnake map[string]structs.ServiceAddress "                     \
	"\"json:\\\"tagged_addresses\\\"\"; *structs.Alias }"

static const struct bind_field check_api_fields[] = {
	{ "ID", BIND_STR, CHECK_AT(id) },
	{ "Token", BIND_STR, CHECK_AT(token) },
	CHECK_API_COMMON,
};

static const struct bind_field check_in_service_api_fields[] = {
	{ "CheckID", BIND_STR, CHECK_AT(id) },
	CHECK_API_COMMON,
};

const struct bind_object check_api_rows = {
	.go_name = "",
	.go_value = GO_CHECK,
	.size = sizeof(struct check_binding),
	BIND_FIELDS(check_api_fields),
};

const struct bind_object check_in_service_api_rows = {
	.go_name = "",
	.go_value = GO_CHECK_IN_SERVICE,
	.size = sizeof(struct check_binding),
	BIND_FIELDS(check_in_service_api_fields),
};

static const struct bind_field check_file_fields[] = {
	{ "id", BIND_STR, CHECK_AT(id) },
	{ "name", BIND_STR, CHECK_AT(name) },
	{ "notes", BIND_STR, CHECK_AT(notes) },
	{ "service_id", BIND_STR, CHECK_AT(service_id) },
	{ "serviceid", BIND_STR, CHECK_AT(service_id) },
	{ "token", BIND_STR, CHECK_AT(token) },
	{ "status", BIND_STR, CHECK_AT(status) },
	{ "args", BIND_STRS, CHECK_AT(args) },
	{ "scriptargs", BIND_STRS, CHECK_AT(args) },
	{ "http", BIND_STR, CHECK_AT(http) },
	{ "header", BIND_MULTI, offsetof(struct check_binding, header) },
	{ "method", BIND_STR, CHECK_AT(method) },
	{ "body", BIND_STR, CHECK_AT(body) },
	{ "tcp", BIND_STR, CHECK_AT(tcp) },
	{ "udp", BIND_STR, CHECK_AT(udp) },
	{ "h2ping", BIND_STR, CHECK_AT(h2ping) },
	{ "os_service", BIND_STR, CHECK_AT(os_service) },
	{ "interval", BIND_DURATION, CHECK_AT(interval_ns) },
	{ "docker_container_id", BIND_STR, CHECK_AT(docker_container_id) },
	{ "dockercontainerid", BIND_STR, CHECK_AT(docker_container_id) },
	{ "shell", BIND_STR, CHECK_AT(shell) },
	{ "grpc", BIND_STR, CHECK_AT(grpc) },
	{ "grpc_use_tls", BIND_BOOL, CHECK_AT(grpc_use_tls) },
	{ "tls_skip_verify", BIND_BOOL, CHECK_AT(tls_skip_verify) },
	{ "tlsskipverify", BIND_BOOL, CHECK_AT(tls_skip_verify) },
	{ "tls_server_name", BIND_STR, CHECK_AT(tls_server_name) },
	{ "disable_redirects", BIND_BOOL, CHECK_AT(disable_redirects) },
	{ "alias_node", BIND_STR, CHECK_AT(alias_node) },
	{ "alias_service", BIND_STR, CHECK_AT(alias_service) },
	{ "timeout", BIND_DURATION, CHECK_AT(timeout_ns) },
	{ "ttl", BIND_DURATION, CHECK_AT(ttl_ns) },
	{ "output_max_size", BIND_INT, CHECK_AT(output_max_size) },
	{ "success_before_passing", BIND_INT, CHECK_AT(success_before_passing) },
	{ "failures_before_warning", BIND_INT, CHECK_AT(failures_before_warning) },
	{ "failures_before_critical", BIND_INT, CHECK_AT(failures_before_critical) },
	{ "deregister_critical_service_after", BIND_DURATION,
		CHECK_AT(deregister_critical_after_ns) },
	{ "deregistercriticalserviceafter", BIND_DURATION, CHECK_AT(deregister_critical_after_ns) },
};

const struct bind_object check_file_rows = {
	.go_name = "",
	.size = sizeof(struct check_binding),
	BIND_FIELDS(check_file_fields),
};

static const struct bind_field tagged_address_fields[] = {
	{ "Address", BIND_STR, offsetof(struct tagged_address, address) },
	{ "Port", BIND_INT, offsetof(struct tagged_address, port) },
};

/* Go names the whole path of a nested field behind the innermost struct. */
const struct bind_object tagged_address_rows = {
	.go_name = "ServiceAddress.TaggedAddresses",
	.size = sizeof(struct tagged_address),
	BIND_FIELDS(tagged_address_fields),
};

static const struct bind_field weights_fields[] = {
	{ "Passing", BIND_INT, offsetof(struct weights_binding, passing) },
	{ "Warning", BIND_INT, offsetof(struct weights_binding, warning) },
};

static const struct bind_object weights_rows = {
	.go_name = "Weights.Weights",
	.size = sizeof(struct weights_binding),
	BIND_FIELDS(weights_fields),
};

static const struct bind_field connect_api_fields[] = {
	{ "Native", BIND_BOOL, offsetof(struct connect_binding, native) },
};

static const struct bind_object connect_rows = {
	.go_name = "ServiceConnect.Connect",
	.size = sizeof(struct connect_binding),
	BIND_FIELDS(connect_api_fields),
	.ignore_unknown = true,
};

static const struct bind_field service_api_fields[] = {
	{ "Kind", BIND_STR, SERVICE_AT(kind) },
	{ "ID", BIND_STR, SERVICE_AT(id) },
	{ "Name", BIND_STR, SERVICE_AT(name) },
	{ "Tags", BIND_STRS, SERVICE_AT(tags) },
	{ "Address", BIND_STR, SERVICE_AT(address) },
	{ "TaggedAddresses", BIND_JSON, offsetof(struct service_binding, tagged_addresses) },
	{ "tagged_addresses", BIND_JSON, offsetof(struct service_binding, tagged_addresses) },
	{ "Meta", BIND_PAIRS, SERVICE_AT(meta) },
	{ "Port", BIND_INT, SERVICE_AT(port) },
	{ "Check", BIND_POINTER, offsetof(struct service_binding, check),
		&check_in_service_api_rows },
	{ "Checks", BIND_OBJECTS, offsetof(struct service_binding, checks),
		&check_in_service_api_rows, "structs.CheckTypes" },
	{ "Weights", BIND_POINTER, offsetof(struct service_binding, weights_api), &weights_rows },
	{ "Token", BIND_STR, offsetof(struct service_binding, token) },
	{ "EnableTagOverride", BIND_BOOL, SERVICE_AT(enable_tag_override) },
	{ "enable_tag_override", BIND_BOOL, SERVICE_AT(enable_tag_override) },
	{ "Proxy", BIND_JSON, offsetof(struct service_binding, proxy) },
	{ "Connect", BIND_OBJECT, offsetof(struct service_binding, connect), &connect_rows },
};

const struct bind_object service_api_rows = {
	.go_name = "",
	.go_value = GO_SERVICE,
	.size = sizeof(struct service_binding),
	BIND_FIELDS(service_api_fields),
};

static const struct bind_field service_file_fields[] = {
	{ "kind", BIND_STR, SERVICE_AT(kind) },
	{ "id", BIND_STR, SERVICE_AT(id) },
	{ "name", BIND_STR, SERVICE_AT(name) },
	{ "tags", BIND_STRS, SERVICE_AT(tags) },
	{ "address", BIND_STR, SERVICE_AT(address) },
	{ "tagged_addresses", BIND_JSON, offsetof(struct service_binding, tagged_addresses) },
	{ "meta", BIND_PAIRS, SERVICE_AT(meta) },
	{ "port", BIND_INT, SERVICE_AT(port) },
	{ "check", BIND_POINTER, offsetof(struct service_binding, check), &check_file_rows },
	{ "checks", BIND_OBJECTS, offsetof(struct service_binding, checks), &check_file_rows },
	{ "weights", BIND_OBJECT, offsetof(struct service_binding, weights), &weights_rows },
	{ "token", BIND_STR, offsetof(struct service_binding, token) },
	{ "enable_tag_override", BIND_BOOL, SERVICE_AT(enable_tag_override) },
	{ "proxy", BIND_JSON, offsetof(struct service_binding, proxy) },
	{ "connect", BIND_OBJECT, offsetof(struct service_binding, connect), &connect_rows },
};

const struct bind_object service_file_rows = {
	.go_name = "",
	.size = sizeof(struct service_binding),
	BIND_FIELDS(service_file_fields),
};
