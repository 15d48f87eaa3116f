/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer's half of the naming codec. Little-endian; offsets are from the start of the record.
 *
 *   service: u32 format, views, nodes, nodes offset, targets, targets offset
 *     views    72 bytes each, sorted by tag, the first is "" (all instances):
 *              u32 tag offset, tag size; then for V4, V6, HOSTS, TARGETS
 *              u32 offset, passing, count, 0
 *     nodes    u32 offset, u32 size of a node record; each node once
 *     targets  16 bytes each: u32 node number, u32 address offset, u16 port, u16 weight,
 *              u8 address kind, u8 address size, u16 0
 *     lists    V4: 4 bytes, V6: 16 bytes, HOSTS and TARGETS: u32 target number
 *   node:    u8 address kind, u8 address size, u8 name size, u8 plain, u16 texts, u16 0,
 *            address, name, texts (u16 size, TXT data)
 *
 * Instances stand in order of health (passing first), so that "only passing" is a prefix of every
 * list.
 */
#include "common/msg/naming.h"

#include <arpa/inet.h>

#include "common/base/buf.h"
#include "common/msg/naming_layout.h"

const char *const naming_table_names[] = { "META", "SERVICES", "NODES", "ADDRESSES", "FACES" };

struct item {
	const struct naming_instance *instance;
	struct naming_address own, effective;
	char *room; /* of both addresses: 2 * DNS_NAME_MAX bytes */
	uint32_t order, node, address_id, target_id, address_offset;
};

/* A tag of an item, lower-cased. */
struct label {
	struct str tag;
	uint32_t item;
};

struct writer {
	struct buf *out;
	size_t base;
	struct arena arena;
	struct item *items; /* in order of health */
	struct item **sorted;
	uint32_t count, nodes_count;
	struct label *labels;
	uint32_t labels_count;
	uint32_t *seen; /* by id: the number of the view that saw it last */
	uint32_t stamp;
};

int naming_name_encode(struct str text, char out[DNS_NAME_MAX], size_t *n_out)
{
	size_t n = 0;

	if (str_ends(text, STR("."))) {
		text.n--;
	}
	if (text.n == 0 || text.n + 2 > DNS_NAME_MAX) {
		return ST_INVALID;
	}
	for (struct str rest = text; rest.p;) {
		struct str label = str_split(rest, '.', &rest);

		if (label.n == 0 || label.n > DNS_LABEL_MAX) {
			return ST_INVALID;
		}
		out[n++] = (char)label.n;
		memcpy(out + n, label.p, label.n);
		n += label.n;
	}
	*n_out = n;
	return 0;
}

struct naming_address naming_address_parse(struct str text, char room[DNS_NAME_MAX])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct naming_address a = { NAMING_NONE, { room, 0 } };
	char z[INET6_ADDRSTRLEN];

	if (text.n < sizeof(z) && text.n) {
		memcpy(z, text.p, text.n);
		z[text.n] = '\0';
		if (inet_pton(AF_INET, z, room) == 1) {
			return (struct naming_address) { NAMING_V4, { room, 4 } };
		}
		if (inet_pton(AF_INET6, z, room) == 1) {
			if (memcmp(room, mapped, sizeof(mapped)) == 0) {
				return (struct naming_address) { NAMING_V4, { room + 12, 4 } };
			}
			return (struct naming_address) { NAMING_V6, { room, 16 } };
		}
	}
	if (!naming_name_encode(text, room, &a.bytes.n)) {
		a.kind = NAMING_HOST;
	}
	return a;
}

bool naming_address_key(struct state_key *room, struct str address, enum naming_owner owner,
	struct str id, struct str *key_out)
{
	char bytes[DNS_NAME_MAX];
	struct naming_address a = naming_address_parse(address, bytes);

	if (a.kind != NAMING_V4 && a.kind != NAMING_V6) {
		return false;
	}
	return naming_ip_key(room, a.bytes.p, a.bytes.n, owner, id, key_out);
}

/* ---- nodes ---- */

