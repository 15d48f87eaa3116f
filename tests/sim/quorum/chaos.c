/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong: one function per action, drawn by the weights of the profile.
 */
#include "tests/sim/quorum/chaos.h"

#include "tests/sim/quorum/world.h"

#include "common/base/err.h"

static struct server *any_at_all(struct world *w)
{
	return &w->servers[rng_below(&w->rng, w->servers_count)];
}

/* One that is part of all this already. */
static struct server *any(struct world *w)
{
	struct server *s = any_at_all(w);

	while (!s->wanted) {
		s = any_at_all(w);
	}
	return s;
}

static struct server *any_live(struct world *w)
{
	struct server *s = any(w);

	for (unsigned i = 0; i < w->servers_count && !s->live; i++) {
		s = &w->servers[(s->number + 1) % w->servers_count];
	}
	return s->live ? s : NULL;
}

/* The leader as a rule: there it hurts most. */
static struct server *victim(struct world *w)
{
	struct server *leader = world_leader(w);

	return leader && world_chance(w, 60) ? leader : any_live(w);
}

/* -------- outside of a turn, but as if in one -------- */

static bool enter(struct server *s)
{
	if (!s || !s->live || s->world->now < s->busy_until) {
		return false;
	}
	s->stall = 0;
	s->turn_syncs = s->disk.syncs;
	return true;
}

static void leave(struct server *s)
{
	check_turn(s);
	server_wake(s, s->world->now);
}

/* -------- the network -------- */

static void cut(struct world *w, unsigned from, unsigned to)
{
	w->links[from][to].cut = true;
	if (world_chance(w, 30)) {
		w->links[from][to].refused_until = w->now + world_within(w, 0, 2000000);
	}
}

/* Commands without an effect, more than clients send: entries that wait, or that get lost. */
static void burst(struct world *w)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct command c = { .kind = 1 };
	struct server *leader = world_leader(w);
	uint64_t count = 1 + rng_below(&w->rng, 40), index;

	if (!enter(leader)) {
		return;
	}
	for (uint64_t i = 0; i < count; i++) {
		buf_clear(&body);
		c.value = rng_u64(&w->rng);
		c.padding = (uint32_t)rng_below(&w->rng, 40);
		command_encode(&body, &c);
		(void)node_propose(&leader->node, server_clock(leader), buf_str(&body), &index);
	}
	note(w, leader, "has %llu commands more", (unsigned long long)count);
	leave(leader);
}

static void partition(struct world *w)
{
	uint64_t side = rng_u64(&w->rng);

	for (unsigned i = 0; i < w->servers_count; i++) {
		for (unsigned j = 0; j < w->servers_count; j++) {
			if ((side >> i & 1) != (side >> j & 1)) {
				cut(w, i, j);
			}
		}
	}
	note(w, NULL, "the network falls apart: %llx", (unsigned long long)side & 0x1ff);
}

static void isolate(struct world *w)
{
	struct server *s = victim(w);
	bool in = world_chance(w, 80), out = !in || world_chance(w, 80);

	for (unsigned i = 0; s && i < w->servers_count; i++) {
		if (in) {
			cut(w, i, s->number);
		}
		if (out) {
			cut(w, s->number, i);
		}
	}
	note(w, s, "is cut off%s%s", in ? " in" : "", out ? " out" : "");
	if (world_chance(w, 30)) {
		burst(w);
	}
}

static void one_way(struct world *w)
{
	unsigned a = any(w)->number, b = any(w)->number;

	cut(w, a, b);
	note(w, NULL, "nothing gets from s%u to s%u", a + 1, b + 1);
}

static void pair(struct world *w)
{
	unsigned a = any(w)->number, b = any(w)->number;

	cut(w, a, b);
	cut(w, b, a);
	note(w, NULL, "nothing gets between s%u and s%u", a + 1, b + 1);
}

static void clog_some(struct world *w)
{
	struct server *s = victim(w);
	int64_t until = w->now + world_within(w, 10000, 900000);
	bool all = world_chance(w, 50);

	for (unsigned i = 0; s && i < w->servers_count; i++) {
		if (all || world_chance(w, 40)) {
			w->links[i][s->number].clogged_until = until;
		}
		if (all || world_chance(w, 40)) {
			w->links[s->number][i].clogged_until = until;
		}
	}
	note(w, s, "has clogged links until %lld", (long long)(until / NS_PER_MS));
}

