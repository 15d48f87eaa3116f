/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking side of one HTTP connection to an httpd of ours (the API socket of this node, another
 * node's port): one request at a time, one after the other for as long as both sides keep it. For
 * what strangers serve there is fetch.h.
 *
 *     http_link_open      connects, without waiting
 *     http_link_ask       a complete request; what it lies in must stay until it is over
 *     http_link_ask_file  the same, with the bytes of a file behind it
 *     http_link_close     at any time; embedded, and nothing is told any more
 *
 * What comes is told by the events, from the loop and never from inside one of these functions.
 * Each of on_progress, on_answered and on_lost is the last thing that the link does in a turn: they
 * may close it.
 */
#ifndef MUSTER_COMMON_SYS_HTTP_LINK_H
#define MUSTER_COMMON_SYS_HTTP_LINK_H

#include "common/base/response.h"
#include "common/sys/loop.h"
#include "common/sys/net.h"

struct http_link_events {
	void (*on_field)(void *arg, struct str name, struct str value); /* may be NULL */
	void (*on_body)(void *arg, struct str piece);
	void (*on_progress)(void *arg); /* something has come, but not all of it; may be NULL */
	void (*on_answered)(void *arg); /* complete: see response; it may be asked again if it is
					   kept */
	/* Refused, ended or broken (also while nobody asks), or not HTTP: to be closed. error:
	 * errno, 0: it ended. */
	void (*on_lost)(void *arg, int error);
};

struct http_link {
	int fd;
	struct response response;
	bool asking;
	bool spoken; /* the answer has begun */
	/* ---- its own ---- */
	const struct http_link_events *events;
	void *arg;
	struct loop_io io;
	struct str out; /* what has not been taken yet */
	int file;	/* -1: none */
	uint64_t file_at, file_left;
	struct buf piece; /* of the file, in out */
	int write_error;  /* reading may find no more than the end */
	bool paused, sent, broken;
};

int http_link_open(struct http_link *l, struct loop *loop, const struct net_address *address,
	const struct http_link_events *events, void *arg); /* -errno */
void http_link_close(struct http_link *l);

/* bodyless: the answer will have no body (HEAD). */
void http_link_ask(struct http_link *l, struct str request, bool bodyless);
/* file stays the caller's. One that turns out shorter ends the connection. */
void http_link_ask_file(struct http_link *l, struct str head, int file, uint64_t size);
/* Takes nothing more of the answer until told to go on; then its end is not noticed either. */
void http_link_pause(struct http_link *l, bool pause);

/* Some of the request has left: the other side may have done what it asks for. */
bool http_link_reached(const struct http_link *l);
/* After on_answered: both sides would go on with another request. */
bool http_link_kept(const struct http_link *l);

#endif
