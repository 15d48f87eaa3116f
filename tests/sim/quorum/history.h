/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients asked and were told, and whether registers with one value at a time could have
 * answered so: linearizability (Herlihy and Wing). Every write has a value of its own, so it is
 * known which write a read has seen, and the check is the one by zones of Gibbons and Korach
 * (Testing Shared Memories, 1997, theorem 4.5): time n log n, not exponential.
 */
#ifndef MUSTER_TESTS_SIM_QUORUM_HISTORY_H
#define MUSTER_TESTS_SIM_QUORUM_HISTORY_H

#include "common/base/buf.h"

enum operation_kind {
	OPERATION_WRITE,
	OPERATION_STALE, /* not part of a history */
	OPERATION_DEFAULT,
	OPERATION_CONSISTENT,
};

struct operation {
	enum operation_kind kind;
	unsigned reg;
	uint64_t value;
	int64_t begin, end; /* end: INT64_MAX where no answer came: perhaps it happened */
};

struct history {
	struct operation *operations;
	size_t count, room;
};

void history_add(struct history *h, const struct operation *o);
void history_fini(struct history *h);
/* false with *why: no order of the operations explains the answers. The first value is 0. */
bool history_check(const struct history *h, struct buf *why);

/* -------- clients.c: one at a time, who remembers what it waits for -------- */

struct client {
	bool waits;
	enum operation_kind kind;
	unsigned reg, server, attempts;
	uint64_t operation;	       /* number of this one */
	uint64_t id, value;	       /* of the newest write */
	int64_t begin, give_up, again; /* again: when it tries elsewhere */
	uint64_t floor;		       /* a read must show at least this index */
	uint64_t acknowledged;	       /* writes */
	uint32_t padding;
};

#endif
