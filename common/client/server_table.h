/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers of all data centres that this node knows, and which of them to ask. Pure: members of
 * gossip's pools in, one server out; time and chance are given.
 *
 * A server that failed somebody is left alone for SERVER_BENCH_FIRST_MS, then for twice as long
 * each time up to SERVER_BENCH_MAX_MS, until it did well or gossip has seen it come back. That is a
 * preference and not a ban: where nobody else is left, the one is offered whose time is over first,
 * so that the only server of a data centre is not missed when it is back before gossip says so.
 */
#ifndef MUSTER_COMMON_CLIENT_SERVER_TABLE_H
#define MUSTER_COMMON_CLIENT_SERVER_TABLE_H

#include "common/base/bind.h"
#include "common/base/list.h"
#include "common/base/rng.h"
#include "common/base/time.h"
#include "common/msg/types.h"

enum {
	SERVER_BENCH_FIRST_MS = 2000,
	SERVER_BENCH_MAX_MS = 30000,
	SERVERS_MAX = 4096, /* more are not taken notice of */
	SERVER_HTTP_PORT = 8310,
	SERVER_DNS_PORT = 8311,
};

/* Text is borrowed until the next server_table_update. */
struct server {
	struct uuid uuid;
	struct str name, datacenter;  /* name without ".dc" */
	struct str ip;		      /* as text, no port */
	uint16_t http_port, dns_port; /* where it listens for other nodes; 0: it does not */
};

struct server_table {
	struct list servers; /* of struct server_entry */
	size_t count;
	struct rng rng;
	struct uuid self; /* never offered */
	struct str datacenter;
};

/* datacenter: this node's own; must outlive the table. */
void server_table_init(
	struct server_table *t, const struct uuid *self, struct str datacenter, uint64_t seed);
void server_table_fini(struct server_table *t);

/*
 * What a pool has now. The LAN pool says which servers this data centre has, the WAN pool which all
 * others have. Members that are no servers, or have left, do not count.
 */
void server_table_update(
	struct server_table *t, const struct member *members, uint32_t count, bool wan);

/*
 * One alive server of a data centre (its name in lower case), by chance; never one of `tried`, nor
 * this node. false: none.
 */
bool server_table_pick(struct server_table *t, struct str datacenter, const struct uuid *tried,
	size_t tried_count, struct mono now, struct server *out);
void server_table_failed(struct server_table *t, const struct uuid *server, struct mono now);
void server_table_good(struct server_table *t, const struct uuid *server);
/* The one of this data centre whose httpd listens at this place for others; never this node. */
bool server_table_find(const struct server_table *t, struct str ip, uint16_t http_port,
	struct server *out);
/* How many servers of it there are, alive or not (this node too). */
size_t server_table_count(const struct server_table *t, struct str datacenter);
bool server_table_knows(const struct server_table *t, struct str datacenter);
bool server_table_is_alive(const struct server_table *t, const struct uuid *server);
/* How many are alive, this node not counted. */
size_t server_table_alive(const struct server_table *t, struct str datacenter);
/* The names of all data centres that are known, this one always, sorted; text in the arena. */
void server_table_datacenters(const struct server_table *t, struct arena *arena, struct strs *out);

#endif
