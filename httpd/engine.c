/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine as a whole: its beginning, reload and end. The routes are expanded here from
 * routes.def.
 */
#include <stdio.h>

#include "common/client/definitions.h"
#include "common/sys/clock.h"
#include "common/sys/files.h"
#include "common/sys/tls.h"
#include "httpd/engine.h"
#include "httpd/forward.h"
#include "httpd/routes.h"

enum { METRIC_NAME_SIZE = 80 };

static const struct route routes[] = {
#define ROUTE(method, path, handler, flags) \
	{ METHOD_##method, { path, sizeof(path) - 1 }, handler, flags },
#include "httpd/routes.def"
#undef ROUTE
};

void engine_count(struct engine *e, enum engine_metric metric)
{
	metrics_add(e->httpd->daemon->metrics, ARRAY_SIZE(routes) + metric, 1);
}

/* "http.GET.v1.kv._": Consul's names, where the variable part of a path is "_". */
const struct metric_row *engine_metrics(size_t *count_out)
{
	static struct metric_row rows[ARRAY_SIZE(routes) + ENGINE_METRICS];
	static char names[ARRAY_SIZE(routes)][METRIC_NAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		struct str path = routes[i].path;

		snprintf(names[i], sizeof(names[i]), "http.%s" STR_FMT "%s",
			method_name(routes[i].method), STR_ARG(path),
			str_ends(path, STR("/")) ? "_" : "");
		for (char *p = names[i]; *p; p++) {
			*p = *p == '/' ? '.' : *p;
		}
		rows[i] = (struct metric_row) { names[i], METRIC_SAMPLE, "" };
	}
	rows[ARRAY_SIZE(routes) + METRIC_FORWARDED] =
		(struct metric_row) { "client.rpc", METRIC_COUNTER, "" };
	rows[ARRAY_SIZE(routes) + METRIC_FORWARD_FAILED] =
		(struct metric_row) { "client.rpc.failed", METRIC_COUNTER, "" };
	*count_out = ARRAY_SIZE(rows);
	return rows;
}

/* http_config.response_headers as lines, in Go's spelling of names. */
static void configure_headers(struct engine *e)
{
	const struct conf *conf = e->httpd->conf;
	const struct pairs *headers = &conf->http.response_headers;

	buf_clear(&e->configured);
	for (uint32_t i = 0; i < headers->count; i++) {
		struct str name = headers->items[i].key;
		bool first = true;

		for (size_t j = 0; j < name.n; j++) {
			char c = name.p[j];

			if (first && c >= 'a' && c <= 'z') {
				c = (char)(c - 'a' + 'A');
			} else if (!first && c >= 'A' && c <= 'Z') {
				c = (char)(c - 'A' + 'a');
			}
			buf_put_char(&e->configured, c);
			first = c == '-';
		}
		buf_put_lit(&e->configured, ": ");
		buf_put_str(&e->configured, headers->items[i].value);
		buf_put_lit(&e->configured, "\r\n");
	}
	if (conf->translate_wan_addrs) {
		buf_put_lit(&e->configured, "X-Consul-Translate-Addresses: true\r\n");
	}
}

/* What cannot be read leaves the certificates in use that there are; without any, connections to
 * the HTTPS port are closed, and all else goes on. */
static void configure_tls(struct engine *e)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	const struct conf *conf = e->httpd->conf;
	struct tls_context *context = NULL;
	struct tls_options options;

	if (conf->ports.https <= 0 && daemon_socket(e->httpd->daemon, "https", 0) < 0) {
		return;
	}
	tls_options_of(conf, &arena, &options);
	if (tls_context_new(&options, &context, &why)) {
		log_error("tls-unusable", "reason=\"" STR_FMT "\"", STR_ARG(buf_str(&why)));
		return;
	}
	if (e->tls) {
		tls_context_free(e->tls);
	}
	e->tls = context;
}

static void on_drain_timer(void *arg);

int engine_open(struct httpd *h)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	h->engine = e;
	e->httpd = h;
	e->loop = h->loop;
	e->date_s = -1;
	e->scratch = xmalloc(READ_SIZE);
	route_table_init(&e->routes, routes, ARRAY_SIZE(routes));
	rng_init(&e->rng, random_u64());
	list_init(&e->listeners);
	list_init(&e->conns);
	list_init(&e->exchanges_free);
	map_init(&e->clients, random_u64());
	loop_timer_init(&e->drain_timer, e->loop, on_drain_timer, e);
	holds_init(e);
	output_init(e);
	configure_headers(e);
	configure_tls(e);
	files_remove("httpd", STR(UPLOAD_PREFIX), 0); /* of a process that was killed */
	return listen_open(e);
}

int engine_start(struct httpd *h)
{
	listen_start(h->engine);
	return 0;
}

int engine_accept(const struct conf *c, struct buf *why)
{
	int r = tls_check(c, "Failed reloading tls configuration: ", why);

	return r ? r : definitions_check(c, why);
}

void engine_reload(struct httpd *h)
{
	configure_headers(h->engine);
	configure_tls(h->engine);
}

/* Idle connections have been served for a while; a client that still wants something connects
 * again. */
static void on_drain_timer(void *arg)
{
	struct engine *e = arg;
	struct conn *c, *following;

	e->lingered = true;
	list_for_each_safe (c, following, &e->conns, link) {
		if (c->state == CONN_HEAD && !c->in.n) {
			conn_fail(c);
			conn_settle(c);
		}
	}
	engine_check_drained(e);
}

void engine_drain(struct httpd *h)
{
	struct engine *e = h->engine;

	e->draining = true;
	listen_stop(e);
	loop_timer_in(&e->drain_timer, DRAIN_LINGER_MS);
	holds_expire_all(e);
	forwards_drain(h->forwards);
	engine_check_drained(e);
}

void engine_check_drained(struct engine *e)
{
	if (e->draining && e->conns_count == 0) {
		daemon_drained(e->httpd->daemon);
	}
}

void engine_free(struct engine *e)
{
	e->draining = false;
	conns_free(e);
	listen_fini(e);
	holds_fini(e);
	exchanges_fini(e);
	output_fini(e);
	route_table_fini(&e->routes);
	map_fini(&e->clients);
	loop_timer_stop(&e->drain_timer);
	if (e->tls) {
		tls_context_free(e->tls);
	}
	free(e->scratch);
	free(e);
}
