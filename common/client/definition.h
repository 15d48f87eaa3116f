/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of services and checks: from JSON as it arrives at the agent's endpoints
 * (DEFINITION_API: CamelCase, case ignored, a few snake_case aliases) or as it stands in
 * configuration files (DEFINITION_FILE: snake_case) to struct service_def and check_def, checked
 * with Consul's rules and in Consul's words. Pure: no I/O. Used by httpd, checkd and ctl.
 *
 * What is not decided here, because it depends on the agent: whether scripts are allowed (ask
 * definition_check_is_script), whether the service of a check exists, ids of checks that have none,
 * and the default name of a service's check: checkd does that.
 */
#ifndef MUSTER_COMMON_CLIENT_DEFINITION_H
#define MUSTER_COMMON_CLIENT_DEFINITION_H

#include "common/base/json.h"
#include "common/msg/types.h"

enum definition_form { DEFINITION_API, DEFINITION_FILE };

/* Limits of metadata pairs, for services and nodes. */
enum { META_PAIRS_MAX = 64, META_KEY_MAX = 128, META_VALUE_MAX = 512 };

struct service_definition {
	struct service_def service; /* id and weights filled in; lan_/wan_ipv4 (ipv6) added when
				       address is an IP */
	struct check_def *checks;   /* Check first, then Checks; id and name "" where not given */
	uint32_t checks_count;
	struct str token;
};

/*
 * 0, or ST_INVALID with error_out->kind (RESULT_BAD, RESULT_ERROR) and ->text, the whole message
 * for the caller. Everything in *out and the text lives in the arena, or is borrowed from v. v may
 * be JSON null (nothing is set, so the name is missing). In FILE form key errors say `invalid
 * config key service.bogus`, type errors `'service.port' expected type 'int', got ...`.
 */
int definition_service(struct arena *arena, enum definition_form form, const struct json *v,
	struct service_definition *out, struct result *error_out);
int definition_check(struct arena *arena, enum definition_form form, const struct json *v,
	struct check_def *out, struct result *error_out);

/* Only keys and types of a FILE definition, as `muster validate` needs them; path: "service",
 * "services[2]", "check". Outcomes as above. */
int definition_file_shape(struct arena *arena, bool is_service, const char *path,
	const struct json *v, struct result *error_out);

/* The body for PUT /v1/agent/service/register or check/register that says the same. */
void definition_service_render(struct jsonw *w, const struct service_definition *d);
void definition_check_render(struct jsonw *w, const struct check_def *c, bool in_service);

/* The Type word of the catalogue: "grpc" "http" "ttl" "tcp" "udp" "h2ping" "alias" "docker"
 * "os_service" "script", else "". */
const char *definition_check_type(const struct check_def *c);
bool definition_check_is_script(const struct check_def *c); /* starts a program (docker included) */

/* Consul's rules for metadata: 0 or ST_INVALID with e.g. "Couldn't load metadata pair ('a b', 'v'):
 * Key contains invalid characters". */
int definition_meta_check(const struct pairs *meta, bool reserved_allowed, struct buf *why);
/* TaggedAddresses (NULL: none) into s, by name, with room for two more. go_name: what errors call
 * its struct. ST_INVALID: Go's decoder text in *why. */
int definition_tagged_addresses(struct arena *arena, const char *go_name, const struct json *v,
	struct service_def *s, struct buf *why);
/* An address that cannot be one: 0.0.0.0, ::, [::]. */
bool definition_address_is_any(struct str address);

#endif
