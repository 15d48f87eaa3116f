/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections between servers, over loopback and in one loop: who finds whom, who is refused, what
 * happens when one goes and comes back, and what may wait to be sent.
 */
#include "raftd/peer.h"

#include <netinet/in.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "tests/unit/unit.h"

enum { SERVERS_MAX = 4, LIMIT_MS = 20000 };

struct server {
	struct world *world;
	struct peers peers;
	struct uuid id;
	char address[RAFT_ADDRESS_SIZE];
	const char *datacenter;
	size_t hellos, lost;
	uint64_t tags; /* sum of those of the proposals that came */
	struct uuid cluster, life;
	bool running;
};

struct world {
	struct loop *loop;
	struct loop_flush flush;
	struct server servers[SERVERS_MAX];
	size_t count;
};

static void say(void *arg, struct peer_hello *out)
{
	struct server *s = arg;

	out->self = (struct peer_facts) { .id = s->id,
		.node = STR("n"),
		.address = str_of(s->address),
		.version = STR("1"),
		.datacenter = str_of(s->datacenter) };
}

static struct peer_identity identify(void *arg, const struct uuid *to UNUSED)
{
	const struct server *s = arg;

	return (struct peer_identity) { .cluster = s->cluster, .life = s->life };
}

static void on_hello(void *arg, struct peer *p UNUSED)
{
	struct server *s = arg;

	s->hellos++;
}

static void on_frame(void *arg, struct peer *p UNUSED, const struct peer_frame *f)
{
	struct server *s = arg;
	struct peer_propose m;

	ck_assert_int_eq(f->number, FRAME_peer_propose);
	ck_assert_int_eq(peer_propose_decode(f->payload, NULL, &m), 0);
	s->tags += m.tag;
}

static void on_lost(void *arg, struct peer *p UNUSED)
{
	struct server *s = arg;

	s->lost++;
}

static void on_flush(void *arg)
{
	struct world *w = arg;

	for (size_t i = 0; i < w->count; i++) {
		if (w->servers[i].running) {
			peers_settle(&w->servers[i].peers);
		}
	}
}

/* On its old port, if it has had one. */
static void server_start(struct server *s)
{
	struct peers_setup setup = {
		.loop = s->world->loop,
		.id = s->id,
		.again_max_ms = 50,
		.greeting_ms = 1000,
		.say = say,
		.identify = identify,
		.on_hello = on_hello,
		.on_frame = on_frame,
		.on_lost = on_lost,
		.arg = s,
	};
	const char *where = s->address[0] ? s->address : "127.0.0.1:0";
	OWN_EMBEDDED(buf_fini) struct buf shown = { 0 };
	struct net_address a;
	int fd;

	ck_assert_int_eq(net_address_parse(str_of(where), -1, &a), 0);
	fd = net_listen(&a, SOCK_STREAM, 16);
	ck_assert_int_ge(fd, 0);
	a.size = sizeof(a.sa);
	getsockname(fd, (struct sockaddr *)&a.sa, &a.size);
	net_address_render(&a, &shown);
	snprintf(s->address, sizeof(s->address), "%s", buf_cstr(&shown));
	setup.address = str_of(s->address);
	setup.datacenter = str_of(s->datacenter);
	peers_init(&s->peers, &setup, 1);
	peers_start(&s->peers, fd);
	s->running = true;
}

static void server_stop(struct server *s)
{
	s->running = false;
	peers_fini(&s->peers);
}

static struct server *server_add(struct world *w)
{
	struct server *s = &w->servers[w->count++];

	*s = (struct server) { .world = w, .datacenter = "dc1" };
	s->id.b[0] = (uint8_t)w->count;
	return s;
}

static void world_init(struct world *w, size_t count)
{
	*w = (struct world) { .loop = loop_new() };
	loop_flush_add(&w->flush, w->loop, on_flush, w);
	while (w->count < count) {
		server_start(server_add(w));
	}
}

static void world_fini(struct world *w)
{
	for (size_t i = 0; i < w->count; i++) {
		if (w->servers[i].running) {
			server_stop(&w->servers[i]);
		}
	}
	loop_flush_del(&w->flush);
	loop_free(w->loop);
}

static void on_nothing(void *arg UNUSED)
{
}

