/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sys/ipc: calls, refusals, deadlines, and a server that goes away and comes back.
 */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "common/sys/control.h"
#include "common/sys/clock.h"
#include "common/sys/ipc.h"
#include "common/sys/ipc_frame.h"
#include "common/sys/ipc_socket.h"

struct world {
	struct loop *loop;
	struct ipc_server *server;
	struct ipc_client *client;
	struct control_client *control;
	struct loop_timer limit;
	struct ipc_call *held;
	struct ipc_socket *deaf;
	int answers, wanted, handled;
	int last_status;
	uint64_t sum;
	char route[28];
	char dir[64];
};

static void handle_watch(struct world *w, struct ipc_call *call, const struct catalog_watch *m)
{
	struct catalog_watch_reply reply = { .index = m->after + 1 };

	w->handled++;
	if (m->wait_ms) {
		w->held = call;
		return;
	}
	IPC_REPLY(call, catalog_watch, &reply);
}

IPC_DECODER(struct world, catalog_watch, handle_watch)

static const struct ipc_handler rows[] = {
	IPC_HANDLER(catalog_watch, ROLE_READ, handle_watch),
	{ MSG_catalog_propose, ROLE_WRITE, handle_watch_decoded },
};

static void on_limit(void *arg)
{
	struct world *w = arg;

	loop_stop(w->loop);
}

static void server_start(struct world *w)
{
	ck_assert_int_eq(ipc_server_new(w->loop, "endpoint", ROLE_READ, rows, ARRAY_SIZE(rows), w,
				 &w->server),
		0);
}

static void world_init(struct world *w)
{
	*w = (struct world) { .loop = loop_new(), .wanted = 1 };
	strcpy(w->dir, "/tmp/muster-ipc-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	ck_assert_int_eq(chdir(w->dir), 0);
	loop_timer_init(&w->limit, w->loop, on_limit, w);
	loop_timer_in(&w->limit, 20000);
	ck_assert_int_eq(ipc_client_new(w->loop, "endpoint", &w->client), 0);
}

static void world_fini(struct world *w)
{
	ipc_client_free(w->client);
	if (w->server) {
		ipc_server_free(w->server);
	}
	loop_timer_stop(&w->limit);
	loop_free(w->loop);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(w->dir), 0);
}

static void on_answer(void *arg, int status, struct str payload)
{
	struct world *w = arg;
	struct catalog_watch_reply reply = { 0 };

	w->last_status = status;
	if (!status) {
		ck_assert_int_eq(catalog_watch_reply_decode(payload, NULL, &reply), 0);
		w->sum += reply.index;
	}
	if (++w->answers == w->wanted) {
		loop_stop(w->loop);
	}
}

static void ask(struct world *w, uint64_t after, uint32_t wait_ms, int64_t timeout_ms)
{
	struct catalog_watch m = { .after = after, .wait_ms = wait_ms };

	IPC_CALL(w->client, catalog_watch, &m, timeout_ms, on_answer, w);
}

TEST(test_many_calls)
{
	struct world w;

	world_init(&w);
	server_start(&w);
	w.wanted = 10000;
	for (uint64_t i = 0; i < 10000; i++) {
		ask(&w, i, 0, 10000);
	}
	loop_run(w.loop);
	ck_assert_int_eq(w.answers, 10000);
	ck_assert_uint_eq(w.sum, 10000ull * 10001 / 2);
	world_fini(&w);
}
END_TEST

TEST(test_refusals)
{
	struct world w;

	world_init(&w);
	server_start(&w);
	ipc_call(w.client, MSG_catalog_watch, STR("short"), 5000, on_answer, &w);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, ST_INVALID);
	w.wanted = 2;
	ipc_call(w.client, MSG_catalog_propose, STR(""), 5000, on_answer, &w);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, ST_DENIED);
	w.wanted = 3;
	ipc_call(w.client, 0x7777, STR(""), 5000, on_answer, &w);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, ST_UNSUPPORTED);
	world_fini(&w);
}
END_TEST

