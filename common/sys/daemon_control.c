/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that every daemon's control socket answers. Adding one is adding a row.
 */
#include <stdio.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "common/sys/daemon_private.h"
#include "version.h"

static const char *cmd_ping(void *owner, const struct json *request, struct jsonw *w)
{
	return NULL;
}

static const char *cmd_version(void *owner, const struct json *request, struct jsonw *w)
{
	struct daemon *d = owner;

	jsonw_put_cstr(w, "daemon", d->spec->name);
	jsonw_put_cstr(w, "version", MUSTER_VERSION);
	return NULL;
}

/* A line "Key:   123 kB" of a /proc file, in KiB. */
static uint64_t proc_kib(const char *path, const char *key)
{
	FILE *f = fopen(path, "re");
	char line[256];
	unsigned long v = 0;
	size_t n = strlen(key);

	if (!f) {
		return 0;
	}
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, n) == 0 && sscanf(line + n, " %lu", &v) == 1) {
			break;
		}
	}
	fclose(f);
	return v;
}

static void memory_render(struct jsonw *w)
{
	static const struct {
		const char *name, *path, *key;
	} rows[] = {
		{ "rss_kib", "/proc/self/status", "VmRSS:" },
		{ "pss_kib", "/proc/self/smaps_rollup", "Pss:" },
		{ "anon_kib", "/proc/self/smaps_rollup", "Anonymous:" },
	};

	jsonw_keyc(w, "memory");
	jsonw_open(w, '{');
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		jsonw_key(w, str_of(rows[i].name));
		jsonw_u64(w, proc_kib(rows[i].path, rows[i].key));
	}
	jsonw_close(w, '}');
}

static const char *state_of(const struct daemon *d)
{
	if (d->draining) {
		return "draining";
	}
	return d->private->ready ? "running" : "starting";
}

static void sandbox_render(const struct daemon *d, struct jsonw *w)
{
	jsonw_keyc(w, "sandbox");
	jsonw_open(w, '{');
	jsonw_put_bool(w, "files", d->private->files_confined);
	jsonw_put_bool(w, "calls", d->private->calls_confined);
	jsonw_close(w, '}');
}

static const char *cmd_status(void *owner, const struct json *request, struct jsonw *w)
{
	struct daemon *d = owner;
	const char *missing = d->spec->waits_for ? d->spec->waits_for(d) : NULL;

	cmd_version(owner, request, w);
	jsonw_put_u64(w, "pid", (uint64_t)getpid());
	jsonw_put_bool(w, "server", d->conf->server);
	jsonw_put_cstr(w, "state", state_of(d));
	jsonw_put_i64(w, "uptime_ms", mono_diff_ms(clock_mono(), d->private->started));
	jsonw_put_cstr(w, "waits_for", missing ? missing : "");
	jsonw_put_cstr(w, "log_level", log_level_name(log_level_get()));
	memory_render(w);
	sandbox_render(d, w);
	jsonw_keyc(w, "detail");
	jsonw_open(w, '{');
	if (d->spec->status) {
		d->spec->status(d, w);
	}
	jsonw_close(w, '}');
	return NULL;
}

static const char *cmd_metrics(void *owner, const struct json *request, struct jsonw *w)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct daemon *d = owner;

	metrics_render(d->metrics, d->conf->telemetry.metrics_prefix, &out);
	jsonw_keyc(w, "metrics");
	jsonw_raw(w, buf_str(&out));
	return NULL;
}

static const char *cmd_log_level(void *owner, const struct json *request, struct jsonw *w)
{
	struct str name = json_find_text(request, "level");
	enum log_level level;

	if (name.p) {
		if (log_level_parse(name, &level)) {
			return "unknown log level";
		}
		log_level_set(level);
	}
	jsonw_put_cstr(w, "level", log_level_name(log_level_get()));
	return NULL;
}

static const char *cmd_log(void *owner, const struct json *request, struct jsonw *w)
{
	OWN_EMBEDDED(buf_fini) struct buf lines = { 0 };
	const struct json *after_json = json_find(request, "after");
	struct str name = json_find_text(request, "level");
	enum log_level level = LOG_LEVEL_TRACE;
	uint64_t after = 0, newest;

	if (after_json && str_to_u64(after_json->text, &after)) {
		return "after is not a number";
	}
	if (name.p && log_level_parse(name, &level)) {
		return "unknown log level";
	}
	newest = log_ring_read(after, level, &lines);
	jsonw_keyc(w, "pid"); /* numbers begin anew with each process */
	jsonw_u64(w, (uint64_t)getpid());
	jsonw_put_u64(w, "newest", newest);
	jsonw_put_str(w, "lines", buf_str(&lines));
	return NULL;
}

static const char *cmd_reload(void *owner, const struct json *request, struct jsonw *w)
{
	return daemon_reload(owner);
}

static const char *cmd_drain(void *owner, const struct json *request, struct jsonw *w)
{
	daemon_drain(owner);
	return NULL;
}

static const char *cmd_dump(void *owner, const struct json *request, struct jsonw *w)
{
	struct daemon *d = owner;

	jsonw_keyc(w, "dump");
	jsonw_open(w, '{');
	if (d->spec->dump) {
		d->spec->dump(d, w);
	}
	jsonw_close(w, '}');
	return NULL;
}

static const struct control_command commands[] = {
	{ "ping", cmd_ping },
	{ "version", cmd_version },
	{ "status", cmd_status },
	{ "metrics", cmd_metrics },
	{ "log-level", cmd_log_level },
	{ "log", cmd_log },
	{ "reload", cmd_reload },
	{ "drain", cmd_drain },
	{ "dump", cmd_dump },
};

int daemon_control_open(struct daemon *d)
{
	char endpoint[64];

	snprintf(endpoint, sizeof(endpoint), "%s/control", d->spec->name);
	return control_server_new(
		d->loop, endpoint, commands, ARRAY_SIZE(commands), d, &d->private->control);
}
