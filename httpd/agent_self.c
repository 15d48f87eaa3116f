/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/agent/self: configuration, coordinate, member and counters of this node, gathered from the
 * daemons that know. One that does not answer leaves its part empty: this is what people look at
 * when something is missing.
 */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/msg/coordinate.h"
#include "common/sys/clock.h"
#include "httpd/agent.h"
#include "httpd/forward.h"
#include "httpd/list.h"
#include "httpd/routes.h"
#include "version.h"

enum { PART_MS = 5000 };

struct self {
	struct raft_configuration_reply raft;
	struct agent_counts_reply counts;
	struct gossip_stats_reply stats;
	struct members_reply members;
	struct gossip_coordinate_reply place;
	bool has_raft;
};

/* ---- rendering ---- */

static void text_put(struct jsonw *w, const char *key, struct str v)
{
	jsonw_key(w, str_of(key));
	jsonw_str(w, v);
}

/* Every value of Stats is a string. */
static void count_put(struct jsonw *w, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	text_put(w, key, str_of(text));
}

static void truth_put(struct jsonw *w, const char *key, bool v)
{
	text_put(w, key, v ? STR("true") : STR("false"));
}

static void group_open(struct jsonw *w, const char *name)
{
	jsonw_key(w, str_of(name));
	jsonw_open(w, '{');
}

static void config_put(struct exchange *x, struct jsonw *w)
{
	const struct conf *conf = x->httpd->conf;
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&x->httpd->node_id, id);
	group_open(w, "Config");
	text_put(w, "Datacenter", conf->datacenter);
	text_put(w, "NodeName", conf->node_name);
	text_put(w, "NodeID", str_of(id));
	text_put(w, "Revision", STR(""));
	jsonw_put_bool(w, "Server", conf->server);
	text_put(w, "Version", STR(CONSUL_VERSION));
	jsonw_close(w, '}');
}

/* Where gossip has found this node to be. */
static void coord_put(struct exchange *x, const struct self *s, struct jsonw *w)
{
	jsonw_keyc(w, "Coord");
	if (x->httpd->conf->disable_coordinates) {
		jsonw_null(w);
	} else if (s->place.known) {
		coordinate_put(w, &s->place.coordinate);
	} else {
		jsonw_raw(w, COORDINATE_ORIGIN);
	}
}

static void member_put(const struct self *s, struct jsonw *w)
{
	jsonw_keyc(w, "Member");
	for (uint32_t i = 0; i < s->members.members.count; i++) {
		if (str_eq(s->members.members.items[i].name, s->members.self)) {
			member_render(w, &s->members.members.items[i]);
			return;
		}
	}
	jsonw_null(w);
}

static void consul_put(struct exchange *x, const struct self *s, struct jsonw *w)
{
	const struct servers *servers = x->httpd->forwards->servers;
	const struct conf *conf = x->httpd->conf;
	struct strs datacenters;

	group_open(w, "consul");
	text_put(w, "acl", conf->acl.enabled ? STR("enabled") : STR("disabled"));
	if (conf->server) {
		servers_datacenters(servers, &x->arena, &datacenters);
		truth_put(w, "bootstrap", conf->bootstrap);
		count_put(w, "known_datacenters", datacenters.count);
		truth_put(w, "leader", str_is(s->raft.state, "Leader"));
		text_put(w, "leader_addr", s->raft.leader_address);
	} else {
		count_put(w, "known_servers", servers_alive(servers, conf->datacenter));
	}
	truth_put(w, "server", conf->server);
	jsonw_close(w, '}');
}

static struct str servers_text(struct exchange *x, const struct self *s)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	buf_put_char(&text, '[');
	for (uint32_t i = 0; i < s->raft.servers.count; i++) {
		const struct raft_server *server = &s->raft.servers.items[i];

		buf_printf(&text, "%s{Suffrage:%s ID:" STR_FMT " Address:" STR_FMT "}",
			i ? " " : "", server->voter ? "Voter" : "Nonvoter", STR_ARG(server->id),
			STR_ARG(server->address));
	}
	buf_put_char(&text, ']');
	return arena_str(&x->arena, buf_str(&text));
}

