/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The groups are looked up once: their number in a process is small, and their names are in files
 * that the jail closes.
 */
#include "common/sys/share.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"

enum { GROUPS_MAX = 64, NAME_SIZE = 32 };

static struct {
	struct {
		char name[NAME_SIZE]; /* without "muster-" */
		gid_t gid;
	} rows[GROUPS_MAX];
	size_t count;
} ours;

void share_init(void)
{
	static const char prefix[] = "muster-";
	gid_t gids[GROUPS_MAX];
	int count = getgroups(GROUPS_MAX, gids);

	ours.count = 0;
	for (int i = 0; i < count; i++) {
		const struct group *g = getgrgid(gids[i]);

		if (g && str_starts(str_of(g->gr_name), STR("muster-"))) {
			snprintf(ours.rows[ours.count].name, NAME_SIZE, "%s",
				g->gr_name + sizeof(prefix) - 1);
			ours.rows[ours.count++].gid = gids[i];
		}
	}
}

static bool is_name(const char *name, const char *what)
{
	while (*name && (*name == *what || (*name == '-' && *what == '/'))) {
		name++;
		what++;
	}
	return *name == *what;
}

int share_file(const char *path, const char *what, mode_t mode)
{
	for (size_t i = 0; i < ours.count; i++) {
		if (is_name(ours.rows[i].name, what)) {
			return chown(path, (uid_t)-1, ours.rows[i].gid) || chmod(path, mode)
				       ? err_errno("share %s", path)
				       : 0;
		}
	}
	return 0;
}
