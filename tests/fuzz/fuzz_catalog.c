/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/core: the input is a run of encoded commands, each with its length as u16, as a log
 * could hold them. Whatever they say, the derived tables equal the rebuilt ones afterwards. The
 * input is also taken as the records of a snapshot; those that pass the check are restored.
 */
#include "tests/fuzz/fuzz.h"

#include "catalogd/core/core.h"

static void apply(struct catalog *c, uint64_t *index, struct str command)
{
	struct catalog_outcome outcome;

	catalog_apply(c, ++*index, 1, command, &outcome);
}

static void apply_run(struct catalog *c, uint64_t *index, struct str input)
{
	struct cursor cursor = cursor_of(input);

	while (cursor_left(&cursor)) {
		struct str command = cursor_take(&cursor, cursor_u16(&cursor));

		if (cursor.bad) {
			break;
		}
		apply(c, index, command);
	}
}

#define APPLY(c, index, name, cmd_pointer)                            \
	do {                                                          \
		OWN_EMBEDDED(buf_fini) struct buf payload_ = { 0 };   \
		OWN_EMBEDDED(buf_fini) struct buf bytes_ = { 0 };     \
		struct command command_ = { .type = COMMAND_##name }; \
                                                                      \
		name##_encode(&payload_, (cmd_pointer));              \
		command_.payload = buf_str(&payload_);                \
		command_encode(&bytes_, &command_);                   \
		apply((c), (index), buf_str(&bytes_));                \
	} while (0)

static void restore(struct catalog *c, uint64_t *index, struct str records)
{
	struct cmd_restore_begin begin = { .restore = { { 1 } } };
	struct cmd_restore_chunk chunk = { .restore = { { 1 } }, .records = records };
	struct cmd_restore_end end = { .restore = { { 1 } }, .chunks_count = 1 };

	APPLY(c, index, cmd_restore_begin, &begin);
	APPLY(c, index, cmd_restore_chunk, &chunk);
	APPLY(c, index, cmd_restore_end, &end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN(kv_mem_free) struct kv_mem *mem = kv_mem_new(STATE_TABLES_COUNT);
	OWN(catalog_free) struct catalog *c = catalog_new();
	OWN(kv_mem_free) struct kv_mem *names = kv_mem_new(NAMING_TABLES_COUNT);
	struct str input = str_n(data, size);
	struct kv_txn *t = kv_mem_begin(mem), *naming = kv_mem_begin(names);
	uint64_t index = 0, digest;

	catalog_begin(c, t);
	if (!catalog_snapshot_check(input)) {
		restore(c, &index, input);
	}
	apply_run(c, &index, input);
	catalog_finish(c);
	digest = catalog_digest(t);
	catalog_naming(c, t, naming, NAMING_CHANGED);
	catalog_rebuild(c, t);
	must(catalog_digest(t) == digest);
	kv_abort(naming);
	kv_abort(t);
	return 0;
}
