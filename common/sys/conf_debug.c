/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The effective configuration as agent/self shows it (DebugConfig). A template gives names and
 * order; in it "@path" is the value of a configuration key (its type's zero when absent), "$name"
 * something computed, everything else stands as written: settings without a meaning here keep the
 * value that says "off".
 */
#include "common/sys/conf_private.h"

#include "common/base/time.h"

static const char template_text[] =
	"{\"ACLAgentMasterToken\":\"hidden\",\"ACLAgentToken\":\"hidden\","
	"\"ACLDatacenter\":\"$primary_datacenter\","
	"\"ACLDefaultPolicy\":\"$acl_default_policy\","
	"\"ACLDisabledTTL\":\"@acl.disabled_ttl\","
	"\"ACLDownPolicy\":\"$acl_down_policy\","
	"\"ACLEnableKeyListPolicy\":\"$acl_enable_key_list_policy\","
	"\"ACLEnableTokenPersistence\":\"@acl.enable_token_persistence\","
	"\"ACLMasterToken\":\"hidden\",\"ACLPolicyTTL\":\"@acl.policy_ttl\","
	"\"ACLReplicationToken\":\"hidden\",\"ACLRoleTTL\":\"@acl.role_ttl\","
	"\"ACLToken\":\"hidden\","
	"\"ACLTokenReplication\":\"@acl.enable_token_replication\","
	"\"ACLTokenTTL\":\"@acl.token_ttl\",\"ACLsEnabled\":\"@acl.enabled\","
	"\"AEInterval\":\"@ae_interval\",\"AdvertiseAddrLAN\":\"$advertise_lan\","
	"\"AdvertiseAddrWAN\":\"$advertise_wan\","
	"\"AllowWriteHTTPFrom\":\"@http_config.allow_write_http_from\","
	"\"AutoConfig\":{\"Authorizer\":{\"AllowReuse\":false,"
	"\"AuthMethod\":{\"ACLAuthMethodEnterpriseFields\":{},"
	"\"Config\":{\"BoundAudiences\":null,\"BoundIssuer\":\"\","
	"\"ClaimMappings\":null,\"ClockSkewLeeway\":0,\"ExpirationLeeway\":0,"
	"\"JWKSCACert\":\"\",\"JWKSURL\":\"\",\"JWTSupportedAlgs\":null,"
	"\"JWTValidationPubKeys\":null,\"ListClaimMappings\":null,"
	"\"NotBeforeLeeway\":0,\"OIDCDiscoveryCACert\":\"\",\"OIDCDiscoveryURL\":\"\"},"
	"\"Description\":\"\",\"DisplayName\":\"\",\"EnterpriseMeta\":{},"
	"\"MaxTokenTTL\":\"0s\",\"Name\":\"Auto Config Authorizer\","
	"\"RaftIndex\":{\"CreateIndex\":0,\"ModifyIndex\":0},\"TokenLocality\":\"\","
	"\"Type\":\"jwt\"},\"ClaimAssertions\":[],\"Enabled\":false},\"DNSSANs\":[],"
	"\"Enabled\":false,\"IPSANs\":[],\"IntroToken\":\"hidden\","
	"\"IntroTokenFile\":\"\",\"ServerAddresses\":[]},\"AutoEncryptAllowTLS\":false,"
	"\"AutoEncryptDNSSAN\":[],\"AutoEncryptIPSAN\":[],\"AutoEncryptTLS\":false,"
	"\"AutopilotCleanupDeadServers\":\"@autopilot.cleanup_dead_servers\","
	"\"AutopilotDisableUpgradeMigration\":\"@autopilot.disable_upgrade_migration\","
	"\"AutopilotLastContactThreshold\":\"@autopilot.last_contact_threshold\","
	"\"AutopilotMaxTrailingLogs\":\"@autopilot.max_trailing_logs\","
	"\"AutopilotMinQuorum\":\"@autopilot.min_quorum\","
	"\"AutopilotRedundancyZoneTag\":\"@autopilot.redundancy_zone_tag\","
	"\"AutopilotServerStabilizationTime\":\"@autopilot.server_stabilization_time\","
	"\"AutopilotUpgradeVersionTag\":\"@autopilot.upgrade_version_tag\","
	"\"BindAddr\":\"$bind\",\"Bootstrap\":\"$bootstrap\","
	"\"BootstrapExpect\":\"$bootstrap_expect\",\"CAFile\":\"@ca_file\","
	"\"CAPath\":\"@ca_path\","
	"\"Cache\":{\"EntryFetchMaxBurst\":\"@cache.entry_fetch_max_burst\","
	"\"EntryFetchRate\":1.7976931348623157e+308},\"CertFile\":\"@cert_file\","
	"\"CheckDeregisterIntervalMin\":\"@check_deregister_interval_min\","
	"\"CheckOutputMaxSize\":\"@check_output_max_size\","
	"\"CheckReapInterval\":\"@check_reap_interval\","
	"\"CheckUpdateInterval\":\"@check_update_interval\",\"Checks\":\"@checks\","
	"\"ClientAddrs\":\"$client_addrs\",\"ConfigEntryBootstrap\":[],"
	"\"ConnectCAConfig\":{},\"ConnectCAProvider\":\"\",\"ConnectEnabled\":false,"
	"\"ConnectMeshGatewayWANFederationEnabled\":false,"
	"\"ConnectSidecarMaxPort\":\"@ports.sidecar_max_port\","
	"\"ConnectSidecarMinPort\":\"@ports.sidecar_min_port\","
	"\"ConnectTestCALeafRootChangeSpread\":\"0s\","
	"\"ConsulCoordinateUpdateBatchSize\":128,"
	"\"ConsulCoordinateUpdateMaxBatches\":5,"
	"\"ConsulCoordinateUpdatePeriod\":\"5s\","
	"\"ConsulRaftElectionTimeout\":\"$raft_timeout\","
	"\"ConsulRaftHeartbeatTimeout\":\"$raft_timeout\","
	"\"ConsulRaftLeaderLeaseTimeout\":\"$raft_lease\","
	"\"ConsulServerHealthInterval\":\"2s\","
	"\"DNSARecordLimit\":\"@dns_config.a_record_limit\","
	"\"DNSAddrs\":\"$dns_addrs\",\"DNSAllowStale\":\"@dns_config.allow_stale\","
	"\"DNSAltDomain\":\"@alt_domain\","
	"\"DNSCacheMaxAge\":\"@dns_config.cache_max_age\","
	"\"DNSDisableCompression\":\"@dns_config.disable_compression\","
	"\"DNSDomain\":\"@domain\","
	"\"DNSEnableTruncate\":\"@dns_config.enable_truncate\","
	"\"DNSMaxStale\":\"@dns_config.max_stale\","
	"\"DNSNodeMetaTXT\":\"@dns_config.enable_additional_node_meta_txt\","
	"\"DNSNodeTTL\":\"@dns_config.node_ttl\","
	"\"DNSOnlyPassing\":\"@dns_config.only_passing\",\"DNSPort\":\"@ports.dns\","
	"\"DNSRecursorTimeout\":\"@dns_config.recursor_timeout\","
	"\"DNSRecursors\":\"@recursors\","
	"\"DNSSOA\":{\"Expire\":\"@dns_config.soa.expire\","
	"\"Minttl\":\"@dns_config.soa.min_ttl\","
	"\"Refresh\":\"@dns_config.soa.refresh\",\"Retry\":\"@dns_config.soa.retry\"},"
	"\"DNSServiceTTL\":\"@dns_config.service_ttl\","
	"\"DNSUDPAnswerLimit\":\"@dns_config.udp_answer_limit\","
	"\"DNSUseCache\":\"@dns_config.use_cache\",\"DataDir\":\"@data_dir\","
	"\"Datacenter\":\"$datacenter\",\"DefaultQueryTime\":\"@default_query_time\","
	"\"DevMode\":\"@dev_mode\","
	"\"DisableAnonymousSignature\":\"@disable_anonymous_signature\","
	"\"DisableCoordinates\":\"@disable_coordinates\","
	"\"DisableHTTPUnprintableCharFilter\":\"@disable_http_unprintable_char_filter\","
	"\"DisableHostNodeID\":\"@disable_host_node_id\","
	"\"DisableKeyringFile\":\"@disable_keyring_file\","
	"\"DisableRemoteExec\":\"@disable_remote_exec\","
	"\"DisableUpdateCheck\":\"@disable_update_check\","
	"\"DiscardCheckOutput\":\"@discard_check_output\","
	"\"DiscoveryMaxStale\":\"@discovery_max_stale\","
	"\"EnableAgentTLSForChecks\":\"@enable_agent_tls_for_checks\","
	"\"EnableCentralServiceConfig\":false,\"EnableDebug\":\"@enable_debug\","
	"\"EnableLocalScriptChecks\":\"$local_script_checks\","
	"\"EnableRemoteScriptChecks\":\"@enable_script_checks\",\"EnableUI\":\"$ui\","
	"\"EncryptKey\":\"hidden\","
	"\"EncryptVerifyIncoming\":\"@encrypt_verify_incoming\","
	"\"EncryptVerifyOutgoing\":\"@encrypt_verify_outgoing\","
	"\"EnterpriseRuntimeConfig\":{},\"ExposeMaxPort\":\"@ports.expose_max_port\","
	"\"ExposeMinPort\":\"@ports.expose_min_port\",\"GRPCAddrs\":[],\"GRPCPort\":-1,"
	"\"GossipLANGossipInterval\":\"@gossip_lan.gossip_interval\","
	"\"GossipLANGossipNodes\":\"@gossip_lan.gossip_nodes\","
	"\"GossipLANProbeInterval\":\"@gossip_lan.probe_interval\","
	"\"GossipLANProbeTimeout\":\"@gossip_lan.probe_timeout\","
	"\"GossipLANRetransmitMult\":\"@gossip_lan.retransmit_mult\","
	"\"GossipLANSuspicionMult\":\"@gossip_lan.suspicion_mult\","
	"\"GossipWANGossipInterval\":\"@gossip_wan.gossip_interval\","
	"\"GossipWANGossipNodes\":\"@gossip_wan.gossip_nodes\","
	"\"GossipWANProbeInterval\":\"@gossip_wan.probe_interval\","
	"\"GossipWANProbeTimeout\":\"@gossip_wan.probe_timeout\","
	"\"GossipWANRetransmitMult\":\"@gossip_wan.retransmit_mult\","
	"\"GossipWANSuspicionMult\":\"@gossip_wan.suspicion_mult\","
	"\"HTTPAddrs\":\"$http_addrs\","
	"\"HTTPBlockEndpoints\":\"@http_config.block_endpoints\","
	"\"HTTPMaxConnsPerClient\":\"@limits.http_max_conns_per_client\","
	"\"HTTPPort\":\"@ports.http\","
	"\"HTTPResponseHeaders\":\"@http_config.response_headers\","
	"\"HTTPSAddrs\":\"$https_addrs\","
	"\"HTTPSHandshakeTimeout\":\"@limits.https_handshake_timeout\","
	"\"HTTPSPort\":\"@ports.https\",\"HTTPUseCache\":\"@http_config.use_cache\","
	"\"KVMaxValueSize\":\"@limits.kv_max_value_size\",\"KeyFile\":\"hidden\","
	"\"LeaveDrainTime\":\"@performance.leave_drain_time\","
	"\"LeaveOnTerm\":\"$leave_on_terminate\","
	"\"Logging\":{\"EnableSyslog\":\"@enable_syslog\","
	"\"LogFilePath\":\"@log_file\",\"LogJSON\":\"@log_json\","
	"\"LogLevel\":\"@log_level\",\"LogRotateBytes\":\"@log_rotate_bytes\","
	"\"LogRotateDuration\":\"@log_rotate_duration\","
	"\"LogRotateMaxFiles\":\"@log_rotate_max_files\",\"Name\":\"\","
	"\"SyslogFacility\":\"@syslog_facility\"},\"MaxQueryTime\":\"@max_query_time\","
	"\"NodeID\":\"$node_id\",\"NodeMeta\":\"@node_meta\","
	"\"NodeName\":\"$node_name\",\"NonVotingServer\":\"@non_voting_server\","
	"\"PidFile\":\"@pid_file\",\"PrimaryDatacenter\":\"$primary_datacenter\","
	"\"PrimaryGateways\":\"@primary_gateways\","
	"\"PrimaryGatewaysInterval\":\"@primary_gateways_interval\","
	"\"RPCAdvertiseAddr\":\"$rpc_advertise\",\"RPCBindAddr\":\"$rpc_bind\","
	"\"RPCHandshakeTimeout\":\"@limits.rpc_handshake_timeout\","
	"\"RPCHoldTimeout\":\"@performance.rpc_hold_timeout\","
	"\"RPCMaxBurst\":\"@limits.rpc_max_burst\","
	"\"RPCMaxConnsPerClient\":\"@limits.rpc_max_conns_per_client\","
	"\"RPCProtocol\":\"@protocol\",\"RPCRateLimit\":\"@limits.rpc_rate\","
	"\"RaftProtocol\":\"@raft_protocol\","
	"\"RaftSnapshotInterval\":\"@raft_snapshot_interval\","
	"\"RaftSnapshotThreshold\":\"@raft_snapshot_threshold\","
	"\"RaftTrailingLogs\":\"@raft_trailing_logs\","
	"\"ReconnectTimeoutLAN\":\"@reconnect_timeout\","
	"\"ReconnectTimeoutWAN\":\"@reconnect_timeout_wan\","
	"\"RejoinAfterLeave\":\"@rejoin_after_leave\","
	"\"RetryJoinIntervalLAN\":\"@retry_interval\","
	"\"RetryJoinIntervalWAN\":\"@retry_interval_wan\","
	"\"RetryJoinLAN\":\"@retry_join\",\"RetryJoinMaxAttemptsLAN\":\"@retry_max\","
	"\"RetryJoinMaxAttemptsWAN\":\"@retry_max_wan\","
	"\"RetryJoinWAN\":\"@retry_join_wan\",\"Revision\":\"\","
	"\"SegmentLimit\":\"@segment_limit\",\"SegmentName\":\"@segment\","
	"\"SegmentNameLimit\":\"@segment_name_limit\",\"Segments\":[],"
	"\"SerfAdvertiseAddrLAN\":\"$serf_lan_advertise\","
	"\"SerfAdvertiseAddrWAN\":\"$serf_wan_advertise\","
	"\"SerfAllowedCIDRsLAN\":\"@serf_lan_allowed_cidrs\","
	"\"SerfAllowedCIDRsWAN\":\"@serf_wan_allowed_cidrs\","
	"\"SerfBindAddrLAN\":\"$serf_lan_bind\",\"SerfBindAddrWAN\":\"$serf_wan_bind\","
	"\"SerfPortLAN\":\"@ports.serf_lan\",\"SerfPortWAN\":\"@ports.serf_wan\","
	"\"ServerMode\":\"@server\",\"ServerName\":\"@server_name\","
	"\"ServerPort\":\"@ports.server\",\"Services\":\"@services\","
	"\"SessionTTLMin\":\"@session_ttl_min\","
	"\"SkipLeaveOnInt\":\"$skip_leave_on_interrupt\","
	"\"StartJoinAddrsLAN\":\"@start_join\","
	"\"StartJoinAddrsWAN\":\"@start_join_wan\","
	"\"SyncCoordinateIntervalMin\":\"@sync_coordinate_interval_min\","
	"\"SyncCoordinateRateTarget\":\"@sync_coordinate_rate_target\","
	"\"TLSCipherSuites\":[],\"TLSMinVersion\":\"@tls_min_version\","
	"\"TLSPreferServerCipherSuites\":\"@tls_prefer_server_cipher_suites\","
	"\"TaggedAddresses\":\"$tagged_addresses\","
	"\"Telemetry\":{\"AllowedPrefixes\":\"$allowed_prefixes\","
	"\"BlockedPrefixes\":\"$blocked_prefixes\",\"CirconusAPIApp\":\"\","
	"\"CirconusAPIToken\":\"hidden\",\"CirconusAPIURL\":\"\","
	"\"CirconusBrokerID\":\"\",\"CirconusBrokerSelectTag\":\"\","
	"\"CirconusCheckDisplayName\":\"\",\"CirconusCheckForceMetricActivation\":\"\","
	"\"CirconusCheckID\":\"\",\"CirconusCheckInstanceID\":\"\","
	"\"CirconusCheckSearchTag\":\"\",\"CirconusCheckTags\":\"\","
	"\"CirconusSubmissionInterval\":\"\",\"CirconusSubmissionURL\":\"\","
	"\"Disable\":false,\"DisableHostname\":\"@telemetry.disable_hostname\","
	"\"DogstatsdAddr\":\"@telemetry.dogstatsd_addr\","
	"\"DogstatsdTags\":\"@telemetry.dogstatsd_tags\","
	"\"FilterDefault\":\"@telemetry.filter_default\","
	"\"MetricsPrefix\":\"@telemetry.metrics_prefix\","
	"\"PrometheusRetentionTime\":\"@telemetry.prometheus_retention_time\","
	"\"StatsdAddr\":\"@telemetry.statsd_address\","
	"\"StatsiteAddr\":\"@telemetry.statsite_address\"},"
	"\"TranslateWANAddrs\":\"@translate_wan_addrs\","
	"\"TxnMaxReqLen\":\"@limits.txn_max_req_len\","
	"\"UIContentPath\":\"$ui_content_path\",\"UIDir\":\"@ui_dir\","
	"\"UnixSocketGroup\":\"@unix_sockets.group\","
	"\"UnixSocketMode\":\"@unix_sockets.mode\","
	"\"UnixSocketUser\":\"@unix_sockets.user\","
	"\"VerifyIncoming\":\"@verify_incoming\","
	"\"VerifyIncomingHTTPS\":\"@verify_incoming_https\","
	"\"VerifyIncomingRPC\":\"@verify_incoming_rpc\","
	"\"VerifyOutgoing\":\"@verify_outgoing\","
	"\"VerifyServerHostname\":\"@verify_server_hostname\",\"Version\":\"1.8.7\","
	"\"VersionPrerelease\":\"\",\"Watches\":\"@watches\"}";

/* ---- values of keys ---- */

static const struct conf_key *key_at(const char *path)
{
	const struct conf_schema *schema = &conf_schema;
	const struct conf_key *key = NULL;
	struct str rest = str_of(path);

	while (rest.p) {
		key = conf_key_find(schema, str_split(rest, '.', &rest));
		must(key && (!rest.p || key->inner));
		schema = key->inner;
	}
	return key;
}

static void zero_render(struct jsonw *w, enum conf_type type)
{
	static const char *const zeros[] = {
		[KEY_TEXT] = "\"\"",
		[KEY_BOOL] = "false",
		[KEY_INT] = "0",
		[KEY_FLOAT] = "0",
		[KEY_DURATION] = "\"0s\"",
		[KEY_PORT] = "0",
		[KEY_TEXTS] = "[]",
		[KEY_PAIRS] = "{}",
		[KEY_MULTI] = "{}",
		[KEY_OBJECT] = "{}",
		[KEY_OBJECTS] = "[]",
		[KEY_ANY] = "null",
	};

	jsonw_raw(w, str_of(zeros[type]));
}

/* Any value as it was written, but tokens of definitions hidden. */
static void tree_render(struct jsonw *w, const struct json *v)
{
	const struct json *child;

	if (v->type != JSON_OBJECT && v->type != JSON_ARRAY) {
		OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

		json_render(&text, v);
		jsonw_raw(w, buf_str(&text));
		return;
	}
	jsonw_open(w, v->type == JSON_OBJECT ? '{' : '[');
	json_for_each (child, v) {
		if (v->type == JSON_OBJECT) {
			jsonw_key(w, child->key);
		}
		if (str_ieq(child->key, STR("token"))) {
			jsonw_cstr(w, "hidden");
		} else {
			tree_render(w, child);
		}
	}
	jsonw_close(w, v->type == JSON_OBJECT ? '}' : ']');
}

static void duration_put(struct jsonw *w, int64_t ns)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	duration_render(&text, ns);
	jsonw_str(w, buf_str(&text));
}

