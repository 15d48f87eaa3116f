/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data centres that are known, nearest first.
 */
#ifndef MUSTER_HTTPD_DATACENTERS_H
#define MUSTER_HTTPD_DATACENTERS_H

#include "httpd/httpd.h"

/*
 * For the on_reply of a gossip_coordinates call about the WAN pool: this data centre first, then
 * the others by the median of their servers' distances from here, as Consul has it; those without
 * any come last, and equals by name. Whatever the call's outcome: without coordinates it is by name
 * alone. The names lie in the arena of x.
 */
void datacenters_by_distance(struct exchange *x, int status, struct str payload, struct strs *out);

#endif
