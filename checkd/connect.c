/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses are tried one after the other; the error that is reported is that of the last.
 */
#include "checkd/connect.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sys/dial.h"

struct connect {
	struct loop *loop;
	connect_fn on_connected;
	void *arg;
	struct dial *dial;
	char *target;
	struct net_address addresses[DIAL_ADDRESSES_MAX];
	size_t count, next; /* next - 1 is being tried */
	int fd;
	struct loop_io io;
};

static void attempt_end(struct connect *c)
{
	if (c->fd >= 0) {
		loop_io_set(&c->io, 0);
		close(c->fd);
		c->fd = -1;
	}
}

void connect_free(struct connect *c)
{
	attempt_end(c);
	if (c->dial) {
		dial_free(c->dial);
	}
	free(c->target);
	free(c);
}

static void where_put(const struct connect *c, struct buf *out)
{
	buf_put_lit(out, "dial tcp ");
	if (c->next) {
		net_address_render(&c->addresses[c->next - 1], out);
	} else {
		buf_put_cstr(out, c->target);
	}
	buf_put_lit(out, ": ");
}

void connect_late_text(const struct connect *c, struct buf *out)
{
	where_put(c, out);
	buf_put_lit(out, "i/o timeout");
}

static void failed(struct connect *c, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	where_put(c, &text);
	dial_render_error(&text, "connect", error);
	c->on_connected(c->arg, -1, buf_str(&text));
	connect_free(c);
}

static void attempt_next(struct connect *c, int error);

static void on_io(void *arg, int events)
{
	struct connect *c = arg;
	socklen_t size = sizeof(int);
	int error = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		attempt_next(c, error);
		return;
	}
	loop_io_set(&c->io, 0);
	c->on_connected(c->arg, take_fd(&c->fd), STR(""));
	connect_free(c);
}

static void attempt_next(struct connect *c, int error)
{
	attempt_end(c);
	while (c->next < c->count) {
		c->fd = net_connect(&c->addresses[c->next++], SOCK_STREAM);
		if (c->fd >= 0) {
			loop_io_init(&c->io, c->loop, c->fd, on_io, c);
			loop_io_set(&c->io, LOOP_WRITE);
			return;
		}
		error = -c->fd;
	}
	failed(c, error);
}

static void on_addresses(
	void *arg, const struct net_address *addresses, size_t count, const char *error)
{
	struct connect *c = arg;
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (count == 0) {
		buf_printf(&text, "dial tcp: %s", error);
		c->on_connected(c->arg, -1, buf_str(&text));
		connect_free(c);
		return;
	}
	memcpy(c->addresses, addresses, count * sizeof(*addresses));
	c->count = count;
	dial_free(take(c->dial));
	attempt_next(c, 0);
}

struct connect *connect_new(
	struct loop *loop, struct str host_port, connect_fn on_connected, void *arg)
{
	struct connect *c = xcalloc(1, sizeof(*c));

	*c = (struct connect) { .loop = loop, .on_connected = on_connected, .arg = arg, .fd = -1 };
	c->target = str_dup(host_port);
	c->dial = dial_new(loop, host_port, on_addresses, c);
	return c;
}
