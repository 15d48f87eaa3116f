/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers around messages: [label] [encryption] [crc] [compress] [compound]. The label and the
 * encryption are the business of whoever has the socket and the cipher (packet_label_cut before
 * opening, packet_label_put around what was sealed); the rest is here. All is pure.
 */
#ifndef MUSTER_GOSSIPD_CORE_PACKET_H
#define MUSTER_GOSSIPD_CORE_PACKET_H

#include "gossipd/core/swim_message.h"

enum {
	PACKET_SIZE_MAX = 1400,	       /* of what is assembled, before CRC and compression */
	PACKET_PARTS_MAX = 255,	       /* of one compound */
	PACKET_INFLATED_MAX = 1 << 20, /* of one datagram, decompressed */
	STREAM_SIZE_MAX = 20 << 20,    /* of one stream's message, as it comes and decompressed */
	LABEL_MAX = 255,
};

uint32_t packet_crc32(struct str bytes); /* IEEE 802.3 */

/* -------- datagrams -------- */

/* One message of a datagram; body without the type byte, borrowed for the call. */
typedef void (*packet_message_fn)(void *arg, uint8_t type, struct str body);
/*
 * Calls on_message for each message. 0; ST_CORRUPT: the CRC does not fit; ST_TRUNCATED: a compound
 * ends early (its whole parts were given); ST_INVALID: wrong or nested too deep; ST_TOO_LARGE.
 */
int packet_walk(struct str datagram, packet_message_fn on_message, void *arg);

struct packet_form {
	bool compress; /* where that makes it smaller */
	bool crc;
};

/* Messages (each with its type byte) as one datagram: bare, or a compound. count: at most
 * PACKET_PARTS_MAX. */
void packet_put(struct buf *out, const struct str *messages, size_t count, struct packet_form form);

/* -------- streams -------- */

/* Wraps a whole stream message; compressed always when asked for. */
void stream_put(struct buf *out, struct str message, bool compress);

/*
 * Is the plain message at the front of what was read complete? Streams have no length: the end is
 * found by reading. Zero-initialise the scan, call again when more has come; the bytes before stay
 * the same. 0: complete, the first *size_out bytes; ST_AGAIN: more is needed; ST_INVALID: never.
 */
struct stream_scan {
	bool begun;
	uint32_t nodes; /* states still to come */
	size_t at;	/* of the first one */
	size_t tail;	/* raw bytes at the end */
};
int stream_scan(struct stream_scan *s, struct str bytes, size_t *size_out);

/* A complete message without its compression: type and body. *room keeps what was inflated. 0 or
 * ST_INVALID, ST_TOO_LARGE. */
int stream_open(struct str message, struct buf *room, uint8_t *type_out, struct str *body_out);

/* -------- labels -------- */

void packet_label_put(struct buf *out, struct str label); /* nothing for an empty one */
/* Cuts the label off the front of *bytes; "" where there is none. ST_TRUNCATED, ST_INVALID (empty)
 */
int packet_label_cut(struct str *bytes, struct str *label_out);

#endif
