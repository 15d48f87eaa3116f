/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running checks. A kind of check is one row of the table in run.c and one file with its start
 * function:
 *
 *     start(run)  begin; never blocks; must end with run_done(run, ...), now or later
 *     stop(run)   set by start: end at once without a result; frees what start made (run->impl)
 *
 * run_done only notes the result; the registry hears of it at the end of the turn. A kind may have
 * a limit of how many run at once; others wait in their order, and their time-outs begin when they
 * do.
 *
 * A kind without a row cannot be registered: run_refusal says why.
 */
#ifndef MUSTER_CHECKD_RUN_H
#define MUSTER_CHECKD_RUN_H

#include "checkd/core/registry.h"
#include "common/sys/conf.h"
#include "common/sys/loop.h"

struct runs;
struct scripts;
struct fetcher;

struct run {
	struct list link;
	struct runs *runs;
	struct loop *loop;
	uint64_t number;
	enum check_kind kind;
	const struct check_def *def; /* the registry's, valid until the run is done or stopped */
	size_t output_max;
	int64_t timeout_ms; /* the definition's or the kind's default */
	void *impl;
	void (*stop)(struct run *run);
	bool running, done; /* neither: it waits for its turn */
	enum check_status status;
	struct buf output;
};

const struct conf *run_conf(const struct run *run);
struct scripts *run_scripts(const struct run *run);
/* The HTTP client that all runs share; made when first asked for. */
struct fetcher *run_fetcher(struct run *run);
void run_done(struct run *run, enum check_status status, struct str output);

/* conf stays the caller's and valid until runs_reconfigure, scripts until runs_free. */
struct runs *runs_new(struct loop *loop, const struct conf *conf, struct scripts *scripts);
void runs_reconfigure(struct runs *r, const struct conf *conf);
void runs_free(struct runs *r); /* stops what runs */
DEFINE_OWN(struct runs, runs_free)
void runs_start(struct runs *r, const struct registry_run *run);
bool runs_stop(struct runs *r, uint64_t number);
void runs_stop_all(struct runs *r);
struct run *runs_take_done(
	struct runs *r); /* the next that is done, the caller's (run_free); NULL: none. At the end
			    of each turn until NULL: those whose turn has come begin here */
void run_free(struct run *run);

/* Why checks of this kind cannot be registered here; NULL: they can. */
const char *run_refusal(const struct check_def *def);

/* One start function per kind, each in its own file. */
void script_start(struct run *run);
void tcp_start(struct run *run);
void udp_start(struct run *run);
void http_start(struct run *run);
void grpc_start(struct run *run);

#endif
