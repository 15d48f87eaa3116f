/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyring file: what parses is the same again after it was written.
 */
#include "tests/fuzz/fuzz.h"

#include "gossipd/core/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 }, why = { 0 };
	struct keyring first, second;

	if (keyring_parse(str_n(data, size), &first, &why) == 0) {
		keyring_render(&first, &text);
		must(keyring_parse(buf_str(&text), &second, NULL) == 0);
		must(first.count == second.count);
		must(memcmp(first.keys, second.keys, first.count * sizeof(first.keys[0])) == 0);
	}
	return 0;
}
