/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, one for each direction between two servers. By default each is like a connection of TCP:
 * in order, nothing lost but by a break, which the sender may or may not be told of. A profile may
 * allow more: packets that are lost, repeated and out of order, which raftd's own connections never
 * do, but which the core must survive all the same.
 */
#include "tests/sim/quorum/chaos.h"
#include "tests/sim/quorum/world.h"

enum { WAITING_MAX = 400 };

void packet_free(struct packet *p)
{
	buf_fini(&p->bytes);
	free(p);
}

static struct packet *packet_copy(const struct packet *p)
{
	struct packet *copy = xcalloc(1, sizeof(*copy));

	*copy = *p;
	copy->link = (struct list) { 0 };
	copy->bytes = (struct buf) { 0 };
	buf_put_str(&copy->bytes, buf_str(&p->bytes));
	return copy;
}

static int64_t latency(struct world *w)
{
	const struct profile *p = w->profile;
	int64_t us = p->latency_us;

	if (w->faults && world_chance(w, p->slow_percent)) {
		us *= 50;
	}
	return world_within(w, us / 4, us);
}

static void travel(struct world *w, struct link *l, struct packet *p, int64_t late)
{
	int64_t at = max_of(w->now + late, l->clogged_until) + latency(w);

	if (!w->profile->disorder) {
		at = max_of(at, l->newest);
		l->newest = at;
	}
	p->connection = l->connection;
	l->waiting++;
	world_at(w, at, EVENT_DELIVER, p->to, p);
}

bool net_send(struct server *s, unsigned to, struct packet *p, int64_t late)
{
	struct world *w = s->world;
	struct link *l = &w->links[s->number][to];

	p->from = s->number;
	p->to = to;
	if (w->now < l->refused_until || l->waiting >= WAITING_MAX) {
		packet_free(p);
		return false;
	}
	w->counters.messages++;
	if (rng_below(&w->rng, 1000) < w->loss_pm) {
		w->counters.lost++;
		packet_free(p);
		return true;
	}
	if (rng_below(&w->rng, 1000) < w->duplicate_pm) {
		travel(w, l, packet_copy(p), late + world_within(w, 0, 20000));
	}
	travel(w, l, p, late);
	return true;
}

/* A server that runs learns of it in time, or does not: its kernel may still wait. */
static void tell(struct server *s, unsigned peer)
{
	if (s->live && !world_chance(s->world, 20)) {
		s->broken[peer] = true;
		server_wake(s, s->world->now);
	}
}

void net_break(struct world *w, unsigned a, unsigned b)
{
	struct link *there = &w->links[a][b], *back = &w->links[b][a];

	w->counters.breaks++;
	there->connection++;
	back->connection++;
	there->refused_until = w->now + world_within(w, 0, 100000);
	back->refused_until = w->now + world_within(w, 0, 100000);
	tell(&w->servers[a], b);
	tell(&w->servers[b], a);
}

void net_heal(struct world *w)
{
	for (unsigned i = 0; i < w->servers_count; i++) {
		for (unsigned j = 0; j < w->servers_count; j++) {
			w->links[i][j].cut = false;
			w->links[i][j].clogged_until = 0;
			w->links[i][j].refused_until = 0;
		}
	}
}

void net_deliver(struct world *w, struct packet *p)
{
	struct link *l = &w->links[p->from][p->to];
	struct server *s = &w->servers[p->to];

	l->waiting--;
	if (l->cut || !s->live || p->connection != l->connection) {
		w->counters.lost++;
		packet_free(p);
		return;
	}
	if (w->now < l->clogged_until) {
		travel(w, l, p, 0);
		return;
	}
	list_add_tail(&s->inbox, &p->link);
	server_wake(s, w->now);
}
