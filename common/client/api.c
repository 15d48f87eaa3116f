/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request per connection at a time; a connection that is idle is used again. Requests beyond
 * the most connections queue up, bounded by the callers' own limits.
 */
#include "common/client/api.h"

#include "common/base/err.h"
#include "common/sys/clock.h"
#include "common/sys/http_link.h"

struct call {
	struct list link; /* in api.queue or api.failed while it has no connection */
	uint64_t number;
	int64_t timeout_ms;
	bool again; /* the connection had ended when it was sent */
	struct buf bytes;
};

struct connection {
	struct list link;
	struct api *api;
	struct http_link http;
	struct call *call; /* NULL: idle */
	bool kept;	   /* it has brought an answer: it may end at any time */
	struct buf body;
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
	http_link_close(&c->http);
	list_del(&c->link);
	c->api->connections_count--;
	if (c->call) {
		call_free(c->call);
	}
	buf_fini(&c->body);
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

/* httpd ends a connection that is idle, or all of them when it is restarted; what was sent just
 * then it has not read. (And where it has, all requests may be repeated.) */
static bool is_for_another(const struct connection *c)
{
	return c->kept && !c->http.spoken && !c->call->again;
}

static void connection_lost(struct connection *c)
{
	struct api *a = c->api;
	struct call *q;

	if (c->call && is_for_another(c)) {
		q = take(c->call);
		q->again = true;
		list_add_head(&a->queue, &q->link);
	} else if (c->call) {
		a->reachable = false;
		call_fail_later(a, take(c->call));
	}
	connection_free(c);
	queue_pump(a);
}

static void on_lost(void *arg, int error)
{
	connection_lost(arg);
}

static void on_body(void *arg, struct str piece)
{
	struct connection *c = arg;

	if (c->body.n <= API_BODY_MAX) {
		buf_put_str(&c->body, piece);
	}
}

static void on_progress(void *arg)
{
	struct connection *c = arg;

	if (c->body.n > API_BODY_MAX) {
		connection_lost(c);
	}
}

static void on_answered(void *arg)
{
	struct connection *c = arg;
	const struct response *r = &c->http.response;
	struct api *a = c->api;
	uint64_t number = c->call->number;

	if (c->body.n > API_BODY_MAX) {
		connection_lost(c);
		return;
	}
	c->deadline = MONO_NEVER;
	c->call->number = 0; /* it cannot be cancelled any more; the connection is not idle yet */
	a->reachable = true;
	a->on_done(a->arg, number, r->status, r->index, buf_str(&c->body));
	call_free(take(c->call));
	c->kept = true;
	buf_trim(&c->body, 64 << 10);
	if (!http_link_kept(&c->http)) {
		connection_free(c);
	}
	queue_pump(a);
}

static const struct http_link_events events = {
	.on_body = on_body,
	.on_progress = on_progress,
	.on_answered = on_answered,
	.on_lost = on_lost,
};

static struct connection *connection_open(struct api *a)
{
	struct connection *c;

	if (a->connections_count >= a->connections_max) {
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	if (http_link_open(&c->http, a->loop, &a->address, &events, c)) {
		free(c);
		return NULL;
	}
	c->api = a;
	c->deadline = MONO_NEVER;
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
		struct connection *c = q->again ? connection_open(a) : connection_idle(a);

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
		c->deadline = mono_add_ms(loop_now(a->loop), q->timeout_ms);
		http_link_ask(&c->http, buf_str(&q->bytes), false);
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

void api_send(struct api *a, const struct api_request *q)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->number = q->number;
	call->timeout_ms = q->timeout_ms;
	buf_reserve(&call->bytes, 256 + q->body.n);
	buf_put_cstr(&call->bytes, q->put ? "PUT " : "GET ");
	buf_put_str(&call->bytes, q->path);
	buf_put_lit(&call->bytes, " HTTP/1.1\r\nHost: localhost\r\n");
	if (q->token.n) {
		buf_printf(&call->bytes, "X-Consul-Token: " STR_FMT "\r\n", STR_ARG(q->token));
	}
	buf_put_str(&call->bytes, q->headers);
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
			queue_pump(a);
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
