/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of dnsd: settings from the configuration, sockets, reload, drain. See dnsd.h.
 */
#include "dnsd/dnsd.h"

#include <sys/resource.h>

#include "common/sys/clock.h"
#include "dnsd/hooks.h"

enum { STALE_S = 5 }; /* what is older than that is counted */

const struct metric_row dnsd_metrics[METRICS_COUNT] = {
	[METRIC_DOMAIN_QUERY] = { "dns.domain_query", METRIC_SAMPLE, "node=$node" },
	[METRIC_PTR_QUERY] = { "dns.ptr_query", METRIC_SAMPLE, "node=$node" },
	[METRIC_DROPPED] = { "dns.dropped", METRIC_COUNTER, "" },
	[METRIC_FORWARDED] = { "dns.forwarded", METRIC_COUNTER, "" },
	[METRIC_REFUSED_BUSY] = { "dns.refused_busy", METRIC_COUNTER, "" },
	[METRIC_STALE] = { "dns.stale_queries", METRIC_COUNTER, "" },
	[METRIC_PEER_QUERY] = { "dns.peer_query", METRIC_COUNTER, "" },
	[METRIC_PEER_ASKED] = { "dns.peer_asked", METRIC_COUNTER, "" },
	[METRIC_PEER_UNANSWERED] = { "dns.peer_unanswered", METRIC_COUNTER, "" },
	[METRIC_CACHE_HIT] = { "dns.cache_hit", METRIC_COUNTER, "" },
	[METRIC_CACHE_LAST] = { "dns.cache_last", METRIC_COUNTER, "" },
};

static int core_make(const struct conf *c, size_t recursors, struct dns **out)
{
	struct dns_settings s = {
		.domain = c->domain,
		.alt_domain = c->alt_domain,
		.datacenter = c->datacenter,
		.only_passing = c->dns.only_passing,
		.enable_truncate = c->dns.enable_truncate,
		.disable_compression = c->dns.disable_compression,
		.node_meta_txt = c->dns.enable_additional_node_meta_txt,
		.recursors = recursors != 0,
		.server = c->server,
		.allow_stale = c->dns.allow_stale,
		.translate_wan_addrs = c->translate_wan_addrs,
		.node_ttl_s = c->dns.node_ttl_ns / NS_PER_S,
		.udp_answer_limit = c->dns.udp_answer_limit,
		.a_record_limit = c->dns.a_record_limit,
		.soa_refresh = c->dns.soa.refresh,
		.soa_retry = c->dns.soa.retry,
		.soa_expire = c->dns.soa.expire,
		.soa_min_ttl = c->dns.soa.min_ttl,
		.service_ttl = c->dns.service_ttl,
	};

	return dns_new(&s, out);
}

/* The leader's lease is good and all that others may have been told of is here; or how long ago a
 * leader was heard of. */
static void naming_age(struct dnsd *d, uint64_t applied, struct naming *n)
{
	int64_t now_ns = clock_mono().ns, silence_ns;
	struct raft_page page;

	if (!state_raft_page(d->state, &page)) {
		return;
	}
	if (page.is_leader && page.lease_until_ns > now_ns) {
		/* Of a quorum of one nobody was told what is not applied here yet. */
		n->fresh = page.lease_until_ns == INT64_MAX || applied >= page.commit_index;
		return;
	}
	silence_ns = now_ns - (page.is_leader ? page.lease_until_ns : page.last_contact_ns);
	n->too_old = silence_ns > d->daemon->conf->dns.max_stale_ns;
	n->stale = silence_ns > STALE_S * NS_PER_S;
}

void naming_begin(struct dnsd *d, struct naming *out)
{
	uint64_t applied;

	*out = (struct naming) { .now_s = clock_wall().ns / NS_PER_S };
	if (d->state && state_read(d->state, &out->names, &applied) == 0) {
		naming_age(d, applied, out);
	}
}

void naming_end(struct naming *n)
{
	if (n->names) {
		kv_abort(take(n->names));
	}
}

struct dns_request request_of(struct dnsd *d, const struct naming *n, struct str query)
{
	return (struct dns_request) {
		.query = query,
		.names = n->names,
		.fresh = n->fresh,
		.too_old = n->too_old,
		.rng = &d->rng,
		.now_s = n->now_s,
	};
}

void query_count(struct dnsd *d, enum dns_kind kind, bool stale, double ms)
{
	if (kind == DNS_KIND_DOMAIN) {
		metrics_add(d->daemon->metrics, METRIC_DOMAIN_QUERY, ms);
	} else if (kind == DNS_KIND_PTR) {
		metrics_add(d->daemon->metrics, METRIC_PTR_QUERY, ms);
	}
	if (stale && kind != DNS_KIND_OTHER) {
		metrics_add(d->daemon->metrics, METRIC_STALE, 1);
	}
}

struct str answer_later(struct dnsd *d, enum dns_outcome outcome, struct str query,
	const struct client *client, const struct rng *before, const struct dns_reply *reply)
{
	switch (outcome) {
	case DNS_ASK:
		return peer_ask(d, query, client, reply);
	case DNS_EXECUTE:
		return execute_start(d, query, client, before, reply);
	default:
		return forward_start(d, outcome, query, client, before, reply);
	}
}

size_t answer_fit(const struct client *client, uint8_t *message, size_t size)
{
	bool long_datagram = client->peer && !client->connection && size > DNS_PEER_UDP_MAX;

	return long_datagram ? dns_peer_shorten(message, size) : size;
}

void client_answer(const struct client *client, struct str message)
{
	if (client->connection) {
		connection_answer(client->connection, message);
	} else if (message.n) {
		udp_send(client, message);
	}
}

