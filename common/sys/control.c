/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving and asking control sockets.
 */
#include "common/sys/control.h"

#include "common/base/err.h"
#include "common/sys/clock.h"
#include "common/sys/ipc_socket.h"
#include "common/sys/log.h"

enum { CALLS_MAX = 64, TICK_MS = 20 };

struct control_server {
	struct ipc_socket socket;
	const struct control_command *rows;
	size_t rows_count;
	void *owner;
};

static const char *request_run(
	struct control_server *s, struct str body, struct arena *arena, struct jsonw *w)
{
	struct json *request;
	struct str name;

	if (body.n && body.p[body.n - 1] == '\0') { /* nanocat sends C strings */
		body.n--;
	}
	if (body.n > CONTROL_REQUEST_MAX || json_parse(arena, body, &request, NULL)) {
		return "the request is not a JSON object";
	}
	name = json_find_text(request, "cmd");
	for (size_t i = 0; i < s->rows_count; i++) {
		if (str_is(name, s->rows[i].name)) {
			return s->rows[i].run(s->owner, request, w);
		}
	}
	return "unknown command";
}

static void request_answer(struct control_server *s, const struct ipc_message *m)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf answer = { 0 };
	struct jsonw w = jsonw_of(&answer);
	const char *error;

	jsonw_open(&w, '{');
	jsonw_put_bool(&w, "ok", true);
	error = request_run(s, m->body, &arena, &w);
	if (error) {
		buf_clear(&answer);
		w = jsonw_of(&answer);
		jsonw_open(&w, '{');
		jsonw_put_bool(&w, "ok", false);
		jsonw_put_cstr(&w, "error", error);
	}
	jsonw_close(&w, '}');
	ipc_socket_send(
		&s->socket, m->header, buf_str(&answer)); /* an asker that went away is no error */
}

static void on_request(void *arg)
{
	struct control_server *s = arg;
	struct ipc_message m;

	while (ipc_socket_receive(&s->socket, &m) == 0) {
		request_answer(s, &m);
		ipc_message_fini(&m);
	}
}

int control_server_new(struct loop *loop, const char *endpoint, const struct control_command *rows,
	size_t rows_count, void *owner, struct control_server **out)
{
	struct control_server *s = xcalloc(1, sizeof(*s));
	int r;

	*s = (struct control_server) { .rows = rows, .rows_count = rows_count, .owner = owner };
	r = ipc_socket_open(&s->socket, IPC_SOCKET_SERVER, loop, endpoint, on_request, s);
	if (r) {
		free(s);
		return err_pass(r);
	}
	*out = s;
	return 0;
}

void control_server_free(struct control_server *s)
{
	ipc_socket_close(&s->socket);
	free(s);
}

struct call {
	struct list link;
	uint32_t id;
	struct mono deadline;
	bool sent;
	control_fn on_answer;
	void *arg;
	struct buf request;
};

struct control_client {
	struct ipc_socket socket;
	struct loop *loop;
	struct loop_timer tick;
	struct list calls;
	size_t calls_count;
	uint32_t next_id;
	bool suspect; /* a call stayed without an answer */
	char *endpoint;
};

static void call_end(struct control_client *c, struct call *call, int status, struct str answer)
{
	control_fn on_answer = call->on_answer;
	void *arg = call->arg;

	list_del(&call->link);
	c->calls_count--;
	buf_fini(&call->request);
	free(call);
	on_answer(arg, status, answer);
}

static void call_try(struct control_client *c, struct call *call)
{
	call->sent = c->socket.nn >= 0 && ipc_socket_connections(&c->socket) > 0 &&
		     ipc_socket_send(
			     &c->socket, ipc_client_header(call->id), buf_str(&call->request)) == 0;
}

static void on_answers(void *arg);

