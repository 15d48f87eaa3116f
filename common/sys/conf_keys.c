/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key of a configuration file: one row each. A key that is accepted for compatibility and
 * means nothing here (Enterprise, service mesh, sinks of other vendors) has a row too, without a
 * field. Older spellings stand before the newer ones, which win. R marks what a reload may change.
 */
#include "common/sys/conf_private.h"

#define F(field) offsetof(struct conf, field)
#define R	 true
#define UNUSED_KEY(name, type)                      \
	{                                           \
		name, type, KEY_UNUSED, NULL, false \
	}

static const struct conf_key ports_keys[] = {
	{ "dns", KEY_PORT, F(ports.dns), NULL, false },
	{ "http", KEY_PORT, F(ports.http), NULL, false },
	{ "https", KEY_PORT, F(ports.https), NULL, false },
	{ "grpc", KEY_PORT, F(ports.grpc), NULL, false },
	{ "serf_lan", KEY_PORT, F(ports.serf_lan), NULL, false },
	{ "serf_wan", KEY_PORT, F(ports.serf_wan), NULL, false },
	{ "server", KEY_PORT, F(ports.server), NULL, false },
	{ "peer_http", KEY_PORT, F(ports.peer_http), NULL, false }, /* ours */
	{ "peer_dns", KEY_PORT, F(ports.peer_dns), NULL, false },
	UNUSED_KEY("grpc_tls", KEY_PORT),
	UNUSED_KEY("proxy_min_port", KEY_PORT),
	UNUSED_KEY("proxy_max_port", KEY_PORT),
	UNUSED_KEY("sidecar_min_port", KEY_PORT),
	UNUSED_KEY("sidecar_max_port", KEY_PORT),
	UNUSED_KEY("expose_min_port", KEY_PORT),
	UNUSED_KEY("expose_max_port", KEY_PORT),
};
static const struct conf_schema ports_schema = CONF_SCHEMA(ports_keys);

static const struct conf_key addresses_keys[] = {
	{ "dns", KEY_TEXT, F(addresses.dns), NULL, false },
	{ "http", KEY_TEXT, F(addresses.http), NULL, false },
	{ "https", KEY_TEXT, F(addresses.https), NULL, false },
	UNUSED_KEY("grpc", KEY_TEXT),
};
static const struct conf_schema addresses_schema = CONF_SCHEMA(addresses_keys);

static const struct conf_key soa_keys[] = {
	{ "refresh", KEY_INT, F(dns.soa.refresh), NULL, R },
	{ "retry", KEY_INT, F(dns.soa.retry), NULL, R },
	{ "expire", KEY_INT, F(dns.soa.expire), NULL, R },
	{ "min_ttl", KEY_INT, F(dns.soa.min_ttl), NULL, R },
};
static const struct conf_schema soa_schema = CONF_SCHEMA(soa_keys);

static const struct conf_key dns_keys[] = {
	{ "allow_stale", KEY_BOOL, F(dns.allow_stale), NULL, R },
	{ "max_stale", KEY_DURATION, F(dns.max_stale_ns), NULL, R },
	{ "node_ttl", KEY_DURATION, F(dns.node_ttl_ns), NULL, R },
	{ "service_ttl", KEY_PAIRS, F(dns.service_ttl), NULL, R },
	{ "only_passing", KEY_BOOL, F(dns.only_passing), NULL, R },
	{ "enable_truncate", KEY_BOOL, F(dns.enable_truncate), NULL, R },
	{ "udp_answer_limit", KEY_INT, F(dns.udp_answer_limit), NULL, R },
	{ "a_record_limit", KEY_INT, F(dns.a_record_limit), NULL, R },
	{ "disable_compression", KEY_BOOL, F(dns.disable_compression), NULL, R },
	{ "recursor_timeout", KEY_DURATION, F(dns.recursor_timeout_ns), NULL, R },
	{ "use_cache", KEY_BOOL, F(dns.use_cache), NULL, R },
	{ "cache_max_age", KEY_DURATION, F(dns.cache_max_age_ns), NULL, R },
	{ "enable_additional_node_meta_txt", KEY_BOOL, F(dns.enable_additional_node_meta_txt), NULL,
		R },
	{ "soa", KEY_OBJECT, KEY_UNUSED, &soa_schema, R },
	UNUSED_KEY("prefer_namespace", KEY_BOOL),
};
static const struct conf_schema dns_schema = CONF_SCHEMA(dns_keys);

