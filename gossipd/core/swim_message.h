/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of memberlist, Serf's lower layer: who is alive. A message is one byte of enum
 * swim_type and a MessagePack map; the fields are those of the protocol. Decoded strings are
 * borrowed.
 */
#ifndef MUSTER_GOSSIPD_CORE_SWIM_MESSAGE_H
#define MUSTER_GOSSIPD_CORE_SWIM_MESSAGE_H

#include "gossipd/core/pack.h"

enum swim_type {
	SWIM_PING,
	SWIM_INDIRECT_PING,
	SWIM_ACK,
	SWIM_SUSPECT,
	SWIM_ALIVE,
	SWIM_DEAD,
	SWIM_PUSH_PULL,
	SWIM_COMPOUND,
	SWIM_USER,
	SWIM_COMPRESS,
	SWIM_ENCRYPT,
	SWIM_NACK,
	SWIM_CRC,
	SWIM_ERR,
	SWIM_LABEL = 244,
};

enum { SWIM_VERSIONS = 6 }; /* protocol min, max, current, delegate min, max, current */

enum swim_state { SWIM_STATE_ALIVE, SWIM_STATE_SUSPECT, SWIM_STATE_DEAD, SWIM_STATE_LEFT };

/* PING, and INDIRECT_PING (target, port, nack). */
struct swim_ping {
	uint32_t seq;
	struct str node, target, source_addr, source_node;
	uint16_t port, source_port;
	bool nack;
};

struct swim_ack {
	uint32_t seq;
	struct str payload;
};

struct swim_nack {
	uint32_t seq;
};

/* SUSPECT and DEAD. */
struct swim_accusation {
	uint32_t incarnation;
	struct str node, from;
};

struct swim_alive {
	uint32_t incarnation;
	struct str node, addr, meta, vsn;
	uint16_t port;
};

struct swim_push_pull {
	bool join;
	uint32_t nodes, user_state_size;
};

struct swim_node_state {
	struct swim_alive alive; /* node: "Name" */
	uint8_t state;		 /* enum swim_state */
};

struct swim_compress {
	uint8_t algorithm; /* 0: LZW */
	struct str bytes;
};

struct swim_user_header {
	uint32_t size;
};

struct swim_err {
	struct str text;
};

extern const struct pack_schema swim_ping_schema, swim_indirect_ping_schema, swim_ack_schema,
	swim_nack_schema, swim_accusation_schema, swim_alive_schema, swim_push_pull_schema,
	swim_node_state_schema, swim_compress_schema, swim_user_header_schema, swim_err_schema;

/* The type byte and the body. */
void swim_put(struct buf *out, enum swim_type type, const struct pack_schema *schema,
	const void *message);
/* The body alone; bytes behind it are ignored. ST_INVALID */
int swim_get(struct str body, const struct pack_schema *schema, void *message);

#endif
