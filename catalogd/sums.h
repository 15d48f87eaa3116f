/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums of a snapshot: beside its data.mdb lies a file `sums` with the CRC32C of each block of
 * it and whose state it is. What is sent to another server is the one file followed by the other,
 * so that whoever has received all of it can tell whether it is what was taken. These functions
 * read whole files: they are for the worker.
 */
#ifndef MUSTER_CATALOGD_SUMS_H
#define MUSTER_CATALOGD_SUMS_H

#include "common/base/std.h"

/* Makes and syncs `sums` for the data.mdb in the directory. -errno */
int sums_write(const char *directory, uint64_t index, uint64_t term);
/* Is the data.mdb in the directory the one that `sums` speaks of, and the state at this index?
 * ST_NOT_FOUND: there is no `sums`; ST_CORRUPT; -errno */
int sums_check(const char *directory, uint64_t index, uint64_t term);
/* Takes a received `stream` in the directory apart into data.mdb and `sums`, both synced.
 * ST_CORRUPT when it has no sums at its end. */
int sums_unpack(const char *directory);

#endif
