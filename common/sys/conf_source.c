/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of a configuration: built-in defaults, files and directories, merged in order into one
 * JSON tree. Scalars replace, lists append, objects merge key by key. A single "service" or "check"
 * of a file joins the list of all.
 */
#include "common/sys/conf_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/json_why.h"

enum { SOURCE_SIZE_MAX = 16 << 20, SOURCES_MAX = 1024, MERGED_SIZE_MAX = 256 << 20 };

static const char defaults_text[] =
	"{\"acl_default_policy\":\"allow\",\"acl_down_policy\":\"extend-cache\",\"acl\":{\"policy_"
	"ttl\":"
	"\"30s\","
	"\"token_ttl\":\"30s\",\"disabled_ttl\":\"2m\"},"
	"\"ae_interval\":\"1m\",\"bind_addr\":\"0.0.0.0\",\"check_output_max_size\":4096,"
	"\"check_update_interval\":\"5m\",\"check_reap_interval\":\"30s\","
	"\"check_deregister_interval_min\":\"1m\",\"client_addr\":\"127.0.0.1\","
	"\"datacenter\":\"dc1\",\"default_query_time\":\"300s\",\"max_query_time\":\"600s\","
	"\"disable_host_node_id\":true,\"disable_remote_exec\":true,\"domain\":\"consul.\","
	"\"encrypt_verify_incoming\":true,\"encrypt_verify_outgoing\":true,"
	"\"enable_central_service_config\":true,"
	"\"dns_config\":{\"allow_stale\":true,\"udp_answer_limit\":3,\"max_stale\":\"87600h\","
	"\"recursor_timeout\":\"2s\",\"enable_additional_node_meta_txt\":true,"
	"\"soa\":{\"refresh\":3600,\"retry\":600,\"expire\":86400,\"min_ttl\":0}},"
	"\"http_config\":{\"use_cache\":true},"
	"\"limits\":{\"http_max_conns_per_client\":200,\"https_handshake_timeout\":\"5s\","
	"\"rpc_handshake_timeout\":\"5s\",\"rpc_rate\":-1,\"rpc_max_burst\":1000,"
	"\"rpc_max_conns_per_client\":100,\"kv_max_value_size\":524288,\"txn_max_req_len\":524288},"
	"\"log_level\":\"INFO\",\"protocol\":2,"
	"\"primary_gateways_interval\":\"30s\",\"retry_interval\":\"30s\",\"retry_interval_wan\":"
	"\"30s\","
	"\"server\":false,\"syslog_facility\":\"LOCAL0\",\"tls_min_version\":\"tls12\","
	"\"gossip_lan\":{\"gossip_interval\":\"200ms\",\"gossip_nodes\":3,\"probe_interval\":"
	"\"1s\","
	"\"probe_timeout\":\"500ms\",\"retransmit_mult\":4,\"suspicion_mult\":4},"
	"\"gossip_wan\":{\"gossip_interval\":\"500ms\",\"gossip_nodes\":3,\"probe_interval\":"
	"\"5s\","
	"\"probe_timeout\":\"3s\",\"retransmit_mult\":4,\"suspicion_mult\":6},"
	"\"performance\":{\"leave_drain_time\":\"5s\",\"raft_multiplier\":5,\"rpc_hold_timeout\":"
	"\"7s\"},"
	"\"autopilot\":{\"cleanup_dead_servers\":true,\"last_contact_threshold\":\"200ms\","
	"\"max_trailing_logs\":250,\"min_quorum\":0,\"server_stabilization_time\":\"10s\"},"
	"\"ports\":{\"dns\":8600,\"http\":8500,\"https\":-1,\"grpc\":-1,\"serf_lan\":8301,"
	"\"serf_wan\":8302,\"server\":8300,\"peer_http\":8310,\"peer_dns\":8311,"
	"\"sidecar_min_port\":21000,\"sidecar_max_port\":21255,"
	"\"expose_min_port\":21500,\"expose_max_port\":21755},"
	"\"sync_coordinate_rate_target\":64,\"sync_coordinate_interval_min\":\"15s\","
	"\"segment_limit\":64,\"segment_name_limit\":64,"
	"\"telemetry\":{\"metrics_prefix\":\"consul\",\"filter_default\":true},"
	"\"cache\":{\"entry_fetch_max_burst\":2},\"ui_content_path\":\"/ui/\"}";

/* What -dev lays over the defaults. */
static const char dev_text[] =
	"{\"bind_addr\":\"127.0.0.1\",\"disable_anonymous_signature\":true,\"disable_keyring_"
	"file\":true,"
	"\"enable_debug\":true,\"ui\":true,\"log_level\":\"DEBUG\",\"server\":true,"
	"\"connect\":{\"enabled\":true},\"ports\":{\"grpc\":8502},"
	"\"gossip_lan\":{\"gossip_interval\":\"100ms\",\"probe_interval\":\"100ms\","
	"\"probe_timeout\":\"100ms\",\"suspicion_mult\":3},"
	"\"gossip_wan\":{\"gossip_interval\":\"100ms\",\"probe_interval\":\"100ms\","
	"\"probe_timeout\":\"100ms\",\"suspicion_mult\":3},"
	"\"performance\":{\"raft_multiplier\":1}}";

