/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: parsing addresses, listening, and the sockets that a supervisor passes.
 */
#ifndef MUSTER_COMMON_SYS_NET_H
#define MUSTER_COMMON_SYS_NET_H

#include <sys/socket.h>

#include "common/base/str.h"

struct net_address {
	struct sockaddr_storage sa;
	socklen_t size;
};

/* "1.2.3.4:80", "[::1]:80", "unix:///path" (host without port when port >= 0 is given as default,
 * -1: required). ST_INVALID */
int net_address_parse(struct str text, int default_port, struct net_address *out);
void net_address_render(const struct net_address *a, struct buf *out);	  /* with port */
void net_address_render_ip(const struct net_address *a, struct buf *out); /* without */
bool net_ip_valid(struct str text, int *family_out);			  /* literal IPv4 or IPv6 */

/* Non-blocking, close-on-exec, SO_REUSEADDR. type: SOCK_STREAM (listening) or SOCK_DGRAM. Returns
 * fd or -errno. */
int net_listen(const struct net_address *a, int type, int backlog);
/* Non-blocking connect under way. fd or -errno. */
int net_connect(const struct net_address *a, int type);
int net_connect_result(int fd); /* when it is writable: 0 connected; -errno */
/* Of a TCP connection: the other side is given up when it has acknowledged nothing for so long, be
 * there something to send or not. */
void net_alive_limit(int fd, int64_t limit_ms);
/* The other side of a TCP connection owes us an acknowledgement, and has sent none for so long. */
bool net_is_silent(int fd, int64_t for_ms);
int net_nonblock(int fd);

#endif