static void break_some(struct world *w)
{
	struct server *s = victim(w);

	for (unsigned i = 0; s && i < w->servers_count; i++) {
		if (i != s->number && world_chance(w, 50)) {
			net_break(w, s->number, i);
		}
	}
	note(w, s, "has connections that broke");
}

static void loss(struct world *w)
{
	const struct profile *p = w->profile;

	w->loss_pm = (uint32_t)rng_below(&w->rng, p->loss_pm_max + 1);
	w->duplicate_pm = (uint32_t)rng_below(&w->rng, p->duplicate_pm_max + 1);
	note(w, NULL, "of 1000 packets %u are lost, %u come twice", w->loss_pm, w->duplicate_pm);
}

static void heal(struct world *w)
{
	net_heal(w);
	note(w, NULL, "the network is well");
}

/* -------- processes -------- */

static void kill_one(struct world *w)
{
	struct server *s = victim(w);

	if (s) {
		server_crash(s, false);
	}
}

static void power_one(struct world *w)
{
	struct server *s = victim(w);

	if (s) {
		server_crash(s, true);
	}
}

static void power_all(struct world *w)
{
	for (unsigned i = 0; i < w->servers_count; i++) {
		if (!world_chance(w, 10)) {
			server_crash(&w->servers[i], true);
		}
	}
}

static void start_one(struct world *w)
{
	struct server *s = any(w);

	for (unsigned i = 0; i < w->servers_count; i++) {
		if (s->wanted && !s->live) {
			if (!server_start(s) && world_chance(w, 30)) {
				/* once more, in the middle of a recovery */
				fake_disk_power_cut(&s->disk);
				s->machine = s->saved[0];
			}
			return;
		}
		s = &w->servers[(s->number + 1) % w->servers_count];
	}
}

static void bounce(struct world *w)
{
	struct server *s = any_live(w);

	if (s) {
		server_crash(s, false);
		(void)server_start(s);
	}
}

static void pause_one(struct world *w)
{
	struct server *s = victim(w);

	if (s) {
		s->busy_until = w->now + world_within(w, 20000, 1200000);
		note(w, s, "does not run until %lld", (long long)(s->busy_until / NS_PER_MS));
	}
}

/* -------- disks -------- */

static void disk_bad(struct world *w)
{
	struct server *s = any(w);

	if (world_chance(w, 50)) {
		s->disk.fail_percent = 1 + (uint32_t)rng_below(&w->rng, 30);
	} else {
		s->disk.fail_at = s->disk.calls + 1 + rng_below(&w->rng, 30);
	}
	note(w, s, "has a disk that fails");
}

static void disk_full(struct world *w)
{
	struct server *s = any(w);

	s->disk.capacity = fake_disk_bytes(&s->disk) + rng_below(&w->rng, 40 << 10);
	note(w, s, "has little room");
}

static void disk_good(struct world *w)
{
	struct server *s = any(w);
	unsigned count = world_chance(w, 30) ? w->servers_count : 1;

	for (unsigned i = 0; i < count; i++) {
		s->disk.fail_percent = 0;
		s->disk.fail_at = 0;
		s->disk.capacity = 0;
		s = &w->servers[(s->number + 1) % w->servers_count];
	}
}

static void disk_slow(struct world *w)
{
	struct server *s = world_leader(w);

	struct uuid whoever = { { 0 } };

	if (enter(s)) {
		note(w, s, "has a slow disk");
		(void)node_transfer(&s->node, server_clock(s), &whoever);
		leave(s);
	}
}

static void snapshot(struct world *w)
{
	struct server *s = any_live(w);

	if (s) {
		s->save_due = true;
		server_wake(s, w->now);
	}
}

static void prepare(struct world *w)
{
	struct server *s = any_live(w);

	if (s) {
		(void)log_prepare(s->node.log);
	}
}

/* -------- members -------- */

