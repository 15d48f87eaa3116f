/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the engine share: connections, holds, and the struct they hang on. Endpoints do
 * not include this.
 *
 *     listen.c    listening sockets -> accept -> conn_new
 *     conn.c      bytes in: head, body -> exchange_new -> dispatch
 *     dispatch.c  the steps before a handler: cleaning, route, methods, who may
 *     read.c      ROUTE_READ: consistency, transaction, blocking
 *     hold.c      held queries: parked on things, woken by catalogd's watch
 *     exchange.c  the life of an exchange; calls of other daemons
 *     answer.c    what handlers use to answer
 *     output.c    answer -> bytes out; streams
 *     forward.h   requests that another node's httpd answers
 *
 * A connection handles one exchange at a time; what is pipelined behind waits in conn.in. Nothing
 * frees a connection in the middle: it is marked CONN_DEAD, and conn_settle, with which every entry
 * from the loop ends, frees it.
 */
#ifndef MUSTER_HTTPD_ENGINE_H
#define MUSTER_HTTPD_ENGINE_H

#include "common/base/map.h"
#include "common/base/rng.h"
#include "common/sys/loop.h"
#include "httpd/core/parser.h"
#include "httpd/core/wait.h"
#include "httpd/httpd.h"

enum {
	READ_SIZE = 64 << 10, /* of the one buffer that all connections read into */
	PIPELINED_MAX =
		64
		<< 10, /* bytes kept behind a request that is being answered; then reading stops */
	HEAD_MS = 60000,  /* a head must be complete this long after its first byte */
	STALL_MS = 60000, /* bodies and answers: without any progress for so long, the connection
			     goes */
	LINGER_MS = 500,  /* after a refusal: the client may read it before the connection goes */
	DRAIN_LINGER_MS = 700,	  /* draining: idle connections are still served for so long */
	UPLOAD_MAX = 1 << 30,	  /* a snapshot that is restored */
	BUFFERED_MAX = 256 << 20, /* request bytes kept at once, over all connections */
	PARK_POLL_MS = 20,
};

enum conn_state {
	CONN_HEAD,   /* waits for a request, or the rest of its head */
	CONN_BODY,   /* waits for the rest of the body of conn.exchange */
	CONN_BUSY,   /* conn.exchange waits for another daemon */
	CONN_HELD,   /* conn.hold waits for a change */
	CONN_WRITE,  /* conn.out is being taken by the client */
	CONN_STREAM, /* conn.exchange produces; conn.out may be partly taken */
	CONN_LINGER, /* answered and shut down; discards what still comes */
	CONN_DEAD,
};

/* One address with open connections. */
struct client {
	struct map_node node;
	uint32_t conns_count;
	uint8_t address[16];
	uint8_t address_size;
};

struct hold {
	struct conn *conn;
	struct waiter waiters[EXCHANGE_THINGS_MAX];
	struct list parked; /* in engine.parked: no leader or no state yet */
	struct mono started;
	struct mono deadline; /* of the wait; MONO_NEVER: not a blocking query */
	struct mono give_up;  /* parked: when to answer with the error */
	uint64_t hash;	      /* of the filtered answer that the client has */
	uint64_t restore_count;
	bool has_hash, has_restore_count, expired;
	bool confirmed; /* the state here was new enough when the query came */
	uint32_t head_size;
	char head[]; /* the request, parsed again each time */
};

struct upload;

struct conn {
	struct list link; /* in engine.conns; longest unused first */
	struct engine *engine;
	struct client *client; /* NULL on Unix sockets */
	struct tls_session *tls;
	int fd;
	int events;
	enum conn_state state;
	bool eof, close_after, handling;
	bool peer;	/* of another node */
	size_t scanned; /* of conn.in: how far the end of the head was looked for */
	struct loop_io io;
	struct loop_timer timer;
	struct buf in;
	struct buf body;
	int64_t body_left; /* -1: chunked */
	size_t body_max;
	struct parser_chunks chunks;
	struct upload *upload;
	struct buf out;
	size_t out_at;
	struct exchange *exchange;
	struct hold *hold;
};

struct engine_counts {
	uint64_t requests, accepted, refused_conns, refused_client, malformed, timeouts, holds,
		wakes, watch_lost;
};

