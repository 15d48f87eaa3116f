/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One gossip pool, as a pure function of what happens: SWIM with the Lifeguard extensions (who is
 * alive; memberlist's rules), and Serf's layer on it (intents, user events, queries, clocks, keys,
 * coordinates). No I/O, no clock, no chance of its own: time comes in events, chance from the seed.
 *
 *     SWIM state of a node                         Serf status of a member
 *
 *           alive, greater incarnation                  leave intent            dead
 *         +-------------------------+            ALIVE ------------> LEAVING ---------> LEFT
 *         v                         |              | dead     ^ newer join intent        ^
 *       ALIVE --suspect--> SUSPECT -+              +--> FAILED ------ leave intent ------+
 *         |                   | time is up         alive again: ALIVE; after a long time: reaped
 *         +------dead---------+--> DEAD (LEFT, if it said so itself)
 *
 * Event memory is borrowed for the call. Update memory is the pool's, valid until the next step.
 * The caller must do what an update says in this order: make durable what changed (clocks,
 * keyring), send packets, dial, reply; then step with POOL_TICK at pool_deadline().
 */
#ifndef MUSTER_GOSSIPD_CORE_POOL_H
#define MUSTER_GOSSIPD_CORE_POOL_H

#include "common/base/arena.h"
#include "common/base/cidr.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "common/base/time.h"
#include "gossipd/core/keyring.h"
#include "gossipd/core/queue.h"
#include "gossipd/core/serf_message.h"
#include "gossipd/core/vivaldi.h"

enum {
	POOL_NAME_MAX = 512,
	POOL_META_MAX = 512,		/* of our own */
	POOL_META_TAKEN_MAX = 1024,	/* of others: stock agents do not count */
	POOL_MEMBERS_MAX = 1 << 17,	/* more are refused */
	POOL_INTENTS_MAX = 4096,	/* remembered of unknown names */
	POOL_EVENTS_PER_TIME_MAX = 64,	/* user events of one Lamport time; more are refused */
	POOL_EVENT_SIZE_MAX = 9 << 10,	/* name and payload of one of others: Serf's own limit */
	POOL_EVENTS_SIZE_MAX = 2 << 20, /* of all that are remembered; more are refused */
	POOL_QUERIES_MAX = 64,		/* our own that run at once */
	POOL_QUEUE_MAX = 4096,		/* or twice the members */
	POOL_RESPONSE_MAX = 1024,
	POOL_KEYS_SEEN_MAX = 256, /* different ones in the answers to a question about keys */
};

/* What strangers can send without end, and is refused (counted in pool.refused). */
enum pool_refusal {
	POOL_REFUSED_MEMBER, /* the table of members is full */
	POOL_REFUSED_SIZE,   /* a name, tags or an event is too long, or fits in no packet */
	POOL_REFUSED_EVENT,  /* the buffer of user events is full */
	POOL_REFUSED_TIME,   /* a Lamport time or an incarnation is out of all proportion */
	POOL_REFUSALS,
};

enum member_status { MEMBER_NONE, MEMBER_ALIVE, MEMBER_LEAVING, MEMBER_LEFT, MEMBER_FAILED };

struct pool_address {
	uint8_t bytes[16];
	uint8_t n; /* 4 or 16: kept as it came, other agents compare the bytes */
	uint16_t port;
};

struct pool_profile {
	int64_t probe_interval_ms, probe_timeout_ms, gossip_interval_ms, sync_interval_ms,
		to_the_dead_ms, stream_timeout_ms;
	uint32_t indirect_checks, retransmit_mult, suspicion_mult, suspicion_max_mult, health_max,
		gossip_nodes;
};

extern const struct pool_profile pool_profile_lan, pool_profile_wan;

/* Who may become a member: Consul's rules. */
enum pool_rules { POOL_RULES_NONE, POOL_RULES_LAN, POOL_RULES_WAN };

/* Copied. */
struct pool_options {
	struct str name, meta; /* meta: serf_tags_put */
	struct pool_address address;
	uint8_t versions[SWIM_VERSIONS];
	struct pool_profile profile;
	int64_t reclaim_ms; /* a dead name may come back elsewhere after it; 0: never */
	int64_t reconnect_timeout_ms, tombstone_ms, leave_delay_ms;
	bool compress, coordinates;
	bool sealed;		/* packets are encrypted: room is left for it */
	bool resolve_conflicts; /* ask the others who owns our name when somebody else claims it */
	enum pool_rules rules;
	const struct cidr *allowed; /* where members may be; none: anywhere */
	uint32_t allowed_count;
	struct str datacenter, id, segment;
	uint64_t seed;
};

struct pool_clocks {
	uint64_t member, event, query; /* the next time to use */
};

enum pool_event_type {
	POOL_START, /* clocks, event_min, query_min, incarnation: as stored, zero if not */
	POOL_TICK,
	POOL_PACKET,  /* from, bytes: one decrypted datagram */
	POOL_REQUEST, /* bytes: a complete message of a stream; update.reply answers it */
	POOL_REPLY,   /* token, bytes or (STR_NONE) nothing came back, text: why */
	POOL_JOIN,    /* address; rejoin: without an intent; the result comes as POOL_NOTE_JOINED */
	POOL_LEAVE,
	POOL_FORCE_LEAVE, /* name, prune */
	POOL_FIRE,	  /* name, payload, coalesce */
	POOL_QUERY,	  /* name, payload, query */
	POOL_KEYS,	  /* key_operation, payload: the key, query.relay_factor */
	POOL_TAGS,	  /* payload: the new meta */
};

enum pool_key_operation { POOL_KEY_LIST, POOL_KEY_INSTALL, POOL_KEY_USE, POOL_KEY_REMOVE };

struct pool_query_options {
	bool ack;
	uint8_t relay_factor;
	int64_t timeout_ms; /* 0: by the size of the pool */
	struct str filters; /* encoded array or STR_NONE */
};

struct pool_event {
	enum pool_event_type type;
	struct mono now;
	struct pool_clocks clocks;
	uint64_t event_min, query_min;
	uint32_t incarnation;
	struct pool_address from;
	struct str bytes, name, payload, text;
	bool rejoin, prune, coalesce;
	uint32_t token;
	enum pool_key_operation key_operation;
	struct pool_query_options query;
};

struct pool_packet {
	struct pool_address to;
	uint32_t at, size; /* in update.bytes */
};

/* Connect, send the bytes, read one message, step POOL_REPLY. */
struct pool_dial {
	struct pool_address to;
	uint32_t token;
	uint32_t at, size;
	int64_t timeout_ms;
};

enum pool_note_type {
	POOL_NOTE_MEMBER_JOIN,
	POOL_NOTE_MEMBER_LEAVE,
	POOL_NOTE_MEMBER_FAILED,
	POOL_NOTE_MEMBER_UPDATE,
	POOL_NOTE_MEMBER_REAP,
	POOL_NOTE_SUSPECT,	/* name; payload: who says so */
	POOL_NOTE_REFUTED,	/* this node had to */
	POOL_NOTE_CONFLICT,	/* name: claimed from another address (payload) */
	POOL_NOTE_REFUSED,	/* name: by the rules; payload: why */
	POOL_NOTE_MERGE_FAILED, /* payload: why */
	POOL_NOTE_EVENT,	/* name, payload, ltime */
	POOL_NOTE_JOINED,	/* token; payload: empty, or why not */
	POOL_NOTE_ACK,		/* id, name: from */
	POOL_NOTE_RESPONSE,	/* id, name: from, payload */
	POOL_NOTE_QUERY_DONE,	/* id */
	POOL_NOTE_KEYS_DONE,	/* id: pool_keys_result */
	POOL_NOTE_LEFT,		/* this node has left; nothing more will be sent */
	POOL_NOTE_NAME_LOST,	/* the others say that our name is somebody else's */
	POOL_NOTE_NAME_TAKEN,	/* our name: claimed from another address (payload) */
};

struct pool_note {
	enum pool_note_type type;
	struct str name, payload;
	uint64_t ltime;
	uint32_t id;
};

struct pool_update {
	int status;  /* FIRE: 0 ST_TOO_LARGE; QUERY, KEYS: 0 ST_FULL ST_TOO_LARGE; FORCE_LEAVE: 0
		       ST_NOT_FOUND; PACKET: 0 or what was wrong with it */
	uint32_t id; /* QUERY, KEYS, JOIN (the token) */
	struct str bytes;
	const struct pool_packet *packets;
	size_t packets_count;
	const struct pool_dial *dials;
	size_t dials_count;
	const struct pool_note *notes;
	size_t notes_count;
	struct str reply; /* REQUEST: send it and close; empty: close */
	bool members_changed, clocks_changed, keyring_changed;
};

struct pool_suspicion {
	struct list link;
	struct pool_node *node;
	struct mono start, deadline;
	int64_t min_ms, max_ms;
	uint32_t wanted, count; /* confirmations */
	char *from[8];		/* the first accuser, then those who confirm */
	uint32_t from_count;
};

struct pool_node {
	struct map_node entry;
	struct str name;
	struct str meta; /* owned */
	struct pool_address address;
	uint8_t versions[SWIM_VERSIONS];
	uint8_t state;	/* enum swim_state */
	uint8_t status; /* enum member_status */
	uint32_t incarnation;
	uint32_t slot; /* in the ring; POOL_NO_SLOT: SWIM does not know it (any more) */
	struct mono state_at, leave_at;
	uint64_t status_time; /* of the newest intent about it */
	bool leave_meant;     /* which was one to leave */
	bool pruning;	      /* to be erased at leave_at + the time that a leave takes */
	struct pool_suspicion *suspicion;
	struct broadcast *broadcast;
	struct vivaldi_latencies *latencies;
	struct vivaldi_coordinate *coordinate; /* the newest it sent */
};

enum { POOL_NO_SLOT = UINT32_MAX };

/* What was seen of one Lamport time: of events the content, of queries the IDs. */
struct pool_slot {
	uint64_t ltime;
	uint32_t count;
	struct str *seen; /* both owned: an encoded event, or four bytes */
};

struct pool_slots {
	struct pool_slot slots[SERF_SLOTS];
	size_t size; /* of all that was seen */
};

enum pool_queue_name { QUEUE_SWIM, QUEUE_INTENT, QUEUE_QUERY, QUEUE_EVENT, POOL_QUEUES };

struct pool_probe {
	struct pool_node *node; /* NULL: none runs */
	uint32_t incarnation;	/* that is probed: a later one has given no cause for suspicion */
	uint32_t seq, token;
	struct mono sent_at, timeout_at, end_at;
	bool indirect; /* the timeout has passed */
	bool stream_acked, due;
	uint32_t nacks_wanted, nacks;
};

enum pool_leave_stage { LEAVE_NO, LEAVE_INTENT, LEAVE_DEAD, LEAVE_DELAY, LEAVE_DONE };

struct pool_keys_result {
	uint32_t nodes, responses, errors;
	struct map messages;	  /* struct pool_count by node: text */
	struct map keys, primary; /* struct pool_count by base64 */
};

struct pool_count {
	struct map_node entry;
	uint32_t count;
	struct str key, text; /* owned */
};

struct pool {
	struct pool_options options;
	struct arena names; /* what options borrow, but for the tags */
	struct buf meta;
	struct rng rng;
	struct mono now;
	struct map nodes;
	struct pool_node *self;
	struct pool_node **ring;
	uint32_t ring_count, ring_size, ring_at;
	uint32_t members_count;		    /* with a status */
	uint32_t counts[MEMBER_FAILED + 1]; /* by status */
	uint32_t incarnation, seq, next_token;
	uint32_t health;
	uint64_t version; /* grows with every change that members show */
	struct queue queues[POOL_QUEUES];
	struct pool_probe probe;
	struct list relays, suspicions, dials, queries, intents;
	struct map intents_by_name;
	struct mono probe_at, gossip_at, gossiped_at, sync_at, reap_at, reconnect_at, suspicion_at,
		leave_at, prune_at;
	struct pool_clocks clocks;
	uint64_t event_min, query_min;
	struct pool_slots events, queries_seen;
	enum pool_leave_stage leave;
	struct broadcast *leaving; /* what the stage waits for */
	struct keyring keyring;
	struct vivaldi vivaldi;
	struct pool_keys_result keys;
	bool started;
	uint32_t packets_filled;      /* whose turn it is (send.c) */
	struct pool_address claimant; /* of our name, as last told; n 0: none */
	struct mono claimed_at;
	struct mono corrections_at;
	uint32_t corrections;					       /* in this second (swim.c) */
	uint64_t suspects_seen, refuted_count, refused[POOL_REFUSALS]; /* counters */
	/* the update that is being made */
	struct arena arena;
	struct buf out;
	struct pool_packet *packets;
	struct pool_dial *dials_out;
	struct pool_note *notes;
	size_t packets_count, packets_size, dials_count, dials_size, notes_count, notes_size;
	struct buf reply;
	struct pool_update *update;
};

void pool_init(struct pool *p, const struct pool_options *options);
void pool_fini(struct pool *p);
void pool_step(struct pool *p, const struct pool_event *event, struct pool_update *update);
struct mono pool_deadline(const struct pool *p);
void pool_check(const struct pool *p);
uint64_t pool_digest(const struct pool *p);

const struct pool_node *pool_find(const struct pool *p, struct str name);
size_t pool_count(const struct pool *p, enum member_status status);
static inline struct str pool_bytes(const struct pool_update *u, uint32_t at, uint32_t size)
{
	return str_n(u->bytes.p + at, size);
}

bool pool_address_eq(const struct pool_address *a, const struct pool_address *b);
/* The same place, in whichever form: 1.2.3.4 is also ::ffff:1.2.3.4. */
bool pool_address_same(const struct pool_address *a, const struct pool_address *b);
void pool_address_render(const struct pool_address *a, struct buf *out); /* without the port */

#define pool_for_each(node, following, p) map_for_each(node, following, &(p)->nodes, entry)

#endif
