/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the pool know of each other. Downwards: pool.c (steps, timers) -> probe.c,
 * sync.c, query.c -> member.c, spread.c -> swim.c -> node.c, send.c.
 */
#ifndef MUSTER_GOSSIPD_CORE_POOL_PRIVATE_H
#define MUSTER_GOSSIPD_CORE_POOL_PRIVATE_H

#include "common/base/err.h"
#include "gossipd/core/packet.h"
#include "gossipd/core/pool.h"

enum {
	PROTOCOL_TCP_PING = 3, /* what a node must speak to ... */
	PROTOCOL_NACK = 4,
	PROTOCOL_CRC = 5,
	PROTOCOL_RELAY = 5,
	VERSION_PROTOCOL_MAX = 1, /* places in the versions */
	BROADCAST_TIMEOUT_MS = 5000,
	REAP_INTERVAL_MS = 15000,
	RECONNECT_INTERVAL_MS = 30000,
	INTENT_TIMEOUT_MS = 300000,
	/* How far ahead of ours an incarnation may be: as many as a former life has ever had. */
	INCARNATION_JUMP_MAX = 1 << 20,
};

/* An indirect probe that this node does for another. */
struct pool_relay {
	struct list link;
	uint32_t seq, their_seq;
	struct pool_address requester;
	bool nack, requester_known;
	struct mono deadline;
};

enum pool_dial_kind { DIAL_JOIN, DIAL_REJOIN, DIAL_SYNC, DIAL_PING };

struct pool_dialled {
	struct list link;
	uint32_t token;
	enum pool_dial_kind kind;
};

/* The newest intent about a name that is no member. */
struct pool_intent {
	struct map_node entry;
	struct list link; /* oldest first */
	bool leave;
	uint32_t gone; /* the incarnation that has ended, as it said itself; 0: not heard */
	uint64_t ltime;
	struct mono at;
	struct str name;
};

enum pool_query_kind { QUERY_PLAIN, QUERY_KEYS, QUERY_CONFLICT };

struct pool_query {
	struct list link;
	enum pool_query_kind kind;
	uint32_t id;
	uint64_t ltime;
	struct mono deadline;
	struct map acks, responses; /* struct pool_count by node */
	uint32_t matching;	    /* CONFLICT: responses that name us */
};

/* node.c */
struct pool_node *node_find(const struct pool *p, struct str name);
struct pool_node *node_add(struct pool *p, struct str name); /* NULL: the table is full */
void node_free_unused(struct pool *p, struct pool_node *n);  /* when neither layer has it */
void node_free(struct pool *p, struct pool_node *n);
void node_set_meta(struct pool_node *n, struct str meta);
void ring_add(struct pool *p, struct pool_node *n);
void ring_turn(struct pool *p); /* forgets the long dead, shuffles */
typedef bool (*node_filter_fn)(const struct pool *p, const struct pool_node *n, const void *arg);
size_t nodes_pick(struct pool *p, size_t count, node_filter_fn filter, const void *arg,
	struct pool_node **out); /* random, distinct */
struct str owned_str(struct str s);
struct pool_count *count_add(struct map *m, struct str key, struct str text);
void counts_fini(struct map *m);
struct str address_str(const struct pool_address *a);
struct pool_address address_of(struct str bytes, uint16_t port);
bool state_is_gone(const struct pool_node *n); /* dead or left */
/* Is it a member, there where it says it is? Only such ones are told news with an answer. */
bool node_is_at(const struct pool *p, struct str name, const struct pool_address *address);

/* send.c */
void note_add(struct pool *p, enum pool_note_type type, struct str name, struct str payload);
struct pool_note *note_last(struct pool *p);
void pool_broadcast(
	struct pool *p, enum pool_queue_name queue, struct str message, struct broadcast **owner);
void pool_broadcast_serf(
	struct pool *p, enum pool_queue_name queue, struct str message, struct broadcast **owner);
struct send_form {
	bool piggyback;
	const struct pool_node *to; /* NULL: by address, so without a CRC */
};
void pool_send(struct pool *p, struct pool_address to, struct send_form form,
	const struct str *messages, size_t count);
void pool_send_user(struct pool *p, struct pool_address to, struct str serf_message);
uint32_t pool_dial(
	struct pool *p, struct pool_address to, enum pool_dial_kind kind, struct str message);
void gossip_tick(struct pool *p);
uint32_t retransmit_limit(const struct pool *p, uint32_t nodes);
size_t room_for(const struct pool *p, size_t message);

