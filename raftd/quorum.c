/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the node and the other servers: messages of the core out and in, what hellos say, and the
 * way into a cluster, a new one or one that is there.
 */
#include <stdio.h>

#include "common/sys/clock.h"
#include "raftd/raftd.h"
#include "version.h"

enum { GREETING_MIN_MS = 100 };

bool raftd_has_log(const struct raftd *r)
{
	return r->node.raft.trail.last > 0 || r->node.raft.persistent.snapshot_index > 0;
}

static bool leader_known(const struct raftd *r)
{
	return !uuid_is_zero(&r->node.raft.leader);
}

static bool is_member(const struct raftd *r)
{
	return configuration_find((struct configuration *)&r->node.raft.configuration,
		       &r->node.raft.id) != NULL;
}

/* -------- hello -------- */

static void leader_say(const struct raftd *r, struct peer_hello *h)
{
	const struct raft *raft = &r->node.raft;
	const struct peer *p = peers_find(&r->peers, &raft->leader);

	h->leader = raft->leader;
	if (uuid_eq(&raft->leader, &raft->id)) {
		h->leader_address = str_of(r->address);
		h->leader_http_port = h->self.http_port;
	} else if (p) {
		h->leader_address = str_of(p->address);
		h->leader_http_port = p->told ? p->hello.self.http_port : 0;
	}
}

static void say(void *arg, struct peer_hello *h)
{
	struct raftd *r = arg;
	const struct conf *c = r->daemon->conf;
	const struct raft *raft = &r->node.raft;

	h->self = (struct peer_facts) {
		.id = raft->id,
		.node = c->node_name,
		.address = str_of(r->address),
		.version = STR(MUSTER_VERSION),
		.datacenter = c->datacenter,
		.http_port = (uint16_t)max_of(c->ports.peer_http, 0),
		.expect = (uint32_t)c->bootstrap_expect,
		.has_log = raftd_has_log(r),
		.read_replica = c->read_replica,
		.term = raft->persistent.term,
		.last_index = raft->trail.last,
		.last_term = raft_last_term(raft),
	};
	leader_say(r, h);
}

static struct peer_identity identify(void *arg, const struct uuid *to)
{
	struct raftd *r = arg;
	const struct raft *raft = &r->node.raft;
	const struct configuration *c = &raft->configuration;

	return (struct peer_identity) {
		.cluster = c->cluster,
		.life = raft->persistent.life,
		.leaving = r->leaving.on,
		.removed = to && raft_leads(raft) &&
			   raft->configuration_index <= raft->commit_index &&
			   !configuration_find((struct configuration *)c, to),
	};
}

static void on_hello(void *arg, struct peer *p UNUSED)
{
	struct raftd *r = arg;

	r->told = true;
}

/* -------- frames -------- */

static void message_take(struct raftd *r, const struct raft_message *m, const struct uuid *life)
{
	static const enum raftd_metric metrics[RAFT_MESSAGE_TYPES] = {
		[RAFT_PRE_VOTE] = METRIC_RPC_VOTE,
		[RAFT_VOTE] = METRIC_RPC_VOTE,
		[RAFT_APPEND] = METRIC_RPC_APPEND,
	};
	struct mono now = clock_mono();

	node_receive(&r->node, now, m, life);
	if (metrics[m->type]) {
		metrics_add(r->daemon->metrics, metrics[m->type],
			(double)mono_diff_ns(clock_mono(), now) / NS_PER_MS);
	}
}

static bool frame_message(struct raftd *r, struct peer *p, struct str payload, struct arena *arena)
{
	struct raft_message m;

	if (raft_message_decode(payload, arena, &m) || !peer_message_sound(&m) ||
		!uuid_eq(&m.from, &p->id)) {
		return false;
	}
	if (uuid_eq(&m.to, &r->node.raft.id)) { /* else: of who was here before */
		message_take(r, &m, &p->identity.life);
	}
	return true;
}

#define FRAME_TAKER(type, handle)                                                         \
	static bool frame_##type(                                                         \
		struct raftd *r, struct peer *p, struct str payload, struct arena *arena) \
	{                                                                                 \
		struct type m;                                                            \
                                                                                          \
		if (type##_decode(payload, arena, &m)) {                                  \
			return false;                                                     \
		}                                                                         \
		handle(r, p, &m);                                                         \
		return true;                                                              \
	}
FRAME_TAKER(peer_propose, raftd_peer_propose)
FRAME_TAKER(peer_propose_reply, raftd_peer_propose_reply)
FRAME_TAKER(peer_chunk, raftd_peer_chunk)
FRAME_TAKER(peer_chunk_reply, raftd_peer_chunk_reply)

static const struct {
	uint16_t number;
	bool (*handle)(struct raftd *r, struct peer *p, struct str payload, struct arena *arena);
} takers[] = {
	{ FRAME_raft_message, frame_message },
	{ FRAME_peer_propose, frame_peer_propose },
	{ FRAME_peer_propose_reply, frame_peer_propose_reply },
	{ FRAME_peer_chunk, frame_peer_chunk },
	{ FRAME_peer_chunk_reply, frame_peer_chunk_reply },
};

