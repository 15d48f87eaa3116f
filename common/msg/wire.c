/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing of the field kinds.
 */
#include "common/msg/wire.h"

void wire_put_STR(struct buf *out, struct str v)
{
	must(v.n <= UINT32_MAX);
	buf_put_u32(out, (uint32_t)v.n);
	buf_put_str(out, v);
}

void wire_put_STRS(struct buf *out, struct strs v)
{
	buf_put_u8(out, v.present);
	buf_put_u32(out, v.count);
	for (uint32_t i = 0; i < v.count; i++) {
		wire_put_STR(out, v.items[i]);
	}
}

void wire_put_PAIRS(struct buf *out, struct pairs v)
{
	buf_put_u8(out, v.present);
	buf_put_u32(out, v.count);
	for (uint32_t i = 0; i < v.count; i++) {
		wire_put_STR(out, v.items[i].key);
		wire_put_STR(out, v.items[i].value);
	}
}

bool wire_get_BOOL(struct cursor *c, struct arena *arena)
{
	uint8_t v = cursor_u8(c);

	if (v > 1) {
		c->bad = true;
	}
	return v == 1;
}

struct uuid wire_get_UUID(struct cursor *c, struct arena *arena)
{
	struct uuid v;

	cursor_read(c, v.b, sizeof(v.b));
	return v;
}

struct str wire_get_STR(struct cursor *c, struct arena *arena)
{
	return cursor_take(c, cursor_u32(c));
}

uint32_t wire_get_count(struct cursor *c)
{
	uint32_t count = cursor_u32(c);

	if (count > cursor_left(c)) {
		c->bad = true;
	}
	return c->bad ? 0 : count;
}

void *wire_list_room(
	struct arena *arena, void *items, uint32_t at, uint32_t *room, size_t item_size)
{
	void *larger;

	if (at < *room) {
		return items;
	}
	*room = max_of(*room * 2, 4u);
	larger = arena_alloc_array(arena, *room, item_size);
	if (at) {
		memcpy(larger, items, at * item_size);
	}
	return larger;
}

struct strs wire_get_STRS(struct cursor *c, struct arena *arena)
{
	struct strs v = { .present = wire_get_BOOL(c, arena) };

	v.count = wire_get_count(c);
	v.items = arena_array(arena, struct str, v.count);
	for (uint32_t i = 0; i < v.count; i++) {
		v.items[i] = wire_get_STR(c, arena);
	}
	return v;
}

struct pairs wire_get_PAIRS(struct cursor *c, struct arena *arena)
{
	struct pairs v = { .present = wire_get_BOOL(c, arena) };

	v.count = wire_get_count(c);
	v.items = arena_array(arena, struct pair, v.count);
	for (uint32_t i = 0; i < v.count; i++) {
		v.items[i].key = wire_get_STR(c, arena);
		v.items[i].value = wire_get_STR(c, arena);
	}
	return v;
}

void wire_dump_STR(struct jsonw *w, struct str v)
{
	jsonw_str(w, v);
}

void wire_dump_STRS(struct jsonw *w, struct strs v)
{
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < v.count; i++) {
		jsonw_str(w, v.items[i]);
	}
	jsonw_close(w, ']');
}

void wire_dump_PAIRS(struct jsonw *w, struct pairs v)
{
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < v.count; i++) {
		jsonw_key(w, v.items[i].key);
		jsonw_str(w, v.items[i].value);
	}
	jsonw_close(w, '}');
}

void wire_dump_UUID(struct jsonw *w, struct uuid v)
{
	char text[UUID_TEXT_SIZE + 1];

	uuid_text(&v, text);
	jsonw_cstr(w, text);
}
