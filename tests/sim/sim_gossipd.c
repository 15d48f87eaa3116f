/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gossipd's core in pools of many members: one seed, one plan of what goes wrong.
 *
 *     sim_gossipd FILE...                           lines "plan members seed view"
 *     sim_gossipd --run PLAN MEMBERS SEED [VIEW]
 *
 * Every member runs the core itself. With VIEW 0 each knows all the others, which takes memory for
 * MEMBERS x MEMBERS records; otherwise each knows so many random others and exchanges no states,
 * which is enough to see how news spread among more members (plan events) and for nothing else.
 *
 * Checkers look on (gossip_world.c); a broken promise prints plan, members, seed and view and ends
 * the run.
 */
#include <math.h>
#include <stdio.h>

#include "gossipd/core/pool_private.h"
#include "tests/sim/gossip_world.h"

/* -------- losses, events -------- */

/* A minute of lost packets: nobody is declared failed. */
static void plan_loss(struct world *w)
{
	w->net.loss_permille = 50;
	net_run(&w->net, 60000);
	check_agreement(w);
}

/* Nothing happens. */
static void plan_idle(struct world *w)
{
	meter_start(w);
	net_run(&w->net, 120000);
	meter_print(w, "idle");
	check_agreement(w);
}

/* With one packet in twenty lost, events are everywhere within a second. */
static void plan_events(struct world *w)
{
	w->net.loss_permille = 50;
	meter_start(w);
	for (size_t i = 0; i < EVENTS_MAX; i++) {
		world_fire(w, rng_below(&w->net.rng, w->net.count));
		net_run(&w->net, (int64_t)rng_below(&w->net.rng, 2000));
	}
	meter_print(w, "an event a second");
	net_run(&w->net, 10000);
	check_events(w);
}

/* As many again come at the same time: those that are there go on hearing events in time; in ten
 * seconds of 10,000 pairs all but a few know each other, and push/pull brings the last together. */
static void plan_joins(struct world *w)
{
	size_t old = w->net.count / 2, fresh = w->net.count - old, joined = 0;
	int64_t took_ms = 0, most_ms = 0;

	for (int tick = 0; tick < 100; tick++) {
		for (; joined < fresh * (size_t)(tick + 1) / 100; joined++) {
			net_start_node(&w->net, old + joined);
			net_join(&w->net, old + joined, rng_below(&w->net.rng, old), false);
		}
		if (tick % 5 == 0) {
			world_fire(w, rng_below(&w->net.rng, old));
		}
		net_run(&w->net, 10);
	}
	while (world_known(w) < 10000 && took_ms < 300000) {
		if (took_ms % 1000 == 0 && w->events < EVENTS_MAX) {
			world_fire(w, rng_below(&w->net.rng, old));
		}
		net_run(&w->net, 100);
		took_ms += 100;
		most_ms = !most_ms && world_known(w) >= 9990 ? took_ms : most_ms;
	}
	printf("  joins: %zu more known to 99.9 %% after %lld ms, to all after %lld ms\n", fresh,
		(long long)most_ms, (long long)took_ms);
	if (most_ms == 0 || most_ms > 10000) {
		world_failed(w, "a crowd is not known in time", (uint64_t)most_ms);
	}
	net_run(&w->net, 10000);
	check_agreement(w);
	check_events(w);
}

/* -------- deaths -------- */

static void kill_one(struct world *w, size_t i)
{
	w->dead[i] = true;
	world_kill(w, i);
}

/*
 * SWIM's theory: in an interval a member is probed by nobody with probability 1/e, so of d dead
 * ones all are found within ln d + 10 intervals but for one run in 20,000. Then the probe takes an
 * interval, others confirm the suspicion, which so lasts its shortest time, and the news spread.
 */
static int64_t death_bound_ms(const struct world *w, size_t deaths)
{
	enum { SPREAD_MS = 3000 };
	const struct pool_profile *t = &w->net.options.profile;
	double intervals = log((double)deaths) + 10 + 1;

	return (int64_t)(intervals * (double)t->probe_interval_ms) + SPREAD_MS +
	       suspicion_min_ms(t->suspicion_mult, (uint32_t)w->net.count, t->probe_interval_ms);
}