int conf_line(const struct conf_text *t, uint32_t position)
{
	size_t end = min_of((size_t)(position - t->base), t->text.n);
	int line = 1;

	for (size_t i = 0; i < end; i++) {
		line += t->text.p[i] == '\n';
	}
	return line;
}

void conf_where(const struct conf_builder *b, uint32_t position, struct buf *out)
{
	for (size_t i = 0; i < b->texts_count; i++) {
		const struct conf_text *t = &b->texts[i];

		if (position >= t->base && position - t->base <= t->text.n && t->path.n) {
			buf_printf(out, " (" STR_FMT " line %d)", STR_ARG(t->path),
				conf_line(t, position));
			return;
		}
	}
}

void conf_fault(struct conf_builder *b, struct conf_faults *faults, const char *format, ...)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	va_list args;

	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	if (faults->count == faults->size) {
		size_t size = faults->size ? faults->size * 2 : 8;
		struct str *items = arena_array(&b->c->arena, struct str, size);

		if (faults->count) {
			memcpy(items, faults->items, faults->count * sizeof(*items));
		}
		faults->items = items;
		faults->size = size;
	}
	faults->items[faults->count++] = arena_str(&b->c->arena, buf_str(&text));
}

static int fault_cmp(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void conf_faults_render(struct conf_faults *faults, struct buf *out)
{
	qsort(faults->items, faults->count, sizeof(*faults->items), fault_cmp);
	buf_printf(out, "%zu error%s occurred:\n", faults->count, faults->count == 1 ? "" : "s");
	for (size_t i = 0; i < faults->count; i++) {
		buf_printf(out, "\t* " STR_FMT "\n", STR_ARG(faults->items[i]));
	}
	buf_put_char(out, '\n');
}

const struct json *conf_get(const struct json *tree, const char *path)
{
	struct str rest = str_of(path);

	while (tree && rest.p) {
		struct str name = str_split(rest, '.', &rest);
		const struct json *member, *found = NULL;

		if (tree->type != JSON_OBJECT) {
			return NULL;
		}
		json_for_each (member, tree) {
			if (str_eq(member->key, name)) {
				found = member;
			}
		}
		tree = found;
	}
	return tree;
}

/* ---- merging ---- */

static void member_append(struct json *parent, struct json *child)
{
	struct json **end = &parent->first;

	while (*end) {
		end = &(*end)->next;
	}
	child->next = NULL;
	*end = child;
	parent->count++;
}

static void object_merge(struct json *into, struct json *from);

static void member_merge(struct json *into, struct json *member)
{
	struct json *old = (struct json *)json_find(into, member->key.p);

	if (!old) {
		member_append(into, member);
	} else if (old->type == JSON_OBJECT && member->type == JSON_OBJECT) {
		object_merge(old, member);
	} else if (old->type == JSON_ARRAY && member->type == JSON_ARRAY) {
		struct json **end = &old->first;

		while (*end) {
			end = &(*end)->next;
		}
		*end = member->first;
		old->count += member->count;
	} else {
		struct json *next = old->next;

		*old = *member;
		old->next = next;
	}
}

static void object_merge(struct json *into, struct json *from)
{
	struct json *next;

	for (struct json *member = from->first; member; member = next) {
		next = member->next;
		if (member->type != JSON_NULL) {
			member_merge(into, member);
		}
	}
}

/* "service": {..} of one file becomes one more element of "services". */
static void single_to_list(
	struct conf_builder *b, struct json *tree, const char *single, const char *list)
{
	struct json **link = &tree->first;

	while (*link) {
		struct json *member = *link, *all;

		if (!str_is(member->key, single) || member->type != JSON_OBJECT) {
			link = &member->next;
			continue;
		}
		*link = member->next;
		tree->count--;
		all = (struct json *)json_find(tree, list);
		if (!all) {
			all = arena_new(&b->c->arena, struct json);
			all->type = JSON_ARRAY;
			all->key = str_of(list);
			member_append(tree, all);
		}
		member_append(all, member);
	}
}

static void positions_shift(struct json *v, uint32_t base)
{
	v->offset += base;
	for (struct json *child = v->first; child; child = child->next) {
		positions_shift(child, base);
	}
}

/* ---- one text ---- */

static int parse_refuse(struct conf_builder *b, struct str path, struct str text)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	json_why(text, &why);
	if (str_is(buf_str(&why), "unexpected EOF")) {
		buf_clear(&why);
		buf_put_lit(&why, "unexpected end of JSON input");
	}
	buf_printf(b->why, "failed to parse " STR_FMT ": " STR_FMT " (line %d)", STR_ARG(path),
		STR_ARG(buf_str(&why)), json_why_line(text));
	return ST_INVALID;
}

