/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail that a daemon builds around itself, whoever started it: what it may touch in the file
 * system (Landlock, where the kernel has it) and which system calls it may make (seccomp, by
 * libseccomp; included in sandbox.c alone). Units add more; nothing here needs them.
 *
 * Both hold for the process, its threads and all that they start, for good. Landlock binds only the
 * thread that asks for it and those it makes later, so sandbox_files comes before the first thread;
 * sandbox_calls binds all threads, and comes when the daemon has opened what it needs.
 *
 *     sandbox_files   opening, making and removing files outside the listed folders: EACCES
 *     sandbox_calls   whatever is not in the tables of sandbox.c: EPERM. Always among that: exec,
 *                     fork, ptrace, mount, new namespaces, memory that is writable and executable,
 *                     sockets other than Unix (and, with SANDBOX_NETWORK, IP and netlink)
 *
 * Where the kernel refuses to build it the daemon goes on without, and says so.
 */
#ifndef MUSTER_COMMON_SYS_SANDBOX_H
#define MUSTER_COMMON_SYS_SANDBOX_H

#include "common/base/std.h"

enum sandbox_right {
	SANDBOX_READ,
	SANDBOX_MAP,   /* read, and write into files that are there (the lock of an LMDB reader) */
	SANDBOX_WRITE, /* everything, below the folder */
};

struct sandbox_path {
	const char *path; /* one that does not exist is left out */
	enum sandbox_right right;
};

enum { SANDBOX_NETWORK = 1 };

/* true: in force. false: the kernel cannot (logged). */
bool sandbox_files(const struct sandbox_path *paths, size_t count);
bool sandbox_calls(unsigned needs);

#endif