static void path_render(const struct conf *c, struct jsonw *w, const char *path)
{
	const struct json *v = conf_get(c->merged, path);
	const struct conf_key *key = key_at(path);
	int64_t ns;

	if (!v || v->type == JSON_NULL) {
		zero_render(w, key->type);
	} else if (key->type == KEY_DURATION && duration_parse(v->text, &ns, NULL) == 0) {
		duration_put(w, ns);
	} else {
		tree_render(w, v);
	}
}

/* ---- computed values ---- */

static void url_put(struct jsonw *w, const char *scheme, struct str ip, int64_t port)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	bool bracket = str_find(ip, ':') >= 0;

	if (str_starts(ip, STR("unix://"))) {
		jsonw_str(w, ip);
		return;
	}
	buf_printf(&text, "%s://%s" STR_FMT "%s:%lld", scheme, bracket ? "[" : "", STR_ARG(ip),
		bracket ? "]" : "", (long long)port);
	jsonw_str(w, buf_str(&text));
}

static void urls_put(struct jsonw *w, const char *scheme, struct str list, int64_t port)
{
	struct str rest = list;

	while (port > 0 && rest.p) {
		struct str one = str_split(rest, ' ', &rest);

		if (one.n && scheme) {
			url_put(w, scheme, one, port);
		} else if (one.n) {
			jsonw_str(w, one);
		}
	}
}

