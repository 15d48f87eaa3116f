/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files about prepared queries share: an execution, from the instances that are looked at
 * to the answer.
 */
#ifndef MUSTER_HTTPD_QUERY_H
#define MUSTER_HTTPD_QUERY_H

#include "common/msg/query.h"
#include "httpd/httpd.h"

/* An instance that the query lets through; borrowed from the transaction. */
struct query_hit {
	struct str json, node; /* node: as written */
	double distance;
	uint32_t number;
};

struct query_hits {
	struct query_hit *items; /* in the arena of the exchange */
	uint32_t count, room;
};

/* query_execute.c: GET /v1/query/<name>/execute and /explain, inside their read transaction. */
void query_execute(struct exchange *x, struct str name);
void query_explain(struct exchange *x, struct str name);

/* The same for a query of another data centre, which has tried so many, this one included. The
 * answer is "null" where nothing is found. */
void query_execute_for_other(struct exchange *x, const struct query_def *q, uint64_t failovers);
void query_answer(struct exchange *x, const struct query_def *q, const struct query_hits *hits,
	struct str datacenter, uint64_t failovers);

/* query_failover.c: nobody was found here; the other data centres that the query names are asked,
 * one after the other, and x is answered in any case. */
void query_failover(struct exchange *x, const struct query_def *q, int64_t limit);

/* query_pick.c: whom the query finds here, in no order. */
void query_pick(struct exchange *x, const struct query_def *q, struct query_hits *out);

#endif
