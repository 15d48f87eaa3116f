/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/agent/: services and checks of this node, which checkd owns. Bodies are decoded and checked
 * here (common/client/definition.h), what depends on the registrations is checked there.
 */
#include "common/base/err.h"
#include "common/client/definition.h"
#include "httpd/core/filter.h"
#include "httpd/httpd.h"
#include "httpd/routes.h"

enum { SERVICE_WAIT_MAX_MS = 600000, SERVICE_WAIT_SLACK_MS = 5000 };

/* ---- lists ---- */

/* checks: semantic errors come without the prefix there, as in Consul. */
static bool filter_begin(struct exchange *x, enum filter_object object, struct filter **out)
{
	static const char prefix[] = "Failed to create boolean expression evaluator: ";
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct str text;

	if (filter_new(request_param(&x->request, "filter"), object, out, &why) == 0) {
		return true;
	}
	text = buf_str(&why);
	if (object == FILTER_HEALTH_CHECK) {
		struct str rest = str_skip(text, sizeof(prefix) - 1);

		text = rest.n && rest.p[0] >= '0' && rest.p[0] <= '9' ? text : rest;
	}
	answer_text(x, 500, text);
	return false;
}

/* The members of an object that match, rendered again. */
static void members_put(struct exchange *x, const struct filter *f, const struct json *object)
{
	struct buf *body = exchange_body(x);
	const struct json *member;
	struct jsonw w = jsonw_of(body);

	jsonw_open(&w, '{');
	json_for_each (member, object) {
		OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

		if (filter_match(f, member)) {
			json_render(&text, member);
			jsonw_key(&w, member->key);
			jsonw_raw(&w, buf_str(&text));
		}
	}
	jsonw_close(&w, '}');
}

static void list_answer(
	struct exchange *x, int status, struct str payload, enum filter_object object)
{
	OWN(filter_free) struct filter *f = NULL;
	struct result result;
	struct json *all;

	if (!status) {
		status = result_decode(payload, &x->arena, &result);
	}
	if (status || result.kind != RESULT_OK || !request_has(&x->request, "filter")) {
		answer_result(x, status, &result);
		return;
	}
	if (!filter_begin(x, object, &f)) {
		return;
	}
	if (json_parse(&x->arena, result.payload, &all, NULL)) {
		answer_result(x, ST_INVALID, NULL);
		return;
	}
	members_put(x, f, all);
	answer_json(x, 200);
}

static void on_services(struct exchange *x, int status, struct str payload)
{
	list_answer(x, status, payload, FILTER_NODE_SERVICE);
}

static void on_checks(struct exchange *x, int status, struct str payload)
{
	list_answer(x, status, payload, FILTER_HEALTH_CHECK);
}

void handle_agent_services(struct exchange *x)
{
	struct agent_services m = { .token = exchange_token(x) };

	EXCHANGE_CALL(x, x->httpd->check_read, agent_services, &m, 0, on_services);
}

void handle_agent_checks(struct exchange *x)
{
	struct agent_checks m = { .token = exchange_token(x) };

	EXCHANGE_CALL(x, x->httpd->check_read, agent_checks, &m, 0, on_checks);
}

/* ---- one service ---- */

static void on_service(struct exchange *x, int status, struct str payload)
{
	struct agent_service_reply reply;

	status = EXCHANGE_DECODE(x, agent_service, status, payload, &reply);
	if (!status && reply.result.kind == RESULT_OK) {
		answer_header(x, STR("X-Consul-Contenthash"), reply.hash);
	}
	answer_result(x, status, &reply.result);
}

/* ?wait as milliseconds, 300 s by default, at most 10 min; 0 while httpd ends: the handler is then
 * run again. false: answered. */
static bool wait_parse(struct exchange *x, uint32_t *out)
{
	struct str text = request_param(&x->request, "wait"),
		   index = request_param(&x->request, "index");
	int64_t ns = 0;
	uint64_t ignored;

	if (text.n && duration_parse(text, &ns, NULL)) {
		answer_text(x, 400, STR("Invalid wait time"));
		return false;
	}
	if (index.n && str_to_u64(index, &ignored)) {
		answer_text(x, 400, STR("Invalid index"));
		return false;
	}
	if (ns <= 0) {
		ns = x->httpd->conf->default_query_time_ns;
	}
	x->is_waiting = true;
	*out = (uint32_t)min_of(max_of(ns / NS_PER_MS, 1), SERVICE_WAIT_MAX_MS);
	*out = x->httpd->daemon->draining ? 0 : *out;
	return true;
}