/* nanomsg would end the connection over it, again and again, with all that others have on it. */
TEST(test_a_call_that_no_frame_takes)
{
	OWN_EMBEDDED(buf_fini) struct buf large = { 0 };
	struct world w;

	world_init(&w);
	server_start(&w);
	memset(buf_reserve(&large, IPC_FRAME_MAX), 0, IPC_FRAME_MAX);
	large.n = IPC_FRAME_MAX;
	ipc_call(w.client, MSG_catalog_watch, buf_str(&large), 5000, on_answer, &w);
	ck_assert_int_eq(w.last_status, ST_TOO_LARGE);
	ck_assert_int_eq(w.answers, 1);
	w.wanted = 3;
	large.n = IPC_CALL_MAX;
	ask(&w, 1, 0, 5000);
	ipc_call(w.client, MSG_catalog_watch, buf_str(&large), 15000, on_answer, &w);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, ST_INVALID); /* it has come, and does not decode */
	ck_assert_int_eq(w.answers, 3);
	world_fini(&w);
}
END_TEST

TEST(test_deadline_without_server)
{
	struct world w;

	world_init(&w);
	ask(&w, 1, 0, 50);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, ST_TIMEOUT);
	world_fini(&w);
}
END_TEST

TEST(test_server_that_comes_later)
{
	struct world w;

	world_init(&w);
	ask(&w, 41, 0, 10000);
	for (int i = 0; i < 5; i++) {
		loop_run_once(w.loop);
	}
	server_start(&w);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, 0);
	ck_assert_uint_eq(w.sum, 42);
	world_fini(&w);
}
END_TEST

TEST(test_first_connection_asks_once)
{
	struct mono until;
	struct world w;

	world_init(&w);
	server_start(&w);
	while (!ipc_client_connected(w.client)) { /* nanomsg's own thread connects */
		usleep(1000);
	}
	ask(&w, 1, 1000, 5000);
	until = mono_add_ms(clock_mono(), 200); /* several ticks of the client */
	while (mono_before(clock_mono(), until)) {
		loop_run_once(w.loop);
	}
	ck_assert_int_eq(w.handled, 1);
	world_fini(&w);
}
END_TEST

TEST(test_repeat_on_one_connection_is_ignored)
{
	OWN_EMBEDDED(buf_fini) struct buf frame = { 0 };
	struct frame_part part = { 7, MSG_catalog_watch, 0, STR_NONE };
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct catalog_watch m = { .wait_ms = 1000 };
	struct ipc_socket socket;
	struct world w;

	world_init(&w);
	server_start(&w);
	catalog_watch_encode(&payload, &m);
	part.payload = buf_str(&payload);
	frame_begin(&frame);
	frame_put(&frame, &part);
	frame_put(&frame, &part);
	ck_assert_int_eq(
		ipc_socket_open(&socket, IPC_SOCKET_CLIENT, w.loop, "endpoint", on_limit, &w), 0);
	while (!ipc_socket_connections(&socket)) {
		usleep(1000);
	}
	ck_assert_int_eq(ipc_socket_send(&socket, ipc_client_header(1), buf_str(&frame)), 0);
	while (!w.held) {
		loop_run_once(w.loop);
	}
	ck_assert_int_eq(w.handled, 1);
	ipc_socket_close(&socket);
	world_fini(&w);
}
END_TEST

TEST(test_unanswered_is_asked_again_after_restart)
{
	struct world w;

	world_init(&w);
	server_start(&w);
	ask(&w, 1, 1000, 60000); /* a long call: held */
	while (!w.held) {
		loop_run_once(w.loop);
	}
	ipc_server_free(w.server);
	w.held = NULL;
	server_start(&w);
	while (!w.held) {
		loop_run_once(w.loop);
	}
	struct catalog_watch_reply reply = { .index = 7 };

	IPC_REPLY(w.held, catalog_watch, &reply);
	loop_run(w.loop);
	ck_assert_uint_eq(w.sum, 7);
	world_fini(&w);
}
END_TEST

static void on_swallowed(void *arg)
{
	struct world *w = arg;
	struct ipc_message m;

	while (ipc_socket_receive(w->deaf, &m) == 0) {
		w->handled += m.body.n > FRAME_HEADER_SIZE; /* else a probe */
		ipc_message_fini(&m);
	}
}

