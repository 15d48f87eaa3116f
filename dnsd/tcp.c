/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: queries behind a two-byte length (RFC 1035 4.2.2), any number in a row (RFC 7766).
 * Answers that wait for a recursor may come after later ones. A connection is closed when it is
 * idle, when a query takes too long to arrive or an answer to leave; it is not read from while too
 * many of its answers are on their way.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "dnsd/dnsd.h"

enum {
	IDLE_MS = 10000,
	QUERY_MS = 5000, /* from a query's first byte to its last */
	DRAIN_IDLE_MS = 300,
	HELD_MAX = 64,
	ANSWERS_WAITING_MAX = 256 * 1024,
	READ_SIZE = 4096,
	ACCEPTS_PER_TURN = 64,
	ROOM_KEPT = 16 * 1024,
};

struct connection {
	struct list link;
	struct dnsd *d;
	int fd; /* -1: closed, waiting for held answers to come back */
	struct loop_io io;
	struct loop_timer timer;
	struct buf in, out;
	size_t out_sent;
	unsigned held;
	bool peer;    /* of another node */
	bool halfway; /* part of a query has come */
	bool ended;   /* the client sends nothing more */
	bool answered;
};

static void connection_forget(struct connection *c)
{
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

static void connection_close(struct connection *c)
{
	struct dnsd *d = c->d;

	loop_io_set(&c->io, 0);
	loop_timer_stop(&c->timer);
	close(take_fd(&c->fd));
	list_del(&c->link);
	d->connections_count--;
	if (!c->held) {
		connection_forget(c);
	}
	drain_check(d);
}

static size_t waiting(const struct connection *c)
{
	return c->out.n - c->out_sent;
}

/* false: it was closed. */
static bool connection_flush(struct connection *c)
{
	while (waiting(c)) {
		ssize_t n = send(c->fd, c->out.p + c->out_sent, waiting(c), MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			return true;
		}
		if (n < 0) {
			connection_close(c);
			return false;
		}
		c->out_sent += (size_t)n;
		c->answered = true;
		loop_timer_in(&c->timer, IDLE_MS);
	}
	c->out_sent = 0;
	buf_clear(&c->out);
	buf_trim(&c->out, ROOM_KEPT);
	return true;
}

static void answer_put(struct connection *c, struct str message)
{
	if (message.n) {
		buf_put_u16be(&c->out, (uint16_t)message.n);
		buf_put_str(&c->out, message);
	}
}

static void query_answer(struct connection *c, struct str query, const struct naming *naming)
{
	struct dnsd *d = c->d;
	struct rng before = d->rng;
	struct mono began = clock_mono();
	struct dns_request request = request_of(d, naming, query);
	enum dns_outcome outcome;

	request.tcp = true;
	request.peer = c->peer;
	outcome = dns_answer(d->core, &request, &d->reply);
	if (c->peer) {
		metrics_add(d->daemon->metrics, METRIC_PEER_QUERY, 1);
	} else if (outcome != DNS_ASK) {
		query_count(d, d->reply.kind, naming->stale,
			(double)mono_diff_ns(clock_mono(), began) / NS_PER_MS);
	}
	if (outcome == DNS_REPLY) {
		answer_put(c, str_n(d->reply.bytes, d->reply.size));
	} else if (outcome == DNS_DROP) {
		metrics_add(d->daemon->metrics, METRIC_DROPPED, 1);
	} else {
		struct client client = { .connection = c, .peer = c->peer };

		answer_put(c, answer_later(d, outcome, query, &client, &before, &d->reply));
	}
}

static bool saturated(const struct connection *c)
{
	return c->held >= HELD_MAX || waiting(c) > ANSWERS_WAITING_MAX;
}

/* Answers every whole query that has come. */
static void queries_answer(struct connection *c)
{
	struct naming naming;
	size_t at = 0;

	if (c->in.n < 2) {
		return;
	}
	naming_begin(c->d, &naming);
	while (c->in.n - at >= 2 && !saturated(c)) {
		const uint8_t *p = (const uint8_t *)c->in.p + at;
		size_t size = (size_t)p[0] << 8 | p[1];

		if (c->in.n - at - 2 < size) {
			break;
		}
		query_answer(c, str_n(p + 2, size), &naming);
		at += 2 + size;
	}
	naming_end(&naming);
	memmove(c->in.p, c->in.p + at, c->in.n - at);
	c->in.n -= at;
	if (at) {
		c->halfway = false;
	}
}

/* A whole query has come and can be answered: there was no room for its answer when the others of
 * this turn were. */
static bool is_query_left(const struct connection *c)
{
	const uint8_t *p = (const uint8_t *)c->in.p;

	return c->in.n >= 2 && c->in.n - 2 >= ((size_t)p[0] << 8 | p[1]) && !saturated(c);
}

/* What to wait for next, and for how long. */
static void connection_wait(struct connection *c)
{
	bool done = !c->held && !waiting(c), left = is_query_left(c);

	if (done && !left && (c->ended || (c->d->daemon->draining && c->answered && !c->in.n))) {
		connection_close(c);
		return;
	}
	loop_io_set(&c->io, (c->ended || left || saturated(c) ? 0 : LOOP_READ) |
				    (left || waiting(c) ? LOOP_WRITE : 0));
	if (c->in.n && !c->halfway) {
		c->halfway = true;
		loop_timer_in(&c->timer, QUERY_MS);
	} else if (!c->in.n && done) {
		loop_timer_in(&c->timer, c->d->daemon->draining ? DRAIN_IDLE_MS : IDLE_MS);
	}
}

static void connection_advance(struct connection *c)
{
	queries_answer(c);
	if (connection_flush(c)) {
		connection_wait(c);
	}
}

/* false: it was closed. */
static bool connection_read(struct connection *c)
{
	ssize_t n = recv(c->fd, buf_reserve(&c->in, READ_SIZE), READ_SIZE, 0);

	if (n > 0) {
		c->in.n += (size_t)n;
	} else if (n == 0) {
		c->ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		connection_close(c);
		return false;
	}
	return true;
}

static void on_connection(void *arg, int events)
{
	struct connection *c = arg;

	if ((events & LOOP_READ) && !connection_read(c)) {
		return;
	}
	connection_advance(c);
}

static void on_timer(void *arg)
{
	struct connection *c = arg;
	/* Queries that are not even looked at before an answer is there are not late. */
	bool for_us = c->held && !waiting(c) && (!c->in.n || saturated(c));

	if (for_us) {
		loop_timer_in(&c->timer, IDLE_MS);
		return;
	}
	connection_close(c);
}

void connection_hold(struct connection *c)
{
	c->held++;
}

void connection_address(const struct connection *c, struct sockaddr_storage *out)
{
	socklen_t size = sizeof(*out);

	if (getpeername(c->fd, (struct sockaddr *)out, &size)) {
		memset(out, 0, sizeof(*out));
	}
}

void connection_answer(struct connection *c, struct str message)
{
	c->held--;
	if (c->fd >= 0) {
		answer_put(c, message);
		connection_advance(c);
	} else if (!c->held) {
		connection_forget(c);
	}
}

static void connection_new(struct dnsd *d, int fd, bool peer)
{
	struct connection *c = xcalloc(1, sizeof(*c));

	c->d = d;
	c->fd = fd;
	c->peer = peer;
	list_add_tail(&d->connections, &c->link);
	d->connections_count++;
	loop_io_init(&c->io, d->daemon->loop, fd, on_connection, c);
	loop_timer_init(&c->timer, d->daemon->loop, on_timer, c);
	loop_timer_in(&c->timer, IDLE_MS);
	loop_io_set(&c->io, LOOP_READ);
}

/* Closes the oldest connection on which nothing is going on; false: all are busy. */
static bool room_make(struct dnsd *d)
{
	struct connection *c;

	list_for_each (c, &d->connections, link) {
		if (!c->held && !waiting(c) && !c->in.n) {
			connection_close(c);
			return true;
		}
	}
	return false;
}

static void on_listener(void *arg, int events UNUSED)
{
	struct tcp_listener *l = arg;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			return;
		}
		if (l->d->connections_count == CONNECTIONS_MAX && !room_make(l->d)) {
			metrics_add(l->d->daemon->metrics, METRIC_REFUSED_BUSY, 1);
			close(fd);
			continue;
		}
		connection_new(l->d, fd, l->peer);
	}
}

