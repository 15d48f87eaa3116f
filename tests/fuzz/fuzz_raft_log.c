/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of raftd as a broken disk might give them back: any bytes as the only segment, and as the
 * meta file. Recovery either refuses or gives a log whose every entry can be read and which takes
 * more.
 */
#include "tests/fuzz/fuzz.h"

#include "raftd/log.h"
#include "raftd/meta.h"
#include "tests/fake/fake_disk.h"

enum { SEGMENT = 16 << 10 };

static void put_file(
	struct fake_disk *d, const char *name, const uint8_t *data, size_t size, size_t whole)
{
	OWN(disk_close) struct disk_file *f = NULL;
	uint64_t before;
	char zero = 0;

	must(disk_open(&d->disk, name, &f, &before) == 0);
	must(disk_write(f, whole - 1, &zero, 1) == 0);
	must(disk_write(f, 0, data, min_of(size, whole)) == 0);
}

static void read_all(struct log *l)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };

	for (uint64_t at = l->first_index; at && at <= l->last_index;) {
		struct record *records;
		size_t count;

		must(log_read(l, at, l->last_index, 4096, &arena, &records, &count) == 0 &&
			count > 0);
		must(records[0].index == at);
		at += count;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN(log_free) struct log *l = NULL;
	OWN(meta_free) struct meta *m = NULL;
	struct raft_persistent persistent;
	struct fake_disk disk;
	struct log_options options = {
		.disk = &disk.disk,
		.segment_bytes = SEGMENT,
		.first_segment_bytes = SEGMENT,
		.tail_bytes = 4096,
	};

	fake_disk_init(&disk, 1);
	put_file(&disk, "segment.0", data, size, SEGMENT);
	put_file(&disk, "meta", data, size, 2 * META_SLOT_SIZE);
	must(meta_open(&disk.disk, &m, &persistent, &why) == 0);
	if (log_open(&options, &l, &why) == 0) {
		read_all(l);
		must(log_reserve(l, 5) == 0);
		log_append(l, l->last_index + 1, UINT64_MAX, 1, STR("hello"));
		must(log_sync(l) == 0);
		read_all(l);
		log_free(take(l));
	}
	meta_free(take(m));
	fake_disk_fini(&disk);
	return 0;
}
