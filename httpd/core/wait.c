/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One spot per thing that somebody waits for, in a hash table; the waiters of a spot in a list.
 */
#include "httpd/core/wait.h"

/* Spots are found by one byte (the kind, or PREFIX) and the name. */
enum { PREFIX = 0, NAME_MAX_BYTES = KV_KEY_MAX };

struct wait_spot {
	struct map_node node;
	struct list waiters;
	size_t name_size;
	char key[];
};

struct spot_key {
	char bytes[1 + NAME_MAX_BYTES];
};

static struct str key_of(struct spot_key *room, uint8_t kind, struct str name)
{
	size_t n = min_of(name.n, (size_t)NAME_MAX_BYTES);

	room->bytes[0] = (char)kind;
	if (n) {
		memcpy(room->bytes + 1, name.p, n);
	}
	return str_n(room->bytes, 1 + n);
}

void wait_table_init(struct wait_table *t, uint64_t hash_key)
{
	*t = (struct wait_table) { 0 };
	map_init(&t->spots, hash_key);
}

void wait_table_fini(struct wait_table *t)
{
	must(t->spots.count == 0);
	map_fini(&t->spots);
}

static bool spot_is_prefix(const struct wait_spot *s)
{
	return s->key[0] == PREFIX;
}

static struct wait_spot *spot_get(struct wait_table *t, struct str key)
{
	struct wait_spot *s = map_find(&t->spots, key, struct wait_spot, node);

	if (s) {
		return s;
	}
	s = xcalloc(1, sizeof(*s) + key.n);
	memcpy(s->key, key.p, key.n);
	s->name_size = key.n - 1;
	list_init(&s->waiters);
	map_add(&t->spots, &s->node, str_n(s->key, key.n));
	if (spot_is_prefix(s)) {
		t->prefix_sizes[s->name_size]++;
	}
	return s;
}

static void spot_free(struct wait_table *t, struct wait_spot *s)
{
	if (spot_is_prefix(s)) {
		t->prefix_sizes[s->name_size]--;
	}
	map_del(&t->spots, &s->node);
	free(s);
}

static void add(struct wait_table *t, struct waiter *w, uint8_t kind, struct str name)
{
	struct spot_key room;

	must(!w->spot);
	w->spot = spot_get(t, key_of(&room, kind, name));
	list_add_tail(&w->spot->waiters, &w->link);
	t->waiters_count++;
}

void wait_add(struct wait_table *t, struct waiter *w, enum thing kind, struct str name)
{
	add(t, w, (uint8_t)kind, name);
}

void wait_add_prefix(struct wait_table *t, struct waiter *w, struct str prefix)
{
	add(t, w, PREFIX, prefix);
}

void wait_del(struct wait_table *t, struct waiter *w)
{
	list_del(&w->link);
	if (!w->spot) {
		return;
	}
	t->waiters_count--;
	if (list_empty(&w->spot->waiters)) {
		spot_free(t, w->spot);
	}
	w->spot = NULL;
}

static void wake_spot(struct wait_table *t, struct wait_spot *s, struct list *woken)
{
	while (!list_empty(&s->waiters)) {
		struct waiter *w = list_entry(s->waiters.next, struct waiter, link);

		list_del(&w->link);
		w->spot = NULL;
		list_add_tail(woken, &w->link);
		t->waiters_count--;
	}
	spot_free(t, s);
}

static void wake_key(struct wait_table *t, uint8_t kind, struct str name, struct list *woken)
{
	struct spot_key room;
	struct wait_spot *s =
		map_find(&t->spots, key_of(&room, kind, name), struct wait_spot, node);

	if (s) {
		wake_spot(t, s, woken);
	}
}

void wait_wake(struct wait_table *t, enum thing kind, struct str name, struct list *woken)
{
	if (!t->waiters_count) {
		return;
	}
	wake_key(t, (uint8_t)kind, name, woken);
	if (kind != THING_KV) {
		return;
	}
	for (size_t n = 0; n <= min_of(name.n, (size_t)NAME_MAX_BYTES); n++) {
		if (t->prefix_sizes[n]) {
			wake_key(t, PREFIX, str_cut(name, n), woken);
		}
	}
}

void wait_wake_all(struct wait_table *t, struct list *woken)
{
	struct wait_spot *s, *following;

	map_for_each(s, following, &t->spots, node)
	{
		wake_spot(t, s, woken);
	}
}
