/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of logs and commits, between all servers and for all time: log matching, leader
 * completeness, state machine safety (Ongaro, figure 3.2). Everything is looked at once, when it is
 * new, with the faults of the disk off meanwhile.
 */
#include "tests/sim/quorum/world.h"

#include "common/base/hash.h"

enum { BYTES_MAX = 1 << 20 };

void truth_fini(struct truth *t)
{
	free(t->known);
	free(t->leaders);
	for (unsigned i = 0; i < CLIENTS; i++) {
		free(t->commands[i]);
	}
}

uint64_t *truth_command(struct world *w, unsigned client, uint64_t id)
{
	struct truth *t = &w->truth;

	if (id >= t->commands_room[client]) {
		size_t old = t->commands_room[client], room = max_of(old * 2, (size_t)id + 256);

		t->commands[client] = xrealloc(t->commands[client], room * sizeof(uint64_t));
		memset(t->commands[client] + old, 0, (room - old) * sizeof(uint64_t));
		t->commands_room[client] = room;
	}
	return &t->commands[client][id];
}

struct known *truth_of(struct world *w, uint64_t index)
{
	struct truth *t = &w->truth;

	if (index >= t->room) {
		size_t room = max_of(t->room * 2, (size_t)index + 256);

		t->known = xrealloc(t->known, room * sizeof(*t->known));
		memset(t->known + t->room, 0, (room - t->room) * sizeof(*t->known));
		t->room = room;
	}
	return &t->known[index];
}

/* Log matching: an index and a term name one entry, with one before it. */
static void check_variant(struct server *s, uint64_t index, const struct variant *v)
{
	struct known *k = truth_of(s->world, index);

	for (unsigned i = 0; i < min_of(k->variants_count, (unsigned)VARIANTS_MAX); i++) {
		const struct variant *other = &k->variants[i];

		if (other->term != v->term) {
			continue;
		}
		if (other->hash != v->hash || other->before != v->before) {
			failed(s->world, s,
				"log matching: entry %llu of term %llu is another one elsewhere",
				(unsigned long long)index, (unsigned long long)v->term);
		}
		return;
	}
	k->variants[k->variants_count++ % VARIANTS_MAX] = *v;
}

/* State machine safety: what is committed once stays, everywhere. */
static void check_committed(struct server *s, uint64_t index, const struct variant *v)
{
	struct known *k = truth_of(s->world, index);

	if (k->term == 0) {
		k->term = v->term;
		k->hash = v->hash;
		k->commit_term = s->node.raft.persistent.term;
		s->world->truth.last = max_of(s->world->truth.last, index);
		s->world->counters.commits++;
	} else if (k->term != v->term || k->hash != v->hash) {
		failed(s->world, s,
			"state machine safety: entry %llu of term %llu is committed, elsewhere "
			"that of term %llu",
			(unsigned long long)index, (unsigned long long)v->term,
			(unsigned long long)k->term);
	}
}

static void check_records(
	struct server *s, const struct record *records, size_t count, uint64_t before)
{
	uint64_t commit = s->node.raft.commit_index;

	for (size_t i = 0; i < count; i++) {
		const struct record *r = &records[i];
		struct variant v = { r->term, hash64(r->body, r->type), before };

		if (r->term < before || r->term != trail_term(&s->node.raft.trail, r->index)) {
			failed(s->world, s, "the term of entry %llu is wrong",
				(unsigned long long)r->index);
		}
		if (r->index > s->seen_last) {
			check_variant(s, r->index, &v);
		}
		if (r->index > s->commit_checked && r->index <= commit) {
			check_committed(s, r->index, &v);
		}
		before = r->term;
	}
}

static void check_new(struct server *s)
{
	const struct trail *trail = &s->node.raft.trail;
	uint64_t from = min_of(s->seen_last, s->commit_checked) + 1;
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	from = max_of(from, trail->first);
	while (from <= trail->last) {
		struct record *records;
		size_t count;
		int r = log_read(
			s->node.log, from, trail->last, BYTES_MAX, &arena, &records, &count);

		if (r || count == 0 || records[0].index != from) {
			failed(s->world, s, "entry %llu cannot be read", (unsigned long long)from);
		}
		check_records(s, records, count,
			trail_knows(trail, from - 1) ? trail_term(trail, from - 1) : 0);
		from += count;
		arena_reset(&arena);
	}
	s->seen_last = trail->last;
	s->commit_checked = max_of(s->commit_checked, s->node.raft.commit_index);
}

/* Leases: while one is good by its owner's clock, nobody commits in a later term. */
static void check_lease(struct server *s)
{
	const struct raft *r = &s->node.raft;

	if (s->live && raft_leads(r) && r->persistent.term < s->world->truth.commit_term &&
		mono_before(server_clock(s), raft_lease(r))) {
		failed(s->world, s, "lease safety: term %llu has a lease, term %llu has committed",
			(unsigned long long)r->persistent.term,
			(unsigned long long)s->world->truth.commit_term);
	}
}

static void check_leases(struct server *s)
{
	struct world *w = s->world;
	const struct raft *r = &s->node.raft;

	check_lease(s);
	if (raft_leads(r) && r->persistent.term > w->truth.commit_term) {
		w->truth.commit_term = r->persistent.term;
		for (unsigned i = 0; i < w->servers_count; i++) {
			check_lease(&w->servers[i]);
		}
	}
}

void check_turn(struct server *s)
{
	struct fake_disk *d = &s->disk;
	struct fake_disk weather = *d;

	d->fail_percent = 0;
	d->fail_at = 0;
	check_new(s);
	d->fail_percent = weather.fail_percent;
	d->fail_at = weather.fail_at;
	d->calls = weather.calls;
	check_leases(s);
}

/* Leader completeness: who is elected has everything that was committed in earlier terms. */
void check_complete(struct server *s)
{
	const struct trail *trail = &s->node.raft.trail;
	uint64_t term = s->node.raft.persistent.term;
	uint64_t index = s->world->truth.last;

	while (index && truth_of(s->world, index)->commit_term >= term) {
		index--;
	}
	if (index > trail->last ||
		(trail_knows(trail, index) && index &&
			trail_term(trail, index) != truth_of(s->world, index)->term)) {
		failed(s->world, s, "leader completeness: it does not have entry %llu",
			(unsigned long long)index);
	}
}