static void list_put(struct jsonw *w, const char *scheme, struct str list, int64_t port)
{
	jsonw_open(w, '[');
	urls_put(w, scheme, list, port);
	jsonw_close(w, ']');
}

static void pairs_put(struct jsonw *w, const struct pairs *p)
{
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < p->count; i++) {
		jsonw_key(w, p->items[i].key);
		jsonw_str(w, p->items[i].value);
	}
	jsonw_close(w, '}');
}

static void prefixes_put(const struct conf *c, struct jsonw *w, char sign)
{
	const struct strs *all = &c->telemetry.prefix_filter;

	jsonw_open(w, '[');
	for (uint32_t i = 0; i < all->count; i++) {
		if (all->items[i].n && all->items[i].p[0] == sign) {
			jsonw_str(w, str_skip(all->items[i], 1));
		}
	}
	jsonw_close(w, ']');
}

static void node_id_put(const struct conf *c, struct jsonw *w)
{
	char text[UUID_TEXT_SIZE + 1] = "";
	struct uuid id;

	if (conf_node_id(c, &id) == 0) {
		uuid_text(&id, text);
	}
	jsonw_cstr(w, text);
}

enum computed {
	COMPUTED_STR,
	COMPUTED_BOOL,
	COMPUTED_INT,
	COMPUTED_URL,  /* tcp://address:port */
	COMPUTED_URLS, /* list of such */
};

