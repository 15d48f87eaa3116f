/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Script checks: a program of its own process group with its output in a pipe. It is done when the
 * program has ended and everybody has closed the pipe; at the time-out the whole group is killed,
 * and the run lasts until the program is gone.
 *
 * posix_spawn, because the process holds nanomsg's threads. Children get /dev/null as input, the
 * pipe as output, and no other descriptor; of the environment all but what the supervisor told us.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkd/run.h"
#include "common/base/tail.h"

extern char **environ;

struct script {
	struct run *run;
	pid_t pid; /* reaped last of all, so that it names the group until then */
	int pipe, pidfd;
	struct loop_io on_output, on_end;
	struct loop_timer timeout;
	bool ended, timed_out, closed;
	struct tail printed;
};

static void script_free(struct script *s)
{
	loop_io_set(&s->on_output, 0);
	loop_io_set(&s->on_end, 0);
	loop_timer_stop(&s->timeout);
	if (s->pipe >= 0) {
		close(s->pipe);
	}
	if (s->pidfd >= 0) {
		close(s->pidfd);
	}
	tail_fini(&s->printed);
	free(s);
}

/* Kills what is left of the group and reaps its leader (which cannot linger after SIGKILL). Returns
 * how it ended. */
static int group_end(pid_t pid)
{
	int wait_status = 0;

	kill(-pid, SIGKILL);
	while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
	}
	return wait_status;
}

/* Nobody wants the result any more. */
static void script_stop(struct run *run)
{
	struct script *s = run->impl;

	run->impl = NULL;
	run->stop = NULL;
	group_end(s->pid);
	script_free(s);
}

static void output_render(const struct script *s, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf tail = { 0 };

	tail_render(&s->printed, &tail);
	output_tail(out, buf_str(&tail), s->printed.total, s->printed.size);
}

static void timeout_render(const struct script *s, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf printed = { 0 };

	buf_put_lit(out, "Timed out (");
	duration_render(out, s->run->timeout_ms * NS_PER_MS);
	buf_put_lit(out, ") running check");
	output_render(s, &printed);
	if (printed.n) {
		buf_put_lit(out, "\n\n");
		buf_put_str(out, buf_str(&printed));
	}
}

/* Nagios' exit codes. */
static enum check_status status_of(int wait_status)
{
	if (!WIFEXITED(wait_status)) {
		return CHECK_CRITICAL;
	}
	switch (WEXITSTATUS(wait_status)) {
	case 0:
		return CHECK_PASSING;
	case 1:
		return CHECK_WARNING;
	default:
		return CHECK_CRITICAL;
	}
}

static void finish(struct script *s)
{
	OWN_EMBEDDED(buf_fini) struct buf output = { 0 };
	struct run *run = s->run;
	int wait_status = 0;

	/* A script may leave children behind on purpose: only a time-out takes them along. */
	if (s->timed_out) {
		group_end(s->pid);
	} else {
		waitpid(s->pid, &wait_status, 0);
	}
	if (s->timed_out) {
		timeout_render(s, &output);
		run_done(run, CHECK_CRITICAL, buf_str(&output));
	} else {
		output_render(s, &output);
		run_done(run, status_of(wait_status), buf_str(&output));
	}
	run->impl = NULL;
	run->stop = NULL;
	script_free(s);
}

static void finish_if_over(struct script *s)
{
	/* After the time-out somebody who left the group may still hold the pipe: not our concern.
	 */
	if (s->ended && (s->closed || s->timed_out)) {
		finish(s);
	}
}

static void on_output(void *arg, int events)
{
	struct script *s = arg;
	char bytes[8192];
	ssize_t n = read(s->pipe, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n > 0) {
		tail_put(&s->printed, str_n(bytes, (size_t)n));
		return;
	}
	s->closed = true;
	loop_io_set(&s->on_output, 0);
	finish_if_over(s);
}

static void on_end(void *arg, int events)
{
	struct script *s = arg;

	s->ended = true;
	loop_io_set(&s->on_end, 0);
	finish_if_over(s);
}

static void on_timeout(void *arg)
{
	struct script *s = arg;

	s->timed_out = true;
	kill(-s->pid, SIGKILL);
	finish_if_over(s);
}

/* ---- starting ---- */

static bool variable_is_ours(const char *v)
{
	static const char *const names[] = { "NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_",
		"MUSTER_PARENT=", CONF_DIRECTORY_VARIABLE "=" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strncmp(v, names[i], strlen(names[i])) == 0) {
			return true;
		}
	}
	return false;
}

static char **environment_make(void)
{
	size_t count = 0, at = 0;
	char **out;

	while (environ[count]) {
		count++;
	}
	out = xcalloc(count + 1, sizeof(*out));
	for (size_t i = 0; i < count; i++) {
		if (!variable_is_ours(environ[i])) {
			out[at++] = environ[i];
		}
	}
	return out;
}

static char **arguments_make(const struct check_def *def, struct arena *arena)
{
	char **argv = arena_array(arena, char *, def->args.count + 3);
	uint32_t at = 0;

	/* The Shell form: one command line for a shell of one's choice. */
	if (def->shell.n) {
		argv[at++] = (char *)(uintptr_t)arena_str(arena, def->shell).p;
		argv[at++] = (char *)(uintptr_t) "-c";
	}
	for (uint32_t i = 0; i < def->args.count; i++) {
		argv[at++] = (char *)(uintptr_t)arena_str(arena, def->args.items[i]).p;
	}
	return argv;
}

static int spawn(char **argv, int output, pid_t *pid_out)
{
	OWN(free) char **environment = environment_make();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, 1);
	posix_spawn_file_actions_adddup2(&actions, output, 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes,
		POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	r = posix_spawnp(pid_out, argv[0], &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Go's words for what could not be started. */
static void start_failed(struct run *run, const char *program, int error)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (error == ENOENT && !strchr(program, '/')) {
		buf_printf(&text, "exec: \"%s\": executable file not found in $PATH", program);
	} else {
		const char *words = strerror(error);

		buf_printf(&text, "fork/exec %s: %c%s", program, tolower((unsigned char)words[0]),
			words + 1);
	}
	run_done(run, CHECK_CRITICAL, buf_str(&text));
}

void script_start(struct run *run)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	char **argv = arguments_make(run->def, &arena);
	OWN_FD int reading = -1;
	OWN_FD int writing = -1;
	OWN_FD int pidfd = -1;
	struct script *s;
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC)) {
		start_failed(run, argv[0], errno);
		return;
	}
	reading = fds[0];
	writing = fds[1];
	r = spawn(argv, writing, &pid);
	if (r) {
		start_failed(run, argv[0], r);
		return;
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself; Linux 5.3 */
	if (pidfd < 0) {
		r = errno;
		group_end(pid);
		start_failed(run, argv[0], r);
		return;
	}
	fcntl(reading, F_SETFL, O_NONBLOCK);
	s = xcalloc(1, sizeof(*s));
	*s = (struct script) {
		.run = run, .pid = pid, .pidfd = take_fd(&pidfd), .pipe = take_fd(&reading)
	};
	tail_init(&s->printed, run->output_max);
	run->impl = s;
	run->stop = script_stop;
	loop_io_init(&s->on_output, run->loop, s->pipe, on_output, s);
	loop_io_set(&s->on_output, LOOP_READ);
	loop_io_init(&s->on_end, run->loop, s->pidfd, on_end, s);
	loop_io_set(&s->on_end, LOOP_READ);
	loop_timer_init(&s->timeout, run->loop, on_timeout, s);
	loop_timer_in(&s->timeout, run->timeout_ms);
}
