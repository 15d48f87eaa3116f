/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks, sizes and filters of user events, as Consul 1.8.7 does them.
 */
#include "gossipd/core/user_event.h"

#include "common/base/err.h"
#include "common/base/regex.h"
#include "gossipd/core/serf_message.h"

/* -------- as Consul writes them -------- */

static void put_text(struct buf *out, const char *key, struct str value)
{
	if (value.n) {
		pack_str8(out, str_of(key));
		pack_str8(out, value);
	}
}

/* The payload has the newer kinds of strings, Serf's own message around it has not. */
void user_event_pack(struct buf *out, const struct user_event *e)
{
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&e->id, id);
	pack_map(out, 3 + (e->node_filter.n > 0) + (e->payload.n > 0) + (e->service_filter.n > 0) +
			      (e->tag_filter.n > 0));
	put_text(out, "ID", str_of(id));
	pack_str8(out, STR("n"));
	pack_str8(out, e->name);
	put_text(out, "nf", e->node_filter);
	if (e->payload.n) {
		pack_str8(out, STR("p"));
		pack_bin(out, e->payload);
	}
	put_text(out, "sf", e->service_filter);
	put_text(out, "tf", e->tag_filter);
	pack_str8(out, STR("v"));
	pack_uint(out, e->version);
}

struct packed {
	struct str id, name, node_filter, payload, service_filter, tag_filter;
	uint64_t version;
};

static const struct pack_field packed_fields[] = {
	{ "ID", PACK_STR, 0, false, offsetof(struct packed, id) },
	{ "n", PACK_STR, 1, false, offsetof(struct packed, name) },
	{ "nf", PACK_STR, 3, false, offsetof(struct packed, node_filter) },
	{ "p", PACK_BYTES, 2, false, offsetof(struct packed, payload) },
	{ "sf", PACK_STR, 4, false, offsetof(struct packed, service_filter) },
	{ "tf", PACK_STR, 5, false, offsetof(struct packed, tag_filter) },
	{ "v", PACK_U64, 6, false, offsetof(struct packed, version) },
};
static const struct pack_schema packed_schema = PACK_SCHEMA(packed_fields);

int user_event_unpack(struct str name, struct str payload, struct user_event *out)
{
	struct packed m;

	if (!str_starts(name, STR(USER_EVENT_PREFIX)) || swim_get(payload, &packed_schema, &m) ||
		m.version > UINT8_MAX || m.payload.n > USER_EVENT_SIZE_MAX) {
		return ST_INVALID;
	}
	*out = (struct user_event) {
		.name = m.name,
		.payload = m.payload,
		.node_filter = m.node_filter,
		.service_filter = m.service_filter,
		.tag_filter = m.tag_filter,
		.version = (__typeof__(out->version))m.version,
	};
	return uuid_parse(m.id, &out->id) ? ST_INVALID : 0;
}

/* -------- sizes -------- */

size_t user_event_size(const struct user_event *e)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };

	user_event_pack(&payload, e);
	return strlen(USER_EVENT_PREFIX) + e->name.n + payload.n;
}

size_t user_event_encoded_size(const struct user_event *e, uint64_t ltime)
{
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 }, name = { 0 }, message = { 0 };
	struct serf_event m = { .ltime = ltime };

	user_event_pack(&payload, e);
	buf_put_lit(&name, USER_EVENT_PREFIX);
	buf_put_str(&name, e->name);
	m.name = buf_str(&name);
	m.payload = buf_str(&payload);
	serf_put(&message, SERF_EVENT, &serf_event_schema, &m);
	return message.n;
}

/* -------- checks -------- */

static int filter_check(struct str filter, const char *what, struct buf *why)
{
	OWN(regex_free) struct regex *regex = NULL;
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	if (filter.n == 0 || regex_new(filter, &regex, &text) == 0) {
		return 0;
	}
	buf_printf(why, "Invalid %s filter: %s", what, buf_cstr(&text));
	return ST_INVALID;
}

static int too_large(struct buf *why, const char *text)
{
	buf_printf(why, "1 error occurred:\n\t* error broadcasting event to segment \"\": %s\n\n",
		text);
	return ST_TOO_LARGE;
}

int user_event_check(const struct user_event *e, uint64_t ltime, struct buf *why)
{
	if (e->name.n == 0) {
		buf_put_lit(why, "User event missing name");
		return ST_INVALID;
	}
	if (e->tag_filter.n && e->service_filter.n == 0) {
		buf_put_lit(why, "Cannot provide tag filter without service filter");
		return ST_INVALID;
	}
	if (filter_check(e->node_filter, "node", why) ||
		filter_check(e->service_filter, "service", why) ||
		filter_check(e->tag_filter, "tag", why)) {
		return ST_INVALID;
	}
	if (user_event_size(e) > USER_EVENT_SIZE_MAX) {
		return too_large(
			why, "user event exceeds configured limit of 512 bytes before encoding");
	}
	if (user_event_encoded_size(e, ltime) > USER_EVENT_SIZE_MAX) {
		return too_large(why,
			"encoded user event exceeds configured limit of 512 bytes after encoding");
	}
	return 0;
}

/* -------- filters -------- */

static bool filter_match(struct str filter, struct str text)
{
	OWN(regex_free) struct regex *regex = NULL;
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };

	return filter.n == 0 || (regex_new(filter, &regex, &why) == 0 && regex_match(regex, text));
}

bool user_event_is_for_node(const struct user_event *e, struct str node)
{
	return filter_match(e->node_filter, node);
}

static bool tag_match(const struct user_event *e, const struct json *service)
{
	const struct json *tags = json_find(service, "Tags"), *tag;

	if (e->tag_filter.n == 0) {
		return true;
	}
	if (!tags || tags->type != JSON_ARRAY) {
		return false;
	}
	json_for_each (tag, tags) {
		if (filter_match(e->tag_filter, tag->text)) {
			return true;
		}
	}
	return false;
}

bool user_event_is_for_services(const struct user_event *e, const struct json *services)
{
	const struct json *service;

	if (e->service_filter.n == 0) {
		return true;
	}
	json_for_each (service, services) {
		if (filter_match(e->service_filter, service->key) && tag_match(e, service)) {
			return true;
		}
	}
	return false;
}
