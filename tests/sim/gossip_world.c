/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building pools, watching notes, and the checks of gossip_world.h.
 */
#include "tests/sim/gossip_world.h"

#include <malloc.h>
#include <stdio.h>

#include "gossipd/core/pool_private.h"

_Noreturn void world_failed(const struct world *w, const char *what, uint64_t number)
{
	fflush(stdout);
	fprintf(stderr, "sim_gossipd --run %s %zu %llu %zu: %s (%llu) at %lld ms\n", w->plan,
		w->net.count, (unsigned long long)w->net.seed, w->view, what,
		(unsigned long long)number, (long long)(w->net.now.ns / NS_PER_MS));
	exit(1);
}

static size_t node_named(struct str name)
{
	uint64_t number;

	must(str_to_u64(str_skip(name, 1), &number) == 0);
	return number;
}

/* -------- what members note -------- */

/* The life that this member knows of is over; it has not heard of the next one yet. */
static bool is_past(const struct world *w, const struct sim_node *at, struct str name)
{
	const struct pool_node *known = node_find(&at->pool, name);

	return known->incarnation <= w->past[node_named(name)];
}

/* Nobody that is well is declared failed. */
static void on_failure(struct world *w, struct sim_node *at, const struct pool_note *note)
{
	size_t who = node_named(note->name);

	if (w->dead[who]) {
		w->deaths_known++;
		w->known_last_ns = max_of(w->known_last_ns, mono_diff_ns(w->net.now, w->died_at));
	} else if (w->past_failures_allowed && is_past(w, at, note->name)) {
		w->past_failures++;
	} else if (!w->shaky[who] && !w->shaky[net_index(&w->net, at)]) {
		w->false_failures++;
		if (!w->false_failures_allowed) {
			world_failed(w, "a member that is well was declared failed", who);
		}
	}
}

/* An event arrives once. */
static void on_event(struct world *w, struct sim_node *at, const struct pool_note *note)
{
	size_t event = strtoull(note->name.p + 1, NULL, 10), who = net_index(&w->net, at);

	must(event < w->events);
	if (!w->listens[who]) {
		return;
	}
	if (++w->delivered[event * w->net.count + who] > 1) {
		world_failed(w, "an event was delivered twice", event);
	}
	w->latencies_ns[w->latencies_count++] = mono_diff_ns(w->net.now, w->fired_at[event]);
}

static void on_note(void *arg, struct sim_node *at, const struct pool_note *note)
{
	struct world *w = arg;

	if (note->type == POOL_NOTE_MEMBER_FAILED) {
		on_failure(w, at, note);
	} else if (note->type == POOL_NOTE_EVENT) {
		on_event(w, at, note);
	} else if (note->type == POOL_NOTE_SUSPECT) {
		w->suspects++;
	}
}

/* -------- checks -------- */

static size_t count_up(const struct world *w)
{
	size_t up = 0;

	for (size_t i = 0; i < w->net.count; i++) {
		up += w->net.nodes[i].up && !w->net.nodes[i].left;
	}
	return up;
}

static void check_ghosts_of(struct world *w, size_t i)
{
	const struct sim_node *node = &w->net.nodes[i];
	struct pool_node *m, *next;

	pool_for_each(m, next, &node->pool)
	{
		const struct sim_node *other = &w->net.nodes[node_named(m->name)];

		if (m->status == MEMBER_ALIVE && (!other->up || other->left)) {
			world_failed(w, "a ghost", i);
		}
	}
}

void check_no_ghosts(struct world *w)
{
	for (size_t i = 0; i < w->net.count; i++) {
		if (w->net.nodes[i].up && !w->net.nodes[i].left) {
			check_ghosts_of(w, i);
		}
	}
}

void check_agreement(struct world *w)
{
	size_t up = count_up(w);

	for (size_t i = 0; i < w->net.count; i++) {
		const struct sim_node *node = &w->net.nodes[i];

		if (!node->up || node->left) {
			continue;
		}
		pool_check(&node->pool);
		check_ghosts_of(w, i);
		if (!w->view && pool_count(&node->pool, MEMBER_ALIVE) != up) {
			world_failed(w, "members differ from those that are up", i);
		}
	}
}

unsigned world_known(const struct world *w)
{
	uint64_t known = 0, up = count_up(w);

	for (size_t i = 0; i < w->net.count; i++) {
		const struct sim_node *node = &w->net.nodes[i];

		if (node->up && !node->left) {
			known += min_of((uint64_t)pool_count(&node->pool, MEMBER_ALIVE), up);
		}
	}
	return (unsigned)(known * 10000 / (up * up));
}

void world_kill(struct world *w, size_t i)
{
	if (w->net.nodes[i].up) {
		w->past[i] = w->net.nodes[i].pool.incarnation;
	}
	net_kill_node(&w->net, i);
}

/* -------- events -------- */

