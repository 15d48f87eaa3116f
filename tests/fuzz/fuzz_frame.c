/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between daemons: whatever the bytes, the parts lie inside them, and a frame read to its
 * end is written the same again.
 */
#include "tests/fuzz/fuzz.h"

#include "common/sys/ipc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf again = { 0 };
	struct str input = str_n(data, size);
	struct cursor c = cursor_of(input);
	struct frame_part part;
	int r;

	if (frame_open(&c)) {
		return 0;
	}
	frame_begin(&again);
	do {
		r = frame_next(&c, &part);
		if (!r) {
			must(part.payload.n <= input.n);
			frame_put(&again, &part);
		}
	} while (!r);
	must(r != ST_AGAIN || str_eq(buf_str(&again), input));
	return 0;
}
