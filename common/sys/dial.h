/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From "host:port" to addresses, without blocking: literals at once, names through glibc's
 * asynchronous resolver, which is asked how far it is by a timer (lookups are few, and a signal or
 * thread of its own is more trouble than that). The resolver's files are part of every jail.
 */
#ifndef MUSTER_COMMON_SYS_DIAL_H
#define MUSTER_COMMON_SYS_DIAL_H

#include "common/sys/loop.h"
#include "common/sys/net.h"

enum { DIAL_ADDRESSES_MAX = 16 };

struct dial;

/*
 * Calls on_addresses once, from the loop, never from inside dial_new: with count > 0, or with count
 * 0 and `error` in Go's words
 * ("lookup x: no such host", "address x: missing port in address"). dial_free before that cancels.
 */
typedef void (*dial_fn)(
	void *arg, const struct net_address *addresses, size_t count, const char *error);
struct dial *dial_new(struct loop *loop, struct str host_port, dial_fn on_addresses, void *arg);
void dial_free(struct dial *d);
DEFINE_OWN(struct dial, dial_free)

/* "connect: connection refused": the system call and the error's text in lower case. */
void dial_render_error(struct buf *out, const char *call, int error);

#endif
