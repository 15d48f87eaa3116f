/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared shapes of types.def as structs, and the kinds of struct result.
 */
#ifndef MUSTER_COMMON_MSG_TYPES_H
#define MUSTER_COMMON_MSG_TYPES_H

#include "common/msg/wire.h"

#define TYPE(type) WIRE_DECLARE(type)
#include "common/msg/types.def"
#undef TYPE

/* How an operation ended; httpd turns these into statuses by a table. */
enum result_kind {
	RESULT_OK,	  /* payload is the answer's JSON body (may be empty) */
	RESULT_ERROR,	  /* 500 with text */
	RESULT_BAD,	  /* 400 with text */
	RESULT_DENIED,	  /* 403 with text */
	RESULT_NOT_FOUND, /* 404 with text */
	RESULT_CONFLICT,  /* 409 with payload */
	RESULT_TOO_LARGE, /* 413 with text */
};

#endif
