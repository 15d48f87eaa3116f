/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd/core/nearest: the order of data centres.
 */
#include "tests/unit/unit.h"

#include "httpd/core/nearest.h"

TEST(test_order)
{
	double far[] = { 90, 80 }, near[] = { 30, 1, 20 }, half[] = { 5 }, even[] = { 3, 25 };
	struct nearest items[] = {
		{ .name = STR("unknown-b"), .servers_count = 3 },
		{ .name = STR("far"), .distances = far, .distances_count = 2, .servers_count = 2 },
		{ .name = STR("half-known"),
			.distances = half,
			.distances_count = 1,
			.servers_count = 3 },
		{ .name = STR("near"),
			.distances = near,
			.distances_count = 3,
			.servers_count = 3 },
		{ .name = STR("own"), .own = true, .servers_count = 1 },
		{ .name = STR("even"),
			.distances = even,
			.distances_count = 2,
			.servers_count = 2 },
		{ .name = STR("unknown-a"), .servers_count = 0 },
	};
	const char *const order[] = { "own", "near", "even", "far", "half-known", "unknown-a",
		"unknown-b" };

	nearest_sort(items, ARRAY_SIZE(items));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		ck_str_is(items[i].name, order[i]);
	}
	ck_assert(items[1].median == 20 && items[2].median == 25 && items[3].median == 90);
	nearest_sort(NULL, 0);
}

UNIT_MAIN("nearest", test_order)
