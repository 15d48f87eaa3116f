/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent and its cluster: members, info, reload, leave, join, force-leave.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "common/base/regex.h"
#include "ctl/api.h"
#include "ctl/commands.h"
#include "ctl/table.h"

/* A PUT that answers with nothing. */
static int put_simple(struct api *api, const char *where, const char *part, const char *mark)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	buf_put_cstr(&path, where);
	path_put(&path, part);
	if (mark) {
		path_query(&path, mark, "1");
	}
	return api_ask(api, "PUT", &path, STR_NONE, &answer);
}

/* ---- members ---- */

static const char *segment_of(const struct json *m)
{
	const struct json *tags = json_find(m, "Tags");
	const char *segment = field_text(tags, "segment");

	return segment[0]					 ? segment
	       : strcmp(field_text(tags, "role"), "consul") == 0 ? "<all>"
								 : "<default>";
}

static int member_order(const void *a, const void *b)
{
	const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;
	int by_segment = strcmp(segment_of(x), segment_of(y));

	return by_segment ? by_segment : strcmp(field_text(x, "Name"), field_text(y, "Name"));
}

static const char *status_text(const struct json *m)
{
	static const char *const names[] = { "none", "alive", "leaving", "left", "failed" };
	uint64_t status = field_u64(m, "Status");

	return status < ARRAY_SIZE(names) ? names[status] : "unknown";
}

/* The tags, with the segment as people read it. */
static void tags_join(const struct json *m, struct buf *out)
{
	static const char tag[] = "segment=";
	OWN_EMBEDDED(buf_fini) struct buf plain = { 0 };
	struct str all, rest;
	ssize_t at;

	pairs_join(json_find(m, "Tags"), ",", &plain);
	all = buf_str(&plain);
	at = str_find_str(all, str_of(tag));
	if (at < 0) {
		buf_put_str(out, all);
		return;
	}
	buf_put_str(out, str_cut(all, (size_t)at + strlen(tag)));
	buf_put_cstr(out, segment_of(m));
	str_split(str_skip(all, (size_t)at), ',', &rest);
	if (rest.p) {
		buf_put_char(out, ',');
		buf_put_str(out, rest);
	}
}

static void member_row(struct table *t, const struct json *m, bool detailed)
{
	const struct json *tags = json_find(m, "Tags");
	OWN_EMBEDDED(buf_fini) struct buf address = { 0 }, text = { 0 };
	const char *ip = field_text(m, "Addr"), *role = field_text(tags, "role");

	buf_printf(&address, strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip, field_text(m, "Port"));
	if (detailed) {
		tags_join(m, &text);
		TABLE_ROW(t, field_text(m, "Name"), buf_cstr(&address), status_text(m),
			buf_cstr(&text));
		return;
	}
	buf_put_str(&text, str_split(str_of(field_text(tags, "build")), ':', &(struct str) { 0 }));
	TABLE_ROW(t, field_text(m, "Name"), buf_cstr(&address), status_text(m),
		strcmp(role, "consul") == 0 ? "server"
		: strcmp(role, "node") == 0 ? "client"
					    : "unknown",
		buf_cstr(&text), field_text(tags, "vsn"), field_text(tags, "dc"), segment_of(m));
}

static int members_print(
	struct api *api, const struct json *all, const struct regex *wanted, bool detailed)
{
	const struct json **sorted = arena_array(&api->arena, const struct json *, all->count), *m;
	OWN_EMBEDDED(table_fini) struct table t;
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	size_t count = 0;

	json_for_each (m, all) {
		if (regex_match(wanted, str_of(status_text(m)))) {
			sorted[count++] = m;
		}
	}
	qsort(sorted, count, sizeof(*sorted), member_order);
	table_init(&t, detailed ? 4 : 8);
	TABLE_ROW(&t, "Node", "Address", "Status", detailed ? "Tags" : "Type", "Build", "Protocol",
		"DC", "Segment");
	for (size_t i = 0; i < count; i++) {
		member_row(&t, sorted[i], detailed);
	}
	if (count == 0) {
		return 2;
	}
	table_render(&t, &out);
	fwrite(out.p, 1, out.n, stdout);
	return 0;
}

int members_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, reason = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const char *status = ".*", *segment = "_all", *filter = NULL;
	bool detailed = false, wan = false;
	struct flagset f = { 0 };
	const struct json *all;
	OWN(regex_free) struct regex *wanted = NULL;
	int at, r;

	flag_add(&f, "detailed", FLAG_BOOL, &detailed, "Show all tags.");
	flag_add(&f, "status", FLAG_TEXT, &status,
		"Only members whose status matches this expression.");
	flag_add(&f, "wan", FLAG_BOOL, &wan, "Servers of all data centres.");
	flag_add(&f, "segment", FLAG_TEXT, &segment, "Only this segment.");
	flag_add(&f, "filter", FLAG_TEXT, &filter, "Only members that this expression selects.");
	at = api_begin(c, &api, &f, false, "members [options]",
		"Lists the members of the cluster as the agent sees them.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (regex_new(str_of(status), &wanted, &reason)) {
		return ctl_fail("Failed to compile status regexp: %s", buf_cstr(&reason));
	}
	buf_put_lit(&path, "/v1/agent/members");
	path_query(&path, wan ? "wan" : "segment", wan ? "1" : segment);
	path_query(&path, "filter", filter);
	r = api_get(&api, &path, &all) ? ctl_fail("Error retrieving members: %s", api_error(&api))
				       : members_print(&api, all, wanted, detailed);
	return r;
}

