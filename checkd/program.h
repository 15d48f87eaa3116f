/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One program that a runner starts for us (script.h): its output as it comes, and how it ended. It
 * is over when the program has ended and everybody has closed its output; at the time-out all of it
 * is killed, and it lasts until it is gone, so that nothing of it stays behind.
 *
 * Where the kernel does not let go of it (a file system that hangs), the end is told after
 * PROGRAM_LATE_MS all the same. It counts as stuck until it is gone; with PROGRAM_STUCK_MAX of them
 * nothing more is started (EAGAIN), lest the machine fills with them.
 */
#ifndef MUSTER_CHECKD_PROGRAM_H
#define MUSTER_CHECKD_PROGRAM_H

#include "checkd/script.h"
#include "common/base/buf.h"
#include "common/sys/loop.h"

enum { PROGRAM_LATE_MS = 2000, PROGRAM_STUCK_MAX = 64 };

enum program_input {
	PROGRAM_NO_INPUT,     /* /dev/null */
	PROGRAM_STDIN,	      /* input is its stdin */
	PROGRAM_INPUT_SCRIPT, /* input is a script; a file with it becomes the last argument */
};

struct program_request {
	struct str arguments, environment; /* each behind its zero byte; NAME=value is added */
	enum program_input input_is;
	struct str input;
	int64_t timeout_ms;
};

struct program_end {
	int error;  /* errno: not started; else 0 */
	int status; /* as waitpid tells it */
	bool timed_out;
};

struct program;
typedef void (*program_output_fn)(void *arg, struct str bytes);
/* Once; the program is gone behind it. */
typedef void (*program_end_fn)(void *arg, const struct program_end *end);

struct program_hooks {
	program_output_fn on_output;
	program_end_fn on_end;
	void *arg;
};

/* Nothing is called from inside; everything in the request is copied. 0 or errno. */
int program_start(struct loop *loop, struct scripts *scripts, const struct program_request *q,
	const struct program_hooks *hooks, struct program **out);
void program_stop(struct program *p);		 /* kills it; without on_end */
void program_hold(struct program *p, bool held); /* no more output while held: it has to wait */

/* One argument behind those before. */
void program_argument(struct buf *out, struct str word);
/* Forgets those that are stuck. */
void programs_forget(struct scripts *scripts);
/* What runs a command line: $SHELL, or /bin/sh. */
const char *program_shell(void);

#endif
