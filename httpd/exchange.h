/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct exchange: one request and its answer. This is what a handler gets, and the header to read
 * before writing one.
 *
 * A handler does exactly one of three things before it returns:
 *   1. answers: renders into exchange_body(x) and ends with answer_json / answer_raw, or
 *      answer_text / answer_empty / answer_printf;
 *   2. calls another daemon with EXCHANGE_CALL(x, client, type, &message, timeout_ms, on_reply):
 *      the exchange is then pending, and on_reply again does one of 1 and 2. When the client goes
 *      away the call is cancelled and on_reply never runs;
 *   3. in a ROUTE_READ handler: returns because read_held(x) said so. The engine runs the handler
 *      again when the thing that it named has changed, or when the wait is over. Nothing is kept
 *      between two runs.
 *
 * After answering, x must not be used any more.
 *
 * A read:
 *
 *     // ROUTE(GET, "/v1/health/node/", handle_health_node, ROUTE_READ | ...)
 *     void handle_health_node(struct exchange *x)
 *     {
 *             read_thing(x, THING_NODE_CHECKS, exchange_lower(x, x->request.name));
 *             if (read_held(x)) {
 *                     return;
 *             }
 *             ... kv_get(x->txn, ...), buf_put_str(exchange_body(x), record.json) ...
 *             answer_json(x, 200);
 *     }
 *
 * An operation of another daemon:
 *
 *     struct agent_service_deregister m = { .token = exchange_token(x), .id = x->request.name };
 *     EXCHANGE_CALL(x, x->httpd->check_write, agent_service_deregister, &m, 0, exchange_on_result);
 *
 * Memory: x->arena and everything in x->request (but not request.body) live until the answer;
 * records of x->txn until the handler returns.
 */
#ifndef MUSTER_HTTPD_EXCHANGE_H
#define MUSTER_HTTPD_EXCHANGE_H

#include "common/base/bind.h"
#include "common/msg/message.h"
#include "common/msg/state.h"
#include "common/sys/ipc.h"
#include "httpd/core/answer.h"
#include "httpd/core/route.h"

enum { REQUEST_BODY_MAX = 1 << 20, EXCHANGE_CALL_MS = 30000, EXCHANGE_THINGS_MAX = 3 };

struct httpd;
struct conn;
struct shared;

/* ?consistent, ?stale or neither */
enum read_mode { READ_DEFAULT, READ_STALE, READ_CONSISTENT };

typedef void (*exchange_reply_fn)(struct exchange *x, int status, struct str payload);

struct exchange {
	struct httpd *httpd;
	struct request request;
	struct arena arena;
	void *state;		 /* the handler's own, in the arena; survives EXCHANGE_CALL */
	const char *upload_path; /* ROUTE_BODY_FILE */

	/* inside a ROUTE_READ handler */
	struct kv_txn *txn;

	/* ---- the engine's ---- */
	struct conn *conn;
	struct str head; /* as received, in the arena */
	struct route_match match;
	const struct route *route; /* the row of path and method; NULL: none */
	struct answer answer;
	struct exchange_read *read; /* NULL outside ROUTE_READ */
	struct ipc_pending *call;
	exchange_reply_fn on_reply;
	void (*on_gone)(void *arg);
	void *wait_arg;
	const struct stream *stream;
	struct mono started;
	struct mono leader_since; /* looking for the leader; 0: not begun */
	struct uuid id;		  /* see exchange_request_id; zero: not asked for */
	bool is_too_large;	  /* the body: it is not kept */
	bool answered, is_json, is_replying, is_waiting;
	bool is_passed_on; /* the answer is another httpd's: it goes out as it is */
	struct list link;  /* in the engine's pool */
};

/* ---- answering: each of these ends the exchange (the bytes go out when the handler has returned)
 * ---- */

struct buf *exchange_body(
	struct exchange *x); /* where the answer is rendered; empty when the handler starts */
void answer_json(struct exchange *x,
	int status); /* the body is one compact JSON value; indented when ?pretty */
