/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every local message, reply, command and record. The first two bytes choose the type, the rest is
 * its encoding: what decodes must encode to the same bytes again (there is one encoding of each
 * value) and dump as JSON.
 */
#include "tests/fuzz/fuzz.h"

#include "common/msg/command.h"
#include "common/msg/message.h"
#include "common/msg/state.h"

typedef void (*type_run)(struct str bytes);

#define TYPE(type)                                                          \
	static void run_##type(struct str bytes)                            \
	{                                                                   \
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };        \
		OWN_EMBEDDED(buf_fini) struct buf again = { 0 };            \
		OWN_EMBEDDED(buf_fini) struct buf text = { 0 };             \
		struct jsonw w = jsonw_of(&text);                           \
		struct json *tree;                                          \
		struct type v;                                              \
                                                                            \
		if (type##_decode(bytes, &arena, &v)) {                     \
			return;                                             \
		}                                                           \
		type##_encode(&again, &v);                                  \
		must(str_eq(bytes, buf_str(&again)));                       \
		type##_dump(&w, &v);                                        \
		must(json_parse(&arena, buf_str(&text), &tree, NULL) == 0); \
	}
#define COMMAND(number, type)
#define MESSAGE(number, role, name) TYPE(name) TYPE(name##_reply)
#include "common/msg/command.def"
#include "common/msg/message.def"
#include "common/msg/record.def"
#include "common/msg/types.def"
#undef MESSAGE
#undef TYPE

static const type_run types[] = {
#define TYPE(type)		    run_##type,
#define MESSAGE(number, role, name) run_##name, run_##name##_reply,
#include "common/msg/command.def"
#include "common/msg/message.def"
#include "common/msg/record.def"
#include "common/msg/types.def"
#undef MESSAGE
#undef COMMAND
#undef TYPE
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct jsonw w = jsonw_of(&text);

	if (size < 2) {
		return 0;
	}
	types[(data[0] | data[1] << 8) % ARRAY_SIZE(types)](str_n(data + 2, size - 2));
	command_explain(&w, str_n(data, size), &arena);
	return 0;
}
