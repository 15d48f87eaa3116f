/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a daemon: <daemon>/control in the run directory, one JSON object in, one
 * out, plain nanomsg REQ/REP, so that `nanocat --req` can ask too. The commands are rows in
 * daemon_control.c.
 *     {"cmd":"ping"} -> {"ok":true}        unknown or broken -> {"ok":false,"error":"..."}
 */
#ifndef MUSTER_COMMON_SYS_CONTROL_H
#define MUSTER_COMMON_SYS_CONTROL_H

#include "common/base/json.h"
#include "common/sys/loop.h"

enum { CONTROL_REQUEST_MAX = 64 * 1024 };

/* ---- server (used by the daemon skeleton and by muster agent) ---- */

struct control_command {
	const char *name;
	/* Writes the members of the answer behind "ok":true, or returns an error text (then nothing
	 * of what was written is used). */
	const char *(*run)(void *owner, const struct json *request, struct jsonw *w);
};

struct control_server;
int control_server_new(struct loop *loop, const char *endpoint, const struct control_command *rows,
	size_t rows_count, void *owner, struct control_server **out);
void control_server_free(struct control_server *s);
DEFINE_OWN(struct control_server, control_server_free)

/* ---- clients ---- */

struct control_client;
int control_client_new(struct loop *loop, const char *endpoint, struct control_client **out);
void control_client_free(struct control_client *c); /* what is outstanding ends without an answer */
DEFINE_OWN(struct control_client, control_client_free)
/* status 0: answer is the JSON text. ST_TIMEOUT, ST_CLOSED (not connected; called at the next turn,
 * never at once). At most 64 at once: ST_FULL. */
typedef void (*control_fn)(void *arg, int status, struct str answer);
void control_call(struct control_client *c, struct str request, int64_t timeout_ms,
	control_fn on_answer, void *arg);

/* One question, waiting for the answer: for the command line only. ST_TIMEOUT when nobody answers.
 */
int control_ask(const char *endpoint, struct str request, int64_t timeout_ms, struct buf *answer);

#endif
