/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP responses as checkd's client reads them: the outcome does not depend on how the bytes arrive.
 */
#include "tests/fuzz/fuzz.h"

#include "checkd/core/response.h"
#include "common/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct response whole, parts;
	int r_whole, r_parts = ST_AGAIN;

	response_init(&whole);
	response_init(&parts);
	r_whole = response_feed(&whole, str_n(data, size));
	for (size_t n = 0; n <= size && r_parts == ST_AGAIN; n++) {
		r_parts = response_feed(&parts, str_n(data, n));
	}
	must(r_whole == r_parts);
	if (r_whole == 0) {
		must(whole.used == parts.used && whole.used <= size);
		must(str_eq(whole.body, parts.body));
	}
	response_fini(&whole);
	response_fini(&parts);
	return 0;
}
