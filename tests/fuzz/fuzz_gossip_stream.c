/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams from strangers: the end that is found does not depend on how the bytes come.
 */
#include "tests/fuzz/fuzz.h"

#include "gossipd/core/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf room = { 0 };
	struct stream_scan whole = { 0 }, parts = { 0 };
	struct str bytes = str_n(data, size), body;
	size_t end = 0, end_of_parts = 0, n = 0;
	int r = stream_scan(&whole, bytes, &end), r_of_parts;
	uint8_t type;

	do {
		n = min_of(n + 1 + size / 16, size);
		r_of_parts = stream_scan(&parts, str_cut(bytes, n), &end_of_parts);
	} while (r_of_parts == ST_AGAIN && n < size);
	must(r == ST_INVALID || r_of_parts == r);
	if (r == 0) {
		must(end == end_of_parts && end <= size);
		stream_open(str_cut(bytes, end), &room, &type, &body);
	}
	return 0;
}
