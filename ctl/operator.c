/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quorum of servers: operator raft and operator autopilot.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/net.h"
#include "ctl/api.h"
#include "ctl/commands.h"
#include "ctl/table.h"

/* ---- raft ---- */

int raft_list_peers_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, out = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	OWN_EMBEDDED(table_fini) struct table t = { 0 };
	const struct json *answer, *servers, *s;
	struct flagset f = { 0 };
	int at = api_begin(c, &api, &f, true, "operator raft list-peers [options]",
		"Lists the servers of the quorum.", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	buf_put_lit(&path, "/v1/operator/raft/configuration");
	if (api_get(&api, &path, &answer)) {
		return ctl_fail("Error getting peers: Failed to retrieve raft configuration: %s",
			api_error(&api));
	}
	table_init(&t, 6);
	TABLE_ROW(&t, "Node", "ID", "Address", "State", "Voter", "RaftProtocol");
	servers = json_find(answer, "Servers");
	for (s = servers ? servers->first : NULL; s; s = s->next) {
		TABLE_ROW(&t, field_text(s, "Node"), field_text(s, "ID"), field_text(s, "Address"),
			field_bool(s, "Leader") ? "leader" : "follower",
			field_bool(s, "Voter") ? "true" : "false",
			field_text(s, "ProtocolVersion"));
	}
	table_render(&t, &out);
	fwrite(out.p, 1, out.n, stdout);
	return 0;
}

int raft_remove_peer_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const char *address = "", *id = "";
	struct flagset f = { 0 };
	int at;

	flag_add(&f, "address", FLAG_TEXT, &address, "The address of the server, IP:port.");
	flag_add(&f, "id", FLAG_TEXT, &id, "The node ID of the server.");
	at = api_begin(c, &api, &f, true, "operator raft remove-peer [options]",
		"Removes a server from the quorum that is gone for good.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (!address[0] && !id[0]) {
		return ctl_fail("Error removing peer: an address or id is required for the peer to "
				"remove");
	}
	if (address[0] && id[0]) {
		return ctl_fail("Error removing peer: cannot give both an address and id");
	}
	buf_put_lit(&path, "/v1/operator/raft/peer");
	path_query(&path, "address", address);
	path_query(&path, "id", id);
	if (api_ask(&api, "DELETE", &path, STR_NONE, &answer)) {
		return ctl_fail("Error removing peer: %s", api_error(&api));
	}
	ctl_say("Removed peer with %s \"%s\"", id[0] ? "id" : "address", id[0] ? id : address);
	return 0;
}

int raft_transfer_leader_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	const char *id = "";
	int at;

	flag_add(&f, "id", FLAG_TEXT, &id,
		"The node ID of the server that shall lead. By default whichever is best.");
	at = api_begin(c, &api, &f, false, "operator raft transfer-leader [options]",
		"Hands the leadership to another server.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	buf_put_lit(&path, "/v1/operator/raft/transfer-leader");
	path_query(&path, "id", id);
	if (api_ask(&api, "PUT", &path, STR_NONE, &answer)) {
		return ctl_fail("Error transfering leadership: %s", api_error(&api));
	}
	ctl_say("Success");
	return 0;
}

/* ---- recovery: writes a file that raftd reads at its next start ---- */

static int peer_render(const char *text, bool voter, struct jsonw *w)
{
	struct str address, id = str_split(str_of(text), '@', &address);
	struct net_address parsed;
	struct uuid uuid;

	if (uuid_parse(id, &uuid) || !address.n || net_address_parse(address, -1, &parsed)) {
		ctl_fail("\"%s\" is not ID@IP:PORT", text);
		return ST_INVALID;
	}
	jsonw_open(w, '{');
	jsonw_put_str(w, "id", id);
	jsonw_put_str(w, "address", address);
	jsonw_put_bool(w, "non_voter", !voter);
	jsonw_close(w, '}');
	return 0;
}

static int peers_render(
	const struct flag_list *voters, const struct flag_list *others, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf compact = { 0 };
	struct jsonw w = jsonw_of(&compact);
	int r = 0;

	jsonw_open(&w, '[');
	for (size_t i = 0; i < voters->count && !r; i++) {
		r = peer_render(voters->items[i], true, &w);
	}
	for (size_t i = 0; i < others->count && !r; i++) {
		r = peer_render(others->items[i], false, &w);
	}
	jsonw_close(&w, ']');
	json_indent(out, buf_str(&compact), STR("  "));
	buf_put_char(out, '\n');
	return r;
}

/* Whole or not at all. */
static int peers_write(const char *path, struct str text)
{
	OWN_EMBEDDED(buf_fini) struct buf fresh = { 0 };
	FILE *to;

	buf_printf(&fresh, "%s.new", path);
	to = fopen(buf_cstr(&fresh), "we");
	if (!to) {
		return ctl_fail("Error writing %s: %s", buf_cstr(&fresh), strerror(errno));
	}
	fwrite(text.p, 1, text.n, to);
	if (fflush(to) || ferror(to) || fsync(fileno(to)) || fclose(to) ||
		rename(buf_cstr(&fresh), path)) {
		return ctl_fail("Error writing %s: %s", path, strerror(errno));
	}
	return 0;
}

