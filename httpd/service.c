/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What httpd holds of the other daemons, and what it tells about itself on the control socket.
 */
#include "common/base/err.h"
#include "httpd/engine.h"
#include "httpd/forward.h"
#include "httpd/local.h"

const struct daemon_path httpd_paths[HTTPD_PATHS] = {
	{ DAEMON_DATA, "catalogd", SANDBOX_MAP },
	{ DAEMON_RUN, "catalogd", SANDBOX_READ }, /* the pages */
	{ DAEMON_RUN, "raftd", SANDBOX_READ },
	{ DAEMON_RUN, "catalogd/saved", SANDBOX_WRITE }, /* archives to be passed on */
};

int httpd_open(struct httpd *h)
{
	struct {
		const char *endpoint;
		struct ipc_client **client;
		bool server_only;
	} const rows[] = {
		{ "catalogd/read", &h->catalog_read, true },
		{ "catalogd/write", &h->catalog_write, true },
		{ "checkd/read", &h->check_read, false },
		{ "checkd/write", &h->check_write, false },
		{ "gossipd/read", &h->gossip_read, false },
		{ "gossipd/write", &h->gossip_write, false },
		{ "raftd/read", &h->raft_read, true },
	};
	OWN(free) char *data_dir = NULL;
	int rc = conf_node_id(h->conf, &h->node_id);

	for (size_t i = 0; i < ARRAY_SIZE(rows) && !rc; i++) {
		if (h->conf->server || !rows[i].server_only) {
			rc = ipc_client_new(h->loop, rows[i].endpoint, rows[i].client);
		}
	}
	if (rc) {
		return err_pass(rc);
	}
	data_dir = str_dup(h->conf->data_dir);
	h->reader = state_reader_new(data_dir, STATE_KIND_STATE);
	rc = forwards_open(h);
	rc = rc ? rc : local_open(h);
	return rc ? err_pass(rc) : engine_open(h);
}

void httpd_free(struct httpd *h)
{
	struct ipc_client *clients[] = { h->catalog_read, h->catalog_write, h->check_read,
		h->check_write, h->gossip_read, h->gossip_write, h->raft_read };

	if (h->engine) {
		engine_free(h->engine);
	}
	if (h->forwards) {
		forwards_free(h->forwards);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		if (clients[i]) {
			ipc_client_free(clients[i]);
		}
	}
	if (h->local) {
		local_free(h->local);
	}
	if (h->reader) {
		state_reader_free(h->reader);
	}
	free(h);
}

void httpd_status(struct daemon *d, struct jsonw *w)
{
	const struct httpd *h = d->self;
	const struct engine *e = h->engine;
	struct {
		const char *name;
		uint64_t value;
	} const rows[] = {
		{ "connections", e->conns_count },
		{ "connections_max", e->conns_max },
		{ "held", e->holds_count },
		{ "waiting", e->waits.waiters_count },
		{ "buffered_bytes", e->buffered },
		{ "requests", e->counts.requests },
		{ "accepted", e->counts.accepted },
		{ "refused_connections", e->counts.refused_conns },
		{ "refused_by_client_limit", e->counts.refused_client },
		{ "malformed", e->counts.malformed },
		{ "timeouts", e->counts.timeouts },
		{ "holds", e->counts.holds },
		{ "wakes", e->counts.wakes },
		{ "watch_lost", e->counts.watch_lost },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		jsonw_key(w, str_of(rows[i].name));
		jsonw_u64(w, rows[i].value);
	}
	forwards_status(h->forwards, w);
}

/* Every connection: what it is doing, and the bytes that are kept for it. */
void httpd_dump(struct daemon *d, struct jsonw *w)
{
	static const char *const states[] = { "head", "body", "busy", "held", "write", "stream",
		"linger", "dead" };
	const struct httpd *h = d->self;
	const struct conn *c;

	jsonw_keyc(w, "connections");
	jsonw_open(w, '[');
	list_for_each (c, &h->engine->conns, link) {
		jsonw_open(w, '{');
		jsonw_put_cstr(w, "state", states[c->state]);
		jsonw_put_u64(w, "in", c->in.n);
		jsonw_put_u64(w, "out", c->out.n - c->out_at);
		jsonw_put_bool(w, "closing", c->close_after);
		if (c->exchange) {
			jsonw_put_str(w, "path", c->exchange->request.path);
		}
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
}

const char *httpd_waits_for(struct daemon *d)
{
	const struct httpd *h = d->self;

	if (h->conf->server) {
		return ipc_client_connected(h->catalog_read) ? NULL : "catalogd";
	}
	return servers_alive(h->forwards->servers, h->conf->datacenter) ? NULL : "servers";
}
