/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calling an endpoint. nanomsg has no event for a peer that went away, so the number of connections
 * ever established is polled while calls wait: when it grows, the server is another one (or has
 * lost our frames), and everything unanswered is sent again. Where the way is full, calls wait in
 * the order in which they came.
 */
#include "common/sys/ipc.h"

#include "common/base/map.h"
#include "common/sys/clock.h"
#include "common/sys/ipc_frame.h"
#include "common/sys/ipc_socket.h"
#include "common/sys/log.h"

enum { TICK_MS = 20, TICK_IDLE_MS = 250, LONG_CALL_MS = 15000, FRAMES_PER_TURN = 64 };

_Static_assert((int)IPC_CALL_MAX + 2 * (int)FRAME_SEND_SOFT <= (int)IPC_FRAME_MAX,
	"a call fits behind others");

/* Counting connections and marks should do; but a call that is lost in spite of them must not be
 * lost for ever. One that stays without an answer is asked again after so long, then twice as long,
 * and so on. The server ignores the repeat of a call that is open. */
enum { REPEAT_MS = 3000, REPEAT_MAX_MS = 60000 };

/* When a server dies between nanomsg's handshake and the start of its pipe, the error goes to a
 * state machine that has stopped, and nanomsg 1.1.5 is left with a connection that counts, has no
 * descriptor, takes one frame, and is never made anew. So a frame is sent behind the first on
 * every connection; while it finds no way for so long, or nothing at all does for CONNECT_MS, a new
 * socket takes over, and the next one gets twice as long. */
enum { STUCK_MS = 500, STUCK_MAX_MS = 8000, CONNECT_MS = 3000 };

struct ipc_pending {
	struct map_node node; /* keyed by id */
	struct list expired;  /* out of the map, about to end with ST_TIMEOUT */
	struct list unsent;   /* to be sent, for the first time or again */
	struct ipc_client *client;
	uint64_t id;
	uint16_t message;
	bool is_long; /* a watch: its silence is normal */
	struct mono deadline, repeat_at;
	int64_t patience_ms;
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
	struct list expired, unsent;
	size_t short_count; /* pendings that are not long */
	uint64_t next_id;
	uint64_t established; /* connections: what is not in unsent was sent on the last of these */
	uint64_t probed;      /* the connection that took a second frame */
	uint64_t mark;	      /* to be sent back, while mark_due */
	bool mark_due;
	bool blocked; /* no way for a frame: the next tick tries again */
	struct mono next_deadline;
	struct mono well; /* when a frame came or went last, or might have gone */
	int64_t stuck_ms;
	char *endpoint;
	struct buf out;
	struct log_limit malformed;
};

static void tick_arm(struct ipc_client *c)
{
	if (c->pendings.count == 0 && !c->blocked) {
		loop_timer_stop(&c->tick);
	} else {
		bool soon = c->short_count || c->blocked || c->probed != c->established;

		loop_timer_in(&c->tick, soon ? TICK_MS : TICK_IDLE_MS);
	}
}

/* Fills out with the mark and with calls; returns the first that found no room. */
static struct list *out_fill(struct ipc_client *c)
{
	struct ipc_pending *p;

	buf_trim(&c->out, FRAME_SEND_SOFT);
	frame_begin(&c->out);
	if (c->mark_due) {
		frame_put(&c->out, &(struct frame_part) { c->mark, FRAME_SEEN, 0, STR_NONE });
	}
	list_for_each (p, &c->unsent, unsent) {
		if (c->out.n > FRAME_SEND_SOFT) {
			break;
		}
		frame_put(&c->out, &(struct frame_part) { p->id, p->message, 0,
					   str_n(p->payload, p->payload_size) });
	}
	return &p->unsent;
}

static bool out_send(struct ipc_client *c)
{
	c->blocked = ipc_socket_send(&c->socket, ipc_client_header(1), buf_str(&c->out)) != 0;
	if (c->blocked) {
		tick_arm(c);
	} else {
		c->well = clock_mono();
	}
	return !c->blocked;
}

static void client_flush(void *arg)
{
	struct ipc_client *c = arg;
	uint64_t established;

	if (c->blocked || (!c->mark_due && list_empty(&c->unsent))) {
		return;
	}
	established = c->established ? c->established : ipc_socket_established(&c->socket);
	while (c->mark_due || !list_empty(&c->unsent)) {
		struct list *following = out_fill(c);

		if (!out_send(c)) {
			return;
		}
		c->mark_due = false;
		while (c->unsent.next != following) {
			list_del(c->unsent.next);
		}
		if (c->established != established) {
			c->established = established;
			tick_arm(c); /* for the probe */
		}
	}
	buf_trim(&c->out, FRAME_SEND_SOFT);
}

