/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending snapshots to servers that need what the log does not have any more: the order of steps,
 * without I/O. For each server, one chunk after the other:
 *
 *     READ from catalogd (first nothing, for the size) -> OFFER or CHUNK to the server -> its reply
 *     names what it wants next -> READ ... -> installed: DONE
 *
 * What the server has already is not sent again, also after a restart of either side. At most
 * TRANSFERS_AT_ONCE run, the others wait. One that fails ends only after a pause: the core will ask
 * for it again at once.
 *
 *     transfer_begin ... then, whenever something happened: transfers_next until it gives NONE
 */
#ifndef MUSTER_RAFTD_TRANSFER_H
#define MUSTER_RAFTD_TRANSFER_H

#include "common/base/buf.h"
#include "common/base/time.h"
#include "raftd/core/configuration.h"

enum {
	TRANSFERS_AT_ONCE = 2,
	TRANSFER_CHUNK_MAX = 512 << 10,
	TRANSFER_REPLY_MS = 30000, /* of catalogd or of the server, per step */
	TRANSFER_PAUSE_MS = 500,   /* after a failure */
	TRANSFER_STALLS_MAX = 4,   /* replies in a row that want nothing newer */
};

enum transfer_state {
	TRANSFER_WAITS,	 /* for others to end */
	TRANSFER_READS,	 /* asks catalogd, or is about to */
	TRANSFER_SENDS,	 /* waits for the server's reply */
	TRANSFER_FAILED, /* pauses */
	TRANSFER_DONE,
};

struct transfer {
	struct uuid to; /* zero: this place is free */
	enum transfer_state state;
	bool asked; /* READS: catalogd is being asked */
	uint64_t index, term, configuration_index;
	struct buf configuration;
	uint64_t size, offset; /* size 0: not known yet */
	uint64_t number;       /* of the question to catalogd, so that late answers show */
	struct mono until;
	uint64_t chunks;
	unsigned stalls;
	const char *why; /* FAILED */
};

struct transfers {
	struct transfer rows[RAFT_SERVERS_MAX];
	uint64_t number;
};

enum transfer_action_type {
	TRANSFER_NONE,
	TRANSFER_READ, /* ask catalogd for bytes_max bytes at offset; transfer_bytes with number */
	TRANSFER_FINISH, /* tell the core: index, 0 where it failed; the place is free then */
};

struct transfer_action {
	enum transfer_action_type type;
	struct uuid to;
	uint64_t number, index, offset;
	uint32_t bytes_max;
	const char *why;
};

void transfers_fini(struct transfers *ts);
/* Nothing happens where one is under way. */
void transfer_begin(struct transfers *ts, struct mono now, const struct uuid *to, uint64_t index,
	uint64_t term, uint64_t configuration_index, struct str configuration);
struct transfer_action transfers_next(struct transfers *ts, struct mono now);
struct mono transfers_deadline(const struct transfers *ts);

/* catalogd's answer. status 0: size and bytes are good: send them from offset on, NULL otherwise,
 * or when nobody waits for it any more. */
const struct transfer *transfer_bytes(struct transfers *ts, struct mono now, uint64_t number,
	int status, uint64_t size, struct str bytes);
/* The server's. */
void transfer_reply(struct transfers *ts, struct mono now, const struct uuid *from, uint64_t index,
	int status, uint64_t wanted, bool installed);
/* The connection broke, or could not take the chunk. */
void transfer_lost(struct transfers *ts, struct mono now, const struct uuid *to);
/* This server does not lead any more. */
void transfers_end(struct transfers *ts);

const struct transfer *transfer_find(const struct transfers *ts, const struct uuid *to); /* NULL */

#endif
