/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot file as the API hands it out: a gzip'ed tar of meta.json, state.bin and SHA256SUMS.
 * Read and checked here, never changed.
 */
#ifndef MUSTER_CTL_ARCHIVE_H
#define MUSTER_CTL_ARCHIVE_H

#include "common/base/buf.h"

struct archive {
	struct buf meta; /* meta.json */
	uint64_t size;	 /* of state.bin */
};

void archive_fini(struct archive *a);

/* ST_INVALID with Consul's text in *why when the file is no snapshot or its sums do not agree. */
int archive_read(const char *path, struct archive *out, struct buf *why);

#endif
