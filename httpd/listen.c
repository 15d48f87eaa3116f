/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets and who is behind a connection. Sockets come from the supervisor, or are opened
 * here when none were passed for a configured port; one, for other servers, is given to the
 * supervisor to hold; one more, httpd/api.sock in the run directory, serves the daemons of this
 * node.
 *
 * Ceilings: connections in all (by RLIMIT_NOFILE) and per client address
 * (limits.http_max_conns_per_client). At the first the connection that has been idle longest makes
 * room; beyond either a connection is closed without an answer, as Consul 1.8 does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cidr.h"
#include "common/sys/net.h"
#include "common/sys/share.h"
#include "common/sys/tls.h"
#include "httpd/engine.h"

enum {
	BACKLOG = 4096,
	ACCEPTS_PER_TURN = 64,
	CONNS_MAX = 65536,
	FDS_RESERVED = 64,   /* for everything that is neither a client nor another node */
	FORWARDS_MAX = 4096, /* of a server, at once; a client node hands on what it is asked */
	PEER_STREAMS = 64,   /* what Consul sends over one connection, we send over so many */
	IDLE_SEARCH_MAX = 64,
	KEEPALIVE_S = 15,
};

enum listener_kind { LISTEN_PLAIN, LISTEN_TLS, LISTEN_PEER /* for other nodes */ };

struct listener {
	struct list link;
	struct engine *engine;
	struct loop_io io;
	int fd;
	bool tls, peer;
};

static void on_accept(void *arg, int events);

/* Of 4 or 16 bytes; an IPv4 client of an IPv6 socket has that of IPv4. STR_NONE: a Unix socket. */
static struct str address_of(const struct sockaddr_storage *sa)
{
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;

	if (sa->ss_family == AF_INET) {
		return str_n(&((const struct sockaddr_in *)sa)->sin_addr, 4);
	}
	if (sa->ss_family == AF_INET6) {
		return IN6_IS_ADDR_V4MAPPED(v6) ? str_n(v6->s6_addr + 12, 4)
						: str_n(v6->s6_addr, 16);
	}
	return STR_NONE;
}

static struct client *client_enter(struct engine *e, const struct sockaddr_storage *sa)
{
	struct str address = address_of(sa);
	struct client *client;

	if (!address.n) {
		return NULL;
	}
	client = map_find(&e->clients, address, struct client, node);
	if (!client) {
		client = xcalloc(1, sizeof(*client));
		memcpy(client->address, address.p, address.n);
		client->address_size = (uint8_t)address.n;
		map_add(&e->clients, &client->node, str_n(client->address, address.n));
	}
	client->conns_count++;
	return client;
}

void client_leave(struct engine *e, struct client *client)
{
	if (--client->conns_count == 0) {
		map_del(&e->clients, &client->node);
		free(client);
	}
}

void client_render(const struct client *client, struct buf *out)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(client->address_size == 4 ? AF_INET : AF_INET6, client->address, text,
		sizeof(text));
	buf_put_cstr(out, text);
}

/* http_config.allow_write_http_from; Unix sockets have their permissions instead. */
bool client_may_write(const struct engine *e, const struct conn *c)
{
	const struct strs *allowed = &e->httpd->conf->http.allow_write_http_from;

	if (!allowed->count || !c->client) {
		return true;
	}
	for (uint32_t i = 0; i < allowed->count; i++) {
		struct cidr network;

		if (!cidr_parse(allowed->items[i], &network) &&
			cidr_has(&network, c->client->address, c->client->address_size)) {
			return true;
		}
	}
	return false;
}

static void close_idlest(struct engine *e)
{
	struct conn *c, *following;
	unsigned looked = 0;

	list_for_each_safe (c, following, &e->conns, link) {
		if (c->state == CONN_HEAD && !c->in.n && (!c->tls || tls_established(c->tls))) {
			conn_fail(c);
			conn_settle(c);
			return;
		}
		if (++looked == IDLE_SEARCH_MAX) {
			return;
		}
	}
}

static void tune(int fd, const struct sockaddr_storage *sa)
{
	int on = 1, seconds = KEEPALIVE_S;

	if (sa->ss_family == AF_UNIX) {
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

static void admit(struct listener *l, int fd, const struct sockaddr_storage *sa)
{
	struct engine *e = l->engine;
	const struct conf_limits *limits = &e->httpd->conf->limits;
	int64_t limit = l->peer ? limits->rpc_max_conns_per_client * PEER_STREAMS
				: limits->http_max_conns_per_client;
	struct client *client;

	if (l->tls && !e->tls) {
		close(fd);
		return;
	}
	if (e->conns_count >= e->conns_max) {
		close_idlest(e);
	}
	if (e->conns_count >= e->conns_max) {
		e->counts.refused_conns++;
		close(fd);
		return;
	}
	client = client_enter(e, sa);
	if (client && limit > 0 && client->conns_count > limit) {
		client_leave(e, client);
		e->counts.refused_client++;
		close(fd);
		return;
	}
	tune(fd, sa);
	e->counts.accepted++;
	conn_new(e, fd, client, l->tls ? tls_session_new(e->tls, fd) : NULL, l->peer);
}

static void on_accept(void *arg, int events)
{
	static struct log_limit limit;
	struct listener *l = arg;
	struct sockaddr_storage sa;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		socklen_t size = sizeof(sa);
		int fd =
			accept4(l->fd, (struct sockaddr *)&sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && log_allow(&limit)) {
				log_warning("accept-failed", "error=%d", errno);
			}
			return;
		}
		admit(l, fd, &sa);
	}
}