static const struct conf_key http_keys[] = {
	{ "block_endpoints", KEY_TEXTS, F(http.block_endpoints), NULL, false },
	{ "allow_write_http_from", KEY_TEXTS, F(http.allow_write_http_from), NULL, false },
	{ "response_headers", KEY_PAIRS, F(http.response_headers), NULL, false },
	{ "use_cache", KEY_BOOL, F(http.use_cache), NULL, false },
};
static const struct conf_schema http_schema = CONF_SCHEMA(http_keys);

static const struct conf_key limits_keys[] = {
	{ "http_max_conns_per_client", KEY_INT, F(limits.http_max_conns_per_client), NULL, R },
	{ "https_handshake_timeout", KEY_DURATION, F(limits.https_handshake_timeout_ns), NULL, R },
	{ "rpc_handshake_timeout", KEY_DURATION, F(limits.rpc_handshake_timeout_ns), NULL, R },
	{ "rpc_max_conns_per_client", KEY_INT, F(limits.rpc_max_conns_per_client), NULL, R },
	{ "rpc_rate", KEY_FLOAT, KEY_UNUSED, NULL, R },
	{ "rpc_max_burst", KEY_INT, KEY_UNUSED, NULL, R },
	{ "kv_max_value_size", KEY_INT, F(limits.kv_max_value_size), NULL, R },
	{ "txn_max_req_len", KEY_INT, F(limits.txn_max_req_len), NULL, R },
};
static const struct conf_schema limits_schema = CONF_SCHEMA(limits_keys);

static const struct conf_key unix_sockets_keys[] = {
	{ "user", KEY_TEXT, F(unix_sockets.user), NULL, false },
	{ "group", KEY_TEXT, F(unix_sockets.group), NULL, false },
	{ "mode", KEY_TEXT, F(unix_sockets.mode), NULL, false },
};
static const struct conf_schema unix_sockets_schema = CONF_SCHEMA(unix_sockets_keys);

static const struct conf_key telemetry_keys[] = {
	{ "disable_hostname", KEY_BOOL, F(telemetry.disable_hostname), NULL, false },
	{ "filter_default", KEY_BOOL, F(telemetry.filter_default), NULL, false },
	{ "metrics_prefix", KEY_TEXT, F(telemetry.metrics_prefix), NULL, false },
	{ "prefix_filter", KEY_TEXTS, F(telemetry.prefix_filter), NULL, R },
	{ "prometheus_retention_time", KEY_DURATION, F(telemetry.prometheus_retention_time_ns),
		NULL, false },
	UNUSED_KEY("dogstatsd_addr", KEY_TEXT),
	UNUSED_KEY("dogstatsd_tags", KEY_TEXTS),
	UNUSED_KEY("statsd_address", KEY_TEXT),
	UNUSED_KEY("statsite_address", KEY_TEXT),
	UNUSED_KEY("disable_compat_1.9", KEY_BOOL),
	UNUSED_KEY("circonus_api_app", KEY_TEXT),
	UNUSED_KEY("circonus_api_token", KEY_TEXT),
	UNUSED_KEY("circonus_api_url", KEY_TEXT),
	UNUSED_KEY("circonus_broker_id", KEY_TEXT),
	UNUSED_KEY("circonus_broker_select_tag", KEY_TEXT),
	UNUSED_KEY("circonus_check_display_name", KEY_TEXT),
	UNUSED_KEY("circonus_check_force_metric_activation", KEY_TEXT),
	UNUSED_KEY("circonus_check_id", KEY_TEXT),
	UNUSED_KEY("circonus_check_instance_id", KEY_TEXT),
	UNUSED_KEY("circonus_check_search_tag", KEY_TEXT),
	UNUSED_KEY("circonus_check_tags", KEY_TEXT),
	UNUSED_KEY("circonus_submission_interval", KEY_TEXT),
	UNUSED_KEY("circonus_submission_url", KEY_TEXT),
};
static const struct conf_schema telemetry_schema = CONF_SCHEMA(telemetry_keys);

