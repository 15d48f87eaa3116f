/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: one message and one reply each. Who dials writes first; nobody closes before the reply,
 * so the end of a message is found by reading it (core/packet.h). A stream has a deadline from its
 * beginning to its end.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "gossipd/core/packet.h"
#include "gossipd/gossipd.h"

enum {
	READ_SIZE = 65536,
	READS_MAX = 16,
	ACCEPTS_MAX = 32,
	INBOUND_SIZE_MAX = 64 << 20, /* of all together; who would pass it is closed */
};

struct stream {
	struct list link;
	struct wire *wire;
	int fd;
	struct loop_io io;
	struct loop_timer timer;
	bool dialled;
	uint32_t token;
	struct net_address address; /* dialled */
	struct buf out, in, plain;
	size_t sent;
	struct stream_scan scan;
};

static void stream_free(struct stream *s)
{
	loop_io_set(&s->io, 0);
	loop_timer_stop(&s->timer);
	if (!s->dialled) {
		s->wire->inbound_count--;
		s->wire->inbound_size -= s->in.n;
	}
	list_del(&s->link);
	if (s->fd >= 0) {
		close(s->fd);
	}
	buf_fini(&s->out);
	buf_fini(&s->in);
	buf_fini(&s->plain);
	free(s);
}

/* -------- the end of what was dialled -------- */

static void dialled_reply(struct wire *w, uint32_t token, struct str bytes, struct str why)
{
	struct pool_event event = {
		.type = POOL_REPLY, .token = token, .bytes = bytes, .text = why
	};
	struct pool_update update;

	wire_step(w, &event, &update);
}

static void error_put(struct buf *out, const struct net_address *a, const char *what, int error)
{
	char text[96] = "";

	buf_put_lit(out, "dial tcp ");
	net_address_render(a, out);
	buf_printf(out, ": %s", what);
	if (error) {
		/* As Go prints them: lower case. */
		snprintf(text, sizeof(text), "%s",
			strerrordesc_np(error) ? strerrordesc_np(error) : "error");
		str_lower_into(str_of(text), text);
		buf_printf(out, ": %s", text);
	}
}

static void stream_fail(struct stream *s, const char *what, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct wire *w = s->wire;
	uint32_t token = s->token;
	bool dialled = s->dialled;

	error_put(&why, &s->address, what, error);
	stream_free(s);
	if (dialled) {
		dialled_reply(w, token, STR_NONE, buf_str(&why));
	}
}

static void stream_done(struct stream *s, struct str message)
{
	OWN_EMBEDDED(buf_fini) struct buf copy = { 0 };
	struct wire *w = s->wire;
	uint32_t token = s->token;

	buf_put_str(&copy, message);
	stream_free(s);
	dialled_reply(w, token, buf_str(&copy), STR(""));
}

/* -------- writing -------- */

static void seal_out(struct wire *w, struct str plain, struct buf *out)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	struct seal_form form = { .version = SEAL_VERSION_MAX, .nonce = nonce, .label = STR("") };

	if (seal_active(&w->seal) && w->verify_outgoing) {
		random_bytes(nonce, sizeof(nonce));
		seal_stream(&w->seal, &form, plain, out);
	} else {
		buf_put_str(out, plain);
	}
}

/* false: it failed and is gone. */
static bool stream_write(struct stream *s)
{
	while (s->sent < s->out.n) {
		ssize_t n = write(s->fd, s->out.p + s->sent, s->out.n - s->sent);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			break;
		}
		if (n < 0) {
			stream_fail(s, "write", errno);
			return false;
		}
		s->sent += (size_t)n;
	}
	loop_io_set(&s->io, s->sent < s->out.n ? LOOP_WRITE : LOOP_READ);
	return true;
}

/* The reply of one who was asked; when it is out, the stream ends. */
static void stream_answer(struct stream *s, struct str plain)
{
	if (!plain.n) {
		stream_free(s);
		return;
	}
	buf_clear(&s->out);
	s->sent = 0;
	seal_out(s->wire, plain, &s->out);
	if (stream_write(s) && s->sent == s->out.n) {
		stream_free(s);
	}
}

static void stream_refuse(struct stream *s, const char *text)
{
	OWN_EMBEDDED(buf_fini) struct buf err = { 0 }, message = { 0 };
	struct swim_err m = { str_of(text) };

	log_warning("stream-refused", "pool=%s reason=\"%s\"",
		s->wire->name == GOSSIP_WAN ? "wan" : "lan", text);
	swim_put(&err, SWIM_ERR, &swim_err_schema, &m);
	stream_put(&message, buf_str(&err), s->wire->pool.options.compress);
	stream_answer(s, buf_str(&message));
}

/* -------- reading -------- */

static void stream_take(struct stream *s, struct str message)
{
	struct pool_event event = { .type = POOL_REQUEST, .bytes = message };
	OWN_EMBEDDED(buf_fini) struct buf reply = { 0 };
	struct pool_update update;

	if (s->dialled) {
		stream_done(s, message);
		return;
	}
	wire_step(s->wire, &event, &update);
	buf_put_str(&reply, update.reply);
	stream_answer(s, buf_str(&reply));
}

