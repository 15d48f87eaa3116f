/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The six processes of an agent, with programs in their places that do nothing until they are told
 * to end.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/sys/clock.h"
#include "ctl/agent.h"

static const char *const names[] = { "gossipd", "raftd", "catalogd", "checkd", "dnsd", "httpd" };

static void programs_make(const char *dir)
{
	static const char text[] = "#!/bin/sh\nexec sleep 60\n";
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		OWN_FD int fd = -1;

		snprintf(path, sizeof(path), "%s/muster-%s", dir, names[i]);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
		ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
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

static bool all_were_restarted(const struct supervisor *s)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct jsonw w = jsonw_of(&text);

	supervisor_render(s, &w);
	return str_find_str(buf_str(&text), STR("\"restarts\":0")) < 0;
}

/* What is sent to a daemon in its first moments is meant for it. */
TEST(test_a_signal_right_after_the_start)
{
	static const char *const sources[] = { NULL };
	OWN(loop_free) struct loop *l = loop_new();
	struct mono limit = mono_add_ms(clock_mono(), 5000);
	struct agent_sockets sockets = { .count = 0 };
	struct loop_timer turn;
	struct loop_signal terminate;
	struct supervisor *s;
	bool stopped = false;
	char dir[] = "/tmp/muster-supervisor-XXXXXX";
	struct supervisor_setup setup = { .loop = l,
		.sockets = &sockets,
		.daemon_dir = dir,
		.run_dir = dir,
		.sources = sources,
		.log_fd = STDERR_FILENO,
		.server = true,
		.on_ready = ignore,
		.on_stopped = on_stopped,
		.on_given_up = ignore,
		.arg = &stopped };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	programs_make(dir);
	loop_signal_start(&terminate, l, SIGTERM, ignore, NULL); /* as the agent does */
	ck_assert_int_eq(supervisor_new(&setup, &s), 0);
	supervisor_start(s);
	supervisor_signal(s, SIGTERM);
	loop_timer_init(&turn, l, ignore, NULL);
	while (!all_were_restarted(s) && mono_before(clock_mono(), limit)) {
		loop_timer_in(&turn, 10);
		loop_run_once(l);
	}
	ck_assert(all_were_restarted(s));
	loop_timer_stop(&turn);
	supervisor_stop(s, true);
	while (!stopped) {
		loop_run_once(l);
	}
	loop_signal_stop(&terminate);
	supervisor_free(s);
	programs_remove(dir);
}
END_TEST

UNIT_MAIN("supervisor", test_a_signal_right_after_the_start)
