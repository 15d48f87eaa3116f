/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of packet.h, from the outside inwards.
 */
#include "gossipd/core/packet.h"

#include "gossipd/core/lzw.h"

enum { CRC_HEADER = 5, DEPTH_MAX = 4, NODES_MAX = 1 << 20 };

/* What eight bits do to the checksum. */
static const uint32_t crc_table[256] = {
	0x00000000,
	0x77073096,
	0xee0e612c,
	0x990951ba,
	0x076dc419,
	0x706af48f,
	0xe963a535,
	0x9e6495a3,
	0x0edb8832,
	0x79dcb8a4,
	0xe0d5e91e,
	0x97d2d988,
	0x09b64c2b,
	0x7eb17cbd,
	0xe7b82d07,
	0x90bf1d91,
	0x1db71064,
	0x6ab020f2,
	0xf3b97148,
	0x84be41de,
	0x1adad47d,
	0x6ddde4eb,
	0xf4d4b551,
	0x83d385c7,
	0x136c9856,
	0x646ba8c0,
	0xfd62f97a,
	0x8a65c9ec,
	0x14015c4f,
	0x63066cd9,
	0xfa0f3d63,
	0x8d080df5,
	0x3b6e20c8,
	0x4c69105e,
	0xd56041e4,
	0xa2677172,
	0x3c03e4d1,
	0x4b04d447,
	0xd20d85fd,
	0xa50ab56b,
	0x35b5a8fa,
	0x42b2986c,
	0xdbbbc9d6,
	0xacbcf940,
	0x32d86ce3,
	0x45df5c75,
	0xdcd60dcf,
	0xabd13d59,
	0x26d930ac,
	0x51de003a,
	0xc8d75180,
	0xbfd06116,
	0x21b4f4b5,
	0x56b3c423,
	0xcfba9599,
	0xb8bda50f,
	0x2802b89e,
	0x5f058808,
	0xc60cd9b2,
	0xb10be924,
	0x2f6f7c87,
	0x58684c11,
	0xc1611dab,
	0xb6662d3d,
	0x76dc4190,
	0x01db7106,
	0x98d220bc,
	0xefd5102a,
	0x71b18589,
	0x06b6b51f,
	0x9fbfe4a5,
	0xe8b8d433,
	0x7807c9a2,
	0x0f00f934,
	0x9609a88e,
	0xe10e9818,
	0x7f6a0dbb,
	0x086d3d2d,
	0x91646c97,
	0xe6635c01,
	0x6b6b51f4,
	0x1c6c6162,
	0x856530d8,
	0xf262004e,
	0x6c0695ed,
	0x1b01a57b,
	0x8208f4c1,
	0xf50fc457,
	0x65b0d9c6,
	0x12b7e950,
	0x8bbeb8ea,
	0xfcb9887c,
	0x62dd1ddf,
	0x15da2d49,
	0x8cd37cf3,
	0xfbd44c65,
	0x4db26158,
	0x3ab551ce,
	0xa3bc0074,
	0xd4bb30e2,
	0x4adfa541,
	0x3dd895d7,
	0xa4d1c46d,
	0xd3d6f4fb,
	0x4369e96a,
	0x346ed9fc,
	0xad678846,
	0xda60b8d0,
	0x44042d73,
	0x33031de5,
	0xaa0a4c5f,
	0xdd0d7cc9,
	0x5005713c,
	0x270241aa,
	0xbe0b1010,
	0xc90c2086,
	0x5768b525,
	0x206f85b3,
	0xb966d409,
	0xce61e49f,
	0x5edef90e,
	0x29d9c998,
	0xb0d09822,
	0xc7d7a8b4,
	0x59b33d17,
	0x2eb40d81,
	0xb7bd5c3b,
	0xc0ba6cad,
	0xedb88320,
	0x9abfb3b6,
	0x03b6e20c,
	0x74b1d29a,
	0xead54739,
	0x9dd277af,
	0x04db2615,
	0x73dc1683,
	0xe3630b12,
	0x94643b84,
	0x0d6d6a3e,
	0x7a6a5aa8,
	0xe40ecf0b,
	0x9309ff9d,
	0x0a00ae27,
	0x7d079eb1,
	0xf00f9344,
	0x8708a3d2,
	0x1e01f268,
	0x6906c2fe,
	0xf762575d,
	0x806567cb,
	0x196c3671,
	0x6e6b06e7,
	0xfed41b76,
	0x89d32be0,
	0x10da7a5a,
	0x67dd4acc,
	0xf9b9df6f,
	0x8ebeeff9,
	0x17b7be43,
	0x60b08ed5,
	0xd6d6a3e8,
	0xa1d1937e,
	0x38d8c2c4,
	0x4fdff252,
	0xd1bb67f1,
	0xa6bc5767,
	0x3fb506dd,
	0x48b2364b,
	0xd80d2bda,
	0xaf0a1b4c,
	0x36034af6,
	0x41047a60,
	0xdf60efc3,
	0xa867df55,
	0x316e8eef,
	0x4669be79,
	0xcb61b38c,
	0xbc66831a,
	0x256fd2a0,
	0x5268e236,
	0xcc0c7795,
	0xbb0b4703,
	0x220216b9,
	0x5505262f,
	0xc5ba3bbe,
	0xb2bd0b28,
	0x2bb45a92,
	0x5cb36a04,
	0xc2d7ffa7,
	0xb5d0cf31,
	0x2cd99e8b,
	0x5bdeae1d,
	0x9b64c2b0,
	0xec63f226,
	0x756aa39c,
	0x026d930a,
	0x9c0906a9,
	0xeb0e363f,
	0x72076785,
	0x05005713,
	0x95bf4a82,
	0xe2b87a14,
	0x7bb12bae,
	0x0cb61b38,
	0x92d28e9b,
	0xe5d5be0d,
	0x7cdcefb7,
	0x0bdbdf21,
	0x86d3d2d4,
	0xf1d4e242,
	0x68ddb3f8,
	0x1fda836e,
	0x81be16cd,
	0xf6b9265b,
	0x6fb077e1,
	0x18b74777,
	0x88085ae6,
	0xff0f6a70,
	0x66063bca,
	0x11010b5c,
	0x8f659eff,
	0xf862ae69,
	0x616bffd3,
	0x166ccf45,
	0xa00ae278,
	0xd70dd2ee,
	0x4e048354,
	0x3903b3c2,
	0xa7672661,
	0xd06016f7,
	0x4969474d,
	0x3e6e77db,
	0xaed16a4a,
	0xd9d65adc,
	0x40df0b66,
	0x37d83bf0,
	0xa9bcae53,
	0xdebb9ec5,
	0x47b2cf7f,
	0x30b5ffe9,
	0xbdbdf21c,
	0xcabac28a,
	0x53b39330,
	0x24b4a3a6,
	0xbad03605,
	0xcdd70693,
	0x54de5729,
	0x23d967bf,
	0xb3667a2e,
	0xc4614ab8,
	0x5d681b02,
	0x2a6f2b94,
	0xb40bbe37,
	0xc30c8ea1,
	0x5a05df1b,
	0x2d02ef8d,
};

uint32_t packet_crc32(struct str bytes)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < bytes.n; i++) {
		crc = crc >> 8 ^ crc_table[(crc ^ (uint8_t)bytes.p[i]) & 255];
	}
	return ~crc;
}

/* -------- datagrams, inwards -------- */

struct walk {
	packet_message_fn on_message;
	void *arg;
	size_t inflated;
};

static int inflate(struct str body, struct buf *out, size_t size_max)
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
		r = inflate(body, &room, PACKET_INFLATED_MAX - w->inflated);
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
		r = inflate(str_skip(message, 1), room, STREAM_SIZE_MAX);
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
