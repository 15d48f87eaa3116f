/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers tell each other. All are one way; answers are messages of their own; any may be
 * lost, repeated, late or out of order. A message of an older term is ignored or answered with the
 * newer one, a message of a newer term makes the receiver a follower (thesis 3.3), pre-votes
 * excepted.
 *
 *     type             index                 log_term   others
 *     PRE_VOTE, VOTE   last of the log       its term   force: the leader asked for this election;
 *                                                       tag: digest of the first configuration,
 *                                                       0: there is a log
 *     ..._REPLY        -                     -          granted
 *     APPEND           the entry before      its term   entries, commit, stamp
 *     APPEND_REPLY     granted: durable and  its term,  granted, stamp (repeated), tag: where
 *                      equal to the leader's where      refused, what index of the question was
 *                      up to here; else      refused
 *                      where to look next
 *     TIMEOUT_NOW      -                     -          thesis 3.10
 *     READ             -                     -          tag, kind: enum raft_read_kind
 *     READ_REPLY       the read index        -          tag, kind, status
 *
 * stamp: the leader's clock in ns, made strictly increasing: it tells which question an answer
 * belongs to, and when that was asked. Nobody else interprets it.
 */
#ifndef MUSTER_RAFTD_CORE_MESSAGE_H
#define MUSTER_RAFTD_CORE_MESSAGE_H

#include "common/msg/wire.h"

enum raft_message_type {
	RAFT_PRE_VOTE = 1,
	RAFT_PRE_VOTE_REPLY,
	RAFT_VOTE,
	RAFT_VOTE_REPLY,
	RAFT_APPEND,
	RAFT_APPEND_REPLY,
	RAFT_TIMEOUT_NOW,
	RAFT_READ,
	RAFT_READ_REPLY,
	RAFT_MESSAGE_TYPES,
};

#define FIELDS_raft_log_entry(F, O, L) F(U64, term) F(U8, type) F(STR, body)
WIRE_DECLARE(raft_log_entry)

#define FIELDS_raft_message(F, O, L)                                                         \
	F(U8, type)                                                                          \
	F(UUID, from) F(UUID, to) F(U64, term) F(U64, index) F(U64, log_term) F(U64, commit) \
		F(U64, stamp) F(U64, tag) F(U8, kind) F(U8, status) F(BOOL, granted)         \
			F(BOOL, force) L(raft_log_entry, entries)
WIRE_DECLARE(raft_message)

const char *raft_message_name(uint8_t type); /* "vote"; "unknown" */

#endif
