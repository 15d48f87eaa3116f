/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection to another server: frames out of a buffer, frames in to on_frame. A link never
 * goes away by itself: where it fails it says so (broken, why), and its owner frees it when nobody
 * is using it. What is put into `out` leaves at link_flush, or when there is room again.
 */
#ifndef MUSTER_RAFTD_LINK_H
#define MUSTER_RAFTD_LINK_H

#include "common/sys/loop.h"
#include "common/sys/net.h"
#include "raftd/peer_frame.h"

enum {
	LINK_OUT_MAX = 32 << 20, /* waiting bytes; at more the link is broken */
	LINK_ALIVE_MS = 5000,	 /* without any acknowledgement from the other machine */
};

struct peer;

struct link {
	struct list list;  /* the owner's */
	struct peer *peer; /* the owner's: who is at the other end; NULL: not known yet */
	struct loop_io io;
	int fd;
	bool connecting, greeted, broken;
	const char *why;   /* broken */
	struct mono since; /* when it was made */
	struct buf in, out;
	size_t out_sent; /* of out */
	void (*on_frame)(void *arg, struct link *l, const struct peer_frame *f);
	void *arg;
};

/* Owns the descriptor. connecting: the connect is under way; greeted is the owner's to set, and
 * allows frames of full size. */
struct link *link_new(struct loop *loop, int fd, bool connecting);
void link_free(struct link *l);
DEFINE_OWN(struct link, link_free)
void link_flush(struct link *l);
void link_break(struct link *l, const char *why); /* the first reason counts */

static inline size_t link_waiting(const struct link *l)
{
	return l->out.n - l->out_sent;
}

#endif
