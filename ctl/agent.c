/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `muster agent`, from flags to a running node and to its end:
 *     flags and files -> configuration -> folders, lock, flags for the daemons -> sockets ->
 * daemons -> signals -> stop in order. Nothing of a node's work is done here. Answers on
 * agent/control: ping, status, reload, stop.
 */
#include "ctl/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/json.h"
#include "common/client/definitions.h"
#include "common/msg/message.h"
#include "common/sys/clock.h"
#include "common/sys/control.h"
#include "common/sys/ipc.h"
#include "common/sys/log.h"
#include "common/sys/tls.h"
#include "ctl/commands.h"
#include "version.h"

enum {
	LEAVE_MAX_MS = 30000,
	FLAG_SOURCES = 2,
	NAMED_SOURCES_MAX = DAEMON_SOURCES_MAX - FLAG_SOURCES
};

struct agent {
	struct ctl *ctl;
	struct flagset set;
	struct agent_flags flags;
	struct buf head, tail; /* configuration from flags */
	struct conf_source sources[DAEMON_SOURCES_MAX];
	size_t sources_count;
	const char *arguments[2 * DAEMON_SOURCES_MAX + 1]; /* the same for the daemons */
	struct arena arena;
	struct conf *conf;
	struct buf warnings;
	char *data_dir, *run_dir; /* absolute */
	bool temporary;
	int lock_fd;
	struct agent_sockets sockets;
	struct loop *loop;
	struct agent_log *log;
	struct supervisor *supervisor;
	struct control_server *control;
	struct ipc_client *gossipd;
	struct loop_signal on_interrupt, on_terminate, on_hangup;
	struct mono started;
	bool stopping, pid_file_ours;
	int status;
};

static const char *title(const struct agent *a)
{
	return strcmp(a->ctl->program, "consul") == 0 ? "Consul" : "muster";
}

/* ---- configuration ---- */

static char *absolute(const char *path)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	char cwd[4096];

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd))) {
		buf_printf(&out, "%s/", cwd);
	}
	buf_put_cstr(&out, path);
	return xstrdup(buf_cstr(&out));
}

static void source_add(struct agent *a, const char *path, const char *text)
{
	struct stat st;

	must(a->sources_count < ARRAY_SIZE(a->sources));
	a->sources[a->sources_count++] = (struct conf_source) { path,
		!text && stat(path, &st) == 0 && S_ISDIR(st.st_mode), text };
}

/* The order of Consul: lists of flags, files, other flags, fragments. */
static void sources_make(struct agent *a)
{
	a->sources_count = 0;
	buf_clear(&a->head);
	buf_clear(&a->tail);
	agent_flags_render(&a->flags, &a->set, &a->head, &a->tail);
	source_add(a, "flags", buf_cstr(&a->head));
	for (size_t i = 0; i < a->flags.files.count; i++) {
		source_add(a, a->flags.files.items[i], NULL);
	}
	source_add(a, "flags", buf_cstr(&a->tail));
	for (size_t i = 0; i < a->flags.fragments.count; i++) {
		source_add(a, "flag -hcl", a->flags.fragments.items[i]);
	}
}

static int file_write(const char *path, struct str text)
{
	OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n) {
		return err_errno("write %s", path);
	}
	return 0;
}

static void argument_add(struct agent *a, size_t *count, const char *flag, const char *path)
{
	a->arguments[(*count)++] = flag;
	a->arguments[(*count)++] = path;
}

/* The same sources for the daemons: texts become files in the run directory. From here on paths are
 * absolute for us, too: a reload reads them where we live then. */
static int arguments_make(struct agent *a)
{
	size_t count = 0;

	for (size_t i = 0; i < a->sources_count; i++) {
		struct conf_source *s = &a->sources[i];
		struct str path;
		int r;

		if (!s->text) {
			OWN(free) char *full = absolute(s->path);

			path = arena_str(&a->arena, str_of(full));
			s->path = path.p;
			argument_add(
				a, &count, s->directory ? "-config-dir" : "-config-file", path.p);
			continue;
		}
		path = arena_printf(&a->arena, "%s/flags-%zu.json", a->run_dir, i);
		r = file_write(path.p, str_of(s->text));
		if (r) {
			return r;
		}
		argument_add(a, &count, "-config-file", path.p);
	}
	a->arguments[count] = NULL;
	return 0;
}

