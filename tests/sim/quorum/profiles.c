/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profiles. Each is hard on one part; the last ones on everything at once.
 */
#include "tests/sim/quorum/chaos.h"

#define EVERY_MEMBER                                                                            \
	[CHAOS_MEMBERS] = 6, [CHAOS_TRANSFER] = 2, [CHAOS_SNAPSHOT] = 2, [CHAOS_PREPARE] = 1

const struct profile profiles[] = {
	{ .name = "calm", .least_servers = 1, .most_servers = 7, .least_ms = 1500, .most_ms = 2500,
		.every_ms = 200, .latency_us = 2000, .save_every = 200, .trailing = 50,
		.weights = { [CHAOS_TELL] = 4, [CHAOS_PREPARE] = 1, [CHAOS_SNAPSHOT] = 1 } },
	{ .name = "network", .least_servers = 3, .most_servers = 7, .least_ms = 3000, .most_ms = 6000,
		.every_ms = 90, .latency_us = 4000, .slow_percent = 1, .save_every = 150,
		.trailing = 40,
		.weights = { [CHAOS_PARTITION] = 5, [CHAOS_ISOLATE] = 5, [CHAOS_ONE_WAY] = 6,
			[CHAOS_PAIR] = 6, [CHAOS_CLOG] = 6, [CHAOS_BREAK] = 8, [CHAOS_HEAL] = 8,
			[CHAOS_TELL] = 4, [CHAOS_TRANSFER] = 1, [CHAOS_CALM] = 1 } },
	{ .name = "disorder", .least_servers = 3, .most_servers = 5, .least_ms = 3000,
		.most_ms = 5000, .every_ms = 120, .latency_us = 9000, .slow_percent = 4,
		.loss_pm_max = 150, .duplicate_pm_max = 150, .disorder = true, .save_every = 100,
		.trailing = 20,
		.weights = { [CHAOS_LOSS] = 8, [CHAOS_ISOLATE] = 4, [CHAOS_ONE_WAY] = 4,
			[CHAOS_HEAL] = 6, [CHAOS_KILL] = 2, [CHAOS_START] = 4, [CHAOS_TELL] = 4,
			[CHAOS_TRANSFER] = 1, [CHAOS_CALM] = 1, [CHAOS_MEMBERS] = 1 } },
	{ .name = "crash", .least_servers = 1, .most_servers = 5, .least_ms = 3000, .most_ms = 5000,
		.every_ms = 80, .latency_us = 2000, .save_every = 60, .trailing = 20,
		.weights = { [CHAOS_KILL] = 8, [CHAOS_POWER] = 6, [CHAOS_POWER_ALL] = 2,
			[CHAOS_START] = 22, [CHAOS_TELL] = 6, [CHAOS_SNAPSHOT] = 2,
			[CHAOS_PREPARE] = 2, [CHAOS_BREAK] = 2, [CHAOS_CALM] = 1 } },
	{ .name = "disk", .least_servers = 1, .most_servers = 5, .least_ms = 3000, .most_ms = 5000,
		.every_ms = 80, .latency_us = 2000, .stall_percent = 2, .save_every = 60,
		.trailing = 20,
		.weights = { [CHAOS_DISK] = 10, [CHAOS_FULL] = 4, [CHAOS_DISK_GOOD] = 14, [CHAOS_DISK_SLOW] = 1,
			[CHAOS_KILL] = 2, [CHAOS_POWER] = 4, [CHAOS_START] = 12, [CHAOS_TELL] = 6,
			[CHAOS_SNAPSHOT] = 2, [CHAOS_PREPARE] = 3 } },
	{ .name = "pause", .least_servers = 2, .most_servers = 5, .least_ms = 3000, .most_ms = 6000,
		.every_ms = 120, .latency_us = 2000, .stall_percent = 4, .save_every = 100,
		.trailing = 30,
		.weights = { [CHAOS_PAUSE] = 10, [CHAOS_DISK_SLOW] = 1, [CHAOS_ISOLATE] = 3, [CHAOS_CLOG] = 3,
			[CHAOS_HEAL] = 4, [CHAOS_TRANSFER] = 2, [CHAOS_TELL] = 4, [CHAOS_KILL] = 1,
			[CHAOS_START] = 3, [CHAOS_CALM] = 1 } },
	{ .name = "lease", .least_servers = 3, .most_servers = 3, .founding = FOUND_TOLD,
		.least_ms = 4000, .most_ms = 7000, .every_ms = 180, .latency_us = 300,
		.save_every = 200, .trailing = 50,
		.weights = { [CHAOS_ISOLATE] = 8, [CHAOS_HEAL] = 8, [CHAOS_TELL] = 4,
			[CHAOS_BOUNCE] = 8, [CHAOS_PAIR] = 6, [CHAOS_PAUSE] = 1 } },
	{ .name = "members", .least_servers = 1, .most_servers = 5, .least_ms = 4000,
		.most_ms = 7000, .every_ms = 90, .latency_us = 2000, .save_every = 60,
		.trailing = 10,
		.weights = { [CHAOS_MEMBERS] = 24, [CHAOS_MOVE] = 2, [CHAOS_TRANSFER] = 3,
			[CHAOS_ISOLATE] = 2, [CHAOS_HEAL] = 3, [CHAOS_KILL] = 2,
			[CHAOS_POWER] = 1, [CHAOS_START] = 5, [CHAOS_TELL] = 4,
			[CHAOS_SNAPSHOT] = 2, [CHAOS_PAIR] = 1, [CHAOS_CALM] = 1 } },
	{ .name = "snapshot", .least_servers = 2, .most_servers = 5, .least_ms = 3000,
		.most_ms = 6000, .every_ms = 90, .latency_us = 3000, .slow_percent = 1,
		.loss_pm_max = 40, .save_every = 12, .trailing = 3,
		.weights = { [CHAOS_SNAPSHOT] = 6, [CHAOS_ISOLATE] = 8, [CHAOS_HEAL] = 8,
			[CHAOS_KILL] = 4, [CHAOS_POWER] = 4, [CHAOS_START] = 10, [CHAOS_PAUSE] = 3,
			[CHAOS_LOSS] = 2, [CHAOS_TELL] = 4, [CHAOS_MEMBERS] = 3,
			[CHAOS_BREAK] = 4, [CHAOS_DISK] = 1, [CHAOS_DISK_GOOD] = 4,
			[CHAOS_CALM] = 1 } },
	{ .name = "transfer", .least_servers = 2, .most_servers = 5, .least_ms = 3000,
		.most_ms = 5000, .every_ms = 70, .latency_us = 3000, .slow_percent = 2,
		.stall_percent = 1, .save_every = 100, .trailing = 30,
		.weights = { [CHAOS_TRANSFER] = 14, [CHAOS_ISOLATE] = 2, [CHAOS_ONE_WAY] = 2,
			[CHAOS_CLOG] = 2, [CHAOS_HEAL] = 4, [CHAOS_TELL] = 4, [CHAOS_PAUSE] = 2,
			[CHAOS_KILL] = 1, [CHAOS_START] = 3, [CHAOS_MEMBERS] = 1 } },
	{ .name = "founding", .least_servers = 2, .most_servers = 5, .founding = FOUND_TOLD,
		.least_ms = 2000, .most_ms = 4000, .every_ms = 60, .latency_us = 5000,
		.slow_percent = 3, .loss_pm_max = 100, .duplicate_pm_max = 50, .disorder = true,
		.save_every = 30, .trailing = 5,
		.weights = { [CHAOS_TELL] = 4, [CHAOS_KILL] = 3, [CHAOS_POWER] = 4,
			[CHAOS_POWER_ALL] = 1, [CHAOS_START] = 9, [CHAOS_ISOLATE] = 2,
			[CHAOS_HEAL] = 3, [CHAOS_DISK] = 1, [CHAOS_DISK_GOOD] = 3,
			[CHAOS_LOSS] = 1, [CHAOS_MEMBERS] = 1 } },
	{ .name = "torn", .least_servers = 2, .most_servers = 5, .founding = FOUND_TORN,
		.least_ms = 2000, .most_ms = 4000, .every_ms = 60, .latency_us = 5000,
		.slow_percent = 2, .save_every = 60, .trailing = 5,
		.weights = { [CHAOS_TELL] = 10, [CHAOS_KILL] = 1, [CHAOS_POWER] = 1,
			[CHAOS_START] = 4, [CHAOS_ISOLATE] = 2, [CHAOS_PARTITION] = 2,
			[CHAOS_HEAL] = 3, [CHAOS_BREAK] = 1 } },
	{ .name = "all", .least_servers = 1, .most_servers = 7, .least_ms = 3000, .most_ms = 7000,
		.every_ms = 70, .latency_us = 4000, .slow_percent = 1, .stall_percent = 1,
		.loss_pm_max = 60, .duplicate_pm_max = 30, .disorder = true, .save_every = 40,
		.trailing = 10,
		.weights = { EVERY_MEMBER, [CHAOS_PARTITION] = 2, [CHAOS_ISOLATE] = 3,
			[CHAOS_ONE_WAY] = 2, [CHAOS_PAIR] = 2, [CHAOS_CLOG] = 2, [CHAOS_BREAK] = 3,
			[CHAOS_LOSS] = 2, [CHAOS_HEAL] = 7, [CHAOS_KILL] = 3, [CHAOS_POWER] = 3,
			[CHAOS_POWER_ALL] = 1, [CHAOS_START] = 12, [CHAOS_PAUSE] = 3,
			[CHAOS_DISK] = 2, [CHAOS_FULL] = 1, [CHAOS_DISK_GOOD] = 6, [CHAOS_DISK_SLOW] = 1,
			[CHAOS_MOVE] = 1, [CHAOS_TELL] = 4, [CHAOS_CALM] = 2 } },
	{ .name = "orderly", .least_servers = 3, .most_servers = 5, .least_ms = 3000,
		.most_ms = 7000, .every_ms = 90, .latency_us = 3000, .slow_percent = 1,
		.stall_percent = 1, .save_every = 60, .trailing = 15,
		.weights = { EVERY_MEMBER, [CHAOS_PARTITION] = 3, [CHAOS_ISOLATE] = 3,
			[CHAOS_ONE_WAY] = 3, [CHAOS_PAIR] = 2, [CHAOS_CLOG] = 3, [CHAOS_BREAK] = 4,
			[CHAOS_HEAL] = 8, [CHAOS_KILL] = 4, [CHAOS_POWER] = 2, [CHAOS_START] = 9,
			[CHAOS_PAUSE] = 3, [CHAOS_TELL] = 4, [CHAOS_CALM] = 3 } },
};

const size_t profiles_count = ARRAY_SIZE(profiles);

const struct profile *profile_find(struct str name)
{
	for (size_t i = 0; i < profiles_count; i++) {
		if (str_is(name, profiles[i].name)) {
			return &profiles[i];
		}
	}
	return NULL;
}
