/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of the simulator, as catalogd's: pure, commands with ids that are applied once,
 * a digest of everything that was ever applied. A snapshot is a copy.
 */
#ifndef MUSTER_TESTS_SIM_QUORUM_MACHINE_H
#define MUSTER_TESTS_SIM_QUORUM_MACHINE_H

#include "common/base/buf.h"

enum { CLIENTS = 4, REGISTERS = 3 };

struct command {
	uint32_t kind; /* 1: put */
	uint32_t client;
	uint64_t id; /* grows per client, one at a time */
	uint32_t reg;
	uint32_t padding; /* bytes that follow */
	uint64_t value;
};

struct machine {
	uint64_t applied, term; /* index and term of the newest entry */
	uint64_t digest;
	uint64_t registers[REGISTERS];
	uint64_t done[CLIENTS];	      /* newest id of each client */
	uint64_t done_index[CLIENTS]; /* of the entry that did it */
};

void command_encode(struct buf *out, const struct command *c);
bool command_decode(struct str bytes, struct command *out);

/* The next entry. c: NULL where it is no command. false: the command had been applied before. */
bool machine_apply(
	struct machine *m, uint64_t index, uint64_t term, struct str body, const struct command *c);

#endif