/* One at a time, of at least three: what a majority had can then not be lost. */
static void wipe(struct world *w)
{
	struct server *leader = world_sound_leader(w), *s = any(w);
	const struct configuration *c = leader ? &leader->node.raft.configuration : NULL;

	if (c && configuration_voters(c) >= 3 &&
		configuration_find((struct configuration *)c, &s->id)) {
		server_wipe(s);
		if (world_chance(w, 80)) {
			(void)server_start(s);
		}
	}
}

static void change(
	struct world *w, struct server *leader, struct server *s, enum raft_change_type type)
{
	static const char *const names[] = { "", "added", "promoted", "demoted", "removed" };
	struct raft_server_change c = {
		.type = type, .id = s->id, .address = s->address, .life = s->disk_life
	};
	uint64_t index;
	int r;

	if (world_is_sound(w, &leader->node.raft.configuration) && enter(leader)) {
		r = node_change(&leader->node, server_clock(leader), &c, &index);
		note(w, leader, "s%u is to be %s: %s", s->number + 1, names[type], status_name(r));
		leave(leader);
	}
}

static void members(struct world *w)
{
	static const enum raft_change_type types[] = { RAFT_ADD, RAFT_ADD, RAFT_ADD, RAFT_PROMOTE,
		RAFT_PROMOTE, RAFT_PROMOTE, RAFT_DEMOTE, RAFT_REMOVE };
	struct server *leader = world_leader(w), *s = any_at_all(w);
	enum raft_change_type type = types[rng_below(&w->rng, ARRAY_SIZE(types))];
	size_t at;

	if (!leader) {
		return;
	}
	at = (size_t)rng_below(&w->rng, leader->node.raft.configuration.count);
	if (type != RAFT_ADD) {
		s = world_server(w, &leader->node.raft.configuration.servers[at].id);
	} else if (!s->wanted) {
		server_start(s);
	}
	change(w, leader, s, type);
}

static void move_one(struct world *w)
{
	struct server *s = victim(w), *leader;

	if (!s) {
		return;
	}
	server_crash(s, false);
	s->address[5] = (char)('0' + rng_below(&w->rng, 10)); /* 10.0.N.x */
	server_start(s);
	leader = world_leader(w);
	if (leader && leader != s) {
		change(w, leader, s, RAFT_ADD);
	}
}

static void transfer(struct world *w)
{
	struct server *leader = world_leader(w);
	struct uuid to = world_chance(w, 50) ? any(w)->id : (struct uuid) { 0 };
	int r;

	if (enter(leader)) {
		w->counters.transfers++;
		r = node_transfer(&leader->node, server_clock(leader), &to);
		note(w, leader, "hands over: %s", status_name(r));
		leave(leader);
	}
}

/* One that was not told yet who may form the cluster; or one that the first has to take in. */
static void tell(struct world *w, struct server *s)
{
	struct server *leader = world_leader(w);
	int r;

	if (s->number >= w->started || server_is_wiped(s)) {
		return;
	}
	if (!w->servers[0].bootstrap && enter(s)) {
		if (!s->told) {
			bool other = s->number >= w->first_to ||
				     (w->torn && s->number >= w->first_from && world_chance(w, 50));

			s->told = &w->first[other];
		}
		r = node_bootstrap(&s->node, server_clock(s), s->told);
		note(w, s, "is told of %zu servers: %s", s->told->count, status_name(r));
		leave(s);
	} else if (w->servers[0].bootstrap && leader) {
		const struct configuration_server *member =
			configuration_find(&leader->node.raft.configuration, &s->id);

		change(w, leader, s, member ? RAFT_PROMOTE : RAFT_ADD);
	}
}

static void tell_one(struct world *w)
{
	tell(w, &w->servers[rng_below(&w->rng, w->started)]);
}

/* -------- all well -------- */

static void all_well(struct world *w)
{
	net_heal(w);
	w->loss_pm = w->duplicate_pm = 0;
	for (unsigned i = 0; i < w->servers_count; i++) {
		struct server *s = &w->servers[i];

		s->disk.fail_percent = 0;
		s->disk.fail_at = 0;
		s->disk.capacity = 0;
		if (s->wanted && !s->live && !server_start(s)) {
			failed(w, s, "does not start on a good disk");
		}
	}
	note(w, NULL, "all is well");
}

