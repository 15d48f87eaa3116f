/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests become commands: rights, Consul's checks, time and ids; then raftd. Whoever asked is
 * answered when the command comes back through the feed and its transaction is committed. The same
 * id again (its caller was restarted, or an answer was lost) waits for the same result.
 *
 * While nobody leads, or when the leader was lost with the command on its way, it is proposed again
 * under the same id, which is applied once, until performance.rpc_hold_timeout is over.
 */
#include "catalogd/catalogd.h"

struct proposal {
	struct map_node node; /* by id */
	struct list link;     /* in applied: to be told after the commit */
	struct uuid id;
	struct catalogd *c;
	struct ipc_call *call; /* who waits; or */
	propose_fn on_done;
	void *arg;
	struct ipc_pending *pending; /* raftd has not answered yet */
	struct buf command;	     /* encoded; until it is committed */
	uint16_t type;
	struct mono began, give_up;
	uint64_t committed; /* its index, as raftd says; 0: not known to be */
	bool applied;
	struct buf result; /* encoded catalog_propose_reply */
};

enum { AGAIN_MIN_MS = 25, AGAIN_MAX_MS = 100 };

static void on_again(void *arg);

void proposals_init(struct catalogd *c)
{
	list_init(&c->proposals.applied);
	list_init(&c->proposals.waiting);
	loop_timer_init(&c->proposals.again, c->daemon->loop, on_again, c);
	map_init(&c->proposals.by_id, random_u64());
}

/* It is committed, or over: its bytes are not needed any more. */
static void command_drop(struct proposal *p)
{
	p->c->proposals.bytes -= p->command.n;
	buf_fini(&p->command);
	buf_init(&p->command);
}

static void proposal_free(struct proposal *p)
{
	command_drop(p);
	map_del(&p->c->proposals.by_id, &p->node);
	list_del(&p->link);
	if (p->pending) {
		ipc_cancel(p->pending);
	}
	buf_fini(&p->result);
	free(p);
}

void proposals_fini(struct catalogd *c)
{
	struct proposal *p, *following;

	map_for_each(p, following, &c->proposals.by_id, node)
	{
		if (p->call) {
			ipc_refuse(p->call, ST_CLOSED);
		}
		proposal_free(p);
	}
	loop_timer_stop(&c->proposals.again);
	map_fini(&c->proposals.by_id);
}

static void answer(struct ipc_call *call, const struct result *result)
{
	struct catalog_propose_reply reply = { .result = *result };

	IPC_REPLY(call, catalog_propose, &reply);
}

static void answer_error(struct ipc_call *call, enum result_kind kind, struct str text)
{
	struct result result = { .kind = (uint8_t)kind, .text = text };

	answer(call, &result);
}

static void proposal_fail(struct proposal *p, int status)
{
	if (p->call) {
		ipc_refuse(take(p->call), status);
	} else if (p->on_done) {
		p->on_done(p->arg, status, NULL);
	}
	p->c->proposals.refused++;
	proposal_free(p);
}

/* Nothing is wrong with the command: there was nobody to take it, or nobody to say what became of
 * it. */
static bool is_passing(int status)
{
	return status == ST_NOT_LEADER || status == ST_CLOSED || status == ST_TIMEOUT;
}

static void proposal_wait(struct proposal *p)
{
	struct proposals *all = &p->c->proposals;

	list_add_tail(&all->waiting, &p->link);
	if (!loop_timer_active(&all->again)) {
		loop_timer_in(&all->again,
			AGAIN_MIN_MS + (int64_t)(random_u64() % (AGAIN_MAX_MS - AGAIN_MIN_MS)));
	}
}

/* Committed is not enough: the answer is that of apply. */
static void on_proposed(void *arg, int status, struct str payload)
{
	struct proposal *p = arg;
	struct raft_propose_reply m;

	p->pending = NULL;
	if (!status && raft_propose_reply_decode(payload, NULL, &m)) {
		status = ST_INVALID;
	}
	if (!status) {
		p->committed = m.index;
		command_drop(p);
	} else if (p->applied) {
		return; /* it came back through the feed meanwhile */
	} else if (is_passing(status) && mono_before(clock_mono(), p->give_up)) {
		proposal_wait(p);
	} else {
		proposal_fail(p, is_passing(status) ? ST_NOT_LEADER : status);
	}
}

static int64_t hold_ms(const struct catalogd *c)
{
	return c->daemon->conf->performance.rpc_hold_timeout_ns / NS_PER_MS;
}

