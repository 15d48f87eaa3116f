/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an exchange, and the calls that it makes to other daemons. Exchanges are reused: a
 * request in the common case allocates nothing.
 */
#include <arpa/inet.h>

#include "common/sys/clock.h"
#include "httpd/engine.h"

enum { EXCHANGES_KEPT = 128 };

struct exchange *exchange_new(struct conn *c, struct str head, int *rc_out, struct str *why_out)
{
	struct engine *e = c->engine;
	struct exchange *x = list_first(&e->exchanges_free, struct exchange, link);

	if (x) {
		list_del(&x->link);
		e->exchanges_free_count--;
	} else {
		x = xcalloc(1, sizeof(*x));
	}
	x->httpd = e->httpd;
	x->conn = c;
	x->started = c->hold ? c->hold->started : loop_now(e->loop);
	x->head = arena_str(&x->arena, head);
	e->buffered += head.n;
	*rc_out = request_parse(x->head, &x->arena, &x->request, why_out);
	if (*rc_out) {
		exchange_free(x);
		return NULL;
	}
	return x;
}

static void exchange_fini(struct exchange *x)
{
	arena_fini(&x->arena);
	free(x);
}

void exchange_free(struct exchange *x)
{
	struct engine *e = x->httpd->engine;
	struct arena arena;

	if (x->call) {
		ipc_cancel(x->call);
	}
	if (x->on_gone) {
		x->on_gone(x->wait_arg);
	}
	if (x->stream && x->stream->close) {
		x->stream->close(x);
	}
	e->buffered -= x->head.n;
	if (e->exchanges_free_count >= EXCHANGES_KEPT) {
		exchange_fini(x);
		return;
	}
	arena_reset(&x->arena);
	arena = x->arena;
	*x = (struct exchange) { .arena = arena };
	list_add_head(&e->exchanges_free, &x->link);
	e->exchanges_free_count++;
}

void exchanges_fini(struct engine *e)
{
	struct exchange *x, *following;

	list_for_each_safe (x, following, &e->exchanges_free, link) {
		list_del(&x->link);
		exchange_fini(x);
	}
	e->exchanges_free_count = 0;
}

void exchange_settle(struct exchange *x)
{
	struct conn *c = x->conn;

	if (x->answered) {
		output_send(x);
	} else if (x->read && x->read->held) {
		hold_park(x);
	} else {
		must(x->call || x->on_gone); /* a handler answers, is held, or waits */
		c->exchange = x;
		c->state = CONN_BUSY;
	}
}

/* Entered from the loop: the exchange is taken from its connection while its code runs. */
static void resume(struct exchange *x)
{
	x->conn->exchange = NULL;
	buf_clear(&x->httpd->engine->body);
}

static void resumed(struct exchange *x)
{
	struct conn *c = x->conn;

	exchange_settle(x);
	if (c->upload && c->state != CONN_BUSY) {
		body_fini(c);
	}
	conn_settle(c);
}

static void on_reply(void *arg, int status, struct str payload)
{
	struct exchange *x = arg;

	x->call = NULL;
	/* Refused within exchange_call: the handler is still running and settles by itself. */
	if (x->is_replying) {
		x->on_reply(x, status, payload);
		return;
	}
	resume(x);
	x->on_reply(x, status, payload);
	resumed(x);
}

void exchange_suspend(struct exchange *x, void (*on_gone)(void *arg), void *arg)
{
	must(!x->call && !x->answered);
	x->on_gone = on_gone;
	x->wait_arg = arg;
}

void exchange_ready(struct exchange *x)
{
	x->on_gone = NULL;
}

void exchange_continue(struct exchange *x, void (*run)(struct exchange *x, void *arg), void *arg)
{
	must(x->on_gone);
	x->on_gone = NULL;
	resume(x);
	run(x, arg);
	resumed(x);
}

void exchange_call(struct exchange *x, struct ipc_client *client, uint16_t message,
	struct str encoded, int64_t timeout_ms, exchange_reply_fn reply)
{
	struct ipc_pending *call;

