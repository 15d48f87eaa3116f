/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The services, checks and watches of configuration files, checked before a node starts or
 * reloads: the loader has only looked at their keys.
 */
#include "common/client/definitions.h"

#include "common/base/err.h"
#include "common/base/json.h"
#include "common/client/definition.h"
#include "common/client/watch.h"

static int refuse(struct buf *why, const char *what, const struct json *v, struct str text)
{
	struct str name = json_find_text(v, "name");

	buf_printf(why, "Failed to register %s \"" STR_FMT "\": " STR_FMT, what, STR_ARG(name),
		STR_ARG(text));
	return ST_INVALID;
}

int definitions_check(const struct conf *c, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct json *const *services = c->services_json.items,
				 *const *checks = c->checks_json.items,
				 *const *watches = c->watches_json.items;
	struct service_definition service;
	struct watch watch;
	struct result error = { 0 };
	struct check_def check;

	for (uint32_t i = 0; i < c->services_json.count; i++) {
		if (definition_service(&arena, DEFINITION_FILE, services[i], &service, &error)) {
			return refuse(why, "service", services[i], error.text);
		}
	}
	for (uint32_t i = 0; i < c->checks_json.count; i++) {
		if (definition_check(&arena, DEFINITION_FILE, checks[i], &check, &error)) {
			return refuse(why, "check", checks[i], error.text);
		}
	}
	for (uint32_t i = 0; i < c->watches_json.count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };

		if (watch_parse(&arena, watches[i], WATCH_FROM_CONFIGURATION, &watch, &reason)) {
			buf_printf(why, "Failed to parse watch (watches[%u]): %s", i,
				buf_cstr(&reason));
			return ST_INVALID;
		}
	}
	return 0;
}
