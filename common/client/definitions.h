/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The services, checks and watches of configuration files.
 */
#ifndef MUSTER_COMMON_CLIENT_DEFINITIONS_H
#define MUSTER_COMMON_CLIENT_DEFINITIONS_H

#include "common/sys/conf.h"

/* ST_INVALID with "Failed to register service "x": reason" in *why for the first that cannot be
 * registered. */
int definitions_check(const struct conf *c, struct buf *why);

#endif
