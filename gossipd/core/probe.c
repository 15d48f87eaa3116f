/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failure detection: one probe at a time along the ring; directly, then through others and over a
 * stream; and the answers to the probes of others. Section numbers: the notes on the protocol.
 *
 *     t=0 ping --ack before the timeout--> done
 *          +--timeout: indirect pings, stream ping --any ack before the end--> done
 *                                                  +--end of the interval--> suspect
 */
#include "gossipd/core/pool_private.h"

static int64_t probe_interval_ms(const struct pool *p)
{
	return p->options.profile.probe_interval_ms * (int64_t)(p->health + 1);
}

static void health_add(struct pool *p, int delta)
{
	int health = (int)p->health + delta;

	p->health = (uint32_t)max_of(0, min_of(health, (int)p->options.profile.health_max - 1));
}

static struct swim_ping ping_of(struct pool *p, const struct pool_node *n, uint32_t seq)
{
	return (struct swim_ping) {
		.seq = seq,
		.node = n->name,
		.source_addr = address_str(&p->options.address),
		.source_port = p->options.address.port,
		.source_node = p->options.name,
	};
}

/* -------- probing -------- */

/* Lifeguard's buddy system: who is suspected hears it with the ping, and can refute at once. */
static void send_first(struct pool *p, struct pool_node *n)
{
	OWN_EMBEDDED(buf_fini) struct buf ping = { 0 }, suspect = { 0 };
	struct swim_ping m = ping_of(p, n, p->probe.seq);
	struct swim_accusation accusation = { n->incarnation, n->name, p->options.name };
	struct str messages[2];

	swim_put(&ping, SWIM_PING, &swim_ping_schema, &m);
	messages[0] = buf_str(&ping);
	if (n->state == SWIM_STATE_ALIVE) {
		pool_send(p, n->address, (struct send_form) { .piggyback = true }, messages, 1);
		return;
	}
	swim_put(&suspect, SWIM_SUSPECT, &swim_accusation_schema, &accusation);
	messages[1] = buf_str(&suspect);
	pool_send(p, n->address, (struct send_form) { .to = n }, messages, 2);
}

static struct pool_node *next_of_ring(struct pool *p)
{
	for (uint32_t seen = 0; seen <= p->ring_count; seen++) {
		struct pool_node *n;

		if (p->ring_at >= p->ring_count) {
			ring_turn(p);
			if (!p->ring_count) {
				return NULL;
			}
		}
		n = p->ring[p->ring_at++];
		if (n != p->self && !state_is_gone(n)) {
			return n;
		}
	}
	return NULL;
}

static void probe_begin(struct pool *p)
{
	struct pool_node *n = next_of_ring(p);

	p->probe.due = false;
	if (!n) {
		return;
	}
	p->probe = (struct pool_probe) {
		.node = n,
		.incarnation = n->incarnation,
		.seq = ++p->seq,
		.sent_at = p->now,
		.timeout_at = mono_add_ms(p->now, p->options.profile.probe_timeout_ms),
		.end_at = mono_add_ms(p->now, probe_interval_ms(p)),
	};
	send_first(p, n);
}

void probe_forget(struct pool *p, const struct pool_node *n)
{
	if (p->probe.node == n) {
		p->probe.node = NULL;
	}
}

static bool may_ask(const struct pool *p, const struct pool_node *n, const void *target)
{
	return n != p->self && n != target && n->state == SWIM_STATE_ALIVE;
}

static void ask_others(struct pool *p, struct pool_node *target)
{
	struct pool_node *peers[8];
	size_t count = min_of((size_t)p->options.profile.indirect_checks, ARRAY_SIZE(peers));

	count = nodes_pick(p, count, may_ask, target, peers);
	for (size_t i = 0; i < count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
		struct swim_ping m = ping_of(p, target, p->probe.seq);
		struct str message;

		m.target = address_str(&target->address);
		m.port = target->address.port;
		m.nack = peers[i]->versions[VERSION_PROTOCOL_MAX] >= PROTOCOL_NACK;
		p->probe.nacks_wanted += m.nack;
		swim_put(&bytes, SWIM_INDIRECT_PING, &swim_indirect_ping_schema, &m);
		message = buf_str(&bytes);
		pool_send(p, peers[i]->address, (struct send_form) { .piggyback = true }, &message,
			1);
	}
}

