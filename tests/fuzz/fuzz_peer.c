/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of a stranger on the servers' port: whatever the bytes and however they are cut, the
 * same frames come out; each message that decodes is written the same again. Corpus: streams of
 * one or more frames; the first byte of an input says in which pieces the rest arrives.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/hash.h"
#include "raftd/peer_frame.h"

struct seen {
	uint64_t digest;
	size_t frames;
	int end;
};

#define ROUND(type)                                                  \
	static void round_##type(struct str payload)                 \
	{                                                            \
		OWN_EMBEDDED(arena_fini) struct arena arena = { 0 }; \
		OWN_EMBEDDED(buf_fini) struct buf again = { 0 };     \
		struct type m;                                       \
                                                                     \
		if (type##_decode(payload, &arena, &m) == 0) {       \
			type##_encode(&again, &m);                   \
			must(str_eq(buf_str(&again), payload));      \
		}                                                    \
	}
#define TYPE(type)
#define FRAME(number, type) ROUND(type)
#include "raftd/peer_frame.def"
#undef FRAME
#undef TYPE

static void judge(const struct peer_frame *f)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raft_message m;
	struct peer_hello h;

	if (f->number == FRAME_raft_message && raft_message_decode(f->payload, &arena, &m) == 0) {
		peer_message_sound(&m);
	}
	if (f->number == FRAME_peer_hello && peer_hello_decode(f->payload, &arena, &h) == 0) {
		peer_hello_sound(&h);
	}
	switch (f->number) {
#define TYPE(type)
#define FRAME(number, type)               \
	case FRAME_##type:                \
		round_##type(f->payload); \
		break;
#include "raftd/peer_frame.def"
#undef FRAME
#undef TYPE
	default:
		break;
	}
}

/* The frames of the input as it arrives in pieces; the checksums of what a fuzzer changed are put
 * right in `bytes` before. */
static struct seen read_all(struct str bytes, size_t piece)
{
	struct seen seen = { 0 };
	struct str input = { bytes.p, 0 };
	const char *end = bytes.p + bytes.n;

	do {
		size_t left = (size_t)(end - (input.p + input.n)), missing;
		struct peer_frame f;
		int r;

		input.n += min_of(piece, left);
		while ((r = peer_frame_next(&input, PEER_FRAME_MAX, &f, &missing)) == 0) {
			seen.digest = hash64_mix(seen.digest, hash64(f.payload, f.number));
			seen.frames++;
			judge(&f);
		}
		must(r != ST_AGAIN || missing > 0);
		seen.end = r;
	} while (seen.end == ST_AGAIN && input.p + input.n < end);
	return seen;
}

/* Else hardly any mutation would come through to the decoders. */
static void sums_mend(char *bytes, size_t size)
{
	size_t at = 0;

	while (size - at >= PEER_FRAME_HEADER) {
		uint32_t n, sum;

		memcpy(&n, bytes + at, sizeof(n));
		if (n > size - at - PEER_FRAME_HEADER) {
			return;
		}
		sum = crc32c(0, bytes + at + PEER_FRAME_HEADER, n);
		memcpy(bytes + at + sizeof(n), &sum, sizeof(sum));
		at += PEER_FRAME_HEADER + n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct seen whole, pieces;

	if (size < 2) {
		return 0;
	}
	buf_put(&bytes, data + 1, size - 1);
	if (data[0] & 1) {
		sums_mend(bytes.p, bytes.n);
	}
	whole = read_all(buf_str(&bytes), bytes.n);
	pieces = read_all(buf_str(&bytes), (data[0] >> 1) + 1U);
	must(whole.frames == pieces.frames && whole.digest == pieces.digest);
	must(whole.end == pieces.end);
	return 0;
}