/* Nobody answered: the connection may be one that only looks alive (see ipc_client.c). */
static void socket_renew(struct control_client *c)
{
	struct call *call;

	list_for_each (call, &c->calls, link) {
		call->sent = false;
	}
	c->suspect = false;
	ipc_socket_close(&c->socket);
	if (ipc_socket_open(&c->socket, IPC_SOCKET_CLIENT, c->loop, c->endpoint, on_answers, c)) {
		log_error("control-reopen", "endpoint=%s error=\"%s\"", c->endpoint, err_text());
	}
}

static void on_tick(void *arg)
{
	struct control_client *c = arg;
	struct mono now = clock_mono();
	struct call *call, *following;

	list_for_each_safe (call, following, &c->calls, link) {
		if (!call->sent) {
			call_try(c, call);
		}
	}
	for (;;) {
		call = list_first(&c->calls, struct call, link);
		if (!call || mono_before(now, call->deadline)) {
			break; /* all have nearly the same timeout: the oldest ends first */
		}
		c->suspect = true;
		call_end(c, call, call->sent ? ST_TIMEOUT : ST_CLOSED, STR_NONE);
	}
	if (c->suspect) {
		socket_renew(c);
	}
	if (c->calls_count) {
		loop_timer_in(&c->tick, TICK_MS);
	}
}

static void on_answers(void *arg)
{
	struct control_client *c = arg;
	struct ipc_message m;
	struct call *call, *following;

	while (ipc_socket_receive(&c->socket, &m) == 0) {
		uint32_t id = ipc_header_id(m.header);

		list_for_each_safe (call, following, &c->calls, link) {
			if (call->id == id) {
				call_end(c, call, 0, m.body);
				break;
			}
		}
		ipc_message_fini(&m);
	}
}

int control_client_new(struct loop *loop, const char *endpoint, struct control_client **out)
{
	struct control_client *c = xcalloc(1, sizeof(*c));
	int r;

	c->loop = loop;
	list_init(&c->calls);
	r = ipc_socket_open(&c->socket, IPC_SOCKET_CLIENT, loop, endpoint, on_answers, c);
	if (r) {
		free(c);
		return err_pass(r);
	}
	c->endpoint = xstrdup(endpoint);
	loop_timer_init(&c->tick, loop, on_tick, c);
	*out = c;
	return 0;
}

void control_client_free(struct control_client *c)
{
	struct call *call, *following;

	list_for_each_safe (call, following, &c->calls, link) {
		buf_fini(&call->request);
		free(call);
	}
	loop_timer_stop(&c->tick);
	ipc_socket_close(&c->socket);
	free(c->endpoint);
	free(c);
}

void control_call(struct control_client *c, struct str request, int64_t timeout_ms,
	control_fn on_answer, void *arg)
{
	struct call *call;

	if (c->calls_count == CALLS_MAX) {
		on_answer(arg, ST_FULL, STR_NONE);
		return;
	}
	call = xcalloc(1, sizeof(*call));
	*call = (struct call) {
		.id = ++c->next_id & 0x7fffffff, .on_answer = on_answer, .arg = arg
	};
	call->deadline = mono_add_ms(clock_mono(), timeout_ms);
	buf_put_str(&call->request, request);
	list_add_tail(&c->calls, &call->link);
	c->calls_count++;
	call_try(c, call);
	loop_timer_in(&c->tick, TICK_MS);
}

struct question {
	struct loop *loop;
	struct buf *answer;
	int status;
	bool ended;
};

static void on_answered(void *arg, int status, struct str answer)
{
	struct question *q = arg;

	q->status = status;
	q->ended = true;
	buf_put_str(q->answer, answer);
	loop_stop(q->loop);
}

int control_ask(const char *endpoint, struct str request, int64_t timeout_ms, struct buf *answer)
{
	OWN(loop_free) struct loop *loop = loop_new();
	struct question q = { .loop = loop, .answer = answer };
	struct control_client *c;
	int r = control_client_new(loop, endpoint, &c);

	if (r) {
		return err_pass(r);
	}
	control_call(c, request, timeout_ms, on_answered, &q);
	if (!q.ended) {
		loop_run(loop);
	}
	control_client_free(c);
	return q.status == ST_CLOSED ? ST_TIMEOUT : q.status;
}
