/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail: what is refused in it, what still works. Each attempt in a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "common/base/str.h"
#include "common/sys/log_journal.h"
#include "common/sys/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum { NO_JAIL = 77 };

/* Each returns 0 or errno. */
static int try_family(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0);

	return fd < 0 ? errno : 0;
}

static int try_unix(void)
{
	return try_family(AF_UNIX);
}

static int try_ip(void)
{
	return try_family(AF_INET);
}

static int try_packet(void)
{
	return try_family(AF_PACKET);
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		_exit(0);
	}
	return pid < 0 ? errno : 0;
}

static int try_exec(void)
{
	char *argv[] = { (char *)(uintptr_t) "true", NULL };

	execv("/bin/true", argv);
	return errno;
}

static int try_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? errno : 0;
}

static int try_namespace(void)
{
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

static int try_write_execute(void)
{
	void *p = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int try_make_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC) ? errno : 0;
}

static int try_kill_parent(void)
{
	return kill(getppid(), 0) ? errno : 0;
}

static void *thread(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t id;
	int r = pthread_create(&id, NULL, thread, NULL);

	return r ? r : pthread_join(id, NULL);
}

static int in_child(unsigned needs, int (*attempt)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		_exit(sandbox_calls(needs) ? attempt() : NO_JAIL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(test_calls)
{
	static const struct {
		const char *name;
		int (*attempt)(void);
		unsigned needs;
		int wanted;
		bool plain_only; /* what sanitizers need themselves */
	} rows[] = {
		{ "unix", try_unix, 0, 0, false },
		{ "ip", try_ip, 0, EPERM, false },
		{ "ip, with a network", try_ip, SANDBOX_NETWORK, 0, false },
		{ "packet", try_packet, SANDBOX_NETWORK, EPERM, false },
		{ "thread", try_thread, 0, 0, false },
		{ "fork", try_fork, SANDBOX_NETWORK, EPERM, true },
		{ "exec", try_exec, SANDBOX_NETWORK, EPERM, false },
		{ "ptrace", try_ptrace, SANDBOX_NETWORK, EPERM, true },
		{ "namespace", try_namespace, 0, EPERM, false },
		{ "write and execute", try_write_execute, 0, EPERM, false },
		{ "make executable", try_make_executable, 0, EPERM, false },
		{ "signal to another", try_kill_parent, 0, EPERM, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int got;

		if (SANITIZED && rows[i].plain_only) {
			continue;
		}
		got = in_child(rows[i].needs, rows[i].attempt);
		if (got != NO_JAIL) {
			ck_assert_msg(got == rows[i].wanted, "%s: %d", rows[i].name, got);
		}
	}
}
END_TEST

/* ---- files ---- */

static int opened(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd >= 0) {
		close(fd);
	}
	return fd < 0 ? errno : 0;
}

static int files_child(const char *top)
{
	char own[64], map[64], path[96];
	struct sandbox_path paths[] = { { own, SANDBOX_WRITE }, { map, SANDBOX_MAP },
		{ "/etc", SANDBOX_READ }, { "/not/there", SANDBOX_READ } };
	static const struct {
		const char *path;
		int flags, wanted;
	} rows[] = {
		{ "own/new", O_WRONLY | O_CREAT, 0 },
		{ "own/new", O_RDONLY, 0 },
		{ "map/file", O_RDWR, 0 },
		{ "map/new", O_WRONLY | O_CREAT, EACCES },
		{ "foreign/file", O_RDONLY, EACCES },
		{ "foreign/new", O_WRONLY | O_CREAT, EACCES },
	};

	snprintf(own, sizeof(own), "%s/own", top);
	snprintf(map, sizeof(map), "%s/map", top);
	if (!sandbox_files(paths, ARRAY_SIZE(paths))) {
		return NO_JAIL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, rows[i].path);
		if (opened(path, rows[i].flags) != rows[i].wanted) {
			return (int)i + 1;
		}
	}
	if (opened("/etc/passwd", O_RDONLY) || opened("/etc/passwd", O_WRONLY) != EACCES) {
		return 20;
	}
	snprintf(path, sizeof(path), "%s/own/new", top);
	return unlink(path) ? 21 : 0;
}

TEST(test_files)
{
	char top[] = "/tmp/test_sandbox.XXXXXX", path[96];
	static const char *const folders[] = { "own", "map", "foreign" };
	int status;
	pid_t pid;

	ck_assert_ptr_nonnull(mkdtemp(top));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, folders[i]);
		ck_assert_int_eq(mkdir(path, 0700), 0);
		snprintf(path, sizeof(path), "%s/%s/file", top, folders[i]);
		ck_assert_int_eq(opened(path, O_WRONLY | O_CREAT), 0);
	}
	pid = fork();
	if (pid == 0) {
		_exit(files_child(top));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == NO_JAIL);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s/file", top, folders[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%s", top, folders[i]);
		ck_assert_int_eq(rmdir(path), 0);
	}
	ck_assert_int_eq(rmdir(top), 0);
}
END_TEST

/* ---- fields of the journal ---- */

TEST(test_log_pairs)
{
	static const struct {
		const char *text, *pairs;
	} rows[] = {
		{ "", "" },
		{ "pid=1 after_ms=20", "pid|1;after_ms|20;" },
		{ "reason=\"two words\" x=y", "reason|two words;x|y;" },
		{ "words first a=1 and between b=2", "a|1;b|2;" },
		{ "\"quoted a=1\" b=2", "b|2;" },
		{ "open=\"never ends", "open|\"never ends;" },
		{ "empty= next=1", "empty|;next|1;" },
		{ "=x a=b=c", "a|b=c;" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf got = { 0 };
		struct str rest = str_of(rows[i].text), key, value;

		while (log_pair_next(&rest, &key, &value)) {
			buf_printf(&got, STR_FMT "|" STR_FMT ";", STR_ARG(key), STR_ARG(value));
		}
		ck_buf_is(&got, rows[i].pairs);
	}
}
END_TEST

UNIT_MAIN("sandbox", test_calls, test_files, test_log_pairs)
