/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that the two halves of the naming codec share; drawn in naming.c. Not for others.
 */
#ifndef MUSTER_COMMON_MSG_NAMING_LAYOUT_H
#define MUSTER_COMMON_MSG_NAMING_LAYOUT_H

#include "common/msg/naming.h"

enum {
	NAMING_FORMAT = 0x3153474e,
	NAMING_AT_FORMAT = 0,
	NAMING_AT_VIEWS = 4,
	NAMING_AT_NODES = 8,
	NAMING_AT_TARGETS = 16,
	NAMING_HEADER_SIZE = 24,
	NAMING_VIEW_SIZE = 72,
	NAMING_TARGET_SIZE = 16,
	NAMING_NODE_NAME_MAX = NODE_NAME_MAX + 1,
	NAMING_TEXT_MAX = 16384,
};

/* naming_address_key for an address that is already bytes; id "" gives the prefix of all owners of
 * the kind. */
bool naming_ip_key(struct state_key *room, const void *ip, size_t ip_size, enum naming_owner owner,
	struct str id, struct str *key_out);

#endif
