/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are answered when the pool has done its part: leave, keyring, queries. They end by
 * themselves, as the pool's own stages and questions have deadlines.
 */
#include "gossipd/gossipd.h"

enum call_kind { CALL_LEAVE, CALL_KEYS, CALL_QUERY };

struct call {
	struct list link;
	struct ipc_call *ipc;
	enum call_kind kind;
	enum gossip_pool_name pool;
	uint32_t id;
	struct arena arena;
	struct pair *acks, *responses; /* CALL_QUERY */
	uint32_t acks_count, responses_count;
};

enum { ANSWERS_MAX = 4096 };

static void call_free(struct gossipd *g, struct call *c)
{
	list_del(&c->link);
	g->calls_count--;
	arena_fini(&c->arena);
	free(c);
}

static struct call *call_new(
	struct gossipd *g, struct ipc_call *ipc, enum call_kind kind, enum gossip_pool_name pool)
{
	struct call *c;

	if (g->calls_count == CALLS_MAX) {
		ipc_refuse(ipc, ST_FULL);
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct call) { .ipc = ipc, .kind = kind, .pool = pool };
	list_add_tail(&g->calls, &c->link);
	g->calls_count++;
	return c;
}

static struct result result_error(struct str text)
{
	return (struct result) { .kind = RESULT_ERROR, .text = text };
}

/* -------- leaving -------- */

void calls_on_left(struct gossipd *g)
{
	struct gossip_leave_reply reply = { .result = { .kind = RESULT_OK } };
	struct call *c, *next;

	list_for_each_safe (c, next, &g->calls, link) {
		if (c->kind == CALL_LEAVE) {
			IPC_REPLY(c->ipc, gossip_leave, &reply);
			call_free(g, c);
		}
	}
}

void handle_leave(struct gossipd *g, struct ipc_call *ipc, const struct gossip_leave *m UNUSED)
{
	if (call_new(g, ipc, CALL_LEAVE, GOSSIP_LAN)) {
		leave_begin(g);
	}
}

/* -------- keys -------- */

static struct pairs pairs_of(const struct map *counts, bool text, struct arena *arena)
{
	struct pairs out = { arena_array(arena, struct pair, counts->count + 1), 0, true };
	struct pool_count *c, *next;

	map_for_each(c, next, counts, entry)
	{
		out.items[out.count++] = (struct pair) { c->key,
			text ? c->text : arena_printf(arena, "%u", c->count) };
	}
	pairs_sort(&out);
	return out;
}

static void answer_keys(struct wire *w, struct call *c)
{
	const struct pool_keys_result *k = &w->pool.keys;
	struct gossip_keyring_reply reply = {
		.result = { .kind = RESULT_OK },
		.nodes = k->nodes,
		.responses = k->responses,
		.errors = k->errors,
		.keys = pairs_of(&k->keys, false, &c->arena),
		.primary_keys = pairs_of(&k->primary, false, &c->arena),
		.messages = pairs_of(&k->messages, true, &c->arena),
	};

	if (k->errors) {
		reply.result = result_error(arena_printf(
			&c->arena, "%u/%u nodes reported failure", k->errors, k->nodes));
	} else if (k->responses != k->nodes) {
		reply.result = result_error(arena_printf(
			&c->arena, "%u/%u nodes reported success", k->responses, k->nodes));
	}
	IPC_REPLY(c->ipc, gossip_keyring, &reply);
}

/* What this node alone has: nobody is asked. */
static void answer_local(struct wire *w, struct ipc_call *ipc)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	const struct keyring *k = &w->pool.keyring;
	struct gossip_keyring_reply reply = {
		.result = { .kind = RESULT_OK },
		.nodes = 1,
		.responses = 1,
		.keys = { arena_array(&arena, struct pair, k->count + 1), 0, true },
		.primary_keys = { arena_array(&arena, struct pair, 1), k->count > 0, true },
	};

	for (uint32_t i = 0; i < k->count; i++) {
		struct str key = keyring_at(k, i);

		buf_clear(&text);
		base64_render(&text, key.p, key.n);
		reply.keys.items[reply.keys.count++] =
			(struct pair) { arena_str(&arena, buf_str(&text)), STR("1") };
	}
	if (k->count) {
		reply.primary_keys.items[0] = reply.keys.items[0];
	}
	pairs_sort(&reply.keys);
	IPC_REPLY(ipc, gossip_keyring, &reply);
}

