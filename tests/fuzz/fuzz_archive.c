/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uploaded archive: gzip, tar, sums. Without the compression, most of an input would be noise to
 * it, so a first byte of 1 has the rest packed before.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#include "common/sys/archive.h"

static int meta_check(struct str bytes, struct buf *why)
{
	return bytes.n > 1000 ? ST_INVALID : 0;
}

static int memory_file(struct str content)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, content.p, content.n) == (ssize_t)content.n);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(buf_fini) struct buf meta = { 0 }, why = { 0 };
	OWN_FD int fd = -1;
	OWN_FD int state = memory_file(STR(""));
	const struct archive_slot slots[] = {
		{ "meta.json", "snapshot metadata", -1, &meta, 4096, meta_check },
		{ "state.bin", "snapshot data", state, NULL, 1 << 16, NULL },
	};

	if (!size) {
		return 0;
	}
	if (data[0] == 1) {
		const struct archive_member members[] = {
			{ "meta.json", str_n(data + 1, (size - 1) / 2), -1 },
			{ "state.bin", str_n(data + 1, size - 1), -1 },
		};

		fd = memory_file(STR(""));
		must(archive_write(fd, members, ARRAY_SIZE(members)) == 0);
		lseek(fd, 0, SEEK_SET);
	} else {
		fd = memory_file(str_n(data, size));
	}
	archive_read(fd, slots, ARRAY_SIZE(slots), &why);
	return 0;
}
