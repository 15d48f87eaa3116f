/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What raftd tells about itself: the shared page, the configuration for people, control status and
 * dump, metrics.
 */
#include "raftd/raftd.h"

#include "common/sys/clock.h"
#include "version.h"

const struct metric_row raftd_metrics[METRICS_COUNT] = {
	[METRIC_APPLY] = { "raft.apply", METRIC_COUNTER, "" },
	[METRIC_COMMIT_TIME] = { "raft.commitTime", METRIC_SAMPLE, "" },
	[METRIC_DISPATCH_LOG] = { "raft.leader.dispatchLog", METRIC_SAMPLE, "" },
	[METRIC_DISPATCH_NUM_LOGS] = { "raft.leader.dispatchNumLogs", METRIC_GAUGE, "" },
	[METRIC_COMMIT_NUM_LOGS] = { "raft.commitNumLogs", METRIC_GAUGE, "" },
	[METRIC_STATE_CANDIDATE] = { "raft.state.candidate", METRIC_COUNTER, "" },
	[METRIC_STATE_FOLLOWER] = { "raft.state.follower", METRIC_COUNTER, "" },
	[METRIC_STATE_LEADER] = { "raft.state.leader", METRIC_COUNTER, "" },
	[METRIC_HEARTBEAT_TIMEOUT] = { "raft.transition.heartbeat_timeout", METRIC_COUNTER, "" },
	[METRIC_APPLIED_INDEX] = { "raft.applied_index", METRIC_GAUGE, "" },
	[METRIC_LAST_INDEX] = { "raft.last_index", METRIC_GAUGE, "" },
	[METRIC_VERIFY_LEADER] = { "raft.verify_leader", METRIC_COUNTER, "" },
	[METRIC_COMPACT_LOGS] = { "raft.compactLogs", METRIC_SAMPLE, "" },
	[METRIC_AUTOPILOT_HEALTHY] = { "autopilot.healthy", METRIC_GAUGE, "" },
	[METRIC_AUTOPILOT_TOLERANCE] = { "autopilot.failure_tolerance", METRIC_GAUGE, "" },
	[METRIC_LAST_CONTACT] = { "raft.leader.lastContact", METRIC_SAMPLE, "" },
	[METRIC_REPLICATION_LOGS] = { "raft.replication.appendEntries.logs", METRIC_COUNTER, "" },
	[METRIC_RPC_APPEND] = { "raft.rpc.appendEntries", METRIC_SAMPLE, "" },
	[METRIC_RPC_VOTE] = { "raft.rpc.requestVote", METRIC_SAMPLE, "" },
	[METRIC_RPC_SNAPSHOT] = { "raft.rpc.installSnapshot", METRIC_SAMPLE, "" },
	[METRIC_PEERS] = { "raft.peers", METRIC_GAUGE, "" },
};

/* Where the leader is; "": not known. */
static struct str leader_address(const struct raftd *r)
{
	const struct raft *raft = &r->node.raft;
	const struct configuration_server *s = raft_leader(raft);
	const struct peer *p = peers_find(&r->peers, &raft->leader);

	if (uuid_eq(&raft->leader, &raft->id)) {
		return raft_leads(raft) ? str_of(r->address) : STR("");
	}
	return p && p->address[0] ? str_of(p->address) : s ? str_of(s->address) : STR("");
}

static uint16_t leader_http_port(const struct raftd *r)
{
	const struct peer *p = peers_find(&r->peers, &r->node.raft.leader);

	if (uuid_eq(&r->node.raft.leader, &r->node.raft.id)) {
		return (uint16_t)max_of(r->daemon->conf->ports.peer_http, 0);
	}
	return p && p->told ? p->hello.self.http_port : 0;
}

