/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, gauges and samples of one daemon, named by rows; the control socket's "metrics" and
 * /v1/agent/metrics show them. Names are without the prefix ("consul."): see docs. Intervals of 10
 * s, the last finished one is what is shown, as in go-metrics.
 */
#ifndef MUSTER_COMMON_SYS_METRICS_H
#define MUSTER_COMMON_SYS_METRICS_H

#include "common/base/json.h"
#include "common/base/time.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_SAMPLE };

struct metric_row {
	const char *name; /* "dns.domain_query" */
	enum metric_kind kind;
	const char *label; /* "op=set", "node=$node", "" */
};

struct metrics;
struct metrics *metrics_new(const struct metric_row *rows, size_t count);
void metrics_free(struct metrics *m);
DEFINE_OWN(struct metrics, metrics_free)
/* What $node in labels stands for (copied). */
void metrics_node_set(struct metrics *m, struct str node);
/* row: index into the rows given at new (an enum of the daemon) */
void metrics_add(
	struct metrics *m, size_t row, double v); /* counter: += v; sample: one observation */
void metrics_set(struct metrics *m, size_t row, double v); /* gauge */
void metrics_tick(struct metrics *m, struct wall now);	   /* once a second: turns the interval */
/* Consul's shape: {"Timestamp","Gauges":[],"Points":[],"Counters":[],"Samples":[]} with names
 * "<prefix>.<name>" */
void metrics_render(struct metrics *m, struct str prefix, struct buf *out);
uint64_t metrics_total(const struct metrics *m, size_t row); /* since start, for status and tests */

#endif
