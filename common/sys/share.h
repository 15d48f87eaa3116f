/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that a daemon shows to others. Installed, each daemon has a user of its own, and each thing
 * that somebody else may open has a group named after it: muster-<daemon>-<what>, e.g.
 * muster-catalogd-state. Its members are those who have an arrow to it in docs/ARCHITECTURE.md, and
 * its owner, who may therefore give files to it. Where there are no such groups (one user runs all,
 * as under `muster agent`) nothing is changed.
 */
#ifndef MUSTER_COMMON_SYS_SHARE_H
#define MUSTER_COMMON_SYS_SHARE_H

#include "common/base/str.h"

/* Learns which of these groups we are in. Before the jail: it reads the system's files. */
void share_init(void);
/* Gives a file or folder to the group "muster-<what>", if we are in it, with this mode. "/" in what
 * stands for "-", so that an endpoint's path names its group: "catalogd/read". -errno. */
int share_file(const char *path, const char *what, mode_t mode);

#endif
