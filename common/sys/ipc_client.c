/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calling an endpoint. nanomsg has no event for a peer that went away, so the number of connections
 * ever established is polled while calls wait: when it grows, the server is another one (or has
 * lost our frames), and everything unanswered is sent again.
 */
#include "common/sys/ipc.h"

#include "common/base/map.h"
#include "common/sys/clock.h"
#include "common/sys/ipc_frame.h"
#include "common/sys/ipc_socket.h"
#include "common/sys/log.h"

enum { TICK_MS = 20, TICK_IDLE_MS = 250, LONG_CALL_MS = 15000, FRAMES_PER_TURN = 64 };

/* Calls wait and nothing came for so long: ask again, on a new socket where there is no connection.
 * Counting connections should do; but a call that is lost in spite of it must not be lost for ever.
 * The server ignores the repeat of a call that is open. */
enum { SILENCE_MS = 3000 };

struct ipc_pending {
	struct map_node node; /* keyed by id */
	struct list expired;  /* out of the map, about to end with ST_TIMEOUT */
	struct ipc_client *client;
	uint64_t id;
	uint16_t message;
	bool is_long; /* a watch: its silence is normal */
	struct mono deadline;
	ipc_reply_fn on_reply;
	void *arg;
	size_t payload_size;
	char payload[]; /* kept to be sent again */
};

struct ipc_client {
	struct ipc_socket socket;
	struct loop *loop;
	struct loop_flush flush;
	struct loop_timer tick;
	struct map pendings;
	struct list expired;
	size_t short_count; /* pendings that are not long */
	uint64_t next_id;
	uint64_t established; /* connections, when we last sent everything */
	bool resend;	      /* something was not sent: all again when there is a connection */
	struct mono next_deadline;
	struct mono heard; /* of the server, or asked everything again */
	char *endpoint;
	struct buf out;
	struct log_limit malformed;
};

static void tick_arm(struct ipc_client *c)
{
	if (c->pendings.count == 0) {
		loop_timer_stop(&c->tick);
	} else {
		loop_timer_in(&c->tick, c->short_count || c->resend ? TICK_MS : TICK_IDLE_MS);
	}
}

static void out_put(struct ipc_client *c, const struct ipc_pending *p)
{
	struct frame_part part = { p->id, p->message, 0, str_n(p->payload, p->payload_size) };

	if (c->out.n == 0) {
		frame_begin(&c->out);
	}
	frame_put(&c->out, &part);
}

static void out_send(struct ipc_client *c)
{
	if (c->out.n && ipc_socket_send(&c->socket, ipc_client_header(1), buf_str(&c->out))) {
		c->resend = true;
		tick_arm(c);
	} else if (!c->established) { /* the first connection is no reason to send again */
		c->established = ipc_socket_established(&c->socket);
	}
	buf_trim(&c->out, FRAME_SEND_SOFT);
}

static void client_flush(void *arg)
{
	out_send(arg);
}

static struct ipc_pending *pending_unlink(struct ipc_pending *p)
{
	if (list_linked(&p->expired)) {
		list_del(&p->expired);
		return p;
	}
	map_del(&p->client->pendings, &p->node);
	if (!p->is_long) {
		p->client->short_count--;
	}
	return p;
}

static void pending_end(struct ipc_pending *p, int status, struct str payload)
{
	pending_unlink(p);
	p->on_reply(p->arg, status, payload);
	free(p);
}

static void all_send_again(struct ipc_client *c)
{
	struct ipc_pending *p, *following;

	c->resend = false;
	buf_clear(&c->out);
	map_for_each(p, following, &c->pendings, node)
	{
		out_put(c, p);
		if (c->out.n > FRAME_SEND_SOFT) {
			out_send(c);
		}
	}
	out_send(c);
}

/* Calls whose time is over; leaves in next_deadline the first of the others. */
static void deadlines_check(struct ipc_client *c)
{
	struct ipc_pending *p, *following;
	struct mono now = clock_mono();

	if (mono_before(now, c->next_deadline)) {
		return;
	}
	c->next_deadline = MONO_NEVER;
	map_for_each(p, following, &c->pendings, node)
	{
		if (mono_before(now, p->deadline)) {
			c->next_deadline = mono_min(c->next_deadline, p->deadline);
		} else {
			pending_unlink(p);
			list_add_tail(&c->expired, &p->expired);
		}
	}
	while (!list_empty(&c->expired)) { /* a callback may cancel others */
		pending_end(
			list_first(&c->expired, struct ipc_pending, expired), ST_TIMEOUT, STR_NONE);
	}
}

static void on_readable(void *arg);

static void silence_break(struct ipc_client *c)
{
	c->heard = clock_mono();
	if (c->socket.nn >= 0 && ipc_client_connected(c)) {
		all_send_again(c);
		return;
	}
	ipc_socket_close(&c->socket);
	c->established = 0;
	c->resend = true;
	if (ipc_socket_open(&c->socket, IPC_SOCKET_CLIENT, c->loop, c->endpoint, on_readable, c)) {
		log_error("ipc-reopen", "endpoint=%s error=\"%s\"", c->endpoint, err_text());
	}
}

