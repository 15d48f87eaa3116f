/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct tail: the newest `size` bytes of a stream, and how long the stream was.
 */
#ifndef MUSTER_COMMON_BASE_TAIL_H
#define MUSTER_COMMON_BASE_TAIL_H

#include "common/base/buf.h"

struct tail {
	char *ring;
	size_t size;
	uint64_t total;
};

void tail_init(struct tail *t, size_t size);
void tail_fini(struct tail *t);
void tail_put(struct tail *t, struct str bytes);
void tail_render(const struct tail *t, struct buf *out); /* oldest first */

#endif
