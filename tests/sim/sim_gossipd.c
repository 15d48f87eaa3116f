/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gossipd's core in pools of a thousand members: one seed, one plan of what goes wrong.
 *
 *     sim_gossipd FILE...                lines "plan members seed"
 *     sim_gossipd --run PLAN MEMBERS SEED
 *
 * Checkers look on (check_*), each at one promise; a broken one prints plan, members and seed and
 * ends the run.
 */
#include <stdio.h>

#include "tests/sim/gossip_net.h"

enum { EVENTS_MAX = 32 };

struct sim {
	struct net net;
	const char *plan;
	/* what the checkers collect */
	uint64_t false_failures; /* of members that were up and well */
	uint64_t joins_seen, suspects;
	bool failures_are_wrong;
	struct mono fired_at[EVENTS_MAX];
	size_t events;
	uint32_t *delivered;   /* per event and node: how often */
	int64_t *latencies_ns; /* of deliveries */
	size_t latencies_count;
	struct mono died_at;
	int64_t known_last_ns; /* the last member that heard of the last dead one */
	uint64_t deaths_known;
	bool *dead, *shaky; /* by node: dead; not to be judged */
};

_Noreturn static void failed(const struct sim *s, const char *what, uint64_t number)
{
	fprintf(stderr, "sim_gossipd --run %s %zu %llu: %s (%llu) at %lld ms\n", s->plan,
		s->net.count, (unsigned long long)s->net.seed, what, (unsigned long long)number,
		(long long)(s->net.now.ns / NS_PER_MS));
	exit(1);
}

static size_t node_named(struct str name)
{
	uint64_t number;

	must(str_to_u64(str_skip(name, 1), &number) == 0);
	return number;
}

/* -------- checkers -------- */

/* Nobody that is well is declared failed. */
static void check_failure(struct sim *s, struct sim_node *at, const struct pool_note *note)
{
	size_t who = node_named(note->name);

	if (s->dead[who]) {
		s->deaths_known++;
		s->known_last_ns = max_of(s->known_last_ns, mono_diff_ns(s->net.now, s->died_at));
	} else if (!s->shaky[who] && !s->shaky[net_index(&s->net, at)]) {
		s->false_failures++;
		if (s->failures_are_wrong) {
			failed(s, "a member that is well was declared failed", who);
		}
	}
}

/* An event arrives once. */
static void check_event(struct sim *s, struct sim_node *at, const struct pool_note *note)
{
	size_t event = strtoull(note->name.p + 1, NULL, 10), who = net_index(&s->net, at);
	uint32_t *times;

	must(event < s->events);
	times = &s->delivered[event * s->net.count + who];
	if (++*times > 1) {
		failed(s, "an event was delivered twice", event);
	}
	s->latencies_ns[s->latencies_count++] = mono_diff_ns(s->net.now, s->fired_at[event]);
}

static void on_note(void *arg, struct sim_node *at, const struct pool_note *note)
{
	struct sim *s = arg;

	switch (note->type) {
	case POOL_NOTE_MEMBER_FAILED:
		check_failure(s, at, note);
		break;
	case POOL_NOTE_EVENT:
		check_event(s, at, note);
		break;
	case POOL_NOTE_MEMBER_JOIN:
		s->joins_seen++;
		break;
	case POOL_NOTE_SUSPECT:
		s->suspects++;
		break;
	default:
		break;
	}
}

/* All that are up see exactly those alive that are up, and nothing of the table is broken. */
static void check_agreement(struct sim *s)
{
	size_t up = 0;

	for (size_t i = 0; i < s->net.count; i++) {
		up += s->net.nodes[i].up && !s->net.nodes[i].left;
	}
	for (size_t i = 0; i < s->net.count; i++) {
		const struct sim_node *node = &s->net.nodes[i];
		struct pool_node *m, *next;

		if (!node->up || node->left) {
			continue;
		}
		pool_check(&node->pool);
		if (pool_count(&node->pool, MEMBER_ALIVE) != up) {
			failed(s, "members differ from those that are up", i);
		}
		pool_for_each(m, next, &node->pool)
		{
			const struct sim_node *other = &s->net.nodes[node_named(m->name)];

			if (m->status == MEMBER_ALIVE && (!other->up || other->left)) {
				failed(s, "a ghost", i);
			}
		}
	}
}