#define run_until(w, condition)                                                           \
	do {                                                                              \
		struct mono end_ = mono_add_ms(clock_mono(), LIMIT_MS);                   \
		struct loop_timer tick_;                                                  \
                                                                                          \
		loop_timer_init(&tick_, (w)->loop, on_nothing, NULL);                     \
		while (!(condition)) {                                                    \
			ck_assert_msg(mono_before(clock_mono(), end_), "%s", #condition); \
			loop_timer_in(&tick_, 10);                                        \
			loop_run_once((w)->loop);                                         \
		}                                                                         \
		loop_timer_stop(&tick_);                                                  \
	} while (0)

static bool knows(const struct server *s, const struct server *other)
{
	const struct peer *p = peers_find(&s->peers, &other->id);

	return p && p->told && peer_connected(p);
}

static void propose(struct server *from, const struct server *to, uint64_t tag)
{
	struct buf *out = peers_out(&from->peers, &to->id, SIZE_MAX);

	ck_assert(out);
	PEER_FRAME_PUT(out, peer_propose, &((struct peer_propose) { tag, STR("x") }));
}

/* The pool knows of one server only. */
static void seed_as(struct server *s, uint8_t id, const char *address)
{
	struct pool_server seed = { .id = { { id } } };

	snprintf(seed.address, sizeof(seed.address), "%s", address);
	peers_seed(&s->peers, &seed, 1);
}

static void seed(struct server *s, const struct server *other)
{
	seed_as(s, other->id.b[0], other->address);
}

TEST(one_seed_is_enough)
{
	struct world w;
	struct server *s = w.servers;

	world_init(&w, 3);
	seed(&s[1], &s[0]);
	seed(&s[2], &s[0]);
	run_until(&w, knows(&s[1], &s[2]) && knows(&s[2], &s[1]) && knows(&s[0], &s[1]));
	propose(&s[1], &s[2], 5);
	propose(&s[2], &s[1], 7);
	run_until(&w, s[2].tags == 5 && s[1].tags == 7);
	world_fini(&w);
}
END_TEST

TEST(a_seed_moves_and_goes)
{
	struct world w;
	struct server *s = w.servers;

	world_init(&w, 2);
	peers_set_settled(&s[0].peers, true);
	peers_set_settled(&s[1].peers, true);
	seed_as(&s[0], s[1].id.b[0], "127.0.0.1:1");
	run_until(&w, peers_find(&s[0].peers, &s[1].id)->failures > 2);
	seed(&s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]));
	peers_seed(&s[0].peers, NULL, 0);
	ck_assert(knows(&s[0], &s[1])); /* who is connected may stay */
	server_stop(&s[1]);
	run_until(&w, !peers_find(&s[0].peers, &s[1].id)); /* forgotten */
	world_fini(&w);
}
END_TEST

TEST(another_data_centre)
{
	struct world w;
	struct server *s = w.servers;

	world_init(&w, 1);
	server_add(&w)->datacenter = "dc2";
	server_start(&s[1]);
	seed(&s[1], &s[0]);
	run_until(&w, s[0].peers.counts.mistaken > 0 && s[1].peers.counts.broken > 0);
	ck_assert(!knows(&s[0], &s[1]) && !knows(&s[1], &s[0]));
	ck_assert_uint_eq(s[0].hellos + s[1].hellos, 0);
	world_fini(&w);
}
END_TEST

TEST(the_same_id_twice)
{
	struct world w;
	struct server *s = w.servers;

	world_init(&w, 1);
	server_add(&w)->id = s[0].id;
	server_start(&s[1]);
	seed_as(&s[1], 99, s[0].address);
	run_until(&w, s[0].peers.counts.mistaken > 0 && s[1].peers.counts.broken > 0);
	ck_assert_uint_eq(s[0].hellos + s[1].hellos, 0);
	world_fini(&w);
}
END_TEST

TEST(another_cluster)
{
	struct world w;
	struct server *s = w.servers;
	const struct peer *there, *back;

	world_init(&w, 2);
	s[0].cluster.b[0] = 1;
	s[1].cluster.b[0] = 2;
	seed(&s[1], &s[0]);
	run_until(&w, s[0].peers.counts.mistaken > 0 && s[1].peers.counts.mistaken > 0);
	there = peers_find(&s[1].peers, &s[0].id);
	ck_assert(!knows(&s[0], &s[1]) && !knows(&s[1], &s[0]));
	ck_assert_str_eq(there->refused, "it belongs to another cluster");
	ck_assert(mono_before(clock_mono(), there->again));
	/* One that has none yet is welcome, and a cluster that was wiped may come back. */
	s[1].cluster.b[0] = 0;
	peers_find(&s[1].peers, &s[0].id)->again = (struct mono) { 0 };
	run_until(&w, knows(&s[0], &s[1]) && knows(&s[1], &s[0]));
	run_until(&w, !there->refused);
	back = peers_find(&s[0].peers, &s[1].id);
	ck_assert(back && back->told);
	world_fini(&w);
}
END_TEST

TEST(another_life)
{
	struct world w;
	struct server *s = w.servers;
	struct uuid old = { { 7 } }, fresh = { { 8 } };

	world_init(&w, 2);
	s[1].life = old;
	seed(&s[0], &s[1]);
	seed(&s[1], &s[0]);
	run_until(&w, knows(&s[0], &s[1]) &&
			      uuid_eq(&peers_find(&s[0].peers, &s[1].id)->identity.life, &old));
	server_stop(&s[1]);
	s[1].life = fresh;
	server_start(&s[1]);
	seed(&s[1], &s[0]);
	run_until(&w, knows(&s[0], &s[1]) &&
			      uuid_eq(&peers_find(&s[0].peers, &s[1].id)->identity.life, &fresh));
	world_fini(&w);
}
END_TEST

