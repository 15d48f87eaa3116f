/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a pool: what it is made of, the step, and its timers.
 */
#include "gossipd/core/pool_private.h"

#include "common/base/hash.h"

const struct pool_profile pool_profile_lan = {
	.probe_interval_ms = 1000,
	.probe_timeout_ms = 500,
	.gossip_interval_ms = 200,
	.sync_interval_ms = 30000,
	.to_the_dead_ms = 30000,
	.stream_timeout_ms = 10000,
	.indirect_checks = 3,
	.retransmit_mult = 4,
	.suspicion_mult = 4,
	.suspicion_max_mult = 6,
	.health_max = 8,
	.gossip_nodes = 3,
};

const struct pool_profile pool_profile_wan = {
	.probe_interval_ms = 5000,
	.probe_timeout_ms = 3000,
	.gossip_interval_ms = 500,
	.sync_interval_ms = 60000,
	.to_the_dead_ms = 60000,
	.stream_timeout_ms = 30000,
	.indirect_checks = 3,
	.retransmit_mult = 4,
	.suspicion_mult = 6,
	.suspicion_max_mult = 6,
	.health_max = 8,
	.gossip_nodes = 4,
};

/* -------- life -------- */

static void meta_set(struct pool *p, struct str meta)
{
	buf_clear(&p->meta);
	buf_put_str(&p->meta, meta);
	p->options.meta = buf_str(&p->meta);
}

static void options_copy(struct pool *p, const struct pool_options *options)
{
	struct str *const strs[] = { &p->options.name, &p->options.datacenter, &p->options.id,
		&p->options.segment };
	struct cidr *allowed = arena_array(&p->names, struct cidr, options->allowed_count);

	must(options->name.n && options->address.n && options->meta.n <= POOL_META_MAX);
	p->options = *options;
	for (uint32_t i = 0; i < options->allowed_count; i++) {
		allowed[i] = options->allowed[i];
	}
	p->options.allowed = allowed;
	for (size_t i = 0; i < ARRAY_SIZE(strs); i++) {
		*strs[i] = arena_str(&p->names, *strs[i]);
	}
	meta_set(p, options->meta);
}

void pool_init(struct pool *p, const struct pool_options *options)
{
	*p = (struct pool) { .clocks = { 1, 1, 1 } };
	options_copy(p, options);
	rng_init(&p->rng, options->seed);
	map_init(&p->nodes, options->seed);
	map_init(&p->intents_by_name, options->seed);
	map_init(&p->keys.messages, 0);
	map_init(&p->keys.keys, 0);
	map_init(&p->keys.primary, 0);
	vivaldi_init(&p->vivaldi);
	for (int i = 0; i < POOL_QUEUES; i++) {
		queue_init(&p->queues[i], i == QUEUE_SWIM ? POOL_MEMBERS_MAX : POOL_QUEUE_MAX);
	}
	list_init(&p->relays);
	list_init(&p->suspicions);
	list_init(&p->dials);
	list_init(&p->queries);
	list_init(&p->intents);
	p->probe_at = p->gossip_at = p->sync_at = p->reap_at = p->reconnect_at = p->suspicion_at =
		p->leave_at = p->prune_at = MONO_NEVER;
	p->self = node_add(p, p->options.name);
}

void pool_fini(struct pool *p)
{
	struct pool_node *n, *next;
	struct list *const lists[] = { &p->relays, &p->dials };

	pool_for_each(n, next, p)
	{
		node_free(p, n);
	}
	map_fini(&p->nodes);
	queries_fini(p);
	intents_fini(p);
	map_fini(&p->intents_by_name);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		while (!list_empty(lists[i])) {
			struct list *link = lists[i]->next;

			list_del(link);
			/* The link is the first member of both. */
			free(link);
		}
	}
	for (int i = 0; i < POOL_QUEUES; i++) {
		queue_fini(&p->queues[i]);
	}
	slots_fini(&p->events);
	slots_fini(&p->queries_seen);
	counts_fini(&p->keys.messages);
	counts_fini(&p->keys.keys);
	counts_fini(&p->keys.primary);
	free(p->ring);
	free(p->packets);
	free(p->dials_out);
	free(p->notes);
	buf_fini(&p->out);
	buf_fini(&p->reply);
	buf_fini(&p->meta);
	arena_fini(&p->arena);
	arena_fini(&p->names);
}

/* -------- what comes in -------- */