static int configuration_load(struct agent *a, struct buf *why)
{
	if (a->flags.files.count + a->flags.fragments.count > NAMED_SOURCES_MAX) {
		buf_printf(why, "more than %d of -config-file, -config-dir and -hcl together",
			NAMED_SOURCES_MAX);
		return ST_INVALID;
	}
	sources_make(a);
	return conf_load(a->sources, a->sources_count, &a->conf, &a->warnings, why);
}

/* ---- folders ---- */

static int directory_make(const char *path, mode_t mode)
{
	OWN(free) char *copy = xstrdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(copy, 0755) && errno != EEXIST) {
			return err_errno("mkdir %s", copy);
		}
		*slash = '/';
	}
	return mkdir(path, mode) && errno != EEXIST ? err_errno("mkdir %s", path) : 0;
}

static int temporary_make(struct agent *a)
{
	const char *tmp = getenv("TMPDIR");
	struct str path =
		arena_printf(&a->arena, "%s/muster-dev.XXXXXX", tmp && tmp[0] ? tmp : "/tmp");

	if (!mkdtemp((char *)path.p)) {
		return err_errno("mkdtemp %s", path.p);
	}
	a->temporary = true;
	a->flags.data_dir = path.p;
	return 0;
}

/* One agent per data directory: the lock goes with the process, however it ends. */
static int lock_take(struct agent *a, struct buf *why)
{
	struct str path = arena_printf(&a->arena, "%s/agent.lock", a->run_dir);
	char pid[32] = "";

	a->lock_fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (a->lock_fd < 0) {
		return err_errno("open %s", path.p);
	}
	if (flock(a->lock_fd, LOCK_EX | LOCK_NB)) {
		ssize_t n = read(a->lock_fd, pid, sizeof(pid) - 1);

		buf_printf(why, "data_dir \"%s\" is in use by another agent (process " STR_FMT ")",
			a->data_dir, STR_ARG(str_trim(str_n(pid, n > 0 ? (size_t)n : 0))));
		return ST_CONFLICT;
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(a->lock_fd, 0) || write(a->lock_fd, pid, strlen(pid)) < 0) {
		return err_errno("write %s", path.p);
	}
	return 0;
}

