/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who takes part in the quorum. A configuration is an entry of the log like any other and counts
 * from the moment it is appended, committed or not (thesis 4.1). At most RAFT_SERVERS_MAX servers;
 * addresses fit struct raft_page.
 *
 * A server is more than its id: one that lost its disk comes back with the same id, but has
 * forgotten whom it voted for and what it acknowledged. So each new disk gets a random `life`, and
 * the configuration says which one it means; what another one says does not count for it. Zero: of
 * an older version, or named by an operator; means any. And each cluster has an id, so that servers
 * of two that were joined by mistake know it.
 */
#ifndef MUSTER_RAFTD_CORE_CONFIGURATION_H
#define MUSTER_RAFTD_CORE_CONFIGURATION_H

#include "common/msg/wire.h"

enum { RAFT_SERVERS_MAX = 16, RAFT_ADDRESS_SIZE = 64 };

/* As stored in the log. */
#define FIELDS_raft_member(F, O, L) F(UUID, id) F(STR, address) F(BOOL, voter)
WIRE_DECLARE(raft_member)
#define FIELDS_raft_members(F, O, L) L(raft_member, members)
WIRE_DECLARE(raft_members)
/* With lives and the cluster. mark: RAFT_CLUSTER_MARK, which is no count of raft_members. */
#define FIELDS_raft_lively_member(F, O, L) F(UUID, id) F(STR, address) F(BOOL, voter) F(UUID, life)
WIRE_DECLARE(raft_lively_member)
#define FIELDS_raft_cluster(F, O, L) F(U32, mark) F(UUID, cluster) L(raft_lively_member, members)
WIRE_DECLARE(raft_cluster)
#define RAFT_CLUSTER_MARK UINT32_MAX

struct configuration_server {
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE]; /* "127.0.0.1:8300" */
	bool voter;
	struct uuid life;
};

struct configuration {
	struct uuid cluster; /* zero: not known (yet) */
	struct configuration_server servers[RAFT_SERVERS_MAX];
	size_t count;
};

void configuration_encode(struct buf *out, const struct configuration *c);
/* ST_TRUNCATED, ST_INVALID: not a configuration; ST_TOO_LARGE: more servers or longer addresses
 * than there is room for. */
int configuration_decode(struct str bytes, struct configuration *out);

struct configuration_server *configuration_find(
	struct configuration *c, const struct uuid *id); /* NULL */
/* Could these be one life? */
static inline bool life_eq(const struct uuid *a, const struct uuid *b)
{
	return uuid_is_zero(a) || uuid_is_zero(b) || uuid_eq(a, b);
}
size_t configuration_voters(const struct configuration *c);

#endif
