/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsd: the shell around the DNS core. It receives queries over UDP and TCP, maps the naming
 * environment read-only, sends answers, and talks to recursors for names that are not ours. It owns
 * no state: while one is mapped it answers for its data centre, whoever else is dead.
 *
 * What it cannot answer itself it asks the dnsd of a server, in DNS, on the port that servers have
 * for that (ports.peer_dns): a client node everything, a server the names of other data centres.
 * Who the servers are it knows from gossipd. Prepared queries it has executed by this node's httpd.
 */
#ifndef MUSTER_DNSD_DNSD_H
#define MUSTER_DNSD_DNSD_H

#include "common/client/api.h"
#include "common/client/servers.h"
#include "common/client/state.h"
#include "common/sys/daemon.h"
#include "common/sys/net.h"
#include "dnsd/core/cache.h"

enum {
	BATCH_MAX = 32,	  /* datagrams taken with one system call */
	QUERY_MAX = 2048, /* a longer datagram is no query */
	SOCKETS_MAX = 16, /* of each kind */
	CONNECTIONS_MAX = 512,
	LISTEN_BACKLOG = 512,
	FORWARDS_MAX = 1024,  /* queries waiting for recursors; more get SERVFAIL at once */
	EXCHANGES_MAX = 2048, /* questions to recursors under way, a descriptor each */
	RECURSORS_MAX = 16,
	EXECUTIONS_MAX = 512, /* queries waiting for httpd; more get SERVFAIL at once */
	QUESTIONS_MAX = 4096, /* waiting for other nodes; more are as if nobody answered */
	CACHE_ENTRIES_MAX = 4096,
	CACHE_BYTES_MAX = 4 << 20,
	CONTROL_SIZE = 64, /* room for the local address of a datagram */
};

enum dnsd_metric {
	METRIC_DOMAIN_QUERY,
	METRIC_PTR_QUERY,
	METRIC_DROPPED,
	METRIC_FORWARDED,
	METRIC_REFUSED_BUSY,
	METRIC_STALE,
	METRIC_PEER_QUERY,
	METRIC_PEER_ASKED,
	METRIC_PEER_UNANSWERED,
	METRIC_CACHE_HIT,
	METRIC_CACHE_LAST,
	METRICS_COUNT
};
extern const struct metric_row dnsd_metrics[METRICS_COUNT];

struct udp_socket {
	struct dnsd *d;
	int fd;
	bool peer;	  /* for other nodes */
	bool any_address; /* bound to the wildcard: answers must leave from where the query arrived
			   */
	struct loop_io io;
};

struct tcp_listener {
	struct dnsd *d;
	int fd;
	bool peer;
	struct loop_io io;
};

struct udp_batch;  /* udp.c */
struct connection; /* tcp.c */
struct links;	   /* link.c */

struct dnsd {
	struct daemon *daemon;
	struct dns *core;
	struct state_reader *state; /* NULL: a client node */
	struct ipc_client *gossip;
	struct servers *servers;
	struct links *links;
	struct dns_cache cache;
	struct rng rng;
	struct udp_socket udp[SOCKETS_MAX];
	struct tcp_listener tcp[SOCKETS_MAX];
	size_t udp_count, tcp_count;
	struct udp_batch *batch;
	struct dns_reply reply; /* for everything but batches */
	struct api *api; /* httpd */
	struct list connections, forwards, questions, executions;
	size_t connections_count, forwards_count, questions_count, exchanges_count,
		executions_count;
	uint64_t executions_number; /* of the newest */
	struct net_address recursors[RECURSORS_MAX];
	size_t recursors_count;
	int64_t recursor_timeout_ms;
};

/* Where an answer goes. */
struct client {
	struct udp_socket *socket; /* NULL: connection */
	struct sockaddr_storage address;
	socklen_t address_size;
	bool peer; /* another node's dnsd */
	size_t control_size;
	char control[CONTROL_SIZE];
	struct connection *connection;
};

/* ---- dnsd.c ---- */

/* The names for the queries of one batch. */
struct naming {
	struct kv_txn *names; /* NULL: there are none here, or they are known to be behind */
	bool fresh, too_old;  /* see struct dns_request */
	bool stale;	      /* no leader has been heard of for a while */
	int64_t now_s;
};
void naming_begin(struct dnsd *d, struct naming *out);
void naming_end(struct naming *n);
/* A request as struct dns_request with what is the same for all. */
struct dns_request request_of(struct dnsd *d, const struct naming *n, struct str query);
void query_count(struct dnsd *d, enum dns_kind kind, bool stale, double ms);
/* Any outcome but DNS_REPLY and DNS_DROP: the client gets its answer later, or what is returned
 * (borrowed) at once. before: the rng as it was before the core was asked. */
