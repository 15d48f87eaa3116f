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
	[METRIC_HEALTH_SCORE] = { "memberlist.health.score", METRIC_GAUGE, "" },
	[METRIC_QUEUE_EVENT] = { "serf.queue.Event", METRIC_SAMPLE, "" },
	[METRIC_QUEUE_INTENT] = { "serf.queue.Intent", METRIC_SAMPLE, "" },
	[METRIC_QUEUE_QUERY] = { "serf.queue.Query", METRIC_SAMPLE, "" },
};

static void put_number(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_key(w, str_of(key));
	jsonw_u64(w, v);
}

void gossipd_status(struct daemon *d, struct jsonw *w)
{
	const struct gossipd *g = d->self;

	put_number(w, "members", g->gossip.pools[GOSSIP_LAN].members_count);
	put_number(w, "members_wan", g->gossip.pools[GOSSIP_WAN].members_count);
	put_number(w, "event_time", g->gossip.clocks.event_time);
	put_number(w, "events", g->gossip.events_count);
	put_number(w, "events_dropped", g->gossip.dropped_count);
	put_number(w, "calls_held", g->holds_count);
}

static void dump_pool(const struct gossip_pool *pool, struct jsonw *w)
{
	const struct gossip_member *m;

	jsonw_open(w, '[');
	list_for_each (m, &pool->members, link) {
		member_dump(w, &m->member);
	}
	jsonw_close(w, ']');
}

void gossipd_dump(struct daemon *d, struct jsonw *w)
{
	const struct gossipd *g = d->self;
	const struct gossip_stored *s;

	jsonw_keyc(w, "lan");
	dump_pool(&g->gossip.pools[GOSSIP_LAN], w);
	jsonw_keyc(w, "wan");
	dump_pool(&g->gossip.pools[GOSSIP_WAN], w);
	jsonw_keyc(w, "events");
	jsonw_open(w, '[');
	list_for_each (s, &g->gossip.events, link) {
		user_event_dump(w, &s->event);
	}
	jsonw_close(w, ']');
	put_number(w, "digest", gossip_digest(&g->gossip));
}

/* Sorted by name, as Consul shows them. What is about sending to others stands at zero alone. */
static struct pairs stats_of(
	const struct gossipd *g, enum gossip_pool_name name, struct arena *arena)
{
	const struct gossip *core = &g->gossip;
	const struct gossip_pool *pool = &core->pools[name];
	bool lan = name == GOSSIP_LAN;
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{ "coordinate_resets", 0 },
		{ "event_queue", 0 },
		{ "event_time", lan ? core->clocks.event_time : 1 },
		{ "failed", gossip_count(core, name, MEMBER_FAILED) },
		{ "health_score", 0 },
		{ "intent_queue", 0 },
		{ "left", gossip_count(core, name, MEMBER_LEFT) },
		{ "member_time", lan ? core->clocks.member_time : 1 },
		{ "members", pool->members_count },
		{ "query_queue", 0 },
		{ "query_time", 1 },
	};
	struct pairs out = { arena_array(arena, struct pair, ARRAY_SIZE(rows) + 1), 0, true };

	if (!pool->active) {
		return (struct pairs) { 0 };
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (i == 1) {
			out.items[out.count++] = (struct pair) { STR("encrypted"), STR("false") };
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
		.lan = stats_of(g, GOSSIP_LAN, &arena),
		.wan = stats_of(g, GOSSIP_WAN, &arena),
	};

	IPC_REPLY(call, gossip_stats, &reply);
}
