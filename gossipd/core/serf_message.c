/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of serf_message.h: keys in the order in which they are written.
 */
#include "gossipd/core/serf_message.h"

#include "common/base/bind.h"

#define AT(type, member) offsetof(struct type, member)

enum { TAGS_MAGIC = 0xff };

static const struct pack_field leave_fields[] = {
	{ "LTime", PACK_U64, 0, false, AT(serf_intent, ltime) },
	{ "Node", PACK_STR, 1, false, AT(serf_intent, node) },
	{ "Prune", PACK_BOOL, 2, false, AT(serf_intent, prune) },
};
const struct pack_schema serf_leave_schema = PACK_SCHEMA(leave_fields);
const struct pack_schema serf_join_schema = { leave_fields, 2 };

static const struct pack_field state_fields[] = {
	{ "EventLTime", PACK_U64, 3, false, AT(serf_state, event_ltime) },
	{ "Events", PACK_ANY, 4, false, AT(serf_state, events) },
	{ "LTime", PACK_U64, 0, false, AT(serf_state, ltime) },
	{ "LeftMembers", PACK_ANY, 2, false, AT(serf_state, left_members) },
	{ "QueryLTime", PACK_U64, 5, false, AT(serf_state, query_ltime) },
	{ "StatusLTimes", PACK_ANY, 1, false, AT(serf_state, status_ltimes) },
};
const struct pack_schema serf_state_schema = PACK_SCHEMA(state_fields);

static const struct pack_field event_slot_fields[] = {
	{ "Events", PACK_ANY, 1, false, AT(serf_event_slot, events) },
	{ "LTime", PACK_U64, 0, false, AT(serf_event_slot, ltime) },
};
const struct pack_schema serf_event_slot_schema = PACK_SCHEMA(event_slot_fields);

static const struct pack_field slot_event_fields[] = {
	{ "Name", PACK_STR, 0, false, AT(serf_event, name) },
	{ "Payload", PACK_BYTES, 1, false, AT(serf_event, payload) },
};
const struct pack_schema serf_slot_event_schema = PACK_SCHEMA(slot_event_fields);

static const struct pack_field event_fields[] = {
	{ "CC", PACK_BOOL, 3, false, AT(serf_event, coalesce) },
	{ "LTime", PACK_U64, 0, false, AT(serf_event, ltime) },
	{ "Name", PACK_STR, 1, false, AT(serf_event, name) },
	{ "Payload", PACK_BYTES, 2, false, AT(serf_event, payload) },
};
const struct pack_schema serf_event_schema = PACK_SCHEMA(event_fields);

static const struct pack_field query_fields[] = {
	{ "Addr", PACK_BYTES, 2, false, AT(serf_query, addr) },
	{ "Filters", PACK_ANY, 5, false, AT(serf_query, filters) },
	{ "Flags", PACK_U32, 6, false, AT(serf_query, flags) },
	{ "ID", PACK_U32, 1, false, AT(serf_query, id) },
	{ "LTime", PACK_U64, 0, false, AT(serf_query, ltime) },
	{ "Name", PACK_STR, 9, false, AT(serf_query, name) },
	{ "Payload", PACK_BYTES, 10, false, AT(serf_query, payload) },
	{ "Port", PACK_U16, 3, false, AT(serf_query, port) },
	{ "RelayFactor", PACK_U8, 7, false, AT(serf_query, relay_factor) },
	{ "SourceNode", PACK_STR, 4, false, AT(serf_query, source_node) },
	{ "Timeout", PACK_I64, 8, false, AT(serf_query, timeout_ns) },
};
const struct pack_schema serf_query_schema = PACK_SCHEMA(query_fields);

static const struct pack_field response_fields[] = {
	{ "Flags", PACK_U32, 3, false, AT(serf_response, flags) },
	{ "From", PACK_STR, 2, false, AT(serf_response, from) },
	{ "ID", PACK_U32, 1, false, AT(serf_response, id) },
	{ "LTime", PACK_U64, 0, false, AT(serf_response, ltime) },
	{ "Payload", PACK_BYTES, 4, false, AT(serf_response, payload) },
};
const struct pack_schema serf_response_schema = PACK_SCHEMA(response_fields);

