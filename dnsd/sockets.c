/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where dnsd listens: the sockets it was given, else those that the configuration names.
 */
#include "dnsd/dnsd.h"

#include <errno.h>

struct wanted {
	const char *name; /* of what the supervisor passes */
	struct str addresses;
	int64_t port;
	bool peer;
};

/* Both kinds come under one name: a socket unit has only one for all that it listens on. */
static bool passed(struct dnsd *d, const struct wanted *w, int type, struct opened *out)
{
	size_t before = out->count;
	int fd;

	for (int i = 0;
		out->count < SOCKETS_MAX && (fd = daemon_socket(d->daemon, w->name, i)) >= 0; i++) {
		socklen_t size = sizeof(int);
		int is;

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &size) == 0 && is == type) {
			out->rows[out->count].fd = fd;
			out->rows[out->count++].peer = w->peer;
		}
	}
	return out->count != before;
}

static int one_open(const struct wanted *w, struct str text, int type)
{
	struct net_address address;
	int fd;

	if (net_address_parse(text, (int)w->port, &address)) {
		log_error("address-unusable", "address=" STR_FMT, STR_ARG(text));
		return -EINVAL;
	}
	fd = net_listen(&address, type, LISTEN_BACKLOG);
	if (fd < 0) {
		log_error("listen", "address=" STR_FMT " port=%d", STR_ARG(text), (int)w->port);
	}
	return fd;
}

/* Several addresses may stand there, separated by blanks. */
static int wanted_open(const struct wanted *w, int type, struct opened *out)
{
	struct str rest = w->addresses;

	while (w->port > 0 && rest.p && out->count < SOCKETS_MAX) {
		struct str text = str_split(rest, ' ', &rest);
		int fd = text.n ? one_open(w, text, type) : 0;

		if (fd < 0) {
			return fd;
		}
		if (text.n) {
			out->rows[out->count].fd = fd;
			out->rows[out->count++].peer = w->peer;
		}
	}
	return 0;
}

int sockets_take(struct dnsd *d, int type, struct opened *out)
{
	const struct conf *c = d->daemon->conf;
	const struct wanted wanted[] = {
		{ "dns", c->addresses.dns.n ? c->addresses.dns : c->client_addr, c->ports.dns,
			false },
		{ "dns-peer", c->bind_addr, c->server ? c->ports.peer_dns : 0, true },
	};

	*out = (struct opened) { .count = 0 };
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		int r = passed(d, &wanted[i], type, out) ? 0 : wanted_open(&wanted[i], type, out);

		if (r) {
			return r;
		}
	}
	return 0;
}
