/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What saving (archive.c) and restoring (restore.c) agree on: state.bin is the magic line, then the
 * records of the primary tables (catalog_snapshot), each with its length as u32.
 */
#ifndef MUSTER_CATALOGD_ARCHIVE_H
#define MUSTER_CATALOGD_ARCHIVE_H

#include <errno.h>

#include "catalogd/catalogd.h"

static const char archive_magic[] = "muster state 1\n";

void restore_fini(struct catalogd *c);

#endif
