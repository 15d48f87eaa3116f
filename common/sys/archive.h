/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives as Consul's snapshots are: gzip of tar of a few files, the last one SHA256SUMS with the
 * sums of the others. Reading is strict and bounded, and its errors have the texts of Go's readers,
 * as Consul shows them. Blocking: not for the loop.
 */
#ifndef MUSTER_COMMON_SYS_ARCHIVE_H
#define MUSTER_COMMON_SYS_ARCHIVE_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* fd >= 0: its content from the beginning, else bytes. */
struct archive_member {
	const char *name;
	struct str bytes;
	int fd;
};

/* Writes the members in order, then SHA256SUMS, to fd. -errno */
int archive_write(int fd, const struct archive_member *members, size_t count);

/* Where a member goes when it is read: to fd (>= 0) or into *bytes. */
struct archive_slot {
	const char *name;
	const char *what; /* for errors: "snapshot metadata" */
	int fd;
	struct buf *bytes;
	size_t size_max;
	int (*check)(struct str bytes,
		struct buf *why); /* of the whole member, if in bytes; may be NULL. ST_INVALID */
};

/*
 * Reads an archive that holds exactly these members (any order), and checks their sums. ST_INVALID
 * with the text in *why; what was written to the slots is then worthless. -errno
 */
int archive_read(int fd, const struct archive_slot *slots, size_t count, struct buf *why);

#endif
