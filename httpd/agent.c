/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/agent/: the node as a member of its cluster: members, join, leave, reload, version.
 */
#include "httpd/agent.h"

#include "common/base/err.h"
#include "httpd/local.h"
#include "httpd/routes.h"
#include "version.h"

/* ---- members ---- */

static void number_put(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_key(w, str_of(key));
	jsonw_u64(w, v);
}

void member_render(struct jsonw *w, const struct member *m)
{
	jsonw_open(w, '{');
	jsonw_put_str(w, "Name", m->name);
	jsonw_put_str(w, "Addr", m->addr);
	number_put(w, "Port", m->port);
	jsonw_keyc(w, "Tags");
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < m->tags.count; i++) {
		jsonw_key(w, m->tags.items[i].key);
		jsonw_str(w, m->tags.items[i].value);
	}
	jsonw_close(w, '}');
	number_put(w, "Status", m->status);
	number_put(w, "ProtocolMin", m->protocol_min);
	number_put(w, "ProtocolMax", m->protocol_max);
	number_put(w, "ProtocolCur", m->protocol_cur);
	number_put(w, "DelegateMin", m->delegate_min);
	number_put(w, "DelegateMax", m->delegate_max);
	number_put(w, "DelegateCur", m->delegate_cur);
	jsonw_close(w, '}');
}

static void on_members(struct exchange *x, int status, struct str payload)
{
	struct jsonw w = jsonw_of(exchange_body(x));
	struct members_reply reply;

	status = EXCHANGE_DECODE(x, members, status, payload, &reply);
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < reply.members.count; i++) {
		member_render(&w, &reply.members.items[i]);
	}
	jsonw_close(&w, ']');
	answer_json(x, 200);
}

void handle_agent_members(struct exchange *x)
{
	struct str segment = request_param(&x->request, "segment");
	struct members m = { .wan = request_param(&x->request, "wan").n > 0 };
	bool all = !segment.n || str_is(segment, "_all"); /* which the consul tool always says */

	if (m.wan && !all) {
		answer_text(x, 400, STR("Cannot provide a segment with wan=true"));
		return;
	}
	if (!all && !x->httpd->conf->server) {
		answer_printf(x, 500, "segment \"" STR_FMT "\" not found", STR_ARG(segment));
		return;
	}
	if (!all) {
		answer_text(x, 500,
			STR("Network segments are not supported in this version of Consul"));
		return;
	}
	if (m.wan && !x->httpd->conf->server) { /* it has no such pool */
		buf_put_lit(exchange_body(x), "null");
		answer_json(x, 200);
		return;
	}
	EXCHANGE_CALL(x, x->httpd->gossip_read, members, &m, 0, on_members);
}

void handle_agent_join(struct exchange *x)
{
	struct gossip_join m = {
		.token = exchange_token(x),
		.address = x->request.name,
		.wan = str_is(request_param(&x->request, "wan"), "1"),
	};

	EXCHANGE_CALL(x, x->httpd->gossip_write, gossip_join, &m, 0, exchange_on_done);
}

void handle_agent_force_leave(struct exchange *x)
{
	struct gossip_force_leave m = {
		.token = exchange_token(x),
		.node = x->request.name,
		.prune = request_has(&x->request, "prune"),
	};

	EXCHANGE_CALL(x, x->httpd->gossip_write, gossip_force_leave, &m, 0, exchange_on_done);
}

/* ---- the end of the node ---- */

/* The pools are told in stages of at most five seconds, and servers wait for the quorum. */
enum { LEAVE_MS = 30000 };

/* The others have been told, or cannot be: the node ends either way. */
static void on_left(struct exchange *x, int status, struct str payload)
{
	struct gossip_leave_reply reply;

	if (!status && gossip_leave_reply_decode(payload, &x->arena, &reply) == 0 &&
		reply.result.kind == RESULT_DENIED) {
		answer_result(x, 0, &reply.result);
		return;
	}
	local_end(x->httpd->local);
	answer_empty(x, 200);
}

void handle_agent_leave(struct exchange *x)
{
	struct gossip_leave m = { .token = exchange_token(x) };

	EXCHANGE_CALL(x, x->httpd->gossip_write, gossip_leave, &m, LEAVE_MS, on_left);
}

/* ---- reload ---- */

static void on_reloaded(struct exchange *x, const struct local_answers *answers)
{
	answer_empty(x, 200);
}

/* httpd loads first: where the configuration is wrong, nobody reloads. */
static void on_validated(struct exchange *x, const struct local_answers *answers)
{
	struct json *answer;
	struct str error = STR("the configuration could not be read");
	const struct json *ok;

	if (json_parse(&x->arena, answers->text[LOCAL_HTTPD], &answer, NULL)) {
		answer_text(x, 500, error);
		return;
	}
	ok = json_find(answer, "ok");
	if (!ok || !ok->boolean) {
		struct str text = json_find_text(answer, "error");

		answer_text(x, 500, text.n ? text : error);
		return;
	}
	local_ask(x, LOCAL_ALL & ~(1u << LOCAL_HTTPD), STR("{\"cmd\":\"reload\"}"), on_reloaded);
}

void handle_agent_reload(struct exchange *x)
{
	local_ask(x, 1u << LOCAL_HTTPD, STR("{\"cmd\":\"reload\"}"), on_validated);
}

/* ---- version ---- */

void handle_agent_version(struct exchange *x)
{
	struct jsonw w = jsonw_of(exchange_body(x));

	jsonw_open(&w, '{');
	jsonw_put_cstr(&w, "SHA", "");
	jsonw_put_cstr(&w, "BuildDate", "0001-01-01T00:00:00Z");
	jsonw_put_cstr(&w, "HumanVersion", CONSUL_VERSION "+muster" MUSTER_VERSION);
	jsonw_put_cstr(&w, "FIPS", "");
	jsonw_close(&w, '}');
	answer_json(x, 200);
}
