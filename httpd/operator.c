/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/operator/raft: who is in the quorum (changes are made by the leader); and what answers that a
 * feature is off: ACLs, Connect, the debugging endpoints.
 */
#include "httpd/httpd.h"
#include "httpd/routes.h"

static void put_server(struct jsonw *w, const struct raft_server *s)
{
	jsonw_open(w, '{');
	jsonw_put_str(w, "ID", s->id);
	jsonw_put_str(w, "Node", s->node.n ? s->node : STR("(unknown)"));
	jsonw_put_str(w, "Address", s->address);
	jsonw_put_bool(w, "Leader", s->leader);
	jsonw_put_cstr(w, "ProtocolVersion", "3");
	jsonw_put_bool(w, "Voter", s->voter);
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
	jsonw_put_u64(&w, "Index", 0); /* always, in this version of the API */
	jsonw_close(&w, '}');
	answer_json(x, 200);
}

void handle_raft_configuration(struct exchange *x)
{
	struct raft_configuration m = {};

	EXCHANGE_CALL(x, x->httpd->raft_read, raft_configuration, &m, 0, on_configuration);
}

/* ---- changes ---- */

/* What is asked to be removed, as Consul's error texts name it. */
struct removal {
	const char *by;
	struct str wanted;
};

static void removal_not_found(struct exchange *x)
{
	const struct removal *r = x->state;

	answer_printf(x, 500, "%s \"" STR_FMT "\" was not found in the Raft configuration", r->by,
		STR_ARG(r->wanted));
}

static void on_removed(struct exchange *x, int status, struct str payload)
{
	if (status == ST_NOT_LEADER) {
		exchange_to_leader(x);
	} else if (status == ST_NOT_FOUND) {
		removal_not_found(x);
	} else if (status == ST_AGAIN) {
		answer_text(x, 500, STR("another change of the quorum is under way"));
	} else if (status == ST_INVALID) {
		answer_text(x, 500, STR("Need at least one voter in configuration: {[]}"));
	} else {
		exchange_on_done(x, status, payload);
	}
}

static void on_removal_looked_up(struct exchange *x, int status, struct str payload)
{
	struct quorum_remove change = { .token = exchange_token(x) };
	const struct removal *r = x->state;
	struct raft_configuration_reply m;

	status = EXCHANGE_DECODE(x, raft_configuration, status, payload, &m);
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	for (uint32_t i = 0; i < m.servers.count; i++) {
		const struct raft_server *s = &m.servers.items[i];

		if (str_eq(r->by[0] == 'i' ? s->id : s->address, r->wanted)) {
			change.id = s->id;
		}
	}
	if (!str_is(m.state, "Leader")) {
		exchange_to_leader(x); /* who knows the newest configuration */
	} else if (!change.id.n) {
		removal_not_found(x);
	} else {
		EXCHANGE_CALL(x, x->httpd->catalog_write, quorum_remove, &change, 0, on_removed);
	}
}

void handle_raft_peer_remove(struct exchange *x)
{
	struct raft_configuration m = {};
	struct str id = request_param(&x->request, "id");
	struct str address = request_param(&x->request, "address");
	struct removal *r = arena_new(&x->arena, struct removal);

	if (!id.p && !address.p) {
		answer_text(x, 400,
			STR("Bad request: Must specify either ?id with the server's ID or ?address "
			    "with IP:port of peer to remove"));
		return;
	}
	if (id.p && address.p) {
		answer_text(x, 400, STR("Bad request: Must specify only one of ?id or ?address"));
		return;
	}
	*r = (struct removal) { id.p ? "id" : "address", id.p ? id : address };
	x->state = r;
	EXCHANGE_CALL(x, x->httpd->raft_read, raft_configuration, &m, 0, on_removal_looked_up);
}

static void transfer_answer(struct exchange *x, int status, struct str payload)
{
	struct result result;

	status = status ? status : result_decode(payload, &x->arena, &result);
	if (status || result.kind != RESULT_OK) {
		answer_result(x, status, &result);
		return;
	}
	buf_put_lit(exchange_body(x), "{\"Success\":true}");
	answer_json(x, 200);
}

static void on_transferred(struct exchange *x, int status, struct str payload)
{
	struct str id = request_param(&x->request, "id");

	switch (status) {
	case ST_NOT_LEADER:
		exchange_to_leader(x);
		break;
	case ST_NOT_FOUND:
		answer_printf(x, 404, "id \"" STR_FMT "\" was not found in the Raft configuration",
			STR_ARG(id));
		break;
	case ST_AGAIN:
		answer_text(x, 500, STR("leadership transfer in progress"));
		break;
	case ST_TIMEOUT:
		answer_text(x, 500, STR("leadership transfer timeout"));
		break;
	case ST_INVALID:
		answer_text(x, 500, STR("cannot find peer"));
		break;
	default:
		transfer_answer(x, status, payload);
		break;
	}
}

void handle_raft_transfer(struct exchange *x)
{
	struct str id = request_param(&x->request, "id");
	struct quorum_transfer m = { .token = exchange_token(x), .id = id.p ? id : STR("") };

	EXCHANGE_CALL(x, x->httpd->catalog_write, quorum_transfer, &m, 0, on_transferred);
}

void handle_acl_disabled(struct exchange *x)
{
	answer_text(x, 401, STR("ACL support disabled"));
}

void handle_connect_disabled(struct exchange *x)
{
	read_failed(x, 500, STR("Connect must be enabled in order to use this endpoint"));
}
