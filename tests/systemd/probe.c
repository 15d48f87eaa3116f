/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in a daemon's place, in its unit, and tries what the daemon must not be able to do. Each
 * argument is an attempt; a line for each on stdout: the attempt, and "done" or what the kernel
 * said.
 *
 *     read=PATH write=PATH connect=PATH socket=FAMILY exec=PATH ptrace=PID signal=PID map=wx userns
 *     mount
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd >= 0) {
		close(fd);
	}
	return fd < 0 ? errno : 0;
}

static int try_connect(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	r = connect(fd, (struct sockaddr *)&un, sizeof(un)) ? errno : 0;
	close(fd);
	return r;
}

static int try_socket(const char *family)
{
	int fd = socket(atoi(family), SOCK_RAW, 0), again;

	again = fd < 0 && errno != EAFNOSUPPORT ? socket(atoi(family), SOCK_DGRAM, 0) : fd;
	return again < 0 ? errno : 0;
}

static int try_exec(const char *path)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl(path, path, "-c", "exit 0", (char *)NULL);
		_exit(errno);
	}
	if (pid < 0) {
		return errno;
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static int attempt(const char *what, const char *arg)
{
	if (strcmp(what, "read") == 0) {
		return try_open(arg, O_RDONLY);
	} else if (strcmp(what, "write") == 0) {
		return try_open(arg, O_WRONLY);
	} else if (strcmp(what, "connect") == 0) {
		return try_connect(arg);
	} else if (strcmp(what, "socket") == 0) {
		return try_socket(arg);
	} else if (strcmp(what, "exec") == 0) {
		return try_exec(arg);
	} else if (strcmp(what, "ptrace") == 0) {
		return ptrace(PTRACE_ATTACH, atoi(arg), NULL, NULL) ? errno : 0;
	} else if (strcmp(what, "signal") == 0) {
		return kill(atoi(arg), 0) ? errno : 0;
	} else if (strcmp(what, "map") == 0) {
		return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
			       ? errno
			       : 0;
	} else if (strcmp(what, "userns") == 0) {
		return unshare(CLONE_NEWUSER) ? errno : 0;
	} else if (strcmp(what, "mount") == 0) {
		return mount("none", "/tmp", "tmpfs", 0, NULL) ? errno : 0;
	}
	return -1;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char what[512];
		char *arg;
		int r;

		snprintf(what, sizeof(what), "%s", argv[i]);
		arg = strchr(what, '=');
		if (arg) {
			*arg++ = 0;
		}
		r = attempt(what, arg ? arg : "");
		printf("%s %s\n", argv[i], r == 0 ? "done" : strerrorname_np(r));
		fflush(stdout);
	}
	sd_notify(0, "READY=1");
	return 0;
}
