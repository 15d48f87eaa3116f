/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: bytes in, heads out. All connections read into one buffer of the engine; only what
 * is incomplete or pipelined behind is kept. While a query is held the connection keeps reading, so
 * that a client that goes away is noticed at once.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/sys/tls.h"
#include "httpd/engine.h"

static void on_io(void *arg, int events);
static void on_timer(void *arg);

void conn_new(struct engine *e, int fd, struct client *client, struct tls_session *tls, bool peer)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->engine = e;
	c->fd = fd;
	c->client = client;
	c->tls = tls;
	c->peer = peer;
	list_add_tail(&e->conns, &c->link);
	e->conns_count++;
	loop_io_init(&c->io, e->loop, fd, on_io, c);
	loop_timer_init(&c->timer, e->loop, on_timer, c);
	if (tls) {
		conn_timer_in(c, e->httpd->conf->limits.https_handshake_timeout_ns / NS_PER_MS);
	}
	conn_settle(c);
}

static void conn_free(struct conn *c)
{
	struct engine *e = c->engine;

	loop_io_set(&c->io, 0);
	loop_timer_stop(&c->timer);
	if (c->exchange) {
		exchange_free(take(c->exchange));
	}
	if (c->hold) {
		hold_free(take(c->hold));
	}
	body_fini(c);
	e->buffered -= c->in.size;
	buf_fini(&c->in);
	buf_fini(&c->out);
	if (c->tls) {
		tls_session_free(c->tls);
	}
	close(c->fd);
	if (c->client) {
		client_leave(e, c->client);
	}
	list_del(&c->link);
	e->conns_count--;
	free(c);
	engine_check_drained(e);
}

void conns_free(struct engine *e)
{
	struct conn *c, *following;

	list_for_each_safe (c, following, &e->conns, link) {
		conn_free(c);
	}
}

void conn_fail(struct conn *c)
{
	c->state = CONN_DEAD;
}

void conn_timer_in(struct conn *c, int64_t ms)
{
	loop_timer_in(&c->timer, ms);
}

void conn_timer_at(struct conn *c, struct mono when)
{
	loop_timer_at(&c->timer, when);
}

static void timer_off(struct conn *c)
{
	if (loop_timer_active(&c->timer)) {
		loop_timer_stop(&c->timer);
	}
}

/* Like read(2): 0 the client ended, -1 with errno EAGAIN nothing now. */
static ssize_t receive(struct conn *c, void *to, size_t n)
{
	return c->tls ? tls_read(c->tls, to, n) : read(c->fd, to, n);
}

/* What was written of the parts, in order; fewer bytes than there are: would block. -1: the
 * connection failed. */
ssize_t conn_write(struct conn *c, const struct str *parts, size_t count)
{
	struct iovec iov[4];
	ssize_t n;

	must(count <= ARRAY_SIZE(iov));
	if (c->tls) {
		return tls_write(c->tls, parts, count);
	}
	for (size_t i = 0; i < count; i++) {
		iov[i] = (struct iovec) { (void *)parts[i].p, parts[i].n };
	}
	do {
		n = writev(c->fd, iov, (int)count);
	} while (n < 0 && errno == EINTR);
	return n < 0 && errno == EAGAIN ? 0 : n;
}

/* Keeps bytes that cannot be handled now. */
static void keep(struct conn *c, struct str bytes)
{
	struct engine *e = c->engine;
	size_t before = c->in.size;

	if (e->buffered + bytes.n > BUFFERED_MAX) {
		conn_fail(c);
		return;
	}
	buf_put_str(&c->in, bytes);
	e->buffered += c->in.size - before;
}

static void keep_none(struct conn *c)
{
	if (c->in.size) {
		c->engine->buffered -= c->in.size;
		buf_fini(&c->in);
	}
}

/* A head has been taken off: what follows is its body, or it is handled at once. */
static void begin_exchange(struct conn *c, struct exchange *x)
{
	timer_off(c);
	list_del(&c->link);
	list_add_tail(&c->engine->conns, &c->link);
	c->engine->counts.requests++;
	c->exchange = x;
	dispatch_route(x);
	body_begin(c);
}

static size_t take_head(struct conn *c, struct str bytes)
{
	struct exchange *x;
	struct str why;
	size_t n;
	int rc;

	n = parser_head_end(bytes, &c->scanned);
	if (n > REQUEST_HEAD_MAX || (n == 0 && bytes.n > REQUEST_HEAD_MAX)) {
		output_refuse(c, 431, STR(""));
		return bytes.n;
	}
	if (n == 0) {
		if (!loop_timer_active(&c->timer)) {
			conn_timer_in(c, HEAD_MS);
		}
		return 0;
	}
	c->scanned = 0;
	if (c->engine->buffered + n > BUFFERED_MAX) {
		output_refuse(c, 503, STR("too many request bytes are held"));
		return bytes.n;
	}
	x = exchange_new(c, str_cut(bytes, n), &rc, &why);
	if (!x) {
		c->engine->counts.malformed++;
		output_refuse(c, rc == ST_TOO_LARGE ? 431 : rc == ST_UNSUPPORTED ? 501 : 400, why);
		return bytes.n;
	}
	begin_exchange(c, x);
	return n;
}

