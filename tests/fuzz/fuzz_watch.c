/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A definition of a watch on the first line, an answer behind it: any bytes are refused with a
 * reason, or become a request and a result that is JSON.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/err.h"
#include "common/client/watch.h"

static void answer_take(const struct watch *w, struct str body)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 }, why = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct json *result;
	uint64_t index = 1;

	if (watch_result(w, 200, body, 7, &index, &out, &why)) {
		must(why.n);
	} else {
		must(json_parse(&arena, buf_str(&out), &result, NULL) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct str rest, line = str_split(str_n(data, size), '\n', &rest);
	struct json *v;

	if (json_parse(&arena, line, &v, NULL)) {
		return 0;
	}
	for (enum watch_source s = WATCH_FROM_COMMAND; s <= WATCH_FROM_CONFIGURATION; s++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, path = { 0 }, identity = { 0 };
		struct watch w;

		if (watch_parse(&arena, v, s, &w, &why)) {
			must(why.n);
			continue;
		}
		watch_path(&w, size, &path);
		must(path.p[0] == '/' && str_find(buf_str(&path), ' ') < 0);
		watch_identity(&w, &identity);
		answer_take(&w, rest);
	}
	return 0;
}
