/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets that a daemon listens on outlive it: who supervises it holds them. muster agent opens
 * all of them itself. systemd has the ports of clients in socket units; those whose address stands
 * in the configuration we open, and hand to its store of descriptors (systemd.service(5),
 * FileDescriptorStoreMax=), which passes them to our next life.
 */
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/daemon_private.h"

enum { SOCKET_FIRST = 3, BARRIER_USEC = 1000000 };

void daemon_sockets_take(struct daemon *d)
{
	struct daemon_private *p = d->private;

	p->sockets_count = sd_listen_fds_with_names(1, &p->socket_names);
	p->sockets_count = max_of(p->sockets_count, 0);
	p->sockets_taken = xcalloc((size_t)p->sockets_count + 1, sizeof(bool));
}

void daemon_sockets_free(struct daemon *d)
{
	struct daemon_private *p = d->private;

	for (int i = 0; i < p->sockets_count; i++) {
		free(p->socket_names[i]);
	}
	free(p->socket_names);
	free(p->sockets_taken);
}

int daemon_socket(struct daemon *d, const char *name, int number)
{
	struct daemon_private *p = d->private;

	for (int i = 0; i < p->sockets_count; i++) {
		if (strcmp(p->socket_names[i], name) == 0 && number-- == 0) {
			p->sockets_taken[i] = true;
			return SOCKET_FIRST + i;
		}
	}
	return -1;
}

static bool is_bound_to(int fd, const struct net_address *a)
{
	struct net_address bound = { .size = sizeof(bound.sa) };
	OWN_EMBEDDED(buf_fini) struct buf there = { 0 }, wanted = { 0 };

	if (getsockname(fd, (struct sockaddr *)&bound.sa, &bound.size)) {
		return false;
	}
	net_address_render(&bound, &there);
	net_address_render(a, &wanted);
	return str_eq(buf_str(&there), buf_str(&wanted));
}

/* It is closed when this returns: another one may want a part of its address. */
static void forget(const char *name, int fd)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	close(fd);
	if (sd_notify(0, buf_cstr(&text)) > 0) {
		(void)sd_notify_barrier(0, BARRIER_USEC); /* else the bind tells */
	}
}

/* A passed socket, for once: its number may soon be that of another. -1: none */
static int take_passed(struct daemon *d, const char *name)
{
	int fd = daemon_socket(d, name, 0);

	if (fd >= 0) {
		d->private->socket_names[fd - SOCKET_FIRST][0] = 0;
	}
	return fd;
}

void daemon_sockets_settle(struct daemon *d)
{
	struct daemon_private *p = d->private;

	for (int i = 0; i < p->sockets_count; i++) {
		if (!p->sockets_taken[i]) {
			log_notice("socket-unused", "name=%s", p->socket_names[i]);
			forget(p->socket_names[i], SOCKET_FIRST + i);
		}
	}
}

/* Without its eye on it: an error on a socket (of a datagram that did not arrive) is no reason to
 * let go of it. */
static void keep(const char *name, int fd)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_printf(&text, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	if (sd_pid_notify_with_fds(0, 0, buf_cstr(&text), &fd, 1) < 0) {
		log_warning("socket-not-kept", "name=%s", name);
	}
}

int daemon_listen(
	struct daemon *d, const char *name, const struct net_address *a, int type, int backlog)
{
	int fd = take_passed(d, name);

	/* What the agent has opened is what the configuration said when it was started, for all of
	 * its daemons. */
	if (fd >= 0 && !daemon_has_agent() && !is_bound_to(fd, a)) {
		forget(name, fd);
		fd = -1;
	}
	if (fd >= 0) {
		int r = net_nonblock(fd);

		return r ? err_pass(r) : fd;
	}
	fd = net_listen(a, type, backlog);
	if (fd >= 0) {
		keep(name, fd);
	}
	return fd < 0 ? err_pass(fd) : fd;
}
