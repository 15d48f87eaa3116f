/* SPDX-License-Identifier: Apache-2.0 */
#include "common/msg/message.h"

#include "common/msg/wire_code.h"

#define TYPE(type) WIRE_DEFINE(type)
#define MESSAGE(number, role, name) \
	WIRE_DEFINE(name)           \
	WIRE_DEFINE(name##_reply)
#include "common/msg/message.def"
#undef MESSAGE
#undef TYPE

static const struct message_info messages[] = {
#define TYPE(type)
#define MESSAGE(number, role, name) { number, role, #name },
#include "common/msg/message.def"
#undef MESSAGE
#undef TYPE
};

const struct message_info *message_find(uint16_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		if (messages[i].number == number) {
			return &messages[i];
		}
	}
	return NULL;
}
