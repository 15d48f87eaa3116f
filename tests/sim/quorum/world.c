/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: a heap of what happens when, and the run from the first event to the last check.
 */
#include "tests/sim/quorum/world.h"

#include <stdio.h>

#include "common/base/hash.h"
#include "tests/sim/quorum/chaos.h"

enum { LINES_MAX = 150, SETTLE_MS = 30000 };

/* -------- the queue -------- */

static bool sooner(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_put(struct world *w, const struct event *e)
{
	size_t i = w->heap_count++;

	if (w->heap_count > w->heap_room) {
		w->heap_room = max_of(w->heap_room * 2, (size_t)256);
		w->heap = xrealloc(w->heap, w->heap_room * sizeof(*w->heap));
	}
	while (i && sooner(e, &w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = *e;
}

static struct event heap_take(struct world *w)
{
	struct event first = w->heap[0], last = w->heap[--w->heap_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < w->heap_count) {
		if (child + 1 < w->heap_count && sooner(&w->heap[child + 1], &w->heap[child])) {
			child++;
		}
		if (!sooner(&w->heap[child], &last)) {
			break;
		}
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

void world_at(struct world *w, int64_t at, enum event_type type, unsigned who, struct packet *p)
{
	struct event e = { max_of(at, w->now), ++w->order, type, who, p };

	heap_put(w, &e);
}

/* -------- chance -------- */

int64_t world_within(struct world *w, int64_t least_us, int64_t most_us)
{
	return (least_us + (int64_t)rng_below(&w->rng, (uint64_t)(most_us - least_us + 1))) * 1000;
}

bool world_chance(struct world *w, uint32_t percent)
{
	return percent && rng_below(&w->rng, 100) < percent;
}

/* -------- what is said -------- */

static void put_server(struct buf *out, const struct server *s)
{
	const struct raft *r = &s->node.raft;

	buf_printf(out, "s%u", s->number + 1);
	if (s->live) {
		buf_printf(out, "(%s t%llu %llu..%llu d%llu c%llu)", raft_role_name(r->role),
			(unsigned long long)r->persistent.term, (unsigned long long)r->trail.first,
			(unsigned long long)r->trail.last, (unsigned long long)r->durable_index,
			(unsigned long long)r->commit_index);
	}
	buf_put_char(out, ' ');
}

void world_note(struct world *w, const struct server *s, const char *format, ...)
{
	va_list args;

	buf_printf(&w->lines, "%lld.%03lld ", (long long)(w->now / NS_PER_MS),
		(long long)(w->now / 1000 % 1000));
	if (s) {
		put_server(&w->lines, s);
	}
	va_start(args, format);
	buf_vprintf(&w->lines, format, args);
	va_end(args);
	buf_put_char(&w->lines, '\n');
}

static void print_last(const struct world *w)
{
	size_t lines = 0, at = w->lines.n;

	while (at && lines <= LINES_MAX) {
		at--;
		lines += w->lines.p[at] == '\n';
	}
	fwrite(w->lines.p + at, 1, w->lines.n - at, stderr);
}

/* Says so; where it was not traced, once more with a trace. */
_Noreturn void failed(struct world *w, const struct server *s, const char *format, ...)
{
	struct run again = { .profile = w->profile, .seed = w->seed, .trace = true };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	va_list args;

	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	fflush(stdout);
	if (!w->trace) {
		world_run(&again);
		fprintf(stderr, "(it did not happen again with a trace)\n");
	}
	print_last(w);
	fprintf(stderr,
		"sim_quorum: at %lld ms: %s%u: %s\n  repeat with: sim_quorum --trace %s:%llu\n",
		(long long)(w->now / NS_PER_MS), s ? "server " : "cluster ",
		s ? s->number + 1 : w->servers_count, buf_cstr(&text), w->profile->name,
		(unsigned long long)w->seed);
	exit(1);
}

/* Nobody of its configuration has lost a disk: else that comes first, as raftd sees to. */
bool world_is_sound(struct world *w, const struct configuration *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct configuration_server *m = &c->servers[i];

		if (!uuid_eq(&m->life, &world_server(w, &m->id)->disk_life)) {
			return false;
		}
	}
	return true;
}

/* Who leads in the newest term, has committed there, and knows nobody who has lost a disk. */
struct server *world_sound_leader(struct world *w)
{
	struct server *leader = world_leader(w);
	const struct raft *r = leader ? &leader->node.raft : NULL;
	bool settled = r && raft_leads(r) && r->configuration_index <= r->commit_index;

	return settled && world_is_sound(w, &r->configuration) ? leader : NULL;
}

/* -------- the servers together -------- */

struct server *world_leader(struct world *w)
{
	struct server *leader = NULL;

	for (unsigned i = 0; i < w->servers_count; i++) {
		struct server *s = &w->servers[i];

		if (s->live && s->node.raft.role == RAFT_LEADER &&
			(!leader ||
				s->node.raft.persistent.term > leader->node.raft.persistent.term)) {
			leader = s;
		}
	}
	return leader;
}

struct server *world_server(struct world *w, const struct uuid *id)
{
	for (unsigned i = 0; i < w->servers_count; i++) {
		if (uuid_eq(&w->servers[i].id, id)) {
			return &w->servers[i];
		}
	}
	return NULL;
}

/* -------- a run -------- */

static void world_init(struct world *w, const struct run *run)
{
	const struct profile *p = run->profile;

	*w = (struct world) {
		.seed = run->seed, .profile = p, .trace = run->trace, .faults = true
	};
	rng_init(&w->rng, run->seed * 2654435761U + hash64(str_of(p->name), 7));
	w->now = NS_PER_S;
	w->servers_count = SERVERS_MAX;
	chaos_begin(w);
	for (unsigned i = 0; i < CLIENTS; i++) {
		world_at(w, w->now + world_within(w, 0, 300000), EVENT_CLIENT, i, NULL);
	}
	world_at(w, w->now, EVENT_CHAOS, 0, NULL);
	world_at(w, w->now + world_within(w, p->least_ms * 1000, p->most_ms * 1000), EVENT_END, 0,
		NULL);
}

static void world_fini(struct world *w)
{
	while (w->heap_count) {
		struct event e = heap_take(w);

		if (e.packet) {
			packet_free(e.packet);
		}
	}
	for (unsigned i = 0; i < w->servers_count; i++) {
		server_fini(&w->servers[i]);
	}
	free(w->heap);
	history_fini(&w->history);
	truth_fini(&w->truth);
	buf_fini(&w->lines);
}

/* The faults are over: within a bounded time a leader has to be there, new writes have to be
 * acknowledged, and everybody has to have the same. */
static void end_event(struct world *w)
{
	if (w->faults) {
		chaos_end(w);
		w->faults = false;
		w->calm_at = w->now;
		for (unsigned i = 0; i < CLIENTS; i++) {
			w->marker += w->clients[i].acknowledged;
		}
	} else if (check_converged(w)) {
		w->done = true;
		return;
	} else if (w->now - w->calm_at > SETTLE_MS * NS_PER_MS) {
		failed(w, world_leader(w), "no progress %d ms after the last fault", SETTLE_MS);
	}
	world_at(w, w->now + 50 * NS_PER_MS, EVENT_END, 0, NULL);
}

static void happen(struct world *w, const struct event *e)
{
	struct server *s = &w->servers[e->who];

	switch (e->type) {
	case EVENT_DELIVER:
		net_deliver(w, e->packet);
		break;
	case EVENT_TURN:
		if (e->at == s->turn_at) {
			server_turn(s);
		}
		break;
	case EVENT_APPLY:
		if (e->at == s->apply_at) {
			service_apply(s);
		}
		break;
	case EVENT_CLIENT:
		client_event(w, e->who);
		break;
	case EVENT_CHAOS:
		chaos_event(w);
		break;
	case EVENT_END:
		end_event(w);
		break;
	}
}

static void add_counters(struct counters *to, const struct counters *from)
{
	uint64_t *a = (uint64_t *)to;
	const uint64_t *b = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*a); i++) {
		a[i] += b[i];
	}
}

static void flush_lines(struct world *w, const struct run *run)
{
	if (run->print) {
		fwrite(w->lines.p, 1, w->lines.n, stdout);
		fflush(stdout);
		w->lines.n = 0;
	}
}

void world_run(struct run *run)
{
	OWN(free) struct world *w = xcalloc(1, sizeof(*w));
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	world_init(w, run);
	while (!w->done && w->heap_count) {
		struct event e = heap_take(w);

		w->now = e.at;
		w->counters.events++;
		happen(w, &e);
		flush_lines(w, run);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_give_up(w, i);
	}
	if (!history_check(&w->history, &why)) {
		failed(w, NULL, "not linearizable: %s", buf_cstr(&why));
	}
	run->digest_out = hash64_mix(w->counters.events, rng_u64(&w->rng));
	add_counters(&run->counters_out, &w->counters);
	world_fini(w);
}
