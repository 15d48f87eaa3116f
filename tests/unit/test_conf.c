/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sys/conf: what is read, how it is merged, and in which words it is refused (Consul's, with
 * the line behind).
 */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "common/base/json.h"
#include "common/sys/conf.h"

#define BASE "\"data_dir\":\"/nonexistent\",\"bind_addr\":\"127.0.0.1\""

static int load(const char *text, struct conf **out, struct buf *warnings, struct buf *why)
{
	struct conf_source source = { "x.json", false, text };

	return conf_load(&source, 1, out, warnings, why);
}

static const struct {
	const char *settings, *tagged[7]; /* as Consul 1.8.7 makes them */
} advertised[] = {
	{ "", { "lan=127.0.0.1", "lan_ipv4=127.0.0.1", "wan=127.0.0.1", "wan_ipv4=127.0.0.1" } },
	{ ",\"advertise_addr_ipv4\":\"127.0.0.2\"",
		{ "lan=127.0.0.1", "lan_ipv4=127.0.0.2", "wan=127.0.0.1", "wan_ipv4=127.0.0.1" } },
	{ ",\"advertise_addr_ipv6\":\"fd00::7\"",
		{ "lan=127.0.0.1", "lan_ipv4=127.0.0.1", "lan_ipv6=fd00::7", "wan=127.0.0.1",
			"wan_ipv4=127.0.0.1", "wan_ipv6=fd00::7" } },
	{ ",\"advertise_addr\":\"127.0.0.3\",\"advertise_addr_ipv4\":\"127.0.0.2\","
	  "\"advertise_addr_ipv6\":\"fd00::7\",\"advertise_addr_wan\":\"127.0.0.4\"",
		{ "lan=127.0.0.3", "lan_ipv4=127.0.0.2", "lan_ipv6=fd00::7", "wan=127.0.0.4",
			"wan_ipv4=127.0.0.4", "wan_ipv6=fd00::7" } },
	{ ",\"advertise_addr_wan_ipv4\":\"127.0.0.9\"",
		{ "lan=127.0.0.1", "lan_ipv4=127.0.0.1", "wan=127.0.0.1", "wan_ipv4=127.0.0.9" } },
	{ ",\"tagged_addresses\":{\"lan_ipv4\":\"1.2.3.4\",\"wan\":\"x\",\"foo\":\"bar\"}",
		{ "foo=bar", "lan=127.0.0.1", "lan_ipv4=127.0.0.1", "wan=127.0.0.1",
			"wan_ipv4=127.0.0.1" } },
};

static void advertised_check(size_t i)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN(conf_free) struct conf *c = NULL;
	uint32_t n = 0;

	buf_printf(&text, "{" BASE "%s}", advertised[i].settings);
	ck_assert_int_eq(load(buf_cstr(&text), &c, NULL, NULL), 0);
	for (; n < ARRAY_SIZE(advertised[i].tagged) && advertised[i].tagged[n]; n++) {
		const struct pair *p = &c->tagged_addresses.items[n];

		ck_assert_uint_lt(n, c->tagged_addresses.count);
		buf_clear(&text);
		buf_printf(&text, STR_FMT "=" STR_FMT, STR_ARG(p->key), STR_ARG(p->value));
		ck_assert_str_eq(buf_cstr(&text), advertised[i].tagged[n]);
	}
	ck_assert_uint_eq(c->tagged_addresses.count, n);
}

TEST(test_advertised)
{
	for (size_t i = 0; i < ARRAY_SIZE(advertised); i++) {
		advertised_check(i);
	}
}
END_TEST

