/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node's place in the network, which its gossipd knows, into the catalogue, through httpd as
 * all that a node registers: now and then, when it has moved. The larger the pool the less often,
 * so that the servers of any pool get about RATE_TARGET of them per second.
 */
#include "checkd/coordinate.h"

#include "common/msg/coordinate.h"
#include "common/sys/clock.h"

enum { RATE_TARGET = 64, CALL_MS = 5000, SEND_MS = 10000 };

struct coordinate_sync {
	struct daemon *daemon;
	struct ipc_client *gossip;
	struct ipc_pending *pending;
	struct api *api;
	struct loop_timer timer;
	struct buf body, told; /* told: what the catalogue has */
	uint64_t members;
};

/* Spread, so that the nodes of a pool do not all send at once. */
static void timer_set(struct coordinate_sync *s)
{
	int64_t ms = max_of(s->daemon->conf->sync_coordinate_interval_min_ns / NS_PER_MS,
		(int64_t)(s->members * 1000 / RATE_TARGET));

	ms = max_of(ms, (int64_t)1);
	loop_timer_in(&s->timer, ms + (int64_t)(random_u64() % (uint64_t)ms));
}

static void on_sent(void *arg, uint64_t number UNUSED, int status, uint64_t index UNUSED,
	struct str body UNUSED)
{
	struct coordinate_sync *s = arg;

	buf_clear(&s->told);
	if (status == 200) {
		buf_put_str(&s->told, buf_str(&s->body));
	}
}

static void tell(struct coordinate_sync *s)
{
	struct api_request q = {
		.put = true,
		.path = STR("/v1/coordinate/update"),
		.body = buf_str(&s->body),
		.token = s->daemon->conf->acl.token_agent,
		.timeout_ms = SEND_MS,
	};

	if (!str_eq(buf_str(&s->body), buf_str(&s->told))) {
		api_send(s->api, &q);
	}
}

static void on_coordinate(void *arg, int status, struct str payload)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct coordinate_sync *s = arg;
	struct gossip_coordinate_reply m;

	s->pending = NULL;
	if (status || gossip_coordinate_reply_decode(payload, &arena, &m)) {
		return;
	}
	s->members = m.members;
	if (m.known) {
		buf_clear(&s->body);
		coordinate_render(&s->body, &m.coordinate);
		tell(s);
	}
}

static void on_timer(void *arg)
{
	struct coordinate_sync *s = arg;
	struct gossip_coordinate m = {};

	timer_set(s);
	if (!s->pending) {
		s->pending = IPC_CALL(s->gossip, gossip_coordinate, &m, CALL_MS, on_coordinate, s);
	}
}

int coordinate_sync_new(struct daemon *d, struct coordinate_sync **out)
{
	struct coordinate_sync *s = xcalloc(1, sizeof(*s));
	int r;

	*out = s;
	s->daemon = d;
	loop_timer_init(&s->timer, d->loop, on_timer, s);
	s->api = api_new(d->loop, "httpd/api.sock", on_sent, s);
	r = ipc_client_new(d->loop, "gossipd/read", &s->gossip);
	if (!r && !d->conf->disable_coordinates) {
		timer_set(s);
	}
	return r;
}

void coordinate_sync_free(struct coordinate_sync *s)
{
	loop_timer_stop(&s->timer);
	if (s->pending) {
		ipc_cancel(take(s->pending));
	}
	if (s->gossip) {
		ipc_client_free(s->gossip);
	}
	api_free(s->api);
	buf_fini(&s->body);
	buf_fini(&s->told);
	free(s);
}