static void configure(struct server *s, const struct server *a, const struct server *b)
{
	struct configuration c = { .count = 2 };

	c.servers[0] = (struct configuration_server) { .id = a->id, .voter = true };
	c.servers[1] = (struct configuration_server) { .id = b->id, .voter = true };
	memcpy(c.servers[0].address, a->address, sizeof(a->address));
	memcpy(c.servers[1].address, b->address, sizeof(b->address));
	peers_configure(&s->peers, &c);
	peers_set_settled(&s->peers, true);
}

TEST(a_member_goes_and_comes_back)
{
	struct world w;
	struct server *s = w.servers;

	world_init(&w, 2);
	configure(&s[0], &s[0], &s[1]);
	configure(&s[1], &s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]) && knows(&s[1], &s[0]));
	server_stop(&s[1]);
	run_until(&w, s[0].lost > 0 && !knows(&s[0], &s[1]));
	ck_assert(!peers_out(&s[0].peers, &s[1].id, SIZE_MAX));
	server_start(&s[1]);
	configure(&s[1], &s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]) && knows(&s[1], &s[0]));
	propose(&s[0], &s[1], 3);
	run_until(&w, s[1].tags == 3);
	world_fini(&w);
}
END_TEST

TEST(a_member_elsewhere)
{
	struct world w;
	struct server *s = w.servers;

	world_init(&w, 2);
	configure(&s[0], &s[0], &s[1]);
	configure(&s[1], &s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]) && knows(&s[1], &s[0]));
	server_stop(&s[1]);
	s[1].address[0] = 0; /* another port */
	server_start(&s[1]);
	configure(&s[1], &s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]) && knows(&s[1], &s[0]));
	ck_assert_str_eq(peers_find(&s[0].peers, &s[1].id)->address, s[1].address);
	run_until(&w, peers_find(&s[0].peers, &s[1].id)->out &&
			      peers_find(&s[0].peers, &s[1].id)->out->greeted);
	world_fini(&w);
}
END_TEST

TEST(another_server_at_a_members_address)
{
	struct world w;
	struct server *s = w.servers;
	struct uuid old;

	world_init(&w, 2);
	configure(&s[0], &s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]));
	old = s[1].id;
	server_stop(&s[1]);
	s[1].id.b[0] = 77;
	server_start(&s[1]);
	run_until(&w, s[0].peers.counts.mistaken > 0);
	ck_assert(!peers_out(&s[0].peers, &old, SIZE_MAX));
	world_fini(&w);
}
END_TEST

TEST(what_waits_is_bounded)
{
	struct world w;
	struct server *s = w.servers;
	OWN(free) char *body = xcalloc(1, 1 << 20);
	struct peer_propose m = { 1, str_n(body, 1 << 20) };
	size_t sent = 0;

	world_init(&w, 2);
	configure(&s[0], &s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]));
	while (peers_out(&s[0].peers, &s[1].id, 4 << 20)) {
		PEER_FRAME_PUT(peers_out(&s[0].peers, &s[1].id, 4 << 20), peer_propose, &m);
		ck_assert(++sent <= 4);
	}
	ck_assert_uint_eq(sent, 4);	  /* a frame is a little more than a MiB */
	run_until(&w, s[1].tags == sent); /* large frames, in pieces */
	ck_assert(peers_out(&s[0].peers, &s[1].id, 0));
	world_fini(&w);
}
END_TEST

TEST(members_have_their_place)
{
	struct world w;
	struct server *s = w.servers;
	struct configuration c = { .count = 2 };
	size_t members = 0;
	struct peer *p;

	world_init(&w, 2);
	seed(&s[0], &s[1]);
	run_until(&w, knows(&s[0], &s[1]));
	/* as many acquaintances as there is room for */
	for (uint8_t i = 0; s[0].peers.count < PEERS_MAX; i++) {
		c = (struct configuration) { .count = RAFT_SERVERS_MAX };
		for (uint8_t k = 0; k < RAFT_SERVERS_MAX; k++) {
			c.servers[k].id = (struct uuid) { { 100, i, k } };
			snprintf(c.servers[k].address, RAFT_ADDRESS_SIZE, "127.0.0.1:1");
		}
		peers_configure(&s[0].peers, &c);
	}
	configure(&s[0], &s[0], &s[1]);
	list_for_each (p, &s[0].peers.list, link) {
		members += p->member;
	}
	ck_assert_uint_eq(members, 1);
	ck_assert_uint_le(s[0].peers.count, PEERS_MAX);
	run_until(&w, knows(&s[0], &s[1]));
	world_fini(&w);
}
END_TEST

UNIT_MAIN("peer", one_seed_is_enough, a_seed_moves_and_goes, another_data_centre, the_same_id_twice,
	another_cluster, another_life, a_member_goes_and_comes_back, a_member_elsewhere,
	another_server_at_a_members_address, what_waits_is_bounded, members_have_their_place)
