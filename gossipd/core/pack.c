/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writer and reader of pack.h. A library does not fit: it writes the newer strings, its reader
 * builds trees of values, and the field tables would be ours all the same.
 */
#include "gossipd/core/pack.h"

enum {
	FIX_MAP = 0x80,
	FIX_ARRAY = 0x90,
	FIX_STR = 0xa0,
	NIL = 0xc0,
	FALSE_BYTE = 0xc2,
	TRUE_BYTE = 0xc3,
	BIN8 = 0xc4,
	BIN16 = 0xc5,
	BIN32 = 0xc6,
	EXT8 = 0xc7,
	EXT32 = 0xc9,
	FLOAT32 = 0xca,
	FLOAT64 = 0xcb,
	UINT8 = 0xcc,
	UINT64 = 0xcf,
	INT8 = 0xd0,
	INT16 = 0xd1,
	INT32 = 0xd2,
	INT64 = 0xd3,
	FIX_EXT1 = 0xd4,
	FIX_EXT16 = 0xd8,
	STR8 = 0xd9,
	STR16 = 0xda,
	STR32 = 0xdb,
	ARRAY16 = 0xdc,
	ARRAY32 = 0xdd,
	MAP16 = 0xde,
	MAP32 = 0xdf,
	NEGATIVE = 0xe0,
};

/* -------- writing -------- */

static void put_count(struct buf *out, uint32_t count, uint8_t fix, uint8_t fix_max, uint8_t wide)
{
	if (count <= fix_max) {
		buf_put_u8(out, (uint8_t)(fix | count));
	} else if (count <= UINT16_MAX) {
		buf_put_u8(out, wide);
		buf_put_u16be(out, (uint16_t)count);
	} else {
		buf_put_u8(out, (uint8_t)(wide + 1));
		buf_put_u32be(out, count);
	}
}

void pack_map(struct buf *out, uint32_t count)
{
	put_count(out, count, FIX_MAP, 15, MAP16);
}

void pack_array(struct buf *out, uint32_t count)
{
	put_count(out, count, FIX_ARRAY, 15, ARRAY16);
}

void pack_str(struct buf *out, struct str s)
{
	put_count(out, (uint32_t)s.n, FIX_STR, 31, STR16);
	buf_put_str(out, s);
}

void pack_nil(struct buf *out)
{
	buf_put_u8(out, NIL);
}

void pack_bytes(struct buf *out, struct str s)
{
	if (s.p) {
		pack_str(out, s);
	} else {
		pack_nil(out);
	}
}