static void check_packets(struct sim *s)
{
	if (s->net.packet_max > 1405) {
		failed(s, "a datagram is too large", s->net.packet_max);
	}
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t percentile_ms(struct sim *s, unsigned permille)
{
	qsort(s->latencies_ns, s->latencies_count, sizeof(int64_t), compare);
	return s->latencies_ns[(s->latencies_count - 1) * permille / 1000] / NS_PER_MS;
}

/* -------- building a pool -------- */

static void begin(struct sim *s, const char *plan, size_t count, uint64_t seed)
{
	*s = (struct sim) { .plan = plan, .failures_are_wrong = true };
	net_init(&s->net, count, seed);
	s->net.arg = s;
	s->net.on_note = on_note;
	s->dead = xcalloc(count, sizeof(bool));
	s->shaky = xcalloc(count, sizeof(bool));
	s->delivered = xcalloc(count * EVENTS_MAX, sizeof(uint32_t));
	s->latencies_ns = xcalloc(count * EVENTS_MAX, sizeof(int64_t));
}

static void end(struct sim *s)
{
	check_packets(s);
	net_fini(&s->net);
	free(s->dead);
	free(s->shaky);
	free(s->delivered);
	free(s->latencies_ns);
}

/* What gossip would still say is known: it has done its work long ago. What was on its way then is
 * waited for. */
static void settle(struct sim *s)
{
	size_t queued;

	do {
		queued = 0;
		for (size_t i = 0; i < s->net.count; i++) {
			for (int k = 0; k < POOL_QUEUES; k++) {
				queued += s->net.nodes[i].pool.queues[k].count;
				queue_fini(&s->net.nodes[i].pool.queues[k]);
			}
		}
		net_run(&s->net, 100);
	} while (queued);
}

/* Everybody joins the first, and asks it again when all are there. */
static void build(struct sim *s)
{
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < s->net.count; i++) {
			if (round == 0) {
				net_start_node(&s->net, i);
			}
			if (i) {
				net_join(&s->net, i, 0);
			}
			net_run(&s->net, 1);
		}
		net_run(&s->net, 10);
	}
	settle(s);
	check_agreement(s);
}

static void kill_one(struct sim *s, size_t i)
{
	s->dead[i] = true;
	net_kill_node(&s->net, i);
}

/* -------- plans -------- */

/* A minute of lost packets: nobody is declared failed. */
static void plan_loss(struct sim *s)
{
	s->net.loss_permille = 50;
	net_run(&s->net, 60000);
	check_agreement(s);
}

/* With one packet in twenty lost, events are everywhere within a second. */
static void plan_events(struct sim *s)
{
	s->net.loss_permille = 50;
	for (size_t i = 0; i < EVENTS_MAX; i++) {
		char name[16];
		struct pool_event fire = { .type = POOL_FIRE, .payload = STR("payload") };

		snprintf(name, sizeof(name), "e%zu", i);
		fire.name = str_of(name);
		s->fired_at[s->events++] = s->net.now;
		net_step(&s->net, rng_below(&s->net.rng, s->net.count), &fire);
		net_run(&s->net, (int64_t)rng_below(&s->net.rng, 2000));
	}
	net_run(&s->net, 10000);
	if (s->latencies_count < EVENTS_MAX * s->net.count * 999 / 1000) {
		failed(s, "events did not arrive", s->latencies_count);
	}
	printf("  events: median %lld ms, p99 %lld ms, all %lld ms, missed %zu of %zu\n",
		(long long)percentile_ms(s, 500), (long long)percentile_ms(s, 990),
		(long long)percentile_ms(s, 1000), EVENTS_MAX * s->net.count - s->latencies_count,
		EVENTS_MAX * s->net.count);
	if (percentile_ms(s, 990) >= 1000) {
		failed(s, "events are slow", (uint64_t)percentile_ms(s, 990));
	}
}

/* The dead are known to all in the time that the protocol allows: found by a probe, suspected for
 * the shortest time (others confirm), spread. */
static void plan_deaths(struct sim *s)
{
	size_t deaths = max_of(s->net.count / 100, (size_t)1);
	int64_t bound_ms = 0;

	s->net.loss_permille = 20;
	s->died_at = s->net.now;
	for (size_t i = 0; i < deaths; i++) {
		kill_one(s, 1 + rng_below(&s->net.rng, s->net.count - 1));
	}
	for (size_t n = s->net.count; n >= 1; n /= 10) {
		bound_ms += 4000; /* suspicion: 4 s per power of ten */
	}
	bound_ms += 15000;
	net_run(&s->net, bound_ms);
	printf("  deaths: known to all after %lld ms (bound %lld)\n",
		(long long)(s->known_last_ns / NS_PER_MS), (long long)bound_ms);
	check_agreement(s);
}

/* One in twenty stops again and again for seconds. The others are not harmed by their
 * accusations. */
