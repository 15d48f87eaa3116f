/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data centres by how far their servers are: as Consul, by the median of the distances, the later
 * of two in the middle. A server whose place nobody knows is farthest. Equals stand by name. Pure.
 */
#ifndef MUSTER_HTTPD_CORE_NEAREST_H
#define MUSTER_HTTPD_CORE_NEAREST_H

#include "common/base/str.h"

struct nearest {
	struct str name;
	bool own;	   /* stands first, whatever the distances */
	double *distances; /* those that are known; they are sorted */
	size_t distances_count, servers_count;
	double median; /* filled in */
};

void nearest_sort(struct nearest *items, size_t count);

#endif
