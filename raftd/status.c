/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What raftd tells about itself: the shared page, the configuration for people, control status and
 * dump, metrics.
 */
#include "raftd/raftd.h"

#include <stdio.h>

const struct metric_row raftd_metrics[METRICS_COUNT] = {
	[METRIC_APPLY] = { "raft.apply", METRIC_COUNTER, "" },
	[METRIC_COMMIT_TIME] = { "raft.commitTime", METRIC_SAMPLE, "" },
	[METRIC_DISPATCH_LOG] = { "raft.leader.dispatchLog", METRIC_SAMPLE, "" },
	[METRIC_DISPATCH_NUM_LOGS] = { "raft.leader.dispatchNumLogs", METRIC_GAUGE, "" },
	[METRIC_COMMIT_NUM_LOGS] = { "raft.commitNumLogs", METRIC_GAUGE, "" },
	[METRIC_STATE_CANDIDATE] = { "raft.state.candidate", METRIC_COUNTER, "" },
	[METRIC_STATE_FOLLOWER] = { "raft.state.follower", METRIC_COUNTER, "" },
	[METRIC_STATE_LEADER] = { "raft.state.leader", METRIC_COUNTER, "" },
	[METRIC_APPLIED_INDEX] = { "raft.applied_index", METRIC_GAUGE, "" },
	[METRIC_LAST_INDEX] = { "raft.last_index", METRIC_GAUGE, "" },
	[METRIC_VERIFY_LEADER] = { "raft.verify_leader", METRIC_COUNTER, "" },
	[METRIC_COMPACT_LOGS] = { "raft.compactLogs", METRIC_SAMPLE, "" },
	[METRIC_AUTOPILOT_HEALTHY] = { "autopilot.healthy", METRIC_GAUGE, "" },
	[METRIC_AUTOPILOT_TOLERANCE] = { "autopilot.failure_tolerance", METRIC_GAUGE, "" },
};

void raftd_publish(struct raftd *r)
{
	const struct raft *raft = &r->node.raft;
	/* Reads need that this term has committed something: before, the commit index may be
	 * behind. */
	bool leads = raft->role == RAFT_LEADER && raft->commit_index >= raft->term_start_index;
	struct raft_page page = {
		.term = raft->persistent.term,
		.commit_index = raft->commit_index,
		.lease_until_ns = leads && raft_is_alone(raft) ? INT64_MAX : 0,
		.is_leader = leads,
		.leader_known = leads,
	};

	if (leads) {
		memcpy(page.leader_address, raft->address, sizeof(raft->address));
	}
	if (memcmp(&page, &r->shown, sizeof(page)) != 0) {
		r->shown = page;
		page_publish(r->page, &page);
	}
}

void raftd_handle_configuration(
	struct raftd *r, struct ipc_call *call, const struct raft_configuration *m)
{
	const struct raft *raft = &r->node.raft;
	struct raft_server servers[RAFT_SERVERS_MAX];
	char ids[RAFT_SERVERS_MAX][UUID_TEXT_SIZE + 1];
	struct raft_configuration_reply reply = {
		.servers = { servers, (uint32_t)raft->configuration.count },
		.leader_address = str_of(raft->role == RAFT_LEADER ? raft->address : ""),
		.state = str_of(raft_role_name(raft->role)),
		.term = raft->persistent.term,
		.last_log_index = raft->trail.last,
		.last_log_term = raft_last_term(raft),
		.commit_index = raft->commit_index,
		.applied_index = r->applied_index,
		.last_snapshot_index = raft->persistent.snapshot_index,
		.last_snapshot_term = raft->persistent.snapshot_term,
		.configuration_index = raft->configuration_index,
	};

	for (size_t i = 0; i < raft->configuration.count; i++) {
		const struct configuration_server *s = &raft->configuration.servers[i];
		bool self = uuid_eq(&s->id, &raft->id);

		uuid_text(&s->id, ids[i]);
		servers[i] = (struct raft_server) {
			.id = str_n(ids[i], UUID_TEXT_SIZE),
			.node = self ? r->daemon->conf->node_name : STR(""),
			.address = str_of(s->address),
			.leader = self && raft->role == RAFT_LEADER,
			.voter = s->voter,
		};
	}
	IPC_REPLY(call, raft_configuration, &reply);
}

static void put_number(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_key(w, str_of(key));
	jsonw_u64(w, v);
}

void raftd_status(struct daemon *d, struct jsonw *w)
{
	struct raftd *r = d->self;
	const struct raft *raft = &r->node.raft;

	jsonw_keyc(w, "state");
	jsonw_cstr(w, raft_role_name(raft->role));
	put_number(w, "term", raft->persistent.term);
	put_number(w, "last_index", raft->trail.last);
	put_number(w, "commit_index", raft->commit_index);
	put_number(w, "applied_index", r->applied_index);
	put_number(w, "first_index", r->node.log->first_index);
	put_number(w, "snapshot_index", raft->persistent.snapshot_index);
	put_number(w, "log_disk_bytes", log_disk_bytes(r->node.log));
	put_number(w, "proposals_waiting", r->proposals.count);
	put_number(w, "reads_waiting", r->reads.count);
	put_number(w, "feeds_held", r->feeds_count);
	put_number(w, "disk_failures", r->node.disk_failures);
	jsonw_keyc(w, "disk_failure");
	jsonw_cstr(w, r->node.failure);
}

void raftd_dump(struct daemon *d, struct jsonw *w)
{
	struct raftd *r = d->self;
	const struct segment *s;

	jsonw_keyc(w, "segments");
	jsonw_open(w, '[');
	list_for_each (s, &r->node.log->segments, link) {
		jsonw_open(w, '{');
		jsonw_keyc(w, "name");
		jsonw_cstr(w, s->name);
		put_number(w, "generation", s->generation);
		put_number(w, "first", s->base_index);
		put_number(w, "last", s->last_index);
		put_number(w, "size", s->size);
		put_number(w, "used", s->end);
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
	put_number(w, "tail_bytes", r->node.log->tail.bytes);
	put_number(w, "digest", raft_digest(&r->node.raft));
}

const char *raftd_waits_for(struct daemon *d)
{
	const struct raftd *r = d->self;

	if (r->node.raft.role == RAFT_LEADER) {
		return NULL;
	}
	return raft_is_alone(&r->node.raft) ? "disk" : "bootstrap";
}
