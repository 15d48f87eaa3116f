/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connect, send, read until the response is complete. An answer whose head has come counts,
 * whatever becomes of its body, as in Consul.
 */
#include "checkd/plain.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checkd/connect.h"
#include "common/base/response.h"
#include "common/sys/dial.h"
#include "common/base/err.h"
#include "common/base/tail.h"

struct plain {
	struct loop *loop;
	plain_fn on_done;
	void *arg;
	struct connect *connect;
	int fd;
	struct loop_io io;
	struct loop_timer timeout;
	struct buf out;
	size_t sent;
	struct response response;
	struct tail body;
};

#define SCHEME "http://"

/* The parts of http://authority/target#fragment. */
static void url_split(struct str url, struct str *authority_out, struct str *target_out)
{
	struct str rest = str_skip(url, sizeof(SCHEME) - 1);
	struct str no_fragment = str_split(rest, '#', &rest);
	size_t n = 0;

	while (n < no_fragment.n && no_fragment.p[n] != '/' && no_fragment.p[n] != '?') {
		n++;
	}
	*authority_out = str_cut(no_fragment, n);
	*target_out = str_skip(no_fragment, n);
}

bool plain_can(const struct fetch_request *r)
{
	struct str authority, target;

	if (!str_starts(r->url, STR(SCHEME)) || r->http2 || r->unix_socket.n) {
		return false;
	}
	for (size_t i = 0; i < r->url.n; i++) {
		if ((unsigned char)r->url.p[i] <= ' ' || (unsigned char)r->url.p[i] >= 0x7f) {
			return false;
		}
	}
	for (size_t i = 0; i < r->method.n; i++) {
		if (r->method.p[i] < 'A' || r->method.p[i] > 'Z') {
			return false;
		}
	}
	url_split(r->url, &authority, &target);
	return authority.n && str_find(authority, '@') < 0 && r->method.n;
}

void plain_cancel(struct plain *p)
{
	loop_timer_stop(&p->timeout);
	if (p->fd >= 0) {
		loop_io_set(&p->io, 0);
		close(p->fd);
	}
	if (p->connect) {
		connect_free(p->connect);
	}
	buf_fini(&p->out);
	response_fini(&p->response);
	tail_fini(&p->body);
	free(p);
}

static void end(struct plain *p, struct str error)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct fetch_result result = { .error = error };

	if (p->response.state != RESPONSE_HEAD) {
		tail_render(&p->body, &body);
		result.status = p->response.status;
		result.status_line = buf_str(&p->response.status_line);
		result.body = buf_str(&body);
	}
	p->on_done(p->arg, &result, result.status / 100 == 3 && p->response.redirected);
	plain_cancel(p);
}

static void on_body(void *arg, struct str piece)
{
	tail_put(&((struct plain *)arg)->body, piece);
}

static void on_readable(struct plain *p)
{
	OWN_EMBEDDED(buf_fini) struct buf error = { 0 };
	char bytes[16 << 10];
	ssize_t n = recv(p->fd, bytes, sizeof(bytes), 0);
	size_t used;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n < 0) {
		dial_render_error(&error, "read", errno);
		end(p, buf_str(&error));
		return;
	}
	if (n == 0) {
		end(p, STR("EOF"));
		return;
	}
	r = response_feed(&p->response, str_n(bytes, (size_t)n), &used);
	if (r != ST_AGAIN) {
		end(p, STR("net/http: HTTP/1.x transport connection broken: malformed HTTP "
			   "response"));
	}
}

/* A connection that cannot be written to may still hold what the server said. */
static void on_writable(struct plain *p)
{
	ssize_t n = send(p->fd, p->out.p + p->sent, p->out.n - p->sent, MSG_NOSIGNAL);

	if (n > 0) {
		p->sent += (size_t)n;
	}
	if (p->sent == p->out.n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		loop_io_set(&p->io, LOOP_READ);
	}
}

static void on_io(void *arg, int events)
{
	if (events & LOOP_WRITE) {
		on_writable(arg);
	}
	if (events & LOOP_READ) {
		on_readable(arg);
	}
}

static void on_connected(void *arg, int fd, struct str error)
{
	struct plain *p = arg;

	p->connect = NULL; /* gone behind this call */
	p->fd = fd;
	if (fd < 0) {
		end(p, error);
		return;
	}
	loop_io_init(&p->io, p->loop, fd, on_io, p);
	loop_io_set(&p->io, LOOP_READ | LOOP_WRITE);
}

static void on_timeout(void *arg)
{
	end(arg, STR("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
}

static void request_render(
	struct buf *out, const struct fetch_request *r, struct str authority, struct str target)
{
	bool host = false;

	buf_printf(out, STR_FMT " %s" STR_FMT " HTTP/1.1\r\n", STR_ARG(r->method),
		str_starts(target, STR("/")) ? "" : "/", STR_ARG(target));
	for (uint32_t i = 0; i < r->headers.count; i++) {
		host = host || str_istarts(r->headers.items[i], STR("Host:"));
	}
	if (!host) {
		buf_printf(out, "Host: " STR_FMT "\r\n", STR_ARG(authority));
	}
	for (uint32_t i = 0; i < r->headers.count; i++) {
		buf_printf(out, STR_FMT "\r\n", STR_ARG(r->headers.items[i]));
	}
	if (r->body.n || fetch_method_has_body(r->method)) {
		buf_printf(out, "Content-Length: %zu\r\n", r->body.n);
	}
	buf_put_lit(out, "\r\n");
	buf_put_str(out, r->body);
}

struct plain *plain_start(
	struct loop *loop, const struct fetch_request *request, plain_fn on_done, void *arg)
{
	OWN_EMBEDDED(buf_fini) struct buf host_port = { 0 };
	struct plain *p = xcalloc(1, sizeof(*p));
	struct str authority, target;

	*p = (struct plain) { .loop = loop, .on_done = on_done, .arg = arg, .fd = -1 };
	url_split(request->url, &authority, &target);
	request_render(&p->out, request, authority, target);
	response_init(&p->response, on_body, p);
	p->response.bodyless = str_is(request->method, "HEAD");
	tail_init(&p->body, request->body_max);
	buf_put_str(&host_port, authority);
	if (str_rfind(authority, ':') <=
		str_rfind(authority, ']')) { /* none behind an IPv6 address, or none at all */
		buf_put_lit(&host_port, ":80");
	}
	loop_timer_init(&p->timeout, loop, on_timeout, p);
	loop_timer_in(&p->timeout, request->timeout_ms);
	p->connect = connect_new(loop, buf_str(&host_port), on_connected, p);
	return p;
}
