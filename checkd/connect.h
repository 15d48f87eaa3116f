/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection to "host:port", to whichever of its addresses answers first in their order.
 */
#ifndef MUSTER_CHECKD_CONNECT_H
#define MUSTER_CHECKD_CONNECT_H

#include "common/base/buf.h"
#include "common/sys/loop.h"

struct connect;

/*
 * Calls on_connected once, from the loop, never from inside connect_new: with the descriptor (now
 * the callee's) or with -1 and the error in Go's words ("dial tcp 127.0.0.1:1: connect: connection
 * refused"). The connect is gone behind that call; connect_free before it cancels. There is no
 * time-out here; connect_late_text says what Go would when the caller's has come.
 */
typedef void (*connect_fn)(void *arg, int fd, struct str error);
struct connect *connect_new(
	struct loop *loop, struct str host_port, connect_fn on_connected, void *arg);
void connect_free(struct connect *c);
DEFINE_OWN(struct connect, connect_free)
void connect_late_text(
	const struct connect *c, struct buf *out); /* "dial tcp 10.0.0.1:80: i/o timeout" */

#endif
