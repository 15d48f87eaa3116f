/* SPDX-License-Identifier: Apache-2.0 */
#include "common/sys/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/sys/clock.h"

void files_remove(const char *directory, struct str prefix, int64_t age_s)
{
	int64_t now_s = clock_wall().ns / NS_PER_S;
	DIR *dir = opendir(directory);
	struct dirent *e;
	struct stat st;

	while (dir && (e = readdir(dir))) {
		if (!str_starts(str_of(e->d_name), prefix) ||
			fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			continue;
		}
		if (S_ISREG(st.st_mode) && (age_s == 0 || st.st_mtime <= now_s - age_s)) {
			unlinkat(dirfd(dir), e->d_name, 0);
		}
	}
	if (dir) {
		closedir(dir);
	}
}
