/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of httpd: one struct, passed along. Handlers use what stands above the line.
 */
#ifndef MUSTER_HTTPD_HTTPD_H
#define MUSTER_HTTPD_HTTPD_H

#include "common/client/state.h"
#include "common/sys/daemon.h"
#include "httpd/exchange.h"

struct httpd {
	struct daemon *daemon;
	struct loop *loop;
	const struct conf *conf;
	struct uuid node_id;
	struct state_reader *reader;
	/* catalog_ and raft_: NULL on a client node, where no handler that needs them runs */
	struct ipc_client *catalog_read, *catalog_write, *check_read, *check_write, *gossip_read,
		*gossip_write, *raft_read;
	struct local *local;	   /* local.h */
	struct forwards *forwards; /* forward.h */
	/* ---- the engine's ---- */
	struct engine *engine;
};

/* service.c */
enum { HTTPD_PATHS = 4 };
extern const struct daemon_path httpd_paths[HTTPD_PATHS];
int httpd_open(struct httpd *h);
void httpd_free(struct httpd *h);
void httpd_status(struct daemon *d, struct jsonw *w);
void httpd_dump(struct daemon *d, struct jsonw *w);
const char *httpd_waits_for(struct daemon *d);

#endif
