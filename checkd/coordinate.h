/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the catalogue where this node is in the network; goes on by itself until it is freed.
 */
#ifndef MUSTER_CHECKD_COORDINATE_H
#define MUSTER_CHECKD_COORDINATE_H

#include "common/client/api.h"
#include "common/sys/daemon.h"

struct coordinate_sync;
/* -errno; *out is to be freed in any case. */
int coordinate_sync_new(struct daemon *d, struct coordinate_sync **out);
void coordinate_sync_free(struct coordinate_sync *s);

#endif
