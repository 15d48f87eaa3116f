/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes grow from 9 to 12 bits; 256 clears the table, 257 ends. The encoder clears when the table
 * is full; a decoder must also accept streams that do not begin with a clear.
 */
#include "gossipd/core/lzw.h"

#include "common/base/err.h"

enum {
	CLEAR = 256,
	END = 257,
	WIDTH_MIN = 9,
	WIDTH_MAX = 12,
	CODES = 1 << WIDTH_MAX,
	SLOTS = 2 * CODES,
	KEY_SHIFT = WIDTH_MAX,
	NO_CODE = UINT16_MAX,
};

/* -------- encoding -------- */

struct encoder {
	struct buf *out;
	uint32_t bits, bits_count;
	uint32_t width, hi, overflow;
	uint32_t slots[SLOTS]; /* code and byte << KEY_SHIFT | code that stands for them; 0: free */
};

static void reset(struct encoder *e)
{
	e->width = WIDTH_MIN;
	e->hi = END;
	e->overflow = 1 << WIDTH_MIN;
	memset(e->slots, 0, sizeof(e->slots));
}

static void emit(struct encoder *e, uint32_t code)
{
	e->bits |= code << e->bits_count;
	e->bits_count += e->width;
	while (e->bits_count >= 8) {
		buf_put_u8(e->out, (uint8_t)e->bits);
		e->bits >>= 8;
		e->bits_count -= 8;
	}
}

/* The next free code; false: the table was full and has been cleared. */
static bool grow(struct encoder *e)
{
	e->hi++;
	if (e->hi == e->overflow) {
		e->width++;
		e->overflow *= 2;
	}
	if (e->hi == CODES - 1) {
		emit(e, CLEAR);
		reset(e);
		return false;
	}
	return true;
}

/* The slot of a code followed by a byte, or the free one where it would stand. Codes that stand for
 * two are never 0, so a slot in use is not 0. */
static uint32_t *slot_of(struct encoder *e, uint32_t code, uint8_t byte)
{
	uint32_t key = code << 8 | byte;
	uint32_t at = (key * 0x9e3779b1u) >> (32 - WIDTH_MAX - 1);

	while (e->slots[at] && e->slots[at] >> KEY_SHIFT != key) {
		at = (at + 1) & (SLOTS - 1);
	}
	return &e->slots[at];
}

void lzw_encode(struct buf *out, struct str plain)
{
	struct encoder e;
	uint32_t code;

	e.out = out;
	e.bits = e.bits_count = 0;
	reset(&e);
	emit(&e, CLEAR);
	if (plain.n) {
		code = (uint8_t)plain.p[0];
		for (size_t i = 1; i < plain.n; i++) {
			uint8_t byte = (uint8_t)plain.p[i];
			uint32_t *slot = slot_of(&e, code, byte);
			uint32_t key = code << 8 | byte;

			if (*slot) {
				code = *slot & (CODES - 1);
				continue;
			}
			emit(&e, code);
			code = byte;
			if (grow(&e)) {
				*slot = key << KEY_SHIFT | e.hi;
			}
		}
		emit(&e, code);
		grow(&e);
	}
	emit(&e, END);
	if (e.bits_count) {
		buf_put_u8(out, (uint8_t)e.bits);
	}
}

/* -------- decoding -------- */

struct decoder {
	struct str in;
	size_t at;
	uint32_t bits, bits_count;
	uint32_t width, hi, overflow, last;
	uint16_t prefix[CODES];
	uint8_t suffix[CODES];
	uint8_t turned[CODES]; /* an expansion, from the end of the array */
};

static void clear(struct decoder *d)
{
	d->width = WIDTH_MIN;
	d->hi = END;
	d->overflow = 1 << WIDTH_MIN;
	d->last = NO_CODE;
}

static bool next_code(struct decoder *d, uint32_t *code)
{
	while (d->bits_count < d->width) {
		if (d->at == d->in.n) {
			return false;
		}
		d->bits |= (uint32_t)(uint8_t)d->in.p[d->at++] << d->bits_count;
		d->bits_count += 8;
	}
	*code = d->bits & ((1u << d->width) - 1);
	d->bits >>= d->width;
	d->bits_count -= d->width;
	return true;
}

/* Expands a code to the end of `turned`; where it begins. */
static size_t expand(struct decoder *d, uint32_t code)
{
	size_t at = CODES;
	uint32_t of = code;

	if (code == d->hi && d->last != NO_CODE) {
		/* The entry that is about to be made: the last expansion and its first byte. */
		of = d->last;
		at--;
	}
	while (of >= CLEAR) {
		d->turned[--at] = d->suffix[of];
		of = d->prefix[of];
	}
	d->turned[--at] = (uint8_t)of;
	if (code == d->hi && d->last != NO_CODE) {
		d->turned[CODES - 1] = d->turned[at];
	}
	return at;
}

static void learn(struct decoder *d, uint32_t code, uint8_t first)
{
	if (d->last != NO_CODE) {
		d->suffix[d->hi] = first;
		d->prefix[d->hi] = (uint16_t)d->last;
	}
	d->last = code;
	d->hi++;
	if (d->hi < d->overflow) {
		return;
	}
	if (d->width == WIDTH_MAX) {
		d->last = NO_CODE;
		d->hi--;
	} else {
		d->width++;
		d->overflow *= 2;
	}
}

int lzw_decode(struct buf *out, struct str packed, size_t size_max)
{
	struct decoder d = { .in = packed };
	size_t limit = out->n + size_max, at;
	uint32_t code;

	clear(&d);
	while (next_code(&d, &code)) {
		if (code == END) {
			return 0;
		}
		if (code == CLEAR) {
			clear(&d);
			continue;
		}
		if (code > d.hi) {
			return ST_INVALID;
		}
		at = expand(&d, code);
		if (limit - out->n < CODES - at) {
			return ST_TOO_LARGE;
		}
		buf_put(out, d.turned + at, CODES - at);
		learn(&d, code, d.turned[at]);
	}
	return ST_TRUNCATED;
}
