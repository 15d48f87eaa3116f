/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter expressions from the query string: any bytes are either a filter, which answers about any
 * element, or a reason.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/err.h"
#include "httpd/core/filter.h"

static const char element[] = "{\"Node\":{\"ID\":\"\",\"Node\":\"s1\",\"Address\":\"127.0.0.1\","
			      "\"Meta\":{\"rack\":\"r1\"},\"TaggedAddresses\":null},"
			      "\"Service\":{\"ID\":\"w\",\"Service\":\"web\",\"Tags\":[\"a\",\"b\"]"
			      ",\"Port\":80,\"Weights\":{\"Passing\":1,\"Warning\":1}},"
			      "\"Checks\":[{\"Status\":\"passing\",\"ServiceTags\":[]},{\"Status\":"
			      "\"critical\",\"ServiceTags\":[\"a\"]}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	for (int object = 0; object < FILTER_OBJECTS_COUNT; object++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		OWN(filter_free) struct filter *f = NULL;

		if (filter_new(str_n(data, size), object, &f, &why)) {
			must(why.n > 0 && !f);
			continue;
		}
		must(!f == !size);
		filter_match_text(f, &arena, str_of(element));
		filter_match_text(f, &arena, STR("{}"));
	}
	return 0;
}
