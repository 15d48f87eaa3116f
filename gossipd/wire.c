/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool and its sockets: the steps, and what must follow each of them.
 */
#include <errno.h>
#include <netinet/in.h>

#include "common/sys/clock.h"
#include "gossipd/gossipd.h"

enum { BACKLOG = 1024, UDP_BUFFER = 2 << 20 };

static void rearm(struct wire *w)
{
	loop_timer_at(&w->step_timer, pool_deadline(&w->pool));
}

static bool clocks_grew(struct wire *w)
{
	const struct pool_clocks *c = &w->pool.clocks;
	uint64_t now[] = { c->member, c->event, c->query };
	bool grew = memcmp(now, w->stored_clocks, sizeof(now)) != 0;

	memcpy(w->stored_clocks, now, sizeof(now));
	return grew;
}

/* What this node says itself must be on disk before it is said. */
static bool is_own_word(const struct pool_event *e)
{
	return e->type == POOL_FIRE || e->type == POOL_LEAVE || e->type == POOL_QUERY ||
	       e->type == POOL_START;
}

void wire_step(struct wire *w, struct pool_event *event, struct pool_update *u)
{
	/* A turn may have taken a while, and round trips are measured in here. */
	event->now = clock_mono();
	pool_step(&w->pool, event, u);
	if (u->keyring_changed) {
		store_keyring(w);
	}
	if (is_own_word(event)) {
		store_snapshot(w);
	} else if (u->members_changed || (u->clocks_changed && clocks_grew(w))) {
		wire_store_soon(w);
	}
	udp_send(w, u);
	for (size_t i = 0; i < u->dials_count; i++) {
		const struct pool_dial *d = &u->dials[i];

		stream_dial(w, d, pool_bytes(u, d->at, d->size));
	}
	notes_handle(w, u);
	rearm(w);
}

static void on_step(void *arg)
{
	struct pool_event tick = { .type = POOL_TICK };
	struct pool_update update;

	wire_step(arg, &tick, &update);
}

void wire_store_soon(struct wire *w)
{
	if (!loop_timer_active(&w->store_timer)) {
		loop_timer_in(&w->store_timer, WIRE_STORE_MS);
	}
}

static void on_store(void *arg)
{
	store_snapshot(arg);
}

/* -------- sockets -------- */

/* What arrives while we are restarted waits in them, so that nobody suspects this node. One that is
 * open stays so while the other is waited for. */
static int listen_both(struct wire *w)
{
	static const struct {
		const char *udp, *tcp;
	} names[] = {
		[GOSSIP_LAN] = { "gossip-lan-udp", "gossip-lan-tcp" },
		[GOSSIP_WAN] = { "gossip-wan-udp", "gossip-wan-tcp" },
	};
	struct daemon *d = w->gossipd->daemon;
	int size = UDP_BUFFER;

	if (w->tcp < 0) {
		w->tcp = daemon_listen(d, names[w->name].tcp, &w->bind, SOCK_STREAM, BACKLOG);
	}
	if (w->tcp < 0) {
		return w->tcp;
	}
	w->udp = daemon_listen(d, names[w->name].udp, &w->bind, SOCK_DGRAM, 0);
	if (w->udp < 0) {
		return w->udp;
	}
	setsockopt(w->udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return 0;
}

static void on_open(void *arg)
{
	struct wire *w = arg;
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 };

	net_address_render(&w->bind, &address);
	if (listen_both(w)) {
		if (!w->waits_told) {
			log_error("listen",
				"address=%s error=\"%s\" action=\"again every second until it is "
				"free\"",
				buf_cstr(&address), err_text());
		}
		w->waits_told = true;
		loop_timer_in(&w->open_timer, WIRE_RETRY_MS);
		return;
	}
	log_notice("listening", "address=%s", buf_cstr(&address));
	loop_io_init(&w->udp_io, w->gossipd->daemon->loop, w->udp, udp_on_readable, w);
	loop_io_init(&w->tcp_io, w->gossipd->daemon->loop, w->tcp, stream_on_acceptable, w);
	loop_io_set(&w->udp_io, LOOP_READ);
	loop_io_set(&w->tcp_io, LOOP_READ);
}

void wire_open(struct wire *w)
{
	if (w->active && w->port) {
		on_open(w);
	}
}

/* -------- life -------- */

static int bind_address(struct wire *w)
{
	const struct conf *c = w->gossipd->daemon->conf;
	bool wan = w->name == GOSSIP_WAN;
	int64_t port = wan ? c->ports.serf_wan : c->ports.serf_lan;

	w->port = (uint16_t)max_of(port, (int64_t)0);
	if (net_address_parse(wan ? c->serf_wan_bind : c->serf_lan_bind, (int)w->port, &w->bind)) {
		return err_new(-EINVAL, "bind address");
	}
	return 0;
}

int wire_init(struct wire *w, struct gossipd *g, enum gossip_pool_name name,
	const struct pool_options *options)
{
	const struct conf *c = g->daemon->conf;
	int r;

	w->gossipd = g;
	w->name = name;
	w->active = true;
	w->udp = w->tcp = -1;
	w->verify_incoming = conf_flag(c, "encrypt_verify_incoming", true);
	w->verify_outgoing = conf_flag(c, "encrypt_verify_outgoing", true);
	w->store_keyring = !conf_flag(c, "disable_keyring_file", false);
	list_init(&w->streams);
	pool_init(&w->pool, options);
	seal_init(&w->seal, &w->pool.keyring);
	loop_timer_init(&w->step_timer, g->daemon->loop, on_step, w);
	loop_timer_init(&w->open_timer, g->daemon->loop, on_open, w);
	loop_timer_init(&w->store_timer, g->daemon->loop, on_store, w);
	r = bind_address(w);
	r = r ? r : store_paths(w);
	r = r ? r : store_keyring_load(w);
	w->pool.options.sealed = w->pool.keyring.count > 0;
	return r;
}

void wire_fini(struct wire *w)
{
	if (!w->active) {
		return;
	}
	if (w->pool.started) {
		store_snapshot(w);
	}
	streams_fini(w);
	loop_timer_stop(&w->step_timer);
	loop_timer_stop(&w->open_timer);
	loop_timer_stop(&w->store_timer);
	loop_io_set(&w->udp_io, 0);
	loop_io_set(&w->tcp_io, 0);
	fd_close_own(&w->udp);
	fd_close_own(&w->tcp);
	seal_fini(&w->seal);
	pool_fini(&w->pool);
	w->active = false;
}
