/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of callers that wait for a number to be reached: an index to be committed, a read to be
 * confirmed. Callers are calls of this node, or other servers. Numbers never fall; one allocation
 * for thousands of callers.
 */
#ifndef MUSTER_RAFTD_WAITING_H
#define MUSTER_RAFTD_WAITING_H

#include "common/sys/ipc.h"

enum waiting_kind { WAITING_CALL, WAITING_CHANGE, WAITING_SERVER };

struct waiting {
	enum waiting_kind kind;
	uint64_t number;
	struct ipc_call *call; /* NULL: of a server, or answered already */
	struct uuid from;      /* WAITING_SERVER: and its tag */
	uint64_t tag;
};

struct waiting_ring {
	struct waiting *items;
	size_t first, count, size; /* size: a power of two */
};

void waiting_fini(struct waiting_ring *ring);
void waiting_add(struct waiting_ring *ring, const struct waiting *w);
/* Takes the first one, if its number is at most `through`. */
bool waiting_take(struct waiting_ring *ring, uint64_t through, struct waiting *out);
/* The one with this number, where numbers have no gaps; NULL: none. */
struct waiting *waiting_at(struct waiting_ring *ring, uint64_t number);

#endif