static void ask_by_stream(struct pool *p, struct pool_node *target)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct swim_ping m = ping_of(p, target, p->probe.seq);

	if (target->versions[VERSION_PROTOCOL_MAX] >= PROTOCOL_TCP_PING) {
		swim_put(&bytes, SWIM_PING, &swim_ping_schema, &m);
		p->probe.token = pool_dial(p, target->address, DIAL_PING, buf_str(&bytes));
	}
}

static void probe_succeed(struct pool *p)
{
	p->probe.node = NULL;
	health_add(p, -1);
}

static void probe_fail(struct pool *p)
{
	struct pool_node *n = take(p->probe.node);
	struct swim_accusation m = { p->probe.incarnation, n->name, p->options.name };

	if (p->probe.nacks_wanted) {
		/* Others heard us and say that they did not reach it: then it is not our fault. */
		health_add(p, (int)p->probe.nacks_wanted -
				      (int)min_of(p->probe.nacks, p->probe.nacks_wanted));
	} else {
		health_add(p, 1);
	}
	swim_on_suspect(p, &m);
}

static void relays_expire(struct pool *p)
{
	struct pool_relay *r, *next;

	list_for_each_safe (r, next, &p->relays, link) {
		if (mono_before(p->now, r->deadline)) {
			continue;
		}
		if (r->nack) {
			OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
			struct swim_nack m = { r->their_seq };
			struct str message;

			swim_put(&bytes, SWIM_NACK, &swim_nack_schema, &m);
			message = buf_str(&bytes);
			pool_send(p, r->requester,
				(struct send_form) { .piggyback = r->requester_known }, &message,
				1);
		}
		list_del(&r->link);
		free(r);
	}
}

void probe_deadlines(struct pool *p)
{
	struct pool_probe *probe = &p->probe;

	relays_expire(p);
	if (probe->node && !probe->indirect && !mono_before(p->now, probe->timeout_at)) {
		probe->indirect = true;
		ask_others(p, probe->node);
		ask_by_stream(p, probe->node);
	}
	if (probe->node && !mono_before(p->now, probe->end_at)) {
		if (probe->stream_acked || state_is_gone(probe->node)) {
			probe_succeed(p);
		} else {
			probe_fail(p);
		}
	}
	if (!probe->node && probe->due) {
		probe_begin(p);
	}
}

void probe_tick(struct pool *p)
{
	p->probe_at = mono_add_ms(p->now, p->options.profile.probe_interval_ms);
	p->probe.due = true;
	probe_deadlines(p);
}

struct mono probe_deadline(const struct pool *p)
{
	struct mono at = MONO_NEVER;
	const struct pool_relay *r;

	list_for_each (r, &p->relays, link) {
		at = mono_min(at, r->deadline);
	}
	if (p->probe.node) {
		at = mono_min(at, p->probe.indirect ? p->probe.end_at : p->probe.timeout_at);
	}
	return at;
}

/* -------- answers to our probes -------- */

/* Only a direct answer in time says how far the other is. */
static void learn_distance(struct pool *p, struct pool_node *n, struct str payload)
{
	struct vivaldi_coordinate other;

	if (!p->options.coordinates || vivaldi_get(payload, &other)) {
		return;
	}
	if (!n->latencies) {
		n->latencies = xcalloc(1, sizeof(*n->latencies));
		n->coordinate = xcalloc(1, sizeof(*n->coordinate));
	}
	*n->coordinate = other;
	vivaldi_update(&p->vivaldi, n->latencies, &other,
		(double)mono_diff_ns(p->now, p->probe.sent_at) / NS_PER_S, &p->rng);
}

