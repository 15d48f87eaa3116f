/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root and /v1/status.
 */
#include "httpd/httpd.h"
#include "httpd/routes.h"

/* "/" matches whatever nothing else does. */
void handle_root(struct exchange *x)
{
	if (x->request.name.n) {
		answer_empty(x, 404);
		return;
	}
	answer_text(x, 200, STR("Consul Agent"));
}

void handle_status_leader(struct exchange *x)
{
	struct raft_page page;
	struct jsonw w = jsonw_of(exchange_body(x));

	state_raft_page(x->httpd->reader, &page);
	jsonw_cstr(&w, page.leader_address);
	answer_json(x, 200);
}

static void on_peers(struct exchange *x, int status, struct str payload)
{
	struct raft_configuration_reply m;
	struct jsonw w = jsonw_of(exchange_body(x));

	status = EXCHANGE_DECODE(x, raft_configuration, status, payload, &m);
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < m.servers.count; i++) {
		jsonw_str(&w, m.servers.items[i].address);
	}
	jsonw_close(&w, ']');
	answer_json(x, 200);
}

void handle_status_peers(struct exchange *x)
{
	struct raft_configuration m = {};

	EXCHANGE_CALL(x, x->httpd->raft_read, raft_configuration, &m, 0, on_peers);
}
