/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules about values of a configuration, in Consul's words and order, and what follows from
 * other values.
 */
#include "common/sys/conf_private.h"

#include <ctype.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/base/time.h"
#include "common/sys/log.h"

enum {
	NODE_META_MAX = 64,
	NODE_META_KEY_MAX = 128,
	NODE_META_VALUE_MAX = 512,
	MODE_DIGITS_MAX = 5
};

int conf_refuse(struct conf_builder *b, const char *path, const char *format, ...)
{
	const struct json *v = conf_get(b->merged, path);
	va_list args;

	va_start(args, format);
	buf_vprintf(b->why, format, args);
	va_end(args);
	if (v) {
		conf_where(b, v->offset, b->why);
	}
	return ST_INVALID;
}

void conf_warn(struct conf_builder *b, const char *format, ...)
{
	va_list args;

	if (!b->warnings) {
		return;
	}
	va_start(args, format);
	buf_vprintf(b->warnings, format, args);
	va_end(args);
	buf_put_char(b->warnings, '\n');
}

static bool all_of(struct str s, bool (*good)(char c))
{
	for (size_t i = 0; i < s.n; i++) {
		if (!good(s.p[i])) {
			return false;
		}
	}
	return true;
}

static bool is_datacenter_char(char c)
{
	return islower((unsigned char)c) || isdigit((unsigned char)c) || c == '-' || c == '_';
}

static bool is_label_char(char c)
{
	return isalnum((unsigned char)c) || c == '-';
}

static bool is_meta_key_char(char c)
{
	return is_label_char(c) || c == '_';
}

static bool is_path_char(char c)
{
	return is_meta_key_char(c) || c == '/';
}

static struct str lowered(struct conf *c, struct str s)
{
	struct str copy = arena_str(&c->arena, s);

	str_lower_into(s, (char *)copy.p);
	return copy;
}

static int names_check(struct conf_builder *b)
{
	struct conf *c = b->c;

	c->datacenter = lowered(c, c->datacenter);
	c->node_id = lowered(c, c->node_id);
	if (c->datacenter.n == 0) {
		return conf_refuse(b, "datacenter", "datacenter cannot be empty");
	}
	if (!all_of(c->datacenter, is_datacenter_char)) {
		return conf_refuse(b, "datacenter",
			"datacenter cannot be \"" STR_FMT "\". Please use only [a-z0-9-_]",
			STR_ARG(c->datacenter));
	}
	if (c->data_dir.n == 0 && !c->dev_mode) {
		return conf_refuse(b, "data_dir", "data_dir cannot be empty");
	}
	if (c->node_name.n == 0) {
		char host[256] = "";

		gethostname(host, sizeof(host) - 1);
		c->node_name = arena_str(&c->arena, str_of(host));
	}
	if (!all_of(c->node_name, is_label_char)) {
		conf_warn(b,
			"Node name \"" STR_FMT
			"\" will not be discoverable via DNS due to invalid characters. "
			"Valid characters include all alpha-numerics and dashes.",
			STR_ARG(c->node_name));
	} else if (c->node_name.n > 63) {
		conf_warn(b,
			"Node name \"" STR_FMT
			"\" will not be discoverable via DNS due to it being too long. "
			"Valid lengths are between 1 and 63 bytes.",
			STR_ARG(c->node_name));
	}
	if (conf_get(b->merged, "acl_datacenter")) {
		conf_warn(b, "The 'acl_datacenter' field is deprecated. Use the "
			     "'primary_datacenter' field instead.");
	}
	c->primary_datacenter =
		c->primary_datacenter.n ? lowered(c, c->primary_datacenter) : c->datacenter;
	return 0;
}

static int meta_pair_check(struct conf_builder *b, struct pair p, const char *what, size_t limit)
{
	return conf_refuse(b, "node_meta",
		"node_meta invalid: Couldn't load metadata pair ('" STR_FMT "', '" STR_FMT
		"'): %s is too long (limit: %zu characters)",
		STR_ARG(p.key), STR_ARG(p.value), what, limit);
}