static void listener_add(struct engine *e, int fd, enum listener_kind kind)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->engine = e;
	l->fd = fd;
	l->tls = kind == LISTEN_TLS;
	l->peer = kind == LISTEN_PEER;
	loop_io_init(&l->io, e->loop, fd, on_accept, l);
	list_add_tail(&e->listeners, &l->link);
}

/* unix_sockets.user, .group, .mode */
static int set_owner(const char *path, const struct conf_unix_sockets *unix_sockets)
{
	char user[64], group[64], mode[8];
	const struct passwd *pw;
	const struct group *gr;
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;

	snprintf(user, sizeof(user), STR_FMT, STR_ARG(unix_sockets->user));
	snprintf(group, sizeof(group), STR_FMT, STR_ARG(unix_sockets->group));
	snprintf(mode, sizeof(mode), STR_FMT, STR_ARG(unix_sockets->mode));
	if (user[0]) {
		pw = getpwnam(user);
		uid = pw ? pw->pw_uid : (uid_t)strtoul(user, NULL, 10);
	}
	if (group[0]) {
		gr = getgrnam(group);
		gid = gr ? gr->gr_gid : (gid_t)strtoul(group, NULL, 10);
	}
	if ((user[0] || group[0]) && chown(path, uid, gid)) {
		return err_errno("chown %s", path);
	}
	if (mode[0] && chmod(path, (mode_t)strtoul(mode, NULL, 8))) {
		return err_errno("chmod %s", path);
	}
	return 0;
}

static int open_address(struct engine *e, struct str text, int port, enum listener_kind kind)
{
	struct net_address address;
	const char *path = ((struct sockaddr_un *)&address.sa)->sun_path;
	bool is_unix = str_starts(text, STR("unix://"));
	struct stat st;
	int fd;

	if (net_address_parse(text, port, &address)) {
		return err_new(-EINVAL, "address " STR_FMT, STR_ARG(text));
	}
	if (is_unix && stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		unlink(path);
	}
	fd = net_listen(&address, SOCK_STREAM, BACKLOG);
	if (fd < 0) {
		return err_pass(fd);
	}
	listener_add(e, fd, kind);
	return is_unix ? set_owner(path, &e->httpd->conf->unix_sockets) : 0;
}

/* What the supervisor passed under this name, else what the configuration says. */
static int open_service(struct engine *e, const char *name, struct str addresses, int64_t port,
	enum listener_kind kind)
{
	struct str rest = addresses.n ? addresses : e->httpd->conf->client_addr;
	int fd, rc = 0;

	for (int i = 0; (fd = daemon_socket(e->httpd->daemon, name, i)) >= 0; i++) {
		net_nonblock(fd);
		listener_add(e, fd, kind);
	}
	if (daemon_socket(e->httpd->daemon, name, 0) >= 0 || port <= 0) {
		return 0;
	}
	while (rest.p && !rc) {
		struct str address = str_split(rest, ' ', &rest);

		if (address.n) {
			rc = open_address(e, address, (int)port, kind);
		}
	}
	return rc;
}

/* For the httpd of other servers. */
static int open_peer(struct engine *e, const struct conf *conf)
{
	struct net_address address;
	int fd;

	if (net_address_parse(conf->bind_addr, (int)conf->ports.peer_http, &address)) {
		return err_new(-EINVAL, "bind_addr \"" STR_FMT "\"", STR_ARG(conf->bind_addr));
	}
	fd = daemon_listen(e->httpd->daemon, "http-peer", &address, SOCK_STREAM, BACKLOG);
	if (fd < 0) {
		return err_pass(fd);
	}
	listener_add(e, fd, LISTEN_PEER);
	return 0;
}

static void raise_limit(struct engine *e)
{
	struct rlimit limit;
	size_t usable;

	must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = min_of(limit.rlim_max, (rlim_t)CONNS_MAX);
	setrlimit(RLIMIT_NOFILE, &limit);
	must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	usable = limit.rlim_cur > 2 * FDS_RESERVED ? limit.rlim_cur - FDS_RESERVED : FDS_RESERVED;
	/* Each request that is handed on has a connection on either side. */
	e->forwards_max =
		e->httpd->conf->server ? min_of(usable / 4, (size_t)FORWARDS_MAX) : usable / 2;
	e->conns_max = usable - e->forwards_max;
}

int listen_open(struct engine *e)
{
	const struct conf *conf = e->httpd->conf;
	int rc;

	raise_limit(e);
	rc = open_service(e, "http", conf->addresses.http, conf->ports.http, LISTEN_PLAIN);
	if (!rc) {
		rc = open_service(e, "https", conf->addresses.https, conf->ports.https, LISTEN_TLS);
	}
	if (!rc && conf->server && conf->ports.peer_http > 0) {
		rc = open_peer(e, conf);
	}
	rc = rc ? rc : open_address(e, STR("unix://httpd/api.sock"), 0, LISTEN_PLAIN);
	return rc ? rc : share_file("httpd/api.sock", "httpd/api", 0660);
}

void listen_start(struct engine *e)
{
	struct listener *l;

	list_for_each (l, &e->listeners, link) {
		loop_io_set(&l->io, LOOP_READ);
	}
}

void listen_stop(struct engine *e)
{
	struct listener *l;

	list_for_each (l, &e->listeners, link) {
		loop_io_set(&l->io, 0);
	}
}

void listen_fini(struct engine *e)
{
	struct listener *l, *following;

	list_for_each_safe (l, following, &e->listeners, link) {
		loop_io_set(&l->io, 0);
		close(l->fd);
		list_del(&l->link);
		free(l);
	}
}
