/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Few of them, so everything is sorted anew.
 */
#include "httpd/core/nearest.h"

#include <math.h>

static int number_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const struct nearest *n)
{
	if (n->distances_count) {
		qsort(n->distances, n->distances_count, sizeof(n->distances[0]), number_cmp);
	}
	return n->servers_count / 2 < n->distances_count ? n->distances[n->servers_count / 2]
							 : INFINITY;
}

static int nearest_cmp(const void *a, const void *b)
{
	const struct nearest *x = a, *y = b;
	int by_distance = number_cmp(&x->median, &y->median);

	if (x->own != y->own) {
		return x->own ? -1 : 1;
	}
	return by_distance ? by_distance : str_cmp(x->name, y->name);
}

void nearest_sort(struct nearest *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		items[i].median = median(&items[i]);
	}
	if (count) {
		qsort(items, count, sizeof(items[0]), nearest_cmp);
	}
}