void world_fire(struct world *w, size_t i)
{
	struct pool_event fire = { .type = POOL_FIRE, .payload = STR("payload") };
	char name[16];

	for (size_t k = 0; k < w->net.count && !w->events; k++) {
		w->listens[k] = w->net.nodes[k].up && !w->net.nodes[k].left;
		w->listeners += w->listens[k];
	}
	snprintf(name, sizeof(name), "e%zu", w->events);
	fire.name = str_of(name);
	w->fired_at[w->events++] = w->net.now;
	net_step(&w->net, i, &fire);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* A second up to 5,000 members, and a round of gossip more each time that the pool is twice as
 * large. */
static int64_t events_limit_ms(const struct world *w)
{
	int64_t limit = 1000;

	for (size_t n = 10000; n <= w->net.count; n *= 2) {
		limit += 200;
	}
	return limit;
}

static int64_t percentile_ms(const struct world *w, unsigned permille)
{
	return w->latencies_ns[(w->latencies_count - 1) * permille / 1000] / NS_PER_MS;
}

void check_events(struct world *w)
{
	size_t all = w->events * w->listeners;

	must(w->latencies_count);
	qsort(w->latencies_ns, w->latencies_count, sizeof(int64_t), compare);
	printf("  events: median %lld ms, p99 %lld ms, last %lld ms, missed %zu of %zu\n",
		(long long)percentile_ms(w, 500), (long long)percentile_ms(w, 990),
		(long long)percentile_ms(w, 1000), all - w->latencies_count, all);
	if (w->latencies_count < all * 999 / 1000) {
		world_failed(w, "events did not arrive", all - w->latencies_count);
	}
	if (percentile_ms(w, 990) >= events_limit_ms(w)) {
		world_failed(w, "events are slow", (uint64_t)percentile_ms(w, 990));
	}
}

/* -------- what it costs -------- */

void meter_start(struct world *w)
{
	w->bytes_before = w->net.bytes;
	w->stream_bytes_before = w->net.stream_bytes;
	w->meter_at = w->net.now;
}

void meter_print(struct world *w, const char *what)
{
	double member_s =
		(double)mono_diff_ns(w->net.now, w->meter_at) / NS_PER_S * (double)w->net.count;

	printf("  %s: %.0f bytes a second and member in datagrams, %.0f in streams\n", what,
		(double)(w->net.bytes - w->bytes_before) / member_s,
		(double)(w->net.stream_bytes - w->stream_bytes_before) / member_s);
}

/* -------- life -------- */

void world_init(struct world *w, const char *plan, size_t count, uint64_t seed)
{
	*w = (struct world) { .plan = plan };
	net_init(&w->net, count, seed);
	w->net.arg = w;
	w->net.on_note = on_note;
	w->dead = xcalloc(count, sizeof(bool));
	w->shaky = xcalloc(count, sizeof(bool));
	w->past = xcalloc(count, sizeof(*w->past));
	w->listens = xcalloc(count, sizeof(bool));
	w->delivered = xcalloc(count * EVENTS_MAX, sizeof(uint32_t));
	w->latencies_ns = xcalloc(count * EVENTS_MAX, sizeof(int64_t));
}

static size_t heap_size(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* The limit on how often a message is sent depends on the number of members: with small views it is
 * set to that of the whole pool, if there is such a multiple. And no states are exchanged, which
 * would fill the views. */
static void keep_views_small(struct world *w)
{
	struct pool_profile *profile = &w->net.options.profile;
	struct pool p = { .options = w->net.options };
	uint32_t wanted = retransmit_limit(&p, (uint32_t)w->net.count), one;

	p.options.profile.retransmit_mult = 1;
	one = retransmit_limit(&p, (uint32_t)w->view);
	if (wanted % one) {
		world_failed(w, "no such view: the number of retransmissions would differ", wanted);
	}
	profile->retransmit_mult = wanted / one;
	profile->sync_interval_ms = INT64_C(1000000000);
}

void world_build(struct world *w, size_t up, size_t view)
{
	size_t before = heap_size(), known = view ? view : up;

	w->view = view;
	if (view) {
		keep_views_small(w);
	}
	for (size_t i = 0; i < up; i++) {
		net_start_node(&w->net, i);
	}
	for (size_t i = 0; i < up; i++) {
		net_introduce(&w->net, i, up, view);
	}
	net_forget_gossip(&w->net);
	printf("  memory: %.0f bytes of a member's table for each other (tags not counted)\n",
		(double)(heap_size() - before) / (double)up / (double)known);
	check_agreement(w);
}

void world_fini(struct world *w)
{
	if (w->net.packet_max > 1405) {
		world_failed(w, "a datagram is too large", w->net.packet_max);
	}
	net_fini(&w->net);
	free(w->dead);
	free(w->shaky);
	free(w->past);
	free(w->listens);
	free(w->delivered);
	free(w->latencies_ns);
}
