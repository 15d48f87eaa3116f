/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster-script: runs one program for checkd and tells how it ended (script.h). With -serve it
 * forks such a runner for each conversation that arrives, and gives it the limits that a unit has
 * under systemd. One thread, no loop: a runner waits for three things at most.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkd/script.h"
#include "common/base/std.h"
#include "common/sys/conf.h"

enum { CONVERSATION = STDIN_FILENO };

extern char **environ;

/* One message and the descriptors that came with it (-1: none). Its size; 0: the other side has
 * gone; -1 otherwise. */
static ssize_t receive(void *bytes, size_t size, int fds_out[SCRIPT_DESCRIPTORS_MAX])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(SCRIPT_DESCRIPTORS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { bytes, size };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n;
	struct cmsghdr *c;

	do {
		n = recvmsg(CONVERSATION, &m, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	fds_out[0] = fds_out[1] = -1;
	c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		memcpy(fds_out, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	}
	return m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -1 : n;
}

static void reply(enum script_outcome outcome, int value)
{
	struct script_reply r = { (int32_t)outcome, value };

	(void)send(CONVERSATION, &r, sizeof(r), MSG_NOSIGNAL); /* who left does not want it */
}

/* ---- the program ---- */

static bool arguments_split(char *bytes, size_t size, char *argv[SCRIPT_ARGUMENTS_MAX + 1])
{
	size_t count = 0;

	if (size == 0 || bytes[size - 1]) {
		return false;
	}
	for (char *p = bytes; p < bytes + size; p += strlen(p) + 1) {
		if (count == SCRIPT_ARGUMENTS_MAX) {
			return false;
		}
		argv[count++] = p;
	}
	argv[count] = NULL;
	return true;
}

/* What the supervisor told us is not for the program. */
static void environment_clean(void)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES",
		"LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID", "MUSTER_PARENT", "JOURNAL_STREAM",
		"INVOCATION_ID", "REMOTE_ADDR", CONF_DIRECTORY_VARIABLE };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		unsetenv(names[i]);
	}
}

/* The words NAME=value in front of the arguments. Their size with the empty word behind them. */
static size_t environment_add(char *bytes, size_t size)
{
	char *p = bytes;

	while (p < bytes + size && *p) {
		putenv(p);
		p += strlen(p) + 1;
	}
	return min_of((size_t)(p - bytes) + 1, size);
}

/* A file with the script, for the last argument. False: no room for it. */
static bool script_spill(int from, char path[PATH_MAX])
{
	const char *folder = getenv("TMPDIR");
	char bytes[8192];
	bool good = true;
	ssize_t n;
	int fd;

	snprintf(path, PATH_MAX, "%s/rexecXXXXXX", folder && folder[0] ? folder : "/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		path[0] = 0;
		return false;
	}
	while ((n = read(from, bytes, sizeof(bytes))) > 0) {
		good = good && write(fd, bytes, (size_t)n) == n;
	}
	good = good && n == 0 && fchmod(fd, 0750) == 0;
	close(fd);
	return good;
}

/* What a program is started with. */
struct start {
	char **argv;
	int output, input; /* input -1: /dev/null */
};