static int meta_check(struct conf_builder *b)
{
	const struct pairs *meta = &b->c->node_meta;

	if (meta->count > NODE_META_MAX) {
		return conf_refuse(b, "node_meta",
			"node_meta invalid: Node metadata cannot contain more than %d key/value "
			"pairs",
			NODE_META_MAX);
	}
	for (uint32_t i = 0; i < meta->count; i++) {
		struct pair p = meta->items[i];
		const char *reason = p.key.n == 0 ? "Key cannot be blank"
				     : !all_of(p.key, is_meta_key_char)
					     ? "Key contains invalid characters"
				     : str_starts(p.key, STR("consul-"))
					     ? "Key prefix 'consul-' is reserved for internal use"
					     : NULL;

		if (p.key.n > NODE_META_KEY_MAX) {
			return meta_pair_check(b, p, "Key", NODE_META_KEY_MAX);
		}
		if (reason) {
			return conf_refuse(b, "node_meta",
				"node_meta invalid: Couldn't load metadata pair ('" STR_FMT
				"', '" STR_FMT "'): %s",
				STR_ARG(p.key), STR_ARG(p.value), reason);
		}
		if (p.value.n > NODE_META_VALUE_MAX) {
			return meta_pair_check(b, p, "Value", NODE_META_VALUE_MAX);
		}
	}
	return 0;
}

static int server_check(struct conf_builder *b)
{
	struct conf *c = b->c;
	int64_t expect = c->bootstrap_expect;

	if (expect < 0) {
		return conf_refuse(b, "bootstrap_expect",
			"bootstrap_expect cannot be %lld. Must be greater than or equal to zero",
			(long long)expect);
	}
	if (expect > 0 && c->dev_mode) {
		return conf_refuse(
			b, "bootstrap_expect", "'bootstrap_expect > 0' not allowed in dev mode");
	}
	if (expect == 1) {
		conf_warn(b, "BootstrapExpect is set to 1; this is the same as Bootstrap mode.");
		c->bootstrap = true;
		c->bootstrap_expect = expect = 0;
	}
	if (c->bootstrap && !c->server) {
		return conf_refuse(b, "bootstrap", "'bootstrap = true' requires 'server = true'");
	}
	if (expect > 0 && !c->server) {
		return conf_refuse(
			b, "bootstrap_expect", "'bootstrap_expect > 0' requires 'server = true'");
	}
	if (expect > 0 && c->bootstrap) {
		return conf_refuse(b, "bootstrap_expect",
			"'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive");
	}
	if (expect == 2) {
		conf_warn(b, "bootstrap_expect = 2: A cluster with 2 servers will provide no "
			     "failure tolerance.");
	} else if (expect > 0 && expect % 2 == 0) {
		conf_warn(b, "bootstrap_expect is even number: A cluster with an even number of "
			     "servers does not achieve "
			     "optimum fault tolerance.");
	}
	if (c->bootstrap) {
		conf_warn(b, "bootstrap = true: do not enable unless necessary");
	} else if (expect > 0) {
		conf_warn(b, "bootstrap_expect > 0: expecting %lld servers", (long long)expect);
	}
	return 0;
}

static int not_negative(struct conf_builder *b, const char *path)
{
	const struct json *v = conf_get(b->merged, path);

	if (v && v->text.n && v->text.p[0] == '-') {
		return conf_refuse(b, path,
			"%s cannot be " STR_FMT ". Must be greater than or equal to zero", path,
			STR_ARG(v->text));
	}
	return 0;
}