static void proposal_send(struct proposal *p)
{
	struct raft_propose m = { .command = buf_str(&p->command) };
	int64_t timeout_ms = max_of(hold_ms(p->c) / PROPOSE_ATTEMPTS, (int64_t)AGAIN_MAX_MS);
	struct ipc_pending *pending =
		IPC_CALL(p->c->raft, raft_propose, &m, timeout_ms, on_proposed, p);

	if (pending) {
		p->pending = pending; /* NULL: refused already, and p is gone or waits */
	}
}

static void on_again(void *arg)
{
	struct catalogd *c = arg;
	struct proposal *p;
	struct list now;

	list_init(&now);
	while ((p = list_first(&c->proposals.waiting, struct proposal, link))) {
		list_del(&p->link);
		list_add_tail(&now, &p->link);
	}
	while ((p = list_first(&now, struct proposal, link))) {
		list_del(&p->link);
		if (mono_before(clock_mono(), p->give_up)) {
			proposal_send(p);
		} else {
			proposal_fail(p, ST_NOT_LEADER);
		}
	}
}

static void proposal_begin(struct proposal *p, uint16_t type, struct str payload)
{
	struct command command = {
		.id = p->id, .now_ms = wall_ms(clock_wall()), .type = type, .payload = payload
	};

	command_encode(&p->command, &command);
	p->c->proposals.bytes += p->command.n;
	proposal_send(p);
}

static struct proposal *proposal_new(struct catalogd *c, const struct uuid *id, uint16_t type)
{
	struct proposal *p = xcalloc(1, sizeof(*p));

	p->c = c;
	p->id = uuid_is_zero(id) ? random_uuid() : *id;
	p->type = type;
	p->began = clock_mono();
	p->give_up = mono_add_ms(p->began, hold_ms(c));
	map_add(&c->proposals.by_id, &p->node, str_n(p->id.b, sizeof(p->id.b)));
	return p;
}

void propose(struct catalogd *c, uint16_t type, struct str payload, propose_fn on_done, void *arg)
{
	struct uuid fresh = { { 0 } };
	struct proposal *p = proposal_new(c, &fresh, type);

	p->on_done = on_done;
	p->arg = arg;
	proposal_begin(p, type, payload);
}

/* Duties come again by themselves: they do not wait for another leader. */
void propose_as_leader(
	struct catalogd *c, uint16_t type, struct str payload, propose_fn on_done, void *arg)
{
	OWN_EMBEDDED(buf_fini) struct buf guarded = { 0 };
	struct cmd_as_leader cmd = { .term = c->leader.term, .type = type, .payload = payload };
	struct uuid fresh = { { 0 } };
	struct proposal *p = proposal_new(c, &fresh, type);

	cmd_as_leader_encode(&guarded, &cmd);
	p->on_done = on_done;
	p->arg = arg;
	p->give_up = p->began;
	proposal_begin(p, COMMAND_cmd_as_leader, buf_str(&guarded));
}

/* What only reads needs no log where everything is applied that anyone can know of. */
static bool answer_read(struct catalogd *c, struct ipc_call *call, const struct catalog_propose *m)
{
	struct cmd_txn cmd;
	struct result result;
	struct kv_txn *t;

	if (m->type != COMMAND_cmd_txn || cmd_txn_decode(m->payload, ipc_call_arena(call), &cmd) ||
		!catalog_txn_reads_only(&cmd) || !leader_knows_all(c)) {
		return false;
	}
	t = c->shown.ready ? db_read(c->stores.state) : NULL;
	if (!t) {
		ipc_refuse(call, ST_NOT_READY);
		return true;
	}
	catalog_txn_read(c->core, t, &cmd, &result);
	kv_abort(t);
	answer(call, &result);
	return true;
}

/* Coordinates are told by every node again and again: they are gathered first. */
static bool answer_gathered(
	struct catalogd *c, struct ipc_call *call, uint16_t type, struct str payload)
{
	const struct result done = { .kind = RESULT_OK };
	struct cmd_coordinates cmd;

	if (type != COMMAND_cmd_coordinates ||
		cmd_coordinates_decode(payload, ipc_call_arena(call), &cmd)) {
		return false;
	}
	coordinates_take(c, &cmd);
	answer(call, &done);
	return true;
}

