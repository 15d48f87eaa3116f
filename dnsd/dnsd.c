/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of dnsd: settings from the configuration, sockets, reload, drain. See dnsd.h.
 */
#include "dnsd/dnsd.h"

#include <sys/resource.h>

#include "common/sys/clock.h"
#include "dnsd/hooks.h"

const struct metric_row dnsd_metrics[METRICS_COUNT] = {
	[METRIC_DOMAIN_QUERY] = { "dns.domain_query", METRIC_SAMPLE, "node=$node" },
	[METRIC_PTR_QUERY] = { "dns.ptr_query", METRIC_SAMPLE, "node=$node" },
	[METRIC_DROPPED] = { "dns.dropped", METRIC_COUNTER, "" },
	[METRIC_FORWARDED] = { "dns.forwarded", METRIC_COUNTER, "" },
	[METRIC_REFUSED_BUSY] = { "dns.refused_busy", METRIC_COUNTER, "" },
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

struct kv_txn *naming_begin(struct dnsd *d)
{
	struct kv_txn *names;

	return state_read(d->state, &names, NULL) ? NULL : names;
}

void naming_end(struct kv_txn *names)
{
	if (names) {
		kv_abort(names);
	}
}

void query_count(struct dnsd *d, enum dns_kind kind, double ms)
{
	if (kind == DNS_KIND_DOMAIN) {
		metrics_add(d->daemon->metrics, METRIC_DOMAIN_QUERY, ms);
	} else if (kind == DNS_KIND_PTR) {
		metrics_add(d->daemon->metrics, METRIC_PTR_QUERY, ms);
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

int dnsd_open(struct daemon *daemon)
{
	struct dnsd *d = xcalloc(1, sizeof(*d));
	int r;

	daemon->self = d;
	d->daemon = daemon;
	list_init(&d->connections);
	list_init(&d->forwards);
	list_init(&d->executions);
	rng_init(&d->rng, random_u64());
	d->reply.bytes = xmalloc(DNS_MESSAGE_MAX);
	d->state = state_reader_new(
		arena_str(&daemon->conf->arena, daemon->conf->data_dir).p, STATE_KIND_NAMING);
	d->api = api_new(daemon->loop, "httpd/api.sock", on_executed, d);
	descriptors_allow();
	r = udp_open(d);
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
	if (d->daemon->draining && d->forwards_count + d->executions_count == 0 &&
		d->connections_count == 0) {
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
	forwards_end(d);
	executions_end(d);
	api_free(d->api);
	udp_close(d);
	if (d->core) {
		dns_free(d->core);
	}
	state_reader_free(d->state);
	free(d->reply.bytes);
	free(d);
}

void dnsd_status(struct daemon *daemon, struct jsonw *w)
{
	struct dnsd *d = daemon->self;
	struct kv_txn *names = naming_begin(d);

	jsonw_keyc(w, "ready");
	jsonw_bool(w, names != NULL);
	jsonw_keyc(w, "services");
	jsonw_u64(w, names ? kv_count(names, NAMING_SERVICES) : 0);
	jsonw_keyc(w, "connections");
	jsonw_u64(w, d->connections_count);
	jsonw_keyc(w, "connections_max");
	jsonw_u64(w, CONNECTIONS_MAX);
	jsonw_keyc(w, "forwards");
	jsonw_u64(w, d->forwards_count);
	jsonw_keyc(w, "forwards_max");
	jsonw_u64(w, FORWARDS_MAX);
	jsonw_keyc(w, "executions");
	jsonw_u64(w, d->executions_count);
	jsonw_keyc(w, "executions_max");
	jsonw_u64(w, EXECUTIONS_MAX);
	jsonw_keyc(w, "queries");
	jsonw_u64(w, metrics_total(daemon->metrics, METRIC_DOMAIN_QUERY) +
			     metrics_total(daemon->metrics, METRIC_PTR_QUERY));
	jsonw_keyc(w, "dropped");
	jsonw_u64(w, metrics_total(daemon->metrics, METRIC_DROPPED));
	naming_end(names);
}

const char *dnsd_waits_for(struct daemon *daemon)
{
	struct kv_txn *names = naming_begin(((struct dnsd *)daemon->self));

	naming_end(names);
	return names ? NULL : "catalogd";
}