/* Fields of struct conf that differ from what was written. */
static const struct {
	const char *name;
	enum computed kind;
	uint32_t offset, port_offset;
} rows[] = {
#define FIELD(name, kind, field)                            \
	{                                                   \
		name, kind, offsetof(struct conf, field), 0 \
	}
#define LISTEN(name, kind, field, port)                                                     \
	{                                                                                   \
		name, kind, offsetof(struct conf, field), offsetof(struct conf, ports.port) \
	}
	FIELD("$primary_datacenter", COMPUTED_STR, primary_datacenter),
	FIELD("$acl_default_policy", COMPUTED_STR, acl.default_policy),
	FIELD("$acl_down_policy", COMPUTED_STR, acl.down_policy),
	FIELD("$acl_enable_key_list_policy", COMPUTED_BOOL, acl.enable_key_list_policy),
	FIELD("$advertise_lan", COMPUTED_STR, advertise_addr),
	FIELD("$advertise_wan", COMPUTED_STR, advertise_addr_wan),
	FIELD("$bind", COMPUTED_STR, bind_addr),
	FIELD("$bootstrap", COMPUTED_BOOL, bootstrap),
	FIELD("$bootstrap_expect", COMPUTED_INT, bootstrap_expect),
	FIELD("$datacenter", COMPUTED_STR, datacenter),
	FIELD("$local_script_checks", COMPUTED_BOOL, enable_script_checks_local),
	FIELD("$ui", COMPUTED_BOOL, ui),
	FIELD("$leave_on_terminate", COMPUTED_BOOL, leave_on_terminate),
	FIELD("$skip_leave_on_interrupt", COMPUTED_BOOL, skip_leave_on_interrupt),
	FIELD("$node_name", COMPUTED_STR, node_name),
	FIELD("$ui_content_path", COMPUTED_STR, ui_content_path),
	LISTEN("$http_addrs", COMPUTED_URLS, addresses.http, http),
	LISTEN("$https_addrs", COMPUTED_URLS, addresses.https, https),
	LISTEN("$rpc_advertise", COMPUTED_URL, advertise_addr, server),
	LISTEN("$rpc_bind", COMPUTED_URL, bind_addr, server),
	LISTEN("$serf_lan_advertise", COMPUTED_URL, advertise_addr, serf_lan),
	LISTEN("$serf_lan_bind", COMPUTED_URL, serf_lan_bind, serf_lan),
	LISTEN("$serf_wan_advertise", COMPUTED_URL, advertise_addr_wan, serf_wan),
	LISTEN("$serf_wan_bind", COMPUTED_URL, serf_wan_bind, serf_wan),
#undef FIELD
#undef LISTEN
};