static void text_put(struct buf *out, struct str text)
{
	uint16_t chunks = (uint16_t)(text.n ? (text.n + 254) / 255 : 1);

	buf_put_u16(out, (uint16_t)(text.n + chunks));
	do {
		struct str chunk = str_cut(text, 255);

		buf_put_u8(out, (uint8_t)chunk.n);
		buf_put_str(out, chunk);
		text = str_skip(text, chunk.n);
	} while (text.n);
}

static void backticked(struct buf *out, struct str s, bool key)
{
	size_t leading = 0, trailing = s.n;

	while (key && leading < s.n && s.p[leading] == ' ') {
		leading++;
	}
	while (key && trailing > leading && s.p[trailing - 1] == ' ') {
		trailing--;
	}
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '`' || (key && (s.p[i] == '=' || i < leading || i >= trailing))) {
			buf_put_char(out, '`');
		}
		buf_put_char(out, s.p[i]);
	}
}

/* Node meta as RFC 1464 attributes; keys of rfc1035-* give the bare value. */
static uint16_t texts_put(struct buf *out, struct pairs meta)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	uint16_t count = 0;

	for (uint32_t i = 0; i < meta.count && count < UINT16_MAX; i++) {
		buf_clear(&text);
		if (str_istarts(meta.items[i].key, STR("rfc1035-"))) {
			buf_put_str(&text, meta.items[i].value);
		} else {
			backticked(&text, meta.items[i].key, true);
			buf_put_char(&text, '=');
			backticked(&text, meta.items[i].value, false);
		}
		if (text.n <= NAMING_TEXT_MAX) {
			text_put(out, buf_str(&text));
			count++;
		}
	}
	return count;
}

static bool name_plain(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    c == '-')) {
			return false;
		}
	}
	return true;
}

static void node_put(struct buf *out, struct str name, struct str address, struct pairs meta)
{
	char address_room[DNS_NAME_MAX], wire[DNS_NAME_MAX];
	struct naming_address a = naming_address_parse(address, address_room);
	size_t wire_n = 0, head = out->n;
	uint16_t texts;

	if (naming_name_encode(name, wire, &wire_n) || wire_n > NAMING_NODE_NAME_MAX) {
		wire_n = 0;
	}
	buf_put_u8(out, (uint8_t)a.kind);
	buf_put_u8(out, (uint8_t)a.bytes.n);
	buf_put_u8(out, (uint8_t)wire_n);
	buf_put_u8(out, wire_n && name_plain(name));
	buf_put_u32(out, 0);
	buf_put_str(out, a.bytes);
	buf_put(out, wire, wire_n);
	texts = texts_put(out, meta);
	memcpy(out->p + head + 4, &texts, sizeof(texts));
}

void naming_node_encode(struct buf *out, const struct node_def *node, enum naming_face face)
{
	node_put(out, node->node, naming_face_address(node, face), node->meta);
}

/* ---- services ---- */

static uint32_t offset(const struct writer *w)
{
	return (uint32_t)(w->out->n - w->base);
}

static void patch(struct writer *w, size_t at, uint32_t v)
{
	memcpy(w->out->p + w->base + at, &v, sizeof(v));
}

static int address_cmp(const struct naming_address *a, const struct naming_address *b)
{
	return a->kind != b->kind ? (int)a->kind - (int)b->kind : str_cmp(a->bytes, b->bytes);
}

static int by_health(const void *pa, const void *pb)
{
	const struct item *a = pa, *b = pb;

	if (a->instance->status != b->instance->status) {
		return (int)a->instance->status - (int)b->instance->status;
	}
	return a->order < b->order ? -1 : 1;
}

static int by_node(const void *pa, const void *pb)
{
	return str_cmp((*(struct item *const *)pa)->instance->node,
		(*(struct item *const *)pb)->instance->node);
}

static int by_address(const void *pa, const void *pb)
{
	return address_cmp(
		&(*(struct item *const *)pa)->effective, &(*(struct item *const *)pb)->effective);
}

/* Consul takes two instances for one when node, service address and port agree. */
static int by_target(const void *pa, const void *pb)
{
	const struct item *a = *(struct item *const *)pa, *b = *(struct item *const *)pb;
	int order =
		a->node != b->node ? (a->node < b->node ? -1 : 1) : address_cmp(&a->own, &b->own);

	if (order) {
		return order;
	}
	return a->instance->port == b->instance->port  ? 0
	       : a->instance->port < b->instance->port ? -1
						       : 1;
}

