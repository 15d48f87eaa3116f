/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of command-line flags (POSIX extended), with Go's words for what is wrong
 * with them.
 */
#ifndef MUSTER_CTL_EXPRESSION_H
#define MUSTER_CTL_EXPRESSION_H

#include <regex.h>

#include "common/base/buf.h"

/* 0: *out is to be given to regfree. ST_INVALID with "error parsing regexp: missing closing ): `(`"
 * in *why. */
int regex_open(regex_t *out, const char *text, struct buf *why);

#endif