/* A call that got lost on a connection that stands is asked again after a while. */
TEST(test_silence_is_broken)
{
	struct ipc_socket socket;
	struct world w;

	world_init(&w);
	w.deaf = &socket;
	ck_assert_int_eq(
		ipc_socket_open(&socket, IPC_SOCKET_SERVER, w.loop, "endpoint", on_swallowed, &w),
		0);
	ask(&w, 1, 1000, 60000);
	while (w.handled < 2) {
		loop_run_once(w.loop);
	}
	ipc_socket_close(&socket);
	world_fini(&w);
}
END_TEST

static const char *cmd_echo(void *owner, const struct json *request, struct jsonw *w)
{
	struct str text = json_find_text(request, "text");

	if (!text.p) {
		return "no text";
	}
	jsonw_put_str(w, "text", text);
	return NULL;
}

static const struct control_command commands[] = { { "echo", cmd_echo } };

static void on_second_answer(void *arg, int status, struct str answer)
{
	struct world *w = arg;

	ck_assert_int_eq(status, 0);
	ck_str_is(answer, "{\"ok\":false,\"error\":\"no text\"}");
	w->answers++;
	loop_stop(w->loop);
}

static void on_first_answer(void *arg, int status, struct str answer)
{
	struct world *w = arg;

	ck_assert_int_eq(status, 0);
	ck_str_is(answer, "{\"ok\":true,\"text\":\"hi\"}");
	w->answers++;
	control_call(w->control, STR("{\"cmd\":\"echo\"}"), 5000, on_second_answer, w);
}

TEST(test_control)
{
	static const char request[] = "{\"cmd\":\"echo\",\"text\":\"hi\"}";
	struct control_server *server;
	struct world w;

	world_init(&w);
	ck_assert_int_eq(control_server_new(w.loop, "control", commands, 1, &w, &server), 0);
	ck_assert_int_eq(control_client_new(w.loop, "control", &w.control), 0);
	control_call(w.control, str_of(request), 5000, on_first_answer, &w);
	loop_run(w.loop);
	ck_assert_int_eq(w.answers, 2);
	control_client_free(w.control);
	control_server_free(server);
	world_fini(&w);
}
END_TEST

static void on_end(void *arg, int status, struct str answer)
{
	struct world *w = arg;

	w->last_status = status;
	loop_stop(w->loop);
}

/* Deaf on the first connection. A routing header ends with the number of the request. */
static void on_question(void *arg)
{
	struct world *w = arg;
	struct ipc_message m;

	while (ipc_socket_receive(w->deaf, &m) == 0) {
		if (w->handled++ == 0) {
			memcpy(w->route, m.header.p, sizeof(w->route));
		}
		if (memcmp(w->route, m.header.p, sizeof(w->route)) != 0) {
			ck_assert_int_eq(ipc_socket_send(w->deaf, m.header, STR("{}")), 0);
		}
		ipc_message_fini(&m);
	}
}

TEST(test_control_asks_on_a_new_connection)
{
	struct ipc_socket socket;
	struct world w;

	world_init(&w);
	w.deaf = &socket;
	ck_assert_int_eq(
		ipc_socket_open(&socket, IPC_SOCKET_SERVER, w.loop, "control", on_question, &w), 0);
	ck_assert_int_eq(control_client_new(w.loop, "control", &w.control), 0);
	control_call(w.control, STR("{}"), 300, on_end, &w);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, ST_TIMEOUT);
	control_call(w.control, STR("{}"), 15000, on_end, &w);
	loop_run(w.loop);
	ck_assert_int_eq(w.last_status, 0);
	control_client_free(w.control);
	ipc_socket_close(&socket);
	world_fini(&w);
}
END_TEST

UNIT_MAIN("ipc", test_many_calls, test_refusals, test_a_call_that_no_frame_takes,
	test_deadline_without_server, test_server_that_comes_later, test_first_connection_asks_once,
	test_repeat_on_one_connection_is_ignored, test_unanswered_is_asked_again_after_restart,
	test_silence_is_broken, test_control, test_control_asks_on_a_new_connection)