/* The caller of an id that is on its way has come again: the newer call gets the answer. */
static bool join_known(struct catalogd *c, struct ipc_call *call, const struct uuid *id)
{
	struct proposal *p =
		map_find(&c->proposals.by_id, str_n(id->b, sizeof(id->b)), struct proposal, node);

	if (!p) {
		return false;
	}
	if (p->call) {
		ipc_refuse(p->call, ST_CLOSED);
	}
	p->call = call;
	return true;
}

void handle_propose(struct catalogd *c, struct ipc_call *call, const struct catalog_propose *m)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 }, why = { 0 };
	struct catalog_rules rules = { .session_ttl_min_ns = c->daemon->conf->session_ttl_min_ns };
	struct rights rights;
	struct proposal *p;

	if (!uuid_is_zero(&m->id) && join_known(c, call, &m->id)) {
		return;
	}
	if (c->daemon->draining) {
		return; /* unanswered, it is asked again of the process after us */
	}
	if (c->proposals.by_id.count >= PROPOSALS_MAX ||
		c->proposals.bytes >= PROPOSALS_BYTES_MAX) {
		c->proposals.refused++;
		ipc_refuse(call, ST_FULL);
		return;
	}
	rights_resolve(c, m->token, &rights);
	if (rights_check(&rights, m->type, m->payload, &why)) {
		answer_error(call, RESULT_DENIED, buf_str(&why));
		return;
	}
	if (m->type == COMMAND_cmd_session_create || m->type == COMMAND_cmd_query) {
		rules.fresh_id = random_uuid();
	}
	if (catalog_validate(&rules, m->type, m->payload, ipc_call_arena(call), &payload, &why)) {
		answer_error(call, RESULT_ERROR, buf_str(&why));
		return;
	}
	if (answer_read(c, call, m) || answer_gathered(c, call, m->type, buf_str(&payload))) {
		return;
	}
	p = proposal_new(c, &m->id, m->type);
	p->call = call;
	proposal_begin(p, m->type, buf_str(&payload));
}

static void applied(struct proposal *p, const struct result *result)
{
	struct catalog_propose_reply reply = { .result = *result };

	catalog_propose_reply_encode(&p->result, &reply);
	p->applied = true;
	list_del(&p->link); /* it may wait to be proposed again */
	list_add_tail(&p->c->proposals.applied, &p->link);
}

void proposals_state_opened(struct catalogd *c, struct kv_txn *t)
{
	struct proposal *p, *following;
	struct result result;

	map_for_each(p, following, &c->proposals.by_id, node)
	{
		if (p->applied) {
			continue;
		}
		if (catalog_request_find(c->core, t, &p->id, &result)) {
			applied(p, &result);
		} else if (p->committed && p->committed <= c->feed.applied) {
			proposal_fail(p, ST_NOT_LEADER); /* done, but how it ended is forgotten */
		}
	}
	proposals_flush(c);
}

void proposals_applied(struct catalogd *c, const struct catalog_outcome *outcome)
{
	struct proposal *p = map_find(&c->proposals.by_id,
		str_n(outcome->id.b, sizeof(outcome->id.b)), struct proposal, node);

	if (p && !p->applied) {
		applied(p, &outcome->result);
	}
}

static const enum metric metric_of_type[] = {
	[COMMAND_cmd_register] = METRIC_REGISTER,
	[COMMAND_cmd_deregister] = METRIC_DEREGISTER,
	[COMMAND_cmd_kv] = METRIC_KVS_APPLY,
	[COMMAND_cmd_session_create] = METRIC_SESSION_APPLY,
	[COMMAND_cmd_session_destroy] = METRIC_SESSION_APPLY,
	[COMMAND_cmd_txn] = METRIC_TXN_APPLY,
};

static void proposal_measure(const struct proposal *p)
{
	double ms = (double)mono_diff_ns(clock_mono(), p->began) / NS_PER_MS;

	if (p->type <= COMMAND_cmd_txn) {
		metrics_add(p->c->daemon->metrics, metric_of_type[p->type], ms);
	}
}

void proposals_flush(struct catalogd *c)
{
	struct proposal *p, *following;

	list_for_each_safe (p, following, &c->proposals.applied, link) {
		struct catalog_propose_reply reply;

		list_del(&p->link);
		proposal_measure(p);
		if (p->call) {
			ipc_reply(take(p->call), buf_str(&p->result));
		} else if (p->on_done &&
			   !catalog_propose_reply_decode(buf_str(&p->result), NULL, &reply)) {
			p->on_done(p->arg, 0, &reply.result);
		}
		proposal_free(p);
	}
}
