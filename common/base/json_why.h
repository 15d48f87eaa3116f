/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a text is not JSON, in the words of Go's encoding/json. Only called after a parser has
 * refused the text.
 */
#ifndef MUSTER_COMMON_BASE_JSON_WHY_H
#define MUSTER_COMMON_BASE_JSON_WHY_H

#include "common/base/buf.h"
#include "common/base/str.h"

void json_why(struct str input, struct buf *why);

/* The line (from 1) on which the reason stands, for messages about files. */
int json_why_line(struct str input);

#endif
