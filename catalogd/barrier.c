/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linearizable reads: raftd names the index that was committed when the question came in; the
 * answer goes out when that is applied.
 */
#include "catalogd/catalogd.h"

struct barrier {
	struct list link;
	struct catalogd *c;
	struct ipc_call *call;
	struct ipc_pending *pending; /* raftd has not answered yet */
	uint64_t index;
};

enum { BARRIER_TIMEOUT_MS = 7000 };

void barriers_init(struct catalogd *c)
{
	list_init(&c->barriers.waiting);
}

static void barrier_free(struct barrier *b)
{
	list_del(&b->link);
	b->c->barriers.count--;
	if (b->pending) {
		ipc_cancel(b->pending);
	}
	free(b);
}

void barriers_fini(struct catalogd *c)
{
	struct barrier *b, *following;

	list_for_each_safe (b, following, &c->barriers.waiting, link) {
		barrier_free(b);
	}
}

static void barrier_pass(struct barrier *b)
{
	struct catalog_barrier_reply reply = { .index = b->c->feed.applied };

	IPC_REPLY(b->call, catalog_barrier, &reply);
	barrier_free(b);
}

static void on_index(void *arg, int status, struct str payload)
{
	struct barrier *b = arg;
	struct raft_read_index_reply m;

	b->pending = NULL;
	if (status || raft_read_index_reply_decode(payload, NULL, &m)) {
		ipc_refuse(b->call, status ? status : ST_INVALID);
		barrier_free(b);
		return;
	}
	b->index = m.index;
	if (b->c->feed.applied >= b->index) {
		barrier_pass(b);
	}
}

void handle_barrier(struct catalogd *c, struct ipc_call *call, const struct catalog_barrier *m)
{
	struct raft_read_index question = {};
	struct ipc_pending *pending;
	struct barrier *b;

	if (c->daemon->draining) {
		return; /* unanswered, it is asked again of the process after us */
	}
	if (c->barriers.count >= BARRIERS_MAX) {
		ipc_refuse(call, ST_FULL);
		return;
	}
	b = xcalloc(1, sizeof(*b));
	b->c = c;
	b->call = call;
	list_add_tail(&c->barriers.waiting, &b->link);
	c->barriers.count++;
	pending = IPC_CALL(c->raft, raft_read_index, &question, BARRIER_TIMEOUT_MS, on_index, b);
	if (pending) {
		b->pending = pending; /* NULL: refused already, and b is gone */
	}
}

void barriers_advance(struct catalogd *c)
{
	struct barrier *b, *following;

	list_for_each_safe (b, following, &c->barriers.waiting, link) {
		if (!b->pending && c->feed.applied >= b->index) {
			barrier_pass(b);
		}
	}
}