static int folders_make(struct agent *a, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf agent_dir = { 0 };
	struct str run;
	int r;

	a->data_dir = absolute(a->conf->data_dir.p);
	a->flags.data_dir = a->data_dir;
	run = arena_printf(&a->arena, "%s/run", a->data_dir);
	a->run_dir = (char *)run.p;
	r = directory_make(a->data_dir, 0750);
	r = r ? r : directory_make(a->run_dir, 0750);
	r = r ? r : lock_take(a, why);
	buf_printf(&agent_dir, "%s/agent", a->run_dir);
	r = r ? r : directory_make(buf_cstr(&agent_dir), 0750);
	return r;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void warnings_log(struct agent *a)
{
	struct str rest = buf_str(&a->warnings);

	while (rest.p && rest.n) {
		struct str line = str_split(rest, '\n', &rest);

		log_warning("configuration", "warning=\"" STR_FMT "\"", STR_ARG(line));
	}
}

/* ---- the end ---- */

static void on_stopped(void *arg)
{
	struct agent *a = arg;

	loop_stop(a->loop);
}

static void stop(struct agent *a, int status)
{
	a->status |= status; /* what has ended badly does not end well any more */
	a->stopping = true;
	supervisor_stop(a->supervisor, false);
}

static void on_given_up(void *arg)
{
	stop(arg, 1);
}

static void on_left(void *arg, int status, struct str payload)
{
	struct agent *a = arg;

	if (status) {
		log_warning("leave-failed", "status=%s", status_name(status));
	} else {
		log_info("left", "%s", "");
	}
	stop(a, status != 0);
}

/* SIGINT and SIGTERM leave the cluster first where the configuration says so. After a leave, which
 * the next signal cuts short, the exit status is 0, else 1, as Consul's. */
static void signal_stop(struct agent *a, const char *name, bool leave)
{
	agent_log_say(a->log, "==> Caught signal: %s", name);
	if (a->stopping) {
		a->status = 1;
		supervisor_stop(a->supervisor, true);
		return;
	}
	a->stopping = true;
	if (!leave) {
		log_info("stopping", "reason=\"graceful shutdown disabled\"%s", "");
		stop(a, 1);
		return;
	}
	log_info("leaving", "%s", "");
	if (ipc_client_new(a->loop, "gossipd/write", &a->gossipd)) {
		stop(a, 1);
		return;
	}
	IPC_CALL(a->gossipd, gossip_leave, &((struct gossip_leave) { .token = STR("") }),
		LEAVE_MAX_MS, on_left, a);
}

static void on_interrupt(void *arg)
{
	struct agent *a = arg;

	signal_stop(a, "interrupt", !a->conf->skip_leave_on_interrupt);
}

static void on_terminate(void *arg)
{
	struct agent *a = arg;

	signal_stop(a, "terminated", a->conf->leave_on_terminate);
}

static const char *reload(struct agent *a)
{
	static struct buf why;
	OWN(conf_free) struct conf *fresh = NULL;

	buf_clear(&why);
	if (conf_load(a->sources, a->sources_count, &fresh, NULL, &why) ||
		tls_check(fresh, "Failed reloading tls configuration: ", &why) ||
		definitions_check(fresh, &why)) {
		log_error("reload-refused", "error=\"%s\"", buf_cstr(&why));
		return buf_cstr(&why);
	}
	log_info("reload", "%s", "");
	supervisor_signal(a->supervisor, SIGHUP);
	return NULL;
}

static void on_hangup(void *arg)
{
	struct agent *a = arg;

	agent_log_say(a->log, "==> Caught signal: hangup\n==> Reloading configuration...");
	reload(a);
}

static void on_ready(void *arg)
{
	struct agent *a = arg;

	agent_log_say(a->log, "==> %s agent running!", title(a));
	log_info("running", "after_ms=%lld", (long long)mono_diff_ms(clock_mono(), a->started));
}

/* ---- control socket ---- */

static const char *cmd_ping(void *owner, const struct json *request, struct jsonw *w)
{
	return NULL;
}

static const char *cmd_status(void *owner, const struct json *request, struct jsonw *w)
{
	struct agent *a = owner;

	jsonw_put_i64(w, "pid", getpid());
	jsonw_put_cstr(w, "version", MUSTER_VERSION);
	jsonw_put_i64(w, "uptime_ms", mono_diff_ms(clock_mono(), a->started));
	supervisor_render(a->supervisor, w);
	return NULL;
}

static const char *cmd_reload(void *owner, const struct json *request, struct jsonw *w)
{
	return reload(owner);
}

/* After a leave through the API: ends the node with status 0. */
static const char *cmd_stop(void *owner, const struct json *request, struct jsonw *w)
{
	struct agent *a = owner;

	if (!a->stopping) {
		stop(a, 0);
	}
	return NULL;
}

static const struct control_command controls[] = {
	{ "ping", cmd_ping },
	{ "status", cmd_status },
	{ "reload", cmd_reload },
	{ "stop", cmd_stop },
};

/* ---- life ---- */

static int fail(const struct agent *a, int r, const struct buf *why)
{
	struct buf *text = (struct buf *)why;

	fprintf(stderr, "==> %s\n", why->n ? buf_cstr(text) : r < 0 ? err_text() : status_name(r));
	return 1;
}

static int pid_file_write(struct agent *a)
{
	char text[32];

	if (a->conf->pid_file.n == 0) {
		return 0;
	}
	a->pid_file_ours = true;
	snprintf(text, sizeof(text), "%d", (int)getpid());
	return file_write(a->conf->pid_file.p, str_of(text));
}

static int start(struct agent *a, struct buf *why)
{
	struct supervisor_setup setup = {
		.loop = a->loop,
		.sockets = &a->sockets,
		.daemon_dir = MUSTER_LIBEXEC,
		.run_dir = a->run_dir,
		.sources = a->arguments,
		.log_fd = agent_log_fd(a->log),
		.server = a->conf->server,
		.on_ready = on_ready,
		.on_stopped = on_stopped,
		.on_given_up = on_given_up,
		.arg = a,
	};
	int r = definitions_check(a->conf, why);

	r = r ? r : agent_sockets_open(a->conf, &a->sockets, why);
	r = r ? r : pid_file_write(a);
	r = r ? r : supervisor_new(&setup, &a->supervisor);
	if (r == 0 && chdir(a->run_dir)) {
		r = err_errno("chdir %s", a->run_dir);
	}
	r = r ? r
	      : control_server_new(
			a->loop, "agent/control", controls, ARRAY_SIZE(controls), a, &a->control);
	if (r) {
		return r;
	}
	signal(SIGPIPE, SIG_IGN);
	loop_signal_start(&a->on_interrupt, a->loop, SIGINT, on_interrupt, a);
	loop_signal_start(&a->on_terminate, a->loop, SIGTERM, on_terminate, a);
	loop_signal_start(&a->on_hangup, a->loop, SIGHUP, on_hangup, a);
	supervisor_start(a->supervisor);
	return 0;
}

static int live(struct agent *a)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN(free) char *here = absolute(".");
	int r = a->flags.dev && !flag_given(&a->set, "data-dir") ? temporary_make(a) : 0;

	setenv(CONF_DIRECTORY_VARIABLE, here, 1);
	r = r ? r : configuration_load(a, &why);
	r = r ? r : tls_check(a->conf, "", &why);
	r = r ? r : folders_make(a, &why);
	if (r == 0) { /* once more, now with an absolute data_dir for the daemons */
		conf_free(take(a->conf));
		buf_clear(&a->warnings);
		r = configuration_load(a, &why);
	}
	r = r ? r : arguments_make(a);
	if (r) {
		return fail(a, r, &why);
	}
	agent_banner_print(a->conf, title(a));
	a->loop = loop_new();
	r = agent_log_open(a->loop, a->conf, &a->log);
	if (r) {
		return fail(a, r, &why);
	}
	warnings_log(a);
	r = start(a, &why);
	if (r) {
		log_error("error-starting-agent", "error=\"%s\"",
			why.n ? buf_cstr(&why) : err_text());
		a->status = 1;
	} else {
		loop_run(a->loop);
	}
	log_info("exit", "code=%d", a->status);
	return a->status;
}

