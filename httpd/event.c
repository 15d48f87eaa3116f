/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/event: user events, which gossipd carries and keeps.
 */
#include "common/sys/clock.h"
#include "httpd/httpd.h"
#include "httpd/routes.h"

enum { EVENT_VERSION = 1, GRACE_MS = 5000 };

static struct str param_or_empty(struct exchange *x, const char *name)
{
	struct str value = request_param(&x->request, name);

	return value.p ? value : STR("");
}

static void put_event(struct jsonw *w, const struct user_event *e)
{
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&e->id, id);
	jsonw_open(w, '{');
	jsonw_put_cstr(w, "ID", id);
	jsonw_put_str(w, "Name", e->name);
	jsonw_keyc(w, "Payload");
	jsonw_base64(w, e->payload);
	jsonw_put_str(w, "NodeFilter", e->node_filter);
	jsonw_put_str(w, "ServiceFilter", e->service_filter);
	jsonw_put_str(w, "TagFilter", e->tag_filter);
	jsonw_put_u64(w, "Version", e->version);
	jsonw_put_u64(w, "LTime", e->ltime);
	jsonw_close(w, '}');
}

static void on_fired(struct exchange *x, int status, struct str payload)
{
	struct event_fire_reply m;
	struct jsonw w = jsonw_of(exchange_body(x));

	status = EXCHANGE_DECODE(x, event_fire, status, payload, &m);
	if (status || m.result.kind != RESULT_OK) {
		answer_result(x, status, &m.result);
		return;
	}
	put_event(&w, &m.event);
	answer_json(x, 200);
}

void handle_event_fire(struct exchange *x)
{
	struct event_fire m = {
		.token = exchange_token(x),
		.event = {
			.id = random_uuid(),
			.name = x->request.name,
			.payload = x->request.body,
			.node_filter = param_or_empty(x, "node"),
			.service_filter = param_or_empty(x, "service"),
			.tag_filter = param_or_empty(x, "tag"),
			.version = EVENT_VERSION,
		},
	};

	if (!m.event.name.n) {
		answer_text(x, 400, STR("Missing name"));
		return;
	}
	EXCHANGE_CALL(x, x->httpd->gossip_write, event_fire, &m, 0, on_fired);
}

static void on_events(struct exchange *x, int status, struct str payload)
{
	struct events_reply m;
	struct jsonw w = jsonw_of(exchange_body(x));

	status = EXCHANGE_DECODE(x, events, status, payload, &m);
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	jsonw_open(&w, '[');
	for (uint32_t i = 0; i < m.events.count; i++) {
		put_event(&w, &m.events.items[i]);
	}
	jsonw_close(&w, ']');
	answer_index(x, m.index);
	answer_json(x, 200);
}

void handle_event_list(struct exchange *x)
{
	struct events m = { .name = param_or_empty(x, "name") };

	if (!exchange_wait(x, &m.index, &m.wait_ms)) {
		return;
	}
	if (!m.wait_ms) {
		m.index = 0;
	}
	EXCHANGE_CALL(x, x->httpd->gossip_read, events, &m,
		m.index ? EXCHANGE_CALL_MS + m.wait_ms + GRACE_MS : 0, on_events);
}
