/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raftd/lasting.h: time in which the process stood still does not count.
 */
#include "raftd/lasting.h"

#include "tests/unit/unit.h"

static struct mono at_ms(int64_t ms)
{
	return (struct mono) { 1 + ms * NS_PER_MS };
}

TEST(what_lasts)
{
	struct lasting l = { .ms = 0 };

	ck_assert_int_eq(lasting_look(&l, at_ms(1000), false), 0);
	ck_assert_int_eq(lasting_look(&l, at_ms(1100), true), 100);
	ck_assert_int_eq(lasting_look(&l, at_ms(1300), true), 300);
	ck_assert_int_eq(lasting_look(&l, at_ms(1400), false), 0);
	ck_assert_int_eq(lasting_look(&l, at_ms(1450), true), 50);
}
END_TEST

/* A sync of 25 s: the state had no chance to ask for what is committed behind it. */
TEST(stood_still)
{
	struct lasting l = { .ms = 0 };

	lasting_look(&l, at_ms(1000), false);
	ck_assert_int_eq(lasting_look(&l, at_ms(26000), true), LASTING_LOOK_MS);
	ck_assert_int_eq(lasting_look(&l, at_ms(26010), true), LASTING_LOOK_MS + 10);
	ck_assert_int_eq(lasting_look(&l, at_ms(26020), false), 0);
}
END_TEST

/* The first look of all. */
TEST(from_the_begin)
{
	struct lasting l = { .ms = 0 };

	ck_assert_int_eq(lasting_look(&l, at_ms(100000), true), LASTING_LOOK_MS);
}
END_TEST

UNIT_MAIN("lasting", what_lasts, stood_still, from_the_begin)
