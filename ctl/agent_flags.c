/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of `muster agent` are keys of the configuration in other clothes: one row each. They
 * become two configuration texts, because lists stand before the files (which append to them) and
 * scalars behind (they win).
 */
#include "common/base/json.h"
#include "ctl/agent.h"

static const struct {
	const char *flag;
	enum flag_kind kind;
	const char *path; /* of the configuration key */
	const char *usage;
} rows[] = {
	{ "advertise", FLAG_TEXT, "advertise_addr", "Address that other nodes are told." },
	{ "advertise-wan", FLAG_TEXT, "advertise_addr_wan",
		"Address that other data centres are told." },
	{ "allow-write-http-from", FLAG_TEXTS, "http_config.allow_write_http_from",
		"Network that may write over HTTP." },
	{ "alt-domain", FLAG_TEXT, "alt_domain", "A second domain for DNS." },
	{ "bind", FLAG_TEXT, "bind_addr", "Address for traffic between nodes." },
	{ "bootstrap", FLAG_BOOL, "bootstrap", "This server may elect itself." },
	{ "bootstrap-expect", FLAG_INT, "bootstrap_expect",
		"Number of servers to wait for before an election." },
	{ "check_output_max_size", FLAG_INT, "check_output_max_size",
		"Bytes that are kept of a check's output." },
	{ "client", FLAG_TEXT, "client_addr", "Address for HTTP and DNS." },
	{ "data-dir", FLAG_TEXT, "data_dir", "Folder for everything that is kept." },
	{ "datacenter", FLAG_TEXT, "datacenter", "Name of the data centre." },
	{ "default-query-time", FLAG_TEXT, "default_query_time",
		"How long a blocking query waits by default." },
	{ "disable-host-node-id", FLAG_BOOL, "disable_host_node_id",
		"Accepted; the node's identity is always random." },
	{ "disable-keyring-file", FLAG_BOOL, "disable_keyring_file",
		"Keep gossip keys in memory only." },
	{ "dns-port", FLAG_INT, "ports.dns", "Port of DNS." },
	{ "domain", FLAG_TEXT, "domain", "Domain that DNS answers for." },
	{ "enable-local-script-checks", FLAG_BOOL, "enable_local_script_checks",
		"Allow script checks of files." },
	{ "enable-script-checks", FLAG_BOOL, "enable_script_checks",
		"Allow script checks of files and of the API." },
	{ "encrypt", FLAG_TEXT, "encrypt", "Key for the traffic between nodes." },
	{ "grpc-port", FLAG_INT, "ports.grpc", "Accepted; there is no gRPC." },
	{ "http-port", FLAG_INT, "ports.http", "Port of the HTTP API." },
	{ "https-port", FLAG_INT, "ports.https", "Port of the HTTPS API." },
	{ "join", FLAG_TEXTS, "start_join", "Node to join at start." },
	{ "join-wan", FLAG_TEXTS, "start_join_wan",
		"Server of another data centre to join at start." },
	{ "log-file", FLAG_TEXT, "log_file", "File that the log is written to as well." },
	{ "log-json", FLAG_BOOL, "log_json", "Accepted." },
	{ "log-level", FLAG_TEXT, "log_level", "trace, debug, info, warn or err." },
	{ "log-rotate-bytes", FLAG_INT, "log_rotate_bytes",
		"Begin a new log file after so many bytes." },
	{ "log-rotate-duration", FLAG_TEXT, "log_rotate_duration",
		"Begin a new log file after this time." },
	{ "log-rotate-max-files", FLAG_INT, "log_rotate_max_files",
		"Number of older log files to keep." },
	{ "max-query-time", FLAG_TEXT, "max_query_time", "How long a blocking query may wait." },
	{ "node", FLAG_TEXT, "node_name", "Name of this node." },
	{ "node-id", FLAG_TEXT, "node_id", "UUID of this node." },
	{ "node-meta", FLAG_TEXTS, "node_meta", "A pair key:value about this node." },
	{ "non-voting-server", FLAG_BOOL, "non_voting_server", "The same as -read-replica." },
	{ "pid-file", FLAG_TEXT, "pid_file", "File for the agent's process number." },
	{ "primary-gateway", FLAG_TEXTS, "primary_gateways", "Accepted." },
	{ "protocol", FLAG_INT, "protocol", "Version of the protocol between nodes." },
	{ "raft-protocol", FLAG_INT, "raft_protocol", "Version of the protocol between servers." },
	{ "read-replica", FLAG_BOOL, "read_replica",
		"A server that never votes: it only answers reads." },
	{ "recursor", FLAG_TEXTS, "recursors", "DNS server for foreign names." },
	{ "rejoin", FLAG_BOOL, "rejoin_after_leave", "Join again after a leave." },
	{ "retry-interval", FLAG_TEXT, "retry_interval", "Longest time between attempts to join." },
	{ "retry-interval-wan", FLAG_TEXT, "retry_interval_wan",
		"The same for other data centres." },
	{ "retry-join", FLAG_TEXTS, "retry_join", "Node to join, again and again." },
	{ "retry-join-wan", FLAG_TEXTS, "retry_join_wan", "The same for other data centres." },
	{ "retry-max", FLAG_INT, "retry_max", "Attempts to join; 0: no end." },
	{ "retry-max-wan", FLAG_INT, "retry_max_wan", "The same for other data centres." },
	{ "segment", FLAG_TEXT, "segment", "Accepted when empty." },
	{ "serf-lan-allowed-cidrs", FLAG_TEXTS, "serf_lan_allowed_cidrs",
		"Networks that may join." },
	{ "serf-lan-bind", FLAG_TEXT, "serf_lan", "Address for gossip in the data centre." },
	{ "serf-lan-port", FLAG_INT, "ports.serf_lan", "Port for gossip in the data centre." },
	{ "serf-wan-allowed-cidrs", FLAG_TEXTS, "serf_wan_allowed_cidrs",
		"Networks that may join from outside." },
	{ "serf-wan-bind", FLAG_TEXT, "serf_wan", "Address for gossip between data centres." },
	{ "serf-wan-port", FLAG_INT, "ports.serf_wan", "Port for gossip between data centres." },
	{ "server", FLAG_BOOL, "server", "Run as a server." },
	{ "server-port", FLAG_INT, "ports.server", "Port for traffic between servers." },
	{ "syslog", FLAG_BOOL, "enable_syslog", "Accepted." },
	{ "ui", FLAG_BOOL, "ui", "Serve the web interface." },
	{ "ui-content-path", FLAG_TEXT, "ui_content_path", "Path of the web interface." },
	{ "ui-dir", FLAG_TEXT, "ui_dir", "Accepted." },
};

