/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: Consul's keys from JSON files and directories (reference of the keys:
 * docs/OPERATIONS.md), merged in order (scalars replace, lists append, objects merge), checked,
 * with defaults filled in. Every daemon and `muster agent` load the same list of files; flags of
 * `muster agent` arrive as one more file at the end. Unknown keys are errors; messages name file,
 * line and key.
 *
 * The struct is read-only after conf_load. Strings live in its arena. Durations are ns.
 */
#ifndef MUSTER_COMMON_SYS_CONF_H
#define MUSTER_COMMON_SYS_CONF_H

#include "common/base/bind.h"
#include "common/msg/types.h"

struct conf_ports {
	int64_t dns, http, https, grpc, serf_lan, serf_wan, server, peer_http,
		peer_dns; /* <= 0: off */
};

struct conf_addresses {
	struct str dns, http, https; /* several separated by spaces; unix:///path for http(s);
					default client_addr */
};

struct conf_soa {
	int64_t refresh, retry, expire, min_ttl; /* seconds */
};

struct conf_dns {
	bool allow_stale, only_passing, enable_truncate, disable_compression, use_cache,
		enable_additional_node_meta_txt;
	int64_t max_stale_ns, node_ttl_ns, recursor_timeout_ns, cache_max_age_ns;
	int64_t udp_answer_limit, a_record_limit;
	struct pairs service_ttl; /* name or pattern -> duration as text, checked */
	struct conf_soa soa;
};

struct conf_limits {
	int64_t http_max_conns_per_client, https_handshake_timeout_ns, kv_max_value_size,
		txn_max_req_len, rpc_max_conns_per_client, rpc_handshake_timeout_ns;
};

struct conf_http {
	struct strs block_endpoints, allow_write_http_from;
	struct pairs response_headers;
	bool use_cache;
};

struct conf_unix_sockets {
	struct str user, group, mode;
};

struct conf_telemetry {
	bool disable_hostname, filter_default;
	struct str metrics_prefix; /* "consul" */
	int64_t prometheus_retention_time_ns;
	struct strs prefix_filter;
};

struct conf_performance {
	int64_t raft_multiplier, leave_drain_time_ns, rpc_hold_timeout_ns;
};

struct conf_acl {
	bool enabled, enable_key_list_policy, enable_token_persistence;
	struct str default_policy, down_policy;
	struct str token_master, token_agent_master, token_default, token_agent, token_replication;
};

struct conf {
	struct arena arena;
	const struct json *merged; /* every key that is set, defaults included; values are valid */
	bool offline;		   /* by conf_load_offline */
	/* identity, process */
	struct str node_name, node_id /* "": persisted */, datacenter, primary_datacenter, data_dir,
		pid_file, log_level, domain, alt_domain;
	struct pairs node_meta;
	bool server, bootstrap, dev_mode, leave_on_terminate, skip_leave_on_interrupt, enable_debug,
		ui, log_json, enable_syslog, rejoin_after_leave;
	int64_t bootstrap_expect;
	bool read_replica; /* a server that asks never to vote */
	struct str log_file;
	int64_t log_rotate_bytes, log_rotate_duration_ns, log_rotate_max_files;
	/* addresses */
	struct str bind_addr, client_addr, advertise_addr, advertise_addr_wan, serf_lan_bind,
		serf_wan_bind;
	/* what is only told, as tagged_addresses; "" where there is none */
	struct str advertise_addr_ipv4, advertise_addr_ipv6, advertise_addr_wan_ipv4,
		advertise_addr_wan_ipv6;
	struct strs serf_lan_allowed_cidrs, serf_wan_allowed_cidrs; /* none: everybody */
	struct pairs tagged_addresses; /* complete: lan, lan_ipv4, wan, wan_ipv4 ... */
	bool translate_wan_addrs;
	struct conf_ports ports;
	struct conf_addresses addresses;
	struct conf_unix_sockets unix_sockets;
	struct strs recursors, retry_join, start_join;
	int64_t retry_interval_ns, retry_max; /* attempts to join; 0: no end */
	struct str encrypt;
	bool disable_coordinates;
	int64_t sync_coordinate_interval_min_ns;
	/* raft */
	int64_t raft_protocol, raft_snapshot_threshold, raft_snapshot_interval_ns,
		raft_trailing_logs;
	struct conf_performance performance;
	struct autopilot_config autopilot; /* until another one is stored */
	/* http, dns, limits */
	struct conf_http http;
	struct conf_dns dns;
	struct conf_limits limits;
	int64_t default_query_time_ns, max_query_time_ns, discovery_max_stale_ns;
	bool disable_http_unprintable_char_filter;
	struct str ui_content_path;
	/* services and checks: raw, decoded by common/client/definition.h */
	struct bind_list services_json; /* of const struct json * */
	struct bind_list checks_json;
	struct bind_list watches_json;
	bool enable_script_checks_remote /* enable_script_checks */, enable_script_checks_local,
		discard_check_output, disable_remote_exec, enable_agent_tls_for_checks;
	int64_t check_output_max_size, check_update_interval_ns, check_reap_interval_ns,
		session_ttl_min_ns, reconnect_timeout_ns, advertise_reconnect_timeout_ns;
	/* acl, tls, telemetry */
	struct conf_acl acl;
	struct str ca_file, ca_path, cert_file, key_file, tls_min_version, server_name;
	bool verify_incoming, verify_incoming_https, verify_outgoing, verify_server_hostname;
	struct conf_telemetry telemetry;
};

/* One source on the command line, in order. */
/* The directory of relative paths, for the agent and its daemons. */
#define CONF_DIRECTORY_VARIABLE "MUSTER_DIRECTORY"

struct conf_source {
	const char *path;
	bool directory;	  /* every *.json in it, by name; not recursive */
	const char *text; /* not NULL: the content itself; path is only its name in messages */
};

/*
 * Loads, merges and checks. 0 with *out owned by the caller (conf_free); ST_INVALID with the whole
 * message in *why (several lines possible). Warnings (not fatal) are appended to *warnings, one per
 * line; may be NULL.
 */
int conf_load(const struct conf_source *sources, size_t count, struct conf **out,
	struct buf *warnings, struct buf *why);
/* The same for a daemon that sees no network: what only the machine's interfaces could tell is
 * 127.0.0.1. */
int conf_load_offline(const struct conf_source *sources, size_t count, struct conf **out,
	struct buf *warnings, struct buf *why);
/*
 * For a reload: of the keys that need a restart *fresh gets the running values. What differed is
 * named in *kept ("node_name, ports.http"). ST_INVALID with the message in *why where the new
 * values do not go together with the old ones; *fresh stays the caller's.
 */
int conf_keep(const struct conf *running, struct conf **fresh, struct buf *kept, struct buf *why);
void conf_free(struct conf *c);
DEFINE_OWN(struct conf, conf_free)

/* The effective configuration as Consul shows it in agent/self's DebugConfig: CamelCase keys,
 * secrets as "hidden". */
void conf_render_debug(const struct conf *c, struct jsonw *w);

/* The node's UUID: conf.node_id, else data_dir/node-id, made there (atomically, by whichever daemon
 * comes first) when absent. -errno */
int conf_node_id(const struct conf *c, struct uuid *out);

#endif
