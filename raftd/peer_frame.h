/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes between servers: a stream of frames, each with a checksum.
 *
 *     frame := u32 size, u32 crc32c, body         size and checksum are those of the body
 *     body  := u16 number, encoded message        (peer_frame.def)
 *
 * What does not check ends the connection: behind a broken frame nothing can be found again.
 */
#ifndef MUSTER_RAFTD_PEER_FRAME_H
#define MUSTER_RAFTD_PEER_FRAME_H

#include "raftd/core/message.h"

enum {
	PEER_MAGIC = 0x7273756d, /* "musr" */
	PEER_VERSION = 1,
	PEER_FRAME_HEADER = 8,
	PEER_FRAME_MAX = 9 << 20,	/* body; a command of LOG_BODY_MAX and what is around it */
	PEER_FRAME_STRANGER_MAX = 8192, /* of who has not said hello yet */
	PEER_KNOWN_MAX = 16,		/* servers named in a hello */
};

#define TYPE(type) WIRE_DECLARE(type)
#define FRAME(number, type)
#include "raftd/peer_frame.def"
#undef FRAME
#undef TYPE

enum peer_frame_number {
#define TYPE(type)
#define FRAME(number, type) FRAME_##type = number,
#include "raftd/peer_frame.def"
#undef FRAME
#undef TYPE
};

struct peer_frame {
	uint16_t number;
	struct str payload; /* borrowed from the input */
};

/* Takes the next frame off the front of *input. ST_AGAIN: not all of it is there yet, *missing_out
 * bytes at least are to come; ST_TOO_LARGE: its body is over body_max; ST_INVALID: it has none;
 * ST_CORRUPT: the checksum does not hold. */
int peer_frame_next(
	struct str *input, size_t body_max, struct peer_frame *out, size_t *missing_out);

/* Between the two the message is encoded into the same buf. */
size_t peer_frame_begin(struct buf *out, uint16_t number);
void peer_frame_end(struct buf *out, size_t begun);

/* Typed:  PEER_FRAME_PUT(out, peer_chunk, &chunk) */
#define PEER_FRAME_PUT(out, type, message_pointer)                    \
	do {                                                          \
		struct buf *out_ = (out);                             \
		size_t begun_ = peer_frame_begin(out_, FRAME_##type); \
                                                                      \
		type##_encode(out_, (message_pointer));               \
		peer_frame_end(out_, begun_);                         \
	} while (0)

/* A message that the core may see: of a known type, with entries that the log can hold. What is
 * said in it is the core's to judge. */
bool peer_message_sound(const struct raft_message *m);
/* Of a hello: magic, lengths and counts. */
bool peer_hello_sound(const struct peer_hello *h);

#endif
