/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of one connection.
 */
#include "raftd/link.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/err.h"

enum { READ_SIZE = 64 << 10, READS_PER_TURN = 8, BUFFER_KEPT = 256 << 10 };

void link_break(struct link *l, const char *why)
{
	if (!l->broken) {
		l->broken = true;
		l->why = why;
		loop_io_set(&l->io, 0);
	}
}

static const char *reason(int status)
{
	switch (status) {
	case ST_TOO_LARGE:
		return "frame too large";
	case ST_CORRUPT:
		return "checksum of a frame";
	default:
		return "broken frame";
	}
}

/* Hands on what is complete; bytes that are missing to the next frame. */
static size_t frames_take(struct link *l)
{
	struct str rest = buf_str(&l->in);
	size_t missing = 0;

	while (!l->broken) {
		size_t body_max = l->greeted ? PEER_FRAME_MAX : PEER_FRAME_STRANGER_MAX;
		struct peer_frame f;
		int r = peer_frame_next(&rest, body_max, &f, &missing);

		if (r == ST_AGAIN) {
			break;
		}
		if (r) {
			link_break(l, reason(r));
		} else {
			l->on_frame(l->arg, l, &f);
		}
	}
	if (rest.n && rest.p != l->in.p) {
		memmove(l->in.p, rest.p, rest.n);
	}
	l->in.n = rest.n;
	return missing;
}

static void input_take(struct link *l)
{
	size_t wanted = READ_SIZE;

	for (int i = 0; i < READS_PER_TURN && !l->broken; i++) {
		size_t room = max_of(wanted, (size_t)READ_SIZE);
		ssize_t n = read(l->fd, buf_reserve(&l->in, room), room);

		if (n == 0) {
			link_break(l, "closed by the other side");
		} else if (n < 0) {
			if (errno != EAGAIN && errno != EINTR) {
				link_break(l, strerror(errno));
			}
			break;
		} else {
			l->in.n += (size_t)n;
			/* The claimed size of a frame is not believed before its bytes come. */
			wanted = min_of(frames_take(l), l->in.n + READ_SIZE);
			if ((size_t)n < room) {
				break;
			}
		}
	}
	if (l->in.n == 0) {
		buf_trim(&l->in, BUFFER_KEPT);
	}
}

void link_flush(struct link *l)
{
	ssize_t n;

	if (l->broken || l->connecting || link_waiting(l) == 0) {
		return;
	}
	n = write(l->fd, l->out.p + l->out_sent, link_waiting(l));
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		link_break(l, strerror(errno));
		return;
	}
	l->out_sent += n > 0 ? (size_t)n : 0;
	if (link_waiting(l) == 0) {
		l->out_sent = 0;
		buf_trim(&l->out, BUFFER_KEPT);
	} else if (link_waiting(l) > LINK_OUT_MAX) {
		link_break(l, "too much waits to be sent");
		return;
	} else if (l->out_sent > l->out.n / 2) {
		memmove(l->out.p, l->out.p + l->out_sent, link_waiting(l));
		l->out.n = link_waiting(l);
		l->out_sent = 0;
	}
	loop_io_set(&l->io, link_waiting(l) ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void on_io(void *arg, int events)
{
	struct link *l = arg;

	if (l->connecting) {
		int r = net_connect_result(l->fd);

		if (r) {
			link_break(l, strerror(-r));
			return;
		}
		l->connecting = false;
		net_alive_limit(l->fd, LINK_ALIVE_MS);
		loop_io_set(&l->io, LOOP_READ);
	}
	if (events & LOOP_READ) {
		input_take(l);
	}
	link_flush(l);
}

struct link *link_new(struct loop *loop, int fd, bool connecting)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->fd = fd;
	l->connecting = connecting;
	list_init(&l->list);
	loop_io_init(&l->io, loop, fd, on_io, l);
	loop_io_set(&l->io, connecting ? LOOP_WRITE : LOOP_READ);
	if (!connecting) {
		net_alive_limit(fd, LINK_ALIVE_MS);
	}
	return l;
}

void link_free(struct link *l)
{
	list_del(&l->list);
	loop_io_set(&l->io, 0);
	close(l->fd);
	buf_fini(&l->in);
	buf_fini(&l->out);
	free(l);
}
