/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock by its system calls (glibc 2.36 has no functions for them), seccomp by libseccomp. Calls
 * are allowed by name, in groups; names that this machine's kernel or library does not know are
 * left out, so that newer ones can stand here too.
 */
#include "common/sys/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/sys/log.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Rights of later versions of Landlock than the headers know. */
#define ACCESS_REFER	(1ULL << 13) /* version 2 */
#define ACCESS_TRUNCATE (1ULL << 14) /* version 3 */

static const uint64_t rights_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t rights_file =
	LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE;
static const uint64_t rights_make = LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
				    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				    LANDLOCK_ACCESS_FS_MAKE_SOCK;
static const uint64_t rights_never = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
				     LANDLOCK_ACCESS_FS_MAKE_SYM;

static uint64_t rights_known(int version)
{
	uint64_t all = rights_read | rights_file | rights_make | rights_never | ACCESS_REFER;

	all &= version >= 2 ? ~0ULL : ~ACCESS_REFER;
	return all & (version >= 3 ? ~0ULL : ~ACCESS_TRUNCATE);
}

static uint64_t rights_of(enum sandbox_right right)
{
	switch (right) {
	case SANDBOX_READ:
		return rights_read;
	case SANDBOX_MAP:
		return rights_read | LANDLOCK_ACCESS_FS_WRITE_FILE;
	default:
		return rights_read | rights_file | rights_make | ACCESS_REFER;
	}
}

static void path_allow(int ruleset, const struct sandbox_path *p, uint64_t known)
{
	OWN_FD int fd = open(p->path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { rights_of(p->right) & known, fd };
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		return;
	}
	if (!S_ISDIR(st.st_mode)) { /* rights about folders cannot be given for a file */
		rule.allowed_access &= rights_file;
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0)) {
		log_warning("sandbox-path", "path=%s errno=%d", p->path, errno);
	}
}

bool sandbox_files(const struct sandbox_path *paths, size_t count)
{
	struct landlock_ruleset_attr attr = { 0 };
	OWN_FD int ruleset = -1;
	int version =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (version < 1) {
		log_info("sandbox-files", "landlock=no errno=%d", errno);
		return false;
	}
	attr.handled_access_fs = rights_known(version);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	for (size_t i = 0; ruleset >= 0 && i < count; i++) {
		path_allow(ruleset, &paths[i], attr.handled_access_fs);
	}
	if (ruleset < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		syscall(SYS_landlock_restrict_self, ruleset, 0)) {
		log_warning("sandbox-files", "landlock=refused errno=%d", errno);
		return false;
	}
	return true;
}

/* ---- system calls ---- */

static const char *const calls_process[] = { "exit", "exit_group", "futex", "futex_waitv",
	"set_robust_list", "get_robust_list", "rseq", "set_tid_address", "arch_prctl", "prctl",
	"gettid", "getpid", "getppid", "getpgrp", "getpgid", "getuid", "geteuid", "getgid",
	"getegid", "getresuid", "getresgid", "getgroups", "sched_yield", "sched_getaffinity",
	"sched_getparam", "sched_getscheduler", "getrlimit", "setrlimit", "prlimit64", "getrusage",
	"times", "sysinfo", "uname", "getcpu", "membarrier", "restart_syscall", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend",
	"sigaltstack", "pause", "alarm", "setitimer", "getitimer", "wait4", "waitid" };

static const char *const calls_time[] = { "clock_gettime", "clock_getres", "clock_nanosleep",
	"nanosleep", "gettimeofday", "time", "timerfd_create", "timerfd_settime",
	"timerfd_gettime" };

static const char *const calls_memory[] = { "brk", "munmap", "mremap", "madvise", "mincore",
	"mlock", "mlock2", "munlock", "msync", "memfd_create", "getrandom" };

static const char *const calls_descriptor[] = { "read", "write", "readv", "writev", "pread64",
	"pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "close", "close_range", "dup",
	"dup2", "dup3", "fcntl", "ioctl", "lseek", "pipe", "pipe2", "poll", "ppoll", "select",
	"pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
	"epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4", "splice", "sendfile",
	"copy_file_range" };

static const char *const calls_file[] = { "open", "openat", "openat2", "creat", "stat", "fstat",
	"lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
	"readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "mkdir",
	"mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link",
	"linkat", "truncate", "ftruncate", "fallocate", "fadvise64", "readahead", "flock", "fsync",
	"fdatasync", "sync_file_range", "syncfs", "umask", "chmod", "fchmod", "fchmodat",
	"fchmodat2", "chown", "fchown", "fchownat", "lchown", "utimensat" };

