/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd/disk_real: the folder of the log. What the kernel says of it is ours where it is bad news.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raftd/disk.h"
#include "tests/unit/unit.h"

static int entries; /* that can be read before the folder cannot any more; negative: all */

struct dirent *readdir(DIR *dir UNUSED)
{
	static struct dirent entry;

	if (entries-- == 0) {
		errno = EIO;
		return NULL;
	}
	snprintf(entry.d_name, sizeof(entry.d_name), "segment.%d", entries);
	return &entry;
}

static void on_name(void *arg, const char *name UNUSED)
{
	*(int *)arg += 1;
}

/* A log with fewer files than there are would end early, and write over those it has not seen. */
TEST(a_folder_that_cannot_be_read)
{
	char directory[] = "/tmp/muster-disk-XXXXXX";
	struct disk *disk;
	int names = 0;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(disk_real_new(directory, &disk), 0);
	entries = 2;
	ck_assert_int_lt(disk_list(disk, on_name, &names), 0);
	ck_assert_int_eq(names, 2);
	disk_real_free(disk);
	ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

UNIT_MAIN("raft_disk", a_folder_that_cannot_be_read)
