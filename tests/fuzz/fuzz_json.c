/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON texts: what parses renders, and what was rendered parses again to the same rendering (from
 * the second on: bytes that are not UTF-8 become U+FFFD, escaped the first time and plain from then
 * on). Refusals always say why.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/err.h"
#include "common/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf first = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf second = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf third = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf pretty = { 0 };
	struct json *tree;

	if (json_parse(&arena, str_n(data, size), &tree, &why)) {
		must(why.n > 0);
		return 0;
	}
	json_render(&first, tree);
	must(json_parse(&arena, buf_str(&first), &tree, NULL) == 0);
	json_render(&second, tree);
	must(json_parse(&arena, buf_str(&second), &tree, NULL) == 0);
	json_render(&third, tree);
	must(str_eq(buf_str(&second), buf_str(&third)));
	json_indent(&pretty, buf_str(&first), STR("  "));
	must(json_parse(&arena, buf_str(&pretty), &tree, NULL) == 0);
	return 0;
}
