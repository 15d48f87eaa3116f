/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows gossipd's table of servers: whoever is in it is dialled. While gossipd is away, what it
 * said last goes on to count.
 */
#include "raftd/pool.h"
#include "raftd/raftd.h"

enum { WAIT_MS = 60000, ANSWER_MS = 10000, AGAIN_MS = 250, MALFORMED_AGAIN_MS = 60000 };

static void ask(struct raftd *r);

static void take_servers(struct raftd *r, const struct gossip_servers_reply *m)
{
	struct pool_server servers[POOL_SERVERS_MAX];
	size_t dropped, count = pool_servers(m, &r->node.raft.id, servers, &dropped);

	if (dropped) {
		log_warning("pool", "servers=%zu dropped=%zu reason=\"too many\"", count, dropped);
	}
	peers_seed(&r->peers, servers, count);
	r->seeds.version = m->version;
}

static void on_servers(void *arg, int status, struct str payload)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct gossip_servers_reply m;
	struct raftd *r = arg;

	r->seeds.pending = NULL;
	if (status) {
		loop_timer_in(&r->seeds.again, AGAIN_MS);
		return;
	}
	if (gossip_servers_reply_decode(payload, &arena, &m)) {
		log_error("servers-malformed", "bytes=%zu", payload.n);
		loop_timer_in(&r->seeds.again, MALFORMED_AGAIN_MS);
		return;
	}
	take_servers(r, &m);
	ask(r);
}

static void ask(struct raftd *r)
{
	struct gossip_servers m = { .version = r->seeds.version, .wait_ms = WAIT_MS };

	if (!r->seeds.pending && !r->daemon->draining) {
		r->seeds.pending = IPC_CALL(
			r->gossipd, gossip_servers, &m, WAIT_MS + ANSWER_MS, on_servers, r);
	}
}

static void on_again(void *arg)
{
	ask(arg);
}

int raftd_seeds_start(struct raftd *r)
{
	int status = ipc_client_new(r->daemon->loop, "gossipd/read", &r->gossipd);

	if (status == 0) {
		loop_timer_init(&r->seeds.again, r->daemon->loop, on_again, r);
		ask(r);
	}
	return status;
}

void raftd_seeds_fini(struct raftd *r)
{
	if (r->gossipd) {
		loop_timer_stop(&r->seeds.again);
		if (r->seeds.pending) {
			ipc_cancel(take(r->seeds.pending));
		}
		ipc_client_free(take(r->gossipd));
	}
}