void pack_uint(struct buf *out, uint64_t v)
{
	if (v < 128) {
		buf_put_u8(out, (uint8_t)v);
	} else if (v <= UINT8_MAX) {
		buf_put_u8(out, UINT8);
		buf_put_u8(out, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		buf_put_u8(out, UINT8 + 1);
		buf_put_u16be(out, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		buf_put_u8(out, UINT8 + 2);
		buf_put_u32be(out, (uint32_t)v);
	} else {
		buf_put_u8(out, UINT64);
		buf_put_u64be(out, v);
	}
}

void pack_int(struct buf *out, int64_t v)
{
	if (v >= 0) {
		pack_uint(out, (uint64_t)v);
	} else if (v >= -32) {
		buf_put_u8(out, (uint8_t)v);
	} else if (v >= INT8_MIN) {
		buf_put_u8(out, INT8);
		buf_put_u8(out, (uint8_t)v);
	} else if (v >= INT16_MIN) {
		buf_put_u8(out, INT16);
		buf_put_u16be(out, (uint16_t)v);
	} else if (v >= INT32_MIN) {
		buf_put_u8(out, INT32);
		buf_put_u32be(out, (uint32_t)v);
	} else {
		buf_put_u8(out, INT64);
		buf_put_u64be(out, (uint64_t)v);
	}
}

void pack_bool(struct buf *out, bool v)
{
	buf_put_u8(out, v ? TRUE_BYTE : FALSE_BYTE);
}

void pack_double(struct buf *out, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	buf_put_u8(out, FLOAT64);
	buf_put_u64be(out, bits);
}

static void put_newer(struct buf *out, struct str s, uint8_t first)
{
	if (s.n <= UINT8_MAX) {
		buf_put_u8(out, first);
		buf_put_u8(out, (uint8_t)s.n);
	} else {
		buf_put_u8(out, (uint8_t)(first + 1));
		buf_put_u16be(out, (uint16_t)s.n);
	}
	buf_put_str(out, s);
}

void pack_str8(struct buf *out, struct str s)
{
	if (s.n < 32) {
		pack_str(out, s);
	} else {
		put_newer(out, s, STR8);
	}
}

void pack_bin(struct buf *out, struct str s)
{
	put_newer(out, s, BIN8);
}

static uint64_t uint_at(const void *p, enum pack_type type)
{
	switch (type) {
	case PACK_U8:
		return *(const uint8_t *)p;
	case PACK_U16:
		return *(const uint16_t *)p;
	case PACK_U32:
		return *(const uint32_t *)p;
	default:
		return *(const uint64_t *)p;
	}
}

static bool is_empty(const struct pack_field *f, const void *p)
{
	return f->type < PACK_I64 ? uint_at(p, f->type) == 0 : ((const struct str *)p)->n == 0;
}

static void put_field(struct buf *out, const struct pack_field *f, const void *p)
{
	const struct str *s = p;

	switch (f->type) {
	case PACK_I64:
		pack_int(out, *(const int64_t *)p);
		break;
	case PACK_BOOL:
		pack_bool(out, *(const bool *)p);
		break;
	case PACK_DOUBLE:
		pack_double(out, *(const double *)p);
		break;
	case PACK_STR:
		pack_str(out, *s);
		break;
	case PACK_BYTES:
		pack_bytes(out, *s);
		break;
	case PACK_ANY:
		buf_put_str(out, s->p ? *s : STR("\xc0"));
		break;
	default:
		pack_uint(out, uint_at(p, f->type));
		break;
	}
}

void pack_struct(struct buf *out, const struct pack_schema *s, const void *value)
{
	uint32_t count = s->count;

	for (uint8_t i = 0; i < s->count; i++) {
		const struct pack_field *f = &s->fields[i];

		count -= f->omit && is_empty(f, (const char *)value + f->offset);
	}
	pack_map(out, count);
	for (uint8_t i = 0; i < s->count; i++) {
		const struct pack_field *f = &s->fields[i];
		const void *p = (const char *)value + f->offset;

		if (!f->omit || !is_empty(f, p)) {
			pack_str(out, str_of(f->key));
			put_field(out, f, p);
		}
	}
}

/* -------- reading -------- */

/* An unsigned number of 1, 2, 4 or 8 bytes. */
static uint64_t take_wide(struct cursor *c, unsigned log2_size)
{
	switch (log2_size) {
	case 0:
		return cursor_u8(c);
	case 1:
		return cursor_u16be(c);
	case 2:
		return cursor_u32be(c);
	default:
		return cursor_u64be(c);
	}
}

/* Counts and sizes of nil are zero. elements: of how many bytes at least. */
static uint32_t take_count(
	struct cursor *c, uint8_t fix, uint8_t fix_max, uint8_t wide, size_t element)
{
	uint8_t b = cursor_u8(c);
	uint64_t count = 0;

	if ((b & ~fix_max) == fix) {
		count = b & fix_max;
	} else if (b == wide || b == wide + 1) {
		count = take_wide(c, b == wide ? 1 : 2);
	} else if (b != NIL) {
		c->bad = true;
	}
	if (c->bad || count > cursor_left(c) / element) {
		c->bad = true;
		return 0;
	}
	return (uint32_t)count;
}

uint32_t unpack_map(struct cursor *c)
{
	return take_count(c, FIX_MAP, 15, MAP16, 2);
}

uint32_t unpack_array(struct cursor *c)
{
	return take_count(c, FIX_ARRAY, 15, ARRAY16, 1);
}

static bool is_str(uint8_t b)
{
	return (b & 0xe0) == FIX_STR || (b >= STR8 && b <= STR32) || (b >= BIN8 && b <= BIN32);
}

/* What follows the first byte of a string. */
static struct str str_behind(struct cursor *c, uint8_t b)
{
	if ((b & 0xe0) == FIX_STR) {
		return cursor_take(c, b & 31);
	}
	return cursor_take(c, take_wide(c, b >= STR8 ? b - STR8 : b - BIN8));
}

struct str unpack_str(struct cursor *c)
{
	uint8_t b = cursor_u8(c);

	if (!c->bad && b != NIL) {
		if (is_str(b)) {
			return str_behind(c, b);
		}
		c->bad = true;
	}
	return STR_NONE;
}

/* The value and whether it is below zero. */
static uint64_t take_number(struct cursor *c, bool *negative)
{
	static const uint64_t sign[] = { 1u << 7, 1u << 15, 1u << 31, 1ull << 63 };
	uint8_t b = cursor_u8(c);
	uint64_t v;

	*negative = false;
	if (b < 128 || b == NIL) {
		return b == NIL ? 0 : b;
	}
	if (b >= NEGATIVE) {
		*negative = true;
		return (uint64_t)(int8_t)b;
	}
	if (b >= UINT8 && b <= UINT64) {
		return take_wide(c, b - UINT8);
	}
	if (b < INT8 || b > INT64) {
		c->bad = true;
		return 0;
	}
	v = take_wide(c, b - INT8);
	if (v & sign[b - INT8]) {
		*negative = true;
		v = (v ^ sign[b - INT8]) - sign[b - INT8];
	}
	return v;
}

uint64_t unpack_uint(struct cursor *c, uint64_t max)
{
	bool negative;
	uint64_t v = take_number(c, &negative);

	if (c->bad || negative || v > max) {
		c->bad = true;
		return 0;
	}
	return v;
}

int64_t unpack_int(struct cursor *c)
{
	bool negative;
	uint64_t v = take_number(c, &negative);

	if (c->bad || (!negative && v > INT64_MAX)) {
		c->bad = true;
		return 0;
	}
	return (int64_t)v;
}

bool unpack_bool(struct cursor *c)
{
	uint8_t b = cursor_u8(c);

	c->bad |= b != TRUE_BYTE && b != FALSE_BYTE && b != NIL;
	return !c->bad && b == TRUE_BYTE;
}

double unpack_double(struct cursor *c)
{
	uint8_t b = cursor_u8(c);
	double v = 0;

	if (b == FLOAT64) {
		uint64_t bits = cursor_u64be(c);

		memcpy(&v, &bits, sizeof(v));
	} else if (b == FLOAT32) {
		uint32_t bits = cursor_u32be(c);
		float narrow;

		memcpy(&narrow, &bits, sizeof(narrow));
		v = (double)narrow;
	} else {
		c->bad |= b != NIL;
	}
	return c->bad ? 0 : v;
}

/* One value without what it contains: how many values follow inside it. */
static uint64_t skip_one(struct cursor *c)
{
	uint8_t b = cursor_u8(c);

	if (c->bad || b < FIX_MAP || b >= NEGATIVE || b == NIL || b == FALSE_BYTE ||
		b == TRUE_BYTE) {
		return 0;
	}
	if (b < FIX_ARRAY) {
		return 2 * (uint64_t)(b & 15);
	}
	if (b < FIX_STR) {
		return b & 15;
	}
	if (is_str(b)) {
		str_behind(c, b);
	} else if (b >= EXT8 && b <= EXT32) {
		cursor_take(c, take_wide(c, b - EXT8) + 1);
	} else if (b == FLOAT32 || b == FLOAT64) {
		cursor_take(c, b == FLOAT32 ? 4 : 8);
	} else if (b >= UINT8 && b <= INT64) {
		cursor_take(c, 1u << ((b - UINT8) & 3));
	} else if (b >= FIX_EXT1 && b <= FIX_EXT16) {
		cursor_take(c, (1u << (b - FIX_EXT1)) + 1);
	} else if (b == ARRAY16 || b == ARRAY32) {
		return take_wide(c, b == ARRAY16 ? 1 : 2);
	} else if (b == MAP16 || b == MAP32) {
		return 2 * take_wide(c, b == MAP16 ? 1 : 2);
	} else {
		c->bad = true;
	}
	return 0;
}

/* Every value takes a byte at least, so more of them than bytes are wrong at once. */
void unpack_skip(struct cursor *c)
{
	uint64_t values = 1;

	while (values && !c->bad) {
		values += skip_one(c) - 1;
		c->bad |= values > cursor_left(c);
	}
}

struct str unpack_any(struct cursor *c)
{
	const char *start = c->p;

	unpack_skip(c);
	return c->bad ? STR_NONE : str_n(start, (size_t)(c->p - start));
}

static void get_field(struct cursor *c, const struct pack_field *f, void *p)
{
	switch (f->type) {
	case PACK_U8:
		*(uint8_t *)p = (uint8_t)unpack_uint(c, UINT8_MAX);
		break;
	case PACK_U16:
		*(uint16_t *)p = (uint16_t)unpack_uint(c, UINT16_MAX);
		break;
	case PACK_U32:
		*(uint32_t *)p = (uint32_t)unpack_uint(c, UINT32_MAX);
		break;
	case PACK_U64:
		*(uint64_t *)p = unpack_uint(c, UINT64_MAX);
		break;
	case PACK_I64:
		*(int64_t *)p = unpack_int(c);
		break;
	case PACK_BOOL:
		*(bool *)p = unpack_bool(c);
		break;
	case PACK_DOUBLE:
		*(double *)p = unpack_double(c);
		break;
	case PACK_STR:
	case PACK_BYTES:
		*(struct str *)p = unpack_str(c);
		break;
	case PACK_ANY:
		*(struct str *)p = unpack_any(c);
		break;
	}
}

static const struct pack_field *field_of(
	const struct pack_schema *s, struct str key, uint32_t declared)
{
	for (uint8_t i = 0; i < s->count; i++) {
		const struct pack_field *f = &s->fields[i];

		if (key.p ? str_is(key, f->key) : f->declared == declared) {
			return f;
		}
	}
	return NULL;
}

static size_t size_of(const struct pack_field *f)
{
	static const uint8_t sizes[] = { [PACK_U8] = 1,
		[PACK_U16] = 2,
		[PACK_U32] = 4,
		[PACK_U64] = 8,
		[PACK_I64] = 8,
		[PACK_BOOL] = sizeof(bool),
		[PACK_DOUBLE] = 8,
		[PACK_STR] = sizeof(struct str),
		[PACK_BYTES] = sizeof(struct str),
		[PACK_ANY] = sizeof(struct str) };

	return sizes[f->type];
}

void unpack_struct(struct cursor *c, const struct pack_schema *s, void *value)
{
	uint8_t first = cursor_left(c) ? (uint8_t)*c->p : NIL;
	bool array = (first & 0xf0) == FIX_ARRAY || first == ARRAY16 || first == ARRAY32;
	uint32_t count;

	for (uint8_t i = 0; i < s->count; i++) {
		memset((char *)value + s->fields[i].offset, 0, size_of(&s->fields[i]));
	}
	count = array ? unpack_array(c) : unpack_map(c);
	for (uint32_t i = 0; i < count && !c->bad; i++) {
		struct str key = array ? STR_NONE : unpack_str(c);
		const struct pack_field *f = NULL;

		if (array || key.p) {
			f = field_of(s, key, i);
		}
		if (f) {
			get_field(c, f, (char *)value + f->offset);
		} else {
			unpack_skip(c);
		}
	}
}