void raftd_publish(struct raftd *r)
{
	const struct raft *raft = &r->node.raft;
	struct str leader = leader_address(r);
	struct raft_page page;

	memset(&page, 0, sizeof(page)); /* what is between the members is compared too */
	page.term = raft->persistent.term;
	page.commit_index = raft->commit_index;
	/* Reads need that this term has committed something: before, the commit index may be
	 * behind. */
	page.is_leader = raft_leads(raft);
	page.lease_until_ns = page.is_leader ? raft_lease(raft).ns : 0;
	page.last_contact_ns = raft->heard.ns;
	page.leader_known = leader.n != 0;
	if (page.leader_known) {
		page.leader_http_port = leader_http_port(r);
		memcpy(page.leader_address, leader.p, leader.n);
	}
	if (memcmp(&page, &r->shown, sizeof(page)) != 0) {
		r->shown = page;
		page_publish(r->page, &page);
	}
}

static struct str node_name(const struct raftd *r, const struct uuid *id)
{
	const struct peer *p = peers_find(&r->peers, id);

	if (uuid_eq(id, &r->node.raft.id)) {
		return r->daemon->conf->node_name;
	}
	return p && p->told ? p->hello.self.node : STR("");
}

void raftd_handle_configuration(
	struct raftd *r, struct ipc_call *call, const struct raft_configuration *m UNUSED)
{
	const struct raft *raft = &r->node.raft;
	struct raft_server servers[RAFT_SERVERS_MAX];
	char ids[RAFT_SERVERS_MAX][UUID_TEXT_SIZE + 1];
	struct raft_configuration_reply reply = {
		.servers = { servers, (uint32_t)raft->configuration.count },
		.leader_address = leader_address(r),
		.state = str_of(raft_role_name(raft->role)),
		.term = raft->persistent.term,
		.last_log_index = raft_last_index(raft),
		.last_log_term = raft_last_term(raft),
		.commit_index = raft->commit_index,
		.applied_index = r->applied_index,
		.last_snapshot_index = raft->persistent.snapshot_index,
		.last_snapshot_term = raft->persistent.snapshot_term,
		.configuration_index = raft->configuration_index,
	};

	for (size_t i = 0; i < raft->configuration.count; i++) {
		const struct configuration_server *s = &raft->configuration.servers[i];

		uuid_text(&s->id, ids[i]);
		servers[i] = (struct raft_server) {
			.id = str_n(ids[i], UUID_TEXT_SIZE),
			.node = node_name(r, &s->id),
			.address = str_of(s->address),
			.leader = uuid_eq(&s->id, &raft->leader),
			.voter = s->voter,
		};
	}
	IPC_REPLY(call, raft_configuration, &reply);
}

/* -------- health: what the leader knows of the others -------- */

enum { HEALTH_SERVERS_MAX = PEERS_MAX + 1 };

struct health {
	struct raft_health_server servers[HEALTH_SERVERS_MAX];
	char ids[HEALTH_SERVERS_MAX][UUID_TEXT_SIZE + 1];
	uint32_t count;
};

static struct raft_health_server *health_add(struct health *h, const struct uuid *id)
{
	struct raft_health_server *s = &h->servers[h->count];

	uuid_text(id, h->ids[h->count]);
	*s = (struct raft_health_server) { .id = str_n(h->ids[h->count], UUID_TEXT_SIZE) };
	h->count++;
	return s;
}

static void health_self(const struct raftd *r, struct raft_health_server *s)
{
	const struct conf *c = r->daemon->conf;

	s->node = c->node_name;
	s->address = str_of(r->address);
	s->version = STR(MUSTER_VERSION);
	s->leader = s->connected = true;
	s->read_replica = c->read_replica;
	s->last_term = raft_last_term(&r->node.raft);
	s->last_index = raft_last_index(&r->node.raft);
}

/* What it says of itself; the address it has now, which may differ from the configuration's. */
static void health_told(const struct raftd *r, const struct peer *p, struct raft_health_server *s)
{
	const struct peer_facts *f = &p->hello.self;

	s->node = f->node;
	s->address = f->address;
	s->version = f->version;
	s->read_replica = f->read_replica;
	s->last_term = f->last_term;
	s->last_index = f->last_index;
	s->last_contact_ms = mono_diff_ms(loop_now(r->daemon->loop), p->heard);
}

