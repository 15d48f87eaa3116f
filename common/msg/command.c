/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code behind the rows of command.def.
 */
#include "common/msg/command.h"

#include "common/msg/wire_code.h"

#define TYPE(type) WIRE_DEFINE(type)
#define COMMAND(number, type)
#include "common/msg/command.def"
#undef COMMAND
#undef TYPE

const char *command_name(uint16_t type)
{
	switch (type) {
#define TYPE(type)
#define COMMAND(number, name) \
	case number:          \
		return #name;
#include "common/msg/command.def"
#undef COMMAND
#undef TYPE
	}
	return "unknown";
}

#define TYPE(type)
#define COMMAND(number, name)                                                            \
	static int dump_##name(struct jsonw *w, struct str payload, struct arena *arena) \
	{                                                                                \
		struct name v;                                                           \
		int r = name##_decode(payload, arena, &v);                               \
                                                                                         \
		if (!r) {                                                                \
			name##_dump(w, &v);                                              \
		}                                                                        \
		return r;                                                                \
	}
#include "common/msg/command.def"
#undef COMMAND

int command_explain(struct jsonw *w, struct str encoded, struct arena *arena)
{
	struct command c;
	int r = command_decode(encoded, arena, &c);

	if (r) {
		return r;
	}
	switch (c.type) {
#define COMMAND(number, name) \
	case number:          \
		return dump_##name(w, c.payload, arena);
#include "common/msg/command.def"
#undef COMMAND
#undef TYPE
	}
	return ST_INVALID;
}
