/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions as bodies for the agent's register endpoints: what was absent stays absent.
 */
#include "common/client/definition.h"

static void text_member(struct jsonw *w, const char *key, struct str v)
{
	if (v.n) {
		jsonw_key(w, str_of(key));
		jsonw_str(w, v);
	}
}

static void int_member(struct jsonw *w, const char *key, int64_t v)
{
	if (v) {
		jsonw_key(w, str_of(key));
		jsonw_i64(w, v);
	}
}

static void bool_member(struct jsonw *w, const char *key, bool v)
{
	if (v) {
		jsonw_key(w, str_of(key));
		jsonw_bool(w, v);
	}
}

static void duration_member(struct jsonw *w, const char *key, int64_t ns)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (ns) {
		duration_render(&text, ns);
		text_member(w, key, buf_str(&text));
	}
}

static void strs_member(struct jsonw *w, const char *key, const struct strs *v)
{
	if (v->count == 0) {
		return;
	}
	jsonw_key(w, str_of(key));
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < v->count; i++) {
		jsonw_str(w, v->items[i]);
	}
	jsonw_close(w, ']');
}

void definition_check_render(struct jsonw *w, const struct check_def *c, bool in_service)
{
	jsonw_open(w, '{');
	text_member(w, in_service ? "CheckID" : "ID", c->id);
	text_member(w, "Name", c->name);
	text_member(w, "Notes", c->notes);
	text_member(w, "ServiceID", c->service_id);
	text_member(w, "Status", c->status);
	strs_member(w, "Args", &c->args);
	text_member(w, "Shell", c->shell);
	text_member(w, "HTTP", c->http);
	text_member(w, "Method", c->method);
	if (c->header_json.n) {
		jsonw_keyc(w, "Header");
		jsonw_raw(w, c->header_json);
	}
	text_member(w, "Body", c->body);
	text_member(w, "TCP", c->tcp);
	text_member(w, "UDP", c->udp);
	text_member(w, "H2PING", c->h2ping);
	text_member(w, "GRPC", c->grpc);
	bool_member(w, "GRPCUseTLS", c->grpc_use_tls);
	text_member(w, "DockerContainerID", c->docker_container_id);
	text_member(w, "OSService", c->os_service);
	text_member(w, "AliasNode", c->alias_node);
	text_member(w, "AliasService", c->alias_service);
	duration_member(w, "TTL", c->ttl_ns);
	duration_member(w, "Interval", c->interval_ns);
	duration_member(w, "Timeout", c->timeout_ns);
	bool_member(w, "TLSSkipVerify", c->tls_skip_verify);
	text_member(w, "TLSServerName", c->tls_server_name);
	bool_member(w, "DisableRedirects", c->disable_redirects);
	int_member(w, "OutputMaxSize", c->output_max_size);
	int_member(w, "SuccessBeforePassing", c->success_before_passing);
	int_member(w, "FailuresBeforeWarning", c->failures_before_warning);
	int_member(w, "FailuresBeforeCritical", c->failures_before_critical);
	duration_member(w, "DeregisterCriticalServiceAfter", c->deregister_critical_after_ns);
	if (!in_service) {
		text_member(w, "Token", c->token);
	}
	jsonw_close(w, '}');
}

static void addresses_member(struct jsonw *w, const struct service_def *s)
{
	if (s->tagged_addresses.count == 0) {
		return;
	}
	jsonw_keyc(w, "TaggedAddresses");
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < s->tagged_addresses.count; i++) {
		const struct tagged_address *t = &s->tagged_addresses.items[i];

		jsonw_key(w, t->name);
		jsonw_open(w, '{');
		jsonw_put_str(w, "Address", t->address);
		jsonw_put_i64(w, "Port", t->port);
		jsonw_close(w, '}');
	}
	jsonw_close(w, '}');
}

static void meta_member(struct jsonw *w, const struct pairs *meta)
{
	if (meta->count == 0) {
		return;
	}
	jsonw_keyc(w, "Meta");
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < meta->count; i++) {
		jsonw_key(w, meta->items[i].key);
		jsonw_str(w, meta->items[i].value);
	}
	jsonw_close(w, '}');
}

static void checks_member(struct jsonw *w, const struct service_definition *d)
{
	if (d->checks_count == 0) {
		return;
	}
	jsonw_keyc(w, "Checks");
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < d->checks_count; i++) {
		definition_check_render(w, &d->checks[i], true);
	}
	jsonw_close(w, ']');
}

void definition_service_render(struct jsonw *w, const struct service_definition *d)
{
	const struct service_def *s = &d->service;

	jsonw_open(w, '{');
	text_member(w, "Kind", s->kind);
	text_member(w, "ID", s->id);
	text_member(w, "Name", s->name);
	strs_member(w, "Tags", &s->tags);
	int_member(w, "Port", s->port);
	text_member(w, "Address", s->address);
	addresses_member(w, s);
	bool_member(w, "EnableTagOverride", s->enable_tag_override);
	meta_member(w, &s->meta);
	jsonw_keyc(w, "Weights");
	jsonw_open(w, '{');
	jsonw_put_i64(w, "Passing", s->weight_passing);
	jsonw_put_i64(w, "Warning", s->weight_warning);
	jsonw_close(w, '}');
	checks_member(w, d);
	text_member(w, "Token", d->token);
	if (s->proxy_json.n) {
		jsonw_keyc(w, "Proxy");
		jsonw_raw(w, s->proxy_json);
	}
	jsonw_close(w, '}');
}
