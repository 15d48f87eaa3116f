/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: the exchange of whole states (push/pull) that joins, heals and repeats now and then, and
 * pings of those whom datagrams do not reach. Section numbers: the notes on the protocol.
 */
#include "gossipd/core/pool_private.h"

enum { NODES_BEFORE_SCALING = 32 };

/* 4.10 */
int64_t sync_interval_ms(int64_t base, uint32_t nodes)
{
	int64_t factor = 1;

	for (uint32_t n = NODES_BEFORE_SCALING; n < nodes; n *= 2) {
		factor++;
	}
	return base * factor;
}

/* -------- our state -------- */

/* Who reads the state takes these times for those of intents to join, and of two intents of one
 * time believes the first: the time of an intent to leave would have it pass over that one when it
 * comes. Of members that have left the others add one to it. */
static uint64_t time_told(const struct pool_node *n)
{
	return n->status == MEMBER_LEAVING && n->status_time ? n->status_time - 1 : n->status_time;
}

static void serf_state_put(const struct pool *p, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf times = { 0 }, left = { 0 }, events = { 0 };
	struct serf_state m = { .ltime = p->clocks.member,
		.event_ltime = p->clocks.event,
		.query_ltime = p->clocks.query };
	struct pool_node *n, *next;

	pack_map(&times, p->members_count);
	pack_array(&left, (uint32_t)pool_count(p, MEMBER_LEFT));
	pool_for_each(n, next, p)
	{
		if (n->status != MEMBER_NONE) {
			pack_str(&times, n->name);
			pack_uint(&times, time_told(n));
		}
		if (n->status == MEMBER_LEFT) {
			pack_str(&left, n->name);
		}
	}
	events_put(p, &events);
	m.status_ltimes = buf_str(&times);
	m.left_members = buf_str(&left);
	m.events = buf_str(&events);
	serf_put(out, SERF_PUSH_PULL, &serf_state_schema, &m);
}

static void state_put(const struct pool *p, bool join, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf user = { 0 };
	struct swim_push_pull header = { .join = join, .nodes = p->ring_count };

	serf_state_put(p, &user);
	header.user_state_size = (uint32_t)user.n;
	swim_put(out, SWIM_PUSH_PULL, &swim_push_pull_schema, &header);
	for (uint32_t i = 0; i < p->ring_count; i++) {
		const struct pool_node *n = p->ring[i];
		struct swim_node_state m = {
			.alive = {
				.incarnation = n->incarnation,
				.node = n->name,
				.addr = address_str(&n->address),
				.port = n->address.port,
				.meta = n->meta.p ? n->meta : STR(""),
				.vsn = str_n(n->versions, SWIM_VERSIONS),
			},
			.state = n->state,
		};

		pack_struct(out, &swim_node_state_schema, &m);
	}
	buf_put_str(out, buf_str(&user));
}

/* -------- the state of the other -------- */

struct remote {
	bool join;
	struct swim_node_state *nodes;
	uint32_t count;
	struct str user;
};

static int remote_get(struct pool *p, struct str body, struct remote *out)
{
	struct cursor c = cursor_of(body);
	struct swim_push_pull header;

	unpack_struct(&c, &swim_push_pull_schema, &header);
	if (c.bad || header.nodes > POOL_MEMBERS_MAX || header.nodes > cursor_left(&c)) {
		return ST_INVALID;
	}
	*out = (struct remote) { .join = header.join, .count = header.nodes };
	out->nodes = arena_array(&p->arena, struct swim_node_state, header.nodes);
	for (uint32_t i = 0; i < header.nodes && !c.bad; i++) {
		unpack_struct(&c, &swim_node_state_schema, &out->nodes[i]);
	}
	out->user = cursor_take(&c, header.user_state_size);
	return c.bad ? ST_INVALID : 0;
}

/* What all can speak: min of the maxima, max of the minima. */
struct common {
	uint8_t min[2], max[2]; /* protocol, delegate */
};