void handle_agent_service(struct exchange *x)
{
	struct agent_service m = {
		.token = exchange_token(x),
		.id = x->request.name,
		.hash = request_param(&x->request, "hash"),
	};

	if (wait_parse(x, &m.wait_ms)) {
		EXCHANGE_CALL(x, x->httpd->check_read, agent_service, &m,
			m.wait_ms + SERVICE_WAIT_SLACK_MS, on_service);
	}
}

/* ---- register and deregister ---- */

static void answer_refused(struct exchange *x, const struct result *error)
{
	answer_result(x, 0, error);
}

void handle_agent_service_register(struct exchange *x)
{
	struct str replace = request_param(&x->request, "replace-existing-checks");
	struct agent_service_register m = { .token = exchange_token(x) };
	struct service_definition d;
	struct result error;
	struct json *body;

	if (!exchange_json(x, "Request decode failed: ", &body)) {
		return;
	}
	if (definition_service(&x->arena, DEFINITION_API, body, &d, &error)) {
		answer_refused(x, &error);
		return;
	}
	/* present, or "true"; any other value is no */
	m.replace_existing_checks = replace.p && (!replace.n || str_is(replace, "true"));
	m.service = d.service;
	m.sync_token = d.token;
	m.checks.items = d.checks;
	m.checks.count = d.checks_count;
	EXCHANGE_CALL(x, x->httpd->check_write, agent_service_register, &m, 0, exchange_on_done);
}

void handle_agent_service_deregister(struct exchange *x)
{
	struct agent_service_deregister m = { .token = exchange_token(x), .id = x->request.name };

	EXCHANGE_CALL(x, x->httpd->check_write, agent_service_deregister, &m, 0, exchange_on_done);
}

void handle_agent_check_register(struct exchange *x)
{
	struct agent_check_register m = { .token = exchange_token(x) };
	struct result error;
	struct json *body;

	if (!exchange_json(x, "Request decode failed: ", &body)) {
		return;
	}
	if (definition_check(&x->arena, DEFINITION_API, body, &m.check, &error)) {
		answer_refused(x, &error);
		return;
	}
	EXCHANGE_CALL(x, x->httpd->check_write, agent_check_register, &m, 0, exchange_on_done);
}

void handle_agent_check_deregister(struct exchange *x)
{
	struct agent_check_deregister m = { .token = exchange_token(x), .id = x->request.name };

	EXCHANGE_CALL(x, x->httpd->check_write, agent_check_deregister, &m, 0, exchange_on_done);
}

/* ---- TTL checks ---- */

static void check_update(struct exchange *x, struct str status, struct str output)
{
	struct agent_check_update m = {
		.token = exchange_token(x),
		.id = x->request.name,
		.status = status,
		.output = output,
	};

	EXCHANGE_CALL(x, x->httpd->check_write, agent_check_update, &m, 0, exchange_on_done);
}

void handle_agent_check_pass(struct exchange *x)
{
	check_update(x, STR("passing"), request_param(&x->request, "note"));
}

void handle_agent_check_warn(struct exchange *x)
{
	check_update(x, STR("warning"), request_param(&x->request, "note"));
}

void handle_agent_check_fail(struct exchange *x)
{
	check_update(x, STR("critical"), request_param(&x->request, "note"));
}

struct update_body {
	struct str status, output;
};

static const struct bind_field update_fields[] = {
	{ "Status", BIND_STR, offsetof(struct update_body, status) },
	{ "Output", BIND_STR, offsetof(struct update_body, output) },
};

static const struct bind_object update_rows = {
	.go_name = "checkUpdate",
	.go_value = "agent.checkUpdate",
	.size = sizeof(struct update_body),
	BIND_FIELDS(update_fields),
};