static void health_followed(
	const struct raftd *r, const struct raft_peer *p, struct raft_health_server *s)
{
	const struct raft *raft = &r->node.raft;
	int64_t contact_ms = p->heard.ns ? mono_diff_ms(clock_mono(), p->heard) : -1;

	s->last_contact_ms = contact_ms < -1 ? 0 : contact_ms;
	s->last_index = p->match;
	s->last_term = trail_knows(&raft->trail, p->match) ? trail_term(&raft->trail, p->match) : 0;
}

static void health_member(
	const struct raftd *r, const struct configuration_server *c, struct health *h)
{
	struct raft_health_server *s = health_add(h, &c->id);
	const struct peer *p = peers_find(&r->peers, &c->id);
	const struct raft_peer *f = raft_peer_find(&r->node.raft, &c->id);

	s->address = str_of(c->address);
	s->last_contact_ms = -1;
	if (uuid_eq(&c->id, &r->node.raft.id)) {
		health_self(r, s);
		s->last_contact_ms = 0;
	} else if (p && p->told) {
		health_told(r, p, s);
	}
	if (f) {
		health_followed(r, f, s);
	}
	s->connected = s->connected || (p && peer_connected(p));
	s->member = true;
	s->voter = c->voter;
}

/* Who could be taken in. What it says behind its hello, that it belongs elsewhere or is about to
 * leave, has its time to arrive. */
static bool is_candidate(const struct raftd *r, const struct peer *p)
{
	return !p->member && p->told && peer_connected(p) && !p->identity.leaving &&
	       mono_diff_ms(loop_now(r->daemon->loop), p->since) >= PEER_ACQUAINTED_MS;
}

void raftd_handle_health(struct raftd *r, struct ipc_call *call, const struct raft_health *m UNUSED)
{
	const struct raft *raft = &r->node.raft;
	struct health h = { 0 };
	struct raft_health_reply reply = {
		.term = raft->persistent.term,
		.last_index = raft_last_index(raft),
		.commit_index = raft->commit_index,
	};
	const struct peer *p;

	if (raft->role != RAFT_LEADER) {
		ipc_refuse(call, ST_NOT_LEADER);
		return;
	}
	for (size_t i = 0; i < raft->configuration.count; i++) {
		health_member(r, &raft->configuration.servers[i], &h);
	}
	list_for_each (p, &r->peers.list, link) {
		if (is_candidate(r, p) && h.count < HEALTH_SERVERS_MAX) {
			struct raft_health_server *s = health_add(&h, &p->id);

			health_told(r, p, s);
			s->connected = true;
		}
	}
	reply.servers.items = h.servers;
	reply.servers.count = h.count;
	IPC_REPLY(call, raft_health, &reply);
}

/* How long ago a leader has last heard of a majority. */
void raftd_contact_measure(struct raftd *r)
{
	const struct raft *raft = &r->node.raft;
	int64_t age_ns;

	if (raft->role == RAFT_LEADER && !raft_is_alone(raft)) {
		age_ns = mono_diff_ns(clock_mono(), raft_heard_majority(raft));
		metrics_add(r->daemon->metrics, METRIC_LAST_CONTACT, (double)age_ns / NS_PER_MS);
	}
}

/* -------- control -------- */

static void peer_put(const struct raftd *r, const struct peer *p, struct jsonw *w)
{
	static const char *const states[] = {
		[RAFT_PROBE] = "probe",
		[RAFT_PIPELINE] = "pipeline",
		[RAFT_SNAPSHOT] = "snapshot",
	};
	const struct raft_peer *f = raft_peer_find(&r->node.raft, &p->id);
	const struct transfer *t = transfer_find(&r->transfers, &p->id);
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&p->id, id);
	jsonw_open(w, '{');
	jsonw_put_cstr(w, "id", id);
	jsonw_put_cstr(w, "address", p->address);
	jsonw_put_str(w, "node", p->told ? p->hello.self.node : STR(""));
	jsonw_put_bool(w, "member", p->member);
	jsonw_put_bool(w, "connected", peer_connected(p));
	jsonw_put_u64(w, "connects", p->connects);
	jsonw_put_u64(w, "failures", p->failures);
	if (f && r->node.raft.role == RAFT_LEADER) {
		jsonw_put_cstr(w, "state", states[f->state]);
		jsonw_put_u64(w, "next", f->next);
		jsonw_put_u64(w, "match", f->match);
		jsonw_put_i64(w, "last_contact_ms",
			f->heard.ns ? mono_diff_ms(clock_mono(), f->heard) : -1);
	}
	if (t) {
		jsonw_put_u64(w, "snapshot_index", t->index);
		jsonw_put_u64(w, "snapshot_offset", t->offset);
		jsonw_put_u64(w, "snapshot_size", t->size);
	}
	jsonw_close(w, '}');
}

