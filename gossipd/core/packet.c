/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of packet.h, from the outside inwards.
 */
#include "gossipd/core/packet.h"

#include <zlib.h>

#include "gossipd/core/lzw.h"

enum { CRC_HEADER = 5, DEPTH_MAX = 4, NODES_MAX = 1 << 20 };

uint32_t packet_crc32(struct str bytes)
{
	return (uint32_t)crc32_z(0, (const unsigned char *)bytes.p, bytes.n);
}

/* -------- datagrams, inwards -------- */

struct walk {
	packet_message_fn on_message;
	void *arg;
	size_t inflated;
};

static int unpack(struct str body, struct buf *out, size_t size_max)
{
	struct swim_compress m;

	if (swim_get(body, &swim_compress_schema, &m) || m.algorithm != 0) {
		return ST_INVALID;
	}
	return lzw_decode(out, m.bytes, size_max);
}

static int walk_message(struct walk *w, struct str message, int depth);

static int walk_compound(struct walk *w, struct str body, int depth)
{
	struct cursor sizes = cursor_of(body), parts;
	uint8_t count = cursor_u8(&sizes);
	int r = 0, part_r;

	parts = sizes;
	cursor_take(&parts, 2 * (size_t)count);
	for (unsigned i = 0; i < count; i++) {
		uint16_t size = cursor_u16be(&sizes);
		struct str part = cursor_take(&parts, size);

		if (parts.bad) {
			return ST_TRUNCATED;
		}
		part_r = walk_message(w, part, depth + 1);
		r = part_r ? part_r : r;
	}
	return r;
}

static int walk_message(struct walk *w, struct str message, int depth)
{
	OWN_EMBEDDED(buf_fini) struct buf room = { 0 };
	struct str body = str_skip(message, 1);
	uint8_t type;
	int r;

	if (!message.n || depth > DEPTH_MAX) {
		return ST_INVALID;
	}
	type = (uint8_t)message.p[0];
	if (type == SWIM_COMPOUND) {
		return walk_compound(w, body, depth);
	}
	if (type == SWIM_COMPRESS) {
		r = unpack(body, &room, PACKET_INFLATED_MAX - w->inflated);
		w->inflated += room.n;
		return r ? r : walk_message(w, buf_str(&room), depth + 1);
	}
	w->on_message(w->arg, type, body);
	return 0;
}

int packet_walk(struct str datagram, packet_message_fn on_message, void *arg)
{
	struct walk w = { on_message, arg, 0 };
	struct cursor c = cursor_of(datagram);

	if (datagram.n >= CRC_HEADER && cursor_u8(&c) == SWIM_CRC) {
		uint32_t crc = cursor_u32be(&c);

		datagram = cursor_rest(&c);
		if (crc != packet_crc32(datagram)) {
			return ST_CORRUPT;
		}
	}
	return walk_message(&w, datagram, 0);
}

/* -------- datagrams, outwards -------- */

static void compress_put(struct buf *out, struct str plain)
{
	OWN_EMBEDDED(buf_fini) struct buf packed = { 0 };
	struct swim_compress m = { .algorithm = 0 };

	lzw_encode(&packed, plain);
	m.bytes = buf_str(&packed);
	swim_put(out, SWIM_COMPRESS, &swim_compress_schema, &m);
}

static void compound_put(struct buf *out, const struct str *messages, size_t count)
{
	must(count > 0 && count <= PACKET_PARTS_MAX);
	if (count > 1) {
		buf_put_u8(out, SWIM_COMPOUND);
		buf_put_u8(out, (uint8_t)count);
		for (size_t i = 0; i < count; i++) {
			must(messages[i].n <= UINT16_MAX);
			buf_put_u16be(out, (uint16_t)messages[i].n);
		}
	}
	for (size_t i = 0; i < count; i++) {
		buf_put_str(out, messages[i]);
	}
}