static void plan_deaths(struct world *w)
{
	size_t deaths = max_of(w->net.count / 100, (size_t)1), dead = 0;
	int64_t bound_ms = death_bound_ms(w, deaths);

	w->net.loss_permille = 20;
	w->died_at = w->net.now;
	for (size_t i = 0; i < deaths; i++) {
		kill_one(w, 1 + rng_below(&w->net.rng, w->net.count - 1));
	}
	for (size_t i = 0; i < w->net.count; i++) {
		dead += w->dead[i];
	}
	meter_start(w);
	net_run(&w->net, bound_ms);
	meter_print(w, "deaths");
	printf("  deaths: %zu known to all after %lld ms (bound %lld)\n", dead,
		(long long)(w->known_last_ns / NS_PER_MS), (long long)bound_ms);
	if (w->deaths_known < dead * (w->net.count - dead)) {
		world_failed(w, "not all know of the dead", w->deaths_known);
	}
	check_agreement(w);
}

/* -------- slow members -------- */

struct anomalies {
	size_t step; /* every so manieth member is slow */
	struct rng rng;
	int64_t pause_max_ms, rest_max_ms;
	bool blocked; /* they stand before their sockets; their clocks go on */
};

/* Slow members stop and go on, again and again, all of them by themselves. */
static void be_slow(struct world *w, struct anomalies *a, int64_t ms)
{
	enum { TICK_MS = 100 };

	for (int64_t at = 0; at < ms; at += TICK_MS) {
		for (size_t i = 0; i < w->net.count; i += a->step) {
			struct sim_node *node = &w->net.nodes[i];
			uint64_t rest = rng_below(&a->rng, (uint64_t)a->rest_max_ms);
			uint64_t pause = rng_below(&a->rng, (uint64_t)a->pause_max_ms);
			struct mono *until =
				a->blocked ? &node->blocked_until : &node->paused_until;

			if (!mono_before(w->net.now, mono_add_ms(*until, (int64_t)rest))) {
				*until = mono_add_ms(w->net.now, (int64_t)pause);
			}
		}
		net_run(&w->net, TICK_MS);
	}
}

static struct anomalies anomalies_of(struct world *w, size_t percent, int64_t pause_max_ms)
{
	struct anomalies a = {
		.step = 100 / percent, .pause_max_ms = pause_max_ms, .rest_max_ms = 2000
	};

	rng_init(&a.rng, w->net.seed + percent);
	for (size_t i = 0; i < w->net.count; i += a.step) {
		w->shaky[i] = true;
	}
	return a;
}

/* Pauses that are shorter than a suspicion harm nobody. */
static void plan_slow(struct world *w)
{
	struct anomalies a = anomalies_of(w, 5, 4000);

	be_slow(w, &a, 120000);
	net_run(&w->net, 90000);
	printf("  slow: %llu suspicions\n", (unsigned long long)w->suspects);
	check_agreement(w);
}

static uint64_t false_failures(
	const struct world *like, size_t percent, uint32_t max_mult, uint32_t health_max)
{
	struct anomalies a;
	struct world w;
	uint64_t count;

	world_init(&w, like->plan, like->net.count, like->net.seed);
	w.false_failures_allowed = true;
	w.net.options.profile.suspicion_max_mult = max_mult;
	w.net.options.profile.health_max = health_max;
	world_build(&w, w.net.count, 0);
	a = anomalies_of(&w, percent, 16000);
	a.blocked = true;
	be_slow(&w, &a, 120000);
	count = w.false_failures;
	world_fini(&w);
	return count;
}

/* What Lifeguard adds to SWIM (longer suspicions until others confirm, doubt in oneself) makes
 * false failures of members that are well fifty times rarer, as its authors found: here, as there,
 * with members (1, 5 and 10 %) that stand before their sockets for up to 16 s. */
