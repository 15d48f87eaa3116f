/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/operator/raft, and what answers that a feature is off: ACLs, Connect, the debugging
 * endpoints.
 */
#include "httpd/httpd.h"
#include "httpd/routes.h"

static void put_server(struct jsonw *w, const struct raft_server *s)
{
	jsonw_open(w, '{');
	jsonw_keyc(w, "ID");
	jsonw_str(w, s->id);
	jsonw_keyc(w, "Node");
	jsonw_str(w, s->node);
	jsonw_keyc(w, "Address");
	jsonw_str(w, s->address);
	jsonw_keyc(w, "Leader");
	jsonw_bool(w, s->leader);
	jsonw_keyc(w, "ProtocolVersion");
	jsonw_cstr(w, "3");
	jsonw_keyc(w, "Voter");
	jsonw_bool(w, s->voter);
	jsonw_close(w, '}');
}

static void on_configuration(struct exchange *x, int status, struct str payload)
{
	struct raft_configuration_reply m;
	struct jsonw w = jsonw_of(exchange_body(x));

	status = EXCHANGE_DECODE(x, raft_configuration, status, payload, &m);
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	jsonw_open(&w, '{');
	jsonw_keyc(&w, "Servers");
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < m.servers.count; i++) {
		put_server(&w, &m.servers.items[i]);
	}
	jsonw_close(&w, ']');
	jsonw_keyc(&w, "Index");
	jsonw_u64(&w, 0); /* always, in this version of the API */
	jsonw_close(&w, '}');
	answer_json(x, 200);
}

void handle_raft_configuration(struct exchange *x)
{
	struct raft_configuration m = {};

	EXCHANGE_CALL(x, x->httpd->raft_read, raft_configuration, &m, 0, on_configuration);
}

void handle_acl_disabled(struct exchange *x)
{
	answer_text(x, 401, STR("ACL support disabled"));
}

void handle_connect_disabled(struct exchange *x)
{
	read_failed(x, 500, STR("Connect must be enabled in order to use this endpoint"));
}
