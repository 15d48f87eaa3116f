/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holding a lock or a place of a semaphore, with Consul's layout of keys, so that its clients and
 * ours exclude each other:
 *
 *     lock        <prefix>/.lock, acquired by the session
 *     semaphore   <prefix>/<session>, acquired by it, for each who wants a place;
 *                 <prefix>/.lock, {"Limit":n,"Holders":{session:true}}, changed by compare-and-set
 *
 * lock.c is the command, lock_key.c and lock_semaphore.c the two kinds as a table of functions,
 * lock_session.c what they share: the session that is kept alive, and questions that wait.
 */
#ifndef MUSTER_CTL_LOCK_H
#define MUSTER_CTL_LOCK_H

#include "common/sys/clock.h"
#include "ctl/api.h"

enum {
	LOCK_TTL_MS = 15000,
	LOCK_WAIT_MS = 15000,	/* for a holder to go, at a time */
	LOCK_PAUSE_MS = 5000,	/* while a lock delay is in force */
	LOCK_ANSWER_MS = 15000, /* beyond what a question may wait */
	LOCK_GRACE_MS = 5000,	/* between SIGTERM and SIGKILL for the child */
	LOCK_RETRY_MS = 1000,
};

#define LOCK_KEY_NAME ".lock"

struct locker;

struct lock_kind {
	bool semaphore;
	/* One attempt with what is known, waiting up to wait_ms for a change. */
	int (*attempt)(struct locker *l, int64_t wait_ms);
	/* Whether it is still held; waits for a change as long as it is. */
	int (*check)(struct locker *l);
	int (*release)(struct locker *l);
	int (*cleanup)(struct locker *l); /* removes what nobody needs; ST_CONFLICT: in use */
};

extern const struct lock_kind lock_key, lock_semaphore;

struct locker {
	struct api api;
	const struct lock_kind *kind;
	const char *name;
	struct buf prefix, key; /* of all keys; of .lock */
	int64_t limit;
	bool verbose;
	int signals;
	char session[UUID_TEXT_SIZE + 1]; /* "": none */
	struct mono renew_due, renewed;
	int64_t ttl_ms;
	uint64_t index; /* to wait with; 0: none */
	bool contends;	/* its key of a semaphore is there */
};

/*
 * Outcomes of all functions: 0; ST_INVALID, with the text in api.error; ST_AGAIN: a signal came (or
 * an attempt's time is over); ST_CONFLICT: an attempt lost against somebody (ask again), or what
 * was held is lost; ST_FULL: nobody holds it, and it cannot be taken just now (a lock delay).
 */
int lock_session_open(struct locker *l);
void lock_session_close(struct locker *l);
void lock_session_renew(struct locker *l); /* when it is time to */

struct lock_question {
	const char *parameter; /* "recurse", or NULL */
	bool consistent;
	bool transient; /* out: the failure may be over soon: no answer, or 500 */
};
/* Asks for a key or tree, and waits up to wait_ms for a change where l->index is set. *out: a list
 * of pairs, NULL: none. The index is in *index_out. */
int lock_ask(struct locker *l, struct str key, struct lock_question *q, int64_t wait_ms,
	const struct json **out, uint64_t *index_out);
/* PUT or DELETE with one parameter and flags; *done_out: what the answer says. No signal ends it:
 * we have to know what became of it. */
int lock_tell(struct locker *l, const char *method, struct str key, const char *parameter,
	const char *value, uint64_t flags, struct str body, bool *done_out);
int lock_failed(struct locker *l, const char *what); /* "what: " before the text; ST_INVALID */
int lock_refuse(struct locker *l, const char *text);

#endif
