/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server's life: started, run in turns, killed, cut off from power. A turn is one round of
 * raftd's loop: everything that has come in, the timer, then the sync. What leaves before the sync
 * leaves at once, what leaves behind it waits as long as the sync takes, and so does the next turn.
 */
#include "tests/sim/quorum/chaos.h"
#include "tests/sim/quorum/world.h"

#include <stdio.h>

enum { SEGMENT_BYTES = 16 << 10, FIRST_SEGMENT_BYTES = 6 << 10, PPM = 1000000 };

/* -------- clocks -------- */

struct mono server_clock(const struct server *s)
{
	int64_t true_ns = s->world->now;

	return (struct mono) { s->clock_offset + true_ns + true_ns / PPM * s->clock_ppm };
}

/* The true time at which the server's clock shows t, or a little later. */
static int64_t true_time(const struct server *s, struct mono t)
{
	int64_t ns = t.ns - s->clock_offset;
	int64_t millionth = ns / (PPM + s->clock_ppm);

	return max_of(ns - millionth * s->clock_ppm + 1, s->world->now);
}

static void clock_set(struct server *s)
{
	struct world *w = s->world;

	s->clock_offset = world_within(w, 1000000, 100000000);
	if (!s->wanted) {
		const int64_t fastest = PPM / 100 * DRIFT_PERCENT;
		int64_t speeds[] = { 0, fastest, (int64_t)rng_below(&w->rng, (uint64_t)fastest) };

		s->clock_ppm = speeds[rng_below(&w->rng, ARRAY_SIZE(speeds))];
	}
}

/* -------- what the node calls -------- */

static void on_update(void *arg, const struct raft_update *u)
{
	struct server *s = arg;
	struct server *to;

	check_update(s, u);
	service_reads(s, u);
	if (!uuid_is_zero(&u->snapshot_to)) {
		to = world_server(s->world, &u->snapshot_to);
		if (to) {
			s->offer_asked[to->number] = true;
		}
	}
	if (u->note) {
		note(s->world, s, "%s", u->note);
	}
}

int64_t server_late(const struct server *s)
{
	return s->disk.syncs != s->turn_syncs ? s->stall : 0;
}

bool server_send(struct server *s, unsigned to, struct packet *p)
{
	return net_send(s, to, p, server_late(s));
}

static bool on_send(void *arg, const struct raft_message *m)
{
	struct server *s = arg;
	struct server *to = world_server(s->world, &m->to);
	struct packet *p;

	check_send(s, m);
	if (!to || to == s) {
		failed(s->world, s, "a message to nobody");
	}
	note(s->world, s,
		"%s to s%u: term %llu index %llu/%llu commit %llu entries %u tag %llu %s%s",
		raft_message_name(m->type), to->number + 1, (unsigned long long)m->term,
		(unsigned long long)m->index, (unsigned long long)m->log_term,
		(unsigned long long)m->commit, m->entries.count, (unsigned long long)m->tag,
		m->granted ? "granted " : "", m->force ? "force" : "");
	p = xcalloc(1, sizeof(*p));
	p->life = s->disk_life;
	raft_message_encode(&p->bytes, m);
	return server_send(s, to->number, p);
}

/* -------- life -------- */

void server_init(struct world *w, unsigned number)
{
	struct server *s = &w->servers[number];

	*s = (struct server) {
		.world = w, .number = number, .turn_at = INT64_MAX, .apply_at = INT64_MAX
	};
	memset(&s->id, 0x11, sizeof(s->id));
	s->id.b[0] = (uint8_t)(number + 1);
	s->disk_life = s->id;
	snprintf(s->address, sizeof(s->address), "10.0.0.%u:8300", number + 1);
	list_init(&s->inbox);
	fake_disk_init(&s->disk, rng_u64(&w->rng));
	clock_set(s);
}

static void inbox_clear(struct server *s)
{
	struct packet *p, *next;

	list_for_each_safe (p, next, &s->inbox, link) {
		list_del(&p->link);
		packet_free(p);
	}
}

