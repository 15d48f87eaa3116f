/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of Serf, the upper layer: intents, user events, queries. They travel as memberlist's
 * user messages (one byte of enum serf_type and a MessagePack map) and as the user state of a
 * push/pull. Decoded strings are borrowed; fields of several values are kept as their bytes
 * (PACK_ANY) and read with the unpack functions.
 */
#ifndef MUSTER_GOSSIPD_CORE_SERF_MESSAGE_H
#define MUSTER_GOSSIPD_CORE_SERF_MESSAGE_H

#include "gossipd/core/swim_message.h"

enum serf_type {
	SERF_LEAVE,
	SERF_JOIN,
	SERF_PUSH_PULL,
	SERF_EVENT,
	SERF_QUERY,
	SERF_RESPONSE,
	SERF_CONFLICT,
	SERF_KEY_REQUEST,
	SERF_KEY_RESPONSE,
	SERF_RELAY,
};

enum {
	SERF_FLAG_ACK = 1,	    /* of a query: asked for; of a response: this is one */
	SERF_FLAG_NO_BROADCAST = 2, /* of a query */
	SERF_FILTER_NODES = 0,
	SERF_FILTER_TAG = 1,
	SERF_SLOTS = 512, /* of the buffers of events and queries */
	SERF_TAGS_MAX = 64,
};

/* LEAVE (with prune) and JOIN. */
struct serf_intent {
	uint64_t ltime;
	struct str node;
	bool prune;
};

struct serf_state {
	uint64_t ltime, event_ltime, query_ltime;
	struct str status_ltimes; /* map of name and time */
	struct str left_members;  /* array of names */
	struct str events;	  /* array of nil or struct serf_event_slot */
};

struct serf_event_slot {
	uint64_t ltime;
	struct str events; /* array of struct serf_event, name and payload */
};

struct serf_event {
	uint64_t ltime;
	struct str name, payload;
	bool coalesce;
};

struct serf_query {
	uint64_t ltime;
	uint32_t id, flags;
	struct str addr, source_node, filters, name, payload;
	uint16_t port;
	uint8_t relay_factor;
	int64_t timeout_ns;
};

struct serf_response {
	uint64_t ltime;
	uint32_t id, flags;
	struct str from, payload;
};

struct serf_tag_filter {
	struct str expression, tag;
};

/* What a node answers that is asked for its record of a name. */
struct serf_conflict {
	struct str name, addr, tags; /* tags: a map */
	uint16_t port;
	uint8_t status, protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max,
		delegate_cur;
};

struct serf_key_request {
	struct str key;
};

struct serf_key_response {
	bool result;
	struct str message, keys /* array or nil */, primary_key;
};

struct serf_relay {
	struct str dest_addr /* map, struct serf_relay_addr */, dest_name;
};

struct serf_relay_addr {
	struct str ip, zone;
	uint16_t port;
};

extern const struct pack_schema serf_leave_schema, serf_join_schema, serf_state_schema,
	serf_event_slot_schema, serf_event_schema, serf_slot_event_schema, serf_query_schema,
	serf_response_schema, serf_tag_filter_schema, serf_conflict_schema, serf_key_request_schema,
	serf_key_response_schema, serf_relay_schema, serf_relay_addr_schema;

void serf_put(struct buf *out, enum serf_type type, const struct pack_schema *schema,
	const void *message);

/*
 * Tags in a node's meta: ff and a map, or one old "role". Reading gives at most SERF_TAGS_MAX pairs
 * in the order of the bytes; their strings are borrowed. ST_INVALID: neither.
 */
struct pair;
void serf_tags_put(struct buf *out, const struct pair *tags, uint32_t count);
int serf_tags_get(struct str meta, struct pair *out, uint32_t *count_out);

#endif