struct str answer_later(struct dnsd *d, enum dns_outcome outcome, struct str query,
	const struct client *client, const struct rng *before, const struct dns_reply *reply);
/* What of an answer leaves for this client; its size. */
size_t answer_fit(const struct client *client, uint8_t *message, size_t size);
/* Empty: there is none. */
void client_answer(const struct client *client, struct str message);

/* ---- sockets.c ---- */

/* Passed or opened descriptors of a type (SOCK_DGRAM, SOCK_STREAM). */
struct opened {
	struct {
		int fd;
		bool peer;
	} rows[SOCKETS_MAX];
	size_t count;
};
int sockets_take(struct dnsd *d, int type, struct opened *out); /* -errno */

/* ---- udp.c ---- */

int udp_open(struct dnsd *d);
void udp_close(struct dnsd *d);
void udp_pause(struct dnsd *d); /* nothing more is received */
void udp_send(const struct client *to, struct str message);

/* ---- tcp.c ---- */

int tcp_open(struct dnsd *d);
void tcp_close(struct dnsd *d);
void tcp_drain(struct dnsd *d); /* accepts nothing more; closes each connection after its answers */
void connection_hold(struct connection *c); /* an answer will come later ... */
void connection_answer(
	struct connection *c, struct str message); /* ... this one (empty: there is none) */

/* Whom the connection is with. */
void connection_address(const struct connection *c, struct sockaddr_storage *out);

/* ---- execute.c ---- */

/* forward_start's part for DNS_EXECUTE. */
struct execution;
struct str execute_start(struct dnsd *d, struct str query, const struct client *client,
	const struct rng *before, const struct dns_reply *reply);
void on_executed(void *arg, uint64_t number, int status, uint64_t index, struct str body);
struct str execution_query(const struct execution *e);
const struct dns_executed *execution_result(const struct execution *e);
void execution_free(struct execution *e);
void executions_end(struct dnsd *d);

/* ---- forward.c ---- */

/*
 * Takes over a query that the core cannot answer alone; the client gets its answer later. before:
 * the rng as it was before the core was asked. At the limit a refusal to be sent at once is
 * returned (borrowed).
 */
struct str forward_start(struct dnsd *d, enum dns_outcome outcome, struct str query,
	const struct client *client, const struct rng *before, const struct dns_reply *reply);
/* What was executed leads on to host names of others. Owns e, and answers the client that e had. */
void forward_executed(struct dnsd *d, const struct client *client, const struct rng *before,
	const struct dns_reply *reply, struct execution *e);
void forwards_end(struct dnsd *d);
void drain_check(struct dnsd *d); /* ends a drain when nothing is held any more */

/* ---- recursor.c ---- */

struct exchange;
/* message: borrowed; empty when nobody gave a usable answer. Runs exactly once, unless the
 * exchange is freed before. */
typedef void (*exchange_fn)(void *arg, struct str message);
struct exchange_options {
	struct str query;
	const struct net_address *to; /* in this order; must outlive the exchange */
	size_t to_count;
	int64_t timeout_ms; /* of each */
	bool tcp;
	bool any_rcode; /* whatever is answered is an answer */
	exchange_fn on_done;
	void *arg;
};
/* NULL at the limit. on_done never runs before it returns. */
struct exchange *exchange_new(struct dnsd *d, const struct exchange_options *options);
void exchange_free(struct exchange *x);
int recursors_load(struct dnsd *d, const struct conf *c);

/* ---- peer.c: questions to other nodes ---- */

struct question;
/* Takes over a query that another server has to answer (DNS_ASK, as reply says). Returns as
 * answer_later. */
struct str peer_ask(struct dnsd *d, struct str query, const struct client *client,
	const struct dns_reply *reply);
void questions_end(struct dnsd *d);

/* ---- link.c: the sockets on which they leave ---- */

/* One datagram on its way to a server; part of a question. */
struct asked {
	struct list bucket;
	struct link *link; /* NULL: none is on its way */
	struct question *question;
	struct str query; /* without id */
	uint16_t id;
	struct mono since;
};
struct links *links_new(struct dnsd *d);
void links_free(struct links *links); /* nothing may be on its way */
/* Sends it at the end of the turn. query (with room for an id in front) must stay until asked_end.
 * What comes back goes to question_told and question_refused. ST_FULL, ST_INVALID, -errno */
int link_ask(struct links *links, const struct server *to, struct str query, struct asked *a);
void asked_end(struct asked *a); /* harmless when it is over */
/* Has the server said anything since the question left? */
bool asked_heard(const struct asked *a);
const struct net_address *asked_address(const struct asked *a);
/* Called by link.c: a datagram with the right id, from the right place; nobody listens there (this
 * must end no question). */
void question_told(struct asked *a, struct str message);
void question_refused(struct asked *a);

#endif
