/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls between the daemons of one node, over nanomsg ipc:// sockets (nn.h is included in ipc*.c
 * alone). The working directory of every daemon is the run directory, so endpoints are the relative
 * paths <daemon>/read and <daemon>/write.
 *
 * Raw REQ/REP; a frame carries all that one turn of the loop has for the peer, each part with our
 * own 64-bit request id. Answers can be lost without notice, so a client repeats what is unanswered
 * when the connection was made anew (the server was restarted), until the call's deadline; handlers
 * must therefore be safe to repeat. At most calls_max calls wait at once: more are refused with
 * ST_FULL at once. Messages that do not decode are logged, counted and refused with ST_INVALID.
 */
#ifndef MUSTER_COMMON_SYS_IPC_H
#define MUSTER_COMMON_SYS_IPC_H

#include "common/msg/message.h"
#include "common/sys/loop.h"

enum { IPC_FRAME_MAX = 64 << 20, IPC_CALL_MAX = 63 << 20, IPC_CALLS_MAX = 65536 };

/* ---- server ---- */

struct ipc_server;
struct ipc_call; /* one request; lives until ipc_reply or ipc_refuse, which must come exactly once,
		    now or later */

struct ipc_handler {
	uint16_t message;
	enum role role;
	void (*handle)(void *owner, struct ipc_call *call, struct str payload);
};

/*
 * A row that decodes first:  IPC_HANDLER(catalog_watch, ROLE_READ, handle_watch)  where
 *     static void handle_watch(struct catalogd *c, struct ipc_call *call, const struct
 * catalog_watch *m) The decoded message (strings, lists) is borrowed for the call. Use IPC_DECODER
 * once per handler, before the table: IPC_DECODER(struct catalogd, catalog_watch, handle_watch)
 */
#define IPC_DECODER(owner_type, type, function)                                                \
	static void function##_decoded(void *owner, struct ipc_call *call, struct str payload) \
	{                                                                                      \
		struct type message_;                                                          \
                                                                                               \
		if (type##_decode(payload, ipc_call_arena(call), &message_)) {                 \
			ipc_refuse_malformed(call);                                            \
			return;                                                                \
		}                                                                              \
		function((owner_type *)owner, call, &message_);                                \
	}
#define IPC_HANDLER(type, role, function)            \
	{                                            \
		MSG_##type, role, function##_decoded \
	}

/* Serves one endpoint (<daemon>/read or <daemon>/write). The rows must outlive the server. -errno
 */
int ipc_server_new(struct loop *loop, const char *endpoint, enum role role,
	const struct ipc_handler *rows, size_t rows_count, void *owner, struct ipc_server **out);
void ipc_server_free(struct ipc_server
		*s); /* sends what was answered; calls still open are freed without an answer */
DEFINE_OWN(struct ipc_server, ipc_server_free)

struct arena *ipc_call_arena(
	struct ipc_call *call); /* lives as long as the handler runs, not longer */
void ipc_reply(struct ipc_call *call, struct str encoded); /* encoded: the bytes of <type>_reply */
void ipc_refuse(struct ipc_call *call, int status);
void ipc_refuse_malformed(struct ipc_call *call);

/* Typed:  IPC_REPLY(call, catalog_watch, &reply) */
#define IPC_REPLY(call, type, reply_pointer)                        \
	do {                                                        \
		OWN_EMBEDDED(buf_fini) struct buf encoded_ = { 0 }; \
                                                                    \
		type##_reply_encode(&encoded_, (reply_pointer));    \
		ipc_reply((call), buf_str(&encoded_));              \
	} while (0)

/* ---- client ---- */

struct ipc_client;
struct ipc_pending; /* one call on its way; valid until on_reply runs or ipc_cancel */

/* Connects when the server is there, again and again. Never fails for an absent server. -errno only
 * for the environment. */
int ipc_client_new(struct loop *loop, const char *endpoint, struct ipc_client **out);
void ipc_client_free(struct ipc_client *c); /* outstanding calls end without on_reply */
DEFINE_OWN(struct ipc_client, ipc_client_free)

/*
 * status 0: payload is the encoded reply, borrowed. Else: the server's refusal, ST_TIMEOUT after
 * timeout_ms, ST_FULL or (more than IPC_CALL_MAX bytes) ST_TOO_LARGE at once (then on_reply runs
 * before ipc_call returns NULL). on_reply runs exactly once unless cancelled.
 */
typedef void (*ipc_reply_fn)(void *arg, int status, struct str payload);
struct ipc_pending *ipc_call(struct ipc_client *c, uint16_t message, struct str encoded,
	int64_t timeout_ms, ipc_reply_fn on_reply, void *arg);
void ipc_cancel(struct ipc_pending *p);

/* Typed:  IPC_CALL(client, catalog_watch, &message, timeout_ms, on_watch, arg) */
#define IPC_CALL(client, type, message_pointer, timeout_ms, on_reply, arg)                   \
	({                                                                                   \
		OWN_EMBEDDED(buf_fini) struct buf encoded_ = { 0 };                          \
                                                                                             \
		type##_encode(&encoded_, (message_pointer));                                 \
		ipc_call((client), MSG_##type, buf_str(&encoded_), (timeout_ms), (on_reply), \
			(arg));                                                              \
	})

bool ipc_client_connected(const struct ipc_client *c);
size_t ipc_client_outstanding(const struct ipc_client *c);

#endif