int raft_recover_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, text = { 0 };
	static struct flag_list voters, others;
	const char *data_dir = "/var/lib/muster";
	struct flagset f = { 0 };
	bool confirm = false;
	struct stat st;
	int at;

	flag_add(&f, "data-dir", FLAG_TEXT, &data_dir, "The data_dir of this server.");
	flag_add(&f, "server", FLAG_TEXTS, &voters,
		"A server that remains, ID@IP:PORT (see operator raft list-peers). Once for each.");
	flag_add(&f, "non-voter", FLAG_TEXTS, &others, "The same for one that does not vote.");
	flag_add(&f, "confirm", FLAG_BOOL, &confirm, "Write it. Without this it is only shown.");
	flags_end_own(&f);
	at = ctl_begin(c, &f, "operator raft recover [options]",
		"Makes a quorum of the servers that remain when its majority is lost for good: to "
		"be "
		"run with the same list on each of them, which are then restarted.",
		argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (!voters.count) {
		return ctl_fail("At least one -server is needed");
	}
	if (peers_render(&voters, &others, &text)) {
		return 1;
	}
	buf_printf(&path, "%s/raft", data_dir);
	if (stat(buf_cstr(&path), &st)) {
		return ctl_fail("No server here: %s: %s", buf_cstr(&path), strerror(errno));
	}
	buf_put_lit(&path, "/peers.json");
	if (!confirm) {
		ctl_say("%s would be:\n%s\nNothing was written. With -confirm it is; it takes "
			"effect "
			"when raftd is started again. From then on these servers are another "
			"cluster: others that come back are refused.",
			buf_cstr(&path), buf_cstr(&text));
		return 0;
	}
	if (peers_write(buf_cstr(&path), buf_str(&text))) {
		return 1;
	}
	ctl_say("Wrote %s. Restart raftd on each of these servers.", buf_cstr(&path));
	return 0;
}

/* ---- autopilot ---- */

static const struct {
	const char *key;
	bool quoted;
} config_rows[] = {
	{ "CleanupDeadServers", false },
	{ "LastContactThreshold", false },
	{ "MaxTrailingLogs", false },
	{ "MinQuorum", false },
	{ "ServerStabilizationTime", false },
	{ "RedundancyZoneTag", true },
	{ "DisableUpgradeMigration", false },
	{ "UpgradeVersionTag", true },
};

static const char *value_text(const struct json *v)
{
	return !v		      ? ""
	       : v->type == JSON_BOOL ? v->boolean ? "true" : "false"
	       : v->type == JSON_NULL ? ""
				      : v->text.p;
}

static int config_get(struct api *api, const struct json **out)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	buf_put_lit(&path, "/v1/operator/autopilot/configuration");
	if (api_get(api, &path, out)) {
		return ctl_fail("Error querying Autopilot configuration: %s", api_error(api));
	}
	return 0;
}

int autopilot_get_config_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const struct json *config;
	struct flagset f = { 0 };
	int at = api_begin(c, &api, &f, true, "operator autopilot get-config [options]",
		"Displays how the leader looks after the quorum.", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	if (config_get(&api, &config)) {
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(config_rows); i++) {
		const char *mark = config_rows[i].quoted ? "\"" : "";

		ctl_say("%s = %s%s%s", config_rows[i].key, mark,
			value_text(json_find(config, config_rows[i].key)), mark);
	}
	return 0;
}

struct config_flags {
	bool cleanup, migration;
	int64_t contact_ns, stabilization_ns;
	uint64_t trailing, quorum;
	const char *zone, *version;
};

static void config_flags_add(struct flagset *f, struct config_flags *v)
{
	flag_add(f, "cleanup-dead-servers", FLAG_BOOL, &v->cleanup,
		"Remove dead servers when new ones have come.");
	flag_add(f, "disable-upgrade-migration", FLAG_BOOL, &v->migration,
		"Kept for compatibility; means nothing here.");
	flag_add(f, "last-contact-threshold", FLAG_DURATION, &v->contact_ns,
		"How long a server may be silent and still count as healthy.");
	flag_add(f, "max-trailing-logs", FLAG_UINT, &v->trailing,
		"How many entries of the log a healthy server may lack.");
	flag_add(f, "min-quorum", FLAG_UINT, &v->quorum,
		"Fewer servers than this are never left by removing dead ones.");
	flag_add(f, "redundancy-zone-tag", FLAG_TEXT, &v->zone,
		"Kept for compatibility; means nothing here.");
	flag_add(f, "server-stabilization-time", FLAG_DURATION, &v->stabilization_ns,
		"How long a new server must be healthy before it votes.");
	flag_add(f, "upgrade-version-tag", FLAG_TEXT, &v->version,
		"Kept for compatibility; means nothing here.");
}