static const struct pack_field tag_filter_fields[] = {
	{ "Expr", PACK_STR, 1, false, AT(serf_tag_filter, expression) },
	{ "Tag", PACK_STR, 0, false, AT(serf_tag_filter, tag) },
};
const struct pack_schema serf_tag_filter_schema = PACK_SCHEMA(tag_filter_fields);

static const struct pack_field conflict_fields[] = {
	{ "Addr", PACK_BYTES, 1, false, AT(serf_conflict, addr) },
	{ "DelegateCur", PACK_U8, 10, false, AT(serf_conflict, delegate_cur) },
	{ "DelegateMax", PACK_U8, 9, false, AT(serf_conflict, delegate_max) },
	{ "DelegateMin", PACK_U8, 8, false, AT(serf_conflict, delegate_min) },
	{ "Name", PACK_STR, 0, false, AT(serf_conflict, name) },
	{ "Port", PACK_U16, 2, false, AT(serf_conflict, port) },
	{ "ProtocolCur", PACK_U8, 7, false, AT(serf_conflict, protocol_cur) },
	{ "ProtocolMax", PACK_U8, 6, false, AT(serf_conflict, protocol_max) },
	{ "ProtocolMin", PACK_U8, 5, false, AT(serf_conflict, protocol_min) },
	{ "Status", PACK_U8, 4, false, AT(serf_conflict, status) },
	{ "Tags", PACK_ANY, 3, false, AT(serf_conflict, tags) },
};
const struct pack_schema serf_conflict_schema = PACK_SCHEMA(conflict_fields);

static const struct pack_field key_request_fields[] = {
	{ "Key", PACK_BYTES, 0, false, AT(serf_key_request, key) },
};
const struct pack_schema serf_key_request_schema = PACK_SCHEMA(key_request_fields);

static const struct pack_field key_response_fields[] = {
	{ "Keys", PACK_ANY, 2, false, AT(serf_key_response, keys) },
	{ "Message", PACK_STR, 1, false, AT(serf_key_response, message) },
	{ "PrimaryKey", PACK_STR, 3, false, AT(serf_key_response, primary_key) },
	{ "Result", PACK_BOOL, 0, false, AT(serf_key_response, result) },
};
const struct pack_schema serf_key_response_schema = PACK_SCHEMA(key_response_fields);

static const struct pack_field relay_fields[] = {
	{ "DestAddr", PACK_ANY, 0, false, AT(serf_relay, dest_addr) },
	{ "DestName", PACK_STR, 1, false, AT(serf_relay, dest_name) },
};
const struct pack_schema serf_relay_schema = PACK_SCHEMA(relay_fields);

static const struct pack_field relay_addr_fields[] = {
	{ "IP", PACK_BYTES, 0, false, AT(serf_relay_addr, ip) },
	{ "Port", PACK_U16, 1, false, AT(serf_relay_addr, port) },
	{ "Zone", PACK_STR, 2, false, AT(serf_relay_addr, zone) },
};
const struct pack_schema serf_relay_addr_schema = PACK_SCHEMA(relay_addr_fields);

void serf_put(
	struct buf *out, enum serf_type type, const struct pack_schema *schema, const void *message)
{
	buf_put_u8(out, (uint8_t)type);
	pack_struct(out, schema, message);
}

void serf_tags_put(struct buf *out, const struct pair *tags, uint32_t count)
{
	buf_put_u8(out, TAGS_MAGIC);
	pack_map(out, count);
	for (uint32_t i = 0; i < count; i++) {
		pack_str(out, tags[i].key);
		pack_str(out, tags[i].value);
	}
}

int serf_tags_get(struct str meta, struct pair *out, uint32_t *count_out)
{
	struct cursor c = cursor_of(meta);
	uint32_t count;

	if (!meta.n || (uint8_t)meta.p[0] != TAGS_MAGIC) {
		out[0] = (struct pair) { STR("role"), meta.n ? meta : STR("") };
		*count_out = 1;
		return 0;
	}
	cursor_take(&c, 1);
	count = unpack_map(&c);
	*count_out = 0;
	for (uint32_t i = 0; i < count && !c.bad; i++) {
		struct pair tag;

		tag.key = unpack_str(&c);
		tag.value = unpack_str(&c);
		if (*count_out < SERF_TAGS_MAX && !c.bad) {
			out[(*count_out)++] = tag;
		}
	}
	return c.bad ? ST_INVALID : 0;
}