int tcp_open(struct dnsd *d)
{
	struct opened opened;
	int r = sockets_take(d, SOCK_STREAM, &opened);

	for (size_t i = 0; i < opened.count; i++) {
		struct tcp_listener *l = &d->tcp[d->tcp_count++];

		*l = (struct tcp_listener) {
			.d = d, .fd = opened.rows[i].fd, .peer = opened.rows[i].peer
		};
		loop_io_init(&l->io, d->daemon->loop, l->fd, on_listener, l);
		r = r ? r : net_nonblock(l->fd);
	}
	return r;
}

void tcp_drain(struct dnsd *d)
{
	struct connection *c, *following;

	for (size_t i = 0; i < d->tcp_count; i++) {
		loop_io_set(&d->tcp[i].io, 0);
	}
	list_for_each_safe (c, following, &d->connections, link) {
		c->answered =
			false; /* a query may be on its way: one more is waited for, briefly */
		connection_wait(c);
	}
}

void tcp_close(struct dnsd *d)
{
	struct connection *c, *following;

	list_for_each_safe (c, following, &d->connections, link) {
		connection_close(c);
	}
	for (size_t i = 0; i < d->tcp_count; i++) {
		loop_io_set(&d->tcp[i].io, 0);
		close(d->tcp[i].fd);
	}
}
