/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a row becomes code. A type is described once, in a .def file:
 *
 *     #define FIELDS_example(F, O, L) F(U64, index) F(STR, value) O(node_def, node) L(txn_op, ops)
 *     TYPE(example)
 *
 * F(kind, name) a plain field, O(type, name) another type embedded, L(type, name) a list of another
 * type. From that come
 *
 *     struct example
 *     void example_encode(struct buf *out, const struct example *v);
 *     int  example_decode(struct str bytes, struct arena *arena, struct example *out);
 *     void example_read(struct cursor *c, struct arena *arena, struct example *out);
 *     void example_dump(struct jsonw *w, const struct example *v);
 *
 * Encoding: fields in order; integers little-endian; STR as u32 length and bytes; lists as u32
 * count and items; STRS and PAIRS as u8 present, u32 count, items. Decoding is strict: ST_TRUNCATED
 * for short input (a count that its bytes cannot hold included), ST_INVALID for bytes left over;
 * a bool that is neither 0 nor 1 counts as short. Strings are borrowed from the input; lists live
 * in the arena (which may be NULL for types without lists).
 *
 * Rows are added at the end, never changed: neighbouring versions must understand each other.
 */
#ifndef MUSTER_COMMON_MSG_WIRE_H
#define MUSTER_COMMON_MSG_WIRE_H

#include "common/base/arena.h"
#include "common/base/bind.h"
#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/json.h"

#define WIRE_TYPE_U8	uint8_t
#define WIRE_TYPE_U16	uint16_t
#define WIRE_TYPE_U32	uint32_t
#define WIRE_TYPE_U64	uint64_t
#define WIRE_TYPE_I64	int64_t
#define WIRE_TYPE_BOOL	bool
#define WIRE_TYPE_STR	struct str
#define WIRE_TYPE_UUID	struct uuid
#define WIRE_TYPE_STRS	struct strs
#define WIRE_TYPE_PAIRS struct pairs

#define WIRE_MEMBER(kind, name)	       WIRE_TYPE_##kind name;
#define WIRE_MEMBER_OBJECT(type, name) struct type name;
#define WIRE_MEMBER_LIST(type, name) \
	struct {                     \
		struct type *items;  \
		uint32_t count;      \
	} name;

#define WIRE_DECLARE(type)                                                          \
	struct type {                                                               \
		FIELDS_##type(WIRE_MEMBER, WIRE_MEMBER_OBJECT, WIRE_MEMBER_LIST)    \
	};                                                                          \
	void type##_encode(struct buf *out, const struct type *v);                  \
	int type##_decode(struct str bytes, struct arena *arena, struct type *out); \
	void type##_read(struct cursor *c, struct arena *arena, struct type *out);  \
	void type##_dump(struct jsonw *w, const struct type *v);

/* What the generated code is made of (wire.c). */
void wire_put_STR(struct buf *out, struct str v);
void wire_put_STRS(struct buf *out, struct strs v);
void wire_put_PAIRS(struct buf *out, struct pairs v);
struct str wire_get_STR(struct cursor *c, struct arena *arena);
struct strs wire_get_STRS(struct cursor *c, struct arena *arena);
struct pairs wire_get_PAIRS(struct cursor *c, struct arena *arena);
bool wire_get_BOOL(struct cursor *c, struct arena *arena);
struct uuid wire_get_UUID(struct cursor *c, struct arena *arena);
uint32_t wire_get_count(struct cursor *c); /* of a list: never more than there are bytes left */
/* Room for item number `at`: doubles the array, so that a lying count costs no more memory than its
 * bytes. */
void *wire_list_room(
	struct arena *arena, void *items, uint32_t at, uint32_t *room, size_t item_size);
void wire_dump_STR(struct jsonw *w, struct str v);
void wire_dump_STRS(struct jsonw *w, struct strs v);
void wire_dump_PAIRS(struct jsonw *w, struct pairs v);
void wire_dump_UUID(struct jsonw *w, struct uuid v);

#endif
