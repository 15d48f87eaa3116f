/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gossipd tells about itself: control status and dump, metrics, and the counters of
 * agent/self.
 */
#include "gossipd/gossipd.h"

const struct metric_row gossipd_metrics[METRICS_COUNT] = {
	[METRIC_EVENTS] = { "serf.events", METRIC_COUNTER, "" },
	[METRIC_MEMBER_JOIN] = { "serf.member.join", METRIC_COUNTER, "" },
	[METRIC_MEMBER_LEFT] = { "serf.member.left", METRIC_COUNTER, "" },
	[METRIC_MEMBER_FAILED] = { "serf.member.failed", METRIC_COUNTER, "" },
	[METRIC_MEMBER_UPDATE] = { "serf.member.update", METRIC_COUNTER, "" },
	[METRIC_SUSPECT] = { "memberlist.msg.suspect", METRIC_COUNTER, "" },
	[METRIC_REFUTED] = { "memberlist.msg.alive.refuted", METRIC_COUNTER, "" },
	[METRIC_UDP_SENT] = { "memberlist.udp.sent", METRIC_COUNTER, "" },
	[METRIC_UDP_RECEIVED] = { "memberlist.udp.received", METRIC_COUNTER, "" },
	[METRIC_DROPPED] = { "memberlist.udp.dropped", METRIC_COUNTER, "" },
	[METRIC_REFUSED] = { "gossip.refused", METRIC_COUNTER, "" },
	[METRIC_TCP_ACCEPT] = { "memberlist.tcp.accept", METRIC_COUNTER, "" },
	[METRIC_TCP_CONNECT] = { "memberlist.tcp.connect", METRIC_COUNTER, "" },
	[METRIC_HEALTH_SCORE] = { "memberlist.health.score", METRIC_GAUGE, "" },
	[METRIC_QUEUE_EVENT] = { "serf.queue.Event", METRIC_SAMPLE, "" },
	[METRIC_QUEUE_INTENT] = { "serf.queue.Intent", METRIC_SAMPLE, "" },
	[METRIC_QUEUE_QUERY] = { "serf.queue.Query", METRIC_SAMPLE, "" },
};

static const char *const refusals[POOL_REFUSALS] = {
	[POOL_REFUSED_MEMBER] = "refused_members",
	[POOL_REFUSED_SIZE] = "refused_too_long",
	[POOL_REFUSED_EVENT] = "refused_events",
	[POOL_REFUSED_TIME] = "refused_times",
};

void gossipd_status(struct daemon *d, struct jsonw *w)
{
	const struct gossipd *g = d->self;

	jsonw_put_u64(w, "members", g->wires[GOSSIP_LAN].pool.members_count);
	jsonw_put_u64(w, "members_wan", g->wires[GOSSIP_WAN].pool.members_count);
	jsonw_put_u64(w, "event_time", g->wires[GOSSIP_LAN].pool.clocks.event);
	jsonw_put_u64(w, "incarnation", g->wires[GOSSIP_LAN].pool.incarnation);
	jsonw_put_u64(w, "events", g->gossip.rings[GOSSIP_USER].count);
	jsonw_put_u64(w, "events_dropped", g->gossip.dropped_count);
	jsonw_put_u64(w, "calls_held", g->holds_count);
	for (size_t i = 0; i < POOL_REFUSALS; i++) {
		jsonw_put_u64(w, refusals[i],
			g->wires[GOSSIP_LAN].pool.refused[i] +
				g->wires[GOSSIP_WAN].pool.refused[i]);
	}
}

const char *gossipd_waits_for(struct daemon *d)
{
	const struct gossipd *g = d->self;

	for (int i = 0; i < GOSSIP_POOLS; i++) {
		const struct wire *w = &g->wires[i];

		if (w->active && w->port && w->udp < 0) {
			return i == GOSSIP_LAN ? "its LAN port" : "its WAN port";
		}
	}
	return NULL;
}

static void dump_pool(const struct wire *wire, struct jsonw *w)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct pool_node *n, *next;
	struct member m;

	jsonw_open(w, '[');
	if (wire->active) {
		pool_for_each(n, next, &wire->pool)
		{
			member_of(n, &arena, &m);
			member_dump(w, &m);
		}
	}
	jsonw_close(w, ']');
}

void gossipd_dump(struct daemon *d, struct jsonw *w)
{
	const struct gossipd *g = d->self;
	const struct gossip_stored *s;

	jsonw_keyc(w, "lan");
	dump_pool(&g->wires[GOSSIP_LAN], w);
	jsonw_keyc(w, "wan");
	dump_pool(&g->wires[GOSSIP_WAN], w);
	jsonw_keyc(w, "events");
	jsonw_open(w, '[');
	list_for_each (s, &g->gossip.rings[GOSSIP_USER].events, link) {
		user_event_dump(w, &s->event);
	}
	jsonw_close(w, ']');
	jsonw_put_u64(w, "digest", gossip_digest(&g->gossip));
}

/* Sorted by name, as Consul shows them. */
static struct pairs stats_of(const struct wire *w, struct arena *arena)
{
	const struct pool *p = &w->pool;
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{ "coordinate_resets", p->vivaldi.resets },
		{ "event_queue", p->queues[QUEUE_EVENT].count },
		{ "event_time", p->clocks.event },
		{ "failed", w->active ? pool_count(p, MEMBER_FAILED) : 0 },
		{ "health_score", p->health },
		{ "intent_queue", p->queues[QUEUE_INTENT].count },
		{ "left", w->active ? pool_count(p, MEMBER_LEFT) : 0 },
		{ "member_time", p->clocks.member },
		{ "members", p->members_count },
		{ "query_queue", p->queues[QUEUE_QUERY].count },
		{ "query_time", p->clocks.query },
	};
	struct pairs out = { arena_array(arena, struct pair, ARRAY_SIZE(rows) + 1), 0, true };

	if (!w->active) {
		return (struct pairs) { 0 };
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (i == 1) {
			out.items[out.count++] = (struct pair) { STR("encrypted"),
				p->keyring.count ? STR("true") : STR("false") };
		}
		out.items[out.count++] = (struct pair) { str_of(rows[i].key),
			arena_printf(arena, "%llu", (unsigned long long)rows[i].value) };
	}
	return out;
}

void handle_stats(struct gossipd *g, struct ipc_call *call, const struct gossip_stats *m)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct gossip_stats_reply reply = {
		.lan = stats_of(&g->wires[GOSSIP_LAN], &arena),
		.wan = stats_of(&g->wires[GOSSIP_WAN], &arena),
	};

	IPC_REPLY(call, gossip_stats, &reply);
}
