/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that a command starts and looks after: the handler of `muster watch`, what runs under
 * `muster lock`. Signals are not handlers here but a descriptor that requests to the agent also
 * look at (api.wake_fd), so that a command waits for everything at one place.
 */
#ifndef MUSTER_CTL_CHILD_H
#define MUSTER_CTL_CHILD_H

#include <sys/types.h>

#include "common/base/buf.h"

/* From here on SIGINT, SIGTERM and SIGCHLD arrive at the descriptor, and only there. */
int signals_open(void);
/* The next one, waiting for it up to wait_ms (-1: for ever); 0: none came. */
int signals_next(int fd, int64_t wait_ms);
/* It asks us to end. (SIGCHLD may be left over from a child that has been waited for.) */
bool signal_is_end(int number);

struct child_request {
	bool shell; /* the words, joined, are for $SHELL (else /bin/sh) -c */
	char *const *words;
	int words_count;
	const char *variable, *value; /* added to the environment */
	int input;		      /* becomes stdin */
};

/* 0, or ST_INVALID with Go's text in *why. */
int child_start(const struct child_request *q, pid_t *pid_out, struct buf *why);
/* True when it has ended, with waitpid's status. */
bool child_ended(pid_t pid, int *status_out);
/* Until it ends; SIGINT and SIGTERM are passed on, and told in *interrupted. Returns waitpid's
 * status. */
int child_wait(int signals, pid_t pid, bool *interrupted);

#endif
