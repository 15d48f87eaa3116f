/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining. An address of this very node counts as joined. Any other is contacted, so that the
 * answer tells what is wrong; a server that does take the connection is refused for now: this node
 * forms pools of one.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/sys/net.h"
#include "gossipd/gossipd.h"

struct join {
	struct list link;
	struct gossipd *gossipd;
	struct ipc_call *call;
	int fd;
	struct loop_io io;
	struct loop_timer timer;
	struct buf host, address; /* "1.2.3.4", "1.2.3.4:8301" */
};

static void answer(struct ipc_call *call, int kind, struct str text)
{
	struct gossip_join_reply reply = { .result = { .kind = (uint8_t)kind, .text = text } };

	IPC_REPLY(call, gossip_join, &reply);
}

static void answer_failure(struct ipc_call *call, const char *format, ...) PRINTF_LIKE(2, 3);
static void answer_failure(struct ipc_call *call, const char *format, ...)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	va_list args;

	buf_put_lit(&text, "1 error occurred:\n\t* ");
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	buf_put_lit(&text, "\n\n");
	answer(call, RESULT_ERROR, buf_str(&text));
}

static void join_free(struct join *j)
{
	loop_io_set(&j->io, 0);
	loop_timer_stop(&j->timer);
	list_del(&j->link);
	j->gossipd->joins_count--;
	close(j->fd);
	buf_fini(&j->host);
	buf_fini(&j->address);
	free(j);
}

static void join_fail(struct join *j, const char *reason)
{
	answer_failure(j->call, "Failed to join %s: dial tcp %s: %s", buf_cstr(&j->host),
		buf_cstr(&j->address), reason);
	join_free(j);
}

static void on_connected(void *arg, int events)
{
	struct join *j = arg;
	char reason[128], text[96];
	socklen_t n = sizeof(int);
	int error = 0;

	if (getsockopt(j->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0) {
		error = errno;
	}
	if (error == 0) {
		answer_failure(j->call, "Failed to join %s: this node forms pools of one member",
			buf_cstr(&j->host));
		join_free(j);
		return;
	}
	/* As Go prints them: lower case. */
	snprintf(text, sizeof(text), "%s",
		strerrordesc_np(error) ? strerrordesc_np(error) : "error");
	str_lower_into(str_of(text), text);
	snprintf(reason, sizeof(reason), "connect: %s", text);
	join_fail(j, reason);
}

static void on_timeout(void *arg)
{
	join_fail(arg, "i/o timeout");
}

static void contact(struct gossipd *g, struct ipc_call *call, const struct net_address *a)
{
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };
	struct join *j;
	int fd;

	if (g->joins_count == JOINS_MAX) {
		ipc_refuse(call, ST_FULL);
		return;
	}
	fd = net_connect(a, SOCK_STREAM);
	if (fd < 0) {
		net_address_render(a, &address);
		answer_failure(call, "Failed to join %s: %s", buf_cstr(&address), err_text());
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->gossipd = g;
	j->call = call;
	j->fd = fd;
	net_address_render_ip(a, &j->host);
	net_address_render(a, &j->address);
	loop_io_init(&j->io, g->daemon->loop, fd, on_connected, j);
	loop_timer_init(&j->timer, g->daemon->loop, on_timeout, j);
	loop_io_set(&j->io, LOOP_WRITE);
	loop_timer_in(&j->timer, JOIN_TIMEOUT_MS);
	list_add_tail(&g->joins, &j->link);
	g->joins_count++;
}

static uint16_t port_of(const struct net_address *a)
{
	return ntohs(a->sa.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a->sa)->sin6_port
						 : ((const struct sockaddr_in *)&a->sa)->sin_port);
}

static bool is_self(struct gossipd *g, const struct net_address *a, enum gossip_pool_name pool)
{
	OWN_EMBEDDED(buf_fini) struct buf ip = { 0 };
	struct gossip_event event = { .type = GOSSIP_EVENT_JOIN, .pool = pool };
	struct gossip_update update;

	net_address_render_ip(a, &ip);
	event.address = buf_str(&ip);
	event.port = port_of(a);
	gossipd_step(g, &event, &update);
	return update.status == 0;
}

void handle_join(struct gossipd *g, struct ipc_call *call, const struct gossip_join *m)
{
	enum gossip_pool_name pool = m->wan ? GOSSIP_WAN : GOSSIP_LAN;
	const struct conf *c = g->daemon->conf;
	struct net_address a;

	if (m->wan && !g->gossip.pools[GOSSIP_WAN].active) {
		answer(call, RESULT_ERROR, STR("Must be a server to join WAN cluster"));
		return;
	}
	if (net_address_parse(
		    m->address, (int)(m->wan ? c->ports.serf_wan : c->ports.serf_lan), &a) ||
		a.sa.ss_family == AF_UNIX) {
		answer_failure(call,
			"Failed to resolve " STR_FMT ": lookup " STR_FMT ": no such host",
			STR_ARG(m->address), STR_ARG(m->address));
	} else if (is_self(g, &a, pool)) {
		answer(call, RESULT_OK, STR_NONE);
	} else {
		contact(g, call, &a);
	}
}

void joins_fini(struct gossipd *g)
{
	struct join *j, *next;

	list_for_each_safe (j, next, &g->joins, link) {
		join_free(j);
	}
}
