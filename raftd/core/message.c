/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of messages, and their names.
 */
#include "raftd/core/message.h"

#include "common/msg/wire_code.h"

WIRE_DEFINE(raft_log_entry)
WIRE_DEFINE(raft_message)

const char *raft_message_name(uint8_t type)
{
	static const char *const names[RAFT_MESSAGE_TYPES] = { "unknown", "pre-vote",
		"pre-vote-reply", "vote", "vote-reply", "append", "append-reply", "timeout-now",
		"read", "read-reply" };

	return names[type < RAFT_MESSAGE_TYPES ? type : 0];
}
