/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies behind WIRE_DECLARE: included by the one .c file of each .def table, which then
 * defines TYPE as WIRE_DEFINE.
 */
#ifndef MUSTER_COMMON_MSG_WIRE_CODE_H
#define MUSTER_COMMON_MSG_WIRE_CODE_H

#include "common/msg/wire.h"

#define wire_put_U8(out, v)   buf_put_u8(out, v)
#define wire_put_U16(out, v)  buf_put_u16(out, v)
#define wire_put_U32(out, v)  buf_put_u32(out, v)
#define wire_put_U64(out, v)  buf_put_u64(out, v)
#define wire_put_I64(out, v)  buf_put_u64(out, (uint64_t)(v))
#define wire_put_BOOL(out, v) buf_put_u8(out, (v) ? 1 : 0)
#define wire_put_UUID(out, v) buf_put(out, (v).b, sizeof((v).b))

#define wire_get_U8(c, arena)  cursor_u8(c)
#define wire_get_U16(c, arena) cursor_u16(c)
#define wire_get_U32(c, arena) cursor_u32(c)
#define wire_get_U64(c, arena) cursor_u64(c)
#define wire_get_I64(c, arena) ((int64_t)cursor_u64(c))

#define wire_dump_U8(w, v)   jsonw_u64(w, v)
#define wire_dump_U16(w, v)  jsonw_u64(w, v)
#define wire_dump_U32(w, v)  jsonw_u64(w, v)
#define wire_dump_U64(w, v)  jsonw_u64(w, v)
#define wire_dump_I64(w, v)  jsonw_i64(w, v)
#define wire_dump_BOOL(w, v) jsonw_bool(w, v)

#define WIRE_ENCODE(kind, name)	       wire_put_##kind(out, v->name);
#define WIRE_ENCODE_OBJECT(type, name) type##_encode(out, &v->name);
#define WIRE_ENCODE_LIST(type, name)                   \
	buf_put_u32(out, v->name.count);               \
	for (uint32_t i = 0; i < v->name.count; i++) { \
		type##_encode(out, &v->name.items[i]); \
	}

#define WIRE_READ(kind, name)	     out->name = wire_get_##kind(c, arena);
#define WIRE_READ_OBJECT(type, name) type##_read(c, arena, &out->name);
#define WIRE_READ_LIST(type, name)                                                              \
	{                                                                                       \
		uint32_t count_ = wire_get_count(c), room_ = 0;                                 \
		void *items_ = NULL;                                                            \
                                                                                                \
		for (uint32_t i = 0; i < count_ && !c->bad; i++) {                              \
			items_ = wire_list_room(arena, items_, i, &room_, sizeof(struct type)); \
			type##_read(c, arena, (struct type *)items_ + i);                       \
		}                                                                               \
		out->name.items = items_;                                                       \
		out->name.count = c->bad ? 0 : count_;                                          \
	}

#define WIRE_DUMP(kind, name) \
	jsonw_keyc(w, #name); \
	wire_dump_##kind(w, v->name);
#define WIRE_DUMP_OBJECT(type, name) \
	jsonw_keyc(w, #name);        \
	type##_dump(w, &v->name);
#define WIRE_DUMP_LIST(type, name)                     \
	jsonw_keyc(w, #name);                          \
	jsonw_open(w, '[');                            \
	for (uint32_t i = 0; i < v->name.count; i++) { \
		type##_dump(w, &v->name.items[i]);     \
	}                                              \
	jsonw_close(w, ']');

#define WIRE_DEFINE(type)                                                                       \
	void type##_encode(struct buf *out, const struct type *v)                               \
	{                                                                                       \
		FIELDS_##type(WIRE_ENCODE, WIRE_ENCODE_OBJECT, WIRE_ENCODE_LIST)                \
	}                                                                                       \
	void type##_read(struct cursor *c, struct arena *arena, struct type *out)               \
	{                                                                                       \
		FIELDS_##type(WIRE_READ, WIRE_READ_OBJECT, WIRE_READ_LIST)                      \
	}                                                                                       \
	int type##_decode(struct str bytes, struct arena *arena, struct type *out)              \
	{                                                                                       \
		struct cursor c = cursor_of(bytes);                                             \
                                                                                                \
		type##_read(&c, arena, out);                                                    \
		return cursor_done(&c);                                                         \
	}                                                                                       \
	void type##_dump(struct jsonw *w, const struct type *v)                                 \
	{                                                                                       \
		jsonw_open(w, '{');                                                             \
		FIELDS_##type(WIRE_DUMP, WIRE_DUMP_OBJECT, WIRE_DUMP_LIST) jsonw_close(w, '}'); \
	}

#endif