static struct ipc_pending *pending_unlink(struct ipc_pending *p)
{
	if (list_linked(&p->expired)) {
		list_del(&p->expired);
		return p;
	}
	map_del(&p->client->pendings, &p->node);
	list_del(&p->unsent);
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

static void pending_send(struct ipc_client *c, struct ipc_pending *p)
{
	p->repeat_at = mono_add_ms(loop_now(c->loop), p->patience_ms);
	c->next_deadline = mono_min(c->next_deadline, mono_min(p->deadline, p->repeat_at));
	if (!list_linked(&p->unsent)) {
		list_add_tail(&c->unsent, &p->unsent);
	}
}

static void all_send_again(struct ipc_client *c)
{
	struct ipc_pending *p, *following;

	map_for_each(p, following, &c->pendings, node)
	{
		pending_send(c, p);
	}
}

/* Calls whose time is over, or that are asked again; leaves in next_deadline when to look next. */
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
		if (!mono_before(now, p->deadline)) {
			pending_unlink(p);
			list_add_tail(&c->expired, &p->expired);
			continue;
		}
		if (!mono_before(now, p->repeat_at)) {
			pending_send(c, p);
			p->patience_ms *= p->patience_ms < REPEAT_MAX_MS ? 2 : 1;
		}
		c->next_deadline = mono_min(c->next_deadline, mono_min(p->deadline, p->repeat_at));
	}
	while (!list_empty(&c->expired)) { /* a callback may cancel others */
		pending_end(
			list_first(&c->expired, struct ipc_pending, expired), ST_TIMEOUT, STR_NONE);
	}
}

static void on_readable(void *arg);

static void socket_renew(struct ipc_client *c)
{
	if (ipc_client_connected(c)) {
		log_warning("ipc-stuck", "endpoint=%s", c->endpoint);
	}
	c->well = clock_mono();
	c->stuck_ms *= c->stuck_ms < STUCK_MAX_MS ? 2 : 1;
	ipc_socket_close(&c->socket);
	c->established = c->probed = 0;
	all_send_again(c);
	if (ipc_socket_open(&c->socket, IPC_SOCKET_CLIENT, c->loop, c->endpoint, on_readable, c)) {
		log_error("ipc-reopen", "endpoint=%s error=\"%s\"", c->endpoint, err_text());
	}
}

/* Behind the first frame on a connection, an empty one. */
static void probe(struct ipc_client *c)
{
	buf_trim(&c->out, FRAME_SEND_SOFT);
	frame_begin(&c->out);
	if (out_send(c)) {
		c->probed = c->established;
	}
}

/* How long nothing may move. A connection that took a second frame is a real one, and its server
 * may be busy. */
static int64_t patience_ms(const struct ipc_client *c, bool connected)
{
	if (!connected) {
		return CONNECT_MS;
	}
	return c->probed == c->established ? STUCK_MAX_MS : c->stuck_ms;
}

static void on_tick(void *arg)
{
	struct ipc_client *c = arg;
	uint64_t established = ipc_socket_established(&c->socket);
	bool connected = ipc_client_connected(c);

	deadlines_check(c);
	if (c->pendings.count == 0 || (connected && !c->blocked)) {
		c->well = clock_mono();
	}
	c->blocked = false;
	if (mono_diff_ms(clock_mono(), c->well) >= patience_ms(c, connected)) {
		socket_renew(c);
	} else if (established != c->established && connected) {
		c->established = established;
		all_send_again(c);
	} else if (c->probed != c->established && list_empty(&c->unsent)) {
		probe(c);
	}
	tick_arm(c);
}

static void part_handle(struct ipc_client *c, const struct frame_part *part)
{
	struct ipc_pending *p = map_find(
		&c->pendings, str_n(&part->id, sizeof(part->id)), struct ipc_pending, node);

	if (part->message == FRAME_MARK) {
		c->mark = part->id;
		c->mark_due = true;
		return;
	}
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
		c->well = loop_now(c->loop);
		c->stuck_ms = STUCK_MS;
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
	c->stuck_ms = STUCK_MS;
	map_init(&c->pendings, random_u64());
	list_init(&c->expired);
	list_init(&c->unsent);
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

	if (encoded.n > IPC_CALL_MAX || c->pendings.count >= IPC_CALLS_MAX) {
		on_reply(arg, encoded.n > IPC_CALL_MAX ? ST_TOO_LARGE : ST_FULL, STR_NONE);
		return NULL;
	}
	p = xmalloc(sizeof(*p) + encoded.n);
	*p = (struct ipc_pending) { .client = c,
		.id = c->next_id++,
		.message = message,
		.on_reply = on_reply,
		.arg = arg,
		.is_long = timeout_ms >= LONG_CALL_MS,
		.patience_ms = REPEAT_MS,
		.payload_size = encoded.n };
	p->deadline = mono_add_ms(loop_now(c->loop), timeout_ms);
	if (encoded.n) {
		memcpy(p->payload, encoded.p, encoded.n);
	}
	if (c->pendings.count == 0) {
		c->well = loop_now(c->loop);
	}
	map_add(&c->pendings, &p->node, str_n(&p->id, sizeof(p->id)));
	if (!p->is_long) {
		c->short_count++;
	}
	pending_send(c, p);
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
	return c->socket.nn >= 0 && ipc_socket_connections(&c->socket) > 0;
}

size_t ipc_client_outstanding(const struct ipc_client *c)
{
	return c->pendings.count;
}
