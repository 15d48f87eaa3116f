/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets of a node: HTTP, HTTPS and DNS, on each address of the configuration, those
 * of gossip, and on servers those for other nodes.
 */
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/net.h"
#include "ctl/agent.h"

enum { BACKLOG = 4096, BIND_TRIES = 20, BIND_AGAIN_MS = 50 };

/* Owner, group and mode of a Unix socket as unix_sockets says (numbers or names). */
static int permissions_set(const struct conf_unix_sockets *u, const char *path, struct buf *why)
{
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	uint64_t number;

	if (u->user.n) {
		const struct passwd *pw = getpwnam(u->user.p);

		if (!pw && str_to_u64(u->user, &number)) {
			buf_printf(
				why, "unix_sockets.user: unknown user " STR_FMT, STR_ARG(u->user));
			return ST_INVALID;
		}
		uid = pw ? pw->pw_uid : (uid_t)number;
	}
	if (u->group.n) {
		const struct group *gr = getgrnam(u->group.p);

		if (!gr && str_to_u64(u->group, &number)) {
			buf_printf(why, "unix_sockets.group: unknown group " STR_FMT,
				STR_ARG(u->group));
			return ST_INVALID;
		}
		gid = gr ? gr->gr_gid : (gid_t)number;
	}
	if (chown(path, uid, gid)) {
		buf_printf(why, "chown %s: %s", path, strerror(errno));
		return ST_INVALID;
	}
	if (u->mode.n && chmod(path, (mode_t)strtoul(u->mode.p, NULL, 8))) {
		buf_printf(why, "chmod %s: %s", path, strerror(errno));
		return ST_INVALID;
	}
	return 0;
}

/* Go's words for what a bind may answer. */
static const char *reason_of(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "address already in use";
	case EADDRNOTAVAIL:
		return "cannot assign requested address";
	case EACCES:
		return "permission denied";
	default:
		return strerror(error);
	}
}

/* The daemons of an agent that was killed a moment ago may still be on their way out. */
static int listen_patiently(const struct net_address *a, int type)
{
	int fd = net_listen(a, type, BACKLOG);

	for (int tries = 0; fd == -EADDRINUSE && tries < BIND_TRIES; tries++) {
		poll(NULL, 0, BIND_AGAIN_MS);
		fd = net_listen(a, type, BACKLOG);
	}
	return fd;
}

struct wanted {
	const char *name;
	int type;
	struct str addresses;
	int64_t port;
};

static int one_open(const struct conf *c, struct agent_sockets *s, const struct wanted *w,
	struct str address, struct buf *why)
{
	bool udp = w->type == SOCK_DGRAM, local = str_starts(address, STR("unix://"));
	OWN_EMBEDDED(buf_fini) struct buf shown = { 0 };
	struct net_address a;
	int fd;

	if (s->count == AGENT_SOCKETS_MAX) {
		buf_printf(why, "more than %d addresses to listen on", AGENT_SOCKETS_MAX);
		return ST_INVALID;
	}
	if (net_address_parse(address, (int)w->port, &a)) {
		buf_printf(why, "cannot listen on \"" STR_FMT "\"", STR_ARG(address));
		return ST_INVALID;
	}
	net_address_render(&a, &shown);
	fd = listen_patiently(&a, w->type);
	if (fd < 0) {
		buf_printf(why, "listen %s %s: bind: %s",
			udp	? "udp"
			: local ? "unix"
				: "tcp",
			buf_cstr(&shown), reason_of(-fd));
		return ST_INVALID;
	}
	snprintf(s->rows[s->count].name, sizeof(s->rows[0].name), "%s", w->name);
	s->rows[s->count++].fd = fd;
	return local ? permissions_set(&c->unix_sockets, buf_cstr(&shown) + strlen("unix://"), why)
		     : 0;
}

int agent_sockets_open(const struct conf *c, struct agent_sockets *out, struct buf *why)
{
	int64_t wan_port = c->server ? c->ports.serf_wan : 0;
	const struct wanted wanted[] = {
		{ "dns", SOCK_STREAM, c->addresses.dns, c->ports.dns },
		{ "dns", SOCK_DGRAM, c->addresses.dns, c->ports.dns },
		{ "http", SOCK_STREAM, c->addresses.http, c->ports.http },
		{ "https", SOCK_STREAM, c->addresses.https, c->ports.https },
		{ "raft", SOCK_STREAM, c->bind_addr, c->server ? c->ports.server : 0 },
		{ "dns-peer-tcp", SOCK_STREAM, c->bind_addr, c->server ? c->ports.peer_dns : 0 },
		{ "dns-peer-udp", SOCK_DGRAM, c->bind_addr, c->server ? c->ports.peer_dns : 0 },
		{ "http-peer", SOCK_STREAM, c->bind_addr, c->server ? c->ports.peer_http : 0 },
		{ "gossip-lan-tcp", SOCK_STREAM, c->serf_lan_bind, c->ports.serf_lan },
		{ "gossip-lan-udp", SOCK_DGRAM, c->serf_lan_bind, c->ports.serf_lan },
		{ "gossip-wan-tcp", SOCK_STREAM, c->serf_wan_bind, wan_port },
		{ "gossip-wan-udp", SOCK_DGRAM, c->serf_wan_bind, wan_port },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		struct str rest = wanted[i].addresses;

		while (wanted[i].port > 0 && rest.p) {
			struct str one = str_split(rest, ' ', &rest);
			int r = one.n ? one_open(c, out, &wanted[i], one, why) : 0;

			if (r) {
				agent_sockets_close(out);
				return r;
			}
		}
	}
	return 0;
}

void agent_sockets_close(struct agent_sockets *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t size = sizeof(sa);

		/* a Unix socket's file goes with it */
		if (getsockname(s->rows[i].fd, (struct sockaddr *)&sa, &size) == 0 &&
			sa.ss_family == AF_UNIX) {
			struct net_address a = { sa, size };
			OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

			net_address_render(&a, &path);
			unlink(buf_cstr(&path) + strlen("unix://"));
		}
		close(s->rows[i].fd);
	}
	s->count = 0;
}
