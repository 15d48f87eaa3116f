/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkd: this node's services and checks. main.c puts the pieces together; checkd.c is the loop
 * body: event -> core step -> make durable -> answer -> tell the catalogue -> rearm; service.c
 * takes the messages; definitions.c reads configuration; store.c is the database; run.c and one
 * file per kind of check run them; common/client/api speaks to httpd; coordinate.c tells where this
 * node is; watches.c are the watches of the configuration, remote.c what `muster exec` asks for.
 */
#ifndef MUSTER_CHECKD_CHECKD_H
#define MUSTER_CHECKD_CHECKD_H

#include "checkd/coordinate.h"
#include "checkd/core/registry.h"
#include "checkd/remote.h"
#include "checkd/run.h"
#include "checkd/script.h"
#include "checkd/store.h"
#include "checkd/watches.h"
#include "common/client/api.h"
#include "common/sys/daemon.h"

enum {
	CHECKD_WAITERS_MAX = 1024,
	CHECKD_WAIT_MAX_MS = 600000,
	CHECKD_HELD_MAX =
		256, /* checks of other nodes that are mirrored at once; more take turns */
};

enum checkd_metric {
	METRIC_RUNS,
	METRIC_REGISTRATIONS,
	METRIC_SYNC_OK,
	METRIC_SYNC_FAILED,
	METRIC_SYNC_DENIED,
	METRIC_COMMITS,
	METRIC_WATCHES_HANDLED,
	METRIC_REMOTE_RUNS
};
extern const struct metric_row checkd_metrics[];
extern const size_t checkd_metrics_count;

struct checkd {
	struct daemon *daemon;
	struct registry *registry;
	struct registry_config config;
	struct arena config_arena;
	char node_id[UUID_TEXT_SIZE + 1];
	struct store *store;
	struct api *api;
	struct api *held; /* for what is held for a minute: nothing else is to wait for that */
	struct coordinate_sync *coordinate;
	struct scripts scripts;
	struct loop_io on_scripts_end;
	struct runs *runs;
	struct watches *watches;
	struct remotes *remotes; /* NULL: disable_remote_exec */
	struct ipc_server *read, *write;
	struct loop_timer timer; /* registry_deadline, store_again */
	struct mono store_again; /* what could not be stored is tried again then */
	struct loop_flush flush;
	bool draining;
	bool stepped;	       /* in this turn */
	bool services_changed; /* in this turn */
	struct list answers;   /* to give when this turn is durable */
	struct list waiters;   /* agent_service calls that wait for a change */
	unsigned waiters_count;
};

/* main.c's hooks (checkd.c) */
int checkd_prepare(struct daemon *d);
int checkd_open(struct daemon *d);
int checkd_start(struct daemon *d);
void checkd_reload(struct daemon *d);
void checkd_drain(struct daemon *d);
void checkd_stop(struct daemon *d);
void checkd_status(struct daemon *d, struct jsonw *w);
void checkd_dump(struct daemon *d, struct jsonw *w);
const char *checkd_waits_for(struct daemon *d);

/* Feeds one event (now and wall are filled in). result_out (may be NULL) lives until the next step.
 */
void checkd_step(struct checkd *c, struct registry_event *event, struct result *result_out);

/* service.c */
int service_open(struct checkd *c);
void service_close(struct checkd *c);
void service_answer_all(
	struct checkd *c, int commit_error); /* what the turn's writes have to say */
void service_wake(struct checkd *c);	     /* services have changed */

/* definitions.c: feeds the registry with what configuration files define. */
void definitions_apply(struct checkd *c);
void config_apply(struct checkd *c);

#endif