static void on_frame(void *arg, struct peer *p, const struct peer_frame *f)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raftd *r = arg;

	for (size_t i = 0; i < ARRAY_SIZE(takers); i++) {
		if (takers[i].number != f->number) {
			continue;
		}
		if (!takers[i].handle(r, p, f->payload, &arena)) {
			peers_mistake(&r->peers, p, "malformed message");
		}
		return;
	}
	r->peers.counts.unknown++; /* of a newer version */
}

bool raftd_quorum_send(void *arg, const struct raft_message *m)
{
	struct raftd *r = arg;
	size_t waiting_max = m->entries.count ? APPEND_WAITING_MAX : SIZE_MAX;
	struct buf *out = peers_out(&r->peers, &m->to, waiting_max);

	if (!out) {
		return false;
	}
	PEER_FRAME_PUT(out, raft_message, m);
	if (m->entries.count) {
		metrics_add(r->daemon->metrics, METRIC_REPLICATION_LOGS, (double)m->entries.count);
	}
	return true;
}

void raftd_quorum_depart(void *arg)
{
	struct raftd *r = arg;

	peers_flush(&r->peers);
}

static void on_lost(void *arg, struct peer *p)
{
	struct raftd *r = arg;

	if (uuid_eq(&p->id, &r->forwarded_to)) {
		raftd_forwarded_refuse(r);
	}
	raftd_snapshot_lost(r, p);
	node_unreachable(&r->node, clock_mono(), &p->id);
}

/* -------- a new cluster -------- */

static size_t founders_list(struct raftd *r, struct founding_server servers[])
{
	const struct conf *c = r->daemon->conf;
	struct peer *p;
	size_t count = 1;

	servers[0] = (struct founding_server) {
		.id = r->node.raft.id,
		.address = str_of(r->address),
		.expect = (uint32_t)c->bootstrap_expect,
		.has_log = raftd_has_log(r),
		.read_replica = c->read_replica,
		.knows_leader = leader_known(r),
		.life = r->node.raft.persistent.life,
	};
	list_for_each (p, &r->peers.list, link) {
		const struct peer_facts *f = &p->hello.self;

		if (p->told && peer_connected(p) && count < FOUNDING_SERVERS_MAX) {
			servers[count++] = (struct founding_server) { p->id, f->address, f->expect,
				f->has_log, f->read_replica, !uuid_is_zero(&p->hello.leader),
				p->identity.life };
		}
	}
	return count;
}

static void verdict_show(struct raftd *r, enum founding_verdict verdict, size_t seen)
{
	static const char *const texts[] = {
		[FOUNDING_NOT_EXPECTED] = "not expected",
		[FOUNDING_WAITS] = "too few servers yet",
		[FOUNDING_JOINS] = "there is a cluster: asks to be added",
		[FOUNDING_DIFFERS] = "another server has another bootstrap_expect",
		[FOUNDING_OTHERS] = "enough others form it",
		[FOUNDING_NOW] = "complete",
	};

	if (verdict == r->founding && seen == r->founding_seen) {
		return;
	}
	r->founding = verdict;
	r->founding_seen = seen;
	if (verdict != FOUNDING_NOT_EXPECTED) {
		log_at(verdict == FOUNDING_DIFFERS ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE, "founding",
			"servers=%zu bootstrap_expect=%lld state=\"%s\"", seen,
			(long long)r->daemon->conf->bootstrap_expect, texts[verdict]);
	}
}

static void found(struct raftd *r)
{
	struct founding_server servers[FOUNDING_SERVERS_MAX];
	struct configuration c;
	enum founding_verdict verdict;
	size_t seen;

	if (raftd_has_log(r) || leader_known(r)) {
		return;
	}
	verdict = founding_judge(servers, founders_list(r, servers), &c, &seen);
	if (verdict != FOUNDING_JOINS || !is_member(r)) {
		verdict_show(r, verdict, seen);
	}
	/* Refused where a vote was given already: that election ends by itself. */
	if (verdict == FOUNDING_NOW && memcmp(&c, &r->node.raft.configuration, sizeof(c)) != 0) {
		node_bootstrap(&r->node, clock_mono(), &c);
	}
}

/* -------- who has lost its disk -------- */

/* A connected member of whose life the configuration does not know; NULL. */
static const struct peer *life_news(const struct raftd *r, struct raft_server_change *change_out)
{
	const struct configuration *c = &r->node.raft.configuration;

	for (size_t i = 0; i < c->count; i++) {
		const struct configuration_server *s = &c->servers[i];
		const struct peer *p = peers_find(&r->peers, &s->id);

		if (!p || !p->told || !peer_connected(p) || uuid_is_zero(&p->identity.life) ||
			uuid_eq(&s->life, &p->identity.life)) {
			continue;
		}
		*change_out = (struct raft_server_change) { .type = RAFT_ADD,
			.id = s->id,
			.address = s->address,
			.life = p->identity.life,
			.blank = !p->hello.self.has_log };
		return p;
	}
	return NULL;
}