static const struct conf_key performance_keys[] = {
	{ "raft_multiplier", KEY_INT, F(performance.raft_multiplier), NULL, false },
	{ "leave_drain_time", KEY_DURATION, F(performance.leave_drain_time_ns), NULL, false },
	{ "rpc_hold_timeout", KEY_DURATION, F(performance.rpc_hold_timeout_ns), NULL, false },
};
static const struct conf_schema performance_schema = CONF_SCHEMA(performance_keys);

static const struct conf_key tokens_keys[] = {
	{ "master", KEY_TEXT, F(acl.token_master), NULL, false },
	{ "initial_management", KEY_TEXT, F(acl.token_master), NULL, false },
	{ "agent_master", KEY_TEXT, F(acl.token_agent_master), NULL, R },
	{ "agent_recovery", KEY_TEXT, F(acl.token_agent_master), NULL, R },
	{ "default", KEY_TEXT, F(acl.token_default), NULL, R },
	{ "agent", KEY_TEXT, F(acl.token_agent), NULL, R },
	{ "replication", KEY_TEXT, F(acl.token_replication), NULL, R },
	UNUSED_KEY("config_file_service_registration", KEY_TEXT),
	UNUSED_KEY("dns", KEY_TEXT),
	UNUSED_KEY("managed_service_provider", KEY_ANY),
};
static const struct conf_schema tokens_schema = CONF_SCHEMA(tokens_keys);

static const struct conf_key acl_keys[] = {
	{ "enabled", KEY_BOOL, F(acl.enabled), NULL, false },
	{ "default_policy", KEY_TEXT, F(acl.default_policy), NULL, false },
	{ "down_policy", KEY_TEXT, F(acl.down_policy), NULL, false },
	{ "enable_key_list_policy", KEY_BOOL, F(acl.enable_key_list_policy), NULL, false },
	{ "enable_token_persistence", KEY_BOOL, F(acl.enable_token_persistence), NULL, false },
	{ "tokens", KEY_OBJECT, KEY_UNUSED, &tokens_schema, R },
	UNUSED_KEY("enable_token_replication", KEY_BOOL),
	UNUSED_KEY("policy_ttl", KEY_DURATION),
	UNUSED_KEY("role_ttl", KEY_DURATION),
	UNUSED_KEY("token_ttl", KEY_DURATION),
	UNUSED_KEY("disabled_ttl", KEY_DURATION),
	UNUSED_KEY("msp_disable_bootstrap", KEY_BOOL),
};
static const struct conf_schema acl_schema = CONF_SCHEMA(acl_keys);

static const struct conf_key gossip_keys[] = {
	UNUSED_KEY("gossip_interval", KEY_DURATION),
	UNUSED_KEY("gossip_nodes", KEY_INT),
	UNUSED_KEY("probe_interval", KEY_DURATION),
	UNUSED_KEY("probe_timeout", KEY_DURATION),
	UNUSED_KEY("retransmit_mult", KEY_INT),
	UNUSED_KEY("suspicion_mult", KEY_INT),
};
static const struct conf_schema gossip_schema = CONF_SCHEMA(gossip_keys);

static const struct conf_key autopilot_keys[] = {
	{ "cleanup_dead_servers", KEY_BOOL, F(autopilot.cleanup_dead_servers), NULL, false },
	{ "disable_upgrade_migration", KEY_BOOL, F(autopilot.disable_upgrade_migration), NULL,
		false },
	{ "last_contact_threshold", KEY_DURATION, F(autopilot.last_contact_threshold_ns), NULL,
		false },
	{ "max_trailing_logs", KEY_INT, F(autopilot.max_trailing_logs), NULL, false },
	{ "min_quorum", KEY_INT, F(autopilot.min_quorum), NULL, false },
	{ "redundancy_zone_tag", KEY_TEXT, F(autopilot.redundancy_zone_tag), NULL, false },
	{ "server_stabilization_time", KEY_DURATION, F(autopilot.server_stabilization_ns), NULL,
		false },
	{ "upgrade_version_tag", KEY_TEXT, F(autopilot.upgrade_version_tag), NULL, false },
};
static const struct conf_schema autopilot_schema = CONF_SCHEMA(autopilot_keys);