void answer_raw(struct exchange *x, int status, struct str content_type); /* the body as it is */
void answer_text(struct exchange *x, int status, struct str text);
void answer_printf(struct exchange *x, int status, const char *format, ...) PRINTF_LIKE(3, 4);
void answer_empty(struct exchange *x, int status);
/* A refusal or the result of another daemon: status of ipc.h, result may be NULL unless status is
 * 0. RESULT_OK: 200 with its payload as JSON. */
void answer_result(struct exchange *x, int status, const struct result *result);

/* Before answering: one more header. name in the spelling that goes out; value is copied. */
void answer_header(struct exchange *x, struct str name, struct str value);
/* X-Consul-Index outside ROUTE_READ (event/list): never 0. */
void answer_index(struct exchange *x, uint64_t index);

/*
 * An answer produced piece by piece (monitor, metrics/stream, snapshot). produce appends the next
 * bytes to out and says whether there is more; it runs when the client has taken what was there.
 * STREAM_WAIT: nothing more now; ask again after wait_ms. The stream ends with the call that
 * appends nothing and returns STREAM_END; with STREAM_FAIL it breaks off, and its client sees that.
 */
enum stream_state { STREAM_MORE, STREAM_WAIT, STREAM_END, STREAM_FAIL };
struct stream {
	enum stream_state (*produce)(struct exchange *x, struct buf *out);
	void (*close)(
		struct exchange *x); /* at the end, also when the client went away; may be NULL */
	int64_t size;		     /* of the whole body; -1: unknown, sent chunked */
	int64_t wait_ms;
	struct str content_type;
};
void answer_stream(
	struct exchange *x, int status, const struct stream *stream); /* x lives until close */

/* ---- reading the request ---- */

struct str exchange_token(
	struct exchange *x); /* ?token, headers, else acl.tokens.default, else "" */
/* The address in text of the client that asked first: what X-Forwarded-For says, else its own; ""
 * on a Unix socket. */
struct str exchange_client(struct exchange *x);
struct str exchange_lower(struct exchange *x, struct str s); /* ASCII lower case, in the arena */
/*
 * The JSON body bound to a struct (out holds the defaults). false: answered with 400 "Request
 * decode failed: ...". exchange_bind_json gives the parsed tree too (for bodies whose shape is
 * looked at before binding).
 */
bool exchange_bind(struct exchange *x, const struct bind_object *object, void *out);
bool exchange_json(struct exchange *x, const char *error_prefix, struct json **out);

/* ---- ROUTE_READ handlers ---- */

/* Names a thing that the answer shows; at most EXCHANGE_THINGS_MAX. X-Consul-Index is the highest
 * index of them. */
void read_thing(struct exchange *x, enum thing kind, struct str name);
/* The same for the keys below a prefix, whose index the handler has found out itself. */
void read_prefix(struct exchange *x, struct str prefix, uint64_t index);
/* true: the client has this answer already and waits for the next: return at once, without
 * answering. */
bool read_held(struct exchange *x);
/*
 * For answers that show only a part of the thing (filter, tag, passing, node-meta ...): the engine
 * compares the rendered answer with the one that the client has, and goes on holding while it is
 * the same.
 */
bool read_held_filtered(struct exchange *x);
/* A read that failed behind its parameters (bad filter ...): the answer carries Consul's empty meta
 * headers. */
void read_failed(struct exchange *x, int status, struct str text);

/* ---- other daemons ---- */