static bool row_render(const struct conf *c, struct jsonw *w, struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *at = (const char *)c + rows[i].offset;
		int64_t port = rows[i].port_offset
				       ? *(const int64_t *)((const char *)c + rows[i].port_offset)
				       : 0;

		if (!str_is(name, rows[i].name)) {
			continue;
		}
		switch (rows[i].kind) {
		case COMPUTED_STR:
			jsonw_str(w, *(const struct str *)at);
			break;
		case COMPUTED_BOOL:
			jsonw_bool(w, *(const bool *)at);
			break;
		case COMPUTED_INT:
			jsonw_i64(w, *(const int64_t *)at);
			break;
		case COMPUTED_URL:
			url_put(w, "tcp", *(const struct str *)at, port);
			break;
		case COMPUTED_URLS:
			list_put(w, "tcp", *(const struct str *)at, port);
			break;
		}
		return true;
	}
	return false;
}

static void computed_render(const struct conf *c, struct jsonw *w, struct str name)
{
	int64_t raft_ns = c->performance.raft_multiplier * NS_PER_S;

	if (row_render(c, w, name)) {
		return;
	}
	if (str_is(name, "$client_addrs")) {
		list_put(w, NULL, c->client_addr, 1);
	} else if (str_is(name, "$dns_addrs")) {
		jsonw_open(w, '[');
		urls_put(w, "tcp", c->addresses.dns, c->ports.dns);
		urls_put(w, "udp", c->addresses.dns, c->ports.dns);
		jsonw_close(w, ']');
	} else if (str_is(name, "$raft_timeout")) {
		duration_put(w, raft_ns);
	} else if (str_is(name, "$raft_lease")) {
		duration_put(w, raft_ns / 2);
	} else if (str_is(name, "$tagged_addresses")) {
		pairs_put(w, &c->tagged_addresses);
	} else if (str_is(name, "$node_id")) {
		node_id_put(c, w);
	} else if (str_is(name, "$allowed_prefixes") || str_is(name, "$blocked_prefixes")) {
		prefixes_put(c, w, str_is(name, "$allowed_prefixes") ? '+' : '-');
	} else {
		must(!"a name of the template");
	}
}

static void template_render(const struct conf *c, struct jsonw *w, const struct json *v)
{
	const struct json *child;

	if (v->type == JSON_OBJECT) {
		jsonw_open(w, '{');
		json_for_each (child, v) {
			jsonw_key(w, child->key);
			template_render(c, w, child);
		}
		jsonw_close(w, '}');
	} else if (v->type == JSON_STRING && str_starts(v->text, STR("@"))) {
		path_render(c, w, v->text.p + 1);
	} else if (v->type == JSON_STRING && str_starts(v->text, STR("$"))) {
		computed_render(c, w, v->text);
	} else {
		tree_render(w, v);
	}
}

void conf_render_debug(const struct conf *c, struct jsonw *w)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct json *template;
	int r = json_parse(&arena, str_of(template_text), &template, NULL);

	must(r == 0);
	template_render(c, w, template);
}
