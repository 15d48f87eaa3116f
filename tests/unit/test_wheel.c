/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/wheel.h: nothing is due early, nothing gets lost, and who is taken out stays out.
 */
#include "catalogd/wheel.h"

#include "common/sys/clock.h"
#include "tests/unit/unit.h"

enum { ITEMS = 200, LIMIT_MS = 20000, LATE_MS = 2000 };

struct thing {
	struct wheel_item item;
	unsigned times;
};

struct bench {
	struct loop *loop;
	struct wheel wheel;
	struct thing things[ITEMS];
	unsigned due;
	struct thing *again; /* is put in again when it is due */
	struct thing *out;   /* ... takes this one out */
};

static void on_due(void *arg, struct wheel_item *item)
{
	struct bench *b = arg;
	struct thing *t = container_of(item, struct thing, item);

	ck_assert(!list_linked(&item->link));
	ck_assert_msg(!mono_before(loop_now(b->loop), item->deadline), "early");
	ck_assert_msg(mono_diff_ms(loop_now(b->loop), item->deadline) < LATE_MS, "very late");
	t->times++;
	b->due++;
	if (t == b->again && b->out) {
		wheel_del(&b->wheel, &take(b->out)->item);
	}
	if (t == b->again && t->times < 3) {
		wheel_arm(&b->wheel, item, 120);
	}
}

static void bench_init(struct bench *b)
{
	*b = (struct bench) { .loop = loop_new() };
	wheel_init(&b->wheel, b->loop, on_due, b);
}

static void bench_fini(struct bench *b)
{
	ck_assert_uint_eq(b->wheel.count, 0);
	ck_assert(!loop_timer_active(&b->wheel.timer)); /* an empty one does not tick */
	wheel_fini(&b->wheel);
	loop_free(b->loop);
}

static void run_until_empty(struct bench *b)
{
	struct mono end = mono_add_ms(clock_mono(), LIMIT_MS);

	while (b->wheel.count && mono_before(clock_mono(), end)) {
		loop_run_once(b->loop);
	}
}

TEST(each_in_its_time)
{
	struct bench b;

	bench_init(&b);
	for (int i = 0; i < ITEMS; i++) {
		wheel_arm(&b.wheel, &b.things[i].item, (int64_t)i * 4);
	}
	ck_assert_uint_eq(b.wheel.count, ITEMS);
	run_until_empty(&b);
	ck_assert_uint_eq(b.due, ITEMS);
	for (int i = 0; i < ITEMS; i++) {
		ck_assert_uint_eq(b.things[i].times, 1);
	}
	bench_fini(&b);
}
END_TEST

/* Its slot comes by once in each turn of the wheel; it is not due then. */
TEST(a_turn_further)
{
	struct bench b;

	bench_init(&b);
	wheel_arm(&b.wheel, &b.things[0].item, (int64_t)WHEEL_SLOTS * WHEEL_TICK_MS + 50);
	wheel_arm(&b.wheel, &b.things[1].item, 50);
	while (b.due == 0) {
		loop_run_once(b.loop);
	}
	for (int i = 0; i < 5; i++) {
		loop_run_once(b.loop);
	}
	ck_assert_uint_eq(b.things[0].times, 0);
	ck_assert_uint_eq(b.things[1].times, 1);
	wheel_del(&b.wheel, &b.things[0].item);
	wheel_del(&b.wheel, &b.things[0].item); /* harmless */
	bench_fini(&b);
}
END_TEST

TEST(moved_and_taken_out)
{
	struct bench b;

	bench_init(&b);
	wheel_arm(&b.wheel, &b.things[0].item, 50);
	wheel_arm(&b.wheel, &b.things[0].item, 100000);
	wheel_arm(&b.wheel, &b.things[1].item, 100000);
	wheel_arm(&b.wheel, &b.things[1].item, 150);
	wheel_arm(&b.wheel, &b.things[2].item, 100);
	wheel_del(&b.wheel, &b.things[2].item);
	ck_assert_uint_eq(b.wheel.count, 2);
	while (b.due == 0) {
		loop_run_once(b.loop);
	}
	ck_assert_uint_eq(b.things[1].times, 1);
	wheel_del(&b.wheel, &b.things[0].item);
	run_until_empty(&b);
	ck_assert_uint_eq(b.due, 1);
	bench_fini(&b);
}
END_TEST

/* What is due may change the wheel: another of the same slot goes, itself comes again. */
TEST(changed_while_it_runs)
{
	struct bench b;

	bench_init(&b);
	b.again = &b.things[0];
	b.out = &b.things[1];
	for (int i = 0; i < 3; i++) {
		wheel_arm(&b.wheel, &b.things[i].item, 50);
	}
	run_until_empty(&b);
	ck_assert_uint_eq(b.things[0].times, 3);
	ck_assert_uint_eq(b.things[1].times, 0);
	ck_assert_uint_eq(b.things[2].times, 1);
	bench_fini(&b);
}
END_TEST

UNIT_MAIN("wheel", each_in_its_time, a_turn_further, moved_and_taken_out, changed_while_it_runs)
