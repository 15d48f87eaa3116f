/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a prepared query, as it is created, updated, and sent to another data centre to be
 * executed there. Borrowed from the tree and the arena. ST_INVALID with Go's text in *why.
 */
#ifndef MUSTER_HTTPD_QUERY_BODY_H
#define MUSTER_HTTPD_QUERY_BODY_H

#include "common/base/bind.h"
#include "common/msg/types.h"

/* id_out: as given, "" for none. */
int query_body(struct arena *arena, const struct json *body, struct query_def *out,
	struct str *id_out, struct buf *why);

#endif