static const char *const calls_socket[] = { "bind", "listen", "accept", "accept4", "connect",
	"getsockname", "getpeername", "getsockopt", "setsockopt", "sendto", "recvfrom", "sendmsg",
	"recvmsg", "sendmmsg", "recvmmsg", "shutdown" };

/* What the sanitizers' own report at the end needs: a tracer thread that stops the others. */
static const char *const calls_sanitizer[] = { "clone", "ptrace", "process_vm_readv", "kill",
	"tgkill", "personality", "sched_setaffinity" };

static const struct {
	const char *const *names;
	size_t count;
	bool sanitizer;
} groups[] = {
	{ calls_process, ARRAY_SIZE(calls_process), false },
	{ calls_time, ARRAY_SIZE(calls_time), false },
	{ calls_memory, ARRAY_SIZE(calls_memory), false },
	{ calls_descriptor, ARRAY_SIZE(calls_descriptor), false },
	{ calls_file, ARRAY_SIZE(calls_file), false },
	{ calls_socket, ARRAY_SIZE(calls_socket), false },
	{ calls_sanitizer, ARRAY_SIZE(calls_sanitizer), true },
};

static int allow(scmp_filter_ctx filter, const char *name)
{
	int call = seccomp_syscall_resolve_name(name);

	return call < 0 ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
}

/* Allowed when (argument & mask) == value. */
static int allow_masked(
	scmp_filter_ctx filter, int call, unsigned argument, uint64_t mask, uint64_t value)
{
	struct scmp_arg_cmp cmp = { argument, SCMP_CMP_MASKED_EQ, mask, value };

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &cmp);
}

static int allow_equal(scmp_filter_ctx filter, int call, unsigned argument, uint64_t value)
{
	struct scmp_arg_cmp cmp = { argument, SCMP_CMP_EQ, value, 0 };

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &cmp);
}

/* Threads, but neither processes nor namespaces; signals to ourselves only; no memory that can be
 * written and executed (libraries that are loaded later map their code without writing to it). */
static int allow_conditional(scmp_filter_ctx filter)
{
	const uint64_t spaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
				CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
	int r = allow_masked(filter, SCMP_SYS(clone), 0, spaces | CLONE_THREAD, CLONE_THREAD);

	/* Its flags are behind a pointer, out of a filter's sight; libc then takes clone. */
	r = r ? r : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	r = r ? r : allow_equal(filter, SCMP_SYS(tgkill), 0, (uint64_t)getpid());
	r = r ? r : allow_equal(filter, SCMP_SYS(kill), 0, (uint64_t)getpid());
	r = r ? r : allow_masked(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
	r = r ? r : allow_masked(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
	return r ? r : allow_masked(filter, SCMP_SYS(mmap), 2, PROT_EXEC | PROT_WRITE, PROT_EXEC);
}

static int allow_families(scmp_filter_ctx filter, unsigned needs)
{
	static const int network[] = { AF_INET, AF_INET6, AF_NETLINK };
	int r = allow_equal(filter, SCMP_SYS(socket), 0, AF_UNIX);

	r = r ? r : allow_equal(filter, SCMP_SYS(socketpair), 0, AF_UNIX);
	for (size_t i = 0; r == 0 && needs & SANDBOX_NETWORK && i < ARRAY_SIZE(network); i++) {
		r = allow_equal(filter, SCMP_SYS(socket), 0, (uint64_t)network[i]);
	}
	return r;
}

static int filter_fill(scmp_filter_ctx filter, unsigned needs)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	r = r ? r : seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		for (size_t j = 0; r == 0 && j < groups[i].count; j++) {
			if (!groups[i].sanitizer || SANITIZED) {
				r = allow(filter, groups[i].names[j]);
			}
		}
	}
	r = r ? r : allow_conditional(filter);
	return r ? r : allow_families(filter, needs);
}

bool sandbox_calls(unsigned needs)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? filter_fill(filter, needs) : -ENOMEM;

	r = r ? r : seccomp_load(filter);
	if (filter) {
		seccomp_release(filter);
	}
	if (r) {
		log_warning("sandbox-calls", "seccomp=refused errno=%d", -r);
	}
	return r == 0;
}
