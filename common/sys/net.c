/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses and sockets.
 */
#include "common/sys/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/err.h"

static int unix_parse(struct str path, struct net_address *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;

	if (path.n == 0 || path.n >= sizeof(un->sun_path)) {
		return ST_INVALID;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.p, path.n);
	out->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
	return 0;
}

static int ip_parse(struct str host, int port, struct net_address *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->sa;
	char text[INET6_ADDRSTRLEN];

	if (host.n == 0 || host.n >= sizeof(text)) {
		return ST_INVALID;
	}
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		out->size = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		out->size = sizeof(*v6);
		return 0;
	}
	return ST_INVALID;
}

/* Takes the port off the end of *text: "1.2.3.4:80", "[::1]:80"; a bare IPv6 address has none. */
static int port_take(struct str *text, int default_port, int *port_out)
{
	ssize_t colon = str_rfind(*text, ':');
	bool bracketed = text->n && text->p[0] == '[';
	bool has_port = colon >= 0 &&
			(bracketed ? text->p[colon - 1] == ']' : str_find(*text, ':') == colon);
	uint64_t port = 0;

	if (has_port) {
		if (str_to_u64(str_skip(*text, (size_t)colon + 1), &port) || port > 65535) {
			return ST_INVALID;
		}
		*text = str_cut(*text, (size_t)colon);
	} else if (default_port < 0) {
		return ST_INVALID;
	}
	if (bracketed) {
		if (text->n < 2 || text->p[text->n - 1] != ']') {
			return ST_INVALID;
		}
		*text = str_cut(str_skip(*text, 1), text->n - 2);
	}
	*port_out = has_port ? (int)port : default_port;
	return 0;
}

int net_address_parse(struct str text, int default_port, struct net_address *out)
{
	int port, r;

	*out = (struct net_address) { 0 };
	if (str_starts(text, STR("unix://"))) {
		return unix_parse(str_skip(text, sizeof("unix://") - 1), out);
	}
	r = port_take(&text, default_port, &port);
	return r ? r : ip_parse(text, port, out);
}

void net_address_render_ip(const struct net_address *a, struct buf *out)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->sa.ss_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)&a->sa)->sin_addr, text,
			sizeof(text));
	} else if (a->sa.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&a->sa)->sin6_addr, text,
			sizeof(text));
	} else {
		buf_printf(out, "unix://%s", ((const struct sockaddr_un *)&a->sa)->sun_path);
	}
	buf_put_cstr(out, text);
}

void net_address_render(const struct net_address *a, struct buf *out)
{
	bool v6 = a->sa.ss_family == AF_INET6;

	if (v6) {
		buf_put_char(out, '[');
	}
	net_address_render_ip(a, out);
	if (v6) {
		buf_put_char(out, ']');
	}
	if (v6) {
		buf_printf(out, ":%u", ntohs(((const struct sockaddr_in6 *)&a->sa)->sin6_port));
	} else if (a->sa.ss_family == AF_INET) {
		buf_printf(out, ":%u", ntohs(((const struct sockaddr_in *)&a->sa)->sin_port));
	}
}

bool net_ip_valid(struct str text, int *family_out)
{
	struct net_address a = { 0 };

	if (ip_parse(text, 0, &a)) {
		return false;
	}
	if (family_out) {
		*family_out = a.sa.ss_family;
	}
	return true;
}

int net_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? err_errno("fcntl") : 0;
}

static int socket_open(const struct net_address *a, int type)
{
	int fd = socket(a->sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0) {
		return err_errno("socket");
	}
	if (a->sa.ss_family != AF_UNIX && type == SOCK_STREAM) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	return fd;
}

int net_listen(const struct net_address *a, int type, int backlog)
{
	OWN_FD int fd = socket_open(a, type);
	int one = 1;

	if (fd < 0) {
		return err_pass(take_fd(&fd));
	}
	if (a->sa.ss_family == AF_UNIX) {
		unlink(((const struct sockaddr_un *)&a->sa)->sun_path);
	} else if (type == SOCK_STREAM) { /* never for datagrams: it would let two of us share the
					     port unnoticed */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	}
	if (bind(fd, (const struct sockaddr *)&a->sa, a->size)) {
		return err_errno("bind");
	}
	if (type == SOCK_STREAM && listen(fd, backlog)) {
		return err_errno("listen");
	}
	return take_fd(&fd);
}

int net_connect(const struct net_address *a, int type)
{
	OWN_FD int fd = socket_open(a, type);

	if (fd < 0) {
		return err_pass(take_fd(&fd));
	}
	if (connect(fd, (const struct sockaddr *)&a->sa, a->size) && errno != EINPROGRESS) {
		return err_errno("connect");
	}
	return take_fd(&fd);
}

int net_connect_result(int fd)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size)) {
		return err_errno("getsockopt");
	}
	return error ? err_new(-error, "connect") : 0;
}

bool net_is_silent(int fd, int64_t for_ms)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked &&
	       info.tcpi_last_ack_recv >= for_ms;
}

void net_alive_limit(int fd, int64_t limit_ms)
{
	int limit = (int)limit_ms, one = 1, probes = 3;
	int interval_s = max_of(1, limit / 1000 / (probes + 1));

	/* A kernel that refuses one of these leaves us with its own, longer limits. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit));
}