static void common_narrow(struct common *c, const uint8_t *versions)
{
	for (int i = 0; i < 2; i++) {
		c->min[i] = max_of(c->min[i], versions[3 * i]);
		c->max[i] = min_of(c->max[i], versions[3 * i + 1]);
	}
}

/* With memberlist's words. versions: NULL stands for none, which is 0. */
static bool common_allows(
	const struct common *c, struct str name, const uint8_t *versions, struct buf *why)
{
	static const char *const what[] = { "", "delegate " };

	for (int i = 0; i < 2; i++) {
		uint8_t current = versions ? versions[3 * i + 2] : 0;

		if (current < c->min[i] || current > c->max[i]) {
			buf_printf(why,
				"Node '" STR_FMT "' %sprotocol version (%u) is incompatible: "
				"[%u, %u]",
				STR_ARG(name), what[i], current, c->min[i], c->max[i]);
			return false;
		}
	}
	return versions != NULL;
}

/* 4.4. A state without all of its versions would do harm: all is refused, as by stock agents. */
static bool versions_agree(struct pool *p, const struct remote *r, struct buf *why)
{
	struct common common = { .max = { UINT8_MAX, UINT8_MAX } };

	for (uint32_t i = 0; i < r->count; i++) {
		const struct swim_node_state *s = &r->nodes[i];

		if (s->alive.vsn.n == SWIM_VERSIONS && s->state == SWIM_STATE_ALIVE) {
			common_narrow(&common, (const uint8_t *)s->alive.vsn.p);
		}
	}
	for (uint32_t i = 0; i < p->ring_count; i++) {
		if (p->ring[i]->state == SWIM_STATE_ALIVE) {
			common_narrow(&common, p->ring[i]->versions);
		}
	}
	for (uint32_t i = 0; i < r->count; i++) {
		const struct swim_node_state *s = &r->nodes[i];
		bool whole = s->alive.vsn.n == SWIM_VERSIONS;

		if (!common_allows(&common, s->alive.node,
			    whole ? (const uint8_t *)s->alive.vsn.p : NULL, why)) {
			return false;
		}
	}
	for (uint32_t i = 0; i < p->ring_count; i++) {
		if (!common_allows(&common, p->ring[i]->name, p->ring[i]->versions, why)) {
			return false;
		}
	}
	return true;
}

static bool rules_agree(struct pool *p, const struct remote *r, struct buf *why)
{
	for (uint32_t i = 0; i < r->count; i++) {
		if (!rules_admit(
			    p, &r->nodes[i].alive, r->nodes[i].state == SWIM_STATE_LEFT, why)) {
			return false;
		}
	}
	return true;
}

static void merge_node(struct pool *p, const struct swim_node_state *s)
{
	struct swim_accusation m = { s->alive.incarnation, s->alive.node, s->alive.node };

	switch ((enum swim_state)s->state) {
	case SWIM_STATE_ALIVE:
		swim_on_alive(p, &s->alive);
		break;
	case SWIM_STATE_LEFT:
		swim_on_dead(p, &m);
		break;
	case SWIM_STATE_DEAD:
	case SWIM_STATE_SUSPECT:
		/* Never dead at once: it may refute. */
		m.from = p->options.name;
		swim_on_suspect(p, &m);
		break;
	}
}

/* -------- Serf's part of it (5.10) -------- */

struct left_name {
	struct map_node entry;
};

static void left_names(struct pool *p, struct str list, struct map *out)
{
	struct cursor c = cursor_of(list);
	uint32_t count = unpack_array(&c);

	map_init(out, p->options.seed);
	for (uint32_t i = 0; i < count; i++) {
		struct str name = unpack_str(&c);

		if (c.bad) {
			return;
		}
		if (!map_find_node(out, name)) {
			map_add(out, &arena_new(&p->arena, struct left_name)->entry, name);
		}
	}
}

static void merge_statuses(
	struct pool *p, const struct serf_state *m, const struct map *left, bool leavers)
{
	struct cursor c = cursor_of(m->status_ltimes);
	uint32_t count = unpack_map(&c);

