/* SPDX-License-Identifier: Apache-2.0 */
#include "catalogd/catalogd.h"
void handle_snapshot_save(struct catalogd *c, struct ipc_call *call, const struct snapshot_save *m) { ipc_refuse(call, ST_UNSUPPORTED); }
void handle_snapshot_restore(struct catalogd *c, struct ipc_call *call, const struct snapshot_restore *m) { ipc_refuse(call, ST_UNSUPPORTED); }
void archives_fini(struct catalogd *c) {}
