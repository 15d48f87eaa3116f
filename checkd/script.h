/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How checkd has programs run that it may not start itself: in its jail it can neither fork nor
 * exec. Each run is a conversation over a SOCK_SEQPACKET socket with a muster-script process
 * (script_main.c), which starts the program and lives as long as the conversation:
 *
 *     checkd -> runner   one message: the arguments, each behind its zero byte; with it, the
 *                        descriptor that becomes the program's stdout and stderr
 *                        with a second descriptor: a byte that says what that is (enum
 *                        script_input), words NAME=value for the environment, each behind its
 *                        zero byte, an empty word, and then the arguments
 *     runner -> checkd   one struct script_reply
 *     end of file        nobody wants the result any more, or it has been taken: the program's
 *                        process group is killed
 *
 * Under systemd a conversation is a connection to muster-script.socket, and each runner a unit of
 * its own, as another user, with limits, whose processes all end with it. Elsewhere checkd starts
 * one `muster-script -serve` before it goes to jail, and hands it one end of a socket pair for each
 * run.
 */
#ifndef MUSTER_CHECKD_SCRIPT_H
#define MUSTER_CHECKD_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"

/* SCRIPTS_MAX: conversations at once. muster-script.socket allows for more, since its units take a
 * moment to be gone. */
enum {
	SCRIPT_REQUEST_MAX = 128 << 10,
	SCRIPT_ARGUMENTS_MAX = 1024,
	SCRIPT_DESCRIPTORS_MAX = 2,
	SCRIPTS_MAX = 256,
};

enum script_input {
	SCRIPT_INPUT = 'i', /* the program's stdin */
	SCRIPT_SPILL = 's'  /* a script: put into a file that becomes the last argument */
};

enum script_outcome {
	SCRIPT_ENDED,	   /* value: as waitpid tells it */
	SCRIPT_NOT_STARTED /* value: errno */
};

struct script_reply {
	int32_t outcome, value;
};

/* Where runners come from. */
struct scripts {
	const char *path;  /* a socket that systemd listens on; else */
	int server;	   /* the channel to `muster-script -serve`; -1: no scripts here */
	struct list stuck; /* struct program: killed and not gone, see program.h */
	unsigned stuck_count;
};

/* MUSTER_SCRIPTS in the environment names the socket. Otherwise starts the server: the program
 * named, or muster-script beside our own program when NULL. -errno */
int scripts_open(const char *program, struct scripts *out);
void scripts_close(struct scripts *s);
/* The first half of scripts_open, which needs to start nothing: false: none. */
bool scripts_of_systemd(struct scripts *out);

#endif