static int text_merge(struct conf_builder *b, struct str path, struct str text)
{
	struct conf_text *t = &b->texts[b->texts_count];
	struct json *tree;

	if (str_trim(text).n == 0) {
		return 0;
	}
	if (b->texts_count == SOURCES_MAX || text.n > MERGED_SIZE_MAX - b->position) {
		buf_put_lit(b->why, "too many configuration files");
		return ST_INVALID;
	}
	*t = (struct conf_text) { arena_str(&b->c->arena, path), arena_str(&b->c->arena, text),
		b->position };
	b->texts_count++;
	b->position += (uint32_t)text.n + 1;
	if (json_parse(&b->c->arena, t->text, &tree, NULL)) {
		return parse_refuse(b, path, text);
	}
	if (tree->type != JSON_OBJECT) {
		buf_printf(b->why,
			"failed to parse " STR_FMT
			": json: cannot unmarshal %s into Go value of type "
			"map[string]interface {}",
			STR_ARG(path), json_go_type(tree));
		return ST_INVALID;
	}
	positions_shift(tree, t->base);
	if (conf_tree_check(b, t, tree)) {
		return ST_INVALID;
	}
	single_to_list(b, tree, "service", "services");
	single_to_list(b, tree, "check", "checks");
	object_merge(b->merged, tree);
	return 0;
}

/* ---- files ---- */

static int open_refuse(struct conf_builder *b, const char *path)
{
	char reason[128];

	/* Go prints the system's texts in lower case */
	snprintf(reason, sizeof(reason), "%s", strerror(errno));
	if (reason[0] >= 'A' && reason[0] <= 'Z') {
		reason[0] = (char)(reason[0] + 32);
	}
	buf_printf(b->why, "config: Open failed on %s. open %s: %s", path, path, reason);
	return ST_INVALID;
}

static int file_read(struct conf_builder *b, const char *path, struct buf *out)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0) {
		return open_refuse(b, path);
	}
	do {
		n = read(fd, buf_reserve(out, 65536), 65536);
		if (n < 0) {
			return open_refuse(b, path);
		}
		out->n += (size_t)n;
		if (out->n > SOURCE_SIZE_MAX) {
			buf_printf(b->why, "failed to parse %s: larger than %d bytes", path,
				SOURCE_SIZE_MAX);
			return ST_INVALID;
		}
	} while (n > 0);
	return 0;
}

static int file_merge(struct conf_builder *b, const char *path)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	int r = file_read(b, path, &text);

	if (r) {
		return r;
	}
	if (str_ends(str_of(path), STR(".hcl"))) {
		const char *start = buf_cstr(&text);

		if (str_trim(str_of(start)).n && str_trim(str_of(start)).p[0] != '{') {
			buf_printf(b->why,
				"failed to parse %s: HCL is not supported by muster: only JSON is "
				"read",
				path);
			return ST_INVALID;
		}
	}
	return text_merge(b, str_of(path), buf_str(&text));
}

static int entry_wanted(const struct dirent *e)
{
	struct str name = str_of(e->d_name);

	return str_ends(name, STR(".json")) || str_ends(name, STR(".hcl"));
}

static int plain_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int directory_merge(struct conf_builder *b, const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, entry_wanted, plain_order), r = 0;

	if (count < 0) {
		return open_refuse(b, path);
	}
	for (int i = 0; i < count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf file = { 0 };
		struct stat st;

		buf_printf(&file, "%s/%s", path, entries[i]->d_name);
		if (r == 0 && stat(buf_cstr(&file), &st) == 0 && !S_ISDIR(st.st_mode)) {
			r = file_merge(b, buf_cstr(&file));
		}
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int source_merge(struct conf_builder *b, const struct conf_source *s)
{
	if (s->text) {
		return text_merge(b, str_of(s->path), str_of(s->text));
	}
	return s->directory ? directory_merge(b, s->path) : file_merge(b, s->path);
}

/* -dev lies below every source, so it must be known before the first is merged. What can be read
 * only once (a pipe) is left for the merging. */
static bool wants_dev(struct conf_builder *b, const struct conf_source *s)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 }, ignored = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct conf_builder quiet = { .c = b->c, .why = &ignored };
	const struct json *dev;
	struct json *tree;
	struct stat st;

	if (!s->text &&
		(stat(s->path, &st) || !S_ISREG(st.st_mode) || file_read(&quiet, s->path, &text))) {
		return false;
	}
	if (json_parse(&arena, s->text ? str_of(s->text) : buf_str(&text), &tree, NULL)) {
		return false;
	}
	dev = json_find(tree, "dev_mode");
	return dev && dev->boolean;
}

int conf_sources_merge(struct conf_builder *b, const struct conf_source *sources, size_t count)
{
	bool dev = false;
	int r;

	b->texts = arena_array(&b->c->arena, struct conf_text, SOURCES_MAX);
	b->merged = arena_new(&b->c->arena, struct json);
	b->merged->type = JSON_OBJECT;
	r = text_merge(b, STR(""), str_of(defaults_text));
	must(r == 0);
	for (size_t i = 0; i < count && !dev; i++) {
		dev = wants_dev(b, &sources[i]);
	}
	if (dev) {
		r = text_merge(b, STR(""), str_of(dev_text));
		must(r == 0);
	}
	for (size_t i = 0; i < count && r == 0; i++) {
		r = source_merge(b, &sources[i]);
	}
	return r;
}
