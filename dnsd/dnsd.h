/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsd: the shell around the DNS core. It receives queries over UDP and TCP, maps the naming
 * environment read-only, sends answers, and talks to recursors for names that are not ours. It owns
 * no state and, but for prepared queries, asks no other daemon anything: while a state is mapped it
 * answers, whoever else is dead.
 */
#ifndef MUSTER_DNSD_DNSD_H
#define MUSTER_DNSD_DNSD_H

#include "common/client/api.h"
#include "common/client/state.h"
#include "common/sys/daemon.h"
#include "common/sys/net.h"
#include "dnsd/core/dns.h"

enum {
	BATCH_MAX = 32,	  /* datagrams taken with one system call */
	QUERY_MAX = 2048, /* a longer datagram is no query */
	SOCKETS_MAX = 16, /* of each kind */
	CONNECTIONS_MAX = 512,
	LISTEN_BACKLOG = 512,
	FORWARDS_MAX = 1024,  /* queries waiting for recursors; more get SERVFAIL at once */
	EXCHANGES_MAX = 2048, /* questions to recursors under way, a descriptor each */
	EXECUTIONS_MAX = 512, /* queries waiting for httpd; more get SERVFAIL at once */
	RECURSORS_MAX = 16,
	CONTROL_SIZE = 64, /* room for the local address of a datagram */
};

enum dnsd_metric {
	METRIC_DOMAIN_QUERY,
	METRIC_PTR_QUERY,
	METRIC_DROPPED,
	METRIC_FORWARDED,
	METRIC_REFUSED_BUSY,
	METRICS_COUNT
};
extern const struct metric_row dnsd_metrics[METRICS_COUNT];

struct udp_socket {
	struct dnsd *d;
	int fd;
	bool any_address; /* bound to the wildcard: answers must leave from where the query arrived
			   */
	struct loop_io io;
};

struct tcp_listener {
	struct dnsd *d;
	int fd;
	struct loop_io io;
};

struct udp_batch;  /* udp.c */
struct connection; /* tcp.c */

struct dnsd {
	struct daemon *daemon;
	struct dns *core;
	struct state_reader *state;
	struct rng rng;
	struct udp_socket udp[SOCKETS_MAX];
	struct tcp_listener tcp[SOCKETS_MAX];
	size_t udp_count, tcp_count;
	struct udp_batch *batch;
	struct dns_reply reply; /* for everything but batches */
	struct api *api;	/* httpd */
	struct list connections, forwards, executions;
	size_t connections_count, forwards_count, exchanges_count, executions_count;
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
	size_t control_size;
	char control[CONTROL_SIZE];
	struct connection *connection;
};

/* ---- dnsd.c ---- */

/* The naming environment for the queries of one batch; NULL when not ready. End with naming_end. */
struct kv_txn *naming_begin(struct dnsd *d);
void naming_end(struct kv_txn *names);
void query_count(struct dnsd *d, enum dns_kind kind, double ms);

/* ---- sockets.c ---- */

/* Passed or opened descriptors of a type (SOCK_DGRAM, SOCK_STREAM). Returns how many; -errno. */
int sockets_take(struct dnsd *d, int type, int fds[SOCKETS_MAX]);

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
void client_answer(const struct client *client, struct str message);
void forwards_end(struct dnsd *d);
void drain_check(struct dnsd *d); /* ends a drain when nothing is held any more */

/* ---- recursor.c ---- */

struct exchange;
/* message: borrowed; empty when no recursor gave a usable answer. Runs exactly once, unless the
 * exchange is freed before. */
typedef void (*exchange_fn)(void *arg, struct str message);
struct exchange_options {
	struct str query;
	bool tcp;
	bool any_rcode; /* whatever is answered is an answer */
	exchange_fn on_done;
	void *arg;
};
/* NULL at the limit. on_done never runs before it returns. */
struct exchange *exchange_new(struct dnsd *d, const struct exchange_options *options);
void exchange_free(struct exchange *x);
int recursors_load(struct dnsd *d, const struct conf *c);

#endif