static void stop(struct server *s)
{
	if (s->live) {
		node_fini(&s->node);
		s->live = false;
	}
	inbox_clear(s);
	s->turn_at = s->apply_at = INT64_MAX;
	s->busy_until = 0;
	memset(s->offers, 0, sizeof(s->offers));
	memset(s->offer_asked, 0, sizeof(s->offer_asked));
	memset(s->broken, 0, sizeof(s->broken));
	service_forget(s);
}

void server_fini(struct server *s)
{
	stop(s);
	fake_disk_fini(&s->disk);
}

bool server_start(struct server *s)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct world *w = s->world;
	struct node_options options = {
		.disk = &s->disk.disk,
		.raft = { .id = s->id,
			.address = s->address,
			.trailing_logs = w->profile->trailing,
			.seed = rng_u64(&w->rng),
			.heartbeat_ms = HEARTBEAT_MS,
			.election_ms = ELECTION_MS,
			.drift_percent = DRIFT_PERCENT,
			.cluster = s->id },
		.life = s->disk_life,
		.segment_bytes = SEGMENT_BYTES,
		.first_segment_bytes = FIRST_SEGMENT_BYTES,
		.tail_bytes = 8 << 10,
		.bootstrap = s->bootstrap && !server_is_wiped(s),
		.on_update = on_update,
		.send = on_send,
		.arg = s,
	};
	int r;

	s->wanted = true;
	r = node_init(&s->node, &options, &why);

	if (r > 0) {
		failed(w, s, "recovery refuses: %s", buf_cstr(&why));
	}
	if (r) {
		note(w, s, "does not start: %s", buf_cstr(&why));
		return false;
	}
	s->live = true;
	s->life++;
	s->tag = s->life << 32;
	s->turn_syncs = s->disk.syncs;
	s->stall = 0;
	note(w, s, "starts");
	check_started(s);
	node_start(&s->node, server_clock(s));
	if (s->told) {
		node_bootstrap(&s->node, server_clock(s), s->told);
	}
	check_turn(s);
	server_wake(s, w->now);
	return true;
}

void server_crash(struct server *s, bool power)
{
	struct world *w = s->world;

	if (!s->live) {
		return;
	}
	note(w, s, power ? "loses power" : "is killed");
	w->counters.restarts++;
	stop(s);
	if (power) {
		w->counters.power_cuts++;
		fake_disk_power_cut(&s->disk);
		s->machine = s->saved[0];
		s->incoming = (struct machine) { 0 };
		s->incoming_at = 0;
		clock_set(s);
	}
	for (unsigned i = 0; i < w->servers_count; i++) {
		w->links[s->number][i].connection++;
		w->links[i][s->number].connection++;
		if (w->servers[i].live && world_chance(w, 70)) {
			w->servers[i].broken[s->number] = true;
			server_wake(&w->servers[i], w->now);
		}
	}
}

bool server_is_wiped(const struct server *s)
{
	return !uuid_eq(&s->disk_life, &s->id);
}

void server_wipe(struct server *s)
{
	struct world *w = s->world;

	server_crash(s, true);
	note(w, s, "has lost its disk");
	w->counters.wipes++;
	s->disk_life.b[1]++;
	fake_disk_fini(&s->disk);
	fake_disk_init(&s->disk, rng_u64(&w->rng));
	s->told = NULL;
	s->machine = s->saved[0] = s->saved[1] = s->incoming = (struct machine) { 0 };
	s->incoming_at = 0;
	s->term_durable = s->log_durable = s->log_durable_term = s->voted_term = s->promised = 0;
	s->vote_durable = (struct uuid) { { 0 } };
}

/* -------- turns -------- */

void server_wake(struct server *s, int64_t at)
{
	at = max_of(max_of(at, s->busy_until), s->world->now);
	if (s->live && at < s->turn_at) {
		s->turn_at = at;
		world_at(s->world, at, EVENT_TURN, s->number, NULL);
	}
}

