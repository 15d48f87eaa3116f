/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that main.c's table names, by file. Each takes the words behind its name and returns
 * the exit status.
 */
#ifndef MUSTER_CTL_COMMANDS_H
#define MUSTER_CTL_COMMANDS_H

#include "common/base/json.h"
#include "ctl/ctl.h"

/* agent.c, local.c */
int agent_run(struct ctl *c, int argc, char **argv);
int keygen_run(struct ctl *c, int argc, char **argv);
int validate_run(struct ctl *c, int argc, char **argv);
int version_run(struct ctl *c, int argc, char **argv);

/* kv.c */
int kv_delete_run(struct ctl *c, int argc, char **argv);
int kv_export_run(struct ctl *c, int argc, char **argv);
int kv_get_run(struct ctl *c, int argc, char **argv);
int kv_import_run(struct ctl *c, int argc, char **argv);
int kv_put_run(struct ctl *c, int argc, char **argv);

/* catalog.c */
int catalog_datacenters_run(struct ctl *c, int argc, char **argv);
int catalog_nodes_run(struct ctl *c, int argc, char **argv);
int catalog_services_run(struct ctl *c, int argc, char **argv);
void pairs_join(
	const struct json *object, const char *separator, struct buf *out); /* "k=v, k=v", sorted */

/* services.c */
int services_deregister_run(struct ctl *c, int argc, char **argv);
int services_register_run(struct ctl *c, int argc, char **argv);
int maint_run(struct ctl *c, int argc, char **argv);

/* cluster.c */
int force_leave_run(struct ctl *c, int argc, char **argv);
int info_run(struct ctl *c, int argc, char **argv);
int join_run(struct ctl *c, int argc, char **argv);
int leave_run(struct ctl *c, int argc, char **argv);
int keyring_run(struct ctl *c, int argc, char **argv);
int rtt_run(struct ctl *c, int argc, char **argv);
int members_run(struct ctl *c, int argc, char **argv);
int reload_run(struct ctl *c, int argc, char **argv);

/* operator.c */
int autopilot_get_config_run(struct ctl *c, int argc, char **argv);
int autopilot_set_config_run(struct ctl *c, int argc, char **argv);
int autopilot_state_run(struct ctl *c, int argc, char **argv);
int raft_list_peers_run(struct ctl *c, int argc, char **argv);
int raft_recover_run(struct ctl *c, int argc, char **argv);
int raft_remove_peer_run(struct ctl *c, int argc, char **argv);
int raft_transfer_leader_run(struct ctl *c, int argc, char **argv);

/* exec.c, lock.c */
int exec_run(struct ctl *c, int argc, char **argv);
int lock_run(struct ctl *c, int argc, char **argv);

/* event.c */
struct event_filter {
	const char *what, *text; /* "node", a regular expression or NULL */
};
int filters_check(const struct event_filter *filters, size_t count); /* 1: one is none, told */
int event_run(struct ctl *c, int argc, char **argv);
int monitor_run(struct ctl *c, int argc, char **argv);

/* snapshot.c */
int snapshot_inspect_run(struct ctl *c, int argc, char **argv);
int snapshot_restore_run(struct ctl *c, int argc, char **argv);
int snapshot_save_run(struct ctl *c, int argc, char **argv);

/* status.c */
int status_run(struct ctl *c, int argc, char **argv);

/* tls.c */
int tls_ca_create_run(struct ctl *c, int argc, char **argv);
int tls_cert_create_run(struct ctl *c, int argc, char **argv);

/* watch.c */
int watch_run(struct ctl *c, int argc, char **argv);

#endif
