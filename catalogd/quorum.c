/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator wants changed about the quorum: the token is checked, then raftd is asked. Only
 * the leader's can do it; whoever asks elsewhere is refused with ST_NOT_LEADER.
 */
#include "catalogd/catalogd.h"

enum { CHANGE_REMOVE = 4 /* of raft_change */, CHANGE_TIMEOUT_MS = 20000 };

struct quorum_call {
	struct list link;
	struct ipc_call *call;
	struct ipc_pending *pending;
};

static void answer(struct ipc_call *call, enum result_kind kind, struct str text)
{
	struct quorum_remove_reply reply = { .result = { .kind = (uint8_t)kind, .text = text } };

	IPC_REPLY(call, quorum_remove, &reply); /* both messages' replies are the same */
}

static void on_changed(void *arg, int status, struct str payload)
{
	struct quorum_call *q = arg;

	if (status) {
		ipc_refuse(q->call, status);
	} else {
		answer(q->call, RESULT_OK, STR_NONE);
	}
	list_del(&q->link);
	free(q);
}

static struct quorum_call *call_new(struct catalogd *c, struct ipc_call *call)
{
	struct quorum_call *q = xcalloc(1, sizeof(*q));

	q->call = call;
	list_add_tail(&c->quorum_calls, &q->link);
	return q;
}

/* NULL: it may not, and was told so. */
static struct quorum_call *begin(struct catalogd *c, struct ipc_call *call, struct str token)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct rights rights;

	rights_resolve(c, token, &rights);
	if (rights_check_management(&rights, &why)) {
		answer(call, RESULT_DENIED, buf_str(&why));
		return NULL;
	}
	return call_new(c, call);
}

static void sent(struct quorum_call *q, struct ipc_pending *pending)
{
	if (pending) {
		q->pending = pending; /* NULL: refused already, and q is gone */
	}
}

void handle_quorum_remove(struct catalogd *c, struct ipc_call *call, const struct quorum_remove *m)
{
	struct raft_change change = { .op = CHANGE_REMOVE, .id = m->id, .address = STR("") };
	struct quorum_call *q = begin(c, call, m->token);

	if (q) {
		sent(q, IPC_CALL(c->raft, raft_change, &change, CHANGE_TIMEOUT_MS, on_changed, q));
	}
}

void handle_quorum_transfer(
	struct catalogd *c, struct ipc_call *call, const struct quorum_transfer *m)
{
	struct raft_transfer transfer = { .id = m->id };
	struct quorum_call *q = begin(c, call, m->token);

	if (q) {
		sent(q, IPC_CALL(c->raft, raft_transfer, &transfer, CHANGE_TIMEOUT_MS, on_changed,
				q));
	}
}

/* -------- this server leaves: raftd's affair, which gossipd may not talk to -------- */

enum { LEAVE_MARGIN_MS = 2000 };

static void on_quorum_left(void *arg, int status, struct str payload)
{
	struct quorum_call *q = arg;
	struct raft_leave_reply m = { .member = true };
	struct quorum_leave_reply reply;

	if (!status) {
		status = raft_leave_reply_decode(payload, NULL, &m);
	}
	if (status) {
		ipc_refuse(q->call, status);
	} else {
		reply.member = m.member;
		IPC_REPLY(q->call, quorum_leave, &reply);
	}
	list_del(&q->link);
	free(q);
}

void handle_quorum_leave(struct catalogd *c, struct ipc_call *call, const struct quorum_leave *m)
{
	struct raft_leave leave = { .told = m->told, .wait_ms = m->wait_ms };
	struct quorum_call *q = call_new(c, call);

	sent(q, IPC_CALL(c->raft, raft_leave, &leave, m->wait_ms + LEAVE_MARGIN_MS, on_quorum_left,
			q));
}

/* Calls stay unanswered: they are asked again of the process after us. */
void quorum_fini(struct catalogd *c)
{
	struct quorum_call *q, *following;

	list_for_each_safe (q, following, &c->quorum_calls, link) {
		if (q->pending) {
			ipc_cancel(q->pending);
		}
		free(q);
	}
}
