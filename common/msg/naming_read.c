/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader's half of the naming codec: fixed-size entries addressed by number, each access
 * checked against the record's end.
 */
#include <arpa/inet.h>

#include "common/base/cursor.h"
#include "common/msg/naming_layout.h"

static bool inside(struct str record, uint64_t at, uint64_t n)
{
	return n <= record.n && at <= record.n - n;
}

/* The caller has checked the place. */
static uint32_t u32_at(struct str record, uint64_t at)
{
	uint32_t v;

	memcpy(&v, record.p + at, sizeof(v));
	return v;
}

static uint16_t u16_at(struct str record, uint64_t at)
{
	uint16_t v;

	memcpy(&v, record.p + at, sizeof(v));
	return v;
}

/* Labels that fill the bytes exactly. */
static bool name_valid(struct str name)
{
	size_t at = 0;

	while (at < name.n) {
		uint8_t label = (uint8_t)name.p[at];

		if (label == 0 || label > DNS_LABEL_MAX) {
			return false;
		}
		at += 1 + label;
	}
	return at == name.n && name.n + 1 <= DNS_NAME_MAX;
}

static bool address_valid(const struct naming_address *a)
{
	switch (a->kind) {
	case NAMING_NONE:
		return a->bytes.n == 0;
	case NAMING_V4:
		return a->bytes.n == 4;
	case NAMING_V6:
		return a->bytes.n == 16;
	case NAMING_HOST:
		return a->bytes.n && name_valid(a->bytes);
	}
	return false;
}

int naming_node_open(struct str record, struct naming_node *out)
{
	struct cursor c = cursor_of(record);
	uint8_t address_n, name_n;

	out->address.kind = cursor_u8(&c);
	address_n = cursor_u8(&c);
	name_n = cursor_u8(&c);
	out->plain = cursor_u8(&c) == 1;
	out->texts_count = cursor_u16(&c);
	cursor_u16(&c);
	out->address.bytes = cursor_take(&c, address_n);
	out->name = cursor_take(&c, name_n);
	out->texts = cursor_rest(&c);
	return cursor_done(&c) || !address_valid(&out->address) || !name_valid(out->name)
		       ? ST_CORRUPT
		       : 0;
}

bool naming_text_next(struct str *texts, struct str *rdata_out)
{
	uint16_t n;

	if (texts->n < sizeof(n)) {
		return false;
	}
	n = u16_at(*texts, 0);
	if (n == 0 || n > texts->n - sizeof(n)) {
		return false;
	}
	*rdata_out = str_n(texts->p + sizeof(n), n);
	*texts = str_skip(*texts, sizeof(n) + n);
	return true;
}

int naming_service_open(struct str record, struct naming_service *out)
{
	if (record.n < NAMING_HEADER_SIZE || record.n > NAMING_RECORD_MAX ||
		u32_at(record, NAMING_AT_FORMAT) != NAMING_FORMAT) {
		return ST_CORRUPT;
	}
	*out = (struct naming_service) {
		.record = record,
		.views_count = u32_at(record, NAMING_AT_VIEWS),
		.nodes_count = u32_at(record, NAMING_AT_NODES),
		.nodes_offset = u32_at(record, NAMING_AT_NODES + 4),
		.targets_count = u32_at(record, NAMING_AT_TARGETS),
		.targets_offset = u32_at(record, NAMING_AT_TARGETS + 4),
	};
	if (!inside(record, NAMING_HEADER_SIZE, (uint64_t)out->views_count * NAMING_VIEW_SIZE) ||
		!inside(record, out->nodes_offset, (uint64_t)out->nodes_count * 8) ||
		!inside(record, out->targets_offset,
			(uint64_t)out->targets_count * NAMING_TARGET_SIZE)) {
		return ST_CORRUPT;
	}
	return 0;
}

static int view_read(const struct naming_service *s, uint64_t at, struct naming_view *out)
{
	static const uint32_t sizes[] = { 4, 16, 4, 4 };

	for (int i = 0; i < NAMING_LISTS_COUNT; i++) {
		struct naming_list *l = &out->lists[i];
		uint64_t from = at + 8 + (uint64_t)16 * i;

		l->offset = u32_at(s->record, from);
		l->passing = u32_at(s->record, from + 4);
		l->count = u32_at(s->record, from + 8);
		if (l->passing > l->count ||
			!inside(s->record, l->offset, (uint64_t)l->count * sizes[i])) {
			return ST_CORRUPT;
		}
	}
	return 0;
}

