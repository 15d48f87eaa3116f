/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP checks: passing when a connection comes about, to any of the addresses of a name.
 * UDP checks: an empty datagram; passing unless somebody says that nobody is there.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checkd/dial.h"
#include "checkd/run.h"

struct probe {
	struct run *run;
	bool udp;
	struct str target; /* the definition's */
	struct dial *dial;
	struct net_address addresses[DIAL_ADDRESSES_MAX];
	size_t count, next;
	int fd;
	struct loop_io io;
	struct loop_timer timeout;
};

static void probe_close(struct probe *p)
{
	if (p->fd >= 0) {
		loop_io_set(&p->io, 0);
		close(p->fd);
		p->fd = -1;
	}
}

static void probe_free(struct probe *p)
{
	probe_close(p);
	loop_timer_stop(&p->timeout);
	if (p->dial) {
		dial_free(p->dial);
	}
	free(p);
}

static void probe_stop(struct run *run)
{
	run->stop = NULL;
	probe_free(take(run->impl));
}

static void probe_end(struct probe *p, enum check_status status, struct str text)
{
	struct run *run = p->run;

	run_done(run, status, text);
	probe_stop(run);
}

static void probe_succeeded(struct probe *p)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "%s connect " STR_FMT ": Success", p->udp ? "UDP" : "TCP",
		STR_ARG(p->target));
	probe_end(p, CHECK_PASSING, buf_str(&text));
}

/* error 0: the time is up. */
static void probe_failed(struct probe *p, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "dial %s ", p->udp ? "udp" : "tcp");
	if (p->next) {
		net_address_render(&p->addresses[p->next - 1], &text);
	} else {
		buf_put_str(&text, p->target);
	}
	buf_put_lit(&text, ": ");
	if (error) {
		dial_render_error(&text, p->udp ? "read" : "connect", error);
	} else {
		buf_put_lit(&text, "i/o timeout");
	}
	probe_end(p, CHECK_CRITICAL, buf_str(&text));
}

static void probe_next(struct probe *p, int error);

static void on_io(void *arg, int events)
{
	struct probe *p = arg;
	socklen_t size = sizeof(int);
	int error = 0;
	char byte;

	if (p->udp) {
		if (recv(p->fd, &byte, 1, 0) < 0) {
			error = errno;
		}
		if (error == EAGAIN || error == EINTR) {
			return;
		}
	} else {
		getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
	if (error) {
		probe_next(p, error);
	} else {
		probe_succeeded(p);
	}
}

static void on_timeout(void *arg)
{
	struct probe *p = arg;

	if (p->udp && p->fd >= 0) {
		probe_succeeded(p); /* silence is no refusal */
	} else {
		probe_failed(p, 0);
	}
}

static void probe_next(struct probe *p, int error)
{
	while (p->next < p->count) {
		const struct net_address *a = &p->addresses[p->next++];

		probe_close(p);
		p->fd = net_connect(a, p->udp ? SOCK_DGRAM : SOCK_STREAM);
		if (p->fd < 0) {
			error = -p->fd;
			continue;
		}
		if (p->udp && send(p->fd, "", 0, MSG_NOSIGNAL) < 0) {
			error = errno;
			continue;
		}
		loop_io_init(&p->io, p->run->loop, p->fd, on_io, p);
		loop_io_set(&p->io, p->udp ? LOOP_READ : LOOP_WRITE);
		return;
	}
	probe_failed(p, error);
}

static void on_addresses(
	void *arg, const struct net_address *addresses, size_t count, const char *error)
{
	struct probe *p = arg;
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (count == 0) {
		buf_printf(&text, "dial %s: %s", p->udp ? "udp" : "tcp", error);
		probe_end(p, CHECK_CRITICAL, buf_str(&text));
		return;
	}
	memcpy(p->addresses, addresses, count * sizeof(*addresses));
	p->count = count;
	dial_free(take(p->dial));
	probe_next(p, 0);
}

static void probe_start(struct run *run, bool udp, struct str target)
{
	struct probe *p = xcalloc(1, sizeof(*p));

	*p = (struct probe) { .run = run, .udp = udp, .target = target, .fd = -1 };
	run->impl = p;
	run->stop = probe_stop;
	loop_timer_init(&p->timeout, run->loop, on_timeout, p);
	loop_timer_in(&p->timeout, run->timeout_ms);
	p->dial = dial_new(run->loop, target, on_addresses, p);
}

void tcp_start(struct run *run)
{
	probe_start(run, false, run->def->tcp);
}

void udp_start(struct run *run)
{
	probe_start(run, true, run->def->udp);
}