/* ---- info ---- */

static int key_order(const void *a, const void *b)
{
	return str_cmp(
		(*(const struct json *const *)a)->key, (*(const struct json *const *)b)->key);
}

static const struct json **sorted_members(struct api *api, const struct json *object)
{
	const struct json **sorted = arena_array(&api->arena, const struct json *, object->count),
			  *member;
	size_t count = 0;

	json_for_each (member, object) {
		sorted[count++] = member;
	}
	qsort(sorted, count, sizeof(*sorted), key_order);
	return sorted;
}

int info_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const struct json *self, *stats, **groups;
	struct flagset f = { 0 };
	int at = api_begin(c, &api, &f, false, "info [options]", "Shows the counters of the agent.",
		argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	buf_put_lit(&path, "/v1/agent/self");
	if (api_get(&api, &path, &self)) {
		return ctl_fail("Error querying agent: %s", api_error(&api));
	}
	stats = json_find(self, "Stats");
	if (!stats || stats->type != JSON_OBJECT) {
		return ctl_fail(
			"Agent response did not contain 'Stats' key: " STR_FMT, STR_ARG(self->key));
	}
	groups = sorted_members(&api, stats);
	for (size_t i = 0; i < stats->count; i++) {
		const struct json **rows = sorted_members(&api, groups[i]);

		ctl_say("%s:", groups[i]->key.p);
		for (size_t k = 0; k < groups[i]->count; k++) {
			ctl_say("\t%s = %s", rows[k]->key.p,
				rows[k]->text.n ? rows[k]->text.p : "");
		}
	}
	return 0;
}

/* ---- small ones ---- */

int reload_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	int at = api_begin(c, &api, &f, false, "reload [options]",
		"Has the agent read its configuration again.", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	if (put_simple(&api, "/v1/agent/reload", "", NULL)) {
		return ctl_fail("Error reloading: %s", api_error(&api));
	}
	ctl_say("Configuration reload triggered");
	return 0;
}

int leave_run(struct ctl *c, int argc, char **argv)
{
	static const char usage[] = "leave [options]";
	static const char about[] = "Has the node leave its cluster and end.";
	OWN_EMBEDDED(buf_fini) struct buf help = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	int at = api_begin(c, &api, &f, false, usage, about, argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	if (at < argc) {
		ctl_help(c, &f, usage, about, &help);
		fputs(buf_cstr(&help), stdout);
		return ctl_fail("Error found unexpected args: [%s]", argv[at]);
	}
	if (put_simple(&api, "/v1/agent/leave", "", NULL)) {
		return ctl_fail("Error leaving: %s", api_error(&api));
	}
	ctl_say("Graceful leave complete");
	return 0;
}

int join_run(struct ctl *c, int argc, char **argv)
{
	static const char usage[] = "join [options] ADDRESS...";
	static const char about[] = "Has the agent join the cluster of other nodes.";
	OWN_EMBEDDED(buf_fini) struct buf help = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	bool wan = false;
	int at, joined = 0;

	flag_add(&f, "wan", FLAG_BOOL, &wan, "Join a server of another data centre.");
	at = api_begin(c, &api, &f, false, usage, about, argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (at == argc) {
		ctl_help(c, &f, usage, about, &help);
		return ctl_fail(
			"At least one address to join must be specified.\n\n%s", buf_cstr(&help));
	}
	for (; at < argc; at++) {
		if (put_simple(&api, "/v1/agent/join/", argv[at], wan ? "wan" : NULL)) {
			ctl_fail("Error joining address '%s': %s", argv[at], api_error(&api));
		} else {
			joined++;
		}
	}
	if (joined == 0) {
		return ctl_fail("Failed to join any nodes.");
	}
	ctl_say("Successfully joined cluster by contacting %d nodes.", joined);
	return 0;
}

int force_leave_run(struct ctl *c, int argc, char **argv)
{
	static const char usage[] = "force-leave [options] NODE";
	static const char about[] = "Declares a member that has failed to have left.";
	OWN_EMBEDDED(buf_fini) struct buf help = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	bool prune = false;
	int at;

	flag_add(&f, "prune", FLAG_BOOL, &prune, "Forget the member altogether.");
	at = api_begin(c, &api, &f, false, usage, about, argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (argc - at != 1) {
		ctl_help(c, &f, usage, about, &help);
		return ctl_fail("A single node name must be specified to force leave.\n\n%s",
			buf_cstr(&help));
	}
	if (put_simple(&api, "/v1/agent/force-leave/", argv[at], prune ? "prune" : NULL)) {
		return ctl_fail("Error force leaving: %s", api_error(&api));
	}
	return 0;
}
