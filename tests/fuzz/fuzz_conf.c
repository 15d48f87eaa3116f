/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: whatever they hold, they are refused with a reason or give a configuration
 * that can be shown as JSON.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/json.h"
#include "common/sys/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char base[] = "{\"data_dir\":\"/nonexistent\",\"bind_addr\":\"127.0.0.1\","
				   "\"node_id\":\"6c01df1d-604b-4d6e-09f1-88d646c6d767\"}";
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf warnings = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf shown = { 0 };
	OWN(free) char *text = xstrndup((const char *)data, size);
	struct conf_source sources[] = { { "base.json", false, base },
		{ "fuzz.json", false, text } };
	OWN(conf_free) struct conf *c = NULL;
	struct jsonw w = jsonw_of(&shown);
	struct json *tree;

	if (conf_load(sources, ARRAY_SIZE(sources), &c, &warnings, &why)) {
		must(why.n > 0 && !c);
		return 0;
	}
	conf_render_debug(c, &w);
	must(json_parse(&arena, buf_str(&shown), &tree, NULL) == 0);
	return 0;
}