void packet_put(struct buf *out, const struct str *messages, size_t count, struct packet_form form)
{
	OWN_EMBEDDED(buf_fini) struct buf plain = { 0 }, packed = { 0 };
	struct str inner;

	compound_put(&plain, messages, count);
	inner = buf_str(&plain);
	if (form.compress) {
		compress_put(&packed, inner);
		inner = packed.n < inner.n ? buf_str(&packed) : inner;
	}
	if (form.crc) {
		buf_put_u8(out, SWIM_CRC);
		buf_put_u32be(out, packet_crc32(inner));
	}
	buf_put_str(out, inner);
}

/* -------- streams -------- */

void stream_put(struct buf *out, struct str message, bool compress)
{
	if (compress) {
		compress_put(out, message);
	} else {
		buf_put_str(out, message);
	}
}

/* Short is not wrong as long as more may come: a reader that ran out of bytes cannot tell. */
static int scan_begin(struct stream_scan *s, struct str bytes)
{
	struct cursor c = cursor_of(bytes), copy;
	uint8_t type = cursor_u8(&c);

	copy = c;
	unpack_skip(&c);
	if (c.bad) {
		return ST_AGAIN;
	}
	if (type == SWIM_PUSH_PULL) {
		struct swim_push_pull m;

		unpack_struct(&copy, &swim_push_pull_schema, &m);
		s->nodes = m.nodes;
		s->tail = m.user_state_size;
	} else if (type == SWIM_USER) {
		struct swim_user_header m;

		unpack_struct(&copy, &swim_user_header_schema, &m);
		s->tail = m.size;
	}
	s->at = bytes.n - cursor_left(&c);
	s->begun = true;
	return copy.bad || s->nodes > NODES_MAX || s->tail > STREAM_SIZE_MAX ? ST_INVALID : 0;
}

int stream_scan(struct stream_scan *s, struct str bytes, size_t *size_out)
{
	int r;

	if (bytes.n > STREAM_SIZE_MAX) {
		return ST_INVALID;
	}
	if (!bytes.n) {
		return ST_AGAIN;
	}
	if (!s->begun) {
		r = scan_begin(s, bytes);
		if (r) {
			return r;
		}
	}
	while (s->nodes) {
		struct cursor c = cursor_of(str_skip(bytes, s->at));

		unpack_skip(&c);
		if (c.bad) {
			return ST_AGAIN;
		}
		s->at = bytes.n - cursor_left(&c);
		s->nodes--;
	}
	*size_out = s->at + s->tail;
	return bytes.n - s->at < s->tail ? ST_AGAIN : 0;
}

int stream_open(struct str message, struct buf *room, uint8_t *type_out, struct str *body_out)
{
	int r;

	if (message.n && (uint8_t)message.p[0] == SWIM_COMPRESS) {
		r = unpack(str_skip(message, 1), room, STREAM_SIZE_MAX);
		if (r) {
			return r == ST_TOO_LARGE ? r : ST_INVALID;
		}
		message = buf_str(room);
	}
	if (!message.n) {
		return ST_INVALID;
	}
	*type_out = (uint8_t)message.p[0];
	*body_out = str_skip(message, 1);
	return 0;
}

/* -------- labels -------- */

void packet_label_put(struct buf *out, struct str label)
{
	must(label.n <= LABEL_MAX);
	if (label.n) {
		buf_put_u8(out, SWIM_LABEL);
		buf_put_u8(out, (uint8_t)label.n);
		buf_put_str(out, label);
	}
}

int packet_label_cut(struct str *bytes, struct str *label_out)
{
	struct cursor c = cursor_of(*bytes);

	*label_out = STR("");
	if (!bytes->n || (uint8_t)bytes->p[0] != SWIM_LABEL) {
		return 0;
	}
	cursor_u8(&c);
	*label_out = cursor_take(&c, cursor_u8(&c));
	if (c.bad) {
		return ST_TRUNCATED;
	}
	if (!label_out->n) {
		return ST_INVALID;
	}
	*bytes = cursor_rest(&c);
	return 0;
}