static int by_tag(const void *pa, const void *pb)
{
	const struct label *a = pa, *b = pb;
	int order = str_cmp(a->tag, b->tag);

	return order ? order : a->item < b->item ? -1 : a->item > b->item;
}

/* Numbers the items so that those which compare equal have the same id. Returns how many ids there
 * are. */
static uint32_t number(struct writer *w, int (*compare)(const void *, const void *), size_t member)
{
	uint32_t id = 0;

	qsort(w->sorted, w->count, sizeof(w->sorted[0]), compare);
	for (uint32_t i = 0; i < w->count; i++) {
		id += i && compare(&w->sorted[i - 1], &w->sorted[i]) != 0;
		memcpy((char *)w->sorted[i] + member, &id, sizeof(id));
	}
	return w->count ? id + 1 : 0;
}

static void items_collect(struct writer *w, const struct naming_instance *items, uint32_t count)
{
	char wire[DNS_NAME_MAX];
	size_t wire_n;

	w->items = arena_array(&w->arena, struct item, count);
	for (uint32_t i = 0; i < count; i++) {
		struct item *item = &w->items[w->count];

		if (items[i].status == HEALTH_CRITICAL ||
			naming_name_encode(items[i].node, wire, &wire_n) ||
			wire_n > NAMING_NODE_NAME_MAX) {
			continue;
		}
		*item = (struct item) { .instance = &items[i], .order = i };
		item->room = arena_alloc(&w->arena, (size_t)2 * DNS_NAME_MAX);
		item->own = naming_address_parse(items[i].address, item->room);
		item->effective = item->own.kind != NAMING_NONE
					  ? item->own
					  : naming_address_parse(items[i].node_address,
						    item->room + DNS_NAME_MAX);
		w->count++;
	}
	if (w->count) {
		qsort(w->items, w->count, sizeof(w->items[0]), by_health);
	}
	w->sorted = arena_array(&w->arena, struct item *, w->count);
	w->seen = arena_array(&w->arena, uint32_t, w->count);
	for (uint32_t i = 0; i < w->count; i++) {
		w->sorted[i] = &w->items[i];
	}
}

static void labels_collect(struct writer *w)
{
	uint32_t tags = w->count, n = 0;

	for (uint32_t i = 0; i < w->count; i++) {
		tags += w->items[i].instance->tags.count;
	}
	w->labels = arena_array(&w->arena, struct label, tags);
	for (uint32_t i = 0; i < w->count; i++) {
		const struct strs *from = &w->items[i].instance->tags;

		w->labels[n++] = (struct label) { STR(""), i };
		for (uint32_t k = 0; k < from->count; k++) {
			char *lower;

			if (from->items[k].n == 0 || from->items[k].n > DNS_NAME_MAX) {
				continue; /* no query can ask for it */
			}
			lower = arena_alloc(&w->arena, from->items[k].n);
			str_lower_into(from->items[k], lower);
			w->labels[n++] = (struct label) { str_n(lower, from->items[k].n), i };
		}
	}
	w->labels_count = n;
	if (n) {
		qsort(w->labels, n, sizeof(w->labels[0]), by_tag);
	}
}

static uint16_t weight_of(const struct naming_instance *in)
{
	switch (in->status) {
	case HEALTH_PASSING:
		return (uint16_t)in->weight_passing;
	case HEALTH_WARNING:
		return (uint16_t)in->weight_warning;
	default:
		return 1;
	}
}

static void nodes_write(struct writer *w)
{
	uint32_t previous = UINT32_MAX, at = offset(w);

	patch(w, NAMING_AT_NODES, w->nodes_count);
	patch(w, NAMING_AT_NODES + 4, at);
	memset(buf_reserve(w->out, (size_t)w->nodes_count * 8), 0, (size_t)w->nodes_count * 8);
	w->out->n += (size_t)w->nodes_count * 8;
	for (uint32_t i = 0; i < w->count; i++) {
		const struct item *item = w->sorted[i]; /* still by node */

		if (item->node != previous) {
			uint32_t from = offset(w);

			previous = item->node;
			node_put(w->out, item->instance->node, item->instance->node_address,
				item->instance->node_meta);
			patch(w, at + (size_t)8 * previous, from);
			patch(w, at + (size_t)8 * previous + 4, offset(w) - from);
		}
	}
}