static void text_or_known(const struct flagset *f, const char *flag, const char *given,
	const struct json *known, struct jsonw *w)
{
	jsonw_cstr(w, flag_given(f, flag) ? given : value_text(known));
}

static void duration_or_known(const struct flagset *f, const char *flag, int64_t given,
	const struct json *known, struct jsonw *w)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	duration_render(&text, given);
	text_or_known(f, flag, buf_cstr(&text), known, w);
}

static void number_or_known(const struct flagset *f, const char *flag, uint64_t given,
	const struct json *config, const char *key, struct jsonw *w)
{
	jsonw_key(w, str_of(key));
	jsonw_u64(w, flag_given(f, flag) ? given : field_u64(config, key));
}

/* What is stored, with what was given in its place. */
static void config_merge(const struct flagset *f, const struct config_flags *v,
	const struct json *known, struct buf *out)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	jsonw_put_bool(&w, "CleanupDeadServers",
		flag_given(f, "cleanup-dead-servers") ? v->cleanup
						      : field_bool(known, "CleanupDeadServers"));
	jsonw_keyc(&w, "LastContactThreshold");
	duration_or_known(f, "last-contact-threshold", v->contact_ns,
		json_find(known, "LastContactThreshold"), &w);
	number_or_known(f, "max-trailing-logs", v->trailing, known, "MaxTrailingLogs", &w);
	number_or_known(f, "min-quorum", v->quorum, known, "MinQuorum", &w);
	jsonw_keyc(&w, "ServerStabilizationTime");
	duration_or_known(f, "server-stabilization-time", v->stabilization_ns,
		json_find(known, "ServerStabilizationTime"), &w);
	jsonw_keyc(&w, "RedundancyZoneTag");
	text_or_known(f, "redundancy-zone-tag", v->zone, json_find(known, "RedundancyZoneTag"), &w);
	jsonw_put_bool(&w, "DisableUpgradeMigration",
		flag_given(f, "disable-upgrade-migration")
			? v->migration
			: field_bool(known, "DisableUpgradeMigration"));
	jsonw_keyc(&w, "UpgradeVersionTag");
	text_or_known(
		f, "upgrade-version-tag", v->version, json_find(known, "UpgradeVersionTag"), &w);
	jsonw_close(&w, '}');
}

int autopilot_set_config_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, body = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct config_flags v = { .zone = "", .version = "" };
	const struct json *known;
	struct flagset f = { 0 };
	int at;

	config_flags_add(&f, &v);
	at = api_begin(c, &api, &f, true, "operator autopilot set-config [options]",
		"Modifies how the leader looks after the quorum.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (config_get(&api, &known)) {
		return 1;
	}
	config_merge(&f, &v, known, &body);
	buf_put_lit(&path, "/v1/operator/autopilot/configuration");
	path_query_n(&path, "cas", field_u64(known, "ModifyIndex"));
	if (api_ask(&api, "PUT", &path, buf_str(&body), &answer)) {
		return ctl_fail("Error setting Autopilot configuration: %s", api_error(&api));
	}
	if (!str_starts(buf_str(&answer.body), STR("true"))) {
		return ctl_fail("Configuration could not be atomically updated, please try again");
	}
	ctl_say("Configuration updated!");
	return 0;
}

/* As later versions of Consul print it. */
static void state_print(const struct json *state)
{
	const struct json *servers = json_find(state, "Servers"), *voters, *s;

	ctl_say("Healthy:           %s\nFailure Tolerance: %s\nLeader:            %s\nVoters:",
		field_bool(state, "Healthy") ? "true" : "false",
		field_text(state, "FailureTolerance"), field_text(state, "Leader"));
	voters = json_find(state, "Voters");
	for (s = voters ? voters->first : NULL; s; s = s->next) {
		ctl_say("   %s", s->text.p);
	}
	ctl_say("Servers:");
	for (s = servers ? servers->first : NULL; s; s = s->next) {
		ctl_say("   %s\n      Name:            %s\n      Address:         %s\n"
			"      Version:         %s\n      Status:          %s\n"
			"      Node Type:       %s\n      Node Status:     %s\n"
			"      Healthy:         %s\n      Last Contact:    %s\n"
			"      Last Term:       %s\n      Last Index:      %s",
			field_text(s, "ID"), field_text(s, "Name"), field_text(s, "Address"),
			field_text(s, "Version"), field_text(s, "Status"),
			field_text(s, "NodeType"), field_text(s, "NodeStatus"),
			field_bool(s, "Healthy") ? "true" : "false", field_text(s, "LastContact"),
			field_text(s, "LastTerm"), field_text(s, "LastIndex"));
	}
}

int autopilot_state_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const struct json *state;
	struct flagset f = { 0 };
	int at = api_begin(c, &api, &f, true, "operator autopilot state [options]",
		"Displays how the servers of the quorum are.", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	buf_put_lit(&path, "/v1/operator/autopilot/state");
	if (api_get(&api, &path, &state)) {
		return ctl_fail("Error querying Autopilot state: %s", api_error(&api));
	}
	state_print(state);
	return 0;
}