/* Since when the leader was not heard of, as Go prints it: "0" for itself, "never". */
static void contact_put(
	struct exchange *x, const struct raft_configuration_reply *r, struct jsonw *w)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct raft_page page;

	if (str_is(r->state, "Leader") || !state_raft_page(x->httpd->reader, &page)) {
		text_put(w, "last_contact", STR("0"));
	} else if (!page.last_contact_ns) {
		text_put(w, "last_contact", STR("never"));
	} else {
		duration_render(&text, max_of(clock_mono().ns - page.last_contact_ns, (int64_t)0));
		text_put(w, "last_contact", buf_str(&text));
	}
}

static void raft_put(struct exchange *x, const struct self *s, struct jsonw *w)
{
	const struct raft_configuration_reply *r = &s->raft;

	if (!s->has_raft) {
		return;
	}
	group_open(w, "raft");
	count_put(w, "applied_index", r->applied_index);
	count_put(w, "commit_index", r->commit_index);
	count_put(w, "fsm_pending", r->commit_index - min_of(r->commit_index, r->applied_index));
	contact_put(x, r, w);
	count_put(w, "last_log_index", r->last_log_index);
	count_put(w, "last_log_term", r->last_log_term);
	count_put(w, "last_snapshot_index", r->last_snapshot_index);
	count_put(w, "last_snapshot_term", r->last_snapshot_term);
	text_put(w, "latest_configuration", servers_text(x, s));
	count_put(w, "latest_configuration_index", r->configuration_index);
	count_put(w, "num_peers", r->servers.count ? r->servers.count - 1 : 0);
	count_put(w, "protocol_version", (uint64_t)x->httpd->conf->raft_protocol);
	text_put(w, "protocol_version_max", STR("3"));
	text_put(w, "protocol_version_min", STR("0"));
	text_put(w, "snapshot_version_max", STR("1"));
	text_put(w, "snapshot_version_min", STR("0"));
	text_put(w, "state", r->state);
	count_put(w, "term", r->term);
	jsonw_close(w, '}');
}

static void runtime_put(struct jsonw *w)
{
	struct utsname u;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	bool known = uname(&u) == 0;

	group_open(w, "runtime");
	text_put(w, "arch",
		known && !strcmp(u.machine, "x86_64") ? STR("amd64")
		: known				      ? str_of(u.machine)
						      : STR(""));
	count_put(w, "cpu_count", cpus > 0 ? (uint64_t)cpus : 1);
	text_put(w, "goroutines", STR("1"));
	count_put(w, "max_procs", cpus > 0 ? (uint64_t)cpus : 1);
	text_put(w, "os", STR("linux"));
	text_put(w, "version", STR("muster " MUSTER_VERSION));
	jsonw_close(w, '}');
}

static void pairs_put(struct jsonw *w, const char *name, const struct pairs *pairs)
{
	if (pairs->count == 0) {
		return;
	}
	group_open(w, name);
	for (uint32_t i = 0; i < pairs->count; i++) {
		jsonw_key(w, pairs->items[i].key);
		jsonw_str(w, pairs->items[i].value);
	}
	jsonw_close(w, '}');
}

static void stats_put(struct exchange *x, const struct self *s, struct jsonw *w)
{
	group_open(w, "Stats");
	group_open(w, "agent");
	count_put(w, "check_monitors", s->counts.check_monitors);
	count_put(w, "check_ttls", s->counts.check_ttls);
	count_put(w, "checks", s->counts.checks);
	count_put(w, "services", s->counts.services);
	jsonw_close(w, '}');
	group_open(w, "build");
	text_put(w, "prerelease", STR(""));
	text_put(w, "revision", STR(""));
	text_put(w, "version", STR(CONSUL_VERSION));
	jsonw_close(w, '}');
	consul_put(x, s, w);
	raft_put(x, s, w);
	runtime_put(w);
	pairs_put(w, "serf_lan", &s->stats.lan);
	pairs_put(w, "serf_wan", &s->stats.wan);
	jsonw_close(w, '}');
}

