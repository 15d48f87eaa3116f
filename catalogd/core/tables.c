/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to the tables that can be undone, the common beginning of records, and the sets and lists
 * that a command fills.
 */
#include "catalogd/core/internal.h"

bool table_get(struct catalog *c, enum state_table table, struct str key, struct str *value_out)
{
	return kv_get(c->t, table, key, value_out);
}

static void undo_note(struct catalog *c, enum state_table table, struct str key)
{
	struct undo *u;
	struct str value = STR_NONE;

	if (!c->undoing) {
		return;
	}
	u = arena_new(&c->arena, struct undo);
	u->older = c->undo;
	u->table = table;
	u->key = arena_str(&c->arena, key);
	u->existed = kv_get(c->t, table, key, &value);
	u->value = arena_str(&c->arena, value);
	c->undo = u;
}

void table_put(struct catalog *c, enum state_table table, struct str key, struct str value)
{
	undo_note(c, table, key);
	kv_put(c->t, table, key, value);
}

void *table_reserve(struct catalog *c, enum state_table table, struct str key, size_t n)
{
	undo_note(c, table, key);
	return kv_put_reserve(c->t, table, key, n);
}

bool table_del(struct catalog *c, enum state_table table, struct str key)
{
	undo_note(c, table, key);
	return kv_del(c->t, table, key);
}

void table_put_u64(struct catalog *c, enum state_table table, struct str key, uint64_t v)
{
	table_put(c, table, key, str_n(&v, sizeof(v)));
}

bool table_get_u64(struct catalog *c, enum state_table table, struct str key, uint64_t *out)
{
	struct str value;

	if (!table_get(c, table, key, &value) || value.n != sizeof(*out)) {
		return false;
	}
	memcpy(out, value.p, sizeof(*out));
	return true;
}

void undo_begin(struct catalog *c)
{
	c->undoing = true;
	c->undo = NULL;
}

void undo_keep(struct catalog *c)
{
	c->undoing = false;
	c->undo = NULL;
}

void undo_all(struct catalog *c)
{
	for (struct undo *u = c->undo; u; u = u->older) {
		if (u->existed) {
			kv_put(c->t, u->table, u->key, u->value);
		} else {
			kv_del(c->t, u->table, u->key);
		}
	}
	undo_keep(c);
	c->marks.count = 0;
	c->addresses.count = c->addresses_before;
	set_clear(&c->dirty);
	set_clear(&c->renamed);
	service_names_flush(c, false);
}

bool entry_get(struct catalog *c, enum state_table table, struct str key, struct entry *out)
{
	struct str value;
	struct cursor cursor;

	if (!table_get(c, table, key, &value)) {
		return false;
	}
	cursor = cursor_of(arena_str(&c->arena, value));
	out->json = wire_get_STR(&cursor, NULL);
	out->create_index = cursor_u64(&cursor);
	out->modify_index = cursor_u64(&cursor);
	out->def = cursor_rest(&cursor);
	return !cursor.bad;
}

void entry_put(struct catalog *c, enum state_table table, struct str key, const struct entry *e)
{
	buf_clear(&c->record);
	wire_put_STR(&c->record, e->json);
	buf_put_u64(&c->record, e->create_index);
	buf_put_u64(&c->record, e->modify_index);
	buf_put_str(&c->record, e->def);
	table_put(c, table, key, buf_str(&c->record));
}

void set_init(struct name_set *s, struct arena *arena)
{
	map_init(&s->map, 0);
	s->arena = arena;
}

void set_fini(struct name_set *s)
{
	map_fini(&s->map);
}

void set_clear(struct name_set *s)
{
	struct name_entry *e, *following;

	map_for_each(e, following, &s->map, node)
	{
		map_del(&s->map, &e->node);
	}
}

bool set_add(struct name_set *s, struct str name)
{
	struct name_entry *e;

	if (map_find_node(&s->map, name)) {
		return false;
	}
	e = arena_new(s->arena, struct name_entry);
	map_add(&s->map, &e->node, arena_str(s->arena, name));
	return true;
}

void mark(struct catalog *c, enum thing kind, struct str name)
{
	struct marks *m = &c->marks;

	if (m->count == m->size) {
		m->size = max_of(m->size * 2, (size_t)32);
		m->items = xrealloc(m->items, m->size * sizeof(m->items[0]));
	}
	m->items[m->count++] = (struct mark) { kind, arena_str(&c->arena, name) };
}

void mark_gone(struct catalog *c, enum thing kind, struct str name)
{
	struct state_key room;
	char *rest = be64_key(&room, c->index);

	must(name.n < sizeof(room.bytes) - 9);
	*rest = (char)kind;
	memcpy(rest + 1, name.p, name.n);
	table_put(c, STATE_THING_GRAVES, str_n(room.bytes, 9 + name.n), STR(""));
	mark(c, kind, name);
}

void address_note(struct catalog *c, const struct address_note *note)
{
	struct address_notes *a = &c->addresses;

	if (a->count == a->size) {
		a->size = max_of(a->size * 2, (size_t)16);
		a->items = xrealloc(a->items, a->size * sizeof(a->items[0]));
	}
	a->items[a->count++] = (struct address_note) {
		.gone = note->gone,
		.owner = note->owner,
		.address = arena_str(&c->batch, note->address),
		.id = arena_str(&c->batch, note->id),
		.name = arena_str(&c->batch, note->name),
	};
}

void *be64_key(struct state_key *room, uint64_t index)
{
	index = __builtin_bswap64(index);
	memcpy(room->bytes, &index, sizeof(index));
	return room->bytes + sizeof(index);
}
