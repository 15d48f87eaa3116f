/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd/core/translate.c: addresses and ports in ready JSON; the rest stays byte for byte.
 */
#include "tests/unit/unit.h"

#include "httpd/core/translate.h"

#define NODE_TAGS "\"TaggedAddresses\":{\"lan_ipv4\":\"10.0.1.1\",\"wan\":\"10.0.2.1\"}"
#define SERVICE_TAGS                                                                         \
	"{\"lan\":{\"Address\":\"10.1.1.1\",\"Port\":81},\"wan\":{\"Address\":\"10.1.3.1\"," \
	"\"Port\":84}}"

static const struct {
	enum filter_object object;
	const char *json, *expected;
} rows[] = {
	{ FILTER_NODE, "{\"Node\":\"n\",\"Address\":\"10.0.0.1\"," NODE_TAGS ",\"Meta\":null}",
		"{\"Node\":\"n\",\"Address\":\"10.0.1.1\"," NODE_TAGS ",\"Meta\":null}" },
	{ FILTER_NODE, "{\"Address\":\"10.0.0.1\",\"TaggedAddresses\":{\"wan\":\"10.0.2.1\"}}",
		"{\"Address\":\"10.0.2.1\",\"TaggedAddresses\":{\"wan\":\"10.0.2.1\"}}" },
	{ FILTER_NODE,
		"{\"Address\":\"10.0.0.1\",\"TaggedAddresses\":null,\"Meta\":{\"<\":\"\\u003c\"}}",
		"{\"Address\":\"10.0.0.1\",\"TaggedAddresses\":null,\"Meta\":{\"\\u003c\":"
		"\"\\u003c\"}}" },
	{ FILTER_NODE_SERVICE,
		"{\"Tags\":[],\"Address\":\"10.1.0.1\",\"TaggedAddresses\":" SERVICE_TAGS
		",\"Meta\":null,\"Port\":80,\"CreateIndex\":18446744073709551615}",
		"{\"Tags\":[],\"Address\":\"10.1.3.1\",\"TaggedAddresses\":" SERVICE_TAGS
		",\"Meta\":null,\"Port\":84,\"CreateIndex\":18446744073709551615}" },
	{ FILTER_SERVICE_NODE,
		"{\"Address\":\"10.0.0.1\"," NODE_TAGS
		",\"ServiceAddress\":\"\",\"ServiceTaggedAddresses\":" SERVICE_TAGS
		",\"ServicePort\":80}",
		"{\"Address\":\"10.0.1.1\"," NODE_TAGS
		",\"ServiceAddress\":\"10.1.3.1\",\"ServiceTaggedAddresses\":" SERVICE_TAGS
		",\"ServicePort\":84}" },
	{ FILTER_CHECK_SERVICE_NODE,
		"{\"Node\":{\"Address\":\"10.0.0.1\"," NODE_TAGS
		"},\"Service\":{\"Address\":\"\",\"Port\":80},\"Checks\":[]}",
		"{\"Node\":{\"Address\":\"10.0.1.1\"," NODE_TAGS
		"},\"Service\":{\"Address\":\"\",\"Port\":80},\"Checks\":[]}" },
	{ FILTER_HEALTH_CHECK, "{\"Address\":\"10.0.0.1\"," NODE_TAGS "}",
		"{\"Address\":\"10.0.0.1\"," NODE_TAGS "}" },
};

TEST(test_elements)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_str_is(
			translate(&arena, rows[i].object, str_of(rows[i].json)), rows[i].expected);
	}
}
END_TEST

UNIT_MAIN("translate", test_elements)
