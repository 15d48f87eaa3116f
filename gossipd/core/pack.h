/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MessagePack as Serf's protocol uses it. Structs are maps with the fields' names as keys: one
 * table per struct (struct pack_schema) serves the writer and the reader. Written: the old "raw"
 * strings, the shortest integers, keys in the order of the table (ascending). Read: any integer
 * that fits the field, any kind of string, keys in any order, unknown keys skipped, arrays in
 * order of declaration, nil for zero. Readers work on a cursor with a sticky error; what they give
 * is borrowed from the input. A count is never believed beyond the bytes that are there.
 */
#ifndef MUSTER_GOSSIPD_CORE_PACK_H
#define MUSTER_GOSSIPD_CORE_PACK_H

#include "common/base/buf.h"
#include "common/base/cursor.h"

enum pack_type {
	PACK_U8,
	PACK_U16,
	PACK_U32,
	PACK_U64,
	PACK_I64,
	PACK_BOOL,
	PACK_DOUBLE,
	PACK_STR,   /* struct str; NULL is written as an empty string */
	PACK_BYTES, /* struct str; NULL is written as nil */
	PACK_ANY,   /* struct str: one encoded value, whatever it is; NULL is written as nil */
};

struct pack_field {
	const char *key;
	enum pack_type type;
	uint8_t declared; /* place in the array form */
	bool omit;	  /* not written when empty or zero */
	uint16_t offset;
};

struct pack_schema {
	const struct pack_field *fields;
	uint8_t count;
};

#define PACK_SCHEMA(array)                                    \
	{                                                     \
		.fields = (array), .count = ARRAY_SIZE(array) \
	}

void pack_struct(struct buf *out, const struct pack_schema *s, const void *value);
void pack_map(struct buf *out, uint32_t count);
void pack_array(struct buf *out, uint32_t count);
void pack_str(struct buf *out, struct str s);
void pack_bytes(struct buf *out, struct str s); /* nil when s.p is NULL */
void pack_uint(struct buf *out, uint64_t v);
void pack_int(struct buf *out, int64_t v);
void pack_bool(struct buf *out, bool v);
void pack_double(struct buf *out, double v);
void pack_nil(struct buf *out);
/* The newer strings, which Consul's own payloads have: str8 and bin. */
void pack_str8(struct buf *out, struct str s);
void pack_bin(struct buf *out, struct str s);

/* *value is zeroed first. Wrong bytes make the cursor bad. */
void unpack_struct(struct cursor *c, const struct pack_schema *s, void *value);
uint32_t unpack_map(struct cursor *c);
uint32_t unpack_array(struct cursor *c);
struct str unpack_str(struct cursor *c);
uint64_t unpack_uint(struct cursor *c, uint64_t max);
int64_t unpack_int(struct cursor *c);
bool unpack_bool(struct cursor *c);
double unpack_double(struct cursor *c);
struct str unpack_any(struct cursor *c); /* the bytes of one value */
void unpack_skip(struct cursor *c);

#endif