TEST(test_defaults)
{
	OWN(conf_free) struct conf *c = NULL;

	ck_assert_int_eq(load("{" BASE "}", &c, NULL, NULL), 0);
	ck_str_is(c->datacenter, "dc1");
	ck_str_is(c->domain, "consul.");
	ck_str_is(c->addresses.http, "127.0.0.1");
	ck_str_is(c->advertise_addr, "127.0.0.1");
	ck_str_is(pairs_find(&c->tagged_addresses, STR("wan_ipv4")), "127.0.0.1");
	ck_assert_int_eq(c->ports.http, 8500);
	ck_assert_int_eq(c->ports.https, -1);
	ck_assert_int_eq(c->dns.udp_answer_limit, 3);
	ck_assert_int_eq(c->dns.soa.expire, 86400);
	ck_assert_int_eq(c->default_query_time_ns, 300000000000LL);
	ck_assert(c->leave_on_terminate && !c->skip_leave_on_interrupt && !c->server);
	ck_assert(c->dns.allow_stale && c->http.use_cache);
	ck_assert_int_eq(c->raft_snapshot_threshold, 16384);
	ck_assert_uint_gt(c->node_name.n, 0);
}
END_TEST

TEST(test_log_folder)
{
	OWN(conf_free) struct conf *c = NULL;

	ck_assert_int_eq(load("{" BASE ",\"log_file\":\"/var/log/x/\"}", &c, NULL, NULL), 0);
	ck_str_is(c->log_file, "/var/log/x/consul.log");
}
END_TEST

TEST(test_networks)
{
	OWN(conf_free) struct conf *c = NULL;

	ck_assert_int_eq(
		load("{" BASE ",\"http_config\":{\"allow_write_http_from\":[\" 10.0.0.0/8\"]}}", &c,
			NULL, NULL),
		0);
	ck_str_is(c->http.allow_write_http_from.items[0], "10.0.0.0/8");
}
END_TEST

TEST(test_dev)
{
	OWN(conf_free) struct conf *c = NULL;
	struct conf_source sources[] = { { "flags", false, "{\"dev_mode\":true}" },
		{ "f.json", false, "{\"log_level\":\"warn\"}" } };

	ck_assert_int_eq(conf_load(sources, 2, &c, NULL, NULL), 0);
	ck_assert(c->dev_mode && c->server && c->ui);
	ck_str_is(c->bind_addr, "127.0.0.1");
	ck_str_is(c->log_level, "warn");
}
END_TEST

TEST(test_merge)
{
	OWN(conf_free) struct conf *c = NULL;
	struct conf_source sources[] = {
		{ "a", false,
			"{" BASE ",\"ports\":{\"http\":1,\"dns\":2},\"retry_join\":[\"a\"],"
			"\"service\":{\"name\":\"one\"}}" },
		{ "b", false,
			"{\"ports\":[{\"http\":3}],\"retry_join\":[\"b\",\"c\"],\"services\":[{"
			"\"name\":\"two\"}],"
			"\"service\":{\"name\":\"three\"},\"Node_Name\":\"n\",\"bind_addr\":"
			"null}" },
	};

	ck_assert_int_eq(conf_load(sources, 2, &c, NULL, NULL), 0);
	ck_assert_int_eq(c->ports.http, 3);
	ck_assert_int_eq(c->ports.dns, 2);
	ck_assert_uint_eq(c->retry_join.count, 3);
	ck_str_is(c->retry_join.items[2], "c");
	ck_str_is(c->node_name, "n");
	ck_assert_uint_eq(c->services_json.count, 3);
	ck_str_is(json_find_text(((const struct json **)c->services_json.items)[1], "name"), "two");
}
END_TEST

TEST(test_older_spellings)
{
	OWN(conf_free) struct conf *c = NULL;

	ck_assert_int_eq(
		load("{" BASE
		     ",\"acl_token\":\"old\",\"acl_agent_token\":\"x\",\"acl\":{\"tokens\":"
		     "{\"default\":\"new\"}},\"acl_default_policy\":\"deny\"}",
			&c, NULL, NULL),
		0);
	ck_str_is(c->acl.token_default, "new");
	ck_str_is(c->acl.token_agent, "x");
	ck_str_is(c->acl.default_policy, "deny");
}
END_TEST