static void plan_lifeguard(struct world *w)
{
	static const size_t percents[] = { 1, 5, 10 };
	uint64_t swim = 0, ours = 0;

	for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
		uint64_t without = false_failures(w, percents[i], 1, 1);
		uint64_t with = false_failures(w, percents[i], pool_profile_lan.suspicion_max_mult,
			pool_profile_lan.health_max);

		printf("  %zu %% slow: false failures %llu, without Lifeguard %llu\n", percents[i],
			(unsigned long long)with, (unsigned long long)without);
		swim += without;
		ours += with;
	}
	must(swim); /* otherwise this shows nothing */
	if (ours * 50 > swim) {
		world_failed(w, "false failures are not fifty times rarer", ours);
	}
}

/* -------- partitions, restarts, leaves -------- */

/* The pool falls into two for two minutes and grows together again. */
static void plan_partition(struct world *w)
{
	w->false_failures_allowed = true;
	for (size_t i = 0; i < w->net.count; i++) {
		w->net.nodes[i].group = (int)(i % 2);
	}
	net_run(&w->net, 120000);
	for (size_t i = 0; i < w->net.count; i++) {
		const struct pool *p = &w->net.nodes[i].pool;

		if (pool_count(p, MEMBER_ALIVE) != (w->net.count + 1 - i % 2) / 2) {
			world_failed(w, "a part is not of one mind", i);
		}
		w->net.nodes[i].group = 0;
	}
	net_run(&w->net, 120000);
	check_agreement(w);
}

static void restart_one(struct world *w, size_t i, size_t join)
{
	net_start_node(&w->net, i);
	net_join(&w->net, i, join, true);
}

/* Half of the processes are replaced at the same time, without a word: nobody notices. */
static void plan_restart(struct world *w)
{
	for (size_t i = 1; i < w->net.count; i += 2) {
		world_kill(w, i);
	}
	net_run(&w->net, 2000);
	for (size_t i = 1; i < w->net.count; i += 2) {
		restart_one(w, i, i - 1);
	}
	net_run(&w->net, 60000);
	check_agreement(w);
}

static void leave_one(struct world *w, size_t i)
{
	struct pool_event leave = { .type = POOL_LEAVE };

	w->shaky[i] = true; /* where the death overtakes the intent it is failed for a moment */
	net_step(&w->net, i, &leave);
}

/* One that is up: of another wave, and not leaving. */
static size_t other_of_wave(struct world *w, size_t i, size_t waves)
{
	size_t other;

	do {
		other = (i + 1 + rng_below(&w->net.rng, waves - 1)) % w->net.count;
	} while (w->shaky[other] || !w->net.nodes[other].up);
	return other;
}

/* Every process is replaced, in ten waves of a second, while one member in 45 leaves for good.
 * After a minute there is no ghost of these. In a large crowd the word of a new life may come
 * behind the end of the suspicion of the old one: its failure is true, and push/pull ends the
 * last. */
static void plan_ghosts(struct world *w)
{
	enum { WAVES = 10, LEAVES_OF = 45, LEAVE_MORE_MS = 5000, AGREEMENT_MAX_MS = 300000 };
	int64_t took_ms = 0;

	w->past_failures_allowed = true;
	for (size_t i = 7; i < w->net.count; i += LEAVES_OF) {
		leave_one(w, i);
	}
	for (size_t wave = 0; wave < WAVES; wave++) {
		for (size_t i = wave; i < w->net.count; i += WAVES) {
			if (!w->shaky[i]) {
				world_kill(w, i);
			}
		}
		net_run(&w->net, 1000);
		for (size_t i = wave; i < w->net.count; i += WAVES) {
			if (!w->shaky[i]) {
				restart_one(w, i, other_of_wave(w, i, WAVES));
			}
		}
	}
	net_run(&w->net, LEAVE_MORE_MS); /* in the crowd the word may take all of its time */
	for (size_t i = 7; i < w->net.count; i += LEAVES_OF) {
		if (!w->net.nodes[i].left) {
			world_failed(w, "it does not finish leaving", i);
		}
		world_kill(w, i);
	}
	net_run(&w->net, 60000);
	check_no_ghosts(w);
	while (world_known(w) < 10000 && took_ms < AGREEMENT_MAX_MS) {
		net_run(&w->net, 1000);
		took_ms += 1000;
	}
	printf("  ghosts: none; %llu failures of lives that were over, all known to all %lld s "
	       "later\n",
		(unsigned long long)w->past_failures, (long long)took_ms / 1000);
	check_agreement(w);
}

