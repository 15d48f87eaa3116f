/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers that the gossip pool knows, as far as raftd is concerned: who they are and where
 * their raftd listens. A pure function of what gossipd tells.
 */
#ifndef MUSTER_RAFTD_POOL_H
#define MUSTER_RAFTD_POOL_H

#include "common/msg/message.h"
#include "raftd/core/configuration.h"

enum { POOL_SERVERS_MAX = 32 };

struct pool_server {
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE];
};

/*
 * How many there are in out: all but self that have not left and whose tags make sense; failed
 * ones too, as the network may be broken for gossip only. Of two with one id (a node that has just
 * moved, or a clone) the one that is alive counts. *dropped_out: of those over POOL_SERVERS_MAX.
 */
size_t pool_servers(const struct gossip_servers_reply *m, const struct uuid *self,
	struct pool_server out[POOL_SERVERS_MAX], size_t *dropped_out);

#endif
