/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: what one nanomsg message holds. Private to ipc_server.c and ipc_client.c (and tests).
 *
 *     frame := u32 magic, part*
 *     part  := u64 request id, u16 message, u16 status, u32 size, payload
 *
 * status: 0 in requests; in answers 0 or the refusal (enum status).
 *
 * nanomsg silently drops an answer for a peer whose way is full (nn_xrep_send). So the server never
 * has more on the way than surely fits: now and then it puts a part FRAME_MARK into a frame, whose
 * id the client sends back at once in a part FRAME_SEEN; what was sent up to there has arrived.
 */
#ifndef MUSTER_COMMON_SYS_IPC_FRAME_H
#define MUSTER_COMMON_SYS_IPC_FRAME_H

#include "common/base/buf.h"
#include "common/base/cursor.h"

enum {
	FRAME_MAGIC = 0x3172736d /* "msr1" */,
	FRAME_HEADER_SIZE = 4,
	FRAME_PART_SIZE = 16,
	FRAME_SEND_SOFT = 256 * 1024,
	FRAME_MARK = 1, /* as message numbers, which begin at 0x101 */
	FRAME_SEEN = 2
};

struct frame_part {
	uint64_t id;
	uint16_t message;
	uint16_t status;
	struct str payload;
};

void frame_begin(struct buf *out);
void frame_put(struct buf *out, const struct frame_part *part);
/* ST_INVALID for a foreign frame. */
int frame_open(struct cursor *c);
/* ST_AGAIN at the proper end, ST_INVALID for a broken part. */
int frame_next(struct cursor *c, struct frame_part *out);

#endif
