/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool that is fed with strangers' bytes as a datagram, as a stream's request and as the reply to
 * its own: it stays whole, and nothing it sends is too large.
 */
#include "tests/fuzz/fuzz.h"

#include "gossipd/core/pool.h"

static struct pool_event event_of(enum pool_event_type type, int64_t ms)
{
	return (struct pool_event) { .type = type,
		.now = { NS_PER_S + ms * NS_PER_MS },
		.from = { { 127, 0, 0, 2 }, 4, 8301 } };
}

static void step(struct pool *p, struct pool_event event)
{
	struct pool_update u;

	pool_step(p, &event, &u);
	for (size_t i = 0; i < u.packets_count; i++) {
		must(u.packets[i].size <= 65536 && u.packets[i].to.n);
	}
	pool_check(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool_options options = { .name = STR("bravo"),
		.meta = STR("\xff\x80"),
		.address = { { 127, 0, 0, 1 }, 4, 7946 },
		.versions = { 1, 5, 2, 2, 5, 5 },
		.profile = pool_profile_lan,
		.reclaim_ms = 30000,
		.reconnect_timeout_ms = 1000,
		.tombstone_ms = 1000,
		.leave_delay_ms = 1000,
		.coordinates = true,
		.resolve_conflicts = true };
	struct pool_event event;
	struct pool p;

	pool_init(&p, &options);
	step(&p, event_of(POOL_START, 0));
	event = event_of(POOL_PACKET, 10);
	event.bytes = str_n(data, size);
	step(&p, event);
	event = event_of(POOL_REQUEST, 20);
	event.bytes = str_n(data, size);
	step(&p, event);
	step(&p, event_of(POOL_JOIN, 30));
	event = event_of(POOL_REPLY, 40);
	event.token = 1;
	event.bytes = str_n(data, size);
	step(&p, event);
	for (int i = 1; i < 60; i++) {
		step(&p, event_of(POOL_TICK, i * 1000));
	}
	pool_fini(&p);
	return 0;
}