/* timeout_ms 0: EXCHANGE_CALL_MS */
#define EXCHANGE_CALL(x, client, type, message_pointer, timeout_ms, reply)                     \
	do {                                                                                   \
		OWN_EMBEDDED(buf_fini) struct buf encoded_ = { 0 };                            \
                                                                                               \
		type##_encode(&encoded_, (message_pointer));                                   \
		exchange_call(                                                                 \
			(x), (client), MSG_##type, buf_str(&encoded_), (timeout_ms), (reply)); \
	} while (0)
void exchange_call(struct exchange *x, struct ipc_client *client, uint16_t message,
	struct str encoded, int64_t timeout_ms, exchange_reply_fn on_reply);
/*
 * Waiting for anything else than a call: the handler returns after exchange_suspend, and whoever
 * has what was waited for runs the rest by exchange_continue. on_gone: the client went away first;
 * x ends and must be forgotten. exchange_ready: what was waited for is there already, and the
 * handler still runs.
 */
void exchange_suspend(struct exchange *x, void (*on_gone)(void *arg), void *arg);
void exchange_continue(struct exchange *x, void (*run)(struct exchange *x, void *arg), void *arg);
void exchange_ready(struct exchange *x);
/* In an on_reply: the status it was given, or that of decoding the reply into *reply_pointer. */
#define EXCHANGE_DECODE(x, type, status, payload, reply_pointer) \
	((status) ? (status) : type##_reply_decode((payload), &(x)->arena, (reply_pointer)))
/* The on_reply of messages whose reply is just a result: answer_result. */
void exchange_on_result(struct exchange *x, int status, struct str payload);
/* The same, but success is 200 with an empty body whatever the payload (agent operations). */
void exchange_on_done(struct exchange *x, int status, struct str payload);
/*
 * ROUTE_LEADER: what was asked of this server's daemons (and refused with ST_NOT_LEADER) is done by
 * the leader's httpd, whose answer is passed on; the handler may also be run again, should this
 * server lead by then. The request must be complete in its target: a body is not handed on.
 */
void exchange_to_leader(struct exchange *x);
/* The on_reply of such messages whose reply is just a result. */
void exchange_on_leader_result(struct exchange *x, int status, struct str payload);
/*
 * Hands the request to a server of another data centre, whose answer is passed on; or answers why
 * that is not possible. For handlers that find the data centre in the body (which must still be
 * there); ?dc= is followed before any handler runs.
 */
void exchange_to_datacenter(struct exchange *x, struct str datacenter);
/*
 * Asks a server of another data centre something of our own, with the token of x, and gives the
 * answer to `then`, which goes on with the exchange as an on_reply does: it may answer, call, or
 * ask the next data centre. Servers only. Where too much is under way x has been answered when this
 * returns. Limits: 8 MiB for the answer; a data centre that cannot be reached costs at most a
 * second (unreachable is set then, with status 500 and Consul's text as the body).
 */
struct peer_question {
	struct str datacenter; /* any but this one; lower case */
	struct str method;     /* "GET" */
	struct str target;     /* "/v1/..." with its query, encoded */
	struct str body;       /* copied */
	bool repeatable;       /* to be asked again of another server when one dies over it */
	int64_t timeout_ms;    /* then it counts as unreachable; 0: as long as it takes */
};
struct peer_answer { /* borrowed for the call */
	int status;
	struct str body;
	bool unreachable; /* nobody answered; unknown data centres too */
};
typedef void (*exchange_answer_fn)(struct exchange *x, const struct peer_answer *answer);
void exchange_ask_datacenter(
	struct exchange *x, const struct peer_question *question, exchange_answer_fn then);

/* The node that was asked first, this one or one that has handed the request on: "this agent". */
struct str exchange_node(const struct exchange *x);
/* Addresses are shown as another data centre sees them (translate_wan_addrs of the node that was
 * asked first). */
bool exchange_shows_wan(const struct exchange *x);
/* Of this request, however often and through whichever servers it is tried: what it does under this
 * id is done once. */
struct uuid exchange_request_id(struct exchange *x);
/* It must be answered at once: the node that was asked first is about to end. */
bool exchange_is_urgent(const struct exchange *x);
/* Sends a command to catalogd and answers with its result. */
void exchange_propose(struct exchange *x, enum command_type type, struct str payload);
void exchange_propose_then(
	struct exchange *x, enum command_type type, struct str payload, exchange_reply_fn on_reply);
/*
 * For operations of other daemons that block by themselves (event/list, agent/service): ?index= and
 * ?wait= with Consul's errors (false: answered). *wait_ms_out holds the random addition, and is 0
 * while httpd ends: the handler is then run again and must be answered at once. The timeout of the
 * call must be longer than the wait.
 */
bool exchange_wait(struct exchange *x, uint64_t *index_out, uint32_t *wait_ms_out);
/* ?stale, ?consistent, ?max_stale outside ROUTE_READ. false: answered with 400. */
bool exchange_consistency(struct exchange *x, enum read_mode *mode_out);
/* The header of ?cached, once the parameters are known to be good; nothing where it was not asked.
 */
void exchange_cached(struct exchange *x);

#endif