static void meta_put(struct exchange *x, struct jsonw *w)
{
	const struct pairs *meta = &x->httpd->conf->node_meta;

	group_open(w, "Meta");
	text_put(w, "consul-network-segment", STR(""));
	for (uint32_t i = 0; i < meta->count; i++) {
		jsonw_key(w, meta->items[i].key);
		jsonw_str(w, meta->items[i].value);
	}
	jsonw_close(w, '}');
}

static void self_answer(struct exchange *x)
{
	const struct self *s = x->state;
	struct jsonw w = jsonw_of(exchange_body(x));

	jsonw_open(&w, '{');
	config_put(x, &w);
	jsonw_keyc(&w, "DebugConfig");
	conf_render_debug(x->httpd->conf, &w);
	coord_put(x, s, &w);
	member_put(s, &w);
	stats_put(x, s, &w);
	meta_put(x, &w);
	jsonw_close(&w, '}');
	answer_json(x, 200);
}

/* ---- gathering: one part after the other ---- */

static void on_place(struct exchange *x, int status, struct str payload)
{
	struct self *s = x->state;

	if (status || gossip_coordinate_reply_decode(payload, &x->arena, &s->place)) {
		s->place = (struct gossip_coordinate_reply) { 0 };
	}
	self_answer(x);
}

static void place_ask(struct exchange *x)
{
	struct gossip_coordinate m = {};

	if (ipc_client_connected(x->httpd->gossip_read)) {
		EXCHANGE_CALL(x, x->httpd->gossip_read, gossip_coordinate, &m, PART_MS, on_place);
	} else {
		self_answer(x);
	}
}

static void on_members(struct exchange *x, int status, struct str payload)
{
	struct self *s = x->state;

	if (status || members_reply_decode(arena_str(&x->arena, payload), &x->arena, &s->members)) {
		s->members = (struct members_reply) { 0 };
	}
	place_ask(x);
}

static void members_ask(struct exchange *x)
{
	struct members m = { 0 };

	if (ipc_client_connected(x->httpd->gossip_read)) {
		EXCHANGE_CALL(x, x->httpd->gossip_read, members, &m, PART_MS, on_members);
	} else {
		self_answer(x);
	}
}

static void on_stats(struct exchange *x, int status, struct str payload)
{
	struct self *s = x->state;

	if (status ||
		gossip_stats_reply_decode(arena_str(&x->arena, payload), &x->arena, &s->stats)) {
		s->stats = (struct gossip_stats_reply) { 0 };
	}
	members_ask(x);
}

static void stats_ask(struct exchange *x)
{
	struct gossip_stats m = {};

	if (ipc_client_connected(x->httpd->gossip_read)) {
		EXCHANGE_CALL(x, x->httpd->gossip_read, gossip_stats, &m, PART_MS, on_stats);
	} else {
		members_ask(x);
	}
}

static void on_counts(struct exchange *x, int status, struct str payload)
{
	struct self *s = x->state;

	if (status || agent_counts_reply_decode(payload, &x->arena, &s->counts)) {
		s->counts = (struct agent_counts_reply) { 0 };
	}
	stats_ask(x);
}

static void counts_ask(struct exchange *x)
{
	struct agent_counts m = {};

	if (ipc_client_connected(x->httpd->check_read)) {
		EXCHANGE_CALL(x, x->httpd->check_read, agent_counts, &m, PART_MS, on_counts);
	} else {
		stats_ask(x);
	}
}

static void on_raft(struct exchange *x, int status, struct str payload)
{
	struct self *s = x->state;

	s->has_raft = !status && raft_configuration_reply_decode(
					 arena_str(&x->arena, payload), &x->arena, &s->raft) == 0;
	if (!s->has_raft) {
		s->raft = (struct raft_configuration_reply) { 0 };
	}
	counts_ask(x);
}

void handle_agent_self(struct exchange *x)
{
	struct raft_configuration m = {};

	x->state = arena_new(&x->arena, struct self);
	if (x->httpd->conf->server && ipc_client_connected(x->httpd->raft_read)) {
		EXCHANGE_CALL(x, x->httpd->raft_read, raft_configuration, &m, PART_MS, on_raft);
	} else {
		counts_ask(x);
	}
}