_Static_assert(ARRAY_SIZE(rows) <= AGENT_VALUES_MAX, "a value for each flag");

void agent_flags_add(struct agent_flags *a, struct flagset *f)
{
	flag_add(f, "config-file", FLAG_TEXTS, &a->files,
		"Configuration file (JSON). May be given several times.");
	flag_add(f, "config-dir", FLAG_TEXTS, &a->files,
		"Folder of configuration files. May be given several times.");
	flag_add(f, "config-format", FLAG_TEXT, &a->config_format,
		"Format of the files, whatever their names: json.");
	flag_add(f, "hcl", FLAG_TEXTS, &a->fragments,
		"A piece of configuration (JSON). May be given several times.");
	flag_add(f, "dev", FLAG_BOOL, &a->dev, "A server for trying things out: nothing is kept.");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		void *to = &a->values[i];

		if (rows[i].kind == FLAG_TEXTS) {
			to = a->lists[i] = xcalloc(1, sizeof(*a->lists[i]));
		}
		flag_add(f, rows[i].flag, rows[i].kind, to, rows[i].usage);
	}
	flags_end_own(f);
}

void agent_flags_fini(struct agent_flags *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		free(a->lists[i]);
	}
}

static void pairs_put(struct jsonw *w, const struct flag_list *list)
{
	jsonw_open(w, '{');
	for (size_t i = 0; i < list->count; i++) {
		struct str value, key = str_split(str_of(list->items[i]), ':', &value);

		jsonw_key(w, key);
		jsonw_str(w, value);
	}
	jsonw_close(w, '}');
}

static void list_put(struct jsonw *w, const struct flag_list *list)
{
	jsonw_open(w, '[');
	for (size_t i = 0; i < list->count; i++) {
		jsonw_cstr(w, list->items[i]);
	}
	jsonw_close(w, ']');
}

/* "ports.http": 1 as "ports":{"http":1}; the loader merges repeated objects. */
static void row_put(struct jsonw *w, const struct agent_flags *a, size_t i)
{
	struct str inner, outer = str_split(str_of(rows[i].path), '.', &inner);

	jsonw_key(w, outer);
	if (inner.p) {
		jsonw_open(w, '{');
		jsonw_key(w, inner);
	}
	if (rows[i].kind == FLAG_BOOL) {
		jsonw_bool(w, a->values[i].boolean);
	} else if (rows[i].kind == FLAG_INT) {
		jsonw_i64(w, a->values[i].number);
	} else if (rows[i].kind == FLAG_TEXT) {
		jsonw_cstr(w, a->values[i].text);
	} else if (strcmp(rows[i].path, "node_meta") == 0) {
		pairs_put(w, a->lists[i]);
	} else {
		list_put(w, a->lists[i]);
	}
	if (inner.p) {
		jsonw_close(w, '}');
	}
}

void agent_flags_render(
	const struct agent_flags *a, const struct flagset *f, struct buf *head, struct buf *tail)
{
	struct jsonw before = jsonw_of(head), behind = jsonw_of(tail);

	jsonw_open(&before, '{');
	jsonw_open(&behind, '{');
	if (a->dev) {
		jsonw_put_bool(&before, "dev_mode", true);
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (flag_given(f, rows[i].flag)) {
			row_put(rows[i].kind == FLAG_TEXTS ? &before : &behind, a, i);
		}
	}
	if (a->data_dir) { /* made absolute; wins over what a file or flag says */
		jsonw_put_cstr(&behind, "data_dir", a->data_dir);
	}
	jsonw_close(&before, '}');
	jsonw_close(&behind, '}');
}
