/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP checks: an empty datagram to the first address; passing unless somebody says that nobody is
 * there.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sys/dial.h"
#include "checkd/run.h"

struct udp {
	struct run *run;
	struct dial *dial;
	int fd;
	struct loop_io io;
	struct loop_timer timeout;
};

static void udp_stop(struct run *run)
{
	struct udp *u = take(run->impl);

	run->stop = NULL;
	loop_timer_stop(&u->timeout);
	if (u->fd >= 0) {
		loop_io_set(&u->io, 0);
		close(u->fd);
	}
	if (u->dial) {
		dial_free(u->dial);
	}
	free(u);
}

static void udp_end(struct udp *u, enum check_status status, const struct buf *text)
{
	struct run *run = u->run;

	run_done(run, status, buf_str(text));
	udp_stop(run);
}

static void succeeded(struct udp *u)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "UDP connect " STR_FMT ": Success", STR_ARG(u->run->def->udp));
	udp_end(u, CHECK_PASSING, &text);
}

static void failed(struct udp *u, const char *call, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "udp " STR_FMT ": ", STR_ARG(u->run->def->udp));
	dial_render_error(&text, call, error);
	udp_end(u, CHECK_CRITICAL, &text);
}

static void on_io(void *arg, int events)
{
	struct udp *u = arg;
	char byte;

	if (recv(u->fd, &byte, 1, 0) >= 0) {
		succeeded(u);
	} else if (errno != EAGAIN && errno != EINTR) {
		failed(u, "read", errno);
	}
}

static void on_addresses(
	void *arg, const struct net_address *addresses, size_t count, const char *error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct udp *u = arg;

	if (count == 0) {
		buf_printf(&text, "dial udp: %s", error);
		udp_end(u, CHECK_CRITICAL, &text);
		return;
	}
	u->fd = net_connect(&addresses[0], SOCK_DGRAM);
	dial_free(take(u->dial));
	if (u->fd < 0) {
		failed(u, "connect", -u->fd);
		return;
	}
	loop_io_init(&u->io, u->run->loop, u->fd, on_io, u);
	loop_io_set(&u->io, LOOP_READ);
	if (send(u->fd, "", 0, MSG_NOSIGNAL) < 0) {
		failed(u, "write", errno);
	}
}

static void on_timeout(void *arg)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct udp *u = arg;

	if (u->fd >= 0) {
		succeeded(u); /* silence is no refusal */
	} else {
		buf_printf(&text, "dial udp " STR_FMT ": i/o timeout", STR_ARG(u->run->def->udp));
		udp_end(u, CHECK_CRITICAL, &text);
	}
}

void udp_start(struct run *run)
{
	struct udp *u = xcalloc(1, sizeof(*u));

	u->run = run;
	u->fd = -1;
	run->impl = u;
	run->stop = udp_stop;
	loop_timer_init(&u->timeout, run->loop, on_timeout, u);
	loop_timer_in(&u->timeout, run->timeout_ms);
	u->dial = dial_new(run->loop, run->def->udp, on_addresses, u);
}