static void receive(struct server *s, const struct packet *p, struct arena *arena)
{
	struct raft_message m;

	switch (p->kind) {
	case PACKET_RAFT:
		must(raft_message_decode(buf_str(&p->bytes), arena, &m) == 0);
		note(s->world, s, "has %s of s%u (term %llu index %llu)", raft_message_name(m.type),
			p->from + 1, (unsigned long long)m.term, (unsigned long long)m.index);
		node_receive(&s->node, server_clock(s), &m, &p->life);
		break;
	case PACKET_PROPOSE:
		service_proposed(s, buf_str(&p->bytes));
		break;
	case PACKET_CHUNK:
		transfer_chunk(s, p);
		break;
	case PACKET_WANTED:
		transfer_wanted(s, p);
		break;
	}
}

static void receive_all(struct server *s)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	while (!list_empty(&s->inbox)) {
		struct packet *p = list_first(&s->inbox, struct packet, link);

		list_del(&p->link);
		receive(s, p, &arena);
		arena_reset(&arena);
		packet_free(p);
	}
}

static void told_of_breaks(struct server *s)
{
	for (unsigned i = 0; i < s->world->servers_count; i++) {
		if (s->broken[i]) {
			s->broken[i] = false;
			node_unreachable(&s->node, server_clock(s), &s->world->servers[i].id);
		}
	}
}

static void rearm(struct server *s)
{
	struct world *w = s->world;
	struct mono deadline = node_deadline(&s->node);

	if (deadline.ns != INT64_MAX) {
		/* A loop is never quite on time. */
		server_wake(s, true_time(s, deadline) + world_within(w, 0, 2000));
	}
	if (s->node.raft.commit_index > s->machine.applied && s->apply_at == INT64_MAX) {
		s->apply_at = max_of(w->now, s->busy_until) + world_within(w, 10, 3000);
		world_at(w, s->apply_at, EVENT_APPLY, s->number, NULL);
	}
}

/* raftd's quorum.c: a member that is not who the configuration means is one that lost its disk. */
static void members_look(struct server *s)
{
	const struct configuration *c = &s->node.raft.configuration;
	uint64_t index;

	for (size_t i = 0; i < c->count && raft_leads(&s->node.raft); i++) {
		struct server *other = world_server(s->world, &c->servers[i].id);
		struct raft_server_change change = { .type = RAFT_ADD,
			.id = other->id,
			.address = c->servers[i].address,
			.life = other->disk_life,
			.blank = true };

		if (other->live && !s->world->links[other->number][s->number].cut &&
			!life_eq(&c->servers[i].life, &other->disk_life)) {
			node_change(&s->node, server_clock(s), &change, &index);
			return;
		}
	}
}

/* A loop may see what is ready in any order. */
static void all_that_came(struct server *s)
{
	uint64_t order = rng_below(&s->world->rng, 4);

	told_of_breaks(s);
	if (order == 0) {
		node_tick(&s->node, server_clock(s));
	}
	if (order < 2) {
		service_requests(s);
	}
	receive_all(s);
	if (order >= 2) {
		service_requests(s);
	}
	if (s->save_due) {
		transfer_save(s);
	}
	transfer_look(s);
	if (order) {
		node_tick(&s->node, server_clock(s));
	}
}

void server_turn(struct server *s)
{
	struct world *w = s->world;
	uint64_t failures = s->node.disk_failures;

	s->turn_at = INT64_MAX;
	if (!s->live) {
		return;
	}
	if (w->now < s->busy_until) {
		server_wake(s, s->busy_until);
		return;
	}
	s->turn_syncs = s->disk.syncs;
	s->stall = w->faults && world_chance(w, w->profile->stall_percent)
			   ? world_within(w, 5000, 700000)
			   : 0;
	all_that_came(s);
	members_look(s);
	node_advance(&s->node, server_clock(s));
	w->counters.disk_failures += s->node.disk_failures - failures;
	for (unsigned i = 0; i < w->servers_count; i++) {
		if (s->offer_asked[i]) {
			s->offer_asked[i] = false;
			transfer_begin(s, i);
		}
	}
	s->busy_until = w->now + server_late(s);
	check_turn(s);
	rearm(s);
}
