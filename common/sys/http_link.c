/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of writing are left for reading to find: the other side may have answered before it
 * closed.
 */
#include "common/sys/http_link.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"

enum { READ_SIZE = 64 << 10, PIECE_SIZE = 256 << 10 };

static bool is_unsent(const struct http_link *l)
{
	return l->out.n || l->file_left;
}

static void rearm(struct http_link *l)
{
	loop_io_set(&l->io, (l->paused ? 0 : LOOP_READ) | (is_unsent(l) ? LOOP_WRITE : 0));
}

static void give_up_writing(struct http_link *l)
{
	l->out = STR("");
	l->file_left = 0;
	l->broken = true;
}

/* The next bytes of the file, when all before has left. false: there are none. */
static bool piece_read(struct http_link *l)
{
	size_t wanted = (size_t)min_of(l->file_left, (uint64_t)PIECE_SIZE);
	ssize_t n;

	buf_clear(&l->piece);
	n = pread(l->file, buf_reserve(&l->piece, wanted), wanted, (off_t)l->file_at);
	if (n <= 0) {
		shutdown(l->fd, SHUT_RDWR);
		give_up_writing(l);
		return false;
	}
	l->file_at += (uint64_t)n;
	l->file_left -= (uint64_t)n;
	l->out = str_n(l->piece.p, (size_t)n);
	return true;
}

static void link_write(struct http_link *l)
{
	while (l->out.n || (l->file_left && piece_read(l))) {
		ssize_t n = send(l->fd, l->out.p, l->out.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == EAGAIN) {
			break;
		}
		if (n < 0) {
			l->write_error = errno;
			give_up_writing(l);
			break;
		}
		l->sent = true;
		l->out = str_skip(l->out, (size_t)n);
	}
	rearm(l);
}

static void answered(struct http_link *l)
{
	l->asking = false;
	if (is_unsent(l)) { /* it did not want to hear the rest */
		give_up_writing(l);
		rearm(l);
	}
	l->events->on_answered(l->arg);
}

static void ended(struct http_link *l, int error)
{
	if (!error && l->asking && l->spoken && response_end(&l->response) == 0) {
		l->response.close = true;
		answered(l);
	} else {
		l->events->on_lost(l->arg, error ? error : l->write_error);
	}
}

static void link_read(struct http_link *l)
{
	char bytes[READ_SIZE];
	ssize_t n = recv(l->fd, bytes, sizeof(bytes), 0);
	size_t used = 0;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0) {
		ended(l, n < 0 ? errno : 0);
		return;
	}
	if (!l->asking) { /* it spoke without being asked */
		l->events->on_lost(l->arg, EPROTO);
		return;
	}
	l->spoken = true;
	r = response_feed(&l->response, str_n(bytes, (size_t)n), &used);
	if ((r && r != ST_AGAIN) || (!r && used != (size_t)n)) {
		l->events->on_lost(l->arg, EPROTO);
	} else if (!r) {
		answered(l);
	} else if (l->events->on_progress) {
		l->events->on_progress(l->arg);
	}
}

static void on_io(void *arg, int events)
{
	struct http_link *l = arg;

	if (events & LOOP_WRITE && is_unsent(l)) {
		link_write(l);
	}
	if (events & LOOP_READ && !l->paused) {
		link_read(l);
	}
}

int http_link_open(struct http_link *l, struct loop *loop, const struct net_address *address,
	const struct http_link_events *events, void *arg)
{
	int fd = net_connect(address, SOCK_STREAM);

	if (fd < 0) {
		return err_pass(fd);
	}
	*l = (struct http_link) { .fd = fd, .events = events, .arg = arg, .file = -1 };
	response_init(&l->response, events->on_body, arg);
	l->response.on_field = events->on_field;
	loop_io_init(&l->io, loop, fd, on_io, l);
	rearm(l);
	return 0;
}

void http_link_close(struct http_link *l)
{
	loop_io_set(&l->io, 0);
	close(l->fd);
	response_fini(&l->response);
	buf_fini(&l->piece);
}

static void ask(struct http_link *l, struct str request, bool bodyless)
{
	must(!l->asking);
	response_reset(&l->response);
	l->response.bodyless = bodyless;
	l->asking = true;
	l->spoken = l->sent = l->paused = false;
	l->out = request;
	link_write(l);
}

void http_link_ask(struct http_link *l, struct str request, bool bodyless)
{
	l->file_left = 0;
	ask(l, request, bodyless);
}

void http_link_ask_file(struct http_link *l, struct str head, int file, uint64_t size)
{
	l->file = file;
	l->file_at = 0;
	l->file_left = size;
	ask(l, head, false);
}

void http_link_pause(struct http_link *l, bool pause)
{
	if (l->paused != pause) {
		l->paused = pause;
		rearm(l);
	}
}

bool http_link_reached(const struct http_link *l)
{
	return l->sent;
}

bool http_link_kept(const struct http_link *l)
{
	return !l->response.close && !l->broken;
}
