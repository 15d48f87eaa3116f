/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler answers which method and path. The rows stand in httpd/routes.def; ADDING AN
 * ENDPOINT = A ROW THERE AND ITS FUNCTION in the file of its group. Rows of one path with several
 * methods stand together.
 *
 * A path that ends in '/' matches everything below it (the longest such path wins); what follows is
 * request.name.
 */
#ifndef MUSTER_HTTPD_CORE_ROUTE_H
#define MUSTER_HTTPD_CORE_ROUTE_H

#include "httpd/core/request.h"

struct exchange;

enum route_flag {
	/* The handler runs inside a read transaction (exchange->txn), with ?stale, ?consistent,
	   ?index and ?wait handled around it. */
	ROUTE_READ = 1 << 0,
	/* X-Consul-Effective-Consistency is sent. */
	ROUTE_SHOWS_CONSISTENCY = 1 << 1,
	/* This node's own business: never handed to another one, and not served to others
	   (ports.peer_http). All else goes where ?dc= says, and on a client node to a server. */
	ROUTE_LOCAL = 1 << 2,
	/* ?cached is known: X-Cache is sent. */
	ROUTE_CACHED = 1 << 3,
	/* Body ceilings other than REQUEST_BODY_MAX. */
	ROUTE_BODY_KV = 1 << 4,
	ROUTE_BODY_TXN = 1 << 5,
	/* The body is written to a file in the run directory: exchange->upload_path. */
	ROUTE_BODY_FILE = 1 << 6,
	/* No wrapper around the answer: no Vary, no configured headers, no block_endpoints ("/").
	 */
	ROUTE_BARE = 1 << 7,
	/* The methods are the handler's own business: every one without a row before this one. */
	ROUTE_ANY_METHOD = 1 << 8,
	/* A read that fails carries no meta headers at all, not even empty ones: kv. */
	ROUTE_FAILS_BARE = 1 << 9,
	/* Only the leader can do it: exchange_to_leader. */
	ROUTE_LEADER = 1 << 10,
	/* Done twice is done once (reads need not say so): by its nature, or because what it does
	   carries exchange_request_id. */
	ROUTE_REPEATABLE = 1 << 11,
	/* ?dc= is ignored: it is about all data centres, or the body names one. */
	ROUTE_ANY_DC = 1 << 12,
	/* Any node can do it by gossip, for its own data centre. */
	ROUTE_GOSSIP = 1 << 13,
	/* discovery_max_stale is not for this read. */
	ROUTE_AS_ASKED = 1 << 14,
};

struct route {
	enum method method;
	struct str path;
	void (*handle)(struct exchange *x);
	unsigned flags;
};

struct route_match {
	const struct route *rows; /* the first row of the path; NULL: unknown path */
	uint32_t rows_count;
	struct str name; /* what follows a subtree's path */
	bool add_slash;	 /* the path is that of a subtree without its '/': redirect */
};

/* The table in a form that is searched fast: rows sorted by path. rows must outlive it. */
struct route_table {
	const struct route *rows;
	uint32_t rows_count;
	struct route_group *groups;
	uint32_t groups_count;
};

void route_table_init(struct route_table *t, const struct route *rows, size_t rows_count);
void route_table_fini(struct route_table *t);
struct route_match route_find(const struct route_table *t, struct str path);
/* "OPTIONS,GET,PUT" */
void route_render_allow(const struct route_match *m, struct buf *out);

#endif
