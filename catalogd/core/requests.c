/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results of the newest commands by their ids: a command that comes again after a lost answer
 * gets the same result and does nothing. The table is in order of the commands' indexes; where an
 * id is in it is kept in memory.
 */
#include "catalogd/core/internal.h"

enum { SIZE_FIRST = 256 };

static void requests_make(struct requests *r, uint32_t size)
{
	*r = (struct requests) {
		.ring = xcalloc(size, sizeof(r->ring[0])),
		.slots = xcalloc(2 * size, sizeof(r->slots[0])),
		.size = size,
	};
}

void requests_init(struct requests *r)
{
	requests_make(r, SIZE_FIRST);
}

void requests_fini(struct requests *r)
{
	free(r->ring);
	free(r->slots);
}

/* Ids are random already. */
static uint32_t *slot_of(struct requests *r, const struct uuid *id)
{
	uint32_t h;

	memcpy(&h, id->b, sizeof(h));
	return &r->slots[h % (2 * r->size)];
}

static void drop_oldest(struct catalog *c)
{
	struct requests *r = &c->requests;
	uint32_t at = r->first;
	uint32_t *link = slot_of(r, &r->ring[at].id);
	struct state_key room;

	while (*link != at + 1) {
		must(*link);
		link = &r->ring[*link - 1].chain;
	}
	*link = r->ring[at].chain;
	be64_key(&room, r->ring[at].index);
	kv_del(c->t, STATE_REQUESTS, str_n(room.bytes, sizeof(uint64_t)));
	r->bytes -= r->ring[at].bytes;
	r->first = (at + 1) % r->size;
	r->count--;
}

/* At the end of the ring, which has room. */
static void put(struct requests *r, const struct remembered *one)
{
	uint32_t at = (r->first + r->count) % r->size;
	uint32_t *slot = slot_of(r, &one->id);

	r->ring[at] = *one;
	r->ring[at].chain = *slot;
	*slot = at + 1;
	r->count++;
	r->bytes += one->bytes;
}

static void grow(struct requests *r)
{
	struct requests larger;

	requests_make(&larger, r->size * 2);
	for (uint32_t i = 0; i < r->count; i++) {
		put(&larger, &r->ring[(r->first + i) % r->size]);
	}
	requests_fini(r);
	*r = larger;
}

static void remember(struct catalog *c, const struct uuid *id, uint64_t index, size_t bytes)
{
	struct remembered one = { .id = *id, .index = index, .bytes = (uint32_t)bytes };
	struct requests *r = &c->requests;

	while (r->count && (r->count == REQUESTS_MAX || r->bytes + bytes > REQUESTS_BYTES_MAX)) {
		drop_oldest(c);
	}
	if (r->count == r->size) {
		grow(r);
	}
	put(r, &one);
}

void requests_load(struct catalog *c)
{
	struct kv_walk w;
	struct uuid id;
	uint64_t index;

	requests_fini(&c->requests);
	requests_init(&c->requests);
	kv_walk_init(&w, c->t, STATE_REQUESTS, STR(""));
	while (kv_walk_next(&w)) {
		must(w.key_size == sizeof(index) && w.value.n > sizeof(id.b));
		memcpy(&index, w.at, sizeof(index));
		memcpy(id.b, w.value.p, sizeof(id.b));
		remember(c, &id, __builtin_bswap64(index), w.value.n);
	}
}

bool requests_find(struct catalog *c, const struct uuid *id, struct result *out)
{
	struct requests *r = &c->requests;
	struct request_record record;
	struct state_key room;
	struct str value;

	for (uint32_t at = *slot_of(r, id); at; at = r->ring[at - 1].chain) {
		if (!uuid_eq(&r->ring[at - 1].id, id)) {
			continue;
		}
		be64_key(&room, r->ring[at - 1].index);
		must(kv_get(c->t, STATE_REQUESTS, str_n(room.bytes, sizeof(uint64_t)), &value));
		must(!request_record_decode(value, NULL, &record));
		*out = record.result;
		return true;
	}
	return false;
}

bool catalog_request_find(
	struct catalog *c, struct kv_txn *t, const struct uuid *id, struct result *out)
{
	struct kv_txn *batch = c->t;
	bool found;

	c->t = t;
	found = requests_find(c, id, out);
	c->t = batch;
	return found;
}

void requests_add(struct catalog *c, const struct uuid *id, const struct result *result)
{
	struct request_record record = { .id = *id, .result = *result };
	struct state_key room;

	buf_clear(&c->record);
	request_record_encode(&c->record, &record);
	if (c->record.n > REQUESTS_BYTES_MAX) {
		return;
	}
	remember(c, id, c->index, c->record.n);
	be64_key(&room, c->index);
	kv_put(c->t, STATE_REQUESTS, str_n(room.bytes, sizeof(uint64_t)), buf_str(&c->record));
}