/* Handles what can be handled now; returns how many bytes that took. */
static size_t consume(struct conn *c, struct str bytes)
{
	size_t used = 0, n;

	c->handling = true;
	while (used < bytes.n) {
		struct str rest = str_skip(bytes, used);

		if (c->state == CONN_HEAD && !c->close_after) {
			n = take_head(c, rest);
		} else if (c->state == CONN_BODY) {
			n = body_take(c, rest);
		} else if (c->state == CONN_LINGER || c->close_after) {
			n = rest.n;
		} else {
			n = 0;
		}
		if (n == 0) {
			break;
		}
		used += n;
	}
	c->handling = false;
	return used;
}

static void consume_kept(struct conn *c)
{
	size_t used = consume(c, buf_str(&c->in));

	if (used == c->in.n) {
		keep_none(c);
		return;
	}
	if (used) {
		memmove(c->in.p, c->in.p + used, c->in.n - used);
		c->in.n -= used;
	}
}

static bool is_endless(const struct conn *c)
{
	const struct exchange *x = c->exchange;

	return x && x->stream && x->stream->size < 0;
}

/* A client that has shut down its side may still wait for an answer that is due soon, or for bytes
 * under way. One that waits for a change counts as gone: nothing else would tell that it is. */
static bool may_listen(const struct conn *c)
{
	const struct exchange *x = c->exchange;

	switch (c->state) {
	case CONN_WRITE:
	case CONN_STREAM:
		return !is_endless(c);
	case CONN_BUSY:
		return x && !x->is_waiting && !request_has(&x->request, "index");
	default:
		return false;
	}
}

/* What has come before is still handled. */
static void on_eof(struct conn *c)
{
	c->eof = true;
	c->close_after |= !c->in.n;
}

static void conn_receive(struct conn *c)
{
	struct engine *e = c->engine;
	ssize_t n = receive(c, e->scratch, READ_SIZE);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR) {
			conn_fail(c);
		}
		return;
	}
	if (n == 0) {
		on_eof(c);
		return;
	}
	if (c->in.n) {
		keep(c, str_n(e->scratch, (size_t)n));
	} else {
		struct str bytes = str_n(e->scratch, (size_t)n);
		struct str rest = str_skip(bytes, consume(c, bytes));

		if (rest.n && c->state != CONN_DEAD) {
			keep(c, rest);
		}
	}
}

static bool handshake(struct conn *c)
{
	int rc = tls_handshake(c->tls);

	if (rc == 0) {
		timer_off(c);
		return true;
	}
	if (rc != ST_AGAIN) {
		conn_fail(c);
	}
	return false;
}

static int wanted_events(const struct conn *c)
{
	int events = 0;

	if (c->tls && !tls_established(c->tls)) {
		return tls_wants_write(c->tls) ? LOOP_WRITE : LOOP_READ;
	}
	if (c->out.n > c->out_at) {
		events |= LOOP_WRITE;
	}
	if (!c->eof &&
		c->in.n < (c->state == CONN_HEAD ? REQUEST_HEAD_MAX + READ_SIZE : PIPELINED_MAX)) {
		events |= LOOP_READ;
	}
	return events;
}

/* Ends every entry from the loop: handles what is kept, frees the dead, says what to wait for. */
void conn_settle(struct conn *c)
{
	size_t before;

	if (c->handling) {
		return;
	}
	while (c->in.n &&
		(c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_LINGER)) {
		before = c->in.n;
		consume_kept(c);
		if (c->in.n == before) {
			break;
		}
	}
	if ((c->state == CONN_HEAD && c->close_after) || (c->eof && !may_listen(c))) {
		conn_fail(c);
	}
	/* Behind an answer without an end nothing is ever handled; and only by reading on is a
	 * client noticed that goes. */
	if (is_endless(c) && c->in.n > PIPELINED_MAX) {
		conn_fail(c);
	}
	if (c->state == CONN_DEAD) {
		conn_free(c);
		return;
	}
	loop_io_set(&c->io, wanted_events(c));
	/* TLS keeps decrypted bytes of its own, which no event announces. */
	if (c->tls && tls_established(c->tls) && tls_pending(c->tls) &&
		(wanted_events(c) & LOOP_READ)) {
		conn_receive(c);
		conn_settle(c);
	}
}

void conn_next(struct conn *c)
{
	timer_off(c);
	if (c->close_after && c->state != CONN_DEAD) {
		/* Unread bytes would turn close() into a reset that takes the answer away from the
		 * client. */
		if (c->tls) {
			tls_bye(c->tls);
		}
		shutdown(c->fd, SHUT_WR);
		c->state = c->eof ? CONN_DEAD : CONN_LINGER;
		conn_timer_in(c, LINGER_MS);
		return;
	}
	c->state = CONN_HEAD;
	if (c->engine->draining && c->engine->lingered && !c->in.n) {
		conn_fail(c);
	}
}

static void on_io(void *arg, int events)
{
	struct conn *c = arg;

	if (c->tls && !tls_established(c->tls) && !handshake(c)) {
		conn_settle(c);
		return;
	}
	if (events & LOOP_WRITE && c->out.n > c->out_at) {
		output_flush(c);
	}
	if (events & LOOP_READ && c->state != CONN_DEAD) {
		conn_receive(c);
	}
	conn_settle(c);
}

static void on_timer(void *arg)
{
	struct conn *c = arg;

	switch (c->state) {
	case CONN_HELD:
		hold_expire(c);
		break;
	case CONN_STREAM:
		stream_step(c);
		break;
	default:
		c->engine->counts.timeouts += c->state != CONN_LINGER;
		conn_fail(c);
		break;
	}
	conn_settle(c);
}
