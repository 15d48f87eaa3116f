/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/query: prepared queries as they are stored. Executing them: query_execute.c.
 */
#include "common/base/err.h"
#include "httpd/query.h"
#include "httpd/query_body.h"
#include "httpd/routes.h"

/* ---- writes ---- */

static void propose(struct exchange *x, struct cmd_query *command)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };

	cmd_query_encode(&payload, command);
	exchange_propose(x, COMMAND_cmd_query, buf_str(&payload));
}

static bool body_bind(struct exchange *x, struct query_def *out, struct str *id_out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct json *body;

	if (!exchange_json(x, "Request decode failed: ", &body)) {
		return false;
	}
	if (query_body(&x->arena, body, out, id_out, &why)) {
		answer_printf(x, 400, "Request decode failed: " STR_FMT, STR_ARG(buf_str(&why)));
		return false;
	}
	return true;
}

void handle_query_create(struct exchange *x)
{
	struct cmd_query command = { .op = QUERY_CREATE };

	if (body_bind(x, &command.query, &command.id)) {
		propose(x, &command);
	}
}

static bool ends_in(struct str name, struct str verb)
{
	return str_eq(name, str_skip(verb, 1)) || str_ends(name, verb);
}

/* Whether the path ends in /execute or /explain, which can only be asked for. */
static bool is_question(struct str name)
{
	return ends_in(name, STR("/execute")) || ends_in(name, STR("/explain"));
}

static void refuse_method(struct exchange *x)
{
	bool question = is_question(x->request.name);

	if (x->request.method == METHOD_OPTIONS) {
		answer_header(x, STR("Allow"),
			question ? STR("OPTIONS,GET") : STR("OPTIONS,GET,PUT,DELETE"));
		buf_put_lit(exchange_body(x), "{}");
		answer_json(x, 200);
		return;
	}
	answer_header(x, STR("Allow"), question ? STR("GET") : STR("GET,PUT,DELETE"));
	answer_printf(x, 405, "method " STR_FMT " not allowed", STR_ARG(x->request.method_text));
}

void handle_query_update(struct exchange *x)
{
	struct cmd_query command = { .op = QUERY_UPDATE };
	struct str ignored;

	if (is_question(x->request.name)) {
		refuse_method(x);
		return;
	}
	if (x->request.body.n && !body_bind(x, &command.query, &ignored)) {
		return;
	}
	command.id = x->request.name;
	propose(x, &command);
}

void handle_query_delete(struct exchange *x)
{
	struct cmd_query command = { .op = QUERY_DELETE, .id = x->request.name };

	if (is_question(x->request.name)) {
		refuse_method(x);
	} else {
		propose(x, &command);
	}
}

void handle_query_method(struct exchange *x)
{
	refuse_method(x);
}

/* ---- reads ---- */

void handle_query_list(struct exchange *x)
{
	struct buf *out = exchange_body(x);
	struct kv_walk w;

	read_thing(x, THING_QUERIES, STR(""));
	if (read_held(x)) {
		return;
	}
	buf_put_char(out, '[');
	kv_walk_init(&w, x->txn, STATE_QUERIES, STR(""));
	while (kv_walk_next(&w)) {
		struct cursor c = cursor_of(w.value);

		if (out->n > 1) {
			buf_put_char(out, ',');
		}
		buf_put_str(out, wire_get_STR(&c, NULL));
	}
	buf_put_char(out, ']');
	answer_json(x, 200);
}

static void show(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct cursor c;
	struct uuid id;
	struct str value;
	int r = state_uuid(x->request.name, &id, &why);

	if (r == ST_INVALID) {
		struct str text = arena_printf(&x->arena,
			"failed prepared query lookup: index error: " STR_FMT,
			STR_ARG(buf_str(&why)));

		read_failed(x, 500, text);
		return;
	}
	if (r || !kv_get(x->txn, STATE_QUERIES, str_n(id.b, sizeof(id.b)), &value)) {
		answer_text(x, 404, STR("Query not found"));
		return;
	}
	/* The name is looked at again when this function has returned. */
	read_thing(x, THING_QUERY, arena_str(&x->arena, str_n(id.b, sizeof(id.b))));
	if (read_held(x)) {
		return;
	}
	c = cursor_of(value);
	buf_put_char(exchange_body(x), '[');
	buf_put_str(exchange_body(x), wire_get_STR(&c, NULL));
	buf_put_char(exchange_body(x), ']');
	answer_json(x, 200);
}

void handle_query_get(struct exchange *x)
{
	struct str name = x->request.name;

	if (ends_in(name, STR("/execute"))) {
		query_execute(
			x, str_cut(name, str_ends(name, STR("/execute")) ? name.n - 8 : name.n));
	} else if (ends_in(name, STR("/explain"))) {
		query_explain(
			x, str_cut(name, str_ends(name, STR("/explain")) ? name.n - 8 : name.n));
	} else {
		show(x);
	}
}
