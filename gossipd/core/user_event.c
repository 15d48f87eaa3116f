/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks, sizes and filters of user events, as Consul 1.8.7 does them.
 */
#include "gossipd/core/user_event.h"

#include "common/base/err.h"
#include "common/base/regex.h"

#define EVENT_PREFIX "consul:event:"

/* -------- sizes: MessagePack as Consul and Serf write it -------- */

/* The payload is written with the str8 and bin types, Serf's own message in the older format
 * without them. */
static size_t str_size(size_t n)
{
	return n + (n < 32 ? 1 : n < 256 ? 2 : 3);
}

static size_t bin_size(size_t n)
{
	return n + (n < 256 ? 2 : 3);
}

static size_t raw_size(size_t n)
{
	return n + (n < 32 ? 1 : 3);
}

static size_t uint_size(uint64_t v)
{
	return v < 128 ? 1 : v <= UINT8_MAX ? 2 : v <= UINT16_MAX ? 3 : v <= UINT32_MAX ? 5 : 9;
}

static size_t filter_size(struct str filter)
{
	return filter.n ? str_size(2) + str_size(filter.n) : 0;
}

/* {"ID", "n", "nf", "p", "sf", "tf", "v"}; what is empty is left out. */
static size_t payload_size(const struct user_event *e)
{
	return 1 + str_size(2) + str_size(UUID_TEXT_SIZE) + str_size(1) + str_size(e->name.n) +
	       filter_size(e->node_filter) +
	       (e->payload.n ? str_size(1) + bin_size(e->payload.n) : 0) +
	       filter_size(e->service_filter) + filter_size(e->tag_filter) + str_size(1) +
	       uint_size(e->version);
}

static size_t name_size(const struct user_event *e)
{
	return strlen(EVENT_PREFIX) + e->name.n;
}

size_t user_event_size(const struct user_event *e)
{
	return name_size(e) + payload_size(e);
}

/* A type byte and {"CC", "LTime", "Name", "Payload"}. */
size_t user_event_encoded_size(const struct user_event *e, uint64_t ltime)
{
	return 1 + 1 + raw_size(2) + 1 + raw_size(5) + uint_size(ltime) + raw_size(4) +
	       raw_size(name_size(e)) + raw_size(7) + raw_size(payload_size(e));
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

uint64_t user_event_index(const struct uuid *id)
{
	uint64_t high, low;

	memcpy(&high, id->b, 8);
	memcpy(&low, id->b + 8, 8);
	return __builtin_bswap64(high) ^ __builtin_bswap64(low);
}