/* A third leaves; they are remembered for a while, then gone from every table, and stay so. */
static void plan_removal(struct world *w)
{
	for (size_t i = 2; i < w->net.count; i += 3) {
		leave_one(w, i);
		net_run(&w->net, 1);
	}
	net_run(&w->net, 30000);
	for (size_t i = 2; i < w->net.count; i += 3) {
		if (!w->net.nodes[i].left) {
			world_failed(w, "it does not finish leaving", i);
		}
		world_kill(w, i);
	}
	net_run(&w->net, 60000);
	check_agreement(w);
	net_run(&w->net, 600000);
	check_agreement(w);
	for (size_t i = 0; i < w->net.count; i++) {
		const struct sim_node *node = &w->net.nodes[i];

		if (node->up && pool_count(&node->pool, MEMBER_NONE) +
						pool_count(&node->pool, MEMBER_ALIVE) !=
					node->pool.nodes.count) {
			world_failed(w, "one that left is not forgotten", i);
		}
	}
}

/* -------- running -------- */

static const struct {
	const char *name;
	void (*run)(struct world *w);
	enum { BUILD_ALL, BUILD_HALF, BUILD_NONE } build;
	int64_t tombstone_ms;
} plans[] = {
	{ "loss", plan_loss, BUILD_ALL, 0 },
	{ "idle", plan_idle, BUILD_ALL, 0 },
	{ "events", plan_events, BUILD_ALL, 0 },
	{ "joins", plan_joins, BUILD_HALF, 0 },
	{ "deaths", plan_deaths, BUILD_ALL, 0 },
	{ "slow", plan_slow, BUILD_ALL, 0 },
	{ "lifeguard", plan_lifeguard, BUILD_NONE, 0 },
	{ "partition", plan_partition, BUILD_ALL, 0 },
	{ "restart", plan_restart, BUILD_ALL, 0 },
	{ "ghosts", plan_ghosts, BUILD_ALL, 0 },
	{ "removal", plan_removal, BUILD_ALL, 300000 },
};

static void run(const char *plan, size_t count, uint64_t seed, size_t view)
{
	size_t i = 0;
	struct world w;

	while (i < ARRAY_SIZE(plans) && strcmp(plans[i].name, plan) != 0) {
		i++;
	}
	if (i == ARRAY_SIZE(plans) || (view && plans[i].run != plan_events)) {
		fprintf(stderr, "no plan \"%s\" with a view of %zu\n", plan, view);
		exit(2);
	}
	world_init(&w, plan, count, seed);
	if (plans[i].tombstone_ms) {
		w.net.options.tombstone_ms = plans[i].tombstone_ms;
	}
	if (plans[i].build != BUILD_NONE) {
		world_build(&w, plans[i].build == BUILD_HALF ? count / 2 : count, view);
	}
	plans[i].run(&w);
	printf("%s %zu %llu %zu: %lld s, %llu packets, %llu steps, false failures %llu\n", plan,
		count, (unsigned long long)seed, view, (long long)(w.net.now.ns / NS_PER_S),
		(unsigned long long)w.net.packets, (unsigned long long)w.net.steps,
		(unsigned long long)w.false_failures);
	fflush(stdout);
	world_fini(&w);
}

static void run_file(const char *path)
{
	unsigned long long count, seed, view;
	FILE *f = fopen(path, "r");
	char line[128], plan[32];

	must(f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] != '#') {
			must(sscanf(line, "%31s %llu %llu %llu", plan, &count, &seed, &view) == 4);
			run(plan, count, seed, view);
		}
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	if ((argc == 5 || argc == 6) && strcmp(argv[1], "--run") == 0) {
		run(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
			argc == 6 ? strtoull(argv[5], NULL, 10) : 0);
		return 0;
	}
	for (int i = 1; i < argc; i++) {
		run_file(argv[i]);
	}
	return 0;
}