/* swim.c */
void swim_on_alive(struct pool *p, const struct swim_alive *m);
void swim_on_suspect(struct pool *p, const struct swim_accusation *m);
void swim_on_dead(struct pool *p, const struct swim_accusation *m);
void swim_announce(struct pool *p); /* the next incarnation of this node */
void swim_leave(struct pool *p);
void suspicions_tick(struct pool *p);
void suspicion_end(struct pool *p, struct pool_node *n);
int64_t suspicion_min_ms(uint32_t mult, uint32_t nodes, int64_t interval_ms);
int64_t suspicion_timeout_ms(int64_t min, int64_t max, uint32_t confirmed, uint32_t wanted);

/* rules.c */
bool rules_admit(struct pool *p, const struct swim_alive *m, bool left, struct buf *why);

/* probe.c */
void probe_tick(struct pool *p);
void probe_deadlines(struct pool *p);
struct mono probe_deadline(const struct pool *p);
void probe_forget(struct pool *p, const struct pool_node *n);
void on_ping(struct pool *p, const struct swim_ping *m, const struct pool_address *from);
void on_indirect_ping(struct pool *p, const struct swim_ping *m, const struct pool_address *from);
void on_ack(struct pool *p, const struct swim_ack *m);
void on_nack(struct pool *p, const struct swim_nack *m);
void on_stream_ack(struct pool *p, uint32_t token, struct str body);

/* sync.c */
void sync_tick(struct pool *p);
void sync_dial(struct pool *p, struct pool_address to, enum pool_dial_kind kind, uint32_t *token);
void on_request(struct pool *p, struct str bytes);
void on_reply(struct pool *p, const struct pool_event *e);
int64_t sync_interval_ms(int64_t base, uint32_t nodes);

/* member.c */
void member_on_alive(struct pool *p, struct pool_node *n);
void member_on_gone(struct pool *p, struct pool_node *n);
void member_on_update(struct pool *p, struct pool_node *n);
void intent_on_join(struct pool *p, const struct serf_intent *m);
void intent_on_leave(struct pool *p, const struct serf_intent *m);
void intent_broadcast_join(struct pool *p);
/* Of names that are no members (yet): their own word that they are gone, and in which incarnation
 * that was (0: none). */
void intent_on_gone(struct pool *p, const struct swim_accusation *m);
uint32_t intent_gone(const struct pool *p, struct str name);
void member_leave(struct pool *p);
void leave_tick(struct pool *p);
void member_force_leave(struct pool *p, struct str name, bool prune);
void member_reap(struct pool *p);
void member_reconnect(struct pool *p);
void member_prune_tick(struct pool *p);
bool others_alive(const struct pool *p);
/* false: it is too far ahead to be true, and nothing was done. */
bool clock_witness(struct pool *p, uint64_t *clock, uint64_t seen);
void intents_fini(struct pool *p);

/* spread.c: user events */
void event_fire(struct pool *p, const struct pool_event *e);
void event_on(struct pool *p, const struct serf_event *m, bool broadcast);
bool slot_is_new(struct pool *p, struct pool_slots *slots, uint64_t ltime, uint64_t clock,
	struct str content);
void events_put(const struct pool *p, struct buf *out); /* of a push/pull */
void slots_fini(struct pool_slots *slots);

/* pool.c */
void pool_on_user(struct pool *p, struct str message); /* Serf's, from a packet or a stream */

/* query.c, answer.c, keys.c */
void query_start(struct pool *p, const struct pool_event *e);
int query_send(struct pool *p, enum pool_query_kind kind, struct str name, struct str payload,
	const struct pool_query_options *options);
void query_on(struct pool *p, struct str body);
void query_on_response(struct pool *p, struct str body);
void query_on_relay(struct pool *p, struct str body);
void queries_tick(struct pool *p);
struct mono queries_deadline(const struct pool *p);
void queries_fini(struct pool *p);
void query_respond(struct pool *p, const struct serf_query *q, uint32_t flags, struct str payload);
bool filters_match(const struct pool *p, struct str filters);
void keys_start(struct pool *p, const struct pool_event *e);
bool keys_answer(struct pool *p, const struct serf_query *q); /* false: it is no such query */
void keys_on_response(struct pool *p, struct pool_query *q, const struct serf_response *m);
void keys_done(struct pool *p, struct pool_query *q);
void conflict_answer(struct pool *p, const struct serf_query *q);

#endif
