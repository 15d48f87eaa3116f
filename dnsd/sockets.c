/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where dnsd listens: the sockets it was given, else those that the configuration names.
 */
#include "dnsd/dnsd.h"

#include <errno.h>

#include "common/base/err.h"

static void opened_add(struct opened *o, int fd, bool peer)
{
	o->rows[o->count].fd = fd;
	o->rows[o->count++].peer = peer;
}

/* Both kinds come under one name: a socket unit has only one for all that it listens on. */
static bool passed(struct dnsd *d, int type, struct opened *out)
{
	int fd;

	for (int i = 0;
		out->count < SOCKETS_MAX - 1 && (fd = daemon_socket(d->daemon, "dns", i)) >= 0;
		i++) {
		socklen_t size = sizeof(int);
		int is;

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &size) == 0 && is == type) {
			opened_add(out, fd, false);
		}
	}
	return out->count != 0;
}

/* addresses.dns, else client_addr: several may stand there, separated by blanks. */
static int clients_open(const struct conf *c, int type, struct opened *out)
{
	struct str rest = c->addresses.dns.n ? c->addresses.dns : c->client_addr;

	while (c->ports.dns > 0 && rest.p && out->count < SOCKETS_MAX - 1) {
		struct str text = str_split(rest, ' ', &rest);
		struct net_address address;
		int fd;

		if (text.n == 0) {
			continue;
		}
		if (net_address_parse(text, (int)c->ports.dns, &address)) {
			log_error("address-unusable", "address=" STR_FMT, STR_ARG(text));
			return -EINVAL;
		}
		fd = net_listen(&address, type, LISTEN_BACKLOG);
		if (fd < 0) {
			log_error("listen", "address=" STR_FMT " port=%d", STR_ARG(text),
				(int)c->ports.dns);
			return fd;
		}
		opened_add(out, fd, false);
	}
	return 0;
}

static int peer_open(struct dnsd *d, int type, struct opened *out)
{
	const struct conf *c = d->daemon->conf;
	struct net_address address;
	int fd;

	if (net_address_parse(c->bind_addr, (int)c->ports.peer_dns, &address)) {
		return err_new(-EINVAL, "bind_addr \"" STR_FMT "\"", STR_ARG(c->bind_addr));
	}
	fd = daemon_listen(d->daemon, type == SOCK_DGRAM ? "dns-peer-udp" : "dns-peer-tcp",
		&address, type, LISTEN_BACKLOG);
	if (fd < 0) {
		log_error("listen", "address=" STR_FMT " port=%d", STR_ARG(c->bind_addr),
			(int)c->ports.peer_dns);
		return fd;
	}
	opened_add(out, fd, true);
	return 0;
}

int sockets_take(struct dnsd *d, int type, struct opened *out)
{
	const struct conf *c = d->daemon->conf;
	int r;

	*out = (struct opened) { .count = 0 };
	r = passed(d, type, out) ? 0 : clients_open(c, type, out);
	return !r && c->server && c->ports.peer_dns > 0 ? peer_open(d, type, out) : r;
}