static void relay_ack(struct pool *p, struct pool_relay *r)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct swim_ack m = { r->their_seq, STR_NONE };
	struct str message;

	swim_put(&bytes, SWIM_ACK, &swim_ack_schema, &m);
	message = buf_str(&bytes);
	pool_send(p, r->requester, (struct send_form) { .piggyback = r->requester_known }, &message,
		1);
	list_del(&r->link);
	free(r);
}

void on_ack(struct pool *p, const struct swim_ack *m)
{
	struct pool_relay *r, *next;

	if (p->probe.node && m->seq == p->probe.seq) {
		if (!p->probe.indirect && mono_before(p->now, p->probe.timeout_at)) {
			learn_distance(p, p->probe.node, m->payload);
		}
		probe_succeed(p);
		return;
	}
	list_for_each_safe (r, next, &p->relays, link) {
		if (r->seq == m->seq) {
			relay_ack(p, r);
			return;
		}
	}
}

void on_nack(struct pool *p, const struct swim_nack *m)
{
	if (p->probe.node && m->seq == p->probe.seq) {
		p->probe.nacks++;
	}
}

void on_stream_ack(struct pool *p, uint32_t token, struct str body)
{
	struct swim_ack m;

	if (p->probe.node && p->probe.token == token && swim_get(body, &swim_ack_schema, &m) == 0 &&
		m.seq == p->probe.seq) {
		p->probe.stream_acked = true;
	}
}

/* -------- probes of others -------- */

static struct pool_address answer_to(const struct swim_ping *m, const struct pool_address *from)
{
	struct pool_address a = address_of(m->source_addr, m->source_port);

	return a.n && a.port ? a : *from;
}

void on_ping(struct pool *p, const struct swim_ping *m, const struct pool_address *from)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 }, payload = { 0 };
	struct pool_address to = answer_to(m, from);
	struct swim_ack ack = { .seq = m->seq };
	struct send_form form;
	struct str message;

	if (m->node.n && !str_eq(m->node, p->options.name)) {
		return;
	}
	if (p->options.coordinates) {
		vivaldi_put(&p->vivaldi.at, &payload);
		ack.payload = buf_str(&payload);
	}
	swim_put(&bytes, SWIM_ACK, &swim_ack_schema, &ack);
	message = buf_str(&bytes);
	/* A packet's worth of news for whoever asks would use the news up, and strangers could have
	 * it sent to a victim. */
	form = (struct send_form) { .piggyback = node_is_at(p, m->source_node, &to) };
	pool_send(p, to, form, &message, 1);
}

void on_indirect_ping(struct pool *p, const struct swim_ping *m, const struct pool_address *from)
{
	enum { RELAYS_MAX = 256 };
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct swim_ping ping = {
		.seq = ++p->seq,
		.node = m->node,
		.source_addr = address_str(&p->options.address),
		.source_port = p->options.address.port,
		.source_node = p->options.name,
	};
	struct pool_address target =
		address_of(m->target, m->port ? m->port : p->options.address.port);
	struct pool_relay *r, *item;
	struct str message;
	size_t count = 0;

	list_for_each (item, &p->relays, link) {
		count++;
	}
	if (!target.n || count >= RELAYS_MAX) {
		return;
	}
	r = xcalloc(1, sizeof(*r));
	*r = (struct pool_relay) {
		.seq = ping.seq,
		.their_seq = m->seq,
		.requester = answer_to(m, from),
		.nack = m->nack,
		.deadline = mono_add_ms(p->now, p->options.profile.probe_timeout_ms),
	};
	r->requester_known = node_is_at(p, m->source_node, &r->requester);
	list_add_tail(&p->relays, &r->link);
	swim_put(&bytes, SWIM_PING, &swim_ping_schema, &ping);
	message = buf_str(&bytes);
	pool_send(p, target, (struct send_form) { .piggyback = node_is_at(p, m->node, &target) },
		&message, 1);
}