struct engine {
	struct httpd *httpd;
	struct loop *loop;
	struct route_table routes;
	struct rng rng;
	/* connections */
	struct list listeners;
	struct list conns;
	size_t conns_count, conns_max, forwards_max;
	size_t buffered;
	struct map clients;
	char *scratch;
	/* answers */
	struct buf head, body, changed; /* changed: indented or compressed */
	void *deflate;
	struct buf configured;	      /* header lines of the configuration */
	struct loop_timer trim_timer; /* gives back what large answers needed */
	char date[48];
	int64_t date_s;
	struct list exchanges_free;
	size_t exchanges_free_count;
	/* held queries */
	struct wait_table waits;
	struct list parked;
	size_t holds_count;
	struct loop_timer park_timer, watch_timer;
	struct ipc_pending *watch;
	uint64_t watch_generation, watch_after;
	/* end */
	struct loop_timer drain_timer;
	bool draining, lingered;
	struct engine_counts counts;
	struct tls_context *tls; /* NULL: no HTTPS, or no certificate for it */
};

/* listen.c */
int listen_open(struct engine *e);
void listen_start(struct engine *e);
void listen_stop(struct engine *e); /* no new connections */
void listen_fini(struct engine *e);
void client_leave(struct engine *e, struct client *client);
bool client_may_write(const struct engine *e, const struct conn *c);
void client_render(const struct client *client, struct buf *out); /* its address */

/* conn.c */
void conn_new(struct engine *e, int fd, struct client *client, struct tls_session *tls, bool peer);
void conn_settle(struct conn *c);
void conn_fail(struct conn *c);
void conn_timer_in(struct conn *c, int64_t ms);
void conn_timer_at(struct conn *c, struct mono when);
ssize_t conn_write(struct conn *c, const struct str *parts, size_t count);
/* The answer has been taken: next request, or the end. */
void conn_next(struct conn *c);
void conns_free(struct engine *e);

/* body.c: the request's body */
void body_begin(struct conn *c);
size_t body_take(struct conn *c, struct str bytes);
void body_fini(struct conn *c);
void upload_free(struct upload *u); /* and its file */

/* exchange.c */
struct exchange *exchange_new(struct conn *c, struct str head, int *rc_out, struct str *why_out);
void exchange_free(struct exchange *x);
/* After a handler or on_reply: sends, parks, or waits. */
void exchange_settle(struct exchange *x);
/* Draining: an exchange that waits in another daemon is run again, to be answered at once. */
void exchange_restart(struct conn *c);
void exchanges_fini(struct engine *e);

/* dispatch.c */
void dispatch_route(struct exchange *x);
void dispatch(struct exchange *x);

/* read.c */
struct exchange_read {
	enum read_mode mode;
	bool blocking, held, compare, park;
	bool confirmed; /* the state here is new enough for the mode */
	uint64_t wanted, applied, hash;
	uint64_t index; /* of what the answer shows */
	uint64_t shown; /* X-Consul-Index */
	int64_t wait_ns;
	struct {
		enum thing kind; /* 0: a prefix */
		struct str name;
	} things[EXCHANGE_THINGS_MAX];
	uint32_t things_count;
};
void read_run(struct exchange *x);

/* hold.c */
void hold_park(struct exchange *x); /* x ends; its connection is held */
void hold_expire(struct conn *c);   /* answer now, with what there is */
void hold_free(struct hold *h);
void holds_init(struct engine *e);
void holds_fini(struct engine *e);
void holds_expire_all(struct engine *e);

/* output.c */
void output_send(struct exchange *x); /* the answer of x; x ends (a stream keeps it) */
void output_flush(struct conn *c);
void output_refuse(
	struct conn *c, int status, struct str why); /* before there is an exchange; closes */
void stream_step(struct conn *c);
/* What a stream waited for is there. */
void exchange_stream_wake(struct exchange *x);
void output_init(struct engine *e);
void output_fini(struct engine *e);

/* engine.c */
int engine_open(struct httpd *h);
int engine_start(struct httpd *h);
/* Whether a configuration may be reloaded; ST_INVALID with the reason in *why. */
#define UPLOAD_PREFIX "upload-" /* of bodies that become files of the run directory */
int engine_accept(const struct conf *c, struct buf *why);
void engine_reload(struct httpd *h);
void engine_drain(struct httpd *h);
void engine_check_drained(struct engine *e);
void engine_free(struct engine *e);
/* One sample per route, in the order of its rows: milliseconds from the head to the answer; then
 * what engine_count counts. */
const struct metric_row *engine_metrics(size_t *count_out);
enum engine_metric { METRIC_FORWARDED, METRIC_FORWARD_FAILED, ENGINE_METRICS };
void engine_count(struct engine *e, enum engine_metric metric);

#endif
