/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request per connection at a time; a connection that is idle is used again. Requests beyond
 * the most connections queue up, bounded by the callers' own limits.
 */
#include "checkd/api.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/response.h"
#include "common/base/err.h"
#include "common/sys/clock.h"
#include "common/sys/net.h"

struct call {
	struct list link; /* in api.queue or api.failed while it has no connection */
	uint64_t number;
	int64_t timeout_ms;
	struct buf bytes;
};

struct connection {
	struct list link;
	struct api *api;
	int fd;
	struct loop_io io;
	struct call *call; /* NULL: idle */
	size_t sent;
	struct response response;
	struct buf body;
	bool too_large;
	struct mono deadline;
};

struct api {
	struct loop *loop;
	struct net_address address;
	api_done_fn on_done;
	void *arg;
	struct list connections;
	unsigned connections_count, connections_max;
	struct list queue, failed;
	struct loop_timer timer;
	bool reachable;
};

static void call_free(struct call *q)
{
	list_del(&q->link);
	buf_fini(&q->bytes);
	free(q);
}

static void connection_free(struct connection *c)
{
	loop_io_set(&c->io, 0);
	close(c->fd);
	list_del(&c->link);
	c->api->connections_count--;
	if (c->call) {
		call_free(c->call);
	}
	buf_fini(&c->body);
	response_fini(&c->response);
	free(c);
}

/* Reports later: never from inside api_send. */
static void call_fail_later(struct api *a, struct call *q)
{
	list_del(&q->link);
	list_add_tail(&a->failed, &q->link);
	loop_timer_in(&a->timer, 0);
}

static void timer_arm(struct api *a)
{
	struct mono due = list_empty(&a->failed) ? MONO_NEVER : loop_now(a->loop);
	struct connection *c;

	list_for_each (c, &a->connections, link) {
		due = mono_min(due, c->deadline);
	}
	loop_timer_at(&a->timer, due);
}

static void queue_pump(struct api *a);

static void connection_lost(struct connection *c)
{
	struct api *a = c->api;

	if (c->call) {
		a->reachable = false;
		call_fail_later(a, take(c->call));
	}
	connection_free(c);
	queue_pump(a);
}

static void on_body(void *arg, struct str piece)
{
	struct connection *c = arg;

	c->too_large = c->too_large || c->body.n + piece.n > API_BODY_MAX;
	if (!c->too_large) {
		buf_put_str(&c->body, piece);
	}
}

static void connection_answered(struct connection *c)
{
	struct api *a = c->api;
	struct call *q = take(c->call);
	bool ends = c->response.close;

	c->deadline = MONO_NEVER;
	a->reachable = true;
	a->on_done(a->arg, q->number, c->response.status, c->response.index, buf_str(&c->body));
	call_free(q);
	response_fini(&c->response);
	response_init(&c->response, on_body, c);
	buf_trim(&c->body, 64 << 10);
	if (ends) {
		connection_free(c);
	}
	queue_pump(a);
}

static bool connection_write(struct connection *c)
{
	while (c->sent < c->call->bytes.n) {
		ssize_t n = send(c->fd, c->call->bytes.p + c->sent, c->call->bytes.n - c->sent,
			MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == EAGAIN) {
			loop_io_set(&c->io, LOOP_READ | LOOP_WRITE);
			return true;
		}
		if (n < 0) {
			return false;
		}
		c->sent += (size_t)n;
	}
	loop_io_set(&c->io, LOOP_READ);
	return true;
}

static void connection_read(struct connection *c)
{
	char bytes[16 << 10];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	size_t used = 0;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0 || !c->call) {
		connection_lost(c); /* ended, or spoke without being asked */
		return;
	}
	r = response_feed(&c->response, str_n(bytes, (size_t)n), &used);
	if (r == ST_AGAIN && !c->too_large) {
		return;
	}
	if (r || c->too_large || used != (size_t)n) {
		connection_lost(c);
	} else {
		connection_answered(c);
	}
}

static void on_io(void *arg, int events)
{
	struct connection *c = arg;

	if ((events & LOOP_WRITE) && c->call && !connection_write(c)) {
		connection_lost(c);
		return;
	}
	if (events & LOOP_READ) {
		connection_read(c);
	}
}

static struct connection *connection_open(struct api *a)
{
	struct connection *c;
	int fd;

