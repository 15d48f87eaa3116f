/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who takes part in the quorum. A configuration is an entry of the log like any other and counts
 * from the moment it is appended, committed or not (thesis 4.1). At most RAFT_SERVERS_MAX servers;
 * addresses fit struct raft_page.
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

struct configuration_server {
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE]; /* "127.0.0.1:8300" */
	bool voter;
};

struct configuration {
	struct configuration_server servers[RAFT_SERVERS_MAX];
	size_t count;
};

void configuration_encode(struct buf *out, const struct configuration *c);
/* ST_TRUNCATED, ST_INVALID: not a configuration; ST_TOO_LARGE: more servers or longer addresses
 * than there is room for. */
int configuration_decode(struct str bytes, struct configuration *out);

struct configuration_server *configuration_find(
	struct configuration *c, const struct uuid *id); /* NULL */
size_t configuration_voters(const struct configuration *c);

#endif
