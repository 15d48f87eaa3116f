/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What configuration says: settings of the registry, and the services and checks that stand in its
 * files.
 */
#include "checkd/checkd.h"
#include "common/client/definition.h"

void config_apply(struct checkd *c)
{
	const struct conf *conf = c->daemon->conf;
	struct pairs meta;

	/* The registry keeps to the old settings until it is told, in this same turn. */
	arena_reset(&c->config_arena);
	meta = (struct pairs) { arena_array(
					&c->config_arena, struct pair, conf->node_meta.count + 1),
		conf->node_meta.count, true };
	if (meta.count) {
		memcpy(meta.items, conf->node_meta.items, meta.count * sizeof(meta.items[0]));
	}
	meta.items[meta.count++] = (struct pair) { STR("consul-network-segment"), STR("") };
	pairs_sort(&meta);
	c->config = (struct registry_config) {
		.node = conf->node_name,
		.node_id = str_of(c->node_id),
		.datacenter = conf->datacenter,
		.address = conf->advertise_addr,
		.tagged_addresses = conf->tagged_addresses,
		.meta = meta,
		.default_token = conf->acl.token_default,
		.agent_token = conf->acl.token_agent,
		.check_update_interval_ns = conf->check_update_interval_ns,
		.output_max = conf->check_output_max_size,
		.discard_output = conf->discard_check_output,
		.cluster_size = 1,
	};
}

static bool check_allowed(
	const struct conf *conf, const struct check_def *def, const char **why_out)
{
	*why_out = NULL;
	if (definition_check_is_script(def) && !conf->enable_script_checks_local &&
		!conf->enable_script_checks_remote) {
		*why_out = "Scripts are disabled on this agent; to enable, configure "
			   "'enable_script_checks' or "
			   "'enable_local_script_checks' to true";
	} else {
		*why_out = run_refusal(def);
	}
	return !*why_out;
}

static void refused(const char *kind, struct str id, struct str why)
{
	log_error("definition-refused", "%s=\"" STR_FMT "\" error=\"" STR_FMT "\"", kind,
		STR_ARG(id), STR_ARG(why));
}

static void service_apply(struct checkd *c, const struct json *v)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct registry_check *checks;
	struct service_definition d = { 0 };
	struct result result = { 0 };
	uint32_t count = 0;

	if (definition_service(&arena, DEFINITION_FILE, v, &d, &result)) {
		refused("service", json_find_text(v, "name"), result.text);
		return;
	}
	checks = arena_array(&arena, struct registry_check, d.checks_count);
	for (uint32_t i = 0; i < d.checks_count; i++) {
		const char *why;

		if (check_allowed(c->daemon->conf, &d.checks[i], &why)) {
			checks[count++] = (struct registry_check) { &d.checks[i],
				str_of(definition_check_type(&d.checks[i])) };
		} else {
			refused("service", d.service.id, str_of(why));
		}
	}
	struct registry_event e = { .type = REGISTRY_SERVICE_PUT,
		.service = { .def = &d.service,
			.checks = checks,
			.checks_count = count,
			.sync_token = d.token,
			.from_config = true } };

	checkd_step(c, &e, &result);
	if (result.kind != RESULT_OK) {
		refused("service", d.service.id, result.text);
	}
}

static void check_apply(struct checkd *c, const struct json *v)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct check_def def = { 0 };
	struct result result = { 0 };
	const char *why;

	if (definition_check(&arena, DEFINITION_FILE, v, &def, &result)) {
		refused("check", json_find_text(v, "name"), result.text);
		return;
	}
	if (!check_allowed(c->daemon->conf, &def, &why)) {
		refused("check", def.name, str_of(why));
		return;
	}
	/* without a type word: Consul gives one over HTTP and to checks of services only */
	struct registry_event e = { .type = REGISTRY_CHECK_PUT,
		.check = { { &def, STR("") }, def.token, true } };

	checkd_step(c, &e, &result);
	if (result.kind != RESULT_OK) {
		refused("check", def.name, result.text);
	}
}

void definitions_apply(struct checkd *c)
{
	const struct conf *conf = c->daemon->conf;
	const struct json *const *services = conf->services_json.items, *const *checks =
										conf->checks_json
											.items;
	struct registry_event begin = { .type = REGISTRY_CONF_BEGIN },
			      end = { .type = REGISTRY_CONF_END };

	checkd_step(c, &begin, NULL);
	for (uint32_t i = 0; i < conf->services_json.count; i++) {
		service_apply(c, services[i]);
	}
	for (uint32_t i = 0; i < conf->checks_json.count; i++) {
		check_apply(c, checks[i]);
	}
	checkd_step(c, &end, NULL);
}