	if (a->connections_count >= a->connections_max) {
		return NULL;
	}
	fd = net_connect(&a->address, SOCK_STREAM);
	if (fd < 0) {
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->api = a;
	c->fd = fd;
	c->deadline = MONO_NEVER;
	response_init(&c->response, on_body, c);
	loop_io_init(&c->io, a->loop, fd, on_io, c);
	list_add_tail(&a->connections, &c->link);
	a->connections_count++;
	return c;
}

static struct connection *connection_idle(struct api *a)
{
	struct connection *c;

	list_for_each (c, &a->connections, link) {
		if (!c->call) {
			return c;
		}
	}
	return connection_open(a);
}

static void queue_pump(struct api *a)
{
	while (!list_empty(&a->queue)) {
		struct call *q = list_first(&a->queue, struct call, link);
		struct connection *c = connection_idle(a);

		if (!c && a->connections_count >= a->connections_max) {
			break;
		}
		list_del(&q->link);
		if (!c) {
			a->reachable = false;
			call_fail_later(a, q);
			continue;
		}
		c->call = q;
		c->sent = 0;
		c->deadline = mono_add_ms(loop_now(a->loop), q->timeout_ms);
		if (!connection_write(c)) {
			a->reachable = false;
			call_fail_later(a, take(c->call));
			connection_free(c);
		}
	}
	timer_arm(a);
}

static void on_timer(void *arg)
{
	struct api *a = arg;
	struct connection *c, *next;

	list_for_each_safe (c, next, &a->connections, link) {
		if (!mono_before(loop_now(a->loop), c->deadline)) {
			call_fail_later(a, take(c->call));
			connection_free(c);
		}
	}
	while (!list_empty(&a->failed)) {
		struct call *q = list_first(&a->failed, struct call, link);

		list_del(&q->link);
		a->on_done(a->arg, q->number, 0, 0, STR(""));
		call_free(q);
	}
	queue_pump(a);
}

struct api *api_new(struct loop *loop, const char *socket_path, unsigned connections_max,
	api_done_fn on_done, void *arg)
{
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };
	struct api *a = xcalloc(1, sizeof(*a));

	a->loop = loop;
	a->connections_max = connections_max;
	a->on_done = on_done;
	a->arg = arg;
	buf_printf(&address, "unix://%s", socket_path);
	must(net_address_parse(buf_str(&address), 0, &a->address) == 0);
	list_init(&a->connections);
	list_init(&a->queue);
	list_init(&a->failed);
	loop_timer_init(&a->timer, loop, on_timer, a);
	return a;
}

void api_free(struct api *a)
{
	struct connection *c, *next_connection;
	struct call *q, *next;

	list_for_each_safe (c, next_connection, &a->connections, link) {
		connection_free(c);
	}
	list_for_each_safe (q, next, &a->queue, link) {
		call_free(q);
	}
	list_for_each_safe (q, next, &a->failed, link) {
		call_free(q);
	}
	loop_timer_stop(&a->timer);
	free(a);
}

void api_send(struct api *a, const struct registry_request *q)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->number = q->number;
	call->timeout_ms = q->waits ? API_WAIT_TIMEOUT_MS : API_TIMEOUT_MS;
	buf_reserve(&call->bytes, 256 + q->body.n);
	buf_put_cstr(&call->bytes, q->put ? "PUT " : "GET ");
	buf_put_str(&call->bytes, q->path);
	buf_put_lit(&call->bytes, " HTTP/1.1\r\nHost: localhost\r\n");
	if (q->token.n) {
		buf_printf(&call->bytes, "X-Consul-Token: " STR_FMT "\r\n", STR_ARG(q->token));
	}
	if (q->put) {
		buf_printf(&call->bytes, "Content-Length: %zu\r\n", q->body.n);
	}
	buf_put_lit(&call->bytes, "\r\n");
	buf_put_str(&call->bytes, q->body);
	list_add_tail(&a->queue, &call->link);
	queue_pump(a);
}

bool api_cancel(struct api *a, uint64_t number)
{
	struct list *lists[] = { &a->queue, &a->failed };
	struct connection *c;
	struct call *q;

	list_for_each (c, &a->connections, link) {
		if (c->call && c->call->number == number) {
			connection_free(c);
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		list_for_each (q, lists[i], link) {
			if (q->number == number) {
				call_free(q);
				return true;
			}
		}
	}
	return false;
}

bool api_reachable(const struct api *a)
{
	return a->reachable;
}
