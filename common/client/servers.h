/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers that a node knows, from the pools of its gossipd: whom to ask what this node cannot
 * answer itself. LAN pool: the servers of this data centre; WAN pool (servers only): those of all
 * others. Follows gossipd by held `members` calls; what was known last stays while gossipd is away.
 *
 * Names of data centres are in lower case, as the configuration has them. Each call is the one of
 * server_table.h at this moment.
 */
#ifndef MUSTER_COMMON_CLIENT_SERVERS_H
#define MUSTER_COMMON_CLIENT_SERVERS_H

#include "common/client/server_table.h"
#include "common/sys/conf.h"
#include "common/sys/ipc.h"

struct servers;

/* gossip: gossipd/read, the caller's; it and conf must outlive this, but for a reload: conf may be
 * another one then, with the same node and data centre. -errno */
int servers_new(struct loop *loop, struct ipc_client *gossip, const struct conf *conf,
	struct servers **out);
void servers_free(struct servers *s);
DEFINE_OWN(struct servers, servers_free)

/* What *out holds is borrowed until the caller is back in the loop. false: there is none. */
bool servers_pick(struct servers *s, struct str datacenter, const struct uuid *tried,
	size_t tried_count, struct server *out);
void servers_failed(struct servers *s, const struct uuid *server);
void servers_good(struct servers *s, const struct uuid *server);

/* The server of this data centre whose httpd listens at this place for others. */
bool servers_find(
	const struct servers *s, struct str ip, uint16_t http_port, struct server *out);

/* false: nobody there was ever heard of ("No path to datacenter"). */
bool servers_knows(const struct servers *s, struct str datacenter);
size_t servers_count(const struct servers *s, struct str datacenter);
bool servers_is_alive(const struct servers *s, const struct uuid *server);
size_t servers_alive(const struct servers *s, struct str datacenter);
void servers_datacenters(const struct servers *s, struct arena *arena, struct strs *out);
/* gossipd has been heard at least once: what is not known is not there. */
bool servers_ready(const struct servers *s);

#endif
