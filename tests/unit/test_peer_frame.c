/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between servers: what goes in comes out, whatever the pieces it arrives in; what does not
 * check is told apart from what is not complete.
 */
#include "raftd/peer_frame.h"

#include "raftd/core/raft.h"
#include "tests/unit/unit.h"

static const struct uuid one = { { 1 } }, two = { { 2 } };

static void hello_put(struct buf *out)
{
	struct peer_known known[] = { { two, STR("10.0.0.2:8300") } };
	struct peer_hello h = {
		.magic = PEER_MAGIC,
		.version = PEER_VERSION,
		.self = { .id = one,
			.node = STR("n1"),
			.address = STR("10.0.0.1:8300"),
			.datacenter = STR("dc1"),
			.expect = 3 },
		.servers = { known, 1 },
	};

	PEER_FRAME_PUT(out, peer_hello, &h);
}

static void append_put(struct buf *out, size_t body_size)
{
	char *body = xcalloc(1, body_size);
	struct raft_log_entry entries[] = { { 7, RAFT_COMMAND, str_n(body, body_size) } };
	struct raft_message m = {
		.type = RAFT_APPEND, .from = one, .to = two, .term = 7, .entries = { entries, 1 }
	};

	PEER_FRAME_PUT(out, raft_message, &m);
	free(body);
}

/* Every frame of the input, as the numbers they have. */
static void numbers_read(struct str *input, struct buf *out)
{
	struct peer_frame f;
	size_t missing;

	while (peer_frame_next(input, PEER_FRAME_MAX, &f, &missing) == 0) {
		buf_printf(out, "%u ", f.number);
	}
}

TEST(bytes_by_bytes)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 }, seen = { 0 };
	struct str input;

	hello_put(&out);
	append_put(&out, 1000);
	hello_put(&out);
	input = str_n(out.p, 0);
	for (size_t n = 0; n < out.n; n++) {
		input.n++;
		numbers_read(&input, &seen);
	}
	ck_buf_is(&seen, "1 3 1 ");
	ck_assert_uint_eq(input.n, 0);
}
END_TEST

TEST(missing_bytes_are_told)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct peer_frame f;
	struct str input;
	size_t missing;

	append_put(&out, 1000);
	input = str_n(out.p, 3);
	ck_assert_int_eq(peer_frame_next(&input, PEER_FRAME_MAX, &f, &missing), ST_AGAIN);
	ck_assert_uint_eq(missing, 5);
	input = str_n(out.p, 100);
	ck_assert_int_eq(peer_frame_next(&input, PEER_FRAME_MAX, &f, &missing), ST_AGAIN);
	ck_assert_uint_eq(missing, out.n - 100);
	ck_assert_uint_eq(input.n, 100);
}
END_TEST

TEST(every_flipped_bit_shows)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };

	hello_put(&out);
	for (size_t bit = 0; bit < out.n * 8; bit++) {
		struct str input = buf_str(&out);
		struct peer_frame f;
		size_t missing;

		out.p[bit / 8] ^= (char)(1 << bit % 8);
		ck_assert_int_ne(peer_frame_next(&input, PEER_FRAME_MAX, &f, &missing), 0);
		out.p[bit / 8] ^= (char)(1 << bit % 8);
	}
}
END_TEST

TEST(limits)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	uint32_t empty[2] = { 0, 0 };
	struct peer_frame f;
	struct str input;
	size_t missing;

	append_put(&out, PEER_FRAME_STRANGER_MAX);
	input = buf_str(&out);
	ck_assert_int_eq(
		peer_frame_next(&input, PEER_FRAME_STRANGER_MAX, &f, &missing), ST_TOO_LARGE);
	ck_assert_int_eq(peer_frame_next(&input, PEER_FRAME_MAX, &f, &missing), 0);
	input = str_n(empty, sizeof(empty));
	ck_assert_int_eq(peer_frame_next(&input, PEER_FRAME_MAX, &f, &missing), ST_INVALID);
}
END_TEST

TEST(messages_the_core_may_see)
{
	struct raft_log_entry entry = { 1, RAFT_COMMAND, STR("x") };
	struct raft_message m = { .type = RAFT_APPEND, .entries = { &entry, 1 } };

	ck_assert(peer_message_sound(&m));
	m.index = UINT64_MAX;
	ck_assert(!peer_message_sound(&m));
	m.index = 0;
	m.type = RAFT_VOTE;
	ck_assert(!peer_message_sound(&m));
	m.entries.count = 0;
	ck_assert(peer_message_sound(&m));
	m.type = 0;
	ck_assert(!peer_message_sound(&m));
	m.type = RAFT_MESSAGE_TYPES;
	ck_assert(!peer_message_sound(&m));
	m.type = RAFT_APPEND;
	m.entries.count = 1;
	entry.type = RAFT_CONFIGURATION + 1;
	ck_assert(!peer_message_sound(&m));
	entry.type = RAFT_COMMAND;
	entry.body.n = (9 << 20) - 1; /* only its size is looked at */
	ck_assert(!peer_message_sound(&m));
}
END_TEST

static struct peer_hello hello_read(struct buf *out, struct arena *arena)
{
	struct str input = buf_str(out);
	struct peer_hello h;
	struct peer_frame f;
	size_t missing;

	ck_assert_int_eq(peer_frame_next(&input, PEER_FRAME_MAX, &f, &missing), 0);
	ck_assert_int_eq(peer_hello_decode(f.payload, arena, &h), 0);
	return h;
}

TEST(hellos)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	char long_address[RAFT_ADDRESS_SIZE + 1] = { 0 };
	struct peer_hello h;

	hello_put(&out);
	h = hello_read(&out, &arena);
	ck_assert(peer_hello_sound(&h));
	ck_str_is(h.servers.items[0].address, "10.0.0.2:8300");
	h.servers.items[0].address = str_n(long_address, RAFT_ADDRESS_SIZE);
	ck_assert(!peer_hello_sound(&h));
	h.servers.items[0].address = str_n("1\0", 2);
	ck_assert(!peer_hello_sound(&h));
	h.servers.count = 0;
	ck_assert(peer_hello_sound(&h));
	h.self.address = STR("");
	ck_assert(!peer_hello_sound(&h));
	h = hello_read(&out, &arena);
	h.magic++;
	ck_assert(!peer_hello_sound(&h));
	h = hello_read(&out, &arena);
	h.self.id = (struct uuid) { { 0 } };
	ck_assert(!peer_hello_sound(&h));
}
END_TEST

UNIT_MAIN("peer_frame", bytes_by_bytes, missing_bytes_are_told, every_flipped_bit_shows, limits,
	messages_the_core_may_see, hellos)
