/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between servers, and what of their content can be judged without knowing more.
 */
#include "raftd/peer_frame.h"

#include "common/base/hash.h"
#include "common/msg/wire_code.h"
#include "raftd/core/raft.h"
#include "raftd/log.h"

#define TYPE(type) WIRE_DEFINE(type)
#define FRAME(number, type)
#include "raftd/peer_frame.def"
#undef FRAME
#undef TYPE

enum { NAME_MAX_SIZE = 256 };

int peer_frame_next(struct str *input, size_t body_max, struct peer_frame *out, size_t *missing_out)
{
	struct cursor c = cursor_of(*input);
	uint32_t size = cursor_u32(&c), sum = cursor_u32(&c);
	struct str body;

	*out = (struct peer_frame) { 0 };
	*missing_out = 0;
	if (c.bad) {
		*missing_out = PEER_FRAME_HEADER - input->n;
		return ST_AGAIN;
	}
	if (size > body_max) {
		return ST_TOO_LARGE;
	}
	if (size < sizeof(out->number)) {
		return ST_INVALID;
	}
	if (cursor_left(&c) < size) {
		*missing_out = size - cursor_left(&c);
		return ST_AGAIN;
	}
	body = cursor_take(&c, size);
	if (crc32c(0, body.p, body.n) != sum) {
		return ST_CORRUPT;
	}
	*input = cursor_rest(&c);
	c = cursor_of(body);
	out->number = cursor_u16(&c);
	out->payload = cursor_rest(&c);
	return 0;
}

size_t peer_frame_begin(struct buf *out, uint16_t number)
{
	size_t begun = out->n;

	buf_put_u64(out, 0);
	buf_put_u16(out, number);
	return begun;
}

void peer_frame_end(struct buf *out, size_t begun)
{
	size_t size = out->n - begun - PEER_FRAME_HEADER;
	uint32_t header[2] = { (uint32_t)size,
		crc32c(0, out->p + begun + PEER_FRAME_HEADER, size) };

	must(size <= PEER_FRAME_MAX);
	memcpy(out->p + begun, header, sizeof(header));
}

static bool entry_sound(const struct raft_log_entry *e)
{
	return e->type >= RAFT_COMMAND && e->type <= RAFT_CONFIGURATION &&
	       e->body.n <= LOG_BODY_MAX;
}

bool peer_message_sound(const struct raft_message *m)
{
	if (m->type == 0 || m->type >= RAFT_MESSAGE_TYPES) {
		return false;
	}
	if (m->entries.count && (m->type != RAFT_APPEND || m->index > INT64_MAX)) {
		return false;
	}
	for (uint32_t i = 0; i < m->entries.count; i++) {
		if (!entry_sound(&m->entries.items[i])) {
			return false;
		}
	}
	return true;
}

static bool address_sound(struct str s)
{
	return s.n < RAFT_ADDRESS_SIZE && str_find(s, '\0') < 0;
}

static bool facts_sound(const struct peer_facts *f)
{
	return !uuid_is_zero(&f->id) && f->address.n && address_sound(f->address) &&
	       f->node.n < NAME_MAX_SIZE && f->version.n < NAME_MAX_SIZE &&
	       f->datacenter.n < NAME_MAX_SIZE;
}

bool peer_hello_sound(const struct peer_hello *h)
{
	if (h->magic != PEER_MAGIC || !facts_sound(&h->self) || !address_sound(h->leader_address) ||
		h->servers.count > PEER_KNOWN_MAX) {
		return false;
	}
	for (uint32_t i = 0; i < h->servers.count; i++) {
		if (!address_sound(h->servers.items[i].address)) {
			return false;
		}
	}
	return true;
}
