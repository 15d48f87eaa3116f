/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a daemon, from arguments to exit status. See daemon.h.
 */
#include "common/sys/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "common/sys/daemon_private.h"
#include "common/sys/share.h"

enum { DRAIN_MAX_MS = 5000 };

static int arguments_read(struct daemon *d, int argc, char **argv)
{
	struct daemon_private *p = d->private;

	for (int i = 1; i < argc; i++) {
		bool directory = strcmp(argv[i], "-config-dir") == 0;
		bool file = strcmp(argv[i], "-config-file") == 0;
		bool run = strcmp(argv[i], "-run-dir") == 0;

		if ((!directory && !file && !run) || i + 1 == argc ||
			p->sources_count == DAEMON_SOURCES_MAX) {
			fprintf(stderr,
				"usage: muster-%s -run-dir DIR [-config-file FILE | -config-dir "
				"DIR]...\n",
				d->spec->name);
			return ST_INVALID;
		}
		i++;
		if (run) {
			p->run_dir = argv[i];
		} else {
			p->sources[p->sources_count++] =
				(struct conf_source) { argv[i], directory };
		}
	}
	return p->run_dir ? 0 : ST_INVALID;
}

bool daemon_has_agent(void)
{
	return getenv("MUSTER_PARENT") != NULL;
}

/* In agent mode nobody may outlive the agent, however it ends. */
static int parent_watch(void)
{
	const char *parent = getenv("MUSTER_PARENT");

	if (!parent) {
		return 0;
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL)) {
		return err_errno("PR_SET_PDEATHSIG");
	}
	if (getppid() != (pid_t)atol(parent)) { /* it died before we asked */
		return err_new(-ESRCH, "parent %s", parent);
	}
	return 0;
}

static int configuration_read(struct daemon *d, struct conf **out, struct buf *why)
{
	int (*load)(const struct conf_source *, size_t, struct conf **, struct buf *,
		struct buf *) = d->spec->offline ? conf_load_offline : conf_load;

	return load(d->private->sources, d->private->sources_count, out, NULL, why);
}

static void log_level_apply(const struct conf *c)
{
	enum log_level level = LOG_LEVEL_INFO;

	if (log_level_parse(c->log_level, &level) == 0) { /* conf_load has refused what is none */
		log_level_set(level);
	}
}

const char *daemon_reload(struct daemon *d)
{
	static struct buf why;
	OWN_EMBEDDED(buf_fini) struct buf kept = { 0 };
	OWN(conf_free) struct conf *fresh = NULL;

	buf_clear(&why);
	if (configuration_read(d, &fresh, &why) ||
		(d->spec->accept && d->spec->accept(fresh, &why)) ||
		conf_keep(d->conf, &fresh, &kept, &why)) {
		log_error("reload-refused", "error=\"%s\"", buf_cstr(&why));
		return buf_cstr(&why);
	}
	if (kept.n && d->spec->accept) { /* one daemon speaks for all */
		log_warning("reload-needs-restart", "keys=\"%s\"", buf_cstr(&kept));
	}
	log_notice("reload", "%s", "");
	d->conf_before = d->conf;
	d->conf = take(fresh);
	log_level_apply(d->conf);
	if (d->spec->reload) {
		d->spec->reload(d);
	}
	conf_free(take(d->conf_before));
	return NULL;
}

void daemon_drained(struct daemon *d)
{
	loop_stop(d->loop);
}

void daemon_give_up(struct daemon *d)
{
	d->private->given_up = true;
	loop_stop(d->loop);
}

static void on_drain_limit(void *arg)
{
	struct daemon *d = arg;

	log_warning("drain-cut-short", "after_ms=%d", DRAIN_MAX_MS);
	daemon_drained(d);
}

void daemon_drain(struct daemon *d)
{
	if (d->draining) {
		return;
	}
	d->draining = true;
	log_notice("stopping", "%s", "");
	sd_notify(0, "STOPPING=1");
	if (!d->spec->drain) {
		daemon_drained(d);
		return;
	}
	loop_timer_in(&d->private->drain_limit, DRAIN_MAX_MS);
	d->spec->drain(d);
}

static void on_hangup(void *arg)
{
	daemon_reload(arg);
}

static void on_terminate(void *arg)
{
	daemon_drain(arg);
}

static void on_interrupt(void *arg)
{
	/* Ctrl-C on a terminal reaches the whole group; in agent mode the agent decides when we
	 * stop. */
	if (!daemon_has_agent()) {
		daemon_drain(arg);
	}
}

static void on_second(void *arg)
{
	struct daemon *d = arg;

	metrics_tick(d->metrics, clock_wall());
	loop_timer_in(&d->private->second, 1000);
}

