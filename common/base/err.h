/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error convention. Functions that can fail return int:
 *   0         done
 *   negative  -errno: the environment failed; traced at its origin with err_new(), passed up with
 *             err_pass(), never matched
 *   positive  enum status: an outcome that the caller handles
 */
#ifndef MUSTER_COMMON_BASE_ERR_H
#define MUSTER_COMMON_BASE_ERR_H

enum status {
	ST_OK = 0,
	ST_NOT_FOUND,  /* no such key, object, file */
	ST_INVALID,    /* the input breaks its grammar or a documented rule */
	ST_TRUNCATED,  /* the input ends too early */
	ST_TOO_LARGE,  /* over a limit */
	ST_FULL,       /* a bounded queue or table is full: try later */
	ST_AGAIN,      /* nothing to do now */
	ST_TIMEOUT,    /* the deadline passed */
	ST_CLOSED,     /* the other side has gone */
	ST_DENIED,     /* the caller may not do that */
	ST_CONFLICT,   /* a condition (compare-and-set, exclusive holder) does not hold */
	ST_NOT_LEADER, /* only the leader can do that, and it is not here */
	ST_NOT_READY,  /* the state here is known to be behind: no answer rather than an old one */
	ST_UNSUPPORTED,
	ST_CORRUPT, /* stored bytes do not check */
	ST_STORAGE, /* not stored: the disk is full or fails */
};

const char *status_name(int status);

/* Notes where an environment error was born (kept for the log line that decides about it). Takes
 * and returns -errno. */
#define err_new(e, ...) err_new_at(__FILE__, __LINE__, (e), __VA_ARGS__)
#define err_errno(...)	err_new_at(__FILE__, __LINE__, -errno, __VA_ARGS__)
#define err_pass(e)	(e)

int err_new_at(const char *file, int line, int error, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

/* The text of the newest environment error of this thread: "open /x: Permission denied
 * (conf.c:12)". Never NULL. */
const char *err_text(void);

#endif
