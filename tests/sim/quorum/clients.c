/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients, one operation at a time each: a write keeps its id when it is tried again elsewhere, a
 * read begins anew. What comes back goes into the history.
 */
#include "tests/sim/quorum/chaos.h"
#include "tests/sim/quorum/world.h"

enum { GIVE_UP_MS = 4000 };

static void again(struct world *w, unsigned number, int64_t at)
{
	w->clients[number].again = at;
	world_at(w, at, EVENT_CLIENT, number, NULL);
}

static void record(struct world *w, const struct client *c, uint64_t value, int64_t end)
{
	struct operation o = { c->kind, c->reg, value, c->begin, end };

	if (c->kind != OPERATION_STALE) {
		history_add(&w->history, &o);
	}
}

static struct server *choose(struct world *w)
{
	struct server *s = NULL;

	for (int i = 0; i < 12 && !(s && s->live); i++) {
		s = &w->servers[rng_below(&w->rng, w->servers_count)];
	}
	return s;
}

static void attempt(struct world *w, unsigned number)
{
	struct client *c = &w->clients[number];
	struct server *s = choose(w);

	c->operation++;
	if (c->kind != OPERATION_WRITE) {
		c->begin = w->now;
		c->floor = w->truth.seen;
	}
	again(w, number, w->now + world_within(w, 50000, 400000));
	if (!s->live) {
		return;
	}
	if (c->kind == OPERATION_WRITE) {
		struct command command = { 1, number, c->id, c->reg, c->padding, c->value };

		service_write(s, number, &command);
	} else {
		service_read(s, number, c->kind, c->reg);
	}
}

static void begin(struct world *w, unsigned number)
{
	static const enum operation_kind kinds[] = { OPERATION_WRITE, OPERATION_WRITE,
		OPERATION_WRITE, OPERATION_DEFAULT, OPERATION_DEFAULT, OPERATION_CONSISTENT,
		OPERATION_STALE };
	struct client *c = &w->clients[number];

	c->waits = true;
	c->kind = kinds[rng_below(&w->rng, ARRAY_SIZE(kinds))];
	c->reg = (unsigned)rng_below(&w->rng, REGISTERS);
	c->begin = w->now;
	c->give_up = w->now + GIVE_UP_MS * NS_PER_MS;
	if (c->kind == OPERATION_WRITE) {
		c->id++;
		c->value = (uint64_t)(number + 1) << 32 | c->id;
		c->padding = (uint32_t)rng_below(&w->rng, rng_below(&w->rng, 30) ? 60 : 1500);
	}
	attempt(w, number);
}

static void end(struct world *w, unsigned number)
{
	w->clients[number].waits = false;
	w->clients[number].operation++;
	again(w, number, w->now + world_within(w, 500, w->profile->idle ? 700000 : 30000));
}

void client_event(struct world *w, unsigned number)
{
	struct client *c = &w->clients[number];

	if (w->now < c->again) {
		return;
	}
	if (!c->waits) {
		begin(w, number);
	} else if (w->now < c->give_up) {
		attempt(w, number);
	} else {
		client_give_up(w, number);
		end(w, number);
	}
}

/* Perhaps it was done, perhaps it will be. */
void client_give_up(struct world *w, unsigned number)
{
	struct client *c = &w->clients[number];

	if (c->waits && c->kind == OPERATION_WRITE) {
		w->counters.unknown++;
		record(w, c, c->value, INT64_MAX);
	}
}

void client_answer(struct world *w, unsigned number, uint64_t operation, bool good, uint64_t value,
	uint64_t index)
{
	struct client *c = &w->clients[number];

	if (!c->waits || operation != c->operation) {
		return; /* it asked somebody else in the meantime */
	}
	if (!good) {
		c->operation++;
		again(w, number, w->now + world_within(w, 2000, 40000));
		return;
	}
	note(w, NULL, "client %u: %s register %u value %llu (index %llu)", number,
		c->kind == OPERATION_WRITE   ? "has written"
		: c->kind == OPERATION_STALE ? "has read stale"
					     : "has read",
		c->reg, (unsigned long long)value, (unsigned long long)index);
	record(w, c, value, w->now);
	if (c->kind == OPERATION_WRITE) {
		w->counters.writes++;
		c->acknowledged++;
	} else if (c->kind == OPERATION_STALE) {
		w->counters.stale_reads++;
	} else {
		w->counters.reads++;
	}
	if (c->kind != OPERATION_STALE) {
		w->truth.seen = max_of(w->truth.seen, index);
	}
	end(w, number);
}