static const char *const refused[][2] = {
	{ "{\n\"bogus\":1,\n\"ports\":{\"rpc\":2}}",
		"failed to parse x.json: 2 errors occurred:\n\t* invalid config key bogus (line "
		"2)\n"
		"\t* invalid config key ports.rpc (line 3)\n\n" },
	{ "{\"node_name\":1}", "failed to parse x.json: 1 error(s) decoding:\n\n* 'node_name' "
			       "expected type 'string', "
			       "got unconvertible type 'float64' (line 1)" },
	{ "{\"ports\":1}", "failed to parse x.json: 1 error(s) decoding:\n\n* 'ports' expected a "
			   "map, got 'float64' (line 1)" },
	{ "{\"retry_join\":[1]}", "failed to parse x.json: 1 error(s) decoding:\n\n* "
				  "'retry_join[0]' expected type 'string', "
				  "got unconvertible type 'float64' (line 1)" },
	{ "{\"retry_join\":\"a\"}", "failed to parse x.json: 1 error(s) decoding:\n\n* "
				    "'retry_join': source data must be an "
				    "array or slice, got string (line 1)" },
	{ "{\"services\":[{\"name\":\"a\",\"checks\":[{\"bogus\":1}]}]}",
		"failed to parse x.json: 1 error occurred:\n\t* invalid config key "
		"services[0].checks[0].bogus (line 1)\n\n" },
	{ "{\"service\":{\"name\":\"a\",\n\"check\":{\"checkid\":\"c\",\n\"script_args\":[\"x\"]}}"
	  "}",
		"failed to parse x.json: 2 errors occurred:\n\t* invalid config key "
		"service.check.checkid (line 2)\n"
		"\t* invalid config key service.check.script_args (line 3)\n\n" },
	{ "{\n\"a\" 1}",
		"failed to parse x.json: invalid character '1' after object key (line 2)" },
	{ "{\"a\":1", "failed to parse x.json: unexpected end of JSON input (line 1)" },
	{ "[]", "failed to parse x.json: json: cannot unmarshal array into Go value of type "
		"map[string]interface {}" },
	{ "{}", "data_dir cannot be empty" },
	{ "{" BASE ",\"acl\":{\"enabled\":true}}", "acl.enabled cannot be true: this release of "
						   "muster has no access control (x.json line 1)" },
	{ "{" BASE ",\"server\":true,\"verify_incoming_rpc\":true}",
		"verify_incoming_rpc cannot be true: this release of muster has no TLS between "
		"servers (x.json line 1)" },
	{ "{" BASE ",\n\"retry_join\":[\"10.0.0.1\",\"provider=aws tag_key=x\"]}",
		"retry_join: \"provider=aws tag_key=x\": joining by cloud provider is not "
		"supported (x.json line 2)" },
	{ "{" BASE ",\"start_join\":[\"{{ GetPrivateIP }}\"]}",
		"start_join: \"{{ GetPrivateIP }}\": templates are not supported here (x.json "
		"line 1)" },
	{ "{" BASE ",\n\"retry_interval\":\"x\"}",
		"1 error occurred:\n\t* retry_interval: invalid duration: \"x\": time: invalid "
		"duration \"x\" (x.json line 2)\n\n" },
	{ "{" BASE ",\"dns_config\":{\"service_ttl\":{\"a\":\"x\"}}}",
		"1 error occurred:\n\t* dns_config.service_ttl[\"a\"]: invalid duration: \"x\": "
		"time: invalid duration \"x\"\n\n" },
	{ "{" BASE ",\"ports\":{\"http\":70000}}",
		"1 error occurred:\n\t* ports.http: invalid port: 70000 (x.json line 1)\n\n" },
	{ "{" BASE ",\"datacenter\":\"x!\"}",
		"datacenter cannot be \"x!\". Please use only [a-z0-9-_] (x.json line 1)" },
	{ "{" BASE ",\"bootstrap\":true}",
		"'bootstrap = true' requires 'server = true' (x.json line 1)" },
	{ "{" BASE ",\"node_meta\":{\"consul-x\":\"1\"}}",
		"node_meta invalid: Couldn't load metadata pair ('consul-x', '1'): Key prefix "
		"'consul-' is reserved for "
		"internal use (x.json line 1)" },
	{ "{" BASE ",\"dns_config\":{\"udp_answer_limit\":-1}}",
		"dns_config.udp_answer_limit cannot be -1. Must be greater than or equal to zero "
		"(x.json line 1)" },
	{ "{" BASE ",\"performance\":{\"raft_multiplier\":0}}",
		"performance.raft_multiplier cannot be 0. Must be between 1 and 10 (x.json line "
		"1)" },
	{ "{" BASE ",\"ports\":{\"http\":8600}}",
		"HTTP address 127.0.0.1:8600 already configured for DNS (x.json line 1)" },
	{ "{" BASE ",\"encrypt\":\"$$\"}",
		"encrypt has invalid key: illegal base64 data at input byte 0 (x.json line 1)" },
	{ "{" BASE ",\n\"encrypt\":\"c2hvcnQ=\"}",
		"encrypt has invalid key: key size must be 16, 24 or 32 bytes (x.json line 2)" },
	{ "{" BASE ",\"alt_domain\":\"service.x\"}",
		"alt_domain cannot start with {service,connect,node,query,addr,dc1} (x.json line "
		"1)" },
	{ "{" BASE ",\"client_addr\":\"x\"}",
		"1 error occurred:\n\t* client_addr: invalid ip address: x\n\n" },
	{ "{" BASE ",\"advertise_addr\":\"0.0.0.0\"}",
		"Advertise address cannot be 0.0.0.0, :: or [::] (x.json line 1)" },
	{ "{" BASE ",\"advertise_addr_ipv4\":\"fd00::1\"}",
		"advertise_addr_ipv4 must be an ipv4 address (x.json line 1)" },
	{ "{" BASE ",\"advertise_addr_wan_ipv6\":\"10.0.0.1\"}",
		"advertise_addr_wan_ipv6 must be an ipv6 address (x.json line 1)" },
	{ "{" BASE ",\"advertise_addr_ipv6\":\"x\"}",
		"1 error occurred:\n\t* advertise_addr_ipv6: invalid ip address: x\n\n" },
	{ "{\"data_dir\":\"/nonexistent\",\"bind_addr\":\"{{ GetPublicIP }}\"}",
		"bind_addr: the address template \"GetPublicIP\" is not supported: only "
		"GetPrivateIP and GetInterfaceIP are "
		"(x.json line 1)" },
	{ "{" BASE ",\"check_output_max_size\":0}",
		"check_output_max_size must be positive, to discard check output use the "
		"discard_check_output flag (x.json line 1)" },
	{ "{" BASE ",\n\"limits\":{\"kv_max_value_size\":-1}}",
		"limits.kv_max_value_size cannot be -1. Must be greater than or equal to zero "
		"(x.json line 2)" },
	{ "{" BASE ",\n\"unix_sockets\":{\n\"mode\":\"rw-\"}}",
		"unix_sockets.mode: invalid mode specified: rw- (x.json line 3)" },
	{ "{" BASE ",\n\"log_level\":\"loud\"}",
		"Invalid log level: loud. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR] "
		"(x.json line 2)" },
	{ "{" BASE ",\"http_config\":{\"allow_write_http_from\":[\"x\"]}}",
		"1 error occurred:\n\t* allow_write_http_from: invalid cidr: x\n\n" },
	{ "{" BASE ",\"serf_lan_allowed_cidrs\":[\"10.0.0.0/99\"],"
	  "\"serf_wan_allowed_cidrs\":[\"10.0.0.1\"]}",
		"2 errors occurred:\n\t* serf_lan_allowed_cidrs: invalid cidr: 10.0.0.0/99\n"
		"\t* serf_wan_allowed_cidrs: invalid cidr: 10.0.0.1\n\n" },
	{ "{" BASE ",\"http_config\":{\"allow_write_http_from\":[\"10.0.0.0/33\",\"::/"
	  "0\",\"localhost/8\",\"10.0.0.0/\"]}}",
		"3 errors occurred:\n\t* allow_write_http_from: invalid cidr: 10.0.0.0/\n\t* "
		"allow_write_http_from: invalid cidr: 10.0.0.0/33\n"
		"\t* allow_write_http_from: invalid cidr: localhost/8\n\n" },
};