static void on_tick(void *arg)
{
	struct ipc_client *c = arg;
	uint64_t established = ipc_socket_established(&c->socket);

	deadlines_check(c);
	if ((established != c->established || c->resend) && ipc_client_connected(c)) {
		c->established = established;
		all_send_again(c);
	}
	if (c->pendings.count && mono_diff_ms(clock_mono(), c->heard) >= SILENCE_MS) {
		silence_break(c);
	}
	tick_arm(c);
}

static void part_handle(struct ipc_client *c, const struct frame_part *part)
{
	struct ipc_pending *p = map_find(
		&c->pendings, str_n(&part->id, sizeof(part->id)), struct ipc_pending, node);

	if (p && p->message == part->message) { /* else: late, cancelled, or answered twice */
		pending_end(p, part->status, part->payload);
	}
}

static void frame_handle(struct ipc_client *c, struct str body)
{
	struct cursor cursor = cursor_of(body);
	struct frame_part part;
	int r = frame_open(&cursor);

	while (!r) {
		r = frame_next(&cursor, &part);
		if (!r) {
			part_handle(c, &part);
		}
	}
	if (r != ST_AGAIN && log_allow(&c->malformed)) {
		log_error("ipc-foreign-frame", "bytes=%zu", body.n);
	}
}

static void on_readable(void *arg)
{
	struct ipc_client *c = arg;

	for (int i = 0; i < FRAMES_PER_TURN; i++) {
		struct ipc_message m;
		int r = ipc_socket_receive(&c->socket, &m);

		if (r < 0) {
			log_error("ipc-receive", "error=\"%s\"", err_text());
		}
		if (r) {
			return;
		}
		c->heard = loop_now(c->loop);
		frame_handle(c, m.body);
		ipc_message_fini(&m);
	}
}

int ipc_client_new(struct loop *loop, const char *endpoint, struct ipc_client **out)
{
	struct ipc_client *c = xcalloc(1, sizeof(*c));
	int r;

	c->loop = loop;
	c->next_id = random_u64();
	c->next_deadline = MONO_NEVER;
	map_init(&c->pendings, random_u64());
	list_init(&c->expired);
	r = ipc_socket_open(&c->socket, IPC_SOCKET_CLIENT, loop, endpoint, on_readable, c);
	if (r) {
		free(c);
		return err_pass(r);
	}
	c->endpoint = xstrdup(endpoint);
	loop_timer_init(&c->tick, loop, on_tick, c);
	loop_flush_add(&c->flush, loop, client_flush, c);
	*out = c;
	return 0;
}

void ipc_client_free(struct ipc_client *c)
{
	struct ipc_pending *p, *following;

	map_for_each(p, following, &c->pendings, node)
	{
		free(pending_unlink(p));
	}
	map_fini(&c->pendings);
	loop_flush_del(&c->flush);
	loop_timer_stop(&c->tick);
	ipc_socket_close(&c->socket);
	buf_fini(&c->out);
	free(c->endpoint);
	free(c);
}

struct ipc_pending *ipc_call(struct ipc_client *c, uint16_t message, struct str encoded,
	int64_t timeout_ms, ipc_reply_fn on_reply, void *arg)
{
	struct ipc_pending *p;

	if (c->pendings.count >= IPC_CALLS_MAX) {
		on_reply(arg, ST_FULL, STR_NONE);
		return NULL;
	}
	p = xmalloc(sizeof(*p) + encoded.n);
	*p = (struct ipc_pending) { .client = c,
		.id = c->next_id++,
		.message = message,
		.on_reply = on_reply,
		.arg = arg,
		.is_long = timeout_ms >= LONG_CALL_MS,
		.payload_size = encoded.n };
	p->deadline = mono_add_ms(loop_now(c->loop), timeout_ms);
	if (encoded.n) {
		memcpy(p->payload, encoded.p, encoded.n);
	}
	if (c->pendings.count == 0) {
		c->heard = loop_now(c->loop);
	}
	map_add(&c->pendings, &p->node, str_n(&p->id, sizeof(p->id)));
	if (!p->is_long) {
		c->short_count++;
	}
	c->next_deadline = mono_min(c->next_deadline, p->deadline);
	out_put(c, p);
	if (c->out.n > FRAME_SEND_SOFT) {
		out_send(c);
	}
	if (!loop_timer_active(&c->tick) || c->short_count == 1) {
		tick_arm(c);
	}
	return p;
}

void ipc_cancel(struct ipc_pending *p)
{
	free(pending_unlink(p));
}

bool ipc_client_connected(const struct ipc_client *c)
{
	return ipc_socket_connections(&c->socket) > 0;
}

size_t ipc_client_outstanding(const struct ipc_client *c)
{
	return c->pendings.count;
}
