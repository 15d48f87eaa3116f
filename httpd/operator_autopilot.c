/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/operator/autopilot: the configuration is in the state, on every server; how the servers are
 * only the leader knows.
 */
#include "httpd/httpd.h"
#include "httpd/routes.h"

/* ---- configuration ---- */

static void duration_put(struct jsonw *w, const char *key, int64_t ns)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	duration_render(&text, ns);
	jsonw_key(w, str_of(key));
	jsonw_str(w, buf_str(&text));
}

static void number_put(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_key(w, str_of(key));
	jsonw_u64(w, v);
}

static void bool_put(struct jsonw *w, const char *key, bool v)
{
	jsonw_key(w, str_of(key));
	jsonw_bool(w, v);
}

static void text_put(struct jsonw *w, const char *key, struct str v)
{
	jsonw_key(w, str_of(key));
	jsonw_str(w, v);
}

static void on_configuration(struct exchange *x, int status, struct str payload)
{
	struct autopilot_configuration_reply m;
	struct jsonw w = jsonw_of(exchange_body(x));

	status = EXCHANGE_DECODE(x, autopilot_configuration, status, payload, &m);
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	jsonw_open(&w, '{');
	bool_put(&w, "CleanupDeadServers", m.config.cleanup_dead_servers);
	duration_put(&w, "LastContactThreshold", m.config.last_contact_threshold_ns);
	number_put(&w, "MaxTrailingLogs", m.config.max_trailing_logs);
	number_put(&w, "MinQuorum", m.config.min_quorum);
	duration_put(&w, "ServerStabilizationTime", m.config.server_stabilization_ns);
	text_put(&w, "RedundancyZoneTag", m.config.redundancy_zone_tag);
	bool_put(&w, "DisableUpgradeMigration", m.config.disable_upgrade_migration);
	text_put(&w, "UpgradeVersionTag", m.config.upgrade_version_tag);
	number_put(&w, "CreateIndex", m.create_index);
	number_put(&w, "ModifyIndex", m.modify_index);
	jsonw_close(&w, '}');
	answer_json(x, 200);
}

static void configuration_get(struct exchange *x)
{
	struct autopilot_configuration m = {};

	EXCHANGE_CALL(x, x->httpd->catalog_read, autopilot_configuration, &m, 0, on_configuration);
}

static void on_barrier(struct exchange *x, int status, struct str payload)
{
	if (status) {
		answer_result(x, status, NULL);
	} else {
		configuration_get(x);
	}
}

void handle_autopilot_get(struct exchange *x)
{
	struct catalog_barrier_lease m = {};

	if (request_has(&x->request, "stale")) {
		configuration_get(x);
	} else {
		EXCHANGE_CALL(x, x->httpd->catalog_read, catalog_barrier_lease, &m, 0, on_barrier);
	}
}

struct autopilot_body {
	struct autopilot_config config;
	uint64_t create_index, modify_index;
};

#define FIELD(name, type, field)                                             \
	{                                                                    \
		name, type, .offset = offsetof(struct autopilot_body, field) \
	}

static const struct bind_field body_fields[] = {
	FIELD("CleanupDeadServers", BIND_BOOL, config.cleanup_dead_servers),
	FIELD("LastContactThreshold", BIND_DURATION, config.last_contact_threshold_ns),
	FIELD("MaxTrailingLogs", BIND_U64, config.max_trailing_logs),
	FIELD("MinQuorum", BIND_U64, config.min_quorum),
	FIELD("ServerStabilizationTime", BIND_DURATION, config.server_stabilization_ns),
	FIELD("RedundancyZoneTag", BIND_STR, config.redundancy_zone_tag),
	FIELD("DisableUpgradeMigration", BIND_BOOL, config.disable_upgrade_migration),
	FIELD("UpgradeVersionTag", BIND_STR, config.upgrade_version_tag),
	FIELD("CreateIndex", BIND_U64, create_index),
	FIELD("ModifyIndex", BIND_U64, modify_index),
};

static const struct bind_object body_object = {
	.go_name = "AutopilotConfiguration",
	.go_value = "api.AutopilotConfiguration",
	.size = sizeof(struct autopilot_body),
	BIND_FIELDS(body_fields),
};

static bool parse_body(struct exchange *x, struct autopilot_body *out)
{
	static const char prefix[] = "Bad request: Error parsing autopilot config: ";
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct json *tree;

	if (!exchange_json(x, prefix, &tree)) {
		return false;
	}
	if (tree->type != JSON_NULL && bind_object(&body_object, tree, &x->arena, out, &why)) {
		answer_printf(x, 400, "%s" STR_FMT, prefix, STR_ARG(buf_str(&why)));
		return false;
	}
	return true;
}

static bool parse_cas(struct exchange *x, struct cmd_autopilot *out)
{
	struct str text = request_param(&x->request, "cas");
	OWN_EMBEDDED(buf_fini) struct buf quoted = { 0 };

	if (!text.p) {
		return true;
	}
	out->cas = true;
	if (str_to_u64(text, &out->index)) {
		json_put_string(&quoted, text);
		answer_printf(x, 400,
			"Bad request: Error parsing cas value: strconv.ParseUint: parsing " STR_FMT
			": invalid syntax",
			STR_ARG(buf_str(&quoted)));
		return false;
	}
	return true;
}