static const struct conf_key cache_keys[] = {
	{ "entry_fetch_max_burst", KEY_INT, KEY_UNUSED, NULL, R },
	{ "entry_fetch_rate", KEY_FLOAT, KEY_UNUSED, NULL, R },
};
static const struct conf_schema cache_schema = CONF_SCHEMA(cache_keys);

static const struct conf_key config_entries_keys[] = { UNUSED_KEY("bootstrap", KEY_ANY) };
static const struct conf_schema config_entries_schema = CONF_SCHEMA(config_entries_keys);

static const struct conf_key ui_keys[] = {
	{ "enabled", KEY_BOOL, F(ui), NULL, false },
	{ "content_path", KEY_TEXT, F(ui_content_path), NULL, false },
	UNUSED_KEY("dir", KEY_TEXT),
	UNUSED_KEY("metrics_provider", KEY_TEXT),
	UNUSED_KEY("metrics_provider_files", KEY_TEXTS),
	UNUSED_KEY("metrics_provider_options_json", KEY_TEXT),
	UNUSED_KEY("metrics_proxy", KEY_ANY),
	UNUSED_KEY("dashboard_url_templates", KEY_ANY),
};
static const struct conf_schema ui_schema = CONF_SCHEMA(ui_keys);

/* The newer spelling of TLS settings: "defaults" fill the same fields as the older keys at the top.
 */
static const struct conf_key tls_default_keys[] = {
	{ "ca_file", KEY_TEXT, F(ca_file), NULL, R },
	{ "ca_path", KEY_TEXT, F(ca_path), NULL, R },
	{ "cert_file", KEY_TEXT, F(cert_file), NULL, R },
	{ "key_file", KEY_TEXT, F(key_file), NULL, R },
	{ "tls_min_version", KEY_TEXT, F(tls_min_version), NULL, R },
	{ "verify_incoming", KEY_BOOL, F(verify_incoming), NULL, R },
	{ "verify_outgoing", KEY_BOOL, F(verify_outgoing), NULL, R },
	UNUSED_KEY("tls_cipher_suites", KEY_TEXT),
	UNUSED_KEY("verify_server_hostname", KEY_BOOL),
};
static const struct conf_schema tls_default_schema = CONF_SCHEMA(tls_default_keys);

static const struct conf_key tls_keys[] = {
	{ "defaults", KEY_OBJECT, KEY_UNUSED, &tls_default_schema, R },
	UNUSED_KEY("https", KEY_ANY),
	UNUSED_KEY("grpc", KEY_ANY),
	UNUSED_KEY("internal_rpc", KEY_ANY),
};
static const struct conf_schema tls_schema = CONF_SCHEMA(tls_keys);