/* Comes from the loop and from nowhere else: a loop that does not turn does not feed. */
static void on_watchdog(void *arg)
{
	struct daemon *d = arg;

	sd_notify(0, "WATCHDOG=1");
	loop_timer_in(&d->private->watchdog, (int64_t)(d->private->watchdog_usec / 3000));
}

static void signals_watch(struct daemon *d)
{
	struct daemon_private *p = d->private;

	signal(SIGPIPE, SIG_IGN);
	loop_signal_start(&p->on_term, d->loop, SIGTERM, on_terminate, d);
	loop_signal_start(&p->on_interrupt, d->loop, SIGINT, on_interrupt, d);
	loop_signal_start(&p->on_hangup, d->loop, SIGHUP, on_hangup, d);
}

static int surroundings_enter(struct daemon *d)
{
	struct daemon_private *p = d->private;

	/* One arena: nanomsg's thread would otherwise cost another; give back early what bursts
	 * needed. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	umask(0027);
	share_init();
	if (chdir(p->run_dir)) {
		return err_errno("chdir %s", p->run_dir);
	}
	if (mkdir(d->spec->name, 0750) && errno != EEXIST) {
		return err_errno("mkdir %s/%s", p->run_dir, d->spec->name);
	}
	daemon_sockets_take(d);
	if (sd_watchdog_enabled(0, &p->watchdog_usec) <= 0) {
		p->watchdog_usec = 0;
	}
	return 0;
}

static int work_begin(struct daemon *d)
{
	struct daemon_private *p = d->private;
	struct uuid id;
	int r = d->spec->prepare ? d->spec->prepare(d) : 0;

	if (r) {
		return r;
	}
	(void)conf_node_id(d->conf, &id); /* made while it still can be; who needs it asks again */
	daemon_confine_files(d);
	r = d->spec->open ? d->spec->open(d) : 0;
	if (r) {
		return r;
	}
	daemon_confine_calls(d);
	r = daemon_control_open(d);
	r = r ? r : d->spec->start ? d->spec->start(d) : 0;
	if (r) {
		return r;
	}
	daemon_sockets_settle(d);
	loop_timer_init(&p->drain_limit, d->loop, on_drain_limit, d);
	loop_timer_init(&p->second, d->loop, on_second, d);
	on_second(d);
	loop_timer_init(&p->watchdog, d->loop, on_watchdog, d);
	if (p->watchdog_usec) {
		on_watchdog(d);
	}
	p->ready = true;
	log_info("started", "pid=%d after_ms=%lld", getpid(),
		(long long)mono_diff_ms(clock_mono(), p->started));
	sd_notify(0, "READY=1");
	return 0;
}

static int life(struct daemon *d, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	int r = arguments_read(d, argc, argv);

	r = r ? r : parent_watch();
	r = r ? r : configuration_read(d, &d->conf, &why);
	if (why.n) {
		log_error("configuration", "error=\"%s\"", buf_cstr(&why));
	}
	if (!r && d->spec->server_only && !d->conf->server) {
		log_notice("not-needed", "reason=\"this node is no server\"%s", "");
		sd_notify(0, "READY=1\nSTATUS=Not needed: this node is no server");
		return 0;
	}
	r = r ? r : surroundings_enter(d);
	if (r) {
		return r;
	}
	log_level_apply(d->conf);
	d->metrics = metrics_new(d->spec->metrics, d->spec->metrics_count);
	metrics_node_set(d->metrics, d->conf->node_name);
	signals_watch(d);
	r = work_begin(d);
	if (!r) {
		loop_run(d->loop);
		log_info("stopped", "%s", "");
	}
	if (d->spec->stop) {
		d->spec->stop(d);
	}
	return r;
}

static void remains_free(struct daemon *d)
{
	struct daemon_private *p = d->private;

	loop_timer_stop(&p->second);
	loop_timer_stop(&p->watchdog);
	loop_timer_stop(&p->drain_limit);
	loop_signal_stop(&p->on_term);
	loop_signal_stop(&p->on_interrupt);
	loop_signal_stop(&p->on_hangup);
	if (p->control) {
		control_server_free(p->control);
	}
	daemon_sockets_free(d);
	if (d->metrics) {
		metrics_free(d->metrics);
	}
	if (d->conf) {
		conf_free(d->conf);
	}
	loop_free(d->loop);
}

int daemon_main(const struct daemon_spec *spec, int argc, char **argv)
{
	struct daemon_private private = { .started = clock_mono(), .started_at = clock_wall() };
	struct daemon d = { .spec = spec, .private = &private };
	int r;

	log_init(spec->name, LOG_LEVEL_INFO);
	d.loop = loop_new();
	r = life(&d, argc, argv);
	if (r) {
		log_error("failed", "error=\"%s\"", r < 0 ? err_text() : status_name(r));
	}
	remains_free(&d);
	return r ? 1 : private.given_up ? DAEMON_GIVEN_UP : 0;
}