TEST(test_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		OWN(conf_free) struct conf *c = NULL;

		ck_assert_int_eq(load(refused[i][0], &c, NULL, &why), ST_INVALID);
		ck_buf_is(&why, refused[i][1]);
	}
}
END_TEST

TEST(test_warnings)
{
	OWN_EMBEDDED(buf_fini) struct buf warnings = { 0 };
	OWN(conf_free) struct conf *c = NULL;

	ck_assert_int_eq(
		load("{" BASE ",\"server\":true,\"bootstrap_expect\":1}", &c, &warnings, NULL), 0);
	ck_buf_is(&warnings, "BootstrapExpect is set to 1; this is the same as Bootstrap mode.\n"
			     "bootstrap = true: do not enable unless necessary\n");
	ck_assert(c->bootstrap && c->bootstrap_expect == 0);
}
END_TEST

TEST(test_interface_template)
{
	OWN(conf_free) struct conf *c = NULL;

	ck_assert_int_eq(load("{\"data_dir\":\"/nonexistent\",\"bind_addr\":\"{{ GetInterfaceIP "
			      "\\\"lo\\\" }}\"}",
				 &c, NULL, NULL),
		0);
	ck_str_is(c->bind_addr, "127.0.0.1");
}
END_TEST

TEST(test_debug_hides_secrets)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN(conf_free) struct conf *c = NULL;
	struct jsonw w = jsonw_of(&out);
	struct json *tree;

	ck_assert_int_eq(load("{" BASE ",\"acl\":{\"tokens\":{\"master\":\"SECRET\"}},\"encrypt\":"
			      "\"U0VDUkVUU0VDUkVUU0VDUg==\","
			      "\"node_id\":\"6c01df1d-604b-4d6e-09f1-88d646c6d767\",\"services\":[{"
			      "\"name\":\"a\",\"token\":\"SECRET\"}],"
			      "\"max_query_time\":\"90s\",\"ports\":{\"grpc\":8502}}",
				 &c, NULL, NULL),
		0);
	conf_render_debug(c, &w);
	ck_assert(str_find_str(buf_str(&out), STR("SECRET")) < 0);
	ck_assert(str_find_str(buf_str(&out), STR("U0VDUkVU")) < 0);
	ck_assert_int_eq(json_parse(&arena, buf_str(&out), &tree, NULL), 0);
	ck_str_is(json_find_text(tree, "MaxQueryTime"), "1m30s");
	ck_str_is(json_find_text(tree, "RPCAdvertiseAddr"), "tcp://127.0.0.1:8300");
	ck_str_is(json_find_text(tree, "NodeID"), "6c01df1d-604b-4d6e-09f1-88d646c6d767");
	ck_assert_ptr_nonnull(json_find(json_find(tree, "Telemetry"), "BlockedPrefixes"));
}
END_TEST

