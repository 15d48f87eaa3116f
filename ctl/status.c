/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster status: the daemons of this machine's node in one table, asked through their control
 * sockets; who supervises them, the agent or systemd, adds how often it had to restart them, and
 * how those are that do not answer.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/control.h"
#include "ctl/api.h"
#include "ctl/commands.h"
#include "ctl/table.h"
#include "ctl/units.h"

enum { ASK_MS = 1000 };

#define RUN_DIR_INSTALLED "/run/muster"

static const struct {
	const char *name;
	bool server_only;
} daemons[] = {
	{ "gossipd", false },
	{ "raftd", true },
	{ "catalogd", true },
	{ "checkd", false },
	{ "dnsd", false },
	{ "httpd", false },
};

/* The run directory: what was said, else the agent's own word for its data directory, else where
 * systemd puts it. */
static void run_dir_find(
	struct api *api, const char *run_dir, const char *data_dir, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	const struct json *self;
	const char *told;

	if (run_dir) {
		buf_put_cstr(out, run_dir);
		return;
	}
	if (data_dir) {
		buf_printf(out, "%s/run", data_dir);
		return;
	}
	buf_put_lit(&path, "/v1/agent/self");
	if (api_get(api, &path, &self) == 0) {
		told = field_text(json_find(self, "DebugConfig"), "DataDir");
		buf_printf(out, "%s/run", told);
		if (told[0] && access(buf_cstr(out), F_OK) == 0) {
			return;
		}
		buf_clear(out);
	}
	buf_put_lit(out, RUN_DIR_INSTALLED);
}

struct view {
	struct arena *arena;
	const struct json *agent; /* its answer; NULL: there is none */
	struct units *units;	  /* NULL: systemd is not who supervises */
	bool denied;		  /* somebody may not be asked */
};

static const struct json *ask(struct view *v, const char *endpoint)
{
	OWN_EMBEDDED(buf_fini) struct buf answer = { 0 };
	struct json *tree;

	if (access(endpoint, W_OK)) {
		v->denied |= errno == EACCES;
		return NULL;
	}
	if (control_ask(endpoint, STR("{\"cmd\":\"status\"}"), ASK_MS, &answer) ||
		json_parse(v->arena, buf_str(&answer), &tree, NULL)) {
		return NULL;
	}
	return tree;
}

static const struct json *agents_view(const struct json *agent, const char *daemon)
{
	const struct json *list = json_find(agent, "daemons"), *one;

	for (one = list ? list->first : NULL; one; one = one->next) {
		if (strcmp(field_text(one, "name"), daemon) == 0) {
			return one;
		}
	}
	return NULL;
}

static void uptime_put(struct buf *out, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s >= 86400) {
		buf_printf(out, "%llud%lluh", (unsigned long long)(s / 86400),
			(unsigned long long)(s % 86400 / 3600));
	} else if (s >= 3600) {
		buf_printf(out, "%lluh%llum", (unsigned long long)(s / 3600),
			(unsigned long long)(s % 3600 / 60));
	} else {
		buf_printf(out, s >= 60 ? "%llum%llus" : "%.0llu%llus",
			(unsigned long long)(s / 60), (unsigned long long)(s % 60));
	}
}

/* What who supervises knows: the texts for the columns. */
static void supervised(
	const struct view *v, const char *name, struct buf *state, struct buf *restarts)
{
	const struct json *child = agents_view(v->agent, name);
	struct unit unit;

	if (child) {
		buf_put_cstr(restarts, field_text(child, "restarts"));
	} else if (v->units && units_find(v->units, name, &unit) == 0) {
		buf_put_cstr(state, unit.state);
		buf_printf(restarts, "%u", unit.restarts);
	}
	if (!state->n) {
		buf_put_lit(state, "down");
	}
	if (!restarts->n) {
		buf_put_lit(restarts, "-");
	}
}

/* status: NULL when the daemon did not answer */
static bool daemon_row(
	struct table *t, const struct view *v, const struct json *status, const char *name)
{
	OWN_EMBEDDED(buf_fini) struct buf uptime = { 0 }, memory = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf state = { 0 }, restarts = { 0 };
	const char *waits;

	supervised(v, name, &state, &restarts);
	if (!status) {
		TABLE_ROW(t, name, buf_cstr(&state), "-", "-", "-", buf_cstr(&restarts), "-", "-");
		return false;
	}
	uptime_put(&uptime, field_u64(status, "uptime_ms"));
	buf_printf(&memory, "%.1f MiB",
		(double)field_u64(json_find(status, "memory"), "pss_kib") / 1024);
	waits = field_text(status, "waits_for");
	TABLE_ROW(t, name, field_text(status, "state"), field_text(status, "pid"),
		buf_cstr(&uptime), field_text(status, "version"), buf_cstr(&restarts),
		buf_cstr(&memory), waits[0] ? waits : "-");
	return true;
}

/* One row per daemon that this node should run. true: all of them answered. */
static bool daemon_rows(struct table *t, struct view *v)
{
	const struct json *statuses[ARRAY_SIZE(daemons)];
	bool client = false, up = true;

	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		OWN_EMBEDDED(buf_fini) struct buf endpoint = { 0 };
		const struct json *server;

		buf_printf(&endpoint, "%s/control", daemons[i].name);
		statuses[i] = ask(v, buf_cstr(&endpoint));
		server = json_find(statuses[i], "server");
		client = client || (server && !server->boolean);
	}
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		if (!client || !daemons[i].server_only || statuses[i]) {
			up = daemon_row(t, v, statuses[i], daemons[i].name) && up;
		}
	}
	return up;
}

int status_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf dir = { 0 }, out = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	OWN_EMBEDDED(table_fini) struct table t = { 0 };
	const char *run_dir = NULL, *data_dir = NULL;
	struct view v = { .arena = &api.arena };
	OWN(units_close) struct units *units = NULL;
	struct flagset f = { 0 };
	bool up;
	int at;

	flag_add(&f, "run-dir", FLAG_TEXT, &run_dir, "Folder of the control sockets.");
	flag_add(&f, "data-dir", FLAG_TEXT, &data_dir,
		"The node's data folder; its run folder lies in it.");
	at = api_begin(c, &api, &f, false, "status [options]",
		"Shows the daemons of the node on this machine.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	run_dir_find(&api, run_dir, data_dir, &dir);
	if (chdir(buf_cstr(&dir))) { /* endpoints are relative: their paths must be short */
		return ctl_fail("No node here: %s does not exist (use -data-dir or -run-dir)",
			buf_cstr(&dir));
	}
	v.agent = ask(&v, "agent/control");
	if (!v.agent && strcmp(buf_cstr(&dir), RUN_DIR_INSTALLED) == 0) {
		v.units = units = units_open();
	}
	table_init(&t, 8);
	TABLE_ROW(&t, "Daemon", "State", "PID", "Uptime", "Version", "Restarts", "Memory",
		"Waits for");
	up = daemon_rows(&t, &v);
	table_render(&t, &out);
	fwrite(out.p, 1, out.n, stdout);
	if (v.denied) {
		return ctl_fail(
			"Some daemons may not be asked by this user: be root, or in their groups "
			"muster-DAEMON-control");
	}
	return up ? 0 : 1;
}
