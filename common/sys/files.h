/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that one daemon makes for another, or for itself, and that stay behind when one of them
 * dies in between.
 */
#ifndef MUSTER_COMMON_SYS_FILES_H
#define MUSTER_COMMON_SYS_FILES_H

#include "common/base/str.h"

/* Removes what begins with the prefix and was written last at least so long ago (0: all of it).
 * What cannot be removed stays. */
void files_remove(const char *directory, struct str prefix, int64_t age_s);

#endif
