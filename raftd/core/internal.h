/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the core share. raft.c has the steps that every role takes; election.c,
 * follower.c, leader.c, change.c those of one subject each.
 */
#ifndef MUSTER_RAFTD_CORE_INTERNAL_H
#define MUSTER_RAFTD_CORE_INTERNAL_H

#include "raftd/core/raft.h"

typedef void (*raft_on_message_fn)(
	struct raft *r, const struct raft_message *m, struct raft_update *u);

/* ---- raft.c ---- */

/* A message that leaves with this update; valid until the next one is made. */
struct raft_message *raft_message_new(
	struct raft *r, enum raft_message_type type, const struct uuid *to);
void raft_persist(struct raft *r, struct raft_update *u);
void raft_become(struct raft *r, struct raft_update *u, enum raft_role role, const char *why);
/* A follower in this term, which may be the current one; the leader is not known (any more). */
void raft_follow(struct raft *r, struct raft_update *u, uint64_t term, const char *why);
void raft_leader_set(struct raft *r, struct raft_update *u, const struct uuid *leader);
void raft_append_own(
	struct raft *r, struct raft_update *u, enum raft_entry_type type, struct str body);
/* commit_index moves; nothing where it would go back. */
void raft_commit_to(struct raft *r, struct raft_update *u, uint64_t index);
/* Ends this server's own reads of a kind up to a tag. */
void raft_reads_end(struct raft_update *u, enum raft_read_kind kind, uint64_t through, int status,
	uint64_t index);

static inline struct uuid raft_no_one(void)
{
	return (struct uuid) { { 0 } };
}

/* ---- election.c ---- */

void raft_election_rearm(struct raft *r);			 /* a random time from now */
void raft_election_begin(struct raft *r, struct raft_update *u); /* the deadline passed */
/* Thesis 3.4, with the term as given: forced elections skip the question whether one would win. */
void raft_campaign(struct raft *r, struct raft_update *u, bool forced);
void raft_votes_count(struct raft *r, struct raft_update *u);
void raft_on_pre_vote(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_on_pre_vote_reply(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_on_vote(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_on_vote_reply(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_on_timeout_now(struct raft *r, const struct raft_message *m, struct raft_update *u);
/* There is no log yet, and who may begin one was decided outside of it. */
bool raft_is_new(const struct raft *r);

/* ---- follower.c ---- */

void raft_on_append(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_on_read_reply(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_follower_durable(struct raft *r, struct raft_update *u);
void raft_follower_read(
	struct raft *r, enum raft_read_kind kind, uint64_t tag, struct raft_update *u);
void raft_forwarded_end(struct raft *r, struct raft_update *u); /* refused: nobody answers */
void raft_follower_unreachable(struct raft *r, const struct uuid *peer, struct raft_update *u);
void raft_snapshot_installed(struct raft *r, const struct raft_snapshot *s, struct raft_update *u);

/* ---- leader.c ---- */

void raft_lead(struct raft *r, struct raft_update *u);
void raft_lead_end(struct raft *r, struct raft_update *u); /* what only a leader has is let go */
void raft_leader_tick(struct raft *r, bool late, struct raft_update *u);
void raft_leader_flush(struct raft *r, struct raft_update *u);
void raft_leader_sent(struct raft *r, const struct uuid *peer, uint64_t index);
void raft_leader_unreachable(struct raft *r, const struct uuid *peer);
void raft_leader_commit(struct raft *r, struct raft_update *u); /* what a majority has */
void raft_leader_read(struct raft *r, const struct uuid *from, enum raft_read_kind kind,
	uint64_t tag, struct raft_update *u);
void raft_leader_snapshot_sent(struct raft *r, const struct uuid *peer, uint64_t index);
void raft_on_append_reply(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_on_read(struct raft *r, const struct raft_message *m, struct raft_update *u);
void raft_transfer(struct raft *r, const struct uuid *to, struct raft_update *u);
struct raft_peer *raft_peer_of(struct raft *r, const struct uuid *id); /* NULL */

/* ---- change.c ---- */

/* The newest configuration of the log is now this one. */
void raft_configuration_take(
	struct raft *r, struct raft_update *u, uint64_t index, const struct configuration *c);
/* Entries behind `after` are gone: so is what they said. */
void raft_configuration_cut(struct raft *r, struct raft_update *u, uint64_t after);
void raft_configuration_append(
	struct raft *r, struct raft_update *u, const struct configuration *c);
void raft_change(struct raft *r, const struct raft_server_change *c, struct raft_update *u);
void raft_peers_update(struct raft *r);
/* Those that were in force only before an entry are of no interest any more. */
void raft_configuration_forget(struct raft *r, uint64_t before);
/* The configuration as of an entry, the snapshot's or behind that. */
const struct configuration *raft_configuration_at(
	const struct raft *r, uint64_t index, uint64_t *index_out);
bool raft_self_votes(const struct raft *r);
bool raft_is_voter(const struct raft *r, const struct uuid *id);

#endif
