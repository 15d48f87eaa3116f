/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot files: whatever the text, names and addresses lie inside it.
 */
#include "tests/fuzz/fuzz.h"

#include "gossipd/core/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct str text = str_n(data, size);
	struct snapshot s;

	snapshot_parse(text, &arena, &s);
	for (uint32_t i = 0; i < s.members_count; i++) {
		must(s.members[i].name.n > 0 && s.members[i].name.p >= text.p);
		must(s.members[i].address.p + s.members[i].address.n <= text.p + text.n);
	}
	return 0;
}