static int program_start(const struct start *s, pid_t *pid_out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	if (s->input < 0) {
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	} else {
		posix_spawn_file_actions_adddup2(&actions, s->input, STDIN_FILENO);
	}
	posix_spawn_file_actions_adddup2(&actions, s->output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, s->output, STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes,
		POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	r = posix_spawnp(pid_out, s->argv[0], &actions, &attributes, s->argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Fences, not rations: far above what a check needs. There is none for the number of processes,
 * since that limit counts all of the user's. Set from outside, once the program runs: some would
 * keep ourselves from starting it. */
static void limits_set(pid_t pid)
{
	static const struct {
		int resource;
		rlim_t value;
	} rows[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_CPU, 3600 },
		{ RLIMIT_DATA, 2ULL << 30 },
		{ RLIMIT_FSIZE, 1ULL << 30 },
		{ RLIMIT_NOFILE, 4096 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		__rlimit_resource_t resource = (__rlimit_resource_t)rows[i].resource;
		struct rlimit now;

		if (prlimit(pid, resource, NULL, &now) == 0) {
			now.rlim_cur = now.rlim_max = min_of(now.rlim_max, rows[i].value);
			(void)prlimit(pid, resource, &now, NULL);
		}
	}
}

/* Until the conversation ends. The leader is reaped last of all, so that its number names the group
 * until then. */
static void program_watch(pid_t pid, int pidfd)
{
	struct pollfd fds[] = { { CONVERSATION, POLLIN | POLLRDHUP, 0 }, { pidfd, POLLIN, 0 } };
	int status = 0;

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
			if (errno != EINTR) {
				break;
			}
			continue;
		}
		if (fds[1].revents && fds[1].fd >= 0) {
			siginfo_t info = { 0 };

			(void)waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
			status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
			reply(SCRIPT_ENDED, status);
			fds[1].fd = -1;
		}
		if (fds[0].revents) {
			break;
		}
	}
	kill(-pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	if (fds[1].fd >= 0) {
		reply(SCRIPT_ENDED, status);
	}
}

/* Runs it to its end, or the conversation's. */
static int converse(const struct start *s, bool limited)
{
	pid_t pid;
	int pidfd, r = program_start(s, &pid);

	close(s->output);
	if (s->input >= 0) {
		close(s->input);
	}
	if (r) {
		reply(SCRIPT_NOT_STARTED, r);
		return 0;
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		reply(SCRIPT_NOT_STARTED, errno);
		kill(-pid, SIGKILL);
		return 1;
	}
	if (limited) {
		limits_set(pid);
	}
	program_watch(pid, pidfd);
	return 0;
}

static size_t count_of(char **argv)
{
	size_t n = 0;

	while (argv[n]) {
		n++;
	}
	return n;
}

/* The script as a file for as long as it runs. */
static int spilled_run(struct start *s, bool limited)
{
	char path[PATH_MAX] = "";
	size_t count = count_of(s->argv);
	int r = 1;

	if (count == SCRIPT_ARGUMENTS_MAX || !script_spill(s->input, path)) {
		reply(SCRIPT_NOT_STARTED, errno ? errno : EIO);
	} else {
		close(s->input);
		s->input = -1;
		s->argv[count] = path;
		s->argv[count + 1] = NULL;
		r = converse(s, limited);
	}
	if (path[0]) {
		(void)unlink(path);
	}
	return r;
}

static int run(bool limited)
{
	static char request[SCRIPT_REQUEST_MAX];
	static char *argv[SCRIPT_ARGUMENTS_MAX + 2];
	int fds[SCRIPT_DESCRIPTORS_MAX];
	ssize_t n = receive(request, sizeof(request), fds);
	struct start s = { argv, fds[0], fds[1] };
	char *at = request;

	if (n <= 0 || s.output < 0) {
		return n == 0 ? 0 : 1;
	}
	environment_clean();
	if (s.input >= 0 && request[n - 1] == 0) {
		at += 1 + environment_add(request + 1, (size_t)n - 1);
	}
	if (!arguments_split(at, (size_t)(request + n - at), argv)) {
		return 1;
	}
	return s.input >= 0 && request[0] == SCRIPT_SPILL ? spilled_run(&s, limited)
							  : converse(&s, limited);
}

/* ---- without systemd ---- */

static int serve(void)
{
	int fds[SCRIPT_DESCRIPTORS_MAX];
	char nothing;
	ssize_t n;

	signal(SIGCHLD, SIG_IGN); /* runners vanish by themselves */
	signal(SIGINT, SIG_IGN);  /* Ctrl-C is for the agent; we end with the channel */
	while ((n = receive(&nothing, 1, fds)) > 0) {
		int conversation = fds[0];

		if (conversation >= 0 && fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			dup2(conversation, CONVERSATION);
			close(conversation);
			return run(true);
		}
		if (conversation >= 0) {
			close(conversation);
		}
	}
	return n == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		return run(false);
	}
	if (argc == 2 && strcmp(argv[1], "-serve") == 0) {
		return serve();
	}
	fprintf(stderr,
		"usage: muster-script [-serve]; checkd starts it, with its socket as stdin\n");
	return 1;
}