	for (uint32_t i = 0; i < count && !c.bad; i++) {
		struct serf_intent intent = { .node = unpack_str(&c) };

		intent.ltime = unpack_uint(&c, UINT64_MAX);
		if (c.bad || (map_find_node(left, intent.node) != NULL) != leavers) {
			continue;
		}
		if (leavers) {
			intent.ltime += intent.ltime < UINT64_MAX;
			intent_on_leave(p, &intent);
		} else {
			intent_on_join(p, &intent);
		}
	}
}

static void merge_events(struct pool *p, const struct serf_state *m)
{
	struct cursor c = cursor_of(m->events);
	uint32_t count = unpack_array(&c);

	for (uint32_t i = 0; i < count && !c.bad; i++) {
		struct serf_event_slot slot;
		struct cursor events;
		uint32_t events_count;

		unpack_struct(&c, &serf_event_slot_schema, &slot);
		events = cursor_of(slot.events);
		events_count = slot.events.n ? unpack_array(&events) : 0;
		for (uint32_t k = 0; k < events_count && !events.bad && !c.bad; k++) {
			struct serf_event e;

			unpack_struct(&events, &serf_slot_event_schema, &e);
			e.ltime = slot.ltime;
			e.coalesce = false;
			if (!events.bad) {
				event_on(p, &e, true);
			}
		}
	}
}

static void serf_merge(struct pool *p, struct str user, bool ignore_old)
{
	struct serf_state m;
	struct map left;

	if (!user.n || user.p[0] != SERF_PUSH_PULL ||
		swim_get(str_skip(user, 1), &serf_state_schema, &m)) {
		return;
	}
	if (m.ltime) {
		clock_witness(p, &p->clocks.member, m.ltime - 1);
	}
	if (m.event_ltime) {
		clock_witness(p, &p->clocks.event, m.event_ltime - 1);
	}
	if (m.query_ltime) {
		clock_witness(p, &p->clocks.query, m.query_ltime - 1);
	}
	left_names(p, m.left_members, &left);
	merge_statuses(p, &m, &left, true);
	merge_statuses(p, &m, &left, false);
	map_fini(&left);
	if (ignore_old) {
		p->event_min = max_of(p->event_min, m.event_ltime);
	}
	merge_events(p, &m);
}

/* 0 or ST_INVALID with the reason. */
static int merge(struct pool *p, const struct remote *r, bool ignore_old, struct buf *why)
{
	if (!versions_agree(p, r, why) || (r->join && !rules_agree(p, r, why))) {
		note_add(p, POOL_NOTE_MERGE_FAILED, STR(""), buf_str(why));
		return ST_INVALID;
	}
	for (uint32_t i = 0; i < r->count; i++) {
		merge_node(p, &r->nodes[i]);
	}
	serf_merge(p, r->user, ignore_old);
	return 0;
}

/* -------- asked by others -------- */

static void answer_ping(struct pool *p, struct str body)
{
	OWN_EMBEDDED(buf_fini) struct buf ack_bytes = { 0 };
	struct swim_ping ping;
	struct swim_ack ack = { .seq = 0 };

	if (swim_get(body, &swim_ping_schema, &ping) ||
		(ping.node.n && !str_eq(ping.node, p->options.name))) {
		return;
	}
	ack.seq = ping.seq;
	swim_put(&ack_bytes, SWIM_ACK, &swim_ack_schema, &ack);
	stream_put(&p->reply, buf_str(&ack_bytes), p->options.compress);
}

static void answer_push_pull(struct pool *p, struct str body)
{
	OWN_EMBEDDED(buf_fini) struct buf state = { 0 }, why = { 0 };
	struct remote r;

	if (remote_get(p, body, &r)) {
		p->update->status = ST_INVALID;
		return;
	}
	/* The answer is made before the merge, so it does not name who asks. */
	state_put(p, r.join, &state);
	stream_put(&p->reply, buf_str(&state), p->options.compress);
	merge(p, &r, false, &why);
}

