/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of swim_message.h: keys in the order in which they are written.
 */
#include "gossipd/core/swim_message.h"

#define AT(type, member) offsetof(struct type, member)

static const struct pack_field ping_fields[] = {
	{ "Node", PACK_STR, 1, false, AT(swim_ping, node) },
	{ "SeqNo", PACK_U32, 0, false, AT(swim_ping, seq) },
	{ "SourceAddr", PACK_BYTES, 2, true, AT(swim_ping, source_addr) },
	{ "SourceNode", PACK_STR, 4, true, AT(swim_ping, source_node) },
	{ "SourcePort", PACK_U16, 3, true, AT(swim_ping, source_port) },
};
const struct pack_schema swim_ping_schema = PACK_SCHEMA(ping_fields);

static const struct pack_field indirect_ping_fields[] = {
	{ "Nack", PACK_BOOL, 4, false, AT(swim_ping, nack) },
	{ "Node", PACK_STR, 3, false, AT(swim_ping, node) },
	{ "Port", PACK_U16, 2, false, AT(swim_ping, port) },
	{ "SeqNo", PACK_U32, 0, false, AT(swim_ping, seq) },
	{ "SourceAddr", PACK_BYTES, 5, true, AT(swim_ping, source_addr) },
	{ "SourceNode", PACK_STR, 7, true, AT(swim_ping, source_node) },
	{ "SourcePort", PACK_U16, 6, true, AT(swim_ping, source_port) },
	{ "Target", PACK_BYTES, 1, false, AT(swim_ping, target) },
};
const struct pack_schema swim_indirect_ping_schema = PACK_SCHEMA(indirect_ping_fields);

static const struct pack_field ack_fields[] = {
	{ "Payload", PACK_BYTES, 1, false, AT(swim_ack, payload) },
	{ "SeqNo", PACK_U32, 0, false, AT(swim_ack, seq) },
};
const struct pack_schema swim_ack_schema = PACK_SCHEMA(ack_fields);

static const struct pack_field nack_fields[] = {
	{ "SeqNo", PACK_U32, 0, false, AT(swim_nack, seq) },
};
const struct pack_schema swim_nack_schema = PACK_SCHEMA(nack_fields);

static const struct pack_field accusation_fields[] = {
	{ "From", PACK_STR, 2, false, AT(swim_accusation, from) },
	{ "Incarnation", PACK_U32, 0, false, AT(swim_accusation, incarnation) },
	{ "Node", PACK_STR, 1, false, AT(swim_accusation, node) },
};
const struct pack_schema swim_accusation_schema = PACK_SCHEMA(accusation_fields);

static const struct pack_field alive_fields[] = {
	{ "Addr", PACK_BYTES, 2, false, AT(swim_alive, addr) },
	{ "Incarnation", PACK_U32, 0, false, AT(swim_alive, incarnation) },
	{ "Meta", PACK_BYTES, 4, false, AT(swim_alive, meta) },
	{ "Node", PACK_STR, 1, false, AT(swim_alive, node) },
	{ "Port", PACK_U16, 3, false, AT(swim_alive, port) },
	{ "Vsn", PACK_BYTES, 5, false, AT(swim_alive, vsn) },
};
const struct pack_schema swim_alive_schema = PACK_SCHEMA(alive_fields);

static const struct pack_field push_pull_fields[] = {
	{ "Join", PACK_BOOL, 2, false, AT(swim_push_pull, join) },
	{ "Nodes", PACK_U32, 0, false, AT(swim_push_pull, nodes) },
	{ "UserStateLen", PACK_U32, 1, false, AT(swim_push_pull, user_state_size) },
};
const struct pack_schema swim_push_pull_schema = PACK_SCHEMA(push_pull_fields);

static const struct pack_field node_state_fields[] = {
	{ "Addr", PACK_BYTES, 1, false, AT(swim_node_state, alive.addr) },
	{ "Incarnation", PACK_U32, 4, false, AT(swim_node_state, alive.incarnation) },
	{ "Meta", PACK_BYTES, 3, false, AT(swim_node_state, alive.meta) },
	{ "Name", PACK_STR, 0, false, AT(swim_node_state, alive.node) },
	{ "Port", PACK_U16, 2, false, AT(swim_node_state, alive.port) },
	{ "State", PACK_U8, 5, false, AT(swim_node_state, state) },
	{ "Vsn", PACK_BYTES, 6, false, AT(swim_node_state, alive.vsn) },
};
const struct pack_schema swim_node_state_schema = PACK_SCHEMA(node_state_fields);

static const struct pack_field compress_fields[] = {
	{ "Algo", PACK_U8, 0, false, AT(swim_compress, algorithm) },
	{ "Buf", PACK_BYTES, 1, false, AT(swim_compress, bytes) },
};
const struct pack_schema swim_compress_schema = PACK_SCHEMA(compress_fields);

static const struct pack_field user_header_fields[] = {
	{ "UserMsgLen", PACK_U32, 0, false, AT(swim_user_header, size) },
};
const struct pack_schema swim_user_header_schema = PACK_SCHEMA(user_header_fields);

static const struct pack_field err_fields[] = {
	{ "Error", PACK_STR, 0, false, AT(swim_err, text) },
};
const struct pack_schema swim_err_schema = PACK_SCHEMA(err_fields);

void swim_put(
	struct buf *out, enum swim_type type, const struct pack_schema *schema, const void *message)
{
	buf_put_u8(out, (uint8_t)type);
	pack_struct(out, schema, message);
}

int swim_get(struct str body, const struct pack_schema *schema, void *message)
{
	struct cursor c = cursor_of(body);

	unpack_struct(&c, schema, message);
	return c.bad ? ST_INVALID : 0;
}
