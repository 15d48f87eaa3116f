/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicated commands (command.def) and the words they use.
 */
#ifndef MUSTER_COMMON_MSG_COMMAND_H
#define MUSTER_COMMON_MSG_COMMAND_H

#include "common/msg/types.h"

enum kv_op {
	KV_SET,
	KV_CAS,
	KV_LOCK,
	KV_UNLOCK,
	KV_DELETE,
	KV_DELETE_CAS,
	KV_DELETE_TREE,
	/* only inside transactions: */
	KV_GET,
	KV_GET_TREE,
	KV_CHECK_INDEX,
	KV_CHECK_SESSION,
	KV_CHECK_NOT_EXISTS,
	KV_GET_OR_EMPTY,
};

enum query_op { QUERY_CREATE, QUERY_UPDATE, QUERY_DELETE };

enum txn_kind { TXN_KV, TXN_NODE, TXN_SERVICE, TXN_CHECK };

#define TYPE(type) WIRE_DECLARE(type)
#define COMMAND(number, type)
#include "common/msg/command.def"
#undef COMMAND
#undef TYPE

/* COMMAND_cmd_register = 1 ... */
enum command_type {
#define TYPE(type)
#define COMMAND(number, type) COMMAND_##type = number,
#include "common/msg/command.def"
#undef COMMAND
#undef TYPE
};

const char *command_name(uint16_t type); /* "cmd_register"; "unknown" */

/* Renders an encoded struct command with its payload as JSON, for dumps and traces; ST_INVALID when
 * it does not decode. */
int command_explain(struct jsonw *w, struct str encoded, struct arena *arena);

#endif