static void fail_wrong(struct stream *s, const char *text)
{
	if (s->dialled) {
		stream_fail(s, text, 0);
	} else {
		stream_refuse(s, text);
	}
}

/* Encrypted as a whole: what is inside needs no search for its end. */
static void look_sealed(struct stream *s, struct str bytes)
{
	int r;

	if (!seal_active(&s->wire->seal)) {
		fail_wrong(s, "Remote state is encrypted and encryption is not configured");
		return;
	}
	buf_clear(&s->plain);
	r = unseal_stream(&s->wire->seal, STR(""), bytes, &s->plain);
	if (r == 0) {
		stream_take(s, buf_str(&s->plain));
	} else if (r != ST_AGAIN) {
		fail_wrong(s, "No installed keys could decrypt the message");
	}
}

static void stream_look(struct stream *s)
{
	struct str bytes = buf_str(&s->in);
	size_t size;
	int r;

	if (!bytes.n) {
		return;
	}
	if ((uint8_t)bytes.p[0] == SWIM_ENCRYPT) {
		look_sealed(s, bytes);
		return;
	}
	if (seal_active(&s->wire->seal) && s->wire->verify_incoming) {
		fail_wrong(s, "Encryption is configured but remote state is not encrypted");
		return;
	}
	r = stream_scan(&s->scan, bytes, &size);
	if (r == 0) {
		stream_take(s, str_cut(bytes, size));
	} else if (r != ST_AGAIN) {
		stream_fail(s, "malformed message", 0);
	}
}

static void stream_read(struct stream *s)
{
	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = read(s->fd, buf_reserve(&s->in, READ_SIZE), READ_SIZE);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			break;
		}
		if (n <= 0) {
			stream_fail(s, n ? "read" : "EOF", n ? errno : 0);
			return;
		}
		s->in.n += (size_t)n;
		s->wire->inbound_size += s->dialled ? 0 : (size_t)n;
		if (s->in.n > STREAM_SIZE_MAX + SEAL_STREAM_HEADER ||
			(!s->dialled && s->wire->inbound_size > INBOUND_SIZE_MAX)) {
			metrics_add(s->wire->gossipd->daemon->metrics, METRIC_REFUSED, 1);
			stream_fail(s, "message too large", 0);
			return;
		}
		if (n < READ_SIZE) {
			break;
		}
	}
	stream_look(s);
}

static void on_ready(void *arg, int events)
{
	struct stream *s = arg;
	socklen_t n = sizeof(int);
	int error = 0;

	if (events & LOOP_WRITE) {
		if (s->dialled && !s->sent &&
			(getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error)) {
			stream_fail(s, "connect", error ? error : errno);
			return;
		}
		if (stream_write(s) && s->sent == s->out.n && !s->dialled) {
			stream_free(s);
		}
		return;
	}
	stream_read(s);
}

/* -------- beginnings -------- */

static void on_timer(void *arg)
{
	struct stream *s = arg;

	if (s->fd < 0) {
		stream_fail(s, "connect", -s->fd);
	} else {
		stream_fail(s, "i/o timeout", 0);
	}
}

/* fd: -errno where connecting has failed. */
static struct stream *stream_new(struct wire *w, int fd, int64_t timeout_ms)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->wire = w;
	s->fd = fd;
	loop_io_init(&s->io, w->gossipd->daemon->loop, fd, on_ready, s);
	loop_timer_init(&s->timer, w->gossipd->daemon->loop, on_timer, s);
	loop_timer_in(&s->timer, fd < 0 ? 0 : timeout_ms);
	list_add_tail(&w->streams, &s->link);
	return s;
}

/* A failure is told by a later turn: the caller is in the middle of a step. */
void stream_dial(struct wire *w, const struct pool_dial *d, struct str message)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct net_address a = { 0 };
	struct stream *s;
	int fd;

	if (d->to.n == 16) {
		buf_put_char(&text, '[');
	}
	pool_address_render(&d->to, &text);
	if (d->to.n == 16) {
		buf_put_char(&text, ']');
	}
	fd = net_address_parse(buf_str(&text), d->to.port, &a) ? -EINVAL
							       : net_connect(&a, SOCK_STREAM);
	metrics_add(w->gossipd->daemon->metrics, METRIC_TCP_CONNECT, 1);
	s = stream_new(w, fd, d->timeout_ms);
	s->dialled = true;
	s->token = d->token;
	s->address = a;
	if (fd >= 0) {
		seal_out(w, message, &s->out);
		loop_io_set(&s->io, LOOP_WRITE);
	}
}

void stream_on_acceptable(void *arg, int events)
{
	struct wire *w = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(w->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct stream *s;

		if (fd < 0) {
			return;
		}
		metrics_add(w->gossipd->daemon->metrics, METRIC_TCP_ACCEPT, 1);
		if (w->inbound_count == STREAMS_MAX) {
			metrics_add(w->gossipd->daemon->metrics, METRIC_REFUSED, 1);
			close(fd);
			continue;
		}
		w->inbound_count++;
		s = stream_new(w, fd, w->pool.options.profile.stream_timeout_ms);
		loop_io_set(&s->io, LOOP_READ);
	}
}

void streams_fini(struct wire *w)
{
	while (!list_empty(&w->streams)) {
		stream_free(list_first(&w->streams, struct stream, link));
	}
}
