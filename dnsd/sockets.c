/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where dnsd listens: the sockets it was given, else those that the configuration names.
 */
#include "dnsd/dnsd.h"

#include <errno.h>

/* Both kinds come under one name: a socket unit has only one for all that it listens on. */
static int passed(struct dnsd *d, int type, int fds[SOCKETS_MAX])
{
	int count = 0, fd;

	for (int i = 0; count < SOCKETS_MAX && (fd = daemon_socket(d->daemon, "dns", i)) >= 0;
		i++) {
		socklen_t size = sizeof(int);
		int is;

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &size) == 0 && is == type) {
			fds[count++] = fd;
		}
	}
	return count;
}

/* addresses.dns, else client_addr: several may stand there, separated by blanks. */
int sockets_take(struct dnsd *d, int type, int fds[SOCKETS_MAX])
{
	const struct conf *c = d->daemon->conf;
	struct str rest = c->addresses.dns.n ? c->addresses.dns : c->client_addr;
	int count = passed(d, type, fds);

	if (count || c->ports.dns <= 0) {
		return count;
	}
	while (rest.p && count < SOCKETS_MAX) {
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
		fds[count++] = fd;
	}
	return count;
}