void handle_agent_check_update(struct exchange *x)
{
	struct update_body body = { 0 };

	if (!exchange_bind(x, &update_rows, &body)) {
		return;
	}
	if (!str_is(body.status, "passing") && !str_is(body.status, "warning") &&
		!str_is(body.status, "critical")) {
		answer_printf(x, 400, "Invalid check status: '" STR_FMT "'", STR_ARG(body.status));
		return;
	}
	check_update(x, body.status, body.output);
}

/* ---- maintenance ---- */

static void maintenance(struct exchange *x, struct str service_id)
{
	struct str enable = request_param(&x->request, "enable");
	struct agent_maintenance m = {
		.token = exchange_token(x),
		.service_id = service_id,
		.reason = request_param(&x->request, "reason"),
	};

	if (!enable.p) {
		answer_text(x, 400, STR("Missing value for enable"));
		return;
	}
	if (str_to_bool(enable, &m.enable)) {
		answer_printf(x, 400, "Invalid value for enable: \"" STR_FMT "\"", STR_ARG(enable));
		return;
	}
	EXCHANGE_CALL(x, x->httpd->check_write, agent_maintenance, &m, 0, exchange_on_done);
}

void handle_agent_maintenance(struct exchange *x)
{
	maintenance(x, STR(""));
}

void handle_agent_service_maintenance(struct exchange *x)
{
	if (!x->request.name.n) {
		answer_text(x, 400, STR("Missing service ID"));
		return;
	}
	maintenance(x, x->request.name);
}

/* ---- health of local services ---- */

static int health_code(struct str status)
{
	static const struct {
		const char *word;
		int code;
	} rows[] = { { "passing", 200 }, { "warning", 429 }, { "critical", 503 },
		{ "maintenance", 503 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (str_is(status, rows[i].word)) {
			return rows[i].code;
		}
	}
	return status.n ? 500 : 404;
}

static bool wants_text(struct exchange *x)
{
	struct str accept = request_header(&x->request, "Accept");

	return str_is(request_param(&x->request, "format"), "text") ||
	       str_starts(accept, STR("text/plain"));
}

/* As text it is a word; an unknown ID is a JSON string even then, an unknown name is not. */
static void health_text(struct exchange *x, bool by_name, struct str status, struct str reason)
{
	struct buf *body = exchange_body(x);

	if (status.n || by_name) {
		buf_put_str(body, reason);
		answer_raw(x, health_code(status), STR("text/plain"));
		return;
	}
	json_put_string(body, reason);
	answer_json(x, 404);
}

static void health_answer(struct exchange *x, int status, struct str payload, bool by_name)
{
	struct agent_health_reply reply;
	struct str reason;

	status = EXCHANGE_DECODE(x, agent_health, status, payload, &reply);
	if (status || reply.result.kind != RESULT_OK) {
		answer_result(x, status, &reply.result);
		return;
	}
	reason = reply.status;
	if (!reason.n) {
		reason = arena_printf(&x->arena,
			by_name ? "ServiceName " STR_FMT " Not Found"
				: "ServiceId " STR_FMT " not found",
			STR_ARG(x->request.name));
	}
	answer_header(x, STR("X-Consul-Reason"), reason);
	if (wants_text(x)) {
		health_text(x, by_name, reply.status, reason);
		return;
	}
	buf_put_str(exchange_body(x), reply.result.payload);
	answer_json(x, health_code(reply.status));
}

static void on_health_id(struct exchange *x, int status, struct str payload)
{
	health_answer(x, status, payload, false);
}

static void on_health_name(struct exchange *x, int status, struct str payload)
{
	health_answer(x, status, payload, true);
}

void handle_agent_health_id(struct exchange *x)
{
	struct agent_health m = { .token = exchange_token(x), .name = x->request.name };

	if (!m.name.n) {
		answer_text(x, 500, STR("Bad request: Missing serviceID"));
		return;
	}
	EXCHANGE_CALL(x, x->httpd->check_read, agent_health, &m, 0, on_health_id);
}

void handle_agent_health_name(struct exchange *x)
{
	struct agent_health m = {
		.token = exchange_token(x), .by_name = true, .name = x->request.name
	};

	if (!m.name.n) {
		answer_text(x, 500, STR("Bad request: Missing service Name"));
		return;
	}
	EXCHANGE_CALL(x, x->httpd->check_read, agent_health, &m, 0, on_health_name);
}