void pool_on_user(struct pool *p, struct str message)
{
	struct str body = str_skip(message, 1);
	struct serf_intent intent = { .prune = false };
	struct serf_event event;
	int r = 0;

	if (!message.n) {
		return;
	}
	switch ((uint8_t)message.p[0]) {
	case SERF_JOIN:
		r = swim_get(body, &serf_join_schema, &intent);
		if (!r) {
			intent_on_join(p, &intent);
		}
		break;
	case SERF_LEAVE:
		r = swim_get(body, &serf_leave_schema, &intent);
		if (!r) {
			intent_on_leave(p, &intent);
		}
		break;
	case SERF_EVENT:
		r = swim_get(body, &serf_event_schema, &event);
		if (!r) {
			event_on(p, &event, true);
		}
		break;
	case SERF_QUERY:
		query_on(p, body);
		break;
	case SERF_RESPONSE:
		query_on_response(p, body);
		break;
	case SERF_RELAY:
		query_on_relay(p, body);
		break;
	default:
		r = ST_UNSUPPORTED;
		break;
	}
	p->update->status = r ? r : p->update->status;
}

struct inbound {
	struct pool *p;
	const struct pool_address *from;
};

static void on_message(void *arg, uint8_t type, struct str body)
{
	const struct inbound *in = arg;
	struct pool *p = in->p;
	union {
		struct swim_ping ping;
		struct swim_ack ack;
		struct swim_nack nack;
		struct swim_accusation accusation;
		struct swim_alive alive;
	} m;
	static const struct pack_schema *const schemas[] = { [SWIM_PING] = &swim_ping_schema,
		[SWIM_INDIRECT_PING] = &swim_indirect_ping_schema,
		[SWIM_ACK] = &swim_ack_schema,
		[SWIM_SUSPECT] = &swim_accusation_schema,
		[SWIM_ALIVE] = &swim_alive_schema,
		[SWIM_DEAD] = &swim_accusation_schema,
		[SWIM_NACK] = &swim_nack_schema };

	if (type == SWIM_USER) {
		pool_on_user(p, body);
		return;
	}
	if (type >= ARRAY_SIZE(schemas) || !schemas[type]) {
		p->update->status = ST_UNSUPPORTED;
		return;
	}
	memset(&m, 0, sizeof(m));
	if (swim_get(body, schemas[type], &m)) {
		p->update->status = ST_INVALID;
		return;
	}
	switch ((enum swim_type)type) {
	case SWIM_PING:
		on_ping(p, &m.ping, in->from);
		break;
	case SWIM_INDIRECT_PING:
		on_indirect_ping(p, &m.ping, in->from);
		break;
	case SWIM_ACK:
		on_ack(p, &m.ack);
		break;
	case SWIM_NACK:
		on_nack(p, &m.nack);
		break;
	case SWIM_SUSPECT:
		swim_on_suspect(p, &m.accusation);
		break;
	case SWIM_DEAD:
		swim_on_dead(p, &m.accusation);
		break;
	default:
		swim_on_alive(p, &m.alive);
		break;
	}
}

static void on_packet(struct pool *p, const struct pool_event *e)
{
	struct inbound in = { p, &e->from };
	int r = packet_walk(e->bytes, on_message, &in);

	p->update->status = r ? r : p->update->status;
}

/* -------- what is wanted -------- */

static void on_start(struct pool *p, const struct pool_event *e)
{
	const struct pool_profile *t = &p->options.profile;

	p->started = true;
	p->clocks.member = max_of(p->clocks.member, e->clocks.member);
	p->clocks.event = max_of(p->clocks.event, e->clocks.event);
	p->clocks.query = max_of(p->clocks.query, e->clocks.query);
	p->event_min = e->event_min;
	p->query_min = e->query_min;
	p->incarnation = e->incarnation;
	p->gossiped_at = p->now;
	p->probe_at =
		mono_add_ms(p->now, (int64_t)rng_below(&p->rng, (uint64_t)t->probe_interval_ms));
	p->sync_at =
		mono_add_ms(p->now, (int64_t)rng_below(&p->rng, (uint64_t)t->sync_interval_ms));
	p->reap_at = mono_add_ms(p->now, REAP_INTERVAL_MS);
	p->reconnect_at = mono_add_ms(p->now, RECONNECT_INTERVAL_MS);
	p->self->address = p->options.address;
	ring_add(p, p->self);
	swim_announce(p);
}

static void on_join(struct pool *p, const struct pool_event *e)
{
	sync_dial(p, e->from, e->rejoin ? DIAL_REJOIN : DIAL_JOIN, &p->update->id);
}

static void on_tags(struct pool *p, const struct pool_event *e)
{
	must(e->payload.n <= POOL_META_MAX);
	meta_set(p, e->payload);
	if (!p->leave) {
		swim_announce(p);
	}
}

static void dispatch(struct pool *p, const struct pool_event *e)
{
	switch (e->type) {
	case POOL_START:
		on_start(p, e);
		break;
	case POOL_TICK:
		break;
	case POOL_PACKET:
		on_packet(p, e);
		break;
	case POOL_REQUEST:
		on_request(p, e->bytes);
		break;
	case POOL_REPLY:
		on_reply(p, e);
		break;
	case POOL_JOIN:
		on_join(p, e);
		break;
	case POOL_LEAVE:
		member_leave(p);
		break;
	case POOL_FORCE_LEAVE:
		member_force_leave(p, e->name, e->prune);
		break;
	case POOL_FIRE:
		event_fire(p, e);
		break;
	case POOL_QUERY:
		query_start(p, e);
		break;
	case POOL_KEYS:
		keys_start(p, e);
		break;
	case POOL_TAGS:
		on_tags(p, e);
		break;
	}
}

