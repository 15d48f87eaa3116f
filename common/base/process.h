/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Go tells that a program did not start or did not end well: in outputs of checks, in logs of
 * handlers, in messages of commands.
 */
#ifndef MUSTER_COMMON_BASE_PROCESS_H
#define MUSTER_COMMON_BASE_PROCESS_H

#include "common/base/buf.h"

/* exec: "x": executable file not found in $PATH; fork/exec /x: permission denied */
void process_render_error(struct buf *out, const char *program, int error);

/* exit status 3; signal: killed. From waitpid's status; nothing for a good end. */
void process_render_end(struct buf *out, int wait_status);

#endif