void handle_autopilot_set(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	/* What the body leaves out becomes zero, as Consul does it. */
	struct autopilot_body body = { .config = { .redundancy_zone_tag = STR(""),
					       .upgrade_version_tag = STR("") } };
	struct cmd_autopilot cmd = { .cas = false };

	if (!parse_body(x, &body) || !parse_cas(x, &cmd)) {
		return;
	}
	cmd.config = body.config;
	cmd_autopilot_encode(&payload, &cmd);
	exchange_propose(x, COMMAND_cmd_autopilot, buf_str(&payload));
}

/* ---- health ---- */

static void since_put(struct jsonw *w, const struct autopilot_server *s)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	wall_render(&text, (struct wall) { s->stable_since_ms / 1000 * NS_PER_S }, 0);
	text_put(w, "StableSince",
		s->stable_since_ms ? buf_str(&text) : STR("0001-01-01T00:00:00Z"));
}

static void contact_put(struct jsonw *w, const struct autopilot_server *s)
{
	duration_put(w, "LastContact",
		s->last_contact_ms < 0 ? INT64_MAX : s->last_contact_ms * NS_PER_MS);
}

static void health_put(struct jsonw *w, const struct autopilot_server *s)
{
	jsonw_open(w, '{');
	text_put(w, "ID", s->id);
	text_put(w, "Name", s->name);
	text_put(w, "Address", s->address);
	text_put(w, "SerfStatus", s->status_word);
	text_put(w, "Version", s->version);
	bool_put(w, "Leader", s->leader);
	contact_put(w, s);
	number_put(w, "LastTerm", s->last_term);
	number_put(w, "LastIndex", s->last_index);
	bool_put(w, "Healthy", s->healthy);
	bool_put(w, "Voter", s->voter);
	since_put(w, s);
	jsonw_close(w, '}');
}

/* false: answered, or handed to the leader. */
static bool health_decode(
	struct exchange *x, int status, struct str payload, struct autopilot_health_reply *out)
{
	status = EXCHANGE_DECODE(x, autopilot_health, status, payload, out);
	if (status == ST_NOT_LEADER) {
		exchange_to_leader(x);
	} else if (status) {
		answer_result(x, status, NULL);
	}
	return !status;
}

static void on_health(struct exchange *x, int status, struct str payload)
{
	struct autopilot_health_reply m;
	struct jsonw w = jsonw_of(exchange_body(x));

	if (!health_decode(x, status, payload, &m)) {
		return;
	}
	jsonw_open(&w, '{');
	bool_put(&w, "Healthy", m.healthy);
	number_put(&w, "FailureTolerance", m.failure_tolerance);
	jsonw_keyc(&w, "Servers");
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < m.servers.count; i++) {
		health_put(&w, &m.servers.items[i]);
	}
	jsonw_close(&w, ']');
	jsonw_close(&w, '}');
	if (m.healthy) {
		answer_json(x, 200);
	} else { /* as Consul, which forgets to say what it is */
		answer_raw(x, 429, STR("text/plain; charset=utf-8"));
	}
}

void handle_autopilot_health(struct exchange *x)
{
	struct autopilot_health m = {};

	EXCHANGE_CALL(x, x->httpd->catalog_read, autopilot_health, &m, 0, on_health);
}

/* ---- state: the same as later versions of the API have it ---- */

static void state_put(struct jsonw *w, const struct autopilot_server *s)
{
	jsonw_key(w, s->id);
	jsonw_open(w, '{');
	text_put(w, "ID", s->id);
	text_put(w, "Name", s->name);
	text_put(w, "Address", s->address);
	text_put(w, "NodeStatus", s->status_word);
	text_put(w, "Version", s->version);
	contact_put(w, s);
	number_put(w, "LastTerm", s->last_term);
	number_put(w, "LastIndex", s->last_index);
	bool_put(w, "Healthy", s->healthy);
	since_put(w, s);
	bool_put(w, "ReadReplica", s->read_replica);
	text_put(w, "Status",
		s->leader  ? STR("leader")
		: s->voter ? STR("voter")
			   : STR("non-voter"));
	jsonw_keyc(w, "Meta");
	jsonw_open(w, '{');
	jsonw_close(w, '}');
	text_put(w, "NodeType", s->read_replica ? STR("read-replica") : STR("voter"));
	jsonw_close(w, '}');
}

static void on_state(struct exchange *x, int status, struct str payload)
{
	struct autopilot_health_reply m;
	struct jsonw w = jsonw_of(exchange_body(x));
	struct str leader = STR("");

	if (!health_decode(x, status, payload, &m)) {
		return;
	}
	jsonw_open(&w, '{');
	bool_put(&w, "Healthy", m.healthy);
	number_put(&w, "FailureTolerance", m.failure_tolerance);
	number_put(&w, "OptimisticFailureTolerance", m.failure_tolerance);
	jsonw_keyc(&w, "Servers");
	jsonw_open(&w, '{');
	for (uint32_t i = 0; i < m.servers.count; i++) {
		leader = m.servers.items[i].leader ? m.servers.items[i].id : leader;
		state_put(&w, &m.servers.items[i]);
	}
	jsonw_close(&w, '}');
	text_put(&w, "Leader", leader);
	jsonw_keyc(&w, "Voters");
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < m.servers.count; i++) {
		if (m.servers.items[i].voter) {
			jsonw_str(&w, m.servers.items[i].id);
		}
	}
	jsonw_close(&w, ']');
	jsonw_close(&w, '}');
	answer_json(x, 200);
}

void handle_autopilot_state(struct exchange *x)
{
	struct autopilot_health m = {};

	EXCHANGE_CALL(x, x->httpd->catalog_read, autopilot_health, &m, 0, on_state);
}