int naming_service_view(const struct naming_service *s, struct str tag, struct naming_view *out)
{
	uint32_t low = 0, high = s->views_count;

	while (low < high) {
		uint32_t middle = tag.n ? low + (high - low) / 2 : 0;
		uint64_t at = NAMING_HEADER_SIZE + (uint64_t)middle * NAMING_VIEW_SIZE;
		uint32_t text = u32_at(s->record, at), n = u32_at(s->record, at + 4);
		int order;

		if (!inside(s->record, text, n)) {
			return ST_CORRUPT;
		}
		order = str_cmp(tag, str_n(s->record.p + text, n));
		if (order == 0) {
			return view_read(s, at, out);
		}
		if (order < 0) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return ST_NOT_FOUND;
}

struct naming_address naming_list_address(const struct naming_service *s,
	const struct naming_list *l, enum naming_list_kind kind, uint32_t i)
{
	size_t size = kind == NAMING_LIST_V4 ? 4 : 16;

	must(i < l->count && kind <= NAMING_LIST_V6);
	return (struct naming_address) { kind == NAMING_LIST_V4 ? NAMING_V4 : NAMING_V6,
		str_n(s->record.p + l->offset + size * i, size) };
}

int naming_list_target(const struct naming_service *s, const struct naming_list *l, uint32_t i,
	struct naming_target *out)
{
	uint32_t number, node, address, node_at, node_n;
	uint64_t at;
	uint8_t address_n;

	must(i < l->count);
	number = u32_at(s->record, l->offset + (uint64_t)4 * i);
	if (number >= s->targets_count) {
		return ST_CORRUPT;
	}
	at = s->targets_offset + (uint64_t)number * NAMING_TARGET_SIZE;
	node = u32_at(s->record, at);
	address = u32_at(s->record, at + 4);
	address_n = (uint8_t)s->record.p[at + 13];
	if (node >= s->nodes_count || !inside(s->record, address, address_n)) {
		return ST_CORRUPT;
	}
	out->port = u16_at(s->record, at + 8);
	out->weight = u16_at(s->record, at + 10);
	out->address.kind = (uint8_t)s->record.p[at + 12];
	out->address.bytes = str_n(s->record.p + address, address_n);
	node_at = u32_at(s->record, s->nodes_offset + (uint64_t)8 * node);
	node_n = u32_at(s->record, s->nodes_offset + (uint64_t)8 * node + 4);
	if (!inside(s->record, node_at, node_n) || !address_valid(&out->address)) {
		return ST_CORRUPT;
	}
	return naming_node_open(str_n(s->record.p + node_at, node_n), &out->node);
}

bool naming_ip_key(struct state_key *room, const void *ip, size_t ip_size, enum naming_owner owner,
	struct str id, struct str *key_out)
{
	char text[INET6_ADDRSTRLEN + 2];
	size_t n;

	if (!inet_ntop(ip_size == 4 ? AF_INET : AF_INET6, ip, text, INET6_ADDRSTRLEN)) {
		return false;
	}
	n = strlen(text);
	if (n + 2 + id.n > sizeof(room->bytes)) {
		return false;
	}
	text[n + 1] = (char)owner;
	memcpy(room->bytes, text, n + 2);
	if (id.n) {
		memcpy(room->bytes + n + 2, id.p, id.n);
	}
	*key_out = str_n(room->bytes, n + 2 + id.n);
	return true;
}

bool naming_address_find(struct kv_txn *t, const void *ip, size_t ip_size,
	enum naming_owner *owner_out, struct str *name_out)
{
	static const enum naming_owner owners[] = { NAMING_OWNER_NODE, NAMING_OWNER_SERVICE };
	struct state_key room;
	struct str prefix;

	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		struct kv_walk w;

		if (!naming_ip_key(&room, ip, ip_size, owners[i], STR_NONE, &prefix)) {
			return false;
		}
		kv_walk_init(&w, t, NAMING_ADDRESSES, prefix);
		if (kv_walk_next(&w)) {
			*owner_out = owners[i];
			*name_out = w.value;
			return true;
		}
	}
	return false;
}
