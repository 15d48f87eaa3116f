/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a program and waiting for it.
 */
#include "ctl/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/process.h"

extern char **environ;

int signals_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	must(fd >= 0);
	return fd;
}

int signals_next(int fd, int64_t wait_ms)
{
	struct pollfd p = { fd, POLLIN, 0 };
	struct signalfd_siginfo info;

	(void)poll(&p, 1, (int)min_of(wait_ms, INT32_MAX));
	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

bool signal_is_end(int number)
{
	return number == SIGINT || number == SIGTERM;
}

static int spawn(const struct child_request *q, char **argv, pid_t *pid_out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, q->input, STDIN_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	setenv(q->variable, q->value, 1);
	r = posix_spawnp(pid_out, argv[0], &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static void joined_put(const struct child_request *q, struct buf *out)
{
	for (int i = 0; i < q->words_count; i++) {
		buf_printf(out, "%s%s", i ? " " : "", q->words[i]);
	}
}

int child_start(const struct child_request *q, pid_t *pid_out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf joined = { 0 };
	OWN(free) char **words = xcalloc((size_t)q->words_count + 1, sizeof(*words));
	const char *shell = getenv("SHELL");
	char *by_shell[] = { (char *)(uintptr_t)(shell && shell[0] ? shell : "/bin/sh"),
		(char *)(uintptr_t) "-c", NULL, NULL };
	char **argv = q->shell ? by_shell : words;
	int r;

	joined_put(q, &joined);
	by_shell[2] = (char *)(uintptr_t)buf_cstr(&joined);
	memcpy(words, q->words, (size_t)q->words_count * sizeof(*words));
	r = spawn(q, argv, pid_out);
	if (r) {
		process_render_error(why, argv[0], r);
		return ST_INVALID;
	}
	return 0;
}

bool child_ended(pid_t pid, int *status_out)
{
	return waitpid(pid, status_out, WNOHANG) == pid;
}

int child_wait(int signals, pid_t pid, bool *interrupted)
{
	int status = 0;

	while (!child_ended(pid, &status)) {
		int number = signals_next(signals, -1);

		if (signal_is_end(number)) {
			*interrupted = true;
			kill(pid, number);
		}
	}
	return status;
}