TEST(test_node_id)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN(conf_free) struct conf *c = NULL;
	char dir[] = "/tmp/muster-conf.XXXXXX";
	struct uuid first, second;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	buf_printf(&text, "{\"bind_addr\":\"127.0.0.1\",\"data_dir\":\"%s\"}", dir);
	ck_assert_int_eq(load(buf_cstr(&text), &c, NULL, NULL), 0);
	ck_assert_int_eq(conf_node_id(c, &first), 0);
	ck_assert_int_eq(conf_node_id(c, &second), 0);
	ck_assert(uuid_eq(&first, &second) && !uuid_is_zero(&first));
	buf_clear(&text);
	buf_printf(&text, "%s/node-id", dir);
	ck_assert_int_eq(unlink(buf_cstr(&text)), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

static int keep(const char *running, const char *fresh, struct conf **out, struct buf *kept)
{
	OWN(conf_free) struct conf *before = NULL;

	ck_assert_int_eq(load(running, &before, NULL, NULL), 0);
	ck_assert_int_eq(load(fresh, out, NULL, NULL), 0);
	return conf_keep(before, out, kept, NULL);
}

TEST(test_reload_keeps_what_needs_a_restart)
{
	OWN(conf_free) struct conf *c = NULL;
	OWN_EMBEDDED(buf_fini) struct buf kept = { 0 };

	ck_assert_int_eq(
		keep("{" BASE ",\"node_name\":\"a\",\"ports\":{\"http\":1},\"retry_join\":[\"x\"],"
		     "\"service\":{\"name\":\"s\"},\"dns_config\":{\"node_ttl\":\"1s\"},"
		     "\"pid_file\":\"p\",\"acl\":{\"tokens\":{\"agent\":\"t\"}}}",
			"{" BASE
			",\"Node_Name\":\"b\",\"ports\":[{\"http\":2,\"https\":3,\"grpc_tls\":4}],"
			"\"retry_join\":[\"x\"],\"services\":[{\"name\":\"s2\"},{\"name\":\"s3\"}],"
			"\"dns_config\":{\"node_ttl\":\"2s\",\"soa\":{\"retry\":7}},\"ui\":true,"
			"\"acl\":{\"tokens\":{\"agent\":\"t2\"}}}",
			&c, &kept),
		0);
	ck_buf_is(&kept, "node_name, pid_file, ports.http, ports.https, ui");
	ck_str_is(c->node_name, "a");
	ck_str_is(c->pid_file, "p");
	ck_assert_int_eq(c->ports.http, 1);
	ck_assert_int_eq(c->ports.https, -1);
	ck_assert_uint_eq(c->retry_join.count, 1);
	ck_assert(!c->ui);
	ck_assert_uint_eq(c->services_json.count, 2);
	ck_assert_int_eq(c->dns.node_ttl_ns, 2000000000LL);
	ck_assert_int_eq(c->dns.soa.retry, 7);
	ck_str_is(c->acl.token_agent, "t2");
}
END_TEST

/* The mixture is read like a file, above the defaults: nothing may be there twice afterwards. */
TEST(test_reload_takes_defaults_once)
{
	OWN(conf_free) struct conf *c = NULL;
	OWN(conf_free) struct conf *as_started = NULL;
	OWN_EMBEDDED(buf_fini) struct buf kept = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf one = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf two = { 0 };
	struct jsonw w1 = jsonw_of(&one), w2 = jsonw_of(&two);
	static const char running[] = "{\"dev_mode\":true,\"node_name\":\"a\"}";

	ck_assert_int_eq(load(running, &as_started, NULL, NULL), 0);
	ck_assert_int_eq(keep(running, "{\"dev_mode\":true,\"node_name\":\"b\"}", &c, &kept), 0);
	conf_render_debug(as_started, &w1);
	conf_render_debug(c, &w2);
	ck_str_is(buf_str(&two), buf_cstr(&one));
	buf_clear(&kept);
	conf_free(take(c));
	ck_assert_int_eq(keep(running, running, &c, &kept), 0);
	ck_assert_uint_eq(kept.n, 0);
}
END_TEST

/* What is mixed is read as it was the first time: a daemon without a network has no interfaces to
 * look at. */
TEST(test_reload_without_a_network)
{
	OWN(conf_free) struct conf *before = NULL;
	OWN(conf_free) struct conf *c = NULL;
	OWN_EMBEDDED(buf_fini) struct buf kept = { 0 };
	const struct conf_source sources[] = {
		{ "a.json", false,
			"{\"data_dir\":\"/nonexistent\",\"bind_addr\":\"{{ "
			"GetInterfaceIP \\\"none-0\\\" }}\"}" },
		{ "b.json", false, "{\"node_name\":\"b\"}" }
	};

	ck_assert_int_eq(conf_load(sources, 1, &before, NULL, NULL), ST_INVALID);
	ck_assert_int_eq(conf_load_offline(sources, 1, &before, NULL, NULL), 0);
	ck_assert_int_eq(conf_load_offline(sources, 2, &c, NULL, NULL), 0);
	ck_assert_int_eq(conf_keep(before, &c, &kept, NULL), 0);
	ck_buf_is(&kept, "node_name");
	ck_str_is(c->bind_addr, "127.0.0.1");
}
END_TEST

UNIT_MAIN("conf", test_advertised, test_defaults, test_log_folder, test_networks, test_dev,
	test_merge, test_older_spellings, test_refused, test_warnings, test_interface_template,
	test_debug_hides_secrets, test_node_id, test_reload_keeps_what_needs_a_restart,
	test_reload_takes_defaults_once, test_reload_without_a_network)