void chaos_end(struct world *w)
{
	all_well(w);
	for (unsigned i = 0; i < w->servers_count; i++) {
		struct server *s = &w->servers[i];

		s->busy_until = min_of(s->busy_until, w->now);
		s->stall = 0;
		server_wake(s, w->now);
		if (i < w->started && !w->servers[0].bootstrap) {
			tell(w, s);
		}
	}
}

/* -------- drawing -------- */

static void (*const actions[CHAOS_ACTIONS])(struct world *w) = {
	[CHAOS_PARTITION] = partition,
	[CHAOS_ISOLATE] = isolate,
	[CHAOS_ONE_WAY] = one_way,
	[CHAOS_PAIR] = pair,
	[CHAOS_CLOG] = clog_some,
	[CHAOS_BREAK] = break_some,
	[CHAOS_LOSS] = loss,
	[CHAOS_HEAL] = heal,
	[CHAOS_KILL] = kill_one,
	[CHAOS_POWER] = power_one,
	[CHAOS_POWER_ALL] = power_all,
	[CHAOS_WIPE] = wipe,
	[CHAOS_START] = start_one,
	[CHAOS_BOUNCE] = bounce,
	[CHAOS_PAUSE] = pause_one,
	[CHAOS_DISK] = disk_bad,
	[CHAOS_FULL] = disk_full,
	[CHAOS_DISK_GOOD] = disk_good,
	[CHAOS_DISK_SLOW] = disk_slow,
	[CHAOS_MEMBERS] = members,
	[CHAOS_MOVE] = move_one,
	[CHAOS_TRANSFER] = transfer,
	[CHAOS_SNAPSHOT] = snapshot,
	[CHAOS_PREPARE] = prepare,
	[CHAOS_BURST] = burst,
	[CHAOS_TELL] = tell_one,
	[CHAOS_CALM] = all_well,
};

static enum chaos_action draw(struct world *w)
{
	const unsigned *weights = w->profile->weights;
	unsigned sum = 0, at;

	for (size_t i = 0; i < CHAOS_ACTIONS; i++) {
		sum += weights[i];
	}
	at = (unsigned)rng_below(&w->rng, sum);
	for (size_t i = 0; i < CHAOS_ACTIONS; i++) {
		if (at < weights[i]) {
			return (enum chaos_action)i;
		}
		at -= weights[i];
	}
	must(false);
}

void chaos_event(struct world *w)
{
	int64_t us = w->profile->every_ms * 1000;
	enum chaos_action action = draw(w);

	if (!w->faults) {
		return;
	}
	actions[action](w);
	if (action == CHAOS_CALM) {
		us *= 8;
	}
	world_at(w, w->now + world_within(w, us / 8, 2 * us), EVENT_CHAOS, 0, NULL);
}

/* -------- the beginning -------- */

static void put_first(struct world *w, struct configuration *c, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct configuration_server *m = &c->servers[c->count++];

		m->id = w->servers[i].id;
		m->life = w->servers[i].disk_life;
		m->voter = true;
		memcpy(m->address, w->servers[i].address, sizeof(m->address));
	}
}

void chaos_begin(struct world *w)
{
	const struct profile *p = w->profile;
	bool alone =
		p->founding == FOUND_ALONE || (p->founding == FOUND_ANY && world_chance(w, 20));

	for (unsigned i = 0; i < w->servers_count; i++) {
		server_init(w, i);
	}
	w->started = p->least_servers +
		     (unsigned)rng_below(&w->rng, p->most_servers - p->least_servers + 1);
	w->torn = p->founding == FOUND_TORN;
	w->first_to = w->started;
	if (w->torn) {
		w->first_to = 2 + (unsigned)rng_below(&w->rng, w->started - 1);
	}
	w->first_from = (unsigned)rng_below(&w->rng, w->first_to);
	put_first(w, &w->first[0], 0, w->first_to);
	put_first(w, &w->first[1], w->first_from, w->started);
	w->servers[0].bootstrap = alone || w->started == 1;
	for (unsigned i = 0; i < w->started; i++) {
		if (!server_start(&w->servers[i])) {
			failed(w, &w->servers[i], "does not start on a new disk");
		}
		if (!w->servers[0].bootstrap && world_chance(w, 85)) {
			tell(w, &w->servers[i]);
		}
	}
}