/* Connections and questions to recursors cost a descriptor each. */
static void descriptors_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur =
			min_of(limit.rlim_max, (rlim_t)2 * (CONNECTIONS_MAX + EXCHANGES_MAX));
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int servers_open(struct dnsd *d)
{
	int r = ipc_client_new(d->daemon->loop, "gossipd/read", &d->gossip);

	d->links = links_new(d);
	return r ? r : servers_new(d->daemon->loop, d->gossip, d->daemon->conf, &d->servers);
}

int dnsd_open(struct daemon *daemon)
{
	struct dnsd *d = xcalloc(1, sizeof(*d));
	int r;

	daemon->self = d;
	d->daemon = daemon;
	list_init(&d->connections);
	list_init(&d->forwards);
	list_init(&d->questions);
	list_init(&d->executions);
	dns_cache_init(&d->cache, CACHE_ENTRIES_MAX, CACHE_BYTES_MAX, random_u64());
	rng_init(&d->rng, random_u64());
	d->reply.bytes = xmalloc(DNS_MESSAGE_MAX);
	if (daemon->conf->server) {
		d->state =
			state_reader_new(arena_str(&daemon->conf->arena, daemon->conf->data_dir).p,
				STATE_KIND_NAMING);
	}
	d->api = api_new(daemon->loop, "httpd/api.sock", API_CONNECTIONS_MAX, on_executed, d);
	descriptors_allow();
	r = servers_open(d);
	r = r ? r : udp_open(d);
	r = r ? r : tcp_open(d);
	r = r ? r : recursors_load(d, daemon->conf);
	return r ? r : core_make(daemon->conf, d->recursors_count, &d->core);
}

int dnsd_start(struct daemon *daemon)
{
	struct dnsd *d = daemon->self;

	for (size_t i = 0; i < d->udp_count; i++) {
		loop_io_set(&d->udp[i].io, LOOP_READ);
	}
	for (size_t i = 0; i < d->tcp_count; i++) {
		loop_io_set(&d->tcp[i].io, LOOP_READ);
	}
	return 0;
}

void dnsd_reload(struct daemon *daemon)
{
	struct dnsd *d = daemon->self;
	struct dns *fresh;

	if (recursors_load(d, daemon->conf) ||
		core_make(daemon->conf, d->recursors_count, &fresh)) {
		log_error("reload-unusable", "domain=" STR_FMT, STR_ARG(daemon->conf->domain));
		return;
	}
	dns_free(d->core);
	d->core = fresh;
}

void drain_check(struct dnsd *d)
{
	if (d->daemon->draining && d->forwards_count == 0 && d->questions_count == 0 &&
		d->executions_count == 0 && d->connections_count == 0) {
		daemon_drained(d->daemon);
	}
}

/* What is in the sockets' queues is for our successor: the sockets are the supervisor's. */
void dnsd_drain(struct daemon *daemon)
{
	struct dnsd *d = daemon->self;

	udp_pause(d);
	tcp_drain(d);
	drain_check(d);
}

void dnsd_stop(struct daemon *daemon)
{
	struct dnsd *d = daemon->self;

	if (!d) {
		return;
	}
	tcp_close(d); /* first: what was held for a connection is then dropped */
	questions_end(d);
	executions_end(d);
	api_free(d->api);
	forwards_end(d);
	udp_close(d);
	if (d->core) {
		dns_free(d->core);
	}
	if (d->servers) {
		servers_free(d->servers);
	}
	links_free(d->links);
	if (d->gossip) {
		ipc_client_free(d->gossip);
	}
	dns_cache_fini(&d->cache);
	if (d->state) {
		state_reader_free(d->state);
	}
	free(d->reply.bytes);
	free(d);
}

void dnsd_status(struct daemon *daemon, struct jsonw *w)
{
	struct dnsd *d = daemon->self;
	size_t servers = servers_alive(d->servers, daemon->conf->datacenter);
	struct naming naming;

	naming_begin(d, &naming);
	jsonw_put_bool(w, "ready", d->state ? naming.names != NULL : servers > 0);
	jsonw_put_u64(w, "services", naming.names ? kv_count(naming.names, NAMING_SERVICES) : 0);
	jsonw_keyc(w, "servers"); /* others, in this data centre */
	jsonw_u64(w, servers);
	jsonw_put_u64(w, "questions", d->questions_count);
	jsonw_put_u64(w, "questions_max", QUESTIONS_MAX);
	jsonw_put_u64(w, "cached", d->cache.map.count);
	jsonw_put_u64(w, "cached_bytes", d->cache.bytes);
	jsonw_put_u64(w, "connections", d->connections_count);
	jsonw_put_u64(w, "connections_max", CONNECTIONS_MAX);
	jsonw_put_u64(w, "forwards", d->forwards_count);
	jsonw_put_u64(w, "forwards_max", FORWARDS_MAX);
	jsonw_put_u64(w, "executions", d->executions_count);
	jsonw_put_u64(w, "executions_max", EXECUTIONS_MAX);
	jsonw_put_u64(w, "queries",
		metrics_total(daemon->metrics, METRIC_DOMAIN_QUERY) +
			metrics_total(daemon->metrics, METRIC_PTR_QUERY));
	jsonw_put_u64(w, "dropped", metrics_total(daemon->metrics, METRIC_DROPPED));
	naming_end(&naming);
}

const char *dnsd_waits_for(struct daemon *daemon)
{
	struct dnsd *d = daemon->self;
	struct naming naming;
	bool ready;

	if (!d->state) {
		return servers_alive(d->servers, daemon->conf->datacenter) ? NULL : "a server";
	}
	naming_begin(d, &naming);
	ready = naming.names;
	naming_end(&naming);
	return ready ? NULL : "catalogd";
}
