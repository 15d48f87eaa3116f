/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding or starting what runs scripts. Before the jail.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checkd/script.h"
#include "common/base/err.h"
#include "common/base/std.h"

extern char **environ;

static int program_beside(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	if (n < 0) {
		return err_errno("readlink /proc/self/exe");
	}
	out[n] = 0;
	slash = strrchr(out, '/');
	snprintf(slash + 1, size - (size_t)(slash + 1 - out), "muster-script");
	return 0;
}

/* The channel becomes its stdin; the server ends when the other side of it closes. */
static int server_start(const char *program, int channel)
{
	char *argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t) "-serve", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, channel, STDIN_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	r = posix_spawn(&pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r ? err_new(-r, "start %s", program) : 0;
}

bool scripts_of_systemd(struct scripts *out)
{
	*out = (struct scripts) { .path = getenv("MUSTER_SCRIPTS"), .server = -1 };
	list_init(&out->stuck);
	return out->path;
}

int scripts_open(const char *program, struct scripts *out)
{
	char beside[4096];
	int ends[2], r = 0;

	if (scripts_of_systemd(out)) {
		return 0;
	}
	if (!program) {
		r = program_beside(beside, sizeof(beside));
		program = beside;
	}
	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		r = err_errno("socketpair");
	}
	if (r) {
		return err_pass(r);
	}
	r = server_start(program, ends[1]);
	close(ends[1]);
	if (r) {
		close(ends[0]);
		return err_pass(r);
	}
	out->server = ends[0];
	return 0;
}

void scripts_close(struct scripts *s)
{
	if (s->server >= 0) {
		close(s->server);
	}
	s->path = NULL;
	s->server = -1;
}
