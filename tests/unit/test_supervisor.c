/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The six processes of an agent. In their places is this program itself, which then does nothing
 * until it is told to end, or says that it is ready and ends.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/sys/clock.h"
#include "ctl/agent.h"

#define ENDS_VARIABLE "MUSTER_TEST_ENDS"

static const char *const names[] = { "gossipd", "raftd", "catalogd", "checkd", "dnsd", "httpd" };

static void __attribute__((constructor)) be_a_daemon(void)
{
	if (strncmp(program_invocation_short_name, "muster-", 7) != 0) {
		return;
	}
	if (getenv(ENDS_VARIABLE)) {
		sd_notify(0, "READY=1");
		_exit(0);
	}
	for (;;) {
		pause();
	}
}

struct world {
	struct loop *loop;
	struct agent_sockets sockets;
	struct supervisor *supervisor;
	struct loop_timer turn;
	struct loop_signal terminate;
	char dir[40];
	bool stopped;
};

static void programs_make(const char *dir)
{
	char self[1024], path[64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	ck_assert_int_gt(n, 0);
	self[n] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/muster-%s", dir, names[i]);
		ck_assert_int_eq(symlink(self, path), 0);
	}
}

static void programs_remove(const char *dir)
{
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/muster-%s", dir, names[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

static void ignore(void *arg)
{
}

static void on_stopped(void *arg)
{
	*(bool *)arg = true;
}

static void world_start(struct world *w)
{
	static const char *const sources[] = { NULL };
	struct supervisor_setup setup = { .sockets = &w->sockets,
		.daemon_dir = w->dir,
		.run_dir = w->dir,
		.sources = sources,
		.log_fd = STDERR_FILENO,
		.server = true,
		.on_ready = ignore,
		.on_stopped = on_stopped,
		.on_given_up = ignore,
		.arg = &w->stopped };

	*w = (struct world) { .loop = loop_new(), .dir = "/tmp/muster-supervisor-XXXXXX" };
	setup.loop = w->loop;
	ck_assert_ptr_nonnull(mkdtemp(w->dir));
	programs_make(w->dir);
	loop_timer_init(&w->turn, w->loop, ignore, NULL);
	loop_signal_start(&w->terminate, w->loop, SIGTERM, ignore, NULL); /* as the agent does */
	ck_assert_int_eq(supervisor_new(&setup, &w->supervisor), 0);
	supervisor_start(w->supervisor);
}

static void world_end(struct world *w)
{
	loop_timer_stop(&w->turn);
	supervisor_stop(w->supervisor, true);
	while (!w->stopped) {
		loop_run_once(w->loop);
	}
	loop_signal_stop(&w->terminate);
	supervisor_free(w->supervisor);
	loop_free(w->loop);
	programs_remove(w->dir);
}

/* How often the one that was restarted least, or most, was. */
static int64_t restarts(const struct world *w, bool most)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct jsonw out = jsonw_of(&text);
	const struct json *daemon;
	struct json *tree;
	int64_t found = -1, n;

	jsonw_open(&out, '{');
	supervisor_render(w->supervisor, &out);
	jsonw_close(&out, '}');
	ck_assert_int_eq(json_parse(&arena, buf_str(&text), &tree, NULL), 0);
	json_for_each (daemon, json_find(tree, "daemons")) {
		ck_assert_int_eq(str_to_i64(json_find(daemon, "restarts")->text, &n), 0);
		found = found < 0 || (n > found) == most ? n : found;
	}
	return found;
}

static void turn(struct world *w)
{
	loop_timer_in(&w->turn, 10);
	loop_run_once(w->loop);
}

/* What is sent to a daemon in its first moments is meant for it. */
TEST(test_a_signal_right_after_the_start)
{
	struct mono limit = mono_add_ms(clock_mono(), 5000);
	struct world w;

	world_start(&w);
	supervisor_signal(w.supervisor, SIGTERM);
	while (restarts(&w, false) == 0 && mono_before(clock_mono(), limit)) {
		turn(&w);
	}
	ck_assert_int_gt(restarts(&w, false), 0);
	world_end(&w);
}
END_TEST

/* Who is ready, and ends well, again and again, is not waited for less than who crashes. */
TEST(test_no_daemon_is_restarted_without_a_pause)
{
	struct mono limit = mono_add_ms(clock_mono(), 2000);
	struct world w;

	setenv(ENDS_VARIABLE, "1", 1);
	world_start(&w);
	while (mono_before(clock_mono(), limit)) {
		turn(&w);
	}
	ck_assert_int_gt(restarts(&w, false), 1);
	ck_assert_int_lt(restarts(&w, true), 12);
	world_end(&w);
}
END_TEST

UNIT_MAIN("supervisor", test_a_signal_right_after_the_start,
	test_no_daemon_is_restarted_without_a_pause)
