/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code behind the rows of record.def; keys and indexes of things.
 */
#include "common/msg/state.h"

#include "common/msg/wire_code.h"

#define TYPE(type) WIRE_DEFINE(type)
#include "common/msg/record.def"
#undef TYPE

#define TABLE(name, primary) #name,
const char *const state_table_names[] = { STATE_TABLES(TABLE) };
#undef TABLE
#define TABLE(name, primary) primary,
const bool state_table_primary[] = { STATE_TABLES(TABLE) };
#undef TABLE

enum health health_of(struct str status)
{
	if (str_eq(status, STR("passing"))) {
		return HEALTH_PASSING;
	}
	if (str_eq(status, STR("warning"))) {
		return HEALTH_WARNING;
	}
	return str_eq(status, STR("critical")) ? HEALTH_CRITICAL : HEALTH_OTHER;
}

static uint64_t index_get(struct kv_txn *t, enum state_table table, struct str key)
{
	struct str value;
	uint64_t index = 0;

	if (kv_get(t, table, key, &value) && value.n == sizeof(index)) {
		memcpy(&index, value.p, sizeof(index));
	}
	return index;
}

static uint64_t floor_get(struct kv_txn *t, enum thing kind)
{
	const char key[2] = { THING_FLOOR, (char)kind };

	return max_of(index_get(t, STATE_THINGS, str_n(key, sizeof(key))), (uint64_t)1);
}

uint64_t thing_index(struct kv_txn *t, enum thing kind, struct str name)
{
	char key[KV_KEY_MAX];
	uint64_t index;

	if (name.n + 1 > sizeof(key)) {
		return floor_get(t, kind);
	}
	key[0] = (char)kind;
	if (name.n) {
		memcpy(key + 1, name.p, name.n);
	}
	index = index_get(t, STATE_THINGS, str_n(key, name.n + 1));
	return index ? index : floor_get(t, kind);
}

uint64_t thing_kv_index(struct kv_txn *t, struct str key)
{
	struct kv_record record;
	struct str value;
	uint64_t index;

	if (key.n == 0 || key.n > KV_NAME_MAX) {
		return floor_get(t, THING_KV);
	}
	if (kv_get(t, STATE_KVS, key, &value) && !kv_record_decode(value, NULL, &record)) {
		return record.modify_index;
	}
	index = index_get(t, STATE_TOMBSTONES, key);
	return index ? index : floor_get(t, THING_KV);
}

bool lock_delay_get(struct str value, struct lock_delay_record *out)
{
	if (value.n == sizeof(uint64_t)) {
		*out = (struct lock_delay_record) { .delay_ms = LOCK_DELAY_MAX_MS };
		return true;
	}
	if (lock_delay_record_decode(value, NULL, out)) {
		return false;
	}
	out->delay_ms = max_of(min_of(out->delay_ms, (int64_t)LOCK_DELAY_MAX_MS), (int64_t)0);
	return true;
}

struct str state_key2(struct state_key *room, struct str a, struct str b)
{
	return state_key3(room, a, b, STR_NONE);
}

static size_t part_put(struct state_key *room, size_t at, struct str part, bool zero)
{
	size_t n = min_of(part.n, sizeof(room->bytes) - at);

	if (n) {
		memcpy(room->bytes + at, part.p, n);
	}
	at += n;
	if (zero && at < sizeof(room->bytes)) {
		room->bytes[at++] = '\0';
	}
	return at;
}

struct str state_key3(struct state_key *room, struct str a, struct str b, struct str c)
{
	size_t at = part_put(room, 0, a, true);

	at = part_put(room, at, b, c.p != NULL);
	return str_n(room->bytes, part_put(room, at, c, false));
}

struct str state_lower(struct state_key *room, struct str s)
{
	s = str_cut(s, sizeof(room->bytes));
	str_lower_into(s, room->bytes);
	return str_n(room->bytes, s.n);
}

int state_uuid(struct str text, struct uuid *out, struct buf *why)
{
	char digits[UUID_TEXT_SIZE];
	size_t n = 0, hyphens = 0;

	if (text.n != UUID_TEXT_SIZE) {
		buf_put_cstr(why, "UUID must be 36 characters");
		return ST_INVALID;
	}
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '-') {
			hyphens++;
		} else {
			digits[n++] = text.p[i];
		}
	}
	if (hyphens > 4) {
		buf_printf(why, "UUID should have maximum of 4 \"-\"; got %zu", hyphens);
		return ST_INVALID;
	}
	if (n % 2) {
		buf_put_cstr(why, "Input (without hyphens) must be even length");
		return ST_INVALID;
	}
	for (size_t i = 0; i < n; i++) {
		if (!memchr("0123456789abcdefABCDEF", digits[i], 22)) {
			buf_printf(why, "Invalid UUID: encoding/hex: invalid byte: U+%04X '%c'",
				(unsigned char)digits[i], digits[i]);
			return ST_INVALID;
		}
	}
	return hex_parse(str_n(digits, n), out->b, sizeof(out->b)) ? ST_NOT_FOUND : 0;
}