static void targets_write(struct writer *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		struct item *item = &w->items[i];

		item->address_offset = offset(w);
		buf_put_str(w->out, item->own.bytes);
	}
	patch(w, NAMING_AT_TARGETS, w->count);
	patch(w, NAMING_AT_TARGETS + 4, offset(w));
	for (uint32_t i = 0; i < w->count; i++) {
		const struct item *item = &w->items[i];

		buf_put_u32(w->out, item->node);
		buf_put_u32(w->out, item->address_offset);
		buf_put_u16(w->out, (uint16_t)item->instance->port);
		buf_put_u16(w->out, weight_of(item->instance));
		buf_put_u8(w->out, (uint8_t)item->own.kind);
		buf_put_u8(w->out, (uint8_t)item->own.bytes.n);
		buf_put_u16(w->out, 0);
	}
}

static bool list_takes(const struct item *item, enum naming_list_kind kind)
{
	static const enum naming_address_kind wanted[] = { NAMING_V4, NAMING_V6, NAMING_HOST };

	return kind == NAMING_LIST_TARGETS || item->effective.kind == wanted[kind];
}

static void list_write(struct writer *w, const struct label *labels, uint32_t count,
	enum naming_list_kind kind, size_t at)
{
	uint32_t from = offset(w), elements = 0, passing = 0;

	w->stamp++;
	for (uint32_t i = 0; i < count; i++) {
		const struct item *item = &w->items[labels[i].item];
		uint32_t id = kind >= NAMING_LIST_HOSTS ? item->target_id : item->address_id;

		if (!list_takes(item, kind) || w->seen[id] == w->stamp) {
			continue;
		}
		w->seen[id] = w->stamp;
		elements++;
		passing += item->instance->status == HEALTH_PASSING;
		if (kind >= NAMING_LIST_HOSTS) {
			buf_put_u32(w->out, labels[i].item);
		} else {
			buf_put_str(w->out, item->effective.bytes);
		}
	}
	patch(w, at, from);
	patch(w, at + 4, passing);
	patch(w, at + 8, elements);
}

static uint32_t view_end(const struct writer *w, uint32_t from)
{
	uint32_t end = from + 1;

	while (end < w->labels_count && str_eq(w->labels[end].tag, w->labels[from].tag)) {
		end++;
	}
	return end;
}

static void views_write(struct writer *w)
{
	size_t at = NAMING_HEADER_SIZE;

	for (uint32_t from = 0, end; from < w->labels_count; from = end, at += NAMING_VIEW_SIZE) {
		uint32_t text = offset(w);

		end = view_end(w, from);
		buf_put_str(w->out, w->labels[from].tag);
		patch(w, at, text);
		patch(w, at + 4, (uint32_t)w->labels[from].tag.n);
		for (int kind = 0; kind < NAMING_LISTS_COUNT; kind++) {
			list_write(
				w, w->labels + from, end - from, kind, at + 8 + (size_t)16 * kind);
		}
	}
}

void naming_service_encode(struct buf *out, const struct naming_instance *items, uint32_t count)
{
	struct writer w = { .out = out, .base = out->n };
	uint32_t views = 0;
	size_t head;

	items_collect(&w, items, count);
	labels_collect(&w);
	for (uint32_t from = 0; from < w.labels_count; from = view_end(&w, from)) {
		views++;
	}
	number(&w, by_address, offsetof(struct item, address_id));
	w.nodes_count = number(&w, by_node, offsetof(struct item, node));
	head = NAMING_HEADER_SIZE + (size_t)views * NAMING_VIEW_SIZE;
	memset(buf_reserve(out, head), 0, head);
	out->n += head;
	patch(&w, NAMING_AT_FORMAT, NAMING_FORMAT);
	patch(&w, NAMING_AT_VIEWS, views);
	nodes_write(&w);
	number(&w, by_target, offsetof(struct item, target_id));
	targets_write(&w);
	views_write(&w);
	must(out->n - w.base <= NAMING_RECORD_MAX);
	arena_fini(&w.arena);
}