/* -------- timers -------- */

static const struct {
	size_t at; /* of the deadline */
	void (*run)(struct pool *p);
} timers[] = {
	{ offsetof(struct pool, probe_at), probe_tick },
	{ offsetof(struct pool, gossip_at), gossip_tick },
	{ offsetof(struct pool, sync_at), sync_tick },
	{ offsetof(struct pool, reap_at), member_reap },
	{ offsetof(struct pool, reconnect_at), member_reconnect },
	{ offsetof(struct pool, suspicion_at), suspicions_tick },
	{ offsetof(struct pool, prune_at), member_prune_tick },
};

static struct mono timer_at(const struct pool *p, size_t i)
{
	return *(const struct mono *)(const void *)((const char *)p + timers[i].at);
}

/* Not behind a packet: after a turn that came late, the one with the answer may come behind it, and
 * all that has arrived is looked at before somebody is accused of silence. */
static void run_timers(struct pool *p)
{
	if (p->leave == LEAVE_DONE || !p->started) {
		return;
	}
	probe_deadlines(p);
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		if (!mono_before(p->now, timer_at(p, i))) {
			timers[i].run(p);
		}
	}
	leave_tick(p);
}

/* Who has left still owes an answer to those who have asked here. */
struct mono pool_deadline(const struct pool *p)
{
	struct mono at = queries_deadline(p);

	if (p->leave == LEAVE_DONE || !p->started) {
		return at;
	}
	at = mono_min(at, mono_min(probe_deadline(p), p->leave_at));
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		at = mono_min(at, timer_at(p, i));
	}
	return at;
}

/* -------- the step -------- */

/* What a state of thousands took is not kept for the next packet. */
static void update_clear(struct pool *p)
{
	enum { KEEP_SIZE = 65536, KEEP_NOTES = 64 };

	p->packets_count = p->dials_count = p->notes_count = 0;
	if (p->notes_size > KEEP_NOTES) {
		free(take(p->notes));
		p->notes_size = 0;
	}
	buf_trim(&p->out, KEEP_SIZE);
	buf_trim(&p->reply, KEEP_SIZE);
	arena_reset(&p->arena);
}

void pool_step(struct pool *p, const struct pool_event *event, struct pool_update *update)
{
	*update = (struct pool_update) { .status = 0 };
	p->update = update;
	p->now = event->now;
	update_clear(p);
	dispatch(p, event);
	queries_tick(p);
	if (event->type != POOL_PACKET) {
		run_timers(p);
	}
	update->bytes = buf_str(&p->out);
	update->packets = p->packets;
	update->packets_count = p->packets_count;
	update->dials = p->dials_out;
	update->dials_count = p->dials_count;
	update->notes = p->notes;
	update->notes_count = p->notes_count;
	update->reply = buf_str(&p->reply);
	p->update = NULL;
}

void pool_check(const struct pool *p)
{
	uint32_t counts[ARRAY_SIZE(p->counts)] = { 0 };
	struct pool_node *n, *next;
	size_t members = 0;

	pool_for_each(n, next, p)
	{
		members += n->status != MEMBER_NONE;
		counts[n->status]++;
		must(n->slot == POOL_NO_SLOT || p->ring[n->slot] == n);
		must(!n->suspicion || (n->state == SWIM_STATE_SUSPECT && n->suspicion->node == n));
		must(n->status != MEMBER_ALIVE || n->slot != POOL_NO_SLOT);
		must(n->slot != POOL_NO_SLOT || n->status != MEMBER_NONE || n == p->self);
	}
	must(members == p->members_count);
	for (size_t i = MEMBER_ALIVE; i < ARRAY_SIZE(counts); i++) {
		must(counts[i] == p->counts[i]);
	}
	must(p->events.size <= POOL_EVENTS_SIZE_MAX);
	must(p->ring_count <= p->nodes.count);
	must(p->health < p->options.profile.health_max);
	must(!p->started || p->leave || p->self->status == MEMBER_ALIVE);
}

uint64_t pool_digest(const struct pool *p)
{
	uint64_t digest = hash64_mix(p->clocks.member, hash64_mix(p->clocks.event, p->incarnation));
	struct pool_node *n, *next;

	pool_for_each(n, next, p)
	{
		uint64_t one =
			hash64(n->name, hash64(n->meta.p ? n->meta : STR(""), n->incarnation));

		digest = hash64_mix(digest, hash64_mix(one, (uint64_t)n->state << 8 | n->status));
	}
	return digest;
}
