/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers on their way out. Head and body are rendered into buffers of the engine and written with
 * one call; only what the client does not take at once is kept by the connection. Streams are
 * produced as they are taken.
 */
#include <stdio.h>
#include <time.h>
#include <zlib.h>

#include "common/sys/clock.h"
#include "httpd/engine.h"

enum {
	BODY_KEPT_IDLE = 128 << 10, /* of the engine's buffers for longer than TRIM_MS */
	TRIM_MS = 1000,
	STEAL_MIN = 32 << 10,	/* a rest larger than this is handed over instead of copied */
	STREAM_PIECE_HEAD = 18, /* a size in hex and its CRLF */
	STREAM_PIECES_PER_TURN = 16,
	GZIP_LEVEL = 1,
	GZIP_WINDOW = 15 + 16, /* with gzip's header */
	GZIP_MEMORY = 8,
};

static struct str date_line(struct engine *e)
{
	int64_t now_s = clock_wall().ns / NS_PER_S;
	time_t t = now_s;
	struct tm tm;

	if (now_s != e->date_s) {
		e->date_s = now_s;
		gmtime_r(&t, &tm);
		strftime(e->date, sizeof(e->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	}
	return str_of(e->date);
}

static z_stream *deflate_get(struct engine *e)
{
	z_stream *z = e->deflate;

	if (z) {
		deflateReset(z);
		return z;
	}
	z = xcalloc(1, sizeof(*z));
	must(deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
		     Z_DEFAULT_STRATEGY) == Z_OK);
	e->deflate = z;
	return z;
}

/* The body compressed, in e->changed. */
static struct str compressed(struct engine *e, struct str body)
{
	z_stream *z = deflate_get(e);
	struct buf *out = &e->changed;

	buf_clear(out);
	z->next_in = (Bytef *)body.p;
	z->avail_in = (uInt)body.n;
	z->avail_out = (uInt)deflateBound(z, body.n);
	z->next_out = (Bytef *)buf_reserve(out, z->avail_out);
	must(deflate(z, Z_FINISH) == Z_STREAM_END);
	out->n = z->total_out;
	return buf_str(out);
}

/* ?pretty: indented, in e->body, with a newline behind. */
static void indent(struct engine *e)
{
	struct buf swapped;

	buf_clear(&e->changed);
	json_indent(&e->changed, buf_str(&e->body), STR("    "));
	buf_put_char(&e->changed, '\n');
	swapped = e->body;
	e->body = e->changed;
	e->changed = swapped;
}

static void render_head(struct exchange *x, struct str body)
{
	struct engine *e = x->httpd->engine;
	struct conn *c = x->conn;
	struct answer *a = &x->answer;

	a->http_1_0 = x->request.http_1_0;
	a->content_length = body.n;
	if (x->stream) {
		a->chunked = x->stream->size < 0 && !a->http_1_0;
		a->content_length = (uint64_t)max_of(x->stream->size, 0);
		c->close_after |= x->stream->size < 0 && a->http_1_0;
	}
	c->close_after |= !x->request.keep_alive || e->draining;
	if (c->close_after) { /* with 1.0 that goes without saying */
		a->connection = a->http_1_0 ? CONNECTION_DEFAULT : CONNECTION_CLOSE;
	} else if (a->http_1_0) {
		a->connection = CONNECTION_KEEP_ALIVE;
	}
	buf_clear(&e->head);
	answer_render(a, c->peer ? STR("") : buf_str(&e->configured), date_line(e), &e->head);
}

/* Keeps what was not taken: copies it, or takes over the engine's buffer when it is large. */
static void keep_rest(struct conn *c, struct str head, struct str body, size_t written)
{
	struct engine *e = c->engine;
	struct buf *source = body.p == e->changed.p ? &e->changed : &e->body;

	c->out_at = 0;
	if (written >= head.n && body.n - (written - head.n) > STEAL_MIN && body.p == source->p) {
		buf_fini(&c->out);
		c->out = *source;
		c->out_at = written - head.n;
		buf_init(source);
		return;
	}
	buf_put_str(&c->out, str_skip(head, written));
	buf_put_str(&c->out, str_skip(body, written > head.n ? written - head.n : 0));
}

static void out_done(struct conn *c)
{
	buf_fini(&c->out);
	c->out_at = 0;
	if (c->exchange && c->exchange->stream) {
		c->state = CONN_STREAM;
		stream_step(c);
	} else {
		conn_next(c);
	}
}

/* Writes head and body; the connection goes on by itself when all of it is out. */
static void send_parts(struct conn *c, struct str head, struct str body)
{
	struct str parts[] = { head, body };
	ssize_t n = conn_write(c, parts, body.n ? 2 : 1);

	if (n < 0) {
		conn_fail(c);
		return;
	}
	if ((size_t)n == head.n + body.n) {
		out_done(c);
		return;
	}
	keep_rest(c, head, body, (size_t)n);
	c->state = CONN_WRITE;
	conn_timer_in(c, STALL_MS);
}

/* Other nodes look at what went wrong before they pass it on. */
static bool is_to_pack(const struct exchange *x, struct str body)
{
	bool refused = x->conn->peer && x->answer.status >= 400;

	return body.n && !x->answer.bare && !x->is_passed_on && !refused &&
	       request_accepts_gzip(&x->request);
}

void output_send(struct exchange *x)
{
	struct engine *e = x->httpd->engine;
	struct conn *c = x->conn;
	struct str body;

	if (c->hold) {
		hold_free(take(c->hold));
	}
	if (x->route) {
		metrics_add(e->httpd->daemon->metrics, (size_t)(x->route - e->routes.rows),
			(double)mono_diff_ns(clock_mono(), x->started) / NS_PER_MS);
	}
	if (x->is_json &&
		((x->httpd->conf->dev_mode && !c->peer) || request_has(&x->request, "pretty"))) {
		indent(e);
	}
	body = x->stream ? STR("") : buf_str(&e->body);
	if (is_to_pack(x, body)) {
		body = compressed(e, body);
		x->answer.gzip = true;
	}
	render_head(x, body);
	if (x->request.method == METHOD_HEAD) {
		body = STR("");
	}
	if (x->stream && x->request.method != METHOD_HEAD) {
		c->exchange = x;
		send_parts(c, buf_str(&e->head), body);
	} else {
		exchange_free(x);
		send_parts(c, buf_str(&e->head), body);
	}
	if (e->body.size + e->changed.size > BODY_KEPT_IDLE && !loop_timer_active(&e->trim_timer)) {
		loop_timer_in(&e->trim_timer, TRIM_MS);
	}
}

void output_flush(struct conn *c)
{
	struct str rest = str_skip(buf_str(&c->out), c->out_at);
	ssize_t n = conn_write(c, &rest, 1);

	if (n < 0) {
		conn_fail(c);
		return;
	}
	c->out_at += (size_t)n;
	if (c->out_at == c->out.n) {
		out_done(c);
	} else if (n) {
		conn_timer_in(c, STALL_MS);
	}
}

/* As Go's server refuses what it cannot parse: without Date or length, and the connection ends. */
void output_refuse(struct conn *c, int status, struct str why)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct str status_text = answer_status_text(status);
	struct buf *head = &c->engine->head;

