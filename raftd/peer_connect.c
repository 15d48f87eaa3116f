/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to other servers: accepted, dialled, given up, and the beginning and end of it all.
 */
#include <errno.h>
#include <unistd.h>

#include "common/base/err.h"
#include "raftd/peer.h"

enum { ACCEPTS_PER_TURN = 16 };

static void on_accept(void *arg, int events UNUSED)
{
	struct peers *p = arg;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(p->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct link *l;

		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && log_allow(&p->limit)) {
				log_warning("accept-failed", "error=\"%s\"", strerror(errno));
			}
			return;
		}
		if (p->accepted_count == PEER_ACCEPTED_MAX) {
			p->counts.refused++;
			close(fd);
			continue;
		}
		p->counts.accepted++;
		p->accepted_count++;
		l = link_new(p->setup.loop, fd, false);
		l->on_frame = peers_on_frame;
		l->arg = p;
		l->since = loop_now(p->setup.loop);
		list_add_tail(&p->accepted, &l->list);
	}
}

static bool is_wanted(const struct peers *p, const struct peer *peer)
{
	return peer->member || peer->seed || (!p->settled && peer->address[0]);
}

/* Doubling, with a random half, so that servers that start together do not call in step. */
static void back_off(struct peers *p, struct peer *peer)
{
	bool matters = peer->member || !p->settled;
	int64_t pause_ms = PEER_AGAIN_FIRST_MS << min_of(peer->failures, 10U);
	struct mono again;

	pause_ms =
		min_of(pause_ms, matters ? p->setup.again_max_ms : (int64_t)PEER_AGAIN_REFUSED_MS);
	pause_ms = pause_ms / 2 + (int64_t)rng_below(&p->rng, (uint64_t)pause_ms / 2 + 1);
	again = mono_add_ms(loop_now(p->setup.loop), pause_ms);
	peer->failures++;
	if (peer->again.ns < again.ns) {
		peer->again = again;
	}
}

static void dial(struct peers *p, struct peer *peer)
{
	struct net_address address;
	int fd = -EINVAL;

	if (net_address_parse(str_of(peer->address), -1, &address) == 0) {
		fd = net_connect(&address, SOCK_STREAM);
	}
	if (fd < 0) {
		back_off(p, peer);
		return;
	}
	peer->out = link_new(p->setup.loop, fd, true);
	peer->out->on_frame = peers_on_frame;
	peer->out->arg = p;
	peer->out->peer = peer;
	peer->out->since = loop_now(p->setup.loop);
	peer_hello_send(p, peer);
}

static struct mono greeting_end(const struct peers *p, const struct link *l)
{
	if (l->greeted) {
		return MONO_NEVER;
	}
	return mono_add_ms(l->since, l->connecting ? PEER_CONNECT_MS : p->setup.greeting_ms);
}

static bool greeting_over(const struct peers *p, const struct link *l, struct mono now)
{
	return !mono_before(now, greeting_end(p, l));
}

static void link_lost(struct peers *p, struct link *l)
{
	struct peer *peer = l->peer;
	bool greeted = l->greeted, dialled = peer && peer->out == l;

	p->counts.broken++;
	if (greeted || !peer || peer->failures == 0) { /* else it is told already */
		log_debug("peer-connection", "address=%s dialled=%d reason=\"%s\"",
			peer ? peer->address : "", dialled, l->why);
	}
	peer_link_detach(p, l);
	if (!peer) {
		return;
	}
	if (dialled) {
		back_off(p, peer);
	}
	if (!peer_connected(peer)) {
		peer->since = (struct mono) { 0 };
	}
	if (greeted) {
		p->setup.on_lost(p->setup.arg, peer);
	}
}

/* What nobody needs to remember. Who was just refused will come again, and it is in the log. */
static bool is_forgettable(const struct peers *p, const struct peer *peer)
{
	if (peer->refused &&
		mono_diff_ms(loop_now(p->setup.loop), peer->heard) < PEER_REFUSED_KEPT_MS) {
		return false;
	}
	return !peer->member && !peer->seed && !peer->in && !peer->out &&
	       (p->settled || peer->failures > 8);
}

static struct mono peer_turn(struct peers *p, struct peer *peer, struct mono now)
{
	if (!peer->out) {
		if (!is_wanted(p, peer)) {
			return MONO_NEVER;
		}
		if (mono_before(now, peer->again)) {
			return peer->again;
		}
		dial(p, peer);
	}
	if (!peer->out) {
		return peer->again;
	}
	if (!peer->out->greeted) {
		return greeting_end(p, peer->out);
	}
	if (!mono_before(now, peer->hello_at)) {
		peer_hello_send(p, peer);
	}
	return peer->hello_at;
}

static void broken_take_away(struct peers *p, struct mono now)
{
	struct peer *peer, *next_peer;
	struct link *l, *next;

	list_for_each_safe (l, next, &p->accepted, list) {
		if (greeting_over(p, l, now)) {
			link_break(l, "no hello in time");
		}
		if (l->broken) {
			link_lost(p, l);
		}
	}
	list_for_each_safe (peer, next_peer, &p->list, link) {
		if (peer->out && greeting_over(p, peer->out, now)) {
			link_break(peer->out, "no answer in time");
		}
		if (peer->out && peer->out->broken) {
			link_lost(p, peer->out);
		}
		if (is_forgettable(p, peer)) {
			peer_del(p, peer);
		}
	}
}

void peers_settle(struct peers *p)
{
	struct mono now = loop_now(p->setup.loop), deadline = MONO_NEVER;
	struct peer *peer;
	struct link *l;

	broken_take_away(p, now);
	list_for_each (peer, &p->list, link) {
		deadline = mono_min(deadline, peer_turn(p, peer, now));
	}
	list_for_each (l, &p->accepted, list) {
		deadline = mono_min(deadline, greeting_end(p, l));
	}
	peers_flush(p);
	loop_timer_at(&p->timer, deadline);
}

/* The work is done at the end of the turn. */
static void on_timer(void *arg UNUSED)
{
}

void peers_init(struct peers *p, const struct peers_setup *setup, uint64_t seed)
{
	*p = (struct peers) { .setup = *setup, .listen_fd = -1 };
	list_init(&p->list);
	list_init(&p->accepted);
	rng_init(&p->rng, seed);
}

void peers_start(struct peers *p, int listen_fd)
{
	p->listen_fd = listen_fd;
	loop_io_init(&p->listen_io, p->setup.loop, listen_fd, on_accept, p);
	loop_io_set(&p->listen_io, LOOP_READ);
	loop_timer_init(&p->timer, p->setup.loop, on_timer, p);
}

void peers_fini(struct peers *p)
{
	struct peer *peer, *next_peer;
	struct link *l, *next;

	if (p->listen_fd >= 0) {
		loop_io_set(&p->listen_io, 0);
		loop_timer_stop(&p->timer);
		close(take_fd(&p->listen_fd));
	}
	list_for_each_safe (l, next, &p->accepted, list) {
		peer_link_detach(p, l);
	}
	list_for_each_safe (peer, next_peer, &p->list, link) {
		peer_del(p, peer);
	}
}