static int numbers_check(struct conf_builder *b)
{
	static const char *const counts[] = { "dns_config.udp_answer_limit",
		"dns_config.a_record_limit", "autopilot.max_trailing_logs", "autopilot.min_quorum",
		"limits.kv_max_value_size", "limits.txn_max_req_len" };
	struct conf *c = b->c;
	int64_t multiplier = c->performance.raft_multiplier;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(counts) && r == 0; i++) {
		r = not_negative(b, counts[i]);
	}
	if (r) {
		return r;
	}
	if (multiplier < 1 || multiplier > 10) {
		return conf_refuse(b, "performance.raft_multiplier",
			"performance.raft_multiplier cannot be %lld. Must be between 1 and 10",
			(long long)multiplier);
	}
	if (c->check_output_max_size < 1) {
		return conf_refuse(b, "check_output_max_size",
			"check_output_max_size must be positive, to discard check output "
			"use the discard_check_output flag");
	}
	return 0;
}

static int domain_check(struct conf_builder *b)
{
	static const char *const taken[] = { "service", "connect", "node", "query", "addr" };
	struct str first, rest = str_of(""), domain = b->c->alt_domain;
	bool bad = false;

	first = str_split(domain, '.', &rest);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		bad = bad || str_is(first, taken[i]);
	}
	if (domain.n && (bad || str_eq(first, b->c->datacenter))) {
		return conf_refuse(b, "alt_domain",
			"alt_domain cannot start with {service,connect,node,query,addr," STR_FMT
			"}",
			STR_ARG(b->c->datacenter));
	}
	return 0;
}

static int log_level_check(struct conf_builder *b)
{
	enum log_level level;

	return log_level_parse(b->c->log_level, &level) == 0
		       ? 0
		       : conf_refuse(b, "log_level",
				 "Invalid log level: " STR_FMT
				 ". Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]",
				 STR_ARG(b->c->log_level));
}

static bool is_octal_digit(char c)
{
	return c >= '0' && c <= '7';
}

static int mode_check(struct conf_builder *b)
{
	struct str mode = b->c->unix_sockets.mode;

	return mode.n <= MODE_DIGITS_MAX && all_of(mode, is_octal_digit)
		       ? 0
		       : conf_refuse(b, "unix_sockets.mode",
				 "unix_sockets.mode: invalid mode specified: " STR_FMT,
				 STR_ARG(mode));
}

static int key_check(struct conf_builder *b)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };
	size_t bad_at = 0;

	if (b->c->encrypt.n && base64_parse(b->c->encrypt, &key, &bad_at)) {
		return conf_refuse(b, "encrypt",
			"encrypt has invalid key: illegal base64 data at input byte %zu", bad_at);
	}
	if (b->c->encrypt.n && key.n != 16 && key.n != 24 && key.n != 32) {
		return conf_refuse(b, "encrypt",
			"encrypt has invalid key: key size must be 16, 24 or 32 bytes");
	}
	return 0;
}

static int ui_check(struct conf_builder *b)
{
	struct conf *c = b->c;
	const struct json *dir = conf_get(b->merged, "ui_dir");
	struct str path = c->ui_content_path;

	while (path.n && path.p[0] == '/') {
		path = str_skip(path, 1);
	}
	while (path.n && path.p[path.n - 1] == '/') {
		path.n--;
	}
	c->ui_content_path =
		path.n ? arena_printf(&c->arena, "/" STR_FMT "/", STR_ARG(path)) : STR("/");
	if (!all_of(c->ui_content_path, is_path_char)) {
		return conf_refuse(b, "ui_content_path",
			"ui-content-path can only contain alphanumeric, -, _, or /. "
			"received: " STR_FMT,
			STR_ARG(c->ui_content_path));
	}
	if (c->ui && dir && dir->text.n) {
		return conf_refuse(b, "ui_dir",
			"Both the ui and ui-dir flags were specified, please provide only one.\n"
			"If trying to use your own web UI resources, use the ui-dir flag.\n"
			"The web UI is included in the binary so use ui to enable it");
	}
	return 0;
}