static void plan_slow(struct sim *s)
{
	for (size_t i = 0; i < s->net.count; i += 20) {
		s->shaky[i] = true;
	}
	for (int second = 0; second < 120; second++) {
		for (size_t i = 0; i < s->net.count; i += 20) {
			if (rng_below(&s->net.rng, 4) == 0) {
				s->net.nodes[i].paused_until = mono_add_ms(
					s->net.now, (int64_t)rng_below(&s->net.rng, 4000));
			}
		}
		net_run(&s->net, 1000);
	}
	net_run(&s->net, 90000);
	printf("  slow: %llu suspicions\n", (unsigned long long)s->suspects);
	check_agreement(s);
}

/* The pool falls into two for a minute and grows together again. */
static void plan_partition(struct sim *s)
{
	s->failures_are_wrong = false;
	for (size_t i = 0; i < s->net.count; i++) {
		s->net.nodes[i].group = (int)(i % 2);
	}
	net_run(&s->net, 120000);
	for (size_t i = 0; i < s->net.count; i++) {
		const struct pool *p = &s->net.nodes[i].pool;

		if (pool_count(p, MEMBER_ALIVE) != (s->net.count + 1 - i % 2) / 2) {
			failed(s, "a part is not of one mind", i);
		}
		s->net.nodes[i].group = 0;
	}
	net_run(&s->net, 120000);
	check_agreement(s);
}

/* Half of the processes are replaced at the same time, without a word: nobody notices. */
static void plan_restart(struct sim *s)
{
	for (size_t i = 1; i < s->net.count; i += 2) {
		net_kill_node(&s->net, i);
	}
	net_run(&s->net, 2000);
	for (size_t i = 1; i < s->net.count; i += 2) {
		struct pool_event join = { .type = POOL_JOIN,
			.rejoin = true,
			.from = s->net.nodes[i - 1].pool.options.address };

		net_start_node(&s->net, i);
		net_step(&s->net, i, &join);
	}
	net_run(&s->net, 60000);
	check_agreement(s);
}

/* A third leaves; they are remembered for a while, then gone from every table, and stay so. */
static void plan_removal(struct sim *s)
{
	for (size_t i = 2; i < s->net.count; i += 3) {
		struct pool_event leave = { .type = POOL_LEAVE };

		s->shaky[i] =
			true; /* where the death overtakes the intent it is failed for a moment */
		net_step(&s->net, i, &leave);
		net_run(&s->net, 1);
	}
	net_run(&s->net, 30000);
	for (size_t i = 2; i < s->net.count; i += 3) {
		if (!s->net.nodes[i].left) {
			failed(s, "it does not finish leaving", i);
		}
		net_kill_node(&s->net, i);
	}
	net_run(&s->net, 60000);
	check_agreement(s);
	net_run(&s->net, 600000);
	check_agreement(s);
	for (size_t i = 0; i < s->net.count; i++) {
		const struct sim_node *node = &s->net.nodes[i];

		if (node->up && pool_count(&node->pool, MEMBER_NONE) +
						pool_count(&node->pool, MEMBER_ALIVE) !=
					node->pool.nodes.count) {
			failed(s, "one that left is not forgotten", i);
		}
	}
}

/* One large pool through several of them, as building it is what takes the time. */
static void plan_large(struct sim *s)
{
	plan_events(s);
	plan_restart(s);
	plan_deaths(s);
}

static const struct {
	const char *name;
	void (*run)(struct sim *s);
	int64_t tombstone_ms;
} plans[] = {
	{ "large", plan_large, 0 },
	{ "loss", plan_loss, 0 },
	{ "events", plan_events, 0 },
	{ "deaths", plan_deaths, 0 },
	{ "slow", plan_slow, 0 },
	{ "partition", plan_partition, 0 },
	{ "restart", plan_restart, 0 },
	{ "removal", plan_removal, 300000 },
};

static void run(const char *plan, size_t count, uint64_t seed)
{
	struct sim s;

	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		if (strcmp(plans[i].name, plan) != 0) {
			continue;
		}
		begin(&s, plan, count, seed);
		if (plans[i].tombstone_ms) {
			s.net.options.tombstone_ms = plans[i].tombstone_ms;
		}
		build(&s);
		plans[i].run(&s);
		printf("%s %zu %llu: %lld s, %llu packets, %llu steps, false failures %llu\n", plan,
			count, (unsigned long long)seed, (long long)(s.net.now.ns / NS_PER_S),
			(unsigned long long)s.net.packets, (unsigned long long)s.net.steps,
			(unsigned long long)s.false_failures);
		end(&s);
		return;
	}
	fprintf(stderr, "no plan \"%s\"\n", plan);
	exit(2);
}

static void run_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[128], plan[32];
	unsigned long long count, seed;

	must(f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] != '#') {
			must(sscanf(line, "%31s %llu %llu", plan, &count, &seed) == 3);
			run(plan, count, seed);
		}
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "--run") == 0) {
		run(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
		return 0;
	}
	for (int i = 1; i < argc; i++) {
		run_file(argv[i]);
	}
	return 0;
}