/* What an operator has named, or an older version has added, has no life there yet. */
static bool is_lost(const struct raftd *r, const struct raft_server_change *change)
{
	const struct configuration_server *s = configuration_find(
		(struct configuration *)&r->node.raft.configuration, &change->id);

	return change->blank || !life_eq(&s->life, &change->life);
}

bool raftd_disk_lost(const struct raftd *r)
{
	struct raft_server_change change;

	return life_news(r, &change) && is_lost(r, &change);
}

static void lives_follow(struct raftd *r)
{
	struct raft_server_change change;
	const struct peer *p = raft_leads(&r->node.raft) ? life_news(r, &change) : NULL;
	bool lost = p && is_lost(r, &change);
	uint64_t index;

	if (p && node_change(&r->node, clock_mono(), &change, &index) == 0 && lost) {
		log_error("disk-lost",
			"address=%s node=" STR_FMT
			" action=\"it has no vote until it has caught up\"",
			p->address, STR_ARG(p->hello.self.node));
	}
}

/* -------- the turn -------- */

static void changes_show(struct raftd *r)
{
	const struct configuration *c = &r->node.raft.configuration;
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	char id[UUID_TEXT_SIZE + 1];

	if (r->configuration_changed && c->count) {
		for (size_t i = 0; i < c->count; i++) {
			buf_printf(&text, "%s%s%s", i ? "," : "", c->servers[i].address,
				c->servers[i].voter ? "" : "(non-voter)");
		}
		log_notice("configuration", "index=%llu servers=%s",
			(unsigned long long)r->node.raft.configuration_index, buf_cstr(&text));
	}
	if (r->leader_changed && leader_known(r)) {
		uuid_text(&r->node.raft.leader, id);
		log_notice("leader", "id=%s term=%llu", id,
			(unsigned long long)r->node.raft.persistent.term);
	}
}

void raftd_quorum_turn(struct raftd *r)
{
	uint64_t committed;
	bool settled;

	if (r->told || r->leader_changed) {
		r->told = false;
		found(r);
	}
	changes_show(r);
	if (r->configuration_changed) {
		peers_configure(&r->peers, &r->node.raft.configuration);
		metrics_set(
			r->daemon->metrics, METRIC_PEERS, (double)r->node.raft.configuration.count);
	}
	lives_follow(r);
	settled = leader_known(r) && is_member(r);
	committed = min_of(r->node.raft.configuration_index, r->node.raft.commit_index);
	if (settled != r->peers.settled || r->leader_changed || r->configuration_changed ||
		committed != r->configuration_committed) {
		r->configuration_committed = committed;
		peers_set_settled(&r->peers, settled);
		peers_announce(&r->peers);
	}
	r->role_changed = r->leader_changed = r->configuration_changed = false;
	raftd_snapshot_turn(r);
	peers_settle(&r->peers);
}

/* -------- the beginning -------- */

void raftd_quorum_open(struct raftd *r)
{
	const struct conf *c = r->daemon->conf;
	struct peers_setup setup = {
		.loop = r->daemon->loop,
		.id = r->node.raft.id,
		.address = str_of(r->address),
		.datacenter = c->datacenter,
		.again_max_ms = PEER_AGAIN_MAX_MS,
		.greeting_ms = max_of(
			c->limits.rpc_handshake_timeout_ns / NS_PER_MS, (int64_t)GREETING_MIN_MS),
		.say = say,
		.identify = identify,
		.on_hello = on_hello,
		.on_frame = on_frame,
		.on_lost = on_lost,
		.arg = r,
	};

	peers_init(&r->peers, &setup, random_u64());
	r->peers_open = true;
	r->forward_tag = random_u64() >> 1; /* replies meant for an earlier life find nobody */
	/* A late answer to an earlier life would end the reads of this one up to its tag: they go
	 * on behind all that were ever used. */
	for (int kind = 0; kind < RAFT_READ_KINDS; kind++) {
		r->read_tag[kind] = (uint64_t)clock_mono().ns;
	}
	r->configuration_changed = r->told = true;
}

const char *raftd_waits_for(struct daemon *d)
{
	const struct raftd *r = d->self;
	const struct raft *raft = &r->node.raft;
	size_t reached = 0, voters = configuration_voters(&raft->configuration);

	if (leader_known(r)) {
		return NULL;
	}
	if (raft->configuration.count == 0 || (!raftd_has_log(r) && !raft_is_alone(raft))) {
		return "bootstrap";
	}
	if (raft_is_alone(raft)) {
		return "disk";
	}
	for (size_t i = 0; i < raft->configuration.count; i++) {
		const struct configuration_server *s = &raft->configuration.servers[i];
		const struct peer *p = peers_find(&r->peers, &s->id);

		reached += s->voter && (uuid_eq(&s->id, &raft->id) || (p && peer_connected(p)));
	}
	return reached > voters / 2 ? "leader" : "quorum";
}
