/* SPDX-License-Identifier: Apache-2.0 */
#include "common/sys/ipc_frame.h"

void frame_begin(struct buf *out)
{
	buf_put_u32(out, FRAME_MAGIC);
}

void frame_put(struct buf *out, const struct frame_part *part)
{
	buf_put_u64(out, part->id);
	buf_put_u16(out, part->message);
	buf_put_u16(out, part->status);
	buf_put_u32(out, (uint32_t)part->payload.n);
	buf_put_str(out, part->payload);
}

int frame_open(struct cursor *c)
{
	return cursor_u32(c) == FRAME_MAGIC ? 0 : ST_INVALID;
}

int frame_next(struct cursor *c, struct frame_part *out)
{
	if (cursor_left(c) == 0) {
		return ST_AGAIN;
	}
	out->id = cursor_u64(c);
	out->message = cursor_u16(c);
	out->status = cursor_u16(c);
	out->payload = cursor_take(c, cursor_u32(c));
	return c->bad ? ST_INVALID : 0;
}