	must(!x->call && !x->answered);
	x->on_reply = reply;
	x->is_replying = true;
	call = ipc_call(
		client, message, encoded, timeout_ms ? timeout_ms : EXCHANGE_CALL_MS, on_reply, x);
	x->is_replying = false;
	if (call) {
		x->call = call;
	}
}

static int decode_result(struct exchange *x, int status, struct str payload, struct result *out)
{
	return status ? status : result_decode(payload, &x->arena, out);
}

void exchange_on_result(struct exchange *x, int status, struct str payload)
{
	struct result result;

	status = decode_result(x, status, payload, &result);
	answer_result(x, status, &result);
}

void exchange_on_leader_result(struct exchange *x, int status, struct str payload)
{
	if (status == ST_NOT_LEADER) {
		exchange_to_leader(x);
	} else {
		exchange_on_result(x, status, payload);
	}
}

void exchange_on_done(struct exchange *x, int status, struct str payload)
{
	struct result result;

	status = decode_result(x, status, payload, &result);
	if (status == 0 && result.kind == RESULT_OK) {
		answer_empty(x, 200);
	} else {
		answer_result(x, status, &result);
	}
}

void exchange_propose_then(
	struct exchange *x, enum command_type type, struct str payload, exchange_reply_fn then)
{
	struct catalog_propose m = {
		.id = exchange_request_id(x),
		.token = exchange_token(x),
		.type = (uint16_t)type,
		.payload = payload,
	};

	EXCHANGE_CALL(x, x->httpd->catalog_write, catalog_propose, &m, 0, then);
}

void exchange_propose(struct exchange *x, enum command_type type, struct str payload)
{
	exchange_propose_then(x, type, payload, exchange_on_result);
}

void exchange_restart(struct conn *c)
{
	struct exchange *x = c->exchange;

	if (!x->call || !x->is_waiting) {
		return;
	}
	c->exchange = NULL;
	ipc_cancel(take(x->call));
	buf_clear(exchange_body(x));
	x->route->handle(x);
	exchange_settle(x);
}

struct str exchange_token(struct exchange *x)
{
	struct str token = request_token(&x->request);

	/* What another node hands on has that node's. */
	return token.n || x->conn->peer ? token : x->httpd->conf->acl.token_default;
}

struct str exchange_client(struct exchange *x)
{
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };
	struct str rest, told = request_header(&x->request, "x-forwarded-for");
	char text[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	int family = AF_INET;

	told = arena_str(&x->arena, str_trim(str_split(told, ',', &rest)));
	if (told.n && (inet_pton(AF_INET, told.p, bytes) == 1 ||
			      inet_pton(family = AF_INET6, told.p, bytes) == 1)) {
		return arena_str(&x->arena, str_of(inet_ntop(family, bytes, text, sizeof(text))));
	}
	if (x->conn->client && !x->conn->peer) {
		client_render(x->conn->client, &address);
	}
	return arena_str(&x->arena, buf_str(&address));
}

struct str exchange_lower(struct exchange *x, struct str s)
{
	char *text = arena_alloc(&x->arena, s.n + 1);

	str_lower_into(s, text);
	return str_n(text, s.n);
}

bool exchange_json(struct exchange *x, const char *error_prefix, struct json **out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	if (json_parse_first(&x->arena, x->request.body, out, &why) == 0) {
		return true;
	}
	answer_printf(x, 400, "%s" STR_FMT, error_prefix, STR_ARG(buf_str(&why)));
	return false;
}

bool exchange_bind(struct exchange *x, const struct bind_object *object, void *out)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct json *json;

	if (!exchange_json(x, "Request decode failed: ", &json)) {
		return false;
	}
	if (bind_object(object, json, &x->arena, out, &why) == 0) {
		return true;
	}
	answer_printf(x, 400, "Request decode failed: " STR_FMT, STR_ARG(buf_str(&why)));
	return false;
}
