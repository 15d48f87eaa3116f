/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of what catalogd measures: Consul's.
 */
#include "catalogd/catalogd.h"

const struct metric_row catalogd_metrics[METRICS_COUNT] = {
	[METRIC_KVS_APPLY] = { "kvs.apply", METRIC_SAMPLE, "" },
	[METRIC_TXN_APPLY] = { "txn.apply", METRIC_SAMPLE, "" },
	[METRIC_SESSION_APPLY] = { "session.apply", METRIC_SAMPLE, "" },
	[METRIC_REGISTER] = { "catalog.register", METRIC_SAMPLE, "" },
	[METRIC_DEREGISTER] = { "catalog.deregister", METRIC_SAMPLE, "" },
	[METRIC_SESSION_RENEW] = { "session.renew", METRIC_SAMPLE, "" },
	[METRIC_FSM_APPLY] = { "raft.fsm.apply", METRIC_SAMPLE, "" },
	[METRIC_TTL_ACTIVE] = { "session_ttl.active", METRIC_GAUGE, "" },
	[METRIC_TTL_INVALIDATE] = { "session_ttl.invalidate", METRIC_SAMPLE, "" },
	[METRIC_REAP] = { "leader.reapTombstones", METRIC_SAMPLE, "" },
	[METRIC_RECONCILE] = { "leader.reconcileMember", METRIC_SAMPLE, "" },
	[METRIC_SNAPSHOT] = { "raft.fsm.snapshot", METRIC_SAMPLE, "" },
	[METRIC_NODES] = { "state.nodes", METRIC_GAUGE, "" },
	[METRIC_SERVICES] = { "state.services", METRIC_GAUGE, "" },
	[METRIC_INSTANCES] = { "state.service_instances", METRIC_GAUGE, "" },
	[METRIC_KEYS] = { "state.kv_entries", METRIC_GAUGE, "" },
};