static void peers_put(const struct raftd *r, struct jsonw *w)
{
	const struct peers_counts *c = &r->peers.counts;
	const struct peer *p;

	jsonw_keyc(w, "peers");
	jsonw_open(w, '[');
	list_for_each (p, &r->peers.list, link) {
		peer_put(r, p, w);
	}
	jsonw_close(w, ']');
	jsonw_keyc(w, "connections");
	jsonw_open(w, '{');
	jsonw_put_u64(w, "accepted", c->accepted);
	jsonw_put_u64(w, "refused", c->refused);
	jsonw_put_u64(w, "broken", c->broken);
	jsonw_put_u64(w, "unknown", c->unknown);
	jsonw_put_u64(w, "mistaken", c->mistaken);
	jsonw_close(w, '}');
}

void raftd_status(struct daemon *d, struct jsonw *w)
{
	struct raftd *r = d->self;
	const struct raft *raft = &r->node.raft;
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&raft->id, id);
	jsonw_put_cstr(w, "id", id);
	jsonw_put_cstr(w, "address", r->address);
	jsonw_put_cstr(w, "state", raft_role_name(raft->role));
	jsonw_put_str(w, "leader_address", leader_address(r));
	jsonw_put_u64(w, "term", raft->persistent.term);
	jsonw_put_u64(w, "last_index", raft_last_index(raft));
	jsonw_put_u64(w, "commit_index", raft->commit_index);
	jsonw_put_u64(w, "durable_index", raft->durable_index);
	jsonw_put_u64(w, "applied_index", r->applied_index);
	jsonw_put_u64(w, "first_index", r->node.log->first_index);
	jsonw_put_u64(w, "snapshot_index", raft->persistent.snapshot_index);
	jsonw_put_u64(w, "servers", raft->configuration.count);
	jsonw_put_u64(w, "voters", configuration_voters(&raft->configuration));
	jsonw_put_u64(w, "log_disk_bytes", log_disk_bytes(r->node.log));
	jsonw_put_u64(w, "proposals_waiting", r->proposals.count);
	jsonw_put_u64(w, "proposals_forwarded", r->forwarded.count);
	jsonw_put_u64(w, "reads_waiting",
		r->reads[RAFT_READ_LEASE].count + r->reads[RAFT_READ_ROUND].count);
	jsonw_put_u64(w, "feeds_held", r->feeds_count);
	jsonw_put_u64(w, "disk_failures", r->node.disk_failures);
	jsonw_put_cstr(w, "disk_failure", r->node.failure);
	peers_put(r, w);
}

void raftd_dump(struct daemon *d, struct jsonw *w)
{
	struct raftd *r = d->self;
	const struct segment *s;

	jsonw_keyc(w, "segments");
	jsonw_open(w, '[');
	list_for_each (s, &r->node.log->segments, link) {
		jsonw_open(w, '{');
		jsonw_put_cstr(w, "name", s->name);
		jsonw_put_u64(w, "generation", s->generation);
		jsonw_put_u64(w, "first", s->base_index);
		jsonw_put_u64(w, "last", s->last_index);
		jsonw_put_u64(w, "size", s->size);
		jsonw_put_u64(w, "used", s->end);
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
	jsonw_put_u64(w, "tail_bytes", r->node.log->tail.bytes);
	jsonw_put_u64(w, "digest", raft_digest(&r->node.raft));
}