static const struct conf_key top_keys[] = {
	/* identity, process */
	{ "node_name", KEY_TEXT, F(node_name), NULL, false },
	{ "node_id", KEY_TEXT, F(node_id), NULL, false },
	{ "node_meta", KEY_PAIRS, F(node_meta), NULL, R },
	{ "datacenter", KEY_TEXT, F(datacenter), NULL, false },
	{ "acl_datacenter", KEY_TEXT, F(primary_datacenter), NULL, false },
	{ "primary_datacenter", KEY_TEXT, F(primary_datacenter), NULL, false },
	{ "data_dir", KEY_TEXT, F(data_dir), NULL, false },
	{ "server", KEY_BOOL, F(server), NULL, false },
	{ "bootstrap", KEY_BOOL, F(bootstrap), NULL, false },
	{ "bootstrap_expect", KEY_INT, F(bootstrap_expect), NULL, false },
	{ "dev_mode", KEY_BOOL, F(dev_mode), NULL, false }, /* ours: what -dev sets */
	{ "pid_file", KEY_TEXT, F(pid_file), NULL, false },
	{ "leave_on_terminate", KEY_BOOL, F(leave_on_terminate), NULL, false },
	{ "skip_leave_on_interrupt", KEY_BOOL, F(skip_leave_on_interrupt), NULL, false },
	{ "rejoin_after_leave", KEY_BOOL, F(rejoin_after_leave), NULL, false },
	{ "enable_debug", KEY_BOOL, F(enable_debug), NULL, false },
	{ "log_level", KEY_TEXT, F(log_level), NULL, R },
	{ "log_json", KEY_BOOL, F(log_json), NULL, false },
	{ "log_file", KEY_TEXT, F(log_file), NULL, false },
	{ "log_rotate_bytes", KEY_INT, F(log_rotate_bytes), NULL, false },
	{ "log_rotate_duration", KEY_DURATION, F(log_rotate_duration_ns), NULL, false },
	{ "log_rotate_max_files", KEY_INT, F(log_rotate_max_files), NULL, false },
	{ "enable_syslog", KEY_BOOL, F(enable_syslog), NULL, false },
	UNUSED_KEY("syslog_facility", KEY_TEXT),
	UNUSED_KEY("disable_update_check", KEY_BOOL),
	UNUSED_KEY("disable_anonymous_signature", KEY_BOOL),
	UNUSED_KEY("disable_host_node_id", KEY_BOOL),
	/* addresses */
	{ "bind_addr", KEY_TEXT, F(bind_addr), NULL, false },
	{ "client_addr", KEY_TEXT, F(client_addr), NULL, false },
	{ "advertise_addr", KEY_TEXT, F(advertise_addr), NULL, false },
	{ "advertise_addr_ipv4", KEY_TEXT, F(advertise_addr_ipv4), NULL, false },
	{ "advertise_addr_ipv6", KEY_TEXT, F(advertise_addr_ipv6), NULL, false },
	{ "advertise_addr_wan", KEY_TEXT, F(advertise_addr_wan), NULL, false },
	{ "advertise_addr_wan_ipv4", KEY_TEXT, F(advertise_addr_wan_ipv4), NULL, false },
	{ "advertise_addr_wan_ipv6", KEY_TEXT, F(advertise_addr_wan_ipv6), NULL, false },
	{ "serf_lan", KEY_TEXT, F(serf_lan_bind), NULL, false },
	{ "serf_wan", KEY_TEXT, F(serf_wan_bind), NULL, false },
	{ "serf_lan_allowed_cidrs", KEY_TEXTS, F(serf_lan_allowed_cidrs), NULL, false },
	{ "serf_wan_allowed_cidrs", KEY_TEXTS, F(serf_wan_allowed_cidrs), NULL, false },
	{ "tagged_addresses", KEY_PAIRS, F(tagged_addresses), NULL, false },
	{ "translate_wan_addrs", KEY_BOOL, F(translate_wan_addrs), NULL, false },
	{ "ports", KEY_OBJECT, KEY_UNUSED, &ports_schema, false },
	{ "addresses", KEY_OBJECT, KEY_UNUSED, &addresses_schema, false },
	{ "unix_sockets", KEY_OBJECT, KEY_UNUSED, &unix_sockets_schema, false },
	{ "recursors", KEY_TEXTS, F(recursors), NULL, R },
	{ "domain", KEY_TEXT, F(domain), NULL, false },
	{ "alt_domain", KEY_TEXT, F(alt_domain), NULL, false },
	/* joining and gossip */
	{ "start_join", KEY_TEXTS, F(start_join), NULL, false },
	{ "retry_join", KEY_TEXTS, F(retry_join), NULL, false },
	UNUSED_KEY("start_join_wan", KEY_TEXTS),
	UNUSED_KEY("retry_join_wan", KEY_TEXTS),
	{ "retry_interval", KEY_DURATION, F(retry_interval_ns), NULL, false },
	UNUSED_KEY("retry_interval_wan", KEY_DURATION),
	{ "retry_max", KEY_INT, F(retry_max), NULL, false },
	UNUSED_KEY("retry_max_wan", KEY_INT),
	{ "encrypt", KEY_TEXT, F(encrypt), NULL, false },
	UNUSED_KEY("encrypt_verify_incoming", KEY_BOOL),
	UNUSED_KEY("encrypt_verify_outgoing", KEY_BOOL),
	UNUSED_KEY("disable_keyring_file", KEY_BOOL),
	{ "reconnect_timeout", KEY_DURATION, F(reconnect_timeout_ns), NULL, false },
	UNUSED_KEY("reconnect_timeout_wan", KEY_DURATION),
	{ "advertise_reconnect_timeout", KEY_DURATION, F(advertise_reconnect_timeout_ns), NULL, R },
	{ "disable_coordinates", KEY_BOOL, F(disable_coordinates), NULL, false },
	{ "gossip_lan", KEY_OBJECT, KEY_UNUSED, &gossip_schema, false },
	{ "gossip_wan", KEY_OBJECT, KEY_UNUSED, &gossip_schema, false },
	{ "performance", KEY_OBJECT, KEY_UNUSED, &performance_schema, false },
	/* raft */
	{ "raft_protocol", KEY_INT, F(raft_protocol), NULL, false },
	{ "raft_snapshot_threshold", KEY_INT, F(raft_snapshot_threshold), NULL, false },
	{ "raft_snapshot_interval", KEY_DURATION, F(raft_snapshot_interval_ns), NULL, false },
	{ "raft_trailing_logs", KEY_INT, F(raft_trailing_logs), NULL, false },
	UNUSED_KEY("protocol", KEY_INT),
	{ "autopilot", KEY_OBJECT, KEY_UNUSED, &autopilot_schema, false },
	/* http, dns, limits, ui */
	{ "http_config", KEY_OBJECT, KEY_UNUSED, &http_schema, false },
	{ "dns_config", KEY_OBJECT, KEY_UNUSED, &dns_schema, R },
	{ "limits", KEY_OBJECT, KEY_UNUSED, &limits_schema, R },
	{ "default_query_time", KEY_DURATION, F(default_query_time_ns), NULL, false },
	{ "max_query_time", KEY_DURATION, F(max_query_time_ns), NULL, false },
	{ "discovery_max_stale", KEY_DURATION, F(discovery_max_stale_ns), NULL, false },
	{ "disable_http_unprintable_char_filter", KEY_BOOL, F(disable_http_unprintable_char_filter),
		NULL, false },
	{ "ui", KEY_BOOL, F(ui), NULL, false },
	{ "ui_content_path", KEY_TEXT, F(ui_content_path), NULL, false },
	UNUSED_KEY("ui_dir", KEY_TEXT),
	{ "ui_config", KEY_OBJECT, KEY_UNUSED, &ui_schema, false },
	/* services, checks, exec */
	{ "service", KEY_OBJECT, KEY_UNUSED, &conf_service_schema, R },
	{ "services", KEY_OBJECTS, F(services_json), &conf_service_schema, R },
	{ "check", KEY_OBJECT, KEY_UNUSED, &conf_check_schema, R },
	{ "checks", KEY_OBJECTS, F(checks_json), &conf_check_schema, R },
	{ "watches", KEY_OBJECTS, F(watches_json), NULL, R },
	{ "enable_script_checks", KEY_BOOL, F(enable_script_checks_remote), NULL, false },
	{ "enable_local_script_checks", KEY_BOOL, F(enable_script_checks_local), NULL, false },
	{ "discard_check_output", KEY_BOOL, F(discard_check_output), NULL, R },
	{ "disable_remote_exec", KEY_BOOL, F(disable_remote_exec), NULL, false },
	{ "enable_agent_tls_for_checks", KEY_BOOL, F(enable_agent_tls_for_checks), NULL, false },
	{ "check_output_max_size", KEY_INT, F(check_output_max_size), NULL, false },
	{ "check_update_interval", KEY_DURATION, F(check_update_interval_ns), NULL, false },
	{ "check_reap_interval", KEY_DURATION, F(check_reap_interval_ns), NULL, false },
	UNUSED_KEY("check_deregister_interval_min", KEY_DURATION),
	{ "session_ttl_min", KEY_DURATION, F(session_ttl_min_ns), NULL, false },
	UNUSED_KEY("ae_interval", KEY_DURATION),
	{ "sync_coordinate_interval_min", KEY_DURATION, F(sync_coordinate_interval_min_ns), NULL,
		false },
	UNUSED_KEY("sync_coordinate_rate_target", KEY_FLOAT),
	/* acl: the older spellings first */
	UNUSED_KEY("acl_ttl", KEY_DURATION),
	UNUSED_KEY("acl_disabled_ttl", KEY_DURATION),
	{ "acl_agent_master_token", KEY_TEXT, F(acl.token_agent_master), NULL, R },
	{ "acl_agent_token", KEY_TEXT, F(acl.token_agent), NULL, R },
	{ "acl_token", KEY_TEXT, F(acl.token_default), NULL, R },
	{ "acl_master_token", KEY_TEXT, F(acl.token_master), NULL, false },
	{ "acl_replication_token", KEY_TEXT, F(acl.token_replication), NULL, R },
	{ "acl_default_policy", KEY_TEXT, F(acl.default_policy), NULL, false },
	{ "acl_down_policy", KEY_TEXT, F(acl.down_policy), NULL, false },
	{ "acl_enable_key_list_policy", KEY_BOOL, F(acl.enable_key_list_policy), NULL, false },
	UNUSED_KEY("enable_acl_replication", KEY_BOOL),
	{ "acl", KEY_OBJECT, KEY_UNUSED, &acl_schema, R },
	/* tls */
	{ "ca_file", KEY_TEXT, F(ca_file), NULL, R },
	{ "ca_path", KEY_TEXT, F(ca_path), NULL, R },
	{ "cert_file", KEY_TEXT, F(cert_file), NULL, R },
	{ "key_file", KEY_TEXT, F(key_file), NULL, R },
	{ "tls_min_version", KEY_TEXT, F(tls_min_version), NULL, R },
	{ "verify_incoming", KEY_BOOL, F(verify_incoming), NULL, R },
	{ "verify_incoming_https", KEY_BOOL, F(verify_incoming_https), NULL, R },
	{ "verify_outgoing", KEY_BOOL, F(verify_outgoing), NULL, R },
	{ "verify_server_hostname", KEY_BOOL, F(verify_server_hostname), NULL, R },
	UNUSED_KEY("verify_incoming_rpc", KEY_BOOL),
	UNUSED_KEY("tls_cipher_suites", KEY_TEXT),
	UNUSED_KEY("tls_prefer_server_cipher_suites", KEY_BOOL),
	{ "server_name", KEY_TEXT, F(server_name), NULL, R },
	{ "tls", KEY_OBJECT, KEY_UNUSED, &tls_schema, R },
	/* telemetry and caches */
	{ "telemetry", KEY_OBJECT, KEY_UNUSED, &telemetry_schema, R },
	{ "cache", KEY_OBJECT, KEY_UNUSED, &cache_schema, R },
	{ "config_entries", KEY_OBJECT, KEY_UNUSED, &config_entries_schema, false },
	/* mesh and Enterprise: accepted, without effect */
	UNUSED_KEY("enable_central_service_config", KEY_BOOL),
	UNUSED_KEY("connect", KEY_ANY),
	UNUSED_KEY("primary_gateways", KEY_TEXTS),
	UNUSED_KEY("primary_gateways_interval", KEY_DURATION),
	UNUSED_KEY("auto_config", KEY_ANY),
	UNUSED_KEY("auto_encrypt", KEY_ANY),
	UNUSED_KEY("segment", KEY_TEXT),
	UNUSED_KEY("segments", KEY_ANY),
	UNUSED_KEY("segment_limit", KEY_INT),
	UNUSED_KEY("segment_name_limit", KEY_INT),
	{ "non_voting_server", KEY_BOOL, F(read_replica), NULL, false },
	{ "read_replica", KEY_BOOL, F(read_replica), NULL, false },
	UNUSED_KEY("snapshot_agent", KEY_ANY),
	UNUSED_KEY("audit", KEY_ANY),
	UNUSED_KEY("consul", KEY_ANY),
	UNUSED_KEY("revision", KEY_TEXT),
	UNUSED_KEY("version", KEY_TEXT),
	UNUSED_KEY("version_prerelease", KEY_TEXT),
};
const struct conf_schema conf_schema = CONF_SCHEMA(top_keys);

const struct conf_key *conf_key_find(const struct conf_schema *schema, struct str name)
{
	for (size_t i = 0; i < schema->keys_count; i++) {
		if (str_ieq(name, str_of(schema->keys[i].name))) {
			return &schema->keys[i];
		}
	}
	return NULL;
}
