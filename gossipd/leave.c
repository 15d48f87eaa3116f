/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaving, in Consul's order: a server that leads gives that up and leaves the quorum; both pools
 * are told; other servers wait until the leader has taken them out of the quorum. Whoever asked is
 * answered behind all that. Where raftd or catalogd do not answer, it goes on without them.
 */
#include "gossipd/gossipd.h"

/* Consul's raftRemoveGracePeriod, and what a commit may take. */
enum { QUORUM_WAIT_MS = 5000, QUORUM_ANSWER_MS = QUORUM_WAIT_MS + 3000 };

static void leave_done(struct gossipd *g)
{
	g->leaving.stage = LEAVING_OVER;
	calls_on_left(g);
}

static void on_removed(void *arg, int status, struct str payload UNUSED)
{
	struct gossipd *g = arg;

	g->leaving.pending = NULL;
	if (status) {
		log_warning("leave-quorum", "status=%s", status_name(status));
	}
	leave_done(g);
}

static void quorum_ask(
	struct gossipd *g, bool told, void (*on_answer)(void *arg, int status, struct str payload))
{
	struct quorum_leave m = { .told = told, .wait_ms = QUORUM_WAIT_MS };
	struct ipc_pending *pending =
		IPC_CALL(g->catalogd, quorum_leave, &m, QUORUM_ANSWER_MS, on_answer, g);

	if (pending) {
		g->leaving.pending = pending; /* NULL: refused already, and on_answer was called */
	}
}

/* Both at once. */
static void pools_leave(struct gossipd *g)
{
	g->leaving.stage = LEAVING_POOLS;
	for (int i = GOSSIP_POOLS - 1; i >= 0; i--) {
		struct pool_event event = { .type = POOL_LEAVE };
		struct pool_update update;

		if (g->wires[i].active && !g->wires[i].pool.leave) {
			wire_step(&g->wires[i], &event, &update);
		}
	}
	leave_on_left(g);
}

static void on_given_up(void *arg, int status, struct str payload UNUSED)
{
	struct gossipd *g = arg;

	g->leaving.pending = NULL;
	if (status) {
		log_warning("leave-quorum", "status=%s", status_name(status));
	}
	pools_leave(g);
}

void leave_on_left(struct gossipd *g)
{
	for (int i = 0; i < GOSSIP_POOLS; i++) {
		if (g->wires[i].active && !g->wires[i].left) {
			return;
		}
	}
	if (g->leaving.stage != LEAVING_POOLS) {
		return;
	}
	if (g->daemon->conf->server) {
		g->leaving.stage = LEAVING_REMOVAL;
		quorum_ask(g, true, on_removed);
	} else {
		leave_done(g);
	}
}

void leave_begin(struct gossipd *g)
{
	if (g->leaving.stage == LEAVING_OVER) {
		calls_on_left(g);
	} else if (g->leaving.stage == LEAVING_NOT && g->daemon->conf->server) {
		g->leaving.stage = LEAVING_QUORUM;
		quorum_ask(g, false, on_given_up);
	} else if (g->leaving.stage == LEAVING_NOT) {
		pools_leave(g);
	}
}

void leave_fini(struct gossipd *g)
{
	if (g->leaving.pending) {
		ipc_cancel(take(g->leaving.pending));
	}
}
