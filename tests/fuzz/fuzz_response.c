/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP responses as checkd reads them: the outcome does not depend on how the bytes arrive.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/response.h"
#include "common/base/err.h"

static void on_body(void *arg, struct str piece)
{
	buf_put_str(arg, piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf whole_body = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf parts_body = { 0 };
	struct response whole, parts;
	size_t whole_used = 0, parts_used = 0;
	int r_whole, r_parts = ST_AGAIN;

	response_init(&whole, on_body, &whole_body);
	response_init(&parts, on_body, &parts_body);
	r_whole = response_feed(&whole, str_n(data, size), &whole_used);
	while (parts_used < size && r_parts == ST_AGAIN) {
		size_t used = 0;

		r_parts = response_feed(&parts, str_n(data + parts_used, 1), &used);
		parts_used += used;
	}
	must(r_whole == r_parts);
	must(str_eq(buf_str(&whole_body), buf_str(&parts_body)));
	if (r_whole == 0) {
		must(whole_used == parts_used);
	}
	must(response_end(&whole) == response_end(&parts));
	response_fini(&whole);
	response_fini(&parts);
	return 0;
}