static void networks_check(struct conf_builder *b)
{
	const struct {
		const char *key;
		const struct strs *list;
	} rows[] = { { "allow_write_http_from", &b->c->http.allow_write_http_from },
		{ "serf_lan_allowed_cidrs", &b->c->serf_lan_allowed_cidrs },
		{ "serf_wan_allowed_cidrs", &b->c->serf_wan_allowed_cidrs } };
	struct cidr ignored;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (uint32_t k = 0; k < rows[i].list->count; k++) {
			rows[i].list->items[k] = str_trim(rows[i].list->items[k]);
			if (cidr_parse(rows[i].list->items[k], &ignored)) {
				conf_fault(b, &b->faults, "%s: invalid cidr: " STR_FMT, rows[i].key,
					STR_ARG(rows[i].list->items[k]));
			}
		}
	}
}

static void lists_check(struct conf_builder *b)
{
	const struct strs *filters = &b->c->telemetry.prefix_filter;
	const struct pairs *ttl = &b->c->dns.service_ttl;

	for (uint32_t i = 0; i < filters->count; i++) {
		if (!str_starts(filters->items[i], STR("+")) &&
			!str_starts(filters->items[i], STR("-"))) {
			conf_warn(b,
				"Filter rule must begin with either '+' or '-': \"" STR_FMT "\"",
				STR_ARG(filters->items[i]));
		}
	}
	networks_check(b);
	for (uint32_t i = 0; i < ttl->count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
		int64_t ns;

		if (duration_parse(ttl->items[i].value, &ns, &reason)) {
			conf_fault(b, &b->faults,
				"dns_config.service_ttl[\"" STR_FMT
				"\"]: invalid duration: \"" STR_FMT "\": " STR_FMT,
				STR_ARG(ttl->items[i].key), STR_ARG(ttl->items[i].value),
				STR_ARG(buf_str(&reason)));
		}
	}
}

/* An open door must not look closed. What also counts for HTTPS is no reason to refuse a file. */
static int server_tls_check(struct conf_builder *b)
{
	static const char *const keys[] = { "verify_incoming", "verify_outgoing",
		"verify_server_hostname" };
	const struct json *rpc = conf_get(b->merged, "verify_incoming_rpc");

	if (!b->c->server) {
		return 0;
	}
	if (rpc && rpc->boolean) {
		return conf_refuse(b, "verify_incoming_rpc",
			"verify_incoming_rpc cannot be true: this release of muster has no TLS "
			"between servers");
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct json *v = conf_get(b->merged, keys[i]);

		if (v && v->boolean) {
			conf_warn(b,
				"%s does not count between servers: port %lld has no TLS in this "
				"release",
				keys[i], (long long)b->c->ports.server);
		}
	}
	return 0;
}

static int others_check(struct conf_builder *b)
{
	const struct json *segment = conf_get(b->merged, "segment");
	struct conf *c = b->c;
	struct stat st;

	if (segment && segment->text.n) {
		return conf_refuse(b, "segment",
			"Network segments are not supported in this version of Consul");
	}
	if (c->acl.enabled) {
		return conf_refuse(b, "acl.enabled",
			"acl.enabled cannot be true: this release of muster has no access control");
	}
	if (conf_get(b->merged, "audit")) {
		conf_warn(b,
			"\"audit\" is a Consul Enterprise configuration and will have no effect");
	}
	if (c->enable_script_checks_remote && !c->acl.enabled &&
		c->http.allow_write_http_from.count == 0) {
		conf_warn(b, "using enable-script-checks without ACLs and without "
			     "allow_write_http_from is DANGEROUS, use "
			     "enable-local-script-checks instead");
	}
	if (c->data_dir.n && stat(c->data_dir.p, &st) == 0 && !S_ISDIR(st.st_mode)) {
		return conf_refuse(b, "data_dir", "data_dir \"" STR_FMT "\" is not a directory",
			STR_ARG(c->data_dir));
	}
	return 0;
}