void on_request(struct pool *p, struct str bytes)
{
	OWN_EMBEDDED(buf_fini) struct buf room = { 0 };
	struct swim_user_header header;
	struct cursor c;
	struct str body;
	uint8_t type;

	if (stream_open(bytes, &room, &type, &body)) {
		p->update->status = ST_INVALID;
		return;
	}
	if (type == SWIM_PUSH_PULL) {
		answer_push_pull(p, body);
	} else if (type == SWIM_PING) {
		answer_ping(p, body);
	} else if (type == SWIM_USER) {
		c = cursor_of(body);
		unpack_struct(&c, &swim_user_header_schema, &header);
		pool_on_user(p, cursor_take(&c, header.size));
	} else {
		p->update->status = ST_INVALID;
	}
}

/* -------- asked by us -------- */

void sync_dial(struct pool *p, struct pool_address to, enum pool_dial_kind kind, uint32_t *token)
{
	OWN_EMBEDDED(buf_fini) struct buf state = { 0 };

	state_put(p, kind != DIAL_SYNC, &state);
	*token = pool_dial(p, to, kind, buf_str(&state));
}

static bool is_alive_peer(const struct pool *p, const struct pool_node *n, const void *arg)
{
	(void)arg;
	return n != p->self && n->state == SWIM_STATE_ALIVE;
}

void sync_tick(struct pool *p)
{
	struct pool_node *peer;
	uint32_t token;

	p->sync_at = mono_add_ms(
		p->now, sync_interval_ms(p->options.profile.sync_interval_ms, p->ring_count));
	if (!p->leave && nodes_pick(p, 1, is_alive_peer, NULL, &peer)) {
		sync_dial(p, peer->address, DIAL_SYNC, &token);
	}
}

/* A join that was asked for passes over what happened before it; who was away is told of it. */
static int take_state(
	struct pool *p, const struct pool_event *e, enum pool_dial_kind kind, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf room = { 0 };
	struct swim_err err;
	struct remote r;
	struct str body;
	uint8_t type;

	if (!e->bytes.p) {
		buf_put_str(why, e->text);
		return ST_CLOSED;
	}
	if (stream_open(e->bytes, &room, &type, &body)) {
		buf_put_lit(why, "malformed answer");
		return ST_INVALID;
	}
	if (type == SWIM_ERR && swim_get(body, &swim_err_schema, &err) == 0) {
		buf_printf(why, "remote error: " STR_FMT, STR_ARG(err.text));
		return ST_INVALID;
	}
	if (type != SWIM_PUSH_PULL || remote_get(p, body, &r)) {
		buf_printf(why, "invalid msgType (%u)", type);
		return ST_INVALID;
	}
	r.join = kind != DIAL_SYNC;
	return merge(p, &r, kind == DIAL_JOIN, why);
}

static struct pool_dialled *dialled_find(struct pool *p, uint32_t token)
{
	struct pool_dialled *d;

	list_for_each (d, &p->dials, link) {
		if (d->token == token) {
			return d;
		}
	}
	return NULL;
}

void on_reply(struct pool *p, const struct pool_event *e)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, room = { 0 };
	struct pool_dialled *d = dialled_find(p, e->token);
	enum pool_dial_kind kind;
	struct str body;
	uint8_t type;

	if (!d) {
		return;
	}
	kind = d->kind;
	list_del(&d->link);
	free(d);
	if (kind == DIAL_PING) {
		if (e->bytes.p && stream_open(e->bytes, &room, &type, &body) == 0 &&
			type == SWIM_ACK) {
			on_stream_ack(p, e->token, body);
		}
		return;
	}
	p->update->status = take_state(p, e, kind, &why);
	/* Who leaves has said so: a later intent to join would take it back. */
	if (kind == DIAL_JOIN && !p->update->status && !p->leave) {
		intent_broadcast_join(p);
	}
	if (kind == DIAL_JOIN || kind == DIAL_REJOIN) {
		note_add(p, POOL_NOTE_JOINED, STR(""), buf_str(&why));
		note_last(p)->id = e->token;
	}
}