static void remains_free(struct agent *a)
{
	if (a->control) {
		control_server_free(a->control);
	}
	if (a->gossipd) {
		ipc_client_free(a->gossipd);
	}
	if (a->supervisor) {
		loop_signal_stop(&a->on_interrupt);
		loop_signal_stop(&a->on_terminate);
		loop_signal_stop(&a->on_hangup);
		supervisor_free(a->supervisor);
	}
	agent_sockets_close(&a->sockets);
	if (a->log) {
		agent_log_close(a->log);
	}
	if (a->loop) {
		loop_free(a->loop);
	}
	if (a->pid_file_ours) {
		unlink(a->conf->pid_file.p);
	}
	if (a->temporary) {
		nftw(a->flags.data_dir, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	}
	if (a->lock_fd >= 0) {
		close(a->lock_fd);
	}
	if (a->conf) {
		conf_free(a->conf);
	}
	free(a->data_dir);
	buf_fini(&a->head);
	buf_fini(&a->tail);
	buf_fini(&a->warnings);
	arena_fini(&a->arena);
	agent_flags_fini(&a->flags);
}

int agent_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct agent *a = xcalloc(1, sizeof(*a));
	int at, status = 1;

	*a = (struct agent) { .ctl = c, .lock_fd = -1, .started = clock_mono() };
	log_init("agent", LOG_LEVEL_INFO);
	agent_flags_add(&a->flags, &a->set);
	at = ctl_begin(c, &a->set, "agent [options]",
		"Runs the daemons of a node until it is told to stop.", argc, argv);
	if (at < 0) {
		status = -1 - at;
		if (status) {
			fprintf(stderr, "==> error parsing flags\n");
		}
	} else if (at < argc) {
		buf_printf(&why, "Unexpected extra arguments: [");
		for (int i = at; i < argc; i++) {
			buf_printf(&why, "%s%s", i > at ? " " : "", argv[i]);
		}
		buf_put_char(&why, ']');
		status = fail(a, ST_INVALID, &why);
	} else {
		status = live(a);
	}
	remains_free(a);
	free(a);
	return status;
}
