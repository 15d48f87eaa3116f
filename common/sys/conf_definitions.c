/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of service and check definitions in configuration files. They are only checked here
 * (unknown keys, types); their meaning is in common/client/definition.h.
 */
#include "common/sys/conf_private.h"

#define ROW(name, type)                            \
	{                                          \
		name, type, KEY_UNUSED, NULL, true \
	}
#define INNER(name, type, rows)                    \
	{                                          \
		name, type, KEY_UNUSED, rows, true \
	}

static const struct conf_key check_keys[] = {
	ROW("id", KEY_TEXT),
	ROW("name", KEY_TEXT),
	ROW("notes", KEY_TEXT),
	ROW("service_id", KEY_TEXT),
	ROW("serviceid", KEY_TEXT),
	ROW("token", KEY_TEXT),
	ROW("status", KEY_TEXT),
	ROW("args", KEY_TEXTS),
	ROW("scriptargs", KEY_TEXTS),
	ROW("http", KEY_TEXT),
	ROW("header", KEY_MULTI),
	ROW("method", KEY_TEXT),
	ROW("body", KEY_TEXT),
	ROW("tcp", KEY_TEXT),
	ROW("udp", KEY_TEXT),
	ROW("interval", KEY_DURATION),
	ROW("docker_container_id", KEY_TEXT),
	ROW("dockercontainerid", KEY_TEXT),
	ROW("shell", KEY_TEXT),
	ROW("grpc", KEY_TEXT),
	ROW("grpc_use_tls", KEY_BOOL),
	ROW("tls_server_name", KEY_TEXT),
	ROW("tls_skip_verify", KEY_BOOL),
	ROW("tlsskipverify", KEY_BOOL),
	ROW("alias_node", KEY_TEXT),
	ROW("alias_service", KEY_TEXT),
	ROW("timeout", KEY_DURATION),
	ROW("ttl", KEY_DURATION),
	ROW("h2ping", KEY_TEXT),
	ROW("os_service", KEY_TEXT),
	ROW("disable_redirects", KEY_BOOL),
	ROW("success_before_passing", KEY_INT),
	ROW("failures_before_warning", KEY_INT),
	ROW("failures_before_critical", KEY_INT),
	ROW("output_max_size", KEY_INT),
	ROW("deregister_critical_service_after", KEY_DURATION),
	ROW("deregistercriticalserviceafter", KEY_DURATION),
};
const struct conf_schema conf_check_schema = CONF_SCHEMA(check_keys);

static const struct conf_key weights_keys[] = { ROW("passing", KEY_INT), ROW("warning", KEY_INT) };
static const struct conf_schema weights_schema = CONF_SCHEMA(weights_keys);

static const struct conf_key service_keys[] = {
	ROW("id", KEY_TEXT),
	ROW("name", KEY_TEXT),
	ROW("tags", KEY_TEXTS),
	ROW("address", KEY_TEXT),
	ROW("tagged_addresses", KEY_ANY),
	ROW("meta", KEY_PAIRS),
	ROW("port", KEY_INT),
	INNER("check", KEY_OBJECT, &conf_check_schema),
	INNER("checks", KEY_OBJECTS, &conf_check_schema),
	ROW("enable_tag_override", KEY_BOOL),
	INNER("weights", KEY_OBJECT, &weights_schema),
	ROW("token", KEY_TEXT),
	ROW("kind", KEY_TEXT),
	ROW("proxy", KEY_ANY),
	ROW("connect", KEY_ANY),
};
const struct conf_schema conf_service_schema = CONF_SCHEMA(service_keys);
