/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's place in the network (struct coordinate) as Consul's JSON has it.
 */
#ifndef MUSTER_COMMON_MSG_COORDINATE_H
#define MUSTER_COMMON_MSG_COORDINATE_H

#include "common/base/json.h"
#include "common/msg/types.h"

/* The value of "Coord": {"Vec":[...],"Error":...,"Adjustment":...,"Height":...} */
void coordinate_put(struct jsonw *w, const struct coordinate *c);
/* {"Node":...,"Segment":...,"Coord":...} */
void coordinate_render(struct buf *out, const struct coordinate *c);

#endif
