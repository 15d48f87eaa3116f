/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker of histories is checked: against known ones, and against trying every order on small
 * random ones.
 */
#include "tests/unit/unit.h"

#include "common/base/rng.h"
#include "tests/sim/quorum/history.h"

enum { SMALL = 6, ROUNDS = 30000 };

static bool good(const struct operation *operations, size_t count)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct history h = { 0 };
	bool result;

	for (size_t i = 0; i < count; i++) {
		history_add(&h, &operations[i]);
	}
	result = history_check(&h, &why);
	ck_assert(result == (why.n == 0));
	history_fini(&h);
	return result;
}

#define GOOD(...)                                              \
	({                                                     \
		const struct operation o_[] = { __VA_ARGS__ }; \
		good(o_, ARRAY_SIZE(o_));                      \
	})
#define WRITE(v, b, e)                      \
	{                                   \
		OPERATION_WRITE, 0, v, b, e \
	}
#define READ(v, b, e)                         \
	{                                     \
		OPERATION_DEFAULT, 0, v, b, e \
	}

TEST(test_known_histories)
{
	ck_assert(GOOD(READ(0, 1, 2), WRITE(1, 3, 4), READ(1, 5, 6)));
	ck_assert(GOOD(WRITE(1, 1, 9), READ(0, 2, 3), READ(1, 4, 5)));
	/* an old value after a newer one was seen, or after its write was done */
	ck_assert(!GOOD(WRITE(1, 1, 9), READ(1, 2, 3), READ(0, 4, 5)));
	ck_assert(!GOOD(WRITE(1, 1, 2), READ(0, 3, 4)));
	ck_assert(!GOOD(WRITE(1, 1, 2), WRITE(2, 3, 4), READ(1, 5, 6)));
	/* both at once: any order, but one for all */
	ck_assert(GOOD(WRITE(1, 1, 5), WRITE(2, 1, 5), READ(1, 6, 7), READ(1, 8, 9)));
	ck_assert(!GOOD(WRITE(1, 1, 5), WRITE(2, 1, 5), READ(1, 6, 7), READ(2, 8, 9)));
	/* without an answer: it may have happened, at any time since, or never */
	ck_assert(GOOD(WRITE(1, 1, INT64_MAX), READ(0, 5, 6), READ(1, 7, 8)));
	ck_assert(GOOD(WRITE(1, 1, INT64_MAX), READ(0, 5, 6)));
	ck_assert(!GOOD(WRITE(1, 1, INT64_MAX), READ(1, 5, 6), READ(0, 7, 8)));
	/* out of nowhere, and before it was written */
	ck_assert(!GOOD(READ(7, 1, 2)));
	ck_assert(!GOOD(READ(1, 1, 2), WRITE(1, 3, 4)));
}
END_TEST

/* Is there an order of what is left that begins with this value in the register? */
static bool possible(const struct operation *o, size_t count, unsigned done, uint64_t value)
{
	bool all = true;

	for (size_t i = 0; i < count; i++) {
		bool first = !(done >> i & 1);

		all = all && (!first || (o[i].kind == OPERATION_WRITE && o[i].end == INT64_MAX));
		for (size_t j = 0; j < count && first; j++) {
			first = (done >> j & 1) || o[j].end >= o[i].begin;
		}
		if (first && (o[i].kind == OPERATION_WRITE || o[i].value == value) &&
			possible(o, count, done | 1U << i, o[i].value)) {
			return true;
		}
	}
	return all;
}

TEST(test_as_trying_every_order)
{
	size_t counts[2] = { 0 };
	struct rng r;

	rng_init(&r, 3);
	for (int round = 0; round < ROUNDS; round++) {
		struct operation o[SMALL];
		size_t count = 1 + rng_below(&r, SMALL), writes = 1 + rng_below(&r, count);
		bool expected;

		for (size_t i = 0; i < count; i++) {
			o[i].kind = i < writes ? OPERATION_WRITE : OPERATION_CONSISTENT;
			o[i].reg = 0;
			o[i].value = i < writes ? i + 1 : rng_below(&r, writes + 1);
			o[i].begin = (int64_t)rng_below(&r, 20);
			o[i].end = o[i].begin + 1 + (int64_t)rng_below(&r, 8);
			if (i < writes && rng_below(&r, 5) == 0) {
				o[i].end = INT64_MAX;
			}
		}
		expected = possible(o, count, 0, 0);
		counts[expected]++;
		ck_assert_msg(good(o, count) == expected, "round %d", round);
	}
	ck_assert_uint_gt(counts[0], ROUNDS / 20);
	ck_assert_uint_gt(counts[1], ROUNDS / 20);
}
END_TEST

UNIT_MAIN("history", test_known_histories, test_as_trying_every_order)
