/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two held calls of gossipd's, one per pool, feed the table.
 */
#include "common/client/servers.h"

#include "common/base/err.h"
#include "common/sys/clock.h"

/* A gossipd of an earlier release counts versions anew in each life, so that an old one may by
 * chance be a new one: no answer is held longer than is bearable then. */
enum { WAIT_MS = 10000, GRACE_MS = 5000, RETRY_MS = 200 };

struct pool_view {
	struct servers *servers;
	bool wan, known;
	uint64_t version;
	struct ipc_pending *call;
	struct loop_timer retry;
};

struct servers {
	struct server_table table;
	struct ipc_client *gossip;
	char *datacenter;
	struct pool_view lan, wan;
	bool has_wan;
};

static void ask(struct pool_view *v);

static void on_members(void *arg, int status, struct str payload)
{
	struct pool_view *v = arg;
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct members_reply m;

	v->call = NULL;
	if (status || members_reply_decode(payload, &arena, &m)) {
		v->version = 0;
		loop_timer_in(&v->retry, RETRY_MS);
		return;
	}
	if (m.version != v->version || !v->known) {
		server_table_update(&v->servers->table, m.members.items, m.members.count, v->wan);
	}
	v->version = m.version;
	v->known = true;
	if (m.version) {
		ask(v);
	} else { /* the pool has not begun: it would answer at once */
		loop_timer_in(&v->retry, RETRY_MS);
	}
}

static void ask(struct pool_view *v)
{
	struct members m = { .wan = v->wan, .version = v->version, .wait_ms = WAIT_MS };

	v->call = IPC_CALL(v->servers->gossip, members, &m, WAIT_MS + GRACE_MS, on_members, v);
}

static void on_retry(void *arg)
{
	ask(arg);
}

static void view_init(struct pool_view *v, struct servers *s, struct loop *loop, bool wan)
{
	v->servers = s;
	v->wan = wan;
	loop_timer_init(&v->retry, loop, on_retry, v);
}

static void view_fini(struct pool_view *v)
{
	if (v->call) {
		ipc_cancel(take(v->call));
	}
	loop_timer_stop(&v->retry);
}

int servers_new(
	struct loop *loop, struct ipc_client *gossip, const struct conf *conf, struct servers **out)
{
	struct servers *s;
	struct uuid self;
	int r = conf_node_id(conf, &self);

	if (r) {
		return err_pass(r);
	}
	s = xcalloc(1, sizeof(*s));
	s->gossip = gossip;
	s->datacenter = str_dup(conf->datacenter);
	s->has_wan = conf->server && conf->ports.serf_wan > 0;
	server_table_init(&s->table, &self, str_of(s->datacenter), random_u64());
	view_init(&s->lan, s, loop, false);
	view_init(&s->wan, s, loop, true);
	loop_timer_in(&s->lan.retry, 0);
	if (s->has_wan) {
		loop_timer_in(&s->wan.retry, 0);
	}
	*out = s;
	return 0;
}

void servers_free(struct servers *s)
{
	view_fini(&s->lan);
	view_fini(&s->wan);
	server_table_fini(&s->table);
	free(s->datacenter);
	free(s);
}

bool servers_pick(struct servers *s, struct str datacenter, const struct uuid *tried,
	size_t tried_count, struct server *out)
{
	return server_table_pick(&s->table, datacenter, tried, tried_count, clock_mono(), out);
}

void servers_failed(struct servers *s, const struct uuid *server)
{
	server_table_failed(&s->table, server, clock_mono());
}

void servers_good(struct servers *s, const struct uuid *server)
{
	server_table_good(&s->table, server);
}

bool servers_find(
	const struct servers *s, struct str ip, uint16_t http_port, struct server *out)
{
	return server_table_find(&s->table, ip, http_port, out);
}

bool servers_knows(const struct servers *s, struct str datacenter)
{
	return server_table_knows(&s->table, datacenter);
}

size_t servers_count(const struct servers *s, struct str datacenter)
{
	return server_table_count(&s->table, datacenter);
}

bool servers_is_alive(const struct servers *s, const struct uuid *server)
{
	return server_table_is_alive(&s->table, server);
}

size_t servers_alive(const struct servers *s, struct str datacenter)
{
	return server_table_alive(&s->table, datacenter);
}

void servers_datacenters(const struct servers *s, struct arena *arena, struct strs *out)
{
	server_table_datacenters(&s->table, arena, out);
}

bool servers_ready(const struct servers *s)
{
	return s->lan.known && (s->wan.known || !s->has_wan);
}
