/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local messages of message.def as structs, their numbers and roles.
 */
#ifndef MUSTER_COMMON_MSG_MESSAGE_H
#define MUSTER_COMMON_MSG_MESSAGE_H

#include "common/msg/types.h"

enum role { ROLE_READ = 1, ROLE_WRITE = 2 };

#define TYPE(type) WIRE_DECLARE(type)
#define MESSAGE(number, role, name) \
	WIRE_DECLARE(name)          \
	WIRE_DECLARE(name##_reply)
#include "common/msg/message.def"
#undef MESSAGE
#undef TYPE

enum message_number {
#define TYPE(type)
#define MESSAGE(number, role, name) MSG_##name = number,
#include "common/msg/message.def"
#undef MESSAGE
#undef TYPE
};

struct message_info {
	uint16_t number;
	enum role role;
	const char *name;
};

const struct message_info *message_find(uint16_t number); /* NULL: unknown */

#endif
