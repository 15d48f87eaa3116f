/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several cores on one table, moved by hand: what drives tests/scenario/quorum/<name>.txt.
 * quorum.c has the commands, quorum_shell.c a shell around each core, as raftd/node.c is one: a log
 * in memory, messages that wait until they are delivered or dropped.
 */
#ifndef MUSTER_TESTS_SCENARIO_QUORUM_H
#define MUSTER_TESTS_SCENARIO_QUORUM_H

#include "common/base/list.h"
#include "raftd/core/raft.h"

enum { SERVERS_MAX = 9, LOG_MAX = 200 };

struct entry {
	uint64_t term;
	uint8_t type;
	struct configuration configuration; /* of a RAFT_CONFIGURATION */
};

struct server {
	struct table *table;
	unsigned number;
	bool live;
	struct raft raft;
	struct raft_persistent disk;	   /* what was stored */
	struct entry log[LOG_MAX + 1];	   /* by index */
	uint64_t first, last, before_term; /* before_term: of first - 1 */
	uint64_t synced;
};

/* A message on its way. */
struct letter {
	struct list link;
	unsigned from, to;
	struct uuid life; /* of who sent it */
	struct buf bytes;
};

struct table {
	struct server servers[SERVERS_MAX];
	unsigned count;
	uint64_t trailing;
	struct mono now;
	struct list letters;
	struct buf *trace;
};

struct uuid server_id(unsigned number);
/* "s2"; "-": nobody */
const char *server_name(const struct uuid *id);

/* Steps the core and carries out what it wants; the trace tells. */
void shell_step(struct server *s, struct raft_event *e);
/* recover: NULL, or an operator's decision who is left */
void shell_start(struct server *s, bool bootstrap, const struct configuration *recover);
void shell_show(const struct server *s); /* one line of state */
void shell_deliver(struct table *t, struct letter *l);
void letter_free(struct letter *l);

#endif