	buf_printf(&text, "%d " STR_FMT, status, STR_ARG(status_text));
	if (why.n) {
		buf_printf(&text, ": " STR_FMT, STR_ARG(why));
	}
	buf_clear(head);
	buf_put_lit(head, "HTTP/1.1 ");
	buf_put_str(head, buf_str(&text));
	buf_put_lit(
		head, "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n");
	if (status == 501) {
		buf_clear(&text);
		buf_put_lit(&text, "Unsupported transfer encoding");
	}
	c->close_after = true;
	send_parts(c, buf_str(head), buf_str(&text));
}

/* ---- streams ---- */

/* One piece, framed as a chunk where the length was not announced. false: not all of it was taken.
 */
static bool stream_write(struct conn *c, const struct answer *a, struct str piece)
{
	char size[STREAM_PIECE_HEAD + 2];
	struct str parts[] = { STR(""), piece, STR("") };
	size_t total = 0;
	ssize_t n;

	if (a->chunked) {
		parts[0] = str_n(size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", piece.n));
		parts[2] = STR("\r\n");
	}
	n = conn_write(c, parts, ARRAY_SIZE(parts));
	if (n < 0) {
		conn_fail(c);
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t at = (size_t)n > total ? (size_t)n - total : 0;

		buf_put_str(&c->out, str_skip(parts[i], at));
		total += parts[i].n;
	}
	if (c->out.n) {
		conn_timer_in(c, STALL_MS);
	}
	return c->out.n == 0;
}

static void stream_end(struct conn *c)
{
	struct str last = c->exchange->answer.chunked ? STR("0\r\n\r\n") : STR("");

	exchange_free(take(c->exchange));
	send_parts(c, last, STR(""));
}

void stream_step(struct conn *c)
{
	struct engine *e = c->engine;
	struct exchange *x = c->exchange;
	enum stream_state state;

	if (c->out.n > c->out_at) { /* the timer: the client takes nothing any more */
		conn_fail(c);
		return;
	}
	for (int i = 0; i < STREAM_PIECES_PER_TURN; i++) {
		buf_clear(&e->body);
		state = e->draining && x->stream->size < 0 ? STREAM_END
							   : x->stream->produce(x, &e->body);
		if (state == STREAM_FAIL) {
			conn_fail(c);
			return;
		}
		if (e->body.n && !stream_write(c, &x->answer, buf_str(&e->body))) {
			return;
		}
		if (!e->body.n && state == STREAM_END) {
			stream_end(c);
			return;
		}
		if (state == STREAM_WAIT) {
			conn_timer_in(c, max_of(x->stream->wait_ms, 1));
			return;
		}
	}
	conn_timer_in(c, 0);
}

void exchange_stream_wake(struct exchange *x)
{
	struct conn *c = x->conn;

	/* Otherwise it goes on by itself when its client has taken what is on its way. */
	if (c->state == CONN_STREAM && c->out.n == c->out_at) {
		stream_step(c);
		conn_settle(c);
	}
}

static void on_trim(void *arg)
{
	struct engine *e = arg;

	buf_trim(&e->body, BODY_KEPT_IDLE);
	buf_trim(&e->changed, BODY_KEPT_IDLE);
}

void output_init(struct engine *e)
{
	loop_timer_init(&e->trim_timer, e->loop, on_trim, e);
}

void output_fini(struct engine *e)
{
	loop_timer_stop(&e->trim_timer);
	if (e->deflate) {
		deflateEnd(e->deflate);
		free(e->deflate);
	}
	buf_fini(&e->head);
	buf_fini(&e->body);
	buf_fini(&e->changed);
	buf_fini(&e->configured);
}
