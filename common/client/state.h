/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading side of the state and naming environments: opens whatever generation catalogd's page
 * names, follows it to the next one, and says whether it may be trusted. For httpd (state) and dnsd
 * (naming).
 */
#ifndef MUSTER_COMMON_CLIENT_STATE_H
#define MUSTER_COMMON_CLIENT_STATE_H

#include "common/msg/naming.h"
#include "common/msg/page.h"
#include "common/msg/state.h"

enum state_kind { STATE_KIND_STATE, STATE_KIND_NAMING };

struct state_reader;
/* The working directory is the run directory; data_dir holds catalogd/state.<generation> and
 * catalogd/naming.<generation>. */
struct state_reader *state_reader_new(const char *data_dir, enum state_kind kind);
void state_reader_free(struct state_reader *r);
DEFINE_OWN(struct state_reader, state_reader_free)

/*
 * Begins a read transaction for this callback (end with kv_abort). ST_NOT_READY: there is no state
 * yet, or it is known to be behind. applied_out (may be NULL): the Raft index of the last command
 * in it.
 */
int state_read(struct state_reader *r, struct kv_txn **out, uint64_t *applied_out);

/* Who leads, from raftd's page; false while raftd never published one. */
bool state_raft_page(struct state_reader *r, struct raft_page *out);
bool state_catalog_page(struct state_reader *r, struct catalog_page *out);

#endif