void handle_keyring(struct gossipd *g, struct ipc_call *ipc, const struct gossip_keyring *m)
{
	struct wire *w = &g->wires[m->wan ? GOSSIP_WAN : GOSSIP_LAN];
	struct pool_event event = { .type = POOL_KEYS,
		.key_operation = (enum pool_key_operation)m->operation,
		.payload = m->key,
		.query = { .relay_factor = m->relay_factor } };
	struct gossip_keyring_reply refused = { .nodes = 0 };
	struct pool_update update;
	struct call *c;

	if (m->operation > POOL_KEY_REMOVE || !w->active || !w->pool.keyring.count) {
		refused.result = result_error(w->active && m->operation <= POOL_KEY_REMOVE
						      ? STR("keyring is empty (encryption not "
							    "enabled)")
						      : STR("no such pool or operation"));
		IPC_REPLY(ipc, gossip_keyring, &refused);
		return;
	}
	if (m->local && m->operation == POOL_KEY_LIST) {
		answer_local(w, ipc);
		return;
	}
	c = call_new(g, ipc, CALL_KEYS, w->name);
	if (!c) {
		return;
	}
	wire_step(w, &event, &update);
	c->id = update.id;
	if (update.status) {
		ipc_refuse(ipc, update.status);
		call_free(g, c);
	}
}

/* -------- queries -------- */

void handle_query(struct gossipd *g, struct ipc_call *ipc, const struct gossip_query *m)
{
	struct wire *w = &g->wires[m->wan ? GOSSIP_WAN : GOSSIP_LAN];
	struct pool_event event = { .type = POOL_QUERY,
		.name = m->name,
		.payload = m->payload,
		.query = { .ack = true,
			.relay_factor = m->relay_factor,
			.timeout_ms = m->timeout_ms } };
	struct pool_update update;
	struct call *c = w->active ? call_new(g, ipc, CALL_QUERY, w->name) : NULL;

	if (!w->active) {
		ipc_refuse(ipc, ST_NOT_FOUND);
	}
	if (!c) {
		return;
	}
	c->acks = arena_array(&c->arena, struct pair, ANSWERS_MAX);
	c->responses = arena_array(&c->arena, struct pair, ANSWERS_MAX);
	wire_step(w, &event, &update);
	c->id = update.id;
	if (update.status) {
		ipc_refuse(ipc, update.status);
		call_free(g, c);
	}
}

static void query_answered(struct call *c, const struct pool_note *note)
{
	bool ack = note->type == POOL_NOTE_ACK;
	uint32_t *count = ack ? &c->acks_count : &c->responses_count;

	if (*count < ANSWERS_MAX) {
		(ack ? c->acks : c->responses)[(*count)++] =
			(struct pair) { arena_str(&c->arena, note->name),
				arena_str(&c->arena, note->payload) };
	}
}

static void query_done(struct call *c)
{
	struct gossip_query_reply reply = {
		.result = { .kind = RESULT_OK },
		.acks = { c->acks, c->acks_count, true },
		.responses = { c->responses, c->responses_count, true },
	};

	pairs_sort(&reply.acks);
	pairs_sort(&reply.responses);
	IPC_REPLY(c->ipc, gossip_query, &reply);
}

void calls_on_note(struct wire *w, const struct pool_note *note)
{
	struct gossipd *g = w->gossipd;
	struct call *c, *next;

	list_for_each_safe (c, next, &g->calls, link) {
		if (c->pool != w->name || c->kind == CALL_LEAVE || c->id != note->id) {
			continue;
		}
		if (note->type == POOL_NOTE_KEYS_DONE && c->kind == CALL_KEYS) {
			answer_keys(w, c);
			call_free(g, c);
		} else if (note->type == POOL_NOTE_QUERY_DONE && c->kind == CALL_QUERY) {
			query_done(c);
			call_free(g, c);
		} else if (note->type == POOL_NOTE_ACK || note->type == POOL_NOTE_RESPONSE) {
			query_answered(c, note);
		}
	}
}

/* -------- life -------- */

void calls_init(struct gossipd *g)
{
	list_init(&g->calls);
}

void calls_fini(struct gossipd *g)
{
	struct call *c, *next;

	list_for_each_safe (c, next, &g->calls, link) {
		call_free(g, c);
	}
}