/* What cloud providers know is not asked for, and a template would have to be one address. */
static int joins_check(struct conf_builder *b)
{
	static const char *const keys[] = { "start_join", "retry_join", "start_join_wan",
		"retry_join_wan" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct json *list = conf_get(b->merged, keys[i]), *item;

		if (!list) {
			continue;
		}
		json_for_each (item, list) {
			bool template = str_find_str(item->text, STR("{{")) >= 0;

			if (template || str_find_str(item->text, STR("provider=")) >= 0) {
				return conf_refuse(b, keys[i], "%s: \"" STR_FMT "\": %s", keys[i],
					STR_ARG(item->text),
					template ? "templates are not supported here"
						 : "joining by cloud provider is not supported");
			}
		}
	}
	return 0;
}

/* Relative paths are those of whoever started the agent (which says from where), not of the run
 * directory that it and its daemons live in. */
static void paths_fill(struct conf *c)
{
	struct str *paths[] = { &c->ca_file, &c->ca_path, &c->cert_file, &c->key_file, &c->pid_file,
		&c->log_file };
	const char *base = getenv(CONF_DIRECTORY_VARIABLE);

	for (size_t i = 0; base && i < ARRAY_SIZE(paths); i++) {
		if (paths[i]->n && paths[i]->p[0] != '/') {
			*paths[i] =
				arena_printf(&c->arena, "%s/" STR_FMT, base, STR_ARG(*paths[i]));
		}
	}
}

/* What is not set and follows from other values. */
static void derived_fill(struct conf_builder *b)
{
	struct conf *c = b->c;

	paths_fill(c);
	if (str_ends(c->log_file, STR("/"))) {
		c->log_file = arena_printf(&c->arena, STR_FMT "consul.log", STR_ARG(c->log_file));
	}
	if (!conf_get(b->merged, "leave_on_terminate")) {
		c->leave_on_terminate = !c->server;
	}
	if (!conf_get(b->merged, "skip_leave_on_interrupt")) {
		c->skip_leave_on_interrupt = c->server;
	}
	c->enable_script_checks_local =
		c->enable_script_checks_local || c->enable_script_checks_remote;
	c->raft_protocol = c->raft_protocol ? c->raft_protocol : 3;
	c->raft_snapshot_threshold =
		c->raft_snapshot_threshold ? c->raft_snapshot_threshold : 16384;
	c->raft_trailing_logs = c->raft_trailing_logs ? c->raft_trailing_logs : 10240;
	if (c->raft_snapshot_interval_ns == 0) {
		c->raft_snapshot_interval_ns = 30 * NS_PER_S;
	}
	if (c->log_rotate_duration_ns <= 0) {
		c->log_rotate_duration_ns = 24 * 3600 * NS_PER_S;
	}
	if (c->session_ttl_min_ns == 0) {
		c->session_ttl_min_ns = 10 * NS_PER_S;
	}
	if (c->reconnect_timeout_ns == 0) {
		c->reconnect_timeout_ns = 72 * 3600 * NS_PER_S;
	}
	if (c->domain.n && c->domain.p[c->domain.n - 1] != '.') {
		c->domain = arena_printf(&c->arena, STR_FMT ".", STR_ARG(c->domain));
	}
	if (c->alt_domain.n && c->alt_domain.p[c->alt_domain.n - 1] != '.') {
		c->alt_domain = arena_printf(&c->arena, STR_FMT ".", STR_ARG(c->alt_domain));
	}
}

int conf_check(struct conf_builder *b)
{
	static int (*const rules[])(struct conf_builder * b) = { names_check, conf_addresses_fill,
		domain_check, key_check, ui_check, server_check, meta_check, numbers_check,
		joins_check, server_tls_check, others_check, log_level_check, mode_check };

	lists_check(b);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		int r = rules[i](b);

		if (b->faults.count) {
			buf_clear(b->why);
			conf_faults_render(&b->faults, b->why);
			return ST_INVALID;
		}
		if (r) {
			return r;
		}
	}
	derived_fill(b);
	return conf_addresses_check(b);
}
