/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One order of `muster exec` (or `consul exec`) as this node carries it out. Pure. Everything is
 * told through the KV store, under a session of the one who asks, each key acquired by it so that
 * nobody writes any more when it is gone:
 *
 *     <prefix>/<session>/job            what to run
 *                       /<node>/ack     this node has begun
 *                       /<node>/out/00000 ...  up to REMOTE_CHUNK_MAX bytes of output each; an
 *                                       empty one says that it still runs
 *                       /<node>/exit    the exit code, 255: it could not be run (or told)
 *
 *     begin -> [acked before?] -> job, stale -> job, consistent -> ack -> start
 *                                                                           |
 *           printed --gathered--> out ... out <--written-- (one request at a time)
 *           ended --when all is written--> exit -> done
 *
 * Limits: REMOTE_HELD_MAX bytes wait to be written, then the program waits; after
 * REMOTE_CHUNKS_MAX keys it is killed.
 *
 * Event memory is borrowed for the call. Update memory is the order's, valid until the next step.
 */
#ifndef MUSTER_CHECKD_CORE_REMOTE_H
#define MUSTER_CHECKD_CORE_REMOTE_H

#include "common/base/arena.h"
#include "common/base/bind.h"
#include "common/base/buf.h"
#include "common/base/time.h"

enum {
	REMOTE_CHUNK_MAX = 4096,
	REMOTE_HELD_MAX = 64 << 10,
	REMOTE_CHUNKS_MAX = 4096,
	REMOTE_IDLE_MS = 500,	  /* less than a chunk waits so long for more */
	REMOTE_BEAT_MIN_MS = 100, /* between signs of life, whatever the order says */
	REMOTE_FAILED = 255,
};

enum remote_event_type {
	REMOTE_BEGIN,	 /* payload, of the event; again: it may have been carried out before */
	REMOTE_ANSWERED, /* status, body: of the update's request */
	REMOTE_PRINTED,	 /* text */
	REMOTE_ENDED,	 /* code; also when it did not start */
	REMOTE_TIMER,	 /* remote_deadline has come */
};

struct remote_event {
	enum remote_event_type type;
	struct mono now;
	struct str text; /* payload, body, what was printed */
	bool again;
	int status; /* HTTP's; 0: no answer */
	int64_t code;
};

struct remote_update {
	bool ask, put; /* a request: path, with body when put */
	struct str path, body;
	bool start;	  /* order->spec is to be run; ENDED must follow */
	bool hold;	  /* output is not to be read now (as long as updates say so) */
	bool kill;	  /* what runs is to be stopped, without ENDED */
	bool done;	  /* nothing more comes of it */
	const char *note; /* why it is done early, for the log; NULL: it was carried out */
};

struct remote_spec {
	struct str command, script;
	struct strs args;
	int64_t wait_ns;
};

enum remote_state {
	REMOTE_LOOKS_BACK,
	REMOTE_READS_STALE,
	REMOTE_READS,
	REMOTE_ACKS,
	REMOTE_RUNS,
	REMOTE_EXITS,
	REMOTE_IS_DONE
};

struct remote {
	enum remote_state state;
	struct arena arena;
	struct buf directory, own; /* <prefix>/<session>, and with the node's name */
	struct buf session, path;
	struct remote_spec spec;
	struct buf output, chunk;
	uint32_t chunks;
	bool busy;   /* a request is out */
	bool runs;   /* started and not ended */
	bool failed; /* nothing of the program counts any more */
	int64_t code;
	struct mono flush_due, beat_due;
};

void remote_init(struct remote *r, struct str node);
void remote_fini(struct remote *r);
void remote_step(struct remote *r, const struct remote_event *e, struct remote_update *u);
struct mono remote_deadline(const struct remote *r);

#endif
